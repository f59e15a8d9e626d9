//! `brk`. Linux: `brk()`, mm/mmap.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::BrkPlan;
use ksync::{Kernel, current};
use mm_types::{Errno, VirtAddr, VmFlags};

impl Mm {
    /// `brk(to)`: gives the end of the heap after the call, which is the old one when it was refused. Shrinking unmaps as
    /// `munmap` does, with `mmap_lock` downgraded.
    pub fn brk(&self, to: VirtAddr) -> VirtAddr {
        current(|k| {
            let done = self.call(k, NAMES.brk, None, || self.do_brk(k, to));
            done.unwrap_or_else(|_| self.inner.lock().names.brk.end)
        })
    }

    /// The end of the heap, without a scheduling point.
    #[must_use]
    pub fn brk_end(&self) -> VirtAddr {
        self.inner.lock().names.brk.end
    }

    fn do_brk(&self, k: &Kernel, to: VirtAddr) -> Result<VirtAddr, Errno> {
        let write = self.mmap_lock.write();
        let (brk, plan) = {
            let inner = self.inner.lock();
            (inner.names.brk, inner.tree.plan_brk(inner.names.brk, to))
        };
        match plan {
            BrkPlan::Refused => return Ok(brk.end),
            BrkPlan::SamePage => {}
            BrkPlan::Shrink(range) => {
                self.inner.lock().names.brk.end = to;
                self.do_munmap_downgraded(k, write, range).inspect_err(|_| {
                    self.inner.lock().names.brk.end = brk.end;
                })?;
                return Ok(to);
            }
            BrkPlan::Grow(range) => {
                let mut extra = VmFlags::SOFTDIRTY;
                extra.set(VmFlags::MERGEABLE, self.inner.lock().merge_any);
                let mapped = self.inner.lock().tree.brk_expand(brk, range, extra)?;
                self.vma_adjusted(k, &mapped.changes);
            }
        }
        self.inner.lock().names.brk.end = to;
        Ok(to)
    }
}
