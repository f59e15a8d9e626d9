//! Breakpoints: a page of a file that a process executes is replaced by a private copy with the breakpoint in it, and taken
//! out again, which leaves the entry empty: the next access finds the file's page.
//!
//! Held at the bracket (CLEAR of one page; flushed inside): `sb_writers` R, `event_mutex`, `&uprobe->register_rwsem` W,
//! `dup_mmap_sem` W, `mmap_lock` W, folio lock of the old page.
//!
//! Sources: `register_for_each_vma()`, `uprobe_write_opcode()`, `__replace_page()`, kernel/events/uprobes.c, 6.12.

use crate::file_locks::Fs;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use ksync::{Kernel, current};
use mm_types::{Errno, Gfp, PAGE_SIZE, PageRange, Pfn, Pgoff, Pte, VmFlags, Vpn};

/// What happens to the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breakpoint {
    Insert,
    Remove,
}

impl Machine {
    /// A breakpoint at `offset` of a file, in every process that maps it for execution.
    ///
    /// # Errors
    /// `ENOENT` for a file that nobody has opened; what a page could not be had for.
    pub fn uprobe_insert(&self, name: &str, offset: u64) -> Result<(), Errno> {
        self.uprobe(name, offset, Breakpoint::Insert)
    }

    /// It is taken out again.
    ///
    /// # Errors
    /// As [`Machine::uprobe_insert`].
    pub fn uprobe_remove(&self, name: &str, offset: u64) -> Result<(), Errno> {
        self.uprobe(name, offset, Breakpoint::Remove)
    }

    fn uprobe(&self, name: &str, offset: u64, what: Breakpoint) -> Result<(), Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.uprobe, || {
                let locks = self.locks();
                self.with_writers(Fs::Tracefs, || {
                    let _event = locks.files.event.lock();
                    let _register = locks.files.register.write();
                    let _no_fork = locks.dup_mmap_sem.write();
                    let at = Pgoff(offset / PAGE_SIZE);
                    let places = {
                        let i_mmap = self.files.lock().i_mmap(inode);
                        let mappings = i_mmap.read();
                        mappings.walk(at)
                    };
                    for (mm, vpn) in places {
                        if let Some(mm) = self.mm(mm) {
                            mm.uprobe_page(k, vpn, what)?;
                        }
                    }
                    Ok(())
                })
            })
        })
    }
}

impl Mm {
    fn uprobe_page(&self, k: &Kernel, vpn: Vpn, what: Breakpoint) -> Result<(), Errno> {
        let _write = self.mmap_lock.write();
        let valid = |flags: VmFlags| flags.contains(VmFlags::MAYEXEC) && !flags.contains(VmFlags::SHARED);
        let Some(vma) = self.find_vma(vpn).filter(|vma| valid(vma.flags())) else { return Ok(()) };
        self.vma_start_write(vma.id());
        if self.pte(vpn).pfn().is_none() {
            self.handle_mm_fault(k, &vma, vpn, false).map_err(|e| e.errno())?;
        }
        let old = self.pte(vpn).pfn().ok_or(Errno::EFAULT)?;
        if !self.machine.try_get_page(k, old) {
            return Err(Errno::EAGAIN);
        }
        let new = match what {
            Breakpoint::Insert => self.copy_with_breakpoint(k, vpn, old).map(Some),
            Breakpoint::Remove => Ok(None),
        };
        let replaced = new.map(|new| self.replace_page(k, vpn, old, new));
        self.machine.put_page(k, old);
        replaced
    }

    fn copy_with_breakpoint(&self, k: &Kernel, vpn: Vpn, old: Pfn) -> Result<Pfn, Errno> {
        self.anon_vma_prepare(k, vpn)?;
        let new = self.machine.alloc_page(k, Gfp::USER)?;
        self.machine.copy_content(new, old);
        Ok(new)
    }

    /// `__replace_page()`: the entry of `old` maps `new` instead, or nothing.
    fn replace_page(&self, k: &Kernel, vpn: Vpn, old: Pfn, new: Option<Pfn>) {
        let machine = &self.machine;
        let lock = machine.folio_lock(old);
        let _folio = lock.lock();
        let bracket = self.subs.invalidate_range_start(self.clear_of(PageRange::page(vpn)));
        let mut used = false;
        if let Some(leaf) = self.tables.walk(vpn) {
            let ptes = leaf.lock();
            if ptes.get(vpn).pfn() == Some(old) {
                ptes.clear(k, vpn);
                self.flush_tlb_notify(k, PageRange::page(vpn));
                let anon = self.find_vma(vpn).and_then(|vma| Some((vma.anon()?.anon_vma, vma.pgoff_at(vpn))));
                if let (Some(new), Some((anon_vma, index))) = (new, anon) {
                    machine.map_new_anon(k, new, anon_vma, index);
                    self.set_pte_at_notify(k, &ptes, vpn, Pte::present(new));
                    used = true;
                }
                machine.remove_rmap(old, self.id);
                machine.put_page(k, old);
            }
        }
        bracket.end();
        if let Some(unused) = new.filter(|_| !used) {
            machine.put_page(k, unused);
        }
    }
}
