//! `madvise`. Linux: `do_madvise()`, `madvise_vma_behavior()`, mm/madvise.c, 6.12.
//!
//! | advice | what happens | bracket, lock held at it |
//! |---|---|---|
//! | `DONTNEED`, `DONTNEED_LOCKED` | pages are unmapped | CLEAR per VMA; `mmap_lock` R |
//! | `FREE` | entries become clean and old; reclaim may drop the pages until they are written again | CLEAR per VMA; `mmap_lock` R |
//! | `PAGEOUT` | the pages are reclaimed | CLEAR per page; `mmap_lock` R, `anon_vma` R |
//! | `COLD` | entries become old | none |
//! | `POPULATE_READ`, `POPULATE_WRITE` | faults | those of the faults |
//! | `REMOVE` | a hole in the file ([`Machine::punch_hole`](crate::Machine::punch_hole)) | those of the hole; no `mmap_lock` |
//! | `GUARD_INSTALL`, `GUARD_REMOVE` | `guard.rs` | CLEAR of the range if something was there; `mmap_lock` R |
//! | `COLLAPSE` | `collapse.rs` | CLEAR of 512 pages; `mmap_lock` W |
//! | `WILLNEED` | nothing: there is no read-ahead here | none |
//! | those about flags | [`VmaTree::modify_flags`](crate::vma::VmaTree::modify_flags) | none; `mmap_lock` W |

use crate::frames::{Frame, FrameFlags};
use crate::gup::MmapLock;
use crate::huge::is_pmd_range;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::slot_obj;
use crate::page_table::{Leaf, PMD_PAGES, Pmd, PteGuard};
use crate::tlb::MmuGather;
use crate::vma::{FileId, Vma, VmaKind};
use crate::zap::Zap;
use ksync::{Kernel, current};
use mm_types::{Errno, Gfp, PAGE_SIZE, PageRange, Pfn, Pte, PteKind, VirtAddr, VmFlags, Vpn};
use trace::{EventKind, NotifyEvent, NotifyRange};

macro_rules! advices {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The advice argument of `madvise`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Advice {
            $($(#[$doc])* $name,)*
            /// A number that means nothing.
            Unknown,
        }

        impl Advice {
            /// The advice by its name in C, such as `MADV_DONTNEED`; `None` when it is not known here.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Advice> {
                match word { $($word => Some(Advice::$name),)* _ => None }
            }

            /// Its name in C.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Advice::$name => $word,)* Advice::Unknown => "0" }
            }
        }
    };
}

advices! {
    /// No special treatment.
    Normal = "MADV_NORMAL",
    /// Accesses in no order.
    Random = "MADV_RANDOM",
    /// Accesses in order.
    Sequential = "MADV_SEQUENTIAL",
    /// Will be needed soon.
    WillNeed = "MADV_WILLNEED",
    /// The contents are not needed any more.
    DontNeed = "MADV_DONTNEED",
    /// The same, also of locked memory.
    DontNeedLocked = "MADV_DONTNEED_LOCKED",
    /// The contents may go when memory is short.
    Free = "MADV_FREE",
    /// A hole in the file.
    Remove = "MADV_REMOVE",
    /// Not needed soon.
    Cold = "MADV_COLD",
    /// Reclaim it now.
    PageOut = "MADV_PAGEOUT",
    /// Fault in for reading.
    PopulateRead = "MADV_POPULATE_READ",
    /// Fault in for writing.
    PopulateWrite = "MADV_POPULATE_WRITE",
    /// Not inherited by children.
    DontFork = "MADV_DONTFORK",
    /// Inherited again.
    DoFork = "MADV_DOFORK",
    /// Empty in children.
    WipeOnFork = "MADV_WIPEONFORK",
    /// With its contents in children again.
    KeepOnFork = "MADV_KEEPONFORK",
    /// Not in core dumps.
    DontDump = "MADV_DONTDUMP",
    /// In core dumps again.
    DoDump = "MADV_DODUMP",
    /// Equal pages may be merged.
    Mergeable = "MADV_MERGEABLE",
    /// Not any more.
    Unmergeable = "MADV_UNMERGEABLE",
    /// Huge pages wanted.
    HugePage = "MADV_HUGEPAGE",
    /// Huge pages not wanted.
    NoHugePage = "MADV_NOHUGEPAGE",
    /// Make huge pages now.
    Collapse = "MADV_COLLAPSE",
    /// The pages become guard pages. Since 6.13.
    GuardInstall = "MADV_GUARD_INSTALL",
    /// Guard pages are such no more. Since 6.13.
    GuardRemove = "MADV_GUARD_REMOVE",
}

impl Advice {
    /// Source: `madvise_need_mmap_write()`, mm/madvise.c, 6.12.
    const fn needs_mmap_write(self) -> bool {
        !matches!(
            self,
            Advice::Remove
                | Advice::WillNeed
                | Advice::DontNeed
                | Advice::DontNeedLocked
                | Advice::Cold
                | Advice::PageOut
                | Advice::Free
                | Advice::PopulateRead
                | Advice::PopulateWrite
                | Advice::Collapse
                | Advice::GuardInstall
                | Advice::GuardRemove
        )
    }

    /// Contents are lost. Source: `is_madv_discard()`, mm/mseal.c, 6.12.
    const fn discards(self) -> bool {
        matches!(
            self,
            Advice::Free
                | Advice::DontNeed
                | Advice::DontNeedLocked
                | Advice::Remove
                | Advice::DontFork
                | Advice::WipeOnFork
                | Advice::GuardInstall
        )
    }

    /// The flags a VMA has after an advice that is about flags; `None` for the others.
    ///
    /// # Errors
    /// `EINVAL` for a VMA that this may not be said of.
    ///
    /// Source: `madvise_vma_behavior()`, mm/madvise.c; `ksm_madvise()`, mm/ksm.c, 6.12. Who merges is
    /// `Machine::ksm_scan`.
    pub fn flags_for(self, vma: &Vma) -> Result<Option<VmFlags>, Errno> {
        let old = vma.flags();
        let droppable = old.contains(VmFlags::DROPPABLE);
        let private_anon = vma.is_anonymous() && !old.intersects(VmFlags::SHARED);
        let (off, on, refused) = match self {
            Advice::Normal => (VmFlags::RAND_READ | VmFlags::SEQ_READ, VmFlags::empty(), false),
            Advice::Sequential => (VmFlags::RAND_READ, VmFlags::SEQ_READ, false),
            Advice::Random => (VmFlags::SEQ_READ, VmFlags::RAND_READ, false),
            Advice::DontFork => (VmFlags::empty(), VmFlags::DONTCOPY, false),
            // VM_IO comes with VM_PFNMAP here.
            Advice::DoFork => (VmFlags::DONTCOPY, VmFlags::empty(), old.contains(VmFlags::PFNMAP)),
            Advice::WipeOnFork => (VmFlags::empty(), VmFlags::WIPEONFORK, !private_anon),
            Advice::KeepOnFork => (VmFlags::WIPEONFORK, VmFlags::empty(), droppable),
            Advice::DontDump => (VmFlags::empty(), VmFlags::DONTDUMP, false),
            Advice::DoDump => (VmFlags::DONTDUMP, VmFlags::empty(), vma.is_special() || droppable),
            Advice::Mergeable if is_ksm_compatible(old) => (VmFlags::empty(), VmFlags::MERGEABLE, false),
            Advice::Mergeable => (VmFlags::empty(), VmFlags::empty(), false),
            Advice::Unmergeable => (VmFlags::MERGEABLE, VmFlags::empty(), false),
            Advice::HugePage => (VmFlags::NOHUGEPAGE, VmFlags::HUGEPAGE, vma.is_special()),
            Advice::NoHugePage => (VmFlags::HUGEPAGE, VmFlags::NOHUGEPAGE, vma.is_special()),
            _ => return Ok(None),
        };
        if refused { Err(Errno::EINVAL) } else { Ok(Some(old.difference(off) | on)) }
    }
}

/// Whether KSM may merge pages of a mapping with these flags.
///
/// Source: `vma_ksm_compatible()`, mm/ksm.c, 6.12.
pub(crate) fn is_ksm_compatible(flags: VmFlags) -> bool {
    let special = VmFlags::PFNMAP | VmFlags::DONTEXPAND | VmFlags::HUGETLB | VmFlags::DAX;
    !flags.intersects(VmFlags::SHARED | VmFlags::MAYSHARE | VmFlags::DROPPABLE | special)
}

/// The pages `madvise(addr, len)` means; `None` when there are none.
///
/// # Errors
/// `EINVAL` for an unaligned address or a range that wraps around.
///
/// Source: `do_madvise()`, mm/madvise.c, 6.12.
fn advised_range(addr: VirtAddr, len_bytes: u64) -> Result<Option<PageRange>, Errno> {
    if !addr.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    let len = VirtAddr(len_bytes).page_align_up().ok_or(Errno::EINVAL)?;
    let end = addr.0.checked_add(len.0).ok_or(Errno::EINVAL)?;
    Ok(PageRange::new(addr.vpn(), VirtAddr(end).vpn()).ok())
}

impl Mm {
    /// `madvise(addr, len, advice)`. Holes are passed over, and told of at the end.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned or wrapping range, unknown advice, or advice that a VMA does not take: those
    /// below it are done. `ENOMEM` when part of the range is not mapped: all that is was done. `EAGAIN` when there would
    /// be too many VMAs, `EPERM` for a sealed VMA, `EACCES` for a hole in a file that is not mapped writable and shared,
    /// `EOPNOTSUPP` for one whose file system makes no holes. `POPULATE_*`: `EINVAL` where the access is not allowed,
    /// `EFAULT` where a fault fails.
    pub fn madvise(&self, addr: VirtAddr, len_bytes: u64, advice: Advice) -> Result<(), Errno> {
        let asked = PageRange::with_len(addr.vpn(), len_bytes.div_ceil(PAGE_SIZE));
        current(|k| self.call(k, NAMES.madvise, asked, || self.do_madvise(k, addr, len_bytes, advice)))
    }

    /// `process_madvise()` of this process: `madvise` of each range in turn. Gives the bytes of those that it was done for, up to
    /// the first that failed.
    ///
    /// # Errors
    /// Those of the first range, as [`Mm::madvise`].
    ///
    /// Source: `vector_madvise()`, mm/madvise.c, 6.12.
    pub fn process_madvise(&self, ranges: &[(VirtAddr, u64)], advice: Advice) -> Result<u64, Errno> {
        let mut done = 0;
        for (addr, len_bytes) in ranges {
            match self.madvise(*addr, *len_bytes, advice) {
                Ok(()) => done += len_bytes,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn do_madvise(&self, k: &Kernel, addr: VirtAddr, len_bytes: u64, advice: Advice) -> Result<(), Errno> {
        if advice == Advice::Unknown {
            return Err(Errno::EINVAL);
        }
        let Some(range) = advised_range(addr, len_bytes)? else { return Ok(()) };
        if matches!(advice, Advice::PopulateRead | Advice::PopulateWrite) {
            return self.madvise_populate(k, range, advice == Advice::PopulateWrite);
        }
        if advice.needs_mmap_write() {
            let _write = self.mmap_lock.write();
            self.madvise_walk_vmas(range, |vma, part| self.madvise_vma(k, vma, part, advice))
        } else if matches!(advice, Advice::Remove | Advice::Collapse) {
            // These let the lock go.
            self.madvise_walk_vmas(range, |vma, part| self.madvise_unlocked(k, vma, part, advice))
        } else {
            let _read = self.mmap_lock.read();
            self.madvise_walk_vmas(range, |vma, part| self.madvise_vma(k, vma, part, advice))
        }
    }

    /// `visit` is given each VMA with the part of it that is meant, and gives the first page not done.
    fn madvise_walk_vmas(
        &self,
        range: PageRange,
        mut visit: impl FnMut(&Vma, PageRange) -> Result<Vpn, Errno>,
    ) -> Result<(), Errno> {
        let mut whole = Ok(());
        let mut next = range.start();
        while next < range.end() {
            let found = self.inner.lock().tree.find_at_or_above(next).copied();
            let vma = found.ok_or(Errno::ENOMEM)?;
            if next < vma.start() {
                whole = Err(Errno::ENOMEM);
                if vma.start() >= range.end() {
                    break;
                }
                next = vma.start();
            }
            let Ok(part) = PageRange::new(next, vma.end().min(range.end())) else { break };
            next = visit(&vma, part)?;
        }
        whole
    }

    /// Advice for which `mmap_lock` is not held throughout.
    fn madvise_unlocked(&self, k: &Kernel, vma: &Vma, part: PageRange, advice: Advice) -> Result<Vpn, Errno> {
        check_sealed(vma, advice)?;
        match advice {
            Advice::Remove => {
                let file = removable(vma)?;
                let offset_bytes = vma.pgoff_at(part.start()).0 * PAGE_SIZE;
                self.machine.punch(k, self.machine.inode(file), offset_bytes, part.nr_pages() * PAGE_SIZE)?;
            }
            _ => self.madvise_collapse(k, vma, part)?,
        }
        Ok(part.end())
    }

    /// One VMA, or a part of it. Gives the first page not done, which is beyond the part after a merge upwards.
    fn madvise_vma(&self, k: &Kernel, vma: &Vma, part: PageRange, advice: Advice) -> Result<Vpn, Errno> {
        check_sealed(vma, advice)?;
        if let Some(flags) = advice.flags_for(vma)? {
            if advice == Advice::Unmergeable && vma.flags().contains(VmFlags::MERGEABLE) {
                self.vma_start_write(vma.id());
                self.unmerge_ksm_pages(k, vma, part)?;
            }
            return self.madvise_update_vma(k, vma, part, flags);
        }
        match advice {
            Advice::DontNeed | Advice::DontNeedLocked => {
                let locked = VmFlags::LOCKED;
                let forbidden = if advice == Advice::DontNeed { locked } else { VmFlags::empty() };
                check_flags(vma, forbidden | VmFlags::PFNMAP)?;
                self.zap_page_range_single(k, vma, part, Zap::DONTNEED);
            }
            Advice::Free => {
                check_flags(vma, VmFlags::LOCKED | VmFlags::PFNMAP)?;
                self.madvise_free_single_vma(k, vma, part)?;
            }
            Advice::Cold => {
                check_flags(vma, VmFlags::LOCKED | VmFlags::PFNMAP | VmFlags::HUGETLB)?;
                self.split_huge_puds_in(k, part);
                self.madvise_cold(k, part);
            }
            Advice::PageOut => {
                check_flags(vma, VmFlags::LOCKED | VmFlags::PFNMAP | VmFlags::HUGETLB)?;
                self.split_huge_puds_in(k, part);
                self.madvise_pageout(k, part);
            }
            Advice::GuardInstall => {
                check_flags(vma, VmFlags::LOCKED | VmFlags::PFNMAP | VmFlags::DONTEXPAND | VmFlags::DAX)?;
                self.guard_install(k, vma, part)?;
            }
            Advice::GuardRemove => {
                check_flags(vma, VmFlags::PFNMAP | VmFlags::DONTEXPAND)?;
                self.guard_remove(k, part);
            }
            _ => {}
        }
        Ok(part.end())
    }

    /// `madvise_update_vma()`. A want of VMAs is a passing one to the caller.
    fn madvise_update_vma(&self, k: &Kernel, vma: &Vma, part: PageRange, flags: VmFlags) -> Result<Vpn, Errno> {
        if flags == vma.flags() {
            return Ok(part.end());
        }
        let modified = self.inner.lock().tree.modify_flags(part, flags);
        match modified {
            Ok(modified) => {
                self.vma_adjusted(k, &modified.changes);
                self.vma_start_write(modified.vma.id());
                Ok(modified.vma.end())
            }
            Err(_) => {
                self.vma_resync(k);
                Err(Errno::EAGAIN)
            }
        }
    }

    /// `zap_page_range_single()`: clears the entries of `part`, inside one VMA, inside a CLEAR bracket; pages are freed
    /// after it. Sync point `mm.zap`.
    pub(crate) fn zap_page_range_single(&self, k: &Kernel, vma: &Vma, part: PageRange, zap: Zap) {
        let mut tlb = MmuGather::new(self);
        k.sync_reached(NAMES.mm_zap);
        let hugetlb = vma.flags().contains(VmFlags::HUGETLB);
        let zap_all = || {
            let bracket = self.subs.invalidate_range_start(self.clear_of(self.widened(vma, part)));
            self.unmap_page_range(k, &mut tlb, vma, part, zap);
            bracket.end();
            k.sync_passed(NAMES.mm_zap);
            tlb.finish(k);
        };
        if hugetlb { self.with_hugetlb_locks(vma, zap_all) } else { zap_all() }
    }

    pub(crate) fn clear_of(&self, pages: PageRange) -> NotifyRange {
        NotifyRange { mm: self.id, pages, event: NotifyEvent::Clear, blockable: true, owner: None }
    }

    /// `madvise_free_single_vma()`.
    fn madvise_free_single_vma(&self, k: &Kernel, vma: &Vma, part: PageRange) -> Result<(), Errno> {
        if !vma.is_anonymous() {
            return Err(Errno::EINVAL);
        }
        let mut tlb = MmuGather::new(self);
        let bracket = self.subs.invalidate_range_start(self.clear_of(part));
        self.for_each_pmd(part, |pmd, part| match pmd {
            Pmd::Table(leaf) => self.madvise_free_ptes(k, &mut tlb, &leaf, part),
            Pmd::Huge(_) => self.madvise_free_huge(k, &mut tlb, part),
            Pmd::None => {}
        });
        bracket.end();
        tlb.finish(k);
        Ok(())
    }

    /// `madvise_free_huge_pmd()`: a huge page that nobody else maps; one that is not meant as a whole is split.
    fn madvise_free_huge(&self, k: &Kernel, tlb: &mut MmuGather<'_>, part: PageRange) {
        let Some(head) = self.huge_page_of_ours(k, part) else { return };
        if !is_pmd_range(part) {
            self.machine.split_folio(k, head);
            if let Pmd::Table(leaf) = self.tables.pmd(part.start()) {
                self.madvise_free_ptes(k, tlb, &leaf, part);
            }
            return;
        }
        self.with_pmd(part.start(), |pmd| {
            if pmd.huge().is_some_and(|pmd| pmd.is_young() || pmd.is_dirty()) {
                self.flush_tlb_range(k, part);
                pmd.update_flushed(k, |pmd| pmd.with_young(false).with_dirty(false));
            }
        });
        let lazy = |f: &mut Frame| f.flags = f.flags.difference(FrameFlags::DIRTY) | FrameFlags::LAZYFREE;
        self.machine.with_subpages(head, |_, f| lazy(f));
    }

    /// The huge page that the PMD entry for `part` maps, if no other address space maps any of it.
    fn huge_page_of_ours(&self, k: &Kernel, part: PageRange) -> Option<Pfn> {
        let head = self.peek_huge(k, part.start()).filter(|pmd| !pmd.is_special())?.mapped_pfn()?;
        self.machine.with_block(head, |block| block.is_mapped_by(self.id))?.then_some(head)
    }

    fn madvise_free_ptes(&self, k: &Kernel, tlb: &mut MmuGather<'_>, leaf: &Leaf, part: PageRange) {
        self.split_partial_folios(k, leaf, part);
        let ptes = leaf.lock();
        self.flush_tlb_batched_pending(k, &ptes);
        for vpn in part.iter() {
            self.madvise_free_pte(k, tlb, &ptes, vpn);
        }
    }

    /// Huge pages that a leaf table maps, and not as a whole inside `part`, are split: what is said of a part of one shall
    /// not be about the rest. Those that another address space maps too are left.
    ///
    /// Source: `madvise_free_pte_range()`, `madvise_cold_or_pageout_pte_range()`, mm/madvise.c, 6.12.
    fn split_partial_folios(&self, k: &Kernel, leaf: &Leaf, part: PageRange) {
        let mut next = part.start();
        while next < part.end() {
            let pte = leaf.peek_now(next);
            let page = pte.pfn().filter(|pfn| !pte.is_special() && self.machine.is_huge(*pfn));
            let Some(page) = page else {
                next = next + 1;
                continue;
            };
            // A whole huge page is as many entries in a row; none fits into less than the table.
            let in_row = |i: &u64| leaf.peek_now(next + *i).pfn() == Some(Pfn(page.0 + i));
            let nr_pages = (0..part.end() - next).take_while(in_row).count() as u64;
            let ours = self.machine.with_block(page, |block| block.is_mapped_by(self.id));
            if nr_pages < PMD_PAGES && ours == Some(true) {
                self.machine.split_folio(k, self.machine.head(page));
            }
            next = next + nr_pages.max(1);
        }
    }

    /// One entry of `madvise_free_pte_range()`: swapped contents are forgotten at once, a page in memory is to be dropped
    /// by reclaim unless it is written before.
    fn madvise_free_pte(&self, k: &Kernel, tlb: &mut MmuGather<'_>, ptes: &PteGuard<'_>, vpn: Vpn) {
        let pte = ptes.get(vpn);
        if let PteKind::Swap { slot } = pte.kind() {
            ptes.clear(k, vpn);
            self.machine.free_swap_and_cache(k, slot);
            return;
        }
        let Some(pfn) = pte.mapped_pfn().filter(|_| !pte.is_special()) else { return };
        let lazy = self.mark_lazyfree(k, pfn);
        if lazy {
            self.tell_lazyfreed(k, vpn, pfn);
        }
        let clean = pte.with_young(false).with_dirty(false);
        if lazy && clean != pte {
            ptes.set(k, vpn, clean);
            tlb.note(vpn);
        }
    }

    /// Pages of a mapping that may lose them at any time keep nothing, whatever is written to them.
    fn tell_lazyfreed(&self, k: &Kernel, vpn: Vpn, pfn: Pfn) {
        if !self.find_vma(vpn).is_some_and(|vma| vma.flags().contains(VmFlags::DROPPABLE)) {
            k.emit(EventKind::LazyFreed { pfn });
        }
    }

    /// `folio_mark_lazyfree()`. What has a copy in swap, or was found written before, must be nobody else's.
    fn mark_lazyfree(&self, k: &Kernel, pfn: Pfn) -> bool {
        let machine = &self.machine;
        let frame = machine.frame(pfn);
        if !frame.flags.contains(FrameFlags::ANON) {
            return false;
        }
        let head = machine.frame(machine.head(pfn));
        let mapped = machine.with_block(pfn, |block| u64::from(block.mapcount()) == PMD_PAGES);
        let alone = mapped.unwrap_or(frame.mapcount == 1);
        if head.flags.intersects(FrameFlags::SWAPCACHE | FrameFlags::DIRTY) && !alone {
            return false;
        }
        if frame.flags.contains(FrameFlags::SWAPCACHE) {
            let lock = machine.folio_lock(pfn);
            let Some(_folio) = lock.try_lock() else { return false };
            k.visible_read(slot_obj(frame.slot()));
            if machine.swap_in_use(frame.slot()) {
                return false;
            }
            machine.delete_from_swap_cache(k, pfn);
            machine.put_page(k, pfn);
        }
        machine.with_frame(pfn, |f| f.flags = f.flags.difference(FrameFlags::DIRTY) | FrameFlags::LAZYFREE);
        true
    }

    /// `madvise_cold()`: the pages look long unused. Announced to nobody, and (recorded) not flushed.
    fn madvise_cold(&self, k: &Kernel, part: PageRange) {
        self.for_each_pmd(part, |pmd, part| match pmd {
            Pmd::Table(leaf) => self.madvise_cold_ptes(k, &leaf, part),
            Pmd::Huge(_) => {
                let Some(head) = self.huge_page_of_ours(k, part) else { return };
                if is_pmd_range(part) {
                    self.with_pmd(part.start(), |pmd| pmd.update(k, |pmd| pmd.with_young(false)));
                } else {
                    self.machine.split_folio(k, head);
                    if let Pmd::Table(leaf) = self.tables.pmd(part.start()) {
                        self.madvise_cold_ptes(k, &leaf, part);
                    }
                }
            }
            Pmd::None => {}
        });
    }

    fn madvise_cold_ptes(&self, k: &Kernel, leaf: &Leaf, part: PageRange) {
        self.split_partial_folios(k, leaf, part);
        let ptes = leaf.lock();
        self.flush_tlb_batched_pending(k, &ptes);
        for vpn in part.iter() {
            let pte = ptes.get(vpn);
            if !self.is_ours_alone(pte) {
                continue;
            }
            if pte.is_young() {
                ptes.update(k, vpn, |pte| pte.with_young(false));
            }
            if let Some(pfn) = pte.mapped_pfn() {
                self.machine.folio_deactivate(pfn);
            }
        }
    }

    /// `madvise_pageout()`: reclaims the pages that nobody else maps, table by table.
    fn madvise_pageout(&self, k: &Kernel, part: PageRange) {
        self.for_each_pmd(part, |pmd, part| match pmd {
            Pmd::Table(leaf) => self.madvise_pageout_ptes(k, &leaf, part),
            Pmd::Huge(_) => {
                let Some(head) = self.huge_page_of_ours(k, part) else { return };
                if is_pmd_range(part) {
                    self.pageout(k, &[head]);
                } else {
                    self.machine.split_folio(k, head);
                    if let Pmd::Table(leaf) = self.tables.pmd(part.start()) {
                        self.madvise_pageout_ptes(k, &leaf, part);
                    }
                }
            }
            Pmd::None => {}
        });
    }

    fn madvise_pageout_ptes(&self, k: &Kernel, leaf: &Leaf, part: PageRange) {
        self.split_partial_folios(k, leaf, part);
        let mut victims: Vec<Pfn> = {
            let ptes = leaf.lock();
            self.flush_tlb_batched_pending(k, &ptes);
            let entries = part.iter().map(|vpn| ptes.get(vpn));
            let pages = entries.filter(|pte| self.is_ours_alone(*pte)).filter_map(Pte::mapped_pfn);
            pages.map(|pfn| self.machine.head(pfn)).collect()
        };
        victims.dedup();
        self.pageout(k, &victims);
    }

    /// `reclaim_pages()`.
    fn pageout(&self, k: &Kernel, victims: &[Pfn]) {
        k.with_memalloc(|| {
            k.emit(EventKind::ReclaimStart { direct: false });
            let freed = self.machine.reclaim_folio_list(k, victims, Gfp::KERNEL);
            k.emit(EventKind::ReclaimEnd { freed });
        });
    }

    /// A page with no other mapping; a huge page that only one leaf table maps, as a whole.
    fn is_ours_alone(&self, pte: Pte) -> bool {
        let Some(pfn) = pte.mapped_pfn().filter(|_| !pte.is_special()) else { return false };
        let huge = self.machine.with_block(pfn, |block| u64::from(block.mapcount()) == PMD_PAGES);
        huge.unwrap_or_else(|| self.machine.frame(pfn).mapcount == 1)
    }

    /// Huge pages of `range` become single ones, mapped by leaf tables.
    pub(crate) fn split_huge_in(&self, k: &Kernel, range: PageRange) {
        let mut huge = Vec::new();
        self.for_each_pmd(range, |pmd, part| {
            if let Pmd::Huge(pmd) = pmd {
                huge.push((part.start(), pmd.pfn().filter(|_| !pmd.is_special())));
            }
        });
        for (vpn, head) in huge {
            self.split_huge_pmd(k, vpn);
            if let Some(head) = head {
                self.machine.split_folio(k, head);
            }
        }
    }

    /// The tables of single pages.
    pub(crate) fn for_each_leaf(&self, range: PageRange, mut body: impl FnMut(&Leaf, PageRange)) {
        self.for_each_pmd(range, |pmd, part| {
            if let Pmd::Table(leaf) = pmd {
                body(&leaf, part);
            }
        });
    }

    pub(crate) fn for_each_pmd(&self, range: PageRange, mut body: impl FnMut(Pmd, PageRange)) {
        let mut rest = Some(range);
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            body(pmd, part);
            rest = PageRange::new(part.end(), range.end()).ok();
        }
    }

    /// `madvise_populate()`: each page is faulted in, up to the first that cannot be.
    fn madvise_populate(&self, k: &Kernel, range: PageRange, write: bool) -> Result<(), Errno> {
        for vpn in range.iter() {
            let vma = {
                let _read = self.mmap_lock.read();
                self.find_vma(vpn).ok_or(Errno::ENOMEM)?
            };
            let needs = if write { VmFlags::WRITE } else { VmFlags::READ };
            if !vma.flags().contains(needs) || vma.flags().contains(VmFlags::PFNMAP) {
                return Err(Errno::EINVAL);
            }
            self.faultin_page(k, vpn, write, MmapLock::Take)?;
        }
        Ok(())
    }
}

/// Source: `can_madvise_modify()`, mm/madvise.c, 6.17.
fn check_sealed(vma: &Vma, advice: Advice) -> Result<(), Errno> {
    let read_only_anon = vma.is_anonymous() && !vma.flags().contains(VmFlags::WRITE);
    let sealed = vma.flags().contains(VmFlags::SEALED) && advice.discards() && read_only_anon;
    if sealed { Err(Errno::EPERM) } else { Ok(()) }
}

fn check_flags(vma: &Vma, forbidden: VmFlags) -> Result<(), Errno> {
    if vma.flags().intersects(forbidden) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The file that a hole may be made in by way of this mapping. Source: `madvise_remove()`, mm/madvise.c, 6.12.
fn removable(vma: &Vma) -> Result<FileId, Errno> {
    let shared_writable = VmFlags::SHARED | VmFlags::MAYWRITE;
    match vma.kind() {
        VmaKind::File(file) if !vma.flags().contains(VmFlags::LOCKED) => {
            if vma.flags().contains(shared_writable) {
                Ok(file)
            } else {
                Err(Errno::EACCES)
            }
        }
        _ => Err(Errno::EINVAL),
    }
}
