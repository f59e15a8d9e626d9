//! Device-exclusive pages: entries that keep CPUs away from a page while a device works on it atomically.
//!
//! | operation | held | bracket |
//! |---|---|---|
//! | make exclusive | `mmap_lock` R, folio lock, rmap R | EXCLUSIVE of each page, or of a huge page; flushed inside |
//! | a fault takes the page back | the lock of the VMA or `mmap_lock` R, folio lock | EXCLUSIVE of the page, without owner; no flush: nobody could use the entry |
//! | fork takes it back | as fork | none of its own: inside the fork's |
//!
//! The entry of a huge page is split first. Then all of its pages become exclusive, if the request is for the first of them,
//! and the device gets that one; a request for another page gets nothing.
//!
//! Sources: `make_device_exclusive_range()`, mm/rmap.c; `remove_device_exclusive_entry()`, `restore_exclusive_pte()`,
//! mm/memory.c, 6.12.

use crate::fault::Handled;
use crate::gup::{Hold, MmapLock};
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Leaf, Pmd, PteGuard};
use crate::rmap::{FolioPlace, RmapLock};
use crate::vma::Vma;
use ksync::{Kernel, current};
use mm_types::{Errno, ObjId, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};
use trace::{NotifyEvent, NotifyRange};

impl Mm {
    /// `make_device_exclusive_range()` with `mmap_lock` taken for reading: gives which of `pages` the device has to itself
    /// now: of a huge page the first, or none. All are faulted in for writing first.
    ///
    /// # Errors
    /// Those of [`crate::device::get_user_pages`].
    pub fn make_device_exclusive(&self, pages: PageRange, owner: Option<ObjId>) -> Result<Vec<Vpn>, Errno> {
        current(|k| {
            self.call(k, NAMES.make_device_exclusive, Some(pages), || {
                let _read = self.mmap_lock.read();
                self.split_huge_pmds_in(k, pages);
                let held = self.gup(pages, true, Hold::Get, MmapLock::Held)?;
                // Those that the faults made.
                self.split_huge_pmds_in(k, pages);
                let mut exclusive = Vec::new();
                for (vpn, pfn) in pages.iter().zip(held) {
                    // `PageTail()`
                    if self.machine.head(pfn) == pfn {
                        let lock = self.machine.folio_lock(pfn);
                        if let Some(_folio) = lock.try_lock()
                            && self.folio_make_device_exclusive(k, vpn, pfn, owner)
                        {
                            exclusive.push(vpn);
                        }
                    }
                    self.machine.unpin(k, pfn, Hold::Get);
                }
                Ok(exclusive)
            })
        })
    }

    /// Entries of huge pages are split, the pages are not (`FOLL_SPLIT_PMD`).
    fn split_huge_pmds_in(&self, k: &Kernel, pages: PageRange) {
        let mut huge = Vec::new();
        self.for_each_pmd(pages, |pmd, part| huge.extend(matches!(pmd, Pmd::Huge(_)).then(|| part.start())));
        huge.into_iter().for_each(|vpn| self.split_huge_pmd(k, vpn));
    }

    /// Every entry of the page, or of the huge page that it is the first of, becomes exclusive; whether that of `vpn` did, and
    /// none is left.
    fn folio_make_device_exclusive(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, owner: Option<ObjId>) -> bool {
        let frame = self.machine.frame(pfn);
        if !Mm::is_anon_frame(frame.flags) {
            return false;
        }
        if self.machine.is_huge(pfn) {
            return self.make_huge_page_exclusive(k, vpn, pfn, owner) && self.machine.folio_mapcount(pfn) == 0;
        }
        let mut valid = false;
        self.machine.rmap_walk_mapped(&frame, pfn, |mm, at| {
            let done = mm.page_make_device_exclusive_one(k, at, pfn, owner);
            valid |= done && mm.id == self.id && at == vpn;
        });
        valid
    }

    /// The same of a huge page: one bracket for each place. Ends at the first entry that is one of a page elsewhere.
    fn make_huge_page_exclusive(&self, k: &Kernel, vpn: Vpn, head: Pfn, owner: Option<ObjId>) -> bool {
        let made = self.machine.with_folio_places(head, RmapLock::Read, |places| {
            let mut valid = false;
            for place in places {
                let (writable, whole) = place.mm.make_place_exclusive(k, place, owner);
                valid |= place.mm.id == self.id && writable.contains(&vpn);
                if !whole {
                    break;
                }
            }
            valid
        });
        made == Some(true)
    }

    /// `page_make_device_exclusive_one()` of what a VMA maps of a huge page: where it was writable, and whether the walk came to
    /// the end.
    fn make_place_exclusive(&self, k: &Kernel, place: &FolioPlace, owner: Option<ObjId>) -> (Vec<Vpn>, bool) {
        let announced = NotifyRange { pages: place.range(), ..self.exclusive_of(place.pages[0].0, owner) };
        let bracket = self.subs.invalidate_range_start(announced);
        let (mut writable, mut whole) = (Vec::new(), true);
        for pages in place.tables() {
            let Pmd::Table(leaf) = self.tables.pmd(pages[0].0) else { continue };
            let ptes = leaf.lock();
            for (vpn, pfn) in pages {
                match ptes.get(*vpn).kind() {
                    PteKind::DeviceExclusive { pfn: at } | PteKind::DevicePrivate { pfn: at } if at == *pfn => {
                        whole = false;
                        break;
                    }
                    _ if ptes.get(*vpn).mapped_pfn() != Some(*pfn) => {}
                    _ if self.make_entry_exclusive(k, &ptes, *vpn, *pfn) => writable.push(*vpn),
                    _ => {}
                }
            }
        }
        bracket.end();
        (writable, whole)
    }

    /// An entry that maps the page becomes exclusive, flushed. Whether it was writable.
    fn make_entry_exclusive(&self, k: &Kernel, ptes: &PteGuard<'_>, vpn: Vpn, pfn: Pfn) -> bool {
        let old = ptes.clear(k, vpn);
        self.flush_tlb_range(k, PageRange::page(vpn));
        ptes.set(k, vpn, Pte::device_exclusive(pfn, old.is_writable()).with_marks_of(old));
        // The entry keeps its reference; it maps the page no more.
        self.machine.remove_rmap(pfn, self.id);
        old.is_writable()
    }

    /// Whether the entry was one to be made exclusive, and writable.
    fn page_make_device_exclusive_one(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, owner: Option<ObjId>) -> bool {
        let bracket = self.subs.invalidate_range_start(self.exclusive_of(vpn, owner));
        let mut valid = false;
        if let Some(leaf) = self.tables.walk(vpn) {
            let ptes = leaf.lock();
            if ptes.get(vpn).pfn() == Some(pfn) {
                valid = self.make_entry_exclusive(k, &ptes, vpn, pfn);
            }
        }
        bracket.end();
        valid
    }

    fn exclusive_of(&self, vpn: Vpn, owner: Option<ObjId>) -> NotifyRange {
        NotifyRange { mm: self.id, pages: PageRange::page(vpn), event: NotifyEvent::Exclusive, blockable: true, owner }
    }

    /// A CPU takes an exclusive page back.
    pub(crate) fn remove_device_exclusive_entry(
        &self,
        k: &Kernel,
        vma: &Vma,
        leaf: &Leaf,
        vpn: Vpn,
        pfn: Pfn,
    ) -> Handled {
        if !self.machine.try_get_page(k, pfn) {
            return Handled::Done;
        }
        let handled = {
            let lock = self.machine.folio_lock(pfn);
            let folio = lock.try_lock();
            if folio.is_some() {
                let bracket = self.subs.invalidate_range_start(self.exclusive_of(vpn, None));
                let ptes = leaf.lock();
                let seen = ptes.get(vpn);
                if seen.kind() == (PteKind::DeviceExclusive { pfn }) {
                    ptes.set(k, vpn, self.restored_exclusive(seen, pfn, vma));
                }
                drop(ptes);
                bracket.end();
                Handled::Done
            } else {
                Handled::WaitFolio(pfn)
            }
        };
        self.machine.put_page(k, pfn);
        handled
    }

    /// `restore_exclusive_pte()`: the present entry that an exclusive one becomes; it maps the page again.
    pub(crate) fn restored_exclusive(&self, entry: Pte, pfn: Pfn, vma: &Vma) -> Pte {
        self.machine.add_rmap(pfn, self.id);
        let writable = entry.keeps_write() && vma.flags().contains(VmFlags::WRITE);
        let back = Pte::present(pfn).with_write(writable);
        // Whether it was written is not known to the entry; the frame keeps that in the kernel.
        let back = if writable { back.with_dirty(true) } else { back.accessed(true) };
        back.with_marks_of(entry)
    }
}
