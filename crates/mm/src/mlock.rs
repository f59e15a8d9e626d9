//! `mlock`, `munlock`. Linux: mm/mlock.c, 6.12. Nobody is notified: entries stay as they are. Limits are not accounted.

use crate::mm::Mm;
use crate::names::NAMES;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, VmFlags};

impl Mm {
    /// `mlock(range)`: the VMAs are locked, and their pages faulted in. `mmap_lock` held for writing for the first.
    ///
    /// # Errors
    /// `ENOMEM` where part of the range is not mapped, or for too many VMAs; VMAs below are locked.
    pub fn mlock(&self, pages: PageRange) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.mlock, Some(pages), || {
                self.mlock_vmas(k, pages, true)?;
                if let Some(vma) = self.find_vma(pages.start()) {
                    self.populate(k, pages, vma.flags());
                }
                Ok(())
            })
        })
    }

    /// `munlock(range)`.
    ///
    /// # Errors
    /// As [`Mm::mlock`].
    pub fn munlock(&self, pages: PageRange) -> Result<(), Errno> {
        current(|k| self.call(k, NAMES.munlock, Some(pages), || self.mlock_vmas(k, pages, false)))
    }

    fn mlock_vmas(&self, k: &Kernel, pages: PageRange, on: bool) -> Result<(), Errno> {
        let _write = self.mmap_lock.write();
        let mut next = pages.start();
        while next < pages.end() {
            let vma = self.find_vma(next).ok_or(Errno::ENOMEM)?;
            let Some(part) = vma.range().intersect(pages) else { break };
            let mut flags = vma.flags();
            flags.set(VmFlags::LOCKED, on);
            if flags != vma.flags() {
                self.vma_start_write(vma.id());
                let modified = self.inner.lock().tree.modify_flags(part, flags);
                match modified {
                    Ok(modified) => self.vma_adjusted(k, &modified.changes),
                    Err(error) => {
                        self.vma_resync(k);
                        return Err(error);
                    }
                }
            }
            next = part.end();
        }
        Ok(())
    }
}
