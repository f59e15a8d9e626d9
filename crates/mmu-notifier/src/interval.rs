//! Interval subscribers: a collision-retry scheme between who looks translations up and who takes them away.

use crate::annotations::Touch;
use crate::itree::IntervalTree;
use crate::names::NAMES;
use crate::ops::{IntervalNotifier, MmHost};
use crate::quirks::Quirks;
use crate::register;
use crate::subscriptions::{Call, Locked, Subscriptions};
use ksync::{Kernel, NonBlock, TrackedU64, current};
use mm_types::{Errno, MmId, PageRange};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use trace::{BracketId, EventKind, Hook, NotifyRange, SubId, SubKind};

/// `struct mmu_interval_notifier`: one subscription to some pages of one address space.
pub struct IntervalSub {
    id: SubId,
    mm: MmId,
    pages: PageRange,
    ops: Arc<dyn IntervalNotifier>,
    /// The mm's sequence as this subscription was last told. Odd, so that it never equals that of an idle mm.
    seq: TrackedU64,
    /// Its key in the tree, or [`NOWHERE`]; changes under `subscriptions->lock`.
    node: AtomicUsize,
}

const NOWHERE: usize = usize::MAX;

impl IntervalSub {
    /// Which subscription it is, in events.
    #[must_use]
    pub fn id(&self) -> SubId {
        self.id
    }

    /// Of which address space.
    #[must_use]
    pub fn mm_id(&self) -> MmId {
        self.mm
    }

    /// The pages subscribed to, half-open.
    #[must_use]
    pub fn pages(&self) -> PageRange {
        self.pages
    }

    /// `mmu_interval_read_retry()`: whether an invalidation met this subscription since `seq` was returned by
    /// [`Subscriptions::read_begin`]. The caller holds the lock that its `invalidate` takes, and publishes what it looked up
    /// before it lets the lock go, only if the answer is false. Sync point `notifier.read_retry`.
    pub fn read_retry(&self, seq: u64) -> bool {
        current(|k| {
            k.sync_reached(NAMES.read_retry);
            let retry = self.seq.load() != seq;
            k.emit(EventKind::ReadRetry { sub: self.id, seq, retry });
            k.sync_passed(NAMES.read_retry);
            retry
        })
    }

    /// `mmu_interval_set_seq()`: notes that an invalidation came. Called by `invalidate` with the `cur_seq` it was given,
    /// under the lock that [`IntervalSub::read_retry`] is called under.
    pub fn set_seq(&self, seq: u64) {
        self.seq.store(seq);
        current(|k| k.emit(EventKind::SetSeq { sub: self.id, seq }));
    }

    /// `mmu_interval_check_retry()`: the same question without the lock, to give up early. False proves nothing.
    pub fn check_retry(&self, seq: u64) -> bool {
        self.seq.load() != seq
    }

    pub(crate) fn in_tree(&self) -> bool {
        self.node.load(Ordering::Relaxed) != NOWHERE
    }

    /// From here on invalidations meet it, so here it is told of.
    pub(crate) fn put_in(self: Arc<Self>, tree: &mut IntervalTree<Arc<IntervalSub>>) {
        current(|k| {
            k.emit(EventKind::Subscribed {
                sub: self.id,
                mm: self.mm,
                kind: SubKind::Interval,
                pages: self.pages,
                model: self.ops.model(),
                owner: self.ops.owner(),
                name: self.ops.name(),
            });
        });
        let key = tree.insert(self.pages, Arc::clone(&self));
        self.node.store(key, Ordering::Relaxed);
    }

    pub(crate) fn take_out(&self, tree: &mut IntervalTree<Arc<IntervalSub>>) {
        let key = self.node.swap(NOWHERE, Ordering::Relaxed);
        assert!(key != NOWHERE, "interval subscription of {} {} is removed twice", self.mm, self.pages);
        drop(tree.remove(key));
    }

    /// The callback; whether it accepted. The kernel forbids sleeping only around callbacks of list subscribers
    /// (`non_block_start()`); a non-blocking `invalidate` must not sleep either, so it is checked here too.
    pub(crate) fn call_invalidate(&self, k: &Kernel, range: &NotifyRange, cur_seq: u64, bracket: BracketId) -> bool {
        let NotifyRange { pages, blockable, .. } = *range;
        let call = Call { sub: self.id, hook: Hook::Invalidate, pages, bracket: Some(bracket), blockable };
        call.run(k, || {
            let _section = (!blockable).then(NonBlock::start);
            self.ops.invalidate(self, range, cur_seq)
        })
    }
}

impl Subscriptions {
    /// `mmu_interval_notifier_insert()`: subscribes `ops` to `pages`. The first one of an mm takes the mmap lock and all
    /// rmap locks. The caller keeps a user of the mm and holds no lock that a callback takes. May sleep.
    ///
    /// While brackets are open nobody knows whether they cover `pages`, so they are taken to: [`Subscriptions::read_begin`]
    /// waits for them. If the tree must not change now, the subscription gets into it when the last bracket closes.
    ///
    /// # Errors
    /// `ENOMEM`, `EINTR` from the first registration; nothing is subscribed then.
    pub fn interval_insert(
        host: &dyn MmHost,
        pages: PageRange,
        ops: Arc<dyn IntervalNotifier>,
    ) -> Result<Arc<IntervalSub>, Errno> {
        let subs = host.subscriptions();
        current(|k| k.sync_reached(NAMES.register));
        if !subs.has_itree() {
            register::install_itree(host)?;
        }
        host.mmgrab();
        let sub = current(|k| IntervalSub::new(k, subs, pages, ops));
        subs.insert_locked(&sub, &mut subs.lock.lock());
        current(|k| k.sync_passed(NAMES.register));
        Ok(sub)
    }

    fn insert_locked(&self, sub: &Arc<IntervalSub>, locked: &mut Locked) {
        if locked.active == 0 {
            debug_assert!(!self.is_invalidating(), "no bracket is open, yet the sequence is odd");
            sub.seq.poke(self.seq.peek() - 1);
            Arc::clone(sub).put_in(&mut locked.itree);
            return;
        }
        if self.is_invalidating() {
            current(|k| k.emit(EventKind::SubscribeDeferred { sub: sub.id, mm: self.mm }));
            locked.deferred.push(Arc::clone(sub));
        } else {
            self.seq.store(self.seq.peek() | 1);
            Arc::clone(sub).put_in(&mut locked.itree);
        }
        sub.seq.poke(self.seq.peek());
    }

    /// `mmu_interval_notifier_remove()`: once it returns, no callback of `sub` runs or will run. Must not be called from a
    /// callback, nor with a lock held that a callback takes. May sleep: if the tree must not change now, until the last
    /// open bracket closes.
    ///
    /// # Panics
    /// If `sub` was removed before.
    #[track_caller]
    pub fn interval_remove(host: &dyn MmHost, sub: &Arc<IntervalSub>) {
        let subs = host.subscriptions();
        current(|k| {
            k.might_sleep_at(NAMES.interval_remove);
            k.sync_reached(NAMES.unregister);
            k.emit(EventKind::UnsubscribeStart { sub: sub.id });
        });
        let wait_for = subs.remove_locked(sub);
        subs.touch_map(Touch::REMOVE);
        if let Some(seq) = wait_for {
            subs.wq.wait_event(|| subs.seq.peek() != seq);
        }
        current(|k| {
            k.emit(EventKind::Unsubscribed { sub: sub.id });
            k.sync_passed(NAMES.unregister);
        });
        host.mmdrop();
    }

    /// Takes `sub` out, or defers that; then the sequence to wait for the end of.
    fn remove_locked(&self, sub: &Arc<IntervalSub>) -> Option<u64> {
        let mut locked = self.lock.lock();
        if self.framework.quirks.contains(Quirks::CALLBACK_AFTER_UNREGISTER) {
            return None;
        }
        if !self.is_invalidating() {
            sub.take_out(&mut locked.itree);
            return None;
        }
        if sub.in_tree() {
            locked.deferred.push(Arc::clone(sub));
            return Some(self.seq.peek());
        }
        // Its insertion is still deferred: it never got in.
        locked.deferred.retain(|d| !Arc::ptr_eq(d, sub));
        None
    }

    /// `mmu_interval_read_begin()`: waits until no bracket that `sub` was told of is open, and returns the sequence to give
    /// to [`IntervalSub::read_retry`]. Holds nothing when it returns; the caller then looks translations up, and publishes
    /// them under its own lock if `read_retry` says false. The caller holds no lock that a callback takes. May sleep. Sync
    /// point `notifier.read_begin`.
    ///
    /// Why publication is safe although nothing is held while looking up:
    ///
    /// ```text
    /// who takes away                        who looks up
    /// start: bracket counted, seq 2 -> 3    seq = read_begin()           (1: the subscription's own, not 3)
    ///                                       walks the page table
    /// invalidate(cur_seq 3):
    ///   lock; set_seq(3); zap; unlock
    ///                                       lock
    ///                                         read_retry(1) must be true: the subscription's own is 3 by now
    ///                                       unlock, and again:
    /// clears page-table entries             read_begin() must wait: own 3 == the mm's 3
    /// end: the last bracket, seq 3 -> 4     returns 3; read_retry(3) false if nothing came since
    /// ```
    ///
    /// Had the reader locked first, it would have published, and `invalidate` taken it away before its start returned.
    #[track_caller]
    pub fn read_begin(&self, sub: &IntervalSub) -> u64 {
        current(|k| k.sync_reached(NAMES.read_begin));
        let (seq, is_invalidating) = {
            let _locked = self.lock.lock();
            let seq = sub.seq.load();
            (seq, seq == self.seq.peek())
        };
        self.touch_map(Touch::READ_BEGIN);
        if is_invalidating {
            self.wq.wait_event(|| self.seq.peek() != seq);
        }
        current(|k| {
            k.emit(EventKind::ReadBegin { sub: sub.id, seq });
            k.sync_passed(NAMES.read_begin);
        });
        seq
    }
}

impl IntervalSub {
    fn new(k: &Kernel, subs: &Subscriptions, pages: PageRange, ops: Arc<dyn IntervalNotifier>) -> Arc<IntervalSub> {
        Arc::new(IntervalSub {
            id: SubId(k.new_obj()),
            mm: subs.mm,
            pages,
            ops,
            seq: TrackedU64::new(k.new_obj(), 0),
            node: AtomicUsize::new(NOWHERE),
        })
    }
}

impl fmt::Debug for IntervalSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntervalSub")
            .field("id", &self.id)
            .field("mm", &self.mm)
            .field("pages", &self.pages)
            .field("seq", &self.seq.peek())
            .finish_non_exhaustive()
    }
}
