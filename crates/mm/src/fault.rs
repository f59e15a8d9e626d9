//! Page faults. Linux: `handle_mm_fault()` and what it calls, mm/memory.c, 6.12.
//!
//! | entry | access | what happens |
//! |---|---|---|
//! | none, anonymous | read | the zero page, read-only |
//! | none, anonymous | write | a new page of zeros |
//! | none, file | read | what the page cache has around, else the file's page |
//! | none, file | shared write | the file's page |
//! | none, private file | write | a copy of the file's page |
//! | guard | any | `SIGSEGV` |
//! | migration | any | waits until the page is where it goes to |
//! | swap | any | the page comes back, without a notifier call |
//! | read-only | write | shared: made writable; exclusive: reused; else copied inside a CLEAR bracket of one page |
//!
//! # Protocol
//! `mmap_lock` held for reading at least. An entry is looked at without its lock, what it needs is prepared (which may
//! sleep and reclaim), and it is looked at again under its lock: if it is another one by then, the access tries again.

use crate::behaviour::Behaviour;
use crate::frames::{Block, FrameFlags, ZERO_PAGE};
use crate::huge_fault::HugeFault;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{cached_page_obj, slot_obj};
use crate::page_table::{Leaf, PMD_PAGES, PteGuard};
use crate::quirks::Quirks;
use crate::vma::{AnonVmaId, FileId, Vma, VmaKind};
use ksync::{Kernel, RawRwSem};
use lock_api::RwLockWriteGuard;
use mm_types::{Errno, Gfp, PageRange, Pfn, Pgoff, Pte, PteKind, VmFlags, Vpn};
use std::fmt;
use trace::EventKind;

/// Pages a stack may have: `RLIMIT_STACK` of 8 MiB.
const STACK_LIMIT_PAGES: u64 = 2048;

/// Why an access could not be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// Nothing is mapped there (`SEGV_MAPERR`).
    NotMapped(Vpn),
    /// The mapping does not allow it (`SEGV_ACCERR`).
    NotAllowed(Vpn),
    /// A guard page (`SEGV_MAPERR` too).
    Guard(Vpn),
    /// Beyond the end of the file (`SIGBUS`, `BUS_ADRERR`).
    BeyondFile(Vpn),
    /// No memory (`VM_FAULT_OOM`).
    OutOfMemory,
    /// The page's memory has failed (`VM_FAULT_HWPOISON`).
    Poisoned(Vpn),
    /// The OOM killer chose the process (`SIGKILL`; for others who fault its pages in, `VM_FAULT_SIGBUS`).
    Killed,
}

impl FaultError {
    /// What a system call that meets it returns.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            FaultError::NotMapped(_)
            | FaultError::NotAllowed(_)
            | FaultError::Guard(_)
            | FaultError::BeyondFile(_)
            | FaultError::Poisoned(_)
            | FaultError::Killed => Errno::EFAULT,
            FaultError::OutOfMemory => Errno::ENOMEM,
        }
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultError::NotMapped(vpn) => write!(f, "SIGSEGV at {}: not mapped", vpn.addr()),
            FaultError::NotAllowed(vpn) => write!(f, "SIGSEGV at {}: not allowed by the mapping", vpn.addr()),
            FaultError::Guard(vpn) => write!(f, "SIGSEGV at {}: a guard page", vpn.addr()),
            FaultError::BeyondFile(vpn) => write!(f, "SIGBUS at {}: beyond the end of the file", vpn.addr()),
            FaultError::OutOfMemory => f.write_str("out of memory"),
            FaultError::Killed => f.write_str("SIGKILL: the OOM killer chose the process"),
            FaultError::Poisoned(vpn) => write!(f, "SIGBUS at {}: its memory failed", vpn.addr()),
        }
    }
}

impl std::error::Error for FaultError {}

/// An allocation under a fault fails only for want of memory.
pub(crate) fn oom(_: Errno) -> FaultError {
    FaultError::OutOfMemory
}

/// What handling a fault came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handled {
    /// Try the access again.
    Done,
    /// Wait for the lock of this folio, best without `mmap_lock` (`VM_FAULT_RETRY`).
    WaitFolio(Pfn),
    /// The lock of the VMA is not enough for this one (`VM_FAULT_RETRY`): again with `mmap_lock`.
    WithMmapLock,
}

/// How a page is to be made fit for an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    /// For a store.
    pub(crate) write: bool,
    /// Even where the mapping forbids it, by a private copy (`FOLL_FORCE`).
    pub(crate) force: bool,
    /// Only the lock of the VMA is held.
    pub(crate) vma_lock: bool,
    /// A load, of a page that shall be this address space's alone (`FAULT_FLAG_UNSHARE`).
    pub(crate) unshare: bool,
}

impl Access {
    /// A load or a store with `mmap_lock` held.
    pub(crate) const fn plain(write: bool) -> Access {
        Access { write, force: false, vma_lock: false, unshare: false }
    }

    /// For a reader that will look at the page without the page table, for long.
    pub(crate) const fn unshared() -> Access {
        Access { write: false, force: false, vma_lock: false, unshare: true }
    }
}

impl Mm {
    /// One fault of a task at `vpn`: takes `mmap_lock` for reading, grows a stack if it must. Sync point `mm.fault`.
    pub(crate) fn fault(&self, k: &Kernel, vpn: Vpn, write: bool) -> Result<(), FaultError> {
        k.sync_reached(NAMES.mm_fault);
        let done = self.fault_retrying(k, vpn, write);
        k.sync_passed(NAMES.mm_fault);
        done
    }

    fn fault_retrying(&self, k: &Kernel, vpn: Vpn, write: bool) -> Result<(), FaultError> {
        loop {
            match self.fault_under_vma_lock(k, vpn, write) {
                Some(Ok(Handled::Done)) => return Ok(()),
                Some(Ok(Handled::WaitFolio(pfn))) => {
                    self.machine.wait_folio(k, pfn);
                    continue;
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(Handled::WithMmapLock)) | None => {}
            }
            let read = self.mmap_lock.try_read().unwrap_or_else(|| self.mmap_lock.read());
            let Some(vma) = self.find_vma(vpn) else {
                drop(read);
                self.expand_stack(k, vpn)?;
                continue;
            };
            let handled = self.handle_mm_fault(k, &vma, vpn, write);
            drop(read);
            match handled? {
                Handled::WaitFolio(pfn) => self.machine.wait_folio(k, pfn),
                Handled::Done | Handled::WithMmapLock => return Ok(()),
            }
        }
    }

    /// The fault with only the lock of its VMA; `None` where that is not enough, since the address is in no VMA, or a
    /// writer of `mmap_lock` is at work, or the VMA has never had an anonymous page and needs an `anon_vma` first.
    fn fault_under_vma_lock(&self, k: &Kernel, vpn: Vpn, write: bool) -> Option<Result<Handled, FaultError>> {
        if self.is(Behaviour::NO_VMA_LOCKS) {
            return None;
        }
        let seen = self.find_vma(vpn)?;
        let hugetlb = seen.flags().contains(VmFlags::HUGETLB);
        let needs_anon = seen.is_anonymous() || Mm::is_private(&seen) && write && !hugetlb;
        if needs_anon && seen.anon().is_none() {
            return None;
        }
        let how = Access { vma_lock: true, ..Access::plain(write) };
        self.under_vma_lock(vpn, |vma| self.handle_mm_fault_as(k, vma, vpn, how))
    }

    /// A page that is shared is copied, as by a write, and stays read-only, if its entry is still `seen`. `mmap_lock` held.
    pub(crate) fn unshare_page(&self, k: &Kernel, vma: &Vma, vpn: Vpn, seen: Pte) -> Result<(), FaultError> {
        let Some(leaf) = self.tables.walk(vpn) else { return Ok(()) };
        let page = seen.pfn().filter(|_| !seen.is_special());
        if page.is_some_and(|pfn| !self.machine.try_get_page(k, pfn)) {
            return Ok(());
        }
        let fault = Fault { mm: self, k, vma, vpn, write: false, leaf: &leaf, unshare: true };
        let copied = fault.wp_page_copy(seen, page);
        if let Some(pfn) = page {
            self.machine.free_page_and_swap_cache(k, pfn);
        }
        copied
    }

    /// `expand_stack()`: the stack above `vpn` grows down to it, under the write lock.
    fn expand_stack(&self, k: &Kernel, vpn: Vpn) -> Result<(), FaultError> {
        let write = self.mmap_lock.write();
        let (stack, min) = {
            let inner = self.inner.lock();
            let min = inner.placement.min_vpn();
            (inner.tree.stack_above(vpn, min), min)
        };
        let stack = stack.map_err(|_| FaultError::NotMapped(vpn))?;
        self.anon_vma_prepare(k, stack.start()).map_err(oom)?;
        let grown = self.inner.lock().tree.expand_downwards(vpn, min, STACK_LIMIT_PAGES);
        let grown = grown.map_err(|_| FaultError::NotMapped(vpn))?;
        self.vma_adjusted(k, &grown.changes);
        drop(RwLockWriteGuard::<RawRwSem, ()>::downgrade(write));
        Ok(())
    }

    /// `handle_mm_fault()`: makes the entry of `vpn` fit for the access, or says why not. `mmap_lock` held. A fault that was
    /// served is counted ([`Mm::faults`]).
    pub(crate) fn handle_mm_fault(&self, k: &Kernel, vma: &Vma, vpn: Vpn, write: bool) -> Result<Handled, FaultError> {
        self.handle_mm_fault_as(k, vma, vpn, Access::plain(write))
    }

    /// As [`Mm::handle_mm_fault`], with the lock of the VMA at least.
    pub(crate) fn handle_mm_fault_as(
        &self,
        k: &Kernel,
        vma: &Vma,
        vpn: Vpn,
        how: Access,
    ) -> Result<Handled, FaultError> {
        let write = how.write;
        let allowed = if write { vma.flags().contains(VmFlags::WRITE) } else { vma.is_accessible() };
        let forced = how.force && vma.flags().contains(VmFlags::MAYWRITE) && Mm::is_private(vma);
        if !allowed && !forced {
            return Err(FaultError::NotAllowed(vpn));
        }
        if vma.flags().contains(VmFlags::HUGETLB) {
            let handled = self.hugetlb_fault(k, vma, vpn, how)?;
            self.count_fault();
            return Ok(handled);
        }
        if vma.flags().contains(VmFlags::DAX) {
            let handled = self.dax_fault(k, vma, vpn, write)?;
            self.count_fault();
            return Ok(handled);
        }
        let handled = match self.huge_fault(k, vma, vpn, how)? {
            HugeFault::Done => Handled::Done,
            HugeFault::Wait(pfn) => Handled::WaitFolio(pfn),
            HugeFault::Fallback => self.handle_pte_fault(k, vma, vpn, how)?,
        };
        if handled == Handled::Done {
            self.count_fault();
        }
        Ok(handled)
    }

    fn handle_pte_fault(&self, k: &Kernel, vma: &Vma, vpn: Vpn, how: Access) -> Result<Handled, FaultError> {
        let write = how.write;
        let leaf = match self.pte_alloc(k, vpn) {
            Ok(leaf) => leaf,
            // A huge page came meanwhile.
            Err(Errno::EAGAIN) => return Ok(Handled::Done),
            Err(error) => return Err(oom(error)),
        };
        let fault = Fault { mm: self, k, vma, vpn, write, unshare: how.unshare, leaf: &leaf };
        let pte = leaf.peek(k, vpn);
        match (pte.kind(), vma.kind()) {
            (PteKind::None, VmaKind::Anon) => fault.do_anonymous_page(),
            (PteKind::None, VmaKind::File(file)) => fault.do_fault(file),
            (PteKind::None, VmaKind::Special(name)) => fault.do_fault(self.machine.special_file(name)),
            (PteKind::Swap { slot }, _) => return fault.do_swap_page(pte, slot),
            // `migration_entry_wait()`
            (PteKind::Migration { pfn }, _) => return Ok(Handled::WaitFolio(pfn)),
            // `handle_pte_marker()`
            (PteKind::Guard, _) => Err(FaultError::Guard(vpn)),
            (PteKind::DevicePrivate { .. }, _) if how.vma_lock => return Ok(Handled::WithMmapLock),
            (PteKind::DevicePrivate { pfn }, _) => return self.migrate_to_ram(k, vma, vpn, pfn),
            (PteKind::DeviceExclusive { pfn }, _) => {
                return Ok(self.remove_device_exclusive_entry(k, vma, &leaf, vpn, pfn));
            }
            (PteKind::HwPoison { .. }, _) => return Err(FaultError::Poisoned(vpn)),
            (PteKind::ProtNone { pfn }, _) if vma.is_accessible() => {
                self.do_numa_page(k, vma, &leaf, vpn, pfn);
                Ok(())
            }
            (PteKind::Present, _) if (write || how.unshare) && !pte.is_writable() => fault.do_wp_page(pte),
            // Another task was faster.
            (PteKind::Present | PteKind::ProtNone { .. }, _) => Ok(()),
        }?;
        Ok(Handled::Done)
    }
}

/// One fault (`struct vm_fault`).
struct Fault<'a> {
    mm: &'a Mm,
    k: &'a Kernel,
    vma: &'a Vma,
    vpn: Vpn,
    write: bool,
    /// A copy is wanted, not write access (`FAULT_FLAG_UNSHARE`).
    unshare: bool,
    leaf: &'a Leaf,
}

impl Fault<'_> {
    fn new_page(&self) -> Result<Pfn, FaultError> {
        self.mm.machine.alloc_page(self.k, Gfp::USER).map_err(oom)
    }

    /// The entry of a new page, which the task may write if the VMA lets it; not one that is unshared: nobody wants to write yet.
    fn own_entry(&self, pfn: Pfn) -> Pte {
        if self.unshare {
            return Pte::present(pfn);
        }
        let writable = self.vma.flags().contains(VmFlags::WRITE);
        Pte::present(pfn).with_write(writable).with_dirty(writable || self.write)
    }

    fn do_anonymous_page(&self) -> Result<(), FaultError> {
        if !self.write {
            let ptes = self.leaf.lock();
            if ptes.get(self.vpn).is_none() {
                self.mm.check_stable()?;
                ptes.set(self.k, self.vpn, Pte::present(ZERO_PAGE).with_special(true));
            }
            return Ok(());
        }
        let (anon_vma, index) = self.mm.anon_vma_prepare(self.k, self.vpn).map_err(oom)?;
        let page = self.new_page()?;
        let ptes = self.leaf.lock();
        let stable = self.mm.check_stable();
        if !ptes.get(self.vpn).is_none() || stable.is_err() {
            let lost = if ptes.get(self.vpn).is_none() { stable } else { Ok(()) };
            drop(ptes);
            self.mm.machine.put_page(self.k, page);
            return lost;
        }
        self.map_new_anon(page, anon_vma, index);
        ptes.set(self.k, self.vpn, self.own_entry(page));
        Ok(())
    }

    /// `folio_add_new_anon_rmap()`: the page of a `MAP_DROPPABLE` mapping may be dropped from the start.
    fn map_new_anon(&self, page: Pfn, anon_vma: AnonVmaId, index: Pgoff) {
        self.mm.machine.map_new_anon(self.k, page, anon_vma, index);
        if self.vma.flags().contains(VmFlags::DROPPABLE) {
            self.mm.machine.with_frame(page, |f| f.flags |= FrameFlags::LAZYFREE);
        }
    }

    /// `do_read_fault()`, `do_cow_fault()`, `do_shared_fault()`: a read first maps what is in the page cache around it.
    fn do_fault(&self, file: FileId) -> Result<(), FaultError> {
        let machine = &self.mm.machine;
        if !self.write && self.do_fault_around(file) {
            return Ok(());
        }
        let private_write = self.write && Mm::is_private(self.vma);
        let anon = match private_write {
            true => Some((self.mm.anon_vma_prepare(self.k, self.vpn).map_err(oom)?, self.new_page()?)),
            false => None,
        };
        let pgoff = self.vma.pgoff_at(self.vpn);
        let cached = match machine.file_fault(self.k, file, pgoff) {
            Ok(cached) => cached,
            Err(error) => {
                if let Some((_, copy)) = anon {
                    machine.put_page(self.k, copy);
                }
                return Err(if error == Errno::EINVAL { FaultError::BeyondFile(self.vpn) } else { oom(error) });
            }
        };
        let ptes = self.leaf.lock();
        let private = Mm::is_private(self.vma);
        let stable = if private && ptes.get(self.vpn).is_none() { self.mm.check_stable() } else { Ok(()) };
        let unused = if !ptes.get(self.vpn).is_none() || stable.is_err() {
            anon.map(|(_, copy)| copy)
        } else if let Some(((anon_vma, index), copy)) = anon {
            machine.copy_content(copy, cached);
            self.map_new_anon(copy, anon_vma, index);
            ptes.set(self.k, self.vpn, self.own_entry(copy));
            None
        } else {
            self.map_cached(&ptes, self.vpn, file, cached);
            None
        };
        drop(ptes);
        if let Some(copy) = unused {
            machine.put_page(self.k, copy);
        }
        machine.put_page(self.k, cached);
        stable
    }

    /// `set_pte_range()`: maps a page of the page cache, if it is there still. A truncation that takes it out unmaps it
    /// afterwards. In the kernel that waits for the folio lock, which the fault has.
    fn map_cached(&self, ptes: &PteGuard<'_>, vpn: Vpn, file: FileId, cached: Pfn) {
        let machine = &self.mm.machine;
        machine.get_page(self.k, cached);
        // A shared page that needs no notice before a write is writable at once (`vma_wants_writenotify()`).
        let shared = self.vma.flags().contains(VmFlags::SHARED | VmFlags::WRITE) && machine.is_shmem(file);
        let shared = shared && !Mm::needs_soft_dirty_wp(self.vma, Pte::NONE);
        let entry = Pte::present(cached).with_write(self.write || shared).with_dirty(self.write);
        let (inode, pgoff) = (machine.inode(file), self.vma.pgoff_at(vpn));
        let still = || machine.is_cached_now(inode, pgoff, cached);
        if !ptes.set_if(self.k, vpn, entry, cached_page_obj(inode, pgoff), still) {
            machine.put_page(self.k, cached);
            return;
        }
        machine.add_rmap(cached, self.mm.id);
        if self.write {
            // `fault_dirty_shared_page()`
            machine.with_frame(cached, |f| f.flags |= FrameFlags::DIRTY);
        }
    }

    /// `do_fault_around()`: maps what the page cache has of the 16 pages around, as far as VMA and table go, where nothing is
    /// mapped. True when the page itself is mapped now.
    ///
    /// Source: `do_fault_around()`, mm/memory.c; `filemap_map_pages()`, mm/filemap.c, 6.12.
    fn do_fault_around(&self, file: FileId) -> bool {
        let Some(around) = fault_around_range(self.vma, self.vpn) else { return false };
        let machine = &self.mm.machine;
        let first = self.vma.pgoff_at(around.start());
        let resident = machine.cached_pages(file, first, around.nr_pages());
        if resident.is_empty() {
            return false;
        }
        let ptes = self.leaf.lock();
        for (pgoff, pfn) in resident {
            let vpn = around.start() + (pgoff.0 - first.0);
            if ptes.get(vpn).is_none() && machine.try_get_page(self.k, pfn) {
                // It may have gone, and the frame with it, before the reference was there.
                if machine.is_cached(self.k, file, pgoff, pfn) {
                    self.map_cached(&ptes, vpn, file, pfn);
                }
                machine.put_page(self.k, pfn);
            }
        }
        ptes.get(self.vpn).is_present()
    }

    /// A write to an entry that is present and read-only, or a page that shall not be shared.
    fn do_wp_page(&self, seen: Pte) -> Result<(), FaultError> {
        let machine = &self.mm.machine;
        let ptes = self.leaf.lock();
        if ptes.get(self.vpn) != seen {
            return Ok(());
        }
        let page = seen.pfn().filter(|_| !seen.is_special());
        let counts = machine.config.quirks.contains(Quirks::REUSE_BY_EXCLUSIVITY);
        let by_mapcount = self.mm.is(Behaviour::REUSES_BY_MAPCOUNT);
        let lock = page.filter(|_| by_mapcount).map(|pfn| machine.folio_lock(pfn));
        let folio = lock.as_ref().map(|lock| lock.try_lock());
        if matches!(folio, Some(None)) {
            // `lock_page()` and another look.
            drop(ptes);
            page.into_iter().for_each(|pfn| machine.wait_folio(self.k, pfn));
            return Ok(());
        }
        let reusable = |pfn| {
            let frame = machine.frame(pfn);
            if by_mapcount {
                let own = Mm::is_anon_frame(frame.flags) && !frame.flags.contains(FrameFlags::KSM);
                return own && machine.page_mapcount(pfn) == 1;
            }
            if counts {
                return Mm::is_anon_frame(frame.flags) && frame.refcount == 1;
            }
            Mm::is_anon_frame(frame.flags)
                && !frame.flags.contains(FrameFlags::KSM)
                && (frame.flags.contains(FrameFlags::EXCLUSIVE) || self.mm.can_reuse_anon_folio(pfn))
        };
        if !Mm::is_private(self.vma) || page.is_some_and(reusable) {
            if !Mm::is_private(self.vma)
                && let Some(pfn) = page
            {
                machine.with_frame(pfn, |f| f.flags |= FrameFlags::DIRTY);
            }
            if let Some(pfn) = page.filter(|_| Mm::is_private(self.vma)) {
                // What was inherited over a fork is this address space's alone now (`folio_move_anon_rmap()`).
                machine.with_frame(pfn, |f| {
                    f.flags |= FrameFlags::EXCLUSIVE;
                    f.anon_vma =
                        self.mm.find_vma(self.vpn).and_then(|v| v.anon()).map_or(f.anon_vma, |a| Some(a.anon_vma));
                });
            }
            if self.unshare {
                return Ok(());
            }
            // Forced: the page stays read-only, its reader will not mind.
            let writable = self.vma.flags().contains(VmFlags::WRITE);
            ptes.set(self.k, self.vpn, seen.with_uffd_wp(false).with_write(writable).with_dirty(true).with_young(true));
            return Ok(());
        }
        if let Some(pfn) = page {
            machine.get_page(self.k, pfn);
        }
        drop(folio);
        drop(ptes);
        let copied = self.wp_page_copy(seen, page);
        if let Some(pfn) = page {
            machine.free_page_and_swap_cache(self.k, pfn);
        }
        copied
    }

    /// `wp_page_copy()`: a CLEAR bracket of one page; entry cleared and flushed, then the copy's entry set, all under the
    /// page-table lock. The fault holds a reference to `old`, so that the last one goes after the bracket.
    fn wp_page_copy(&self, seen: Pte, old: Option<Pfn>) -> Result<(), FaultError> {
        let machine = &self.mm.machine;
        let (anon_vma, index) = self.mm.anon_vma_prepare(self.k, self.vpn).map_err(oom)?;
        let copy = self.new_page()?;
        machine.copy_content(copy, old.unwrap_or(ZERO_PAGE));
        let announce = || self.mm.subs.invalidate_range_start(self.mm.clear_of(PageRange::page(self.vpn)));
        let late = machine.config.quirks.contains(Quirks::CLEAR_BEFORE_SET_IN_COW);
        let bracket = (!late).then(announce);
        if machine.config.quirks.contains(Quirks::LOCK_VMAS_AT_REGISTRATION) {
            self.k.sync_point(NAMES.mm_cow);
        }
        let ptes = self.leaf.lock();
        let same = ptes.get(self.vpn) == seen;
        if same {
            if !late {
                ptes.clear(self.k, self.vpn);
                self.mm.flush_tlb_notify(self.k, PageRange::page(self.vpn));
            }
            self.map_new_anon(copy, anon_vma, index);
            let own = self.own_entry(copy);
            // A copy that nobody has written yet.
            let entry = if self.unshare { own.with_marks_of(seen) } else { own };
            self.mm.set_pte_at_notify(self.k, &ptes, self.vpn, entry);
            if let Some(old) = old {
                machine.remove_rmap(old, self.mm.id);
                machine.put_page(self.k, old);
            }
        }
        drop(ptes);
        let bracket = bracket.unwrap_or_else(|| {
            let bracket = announce();
            self.mm.flush_tlb_range(self.k, PageRange::page(self.vpn));
            bracket
        });
        bracket.only_end();
        if !same {
            machine.put_page(self.k, copy);
        }
        Ok(())
    }

    /// `do_swap_page()`: from the swap cache if the page is still there, else from the device. No notifier is called:
    /// nothing could be reached through a swap entry.
    ///
    /// The contents are read under the page-table lock, with the entry as it was and nothing in the cache. Earlier they may
    /// be those that the slot had before: the page can have come back meanwhile, and gone out to the same slot again, or be
    /// on its way there. (The kernel holds the slot while it reads, by `swapcache_prepare()`.)
    fn do_swap_page(&self, seen: Pte, slot: u64) -> Result<Handled, FaultError> {
        let machine = &self.mm.machine;
        self.k.visible_read(slot_obj(slot));
        if let Some(pfn) = machine.swap_cache(slot) {
            let handled = self.map_from_swap_cache(seen, slot, pfn);
            machine.settle_swap_cache(self.k, pfn, slot);
            return Ok(handled);
        }
        let (anon_vma, index) = self.mm.anon_vma_prepare(self.k, self.vpn).map_err(oom)?;
        let page = self.new_page()?;
        self.k.sync_reached(NAMES.swap);
        let ptes = self.leaf.lock();
        let same = ptes.get(self.vpn) == seen && machine.swap_cache(slot).is_none();
        if same {
            let content = machine.swap_read(self.k, slot);
            machine.set_content(page, content);
            self.k.emit(EventKind::SwapIn { slot, pfn: page });
            self.map_new_anon(page, anon_vma, index);
            let shared = machine.swap_free(self.k, slot);
            machine.with_frame(page, |f| f.flags.set(FrameFlags::EXCLUSIVE, !shared));
            ptes.set(self.k, self.vpn, self.swapped_in(seen, page, !shared));
        }
        drop(ptes);
        if !same {
            machine.put_page(self.k, page);
        }
        self.k.sync_passed(NAMES.swap);
        Ok(Handled::Done)
    }

    /// The page never left memory: somebody held it when it was to be freed.
    fn map_from_swap_cache(&self, seen: Pte, slot: u64, pfn: Pfn) -> Handled {
        let machine = &self.mm.machine;
        let lock = machine.folio_lock(pfn);
        let Some(_folio) = lock.try_lock() else { return Handled::WaitFolio(pfn) };
        let frame = machine.frame(pfn);
        if !frame.flags.contains(FrameFlags::SWAPCACHE) || frame.slot() != slot {
            return Handled::Done;
        }
        let ptes = self.leaf.lock();
        if ptes.get(self.vpn) != seen {
            return Handled::Done;
        }
        machine.get_mapped_page(self.k, pfn);
        machine.add_rmap(pfn, self.mm.id);
        machine.with_frame(pfn, |f| f.flags |= FrameFlags::LRU);
        let still_swapped = machine.swap_free(self.k, slot);
        // Another process may have it mapped from the swap cache already (`folio_ref_count(folio) == 1` in do_swap_page()).
        let exclusive = !still_swapped && frame.mapcount == 0;
        machine.with_frame(pfn, |f| f.flags.set(FrameFlags::EXCLUSIVE, exclusive));
        ptes.set(self.k, self.vpn, self.swapped_in(seen, pfn, exclusive));
        drop(ptes);
        if !still_swapped {
            machine.delete_from_swap_cache(self.k, pfn);
            machine.put_page(self.k, pfn);
        }
        Handled::Done
    }

    /// The entry of a page that was where `swapped` says. A write that has to be noticed goes on to [`Fault::do_wp_page`] in
    /// the kernel, which is done here at once.
    fn swapped_in(&self, swapped: Pte, pfn: Pfn, exclusive: bool) -> Pte {
        let back = Pte::present(pfn).with_marks_of(swapped);
        let unasked = !back.is_uffd_wp() && (self.write || !Mm::needs_soft_dirty_wp(self.vma, back));
        let writable = exclusive && unasked && self.vma.flags().contains(VmFlags::WRITE);
        let back = back.with_write(writable);
        if writable && self.write { back.with_dirty(true) } else { back }
    }
}

/// Pages that a read fault maps at once. Source: `fault_around_pages`, mm/memory.c, 6.12.
const FAULT_AROUND: u64 = 16;

/// The aligned 16 pages around `vpn`, moved up to the start of the VMA if that is among them, cut at its end and that of
/// the table.
fn fault_around_range(vma: &Vma, vpn: Vpn) -> Option<PageRange> {
    let in_table = vpn.0 % PMD_PAGES;
    let aligned = in_table / FAULT_AROUND * FAULT_AROUND;
    let from = aligned.max(in_table - in_table.min(vpn - vma.start()));
    let to = (from + FAULT_AROUND).min(PMD_PAGES).min(in_table + (vma.end() - vpn));
    let table = vpn.0 - in_table;
    PageRange::new(Vpn(table + from), Vpn(table + to)).ok()
}

impl Mm {
    /// Whether a page that may be shared is this address space's alone, so that a write need not copy it.
    ///
    /// Source: `wp_can_reuse_anon_folio()`, `__wp_can_reuse_large_anon_folio()`, mm/memory.c; the latter since 6.15.
    fn can_reuse_anon_folio(&self, pfn: Pfn) -> bool {
        let frame = self.machine.frame(pfn);
        let reuses = self.machine.config.behaviour.contains(Behaviour::REUSES_LARGE_ANON);
        let ours = |block: &Block| reuses && block.is_mapped_by(self.id) && block.mapcount() == frame.refcount;
        self.machine.with_block(pfn, ours).unwrap_or((frame.refcount, frame.mapcount) == (1, 1))
    }
}
