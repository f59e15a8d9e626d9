//! `ioctl(PAGEMAP_SCAN)`: what is known of each page, and the write-protection of what was written.
//!
//! | operation | held | bracket |
//! |---|---|---|
//! | a scan that only looks ([`Mm::page_categories`]) | `mmap_lock` R, page-table lock | none |
//! | one that write-protects what was written ([`Mm::pagemap_scan`]) | `mmap_lock` R | PROTECTION_VMA over the range; flushed inside, under the page-table lock |
//!
//! A page without an entry gets no marker by a scan that write-protects: it counts as written until it is touched.
//!
//! Source: `do_pagemap_scan()`, `pagemap_page_category()`, fs/proc/task_mmu.c, 6.12.

use crate::behaviour::Behaviour;
use crate::frames::FrameFlags;
use crate::huge::is_pmd_range;
use crate::mm::Mm;
use crate::page_table::{Leaf, Pmd};
use crate::quirks::Quirks;
use crate::vma::Vma;
use bitflags::bitflags;
use ksync::{Kernel, current};
use mm_types::{PageRange, Pte, PteKind, VmFlags};
use trace::{NotifyEvent, NotifyRange};

bitflags! {
    /// What is known of a page. Bits and names are the kernel's (include/uapi/linux/fs.h, 6.12).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct PageCategories: u32 {
        /// Writes can be noticed by userfaultfd's mark.
        const WPALLOWED = 1;
        /// Has not got that mark: written since the last scan that set it.
        const WRITTEN = 1 << 1;
        /// Of a file, or of shared memory.
        const FILE = 1 << 2;
        /// In memory and mapped.
        const PRESENT = 1 << 3;
        /// Its entry says where else it is.
        const SWAPPED = 1 << 4;
        /// The zero page.
        const PFNZERO = 1 << 5;
        /// Mapped by an entry of a PMD table.
        const HUGE = 1 << 6;
        /// Written since `clear_refs` 4, or new, or moved.
        const SOFT_DIRTY = 1 << 7;
        /// A guard page. Since 6.15.
        const GUARD = 1 << 8;
    }
}

impl PageCategories {
    /// Each by its name in C.
    pub const WORDS: [(&'static str, PageCategories); 9] = [
        ("PAGE_IS_WPALLOWED", PageCategories::WPALLOWED),
        ("PAGE_IS_WRITTEN", PageCategories::WRITTEN),
        ("PAGE_IS_FILE", PageCategories::FILE),
        ("PAGE_IS_PRESENT", PageCategories::PRESENT),
        ("PAGE_IS_SWAPPED", PageCategories::SWAPPED),
        ("PAGE_IS_PFNZERO", PageCategories::PFNZERO),
        ("PAGE_IS_HUGE", PageCategories::HUGE),
        ("PAGE_IS_SOFT_DIRTY", PageCategories::SOFT_DIRTY),
        ("PAGE_IS_GUARD", PageCategories::GUARD),
    ];

    /// The category with this name in C.
    #[must_use]
    pub fn from_word(word: &str) -> Option<PageCategories> {
        PageCategories::WORDS.iter().find(|(name, _)| *name == word).map(|(_, category)| *category)
    }
}

impl Mm {
    /// What is known of each page of `pages`, lowest first; nothing of one that is not mapped. Takes `mmap_lock` for reading,
    /// and the lock of each page table.
    #[must_use]
    pub fn page_categories(&self, pages: PageRange) -> Vec<PageCategories> {
        current(|k| {
            let _read = self.mmap_lock.read();
            for part in self.vmas().iter().filter_map(|vma| vma.range().intersect(pages)) {
                self.split_huge_puds_in(k, part);
            }
            let mut known = Vec::new();
            let mut rest = Some(pages);
            while let Some(range) = rest {
                let table = crate::huge::pmd_range(range.start());
                let part = table.intersect(range).unwrap_or(range);
                match self.tables.pmd(part.start()) {
                    Pmd::Table(leaf) => {
                        let ptes = leaf.lock();
                        known.extend(part.iter().map(|vpn| (vpn, ptes.get(vpn), false)));
                    }
                    Pmd::Huge(_) => self.with_pmd(part.start(), |pmd| {
                        let pmd = pmd.huge().unwrap_or(Pte::NONE);
                        known.extend(part.iter().map(|vpn| (vpn, pmd.subpage(vpn - table.start()), true)));
                    }),
                    Pmd::None => known.extend(part.iter().map(|vpn| (vpn, Pte::NONE, false))),
                }
                rest = PageRange::new(part.end(), pages.end()).ok();
            }
            let of = |(vpn, pte, huge)| self.find_vma(vpn).map(|vma| self.categories(&vma, pte, huge));
            known.into_iter().map(|page| of(page).unwrap_or_default()).collect()
        })
    }

    fn categories(&self, vma: &Vma, pte: Pte, huge: bool) -> PageCategories {
        let mut is = PageCategories::empty();
        is.set(PageCategories::WPALLOWED, vma.flags().contains(VmFlags::UFFD_WP));
        is.set(PageCategories::SOFT_DIRTY, vma.flags().contains(VmFlags::SOFTDIRTY) || pte.is_soft_dirty());
        is.set(PageCategories::WRITTEN, !pte.is_uffd_wp());
        is.set(PageCategories::HUGE, huge);
        match pte.kind() {
            PteKind::None => {}
            PteKind::Present | PteKind::ProtNone { .. } => {
                is |= PageCategories::PRESENT;
                is.set(PageCategories::PFNZERO, pte.is_special());
                let page = pte.mapped_pfn().filter(|_| !pte.is_special());
                let of_file = page.is_some_and(|pfn| !self.machine.frame(pfn).flags.contains(FrameFlags::ANON));
                is.set(PageCategories::FILE, of_file);
            }
            PteKind::Guard => is |= PageCategories::SWAPPED | PageCategories::GUARD,
            _ => is |= PageCategories::SWAPPED,
        }
        is
    }

    /// A scan for written pages that write-protects them again (`PM_SCAN_WP_MATCHING`), where userfaultfd may
    /// ([`Mm::uffd_register`]); other mappings are passed over. Gives how many.
    pub fn pagemap_scan(&self, pages: PageRange) -> u64 {
        current(|k| {
            if self.is(Behaviour::NO_NEWER_CALLS) {
                return 0;
            }
            let announce = || {
                self.subs.invalidate_range_start(NotifyRange {
                    mm: self.id,
                    pages,
                    event: NotifyEvent::ProtectionVma,
                    blockable: true,
                    owner: None,
                })
            };
            let early = self.is_wrong(Quirks::BRACKET_UNDER_MMAP_LOCK).then(announce);
            let read = self.mmap_lock.read();
            let bracket = early.unwrap_or_else(announce);
            let written = self.scan_written(k, pages);
            if self.is_wrong(Quirks::BRACKET_UNDER_MMAP_LOCK) {
                drop(read);
            }
            bracket.end();
            written
        })
    }

    fn scan_written(&self, k: &Kernel, pages: PageRange) -> u64 {
        let mut written = 0;
        let allowed = |vma: &Vma| vma.flags().contains(VmFlags::UFFD_WP) && !vma.is_special();
        for vma in self.vmas().into_iter().filter(allowed) {
            if let Some(part) = vma.range().intersect(pages) {
                self.split_huge_puds_in(k, part);
                written += self.protect_written(k, part);
            }
        }
        written
    }

    fn protect_written(&self, k: &Kernel, pages: PageRange) -> u64 {
        let mut written = 0;
        let mut rest = Some(pages);
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            match pmd {
                Pmd::Table(leaf) => written += self.protect_written_ptes(k, &leaf, part),
                Pmd::Huge(pmd) if pmd.is_uffd_wp() => {}
                Pmd::Huge(_) if is_pmd_range(part) => written += self.protect_written_pmd(k, part),
                Pmd::Huge(_) => {
                    self.split_huge_pmd(k, part.start());
                    continue;
                }
                Pmd::None => {}
            }
            rest = PageRange::new(part.end(), pages.end()).ok();
        }
        written
    }

    /// `make_uffd_wp_pmd()`: a huge page that is meant as a whole.
    fn protect_written_pmd(&self, k: &Kernel, part: PageRange) -> u64 {
        self.with_pmd(part.start(), |pmd| {
            if pmd.huge().is_none_or(Pte::is_uffd_wp) {
                return 0;
            }
            pmd.update(k, |pmd| pmd.with_uffd_wp(true));
            self.flush_tlb_range(k, part);
            part.nr_pages()
        })
    }

    /// `make_uffd_wp_pte()` of each entry that has something.
    fn protect_written_ptes(&self, k: &Kernel, leaf: &Leaf, part: PageRange) -> u64 {
        let ptes = leaf.lock();
        let mut written = 0;
        let mut flush: Option<PageRange> = None;
        for vpn in part.iter() {
            let pte = ptes.get(vpn);
            if pte.is_uffd_wp() || matches!(pte.kind(), PteKind::None | PteKind::Guard | PteKind::HwPoison { .. }) {
                continue;
            }
            ptes.update(k, vpn, |pte| pte.with_uffd_wp(true));
            written += 1;
            let from = flush.map_or(vpn, |f| f.start());
            flush = PageRange::new(from, vpn + 1).ok();
        }
        if let Some(pages) = flush {
            self.flush_tlb_range(k, pages);
        }
        written
    }
}
