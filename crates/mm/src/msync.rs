//! `msync`. Linux: mm/msync.c, 6.12. There is no device to write to: what a mapping holds, its file holds.

use crate::mm::Mm;
use crate::names::NAMES;
use bitflags::bitflags;
use ksync::current;
use mm_types::{Errno, PAGE_SIZE, VirtAddr, VmFlags};

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
            self.call(k, NAMES.msync, None, || {
                if MsyncFlags::from_bits(flags.bits()).is_none() || !addr.is_page_aligned() || flags.contains(both) {
                    return Err(Errno::EINVAL);
                }
                let len = len_bytes.wrapping_add(PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
                let end = VirtAddr(addr.0.checked_add(len).ok_or(Errno::ENOMEM)?);
                if end == addr {
                    return Ok(());
                }
                let _read = self.mmap_lock.read();
                self.msync_vmas(addr, end, flags)
            })
        })
    }

    fn msync_vmas(&self, start: VirtAddr, end: VirtAddr, flags: MsyncFlags) -> Result<(), Errno> {
        let inner = self.inner.lock();
        let mut next = start.vpn();
        let mut whole = Ok(());
        loop {
            let vma = inner.tree.find_at_or_above(next).ok_or(Errno::ENOMEM)?;
            if next < vma.start() {
                if flags == MsyncFlags::ASYNC || vma.start() >= end.vpn() {
                    return Err(Errno::ENOMEM);
                }
                whole = Err(Errno::ENOMEM);
            }
            if flags.contains(MsyncFlags::INVALIDATE) && vma.flags().contains(VmFlags::LOCKED) {
                return Err(Errno::EBUSY);
            }
            next = vma.end();
            if next >= end.vpn() {
                return whole;
            }
        }
    }
}
