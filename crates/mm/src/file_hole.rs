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
use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::{Vma, VmaKind};
use crate::zap::Zap;
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, Pfn, Pgoff, VmFlags};
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
                let space = self.inode_locks(inode);
                self.with_writers(space.fs, || {
                    let _inode = space.i_rwsem.write();
                    let _invalidate = (space.fs == Fs::Disk).then(|| space.invalidate_lock.write());
                    self.set_size(k, inode, space.fs, bytes);
                });
                Ok(())
            })
        })
    }

    fn set_size(&self, k: &Kernel, inode: Inode, fs: Fs, bytes: u64) {
        let old = self.files.lock().set_size(inode, bytes);
        if fs == Fs::Disk && old.is_some_and(|old| bytes > old) {
            self.isize_extended(k, inode, old.unwrap_or(bytes));
        }
        let first = Pgoff(bytes.div_ceil(PAGE_SIZE));
        // tmpfs looks first whether there is anything behind the new end.
        let cuts = fs == Fs::Disk || old.is_none_or(|old| old > first.0 * PAGE_SIZE);
        if cuts {
            self.unmap_mapping_range(k, inode, first, END, Zap::All);
        }
        self.truncate_pages(k, inode, first, END);
        if cuts {
            self.unmap_mapping_range(k, inode, first, END, Zap::All);
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
    pub fn punch_hole(&self, name: &str, offset: u64, bytes: u64) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.fallocate, || self.punch(k, inode, offset, bytes))
        })
    }

    fn punch(&self, k: &Kernel, inode: Inode, offset: u64, bytes: u64) -> Result<(), Errno> {
        let space = self.inode_locks(inode);
        if space.fs != Fs::Tmpfs {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.checked_add(bytes).filter(|_| bytes > 0).ok_or(Errno::EINVAL)?;
        self.with_writers(space.fs, || {
            let _inode = space.i_rwsem.write();
            let (first, last) = (Pgoff(offset.div_ceil(PAGE_SIZE)), Pgoff(end / PAGE_SIZE));
            if first < last {
                self.unmap_mapping_range(k, inode, first, last, Zap::FilePages);
                self.truncate_pages(k, inode, first, last);
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
            self.unmap_mapping_range(k, inode, from, end, Zap::FilePages);
        }
        self.truncate_pages(k, inode, first, end);
    }

    /// `unmap_mapping_range()`: pages `[first, end)` of a file leave every mapping, VMA by VMA.
    pub(crate) fn unmap_mapping_range(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff, details: Zap) {
        let i_mmap = self.files.lock().i_mmap(inode);
        let mappings = i_mmap.read();
        for (mm, part) in mappings.overlapping(first, end) {
            let Some(mm) = self.mm(mm) else { continue };
            if let Some(vma) = mm.find_vma(part.start()) {
                mm.zap_page_range_single_as(k, &vma, part, details);
            }
        }
    }

    /// Pages of a file in memory, in order.
    pub(crate) fn cached_in(&self, inode: Inode, first: Pgoff, end: Pgoff) -> Vec<(Pgoff, Pfn)> {
        self.files.lock().pages(inode).cached.range(first..end).map(|(at, pfn)| (*at, *pfn)).collect()
    }

    /// `truncate_inode_pages()`: what is in memory of pages `[first, end)` goes; they are holes of zeros from now on.
    fn truncate_pages(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff) {
        for (at, pfn) in self.cached_in(inode, first, end) {
            {
                let lock = self.folio_lock(pfn);
                let _folio = lock.lock();
                k.visible_write(crate::obj::cached_page_obj(inode, at));
                let mut files = self.files.lock();
                let pages = files.pages(inode);
                pages.cached.remove(&at);
                pages.stored.insert(at, 0);
                drop(files);
                self.with_frame(pfn, |f| {
                    f.flags -= FrameFlags::FILE | FrameFlags::LRU | FrameFlags::DIRTY;
                    f.mapping = None;
                });
            }
            self.put_page(k, pfn);
        }
        for stored in self.files.lock().pages(inode).stored.range_mut(first..end) {
            *stored.1 = 0;
        }
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

impl Mm {
    /// `madvise_remove()`: a hole in the file behind each VMA of `range`, without `mmap_lock`.
    pub(crate) fn madvise_remove(&self, k: &Kernel, range: PageRange) -> Result<(), Errno> {
        let mut whole = Ok(());
        let mut next = range.start();
        while next < range.end() {
            let found = {
                let _read = self.mmap_lock.read();
                self.inner.lock().tree.find_at_or_above(next).copied()
            };
            let vma = found.ok_or(Errno::ENOMEM)?;
            if next < vma.start() {
                whole = Err(Errno::ENOMEM);
                next = vma.start();
            }
            let Ok(part) = PageRange::new(next, vma.end().min(range.end())) else { break };
            let VmaKind::File(file) = removable(&vma)? else { return Err(Errno::EINVAL) };
            let inode = self.machine.inode(file);
            let offset = vma.pgoff_at(part.start()).0 * PAGE_SIZE;
            self.machine.punch(k, inode, offset, part.nr_pages() * PAGE_SIZE)?;
            next = part.end();
        }
        whole
    }
}

/// What is behind a VMA that a hole may be made in.
fn removable(vma: &Vma) -> Result<VmaKind, Errno> {
    if vma.flags().contains(VmFlags::LOCKED) || !matches!(vma.kind(), VmaKind::File(_)) {
        Err(Errno::EINVAL)
    } else if !vma.flags().contains(VmFlags::SHARED | VmFlags::MAYWRITE) {
        Err(Errno::EACCES)
    } else {
        Ok(vma.kind())
    }
}
