//! Merging with neighbours. Linux: `vma_merge_new_range()`, `vma_merge_existing_range()`.
//!
//! Neighbours merge when nothing tells them apart: flags (sticky ones aside, which the merged VMA has if a part had them), object, continuing object pages, and
//! anonymous pages that one `anon_vma` can answer for. Mappings with `VM_PFNMAP` or `VM_DONTEXPAND` never do.
//!
//! The kernel merges only where something was just mapped or altered. Two neighbours that *became* alike by other means
//! stay apart, here too.

use super::area::VM_SPECIAL;
use super::{AnonLink, Vma, VmaChange, VmaChanges, VmaKind, VmaTree};
use mm_types::{PageRange, Pgoff, VmFlags};

/// When a VMA with anonymous pages merges with one that has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AnonMergeRule {
    /// Whichever of the two has them, if they were not inherited over a fork. Source: `is_mergeable_anon_vma()`,
    /// mm/vma.c, since about 6.16. The recordings of 6.18 agree with it.
    #[default]
    EitherSide,
    /// Only when the neighbour has them; an altered VMA that has them stays apart from a neighbour without.
    /// Source: the same function in 6.12.
    NeighbourOnly,
}

/// Flags that neighbours may differ in, and that what they merge into has if one of them had.
///
/// Source: `VM_STICKY`, include/linux/mm.h, of later releases of 6.18.
pub(super) const STICKY: VmFlags = VmFlags::SOFTDIRTY.union(VmFlags::MAYBE_GUARD);

/// The pages that look for neighbours to merge with.
pub(super) struct Candidate {
    pub(super) range: PageRange,
    pub(super) pgoff: Pgoff,
    pub(super) flags: VmFlags,
    pub(super) kind: VmaKind,
    pub(super) anon: Option<AnonLink>,
}

impl Candidate {
    /// Everything but the anonymous pages and the offsets (`is_mergeable_vma()`).
    fn looks_like(&self, vma: &Vma) -> bool {
        (self.flags ^ vma.flags).difference(STICKY).is_empty() && self.kind == vma.kind
    }

    /// `can_vma_merge_after()` for a VMA that ends where this starts.
    fn follows(&self, prev: &Vma, rule: AnonMergeRule) -> bool {
        self.looks_like(prev)
            && anon_mergeable(self.anon, prev.anon, rule)
            && prev.pgoff + prev.range.nr_pages() == self.pgoff
    }

    /// `can_vma_merge_before()` for a VMA that starts where this ends.
    fn precedes(&self, next: &Vma, rule: AnonMergeRule) -> bool {
        self.looks_like(next)
            && anon_mergeable(self.anon, next.anon, rule)
            && self.pgoff + self.range.nr_pages() == next.pgoff
    }
}

fn anon_mergeable(own: Option<AnonLink>, neighbour: Option<AnonLink>, rule: AnonMergeRule) -> bool {
    match (own, neighbour) {
        (None, None) => true,
        (Some(a), Some(b)) => a.anon_vma == b.anon_vma,
        (None, Some(n)) => n.singular,
        (Some(o), None) => rule == AnonMergeRule::EitherSide && o.singular,
    }
}

/// Whether one `anon_vma` can answer for both sides of a merge in the middle (`are_anon_vmas_compatible()`).
fn anon_compatible(a: Option<AnonLink>, b: Option<AnonLink>) -> bool {
    a.zip(b).is_none_or(|(a, b)| a.anon_vma == b.anon_vma)
}

impl VmaTree {
    fn mergeable_sides(&self, candidate: &Candidate, left: bool, right: bool) -> (Option<Vma>, Option<Vma>) {
        if candidate.flags.intersects(VM_SPECIAL) {
            return (None, None);
        }
        let rule = self.anon_merge_rule();
        let prev = self.ending_at(candidate.range.start()).filter(|prev| left && candidate.follows(prev, rule));
        let next = self.starting_at(candidate.range.end()).filter(|next| {
            right && candidate.precedes(next, rule) && prev.is_none_or(|prev| anon_compatible(prev.anon, next.anon))
        });
        (prev, next)
    }

    /// Lets a neighbour grow over pages that are about to be mapped. Gives the grown VMA, or `None` when no neighbour
    /// will have them; a copy of a VMA brings its link along. With `only_expand` the one above is not asked (`VMG_FLAG_JUST_EXPAND`).
    ///
    /// Source: `vma_merge_new_range()`, mm/vma.c, 6.12.
    pub(super) fn merge_new(
        &mut self,
        candidate: &Candidate,
        only_expand: bool,
        changes: &mut VmaChanges,
    ) -> Option<Vma> {
        match self.mergeable_sides(candidate, true, !only_expand) {
            (None, None) => None,
            (Some(prev), None) => {
                let prev = self.share_anon(prev, candidate.anon, changes);
                let prev = self.stick(prev, candidate.flags);
                Some(self.resize(prev, join(prev.range, candidate.range), changes))
            }
            (None, Some(next)) => {
                let next = self.share_anon(next, candidate.anon, changes);
                let next = self.stick(next, candidate.flags);
                Some(self.resize(next, join(candidate.range, next.range), changes))
            }
            (Some(prev), Some(next)) => {
                let prev = self.share_anon(prev, next.anon.or(candidate.anon), changes);
                let prev = self.stick(prev, candidate.flags | next.flags);
                self.remove_one(next, changes);
                Some(self.resize(prev, join(prev.range, next.range), changes))
            }
        }
    }

    /// Moves the pages of `candidate`, a part of `vma` that is about to look like `candidate`, into a neighbour that
    /// looks so already. Gives the VMA that has them now, or `None` when they stay.
    ///
    /// Source: `vma_merge_existing_range()`, mm/vma.c, 6.12.
    pub(super) fn merge_existing(&mut self, vma: Vma, candidate: &Candidate, changes: &mut VmaChanges) -> Option<Vma> {
        let left = candidate.range.start() == vma.start();
        let right = candidate.range.end() == vma.end();
        let whole = left && right;
        match self.mergeable_sides(candidate, left, right) {
            (None, None) => None,
            (Some(prev), Some(next)) => {
                let prev = self.share_anon(prev, next.anon.or(vma.anon), changes);
                let prev = self.stick(prev, candidate.flags | next.flags);
                self.remove_one(vma, changes);
                self.remove_one(next, changes);
                Some(self.resize(prev, join(prev.range, next.range), changes))
            }
            (Some(prev), None) => {
                let prev = self.share_anon(prev, vma.anon, changes);
                let prev = self.stick(prev, candidate.flags);
                self.give_up(vma, candidate.range, whole, changes);
                Some(self.resize(prev, join(prev.range, candidate.range), changes))
            }
            (None, Some(next)) => {
                let next = self.share_anon(next, vma.anon, changes);
                let next = self.stick(next, candidate.flags);
                self.give_up(vma, candidate.range, whole, changes);
                Some(self.resize(next, join(candidate.range, next.range), changes))
            }
        }
    }

    /// Takes the pages at one end of a VMA, or all of it, out of the tree.
    fn give_up(&mut self, vma: Vma, range: PageRange, whole: bool, changes: &mut VmaChanges) {
        if whole {
            return self.remove_one(vma, changes);
        }
        let rest = if range.start() == vma.start() {
            PageRange::new(range.end(), vma.end())
        } else {
            PageRange::new(vma.start(), range.start())
        };
        let rest = rest.unwrap_or_else(|e| panic!("{range} is no proper part of {}: {e}", vma.range));
        self.resize(vma, rest, changes);
    }

    /// Gives `vma` the sticky ones among `flags`.
    fn stick(&mut self, vma: Vma, flags: VmFlags) -> Vma {
        let sticky = Vma { flags: vma.flags | (flags & STICKY), ..vma };
        if sticky != vma {
            self.store(sticky);
        }
        sticky
    }

    /// Gives `vma` the link `from` if it has none (`dup_anon_vma()`).
    fn share_anon(&mut self, vma: Vma, from: Option<AnonLink>, changes: &mut VmaChanges) -> Vma {
        match (vma.anon, from) {
            (None, Some(link)) => {
                let shared = Vma { anon: Some(link), ..vma };
                self.store(shared);
                changes.push(VmaChange::AnonShared { vma: vma.id, link });
                shared
            }
            _ => vma,
        }
    }
}

fn join(below: PageRange, above: PageRange) -> PageRange {
    PageRange::new(below.start(), above.end()).unwrap_or_else(|e| panic!("{below} is not below {above}: {e}"))
}
