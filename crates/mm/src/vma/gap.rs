//! Looking for free pages. The one place that does: gap by gap at first, then by the index (`map.rs`).

use super::{Vma, VmaTree};
use mm_types::{PageRange, Vpn};

impl VmaTree {
    /// The highest `nr_pages` free pages inside `[low, high)`. Below a stack its guard gap is kept free, but only where the
    /// stack is what bounds the free pages: pages below a VMA next to a stack are not asked how far that is.
    ///
    /// O(log n), and one step more for each stack whose guard gap leaves too little.
    ///
    /// Source: `unmapped_area_topdown()`, mm/mmap.c, 6.12.
    pub(super) fn highest_gap(&self, nr_pages: u64, low: Vpn, high: Vpn) -> Option<PageRange> {
        self.highest_after(WALKED, nr_pages, low, high)
    }

    /// The same; `walked` gaps are looked at one by one.
    pub(super) fn highest_after(&self, walked: u32, nr_pages: u64, low: Vpn, mut high: Vpn) -> Option<PageRange> {
        // Mostly there is room above all.
        let top = self.vmas.last().map_or(low, Vma::end);
        if top <= high
            && let Some(found) = fit_below(top.max(low), &mut high, None, nr_pages)
        {
            return Some(found);
        }
        let mut above = self.find_at_or_above(high);
        for (vma, passed) in self.iter_down(high).zip(0..) {
            if passed == walked
                && let Some(above) = above
            {
                return self.highest_indexed(nr_pages, low, high, above.start());
            }
            if let Some(found) = fit_below(vma.end().max(low), &mut high, above, nr_pages) {
                return Some(found);
            }
            above = Some(vma);
            if vma.start().min(high) <= low {
                return None;
            }
        }
        fit_below(low, &mut high, above, nr_pages)
    }

    /// The lowest `nr_pages` free pages inside `[low, high)`, guard gaps below stacks kept free.
    ///
    /// Source: `unmapped_area()`, mm/mmap.c, 6.12.
    pub(super) fn lowest_gap(&self, nr_pages: u64, low: Vpn, high: Vpn) -> Option<PageRange> {
        self.lowest_after(WALKED, nr_pages, low, high)
    }

    /// The same; `walked` gaps are looked at one by one.
    pub(super) fn lowest_after(&self, walked: u32, nr_pages: u64, low: Vpn, high: Vpn) -> Option<PageRange> {
        let mut bottom = low;
        let all = PageRange::new(low, Vpn::MAX).ok()?;
        for (vma, passed) in self.iter_range(all).zip(0..) {
            if passed == walked {
                return self.lowest_indexed(nr_pages, low, high, vma.start());
            }
            if let Some(found) = fit_low(bottom, vma.start_gap().min(high), nr_pages) {
                return Some(found);
            }
            bottom = bottom.max(vma.end());
            if bottom >= high {
                return None;
            }
        }
        fit_low(bottom, high, nr_pages)
    }

    /// The same for the gap below the VMA at `at`, and those below that.
    fn highest_indexed(&self, nr_pages: u64, low: Vpn, mut high: Vpn, mut at: Vpn) -> Option<PageRange> {
        loop {
            let block = self.vmas.last_fit(at, nr_pages)?;
            let (first, end) = self.vmas.span(block);
            let mut widest = 0;
            let mut below = self.vmas.range(Vpn(0), end.min(at + 1)).rev().peekable();
            while let Some(vma) = below.next_if(|vma| vma.start() >= first) {
                if vma.start().min(high) <= low {
                    return None;
                }
                let bottom = below.peek().map_or(Vpn(0), |vma| vma.end());
                widest = widest.max(vma.start() - bottom);
                if vma.start() - bottom >= nr_pages
                    && let Some(found) = fit_below(bottom.max(low), &mut high, Some(vma), nr_pages)
                {
                    return Some(found);
                }
            }
            if at + 1 >= end {
                self.vmas.set_bound(block, widest);
            }
            at = Vpn(first.0.checked_sub(1)?);
        }
    }

    /// The same for the gap below the VMA at `at`, and those above that.
    fn lowest_indexed(&self, nr_pages: u64, low: Vpn, high: Vpn, at: Vpn) -> Option<PageRange> {
        let mut from = at;
        while let Some(block) = self.vmas.first_fit(from, nr_pages) {
            let (first, end) = self.vmas.span(block);
            let mut widest = 0;
            let mut bottom = self.find_prev(from.max(first)).map_or(Vpn(0), Vma::end);
            for vma in self.vmas.range(from.max(first), end) {
                if bottom >= high {
                    return None;
                }
                widest = widest.max(vma.start() - bottom);
                if let Some(found) = fit_low(bottom.max(low), vma.start_gap().min(high), nr_pages) {
                    return Some(found);
                }
                bottom = vma.end();
            }
            if from <= first {
                self.vmas.set_bound(block, widest);
            }
            from = end;
        }
        let bottom = self.vmas.last().map_or(low, Vma::end);
        fit_low(bottom.max(low), high, nr_pages)
    }
}

/// Gaps that are looked at one by one before the index is asked.
pub(super) const WALKED: u32 = 8;

/// The highest pages of a gap between `bottom` and the VMA `above`, below `high`. A gap that would be large enough but for
/// a stack's guard lowers `high` for what is looked at next.
fn fit_below(bottom: Vpn, high: &mut Vpn, above: Option<&Vma>, nr_pages: u64) -> Option<PageRange> {
    let top = above.map_or(*high, |above| above.start().min(*high));
    let found = fit_high(bottom, top, nr_pages)?;
    let guarded = above.filter(|above| above.start_gap() < above.start() && above.start_gap() < top);
    let Some(stack) = guarded else { return Some(found) };
    *high = stack.start_gap();
    fit_high(bottom, *high, nr_pages)
}

fn fit_high(bottom: Vpn, top: Vpn, nr_pages: u64) -> Option<PageRange> {
    let start = Vpn(top.0.checked_sub(nr_pages)?);
    if start < bottom { None } else { PageRange::with_len(start, nr_pages) }
}

fn fit_low(bottom: Vpn, top: Vpn, nr_pages: u64) -> Option<PageRange> {
    let end = bottom.checked_add(nr_pages)?;
    if end > top { None } else { PageRange::with_len(bottom, nr_pages) }
}
