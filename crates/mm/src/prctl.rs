//! `prctl(PR_SET_MEMORY_MERGE)`: equal pages of a whole process may be merged, of what is mapped now and of what will be. A child
//! has it too.
//!
//! Sources: `ksm_enable_merge_any()`, `ksm_disable_merge_any()`, mm/ksm.c, 6.12; `ksm_vma_flags()`, 6.17: a new mapping is
//! mergeable before it looks for neighbours, so that it merges with those that are (in 6.12 afterwards, and it does not).

use crate::madvise::is_ksm_compatible;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::Vma;
use ksync::current;
use mm_types::{Errno, VmFlags};

impl Mm {
    /// `prctl(PR_SET_MEMORY_MERGE, on)`: every mapping that may be is mergeable from here on, or none is, and what was merged is
    /// copied again. `mmap_lock` held for writing.
    ///
    /// # Errors
    /// `ENOMEM` for a copy: what can be is mergeable, as before.
    pub fn set_memory_merge(&self, on: bool) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.prctl, None, || {
                let _write = self.mmap_lock.write();
                if self.inner.lock().merge_any == on {
                    return Ok(());
                }
                if !on {
                    for vma in self.vmas().into_iter().filter(|vma| vma.flags().contains(VmFlags::MERGEABLE)) {
                        self.unmerge_ksm_pages(k, &vma, vma.range()).inspect_err(|_| self.make_mergeable())?;
                        self.set_mergeable(&vma, false);
                    }
                } else {
                    self.make_mergeable();
                }
                self.inner.lock().merge_any = on;
                Ok(())
            })
        })
    }

    /// `prctl(PR_GET_MEMORY_MERGE)`.
    #[must_use]
    pub fn memory_merge(&self) -> bool {
        self.inner.lock().merge_any
    }

    /// `ksm_add_vmas()`.
    fn make_mergeable(&self) {
        self.vmas().iter().filter(|vma| is_ksm_compatible(vma.flags())).for_each(|vma| self.set_mergeable(vma, true));
    }

    fn set_mergeable(&self, vma: &Vma, on: bool) {
        self.vma_start_write(vma.id());
        let mut flags = vma.flags();
        flags.set(VmFlags::MERGEABLE, on);
        self.inner.lock().tree.set_flags(vma.start(), flags);
    }
}
