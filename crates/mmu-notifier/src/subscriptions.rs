//! The subscriptions of one address space.

use crate::annotations::{Prime, Touch, Wrap};
use crate::framework::{Framework, Maps};
use crate::hlist::{Hlist, ListEntry};
use crate::interval::IntervalSub;
use crate::itree::IntervalTree;
use crate::names::NAMES;
use crate::quirks::Quirks;
use ksync::{
    Kernel, LockMap, MapGuard, RcuFlavour, RcuReadGuard, SpinLock, SrcuReadGuard, TrackedU64, WaitQueue, current,
    rcu_read_lock,
};
use mm_types::{Gfp, MmId, ObjId, PageRange};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trace::{BracketId, EventKind, Hook, SubId};

/// The sequence of an address space in which nothing was invalidated yet. Source: `__mmu_notifier_register()`.
const FIRST_SEQ: u64 = 2;

/// `mm->notifier_subscriptions`: who listens to one address space, and which brackets are open.
///
/// The kernel allocates it at the first registration; here it is there from the start, and [`Subscriptions::has_subscribers`]
/// says whether the kernel would have it.
pub struct Subscriptions {
    pub(crate) mm: MmId,
    pub(crate) framework: Arc<Framework>,
    pub(crate) maps: Maps,
    /// What a bracket changes as far as oracles see it: written when a start has run and when an end begins.
    pub(crate) brackets: ObjId,
    pub(crate) list: Hlist,
    /// `invalidate_seq`: written under `lock`, read without it by waiters, so its object is the queue's.
    pub(crate) seq: TrackedU64,
    pub(crate) wq: WaitQueue,
    pub(crate) lock: SpinLock<Locked>,
    /// `mm_has_notifiers()`: set under `mm_take_all_locks`, which no bracket overlaps; never cleared.
    pub(crate) installed: AtomicBool,
    /// Set as `installed`, by the first interval subscriber.
    pub(crate) has_itree: AtomicBool,
}

/// What `subscriptions->lock` protects besides the list's links and the sequence.
#[derive(Default)]
pub(crate) struct Locked {
    /// `active_invalidate_ranges`: brackets open, as far as they were counted.
    pub(crate) active: u64,
    pub(crate) itree: IntervalTree<Arc<IntervalSub>>,
    /// Inserts and removals that wait until the sequence is even; newest last.
    pub(crate) deferred: Vec<Arc<IntervalSub>>,
}

impl Subscriptions {
    /// Those of a new address space.
    #[must_use]
    pub fn new(k: &Kernel, framework: Arc<Framework>, mm: MmId) -> Subscriptions {
        let wq = WaitQueue::new(k, NAMES.seq_even);
        Subscriptions {
            mm,
            maps: framework.maps_of(k, mm),
            framework,
            brackets: k.new_obj(),
            list: Hlist::new(k.new_obj()),
            seq: TrackedU64::new(wq.obj(), FIRST_SEQ),
            wq,
            lock: k.spinlock("&subscriptions->lock", Locked::default()),
            installed: AtomicBool::new(false),
            has_itree: AtomicBool::new(false),
        }
    }

    /// Which address space it is.
    #[must_use]
    pub fn mm_id(&self) -> MmId {
        self.mm
    }

    /// `mm_has_notifiers()`: whether anybody ever subscribed. Stays true after the last one left.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        self.installed.load(Ordering::Acquire)
    }

    /// The object that brackets of this mm write: a device's publication and its accesses read it, so that exploration
    /// knows that their order against a bracket matters.
    #[must_use]
    pub fn bracket_obj(&self) -> ObjId {
        self.brackets
    }

    /// `invalidate_seq` as it is now, without a scheduling point: for reports and tests.
    #[must_use]
    pub fn peek_seq(&self) -> u64 {
        self.seq.peek()
    }

    /// Forgets every subscriber without telling any: for a world that is thrown away. Subscribers own no mm, but what
    /// they own may lead back to one.
    pub fn sever(&self) {
        self.list.clear();
        if let Some(mut locked) = self.lock.try_lock() {
            locked.itree.clear();
            locked.deferred.clear();
        }
    }

    pub(crate) fn has_itree(&self) -> bool {
        self.has_itree.load(Ordering::Acquire)
    }

    pub(crate) fn is_invalidating(&self) -> bool {
        self.seq.peek() & 1 == 1
    }

    fn wraps(&self, when: Wrap) -> bool {
        when == Wrap::Always || self.has_subscribers()
    }

    #[track_caller]
    pub(crate) fn enter_start_map(&self) -> Option<MapGuard> {
        match self.maps.start {
            Some(map) if self.wraps(self.framework.annotations().wrap_start) => Some(map.acquire()),
            _ => None,
        }
    }

    #[track_caller]
    pub(crate) fn enter_end_map(&self) -> Option<MapGuard> {
        match self.maps.end {
            Some(map) if self.wraps(self.framework.annotations().wrap_end) => Some(map.acquire()),
            _ => None,
        }
    }

    /// Teaches the validator that the caller, who is about to wait for brackets to close, must hold no lock that a
    /// callback takes.
    #[track_caller]
    pub(crate) fn touch_map(&self, who: Touch) {
        if self.framework.annotations().touch.contains(who)
            && let Some(map) = self.maps.start
        {
            map.touch();
        }
    }

    /// Teaches the validator that callbacks happen inside reclaim, or inside all rmap locks, if `at` is where that is
    /// taught.
    #[track_caller]
    pub(crate) fn prime_map(&self, at: Prime) {
        if !self.framework.annotations().prime.contains(at) {
            return;
        }
        let Some(map) = self.maps.start else { return };
        let _reclaim = (at == Prime::REGISTRATION).then(|| ksync::FsReclaim::acquire(Gfp::KERNEL));
        map.touch();
    }

    /// Runs `f` inside the start's map, if there is one, without a bracket: what a subsystem does at boot to teach the
    /// validator what callbacks may wait for (`dma_resv_lockdep()`, drivers/dma-buf/dma-resv.c, 6.12).
    #[track_caller]
    pub fn prime_callback(&self, f: impl FnOnce()) {
        let map = self.maps.start.map(LockMap::acquire);
        f();
        drop(map);
    }

    /// What keeps the list's nodes while it is walked.
    #[track_caller]
    pub(crate) fn read_section(&self) -> ReadSection<'_> {
        if self.framework.quirks.contains(Quirks::USE_GLOBAL_SRCU) {
            return ReadSection::Rcu(rcu_read_lock(RcuFlavour::Plain));
        }
        ReadSection::Srcu(self.framework.srcu.read_lock())
    }

    /// Calls `f` for each list subscriber, newest first. The caller is in an SRCU read section.
    pub(crate) fn for_each_listed(&self, mut f: impl FnMut(&Kernel, &ListEntry) -> ControlFlow<()>) {
        current(|k| {
            let mut at = self.list.first(k);
            while let Some((key, entry)) = at {
                if f(k, &entry).is_break() {
                    return;
                }
                at = self.list.next(k, key);
            }
        });
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions")
            .field("mm", &self.mm)
            .field("invalidate_seq", &self.seq.peek())
            .field("has_subscribers", &self.has_subscribers())
            .finish_non_exhaustive()
    }
}

/// A read section around a walk of the list.
#[expect(dead_code, reason = "the sections are held, not read")]
pub(crate) enum ReadSection<'a> {
    Srcu(SrcuReadGuard<'a>),
    /// As it was once: whoever sleeps inside is reported.
    Rcu(RcuReadGuard),
}

/// A callback as its events tell it.
pub(crate) struct Call {
    pub(crate) sub: SubId,
    pub(crate) hook: Hook,
    pub(crate) pages: PageRange,
    pub(crate) bracket: Option<BracketId>,
    pub(crate) blockable: bool,
}

impl Call {
    /// Calls `f` as this callback; `f` says whether it accepted. Sync point `notifier.callback`.
    pub(crate) fn run(self, k: &Kernel, f: impl FnOnce() -> bool) -> bool {
        let Call { sub, hook, pages, bracket, blockable } = self;
        k.sync_reached(NAMES.callback);
        k.emit(EventKind::CallbackEnter { sub, hook, pages, bracket, blockable });
        let ok = f();
        k.emit(EventKind::CallbackExit { sub, hook, ok });
        k.sync_passed(NAMES.callback);
        ok
    }
}
