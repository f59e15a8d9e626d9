//! The pages of 2 MiB become a huge page: `MADV_COLLAPSE`, and khugepaged. Linux: `madvise_collapse()`,
//! `collapse_huge_page()`, `khugepaged_scan_mm_slot()`, mm/khugepaged.c, 6.12. Pages of files are in `collapse_file.rs`.
//!
//! | step | held | bracket |
//! |---|---|---|
//! | scan: is every page anonymous and held by its mappings only? khugepaged: was one accessed, by a device if by no CPU? | `mmap_lock` R, page-table lock | none; `test_young` |
//! | the leaf table is taken away with its entries, and flushed | `mmap_lock` W, `anon_vma` W | CLEAR of the 512 pages, which ends before anything is copied |
//! | the pages are looked at again; if one is held now, the table comes back | the same | none |
//! | they are copied, the huge page is mapped, they are freed | `mmap_lock` W | none |

use crate::alloc_huge::HugeFor;
use crate::frames::FrameFlags;
use crate::huge::{is_pmd_range, pmd_range};
use crate::huge_fault::own_entry;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Leaf, PMD_PAGES, Pmd};
use crate::vma::{Vma, VmaKind};
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};
use std::sync::Arc;

/// Why 512 pages were not collapsed.
pub(crate) enum Failed {
    /// This place is not fit; others may be.
    Here(Errno),
    /// The call ends.
    All(Errno),
}

/// On whose behalf (`struct collapse_control`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Collapser {
    /// `MADV_COLLAPSE`: whatever was said of the VMA.
    Advice,
    /// The daemon: where huge pages are wanted, and pages are in use.
    Khugepaged,
}

impl Mm {
    /// `madvise_collapse()`: each whole 2 MiB of `part`, inside `vma`. Takes `mmap_lock` by itself.
    ///
    /// # Errors
    /// `EINVAL` for a VMA that cannot have huge pages, or when something there cannot be in one (the others are collapsed);
    /// `EAGAIN` when somebody holds a page; `ENOMEM`.
    pub(crate) fn madvise_collapse(&self, k: &Kernel, vma: &Vma, part: PageRange) -> Result<(), Errno> {
        if !self.may_collapse(vma, Collapser::Advice) {
            return Err(Errno::EINVAL);
        }
        let mut last = Ok(());
        let first = part.start().0.next_multiple_of(PMD_PAGES);
        if first > part.end().0 / PMD_PAGES * PMD_PAGES {
            // A range inside of one 2 MiB; one that only touches a boundary is fine.
            return Err(Errno::EINVAL);
        }
        for pages in whole_tables(part) {
            match self.collapse_pages(k, vma, pages, Collapser::Advice) {
                Ok(()) => {}
                Err(Failed::Here(error)) => last = Err(error),
                Err(Failed::All(error)) => return Err(error),
            }
        }
        last
    }

    /// One round of khugepaged over `pages`: the calling task stands for the daemon. Gives how many huge pages it made.
    pub fn khugepaged(&self, pages: PageRange) -> u64 {
        current(|k| {
            let made: Result<u64, Errno> = self.call(k, NAMES.khugepaged, Some(pages), || {
                let wanted = |vma: &Vma| self.may_collapse(vma, Collapser::Khugepaged);
                let vmas = self.vmas().into_iter().filter(wanted);
                let parts = vmas.filter_map(|vma| Some((vma, vma.range().intersect(pages)?)));
                let mut made = 0;
                for (vma, part) in parts {
                    for pages in whole_tables(part).filter(|pages| self.tables.walk(pages.start()).is_some()) {
                        made += u64::from(self.collapse_pages(k, &vma, pages, Collapser::Khugepaged).is_ok());
                    }
                }
                Ok(made)
            });
            made.unwrap_or(0)
        })
    }

    fn collapse_pages(&self, k: &Kernel, vma: &Vma, pages: PageRange, who: Collapser) -> Result<(), Failed> {
        match vma.kind() {
            VmaKind::File(file) => self.collapse_file_pages(k, file, vma, pages, who),
            _ => self.collapse_huge_page(k, pages, who),
        }
    }

    /// `collapse_huge_page()`.
    fn collapse_huge_page(&self, k: &Kernel, pages: PageRange, who: Collapser) -> Result<(), Failed> {
        debug_assert!(is_pmd_range(pages));
        {
            let _read = self.mmap_lock.read();
            let leaf = match self.tables.pmd(pages.start()) {
                Pmd::Huge(_) => return Ok(()),
                // `SCAN_PMD_NULL` of a place without tables, `SCAN_PMD_NONE`, which ends the call.
                Pmd::None if !self.tables.has_pmd_table(pages.start()) => return Err(Failed::Here(Errno::EINVAL)),
                Pmd::None => return Err(Failed::All(Errno::EINVAL)),
                Pmd::Table(leaf) => leaf,
            };
            self.check_collapsible(k, &leaf, pages, who)?;
        }
        let page = self.machine.alloc_huge_page(k, HugeFor::Other).ok_or(Failed::All(Errno::ENOMEM))?;
        let _write = self.mmap_lock.write();
        let collapsed = self.collapse_locked(k, pages, page, who);
        if collapsed.is_err() {
            self.machine.put_page(k, page);
        }
        collapsed
    }

    /// The part under `mmap_lock` held for writing.
    fn collapse_locked(&self, k: &Kernel, pages: PageRange, page: Pfn, who: Collapser) -> Result<(), Failed> {
        let found = self.find_vma(pages.start()).filter(|v| v.range().covers(pages) && self.may_collapse(v, who));
        let link = found.and_then(|vma| Some((vma, vma.anon()?)));
        let Some((vma, link)) = link else { return Err(Failed::All(Errno::EINVAL)) };
        self.vma_start_write(vma.id());
        let Some(anon_vma) = self.machine.anon_vma(link.anon_vma) else { return Err(Failed::All(Errno::EINVAL)) };
        let leaf = {
            let _family = anon_vma.rwsem.write();
            let bracket = self.subs.invalidate_range_start(self.clear_of(pages));
            let leaf = self.with_pmd(pages.start(), |pmd| pmd.detach_table(k));
            bracket.end();
            let Some(leaf) = leaf else { return Err(Failed::Here(Errno::EINVAL)) };
            if let Err(failed) = self.check_collapsible(k, &leaf, pages, who) {
                self.with_pmd(pages.start(), |pmd| pmd.attach_table(k, leaf));
                return Err(failed);
            }
            leaf
        };
        let old = self.copy_to_huge_page(&leaf, pages, page);
        let index = vma.pgoff_at(pages.start());
        self.with_pmd(pages.start(), |pmd| {
            self.map_new_huge_anon(k, &vma, page, link.anon_vma, index);
            pmd.set(k, own_entry(&vma, page).with_protnone(!vma.is_accessible()));
        });
        old.into_iter().for_each(|pfn| self.machine.free_page_and_swap_cache(k, pfn));
        Ok(())
    }

    /// `__collapse_huge_page_copy()`: what the pages of a table that nobody else has hold. Gives those pages, whose references
    /// are the caller's now.
    fn copy_to_huge_page(&self, leaf: &Leaf, pages: PageRange, to: Pfn) -> Vec<Pfn> {
        let mut old = Vec::new();
        for vpn in pages.iter() {
            let pte = leaf.peek_now(vpn);
            if let Some(pfn) = pte.mapped_pfn().filter(|_| !pte.is_special()) {
                self.machine.copy_content(Pfn(to.0 + (vpn - pages.start())), pfn);
                self.machine.remove_rmap(pfn, self.id);
                old.push(pfn);
            }
        }
        leaf.wipe();
        old
    }

    /// `hpage_collapse_scan_pmd()`, `__collapse_huge_page_isolate()`: whether every page is anonymous and held by its mappings
    /// only; for khugepaged, whether one was accessed.
    fn check_collapsible(&self, k: &Kernel, leaf: &Arc<Leaf>, pages: PageRange, who: Collapser) -> Result<(), Failed> {
        let ptes = leaf.lock();
        let mut referenced = who == Collapser::Advice;
        for vpn in pages.iter() {
            let pte: Pte = ptes.get(vpn);
            match pte.kind() {
                PteKind::None => {}
                // `SCAN_PTE_UFFD_WP`: one entry cannot say it of some pages.
                _ if pte.is_uffd_wp() => return Err(Failed::Here(Errno::EINVAL)),
                PteKind::Present | PteKind::ProtNone { .. } if pte.is_special() => {}
                PteKind::Present | PteKind::ProtNone { .. } => {
                    let Some(pfn) = pte.mapped_pfn() else { continue };
                    let frame = self.machine.frame(pfn);
                    if !frame.flags.contains(FrameFlags::ANON) {
                        return Err(Failed::All(Errno::EINVAL));
                    }
                    let cached = self.machine.cache_refs(pfn);
                    if frame.refcount != self.machine.folio_mapcount(pfn) + cached || frame.pins > 0 {
                        return Err(Failed::Here(Errno::EAGAIN));
                    }
                    referenced = referenced || pte.is_young() || self.device_tests_young(k, vpn, pages);
                }
                // Read in before, if it is in swap: not done here. A guard, or a page that moves, cannot be.
                PteKind::Guard
                | PteKind::Swap { .. }
                | PteKind::Migration { .. }
                | PteKind::DevicePrivate { .. }
                | PteKind::DeviceExclusive { .. }
                | PteKind::HwPoison { .. } => {
                    return Err(Failed::All(Errno::EINVAL));
                }
            }
        }
        if referenced { Ok(()) } else { Err(Failed::Here(Errno::EAGAIN)) }
    }

    /// Source: `thp_vma_allowable_order()` with `TVA_FORCED_COLLAPSE`, mm/huge_memory.c, 6.18; `file_thp_enabled()`, 6.12.
    fn may_collapse(&self, vma: &Vma, who: Collapser) -> bool {
        let flags = vma.flags();
        let end = vma.end().0 / PMD_PAGES * PMD_PAGES;
        let has_room = end >= vma.start().0.next_multiple_of(PMD_PAGES) + PMD_PAGES;
        let forbidden = flags.contains(VmFlags::NOHUGEPAGE) || vma.is_special();
        let wanted = who == Collapser::Advice || flags.contains(VmFlags::HUGEPAGE);
        let fit = match vma.kind() {
            _ if flags.intersects(VmFlags::HUGETLB | VmFlags::DAX) => false,
            VmaKind::Anon => vma.anon().is_some(),
            // Whose pages lie as their addresses do.
            VmaKind::File(file) if self.machine.is_shmem(file) => {
                vma.start().0 % PMD_PAGES == vma.pgoff().0 % PMD_PAGES
            }
            // Of files on a disk only programs, which nobody writes.
            VmaKind::File(_) => flags.contains(VmFlags::EXEC) && !flags.contains(VmFlags::WRITE),
            VmaKind::Special(_) => false,
        };
        fit && has_room && wanted && !forbidden
    }
}

/// Each whole 2 MiB of a range.
fn whole_tables(part: PageRange) -> impl Iterator<Item = PageRange> {
    let first = part.start().0.next_multiple_of(PMD_PAGES);
    let bases = (first..part.end().0).step_by(PMD_PAGES as usize).map(|base| pmd_range(Vpn(base)));
    bases.take_while(move |pages| part.covers(*pages))
}
