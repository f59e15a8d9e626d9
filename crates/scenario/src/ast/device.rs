//! Devices, and drivers written inline.

use super::Name;
use crate::span::Spanned;
use crate::words::words;
use mm_types::{Gfp, PageRange};

/// `device NAME : DRIVER(MM[, RANGE]) [{ .. }]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its name.
    pub name: Name,
    /// `interval` or `list` for an inline driver, else a driver the caller knows.
    pub driver: Name,
    /// The address space it subscribes to.
    pub mm: Name,
    /// The pages it subscribes to, for drivers that subscribe to a range.
    pub range: Option<Spanned<PageRange>>,
    /// The rest.
    pub body: DeviceBody,
}

/// What stands between a device's braces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeviceBody {
    /// Settings of a driver written in Rust.
    Named(NamedDriver),
    /// A driver written here.
    Inline(InlineDriver),
}

/// Settings of a driver written in Rust.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NamedDriver {
    /// `mutant "NAME"`: the way in which it is wrong on purpose.
    pub mutant: Option<Name>,
    /// `NAME VALUE`
    pub options: Vec<Spanned<DeviceOption>>,
}

/// One setting of a driver written in Rust.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceOption {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Spanned<OptionValue>,
}

/// The value of a driver's option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OptionValue {
    /// A number, an address or a size.
    Number(u64),
    /// A bare word.
    Word(String),
    /// A quoted string.
    Text(String),
}

words! {
    /// What an inline driver registers.
    pub enum InlineKind {
        /// An interval subscriber (`mmu_interval_notifier`).
        Interval = "interval",
        /// A list subscriber (`mmu_notifier`).
        List = "list",
    }

    /// The locks a driver may have.
    pub enum LockKind {
        /// Sleeps.
        Mutex = "mutex",
        /// Spins: nothing under it may sleep.
        Spinlock = "spinlock",
        /// Sleeps; readers share it.
        Rwsem = "rwsem",
    }

    /// How an rwsem is taken, or a spinlock other than plainly.
    pub enum LockMode {
        /// An rwsem: shared.
        Read = "read",
        /// An rwsem: exclusive.
        Write = "write",
        /// A spinlock: with interrupts disabled.
        Irqsave = "irqsave",
        /// A spinlock: with bottom halves disabled.
        Bh = "bh",
    }

    /// The callbacks an inline driver may have.
    pub enum Callback {
        /// `on invalidate(range)` of an interval driver.
        Invalidate = "invalidate",
        /// `on start(range)` of a list driver.
        Start = "start",
        /// `on end(range)` of a list driver.
        End = "end",
        /// `on release` of a list driver.
        Release = "release",
        /// `on shrink(range)`: the driver has a shrinker, and reclaim asks it for what it has.
        Shrink = "shrink",
    }
}

impl InlineKind {
    /// The callbacks such a driver may have.
    #[must_use]
    pub const fn callbacks(self) -> &'static [Callback] {
        match self {
            InlineKind::Interval => &[Callback::Invalidate, Callback::Shrink],
            InlineKind::List => &[Callback::Start, Callback::End, Callback::Release, Callback::Shrink],
        }
    }
}

impl Callback {
    /// Whether its body may say `range`.
    #[must_use]
    pub const fn takes_range(self) -> bool {
        !matches!(self, Callback::Release)
    }

    /// Whether it may be told not to block, and may refuse then.
    #[must_use]
    pub const fn may_refuse(self) -> bool {
        matches!(self, Callback::Invalidate | Callback::Start | Callback::Shrink)
    }
}

/// A driver written in a scenario.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InlineDriver {
    /// Its locks.
    pub locks: Vec<Spanned<Lock>>,
    /// What it does when it is called back; a callback without a handler does nothing.
    pub handlers: Vec<Spanned<Handler>>,
    /// What tasks can ask of it. One named like an operation every inline driver has replaces it.
    pub operations: Vec<Spanned<Operation>>,
}

/// `mutex NAME [class CLASS]`, `spinlock NAME [class CLASS]`, `rwsem NAME [class CLASS]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lock {
    /// What it is.
    pub kind: Spanned<LockKind>,
    /// Its name.
    pub name: Name,
    /// Its lock class, which locks of several devices, and of the kernel, may share; if absent one of its own, `DEVICE.LOCK`.
    pub class: Option<Name>,
}

/// `on CALLBACK[(range)] { .. }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handler {
    /// Which callback.
    pub callback: Spanned<Callback>,
    /// What it does.
    pub body: Vec<Spanned<DriverStatement>>,
}

/// `op NAME[(range)] { .. }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its name.
    pub name: Name,
    /// Whether it is called with a range, which its body calls `range`.
    pub takes_range: bool,
    /// What it does.
    pub body: Vec<Spanned<DriverStatement>>,
}

/// Pages a driver works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeExpr {
    /// `range`: what the handler or operation was called with.
    Argument,
    /// These pages.
    Pages(PageRange),
}

/// One step of an inline driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DriverStatement {
    /// `with [read|write] LOCK { .. }`
    With {
        /// A lock of this driver.
        lock: Name,
        /// Present exactly for an rwsem.
        mode: Option<Spanned<LockMode>>,
        /// What is done under it.
        body: Vec<Spanned<DriverStatement>>,
    },
    /// `zap RANGE`: clears the device's translations.
    Zap(Spanned<RangeExpr>),
    /// `map RANGE`: publishes translations for the pages last faulted or pinned.
    Map(Spanned<RangeExpr>),
    /// `alloc N GFP`
    Alloc {
        /// Pages, at least 1.
        nr_pages: Spanned<u64>,
        /// How.
        gfp: Spanned<Gfp>,
    },
    /// `sleep`: may sleep here.
    Sleep,
    /// `set_seq`: `mmu_interval_set_seq`.
    SetSeq,
    /// `read_begin`: `mmu_interval_read_begin`.
    ReadBegin,
    /// `check_retry`: `mmu_interval_read_retry`; starts the enclosing `retry` again when it says so.
    CheckRetry,
    /// `retry { .. }`: the body, again for as long as a `check_retry` in it asks for that.
    Retry {
        /// What is tried.
        body: Vec<Spanned<DriverStatement>>,
    },
    /// `fault RANGE`: `hmm_range_fault`.
    Fault(Spanned<RangeExpr>),
    /// `pin RANGE`: `pin_user_pages`.
    Pin(Spanned<RangeExpr>),
    /// `unpin RANGE`: `unpin_user_pages`.
    Unpin(Spanned<RangeExpr>),
    /// `refuse`: returns would-block if blocking is not allowed; nothing otherwise.
    Refuse,
    /// `if blockable { .. } [else { .. }]`
    IfBlockable {
        /// When blocking is allowed.
        then: Vec<Spanned<DriverStatement>>,
        /// When it is not.
        otherwise: Vec<Spanned<DriverStatement>>,
    },
    /// `sync NAME`: the sync point `user.NAME`.
    Sync {
        /// The name after `user.`.
        name: Name,
    },
    /// `flush`: flushes the device's TLB.
    Flush,
}
