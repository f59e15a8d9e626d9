//! `msync`. Linux: mm/msync.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::VmaKind;
use bitflags::bitflags;
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, VirtAddr, VmFlags};

bitflags! {
    /// The flags of `msync` (include/uapi/asm-generic/mman-common.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MsyncFlags: u32 {
        /// `MS_ASYNC`.
        const ASYNC = 1;
        /// `MS_INVALIDATE`.
        const INVALIDATE = 2;
        /// `MS_SYNC`.
        const SYNC = 4;
    }
}

impl Mm {
    /// `msync(addr, len, flags)`.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, both `ASYNC` and `SYNC`, or an unaligned address; `ENOMEM` when part of the range is not
    /// mapped, or it wraps around; `EBUSY` for `INVALIDATE` of locked memory.
    pub fn msync(&self, addr: VirtAddr, len_bytes: u64, flags: MsyncFlags) -> Result<(), Errno> {
        let both = MsyncFlags::ASYNC | MsyncFlags::SYNC;
        current(|k| {
            self.call(k, NAMES.msync, PageRange::with_len(addr.vpn(), len_bytes.div_ceil(PAGE_SIZE)), || {
                if MsyncFlags::from_bits(flags.bits()).is_none() || !addr.is_page_aligned() || flags.contains(both) {
                    return Err(Errno::EINVAL);
                }
                let len = len_bytes.wrapping_add(PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
                let end = VirtAddr(addr.0.checked_add(len).ok_or(Errno::ENOMEM)?);
                if end == addr {
                    return Ok(());
                }
                self.msync_vmas(k, addr, end, flags)
            })
        })
    }

    /// VMA by VMA; what is dirty is written back without `mmap_lock`.
    fn msync_vmas(&self, k: &Kernel, start: VirtAddr, end: VirtAddr, flags: MsyncFlags) -> Result<(), Errno> {
        let mut next = start.vpn();
        let mut whole = Ok(());
        loop {
            let found = {
                let _read = self.mmap_lock.read();
                self.inner.lock().tree.find_at_or_above(next).copied()
            };
            let vma = found.ok_or(Errno::ENOMEM)?;
            if next < vma.start() {
                if flags == MsyncFlags::ASYNC || vma.start() >= end.vpn() {
                    return Err(Errno::ENOMEM);
                }
                whole = Err(Errno::ENOMEM);
                next = vma.start();
            }
            if flags.contains(MsyncFlags::INVALIDATE) && vma.flags().contains(VmFlags::LOCKED) {
                return Err(Errno::EBUSY);
            }
            if let (VmaKind::File(file), Ok(part)) = (vma.kind(), PageRange::new(next, vma.end().min(end.vpn())))
                && flags.contains(MsyncFlags::SYNC)
                && vma.flags().contains(VmFlags::SHARED)
            {
                let first = vma.pgoff_at(part.start());
                self.machine.write_back(k, self.machine.inode(file), first, first + part.nr_pages());
            }
            next = vma.end();
            if next >= end.vpn() {
                return whole;
            }
        }
    }
}
