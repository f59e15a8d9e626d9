//! What an operation did to the VMAs of a tree.

use super::{AnonLink, VmaId};
use mm_types::PageRange;
use smallvec::SmallVec;

/// One alteration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VmaChange {
    /// A VMA that was not there. `split_from` names the one whose part, flags, object and link it took over.
    Created {
        /// The new VMA.
        vma: VmaId,
        /// Its pages.
        range: PageRange,
        /// The VMA it is a part of, when it came from a split.
        split_from: Option<VmaId>,
    },
    /// A VMA covers other pages than before.
    Resized {
        /// The VMA.
        vma: VmaId,
        /// Before.
        from: PageRange,
        /// After.
        to: PageRange,
    },
    /// A VMA is gone: unmapped, or taken into a neighbour.
    Removed {
        /// The VMA.
        vma: VmaId,
        /// The pages it covered.
        range: PageRange,
    },
    /// A VMA without anonymous pages took over the link of one it grew into (`dup_anon_vma()`).
    AnonShared {
        /// The VMA that had none.
        vma: VmaId,
        /// The link it has now.
        link: AnonLink,
    },
}

/// Alterations in the order they happened.
pub type VmaChanges = SmallVec<[VmaChange; 3]>;
