//! Subscriptions, and from when on an invalidation must reach them.
//!
//! `Subscribed` is emitted when a subscription is *about to be* visible, so a bracket announced right after it may miss
//! it without fault. An interval subscription inserted while another invalidation runs is even put off until the last
//! bracket closes (6.12, `mmu_interval_notifier_insert`). It is held to be visible from the first of:
//! a callback of it; a return of its `read_begin`, which waits for the insertion; the subscribing task going on, if no
//! bracket of the mm was open at any time since.

use super::{Book, Mm, Stamp};
use mm_types::{MmId, Name, ObjId, PageRange, TaskId};
use trace::{AccessModel, Event, EventKind, LockKind, SubId, SubKind};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SubState {
    Live,
    /// Its removal was called; callbacks are legal and no longer owed.
    Leaving,
    /// Its removal returned.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Sub {
    pub(crate) mm: MmId,
    pub(crate) kind: SubKind,
    pub(crate) pages: PageRange,
    pub(crate) model: AccessModel,
    pub(crate) owner: Option<ObjId>,
    pub(crate) name: Name,
    pub(crate) state: SubState,
    /// `release` was called, or the mm exits: a list subscriber is off the list from then on. One without a `release`
    /// callback leaves it all the same (6.12, `mn_hlist_release`).
    pub(crate) released: bool,
    /// Its end callback was seen once, so it has one.
    pub(crate) ends: bool,
    /// The ordinal from which on it is visible.
    pub(crate) visible_at: Option<u64>,
    /// A bracket was announced before its insertion was certain.
    pub(super) overtaken: bool,
    pub(crate) subscribed: Stamp,
}

impl Sub {
    /// Whether invalidations announced now must reach it.
    pub(crate) fn listens(&self) -> bool {
        let off_the_list = self.kind == SubKind::List && self.released;
        self.state == SubState::Live && self.visible_at.is_some() && !off_the_list
    }

    /// Whether it has a start callback that is owed.
    ///
    /// A list subscriber has the start pair or the secondary-TLB hook, never both (6.12 refuses that registration).
    pub(crate) fn takes_starts(&self) -> bool {
        self.kind == SubKind::Interval || self.revokes_at_start()
    }

    /// Whether its translations are revoked by a start.
    pub(crate) fn revokes_at_start(&self) -> bool {
        matches!(self.model, AccessModel::Mirror | AccessModel::PinUntilInvalidate)
    }

    /// Whether it may ignore an event of this owner: its own doing.
    pub(crate) fn ignores(&self, owner: Option<ObjId>) -> bool {
        self.owner.is_some() && self.owner == owner
    }
}

impl Book {
    pub(super) fn subscribed(&mut self, e: &Event) {
        let EventKind::Subscribed { sub, mm, kind, pages, model, owner, name } = e.kind else { return };
        let row = Sub {
            mm,
            kind,
            pages,
            model,
            owner,
            name,
            state: SubState::Live,
            released: false,
            ends: false,
            visible_at: None,
            overtaken: false,
            subscribed: self.stamp(e),
        };
        if self.subs.find(sub).is_some() {
            return;
        }
        let s = self.subs.entry(sub, || row).0;
        let mm = self.mms.entry(mm, Mm::default).1;
        mm.subs.push(s);
        if e.task == TaskId(0) && mm.open.is_empty() {
            // The world's setup: nothing runs beside it, and no event of it may follow.
            self.subs.row_mut(s).visible_at = Some(self.now);
        } else {
            self.settling_subs.push(s);
        }
    }

    /// Decides which subscriptions became visible, as their task goes on with `e`.
    pub(super) fn settle_subs(&mut self, e: &Event) {
        if !goes_on(&e.kind) {
            return;
        }
        let mut waiting = std::mem::take(&mut self.settling_subs);
        waiting.retain(|s| {
            let sub = self.subs.row(*s);
            if sub.subscribed.task != e.task {
                return true;
            }
            let put_off = self.mms.get(sub.mm).is_some_and(|m| m.refused || !m.open.is_empty()) || sub.overtaken;
            if sub.visible_at.is_none() && !(put_off && sub.kind == SubKind::Interval) {
                self.subs.row_mut(*s).visible_at = Some(self.now);
            }
            false
        });
        self.settling_subs = waiting;
    }

    pub(super) fn seen_in_tree(&mut self, sub: SubId) {
        if let Some(sub) = self.subs.get_mut(sub)
            && sub.visible_at.is_none()
        {
            sub.visible_at = Some(self.now);
        }
    }

    pub(super) fn leave(&mut self, sub: SubId, state: SubState) {
        let Some(s) = self.subs.find(sub) else { return };
        let row = self.subs.row_mut(s);
        row.state = state;
        let mm = row.mm;
        if state == SubState::Gone
            && let Some(mm) = self.mms.get_mut(mm)
        {
            mm.subs.retain(|x| *x != s);
        }
    }
}

impl Book {
    pub(super) fn exit(&mut self, mm: MmId) {
        for &s in self.mms.get(mm).map_or(&[][..], |m| &m.subs) {
            let sub = self.subs.row_mut(s);
            sub.released |= sub.kind == SubKind::List;
        }
    }
}

/// Whether a task that emits this has left the insertion behind: not while it takes locks or waits for it.
fn goes_on(kind: &EventKind) -> bool {
    match kind {
        EventKind::LockReleased { lock, .. } => !matches!(lock.kind, LockKind::Map | LockKind::Srcu | LockKind::Rcu),
        EventKind::LockAcquired { .. }
        | EventKind::LockContended { .. }
        | EventKind::Wait { .. }
        | EventKind::WaitDone { .. }
        | EventKind::MightSleep { .. }
        | EventKind::AtomicEnter { .. }
        | EventKind::AtomicExit { .. }
        | EventKind::SyncPoint { .. }
        | EventKind::Alloc { .. } => false,
        _ => true,
    }
}
