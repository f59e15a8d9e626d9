//! The page cache of a file (`struct address_space`): its pages by offset, and the VMAs that map it.
//!
//! A page holds the file's contents at its offset: a value made from the file's name and the offset, until it is written.
//! A page that reclaim takes away leaves what was written to it with the file.
//!
//! The reverse map of file pages is the list of VMAs here. Lock: `&mapping->i_mmap_rwsem`, for reading by walkers, for
//! writing by whoever alters a VMA that is listed. Taken inside `mmap_lock`, outside of `&anon_vma->rwsem` and page-table
//! locks; here the two kinds of lists are altered one after the other and never under both locks.
//!
//! Sources: mm/filemap.c; `vma_prepare()`, `vma_complete()`, mm/vma.c; `rmap_walk_file()`, mm/rmap.c, 6.12.

use crate::content::Content;
use crate::file::Inode;
use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::mm::{Mm, MmInner};
use crate::obj::{cached_page_obj, frame_obj};
use crate::vma::{FileId, Vma, VmaChange, VmaChanges, VmaId, VmaKind};
use ksync::{Kernel, RwSem};
use mm_types::{Errno, Gfp, MmId, PageRange, Pfn, Pgoff, Pte, Vpn};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The lock of a file's mappings, and what it protects.
pub(crate) type IMmap = Arc<RwSem<Mappings>>;

/// The VMAs that map one file.
#[derive(Default)]
pub(crate) struct Mappings {
    listed: BTreeMap<(Pgoff, MmId, VmaId), PageRange>,
    /// invariant: no VMA listed has more pages
    longest: u64,
}

impl Mappings {
    /// Where the page `index` may be mapped, by the offset at which mappings begin (`vma_interval_tree_foreach()`).
    pub(crate) fn walk(&self, index: Pgoff) -> SmallVec<[(MmId, Vpn); 2]> {
        let lowest = (Pgoff(index.0.saturating_sub(self.longest)), MmId(0), VmaId(0));
        let reach = lowest..=(index, MmId(u32::MAX), VmaId(u32::MAX));
        let near = self.listed.range(reach).map(|((first, mm, _), range)| (index.0 - first.0, *mm, range));
        near.filter(|(offset, _, range)| *offset < range.nr_pages())
            .map(|(offset, mm, range)| (mm, range.start() + offset))
            .collect()
    }

    /// Where pages of `[first, end)` may be mapped.
    pub(crate) fn walk_range(&self, first: Pgoff, end: Pgoff) -> Vec<(MmId, PageRange)> {
        let lowest = (Pgoff(first.0.saturating_sub(self.longest)), MmId(0), VmaId(0));
        let near = self.listed.range(lowest..(end, MmId(0), VmaId(0)));
        let part = |(key, range): (&(Pgoff, MmId, VmaId), &PageRange)| {
            let (at, mm, _) = *key;
            let from = range.start() + first.0.saturating_sub(at.0);
            let to = Vpn(range.start().0.saturating_add(end.0 - at.0)).min(range.end());
            Some((mm, PageRange::new(from, to).ok()?))
        };
        near.filter_map(part).collect()
    }
}

/// Where a VMA is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileLink {
    inode: Inode,
    first: Pgoff,
}

/// How the list of one file changes.
struct Edit {
    inode: Inode,
    vma: VmaId,
    remove: Option<Pgoff>,
    insert: Option<(Pgoff, PageRange)>,
}

type Edits = SmallVec<[Edit; 2]>;

/// Pages of one file in memory, and contents that are written and not in memory.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) cached: BTreeMap<Pgoff, Pfn>,
    pub(crate) stored: BTreeMap<Pgoff, Content>,
}

impl Machine {
    /// The page of a file, with a reference for the caller; read in on first use, when it also may sleep and reclaim.
    ///
    /// # Errors
    /// `ENOMEM`.
    ///
    /// Source: `filemap_fault()`, `filemap_get_entry()`, mm/filemap.c, 6.12. The kernel's fault holds the folio lock from
    /// here on; a reference alone keeps reclaim and migration from completing.
    pub(crate) fn file_page(&self, k: &Kernel, id: FileId, pgoff: Pgoff) -> Result<Pfn, Errno> {
        let inode = self.inode(id);
        loop {
            k.visible_read(cached_page_obj(inode, pgoff));
            let Some(pfn) = self.cached(inode, pgoff) else {
                self.read_in(k, id, inode, pgoff)?;
                continue;
            };
            if self.try_get_page(k, pfn) {
                // It may have gone, and the frame with it, before the reference was there.
                if self.cached(inode, pgoff) == Some(pfn) {
                    return Ok(pfn);
                }
                self.put_page(k, pfn);
            }
        }
    }

    /// The page of a file for a fault (`shmem_fault()`, `filemap_fault()`).
    ///
    /// # Errors
    /// `EINVAL` beyond the end of the file, `ENOMEM`.
    pub(crate) fn file_fault(&self, k: &Kernel, id: FileId, pgoff: Pgoff) -> Result<Pfn, Errno> {
        if pgoff.0 >= self.file_pages(id) { Err(Errno::EINVAL) } else { self.file_page(k, id, pgoff) }
    }

    /// The pages that are in memory of the `nr_pages` from `first` on, inside the file.
    pub(crate) fn cached_pages(&self, id: FileId, first: Pgoff, nr_pages: u64) -> SmallVec<[(Pgoff, Pfn); 16]> {
        let end = Pgoff(self.file_pages(id).min(first.0 + nr_pages));
        if end <= first {
            return SmallVec::new();
        }
        let mut files = self.files.lock();
        let inode = files.inode(id);
        files.pages(inode).cached.range(first..end).map(|(pgoff, pfn)| (*pgoff, *pfn)).collect()
    }

    /// Whether a page that was seen in the cache is still there, as a scheduling point.
    pub(crate) fn is_cached(&self, k: &Kernel, id: FileId, pgoff: Pgoff, pfn: Pfn) -> bool {
        let inode = self.inode(id);
        k.visible_read(cached_page_obj(inode, pgoff));
        self.is_cached_now(inode, pgoff, pfn)
    }

    /// The same at a scheduling point that the caller made for it.
    pub(crate) fn is_cached_now(&self, inode: Inode, pgoff: Pgoff, pfn: Pfn) -> bool {
        self.cached(inode, pgoff) == Some(pfn)
    }

    /// An entry is gone: a page of a file that was written through it is dirty (`folio_mark_dirty()`).
    pub(crate) fn transfer_dirty(&self, pfn: Pfn, old: Pte) {
        if old.is_dirty() {
            self.with_frame(pfn, |f| {
                if f.flags.contains(FrameFlags::FILE) {
                    f.flags |= FrameFlags::DIRTY;
                }
            });
        }
    }

    /// Whether the page of a file is in memory (`mincore_page()`).
    pub(crate) fn is_resident(&self, id: FileId, pgoff: Pgoff) -> bool {
        self.cached(self.inode(id), pgoff).is_some()
    }

    fn cached(&self, inode: Inode, pgoff: Pgoff) -> Option<Pfn> {
        self.files.lock().pages(inode).cached.get(&pgoff).copied()
    }

    /// Adds a page to the cache, unless another task was faster.
    fn read_in(&self, k: &Kernel, id: FileId, inode: Inode, pgoff: Pgoff) -> Result<(), Errno> {
        let pfn = self.alloc_page(k, Gfp::USER)?;
        k.visible_write(cached_page_obj(inode, pgoff));
        let added = {
            let mut files = self.files.lock();
            let content = files.contents(id, pgoff);
            let rmap = files.has_reverse_map(id);
            let lru = if files.is_reclaimable(id) { FrameFlags::LRU } else { FrameFlags::empty() };
            let added = *files.pages(inode).cached.entry(pgoff).or_insert(pfn) == pfn;
            if added {
                self.with_frame(pfn, |f| {
                    f.flags |= FrameFlags::FILE | lru;
                    f.mapping = rmap.then_some(inode);
                    f.index = pgoff;
                });
                self.set_content(pfn, content);
            }
            added
        };
        if !added {
            self.put_page(k, pfn);
        }
        Ok(())
    }

    /// `__remove_mapping()` of a page of a file: it has no reference any more if only the caller and the cache held it, and is the
    /// caller's to free. What it holds stays with the file.
    pub(crate) fn remove_from_page_cache(&self, k: &Kernel, pfn: Pfn) -> bool {
        let frame = self.frame(pfn);
        let Some(inode) = frame.mapping else { return false };
        k.visible_write(cached_page_obj(inode, frame.index));
        k.visible_write(frame_obj(pfn));
        let frozen = self.with_frame(pfn, |f| {
            let ours = f.refcount == 2 && f.mapcount == 0;
            if ours {
                f.refcount = 0;
            }
            ours
        });
        if frozen {
            let content = self.content(pfn);
            let mut files = self.files.lock();
            let pages = files.pages(inode);
            pages.cached.remove(&frame.index);
            pages.stored.insert(frame.index, content);
        }
        frozen
    }

    /// Applies edits, one file after the other, each under its write lock.
    fn apply_to_files(&self, mm: MmId, mut edits: Edits) {
        while let Some(inode) = edits.iter().map(|e| e.inode).min() {
            let i_mmap = self.files.lock().i_mmap(inode);
            let mut mappings = i_mmap.write();
            for edit in edits.iter().filter(|e| e.inode == inode) {
                if let Some(first) = edit.remove {
                    mappings.listed.remove(&(first, mm, edit.vma));
                }
            }
            for edit in edits.iter().filter(|e| e.inode == inode) {
                if let Some((first, range)) = edit.insert {
                    mappings.longest = mappings.longest.max(range.nr_pages());
                    mappings.listed.insert((first, mm, edit.vma), range);
                }
            }
            drop(mappings);
            edits.retain(|e| e.inode != inode);
        }
    }
}

impl MmInner {
    /// The list of its file must follow what happened to `vma`, which now starts at `start` if it is still in the tree.
    fn follow_file(&mut self, machine: &Machine, vma: VmaId, start: Vpn, edits: &mut Edits) {
        self.leave_file(vma, edits);
        let now = self.tree.find(start).filter(|v| v.id() == vma).copied();
        if let Some((now, file)) = now.and_then(|v| Some((v, file_of(&v)?))) {
            let link = FileLink { inode: machine.inode(file), first: now.pgoff() };
            self.file_links.insert(vma, link);
            let insert = Some((link.first, now.range()));
            edits.push(Edit { inode: link.inode, vma, remove: None, insert });
        }
    }

    fn leave_file(&mut self, vma: VmaId, edits: &mut Edits) {
        if let Some(FileLink { inode, first }) = self.file_links.remove(&vma) {
            edits.push(Edit { inode, vma, remove: Some(first), insert: None });
        }
    }
}

fn file_of(vma: &Vma) -> Option<FileId> {
    match vma.kind() {
        VmaKind::File(file) => Some(file),
        VmaKind::Anon | VmaKind::Special(_) => None,
    }
}

impl Mm {
    /// The reverse maps of files follow alterations of VMAs. `mmap_lock` held for writing.
    pub(crate) fn file_vmas_adjusted(&self, changes: &VmaChanges) {
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            for change in changes {
                match *change {
                    VmaChange::Created { vma, range, .. } => {
                        inner.follow_file(&self.machine, vma, range.start(), &mut edits);
                    }
                    VmaChange::Resized { vma, to, .. } => {
                        inner.follow_file(&self.machine, vma, to.start(), &mut edits);
                    }
                    VmaChange::Removed { vma, .. } => inner.leave_file(vma, &mut edits),
                    VmaChange::AnonShared { .. } => {}
                }
            }
        }
        self.machine.apply_to_files(self.id, edits);
    }

    /// As [`Mm::file_vmas_adjusted`], for all VMAs.
    pub(crate) fn file_vmas_resync(&self) {
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            let all: Vec<(VmaId, Vpn)> = inner.tree.iter().map(|v| (v.id(), v.start())).collect();
            for (vma, start) in all {
                inner.follow_file(&self.machine, vma, start, &mut edits);
            }
        }
        self.machine.apply_to_files(self.id, edits);
    }

    /// `unlink_file_vma()`: VMAs that were taken out of the tree leave the reverse maps, after their entries are cleared.
    pub(crate) fn unlink_file_vmas(&self, vmas: &[Vma]) {
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            for vma in vmas {
                inner.leave_file(vma.id(), &mut edits);
            }
        }
        self.machine.apply_to_files(self.id, edits);
    }
}
