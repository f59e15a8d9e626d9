//! What changes a file and not a mapping: length, holes, contents. Linux: `shmem_setattr()`, `shmem_fallocate()`,
//! mm/shmem.c; `unmap_mapping_range()`, mm/memory.c, 6.12.
//!
//! | call | mappings lose |
//! |---|---|
//! | [`Machine::ftruncate`] | the pages beyond the new end, private copies of them too |
//! | [`Machine::punch_hole`] | the pages of the hole, not private copies |
//! | [`Machine::pwrite`] | nothing |
//!
//! Entries go inside a CLEAR bracket for each mapping, with `&mapping->i_mmap_rwsem` held for reading; pages after that.

use crate::content::{Content, WORD_BYTES};
use crate::file::Inode;
use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::obj::{cached_page_obj, frame_obj};
use crate::vma::FileId;
use crate::zap::Zap;
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, Pgoff};

impl Machine {
    /// `ftruncate(fd, size)`. Of the last page the bytes beyond the end become 0.
    pub fn ftruncate(&self, file: FileId, size_bytes: u64) {
        current(|k| self.truncate_inode(k, self.inode(file), size_bytes));
    }

    /// `fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len)`.
    ///
    /// # Errors
    /// `EINVAL` for an empty hole, or one that wraps around; `EOPNOTSUPP` for a file on the disk; `EPERM` for one that is
    /// sealed.
    pub fn punch_hole(&self, file: FileId, offset_bytes: u64, len_bytes: u64) -> Result<(), Errno> {
        if self.is_write_sealed(file) {
            return Err(Errno::EPERM);
        }
        current(|k| self.punch(k, self.inode(file), offset_bytes, len_bytes))
    }

    /// `pwrite(fd, &value, 8, offset)`: at the start of a page all of that is written, with `value` in each word, elsewhere one
    /// word. Gives the bytes written.
    ///
    /// # Errors
    /// `EINVAL` when `offset` is not the start of a word, `ENOMEM`, `EPERM` for a file that is sealed.
    pub fn pwrite(&self, file: FileId, offset_bytes: u64, value: u64) -> Result<u64, Errno> {
        if !offset_bytes.is_multiple_of(WORD_BYTES) {
            return Err(Errno::EINVAL);
        }
        if self.is_write_sealed(file) {
            return Err(Errno::EPERM);
        }
        let at = (offset_bytes % PAGE_SIZE / WORD_BYTES) as usize;
        current(|k| {
            let pfn = self.file_page(k, file, Pgoff(offset_bytes / PAGE_SIZE))?;
            k.visible_write(frame_obj(pfn));
            match at {
                0 => self.set_content(pfn, Content::Same(value)),
                at => self.write_word(pfn, at, value),
            }
            self.with_frame(pfn, |f| f.flags |= FrameFlags::DIRTY);
            self.put_page(k, pfn);
            self.set_file_size(file, self.file_size(file).max(offset_bytes + 8));
            Ok(8)
        })
    }

    /// Clears the entries that map pages of `[first, end)` in every address space.
    pub(crate) fn unmap_mapping_range(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff, zap: Zap) {
        let i_mmap = self.files.lock().i_mmap(inode);
        let mappings = i_mmap.read();
        for (mm, part) in mappings.walk_range(first, end) {
            let Some(mm) = self.mm(mm) else { continue };
            if let Some(vma) = mm.find_vma(part.start()) {
                mm.zap_page_range_single(k, &vma, part, zap);
            }
        }
    }

    /// `truncate_inode_pages_range()`: the pages leave the page cache, each under its folio lock; who holds one keeps it. They
    /// are holes of zeros from now on. A fault may have mapped one since all were unmapped: then its entries go
    /// (`truncate_cleanup_folio()`), private copies stay.
    pub(crate) fn truncate_pages(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff) {
        for (at, pfn) in self.cached_in(inode, first, end) {
            let removed = {
                let lock = self.folio_lock(pfn);
                let _folio = lock.lock();
                k.visible_write(cached_page_obj(inode, at));
                let removed = self.files.lock().forget_page(inode, at, pfn);
                if removed {
                    self.with_frame(pfn, |f| {
                        f.flags -= FrameFlags::FILE | FrameFlags::LRU | FrameFlags::DIRTY;
                        f.mapping = None;
                    });
                    if self.folio_mapcount(pfn) > 0 {
                        self.unmap_mapping_range(k, inode, at, at + 1, Zap::HOLE);
                    }
                }
                removed
            };
            if removed {
                self.put_page(k, pfn);
            }
        }
        self.files.lock().zero_stored(inode, first, end);
    }

    /// Zeroes bytes of one page, in memory or where the file keeps it.
    pub(crate) fn zero_part(&self, k: &Kernel, inode: Inode, from_bytes: u64, to_bytes: u64) {
        let Some(file) = self.files.lock().some_file(inode) else { return };
        let pgoff = Pgoff(from_bytes / PAGE_SIZE);
        let (from, to) = (from_bytes % PAGE_SIZE, to_bytes - pgoff.0 * PAGE_SIZE);
        if from >= to {
            return;
        }
        if !self.is_resident(file, pgoff) {
            self.files.lock().zero_part_stored(file, pgoff, (from, to));
            return;
        }
        if let Ok(pfn) = self.file_page(k, file, pgoff) {
            k.visible_write(frame_obj(pfn));
            self.set_content(pfn, self.content(pfn).with_zeros(from, to));
            self.put_page(k, pfn);
        }
    }
}
