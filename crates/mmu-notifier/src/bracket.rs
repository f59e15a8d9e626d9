//! `invalidate_range_start` .. `invalidate_range_end`.
//!
//! Order of callbacks: interval subscribers first, by first page, then list subscribers, newest first. At the end the
//! count of open brackets drops first, then list subscribers are told in the *same* order.
//!
//! A subscriber may refuse only a non-blocking start. If an interval subscriber refuses, the count drops again and the
//! list is not called. If a list subscriber refuses, the rest of the list is called all the same, then every list
//! subscriber's end, that of the refusing one included; **and the count stays raised for ever**: if the bracket had met an
//! interval subscriber, later readers and removals wait without anybody to wake them. Recorded on 6.12; faithful here.

use crate::behaviour::Behaviour;
use crate::hlist::ListEntry;
use crate::interval::IntervalSub;
use crate::names::NAMES;
use crate::ops::{Hooks, WouldBlock};
use crate::quirks::Quirks;
use crate::subscriptions::{Call, Subscriptions};
use ksync::{Kernel, NonBlock, current, with_current};
use smallvec::SmallVec;
use std::ops::ControlFlow;
use std::sync::Arc;
use trace::{BracketId, EventKind, Hook, NotifyRange};

/// An open bracket. Linear: dropped without [`Bracket::end`] it is reported as leaked, unless the run is being torn down.
#[must_use = "a bracket is closed by `end`"]
#[derive(Debug)]
pub struct Bracket<'a> {
    subs: &'a Subscriptions,
    range: NotifyRange,
    id: BracketId,
    /// Whether it is among `active_invalidate_ranges`. The kernel asks again at the end whether there is a tree; nobody
    /// can have made one in between, since `mm_take_all_locks` excludes brackets.
    counted: bool,
    open: bool,
    /// Its end is told to secondary TLBs, in versions where ends are.
    flushes: bool,
}

impl Subscriptions {
    /// Tells every subscriber that the translations of `range` are about to go, and waits for them.
    ///
    /// `range.blockable` is set, whatever it was. A refusal is ignored, as the kernel ignores it (it warns). May sleep.
    /// Sync point `notifier.range_start`.
    #[track_caller]
    pub fn invalidate_range_start(&self, range: NotifyRange) -> Bracket<'_> {
        current(|k| k.might_sleep_at(NAMES.invalidate_range_start));
        let mut bracket = self.announce(NotifyRange { blockable: true, ..range });
        let map = self.enter_start_map();
        let _refusal_ignored = bracket.start();
        drop(map);
        bracket.started(true);
        bracket
    }

    /// The same without sleeping: `range.blockable` is cleared, whatever it was.
    ///
    /// # Errors
    /// [`WouldBlock`] when a subscriber refused. Some have been told, and list subscribers have been told the end; see the
    /// module's words on what stays behind.
    #[track_caller]
    pub fn invalidate_range_start_nonblock(&self, range: NotifyRange) -> Result<Bracket<'_>, WouldBlock> {
        let mut bracket = self.announce(NotifyRange { blockable: false, ..range });
        let map = self.enter_start_map();
        let started = bracket.start();
        drop(map);
        bracket.started(started.is_ok());
        match started {
            Ok(()) => Ok(bracket),
            Err(refused) => {
                bracket.abandon();
                Err(refused)
            }
        }
    }

    fn announce(&self, range: NotifyRange) -> Bracket<'_> {
        debug_assert_eq!(range.mm, self.mm, "a bracket of one mm is opened on another's subscriptions");
        let id = current(|k| {
            k.sync_reached(NAMES.range_start);
            k.visible_read(self.brackets);
            let id = BracketId(k.new_obj());
            k.emit(EventKind::RangeStart { bracket: id, range });
            id
        });
        Bracket { subs: self, range, id, counted: false, open: true, flushes: true }
    }

    /// Counts a bracket and returns the subscribers it meets, with the sequence they are told. They stay in the tree
    /// until this bracket is closed.
    fn itree_inv_start(&self, range: &NotifyRange) -> (SmallVec<[Arc<IntervalSub>; 4]>, u64) {
        let mut met = SmallVec::new();
        let mut locked = self.lock.lock();
        locked.active += 1;
        self.wq.owe();
        locked.itree.for_each_overlap(range.pages, |sub| met.push(Arc::clone(sub)));
        if !met.is_empty() && !self.is_invalidating() {
            self.seq.store(self.seq.peek() | 1);
        }
        (met, self.seq.peek())
    }

    /// Uncounts a bracket; the last one makes the sequence even, carries out what was deferred and wakes who waits.
    fn itree_inv_end(&self) {
        let mut locked = self.lock.lock();
        locked.active -= 1;
        self.wq.settle();
        if locked.active > 0 || !self.is_invalidating() {
            return;
        }
        self.seq.store(self.seq.peek() + 1);
        if self.framework.quirks.contains(Quirks::FIX_INTERVAL_REMOVE_RACE) {
            // Who waits looks at the sequence without the lock: it may go on before the rest is done.
            drop(locked);
            self.wq.wake_all();
            current(|k| k.sync_point(NAMES.deferred));
            locked = self.lock.lock();
        }
        while let Some(sub) = locked.deferred.pop() {
            if sub.in_tree() {
                sub.take_out(&mut locked.itree);
            } else {
                sub.put_in(&mut locked.itree);
            }
        }
        drop(locked);
        self.wq.wake_all();
    }
}

impl Subscriptions {
    /// Start and end in one, for interval subscribers only, outside of the maps.
    pub(crate) fn itree_only_bracket(&self, range: NotifyRange) {
        let mut bracket = self.announce(range);
        let _blockable_so_never = bracket.itree_invalidate();
        bracket.started(true);
        bracket.open = false;
        current(|k| {
            k.visible_write(self.brackets);
            k.emit(EventKind::RangeEnd { bracket: bracket.id });
        });
        self.itree_inv_end();
    }
}

impl Bracket<'_> {
    /// Which bracket it is.
    #[must_use]
    pub fn id(&self) -> BracketId {
        self.id
    }

    /// What it announced.
    #[must_use]
    pub fn range(&self) -> &NotifyRange {
        &self.range
    }

    /// The same where every entry was flushed in one step with being cleared, so that an end need not tell secondary TLBs in
    /// versions where ends do (`mmu_notifier_invalidate_range_only_end()`, up to 6.5).
    #[track_caller]
    pub fn only_end(mut self) {
        self.flushes = false;
        self.end();
    }

    /// Closes the bracket and tells the list subscribers. May sleep if the start could. Sync point `notifier.range_end`.
    #[track_caller]
    pub fn end(mut self) {
        self.open = false;
        let subs = self.subs;
        let quiet = current(|k| {
            if self.range.blockable {
                k.might_sleep_at(NAMES.invalidate_range_end);
            }
            k.sync_reached(NAMES.range_end);
            k.quiet()
        });
        if quiet {
            return;
        }
        let map = subs.enter_end_map();
        current(|k| {
            if subs.has_subscribers() {
                k.visible_write(subs.brackets);
            }
            // Told before the count drops: what a reader does because of it comes after this event.
            k.emit(EventKind::RangeEnd { bracket: self.id });
            if self.counted {
                subs.itree_inv_end();
            }
            if subs.has_subscribers() && !subs.list.is_empty(k) {
                let _read = subs.read_section();
                let flushes = subs.framework.behaviour.contains(Behaviour::SECONDARY_AT_RANGE_END) && self.flushes;
                if flushes {
                    subs.invalidate_secondary_tlbs_listed(self.range.pages);
                }
                subs.for_each_listed(|k, entry| self.list_end(k, entry, !self.range.blockable));
            }
        });
        drop(map);
        current(|k| k.sync_passed(NAMES.range_end));
    }

    /// Tells the subscribers; on refusal everything that the kernel undoes is undone.
    fn start(&mut self) -> Result<(), WouldBlock> {
        if !self.subs.has_subscribers() {
            return Ok(());
        }
        if self.subs.has_itree() {
            self.itree_invalidate()?;
        }
        if current(|k| self.subs.list.is_empty(k)) { Ok(()) } else { self.list_invalidate() }
    }

    fn itree_invalidate(&mut self) -> Result<(), WouldBlock> {
        let (met, cur_seq) = self.subs.itree_inv_start(&self.range);
        self.counted = true;
        for sub in &met {
            let accepted = current(|k| sub.call_invalidate(k, &self.range, cur_seq, self.id));
            // A refusal of a blocking start is the subscriber's bug; the kernel warns and goes on.
            if !accepted && !self.range.blockable {
                self.subs.itree_inv_end();
                self.counted = false;
                return Err(WouldBlock);
            }
        }
        Ok(())
    }

    fn list_invalidate(&self) -> Result<(), WouldBlock> {
        let mut result = Ok(());
        // One read section around both walks, so that the end reaches exactly those who heard the start.
        let _read = self.subs.read_section();
        self.subs.for_each_listed(|k, entry| {
            if !self.list_start(k, entry) {
                result = Err(WouldBlock);
            }
            ControlFlow::Continue(())
        });
        let unpaired = self.subs.framework.quirks.contains(Quirks::PAIR_RANGE_END_WITH_START);
        if result.is_err() && !unpaired {
            // The kernel does not forbid sleeping around these.
            self.subs.for_each_listed(|k, entry| self.list_end(k, entry, false));
        }
        result
    }

    fn call(&self, entry: &ListEntry, hook: Hook) -> Call {
        let NotifyRange { pages, blockable, .. } = self.range;
        Call { sub: entry.id, hook, pages, bracket: Some(self.id), blockable }
    }

    fn list_start(&self, k: &Kernel, entry: &ListEntry) -> bool {
        if !entry.hooks.contains(Hooks::RANGE_START) {
            return true;
        }
        self.call(entry, Hook::RangeStart).run(k, || {
            let _section = (!self.range.blockable).then(NonBlock::start);
            entry.ops.invalidate_range_start(&self.range).is_ok()
        })
    }

    fn list_end(&self, k: &Kernel, entry: &ListEntry, non_block: bool) -> ControlFlow<()> {
        if entry.hooks.contains(Hooks::RANGE_END) {
            self.call(entry, Hook::RangeEnd).run(k, || {
                let _section = non_block.then(NonBlock::start);
                entry.ops.invalidate_range_end(&self.range);
                true
            });
        }
        ControlFlow::Continue(())
    }

    fn started(&self, ok: bool) {
        current(|k| {
            if self.subs.has_subscribers() {
                k.visible_write(self.subs.brackets);
            }
            k.emit(EventKind::RangeStarted { bracket: self.id, ok });
            k.sync_passed(NAMES.range_start);
        });
    }

    /// A refused start owes no end. If it is still counted, nobody will ever uncount it, so nobody owes that.
    fn abandon(mut self) {
        self.open = false;
        if !self.counted {
            return;
        }
        if self.subs.framework.behaviour.contains(Behaviour::UNDOES_REFUSED_START) {
            self.subs.itree_inv_end();
        } else {
            self.subs.wq.settle();
        }
    }
}

impl Drop for Bracket<'_> {
    fn drop(&mut self) {
        if self.open {
            with_current(|k| {
                if let Some(k) = k {
                    k.emit(EventKind::BracketLeaked { bracket: self.id });
                }
            });
        }
    }
}
