//! The first anonymous page of a VMA. Linux: `anon_vma_prepare()`, `find_mergeable_anon_vma()`.

use super::merge::STICKY;
use super::{AnonLink, AnonVmaId, Vma, VmaTree};
use mm_types::{VmFlags, Vpn};

impl VmaTree {
    /// Gives the VMA that maps `vpn` a link, if it has none: a neighbour's that it may share, else `fresh()`'s.
    /// Sharing lets neighbours that differ only in access merge later. `None` when nothing maps `vpn`.
    ///
    /// Source: `__anon_vma_prepare()`, mm/rmap.c; `find_mergeable_anon_vma()`, mm/vma.c, 6.12.
    pub fn anon_vma_prepare(&mut self, vpn: Vpn, fresh: impl FnOnce() -> AnonVmaId) -> Option<AnonLink> {
        let vma = *self.find(vpn)?;
        if vma.anon.is_some() {
            return vma.anon;
        }
        let link = AnonLink::own(self.find_mergeable_anon_vma(&vma).unwrap_or_else(fresh));
        self.set_anon(vpn, Some(link));
        Some(link)
    }

    /// The `anon_vma` of the VMA above or, failing that, below that `vma` may share.
    ///
    /// Source: `find_mergeable_anon_vma()`, mm/vma.c, 6.12.
    #[must_use]
    pub fn find_mergeable_anon_vma(&self, vma: &Vma) -> Option<AnonVmaId> {
        let above = self.starting_at(vma.end()).filter(|next| anon_vma_compatible(vma, next));
        let below = || self.ending_at(vma.start()).filter(|prev| anon_vma_compatible(prev, vma));
        reusable(above).or_else(|| reusable(below()))
    }
}

/// Not inherited over a fork: an `anon_vma` with a family would make every walk longer.
fn reusable(neighbour: Option<Vma>) -> Option<AnonVmaId> {
    neighbour?.anon.filter(|link| link.singular).map(|link| link.anon_vma)
}

/// Neighbours that `mprotect` alone could make mergeable.
fn anon_vma_compatible(below: &Vma, above: &Vma) -> bool {
    let access = VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC | STICKY;
    below.kind == above.kind
        && (below.flags ^ above.flags).difference(access).is_empty()
        && below.pgoff + below.range.nr_pages() == above.pgoff
}
