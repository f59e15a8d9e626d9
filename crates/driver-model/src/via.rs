//! Which subscription keeps a translation honest.

use mm_types::{MmId, ObjId};
use mmu_notifier::{IntervalSub, ListSub, Subscriptions};
use trace::SubId;

/// The subscription a translation is published under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via {
    /// It.
    pub sub: SubId,
    /// The address space it listens to.
    pub mm: MmId,
    /// What that address space's brackets write; a publication and an access read it, for their order against a bracket
    /// matters.
    pub brackets: ObjId,
}

impl Via {
    /// An interval subscription to the mm that `subs` belongs to.
    #[must_use]
    pub fn interval(subs: &Subscriptions, sub: &IntervalSub) -> Via {
        Via { sub: sub.id(), mm: subs.mm_id(), brackets: subs.bracket_obj() }
    }

    /// A list subscription to the mm that `subs` belongs to.
    #[must_use]
    pub fn list(subs: &Subscriptions, sub: &ListSub) -> Via {
        Via { sub: sub.id(), mm: subs.mm_id(), brackets: subs.bracket_obj() }
    }
}
