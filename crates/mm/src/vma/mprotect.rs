//! Changing protections. Linux: `do_mprotect_pkey()`, `mprotect_fixup()`.

use super::{Modified, Vma, VmaChanges, VmaTree};
use mm_types::{Errno, PageRange, Prot, VirtAddr, VmFlags, Vpn};

/// The walk of one `mprotect` over the VMAs of its range.
///
/// One VMA a step, so that the caller changes the page tables of one before the next is looked at, as the kernel does:
/// a later error leaves the earlier ones changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mprotect {
    prot: Prot,
    range: PageRange,
    /// First page not yet done.
    next: Vpn,
}

/// The pages of one VMA have other flags now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MprotectStep {
    /// The pages whose entries are to be changed; inside `vma`.
    pub range: PageRange,
    /// Flags before.
    pub old: VmFlags,
    /// Flags after.
    pub new: VmFlags,
    /// The VMA that has the pages now.
    pub vma: Vma,
    /// The alterations, in order.
    pub changes: VmaChanges,
}

impl Mprotect {
    /// `mprotect(addr, len, prot)`; `None` when the length is 0 and nothing is to be done.
    ///
    /// # Errors
    /// `EINVAL` when `addr` is not page aligned, `ENOMEM` when the range is beyond the address space.
    ///
    /// Source: `do_mprotect_pkey()`, mm/mprotect.c, 6.12.
    pub fn new(addr: VirtAddr, len_bytes: u64, prot: Prot) -> Result<Option<Mprotect>, Errno> {
        if !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len_bytes == 0 {
            return Ok(None);
        }
        let len = VirtAddr(len_bytes).page_align_up().ok_or(Errno::ENOMEM)?;
        let end = VirtAddr(addr.0.checked_add(len.0).ok_or(Errno::ENOMEM)?);
        let range = PageRange::new(addr.vpn(), end.vpn()).map_err(|_| Errno::ENOMEM)?;
        Ok(Some(Mprotect { prot, range, next: range.start() }))
    }

    /// Alters the next VMA whose flags differ; `None` when the range is done.
    ///
    /// # Errors
    /// `ENOMEM` at a hole, or when a split is needed at [`VmaTree::max_map_count`]; `EACCES` when the VMA may never
    /// have this access; `EPERM` when it is sealed. The steps before stay done.
    pub fn step(&mut self, tree: &mut VmaTree) -> Result<Option<MprotectStep>, Errno> {
        while self.next < self.range.end() {
            let vma = *tree.find(self.next).ok_or(Errno::ENOMEM)?;
            let new = self.flags_for(&vma)?;
            let end = vma.end().min(self.range.end());
            let range = PageRange::new(self.next, end).map_err(|_| Errno::ENOMEM)?;
            if vma.flags.contains(VmFlags::SEALED) {
                return Err(Errno::EPERM);
            }
            if new == vma.flags {
                self.next = vma.end();
                continue;
            }
            let new = account(&vma, new);
            let modified = tree.modify_flags(range, new)?;
            // A merge upwards has the following pages already as they should be.
            self.next = modified.vma.end();
            let Modified { vma: now, changes } = modified;
            return Ok(Some(MprotectStep { range, old: vma.flags, new, vma: now, changes }));
        }
        Ok(None)
    }

    fn flags_for(&self, vma: &Vma) -> Result<VmFlags, Errno> {
        let access = VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC;
        let asked = VmFlags::from_prot(self.prot);
        for (bit, may) in
            [(VmFlags::READ, VmFlags::MAYREAD), (VmFlags::WRITE, VmFlags::MAYWRITE), (VmFlags::EXEC, VmFlags::MAYEXEC)]
        {
            if asked.contains(bit) && !vma.flags.contains(may) {
                return Err(Errno::EACCES);
            }
        }
        Ok(vma.flags.difference(access) | asked)
    }
}

/// Private memory that becomes writable counts in the commit limit from now on; it stops counting only while it is
/// anonymous and still without pages. Source: `mprotect_fixup()`, mm/mprotect.c, 6.12.
fn account(vma: &Vma, new: VmFlags) -> VmFlags {
    let never = VmFlags::ACCOUNT | VmFlags::WRITE | VmFlags::SHARED | VmFlags::NORESERVE;
    if new.contains(VmFlags::WRITE) {
        if vma.flags.intersects(never) { new } else { new | VmFlags::ACCOUNT }
    } else if vma.is_anonymous() && vma.anon.is_none() {
        new.difference(VmFlags::ACCOUNT)
    } else {
        new
    }
}
