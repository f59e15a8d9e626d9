//! `migrate_vma_*`: pages move to a device's private memory and back.
//!
//! | phase | held | bracket |
//! |---|---|---|
//! | collect: entries become migration entries | `mmap_lock` R | MIGRATE over the request, with the owner; inside, under the page-table lock, a flush of each exclusive page and one of the range |
//! | unmap: other entries of the pages follow | and folio locks, rmap R | CLEAR of one page, without owner; idle where the entry is one already |
//! | move, and pages for holes | and folio locks | MIGRATE from the first hole to the end of the request, with the owner |
//! | finalize | and folio locks, rmap R | none |
//!
//! A CPU that touches such a page brings it back in the same way: one page, `mmap_lock` R.
//!
//! Source: mm/migrate_device.c, 6.12.

use crate::fault::{FaultError, Handled};
use crate::frames::FrameFlags;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::quirks::Quirks;
use crate::vma::Vma;
use ksync::{Kernel, RawMutex, current};
use lock_api::ArcMutexGuard;
use mm_types::{Errno, Gfp, ObjId, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};
use trace::{NotifyEvent, NotifyRange};

/// Who migrates when a CPU touches a device's page: all devices of a machine are one provider here.
const PROVIDER: ObjId = ObjId::keyed(16, 1);

/// Where pages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From memory to the device.
    ToDevice,
    /// Back.
    ToSystem,
}

/// A page on its way, its folio locked, with a reference.
struct Collected {
    vpn: Vpn,
    pfn: Pfn,
    folio: ArcMutexGuard<RawMutex, ()>,
}

/// What collecting found.
#[derive(Default)]
struct Found {
    pages: Vec<Collected>,
    /// Pages without entry: the device gets new ones.
    holes: Vec<Vpn>,
}

/// How a migration went, in pages.
#[derive(Clone, Copy, Default, Debug)]
struct Migrated {
    moved: u64,
    /// Taken out of their entries, to be moved.
    collected: u64,
}

impl Mm {
    /// Moves the pages of `pages`, inside one VMA, with `mmap_lock` taken for reading: a driver's use of
    /// `migrate_vma_setup()`, `_pages()`, `_finalize()`. Gives how many moved; one that is locked, pinned or held stays,
    /// and all shared memory does.
    ///
    /// # Errors
    /// `EINVAL` where that is not in one VMA.
    pub fn migrate_vma(&self, pages: PageRange, direction: Direction) -> Result<u64, Errno> {
        current(|k| {
            self.call(k, NAMES.migrate_vma, Some(pages), || {
                let _read = self.mmap_lock.read();
                self.migrate_vma_held(pages, direction)
            })
        })
    }

    /// As [`Mm::migrate_vma`], with `mmap_lock` held by the caller.
    ///
    /// # Errors
    /// As [`Mm::migrate_vma`].
    pub fn migrate_vma_held(&self, pages: PageRange, direction: Direction) -> Result<u64, Errno> {
        let vma = self.find_vma(pages.start()).filter(|vma| vma.range().covers(pages));
        let vma = vma.ok_or(Errno::EINVAL)?;
        if !Mm::is_private(&vma) {
            return Ok(0);
        }
        Ok(current(|k| self.migrate_vma_locked(k, &vma, pages, direction)).moved)
    }

    /// A CPU touches a page that is in a device's memory. `mmap_lock` held for reading.
    ///
    /// # Errors
    /// [`FaultError::OutOfMemory`] when there was no page for it: drivers say `VM_FAULT_SIGBUS` then.
    pub(crate) fn migrate_to_ram(&self, k: &Kernel, vma: &Vma, vpn: Vpn, pfn: Pfn) -> Result<Handled, FaultError> {
        let mut done = Migrated::default();
        let mut migrate = || done = self.migrate_vma_locked(k, vma, PageRange::page(vpn), Direction::ToSystem);
        let ops = self.machine.pagemap_ops.lock().as_ref().and_then(std::sync::Weak::upgrade);
        match ops {
            Some(ops) => ops.migrate_to_ram(&mut migrate),
            None => migrate(),
        }
        let still = self.pte(vpn).kind() == PteKind::DevicePrivate { pfn };
        match done {
            Migrated { moved: 0, collected: 0 } if still => Ok(Handled::WaitFolio(pfn)),
            // Nobody else had it: the fault would be taken again for ever.
            Migrated { moved: 0, collected: 1.. } if still => Err(FaultError::OutOfMemory),
            _ => Ok(Handled::Done),
        }
    }

    fn migrate_vma_locked(&self, k: &Kernel, vma: &Vma, pages: PageRange, direction: Direction) -> Migrated {
        self.split_huge_in(k, pages);
        if direction == Direction::ToDevice {
            self.split_table_mapped_in(k, pages);
        }
        let bracket = self.subs.invalidate_range_start(self.migrate_of(pages));
        let found = self.collect(k, vma, pages, direction);
        bracket.end();
        for page in &found.pages {
            self.unmap_elsewhere(k, page.pfn);
        }
        let (mut moved, collected) = (0, found.pages.len() as u64);
        for Collected { vpn, pfn, folio } in found.pages {
            moved += u64::from(self.migrate_one(k, vpn, pfn, direction));
            drop(folio);
            self.machine.put_page(k, pfn);
        }
        Migrated { moved: moved + self.fill_holes(k, vma, pages, &found.holes), collected }
    }

    /// Huge pages that leaf tables map are split: a page moves alone.
    ///
    /// Source: `migrate_vma_collect_pmd()`, mm/migrate_device.c, of kernels after 6.18; 6.12 leaves such pages where they are.
    fn split_table_mapped_in(&self, k: &Kernel, pages: PageRange) {
        let mut heads = Vec::new();
        self.for_each_leaf(pages, |leaf, part| {
            let mapped = part.iter().filter_map(|vpn| leaf.peek_now(vpn).mapped_pfn());
            heads.extend(mapped.filter(|pfn| self.machine.is_huge(*pfn)).map(|pfn| self.machine.head(pfn)));
        });
        heads.dedup();
        for head in heads {
            self.machine.split_folio(k, head);
        }
    }

    fn migrate_of(&self, pages: PageRange) -> NotifyRange {
        NotifyRange { mm: self.id, pages, event: NotifyEvent::Migrate, blockable: true, owner: Some(PROVIDER) }
    }

    /// `migrate_vma_collect_pmd()`, and the holes where there is no table.
    fn collect(&self, k: &Kernel, vma: &Vma, pages: PageRange, direction: Direction) -> Found {
        let mut found = Found::default();
        let mut next = pages.start();
        let fills = direction == Direction::ToDevice && vma.is_anonymous();
        let late = self.is_wrong(Quirks::FLUSH_BEFORE_UNLOCK_IN_MIGRATE);
        self.for_each_leaf(pages, |leaf, part| {
            found.holes.extend((next.0..part.start().0).filter(|_| fills).map(Vpn));
            next = part.end();
            let ptes = leaf.lock();
            let mut unmapped = false;
            for vpn in part.iter() {
                let pte = ptes.get(vpn);
                match (direction, pte.kind()) {
                    (_, PteKind::None) if fills => found.holes.push(vpn),
                    (Direction::ToDevice, PteKind::Present) if !pte.is_special() => {
                        let Some(pfn) = pte.pfn() else { continue };
                        let Some(page) = self.isolate(k, vpn, pfn) else { continue };
                        let exclusive = self.machine.frame(pfn).flags.contains(FrameFlags::EXCLUSIVE);
                        let old = ptes.clear(k, vpn);
                        if exclusive && !late {
                            self.flush_tlb_range(k, PageRange::page(vpn));
                        }
                        ptes.set(k, vpn, old.to_migration());
                        unmapped = true;
                        found.pages.push(page);
                    }
                    (Direction::ToSystem, PteKind::DevicePrivate { pfn }) => {
                        let Some(page) = self.isolate(k, vpn, pfn) else { continue };
                        ptes.set(k, vpn, pte.to_migration());
                        found.pages.push(page);
                    }
                    _ => {}
                }
            }
            if unmapped && !late {
                self.flush_tlb_range(k, part);
            }
            drop(ptes);
            if unmapped && late {
                k.sync_point(NAMES.mm_window);
                self.flush_tlb_range(k, part);
            }
        });
        found.holes.extend((next.0..pages.end().0).filter(|_| fills).map(Vpn));
        found
    }

    /// Takes a page out of its entry, which is about to become a migration entry: the folio locked, the reference kept.
    fn isolate(&self, k: &Kernel, vpn: Vpn, pfn: Pfn) -> Option<Collected> {
        let machine = &self.machine;
        let frame = machine.frame(pfn);
        if !Mm::is_anon_frame(frame.flags) || frame.pins > 0 {
            return None;
        }
        let folio = machine.folio_lock(pfn).try_lock_arc()?;
        machine.get_page(k, pfn);
        machine.remove_rmap(pfn, self.id);
        machine.put_page(k, pfn);
        Some(Collected { vpn, pfn, folio })
    }

    /// `migrate_device_unmap()` of one page: where else it is mapped.
    fn unmap_elsewhere(&self, k: &Kernel, pfn: Pfn) {
        let frame = self.machine.frame(pfn);
        if frame.mapcount > 0 {
            self.machine.rmap_walk_mapped(&frame, pfn, |mm, vpn| mm.try_to_migrate_one(k, vpn, pfn));
        }
    }

    /// Moves one page and maps it again, wherever it is now. Whether it moved.
    fn migrate_one(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, direction: Direction) -> bool {
        let machine = &self.machine;
        let frame = machine.frame(pfn);
        let new = match direction {
            Direction::ToDevice => Some(machine.take_device_frame(k)),
            Direction::ToSystem => machine.alloc_page(k, Gfp::USER).ok(),
        };
        let moved = new.is_some_and(|new| machine.move_to_new_folio(k, pfn, new));
        if let Some(new) = new.filter(|_| moved) {
            // A device's page is on no list.
            machine.with_frame(new, |f| f.flags.set(FrameFlags::LRU, direction == Direction::ToSystem));
        }
        let to = new.filter(|_| moved).unwrap_or(pfn);
        machine.rmap_walk(&frame, |mm, at| mm.remove_migration_pte(k, at, pfn, to));
        // The walk finds it unless the VMA went meanwhile, which `mmap_lock` forbids.
        debug_assert!(!matches!(self.pte(vpn).kind(), PteKind::Migration { pfn: left } if left == pfn));
        if let Some(new) = new {
            machine.put_page(k, new);
        }
        moved
    }

    /// `__migrate_device_pages()` for pages that were not there: new ones of the device, inside one bracket from the first
    /// to the end of the request.
    fn fill_holes(&self, k: &Kernel, vma: &Vma, pages: PageRange, holes: &[Vpn]) -> u64 {
        let Some(first) = holes.first() else { return 0 };
        let pages = PageRange::new(*first, pages.end()).unwrap_or(pages);
        let bracket = self.subs.invalidate_range_start(self.migrate_of(pages));
        let filled = holes.iter().filter(|vpn| self.fill_hole(k, vma, **vpn)).count() as u64;
        bracket.only_end();
        filled
    }

    /// `migrate_vma_insert_page()`.
    fn fill_hole(&self, k: &Kernel, vma: &Vma, vpn: Vpn) -> bool {
        let Ok(leaf) = self.pte_alloc(k, vpn) else { return false };
        let Ok((anon_vma, index)) = self.anon_vma_prepare(k, vpn) else { return false };
        let page = self.machine.take_device_frame(k);
        let ptes = leaf.lock();
        let empty = ptes.get(vpn).is_none();
        if empty {
            self.machine.map_new_anon(k, page, anon_vma, index);
            self.machine.with_frame(page, |f| {
                f.flags -= FrameFlags::LRU;
                f.flags |= FrameFlags::DEVICE;
            });
            ptes.set(k, vpn, Pte::device_private(page, vma.flags().contains(VmFlags::WRITE)));
        }
        drop(ptes);
        if !empty {
            self.machine.put_page(k, page);
        }
        empty
    }
}
