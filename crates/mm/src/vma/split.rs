//! Splitting a VMA in two. Linux: `split_vma()`, `__split_vma()`.

use super::{Vma, VmaChange, VmaChanges, VmaTree};
use mm_types::{Errno, PageRange, Vpn};

/// Which part becomes a VMA of its own; the other keeps the identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NewPart {
    Below,
    Above,
}

impl VmaTree {
    /// Splits the VMA that maps `at` so that `at` starts one. The upper part is the new VMA. Gives no change when `at`
    /// starts a VMA already, or is not mapped.
    ///
    /// # Errors
    /// `ENOMEM` when the tree has [`VmaTree::max_map_count`] VMAs, `EINVAL` inside of a page of hugetlb; nothing has happened.
    ///
    /// Source: `split_vma()`, mm/vma.c, 6.12.
    pub fn split(&mut self, at: Vpn) -> Result<VmaChanges, Errno> {
        let mut changes = VmaChanges::new();
        if let Some(vma) = self.find(at).copied().filter(|v| v.start() < at) {
            self.split_checked(vma, at, NewPart::Above, &mut changes)?;
        }
        Ok(changes)
    }

    /// `split_vma()`: with the limit. Gives the part that keeps the identity.
    pub(super) fn split_checked(
        &mut self,
        vma: Vma,
        at: Vpn,
        new: NewPart,
        changes: &mut VmaChanges,
    ) -> Result<Vma, Errno> {
        if self.map_count() >= self.max_map_count() {
            return Err(Errno::ENOMEM);
        }
        vma.check_split(at)?;
        Ok(self.split_unchecked(vma, at, new, changes))
    }

    /// `__split_vma()`: without the limit, for `munmap`, which may pass it for a moment. Gives the part that keeps the
    /// identity.
    pub(super) fn split_unchecked(&mut self, vma: Vma, at: Vpn, new: NewPart, changes: &mut VmaChanges) -> Vma {
        let part = |from, to| {
            PageRange::new(from, to).unwrap_or_else(|e| panic!("{} cannot be split at {at}: {e}", vma.range))
        };
        let (below, above) = (part(vma.start(), at), part(at, vma.end()));
        let (kept, range) = match new {
            NewPart::Below => (above, below),
            NewPart::Above => (below, above),
        };
        let kept = self.resize(vma, kept, changes);
        let id = self.fresh_id();
        self.store(Vma { range, pgoff: vma.pgoff_at(range.start()), id, ..vma });
        changes.push(VmaChange::Created { vma: id, range, split_from: Some(vma.id) });
        kept
    }
}
