//! Soft-dirty tracking: `/proc/PID/clear_refs`. What it comes to is read by [`Mm::page_categories`].
//!
//! | operation | held | bracket |
//! |---|---|---|
//! | `clear_refs` 4 | `mmap_lock` W | SOFT_DIRTY over `[0, MAX)`; a flush for each huge page inside, one of everything after it |
//! | `clear_refs` 1, 2, 3 | `mmap_lock` R | none |
//! | `clear_refs` 5 | `mmap_lock` W | none |
//!
//! Source: fs/proc/task_mmu.c, 6.12.

use crate::huge::pmd_range;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::vma::Vma;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pte, VmFlags, Vpn};
use trace::{NotifyEvent, NotifyRange};

impl Mm {
    /// A write of `what` to `/proc/PID/clear_refs`: 1 to 3 forget accesses (all, anonymous, of files), 4 forgets
    /// modifications, 5 the peak of resident memory.
    ///
    /// # Errors
    /// `EINVAL` for another number.
    pub fn clear_refs(&self, what: u64) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.clear_refs, None, || match what {
                1..=3 => {
                    self.machine.file_write(false, || self.forget_accesses(k, what));
                    Ok(())
                }
                4 => {
                    self.machine.file_write(false, || self.clear_soft_dirty(k));
                    Ok(())
                }
                5 => {
                    self.machine.file_write(false, || drop(self.mmap_lock.write()));
                    Ok(())
                }
                _ => Err(Errno::EINVAL),
            })
        })
    }

    fn forget_accesses(&self, k: &Kernel, what: u64) {
        let _read = self.mmap_lock.read();
        let wanted = |vma: &Vma| what == 1 || (what == 2) == vma.is_anonymous();
        for vma in self.vmas().into_iter().filter(wanted) {
            self.split_huge_puds_in(k, vma.range());
            self.for_each_pmd(vma.range(), |pmd, part| match pmd {
                Pmd::Table(leaf) => {
                    let ptes = leaf.lock();
                    for vpn in part.iter().filter(|vpn| ptes.get(*vpn).is_young()) {
                        ptes.update(k, vpn, |pte| pte.with_young(false));
                    }
                }
                Pmd::Huge(_) => self.update_huge(k, part.start(), Pte::is_young, |pmd| pmd.with_young(false)),
                Pmd::None => {}
            });
        }
    }

    /// Changes the entry of a huge page that is `meant`.
    fn update_huge(&self, k: &Kernel, vpn: Vpn, meant: impl Fn(Pte) -> bool, change: impl FnOnce(Pte) -> Pte) {
        self.with_pmd(vpn, |pmd| {
            if pmd.huge().is_some_and(meant) {
                pmd.update(k, change);
            }
        });
    }

    /// `clear_soft_dirty_pmd()`: flushed before it changes, so that no CPU sets the dirty bit meanwhile.
    fn clear_soft_dirty_pmd(&self, k: &Kernel, vpn: Vpn) {
        self.with_pmd(vpn, |pmd| {
            if pmd.huge().is_some_and(Pte::is_present) {
                self.flush_tlb_range(k, pmd_range(vpn));
                pmd.update_flushed(k, |pmd| pmd.with_write(false).with_soft_dirty(false));
            } else if pmd.huge().is_some_and(Pte::is_soft_dirty) {
                pmd.update(k, |pmd| pmd.with_soft_dirty(false));
            }
        });
    }

    /// `clear_soft_dirty()`: a page that is there is write-protected, so that its next write is a fault. Not one that a device has
    /// pinned and may write all the time (`pte_is_pinned()`): that stays soft-dirty.
    fn clear_soft_dirty_pte(&self, k: &Kernel, vma: &Vma, ptes: &PteGuard<'_>, vpn: Vpn) {
        let pte = ptes.get(vpn);
        if pte.is_writable() {
            let pinned = |pfn| self.machine.frame(pfn).pins > 0;
            if !(vma.flags().is_cow() && pte.pfn().is_some_and(pinned)) {
                ptes.update(k, vpn, |pte| pte.with_write(false).with_soft_dirty(false));
            }
        } else if pte.is_soft_dirty() {
            ptes.update(k, vpn, |pte| pte.with_soft_dirty(false));
        }
    }

    /// What a write to the page of this entry must not escape: soft-dirty is asked for and not set
    /// (`pte_needs_soft_dirty_wp()`).
    pub(crate) fn needs_soft_dirty_wp(vma: &Vma, pte: Pte) -> bool {
        !vma.flags().contains(VmFlags::SOFTDIRTY) && !pte.is_soft_dirty()
    }

    fn clear_soft_dirty(&self, k: &Kernel) {
        let _write = self.mmap_lock.write();
        let vmas = self.vmas();
        for vma in vmas.iter().filter(|vma| vma.flags().contains(VmFlags::SOFTDIRTY)) {
            self.vma_start_write(vma.id());
            self.inner.lock().tree.set_flags(vma.start(), vma.flags().difference(VmFlags::SOFTDIRTY));
        }
        let silent = self.machine.config.quirks.contains(Quirks::NOTIFY_SOFT_DIRTY);
        let bracket = (!silent).then(|| {
            self.subs.invalidate_range_start(NotifyRange {
                mm: self.id,
                pages: PageRange::ALL,
                event: NotifyEvent::SoftDirty,
                blockable: true,
                owner: None,
            })
        });
        for vma in vmas.iter().filter(|vma| !vma.flags().intersects(VmFlags::PFNMAP | VmFlags::HUGETLB)) {
            self.split_huge_puds_in(k, vma.range());
            self.for_each_pmd(vma.range(), |pmd, part| match pmd {
                Pmd::Table(leaf) => {
                    let ptes = leaf.lock();
                    for vpn in part.iter() {
                        self.clear_soft_dirty_pte(k, vma, &ptes, vpn);
                    }
                }
                Pmd::Huge(_) => self.clear_soft_dirty_pmd(k, part.start()),
                Pmd::None => {}
            });
        }
        if let Some(bracket) = bracket {
            bracket.end();
        }
        self.flush_tlb_range(k, PageRange::ALL);
    }
}
