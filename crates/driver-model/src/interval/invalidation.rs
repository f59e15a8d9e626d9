//! One call of `invalidate`, and the proofs it can end in.

use mm_types::{PageRange, Vpn};
use mmu_notifier::IntervalSub;
use std::marker::PhantomData;
use trace::{NotifyEvent, NotifyRange};

/// Some pages are about to lose their translations: the arguments of `invalidate`.
#[derive(Clone, Copy, Debug)]
pub struct Invalidation<'a> {
    pub(super) sub: &'a IntervalSub,
    pub(super) range: &'a NotifyRange,
    pub(super) cur_seq: u64,
}

impl Invalidation<'_> {
    /// The pages that go, as far as the driver subscribed to them.
    #[must_use]
    pub fn pages(&self) -> PageRange {
        // They overlap, or the callback would not have come; one that comes all the same is judged, not trusted.
        self.range.pages.intersect(self.sub.pages()).unwrap_or(self.sub.pages())
    }

    /// All pages announced, also those the driver did not subscribe to.
    #[must_use]
    pub fn announced(&self) -> PageRange {
        self.range.pages
    }

    /// The first page that goes.
    #[must_use]
    pub fn start(&self) -> Vpn {
        self.pages().start()
    }

    /// Why.
    #[must_use]
    pub fn event(&self) -> NotifyEvent {
        self.range.event
    }

    /// Whether it may sleep.
    #[must_use]
    pub fn blockable(&self) -> bool {
        self.range.blockable
    }
}

/// Proof that the sequence was told in this invalidation, under the notifier lock. Made by
/// [`Table::set_seq`](super::Table::set_seq).
#[derive(Debug)]
#[must_use = "`invalidate` returns it"]
pub struct Invalidated<'a> {
    of: PhantomData<Invalidation<'a>>,
}

/// Proof that this invalidation must not sleep and would have had to: `invalidate` returned false. Made by
/// [`NotifierLock::lock_for`](super::NotifierLock::lock_for).
#[derive(Debug)]
#[must_use = "`invalidate` returns it"]
pub struct Refused<'a> {
    of: PhantomData<Invalidation<'a>>,
}

impl Invalidated<'_> {
    pub(super) const fn proven() -> Self {
        Invalidated { of: PhantomData }
    }
}

impl Refused<'_> {
    pub(super) const fn proven() -> Self {
        Refused { of: PhantomData }
    }
}
