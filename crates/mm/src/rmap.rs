//! The reverse map of anonymous pages: from a frame to the entries that may map it.
//!
//! A frame names its `anon_vma` and its place in it; an [`AnonVma`] lists the VMAs that share it. Lock:
//! `&anon_vma->rwsem`, for reading by walkers (reclaim), for writing by whoever alters a VMA that is listed. Taken inside
//! `mmap_lock`, outside of page-table locks.
//!
//! Sources: mm/rmap.c; `vma_prepare()`, `vma_complete()`, mm/vma.c, 6.12.

use crate::machine::Machine;
use crate::mm::{Mm, MmInner};
use crate::obj::anon_vma_obj;
use crate::vma::{AnonLink, AnonVmaId, Vma, VmaChange, VmaChanges, VmaId};
use ksync::{Kernel, RawRwSem, RwSem};
use mm_types::{Errno, Gfp, MmId, PageRange, Pgoff, Vpn};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `struct anon_vma`: the VMAs that may map the same anonymous pages.
pub(crate) struct AnonVma {
    pub(crate) id: AnonVmaId,
    pub(crate) rwsem: RwSem<AnonTree>,
}

/// VMAs by address space and first page of the object. Within one address space they do not overlap in the object.
#[derive(Default)]
pub(crate) struct AnonTree(BTreeMap<(MmId, Pgoff), PageRange>);

impl AnonTree {
    /// Where the page `index` may be mapped, in order of address spaces.
    pub(crate) fn walk(&self, index: Pgoff) -> SmallVec<[(MmId, Vpn); 2]> {
        let mut found = SmallVec::new();
        // Per address space the last VMA that starts at or below the page is the only one that can hold it.
        let mut next = self.0.keys().next().map(|(mm, _)| *mm);
        while let Some(mm) = next {
            let at = self.0.range((mm, Pgoff(0))..=(mm, index)).next_back();
            if let Some(((_, first), range)) = at
                && index.0 - first.0 < range.nr_pages()
            {
                found.push((mm, range.start() + (index.0 - first.0)));
            }
            next = self.0.range((MmId(mm.0 + 1), Pgoff(0))..).next().map(|((mm, _), _)| *mm);
        }
        found
    }
}

/// How the list of one `anon_vma` changes.
struct Edit {
    anon_vma: AnonVmaId,
    remove: Option<Pgoff>,
    insert: Option<(Pgoff, PageRange)>,
}

type Edits = SmallVec<[Edit; 4]>;

impl Machine {
    /// The `anon_vma` with this id. Somebody who has a VMA or a mapped page of it keeps it.
    pub(crate) fn anon_vma(&self, id: AnonVmaId) -> Option<Arc<AnonVma>> {
        self.anon_vmas.lock().get(u64::from(id.0))?.clone()
    }

    pub(crate) fn new_anon_vma(&self, k: &Kernel) -> AnonVmaId {
        let mut all = self.anon_vmas.lock();
        let key = all.take(k.current_task());
        let id = AnonVmaId(u32::try_from(key).unwrap_or_else(|_| panic!("too many anon_vmas")));
        let raw = RawRwSem::new(self.classes.anon_vma, anon_vma_obj(id.0));
        if let Some(slot) = all.get_mut(key) {
            *slot = Some(Arc::new(AnonVma { id, rwsem: RwSem::from_raw(raw, AnonTree::default()) }));
        }
        id
    }

    /// How many `anon_vma`s there are.
    #[must_use]
    pub fn nr_anon_vmas(&self) -> usize {
        self.anon_vmas.lock().iter().filter(|(_, a)| a.is_some()).count()
    }

    fn free_anon_vma(&self, k: &Kernel, id: AnonVmaId) {
        let mut all = self.anon_vmas.lock();
        if let Some(slot) = all.get_mut(u64::from(id.0)) {
            *slot = None;
        }
        all.give(k.current_task(), u64::from(id.0));
    }

    /// Applies edits, one `anon_vma` after the other, each under its write lock. One without VMAs goes.
    fn apply(&self, k: &Kernel, mm: MmId, mut edits: Edits) {
        while let Some(id) = edits.iter().map(|e| e.anon_vma).min() {
            let Some(anon_vma) = self.anon_vma(id) else { panic!("anon_vma {} went while it was in use", id.0) };
            let empty = {
                let mut tree = anon_vma.rwsem.write();
                let of_this = || edits.iter().filter(|e| e.anon_vma == id);
                for first in of_this().filter_map(|e| e.remove) {
                    tree.0.remove(&(mm, first));
                }
                for (first, range) in of_this().filter_map(|e| e.insert) {
                    tree.0.insert((mm, first), range);
                }
                tree.0.is_empty()
            };
            if empty {
                self.free_anon_vma(k, anon_vma.id);
            }
            edits.retain(|e| e.anon_vma != id);
        }
    }
}

impl MmInner {
    /// The list must follow what happened to `vma`, which now starts at `start` if it is still in the tree.
    fn follow(&mut self, vma: VmaId, start: Vpn, edits: &mut Edits) {
        if let Some((anon_vma, first)) = self.links.remove(&vma) {
            edits.push(Edit { anon_vma, remove: Some(first), insert: None });
        }
        let now = self.tree.find(start).filter(|v| v.id() == vma).copied();
        if let Some((now, link)) = now.and_then(|v| Some((v, v.anon()?))) {
            self.links.insert(vma, (link.anon_vma, now.pgoff()));
            let insert = Some((now.pgoff(), now.range()));
            edits.push(Edit { anon_vma: link.anon_vma, remove: None, insert });
        }
    }
}

impl Mm {
    /// The reverse map follows alterations of VMAs (`vma_complete()`). `mmap_lock` held for writing.
    pub(crate) fn vma_adjusted(&self, k: &Kernel, changes: &VmaChanges) {
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            for change in changes {
                match *change {
                    VmaChange::Created { vma, range, .. } | VmaChange::Removed { vma, range } => {
                        inner.follow(vma, range.start(), &mut edits);
                    }
                    VmaChange::Resized { vma, to, .. } => inner.follow(vma, to.start(), &mut edits),
                    // The VMA that took a link over is resized in the same operation.
                    VmaChange::AnonShared { .. } => {}
                }
            }
        }
        self.machine.apply(k, self.id, edits);
    }

    /// The reverse map follows all VMAs: after an error that left alterations untold.
    pub(crate) fn vma_resync(&self, k: &Kernel) {
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            let all: Vec<(VmaId, Vpn)> = inner.tree.iter().map(|v| (v.id(), v.start())).collect();
            for (vma, start) in all {
                inner.follow(vma, start, &mut edits);
            }
        }
        self.machine.apply(k, self.id, edits);
    }

    /// `unlink_anon_vmas()`: VMAs that were taken out of the tree leave the reverse map, after their entries are cleared.
    pub(crate) fn unlink_anon_vmas(&self, k: &Kernel, vmas: &[Vma]) {
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            for vma in vmas {
                if let Some((anon_vma, first)) = inner.links.remove(&vma.id()) {
                    edits.push(Edit { anon_vma, remove: Some(first), insert: None });
                }
            }
        }
        self.machine.apply(k, self.id, edits);
    }

    /// `anon_vma_prepare()`: the VMA of `vpn` can hold anonymous pages from now on. `mmap_lock` held for reading at
    /// least; may sleep and reclaim. Gives the `anon_vma`, and the page's place in it.
    ///
    /// # Errors
    /// `ENOMEM`.
    ///
    /// Source: `__anon_vma_prepare()`, mm/rmap.c, 6.12.
    pub(crate) fn anon_vma_prepare(&self, k: &Kernel, vpn: Vpn) -> Result<(AnonVmaId, Pgoff), Errno> {
        let vma = self.find_vma(vpn).unwrap_or_else(|| panic!("{vpn} is not mapped"));
        let index = vma.pgoff_at(vpn);
        if let Some(link) = vma.anon() {
            return Ok((link.anon_vma, index));
        }
        k.kmalloc(Gfp::KERNEL, 1)?;
        let shared = self.inner.lock().tree.find_mergeable_anon_vma(&vma);
        let id = shared.unwrap_or_else(|| self.machine.new_anon_vma(k));
        let Some(anon_vma) = self.machine.anon_vma(id) else { panic!("anon_vma {} went under mmap_lock", id.0) };
        let link = {
            let mut tree = anon_vma.rwsem.write();
            let _lock = self.page_table_lock.lock();
            let mut inner = self.inner.lock();
            match inner.tree.find(vpn).and_then(Vma::anon) {
                // Another fault was faster.
                Some(link) => link,
                None => {
                    let link = AnonLink::own(id);
                    inner.tree.set_anon(vpn, Some(link));
                    inner.links.insert(vma.id(), (id, vma.pgoff()));
                    tree.0.insert((self.id, vma.pgoff()), vma.range());
                    link
                }
            }
        };
        if shared.is_none() && link.anon_vma != id {
            self.machine.free_anon_vma(k, id);
        }
        Ok((link.anon_vma, index))
    }
}
