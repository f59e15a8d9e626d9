//! Clearing the entries of VMAs. Linux: `unmap_vmas()`, `zap_pte_range()`, `free_pgtables()`.

use crate::frames::FrameFlags;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Leaf, PteGuard};
use crate::quirks::Quirks;
use crate::tlb::MmuGather;
use crate::vma::Vma;
use ksync::Kernel;
use mm_types::{PAGE_SIZE, PageRange, Pte, PteKind, TASK_SIZE, VmFlags, Vpn};
use trace::{NotifyEvent, NotifyRange};

/// Pages of user space: tables may go up to here when nothing is mapped above (`USER_PGTABLES_CEILING`).
const CEILING: Vpn = Vpn((TASK_SIZE / PAGE_SIZE).next_multiple_of(1 << 27));

/// How far the page tables around an unmapped range are nobody else's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableBounds {
    /// End of the VMA below.
    pub(crate) floor: Vpn,
    /// Start of the VMA above.
    pub(crate) ceiling: Vpn,
}

impl TableBounds {
    /// Nothing is mapped around.
    pub(crate) const ALL: TableBounds = TableBounds { floor: Vpn(0), ceiling: CEILING };
}

/// Which pages are unmapped (`struct zap_details`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Zap {
    /// All.
    All,
    /// Those of the file, not private copies (`even_cows` unset).
    FilePages,
}

impl Mm {
    /// The bounds for unmapping `range`, whose VMAs are out of the tree.
    pub(crate) fn table_bounds(&self, range: PageRange) -> TableBounds {
        let inner = self.inner.lock();
        TableBounds {
            floor: inner.tree.find_prev(range.start()).map_or(Vpn(0), Vma::end),
            ceiling: inner.tree.find_at_or_above(range.end()).map_or(CEILING, Vma::start),
        }
    }

    /// `unmap_region()`: one bracket over `range`, the entries of `vmas` cleared, tables that nobody needs freed, one
    /// flush, pages freed. The VMAs are out of the tree; `mmap_lock` is held, for reading at least.
    pub(crate) fn unmap_region(&self, k: &Kernel, range: PageRange, vmas: &[Vma], bounds: TableBounds) {
        let mut tlb = MmuGather::new(self);
        if self.machine.config.quirks.contains(Quirks::MUNMAP_FREES_BEFORE_START) {
            vmas.iter().for_each(|vma| self.unmap_page_range(k, &mut tlb, vma, vma.range()));
            tlb.flush(k);
        }
        self.unmap_vmas(k, &mut tlb, range, vmas);
        self.free_pgtables(k, &mut tlb, vmas, bounds);
        tlb.finish(k);
    }

    /// `unmap_vmas()`: clears the entries of VMAs inside one UNMAP bracket over `range`, which is announced even when
    /// there is no page table. Sync point `mm.zap`.
    pub(crate) fn unmap_vmas(&self, k: &Kernel, tlb: &mut MmuGather<'_>, range: PageRange, vmas: &[Vma]) {
        let quirks = self.machine.config.quirks;
        k.sync_reached(NAMES.mm_zap);
        if quirks.contains(Quirks::MUNMAP_CLEARS_BEFORE_START) {
            vmas.iter().for_each(|vma| self.unmap_page_range(k, tlb, vma, vma.range()));
        }
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: range,
            event: NotifyEvent::Unmap,
            blockable: true,
            owner: None,
        });
        for vma in vmas {
            self.unmap_page_range(k, tlb, vma, vma.range());
        }
        if quirks.contains(Quirks::MUNMAP_UNPAIRED_END) {
            drop(bracket);
        } else {
            bracket.end();
        }
        k.sync_passed(NAMES.mm_zap);
    }

    /// `unmap_page_range()`: clears the entries of `range`, a part of `vma`.
    pub(crate) fn unmap_page_range(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, range: PageRange) {
        self.unmap_page_range_as(k, tlb, vma, range, Zap::All);
    }

    /// As [`Mm::unmap_page_range`], of some pages only.
    pub(crate) fn unmap_page_range_as(
        &self,
        k: &Kernel,
        tlb: &mut MmuGather<'_>,
        vma: &Vma,
        range: PageRange,
        details: Zap,
    ) {
        let mut rest = Some(range);
        while let Some((leaf, part)) = rest.and_then(|range| self.tables.next_leaf(range)) {
            let done = self.zap_pte_range(k, tlb, vma, &leaf, part, details);
            rest = PageRange::new(done, range.end()).ok();
        }
    }

    /// `zap_pte_range()`: one leaf table. Gives the first page not done: a full gather lets the lock go to flush.
    fn zap_pte_range(
        &self,
        k: &Kernel,
        tlb: &mut MmuGather<'_>,
        vma: &Vma,
        leaf: &Leaf,
        part: PageRange,
        details: Zap,
    ) -> Vpn {
        let ptes = leaf.lock();
        let mut force_flush = false;
        let mut full = None;
        for vpn in part.iter() {
            let old = ptes.get(vpn);
            if old.is_none() {
                continue;
            }
            if !self.should_zap(old, details) {
                continue;
            }
            force_flush |= vma.flags().contains(VmFlags::SHARED) && old.is_dirty();
            if self.zap_pte(k, tlb, &ptes, vpn, old) {
                full = Some(vpn + 1);
                break;
            }
        }
        let flush_now = force_flush || full.is_some();
        if flush_now {
            // Under the lock: a dirty page of a file must not be written through a stale translation once it counts as
            // clean; and the pages of a full gather go as soon as the lock does.
            tlb.flush_tlb_only(k);
        }
        drop(ptes);
        if flush_now {
            tlb.flush(k);
        }
        full.unwrap_or(part.end())
    }

    /// `should_zap_folio()`: private copies survive a hole in the file.
    fn should_zap(&self, old: Pte, details: Zap) -> bool {
        let page = old.mapped_pfn().filter(|_| !old.is_special());
        details == Zap::All || page.is_some_and(|pfn| !Mm::is_anon_frame(self.machine.frame(pfn).flags))
    }

    /// Clears one entry. True when the gather is full.
    fn zap_pte(&self, k: &Kernel, tlb: &mut MmuGather<'_>, ptes: &PteGuard<'_>, vpn: Vpn, old: Pte) -> bool {
        ptes.clear(k, vpn);
        match old.kind() {
            PteKind::Present | PteKind::ProtNone { .. } => {
                tlb.note(vpn);
                let Some(pfn) = old.mapped_pfn().filter(|_| !old.is_special()) else { return false };
                if old.is_dirty() {
                    self.machine.with_frame(pfn, |f| f.flags |= f.flags.dirtied());
                }
                self.machine.remove_rmap(pfn);
                tlb.remove_page(pfn)
            }
            PteKind::Swap { slot } => {
                self.machine.free_swap_and_cache(k, slot);
                false
            }
            // The device's page, or the one it had to itself.
            PteKind::DevicePrivate { pfn } | PteKind::DeviceExclusive { pfn } => {
                self.machine.remove_rmap(pfn);
                self.machine.put_page(k, pfn);
                false
            }
            PteKind::Migration { .. } | PteKind::HwPoison { .. } | PteKind::None => false,
        }
    }

    /// `free_pgtables()`: VMAs leave the reverse map, and the tables around them that nobody else needs go.
    pub(crate) fn free_pgtables(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vmas: &[Vma], bounds: TableBounds) {
        self.unlink_anon_vmas(k, vmas);
        self.unlink_file_vmas(vmas);
        for (i, vma) in vmas.iter().enumerate() {
            let ceiling = vmas.get(i + 1).map_or(bounds.ceiling, Vma::start);
            if self.free_pgd_range(vma.range(), bounds.floor, ceiling) {
                // The flush covers one page at the start of the first table.
                tlb.note(Vpn(vma.start().0 >> 9 << 9).max(bounds.floor));
            }
        }
    }

    /// Whether a frame is private to address spaces (`folio_test_anon()`).
    pub(crate) fn is_anon_frame(flags: FrameFlags) -> bool {
        flags.contains(FrameFlags::ANON)
    }
}
