//! Dirty pages of files go to the disk: every shared mapping is made read-only first, so that the next write is noticed.
//!
//! | operation | held at the bracket |
//! |---|---|
//! | `msync`, `fsync` | folio lock, `i_mmap_rwsem` R |
//! | a worker of the kernel, as after `sync()` | and its work item |
//!
//! PROTECTION_PAGE of each page and mapping; flushed inside. No `mmap_lock`.
//!
//! Sources: `folio_clear_dirty_for_io()`, mm/page-writeback.c; `page_vma_mkclean_one()`, mm/rmap.c, 6.12.

use crate::file::Inode;
use crate::file_locks::Fs;
use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::frame_obj;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn, Pgoff, PteKind, VmFlags, Vpn};
use trace::{EventKind, NotifyEvent, NotifyRange};

impl Machine {
    /// `fsync(file)`.
    ///
    /// # Errors
    /// `ENOENT` for a file that nobody has opened.
    pub fn fsync(&self, name: &str) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.fsync, || {
                self.write_back(k, inode, Pgoff(0), Pgoff(u64::MAX));
                Ok(())
            })
        })
    }

    /// What a worker of the writeback queue does with a file. The calling task stands for the worker.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn writeback_work(&self, name: &str) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            let _queue = k.lock_map("(wq_completion)writeback").acquire();
            let _work = k.lock_map("(work_completion)(&(&wb->dwork)->work)").acquire();
            self.write_back(k, inode, Pgoff(0), Pgoff(u64::MAX));
            Ok(())
        })
    }

    /// Writes the dirty pages `[first, end)` of a file back, in order. Those of a memory file system have nowhere to go.
    pub(crate) fn write_back(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff) {
        if self.inode_locks(inode).fs != Fs::Disk {
            return;
        }
        for (at, pfn) in self.cached_in(inode, first, end) {
            if !self.frame(pfn).flags.contains(FrameFlags::DIRTY) {
                continue;
            }
            let lock = self.folio_lock(pfn);
            let _folio = lock.lock();
            if self.frame(pfn).mapping != Some(inode) {
                continue;
            }
            k.emit(EventKind::FolioClean { pfn, done: false });
            self.folio_mkclean(k, pfn);
            k.visible_read(frame_obj(pfn));
            self.with_frame(pfn, |f| f.flags -= FrameFlags::DIRTY);
            k.emit(EventKind::FolioClean { pfn, done: true });
            let content = self.content(pfn);
            self.files.lock().pages(inode).stored.insert(at, content);
        }
    }

    /// `folio_mkclean()`: whether a mapping could have written it. Folio lock held.
    pub(crate) fn folio_mkclean(&self, k: &Kernel, pfn: Pfn) -> bool {
        let frame = self.frame(pfn);
        let mut cleaned = false;
        self.rmap_walk(&frame, |mm, vpn| {
            if mm.find_vma(vpn).is_some_and(|vma| vma.flags().contains(VmFlags::SHARED)) {
                cleaned |= mm.page_vma_mkclean_one(k, vpn, pfn);
            }
        });
        cleaned
    }
}

impl Mm {
    fn page_vma_mkclean_one(&self, k: &Kernel, vpn: Vpn, pfn: Pfn) -> bool {
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: PageRange::page(vpn),
            event: NotifyEvent::ProtectionPage,
            blockable: true,
            owner: None,
        });
        let mut cleaned = false;
        if let Some(leaf) = self.tables.walk(vpn) {
            let ptes = leaf.lock();
            let seen = ptes.get(vpn);
            if seen.kind() == PteKind::Present && seen.pfn() == Some(pfn) && (seen.is_writable() || seen.is_dirty()) {
                let old = ptes.clear(k, vpn);
                self.flush_tlb_range(k, PageRange::page(vpn));
                ptes.set(k, vpn, old.with_write(false).with_dirty(false));
                cleaned = true;
            }
        }
        bracket.end();
        cleaned
    }
}
