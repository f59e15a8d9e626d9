//! Huge pages at PUD level: one entry of a PUD table maps a GiB of a device's memory (device-dax, aligned to a GiB).
//!
//! There is nothing below such an entry, and no page behind it that reclaim, migration or the reverse map know of. A split
//! takes it away whole: the next access makes it again, as it does all of them.
//!
//! | operation | range | held at start and end |
//! |---|---|---|
//! | split ([`Mm::split_huge_pud`]) | the GiB, *CLEAR*, whatever the operation around it has announced | that of the operation: `mmap_lock` |
//! | zap of a whole GiB | as all memory | as all memory |
//! | `mprotect` of a whole GiB | as all memory, PROTECTION_VMA | as all memory |
//!
//! Who splits: the zap of a part (`MADV_DONTNEED`: a mapping cannot be cut inside of a GiB, `dev_dax_may_split()`), and every
//! walk that wants smaller entries ([`Mm::split_huge_puds_in`]: `mincore`, `clear_refs`, a `PAGEMAP_SCAN` that only looks,
//! `MADV_COLD`, `MADV_PAGEOUT`).
//!
//! # Protocol
//! An entry is changed under `&mm->page_table_lock` (`pud_lockptr()`: there are no split locks at this level). An event is told
//! for the entry, none for each page.
//!
//! Sources: `insert_pfn_pud()`, `zap_huge_pud()`, `change_huge_pud()`, `__split_huge_pud()`, mm/huge_memory.c;
//! `walk_pud_range()`, mm/pagewalk.c; drivers/dax/device.c, 6.12.

use crate::behaviour::Behaviour;
use crate::fault::{FaultError, Handled, oom};
use crate::mm::Mm;
use crate::obj::pud_obj;
use crate::page_table::PUD_PAGES;
use crate::tlb::MmuGather;
use crate::vma::{Vma, VmaKind};
use ksync::Kernel;
use mm_types::{Gfp, PageRange, Pte, VmFlags, Vpn};
use trace::EventKind;

/// First page of the GiB that one PUD entry maps, `vpn` among them.
pub(crate) const fn pud_base(vpn: Vpn) -> Vpn {
    Vpn(vpn.0 / PUD_PAGES * PUD_PAGES)
}

/// The pages that the PUD entry of `vpn` maps.
///
/// # Panics
/// Never for a user page.
pub(crate) fn pud_range(vpn: Vpn) -> PageRange {
    let base = pud_base(vpn);
    PageRange::with_len(base, PUD_PAGES).unwrap_or_else(|| panic!("{vpn} is beyond user space"))
}

/// What of a range lies below each PUD entry, lowest first.
pub(crate) fn parts(range: PageRange) -> impl Iterator<Item = PageRange> {
    let bases = (pud_base(range.start()).0..range.end().0).step_by(PUD_PAGES as usize);
    bases.filter_map(move |base| pud_range(Vpn(base)).intersect(range))
}

impl Mm {
    /// The entry of a GiB that maps it, without its lock: a visible operation.
    pub(crate) fn peek_pud(&self, k: &Kernel, vpn: Vpn) -> Option<Pte> {
        self.tables.pud(vpn)?;
        k.visible_read(pud_obj(self.id, pud_base(vpn)));
        self.tables.pud(vpn)
    }

    /// What maps a page by way of an entry of a PUD table; no scheduling point.
    pub(crate) fn pud_subpage_now(&self, vpn: Vpn) -> Option<Pte> {
        self.tables.pud(vpn).map(|pud| pud.subpage(vpn - pud_base(vpn)))
    }

    /// Replaces the entry by what `change` makes of it, under its lock. Gives the one before; nothing is done without one.
    fn update_pud(&self, k: &Kernel, vpn: Vpn, change: impl FnOnce(Pte) -> Pte) -> Option<Pte> {
        k.visible_write(pud_obj(self.id, pud_base(vpn)));
        let old = self.tables.pud(vpn)?;
        self.store_pud_now(k, vpn, change(old));
        Some(old)
    }

    /// The one accessor, at a scheduling point that was made for it.
    fn store_pud_now(&self, k: &Kernel, vpn: Vpn, new: Pte) {
        let base = pud_base(vpn);
        let old = self.tables.set_pud(base, new);
        self.tlb.giant_changed(base, old, new);
        let old = old.with_soft_dirty(false);
        let new = new.with_soft_dirty(false);
        if old != new {
            k.emit(EventKind::PudSet { mm: self.id, base, old, new });
        }
    }

    /// The CPU sets accessed and dirty bits by itself if the entry is still `seen`. Gives the entry as it is then.
    pub(crate) fn hardware_mark_pud(&self, k: &Kernel, vpn: Vpn, seen: Pte, write: bool) -> Pte {
        let marked = seen.accessed(write);
        if marked != seen && self.tables.pud(vpn) == Some(seen) {
            self.store_pud_now(k, vpn, marked);
        }
        marked
    }

    /// A fault in a device's memory: its GiB is mapped, as the VMA allows it. The lock of the VMA held at least.
    ///
    /// # Errors
    /// `SIGBUS` where no whole GiB of the device is mapped, or it has none there; `ENOMEM`.
    ///
    /// Source: `create_huge_pud()`, mm/memory.c; `__dev_dax_pud_fault()`, drivers/dax/device.c, 6.12.
    pub(crate) fn dax_fault(&self, k: &Kernel, vma: &Vma, vpn: Vpn, write: bool) -> Result<Handled, FaultError> {
        let VmaKind::File(file) = vma.kind() else { return Err(FaultError::NotMapped(vpn)) };
        let range = vma.range();
        let aligned = |page: Vpn| page.0.is_multiple_of(PUD_PAGES);
        // `check_vma()`: an `mremap` may have made it so.
        if !aligned(range.start()) || !aligned(range.end()) {
            return Err(FaultError::BeyondFile(vpn));
        }
        let Some(head) = self.machine.dax_frame(file, vma.pgoff_at(pud_base(vpn))) else {
            return Err(FaultError::BeyondFile(vpn));
        };
        if !self.tables.has_pud_table(vpn) {
            k.kmalloc(Gfp::KERNEL, 1).map_err(oom)?;
        }
        let writable = vma.flags().contains(VmFlags::WRITE);
        let _lock = self.page_table_lock.lock();
        k.visible_write(pud_obj(self.id, pud_base(vpn)));
        let new = match self.tables.pud(vpn) {
            // `huge_pud_set_accessed()`, or a writer that finds it read-only.
            Some(now) => {
                let written = if write { now.with_dirty(true) } else { now };
                written.with_young(true).with_write(now.is_writable() || write)
            }
            None => Pte::present(head).with_huge(true).with_write(writable).with_dirty(write),
        };
        self.store_pud_now(k, vpn, new.with_protnone(!vma.is_accessible()));
        Ok(Handled::Done)
    }

    /// `split_huge_pud()`: nothing maps the GiB of `vpn` any more. Announced if there was an entry when it was looked at.
    pub(crate) fn split_huge_pud(&self, k: &Kernel, vpn: Vpn) {
        if self.peek_pud(k, vpn).is_none() {
            return;
        }
        let bracket = self.subs.invalidate_range_start(self.clear_of(pud_range(vpn)));
        {
            let _lock = self.page_table_lock.lock();
            if self.update_pud(k, vpn, |_| Pte::NONE).is_some() {
                self.flush_tlb_notify(k, pud_range(vpn));
            }
        }
        bracket.only_end();
    }

    /// What a walk over the entries of `range` does first that knows none of this size (`walk_pud_range()`).
    pub(crate) fn split_huge_puds_in(&self, k: &Kernel, range: PageRange) {
        parts(range).for_each(|part| self.split_huge_pud(k, part.start()));
    }

    /// `zap_pud_range()`: a GiB that goes as a whole loses its entry, another one is split, which leaves as little.
    pub(crate) fn zap_pud_range(&self, k: &Kernel, tlb: &mut MmuGather<'_>, range: PageRange) {
        for part in parts(range) {
            if part != pud_range(part.start()) {
                self.split_huge_pud(k, part.start());
            } else if self.tables.pud(part.start()).is_some() {
                let _lock = self.page_table_lock.lock();
                if self.update_pud(k, part.start(), |_| Pte::NONE).is_some() {
                    tlb.note_range(part);
                }
            }
        }
    }

    /// `change_huge_pud()`: the entry follows the flags of its VMA. Up to 6.11 it was taken for a bad table and cleared, outside
    /// of any bracket and without a flush (`pud_none_or_clear_bad()`).
    pub(crate) fn change_huge_pud(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, part: PageRange) {
        let writable = vma.flags().contains(VmFlags::WRITE);
        let _lock = self.page_table_lock.lock();
        let changed = |pud: Pte| pud.with_protnone(!vma.is_accessible()).with_write(writable);
        if self.update_pud(k, part.start(), changed).is_some() {
            tlb.note_range(part);
        }
    }

    /// Whether a protection change at `part` meets an entry that it takes for a bad table, and clears it.
    pub(crate) fn clears_bad_pud(&self, k: &Kernel, part: PageRange) -> bool {
        let bad = self.is(Behaviour::MPROTECT_CLEARS_PUD) && self.tables.pud(part.start()).is_some();
        if bad {
            self.update_pud(k, part.start(), |_| Pte::NONE);
        }
        bad
    }

    /// `move_huge_pud()`: to where nothing is, flushed before the lock goes. What goes elsewhere than to a GiB is split.
    pub(crate) fn move_pud_range(&self, k: &Kernel, old: PageRange, to: Vpn) {
        for part in parts(old) {
            let target = to + (part.start() - old.start());
            if part != pud_range(part.start()) || target != pud_base(target) {
                self.split_huge_pud(k, part.start());
                continue;
            }
            let _lock = self.page_table_lock.lock();
            if let Some(pud) = self.update_pud(k, part.start(), |_| Pte::NONE) {
                k.visible_write(pud_obj(self.id, target));
                self.store_pud_now(k, target, pud);
                self.flush_tlb_range(k, part);
            }
        }
    }
}
