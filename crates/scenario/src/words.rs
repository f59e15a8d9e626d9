//! Closed sets of words. The parser, the printer, the suggestions and `list` read the same table,
//! so that a word cannot be printable and not parsable.

/// What an [`MmOp`] is given, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperandKind {
    /// An mm.
    Mm,
    /// Pages.
    Range,
    /// Pages, or a number.
    RangeOrNumber,
    /// An address or another number.
    Number,
    /// Text in quotes: a file.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// The advices of `madvise`, by their names in C.
const ADVICES: &[&str] = &[
    "MADV_NORMAL",
    "MADV_RANDOM",
    "MADV_SEQUENTIAL",
    "MADV_WILLNEED",
    "MADV_DONTNEED",
    "MADV_DONTNEED_LOCKED",
    "MADV_FREE",
    "MADV_REMOVE",
    "MADV_COLD",
    "MADV_PAGEOUT",
    "MADV_POPULATE_READ",
    "MADV_POPULATE_WRITE",
    "MADV_DONTFORK",
    "MADV_DOFORK",
    "MADV_WIPEONFORK",
    "MADV_KEEPONFORK",
    "MADV_DONTDUMP",
    "MADV_DODUMP",
    "MADV_MERGEABLE",
    "MADV_UNMERGEABLE",
    "MADV_HUGEPAGE",
    "MADV_NOHUGEPAGE",
    "MADV_COLLAPSE",
    "MADV_GUARD_INSTALL",
    "MADV_GUARD_REMOVE",
];

/// What `PAGEMAP_SCAN` tells of a page, by the names in C.
const PAGE_CATEGORIES: &[&str] = &[
    "PAGE_IS_WPALLOWED",
    "PAGE_IS_WRITTEN",
    "PAGE_IS_FILE",
    "PAGE_IS_PRESENT",
    "PAGE_IS_SWAPPED",
    "PAGE_IS_PFNZERO",
    "PAGE_IS_HUGE",
    "PAGE_IS_SOFT_DIRTY",
    "PAGE_IS_GUARD",
];

impl MmOp {
    /// What stands behind the word: how many must be there, then all of them.
    #[must_use]
    pub const fn operands(self) -> (usize, &'static [OperandKind]) {
        use OperandKind::{Mm, Number, Range, RangeOrNumber, Text, Word};
        match self {
            MmOp::Madvise => (3, &[Mm, Range, Word(ADVICES)]),
            MmOp::Mremap => (3, &[Mm, RangeOrNumber, RangeOrNumber, Word(&["dontunmap"])]),
            MmOp::Mlock | MmOp::Munlock | MmOp::Msync | MmOp::UffdUnregister | MmOp::UffdZeropage => (2, &[Mm, Range]),
            MmOp::PagemapScan | MmOp::NumaScan | MmOp::UffdCopy | MmOp::Age | MmOp::LruGenAge | MmOp::LruGenWalk => {
                (2, &[Mm, Range])
            }
            MmOp::CheckPages => (4, &[Mm, Range, Word(&["is", "not"]), Word(PAGE_CATEGORIES)]),
            MmOp::CheckWord => (4, &[Mm, Number, Word(&["is", "not"]), Number]),
            MmOp::SplitHugePages | MmOp::Khugepaged => (2, &[Mm, Range]),
            MmOp::Damon => (4, &[Mm, Number, Word(&["vaddr", "paddr"]), Word(&["mkold", "check"])]),
            MmOp::KsmScan => (0, &[Word(&["zero"])]),
            MmOp::KsmUnmerge | MmOp::DropSlab | MmOp::OomKill | MmOp::CompactMemory => (0, &[]),
            MmOp::OomScoreAdj => (2, &[Mm, Number, Word(&["minus"])]),
            MmOp::Fork => (2, &[Mm, Mm]),
            MmOp::Exec | MmOp::OomReap | MmOp::ProcessMrelease => (1, &[Mm]),
            MmOp::GupWrite => (2, &[Mm, Number, Word(&["force"])]),
            MmOp::RemapFilePages | MmOp::MovePages | MmOp::UffdMove => (3, &[Mm, Range, Number]),
            MmOp::Truncate | MmOp::UprobeInsert | MmOp::UprobeRemove => (2, &[Text, Number]),
            MmOp::PunchHole | MmOp::DirectWrite | MmOp::WpShared => (3, &[Text, Number, Number]),
            MmOp::Fsync | MmOp::Writeback => (1, &[Text]),
            MmOp::ClearRefs | MmOp::MemoryFailure | MmOp::SoftOffline | MmOp::PageIdle | MmOp::CompactUntil => {
                (2, &[Mm, Number])
            }
            MmOp::UffdRegister => (3, &[Mm, Range, Word(&["missing", "wp"])]),
            MmOp::UffdWriteprotect => (3, &[Mm, Range, Word(&["set", "clear"])]),
        }
    }
}

/// A closed set of words of the language.
pub trait Word: Copy + PartialEq + 'static {
    /// Every member, in the order in which help texts list them.
    const ALL: &'static [Self];

    /// The word as written in a scenario.
    fn word(self) -> &'static str;

    /// The member written `word`, if there is one.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|w| w.word() == word)
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        $vis enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $crate::words::Word for $name {
            const ALL: &'static [$name] = &[$($name::$variant),*];

            fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::words::Word::word(*self))
            }
        }
    )*};
}
pub(crate) use words;

words! {
    /// What may stand at the top of a file. Reserved: none of these can be a name.
    pub(crate) enum Section {
        Scenario = "scenario",
        Kernel = "kernel",
        Expect = "expect",
        Machine = "machine",
        Annotations = "annotations",
        Mm = "mm",
        Globals = "globals",
        Device = "device",
        Task = "task",
        Irq = "irq",
        Softirq = "softirq",
        Timer = "timer",
        Order = "order",
        Steer = "steer",
        Never = "never",
        Quirks = "quirks",
        Behaviours = "behaviours",
        Assert = "assert",
    }

    /// Settings of `machine`.
    pub(crate) enum MachineWord {
        Cpus = "cpus",
        Memory = "memory",
        Swap = "swap",
        Seed = "seed",
        Kswapd = "kswapd",
        OomKiller = "oom_killer",
        Failures = "failures",
        MaxSteps = "max_steps",
        MemoryModel = "memory_model",
    }

    /// Settings of `annotations`.
    pub(crate) enum AnnotationWord {
        RangeStart = "range_start",
        RangeEnd = "range_end",
        WrapStart = "wrap_start",
        WrapEnd = "wrap_end",
        Prime = "prime",
        Touch = "touch",
        OtherCallbacks = "other_callbacks",
        Srcu = "srcu",
    }

    /// Items of an `mm`.
    pub(crate) enum MmWord {
        Vma = "vma",
        Brk = "brk",
        Touch = "touch",
        Forked = "forked",
    }

    /// What a mapping shows.
    pub(crate) enum BackingWord {
        Anon = "anon",
        File = "file",
        Shmem = "shmem",
        Hugetlb = "hugetlb",
        /// Memory of a device.
        Dax = "dax",
    }

    /// First words of a task's statements; a device operation (`gpu0.get_pages`) is the other form.
    pub enum TaskWord {
        /// `mmap MM RANGE PROT BACKING`
        Mmap = "mmap",
        /// `munmap MM RANGE`
        Munmap = "munmap",
        /// `mprotect MM RANGE PROT`
        Mprotect = "mprotect",
        /// `brk MM ADDR`
        Brk = "brk",
        /// `read MM ADDR`
        Read = "read",
        /// `write MM ADDR [VALUE]`
        Write = "write",
        /// `touch MM RANGE`
        Touch = "touch",
        /// `exit MM`
        Exit = "exit",
        /// `alloc N GFP`
        Alloc = "alloc",
        /// `reclaim MM RANGE` and `reclaim N pages`
        Reclaim = "reclaim",
        /// `compact MM RANGE`
        Compact = "compact",
        /// `swapin MM RANGE`
        Swapin = "swapin",
        /// `with DEVICE.LOCK { .. }`
        With = "with",
        /// `repeat N { .. }`
        Repeat = "repeat",
        /// `register DEVICE`
        Register = "register",
        /// `unregister DEVICE`
        Unregister = "unregister",
        /// `sync NAME`
        Sync = "sync",
        /// `yield`
        Yield = "yield",
        /// `notify [nonblock] MM RANGE { .. }`
        Notify = "notify",
        /// `load REGISTER WORD`
        Load = "load",
        /// `store WORD VALUE`
        Store = "store",
        /// `add WORD VALUE`
        Add = "add",
        /// `smp_load_acquire REGISTER WORD`
        SmpLoadAcquire = "smp_load_acquire",
        /// `smp_store_release WORD VALUE`
        SmpStoreRelease = "smp_store_release",
        /// `smp_mb`
        SmpMb = "smp_mb",
        /// `smp_wmb`
        SmpWmb = "smp_wmb",
        /// `smp_rmb`
        SmpRmb = "smp_rmb",
        /// `if REGISTER is VALUE { .. } else { .. }`
        If = "if",
        /// `check REGISTER is VALUE`
        Check = "check",
        /// `return`
        Return = "return",
        /// `mark "TEXT"`
        Mark = "mark",
        /// `sleep MS`
        Sleep = "sleep",
        /// `file_write [shared] { .. }`
        FileWrite = "file_write",
    }

    /// Items of `globals`.
    pub(crate) enum GlobalWord {
        Mutex = "mutex",
        Spinlock = "spinlock",
        Rwsem = "rwsem",
        Word = "word",
    }

    /// First words of the statements that name one operation of the kernel and its operands, as [`MmOp::operands`] says.
    pub enum MmOp {
        /// `madvise(range, advice)`.
        Madvise = "madvise",
        /// `mremap` of a range (an address: of nothing, old size 0) to a new range, or to a new size in place.
        Mremap = "mremap",
        /// `mlock(range)`.
        Mlock = "mlock",
        /// `munlock(range)`.
        Munlock = "munlock",
        /// `msync(range, MS_SYNC)`.
        Msync = "msync",
        /// `fork()`: the second mm becomes a copy of the first.
        Fork = "fork",
        /// `execve()`: another, empty address space.
        Exec = "exec",
        /// `get_user_pages()` for writing, as `process_vm_writev` does; `force` as `/proc/PID/mem` does.
        GupWrite = "gup_write",
        /// `remap_file_pages(range, pgoff)`.
        RemapFilePages = "remap_file_pages",
        /// `ftruncate(file, bytes)`.
        Truncate = "truncate",
        /// `fallocate(file, FALLOC_FL_PUNCH_HOLE, offset, bytes)`.
        PunchHole = "punch_hole",
        /// `fsync(file)`.
        Fsync = "fsync",
        /// Writeback of a file by a worker of the kernel, as `sync()` starts it.
        Writeback = "writeback",
        /// A graphics driver write-protects what is mapped of a file, to see who writes: offset and bytes.
        WpShared = "wp_shared",
        /// `write()` with `O_DIRECT`: offset and bytes.
        DirectWrite = "direct_write",
        /// A write to `/proc/PID/clear_refs`: 1 to 5.
        ClearRefs = "clear_refs",
        /// `UFFDIO_REGISTER`.
        UffdRegister = "uffd_register",
        /// `UFFDIO_UNREGISTER`.
        UffdUnregister = "uffd_unregister",
        /// `UFFDIO_WRITEPROTECT`.
        UffdWriteprotect = "uffd_writeprotect",
        /// `UFFDIO_COPY` to a range.
        UffdCopy = "uffd_copy",
        /// `UFFDIO_ZEROPAGE`.
        UffdZeropage = "uffd_zeropage",
        /// `UFFDIO_MOVE` to a range from an address.
        UffdMove = "uffd_move",
        /// `PAGEMAP_SCAN` that write-protects what was written.
        PagemapScan = "pagemap_scan",
        /// `PAGEMAP_SCAN` that looks: every page `is`, or none (`not`), of a category. Otherwise a finding.
        CheckPages = "check_pages",
        /// A read by a CPU: the word at an address `is` a value, or is `not`. Otherwise a finding.
        CheckWord = "check_word",
        /// `move_pages(range, node)`.
        MovePages = "move_pages",
        /// The NUMA scanner's task work: makes the pages of a range inaccessible, to see who uses them.
        NumaScan = "numa_scan",
        /// The OOM killer chooses this mm: its reaper.
        OomReap = "oom_reap",
        /// `process_mrelease()`.
        ProcessMrelease = "process_mrelease",
        /// A write of `f` to `sysrq-trigger`: the OOM killer kills the process that has the most.
        OomKill = "oom_kill",
        /// A write to `/proc/PID/oom_score_adj`; `minus`: of the number below 0.
        OomScoreAdj = "oom_score_adj",
        /// A write of 2 to `drop_caches`: every shrinker is called, as often as that is worth it.
        DropSlab = "drop_slab",
        /// A write of 1 to `compact_memory`: pages move together, from the lowest blocks of memory to the highest.
        CompactMemory = "compact_memory",
        /// The same, until the page at an address has moved.
        CompactUntil = "compact_until",
        /// `madvise(MADV_HWPOISON)` of one page: memory failure.
        MemoryFailure = "memory_failure",
        /// `madvise(MADV_SOFT_OFFLINE)` of one page.
        SoftOffline = "soft_offline",
        /// A breakpoint is put into a file's page, wherever it is mapped for execution.
        UprobeInsert = "uprobe_insert",
        /// It is taken out again.
        UprobeRemove = "uprobe_remove",
        /// A write to the `page_idle` bitmap for one page.
        PageIdle = "page_idle",
        /// Reclaim asks of each page whether it was accessed; takes none.
        Age = "age",
        /// Reclaim by MGLRU asks.
        LruGenAge = "lru_gen_age",
        /// MGLRU's walk of page tables does.
        LruGenWalk = "lru_gen_walk",
        /// A write to `split_huge_pages` of debugfs: huge pages of a range become single ones.
        SplitHugePages = "split_huge_pages",
        /// One round of khugepaged over a range: single pages become huge ones where those are wanted.
        Khugepaged = "khugepaged",
        /// One round of ksmd: equal pages of memory advised so are merged; `zero`: those of zeros with the zero page.
        KsmScan = "ksm_scan",
        /// Merged pages are copied again, everywhere (`echo 2 > run`).
        KsmUnmerge = "ksm_unmerge",
        /// One sample of DAMON, by addresses or by frames: forgets that a page was accessed, or asks.
        Damon = "damon",
    }

    /// First words of an inline driver's statements.
    pub enum DriverWord {
        /// `with LOCK { .. }`
        With = "with",
        /// `zap RANGE`
        Zap = "zap",
        /// `map RANGE`
        Map = "map",
        /// `alloc N GFP`
        Alloc = "alloc",
        /// `sleep`
        Sleep = "sleep",
        /// `set_seq`
        SetSeq = "set_seq",
        /// `read_begin`
        ReadBegin = "read_begin",
        /// `check_retry`
        CheckRetry = "check_retry",
        /// `retry { .. }`
        Retry = "retry",
        /// `fault RANGE`
        Fault = "fault",
        /// `pin RANGE`
        Pin = "pin",
        /// `unpin RANGE`
        Unpin = "unpin",
        /// `refuse`
        Refuse = "refuse",
        /// `if blockable { .. } else { .. }`
        If = "if",
        /// `sync NAME`
        Sync = "sync",
        /// `flush`
        Flush = "flush",
    }

    /// Items of an inline driver.
    pub(crate) enum InlineWord {
        Mutex = "mutex",
        Spinlock = "spinlock",
        Rwsem = "rwsem",
        On = "on",
        Op = "op",
    }

    /// First words of assertions.
    pub(crate) enum AssertWord {
        Callbacks = "callbacks",
        Acquired = "acquired",
        Allocations = "allocations",
        Edge = "edge",
        No = "no",
        ReclaimInvalidations = "reclaim_invalidations",
        BlockedTasks = "blocked_tasks",
    }
}
