//! Looking pages up: the mm with and without a user's hold, and what was found.

use crate::device::{Device, block_of};
use crate::typed;
use crate::via::Via;
use mm::device::{self, HmmError, HmmPage};
use mm_types::{Errno, PageRange, Pfn};
use mmu_notifier::IntervalSub;
use std::fmt;
use std::sync::Arc;

/// The address space a driver is bound to, kept as a struct.
pub type MmRef<'a> = typed::MmRef<'a, &'a Arc<IntervalSub>>;
/// The address space, held as a user does.
pub type MmWithUser<'a> = typed::MmWithUser<'a, &'a Arc<IntervalSub>>;

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

    /// As much at once as the process has, if the driver hears of all of it.
    pub(super) fn publish_to(self, device: &Device) {
        let mut at_once = None;
        for HmmPage { vpn, pfn, writable, huge } in self.pages {
            let block = block_of(vpn);
            if at_once == Some(block) {
                continue;
            }
            if huge && device.has_huge_entries() && self.sub.pages().covers(block) {
                device.set_huge(self.via, block.start(), Pfn(pfn.0 - (vpn - block.start())), writable);
                at_once = Some(block);
            } else {
                device.set(self.via, vpn, pfn, writable);
            }
        }
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("seq", &self.seq).field("pages", &self.pages).finish_non_exhaustive()
    }
}
