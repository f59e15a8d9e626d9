//! `mseal`. Linux: mm/mseal.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, VirtAddr, VmFlags};

impl Mm {
    /// `mseal(addr, len, flags)`: the VMAs may not be unmapped, moved or altered any more.
    ///
    /// # Errors
    /// `EINVAL` for flags, an unaligned address or a range that wraps around; `ENOMEM` when part of the range is not mapped
    /// (nothing is sealed), or at too many VMAs.
    pub fn mseal(&self, addr: VirtAddr, len_bytes: u64, flags: u64) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.mseal, None, || {
                if flags != 0 || !addr.is_page_aligned() {
                    return Err(Errno::EINVAL);
                }
                let len = VirtAddr(len_bytes).page_align_up().ok_or(Errno::EINVAL)?.0 / PAGE_SIZE * PAGE_SIZE;
                let end = VirtAddr(addr.0.checked_add(len).ok_or(Errno::EINVAL)?);
                let Ok(range) = PageRange::new(addr.vpn(), end.vpn()) else { return Ok(()) };
                let _write = self.mmap_lock.write();
                self.seal_range(k, range)
            })
        })
    }

    fn seal_range(&self, k: &Kernel, range: PageRange) -> Result<(), Errno> {
        let mut next = range.start();
        while next < range.end() {
            next = self.find_vma(next).ok_or(Errno::ENOMEM)?.end();
        }
        let mut next = range.start();
        while let Some(vma) = self.find_vma(next).filter(|_| next < range.end()) {
            let end = vma.end().min(range.end());
            next = end;
            if vma.flags().contains(VmFlags::SEALED) {
                continue;
            }
            let part = PageRange::new(vma.start().max(range.start()), end).map_err(|_| Errno::ENOMEM)?;
            let modified = self.inner.lock().tree.modify_flags(part, vma.flags() | VmFlags::SEALED);
            let modified = modified.inspect_err(|_| self.vma_resync(k))?;
            self.vma_adjusted(k, &modified.changes);
            next = modified.vma.end();
        }
        Ok(())
    }
}
