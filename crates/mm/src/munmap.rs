//! `munmap`. Linux: `__vm_munmap()`, `do_vmi_align_munmap()`, mm/mmap.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::{Gathered, munmap_range};
use ksync::{Kernel, RawRwSem, RwSemWriteGuard, current};
use lock_api::RwLockWriteGuard;
use mm_types::{Errno, PageRange, VirtAddr};

impl Mm {
    /// `munmap(addr, len)`. The VMAs go under `mmap_lock` held for writing; entries are cleared, and pages freed, with it
    /// downgraded to reading: one UNMAP bracket over the whole range if a VMA is in it, however many.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned or empty range; `ENOMEM` when a VMA more would be left than may be. Nothing has happened.
    pub fn munmap(&self, addr: VirtAddr, len_bytes: u64) -> Result<(), Errno> {
        let range = munmap_range(addr, len_bytes);
        current(|k| {
            self.call(k, NAMES.munmap, range.ok(), || {
                let write = self.mmap_lock.write();
                self.do_munmap_downgraded(k, write, range?)
            })
        })
    }

    /// Unmaps `range` with the lock downgraded before page tables are touched, and lets it go.
    pub(crate) fn do_munmap_downgraded(
        &self,
        k: &Kernel,
        write: RwSemWriteGuard<'_, ()>,
        range: PageRange,
    ) -> Result<(), Errno> {
        let gathered = self.detach(k, range)?;
        if gathered.vmas.is_empty() {
            return Ok(());
        }
        let bounds = self.table_bounds(range);
        let _read = RwLockWriteGuard::<RawRwSem, ()>::downgrade(write);
        self.unmap_region(k, range, &gathered.vmas, bounds);
        Ok(())
    }

    /// Splits at the ends of `range` and takes the VMAs inside out of the tree; the reverse map still finds them.
    pub(crate) fn detach(&self, k: &Kernel, range: PageRange) -> Result<Gathered, Errno> {
        let gathered = self.inner.lock().tree.gather(range);
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(error) => {
                self.vma_resync(k);
                return Err(error);
            }
        };
        self.vma_adjusted(k, &gathered.changes);
        gathered.vmas.iter().for_each(|vma| self.vma_start_write(vma.id()));
        self.inner.lock().tree.remove_gathered(&gathered);
        gathered.vmas.iter().for_each(|vma| self.vma_lock_free(vma.id()));
        Ok(gathered)
    }
}
