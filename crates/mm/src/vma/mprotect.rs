//! Changing protections. Linux: `do_mprotect_pkey()`, `mprotect_fixup()`.

use super::{Modified, Vma, VmaChanges, VmaTree};
use bitflags::bitflags;
use mm_types::{Errno, PageRange, Prot, VirtAddr, VmFlags, Vpn};

bitflags! {
    /// The protection argument of `mprotect` (include/uapi/asm-generic/mman-common.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct ProtFlags: u32 {
        /// `PROT_READ`.
        const READ = 1;
        /// `PROT_WRITE`.
        const WRITE = 2;
        /// `PROT_EXEC`.
        const EXEC = 4;
        /// `PROT_SEM`; without effect.
        const SEM = 8;
        /// `PROT_GROWSDOWN`: down to the start of a stack.
        const GROWSDOWN = 0x0100_0000;
        /// `PROT_GROWSUP`: up to the end of a mapping that grows up, which x86 has none of.
        const GROWSUP = 0x0200_0000;
    }
}

impl ProtFlags {
    /// The access bits.
    #[must_use]
    pub fn prot(self) -> Prot {
        Prot::from_bits_truncate((self.bits() & 7) as u8)
    }
}

impl From<Prot> for ProtFlags {
    fn from(prot: Prot) -> ProtFlags {
        ProtFlags::from_bits_retain(u32::from(prot.bits()))
    }
}

/// The walk of one `mprotect` over the VMAs of its range.
///
/// One VMA a step, so that the caller changes the page tables of one before the next is looked at, as the kernel does:
/// a later error leaves the earlier ones changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mprotect {
    prot: Prot,
    /// With `PROT_GROWSDOWN`, with `PROT_GROWSUP`.
    grows: (bool, bool),
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

impl MprotectStep {
    /// Locked memory that a write may reach now has its private copies at once.
    #[must_use]
    pub fn becomes_writable_locked(&self) -> bool {
        self.old & (VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED) == VmFlags::LOCKED
            && self.new.contains(VmFlags::WRITE)
    }
}

impl Mprotect {
    /// `mprotect(addr, len, prot)`; `None` when the length is 0 and nothing is to be done.
    ///
    /// # Errors
    /// `EINVAL` for both ways of growing, an `addr` that is not page aligned, or an unknown bit of `prot`; `ENOMEM` when
    /// the range is beyond the address space.
    ///
    /// Source: `do_mprotect_pkey()`, mm/mprotect.c, 6.12.
    pub fn new(addr: VirtAddr, len_bytes: u64, prot: ProtFlags) -> Result<Option<Mprotect>, Errno> {
        let grows = (prot.contains(ProtFlags::GROWSDOWN), prot.contains(ProtFlags::GROWSUP));
        if grows == (true, true) || !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len_bytes == 0 {
            return Ok(None);
        }
        let len = VirtAddr(len_bytes).page_align_up().ok_or(Errno::ENOMEM)?;
        let end = VirtAddr(addr.0.checked_add(len.0).ok_or(Errno::ENOMEM)?);
        let range = PageRange::new(addr.vpn(), end.vpn()).map_err(|_| Errno::ENOMEM)?;
        if ProtFlags::from_bits(prot.bits()).is_none() {
            return Err(Errno::EINVAL);
        }
        Ok(Some(Mprotect { prot: prot.prot(), grows, range, next: range.start() }))
    }

    /// Looks at the first VMA: a stack may be meant from its start on.
    ///
    /// # Errors
    /// `ENOMEM` when nothing is mapped there, `EINVAL` when it grows in no such way.
    pub fn begin(&mut self, tree: &VmaTree) -> Result<(), Errno> {
        let (down, up) = self.grows;
        let first = tree.find_at_or_above(self.range.start()).ok_or(Errno::ENOMEM)?;
        let start = if down {
            // The start of a stack may lie above the address.
            if first.start() >= self.range.end() {
                return Err(Errno::ENOMEM);
            }
            if !first.flags.contains(VmFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            first.start()
        } else {
            if first.start() > self.range.start() {
                return Err(Errno::ENOMEM);
            }
            if up {
                return Err(Errno::EINVAL);
            }
            self.range.start()
        };
        self.range = PageRange::new(start, self.range.end()).map_err(|_| Errno::ENOMEM)?;
        self.next = start;
        Ok(())
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
