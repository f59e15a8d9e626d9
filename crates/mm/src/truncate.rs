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
        current(|k| {
            let old = self.file_size(file);
            self.set_file_size(file, size_bytes);
            if size_bytes >= old {
                return;
            }
            let first = Pgoff(size_bytes.div_ceil(PAGE_SIZE));
            self.unmap_mapping_range(k, file, first, Pgoff(u64::MAX), Zap::DISCARD);
            self.zero_part(k, file, size_bytes, size_bytes.next_multiple_of(PAGE_SIZE));
            self.truncate_pages(k, file, first, Pgoff(u64::MAX));
        });
    }

    /// `fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len)`.
    ///
    /// # Errors
    /// `EINVAL` for an empty hole, or one that wraps around.
    pub fn punch_hole(&self, file: FileId, offset_bytes: u64, len_bytes: u64) -> Result<(), Errno> {
        let end = offset_bytes.checked_add(len_bytes).filter(|_| len_bytes > 0).ok_or(Errno::EINVAL)?;
        current(|k| {
            let (first, last) = (Pgoff(offset_bytes.div_ceil(PAGE_SIZE)), Pgoff(end / PAGE_SIZE));
            if first < last {
                self.unmap_mapping_range(k, file, first, last, Zap::HOLE);
                self.truncate_pages(k, file, first, last);
            }
            if first > last {
                self.zero_part(k, file, offset_bytes, end);
            } else {
                self.zero_part(k, file, offset_bytes, first.0 * PAGE_SIZE);
                self.zero_part(k, file, last.0 * PAGE_SIZE, end);
            }
        });
        Ok(())
    }

    /// `pwrite(fd, &value, 8, offset)` at the start of a page, whose contents are `value` from now on. Gives the bytes written.
    ///
    /// # Errors
    /// `EINVAL` when `offset` is not the start of a page, `ENOMEM`.
    pub fn pwrite(&self, file: FileId, offset_bytes: u64, value: u64) -> Result<u64, Errno> {
        if !offset_bytes.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        current(|k| {
            let pfn = self.file_page(k, file, Pgoff(offset_bytes / PAGE_SIZE))?;
            k.visible_write(frame_obj(pfn));
            self.with_frame(pfn, |f| {
                f.tag = value;
                f.flags |= FrameFlags::DIRTY;
            });
            self.put_page(k, pfn);
            self.set_file_size(file, self.file_size(file).max(offset_bytes + 8));
            Ok(8)
        })
    }

    /// Clears the entries that map pages of `[first, end)` in every address space.
    pub(crate) fn unmap_mapping_range(&self, k: &Kernel, file: FileId, first: Pgoff, end: Pgoff, zap: Zap) {
        let i_mmap = self.i_mmap(file).1;
        let mappings = i_mmap.read();
        for (mm, part) in mappings.walk_range(first, end) {
            let Some(mm) = self.mm(mm) else { continue };
            if let Some(vma) = mm.find_vma(part.start()) {
                mm.zap_page_range_single(k, &vma, part, zap);
            }
        }
    }

    /// `truncate_inode_pages_range()`: the pages leave the page cache; who holds one keeps it.
    fn truncate_pages(&self, k: &Kernel, file: FileId, first: Pgoff, end: Pgoff) {
        let inode = self.inode(file);
        let gone: Vec<_> = {
            let mut files = self.files.lock();
            let pages = files.pages(inode);
            pages.stored.retain(|pgoff, _| *pgoff < first || *pgoff >= end);
            pages.cached.range(first..end).map(|(pgoff, pfn)| (*pgoff, *pfn)).collect()
        };
        for (pgoff, pfn) in gone {
            k.visible_write(cached_page_obj(inode, pgoff));
            let removed = {
                let mut files = self.files.lock();
                let cached = &mut files.pages(inode).cached;
                let here = cached.get(&pgoff) == Some(&pfn);
                if here {
                    cached.remove(&pgoff);
                }
                here
            };
            if removed {
                self.with_frame(pfn, |f| f.mapping = None);
                self.put_page(k, pfn);
            }
        }
    }

    /// Zeroes bytes of one page, as far as its contents are known: the first eight.
    fn zero_part(&self, k: &Kernel, file: FileId, from_bytes: u64, to_bytes: u64) {
        let pgoff = Pgoff(from_bytes / PAGE_SIZE);
        let (from, to) = (from_bytes % PAGE_SIZE, to_bytes - pgoff.0 * PAGE_SIZE);
        if from >= to.min(8) || !self.is_resident(file, pgoff) {
            return;
        }
        if let Ok(pfn) = self.file_page(k, file, pgoff) {
            k.visible_write(frame_obj(pfn));
            let kept = (0..8).filter(|byte| !(from..to).contains(byte)).fold(0, |mask, byte| mask | 0xff << (8 * byte));
            self.with_frame(pfn, |f| f.tag &= kept);
            self.put_page(k, pfn);
        }
    }
}
