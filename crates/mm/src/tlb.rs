//! Flushing translations, and the batch that frees pages after it (`struct mmu_gather`).
//!
//! A flush drops what the CPUs have (`cpu_tlb.rs`), then comes the secondary hook. Its order against clearing, the bracket's
//! end and freeing is the kernel's, since that is what subscribers, oracles and other CPUs see.
//!
//! Sources: mm/mmu_gather.c; `flush_tlb_mm_range()`, arch/x86/mm/tlb.c, 6.12.

use crate::behaviour::Behaviour;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::PMD_PAGES;
use crate::quirks::Quirks;
use ksync::Kernel;
use mm_types::{PageRange, Pfn, Vpn};
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use trace::EventKind;

/// Above so many pages everything is flushed. Source: `tlb_single_page_flush_ceiling`, arch/x86/mm/tlb.c, 6.12.
const FLUSH_CEILING: u64 = 33;
/// Pages a gather holds before it must flush and free: 8 in itself, then 19 batches of 510 (`MMU_GATHER_BUNDLE`,
/// `MAX_GATHER_BATCH_COUNT`, `MAX_GATHER_BATCH`; include/asm-generic/tlb.h, 6.12).
const GATHER_PAGES: usize = 8 + 19 * 510;

impl Mm {
    /// `flush_tlb_range()`: translations of `pages` are gone from every CPU, then the secondary hook is called. More than
    /// 33 pages flush, and announce, everything.
    pub(crate) fn flush_tlb_range(&self, k: &Kernel, pages: PageRange) {
        self.flush_tlb_entries(k, pages, 1);
    }

    /// The same of entries that map `stride` pages each: more than 33 entries flush everything (`flush_tlb_mm_range()`).
    pub(crate) fn flush_tlb_entries(&self, k: &Kernel, pages: PageRange, stride: u64) {
        let pages = if pages.nr_pages() / stride > FLUSH_CEILING { PageRange::ALL } else { pages };
        self.flush_tlb_only(k, pages);
        if !self.is(Behaviour::SECONDARY_AT_RANGE_END) {
            self.subs.arch_invalidate_secondary_tlbs(pages);
        }
    }

    /// Translations of `pages` are gone from every CPU.
    pub(crate) fn flush_tlb_only(&self, k: &Kernel, pages: PageRange) {
        self.drop_translations(k, pages);
        k.emit(EventKind::TlbFlush { mm: self.id, pages });
    }

    /// The same where secondary TLBs are told in every version (`ptep_clear_flush_notify()` up to 6.5).
    pub(crate) fn flush_tlb_notify(&self, k: &Kernel, pages: PageRange) {
        self.flush_tlb_range(k, pages);
        if self.is(Behaviour::SECONDARY_AT_RANGE_END) {
            self.subs.arch_invalidate_secondary_tlbs(pages);
        }
    }

    /// Whether this bug is switched on.
    pub(crate) fn is_wrong(&self, quirk: Quirks) -> bool {
        self.machine.config.quirks.contains(quirk)
    }

    /// Whether this version behaves so.
    pub(crate) fn is(&self, behaviour: Behaviour) -> bool {
        self.machine.config.behaviour.contains(behaviour)
    }
}

/// Collects what one operation unmapped: a range to flush, and pages to free after the flush.
pub(crate) struct MmuGather<'m> {
    mm: &'m Mm,
    range: Option<(Vpn, Vpn)>,
    full_mm: bool,
    /// An entry of a leaf table was cleared; else only such that map, or lead to, 512 pages (`cleared_ptes`).
    cleared_ptes: bool,
    /// A PMD table was left to others, whom walkers must not meet in there (`unshared_tables`).
    unshared: bool,
    pages: SmallVec<[Pfn; 8]>,
}

impl<'m> MmuGather<'m> {
    /// `tlb_gather_mmu()`.
    pub(crate) fn new(mm: &'m Mm) -> MmuGather<'m> {
        mm.tlb_flush_pending.fetch_add(1, Ordering::Relaxed);
        MmuGather { mm, range: None, full_mm: false, cleared_ptes: false, unshared: false, pages: SmallVec::new() }
    }

    /// `tlb_gather_mmu_fullmm()`: the address space goes away.
    pub(crate) fn full_mm(mm: &'m Mm) -> MmuGather<'m> {
        mm.tlb_flush_pending.fetch_add(1, Ordering::Relaxed);
        MmuGather { mm, range: None, full_mm: true, cleared_ptes: false, unshared: false, pages: SmallVec::new() }
    }

    /// The flush must cover this page (`tlb_flush_pte_range()`).
    pub(crate) fn note(&mut self, vpn: Vpn) {
        self.cleared_ptes = true;
        self.extend(vpn);
    }

    /// The flush must cover this page, where a table went (`pte_free_tlb()`).
    pub(crate) fn note_table(&mut self, vpn: Vpn) {
        self.extend(vpn);
    }

    /// A PMD table that others have too is used no more for these pages (`tlb_unshare_pmd_ptdesc()`).
    pub(crate) fn note_unshared(&mut self, pages: PageRange) {
        self.cleared_ptes = true;
        self.unshared = true;
        self.extend(pages.start());
        self.extend(Vpn(pages.end().0 - 1));
    }

    fn extend(&mut self, vpn: Vpn) {
        let (start, end) = self.range.unwrap_or((vpn, vpn));
        self.range = Some((start.min(vpn), end.max(vpn + 1)));
    }

    /// The flush must cover these pages, of entries that map 512 each (`tlb_flush_pmd_range()`).
    pub(crate) fn note_range(&mut self, pages: PageRange) {
        self.extend(pages.start());
        self.extend(Vpn(pages.end().0 - 1));
    }

    /// The page's reference is dropped after the flush. True when the gather is full and must be flushed first
    /// (`__tlb_remove_page()`).
    pub(crate) fn remove_page(&mut self, pfn: Pfn) -> bool {
        self.pages.push(pfn);
        self.pages.len() >= GATHER_PAGES
    }

    /// `tlb_flush_mmu_tlbonly()`: flushes what was noted; frees nothing.
    pub(crate) fn flush_tlb_only(&mut self, k: &Kernel) {
        if self.full_mm {
            self.mm.flush_tlb_notify(k, PageRange::ALL);
        } else if let Some(range) = self.range.take().and_then(|(start, end)| PageRange::new(start, end).ok()) {
            self.mm.flush_tlb_entries(k, range, if self.cleared_ptes { 1 } else { PMD_PAGES });
            if self.mm.is(Behaviour::SECONDARY_AT_RANGE_END) {
                self.mm.subs.arch_invalidate_secondary_tlbs(range);
            }
        }
        self.cleared_ptes = false;
        if std::mem::take(&mut self.unshared) && !self.mm.is_wrong(Quirks::UNSHARE_WAITS_FOR_GUP_FAST) {
            self.mm.machine.wait_for_walkers();
        }
    }

    /// `tlb_flush_mmu()`: flushes, then frees. Sync point `mm.free`.
    pub(crate) fn flush(&mut self, k: &Kernel) {
        let late = self.mm.is_wrong(Quirks::FLUSH_BEFORE_FREE);
        if !late {
            self.flush_tlb_only(k);
        }
        self.free_pages(k);
        if late {
            k.sync_point(NAMES.mm_flush);
            self.flush_tlb_only(k);
        }
    }

    fn free_pages(&mut self, k: &Kernel) {
        if self.pages.is_empty() {
            return;
        }
        k.sync_reached(NAMES.mm_free);
        for pfn in self.pages.drain(..) {
            self.mm.machine.free_page_and_swap_cache(k, pfn);
        }
        k.sync_passed(NAMES.mm_free);
    }

    /// `tlb_finish_mmu()`. While another gather of the address space is open, that one may have cleared entries which
    /// this one found empty: everything is flushed, whether or not this one cleared any (`mm_tlb_flush_nested()`).
    pub(crate) fn finish(mut self, k: &Kernel) {
        let nested = self.mm.tlb_flush_pending.load(Ordering::Relaxed) > 1;
        if nested && !self.mm.is_wrong(Quirks::FLUSH_WHEN_NESTED) {
            self.full_mm = true;
        }
        self.flush(k);
    }
}

impl Drop for MmuGather<'_> {
    fn drop(&mut self) {
        self.mm.tlb_flush_pending.fetch_sub(1, Ordering::Relaxed);
    }
}
