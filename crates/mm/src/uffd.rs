//! userfaultfd: registration, write protection, filling and moving pages.
//!
//! A fault that a handler in user space would have to serve is served here as if there were none: a missing page is made, a
//! write-protected one is unprotected (`UFFD_FEATURE_WP_ASYNC`).
//!
//! | operation | held | bracket |
//! |---|---|---|
//! | register | `mmap_lock` W | none |
//! | unregister | `mmap_lock` W | PROTECTION_VMA per VMA, if it was registered for write protection |
//! | `UFFDIO_WRITEPROTECT` | `mmap_lock` R, `&ctx->map_changing_lock` R | PROTECTION_VMA per VMA; flush after it |
//! | `UFFDIO_COPY`, `UFFDIO_ZEROPAGE` | | none: nothing was there |
//! | `UFFDIO_MOVE` of a huge page as one | both VMA locks R, `&ctx->map_changing_lock` R; at the change `&anon_vma->rwsem` W | CLEAR of its 512 pages; flushed inside |
//! | `UFFDIO_MOVE` | both VMA locks R, `&ctx->map_changing_lock` R; at the change `&anon_vma->rwsem` W by trylock | CLEAR of each page of the *source*; flushed inside |
//!
//! Sources: fs/userfaultfd.c, mm/userfaultfd.c, 6.12.

use crate::behaviour::Behaviour;
use crate::frames::FrameFlags;
use crate::huge::{PmdGuard, pmd_base, pmd_range};
use crate::mm::Mm;
use crate::mprotect::Change;
use crate::names::NAMES;
use crate::obj::{MmObj, mm_obj};
use crate::page_table::{PMD_PAGES, Pmd};
use crate::tlb::MmuGather;
use crate::vma::Vma;
use ksync::{Kernel, RawRwSem, RwSem, current};
use mm_types::{Errno, PageRange, Pte, PteKind, VirtAddr, VmFlags, Vpn};
use std::sync::Arc;

/// What a range is registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UffdMode {
    /// Pages that are not there.
    Missing,
    /// Writes to protected pages.
    WriteProtect,
}

impl UffdMode {
    const fn flag(self) -> VmFlags {
        match self {
            UffdMode::Missing => VmFlags::UFFD_MISSING,
            UffdMode::WriteProtect => VmFlags::UFFD_WP,
        }
    }
}

impl Mm {
    fn uffd_lock(&self) -> Arc<RwSem<()>> {
        let mut inner = self.inner.lock();
        let lock = inner.uffd_lock.get_or_insert_with(|| {
            let raw = RawRwSem::new(self.machine.classes.uffd, mm_obj(self.id, MmObj::UffdLock));
            Arc::new(RwSem::from_raw(raw, ()))
        });
        Arc::clone(lock)
    }

    fn vmas_in(&self, pages: PageRange) -> Vec<(Vma, PageRange)> {
        self.vmas().into_iter().filter_map(|vma| Some((vma, vma.range().intersect(pages)?))).collect()
    }

    /// `UFFDIO_REGISTER`.
    ///
    /// # Errors
    /// `EINVAL` where nothing is mapped, `ENOMEM` for too many VMAs; those below are registered.
    pub fn uffd_register(&self, pages: PageRange, mode: UffdMode) -> Result<(), Errno> {
        current(|k| self.call(k, NAMES.userfaultfd, Some(pages), || self.uffd_flags(k, pages, mode.flag(), true)))
    }

    fn uffd_flags(&self, k: &Kernel, pages: PageRange, flag: VmFlags, on: bool) -> Result<(), Errno> {
        let _write = self.mmap_lock.write();
        let parts = self.vmas_in(pages);
        // `vma_can_userfault()`
        if parts.is_empty() || parts.iter().any(|(vma, _)| vma.flags().contains(VmFlags::DAX)) {
            return Err(Errno::EINVAL);
        }
        for (vma, part) in parts {
            self.vma_start_write(vma.id());
            if !on && vma.flags().contains(VmFlags::UFFD_WP) {
                self.uffd_wp_range(k, &vma, part, Change::UffdWpResolve);
            }
            let flags = if on { vma.flags() | flag } else { vma.flags().difference(flag) };
            let modified = self.inner.lock().tree.modify_flags(part, flags);
            match modified {
                Ok(modified) => {
                    self.vma_adjusted(k, &modified.changes);
                    if on && flags.contains(VmFlags::HUGETLB | VmFlags::UFFD_WP) {
                        self.hugetlb_unshare_all_pmds(k, &modified.vma);
                    }
                }
                Err(error) => {
                    self.vma_resync(k);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn uffd_wp_range(&self, k: &Kernel, vma: &Vma, part: PageRange, change: Change) {
        let mut tlb = MmuGather::new(self);
        self.change_protection(k, &mut tlb, vma, part, change);
        tlb.finish(k);
    }

    /// `UFFDIO_UNREGISTER`: what is still write-protected is so no more.
    ///
    /// # Errors
    /// As [`Mm::uffd_register`].
    pub fn uffd_unregister(&self, pages: PageRange) -> Result<(), Errno> {
        let both = VmFlags::UFFD_MISSING | VmFlags::UFFD_WP;
        current(|k| self.call(k, NAMES.userfaultfd, Some(pages), || self.uffd_flags(k, pages, both, false)))
    }

    /// `UFFDIO_WRITEPROTECT`: protects the pages that are there, or lets them be written again.
    ///
    /// # Errors
    /// `ENOENT` where the range is not registered for it.
    pub fn uffd_writeprotect(&self, pages: PageRange, on: bool) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.userfaultfd, Some(pages), || {
                let _read = self.mmap_lock.read();
                let lock = self.uffd_lock();
                let _changing = lock.read();
                let change = if on { Change::UffdWp } else { Change::UffdWpResolve };
                for (vma, part) in self.vmas_in(pages) {
                    if !vma.flags().contains(VmFlags::UFFD_WP) {
                        return Err(Errno::ENOENT);
                    }
                    self.uffd_wp_range(k, &vma, part, change);
                }
                Ok(())
            })
        })
    }

    /// `UFFDIO_COPY` (`write`) or `UFFDIO_ZEROPAGE`: fills pages that are not there.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped, `ENOMEM`.
    pub fn uffd_fill(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.userfaultfd, Some(pages), || {
                pages.iter().try_for_each(|vpn| self.fault(k, vpn, write).map_err(|e| e.errno()))
            })
        })
    }

    /// `UFFDIO_MOVE`: the pages at `from` and behind it move to `to`, where there are none.
    ///
    /// # Errors
    /// `EINVAL` for a source that is not mapped, `EEXIST` for a page where one is to go, `ENOENT` where there is none to move,
    /// `EBUSY` for one that is shared, pinned or locked. Those before it have moved.
    pub fn uffd_move(&self, to: PageRange, from: VirtAddr) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.userfaultfd, Some(to), || {
                if self.is(Behaviour::NO_NEWER_CALLS) {
                    return Err(Errno::EINVAL);
                }
                let (dst, src) = (self.find_vma(to.start()), self.find_vma(from.vpn()));
                let (dst, src) = (dst.ok_or(Errno::EINVAL)?, src.ok_or(Errno::EINVAL)?);
                // Before the lock: a first anonymous page needs `mmap_lock`.
                let fresh = dst.anon().is_none();
                if fresh {
                    let _read = self.mmap_lock.read();
                    self.anon_vma_prepare(k, to.start())?;
                }
                self.with_two_vma_locks(dst.id(), src.id(), fresh, || {
                    let lock = self.uffd_lock();
                    let _changing = lock.read();
                    let mut at = 0;
                    while at < to.nr_pages() {
                        let (there, here) = (to.start() + at, from.vpn() + at);
                        at += if self.moves_whole_pmd(k, there, here, to.nr_pages() - at) {
                            self.move_pages_huge_pmd(k, &dst, there, here)?;
                            PMD_PAGES
                        } else {
                            self.move_pages_pte(k, &dst, there, here)?;
                            1
                        };
                    }
                    Ok(())
                })
            })
        })
    }

    /// Whether a huge page goes as one: both places are aligned, nothing is at the new one, all of it is asked for
    /// (`move_splits_huge_pmd()`).
    fn moves_whole_pmd(&self, k: &Kernel, to: Vpn, from: Vpn, nr_pages: u64) -> bool {
        let aligned = to == pmd_base(to) && from == pmd_base(from) && nr_pages >= PMD_PAGES;
        aligned && matches!(self.tables.pmd(to), Pmd::None) && self.peek_huge(k, from).is_some_and(Pte::is_present)
    }

    /// `move_pages_huge_pmd()`: a CLEAR bracket of the 512 pages of the source; flushed inside, under the locks of both PMD
    /// tables. `&anon_vma->rwsem` is waited for.
    fn move_pages_huge_pmd(&self, k: &Kernel, dst: &Vma, to: Vpn, from: Vpn) -> Result<(), Errno> {
        let machine = &self.machine;
        let Some(seen) = self.peek_huge(k, from).filter(|pmd| pmd.is_present()) else { return Err(Errno::EAGAIN) };
        let head = seen.pfn().filter(|_| !seen.is_special());
        if let Some(head) = head {
            let frame = machine.frame(head);
            if !frame.flags.contains(FrameFlags::ANON | FrameFlags::EXCLUSIVE) || frame.pins > 0 {
                return Err(Errno::EBUSY);
            }
        }
        let held = head.filter(|head| machine.try_get_page(k, *head));
        let bracket = self.subs.invalidate_range_start(self.clear_of(pmd_range(from)));
        let folio = head.map(|head| machine.folio_lock(head));
        let locked = folio.as_ref().map(|folio| folio.lock());
        let anon_vma = head.and_then(|head| machine.frame(head).anon_vma).and_then(|id| machine.anon_vma(id));
        let rmap = anon_vma.as_ref().map(|anon_vma| anon_vma.rwsem.write());
        let moved = self.with_both_pmds(to, from, |new, old| {
            if old.huge() != Some(seen) || !matches!(new.get(), Pmd::None) {
                return Err(Errno::EAGAIN);
            }
            let pmd = old.clear(k);
            self.flush_tlb_range(k, pmd_range(from));
            if let Some(head) = head {
                let moved_to = dst.anon().or_else(|| self.find_vma(to).and_then(|v| v.anon())).ok_or(Errno::EBUSY)?;
                machine.with_subpages(head, |i, f| {
                    f.anon_vma = Some(moved_to.anon_vma);
                    f.index = dst.pgoff_at(to) + i;
                });
            }
            let writable = head.is_some() && dst.flags().contains(VmFlags::WRITE);
            let bare = pmd.with_uffd_wp(false).with_soft_dirty(false).with_write(writable);
            new.set(k, bare.with_dirty(head.is_some()));
            Ok(())
        });
        drop(rmap);
        drop(locked);
        bracket.end();
        if let Some(head) = held {
            machine.put_page(k, head);
        }
        moved
    }

    /// `double_pt_lock()`: the entries of two places, whose tables may be one.
    fn with_both_pmds<R>(&self, to: Vpn, from: Vpn, f: impl FnOnce(&PmdGuard<'_>, &PmdGuard<'_>) -> R) -> R {
        let one_lock = Arc::ptr_eq(&self.pmd_lock(to), &self.pmd_lock(from));
        self.with_pmd(to, |new| match one_lock {
            true => f(new, &self.pmd_unlocked(from)),
            false => self.with_pmd_nested(from, |old| f(new, old)),
        })
    }

    /// `move_pages_pte()`: one page.
    fn move_pages_pte(&self, k: &Kernel, dst: &Vma, to: Vpn, from: Vpn) -> Result<(), Errno> {
        if self.peek_huge(k, from).is_some() {
            self.split_huge_in(k, PageRange::page(from));
        }
        // What is there is a huge page.
        let target = self.pte_alloc(k, to).map_err(|e| if e == Errno::EAGAIN { Errno::EEXIST } else { e })?;
        let source = self.tables.walk(from).ok_or(Errno::ENOENT)?;
        let bracket = self.subs.invalidate_range_start(self.clear_of(PageRange::page(from)));
        let moved = self.move_present_pte(k, dst, (&target, to), (&source, from));
        bracket.end();
        moved
    }

    fn move_present_pte(
        &self,
        k: &Kernel,
        dst: &Vma,
        (target, to): (&crate::page_table::Leaf, Vpn),
        (source, from): (&crate::page_table::Leaf, Vpn),
    ) -> Result<(), Errno> {
        let machine = &self.machine;
        let seen = source.lock().get(from);
        let pfn = match (seen.kind(), seen.mapped_pfn()) {
            (PteKind::Present, Some(pfn)) if !seen.is_special() => pfn,
            _ => return Err(Errno::ENOENT),
        };
        let folio = machine.folio_lock(pfn);
        let _folio = folio.try_lock().ok_or(Errno::EBUSY)?;
        let frame = machine.frame(pfn);
        let own = FrameFlags::ANON | FrameFlags::EXCLUSIVE;
        if !frame.flags.contains(own) || frame.pins > 0 || frame.mapcount != 1 {
            return Err(Errno::EBUSY);
        }
        // Both tables stay from here on.
        let _maps = (target.map(), source.map());
        let anon_vma = frame.anon_vma.and_then(|id| machine.anon_vma(id)).ok_or(Errno::EBUSY)?;
        let _rmap = anon_vma.rwsem.try_write().ok_or(Errno::EBUSY)?;
        let moved_to = dst.anon().or_else(|| self.find_vma(to).and_then(|v| v.anon())).ok_or(Errno::EBUSY)?;
        let apart = !std::ptr::eq(target, source);
        let new = target.lock_unmapped();
        let old = apart.then(|| source.lock_unmapped_nested(machine.classes.ptl_nested));
        let old = old.as_ref().unwrap_or(&new);
        if !new.get(to).is_none() {
            return Err(Errno::EEXIST);
        }
        if old.get(from) != seen {
            return Err(Errno::EBUSY);
        }
        let pte = old.clear(k, from);
        self.flush_tlb_range(k, PageRange::page(from));
        machine.with_frame(pfn, |f| {
            f.anon_vma = Some(moved_to.anon_vma);
            f.index = dst.pgoff_at(to);
        });
        let moved = pte.with_uffd_wp(false).with_write(dst.flags().contains(VmFlags::WRITE));
        new.set(k, to, moved.with_dirty(true));
        Ok(())
    }
}
