//! Closed sets of words. The parser, the printer, the suggestions and `list` read the same table,
//! so that a word cannot be printable and not parsable.

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
        Order = "order",
        Steer = "steer",
        Never = "never",
        Quirks = "quirks",
        Assert = "assert",
    }

    /// Settings of `machine`.
    pub(crate) enum MachineWord {
        Cpus = "cpus",
        Memory = "memory",
        Swap = "swap",
        Seed = "seed",
        Kswapd = "kswapd",
        MaxSteps = "max_steps",
    }

    /// Settings of `annotations`.
    pub(crate) enum AnnotationWord {
        RangeStart = "range_start",
        RangeEnd = "range_end",
        WrapStart = "wrap_start",
        WrapEnd = "wrap_end",
        Prime = "prime",
        Touch = "touch",
        Srcu = "srcu",
    }

    /// Items of an `mm`.
    pub(crate) enum MmWord {
        Vma = "vma",
        Brk = "brk",
        Touch = "touch",
    }

    /// What a mapping shows.
    pub(crate) enum BackingWord {
        Anon = "anon",
        File = "file",
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
        /// `if REGISTER is VALUE { .. } else { .. }`
        If = "if",
        /// `check REGISTER is VALUE`
        Check = "check",
        /// `return`
        Return = "return",
    }

    /// Items of `globals`.
    pub(crate) enum GlobalWord {
        Mutex = "mutex",
        Spinlock = "spinlock",
        Rwsem = "rwsem",
        Word = "word",
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
