//! Looking for free pages. The one place that does: an index of gaps would go here and nothing else would change.

use super::{Vma, VmaTree};
use mm_types::{PageRange, Vpn};

impl VmaTree {
    /// The highest `nr_pages` free pages inside `[low, high)`. Below a stack its guard gap is kept free, but only where the
    /// stack is what bounds the free pages: pages below a VMA next to a stack are not asked how far that is.
    ///
    /// Walks the gaps downwards from `high`: O(log n) plus the number of gaps that are too small.
    ///
    /// Source: `unmapped_area_topdown()`, mm/mmap.c, 6.12.
    pub(super) fn highest_gap(&self, nr_pages: u64, low: Vpn, high: Vpn) -> Option<PageRange> {
        let mut high = high;
        let mut above = self.find_at_or_above(high);
        for vma in self.iter_down(high) {
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
