//! Per-VMA locks: most faults take only the lock of their VMA, for reading, by trylock.
//!
//! # Protocol
//! | who | how |
//! |---|---|
//! | a fault | looks the VMA up, takes its lock by trylock, and looks again: if the VMA is another one by then, or a writer has `mmap_lock`, it takes `mmap_lock` instead |
//! | who alters a VMA, or its entries against faults | has `mmap_lock` for writing, then takes the VMA's lock for writing and lets it go: faults that are under way are over then, and no further one begins before `mmap_lock` is let go or the VMA is out of the tree |
//!
//! Deviation: the kernel notes in each VMA whether this writer has locked *it*; here a fault stays away from every VMA while
//! a writer has `mmap_lock`.
//!
//! Sources: `lock_vma_under_rcu()`, `vma_start_write()`, mm/memory.c, include/linux/mm.h, 6.12.

use crate::mm::Mm;
use crate::obj::{MmObj, mm_obj, vma_lock_obj};
use crate::vma::{Vma, VmaId};
use ksync::{RawRwSem, RwSem, try_read_seeing};
use mm_types::{Errno, Vpn};
use std::sync::Arc;

/// `&vma->vm_lock->lock`.
pub(crate) type VmaLock = Arc<RwSem<()>>;

impl Mm {
    fn vma_lock(&self, id: VmaId) -> VmaLock {
        let mut inner = self.inner.lock();
        let lock = inner.vma_locks.entry(id).or_insert_with(|| {
            let raw = RawRwSem::new(self.machine.classes.vma_lock, vma_lock_obj(self.id, id.0));
            Arc::new(RwSem::from_raw(raw, ()))
        });
        Arc::clone(lock)
    }

    /// Runs `f` with the VMA of `vpn` locked; `None` if that takes `mmap_lock`.
    pub(crate) fn under_vma_lock<R>(&self, vpn: Vpn, f: impl FnOnce(&Vma) -> R) -> Option<R> {
        let seen = self.find_vma(vpn)?;
        let lock = self.vma_lock(seen.id());
        let _read = try_read_seeing(&lock, mm_obj(self.id, MmObj::MmapLock))?;
        let now = self.find_vma(vpn).filter(|vma| vma.id() == seen.id())?;
        (!self.mmap_lock.is_locked_exclusive()).then(|| f(&now))
    }

    /// `uffd_move_lock()`: runs `f` with both VMAs locked for reading. `waits`: the first was found under `mmap_lock`, so that
    /// its lock can be waited for.
    ///
    /// # Errors
    /// `EAGAIN` when a lock is taken.
    pub(crate) fn with_two_vma_locks<R>(
        &self,
        first: VmaId,
        second: VmaId,
        waits: bool,
        f: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let (one, two) = (self.vma_lock(first), self.vma_lock(second));
        let _one = if waits { Some(one.read()) } else { one.try_read() }.ok_or(Errno::EAGAIN)?;
        let mmap_lock = mm_obj(self.id, MmObj::MmapLock);
        let _two = if first == second { None } else { Some(try_read_seeing(&two, mmap_lock).ok_or(Errno::EAGAIN)?) };
        if self.mmap_lock.is_locked_exclusive() {
            return Err(Errno::EAGAIN);
        }
        f()
    }

    /// `vma_start_write()`: faults under the lock of `vma` are over when this returns. `mmap_lock` held for writing.
    pub(crate) fn vma_start_write(&self, vma: VmaId) {
        let lock = self.inner.lock().vma_locks.get(&vma).cloned();
        if let Some(lock) = lock {
            drop(lock.write());
        }
    }

    /// A VMA that is out of the tree needs no lock any more.
    pub(crate) fn vma_lock_free(&self, vma: VmaId) {
        self.inner.lock().vma_locks.remove(&vma);
    }
}
