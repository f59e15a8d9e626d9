//! Clearing the entries of VMAs. Linux: `unmap_vmas()`, `zap_pte_range()`, `free_pgtables()`.

use crate::frames::FrameFlags;
use crate::huge::is_pmd_range;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Leaf, Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::tlb::MmuGather;
use crate::vma::Vma;
use ksync::Kernel;
use mm_types::{PAGE_SIZE, PageRange, Pte, PteKind, TASK_SIZE, VmFlags, Vpn};
use std::sync::Arc;
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

/// Which entries go (`struct zap_details`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Zap {
    /// Guard pages too (`ZAP_FLAG_DROP_MARKER`).
    markers: bool,
    /// Private copies of a file's pages too.
    even_cows: bool,
    /// A table of leaf entries that all went is freed at once (`reclaim_pt`).
    tables: bool,
}

impl Zap {
    /// The mapping goes.
    pub(crate) const UNMAP: Zap = Zap { markers: true, even_cows: true, tables: false };
    /// The contents go, the mapping stays.
    pub(crate) const DISCARD: Zap = Zap { markers: false, even_cows: true, tables: false };
    /// The same by `MADV_DONTNEED`. Source: `madvise_dontneed_single_vma()`, mm/madvise.c, since 6.14.
    pub(crate) const DONTNEED: Zap = Zap { markers: false, even_cows: true, tables: true };
    /// The file has a hole; private copies stay.
    pub(crate) const HOLE: Zap = Zap { markers: false, even_cows: false, tables: false };
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
            vmas.iter().for_each(|vma| self.unmap_page_range(k, &mut tlb, vma, vma.range(), Zap::UNMAP));
            tlb.flush(k);
        }
        self.unmap_vmas(k, &mut tlb, range, vmas);
        self.free_pgtables(k, &mut tlb, vmas, bounds);
        if self.is_wrong(Quirks::FLUSH_AFTER_UNSHARE) {
            k.sync_point(NAMES.mm_window);
        }
        tlb.finish(k);
    }

    /// `unmap_vmas()`: clears the entries of VMAs inside one UNMAP bracket over `range`, which is announced even when
    /// there is no page table. Sync point `mm.zap`.
    pub(crate) fn unmap_vmas(&self, k: &Kernel, tlb: &mut MmuGather<'_>, range: PageRange, vmas: &[Vma]) {
        let quirks = self.machine.config.quirks;
        k.sync_reached(NAMES.mm_zap);
        if quirks.contains(Quirks::MUNMAP_CLEARS_BEFORE_START) {
            vmas.iter().for_each(|vma| self.unmap_page_range(k, tlb, vma, vma.range(), Zap::UNMAP));
        }
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: range,
            event: NotifyEvent::Unmap,
            blockable: true,
            owner: None,
        });
        for vma in vmas {
            let mut unmap = || self.unmap_page_range(k, tlb, vma, vma.range(), Zap::UNMAP);
            if vma.flags().contains(VmFlags::HUGETLB) { self.with_hugetlb_locks(vma, unmap) } else { unmap() }
        }
        if quirks.contains(Quirks::MUNMAP_UNPAIRED_END) {
            drop(bracket);
        } else {
            bracket.end();
        }
        k.sync_passed(NAMES.mm_zap);
    }

    /// `unmap_page_range()`: clears the entries of `range`, a part of `vma`. A huge page of which only a part is in it is
    /// split.
    pub(crate) fn unmap_page_range(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, range: PageRange, zap: Zap) {
        if vma.flags().contains(VmFlags::HUGETLB) {
            self.unmap_hugepage_range(k, tlb, vma, range);
            return;
        }
        if vma.flags().contains(VmFlags::DAX) {
            self.zap_pud_range(k, tlb, range);
            return;
        }
        let mut rest = Some(range);
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            let done = match pmd {
                Pmd::None => part.end(),
                Pmd::Huge(_) if is_pmd_range(part) => {
                    self.zap_huge_pmd(k, tlb, part);
                    part.end()
                }
                Pmd::Huge(_) => {
                    self.split_huge_pmd(k, part.start());
                    part.start()
                }
                Pmd::Table(leaf) => self.zap_pte_range(k, tlb, vma, &leaf, part, zap),
            };
            rest = PageRange::new(done, range.end()).ok();
        }
    }

    /// `zap_huge_pmd()`: one entry of a PMD table that maps a huge page.
    fn zap_huge_pmd(&self, k: &Kernel, tlb: &mut MmuGather<'_>, part: PageRange) {
        let old = self.with_pmd(part.start(), |pmd| pmd.huge().map(|_| pmd.clear(k)));
        let Some(old) = old else { return };
        tlb.note_range(part);
        let head = old.mapped_pfn().filter(|_| !old.is_special());
        if let Some(head) = head {
            self.machine.remove_rmap_pmd(head, self.id);
            if tlb.remove_page(head) {
                tlb.flush(k);
            }
        }
    }

    /// `zap_pte_range()`: one leaf table. Gives the first page not done: a full gather lets the lock go to flush.
    fn zap_pte_range(
        &self,
        k: &Kernel,
        tlb: &mut MmuGather<'_>,
        vma: &Vma,
        leaf: &Arc<Leaf>,
        part: PageRange,
        zap: Zap,
    ) -> Vpn {
        let ptes = leaf.lock();
        self.flush_tlb_batched_pending(k, &ptes);
        let mut dirty = false;
        let mut full = None;
        let mut skipped = false;
        for vpn in part.iter() {
            let old = ptes.get(vpn);
            if old.is_none() {
                continue;
            }
            if !self.should_zap(old, zap) {
                skipped = true;
                continue;
            }
            self.assert_anonymous(vma, old);
            dirty |= vma.flags().contains(VmFlags::SHARED) && old.is_dirty();
            if self.zap_pte(k, tlb, &ptes, vpn, old) {
                full = Some(vpn + 1);
                break;
            }
        }
        let late = dirty && self.is_wrong(Quirks::FLUSH_DIRTY_BEFORE_UNLOCK);
        let flush_now = dirty && !late || full.is_some();
        if flush_now {
            // Under the lock: a dirty page of a file must not be written through a stale translation once it counts as
            // clean; and the pages of a full gather go as soon as the lock does.
            tlb.flush_tlb_only(k);
        }
        drop(ptes);
        if flush_now {
            tlb.flush(k);
        }
        if late {
            k.sync_point(NAMES.mm_window);
        }
        if zap.tables && is_pmd_range(part) && !skipped && full.is_none() {
            self.free_empty_table(leaf);
        }
        full.unwrap_or(part.end())
    }

    /// With quirk zap-device-private-by-folio: what the kernel warned about. A page is private although its mapping is one of
    /// a file, after a copy on write.
    fn assert_anonymous(&self, vma: &Vma, old: Pte) {
        let is_device = matches!(old.kind(), PteKind::DevicePrivate { .. } | PteKind::DeviceExclusive { .. });
        let asks = self.machine.config.quirks.contains(Quirks::ZAP_DEVICE_PRIVATE_BY_FOLIO);
        assert!(!(asks && is_device) || vma.is_anonymous(), "a device's page in a mapping that is not anonymous");
    }

    /// Whether an entry goes. Source: `should_zap_folio()`, `zap_drop_markers()`, mm/memory.c, 6.12.
    fn should_zap(&self, old: Pte, zap: Zap) -> bool {
        match old.kind() {
            PteKind::Guard => zap.markers,
            PteKind::Swap { .. }
            | PteKind::Migration { .. }
            | PteKind::DevicePrivate { .. }
            | PteKind::DeviceExclusive { .. }
            | PteKind::HwPoison { .. } => zap.even_cows,
            PteKind::Present | PteKind::ProtNone { .. } if !zap.even_cows => {
                let page = old.mapped_pfn().filter(|_| !old.is_special());
                page.is_none_or(|pfn| !Mm::is_anon_frame(self.machine.frame(pfn).flags))
            }
            _ => true,
        }
    }

    /// Clears one entry. True when the gather is full.
    fn zap_pte(&self, k: &Kernel, tlb: &mut MmuGather<'_>, ptes: &PteGuard<'_>, vpn: Vpn, old: Pte) -> bool {
        ptes.unmap(k, vpn, Pte::NONE);
        match old.kind() {
            PteKind::Present | PteKind::ProtNone { .. } => {
                tlb.note(vpn);
                let Some(pfn) = old.mapped_pfn().filter(|_| !old.is_special()) else { return false };
                self.machine.transfer_dirty(pfn, old);
                if old.is_young() && !self.machine.frame(pfn).flags.contains(FrameFlags::ANON) {
                    self.machine.mark_page_accessed(pfn);
                }
                self.machine.remove_rmap(pfn, self.id);
                tlb.remove_page(pfn)
            }
            PteKind::Swap { slot } => {
                self.machine.free_swap_and_cache(k, slot);
                false
            }
            // The device's page, or the one it had to itself.
            PteKind::DevicePrivate { pfn } | PteKind::DeviceExclusive { pfn } => {
                self.machine.remove_rmap(pfn, self.id);
                self.machine.put_page(k, pfn);
                false
            }
            PteKind::Migration { .. } | PteKind::HwPoison { .. } | PteKind::Guard | PteKind::None => false,
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
                tlb.note_table(Vpn(vma.start().0 >> 9 << 9).max(bounds.floor));
            }
        }
    }

    /// Whether a frame is private to address spaces (`folio_test_anon()`).
    pub(crate) fn is_anon_frame(flags: FrameFlags) -> bool {
        flags.contains(FrameFlags::ANON)
    }
}
