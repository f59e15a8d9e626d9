//! Migration: a page moves to another frame while address spaces map it.
//!
//! | step | held |
//! |---|---|
//! | the page is isolated: a reference, its folio lock by trylock | |
//! | every entry that maps it becomes a migration entry, each inside a CLEAR bracket of one page | folio lock, the reverse map's lock for reading, page-table lock at the change |
//! | if nobody else has a reference, the new frame takes contents, flags and place over | folio lock of both |
//! | every migration entry maps the new frame, or the old one if that failed: announced to nobody | folio lock, the reverse map's lock, page-table lock |
//!
//! A fault that meets a migration entry waits for the folio lock of the frame it names. One that is unmapped or moved
//! meanwhile is simply not found by the last step.
//!
//! Sources: `migrate_folio_unmap()`, `migrate_folio_move()`, `remove_migration_pte()`, mm/migrate.c;
//! `try_to_migrate_one()`, mm/rmap.c, 6.12.

use crate::frames::{BLOCK_FRAMES, Frame, FrameFlags};
use crate::huge::PmdGuard;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{MachineObj, cached_page_obj, frame_obj, machine_obj, slot_obj};
use crate::page_table::{Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::rmap::{FolioPlace, RmapLock};
use ksync::{Kernel, Op};
use mm_types::{Errno, PageRange, Pfn, Pgoff, Pte, PteKind, VmFlags, Vpn};
use std::sync::atomic::Ordering;
use trace::{NotifyEvent, NotifyRange};

/// A node of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Node {
    /// The one with the CPUs.
    Zero,
    /// The other one.
    One,
}

impl Machine {
    /// The node of a frame.
    pub(crate) fn node_of(&self, pfn: Pfn) -> Node {
        if self.frame(pfn).flags.contains(FrameFlags::NODE1) { Node::One } else { Node::Zero }
    }

    /// Moves the page in `pfn` to another frame, of `node` if told, which it gives. Sync point `mm.migrate`.
    ///
    /// # Errors
    /// `EBUSY` for a page that a device has pinned, that somebody beside its mappings holds, or that cannot be found by
    /// its mappings: nobody was notified. `EAGAIN` when that, or the folio lock being taken, turned out later: it is mapped
    /// as before. `ENOMEM` without a frame to move to.
    pub(crate) fn migrate_folio(&self, k: &Kernel, pfn: Pfn, node: Option<Node>) -> Result<Pfn, Errno> {
        k.sync_reached(NAMES.mm_migrate);
        let moved = self.migrate_isolated(k, pfn, node);
        k.sync_passed(NAMES.mm_migrate);
        moved
    }

    fn migrate_isolated(&self, k: &Kernel, pfn: Pfn, node: Option<Node>) -> Result<Pfn, Errno> {
        if !self.try_get_page(k, pfn) {
            return Err(Errno::EBUSY);
        }
        let pfn = self.head(pfn);
        let moved = match self.is_movable(pfn) {
            true => {
                let node = node.unwrap_or_else(|| self.node_of(pfn));
                self.compaction_alloc(k, node, self.is_huge(pfn)).and_then(|new| self.migrate_to(k, pfn, new))
            }
            false => Err(Errno::EBUSY),
        };
        self.settle_swap_cache(k, pfn, self.frame(pfn).slot());
        self.put_page(k, pfn);
        moved
    }

    /// A frame to move to, or a huge page. Never reclaims: `compaction_alloc()` takes from what is free.
    fn compaction_alloc(&self, k: &Kernel, node: Node, huge: bool) -> Result<Pfn, Errno> {
        let room = self.watermarks.min + if huge { BLOCK_FRAMES.cast_signed() } else { 0 };
        if !self.watermark_ok(k, self.watermarks.min) || huge && self.nr_free.load(Ordering::Relaxed) <= room {
            return Err(Errno::ENOMEM);
        }
        let pfn = if huge { self.take_free_block(k).ok_or(Errno::ENOMEM)? } else { self.take_frame(k) };
        let set_node = |f: &mut Frame| f.flags.set(FrameFlags::NODE1, node == Node::One);
        if huge {
            self.with_subpages(pfn, |_, f| set_node(f))
        } else {
            self.with_frame(pfn, set_node)
        }
        Ok(pfn)
    }

    /// Moves an isolated page to `new`, whose reference is given up in any case.
    fn migrate_to(&self, k: &Kernel, pfn: Pfn, new: Pfn) -> Result<Pfn, Errno> {
        let moved = self.migrate_between(k, pfn, new, false);
        self.settle_swap_cache(k, new, self.frame(new).slot());
        self.put_page(k, new);
        if moved { Ok(new) } else { Err(Errno::EAGAIN) }
    }

    /// The same, both references stay with the caller. With `wait`, for the lock of the page. Says whether it moved.
    pub(crate) fn migrate_between(&self, k: &Kernel, pfn: Pfn, new: Pfn, wait: bool) -> bool {
        let (old_lock, new_lock) = (self.folio_lock(pfn), self.folio_lock(new));
        let old = if wait { Some(old_lock.lock()) } else { old_lock.try_lock() };
        // Nobody knows the new frame yet.
        let _new = old.is_some().then(|| new_lock.try_lock());
        old.is_some() && self.migrate_locked(k, pfn, new)
    }

    fn migrate_locked(&self, k: &Kernel, pfn: Pfn, new: Pfn) -> bool {
        if self.is_huge(pfn) {
            return self.migrate_huge_locked(k, pfn, new);
        }
        let frame = self.frame(pfn);
        self.rmap_walk_mapped(&frame, pfn, |mm, vpn| mm.try_to_migrate_one(k, vpn, pfn));
        let moved = self.move_to_new_folio(k, pfn, new);
        let to = if moved { new } else { pfn };
        self.rmap_walk(&frame, |mm, vpn| mm.remove_migration_pte(k, vpn, pfn, to));
        moved
    }

    /// The same of a huge page, which moves as one.
    fn migrate_huge_locked(&self, k: &Kernel, head: Pfn, new: Pfn) -> bool {
        self.with_folio_places(head, RmapLock::Read, |places| {
            places.iter().for_each(|place| place.mm.try_to_migrate_place(k, head, place));
        });
        // Where it is mapped is looked up again: what is there may have moved.
        let frame = self.frame(head);
        let moved = self.move_to_new_huge_folio(k, head, new);
        let to = if moved { new } else { head };
        debug_assert_eq!(self.frame(to).index, frame.index, "the new page is in the old one's place");
        self.with_folio_places(to, RmapLock::Read, |places| {
            places.iter().for_each(|place| place.mm.remove_migration_place(k, place, to, head));
        });
        moved
    }

    fn move_to_new_huge_folio(&self, k: &Kernel, head: Pfn, new: Pfn) -> bool {
        k.visible_write(frame_obj(new));
        k.visible_write(frame_obj(head));
        let frame = self.frame(head);
        let cached = self.cache_refs(head);
        if frame.refcount != 1 + cached || self.folio_mapcount(head) > 0 || frame.pins > 0 {
            return false;
        }
        let slots: Vec<(u64, u64)> = (0..BLOCK_FRAMES)
            .filter_map(|i| {
                let page = self.frame(Pfn(head.0 + i));
                page.flags.contains(FrameFlags::SWAPCACHE).then_some((i, page.slot()))
            })
            .collect();
        let in_file: Vec<(u64, Pgoff)> = (0..BLOCK_FRAMES)
            .filter_map(|i| {
                let page = self.frame(Pfn(head.0 + i));
                page.flags.contains(FrameFlags::FILE).then_some((i, page.index))
            })
            .collect();
        self.move_block(head, new);
        slots.into_iter().for_each(|(i, slot)| self.replace_in_swap_cache(slot, Pfn(new.0 + i)));
        if let Some(inode) = frame.mapping {
            let mut files = self.files.lock();
            let cached = &mut files.pages(inode).cached;
            cached.extend(in_file.into_iter().map(|(i, at)| (at, Pfn(new.0 + i))));
        }
        true
    }

    /// `folio_migrate_mapping()` and the copy: only if nothing maps the page and only the caller, and the cache it is in,
    /// hold it.
    pub(crate) fn move_to_new_folio(&self, k: &Kernel, pfn: Pfn, new: Pfn) -> bool {
        let frame = self.frame(pfn);
        match frame.mapping {
            Some(inode) => k.visible_write(cached_page_obj(inode, frame.index)),
            None if frame.flags.contains(FrameFlags::SWAPCACHE) => k.visible_write(slot_obj(frame.slot())),
            None => {}
        }
        k.visible_write(frame_obj(new));
        // Reclaim looks at all pages for those that it may take: now it is another one.
        k.visible_all(&[Op::write(frame_obj(pfn)), Op::read(machine_obj(MachineObj::Lru))]);
        let frame = self.frame(pfn);
        let cached = u32::from(frame.flags.intersects(FrameFlags::FILE | FrameFlags::SWAPCACHE));
        if frame.refcount != 1 + cached || frame.mapcount > 0 || frame.pins > 0 {
            return false;
        }
        self.move_frame(pfn, new, cached);
        if let Some(inode) = frame.mapping {
            self.files.lock().pages(inode).cached.insert(frame.index, new);
        } else if frame.flags.contains(FrameFlags::SWAPCACHE) {
            self.replace_in_swap_cache(frame.slot(), new);
        }
        true
    }
}

impl Machine {
    /// Whether migration can find and move it. A reference beside those of its entries, of the caller, and of the cache that
    /// it is in, would make it fail after everybody was notified: such a page is passed over.
    ///
    /// Source: `isolate_migratepages_block()`, mm/compaction.c, 6.12.
    pub(crate) fn is_movable(&self, pfn: Pfn) -> bool {
        let frame = self.frame(pfn);
        let reachable = frame.flags.contains(FrameFlags::ANON) || frame.mapping.is_some();
        let known = 1 + self.cache_refs(pfn) + self.folio_mapcount(pfn);
        reachable
            && !frame.flags.intersects(FrameFlags::HUGETLB | FrameFlags::KSM)
            && frame.pins == 0
            && frame.refcount <= known
    }
}

impl Mm {
    /// `try_to_migrate_one()`: a CLEAR bracket of one page; under the page-table lock the entry is cleared and flushed,
    /// then names the frame it leaves. An entry that is not accessible (`PROT_NONE`) needs no flush.
    pub(crate) fn try_to_migrate_one(&self, k: &Kernel, vpn: Vpn, pfn: Pfn) {
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: PageRange::page(vpn),
            event: NotifyEvent::Clear,
            blockable: true,
            owner: None,
        });
        if let Some(leaf) = self.tables.walk(vpn) {
            let ptes = leaf.lock();
            self.migrate_pte(k, &ptes, vpn, pfn);
        }
        bracket.end();
    }

    /// One entry that maps the page names the frame it leaves.
    fn migrate_pte(&self, k: &Kernel, ptes: &PteGuard<'_>, vpn: Vpn, pfn: Pfn) {
        let seen = ptes.get(vpn);
        if seen.kind() == (PteKind::DevicePrivate { pfn }) {
            ptes.set(k, vpn, seen.to_migration());
            self.machine.remove_rmap(pfn, self.id);
            self.machine.put_page(k, pfn);
        } else if seen.mapped_pfn() == Some(pfn) && !seen.is_special() {
            let old = ptes.clear(k, vpn);
            // Nobody can use an entry that is not accessible.
            if old.is_present() {
                self.flush_tlb_range(k, PageRange::page(vpn));
            }
            if self.machine.frame(pfn).pins > 0 {
                // Pinned since it was isolated: an exclusive page must stay where it is.
                ptes.set(k, vpn, old);
            } else {
                if old.is_dirty() {
                    self.machine.folio_mark_dirty(pfn);
                }
                ptes.unmap(k, vpn, old.to_migration());
                self.machine.remove_rmap(pfn, self.id);
                self.machine.put_page(k, pfn);
            }
        }
    }

    /// What is announced of a huge page before its entries go.
    pub(crate) fn announced(&self, place: &FolioPlace) -> PageRange {
        if self.machine.config.quirks.contains(Quirks::ANNOUNCE_WHOLE_FOLIO) {
            return PageRange::page(place.pages[0].0);
        }
        place.range()
    }

    /// `try_to_migrate_one()` of a huge page: one CLEAR bracket of what the VMA maps of it. The entry of a PMD table becomes a
    /// migration entry as a whole.
    pub(crate) fn try_to_migrate_place(&self, k: &Kernel, head: Pfn, place: &FolioPlace) {
        let bracket = self.subs.invalidate_range_start(self.clear_of(self.announced(place)));
        for pages in place.tables() {
            let first = pages[0].0;
            match self.tables.pmd(first) {
                Pmd::Huge(_) => self.with_pmd(first, |pmd| pmd.set_migration(k, head)),
                Pmd::Table(leaf) => {
                    let ptes = leaf.lock();
                    pages.iter().for_each(|(vpn, pfn)| self.migrate_pte(k, &ptes, *vpn, *pfn));
                }
                Pmd::None => {}
            }
        }
        bracket.end();
    }

    /// `remove_migration_pte()` of a huge page that left `old` and is at `to` now.
    fn remove_migration_place(&self, k: &Kernel, place: &FolioPlace, to: Pfn, old: Pfn) {
        let first = place.pages[0].0;
        if let Pmd::Huge(_) = self.tables.pmd(first) {
            self.with_pmd(first, |pmd| self.remove_migration_pmd(k, pmd, first, to, old));
            return;
        }
        for (vpn, pfn) in &place.pages {
            self.remove_migration_pte(k, *vpn, Pfn(old.0 + (pfn.0 - to.0)), *pfn);
        }
    }

    /// `remove_migration_pmd()`.
    fn remove_migration_pmd(&self, k: &Kernel, pmd: &PmdGuard<'_>, vpn: Vpn, to: Pfn, old: Pfn) {
        let Some(seen) = pmd.huge().filter(|seen| seen.kind() == (PteKind::Migration { pfn: old })) else { return };
        let Some(vma) = self.find_vma(vpn) else { return };
        self.machine.get_page(k, to);
        self.machine.add_rmap_pmd(to, self.id);
        let writable = seen.keeps_write() && vma.flags().contains(VmFlags::WRITE);
        let mapped = seen.from_migration(to).with_huge(true).with_write(writable);
        // Made by `pmd_mkdirty()`.
        let mapped = if mapped.is_dirty() { mapped.with_dirty(true) } else { mapped };
        pmd.set(k, mapped.with_protnone(!vma.is_accessible()));
    }

    /// `remove_migration_pte()`: a migration entry for `old` maps `new`, with the access it had, as far as the VMA still
    /// allows it.
    pub(crate) fn remove_migration_pte(&self, k: &Kernel, vpn: Vpn, old: Pfn, new: Pfn) {
        let Some(leaf) = self.tables.walk(vpn) else { return };
        let ptes = leaf.lock();
        let pte = ptes.get(vpn);
        if pte.kind() != (PteKind::Migration { pfn: old }) {
            return;
        }
        let Some(vma) = self.find_vma(vpn) else { return };
        self.machine.get_mapped_page(k, new);
        self.machine.add_rmap(new, self.id);
        let writable = pte.from_migration(new).is_writable() && vma.flags().contains(VmFlags::WRITE);
        let mapped = if self.machine.frame(new).flags.contains(FrameFlags::DEVICE) {
            Pte::device_private(new, writable).with_marks_of(pte)
        } else {
            pte.from_migration(new).with_write(writable).with_protnone(!vma.is_accessible())
        };
        ptes.set(k, vpn, mapped);
    }
}
