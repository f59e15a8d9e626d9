//! Growing a stack downwards. Linux: `expand_downwards()`.

use super::{Modified, Vma, VmaChanges, VmaTree};
use mm_types::{Errno, PageRange, VmFlags, Vpn};

/// Pages kept free below a VMA that grows down. Source: `stack_guard_gap`, mm/mmap.c, 6.12.
pub const STACK_GUARD_GAP: u64 = 256;

impl VmaTree {
    /// The stack that a fault at `to`, which nothing maps, would grow: before it may be asked for its `anon_vma`. Gives a
    /// VMA that starts at or below `to` as it is.
    ///
    /// # Errors
    /// `EFAULT` when no VMA is above or it does not grow down, `EPERM` below `min`, `ENOMEM` when an accessible
    /// neighbour that is no stack itself would be closer than [`STACK_GUARD_GAP`].
    ///
    /// Source: the first half of `expand_downwards()`, mm/mmap.c, 6.12.
    pub fn stack_above(&self, to: Vpn, min: Vpn) -> Result<Vma, Errno> {
        let vma = *self.find_at_or_above(to).ok_or(Errno::EFAULT)?;
        if vma.start() <= to {
            return Ok(vma);
        }
        if !vma.flags.contains(VmFlags::GROWSDOWN) {
            return Err(Errno::EFAULT);
        }
        if to < min {
            return Err(Errno::EPERM);
        }
        let too_close = self.find_prev(to).is_some_and(|prev| {
            !prev.flags.contains(VmFlags::GROWSDOWN) && prev.is_accessible() && to - prev.end() < STACK_GUARD_GAP
        });
        if too_close { Err(Errno::ENOMEM) } else { Ok(vma) }
    }

    /// Grows the first VMA above `to` down to `to`, after a fault on a page that nothing maps. Gives the VMA unaltered
    /// when it starts at or below `to` already.
    ///
    /// `min` is the lowest page that may be mapped, `max_pages` the stack limit (`RLIMIT_STACK` in pages).
    /// The VMA must have its anonymous link before ([`VmaTree::anon_vma_prepare`]), as a reverse map would miss the new
    /// pages otherwise; that is the caller's to see to, once [`VmaTree::stack_above`] has found nothing wrong.
    ///
    /// # Errors
    /// As [`VmaTree::stack_above`]; `ENOMEM` when the stack would be larger than `max_pages`, or more would be locked than
    /// may be. Nothing has happened.
    ///
    /// Source: `expand_downwards()` and `acct_stack_growth()`, mm/mmap.c, 6.12.
    pub fn expand_downwards(&mut self, to: Vpn, min: Vpn, max_pages: u64) -> Result<Modified, Errno> {
        let vma = self.stack_above(to, min)?;
        let mut changes = VmaChanges::new();
        if vma.start() <= to {
            return Ok(Modified { vma, changes });
        }
        if vma.end() - to > max_pages
            || vma.start() - to > vma.pgoff.0
            || !self.mlock_future_ok(vma.flags, vma.start() - to)
        {
            return Err(Errno::ENOMEM);
        }
        let range = PageRange::new(to, vma.end()).map_err(|_| Errno::EFAULT)?;
        let vma = self.resize(vma, range, &mut changes);
        Ok(Modified { vma, changes })
    }
}
