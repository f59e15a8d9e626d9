//! The events.

use crate::{AccessModel, BracketId, Hook, NotifyRange, SubKind};
use mm_types::{Errno, Gfp, MmId, Name, ObjId, PageRange, Pfn, Pte, TaskId, Vpn};

/// One thing that happened in a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// How many visible operations the run had begun when it happened.
    pub step: u64,
    /// Who did it. Task 0 is the world's setup.
    pub task: TaskId,
    /// What.
    pub kind: EventKind,
}

/// A subscription. Numbered by the task that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubId(pub ObjId);

/// A device of the world, in order of creation from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DevId(pub u32);

/// What sort of lock it is; decides whether taking it may sleep and whether holding it forbids sleeping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LockKind {
    /// `spinlock_t`: atomic context while held.
    Spin,
    /// `raw_spinlock_t`: atomic context while held.
    RawSpin,
    /// `struct mutex`.
    Mutex,
    /// `struct rw_semaphore`.
    RwSem,
    /// An SRCU read section.
    Srcu,
    /// An RCU read section: atomic context while it lasts.
    Rcu,
    /// A lockdep map without a lock behind it.
    Map,
}

impl LockKind {
    /// Whether acquiring it may sleep.
    #[must_use]
    pub const fn sleeps(self) -> bool {
        matches!(self, Self::Mutex | Self::RwSem)
    }

    /// Whether the holder must not sleep.
    #[must_use]
    pub const fn is_atomic(self) -> bool {
        matches!(self, Self::Spin | Self::RawSpin | Self::Rcu)
    }

    /// A word for text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Spin => "spinlock",
            Self::RawSpin => "raw_spinlock",
            Self::Mutex => "mutex",
            Self::RwSem => "rwsem",
            Self::Srcu => "srcu",
            Self::Rcu => "rcu",
            Self::Map => "map",
        }
    }
}

/// A lock instance, with the class it prints as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LockRef {
    /// The instance.
    pub obj: ObjId,
    /// Its lockdep class name.
    pub class: Name,
    /// Its sort.
    pub kind: LockKind,
}

/// How a lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LockMode {
    /// By one holder.
    Exclusive,
    /// Together with other readers.
    Shared,
}

/// What forbids sleeping besides locks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Atomic {
    /// Interrupts are disabled.
    IrqsOff,
    /// Bottom halves are disabled.
    BhOff,
    /// The handler of a softirq runs.
    Softirq,
    /// The handler of a hardware interrupt runs.
    Hardirq,
}

impl Atomic {
    /// A word for text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::IrqsOff => "irqs_off",
            Self::BhOff => "bh_off",
            Self::Softirq => "softirq",
            Self::Hardirq => "hardirq",
        }
    }
}

/// The closed vocabulary. Each variant names who emits it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// Scheduler: a task exists.
    TaskSpawned {
        /// The new task.
        child: TaskId,
        /// Its name.
        name: Name,
    },
    /// Scheduler: the emitting task returned from its body, or is a daemon that idles when the run finishes.
    TaskExited,
    /// A named place was passed.
    SyncPoint {
        /// Its name, such as `notifier.range_start`.
        name: Name,
    },

    /// Lock: the task must wait.
    LockContended {
        /// The lock.
        lock: LockRef,
        /// The mode asked for.
        mode: LockMode,
    },
    /// Lock: acquired.
    LockAcquired {
        /// The lock.
        lock: LockRef,
        /// The mode.
        mode: LockMode,
        /// By a trylock.
        trylock: bool,
    },
    /// Lock: released.
    LockReleased {
        /// The lock.
        lock: LockRef,
        /// The mode it was held in.
        mode: LockMode,
    },
    /// Wait queue, completion, grace period: the task waits.
    Wait {
        /// What for.
        on: ObjId,
        /// A name of it.
        what: Name,
    },
    /// The wait is over.
    WaitDone {
        /// What for.
        on: ObjId,
    },
    /// A place that may sleep was passed (`might_sleep()`), whether or not it did.
    MightSleep {
        /// What would sleep.
        what: Name,
    },
    /// `non_block_start()`: until the matching end the task must not sleep.
    NonBlockStart,
    /// `non_block_end()`.
    NonBlockEnd,

    /// Allocation: one request and what became of it.
    Alloc {
        /// Flags.
        gfp: Gfp,
        /// Pages asked for (kmalloc counts as 1).
        nr_pages: u32,
        /// Whether it was served.
        ok: bool,
    },
    /// Reclaim began in the caller's stack, or in a daemon or at a scenario's request.
    ReclaimStart {
        /// Entered by an allocation of the same task.
        direct: bool,
    },
    /// Reclaim ended.
    ReclaimEnd {
        /// Pages freed.
        freed: u64,
    },

    /// mm: an address space exists.
    MmCreated {
        /// Which.
        mm: MmId,
        /// Its name.
        name: Name,
    },
    /// mm: the last user left; pages are freed.
    MmExit {
        /// Which.
        mm: MmId,
    },
    /// mm: a system call (or a named kernel path) begins.
    CallEnter {
        /// The address space.
        mm: MmId,
        /// `munmap`, `mmap`, ...
        call: Name,
        /// The pages it names, if any.
        pages: Option<PageRange>,
    },
    /// mm: it returned.
    CallExit {
        /// `None` for success.
        error: Option<Errno>,
    },
    /// Page-table accessor: an entry changed.
    PteSet {
        /// Whose.
        mm: MmId,
        /// Which page.
        vpn: Vpn,
        /// Before.
        old: Pte,
        /// After.
        new: Pte,
    },
    /// TLB: translations of these pages are gone from every CPU.
    TlbFlush {
        /// Whose.
        mm: MmId,
        /// Pages.
        pages: PageRange,
    },
    /// CPU access through the page table.
    CpuAccess {
        /// Whose.
        mm: MmId,
        /// Page.
        vpn: Vpn,
        /// Frame it hit.
        pfn: Pfn,
        /// A store.
        write: bool,
        /// What it read, or what the page holds after it.
        value: u64,
    },
    /// Frame allocator: a frame left the free lists.
    FrameAlloc {
        /// Which.
        pfn: Pfn,
    },
    /// Frame allocator: the last reference went; the frame is free.
    FrameFree {
        /// Which.
        pfn: Pfn,
    },
    /// A page was pinned for a device (`pin_user_pages`) or referenced (`get_user_pages`).
    PagePin {
        /// Frame.
        pfn: Pfn,
    },
    /// A pin was dropped.
    PageUnpin {
        /// Frame.
        pfn: Pfn,
    },
    /// Swap: the page went out to a slot.
    SwapOut {
        /// Frame it was in.
        pfn: Pfn,
        /// Slot it is in.
        slot: u64,
    },
    /// Swap: the page came back.
    SwapIn {
        /// Slot it was in.
        slot: u64,
        /// Frame it is in.
        pfn: Pfn,
    },

    /// Notifier: a subscriber is about to be visible to invalidations.
    Subscribed {
        /// Which.
        sub: SubId,
        /// Of which address space.
        mm: MmId,
        /// Family.
        kind: SubKind,
        /// Pages it asked for (whole address space for a list subscriber).
        pages: PageRange,
        /// How it uses translations.
        model: AccessModel,
        /// Owner token, for filtering its own events.
        owner: Option<ObjId>,
        /// Name of the device or test that subscribed.
        name: Name,
    },
    /// Notifier: unregister or remove was called.
    UnsubscribeStart {
        /// Which.
        sub: SubId,
    },
    /// Notifier: it returned; no callback may come any more.
    Unsubscribed {
        /// Which.
        sub: SubId,
    },
    /// Notifier: a start is announced; callbacks follow.
    RangeStart {
        /// The bracket.
        bracket: BracketId,
        /// What it says.
        range: NotifyRange,
    },
    /// Notifier: every callback of the start has returned.
    RangeStarted {
        /// The bracket.
        bracket: BracketId,
        /// False when a non-blocking start was refused.
        ok: bool,
    },
    /// Notifier: the bracket is closed.
    RangeEnd {
        /// The bracket.
        bracket: BracketId,
    },
    /// Notifier: a bracket was dropped without its end.
    BracketLeaked {
        /// The bracket.
        bracket: BracketId,
    },
    /// Notifier: a callback is called.
    CallbackEnter {
        /// Whose.
        sub: SubId,
        /// Which.
        hook: Hook,
        /// The pages passed to it.
        pages: PageRange,
        /// The bracket it belongs to, for start, end and invalidate.
        bracket: Option<BracketId>,
        /// Whether it may sleep.
        blockable: bool,
    },
    /// Notifier: it returned.
    CallbackExit {
        /// Whose.
        sub: SubId,
        /// Which.
        hook: Hook,
        /// False when it refused; of a young hook, its answer.
        ok: bool,
    },
    /// Interval subscriber: `mmu_interval_read_begin` returned.
    ReadBegin {
        /// Whose.
        sub: SubId,
        /// The sequence it returned.
        seq: u64,
    },
    /// Interval subscriber: `mmu_interval_read_retry` was asked.
    ReadRetry {
        /// Whose.
        sub: SubId,
        /// The sequence given.
        seq: u64,
        /// The answer: true means start over.
        retry: bool,
    },
    /// Interval subscriber: `mmu_interval_set_seq`.
    SetSeq {
        /// Whose.
        sub: SubId,
        /// The sequence.
        seq: u64,
    },

    /// Device: it exists.
    DeviceCreated {
        /// Which.
        dev: DevId,
        /// Its name.
        name: Name,
    },
    /// Device page-table accessor: a translation was published.
    SpteSet {
        /// Device.
        dev: DevId,
        /// The subscription that keeps it honest.
        sub: SubId,
        /// Whose page.
        mm: MmId,
        /// Page.
        vpn: Vpn,
        /// Frame.
        pfn: Pfn,
        /// Writable.
        writable: bool,
    },
    /// Device page-table accessor: a translation was taken away, here and in the device's TLB.
    SpteClear {
        /// Device.
        dev: DevId,
        /// The subscription.
        sub: SubId,
        /// Whose page.
        mm: MmId,
        /// Page.
        vpn: Vpn,
    },
    /// Device: an access through its translation.
    DeviceAccess {
        /// Device.
        dev: DevId,
        /// The subscription whose translation was used.
        sub: SubId,
        /// Whose page.
        mm: MmId,
        /// Page.
        vpn: Vpn,
        /// Frame hit.
        pfn: Pfn,
        /// A store.
        write: bool,
        /// What it read or stored.
        value: u64,
    },
    /// Notifier: the address space ends, and its list subscribers are off the list, those without a `release` among them.
    ListReleased {
        /// Which.
        mm: MmId,
    },
    /// Notifier: an interval subscription was asked for while brackets are open that its tree must not change under; it becomes
    /// one ([`EventKind::Subscribed`]) when the last of them has ended.
    SubscribeDeferred {
        /// Which.
        sub: SubId,
        /// Of which address space.
        mm: MmId,
    },
    /// Frame table: a page was freed lazily (`MADV_FREE`): what it holds need not be kept, unless it is written from here on.
    LazyFreed {
        /// Its frame.
        pfn: Pfn,
    },
    /// Page-table accessor: an entry of a PUD table changed, which maps a GiB or nothing. Told once, not for each page: page
    /// `base + i` had `old.subpage(i)` and has `new.subpage(i)`.
    PudSet {
        /// Whose.
        mm: MmId,
        /// The first page of the GiB.
        base: Vpn,
        /// Before.
        old: Pte,
        /// After.
        new: Pte,
    },
    /// Interrupts: a section begins in which the task must not sleep.
    AtomicEnter {
        /// What makes it one.
        atomic: Atomic,
        /// Of a handler: the task whose CPU it arrived at; 0 otherwise, and on an idle CPU.
        on: TaskId,
    },
    /// Interrupts: it ends.
    AtomicExit {
        /// What made it one.
        atomic: Atomic,
    },
    /// Reclaim: a shrinker is asked to free some of what it has (`mm_shrink_slab_start`).
    ShrinkSlabStart {
        /// Its name.
        shrinker: Name,
        /// Objects that it says it could free.
        objects: u64,
        /// How many it is to look at, now or in a later call.
        to_scan: u64,
    },
    /// Reclaim: it has done so (`mm_shrink_slab_end`).
    ShrinkSlabEnd {
        /// Its name.
        shrinker: Name,
        /// How often it was called.
        calls: u64,
        /// Objects freed.
        freed: u64,
    },
    /// OOM killer: it was called, for want of memory or because somebody asked (`mark_victim`).
    OutOfMemory {
        /// Whom it killed; `None` when there is nobody who may be.
        victim: Option<MmId>,
        /// What that one's memory counted for.
        points: i64,
    },
    /// Frame table: a page of a file is written to the disk.
    FolioClean {
        /// Its frame.
        pfn: Pfn,
        /// False: write access is about to be taken from all who map it. True: nobody has any, and it counts as clean.
        done: bool,
    },
    /// mm: it looks whether these pages were accessed, and asks subscribers about them next.
    YoungCheck {
        /// Whose.
        mm: MmId,
        /// What the entry maps that it looks at.
        pages: PageRange,
    },
    /// Reclaim: an entry was cleared that another CPU has a translation of, which is flushed later, with those of other pages.
    /// Until the next `TlbFlush` over the page a CPU may use it.
    TlbFlushDeferred {
        /// Whose.
        mm: MmId,
        /// The page.
        vpn: Vpn,
    },
}
