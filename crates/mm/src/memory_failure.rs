//! Memory that fails, and memory that is taken out of use before it does.
//!
//! | operation | held | bracket |
//! |---|---|---|
//! | failure of a clean page of a file on a disk | `mf_mutex` W, folio lock, rmap R | PROTECTION_PAGE, where shared mappings are looked at for being dirty; then CLEAR: unmapped, to be read again |
//! | failure of another page | the same | CLEAR: the entry says that its memory failed; a huge page is split first |
//! | soft offline | the same | CLEAR: the page moves to another frame |
//!
//! Sources: `memory_failure()`, `hwpoison_user_mappings()`, `soft_offline_page()`, mm/memory-failure.c, 6.12. The signal that
//! kills whoever uses a failed page is not modelled.

use crate::file_locks::Fs;
use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::reclaim::Unmap;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn, Vpn};

impl Mm {
    /// The page behind `vpn`, faulted in (`get_user_pages_fast()`), with a reference.
    fn page_to_offline(&self, k: &Kernel, vpn: Vpn) -> Result<Pfn, Errno> {
        self.fault_in(k, vpn)?;
        let pfn = self.pte(vpn).pfn().ok_or(Errno::EFAULT)?;
        if self.machine.try_get_page(k, pfn) { Ok(pfn) } else { Err(Errno::EBUSY) }
    }

    fn fault_in(&self, k: &Kernel, vpn: Vpn) -> Result<(), Errno> {
        if self.pte(vpn).pfn().is_some() { Ok(()) } else { self.fault(k, vpn, false).map_err(|e| e.errno()) }
    }

    /// `madvise(MADV_HWPOISON)` of one page: its memory fails. Entries say so, or, of a page that its file still has, are gone.
    ///
    /// # Errors
    /// `EFAULT` where nothing can be accessed, `EBUSY` when the page is going.
    pub fn memory_failure(&self, vpn: Vpn) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.memory_failure, Some(PageRange::page(vpn)), || {
                let pfn = self.page_to_offline(k, vpn)?;
                let locks = self.machine.locks();
                let _one = locks.files.mf.lock();
                self.machine.try_to_split_thp_page(k, pfn)?;
                self.machine.with_frame(pfn, |f| f.flags |= FrameFlags::HWPOISON);
                let lock = self.machine.folio_lock(pfn);
                let _folio = lock.lock();
                self.machine.hwpoison_user_mappings(k, pfn);
                // The reference stays: a failed page is never free again.
                Ok(())
            })
        })
    }

    /// `madvise(MADV_SOFT_OFFLINE)` of one page: it moves to another frame, and its own is not used again.
    ///
    /// # Errors
    /// As [`Mm::memory_failure`]; `EBUSY` for a page that cannot move, `ENOMEM`.
    pub fn soft_offline(&self, vpn: Vpn) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.soft_offline, Some(PageRange::page(vpn)), || {
                let pfn = self.page_to_offline(k, vpn)?;
                let locks = self.machine.locks();
                let _one = locks.files.mf.lock();
                self.machine.try_to_split_thp_page(k, pfn)?;
                self.machine.put_page(k, pfn);
                self.machine.migrate_folio(k, pfn, None).map(drop)
            })
        })
    }
}

impl Machine {
    /// Splits the huge page that `page` is a part of, if it is one; the caller's reference is to `page` afterwards.
    ///
    /// # Errors
    /// `EBUSY` when somebody else holds it; the reference is given up.
    fn try_to_split_thp_page(&self, k: &Kernel, page: Pfn) -> Result<(), Errno> {
        if !self.is_huge(page) {
            return Ok(());
        }
        let head = self.head(page);
        let split = {
            let lock = self.folio_lock(head);
            let _folio = lock.lock();
            self.split_locked(k, head)
        };
        if split && page != head {
            self.get_page(k, page);
            self.put_page(k, head);
        }
        if !split {
            self.put_page(k, page);
        }
        if split { Ok(()) } else { Err(Errno::EBUSY) }
    }

    fn hwpoison_user_mappings(&self, k: &Kernel, pfn: Pfn) {
        let frame = self.frame(pfn);
        let on_disk = frame.mapping.is_some_and(|inode| self.inode_locks(inode).fs == Fs::Disk);
        let dirty = frame.flags.contains(FrameFlags::DIRTY);
        // A mapping may have written it since the page was last looked at.
        let clean = on_disk && !dirty && !self.folio_mkclean(k, pfn);
        let how = if clean { Unmap::Drop } else { Unmap::Poison };
        self.rmap_walk_mapped(&frame, pfn, |mm, vpn| mm.try_to_unmap_one(k, vpn, pfn, how, None));
    }
}
