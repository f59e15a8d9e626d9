//! Files become shorter or get holes: mappings of what is cut off are unmapped, whoever has them.
//!
//! | operation | held | bracket |
//! |---|---|---|
//! | `ftruncate` | `sb_writers` R, inode W, on a disk `invalidate_lock` W, `i_mmap_rwsem` R | CLEAR of each VMA's part behind the end, private copies included; twice: before and after the pages go |
//! | `ftruncate` that grows | the same, folio lock | PROTECTION_PAGE of the page the old end is in |
//! | `fallocate(PUNCH_HOLE)`, `MADV_REMOVE` | `sb_writers` R, inode W, `i_mmap_rwsem` R | CLEAR of each VMA's part of the hole; private copies stay |
//! | `O_DIRECT` write | `sb_writers` R, inode W; `i_mmap_rwsem` R | those of writing back, then CLEAR of each VMA's part |
//!
//! No `mmap_lock`, and any task.
//!
//! Sources: `truncate_pagecache()`, `pagecache_isize_extended()`, mm/truncate.c; `unmap_mapping_range()`, mm/memory.c;
//! `shmem_fallocate()`, mm/shmem.c; `ext2_setsize()`, fs/ext2/inode.c; `kiocb_invalidate_pages()`, mm/filemap.c, 6.12.

use crate::file::Inode;
use crate::file_locks::Fs;
use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::names::NAMES;
use crate::page_table::PMD_PAGES;
use crate::zap::Zap;
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, Pfn, Pgoff};
use trace::EventKind;

/// Block size of the disk's file system: smaller than a page, so that the page of an old end needs care.
const BLOCK: u64 = 1024;
/// Behind every page of a file.
const END: Pgoff = Pgoff(u64::MAX >> 12);

impl Machine {
    /// `ftruncate(file, bytes)`.
    ///
    /// # Errors
    /// `ENOENT` for a file that nobody has opened.
    pub fn truncate(&self, name: &str, bytes: u64) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.truncate, || {
                self.truncate_inode(k, inode, bytes);
                Ok(())
            })
        })
    }

    /// The same under its locks.
    pub(crate) fn truncate_inode(&self, k: &Kernel, inode: Inode, bytes: u64) {
        let space = self.inode_locks(inode);
        self.with_writers(space.fs, || {
            let _inode = space.i_rwsem.write();
            let _invalidate = (space.fs == Fs::Disk).then(|| space.invalidate_lock.write());
            self.set_size(k, inode, space.fs, bytes);
        });
    }

    fn set_size(&self, k: &Kernel, inode: Inode, fs: Fs, bytes: u64) {
        if fs == Fs::Hugetlbfs {
            let old = self.files.lock().set_size(inode, bytes);
            if bytes < old {
                // `hugetlb_vmtruncate()`
                let first = Pgoff(bytes / PAGE_SIZE);
                self.hugetlb_vmdelete_list(k, inode, first, END);
                self.remove_inode_hugepages(k, inode, first, END);
            }
            return;
        }
        let old = self.files.lock().set_size(inode, bytes);
        if fs == Fs::Disk && bytes > old {
            self.isize_extended(k, inode, old);
        }
        let first = Pgoff(bytes.div_ceil(PAGE_SIZE));
        // tmpfs looks first whether there is anything behind the new end.
        let cuts = fs == Fs::Disk || old > first.0 * PAGE_SIZE;
        if cuts {
            self.unmap_mapping_range(k, inode, first, END, Zap::DISCARD);
        }
        if bytes < old {
            self.zero_part(k, inode, bytes, bytes.next_multiple_of(PAGE_SIZE));
        }
        self.truncate_pages(k, inode, first, END);
        if cuts {
            self.unmap_mapping_range(k, inode, first, END, Zap::DISCARD);
        }
    }

    /// `pagecache_isize_extended()`: the page that the old end is in must be asked for before it is written again.
    fn isize_extended(&self, k: &Kernel, inode: Inode, old: u64) {
        if old.next_multiple_of(BLOCK).is_multiple_of(PAGE_SIZE) {
            return;
        }
        let cached = self.files.lock().pages(inode).cached.get(&Pgoff(old / PAGE_SIZE)).copied();
        if let Some(pfn) = cached {
            let lock = self.folio_lock(pfn);
            let _folio = lock.lock();
            if self.folio_mkclean(k, pfn) {
                self.with_frame(pfn, |f| f.flags |= FrameFlags::DIRTY);
            }
        }
    }

    /// `fallocate(file, FALLOC_FL_PUNCH_HOLE, offset, bytes)`.
    ///
    /// # Errors
    /// `ENOENT`; `EOPNOTSUPP` for a file on the disk, whose file system makes no holes; `EINVAL` for no bytes.
    pub fn punch_hole_named(&self, name: &str, offset: u64, bytes: u64) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.fallocate, || self.punch(k, inode, offset, bytes))
        })
    }

    /// The same under its locks.
    pub(crate) fn punch(&self, k: &Kernel, inode: Inode, offset: u64, bytes: u64) -> Result<(), Errno> {
        let space = self.inode_locks(inode);
        if !matches!(space.fs, Fs::Tmpfs | Fs::Hugetlbfs) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.checked_add(bytes).filter(|_| bytes > 0).ok_or(Errno::EINVAL)?;
        self.with_writers(space.fs, || {
            let _inode = space.i_rwsem.write();
            let (first, last) = (Pgoff(offset.div_ceil(PAGE_SIZE)), Pgoff(end / PAGE_SIZE));
            if space.fs == Fs::Hugetlbfs {
                // `hugetlbfs_punch_hole()`: whole huge pages only.
                let first = Pgoff(first.0.next_multiple_of(PMD_PAGES));
                let last = Pgoff(last.0 / PMD_PAGES * PMD_PAGES);
                if first < last {
                    self.hugetlb_vmdelete_list(k, inode, first, last);
                    self.remove_inode_hugepages(k, inode, first, last);
                }
                return;
            }
            if first < last {
                self.unmap_mapping_range(k, inode, first, last, Zap::HOLE);
                self.truncate_pages(k, inode, first, last);
            }
            if first > last {
                self.zero_part(k, inode, offset, end);
            } else {
                self.zero_part(k, inode, offset, first.0 * PAGE_SIZE);
                self.zero_part(k, inode, last.0 * PAGE_SIZE, end);
            }
        });
        Ok(())
    }

    /// A `write()` with `O_DIRECT`: past the page cache, so what of it is there must go.
    ///
    /// # Errors
    /// `ENOENT`, `EINVAL` for an unaligned place.
    pub fn direct_write(&self, name: &str, offset: u64, bytes: u64) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.write, || {
                if !offset.is_multiple_of(BLOCK) || !bytes.is_multiple_of(BLOCK) || bytes == 0 {
                    return Err(Errno::EINVAL);
                }
                let space = self.inode_locks(inode);
                self.with_writers(space.fs, || {
                    let _inode = space.i_rwsem.write();
                    let (first, last) = (Pgoff(offset / PAGE_SIZE), Pgoff((offset + bytes).div_ceil(PAGE_SIZE)));
                    self.write_back(k, inode, first, last);
                    self.invalidate_pages(k, inode, first, last);
                });
                Ok(())
            })
        })
    }

    /// `invalidate_inode_pages2_range()`: the first page that is mapped has all of the range unmapped.
    fn invalidate_pages(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff) {
        let mapped = self.cached_in(inode, first, end).into_iter().find(|(_, pfn)| self.frame(*pfn).mapcount > 0);
        if let Some((from, _)) = mapped {
            self.unmap_mapping_range(k, inode, from, end, Zap::HOLE);
        }
        self.truncate_pages(k, inode, first, end);
    }

    /// Pages of a file in memory, in order.
    pub(crate) fn cached_in(&self, inode: Inode, first: Pgoff, end: Pgoff) -> Vec<(Pgoff, Pfn)> {
        self.files.lock().pages(inode).cached.range(first..end).map(|(at, pfn)| (*at, *pfn)).collect()
    }

    /// Emits the entry and exit of a system call on a file.
    pub(crate) fn file_call<T>(
        &self,
        k: &Kernel,
        call: mm_types::Name,
        body: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        k.emit(EventKind::CallEnter { mm: mm_types::MmId(0), call, pages: None });
        let result = body();
        k.emit(EventKind::CallExit { error: result.as_ref().err().copied() });
        result
    }
}
