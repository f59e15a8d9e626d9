//! What the page-map scan tells.

use super::world::{RW, World, addr, bytes, in_world, range};
use mm::{Advice, PageCategories};

/// Of the first `nr_pages`, those of a category.
fn which(w: &World<'_>, nr_pages: u64, what: PageCategories) -> Vec<u64> {
    let known = w.mm.page_categories(range(0, nr_pages));
    (0..).zip(known).filter(|(_, is)| is.contains(what)).map(|(page, _)| page).collect()
}

pub(super) fn populate_soft_dirty() {
    in_world(|w| {
        let soft_dirty = || which(w, 512, PageCategories::SOFT_DIRTY).len();
        w.map(0, 512, RW);
        w.mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(), 0);
        assert_eq!(w.mm.madvise(addr(0), bytes(512), Advice::PopulateRead), Ok(()));
        assert_eq!(soft_dirty(), 0);
        assert_eq!(w.mm.madvise(addr(0), bytes(512), Advice::PopulateWrite), Ok(()));
        assert_eq!(soft_dirty(), 512);
    });
}

pub(super) fn guards() {
    in_world(|w| {
        w.map(0, 10, RW);
        assert_eq!(which(w, 10, PageCategories::GUARD), [0_u64; 0]);
        for page in (0..10).step_by(2) {
            w.mm.madvise(addr(page), bytes(1), Advice::GuardInstall).expect("installed");
        }
        assert_eq!(which(w, 10, PageCategories::GUARD), [0, 2, 4, 6, 8]);
        w.mm.madvise(addr(0), bytes(10), Advice::GuardRemove).expect("removed");
        assert_eq!(which(w, 10, PageCategories::GUARD), [0_u64; 0]);
    });
}
