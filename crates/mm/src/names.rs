//! Names that hot paths put into events, interned once.

use mm_types::Name;
use std::sync::LazyLock;

macro_rules! names {
    ($($field:ident = $text:literal,)*) => {
        pub(crate) struct Names { $(pub(crate) $field: Name,)* }
        pub(crate) static NAMES: LazyLock<Names> = LazyLock::new(|| Names { $($field: Name::new($text),)* });
    };
}

names! {
    mmap = "mmap",
    munmap = "munmap",
    mprotect = "mprotect",
    mremap = "mremap",
    madvise = "madvise",
    mlock = "mlock",
    mlock2 = "mlock2",
    munlock = "munlock",
    mlockall = "mlockall",
    munlockall = "munlockall",
    msync = "msync",
    mincore = "mincore",
    mseal = "mseal",
    prctl = "prctl",
    fork = "fork",
    execve = "execve",
    brk = "brk",
    exit = "exit",
    move_pages = "move_pages",
    clear_refs = "clear_refs",
    userfaultfd = "userfaultfd",
    truncate = "ftruncate",
    fallocate = "fallocate",
    fsync = "fsync",
    wp_shared = "wp_shared_mapping_range",
    write = "write",
    remap_file_pages = "remap_file_pages",
    process_mrelease = "process_mrelease",
    oom_reap = "oom_reap",
    memory_failure = "memory_failure",
    soft_offline = "soft_offline",
    uprobe = "uprobe",
    page_idle = "page_idle",
    migrate_vma = "migrate_vma",
    make_device_exclusive = "make_device_exclusive",
    age = "age",
    lru_gen = "lru_gen",
    compact = "compact",
    split_huge_pages = "split_huge_pages",
    khugepaged = "khugepaged",
    mm_zap = "mm.zap",
    mm_cow = "mm.cow",
    mm_moved = "mm.moved",
    mm_window = "mm.window",
    mm_fault = "mm.fault",
    mm_reclaim = "mm.reclaim",
    mm_migrate = "mm.migrate",
    mm_free = "mm.free",
    mm_flush = "mm.flush",
    swap = "swap",
}
