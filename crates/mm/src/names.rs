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
    fork = "fork",
    execve = "execve",
    brk = "brk",
    exit = "exit",
    compact = "compact",
    mm_zap = "mm.zap",
    mm_fault = "mm.fault",
    mm_reclaim = "mm.reclaim",
    mm_migrate = "mm.migrate",
    mm_free = "mm.free",
    swap = "swap",
}
