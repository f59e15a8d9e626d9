//! `mlock`, `mlock2`, `munlock`, `mlockall`, `munlockall`. Linux: mm/mlock.c, 6.12.
//!
//! Locked pages are not reclaimed ([`VmFlags::LOCKED`] of a VMA that maps them). What is locked is counted against
//! `RLIMIT_MEMLOCK` ([`Mm::set_memlock_pages`]), pages locked already once.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::Vma;
use bitflags::bitflags;
use ksync::{Kernel, current};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, VirtAddr, VmFlags, Vpn};

bitflags! {
    /// The flags of `mlock2` (include/uapi/asm-generic/mman-common.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MlockFlags: u32 {
        /// `MLOCK_ONFAULT`: pages are locked when they are faulted in, and not faulted in now.
        const ONFAULT = 1;
    }
}

bitflags! {
    /// The flags of `mlockall`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MlockallFlags: u32 {
        /// `MCL_CURRENT`: what is mapped.
        const CURRENT = 1;
        /// `MCL_FUTURE`: what will be mapped.
        const FUTURE = 2;
        /// `MCL_ONFAULT`: pages when they are faulted in.
        const ONFAULT = 4;
    }
}

/// The pages of `addr` and `len`, rounded outwards; `None` when there are none.
///
/// # Errors
/// `EINVAL` when the range wraps around.
fn locked_range(addr: VirtAddr, len_bytes: u64) -> Result<Option<PageRange>, Errno> {
    let len = len_bytes.wrapping_add(addr.0 % PAGE_SIZE).wrapping_add(PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    let start = addr.0 / PAGE_SIZE * PAGE_SIZE;
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok(PageRange::new(VirtAddr(start).vpn(), VirtAddr(end).vpn()).ok())
}

impl Mm {
    /// `mlock(addr, len)`: the pages are locked, and faulted in.
    ///
    /// # Errors
    /// `EPERM` when nothing may be locked, `ENOMEM` when more would be than may be: nothing has happened. `EINVAL` for a
    /// range that wraps around; `ENOMEM` at a hole, at too many VMAs (what is below is locked), or for a page that cannot be
    /// faulted in (all is locked); `EAGAIN` without memory.
    pub fn mlock(&self, addr: VirtAddr, len_bytes: u64) -> Result<(), Errno> {
        self.lock_call(NAMES.mlock, addr, len_bytes, VmFlags::LOCKED)
    }

    /// `mlock2(addr, len, flags)`.
    ///
    /// # Errors
    /// As [`Mm::mlock`]; `EINVAL` for unknown flags.
    pub fn mlock2(&self, addr: VirtAddr, len_bytes: u64, flags: MlockFlags) -> Result<(), Errno> {
        if MlockFlags::from_bits(flags.bits()).is_none() {
            return Err(Errno::EINVAL);
        }
        let onfault = if flags.contains(MlockFlags::ONFAULT) { VmFlags::LOCKONFAULT } else { VmFlags::empty() };
        self.lock_call(NAMES.mlock2, addr, len_bytes, VmFlags::LOCKED | onfault)
    }

    /// `munlock(addr, len)`.
    ///
    /// # Errors
    /// `EINVAL` for a range that wraps around; `ENOMEM` at a hole, or at too many VMAs: what is below is unlocked.
    pub fn munlock(&self, addr: VirtAddr, len_bytes: u64) -> Result<(), Errno> {
        let range = locked_range(addr, len_bytes);
        current(|k| {
            self.call(k, NAMES.munlock, range.ok().flatten(), || {
                let _write = self.mmap_lock.write();
                range?.map_or(Ok(()), |range| self.apply_vma_lock_flags(k, range, VmFlags::empty()))
            })
        })
    }

    /// `mlockall(flags)`.
    ///
    /// # Errors
    /// `EINVAL` for unknown or no flags, `ONFAULT` alone; `EPERM`, `ENOMEM` as [`Mm::mlock`].
    pub fn mlockall(&self, flags: MlockallFlags) -> Result<(), Errno> {
        let known = MlockallFlags::from_bits(flags.bits()).is_some();
        if !known || !flags.intersects(MlockallFlags::CURRENT | MlockallFlags::FUTURE) {
            return Err(Errno::EINVAL);
        }
        current(|k| {
            self.call(k, NAMES.mlockall, None, || {
                {
                    let _write = self.mmap_lock.write();
                    let (mapped, limit) = {
                        let inner = self.inner.lock();
                        (inner.tree.iter().map(|v| v.range().nr_pages()).sum::<u64>(), inner.tree.memlock_pages())
                    };
                    if limit == 0 {
                        return Err(Errno::EPERM);
                    }
                    if flags.contains(MlockallFlags::CURRENT) && mapped > limit {
                        return Err(Errno::ENOMEM);
                    }
                    self.apply_mlockall_flags(k, flags);
                }
                if flags.contains(MlockallFlags::CURRENT) {
                    self.populate(k, PageRange::ALL);
                }
                Ok(())
            })
        })
    }

    /// `munlockall()`.
    pub fn munlockall(&self) {
        current(|k| {
            let _: Result<(), Errno> = self.call(k, NAMES.munlockall, None, || {
                let _write = self.mmap_lock.write();
                self.apply_mlockall_flags(k, MlockallFlags::empty());
                Ok(())
            });
        });
    }

    /// How many pages may be locked (`RLIMIT_MEMLOCK` of one without `CAP_IPC_LOCK`); children inherit it.
    pub fn set_memlock_pages(&self, pages: u64) {
        self.inner.lock().tree.set_memlock_pages(pages);
    }

    /// `do_mlock()`.
    fn lock_call(&self, call: Name, addr: VirtAddr, len_bytes: u64, flags: VmFlags) -> Result<(), Errno> {
        let range = locked_range(addr, len_bytes);
        current(|k| {
            self.call(k, call, range.ok().flatten(), || {
                let locked = {
                    let _write = self.mmap_lock.write();
                    self.check_memlock(addr, len_bytes)?;
                    let Some(range) = range? else { return Ok(()) };
                    self.apply_vma_lock_flags(k, range, flags)?;
                    range
                };
                self.mm_populate(k, locked, false).map_err(|error| match error {
                    Errno::EFAULT => Errno::ENOMEM,
                    Errno::ENOMEM => Errno::EAGAIN,
                    other => other,
                })
            })
        })
    }

    /// Whether so much more may be locked; what is locked already in the range counts once.
    fn check_memlock(&self, addr: VirtAddr, len_bytes: u64) -> Result<(), Errno> {
        let inner = self.inner.lock();
        let limit = inner.tree.memlock_pages();
        if limit == 0 {
            return Err(Errno::EPERM);
        }
        let len = len_bytes.wrapping_add(addr.0 % PAGE_SIZE).wrapping_add(PAGE_SIZE - 1) / PAGE_SIZE;
        let wanted = len.saturating_add(inner.tree.locked_pages());
        if wanted <= limit {
            return Ok(());
        }
        let range = PageRange::with_len(addr.vpn(), len);
        let counted = range.map_or(0, |range| {
            let locked = inner.tree.iter_range(range).filter(|v| v.flags().contains(VmFlags::LOCKED));
            locked.map(|v| (v.end().min(range.end()).0) - v.start().max(range.start()).0).sum()
        });
        if wanted - counted <= limit { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// `apply_vma_lock_flags()`.
    fn apply_vma_lock_flags(&self, k: &Kernel, range: PageRange, flags: VmFlags) -> Result<(), Errno> {
        let mut next = range.start();
        while next < range.end() {
            let vma = self.find_vma(next).ok_or(Errno::ENOMEM)?;
            let part = PageRange::new(next, vma.end().min(range.end())).map_err(|_| Errno::ENOMEM)?;
            next = self.mlock_fixup(k, &vma, part, vma.flags().difference(VmFlags::LOCKED_MASK) | flags)?;
        }
        Ok(())
    }

    /// `mlock_fixup()`: memory that cannot be locked is passed over. Gives the first page not done.
    fn mlock_fixup(&self, k: &Kernel, vma: &Vma, part: PageRange, flags: VmFlags) -> Result<Vpn, Errno> {
        if flags == vma.flags() || vma.is_special() || vma.flags().intersects(VmFlags::DROPPABLE | VmFlags::DAX) {
            return Ok(part.end());
        }
        self.vma_start_write(vma.id());
        let modified = self.inner.lock().tree.modify_flags(part, flags);
        let modified = modified.inspect_err(|_| self.vma_resync(k))?;
        self.vma_adjusted(k, &modified.changes);
        Ok(modified.vma.end())
    }

    /// `apply_mlockall_flags()`: errors are ignored, as there.
    fn apply_mlockall_flags(&self, k: &Kernel, flags: MlockallFlags) {
        let onfault = if flags.contains(MlockallFlags::ONFAULT) { VmFlags::LOCKONFAULT } else { VmFlags::empty() };
        let future = flags.contains(MlockallFlags::FUTURE);
        let def_flags = if future { VmFlags::LOCKED | onfault } else { VmFlags::empty() };
        self.inner.lock().def_flags = def_flags;
        if future && !flags.contains(MlockallFlags::CURRENT) {
            return;
        }
        let current = flags.contains(MlockallFlags::CURRENT);
        let now = if current { VmFlags::LOCKED | onfault } else { VmFlags::empty() };
        let mut next = Vpn(0);
        loop {
            let found = self.inner.lock().tree.find_at_or_above(next).copied();
            let Some(vma) = found else { return };
            let flags = vma.flags().difference(VmFlags::LOCKED_MASK) | now;
            next = self.mlock_fixup(k, &vma, vma.range(), flags).unwrap_or(vma.end());
        }
    }
}
