//! Looking pages up: the mm with and without a user's hold, and what was found.

use super::table::MmuLock;
use crate::device::{Device, block_of};
use crate::typed;
use crate::via::Via;
use mm::{Mm, device};
use mm_types::{Errno, PageRange, Pfn, Vpn};
use std::fmt;
use std::sync::Arc;

/// The address space a driver is bound to, kept as a struct.
pub type MmRef<'a> = typed::MmRef<'a, Via>;
/// The address space, held as a user does.
pub type MmWithUser<'a> = typed::MmWithUser<'a, Via>;

impl MmWithUser<'_> {
    /// Waits until no bracket is open, and samples the sequence of `lock`. The caller holds no lock that a caller of the notifiers
    /// may take. May sleep.
    ///
    /// # Errors
    /// `ENODEV` when the driver is not subscribed, or not any more.
    #[track_caller]
    pub fn read_begin<'u, T>(&'u self, lock: &'u MmuLock<T>) -> Result<ReadSeq<'u, T>, Errno> {
        let via = self.mm.sub.ok_or(Errno::ENODEV)?;
        let seq = lock.read_begin().ok_or(Errno::ENODEV)?;
        Ok(ReadSeq { mm: &self.mm, lock, via, seq })
    }
}

/// A look-up that has begun: what it finds is good until a bracket opens.
#[must_use = "nothing was looked up"]
pub struct ReadSeq<'u, T = ()> {
    mm: &'u MmRef<'u>,
    lock: &'u MmuLock<T>,
    via: Via,
    seq: u64,
}

impl<'u, T> ReadSeq<'u, T> {
    /// `get_user_pages()`: faults `pages` in and holds a reference to each until what was found is dropped. Takes `mmap_lock`
    /// for reading; may sleep and reclaim.
    ///
    /// # Errors
    /// `EFAULT` for pages that are not mapped, not with this access, or not the driver's; `ENOMEM`. Nothing is held.
    pub fn get_user_pages(self, pages: PageRange, write: bool) -> Result<Found<'u, T>, Errno> {
        let ReadSeq { mm, lock, via, seq } = self;
        if !mm.pages.covers(pages) {
            return Err(Errno::EFAULT);
        }
        let held = device::get_user_pages(mm.mm, pages, write)?;
        let whole = held.len() as u64 == pages.nr_pages();
        let found = Found { mm: mm.mm, lock, via, seq, own: mm.pages, start: pages.start(), held, write };
        if whole { Ok(found) } else { Err(Errno::EFAULT) }
    }
}

impl<T> fmt::Debug for ReadSeq<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSeq").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// Pages as they were when they were looked up, with a reference to each: worth nothing until
/// [`Table::retry`](super::Table::retry) passes. Dropping it puts the pages.
#[must_use = "what was looked up is not published yet"]
pub struct Found<'u, T = ()> {
    mm: &'u Arc<Mm>,
    pub(super) lock: &'u MmuLock<T>,
    via: Via,
    pub(super) seq: u64,
    /// All pages of the driver.
    own: PageRange,
    start: Vpn,
    held: Vec<Pfn>,
    write: bool,
}

impl<T> Found<'_, T> {
    /// How many pages.
    #[must_use]
    pub fn nr_pages(&self) -> usize {
        self.held.len()
    }

    pub(super) fn publish_to(&self, device: &Device) {
        let mut at_once = None;
        for (index, pfn) in self.held.iter().enumerate() {
            let vpn = Vpn(self.start.0 + index as u64);
            let block = block_of(vpn);
            if at_once == Some(block) {
                continue;
            }
            match self.huge(device, vpn, *pfn) {
                Some(first) => {
                    device.set_huge(self.via, block.start(), first, self.write);
                    at_once = Some(block);
                }
                None => device.set(self.via, vpn, *pfn, self.write),
            }
        }
    }

    /// `kvm_mmu_hugepage_adjust()`: the first frame of the huge page that the process has `vpn` in, if the device can translate all
    /// of it at once and the driver may.
    fn huge(&self, device: &Device, vpn: Vpn, pfn: Pfn) -> Option<Pfn> {
        let block = block_of(vpn);
        if !device.has_huge_entries() || !self.own.covers(block) {
            return None;
        }
        let (first, writable) = device::huge_mapping(self.mm, vpn)?;
        (first.0 + (vpn - block.start()) == pfn.0 && (writable || !self.write)).then_some(first)
    }
}

impl<T> Drop for Found<'_, T> {
    fn drop(&mut self) {
        self.held.iter().for_each(|pfn| device::put_user_page(self.mm.machine(), *pfn));
    }
}

impl<T> fmt::Debug for Found<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("seq", &self.seq).field("pages", &self.held).finish_non_exhaustive()
    }
}
