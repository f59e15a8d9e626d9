//! Reclaim: pages are unmapped through the reverse map, written to swap (anonymous ones) or left with their file, freed.
//!
//! No `mmap_lock`: any task may be here, in the middle of an allocation. Order of locks: `fs_reclaim` (map), the folio
//! (trylock), `&anon_vma->rwsem` or `&mapping->i_mmap_rwsem` (for reading, trylock first), the notifier, the page-table lock.
//!
//! Flushes are put off for several pages, and so is freeing them (`unmap_batch.rs`).
//!
//! Sources: `shrink_folio_list()`, mm/vmscan.c; `try_to_unmap_one()`, mm/rmap.c, 6.12. Which page goes the schedule chooses, or
//! the caller names it, or, under pressure, the lists say it (`lru.rs`).

use crate::file::Inode;
use crate::file_locks::Fs;
use crate::frames::{Frame, FrameFlags};
use crate::lru::Lists;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{MachineObj, frame_obj, machine_obj, slot_obj};
use crate::page_table::{Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::shrinker::DEF_PRIORITY;
use crate::unmap_batch::UnmapBatch;
use ksync::{FsReclaim, Kernel, Op, current};
use mm_types::{Gfp, PageRange, Pfn, Pte, VmFlags, Vpn};
use trace::{EventKind, NotifyEvent, NotifyRange};

/// What an entry of a page that is unmapped becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unmap {
    /// It names the slot the page goes to.
    Swap(u64),
    /// Empty: the page's file has it, or it is to be dropped.
    Drop,
    /// It says that the page's memory failed.
    Poison,
}

impl Machine {
    /// Reclaims `nr_pages` pages, each chosen by the schedule among the reclaimable ones, and calls all shrinkers: what `kswapd`
    /// or another task's reclaim would do. Gives how many pages were freed.
    pub fn shrink(&self, nr_pages: u64) -> u64 {
        current(|k| {
            self.reclaim_section(k, |machine| {
                let freed = machine.shrink_chosen(k, nr_pages);
                if !machine.has_shrinkers() {
                    return freed;
                }
                machine.shrink_slab(k, Gfp::KERNEL, 0);
                // What they gave back may be had now.
                freed + machine.shrink_chosen(k, nr_pages.saturating_sub(freed))
            })
        })
    }

    fn shrink_chosen(&self, k: &Kernel, nr_pages: u64) -> u64 {
        self.with_unmap_batch(k, |batch| {
            let mut freed = 0;
            // A huge page counts for all its pages.
            for _ in 0..nr_pages {
                if freed >= nr_pages {
                    break;
                }
                freed += self.reclaim_chosen(k, Gfp::KERNEL, batch);
            }
            freed
        })
    }

    /// `reclaim_folio_list()`: these pages, in order, whether they are in use or not. Gives how many frames were freed.
    pub(crate) fn reclaim_folio_list(&self, k: &Kernel, victims: &[Pfn], gfp: Gfp) -> u64 {
        self.with_unmap_batch(k, |batch| victims.iter().map(|pfn| self.reclaim_folio(k, *pfn, gfp, batch)).sum())
    }

    /// `do_try_to_free_pages()`, or a round of `balance_pgdat()`: frees up to `nr_pages` pages; calls the shrinkers, which are asked
    /// for more each time that it is not enough. Gives how many pages were freed.
    #[track_caller]
    pub(crate) fn shrink_node(&self, k: &Kernel, gfp: Gfp, nr_pages: u64) -> u64 {
        let mut lists = self.lru_lists();
        let mut freed = self.shrink_by_priority(k, &mut lists, gfp, nr_pages, false);
        if freed == 0 && lists.skipped_deactivate {
            freed = self.shrink_by_priority(k, &mut lists, gfp, nr_pages, true);
        }
        freed
    }

    fn shrink_by_priority(&self, k: &Kernel, lists: &mut Lists, gfp: Gfp, nr_pages: u64, force: bool) -> u64 {
        let mut freed = 0;
        for priority in (0..=DEF_PRIORITY).rev() {
            freed += self.shrink_lruvec(k, lists, gfp, priority, nr_pages - freed, force);
            self.shrink_slab(k, gfp, priority);
            if freed >= nr_pages {
                break;
            }
        }
        freed
    }

    /// Runs `f` as reclaim that nobody's allocation asked for.
    pub(crate) fn reclaim_section(&self, k: &Kernel, f: impl FnOnce(&Machine) -> u64) -> u64 {
        let _map = FsReclaim::acquire(Gfp::KERNEL);
        k.with_memalloc(|| {
            k.emit(EventKind::ReclaimStart { direct: false });
            let freed = f(self);
            k.emit(EventKind::ReclaimEnd { freed });
            freed
        })
    }

    /// The frames reclaim may take, in order of their numbers.
    pub(crate) fn reclaimable(&self) -> Vec<Pfn> {
        let frames = self.frames.lock();
        frames.iter().filter(|(_, f)| is_reclaimable(f)).map(|(pfn, _)| pfn).collect()
    }

    /// Reclaims one page, or one huge page: gives how many frames that frees, at the end of the batch at the latest. It stays when somebody has its lock, a device
    /// has pinned it, swap is full, or somebody holds a reference (then it stays in the swap cache, unmapped). Sync point
    /// `mm.reclaim`.
    pub(crate) fn reclaim_folio(&self, k: &Kernel, pfn: Pfn, gfp: Gfp, batch: &mut UnmapBatch<'_>) -> u64 {
        k.sync_reached(NAMES.mm_reclaim);
        let freed = if self.is_huge(pfn) {
            self.reclaim_huge(k, self.head(pfn), gfp, batch)
        } else {
            u64::from(self.reclaim_isolated(k, pfn, gfp, batch))
        };
        k.sync_passed(NAMES.mm_reclaim);
        freed
    }

    fn reclaim_isolated(&self, k: &Kernel, pfn: Pfn, gfp: Gfp, batch: &mut UnmapBatch<'_>) -> bool {
        if !self.try_get_page(k, pfn) {
            return false;
        }
        let frozen = {
            let lock = self.folio_lock(pfn);
            let folio = lock.try_lock();
            folio.is_some() && self.shrink_folio(k, pfn, gfp, batch)
        };
        if frozen {
            batch.free(k, pfn);
        } else {
            self.settle_swap_cache(k, pfn, self.frame(pfn).slot());
            self.put_page(k, pfn);
        }
        frozen
    }

    /// One folio of `shrink_folio_list()`, locked and with a reference of this caller. Whether it has no reference left, not even
    /// that, and may be freed.
    fn shrink_folio(&self, k: &Kernel, pfn: Pfn, gfp: Gfp, batch: &mut UnmapBatch<'_>) -> bool {
        let frame = self.frame(pfn);
        if !is_reclaimable(&frame) || frame.pins > 0 {
            return false;
        }
        if let Some(inode) = frame.mapping {
            self.try_to_unmap(k, pfn, Unmap::Drop, batch);
            let frame = self.frame(pfn);
            if frame.flags.contains(FrameFlags::DIRTY) {
                batch.flush_dirty(k);
            }
            batch.before_remove_mapping(k);
            return frame.mapcount == 0 && self.may_leave(&frame, inode) && self.remove_from_page_cache(k, pfn);
        }
        if frame.flags.contains(FrameFlags::LAZYFREE) && !frame.flags.contains(FrameFlags::SWAPCACHE) {
            return self.discard_lazyfree(k, pfn, batch);
        }
        let slot = if frame.flags.contains(FrameFlags::SWAPCACHE) {
            frame.slot()
        } else {
            // Without __GFP_IO nothing may be written out.
            match gfp.contains(Gfp::IO).then(|| self.add_to_swap(k, pfn)).flatten() {
                Some(slot) => slot,
                None => return false,
            }
        };
        self.try_to_unmap(k, pfn, Unmap::Swap(slot), batch);
        if self.frame(pfn).mapcount > 0 {
            self.try_undo_swap(k, pfn, slot);
            return false;
        }
        batch.flush_dirty(k);
        self.swap_writepage(k, pfn, slot);
        batch.before_remove_mapping(k);
        self.remove_mapping(k, pfn)
    }

    /// Whether what the page holds has a place to be: its file. What was written to memory files has none but swap
    /// (`shmem_writeout()`), whose slots are not counted for them here.
    fn may_leave(&self, frame: &Frame, inode: Inode) -> bool {
        let in_memory = self.inode_locks(inode).fs == Fs::Tmpfs;
        !in_memory || !frame.flags.contains(FrameFlags::DIRTY) || self.config.swap_bytes > 0
    }

    /// A page that `MADV_FREE` was said of: unmapped and freed without a copy, if it is not written or held meanwhile.
    fn discard_lazyfree(&self, k: &Kernel, pfn: Pfn, batch: &mut UnmapBatch<'_>) -> bool {
        self.try_to_unmap(k, pfn, Unmap::Drop, batch);
        k.visible_write(frame_obj(pfn));
        self.with_frame(pfn, |f| {
            let ours = f.mapcount == 0 && f.refcount == 1;
            if ours {
                f.refcount = 0;
            }
            ours
        })
    }

    /// A page that stays mapped leaves the swap cache again if no entry names its slot.
    fn try_undo_swap(&self, k: &Kernel, pfn: Pfn, slot: u64) {
        k.visible_read(slot_obj(slot));
        if !self.swap_in_use(slot) {
            self.delete_from_swap_cache(k, pfn);
            self.put_page(k, pfn);
        }
    }

    /// `__remove_mapping()`: no reference is left if only this caller and the swap cache held the page.
    fn remove_mapping(&self, k: &Kernel, pfn: Pfn) -> bool {
        // Reclaim looks at all pages for those that it may take.
        k.visible_all(&[Op::write(frame_obj(pfn)), Op::read(machine_obj(MachineObj::Lru))]);
        let frozen = self.with_frame(pfn, |f| {
            let ours = f.refcount == 2;
            if ours {
                f.refcount = 0;
            } else {
                f.flags -= FrameFlags::LRU;
            }
            ours
        });
        if frozen {
            self.delete_from_swap_cache(k, pfn);
        }
        frozen
    }

    /// `try_to_unmap()`: every entry that maps the page names its slot instead, or nothing if it is to be dropped, each
    /// inside a bracket of its own.
    fn try_to_unmap(&self, k: &Kernel, pfn: Pfn, how: Unmap, batch: &mut UnmapBatch<'_>) {
        let frame = self.frame(pfn);
        self.rmap_walk_mapped(&frame, pfn, |mm, vpn| mm.try_to_unmap_one(k, vpn, pfn, how, Some(batch)));
    }

    /// Whether an entry that is cleared and flushed may stay so. Not that of an exclusive page that was pinned since
    /// reclaim looked; and without a copy in swap, not that of a page that was written since, which is to be kept now unless
    /// its mapping may lose pages at any time (`MAP_DROPPABLE`), or that somebody holds.
    fn may_unmap(&self, pfn: Pfn, old: Pte, how: Unmap, droppable: bool) -> bool {
        let frame = self.frame(pfn);
        if how == Unmap::Poison {
            return true;
        }
        if how != Unmap::Drop || frame.mapping.is_some() {
            return frame.pins == 0;
        }
        let written = (old.is_dirty() || frame.flags.contains(FrameFlags::DIRTY)) && !droppable;
        if self.config.quirks.contains(Quirks::RESTORE_LAZYFREE) {
            // Only what CPUs wrote counts.
            return !written;
        }
        if written || !frame.flags.contains(FrameFlags::LAZYFREE) {
            self.with_frame(pfn, |f| f.flags = f.flags.difference(FrameFlags::LAZYFREE) | FrameFlags::DIRTY);
            return false;
        }
        frame.refcount == frame.mapcount + 1
    }
}

/// On the list; an anonymous page must be mapped.
pub(crate) fn is_reclaimable(frame: &Frame) -> bool {
    let useful = frame.mapping.is_some() || (frame.flags.contains(FrameFlags::ANON) && frame.mapcount > 0);
    frame.refcount > 0 && useful && frame.flags.contains(FrameFlags::LRU)
}

impl Mm {
    /// Reclaims the pages that `pages` maps now, in order: as another task's reclaim would, without `mmap_lock` and
    /// without asking how old they are. Gives how many frames were freed.
    pub fn reclaim_pages(&self, pages: PageRange) -> u64 {
        current(|k| {
            self.machine.reclaim_section(k, |machine| {
                let victims = self.mapped_frames(k, pages);
                machine.reclaim_folio_list(k, &victims, Gfp::KERNEL)
            })
        })
    }

    pub(crate) fn mapped_frames(&self, k: &Kernel, pages: PageRange) -> Vec<Pfn> {
        let mut found = Vec::new();
        let mut rest = Some(pages);
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            match pmd {
                Pmd::Table(leaf) => {
                    let ptes = part.iter().map(|vpn| leaf.peek(k, vpn));
                    found.extend(ptes.filter(|p| !p.is_special()).filter_map(Pte::mapped_pfn));
                }
                Pmd::Huge(_) => {
                    let huge = self.peek_huge(k, part.start()).filter(|p| !p.is_special());
                    found.extend(huge.and_then(Pte::mapped_pfn));
                }
                Pmd::None => {}
            }
            rest = PageRange::new(part.end(), pages.end()).ok();
        }
        found
    }

    /// `try_to_unmap_one()`: a CLEAR bracket of one page, blockable; under the page-table lock the entry is cleared, and
    /// flushed at once or with the batch, then names the slot, if any. The bracket is announced even if the entry maps something
    /// else by then.
    pub(crate) fn try_to_unmap_one(
        &self,
        k: &Kernel,
        vpn: Vpn,
        pfn: Pfn,
        how: Unmap,
        mut batch: Option<&mut UnmapBatch<'_>>,
    ) {
        let late = self.machine.config.quirks.contains(Quirks::NOTIFY_BEFORE_UNMAP);
        if late && let Some(leaf) = self.tables.walk(vpn) {
            self.unmap_pte(k, &leaf.lock(), (vpn, pfn), how, batch.as_deref_mut());
        }
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: PageRange::page(vpn),
            event: NotifyEvent::Clear,
            blockable: true,
            owner: None,
        });
        if let Some(leaf) = self.tables.walk(vpn) {
            let ptes = leaf.lock();
            self.unmap_pte(k, &ptes, (vpn, pfn), how, batch);
        }
        bracket.end();
    }

    /// One entry, if it maps the page.
    pub(crate) fn unmap_pte(
        &self,
        k: &Kernel,
        ptes: &PteGuard<'_>,
        (vpn, pfn): (Vpn, Pfn),
        how: Unmap,
        batch: Option<&mut UnmapBatch<'_>>,
    ) {
        let seen = ptes.get(vpn);
        let flags = self.find_vma(vpn).map_or(VmFlags::empty(), |vma| vma.flags());
        // Locked memory stays, whatever is asked of reclaim.
        let locked = flags.contains(VmFlags::LOCKED) && how != Unmap::Poison;
        if seen.mapped_pfn() != Some(pfn) || seen.is_special() || locked {
            return;
        }
        // A CPU may have written since: what counts is the entry that was cleared.
        let old = ptes.clear_seeing_cpus(k, vpn);
        let put_off = batch.filter(|_| self.tlb.has_run_elsewhere(self.machine.cpu(k)));
        let anon = self.machine.frame(pfn).mapping.is_none();
        match put_off {
            Some(batch) => batch.put_off_flush(k, self, ptes, (vpn, old), anon),
            None if anon => self.flush_tlb_notify(k, PageRange::page(vpn)),
            None => self.flush_tlb_range(k, PageRange::page(vpn)),
        }
        if !self.machine.may_unmap(pfn, old, how, flags.contains(VmFlags::DROPPABLE)) {
            ptes.set(k, vpn, old);
            return;
        }
        if old.is_dirty() {
            self.machine.with_frame(pfn, |f| f.flags |= f.flags.dirtied());
        }
        match how {
            Unmap::Swap(slot) => {
                self.machine.swap_duplicate(slot);
                ptes.unmap(k, vpn, Pte::swap(slot).with_marks_of(old));
            }
            Unmap::Poison => ptes.set(k, vpn, Pte::hwpoison(pfn)),
            Unmap::Drop => {}
        }
        self.machine.transfer_dirty(pfn, old);
        self.machine.remove_rmap(pfn, self.id);
        self.machine.put_page(k, pfn);
    }
}
