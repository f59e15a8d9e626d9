//! Looking for free pages. The one place that does: an index of gaps would go here and nothing else would change.

use super::VmaTree;
use mm_types::{PageRange, Vpn};

impl VmaTree {
    /// The highest `nr_pages` free pages inside `[low, high)`, guard gaps below stacks kept free.
    ///
    /// Walks the gaps downwards from `high`: O(log n) plus the number of gaps that are too small.
    ///
    /// Source: `unmapped_area_topdown()`, mm/mmap.c, 6.12.
    pub(super) fn highest_gap(&self, nr_pages: u64, low: Vpn, high: Vpn) -> Option<PageRange> {
        let mut top = match self.find_at_or_above(high) {
            Some(above) => high.min(above.start_gap()),
            None => high,
        };
        for vma in self.iter_down(high) {
            if let Some(found) = fit_high(vma.end().max(low), top, nr_pages) {
                return Some(found);
            }
            top = top.min(vma.start_gap());
            if top <= low {
                return None;
            }
        }
        fit_high(low, top, nr_pages)
    }

    /// The lowest `nr_pages` free pages inside `[low, high)`, guard gaps below stacks kept free.
    ///
    /// Source: `unmapped_area()`, mm/mmap.c, 6.12.
    pub(super) fn lowest_gap(&self, nr_pages: u64, low: Vpn, high: Vpn) -> Option<PageRange> {
        let mut bottom = low;
        let all = PageRange::new(low, Vpn::MAX).ok()?;
        for vma in self.iter_range(all) {
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
}

fn fit_high(bottom: Vpn, top: Vpn, nr_pages: u64) -> Option<PageRange> {
    let start = Vpn(top.0.checked_sub(nr_pages)?);
    if start < bottom { None } else { PageRange::with_len(start, nr_pages) }
}

fn fit_low(bottom: Vpn, top: Vpn, nr_pages: u64) -> Option<PageRange> {
    let end = bottom.checked_add(nr_pages)?;
    if end > top { None } else { PageRange::with_len(bottom, nr_pages) }
}
