//! `MADV_COLLAPSE`: the pages of 2 MiB move into a huge page. Linux: `madvise_collapse()`, `collapse_huge_page()`,
//! mm/khugepaged.c, 6.12.

use crate::frames::FrameFlags;
use crate::huge::{is_pmd_range, pmd_range};
use crate::huge_fault::own_entry;
use crate::mm::Mm;
use crate::page_table::{Leaf, PMD_PAGES, Pmd};
use crate::vma::Vma;
use ksync::Kernel;
use mm_types::{Errno, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};
use std::sync::Arc;
use trace::{NotifyEvent, NotifyRange};

/// Why 512 pages were not collapsed.
enum Failed {
    /// This place is not fit; others may be.
    Here(Errno),
    /// The call ends.
    All(Errno),
}

impl Mm {
    /// `madvise_collapse()`: each whole 2 MiB of `part`, inside `vma`. Takes `mmap_lock` by itself.
    ///
    /// # Errors
    /// `EINVAL` for a VMA that cannot have huge pages, or when something there cannot be in one (the others are collapsed);
    /// `EAGAIN` when somebody holds a page; `ENOMEM`.
    pub(crate) fn madvise_collapse(&self, k: &Kernel, vma: &Vma, part: PageRange) -> Result<(), Errno> {
        if !may_collapse(vma) {
            return Err(Errno::EINVAL);
        }
        let mut last = Ok(());
        let first = part.start().0.next_multiple_of(PMD_PAGES);
        if first > part.end().0 / PMD_PAGES * PMD_PAGES {
            // A range inside of one 2 MiB; one that only touches a boundary is fine.
            return Err(Errno::EINVAL);
        }
        for base in (first..part.end().0).step_by(PMD_PAGES as usize).map(Vpn) {
            let pages = pmd_range(base);
            if !part.covers(pages) {
                break;
            }
            match self.collapse_huge_page(k, pages) {
                Ok(()) => {}
                Err(Failed::Here(error)) => last = Err(error),
                Err(Failed::All(error)) => return Err(error),
            }
        }
        last
    }

    /// `collapse_huge_page()`: under `mmap_lock` for writing the pages are copied, one CLEAR bracket around; the old ones are
    /// freed.
    fn collapse_huge_page(&self, k: &Kernel, pages: PageRange) -> Result<(), Failed> {
        debug_assert!(is_pmd_range(pages));
        let leaf = match self.tables.pmd(pages.start()) {
            Pmd::Huge(_) => return Ok(()),
            Pmd::None => return Err(Failed::Here(Errno::EINVAL)),
            Pmd::Table(leaf) => leaf,
        };
        self.check_collapsible(k, &leaf, pages)?;
        let page = self.alloc_huge_page(k).ok_or(Failed::All(Errno::ENOMEM))?;
        let _write = self.mmap_lock.write();
        let found = self.find_vma(pages.start()).filter(|v| v.range().covers(pages) && may_collapse(v));
        let link = found.and_then(|vma| Some((vma, vma.anon()?)));
        let Some((vma, link)) = link else {
            self.machine.put_page(k, page);
            return Err(Failed::All(Errno::EINVAL));
        };
        if let Err(failed) = self.check_collapsible(k, &leaf, pages) {
            self.machine.put_page(k, page);
            return Err(failed);
        }
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages,
            event: NotifyEvent::Clear,
            blockable: true,
            owner: None,
        });
        let old = self.move_to_huge_page(k, &leaf, pages, page);
        drop(leaf);
        bracket.end();
        let leaf_gone = |pmd: &crate::huge::PmdGuard<'_>| {
            self.free_moved_table(pages.start());
            self.machine.map_new_huge_anon(k, page, self.id, link.anon_vma, vma.pgoff_at(pages.start()));
            pmd.set(k, own_entry(&vma, page).with_protnone(!vma.is_accessible()));
        };
        self.with_pmd(pages.start(), leaf_gone);
        old.into_iter().for_each(|pfn| self.machine.free_page_and_swap_cache(k, pfn));
        Ok(())
    }

    /// Clears the entries and copies what their pages hold. Gives those pages, whose references are the caller's now.
    fn move_to_huge_page(&self, k: &Kernel, leaf: &Arc<Leaf>, pages: PageRange, to: Pfn) -> Vec<Pfn> {
        let ptes = leaf.lock();
        let mut old = Vec::new();
        for vpn in pages.iter() {
            let pte = ptes.get(vpn);
            if pte.is_none() {
                continue;
            }
            ptes.clear(k, vpn);
            if let Some(pfn) = pte.mapped_pfn().filter(|_| !pte.is_special()) {
                let tag = self.machine.read_tag(pfn);
                self.machine.with_frame(Pfn(to.0 + (vpn - pages.start())), |f| f.tag = tag);
                self.machine.remove_rmap(pfn, self.id);
                old.push(pfn);
            }
        }
        self.flush_tlb_range(k, pages);
        old
    }

    /// `hpage_collapse_scan_pmd()`: whether every page is anonymous and held by its mappings only.
    fn check_collapsible(&self, k: &Kernel, leaf: &Arc<Leaf>, pages: PageRange) -> Result<(), Failed> {
        for vpn in pages.iter() {
            let pte: Pte = leaf.peek(k, vpn);
            match pte.kind() {
                PteKind::None => {}
                PteKind::Present | PteKind::ProtNone { .. } if pte.is_special() => {}
                PteKind::Present | PteKind::ProtNone { .. } => {
                    let Some(pfn) = pte.mapped_pfn() else { continue };
                    let frame = self.machine.frame(pfn);
                    if !frame.flags.contains(FrameFlags::ANON) {
                        return Err(Failed::All(Errno::EINVAL));
                    }
                    let mapped = self.machine.with_block(pfn, |block| block.mapcount()).unwrap_or(frame.mapcount);
                    let cached = u32::from(frame.flags.contains(FrameFlags::SWAPCACHE));
                    if frame.refcount != mapped + cached || frame.pins > 0 {
                        return Err(Failed::Here(Errno::EAGAIN));
                    }
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
        Ok(())
    }
}

/// Source: `thp_vma_allowable_order()` with `TVA_FORCED_COLLAPSE`, mm/huge_memory.c, 6.18.
fn may_collapse(vma: &Vma) -> bool {
    let end = vma.end().0 / PMD_PAGES * PMD_PAGES;
    let has_room = end >= vma.start().0.next_multiple_of(PMD_PAGES) + PMD_PAGES;
    let forbidden = vma.flags().contains(VmFlags::NOHUGEPAGE) || vma.is_special();
    vma.is_anonymous() && vma.anon().is_some() && has_room && !forbidden
}
