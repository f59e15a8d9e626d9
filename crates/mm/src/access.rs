//! What a CPU of the process does to its memory: loads and stores through the page table, with the faults they cause.

use crate::cpu_tlb::Cpu;
use crate::frames::ZERO_PAGE;
use crate::huge;
use crate::mm::Mm;
use crate::obj::{frame_obj, pte_obj};
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

    /// Translates and accesses in one step, as the hardware does: nothing comes between. Gives what the page holds after it.
    fn cpu_access(&self, k: &Kernel, vpn: Vpn, access: Access) -> Result<u64, FaultError> {
        let write = access != Access::Load;
        let cpu = self.machine.cpu(k);
        loop {
            if let Some(value) = self.access_mapped(k, cpu, vpn, access) {
                return Ok(value);
            }
            if let Some(value) = self.access_huge(k, cpu, vpn, access) {
                return Ok(value);
            }
            if let Some(value) = self.access_pud(k, vpn, access, write) {
                return Ok(value);
            }
            self.fault(k, vpn, write)?;
        }
    }

    /// The access through what the CPU still has, or else through the entry of a leaf table; `None` when neither allows it.
    fn access_mapped(&self, k: &Kernel, cpu: Option<Cpu>, vpn: Vpn, access: Access) -> Option<u64> {
        let write = access != Access::Load;
        let leaf = self.tables.walk(vpn);
        match &leaf {
            Some(leaf) => drop(leaf.peek(k, vpn)),
            // The table is gone, but maybe not yet from the TLBs.
            None if self.tlb.knows_table(vpn) => k.visible_read(pte_obj(self.id, vpn)),
            None => return None,
        }
        loop {
            let stale = self.tlb.stale(cpu, vpn, write);
            let entry = || leaf.as_ref().map(|leaf| leaf.peek_now(vpn));
            let guess = stale.or_else(entry)?.pfn()?;
            self.visible_access(k, guess, write);
            // The scheduling point was for the frame seen before it; what counts is the translation now.
            if self.tlb.stale(cpu, vpn, write).is_some_and(|stale| stale.pfn() == Some(guess)) {
                return Some(self.accessed(k, vpn, guess, access, write));
            }
            let pte = entry()?;
            if pte.pfn() == Some(guess) && (!write || pte.is_writable()) {
                self.tlb.evict(cpu, vpn);
                let marked = leaf.as_ref()?.hardware_mark(k, vpn, pte, write);
                leaf.as_ref()?.cache(cpu, vpn, marked);
                return Some(self.accessed(k, vpn, guess, access, write));
            }
            if stale.is_none() {
                self.tlb.evict(cpu, vpn);
                return None;
            }
        }
    }

    /// The same through the entry of a huge page; `None` when there is none that allows the access.
    fn access_huge(&self, k: &Kernel, cpu: Option<Cpu>, vpn: Vpn, access: Access) -> Option<u64> {
        let write = access != Access::Load;
        let page = |pmd: Pte| huge::subpage(pmd, vpn.0 % PMD_PAGES).pfn();
        let guess = page(self.peek_huge(k, vpn)?)?;
        self.visible_access(k, guess, write);
        let pmd = self.peek_huge_now(vpn).filter(|pmd| page(*pmd) == Some(guess) && (!write || pmd.is_writable()))?;
        self.tlb.evict(cpu, vpn);
        let marked = self.hardware_mark_huge(k, vpn, pmd, write);
        self.tlb.cache_huge(cpu, huge::pmd_base(vpn), marked);
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

    fn visible_access(&self, k: &Kernel, pfn: Pfn, write: bool) {
        match write {
            true => k.visible_write(frame_obj(pfn)),
            false => k.visible_read(frame_obj(pfn)),
        }
    }

    /// What the page holds after the access to it.
    fn accessed(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, access: Access, write: bool) -> u64 {
        if let Access::Store(Some(tag)) = access {
            self.machine.write_tag(pfn, tag);
        }
        let value = if pfn == ZERO_PAGE { 0 } else { self.machine.read_tag(pfn) };
        k.emit(EventKind::CpuAccess { mm: self.id, vpn, pfn, write, value });
        value
    }
}
