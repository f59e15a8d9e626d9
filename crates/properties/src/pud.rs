//! Entries of PUD tables, each of which is told as one event and stands for the entries of a GiB of pages.

use mm_types::{PageRange, Pte, Vpn};

/// Pages that one such entry maps.
const PAGES: u64 = 1 << 18;

/// The first page of the GiB of `vpn`.
pub(crate) const fn base(vpn: Vpn) -> Vpn {
    Vpn(vpn.0 / PAGES * PAGES)
}

/// The pages from `base` on that one entry maps; fewer where no more are.
pub(crate) fn pages(base: Vpn) -> PageRange {
    PageRange::with_len(base, PAGES).unwrap_or_else(|| PageRange::page(base))
}

/// What maps page `index` of the GiB.
pub(crate) const fn subpage(entry: Pte, index: u64) -> Pte {
    if entry.is_none() { Pte::NONE } else { entry.subpage(index) }
}
