//! The reverse map of anonymous pages: from a frame to the entries that may map it. That of file pages is in
//! `page_cache.rs`.
//!
//! A frame names its `anon_vma` and its place in it; an `anon_vma` lists the VMAs that may map its pages. Fork adds a
//! generation: the child's VMA is listed in every `anon_vma` of the parent's VMA, for the pages it inherits, and in one of
//! its own, for those it copies. So a VMA has a [`Chain`] of them, and an `anon_vma` a [`Family`]: all that descend from
//! one root, whose lock is the lock of each.
//!
//! Lock: `&anon_vma->rwsem` of the root, for reading by walkers (reclaim), for writing by whoever alters a VMA that is
//! listed. Taken inside `mmap_lock`, outside of page-table locks.
//!
//! Sources: mm/rmap.c; `vma_prepare()`, `vma_complete()`, mm/vma.c, 6.12.

use crate::frames::{BLOCK_FRAMES, Frame};
use crate::huge::{pmd_base, pmd_range};
use crate::machine::Machine;
use crate::mm::{Mm, MmInner};
use crate::obj::anon_vma_obj;
use crate::vma::{AnonLink, AnonVmaId, Vma, VmaChange, VmaChanges, VmaId, VmaKind};
use ksync::{Kernel, RawRwSem, RwSem};
use mm_types::{Errno, Gfp, MmId, PageRange, Pfn, Pgoff, VmFlags, Vpn};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `struct anon_vma`: the VMAs that may map the same anonymous pages.
#[derive(Clone)]
pub(crate) struct AnonVma {
    pub(crate) id: AnonVmaId,
    /// The first of the family, whose lock is used.
    pub(crate) root: AnonVmaId,
    pub(crate) rwsem: Arc<RwSem<Family>>,
}

/// The `anon_vma`s of one VMA, the oldest first; its own, which its new pages go to, is mostly the last
/// (`vma->anon_vma_chain`, the other way round).
pub(crate) type Chain = SmallVec<[AnonVmaId; 2]>;

/// What one root's lock protects: which VMAs are listed in each `anon_vma` of the family, and who descends from whom.
#[derive(Default)]
pub(crate) struct Family {
    listed: BTreeMap<ListKey, Listed>,
    /// Not of the root.
    parents: BTreeMap<AnonVmaId, AnonVmaId>,
    /// How many of those listed have so many pages: how far before a page a VMA that maps it may begin.
    lengths: BTreeMap<u64, u32>,
}

/// By address space and first page of the object, so that in one address space an older VMA comes before a copy of it.
type ListKey = (AnonVmaId, MmId, Pgoff, VmaId);

#[derive(Clone, Copy)]
struct Listed {
    range: PageRange,
    /// It is the VMA's own `anon_vma` (`vma->anon_vma`).
    own: bool,
}

impl Family {
    /// Where the page `index` of one `anon_vma` may be mapped, in order of address spaces.
    pub(crate) fn walk(&self, id: AnonVmaId, index: Pgoff) -> SmallVec<[(MmId, Vpn); 2]> {
        let mut found = SmallVec::new();
        let longest = self.lengths.last_key_value().map_or(0, |(pages, _)| *pages);
        let lowest = Pgoff(index.0.saturating_sub(longest));
        let mut from = Some(MmId(0));
        while let Some(mm) = from.and_then(|from| self.first_mm(id, from)) {
            let reach = (id, mm, lowest, VmaId(0))..=(id, mm, index, VmaId(u32::MAX));
            for ((_, _, first, _), listed) in self.listed.range(reach) {
                if index.0 - first.0 < listed.range.nr_pages() {
                    found.push((mm, listed.range.start() + (index.0 - first.0)));
                }
            }
            from = mm.0.checked_add(1).map(MmId);
        }
        found
    }

    /// The lowest address space from `from` on that has a VMA in the list.
    fn first_mm(&self, id: AnonVmaId, from: MmId) -> Option<MmId> {
        let all = (id, from, Pgoff(0), VmaId(0))..=(id, MmId(u32::MAX), Pgoff(u64::MAX), VmaId(u32::MAX));
        self.listed.range(all).next().map(|((_, mm, _, _), _)| *mm)
    }

    fn list(&self, id: AnonVmaId) -> impl Iterator<Item = &Listed> {
        let all = (id, MmId(0), Pgoff(0), VmaId(0))..=(id, MmId(u32::MAX), Pgoff(u64::MAX), VmaId(u32::MAX));
        self.listed.range(all).map(|(_, listed)| listed)
    }

    fn insert(&mut self, key: ListKey, listed: Listed) {
        *self.lengths.entry(listed.range.nr_pages()).or_default() += 1;
        let before = self.listed.insert(key, listed);
        self.forget_length(before);
    }

    fn remove(&mut self, key: &ListKey) {
        let before = self.listed.remove(key);
        self.forget_length(before);
    }

    fn forget_length(&mut self, gone: Option<Listed>) {
        let Some(pages) = gone.map(|listed| listed.range.nr_pages()) else { return };
        if let Some(count) = self.lengths.get_mut(&pages) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&pages);
            }
        }
    }

    /// Whether a child's VMA may use it as its own: nobody's own any more, with one descendant at most, so that forking
    /// again and again does not make chains longer and longer. Never the root. Source: `anon_vma_clone()`.
    fn is_reusable(&self, id: AnonVmaId) -> bool {
        self.parents.contains_key(&id)
            && self.parents.values().filter(|parent| **parent == id).count() < 2
            && !self.list(id).any(|listed| listed.own)
    }
}

/// Where one VMA stands in the reverse map.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// invariant: not empty
    chain: Chain,
    /// Its own.
    own: AnonVmaId,
    /// The first page of the object it is listed under; `None` while an operation is about to list it.
    first: Option<Pgoff>,
}

/// How the lock of a reverse map is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RmapLock {
    /// For reading, by trylock first.
    Read,
    /// Waited for: that of anonymous pages for writing, as a split of them needs it.
    Write,
}

/// The pages of a folio that one VMA may map.
pub(crate) struct FolioPlace {
    pub(crate) mm: Arc<Mm>,
    /// invariant: not empty, consecutive
    pub(crate) pages: Vec<(Vpn, Pfn)>,
}

impl FolioPlace {
    /// The pages by the table that maps them: a folio that was moved can lie in two.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &[(Vpn, Pfn)]> {
        self.pages.chunk_by(|(a, _), (b, _)| pmd_base(*a) == pmd_base(*b))
    }

    /// What of the VMA the folio may be mapped at.
    pub(crate) fn range(&self) -> PageRange {
        let (first, last) = (self.pages[0].0, self.pages[self.pages.len() - 1].0);
        PageRange::new(first, last + 1).unwrap_or_else(|_| panic!("{first} is after {last}"))
    }
}

/// How the list of one `anon_vma` changes.
struct Edit {
    anon_vma: AnonVmaId,
    vma: VmaId,
    remove: Option<Pgoff>,
    insert: Option<(Pgoff, Listed)>,
}

type Edits = SmallVec<[Edit; 4]>;

impl Machine {
    /// The `anon_vma` with this id. Somebody who has a VMA or a mapped page of it keeps it.
    pub(crate) fn anon_vma(&self, id: AnonVmaId) -> Option<AnonVma> {
        self.anon_vmas.lock().get(u64::from(id.get()))?.clone()
    }

    /// An `anon_vma` of a family of its own (`anon_vma_alloc()`).
    pub(crate) fn new_anon_vma(&self, k: &Kernel) -> AnonVmaId {
        self.add_anon_vma(k, |id| {
            let raw = RawRwSem::new(self.classes.anon_vma, anon_vma_obj(id.get()));
            AnonVma { id, root: id, rwsem: Arc::new(RwSem::from_raw(raw, Family::default())) }
        })
    }

    fn add_anon_vma(&self, k: &Kernel, make: impl FnOnce(AnonVmaId) -> AnonVma) -> AnonVmaId {
        let mut all = self.anon_vmas.lock();
        let key = all.take(k.current_task());
        let id = AnonVmaId::new(u32::try_from(key).unwrap_or_else(|_| panic!("too many anon_vmas")));
        if let Some(slot) = all.get_mut(key) {
            *slot = Some(make(id));
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
        if let Some(slot) = all.get_mut(u64::from(id.get())) {
            *slot = None;
        }
        all.give(k.current_task(), u64::from(id.get()));
    }

    /// `rmap_walk()`: calls `f` for each place where the page of `frame` may be mapped, with the reverse map's lock held for
    /// reading: taken by trylock, and only if that fails waited for. May sleep.
    pub(crate) fn rmap_walk(&self, frame: &Frame, mut f: impl FnMut(&Mm, Vpn)) {
        self.rmap_walk_until(frame, |mm, vpn| {
            f(mm, vpn);
            false
        });
    }

    /// The same for a page that is being unmapped: the walk ends when nothing maps it any more (`folio_not_mapped()`).
    pub(crate) fn rmap_walk_mapped(&self, frame: &Frame, pfn: Pfn, mut f: impl FnMut(&Mm, Vpn)) {
        self.rmap_walk_until(frame, |mm, vpn| {
            f(mm, vpn);
            self.frame(pfn).mapcount == 0
        });
    }

    /// The same, until `f` says that it is done.
    fn rmap_walk_until(&self, frame: &Frame, mut f: impl FnMut(&Mm, Vpn) -> bool) {
        let mut visit = |places: SmallVec<[(MmId, Vpn); 2]>| {
            for (mm, vpn) in places {
                if let Some(mm) = self.mm(mm)
                    && f(&mm, vpn)
                {
                    return;
                }
            }
        };
        if let Some(inode) = frame.mapping {
            let i_mmap = self.files.lock().i_mmap(inode);
            let mappings = match i_mmap.try_read() {
                Some(mappings) => mappings,
                None => i_mmap.read(),
            };
            visit(mappings.walk(frame.index));
        } else if let Some(anon_vma) = frame.anon_vma.and_then(|id| self.anon_vma(id)) {
            let family = match anon_vma.rwsem.try_read() {
                Some(family) => family,
                None => anon_vma.rwsem.read(),
            };
            visit(family.walk(anon_vma.id, frame.index));
        }
    }

    /// Runs `f` with the places where the pages of a folio may be mapped, by VMA, the reverse map's lock held as `how`
    /// says. `None` for a page that has no reverse map.
    pub(crate) fn with_folio_places<R>(
        &self,
        head: Pfn,
        how: RmapLock,
        f: impl FnOnce(&[FolioPlace]) -> R,
    ) -> Option<R> {
        let frame = self.frame(head);
        if let Some(inode) = frame.mapping {
            let i_mmap = self.files.lock().i_mmap(inode);
            let tried = if how == RmapLock::Read { i_mmap.try_read() } else { None };
            let mappings = tried.unwrap_or_else(|| i_mmap.read());
            return Some(f(&self.folio_places(head, |frame| mappings.walk(frame.index))));
        }
        let anon_vma = frame.anon_vma.and_then(|id| self.anon_vma(id))?;
        let walk = |family: &Family, frame: &Frame| family.walk(frame.anon_vma.unwrap_or(anon_vma.id), frame.index);
        if how == RmapLock::Write {
            let family = anon_vma.rwsem.write();
            return Some(f(&self.folio_places(head, |frame| walk(&family, frame))));
        }
        let family = anon_vma.rwsem.try_read().unwrap_or_else(|| anon_vma.rwsem.read());
        Some(f(&self.folio_places(head, |frame| walk(&family, frame))))
    }

    fn folio_places(&self, head: Pfn, walk: impl Fn(&Frame) -> SmallVec<[(MmId, Vpn); 2]>) -> Vec<FolioPlace> {
        let nr_pages = if self.is_huge(head) { BLOCK_FRAMES } else { 1 };
        let mut places: Vec<(MmId, VmaId, FolioPlace)> = Vec::new();
        for pfn in (head.0..head.0 + nr_pages).map(Pfn) {
            for (id, vpn) in walk(&self.frame(pfn)) {
                let Some(mm) = self.mm(id) else { continue };
                let Some(vma) = mm.find_vma(vpn) else { continue };
                match places.iter_mut().find(|(of, in_vma, _)| (*of, *in_vma) == (id, vma.id())) {
                    Some((_, _, place)) => place.pages.push((vpn, pfn)),
                    None => places.push((id, vma.id(), FolioPlace { mm, pages: vec![(vpn, pfn)] })),
                }
            }
        }
        places.into_iter().map(|(_, _, place)| place).collect()
    }

    fn anon_vma_in_use(&self, id: AnonVmaId) -> AnonVma {
        self.anon_vma(id).unwrap_or_else(|| panic!("anon_vma {} went while it was in use", id.get()))
    }

    /// Applies edits, one family after the other, each under its write lock. An `anon_vma` without VMAs goes: whoever is
    /// listed in a descendant is listed in its ancestors too, so it has none.
    fn apply(&self, k: &Kernel, mm: MmId, mut edits: Edits) {
        while let Some(id) = edits.iter().map(|e| e.anon_vma).min() {
            let anon_vma = self.anon_vma_in_use(id);
            let here: SmallVec<[AnonVmaId; 4]> =
                edits.iter().map(|e| e.anon_vma).filter(|id| self.anon_vma_in_use(*id).root == anon_vma.root).collect();
            let mut empty = SmallVec::<[AnonVmaId; 4]>::new();
            {
                let mut family = anon_vma.rwsem.write();
                let of_this = || edits.iter().filter(|e| here.contains(&e.anon_vma));
                for (edit, first) in of_this().filter_map(|e| Some((e, e.remove?))) {
                    family.remove(&(edit.anon_vma, mm, first, edit.vma));
                }
                for (edit, (first, listed)) in of_this().filter_map(|e| Some((e, e.insert?))) {
                    family.insert((edit.anon_vma, mm, first, edit.vma), listed);
                }
                for id in &here {
                    if family.list(*id).next().is_none() && !empty.contains(id) {
                        family.parents.remove(id);
                        empty.push(*id);
                    }
                }
            }
            for id in empty {
                self.free_anon_vma(k, id);
            }
            edits.retain(|e| !here.contains(&e.anon_vma));
        }
    }
}

impl MmInner {
    /// The lists must follow what happened to `vma`, which now starts at `start` if it is still in the tree.
    fn follow(&mut self, vma: VmaId, start: Vpn, edits: &mut Edits) {
        let now = self.tree.find(start).filter(|v| v.id() == vma).copied();
        let anon = now.and_then(|v| Some((v, v.anon()?)));
        if let Some(link) = self.links.get_mut(&vma) {
            let (own, first) = (link.own, link.first.take());
            edits.extend(link.chain.iter().map(|id| Edit { anon_vma: *id, vma, remove: first, insert: None }));
            debug_assert!(anon.is_none_or(|(_, anon)| anon.anon_vma == own), "a VMA changed its anon_vma");
        }
        if let Some((now, anon)) = anon {
            let link = self.links.entry(vma).or_insert_with(|| Link {
                chain: SmallVec::from_slice(&[anon.anon_vma]),
                own: anon.anon_vma,
                first: None,
            });
            link.first = Some(now.pgoff());
            let own = link.own;
            edits.extend(link.chain.iter().map(|id| {
                let listed = Listed { range: now.range(), own: *id == own };
                Edit { anon_vma: *id, vma, remove: None, insert: Some((now.pgoff(), listed)) }
            }));
        }
    }

    /// A VMA that came from another is listed where that one is (`anon_vma_clone()` without a choice of its own).
    fn inherit(&mut self, vma: VmaId, from: VmaId) {
        if let Some(link) = self.links.get(&from) {
            let link = Link { first: None, ..link.clone() };
            self.links.insert(vma, link);
        }
    }

    /// A VMA leaves the reverse map.
    fn leave(&mut self, vma: VmaId, edits: &mut Edits) {
        if let Some(link) = self.links.remove(&vma) {
            let gone = |id: &AnonVmaId| Edit { anon_vma: *id, vma, remove: link.first, insert: None };
            edits.extend(link.chain.iter().map(gone));
        }
    }
}

impl Mm {
    /// The reverse map follows alterations of VMAs (`vma_complete()`). `mmap_lock` held for writing.
    pub(crate) fn vma_adjusted(&self, k: &Kernel, changes: &VmaChanges) {
        for change in changes {
            match *change {
                VmaChange::Resized { vma, .. } | VmaChange::Removed { vma, .. } => self.vma_start_write(vma),
                VmaChange::Created { .. } | VmaChange::AnonShared { .. } => {}
            }
        }
        self.split_huge_at_ends(k, changes);
        self.file_vmas_adjusted(changes);
        let mut edits = Edits::new();
        {
            let mut inner = self.inner.lock();
            for change in changes {
                match *change {
                    VmaChange::Created { vma, range, split_from } => {
                        if let Some(from) = split_from {
                            inner.inherit(vma, from);
                        }
                        inner.follow(vma, range.start(), &mut edits);
                    }
                    VmaChange::Removed { vma, .. } => inner.leave(vma, &mut edits),
                    VmaChange::Resized { vma, to, .. } => inner.follow(vma, to.start(), &mut edits),
                    // The VMA that took a link over is resized in the same operation.
                    VmaChange::AnonShared { .. } => {}
                }
            }
        }
        self.machine.apply(k, self.id, edits);
    }

    /// A VMA that ends inside of what one PMD entry maps, and went beyond it before, has that entry split: announced
    /// whenever there is a PMD table, whether a huge page is there or not.
    ///
    /// Source: `vma_adjust_trans_huge()`, `split_huge_pmd_if_needed()`, mm/huge_memory.c, 6.12.
    fn split_huge_at_ends(&self, k: &Kernel, changes: &VmaChanges) {
        for change in changes {
            let VmaChange::Resized { vma, from, to } = *change else { continue };
            for at in [to.start(), to.end()] {
                if from.start() < at && at < from.end() {
                    self.split_huge_at(k, vma, from, at);
                }
            }
        }
    }

    fn split_huge_at(&self, k: &Kernel, vma: VmaId, from: PageRange, at: Vpn) {
        let (own, now) = {
            let inner = self.inner.lock();
            let part = inner.tree.find(at).or_else(|| inner.tree.find(Vpn(at.0 - 1)));
            (inner.links.get(&vma).map(|link| link.own), part.copied())
        };
        let Some(now) = now else { return };
        let hugetlb = now.flags().contains(VmFlags::HUGETLB);
        let covered = pmd_base(at) != at && from.covers(pmd_range(at)) && self.tables.has_pmd_table(at);
        if !hugetlb && !covered {
            return;
        }
        let i_mmap = match now.kind() {
            VmaKind::File(file) => Some(self.machine.i_mmap(file).1),
            VmaKind::Anon | VmaKind::Special(_) => None,
        };
        let _mappings = i_mmap.as_ref().map(|i_mmap| i_mmap.write());
        if hugetlb {
            self.hugetlb_split(k, from, now.flags(), at);
            return;
        }
        let anon_vma = own.and_then(|id| self.machine.anon_vma(id));
        let _family = anon_vma.as_ref().map(|anon_vma| anon_vma.rwsem.write());
        self.split_huge_pmd(k, at);
    }

    /// The reverse map follows all VMAs: after an error that left alterations untold.
    pub(crate) fn vma_resync(&self, k: &Kernel) {
        self.file_vmas_resync();
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
                inner.leave(vma.id(), &mut edits);
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
        let anon_vma = self.machine.anon_vma_in_use(id);
        let link = {
            let mut family = anon_vma.rwsem.write();
            let _lock = self.page_table_lock.lock();
            let mut inner = self.inner.lock();
            match inner.tree.find(vpn).and_then(Vma::anon) {
                // Another fault was faster.
                Some(link) => link,
                None => {
                    let link = AnonLink::own(id);
                    inner.tree.set_anon(vpn, Some(link));
                    let chain = SmallVec::from_slice(&[id]);
                    inner.links.insert(vma.id(), Link { chain, own: id, first: Some(vma.pgoff()) });
                    family.insert((id, self.id, vma.pgoff(), vma.id()), Listed { range: vma.range(), own: true });
                    link
                }
            }
        };
        if shared.is_none() && link.anon_vma != id {
            self.machine.free_anon_vma(k, id);
        }
        Ok((link.anon_vma, index))
    }

    /// `anon_vma_fork()`: the child's copy of a VMA of `parent` is to be listed in every `anon_vma` of that one, and gets
    /// one of its own, or an older one that nobody else uses any more. Gives its link; the VMA is not in the child's tree
    /// yet, and is listed when [`Mm::vma_adjusted`] hears of it. Both `mmap_lock`s held for writing; may sleep.
    ///
    /// # Errors
    /// `ENOMEM`; nothing has happened.
    pub(crate) fn anon_vma_fork(&self, k: &Kernel, parent: &Mm, vma: &Vma, copy: VmaId) -> Result<AnonLink, Errno> {
        let link = parent.inner.lock().links.get(&vma.id()).cloned();
        let link = link.unwrap_or_else(|| panic!("{} has anonymous pages and is not listed", vma.range()));
        k.kmalloc(Gfp::KERNEL, 1)?;
        let of_parent = self.machine.anon_vma_in_use(link.own);
        let mut chain = link.chain;
        let own = {
            let mut family = of_parent.rwsem.write();
            chain.iter().copied().find(|id| family.is_reusable(*id)).unwrap_or_else(|| {
                let own = self.machine.add_anon_vma(k, |id| AnonVma { id, ..of_parent.clone() });
                family.parents.insert(own, link.own);
                chain.push(own);
                own
            })
        };
        self.inner.lock().links.insert(copy, Link { chain, own, first: None });
        Ok(AnonLink::inherited(own))
    }
}
