//! PMD tables that several address spaces have, of hugetlb files.
//!
//! A mapping that has a whole GiB of a file, aligned alike, uses the table that another mapping of the same file has already.
//! It is taken apart for one of them (*unshared*: that one has no table there any more, and faults its pages again) before its
//! VMA is split inside of the GiB, before userfaultfd protects it, and when its pages are unmapped, moved or protected.
//!
//! | step | held | bracket |
//! |---|---|---|
//! | share, in a fault | fault mutex, hugetlb lock R, `i_mmap` R | none |
//! | unshare before a split | `mmap_lock` W, `i_mmap` W | CLEAR of the GiB; flushed inside |
//! | unshare for userfaultfd | `mmap_lock` W; hugetlb lock and `i_mmap` W inside | the same |
//!
//! Sources: `huge_pmd_share()`, `huge_pmd_unshare()`, `hugetlb_unshare_pmds()`, `hugetlb_split()`, mm/hugetlb.c, 6.12.

use crate::huge::subpage;
use crate::mm::Mm;
use crate::obj::pmd_obj;
use crate::page_table::{PMD_PAGES, PUD_PAGES, tell_entry};
use crate::tlb::MmuGather;
use crate::vma::{Vma, VmaKind};
use ksync::Kernel;
use mm_types::{PageRange, Pte, VmFlags, Vpn};

/// First page of the GiB that `vpn` is in.
const fn pud_base(vpn: Vpn) -> Vpn {
    Vpn(vpn.0 / PUD_PAGES * PUD_PAGES)
}

fn pud_range(vpn: Vpn) -> Option<PageRange> {
    PageRange::with_len(pud_base(vpn), PUD_PAGES)
}

/// `want_pmd_share()`, `vma_shareable()`.
fn shareable(vma: &Vma, vpn: Vpn) -> bool {
    let flags = vma.flags();
    let whole = pud_range(vpn).is_some_and(|gib| vma.range().covers(gib));
    whole && flags.contains(VmFlags::MAYSHARE | VmFlags::HUGETLB) && !flags.contains(VmFlags::UFFD_WP)
}

impl Mm {
    /// `huge_pmd_share()`: uses the table that another mapping of the same pages has, if this one has none.
    pub(crate) fn huge_pmd_share(&self, k: &Kernel, vma: &Vma, vpn: Vpn) {
        let VmaKind::File(file) = vma.kind() else { return };
        if !shareable(vma, vpn) || self.tables.has_pmd_table(vpn) {
            return;
        }
        let base = pud_base(vpn);
        let i_mmap = self.machine.i_mmap(file).1;
        let mappings = i_mmap.read();
        for (other, there) in mappings.walk(vma.pgoff_at(base)) {
            let Some(other) = self.machine.mm(other).filter(|other| other.id != self.id) else { continue };
            let unlocked = |vma: &Vma| vma.flags().difference(VmFlags::LOCKED_MASK);
            let fit = |theirs: &Vma| shareable(theirs, there) && unlocked(theirs) == unlocked(vma);
            let aligned = there == pud_base(there) && other.find_vma(there).is_some_and(|theirs| fit(&theirs));
            let (ours, theirs) = ((self.id, base), (other.id, there));
            if aligned && self.tables.share_pmds(&self.machine, ours, &other.tables, theirs) {
                k.visible_write(pmd_obj(self.id, base));
                self.tell_pmds(k, base, |pte| (Pte::NONE, pte));
                return;
            }
        }
    }

    /// An event for each page that the entries of a shared table map: what changes for this address space.
    fn tell_pmds(&self, k: &Kernel, base: Vpn, change: impl Fn(Pte) -> (Pte, Pte)) {
        for (at, pmd) in self.tables.shared_entries(base) {
            let (old, new) = change(pmd);
            for i in 0..PMD_PAGES {
                tell_entry(k, self.id, base + at * PMD_PAGES + i, subpage(old, i), subpage(new, i));
            }
        }
    }

    /// `huge_pmd_unshare()`: if others have the table of `vpn` too, this address space has none there from now on. The table's
    /// lock held; `tlb` must be flushed before `i_mmap` is let go.
    pub(crate) fn unshare_pmd(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vpn: Vpn) -> bool {
        let base = pud_base(vpn);
        if !self.tables.is_shared(base) {
            return false;
        }
        k.visible_write(pmd_obj(self.id, base));
        self.tell_pmds(k, base, |pte| (pte, Pte::NONE));
        for (at, pmd) in self.tables.shared_entries(base) {
            // The entries stay as they are, but not for this address space.
            self.tlb.huge_changed(base + at * PMD_PAGES, pmd, Pte::NONE);
        }
        self.tables.unshare(self.id, base);
        if let Some(gib) = pud_range(base) {
            tlb.note_unshared(gib);
        }
        true
    }

    /// `hugetlb_split()`: a VMA is about to be split at `at`, inside of a GiB that it has as a whole. `i_mmap` W held.
    pub(crate) fn hugetlb_split(&self, k: &Kernel, before: PageRange, flags: VmFlags, at: Vpn) {
        let inside = at != pud_base(at) && flags.contains(VmFlags::MAYSHARE);
        if let Some(gib) = pud_range(at).filter(|gib| inside && before.covers(*gib)) {
            self.hugetlb_unshare_pmds(k, gib, None);
        }
    }

    /// `hugetlb_unshare_all_pmds()`: before userfaultfd write-protects a VMA.
    pub(crate) fn hugetlb_unshare_all_pmds(&self, k: &Kernel, vma: &Vma) {
        let (first, last) = (vma.start().0.next_multiple_of(PUD_PAGES), vma.end().0 / PUD_PAGES * PUD_PAGES);
        if let Ok(whole) = PageRange::new(Vpn(first), Vpn(last))
            && vma.flags().contains(VmFlags::MAYSHARE)
        {
            self.hugetlb_unshare_pmds(k, whole, Some(vma));
        }
    }

    /// `hugetlb_unshare_pmds()`: takes the locks of `lock` inside the bracket, if told.
    fn hugetlb_unshare_pmds(&self, k: &Kernel, range: PageRange, lock: Option<&Vma>) {
        let mut tlb = MmuGather::new(self);
        let bracket = self.subs.invalidate_range_start(self.clear_of(range));
        let unshare = |tlb: &mut MmuGather<'_>| {
            let bases = (range.start().0..range.end().0).step_by(PUD_PAGES as usize).map(Vpn);
            for base in bases.filter(|base| self.tables.has_pmd_table(*base)) {
                self.with_pmd(base, |_| self.unshare_pmd(k, tlb, base));
            }
            tlb.flush_tlb_only(k);
        };
        match lock {
            Some(vma) => self.with_hugetlb_locks(vma, || unshare(&mut tlb)),
            None => unshare(&mut tlb),
        }
        bracket.end();
        tlb.finish(k);
    }
}
