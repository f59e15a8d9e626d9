//! `get_user_pages()`, `pin_user_pages()`. Linux: mm/gup.c, 6.12.

use crate::content::Content;
use crate::fault::{Access, Handled};
use crate::frames::{FrameFlags, ZERO_PAGE};
use crate::huge::{self, PmdGuard};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::frame_obj;
use crate::page_table::{PMD_PAGES, Pmd};
use crate::quirks::Quirks;
use crate::vma::Vma;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn, Pte, VmFlags, Vpn};
use trace::EventKind;

/// How the pages are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// `FOLL_GET`: a reference; reclaim may still unmap the page.
    Get,
    /// `FOLL_PIN`: reclaim leaves the page alone.
    Pin,
    /// `FOLL_PIN | FOLL_LONGTERM`: the same, for long: also a reader shall see what the process writes later.
    LongTermPin,
}

/// What an entry has for who wants to hold its page.
enum Follow {
    /// The page, held.
    Page(Pfn),
    /// It does not allow the access.
    Fault,
    /// The page is shared, or not the process's own: a pin must not be had of it (`gup_must_unshare()`).
    Unshare,
}

/// Who has `mmap_lock`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MmapLock {
    /// The caller, for reading at least: it is not let go (`get_user_pages()`).
    Held,
    /// Nobody of this task: it is taken for reading, and let go while waiting (`get_user_pages_unlocked()`).
    Take,
    /// The same, where it cannot be had without locks (`pin_user_pages_fast()`).
    Fast,
}

impl Mm {
    /// Faults the pages in and holds them, until one cannot be had. Gives those held, in order: at least one, else the
    /// error.
    pub(crate) fn gup(&self, pages: PageRange, write: bool, hold: Hold, lock: MmapLock) -> Result<Vec<Pfn>, Errno> {
        current(|k| {
            let mut held = Vec::with_capacity(usize::try_from(pages.nr_pages()).unwrap_or(0));
            if lock == MmapLock::Fast {
                held = self.gup_fast(k, pages, write, hold);
            }
            for vpn in pages.iter().skip(held.len()) {
                match self.gup_page(k, vpn, write, hold, lock) {
                    Ok(pfn) => held.push(pfn),
                    Err(error) if held.is_empty() => return Err(error),
                    Err(_) => break,
                }
            }
            Ok(held)
        })
    }

    fn gup_page(&self, k: &Kernel, vpn: Vpn, write: bool, hold: Hold, lock: MmapLock) -> Result<Pfn, Errno> {
        loop {
            let read = (lock != MmapLock::Held).then(|| self.mmap_lock.read());
            let vma = self.find_vma(vpn).ok_or(Errno::EFAULT)?;
            let needs = if write { VmFlags::WRITE } else { VmFlags::READ };
            if !vma.flags().contains(needs) || vma.flags().contains(VmFlags::PFNMAP) {
                return Err(Errno::EFAULT);
            }
            let how = match self.follow_page_pte(k, &vma, vpn, write, hold) {
                Follow::Page(pfn) => {
                    // `FOLL_TOUCH`: all but `pin_user_pages()`.
                    if hold == Hold::Get || lock != MmapLock::Held {
                        self.machine.mark_page_accessed(pfn);
                    }
                    return Ok(pfn);
                }
                Follow::Fault => Access::plain(write),
                Follow::Unshare => Access::unshared(),
            };
            let handled = self.handle_mm_fault_as(k, &vma, vpn, how).map_err(|e| e.errno())?;
            drop(read);
            if let Handled::WaitFolio(pfn) = handled {
                self.machine.wait_folio(k, pfn);
            }
        }
    }

    /// What another process writes to a page through the kernel, `mmap_lock` held for reading: `process_vm_writev()`, or,
    /// with `force`, `/proc/PID/mem`, which writes where the mapping forbids it too, to a private copy.
    ///
    /// # Errors
    /// `EFAULT` where the access is not possible, `ENOMEM`.
    pub fn access_remote_write(&self, vpn: Vpn, tag: u64, force: bool) -> Result<(), Errno> {
        current(|k| {
            let how = Access { force, ..Access::plain(true) };
            // After a forced copy the entry stays read-only: the copy is what was asked for (`FAULT_FLAG_UNSHARE`).
            let fit = |pte: Pte| pte.is_writable() || force && self.is_own_anon(pte);
            loop {
                let read = self.mmap_lock.read();
                let vma = self.find_vma(vpn).ok_or(Errno::EFAULT)?;
                let pte = self.locked_entry(vpn);
                if let Some(pfn) = pte.pfn().filter(|_| fit(pte)) {
                    k.visible_write(frame_obj(pfn));
                    self.machine.set_content(pfn, Content::Same(tag));
                    k.emit(EventKind::CpuAccess { mm: self.id, vpn, pfn, write: true, value: tag });
                    return Ok(());
                }
                let handled = self.handle_mm_fault_as(k, &vma, vpn, how).map_err(|e| e.errno())?;
                drop(read);
                if let Handled::WaitFolio(pfn) = handled {
                    self.machine.wait_folio(k, pfn);
                }
            }
        })
    }

    /// What maps a page, looked at under the lock of its table.
    fn locked_entry(&self, vpn: Vpn) -> Pte {
        match self.tables.pmd(vpn) {
            Pmd::None => Pte::NONE,
            Pmd::Table(leaf) => leaf.lock().get(vpn),
            Pmd::Huge(_) => self
                .with_pmd(vpn, |pmd| pmd.huge().map_or(Pte::NONE, |pmd| huge::subpage(pmd, vpn - huge::pmd_base(vpn)))),
        }
    }

    /// An anonymous page that only this address space has.
    fn is_own_anon(&self, pte: Pte) -> bool {
        let page = pte.pfn().filter(|_| !pte.is_special());
        page.is_some_and(|pfn| self.machine.frame(pfn).flags.contains(FrameFlags::ANON | FrameFlags::EXCLUSIVE))
    }

    /// The page of an entry that allows the access, held under the entry's lock.
    fn follow_page_pte(&self, k: &Kernel, vma: &Vma, vpn: Vpn, write: bool, hold: Hold) -> Follow {
        match self.tables.pmd(vpn) {
            // `follow_devmap_pud()`
            Pmd::None if vma.flags().contains(VmFlags::DAX) => {
                let _lock = self.page_table_lock.lock();
                self.hold_page(k, vma, self.pud_subpage_now(vpn).unwrap_or(Pte::NONE), write, hold)
            }
            Pmd::None => Follow::Fault,
            Pmd::Table(leaf) => {
                let ptes = leaf.lock();
                self.hold_page(k, vma, ptes.get(vpn), write, hold)
            }
            // `follow_huge_pmd()`
            Pmd::Huge(_) => {
                let follow = |pmd: &PmdGuard<'_>| {
                    let pte = pmd.huge().map_or(Pte::NONE, |pmd| huge::subpage(pmd, vpn.0 % PMD_PAGES));
                    self.hold_page(k, vma, pte, write, hold)
                };
                if vma.flags().contains(VmFlags::HUGETLB) && self.is_wrong(Quirks::ONE_LOCK_FOR_HUGETLB) {
                    let _other = self.page_table_lock.lock();
                    return follow(&self.pmd_unlocked(vpn));
                }
                self.with_pmd(vpn, follow)
            }
        }
    }

    /// Source: `gup_must_unshare()`, mm/internal.h, 6.12.
    fn must_unshare(&self, vma: &Vma, pte: Pte, write: bool, hold: Hold) -> bool {
        if write || hold == Hold::Get || self.is_wrong(Quirks::UNSHARE_BEFORE_PIN) {
            return false;
        }
        let flags = match pte.pfn().filter(|_| !pte.is_special()) {
            Some(pfn) => self.machine.frame(pfn).flags,
            None => FrameFlags::empty(),
        };
        if !flags.contains(FrameFlags::ANON) {
            return hold == Hold::LongTermPin && vma.flags().is_cow();
        }
        !flags.contains(FrameFlags::EXCLUSIVE)
    }

    /// Whether an entry allows the access (`follow_page_mask()`).
    pub(crate) fn allows(&self, k: &Kernel, vpn: Vpn, write: bool) -> bool {
        let pte = match self.tables.pmd(vpn) {
            Pmd::None => match self.peek_pud(k, vpn) {
                Some(pud) => pud,
                None => return false,
            },
            Pmd::Table(leaf) => leaf.lock().get(vpn),
            Pmd::Huge(_) => match self.peek_huge(k, vpn) {
                Some(pmd) => pmd,
                None => return false,
            },
        };
        pte.is_present() && (!write || pte.is_writable())
    }

    fn hold_page(&self, k: &Kernel, vma: &Vma, pte: Pte, write: bool, hold: Hold) -> Follow {
        let Some(pfn) = pte.pfn().filter(|_| !write || pte.is_writable()) else { return Follow::Fault };
        if self.must_unshare(vma, pte, write, hold) {
            return Follow::Unshare;
        }
        if vma.flags().contains(VmFlags::HUGETLB) && self.is_wrong(Quirks::ONE_LOCK_FOR_HUGETLB) {
            k.sync_point(NAMES.mm_window);
        }
        if pfn == ZERO_PAGE {
            k.emit(EventKind::PagePin { pfn });
            return Follow::Page(pfn);
        }
        if !self.machine.try_get_page(k, pfn) {
            // The kernel warns (`try_grab_folio()`) and gives nothing: what was to be held is for the oracles to see.
            k.emit(EventKind::PagePin { pfn });
            k.emit(EventKind::PageUnpin { pfn });
            return Follow::Fault;
        }
        self.machine.add_pin(k, pfn, hold);
        Follow::Page(pfn)
    }
}

impl Machine {
    /// Tells of a reference to a page just taken, and makes it a pin.
    fn add_pin(&self, k: &Kernel, pfn: Pfn, hold: Hold) {
        self.count_pin(pfn, hold, true);
        k.emit(EventKind::PagePin { pfn });
    }

    /// One pin more or less, where the hold is one.
    pub(crate) fn count_pin(&self, pfn: Pfn, hold: Hold, more: bool) {
        if hold != Hold::Get && pfn != ZERO_PAGE {
            let head = self.head(pfn);
            self.with_frame(head, |f| f.pins = if more { f.pins + 1 } else { f.pins.saturating_sub(1) });
        }
    }

    /// Gives up a page that was got or pinned. One that was neither, or is given up twice, is for the oracles to find: the
    /// event is emitted all the same, and no count goes below 0.
    pub(crate) fn unpin(&self, k: &Kernel, pfn: Pfn, hold: Hold) {
        if pfn != ZERO_PAGE {
            k.visible_write(frame_obj(pfn));
        }
        k.emit(EventKind::PageUnpin { pfn });
        self.count_pin(pfn, hold, false);
        self.put_page(k, pfn);
    }
}
