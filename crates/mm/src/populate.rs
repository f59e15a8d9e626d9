//! Faulting pages in before they are accessed. Linux: `__mm_populate()`, `populate_vma_page_range()`,
//! `faultin_page_range()`, mm/gup.c, 6.12.
//!
//! | who | pages | error |
//! |---|---|---|
//! | `mmap`, `mremap`, `mlockall` | as [`Mm::populate`] | ignored; the rest of that VMA is left |
//! | `mlock`, `mlock2` | the same | told |
//! | `mprotect` that makes locked memory writable | of one VMA | ignored |
//! | `MADV_POPULATE_*` | for the access that was asked for | told |
//!
//! Memory that is locked only when it is faulted in (`VM_LOCKONFAULT`) is left alone. A private mapping that may be written
//! is faulted in for writing. A page that is there already, perhaps by the fault of a neighbour, costs no fault.

use crate::fault::Handled;
use crate::gup::MmapLock;
use crate::mm::Mm;
use crate::vma::Vma;
use ksync::Kernel;
use mm_types::{Errno, PageRange, VmFlags, Vpn};

impl Mm {
    /// `mm_populate()`: errors are ignored.
    pub(crate) fn populate(&self, k: &Kernel, range: PageRange) {
        let _: Result<(), Errno> = self.mm_populate(k, range, true);
    }

    /// `__mm_populate()`: VMA by VMA, holes passed over.
    ///
    /// # Errors
    /// `EFAULT` or `ENOMEM` of the first page that could not be had, unless they are ignored.
    pub(crate) fn mm_populate(&self, k: &Kernel, range: PageRange, ignore_errors: bool) -> Result<(), Errno> {
        let mut next = range.start();
        loop {
            let vma = {
                let _read = self.mmap_lock.read();
                self.inner.lock().tree.find_at_or_above(next).copied()
            };
            let Some(vma) = vma.filter(|vma| vma.start() < range.end()) else { return Ok(()) };
            let part = PageRange::new(next.max(vma.start()), vma.end().min(range.end()));
            let Ok(part) = part else { return Ok(()) };
            next = part.end();
            if vma.flags().contains(VmFlags::PFNMAP) {
                continue;
            }
            let populated = self.populate_vma(k, &vma, part, MmapLock::Take);
            if !ignore_errors {
                populated?;
            }
        }
    }

    /// `populate_vma_page_range()`: what of `part`, inside `vma`, a locked mapping would have.
    ///
    /// # Errors
    /// `EFAULT` for memory that may not be accessed at all, or cannot be faulted in; `ENOMEM`. Pages below are there.
    pub(crate) fn populate_vma(&self, k: &Kernel, vma: &Vma, part: PageRange, lock: MmapLock) -> Result<(), Errno> {
        if vma.flags().contains(VmFlags::LOCKONFAULT) {
            return Ok(());
        }
        if !vma.is_accessible() {
            return Err(Errno::EFAULT);
        }
        let write = vma.flags() & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
        for vpn in part.iter() {
            self.faultin_page(k, vpn, write, lock)?;
        }
        Ok(())
    }

    /// Faults one page in unless an entry allows the access already (`__get_user_pages()` without pages to give).
    ///
    /// # Errors
    /// `ENOMEM`; `EFAULT`, also when nothing is mapped there.
    pub(crate) fn faultin_page(&self, k: &Kernel, vpn: Vpn, write: bool, lock: MmapLock) -> Result<(), Errno> {
        loop {
            let read = (lock == MmapLock::Take).then(|| self.mmap_lock.read());
            let vma = self.find_vma(vpn).ok_or(Errno::EFAULT)?;
            if self.allows(k, vpn, write) {
                return Ok(());
            }
            let handled = self.handle_mm_fault(k, &vma, vpn, write).map_err(|error| error.errno())?;
            drop(read);
            if let Handled::WaitFolio(pfn) = handled {
                self.machine.wait_folio(k, pfn);
            }
        }
    }
}
