//! What a CPU of the process does to its memory: loads and stores through the page table, with the faults they cause.

use crate::frames::ZERO_PAGE;
use crate::huge;
use crate::mm::Mm;
use crate::obj::frame_obj;
use crate::page_table::PMD_PAGES;
use crate::{FaultError, PageRange};
use ksync::{Kernel, current};
use mm_types::{Pfn, Pte, Vpn};
use trace::EventKind;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Load,
    /// New contents, or a store of what is there already.
    Store(Option<u64>),
}

impl Mm {
    /// A load from a page: its contents.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn read_page(&self, vpn: Vpn) -> Result<u64, FaultError> {
        current(|k| self.cpu_access(k, vpn, Access::Load))
    }

    /// A store to a page: its contents are `tag` from now on.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn write_page(&self, vpn: Vpn, tag: u64) -> Result<(), FaultError> {
        current(|k| self.cpu_access(k, vpn, Access::Store(Some(tag)))).map(drop)
    }

    /// One load, or one store that leaves the contents as they are, of each page.
    ///
    /// # Errors
    /// [`FaultError`] of the first page that could not be accessed; those below it were.
    pub fn touch(&self, pages: PageRange, write: bool) -> Result<(), FaultError> {
        let access = if write { Access::Store(None) } else { Access::Load };
        for vpn in pages.iter() {
            current(|k| self.cpu_access(k, vpn, access))?;
        }
        Ok(())
    }

    /// Walks and accesses in one step, as the hardware does: nothing comes between the entry and the access. Gives what the
    /// page holds after it.
    fn cpu_access(&self, k: &Kernel, vpn: Vpn, access: Access) -> Result<u64, FaultError> {
        let write = access != Access::Load;
        loop {
            if let Some(leaf) = self.tables.walk(vpn)
                && let Some(guess) = leaf.peek(k, vpn).pfn()
            {
                match write {
                    true => k.visible_write(frame_obj(guess)),
                    false => k.visible_read(frame_obj(guess)),
                }
                // The scheduling point was for the frame seen before it; what counts is the entry now.
                let pte = leaf.peek_now(vpn);
                if pte.pfn() == Some(guess) && (!write || pte.is_writable()) {
                    leaf.hardware_mark(k, vpn, pte, write);
                    return Ok(self.accessed(k, vpn, guess, access, write));
                }
            }
            if let Some(value) = self.access_huge(k, vpn, access, write) {
                return Ok(value);
            }
            if let Some(value) = self.access_pud(k, vpn, access, write) {
                return Ok(value);
            }
            self.fault(k, vpn, write)?;
        }
    }

    /// The same through the entry of a huge page; `None` when there is none that allows the access.
    fn access_huge(&self, k: &Kernel, vpn: Vpn, access: Access, write: bool) -> Option<u64> {
        let page = |pmd: Pte| huge::subpage(pmd, vpn.0 % PMD_PAGES).pfn();
        let guess = page(self.peek_huge(k, vpn)?)?;
        match write {
            true => k.visible_write(frame_obj(guess)),
            false => k.visible_read(frame_obj(guess)),
        }
        let pmd = self.peek_huge_now(vpn).filter(|pmd| page(*pmd) == Some(guess) && (!write || pmd.is_writable()))?;
        self.hardware_mark_huge(k, vpn, pmd, write);
        Some(self.accessed(k, vpn, guess, access, write))
    }

    /// The same through an entry that maps a GiB.
    fn access_pud(&self, k: &Kernel, vpn: Vpn, access: Access, write: bool) -> Option<u64> {
        self.peek_pud(k, vpn)?;
        let guess = self.pud_subpage_now(vpn)?.pfn()?;
        match write {
            true => k.visible_write(frame_obj(guess)),
            false => k.visible_read(frame_obj(guess)),
        }
        let pud = self.tables.pud(vpn).filter(|pud| !write || pud.is_writable())?;
        if self.pud_subpage_now(vpn)?.pfn()? != guess {
            return None;
        }
        self.hardware_mark_pud(k, vpn, pud, write);
        Some(self.accessed(k, vpn, guess, access, write))
    }

    /// What the page holds after the access to it.
    fn accessed(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, access: Access, write: bool) -> u64 {
        if let Access::Store(Some(tag)) = access {
            self.machine.with_frame(pfn, |f| f.tag = tag);
        }
        let value = if pfn == ZERO_PAGE { 0 } else { self.machine.read_tag(pfn) };
        k.emit(EventKind::CpuAccess { mm: self.id, vpn, pfn, write, value });
        value
    }
}
