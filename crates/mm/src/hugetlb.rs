//! hugetlb: memory of huge pages only, never split, never swapped; private, or of files of hugetlbfs.
//!
//! Such a page is mapped by one entry of a PMD table. Mappings that share a whole GiB of a file share the PMD table too
//! (`hugetlb_share.rs`), so that what one address space does to it concerns all: ranges are announced as widely as that.
//!
//! | operation | range | held at start | held at end |
//! |---|---|---|---|
//! | write to a page that others have (`hugetlb_wp()`) | the page | VMA lock or `mmap_lock` R, fault mutex, hugetlb lock R | the same |
//! | fork of private memory | the VMA, *CLEAR* | as fork | the same |
//! | `mprotect`, userfaultfd | PROTECTION_VMA, widened | `mmap_lock` | the same; hugetlb lock and `i_mmap` W are held between |
//! | `mremap` | *CLEAR*, widened | `mmap_lock` W | and hugetlb lock and `i_mmap` W |
//! | `MADV_DONTNEED` | CLEAR, widened | `mmap_lock` R, hugetlb lock and `i_mmap` W | the same |
//! | `munmap` | as all memory: UNMAP of the whole | as all memory | the same; hugetlb lock and `i_mmap` W are held between |
//! | truncation, holes | CLEAR, widened | inode W, `i_mmap` W, hugetlb lock W by trylock | the same |
//!
//! The hugetlb lock is `&vma_lock->rw_sema` of a shared mapping, `&resv_map->rw_sema` of a private one; a private one that
//! was inherited over a fork has none.
//!
//! Sources: mm/hugetlb.c, fs/hugetlbfs/inode.c, 6.12. Not modelled: reservations, the pool's size, pages of a GiB.

use crate::alloc_huge::HugeFor;
use crate::behaviour::Behaviour;
use crate::content::Content;
use crate::fault::{Access, FaultError, Handled, oom};
use crate::file::Inode;
use crate::frames::{BLOCK_FRAMES, FrameFlags};
use crate::huge::{pmd_base, pmd_range};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::mprotect::Change;
use crate::obj::{cached_page_obj, hugetlb_fault_obj, hugetlb_lock_obj};
use crate::page_cache::IMmap;
use crate::page_table::{PMD_PAGES, PUD_PAGES, Pmd};
use crate::quirks::Quirks;
use crate::tlb::MmuGather;
use crate::vma::{AnonVmaId, FileId, Vma, VmaId, VmaKind};
use ksync::{Kernel, Mutex, RawMutex, RawRwSem, RwSem};
use mm_types::{Errno, MmId, PageRange, Pfn, Pgoff, Pte, PteKind, VmFlags, Vpn};
use mmu_notifier::Bracket;
use std::sync::Arc;
use trace::{NotifyEvent, NotifyRange};

/// The hugetlb lock of one VMA.
pub(crate) type HugetlbLock = Arc<RwSem<()>>;

/// Whose mappings of a page are counted: the tables of hugetlb may be several address spaces'.
const ANYBODY: MmId = MmId(u32::MAX);

/// A page of private memory.
const OWN: FrameFlags = FrameFlags::ANON.union(FrameFlags::EXCLUSIVE).union(FrameFlags::HUGETLB);

impl Mm {
    /// The hugetlb lock of a VMA (`hugetlb_vma_lock_write()` and its like choose it).
    pub(crate) fn hugetlb_lock(&self, vma: &Vma) -> Option<HugetlbLock> {
        let classes = &self.machine.classes;
        let class = if vma.flags().contains(VmFlags::MAYSHARE) { classes.hugetlb_vma } else { classes.hugetlb_resv };
        let mut inner = self.inner.lock();
        let made = inner.hugetlb_locks.entry(vma.id()).or_insert_with(|| {
            let raw = RawRwSem::new(class, hugetlb_lock_obj(self.id, vma.id().0));
            Some(Arc::new(RwSem::from_raw(raw, ())))
        });
        made.clone()
    }

    /// A private VMA that was inherited has no reservations, and no lock.
    pub(crate) fn hugetlb_dup_vma_private(&self, vma: VmaId) {
        self.inner.lock().hugetlb_locks.insert(vma, None);
    }

    /// `hugetlb_fault()`: with the lock of the VMA at least.
    pub(crate) fn hugetlb_fault(&self, k: &Kernel, vma: &Vma, vpn: Vpn, how: Access) -> Result<Handled, FaultError> {
        let VmaKind::File(file) = vma.kind() else { return Err(FaultError::NotMapped(vpn)) };
        let base = pmd_base(vpn);
        let index = vma.pgoff_at(base);
        if index.0 + PMD_PAGES > self.machine.file_pages(file) {
            return Err(FaultError::BeyondFile(vpn));
        }
        let mutex = self.machine.hugetlb_fault_mutex(self.machine.inode(file), index);
        let _fault = mutex.lock();
        let lock = self.hugetlb_lock(vma);
        let _vma = lock.as_ref().map(|lock| lock.read());
        self.huge_pmd_share(k, vma, base);
        let seen = self.peek_huge(k, base).unwrap_or(Pte::NONE);
        if seen.kind() == PteKind::None {
            self.hugetlb_no_page(k, vma, file, base, how)?;
        }
        let seen = self.peek_huge(k, base).unwrap_or(Pte::NONE);
        if how.write && seen.is_present() && !seen.is_writable() {
            self.hugetlb_wp(k, vma, base, seen, how)?;
        }
        Ok(Handled::Done)
    }

    /// `hugetlb_no_page()`: the page of the file, made if it is missing; a new one for private memory that no file has.
    fn hugetlb_no_page(&self, k: &Kernel, vma: &Vma, file: FileId, base: Vpn, how: Access) -> Result<(), FaultError> {
        let machine = &self.machine;
        let shared = vma.flags().contains(VmFlags::MAYSHARE);
        let index = vma.pgoff_at(base);
        let cached = machine.hugetlb_page(file, index).filter(|page| machine.try_get_page(k, *page));
        let page = match cached {
            Some(page) => page,
            None => self.machine.alloc_huge_page(k, HugeFor::Other).ok_or(FaultError::OutOfMemory)?,
        };
        if cached.is_none() && shared {
            machine.add_hugetlb_page(k, file, index, page);
        }
        let anon = match cached.is_none() && !shared {
            true => Some(self.hugetlb_anon_prepare(k, base, how)?),
            false => None,
        };
        self.with_pmd(base, |pmd| {
            if pmd.huge().is_some_and(|pte| pte.mapped_pfn().is_some()) {
                machine.put_page(k, page);
                return;
            }
            if let Some((anon_vma, index)) = anon {
                machine.map_new_hugetlb(k, page, anon_vma, index);
            } else {
                machine.add_rmap_pmd(page, ANYBODY);
            }
            let writable = vma.flags().contains(VmFlags::WRITE | VmFlags::SHARED);
            let entry = Pte::present(page).with_huge(true).with_write(writable).with_dirty(writable);
            pmd.set(k, entry.with_protnone(!vma.is_accessible()));
        });
        Ok(())
    }

    /// `vmf_anon_prepare()`: under the lock of the VMA alone, `mmap_lock` is needed for a moment.
    fn hugetlb_anon_prepare(&self, k: &Kernel, base: Vpn, how: Access) -> Result<(AnonVmaId, Pgoff), FaultError> {
        let prepared = self.find_vma(base).is_some_and(|vma| vma.anon().is_some());
        let _read = (how.vma_lock && !prepared).then(|| self.mmap_lock.try_read());
        self.anon_vma_prepare(k, base).map_err(oom)
    }

    /// `hugetlb_wp()`: a page that only this mapping has is made writable; another one is copied.
    fn hugetlb_wp(&self, k: &Kernel, vma: &Vma, base: Vpn, seen: Pte, how: Access) -> Result<(), FaultError> {
        let machine = &self.machine;
        let Some(old) = seen.pfn() else { return Ok(()) };
        let writable = vma.flags().contains(VmFlags::WRITE);
        let reused = self.with_pmd(base, |pmd| {
            if pmd.huge() != Some(seen) {
                return true;
            }
            let anon = machine.frame(old).flags.contains(FrameFlags::ANON);
            let ours = vma.flags().contains(VmFlags::MAYSHARE) || anon && machine.folio_mapcount(old) == 1;
            if ours {
                machine.with_subpages(old, |_, f| f.flags.set(FrameFlags::EXCLUSIVE, anon));
                pmd.set(k, seen.with_uffd_wp(false).with_write(writable).with_dirty(true).with_young(true));
            }
            ours
        });
        if reused {
            return Ok(());
        }
        machine.get_page(k, old);
        let copied = self.hugetlb_copy(k, vma, base, (seen, old), how);
        machine.put_page(k, old);
        copied
    }

    fn hugetlb_copy(
        &self,
        k: &Kernel,
        vma: &Vma,
        base: Vpn,
        (seen, old): (Pte, Pfn),
        how: Access,
    ) -> Result<(), FaultError> {
        let machine = &self.machine;
        let (anon_vma, index) = self.hugetlb_anon_prepare(k, base, how)?;
        let new = self.machine.alloc_huge_page(k, HugeFor::Other).ok_or(FaultError::OutOfMemory)?;
        machine.copy_huge(old, new);
        let bracket = self.subs.invalidate_range_start(self.clear_of(pmd_range(base)));
        let same = self.with_pmd(base, |pmd| {
            let same = pmd.huge() == Some(seen);
            if same {
                pmd.clear(k);
                // One page is announced of the 512: `huge_ptep_clear_flush()` knows no size.
                self.flush_tlb_notify(k, PageRange::page(base));
                machine.remove_rmap_pmd(old, ANYBODY);
                machine.put_page(k, old);
                machine.map_new_hugetlb(k, new, anon_vma, index);
                let writable = vma.flags().contains(VmFlags::WRITE);
                pmd.set(k, Pte::present(new).with_huge(true).with_write(writable).with_dirty(true));
            }
            same
        });
        bracket.end();
        if !same {
            machine.put_page(k, new);
        }
        Ok(())
    }

    /// `__unmap_hugepage_range()`: the caller has the hugetlb lock and `i_mmap` W, and the bracket is open. A table that others
    /// have is left to them.
    pub(crate) fn unmap_hugepage_range(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, range: PageRange) {
        let own = self.is(Behaviour::HUGETLB_UNMAP_HAS_A_BRACKET).then(|| {
            let pages = self.widened(vma, range);
            self.subs.invalidate_range_start(NotifyRange { event: NotifyEvent::Unmap, ..self.clear_of(pages) })
        });
        self.unmap_hugepages(k, tlb, range);
        own.into_iter().for_each(Bracket::end);
    }

    /// `unmap_hugepage_range()`: the same by whoever takes pages of a file away, inside a CLEAR bracket.
    fn unmap_file_hugepages(&self, k: &Kernel, vma: &Vma, part: PageRange) {
        let mut tlb = MmuGather::new(self);
        let outer = !self.is(Behaviour::HUGETLB_UNMAP_HAS_A_BRACKET);
        let bracket = outer.then(|| self.subs.invalidate_range_start(self.clear_of(self.widened(vma, part))));
        self.unmap_hugepage_range(k, &mut tlb, vma, part);
        bracket.into_iter().for_each(Bracket::end);
        tlb.finish(k);
    }

    /// The same of a mapping that `munmap` has taken out of the tree, and not yet out of the reverse map: what it maps goes before
    /// the file's pages do. `i_mmap` W held.
    fn unmap_detached_hugepages(&self, k: &Kernel, part: PageRange) {
        let mut tlb = MmuGather::new(self);
        let gib =
            PageRange::new(Vpn(part.start().0 / PUD_PAGES * PUD_PAGES), Vpn(part.end().0.next_multiple_of(PUD_PAGES)));
        let bracket = self.subs.invalidate_range_start(self.clear_of(gib.unwrap_or(part)));
        self.unmap_hugepages(k, &mut tlb, part);
        bracket.end();
        tlb.finish(k);
    }

    fn unmap_hugepages(&self, k: &Kernel, tlb: &mut MmuGather<'_>, range: PageRange) {
        let mut unshared = false;
        for base in bases(range) {
            if !matches!(self.tables.pmd(base), Pmd::Huge(_)) {
                continue;
            }
            let gone = self.with_pmd(base, |pmd| match self.unshare_pmd(k, tlb, base) {
                true => {
                    unshared = true;
                    None
                }
                false => pmd.huge().map(|_| pmd.clear(k)),
            });
            if let Some((old, page)) = gone.and_then(|old| Some((old, old.mapped_pfn()?))) {
                tlb.note_range(pmd_range(base));
                self.machine.transfer_dirty(page, old);
                self.machine.remove_rmap_pmd(page, ANYBODY);
                tlb.remove_page(page);
            }
        }
        if unshared && !self.is_wrong(Quirks::FLUSH_AFTER_UNSHARE) {
            tlb.flush_tlb_only(k);
        }
    }

    /// Runs `body` with the hugetlb lock and `i_mmap` W (`hugetlb_zap_begin()`, `hugetlb_zap_end()`).
    pub(crate) fn with_hugetlb_locks<R>(&self, vma: &Vma, body: impl FnOnce() -> R) -> R {
        let lock = self.hugetlb_lock(vma);
        let _vma = lock.as_ref().map(|lock| lock.write());
        let i_mmap = self.hugetlb_i_mmap(vma);
        let _mappings = i_mmap.as_ref().map(|i_mmap| i_mmap.write());
        body()
    }

    fn hugetlb_i_mmap(&self, vma: &Vma) -> Option<IMmap> {
        match vma.kind() {
            VmaKind::File(file) => Some(self.machine.i_mmap(file).1),
            VmaKind::Anon | VmaKind::Special(_) => None,
        }
    }

    /// `hugetlb_change_protection()`: start and end with the caller's locks only. Its own gather is nested in the caller's,
    /// so that everything is flushed once more after the end.
    pub(crate) fn hugetlb_change_protection(&self, k: &Kernel, vma: &Vma, range: PageRange, change: Change) {
        let mut tlb = MmuGather::new(self);
        let announced = NotifyRange { event: NotifyEvent::ProtectionVma, ..self.clear_of(self.widened(vma, range)) };
        let bracket = self.subs.invalidate_range_start(announced);
        self.with_hugetlb_locks(vma, || {
            bases(range).for_each(|base| self.hugetlb_change_one(k, &mut tlb, vma, base, change));
            tlb.flush_tlb_only(k);
        });
        bracket.end();
        tlb.finish(k);
    }

    fn hugetlb_change_one(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, base: Vpn, change: Change) {
        if !matches!(self.tables.pmd(base), Pmd::Huge(_)) && change != Change::UffdWp {
            return;
        }
        self.with_pmd(base, |pmd| {
            if self.unshare_pmd(k, tlb, base) {
                return;
            }
            let pte = pmd.huge().unwrap_or(Pte::NONE);
            if pte.mapped_pfn().is_some() {
                pmd.update(k, |pte| self.hugetlb_changed(vma, pte, change));
                tlb.note_range(pmd_range(base));
            } else if change == Change::UffdWp && pte.is_none() {
                // A marker: the next page there is write-protected from the start.
                pmd.set(k, Pte::NONE.with_uffd_wp(true));
            } else if change == Change::UffdWpResolve && !pte.is_none() {
                pmd.clear(k);
            }
        });
    }

    fn hugetlb_changed(&self, vma: &Vma, pte: Pte, change: Change) -> Pte {
        match change {
            Change::UffdWp => pte.with_uffd_wp(true),
            Change::UffdWpResolve => pte.with_uffd_wp(false),
            Change::Protection | Change::Numa if !vma.is_accessible() => pte.with_write(false).with_protnone(true),
            Change::Protection | Change::Numa => {
                // `huge_pte_modify()`: a shared mapping may write at once, a private page waits for the fault.
                let writable = vma.flags().contains(VmFlags::WRITE | VmFlags::SHARED);
                pte.with_protnone(false).with_write(writable && !pte.is_uffd_wp())
            }
        }
    }

    /// `copy_hugetlb_page_range()` of private memory: the bracket is CLEAR here. A page that a device has pinned is copied.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn copy_hugetlb_page_range(&self, k: &Kernel, child: &Mm, vma: &Vma, copy: &Vma) -> Result<(), Errno> {
        let bracket = self.subs.invalidate_range_start(self.clear_of(vma.range()));
        self.bump_write_protect_seq(k);
        let copied = bases(vma.range()).try_for_each(|base| self.copy_hugetlb_page(k, child, copy, base));
        self.bump_write_protect_seq(k);
        bracket.end();
        copied
    }

    fn copy_hugetlb_page(&self, k: &Kernel, child: &Mm, copy: &Vma, base: Vpn) -> Result<(), Errno> {
        let machine = &self.machine;
        let Some(page) = self.peek_huge(k, base).and_then(Pte::mapped_pfn) else { return Ok(()) };
        let frame = machine.frame(page);
        let pinned = frame.flags.contains(FrameFlags::ANON | FrameFlags::EXCLUSIVE) && frame.pins > 0;
        let spare = match pinned {
            true => Some(self.machine.alloc_huge_page(k, HugeFor::Other).ok_or(Errno::ENOMEM)?),
            false => None,
        };
        child.with_pmd(base, |theirs| {
            self.with_pmd_nested(base, |ours| {
                let Some(old) = ours.huge().filter(|pte| pte.mapped_pfn() == Some(page)) else { return };
                if let Some(new) = spare {
                    let link = copy.anon().unwrap_or_else(|| panic!("{base} has an anonymous page and no anon_vma"));
                    machine.copy_huge(page, new);
                    machine.map_new_hugetlb(k, new, link.anon_vma, copy.pgoff_at(base));
                    theirs.set(k, old.with_pfn(new));
                    return;
                }
                machine.get_page(k, page);
                machine.add_rmap_pmd(page, ANYBODY);
                machine.with_subpages(page, |_, f| f.flags -= FrameFlags::EXCLUSIVE);
                let shared = ours.update(k, |pte| pte.with_write(false)).with_write(false);
                theirs.set(k, shared);
            });
        });
        Ok(())
    }

    /// `move_hugetlb_page_tables()`: CLEAR of the old range, widened; it ends while the locks are held that were taken after it
    /// began.
    pub(crate) fn move_hugetlb_page_tables(&self, k: &Kernel, source: &Vma, old: PageRange, to: Vpn) {
        let mut tlb = MmuGather::new(self);
        let bracket = self.subs.invalidate_range_start(self.clear_of(self.widened(source, old)));
        self.with_hugetlb_locks(source, || {
            for base in bases(old) {
                self.move_huge_pte(k, &mut tlb, base, to + (base - old.start()));
            }
            tlb.flush_tlb_only(k);
            bracket.end();
        });
        tlb.finish(k);
    }

    fn move_huge_pte(&self, k: &Kernel, tlb: &mut MmuGather<'_>, base: Vpn, target: Vpn) {
        if !matches!(self.tables.pmd(base), Pmd::Huge(_)) || self.with_pmd(base, |_| self.unshare_pmd(k, tlb, base)) {
            return;
        }
        let one_lock = Arc::ptr_eq(&self.pmd_lock(base), &self.pmd_lock(target));
        self.with_pmd(target, |new| {
            let pte = match one_lock {
                true => self.pmd_unlocked(base).clear(k),
                false => self.with_pmd_nested(base, |old| old.clear(k)),
            };
            new.set(k, pte);
        });
        tlb.note_range(pmd_range(base));
    }

    /// The range that is announced for `range` of a VMA: where a PMD table may be shared, whole GiB that lie inside of the VMA.
    ///
    /// Source: `adjust_range_if_pmd_sharing_possible()`, mm/hugetlb.c, 6.12.
    pub(crate) fn widened(&self, vma: &Vma, range: PageRange) -> PageRange {
        let (first, last) = (vma.start().0.next_multiple_of(PUD_PAGES), vma.end().0 / PUD_PAGES * PUD_PAGES);
        let (start, end) = (range.start().0, range.end().0);
        let narrow = self.machine.config.quirks.contains(Quirks::WIDEN_FOR_SHARED_PMDS);
        let may = vma.flags().contains(VmFlags::HUGETLB | VmFlags::MAYSHARE) && !narrow;
        if !may || last <= first || end <= first || start >= last {
            return range;
        }
        let start = if start > first { start / PUD_PAGES * PUD_PAGES } else { start };
        let end = if end < last { end.next_multiple_of(PUD_PAGES) } else { end };
        PageRange::new(Vpn(start), Vpn(end)).unwrap_or(range)
    }
}

impl Machine {
    /// The lock under which one page of a file is made (`hugetlb_fault_mutex_table`).
    fn hugetlb_fault_mutex(&self, inode: Inode, index: Pgoff) -> Arc<Mutex<()>> {
        let mut mutexes = self.hugetlb_mutexes.lock();
        let mutex = mutexes.entry((inode, index)).or_insert_with(|| {
            let obj = hugetlb_fault_obj(inode, index.0 / PMD_PAGES);
            Arc::new(Mutex::from_raw(RawMutex::new(self.classes.hugetlb_fault, obj), ()))
        });
        Arc::clone(mutex)
    }

    fn hugetlb_page(&self, file: FileId, index: Pgoff) -> Option<Pfn> {
        let mut files = self.files.lock();
        let inode = files.inode(file);
        files.pages(inode).cached.get(&index).copied()
    }

    /// `hugetlb_add_new_anon_rmap()`.
    fn map_new_hugetlb(&self, k: &Kernel, page: Pfn, anon_vma: AnonVmaId, index: Pgoff) {
        self.map_new_huge_anon(k, page, ANYBODY, anon_vma, index);
        self.with_subpages(page, |_, f| f.flags = OWN);
    }

    /// `hugetlb_add_to_page_cache()`.
    fn add_hugetlb_page(&self, k: &Kernel, file: FileId, index: Pgoff, page: Pfn) {
        let inode = self.inode(file);
        k.visible_write(cached_page_obj(inode, index));
        let contents: Vec<Content> = {
            let files = self.files.lock();
            (0..PMD_PAGES).map(|i| files.contents(file, index + i)).collect()
        };
        self.with_subpages(page, |i, f| {
            f.flags = FrameFlags::FILE | FrameFlags::HUGETLB;
            f.mapping = Some(inode);
            f.index = index + i;
        });
        for (content, pfn) in contents.into_iter().zip(page.0..) {
            self.set_content(Pfn(pfn), content);
        }
        self.with_frame(page, |f| f.refcount += BLOCK_FRAMES as u32);
        let cached = (0..PMD_PAGES).map(|i| (index + i, Pfn(page.0 + i)));
        self.files.lock().pages(inode).cached.extend(cached);
    }

    /// What a huge page holds is copied to a new one.
    fn copy_huge(&self, from: Pfn, to: Pfn) {
        (0..BLOCK_FRAMES).for_each(|i| self.copy_content(Pfn(to.0 + i), Pfn(from.0 + i)));
    }

    /// `hugetlb_vmdelete_list()` under `i_mmap` W: each mapping loses its part of the pages `[first, end)`. One whose hugetlb
    /// lock is taken is passed over.
    pub(crate) fn hugetlb_vmdelete_list(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff) {
        let i_mmap = self.files.lock().i_mmap(inode);
        let mappings = i_mmap.write();
        for (mm, part) in mappings.walk_range(first, end) {
            let Some(mm) = self.mm(mm) else { continue };
            let Some(vma) = mm.find_vma(part.start()) else {
                mm.unmap_detached_hugepages(k, part);
                continue;
            };
            let lock = mm.hugetlb_lock(&vma);
            let held = lock.as_ref().map(|lock| lock.try_write());
            if matches!(held, Some(None)) {
                continue;
            }
            mm.unmap_file_hugepages(k, &vma, part);
        }
    }

    /// `remove_inode_hugepages()`: the huge pages `[first, end)` of a file go, both multiples of 512. A page that is mapped was
    /// faulted in since the mappings lost theirs, or passed over then: it is unmapped under its fault mutex.
    pub(crate) fn remove_inode_hugepages(&self, k: &Kernel, inode: Inode, first: Pgoff, end: Pgoff) {
        for (at, head) in self.cached_in(inode, first, end).into_iter().filter(|(at, _)| at.0 % PMD_PAGES == 0) {
            let mutex = self.hugetlb_fault_mutex(inode, at);
            let _fault = mutex.lock();
            let references = self.remove_inode_single_folio(k, inode, at, head);
            if references > 0 {
                // All but the one that may be the last.
                self.with_frame(head, |f| f.refcount -= references - 1);
                self.put_page(k, head);
            }
        }
        self.files.lock().zero_stored(inode, first, end);
    }

    /// One of them. Gives how many references of the page cache the caller is to give up.
    fn remove_inode_single_folio(&self, k: &Kernel, inode: Inode, at: Pgoff, head: Pfn) -> u32 {
        let lock = self.folio_lock(head);
        let _folio = lock.lock();
        if self.folio_mapcount(head) > 0 {
            self.hugetlb_unmap_file_folio(k, inode, at, head);
        }
        k.visible_write(cached_page_obj(inode, at));
        let mut removed = 0;
        for i in 0..PMD_PAGES {
            if self.files.lock().forget_page(inode, at + i, Pfn(head.0 + i)) {
                removed += 1;
                self.with_frame(Pfn(head.0 + i), |f| {
                    f.flags -= FrameFlags::FILE | FrameFlags::DIRTY;
                    f.mapping = None;
                });
            }
        }
        removed
    }

    /// `hugetlb_unmap_file_folio()`: nobody maps the page any more. A hugetlb lock that is taken is waited for without `i_mmap`.
    fn hugetlb_unmap_file_folio(&self, k: &Kernel, inode: Inode, at: Pgoff, head: Pfn) {
        let i_mmap = self.files.lock().i_mmap(inode);
        let maps = |mm: &Mm, part: PageRange| mm.peek_huge(k, part.start()).and_then(Pte::mapped_pfn) == Some(head);
        while let Some((mm, lock)) = self.unmap_file_folio_unless_locked(k, &i_mmap, at, head) {
            let _vma = lock.write();
            let mappings = i_mmap.write();
            for (of, part) in mappings.walk_range(at, at + PMD_PAGES) {
                if of == mm.id()
                    && let Some(vma) = mm.find_vma(part.start())
                    && mm.hugetlb_lock(&vma).is_some_and(|of| Arc::ptr_eq(&of, &lock))
                    && maps(&mm, part)
                {
                    mm.unmap_file_hugepages(k, &vma, part);
                }
            }
        }
    }

    /// Unmaps it from each mapping, up to the first whose hugetlb lock is taken, which it gives.
    fn unmap_file_folio_unless_locked(
        &self,
        k: &Kernel,
        i_mmap: &IMmap,
        at: Pgoff,
        head: Pfn,
    ) -> Option<(Arc<Mm>, HugetlbLock)> {
        let mappings = i_mmap.write();
        for (mm, part) in mappings.walk_range(at, at + PMD_PAGES) {
            let Some(mm) = self.mm(mm) else { continue };
            let Some(vma) = mm.find_vma(part.start()) else {
                mm.unmap_detached_hugepages(k, part);
                continue;
            };
            if mm.peek_huge(k, part.start()).and_then(Pte::mapped_pfn) != Some(head) {
                continue;
            }
            let lock = mm.hugetlb_lock(&vma);
            let held = lock.as_ref().map(|lock| lock.try_write());
            if matches!(held, Some(None)) {
                drop(held);
                return Some((mm, lock?));
            }
            mm.unmap_file_hugepages(k, &vma, part);
        }
        None
    }
}

/// Where the huge pages of a range begin.
fn bases(range: PageRange) -> impl Iterator<Item = Vpn> {
    (range.start().0 / PMD_PAGES * PMD_PAGES..range.end().0).step_by(PMD_PAGES as usize).map(Vpn)
}
