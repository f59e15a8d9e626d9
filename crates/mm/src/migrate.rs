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

use crate::frames::{Frame, FrameFlags};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{cached_page_obj, frame_obj, slot_obj};
use ksync::Kernel;
use mm_types::{Errno, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};
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
        let moved = match is_movable(&self.frame(pfn)) {
            true => {
                let node = node.unwrap_or_else(|| self.node_of(pfn));
                self.compaction_alloc(k, node).and_then(|new| self.migrate_to(k, pfn, new))
            }
            false => Err(Errno::EBUSY),
        };
        self.settle_swap_cache(k, pfn, self.frame(pfn).slot);
        self.put_page(k, pfn);
        moved
    }

    /// A frame to move to. Never reclaims: `compaction_alloc()` takes from what is free.
    fn compaction_alloc(&self, k: &Kernel, node: Node) -> Result<Pfn, Errno> {
        if !self.watermark_ok(k, self.watermarks.min) {
            return Err(Errno::ENOMEM);
        }
        let pfn = self.take_frame(k);
        self.with_frame(pfn, |f| f.flags.set(FrameFlags::NODE1, node == Node::One));
        Ok(pfn)
    }

    /// Moves an isolated page to `new`, whose reference is given up in any case.
    fn migrate_to(&self, k: &Kernel, pfn: Pfn, new: Pfn) -> Result<Pfn, Errno> {
        let moved = {
            let (old_lock, new_lock) = (self.folio_lock(pfn), self.folio_lock(new));
            match old_lock.try_lock() {
                Some(_old) => {
                    // Nobody knows the new frame yet.
                    let _new = new_lock.try_lock();
                    self.migrate_locked(k, pfn, new)
                }
                None => false,
            }
        };
        self.settle_swap_cache(k, new, self.frame(new).slot);
        self.put_page(k, new);
        if moved { Ok(new) } else { Err(Errno::EAGAIN) }
    }

    fn migrate_locked(&self, k: &Kernel, pfn: Pfn, new: Pfn) -> bool {
        let frame = self.frame(pfn);
        self.rmap_walk_mapped(&frame, pfn, |mm, vpn| mm.try_to_migrate_one(k, vpn, pfn));
        let moved = self.move_to_new_folio(k, pfn, new);
        let to = if moved { new } else { pfn };
        self.rmap_walk(&frame, |mm, vpn| mm.remove_migration_pte(k, vpn, pfn, to));
        moved
    }

    /// `folio_migrate_mapping()` and the copy: only if nothing maps the page and only the caller, and the cache it is in,
    /// hold it.
    pub(crate) fn move_to_new_folio(&self, k: &Kernel, pfn: Pfn, new: Pfn) -> bool {
        let frame = self.frame(pfn);
        match frame.mapping {
            Some(inode) => k.visible_write(cached_page_obj(inode, frame.index)),
            None if frame.flags.contains(FrameFlags::SWAPCACHE) => k.visible_write(slot_obj(frame.slot)),
            None => {}
        }
        k.visible_write(frame_obj(new));
        k.visible_write(frame_obj(pfn));
        let frame = self.frame(pfn);
        let cached = u32::from(frame.flags.intersects(FrameFlags::FILE | FrameFlags::SWAPCACHE));
        if frame.refcount != 1 + cached || frame.mapcount > 0 || frame.pins > 0 {
            return false;
        }
        // Where a frame is does not move with what is in it.
        let place = FrameFlags::NODE1 | FrameFlags::DEVICE;
        self.with_frame(new, |f| *f = Frame { flags: frame.flags.difference(place) | f.flags & place, ..frame });
        self.with_frame(pfn, |f| *f = Frame { refcount: 1, flags: f.flags & place, ..Frame::default() });
        if let Some(inode) = frame.mapping {
            self.files.lock().pages(inode).cached.insert(frame.index, new);
        } else if frame.flags.contains(FrameFlags::SWAPCACHE) {
            self.replace_in_swap_cache(frame.slot, new);
        }
        true
    }
}

/// Whether migration can find and move it. A reference beside those of its entries, of the caller, and of the cache that
/// it is in, would make it fail after everybody was notified: such a page is passed over.
///
/// Source: `isolate_migratepages_block()`, mm/compaction.c, 6.12.
fn is_movable(frame: &Frame) -> bool {
    let cached = u32::from(frame.flags.intersects(FrameFlags::FILE | FrameFlags::SWAPCACHE));
    let reachable = frame.flags.contains(FrameFlags::ANON) || frame.mapping.is_some();
    reachable && frame.pins == 0 && frame.refcount <= 1 + cached + frame.mapcount
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
                    ptes.set(k, vpn, old.to_migration());
                    self.machine.remove_rmap(pfn, self.id);
                    self.machine.put_page(k, pfn);
                }
            }
        }
        bracket.end();
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
        self.machine.get_page(k, new);
        self.machine.add_rmap(new, self.id);
        let writable = pte.from_migration(new).is_writable() && vma.flags().contains(VmFlags::WRITE);
        let mapped = if self.machine.frame(new).flags.contains(FrameFlags::DEVICE) {
            Pte::device_private(new, writable)
        } else {
            pte.from_migration(new).with_write(writable).with_protnone(!vma.is_accessible())
        };
        ptes.set(k, vpn, mapped);
    }
}
