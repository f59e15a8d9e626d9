//! Looking pages up: the mm with and without a user's hold, and what was found.

use crate::via::Via;
use mm::device::{self, HmmError, HmmPage};
use mm::{Mm, MmUsers};
use mm_types::{Errno, MmId, PageRange};
use mmu_notifier::IntervalSub;
use std::fmt;
use std::sync::Arc;

/// The address space a driver is bound to, kept as a struct (`mm_count`): its users may be gone. The kernel's `Mm`.
#[derive(Clone, Copy)]
pub struct MmRef<'a> {
    pub(super) mm: &'a Arc<Mm>,
    pub(super) pages: PageRange,
    /// Absent when the driver is not subscribed.
    pub(super) sub: Option<&'a Arc<IntervalSub>>,
}

impl<'a> MmRef<'a> {
    /// Which one.
    #[must_use]
    pub fn id(&self) -> MmId {
        self.mm.id()
    }

    /// The pages the driver is for.
    #[must_use]
    pub fn pages(&self) -> PageRange {
        self.pages
    }

    /// `mmget_not_zero()`: a user's hold, unless the last user has left. Dropping it is `mmput()`.
    #[must_use]
    pub fn mmget_not_zero(&self) -> Option<MmWithUser<'a>> {
        Some(MmWithUser { mm: *self, _users: device::mmget_not_zero(self.mm)? })
    }
}

impl fmt::Debug for MmRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmRef").field("mm", &self.mm.id()).field("pages", &self.pages).finish_non_exhaustive()
    }
}

/// The address space, held as a user does (`mm_users`): its pages can be looked up. The kernel's `MmWithUser`.
pub struct MmWithUser<'a> {
    mm: MmRef<'a>,
    _users: MmUsers,
}

impl MmWithUser<'_> {
    /// `mmu_interval_read_begin()`: waits until no invalidation of the subscription is under way. The caller holds no lock
    /// that `invalidate` takes. May sleep.
    ///
    /// # Errors
    /// `ENODEV` when the driver is not subscribed.
    #[track_caller]
    pub fn read_begin(&self) -> Result<ReadSeq<'_>, Errno> {
        let sub = self.mm.sub.ok_or(Errno::ENODEV)?;
        Ok(ReadSeq { mm: &self.mm, sub, seq: self.mm.mm.subscriptions().read_begin(sub) })
    }
}

impl fmt::Debug for MmWithUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmWithUser").field("mm", &self.mm).finish_non_exhaustive()
    }
}

/// A look-up that has begun: what it finds is good until an invalidation comes.
#[must_use = "nothing was looked up"]
pub struct ReadSeq<'u> {
    mm: &'u MmRef<'u>,
    sub: &'u Arc<IntervalSub>,
    seq: u64,
}

impl<'u> ReadSeq<'u> {
    /// `hmm_range_fault()`: faults `pages` in and says what is there. Takes `mmap_lock` for reading; may sleep and reclaim.
    ///
    /// # Errors
    /// [`HmmError::Busy`] when an invalidation came: begin again. `EFAULT` for pages that are not mapped, not with this
    /// access, or not subscribed to: nobody would tell when they go.
    pub fn hmm_range_fault(self, pages: PageRange, write: bool) -> Result<Found<'u>, HmmError> {
        if !self.sub.pages().covers(pages) {
            return Err(HmmError::Errno(Errno::EFAULT));
        }
        let found = device::hmm_range_fault(self.mm.mm, self.sub, self.seq, pages, write)?;
        let via = Via::interval(self.mm.mm.subscriptions(), self.sub);
        Ok(Found { sub: self.sub, seq: self.seq, via, pages: found })
    }
}

impl fmt::Debug for ReadSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSeq").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// Pages as they were when they were looked up: worth nothing until [`Table::read_retry`](super::Table::read_retry) passes.
#[must_use = "what was looked up is not published yet"]
pub struct Found<'u> {
    pub(super) sub: &'u Arc<IntervalSub>,
    pub(super) seq: u64,
    pub(super) via: Via,
    pub(super) pages: Vec<HmmPage>,
}

impl Found<'_> {
    /// How many pages.
    #[must_use]
    pub fn nr_pages(&self) -> usize {
        self.pages.len()
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("seq", &self.seq).field("pages", &self.pages).finish_non_exhaustive()
    }
}

/// An invalidation came between: begin again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Collided;

impl fmt::Display for Collided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an invalidation came between the look-up and its publication")
    }
}

impl std::error::Error for Collided {}
