//! Reclaim of huge pages. Linux: `shrink_folio_list()`, mm/vmscan.c; `try_to_unmap_one()`, mm/rmap.c; `add_to_swap()`,
//! mm/swap_state.c, 6.12.
//!
//! An anonymous one goes to swap as a whole, in 512 slots: one CLEAR bracket for what a VMA maps of it, inside which the entry
//! of the PMD table is split and each of the 512 entries is cleared and flushed. Where swap has no room it is split, and its
//! pages are reclaimed one by one. One that `MADV_FREE` was said of is dropped, unless it was written since. A page of a file
//! loses its mappings and stays.

use crate::frames::{BLOCK_FRAMES, Frame, FrameFlags};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::obj::frame_obj;
use crate::page_table::{Pmd, PteGuard};
use crate::reclaim::Unmap;
use crate::rmap::{FolioPlace, RmapLock};
use crate::unmap_batch::UnmapBatch;
use ksync::Kernel;
use mm_types::{Gfp, PageRange, Pfn, Pte, VmFlags, Vpn};

impl Machine {
    /// Reclaims the huge page whose first frame is `head`. Gives how many frames were freed.
    pub(crate) fn reclaim_huge(&self, k: &Kernel, head: Pfn, gfp: Gfp, batch: &mut UnmapBatch<'_>) -> u64 {
        if !self.try_get_page(k, head) {
            return 0;
        }
        let done = {
            let lock = self.folio_lock(head);
            match lock.try_lock() {
                Some(_folio) => self.shrink_huge_folio(k, head, gfp, batch),
                None => Shrunk::Kept,
            }
        };
        match done {
            Shrunk::Frozen => {
                batch.free(k, head);
                BLOCK_FRAMES
            }
            Shrunk::Kept => {
                self.put_page(k, head);
                0
            }
            Shrunk::Split => {
                self.put_page(k, head);
                let pages = (head.0..head.0 + BLOCK_FRAMES).map(Pfn);
                pages.map(|pfn| self.reclaim_folio(k, pfn, gfp, batch)).sum()
            }
        }
    }

    /// The folio locked, with a reference of this caller.
    fn shrink_huge_folio(&self, k: &Kernel, head: Pfn, gfp: Gfp, batch: &mut UnmapBatch<'_>) -> Shrunk {
        let frame = self.frame(head);
        if frame.pins > 0 || frame.refcount == 0 || frame.flags.contains(FrameFlags::HUGETLB) {
            return Shrunk::Kept;
        }
        if !frame.flags.contains(FrameFlags::ANON) {
            self.unmap_huge(k, head, Unmap::Drop, batch);
            return Shrunk::Kept;
        }
        let in_swap_cache = frame.flags.contains(FrameFlags::SWAPCACHE);
        if frame.flags.contains(FrameFlags::LAZYFREE) && !in_swap_cache {
            self.unmap_huge(k, head, Unmap::Drop, batch);
            return if self.freeze(k, head, 1) { Shrunk::Frozen } else { Shrunk::Kept };
        }
        if !in_swap_cache && (!gfp.contains(Gfp::IO) || !self.add_huge_to_swap(k, head)) {
            let split = gfp.contains(Gfp::IO) && self.split_locked(k, head);
            return if split { Shrunk::Split } else { Shrunk::Kept };
        }
        self.unmap_huge(k, head, Unmap::Swap(frame.slot()), batch);
        if self.folio_mapcount(head) > 0 {
            self.leave_swap_cache(k, head);
            return Shrunk::Kept;
        }
        batch.flush_dirty(k);
        for pfn in (head.0..head.0 + BLOCK_FRAMES).map(Pfn) {
            self.swap_writepage(k, pfn, self.frame(pfn).slot());
        }
        batch.before_remove_mapping(k);
        // This caller's reference, and one of the cache for each page.
        if !self.freeze(k, head, 1 + BLOCK_FRAMES as u32) {
            return Shrunk::Kept;
        }
        (head.0..head.0 + BLOCK_FRAMES).map(Pfn).for_each(|pfn| self.delete_from_swap_cache(k, pfn));
        Shrunk::Frozen
    }

    fn unmap_huge(&self, k: &Kernel, head: Pfn, how: Unmap, batch: &mut UnmapBatch<'_>) {
        self.with_folio_places(head, RmapLock::Read, |places| {
            places.iter().for_each(|place| place.mm.try_to_unmap_place(k, head, place, how, Some(batch)));
        });
    }

    /// 512 slots, or none (`folio_alloc_swap()` with `CONFIG_THP_SWAP`).
    fn add_huge_to_swap(&self, k: &Kernel, head: Pfn) -> bool {
        if self.swap_room() < BLOCK_FRAMES {
            return false;
        }
        (head.0..head.0 + BLOCK_FRAMES).map(Pfn).all(|pfn| self.add_to_swap(k, pfn).is_some())
    }

    /// A page that stays mapped: those of its pages that no entry names in swap leave the swap cache.
    fn leave_swap_cache(&self, k: &Kernel, head: Pfn) {
        for pfn in (head.0..head.0 + BLOCK_FRAMES).map(Pfn) {
            let frame = self.frame(pfn);
            if frame.flags.contains(FrameFlags::SWAPCACHE) && !self.swap_in_use(frame.slot()) {
                self.delete_from_swap_cache(k, pfn);
                self.put_page(k, head);
            }
        }
    }

    /// Whether `references` are all there are, and nothing maps it: then there are none.
    fn freeze(&self, k: &Kernel, head: Pfn, references: u32) -> bool {
        k.visible_write(frame_obj(head));
        let unmapped = self.folio_mapcount(head) == 0;
        self.with_frame(head, |f| {
            let ours = unmapped && f.refcount == references;
            if ours {
                f.refcount = 0;
            }
            ours
        })
    }
}

enum Shrunk {
    /// No reference is left, not even the caller's: it may be freed.
    Frozen,
    Kept,
    /// It is 512 pages now.
    Split,
}

impl Mm {
    /// `try_to_unmap_one()` of a huge page, with `TTU_SPLIT_HUGE_PMD`: one CLEAR bracket of what the VMA maps of it.
    pub(crate) fn try_to_unmap_place(
        &self,
        k: &Kernel,
        head: Pfn,
        place: &FolioPlace,
        how: Unmap,
        mut batch: Option<&mut UnmapBatch<'_>>,
    ) {
        let bracket = self.subs.invalidate_range_start(self.clear_of(self.announced(place)));
        let maps_all = |pmd: Option<Pte>| pmd.and_then(Pte::mapped_pfn) == Some(head);
        let lazyfree = how == Unmap::Drop && self.machine.frame(head).flags.contains(FrameFlags::LAZYFREE);
        for pages in place.tables() {
            let first = pages[0].0;
            if maps_all(self.peek_huge(k, first)) {
                self.with_pmd(first, |pmd| {
                    if maps_all(pmd.huge()) {
                        pmd.split(k);
                    }
                });
            }
            let Pmd::Table(leaf) = self.tables.pmd(first) else { continue };
            let ptes = leaf.lock();
            if lazyfree && !self.discard_lazyfree_ptes(k, head, pages, &ptes, batch.as_deref_mut()) {
                break;
            }
            for (vpn, pfn) in pages.iter().filter(|_| !lazyfree) {
                let how = match how {
                    Unmap::Swap(_) => Unmap::Swap(self.machine.frame(*pfn).slot()),
                    other => other,
                };
                self.unmap_pte(k, &ptes, (*vpn, *pfn), how, batch.as_deref_mut());
            }
        }
        bracket.end();
    }

    /// The entries of a page that `MADV_FREE` was said of in one table go together, unless one of them or the page was written
    /// since, or somebody holds it. Whether they went.
    ///
    /// Source: `folio_unmap_pte_batch()`, mm/rmap.c, since 6.16; before, the entries below the first that was written went. A
    /// running 6.18 splits the entry of the PMD table first, as 6.12 does.
    fn discard_lazyfree_ptes(
        &self,
        k: &Kernel,
        head: Pfn,
        pages: &[(Vpn, Pfn)],
        ptes: &PteGuard<'_>,
        batch: Option<&mut UnmapBatch<'_>>,
    ) -> bool {
        let machine = &self.machine;
        let flags = self.find_vma(pages[0].0).map_or(VmFlags::empty(), |vma| vma.flags());
        if flags.contains(VmFlags::LOCKED) {
            return false;
        }
        let mapped = |(vpn, pfn): &&(Vpn, Pfn)| ptes.get(*vpn).mapped_pfn() == Some(*pfn);
        let cleared = |(vpn, pfn): &(Vpn, Pfn)| (*vpn, *pfn, ptes.clear_seeing_cpus(k, *vpn));
        let old: Vec<(Vpn, Pfn, Pte)> = pages.iter().filter(mapped).map(cleared).collect();
        if let Some(batch) = batch.filter(|_| self.tlb.has_run_elsewhere(machine.cpu(k))) {
            old.iter().for_each(|(vpn, _, pte)| batch.put_off_flush(k, self, ptes, (*vpn, *pte), true));
        } else if let Ok(range) = PageRange::new(pages[0].0, pages[pages.len() - 1].0 + 1) {
            self.flush_tlb_range(k, range);
        }
        let frame = machine.frame(head);
        let dirty = frame.flags.contains(FrameFlags::DIRTY) || old.iter().any(|(_, _, pte)| pte.is_dirty());
        let written = dirty && !flags.contains(VmFlags::DROPPABLE) || !frame.flags.contains(FrameFlags::LAZYFREE);
        if written {
            let keep = |f: &mut Frame| f.flags = f.flags.difference(FrameFlags::LAZYFREE) | FrameFlags::DIRTY;
            machine.with_subpages(head, |_, f| keep(f));
        }
        if written || frame.refcount != machine.folio_mapcount(head) + 1 || frame.pins > 0 {
            old.iter().for_each(|(vpn, _, pte)| ptes.set(k, *vpn, *pte));
            return false;
        }
        for (_, pfn, _) in old {
            machine.remove_rmap(pfn, self.id);
            machine.put_page(k, pfn);
        }
        true
    }
}
