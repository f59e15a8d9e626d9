//! Altering the flags of a part of a VMA. Linux: `vma_modify_flags()`.

use super::merge::{Candidate, STICKY};
use super::split::NewPart;
use super::{Vma, VmaChanges, VmaTree};
use mm_types::{Errno, PageRange, VmFlags};

/// What [`VmaTree::modify_flags`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Modified {
    /// The VMA that has the pages now, with its new flags; larger than asked for after a merge.
    pub vma: Vma,
    /// The alterations, in order.
    pub changes: VmaChanges,
}

impl VmaTree {
    /// Gives the pages of `range` the flags `flags`: merges them into a neighbour that has these flags, else splits the
    /// VMA around them. `mprotect`, `mlock` and the advice that sets flags all come here.
    ///
    /// # Errors
    /// `ENOMEM` when a split is needed at [`VmaTree::max_map_count`]; of two splits the lower may have happened.
    ///
    /// # Panics
    /// When `range` is not inside one VMA.
    ///
    /// Source: `vma_modify()`, mm/vma.c, 6.12.
    pub fn modify_flags(&mut self, range: PageRange, flags: VmFlags) -> Result<Modified, Errno> {
        let vma = *self
            .find(range.start())
            .filter(|v| v.range.covers(range))
            .unwrap_or_else(|| panic!("{range} is not inside one VMA"));
        let mut changes = VmaChanges::new();
        let pgoff = vma.pgoff_at(range.start());
        let candidate = Candidate { range, pgoff, flags, kind: vma.kind, anon: vma.anon };
        let mut now = match self.merge_existing(vma, &candidate, &mut changes) {
            Some(merged) => merged,
            None => self.isolate(vma, range, &mut changes)?,
        };
        // A merge ignores sticky flags, and keeps them; so the flags are set in both cases.
        now.flags = flags | (now.flags & STICKY);
        self.store(now);
        Ok(Modified { vma: now, changes })
    }

    /// Splits `vma` so that `range` is a VMA, which keeps the identity.
    fn isolate(&mut self, mut vma: Vma, range: PageRange, changes: &mut VmaChanges) -> Result<Vma, Errno> {
        if vma.start() < range.start() {
            vma = self.split_checked(vma, range.start(), NewPart::Below, changes)?;
        }
        if range.end() < vma.end() {
            vma = self.split_checked(vma, range.end(), NewPart::Above, changes)?;
        }
        Ok(vma)
    }
}
