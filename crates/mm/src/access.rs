//! What a CPU of the process does to its memory: loads and stores through the page table, with the faults they cause.

use crate::content::{Content, WORD_BYTES};
use crate::cpu_tlb::Cpu;
use crate::huge;
use crate::huge_pud::pud_base;
use crate::mm::Mm;
use crate::obj::{cpumask_obj, frame_obj, pmd_obj, pte_obj, pud_obj};
use crate::page_table::PMD_PAGES;
use crate::{FaultError, PageRange};
use ksync::{Kernel, Op, current};
use mm_types::{ObjId, PAGE_SIZE, Pfn, Pte, VirtAddr, Vpn};
use smallvec::{SmallVec, smallvec};
use trace::EventKind;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Of this word.
    Load(usize),
    /// Of what is there already.
    Touch,
    /// All of the page holds this value.
    Fill(u64),
    /// This word becomes a value.
    Store(usize, u64),
}

impl Access {
    fn is_write(self) -> bool {
        !matches!(self, Access::Load(_))
    }
}

/// Which word of its page an address is in.
const fn word_of(addr: VirtAddr) -> usize {
    (addr.0 % PAGE_SIZE / WORD_BYTES) as usize
}

impl Mm {
    /// A load from a page: its first word.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn read_page(&self, vpn: Vpn) -> Result<u64, FaultError> {
        self.read(vpn.addr())
    }

    /// A load of the word of 8 bytes that `addr` is in.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn read(&self, addr: VirtAddr) -> Result<u64, FaultError> {
        current(|k| self.cpu_access(k, addr.vpn(), Access::Load(word_of(addr))))
    }

    /// A store to all of a page: it holds `value` in each of its words from now on, which takes no memory.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn write_page(&self, vpn: Vpn, value: u64) -> Result<(), FaultError> {
        current(|k| self.cpu_access(k, vpn, Access::Fill(value))).map(drop)
    }

    /// A store to the word of 8 bytes that `addr` is in. The others stay as they are.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn write(&self, addr: VirtAddr, value: u64) -> Result<(), FaultError> {
        current(|k| self.cpu_access(k, addr.vpn(), Access::Store(word_of(addr), value))).map(drop)
    }

    /// One load, or one store that leaves the contents as they are, of each page.
    ///
    /// # Errors
    /// [`FaultError`] of the first page that could not be accessed; those below it were.
    pub fn touch(&self, pages: PageRange, write: bool) -> Result<(), FaultError> {
        let access = if write { Access::Touch } else { Access::Load(0) };
        for vpn in pages.iter() {
            current(|k| self.cpu_access(k, vpn, access))?;
        }
        Ok(())
    }

    /// Translates and accesses in one step, as the hardware does: nothing comes between. Gives the word that it is of, the first for
    /// all of a page.
    fn cpu_access(&self, k: &Kernel, vpn: Vpn, access: Access) -> Result<u64, FaultError> {
        let write = access.is_write();
        let cpu = self.machine.cpu(k);
        loop {
            self.check_alive(k)?;
            if let Some(value) = self.access_mapped(k, cpu, vpn, access) {
                return Ok(value);
            }
            if let Some(value) = self.access_huge(k, cpu, vpn, access) {
                return Ok(value);
            }
            if let Some(value) = self.access_pud(k, cpu, vpn, access) {
                return Ok(value);
            }
            self.fault(k, vpn, write)?;
        }
    }

    /// The access through what the CPU still has, or else through the entry of a leaf table; `None` when neither allows it.
    fn access_mapped(&self, k: &Kernel, cpu: Option<Cpu>, vpn: Vpn, access: Access) -> Option<u64> {
        let write = access.is_write();
        let leaf = self.tables.walk(vpn);
        let (huge, giant) = (self.tlb.knows_huge(vpn), self.tlb.knows_giant(vpn));
        // The table may be gone, but maybe not yet from the TLBs.
        if leaf.is_none() && !giant && !self.tlb.knows_table(vpn) {
            return None;
        }
        self.visible_walk(k, vpn, (huge, giant));
        loop {
            let stale = self.tlb.stale(cpu, vpn, write);
            let entry = || leaf.as_ref().map(|leaf| leaf.peek_now(vpn));
            let guess = stale.or_else(entry)?.pfn()?;
            self.visible_access(k, cpu, guess, write, pte_obj(self.id, vpn));
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
        let write = access.is_write();
        let page = |pmd: Pte| huge::subpage(pmd, vpn.0 % PMD_PAGES).pfn();
        let guess = page(self.peek_huge(k, vpn)?)?;
        self.visible_access(k, cpu, guess, write, pmd_obj(self.id, huge::pmd_base(vpn)));
        let pmd = self.peek_huge_now(vpn).filter(|pmd| page(*pmd) == Some(guess) && (!write || pmd.is_writable()))?;
        self.tlb.evict(cpu, vpn);
        let marked = self.hardware_mark_huge(k, vpn, pmd, write);
        self.tlb.cache_huge(cpu, huge::pmd_base(vpn), marked);
        Some(self.accessed(k, vpn, guess, access, write))
    }

    /// The same through an entry that maps a GiB.
    fn access_pud(&self, k: &Kernel, cpu: Option<Cpu>, vpn: Vpn, access: Access) -> Option<u64> {
        let write = access.is_write();
        self.peek_pud(k, vpn)?;
        let guess = self.pud_subpage_now(vpn)?.pfn()?;
        self.visible_access(k, cpu, guess, write, pud_obj(self.id, pud_base(vpn)));
        let pud = self.tables.pud(vpn).filter(|pud| !write || pud.is_writable())?;
        if self.pud_subpage_now(vpn)?.pfn()? != guess {
            return None;
        }
        self.tlb.evict(cpu, vpn);
        let marked = self.hardware_mark_pud(k, vpn, pud, write);
        self.tlb.cache_giant(cpu, pud_base(vpn), marked);
        Some(self.accessed(k, vpn, guess, access, write))
    }

    /// The walk: of a leaf table, and what of larger entries a CPU may still have.
    fn visible_walk(&self, k: &Kernel, vpn: Vpn, (huge, giant): (bool, bool)) {
        let pte = pte_obj(self.id, vpn);
        if !huge && !giant {
            return k.visible_read(pte);
        }
        let mut ops: SmallVec<[Op; 3]> = smallvec![Op::read(pte)];
        ops.extend(huge.then(|| Op::read(pmd_obj(self.id, huge::pmd_base(vpn)))));
        ops.extend(giant.then(|| Op::read(pud_obj(self.id, pud_base(vpn)))));
        k.visible_all(&ops);
    }

    /// The access itself, which is by what `entry` says then. The process runs on the CPU from then on.
    fn visible_access(&self, k: &Kernel, cpu: Option<Cpu>, pfn: Pfn, write: bool, entry: ObjId) {
        let frame = if write { Op::write(frame_obj(pfn)) } else { Op::read(frame_obj(pfn)) };
        match k.is_alone() {
            true if write => k.visible_write(frame_obj(pfn)),
            true => k.visible_read(frame_obj(pfn)),
            false if self.tlb.has_run_on(cpu) => k.visible_all(&[frame, Op::read(entry)]),
            false => k.visible_all(&[frame, Op::read(entry), Op::write(cpumask_obj(self.id))]),
        }
        self.tlb.run_on(cpu);
    }

    /// Does it, and tells what the page holds then. Gives the word that was loaded, else the first.
    fn accessed(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, access: Access, write: bool) -> u64 {
        let machine = &self.machine;
        match access {
            Access::Load(_) | Access::Touch => {}
            Access::Fill(value) => machine.set_content(pfn, Content::Same(value)),
            Access::Store(at, value) => machine.write_word(pfn, at, value),
        }
        let at = if let Access::Load(at) = access { at } else { 0 };
        let (value, word) = machine.digest_and_word(pfn, at);
        k.emit(EventKind::CpuAccess { mm: self.id, vpn, pfn, write, value });
        word
    }
}
