//! `fork`. Linux: `dup_mmap()`, kernel/fork.c; `copy_page_range()`, mm/memory.c, 6.12.
//!
//! # Protocol
//! | step | held |
//! |---|---|
//! | each VMA: copied, listed in the reverse map, its entries copied | `dup_mmap_sem` R, parent's `mmap_lock` W, child's `mmap_lock/1` W |
//! | inside a PROTECTION_PAGE bracket of the parent over the VMA, if it has had anonymous pages | and, one leaf table at a time, the child's page-table lock, then the parent's under its subclass |
//! | one flush of everything, secondary hook included | `dup_mmap_sem` R, parent's `mmap_lock` W |
//!
//! Between a bracket's end and that flush the parent's CPUs may still write through old translations; nobody can use the
//! child yet, so nothing is seen that should not be. A child has no subscriptions.

use crate::frames::FrameFlags;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::slot_obj;
use crate::page_table::{Leaf, Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::vma::{Vma, VmaChange, VmaChanges};
use ksync::{Kernel, LockNested};
use mm_types::{Errno, Gfp, Name, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};
use std::sync::Arc;
use trace::{NotifyEvent, NotifyRange};

impl Mm {
    /// `fork()` as far as memory goes: an address space that shares its pages with this one, each copied when either
    /// writes. It has one user, who ends by [`Mm::exit`]. Not copied: VMAs with `VM_DONTCOPY`, pages of those with
    /// `VM_WIPEONFORK`, and entries that a fault can make again (VMAs that never had a private page). Exclusive pages
    /// that a device has pinned are copied at once, so that the device goes on seeing the parent's.
    ///
    /// Context: a task of the parent, or setup; sleeps and may reclaim.
    ///
    /// # Errors
    /// `ENOMEM`; what there was of the child has exited, the parent's entries may have become read-only.
    pub fn fork(&self, k: &Kernel, name: Name) -> Result<Arc<Mm>, Errno> {
        self.call(k, NAMES.fork, None, || {
            let child = self.machine.new_mm(k, name);
            self.dup_mmap(k, &child).inspect_err(|_| child.mmput())?;
            Ok(child)
        })
    }

    fn dup_mmap(&self, k: &Kernel, child: &Mm) -> Result<(), Errno> {
        let locks = self.machine.locks();
        let _no_uprobes = locks.dup_mmap_sem.read();
        let _write = self.mmap_lock.write();
        let copied = {
            let _child = child.mmap_lock.lock_nested(self.machine.classes.mmap_lock_nested);
            self.dup_vmas(k, child)
        };
        // After an error too: entries may have lost write access.
        self.flush_tlb_range(k, PageRange::ALL);
        copied
    }

    fn dup_vmas(&self, k: &Kernel, child: &Mm) -> Result<(), Errno> {
        let vmas: Vec<Vma> = {
            let (ours, mut theirs) = (self.inner.lock(), child.inner.lock());
            theirs.tree = ours.tree.emptied();
            theirs.names = ours.names;
            theirs.placement = ours.placement;
            theirs.merge_any = ours.merge_any;
            ours.tree.iter().filter(|v| !v.flags().contains(VmFlags::DONTCOPY)).copied().collect()
        };
        for vma in vmas {
            self.vma_start_write(vma.id());
            k.kmalloc(Gfp::KERNEL, 1)?;
            let copy = self.dup_vma(k, child, &vma)?;
            if !copy.flags().contains(VmFlags::WIPEONFORK) {
                self.copy_page_range(k, child, &vma, &copy)?;
            }
        }
        Ok(())
    }

    /// `vm_area_dup()` and `anon_vma_fork()`: the child has the VMA, without pages; locks on memory are not inherited, nor is
    /// what userfaultfd was told, which does not hear of forks here (`dup_userfaultfd()`).
    fn dup_vma(&self, k: &Kernel, child: &Mm, vma: &Vma) -> Result<Vma, Errno> {
        let flags = vma.flags().difference(VmFlags::LOCKED_MASK | VmFlags::UFFD_MISSING | VmFlags::UFFD_WP);
        let id = child.inner.lock().tree.insert(vma.range(), flags, vma.kind(), vma.pgoff(), None);
        if vma.anon().is_some() && !flags.contains(VmFlags::WIPEONFORK) {
            let link = child.anon_vma_fork(k, self, vma, id)?;
            child.inner.lock().tree.set_anon(vma.start(), Some(link));
        }
        if flags.contains(VmFlags::HUGETLB) && !flags.contains(VmFlags::MAYSHARE) {
            child.hugetlb_dup_vma_private(id);
        }
        let created = VmaChange::Created { vma: id, range: vma.range(), split_from: None };
        child.vma_adjusted(k, &VmaChanges::from_slice(&[created]));
        Ok(child.find_vma(vma.start()).unwrap_or_else(|| panic!("{} was copied", vma.range())))
    }

    /// `copy_page_range()`: the entries of one VMA, which a fault could not make again since there were private pages, or
    /// guards (`vma_needs_copy()`).
    fn copy_page_range(&self, k: &Kernel, child: &Mm, vma: &Vma, copy: &Vma) -> Result<(), Errno> {
        if vma.anon().is_none() && !vma.flags().contains(VmFlags::MAYBE_GUARD) {
            return Ok(());
        }
        if vma.flags().contains(VmFlags::HUGETLB) {
            return self.copy_hugetlb_page_range(k, child, vma, copy);
        }
        let bracket = vma.flags().is_cow().then(|| {
            self.subs.invalidate_range_start(NotifyRange {
                mm: self.id,
                pages: vma.range(),
                event: NotifyEvent::ProtectionPage,
                blockable: true,
                owner: None,
            })
        });
        if bracket.is_some() {
            self.bump_write_protect_seq(k);
        }
        let copied = self.copy_leaves(k, child, copy);
        if let Some(bracket) = bracket {
            self.bump_write_protect_seq(k);
            bracket.end();
        }
        copied
    }

    fn copy_leaves(&self, k: &Kernel, child: &Mm, copy: &Vma) -> Result<(), Errno> {
        let mut rest = Some(copy.range());
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            let from = match pmd {
                Pmd::Table(from) => from,
                Pmd::Huge(_) if !copy.is_anonymous() || self.copy_huge_pmd(k, child, part) => {
                    rest = PageRange::new(part.end(), copy.range().end()).ok();
                    continue;
                }
                // A device has pinned it: page by page.
                Pmd::Huge(_) => {
                    self.split_huge_pmd(k, part.start());
                    continue;
                }
                Pmd::None => break,
            };
            let to = child.pte_alloc(k, part.start())?;
            let mut spare = None;
            let mut todo = Some(part);
            while let Some(pages) = todo {
                let copier = Copier { parent: self, child, k, copy, spare };
                let stopped;
                (stopped, spare) = copier.copy_pte_range(&from, &to, pages);
                // A page cannot be allocated under page-table locks.
                if let Some(at) = stopped {
                    spare = Some(self.machine.alloc_page(k, Gfp::USER)?);
                    todo = PageRange::new(at, part.end()).ok();
                } else {
                    todo = None;
                }
            }
            if let Some(unused) = spare {
                self.machine.put_page(k, unused);
            }
            rest = PageRange::new(part.end(), copy.range().end()).ok();
        }
        Ok(())
    }
}

impl Mm {
    /// `copy_huge_pmd()`: both may only read what was a page of the parent's. False for a page that a device has pinned.
    fn copy_huge_pmd(&self, k: &Kernel, child: &Mm, part: PageRange) -> bool {
        child.with_pmd(part.start(), |theirs| {
            self.with_pmd_nested(part.start(), |ours| {
                let Some(old) = ours.huge() else { return true };
                if let PteKind::Migration { pfn } = old.kind() {
                    // What the page becomes is shared.
                    self.machine.with_subpages(pfn, |_, f| f.flags -= FrameFlags::EXCLUSIVE);
                    let migrating = ours.update(k, |pmd| pmd.with_write(false)).with_write(false);
                    theirs.set(k, migrating.with_uffd_wp(false));
                    return true;
                }
                let Some(head) = old.mapped_pfn().filter(|_| !old.is_special()) else {
                    theirs.set(k, old.with_young(false).with_uffd_wp(false));
                    return true;
                };
                let frame = self.machine.frame(head);
                if frame.flags.contains(FrameFlags::EXCLUSIVE) && frame.pins > 0 {
                    return false;
                }
                self.machine.get_page(k, head);
                self.machine.add_rmap_pmd(head, child.id);
                self.machine.with_subpages(head, |_, f| f.flags -= FrameFlags::EXCLUSIVE);
                let shared = ours.update(k, |pmd| pmd.with_write(false)).with_write(false);
                theirs.set(k, shared.with_young(false).with_uffd_wp(false));
                true
            })
        })
    }
}

/// Copies entries of a leaf table of the parent's.
struct Copier<'a> {
    parent: &'a Mm,
    child: &'a Mm,
    k: &'a Kernel,
    /// The child's VMA.
    copy: &'a Vma,
    /// A page for the next pinned one.
    spare: Option<Pfn>,
}

impl Copier<'_> {
    /// `copy_pte_range()`: until an entry needs a page that is not there. Gives that entry, and the page not used.
    fn copy_pte_range(mut self, from: &Leaf, to: &Leaf, pages: PageRange) -> (Option<Vpn>, Option<Pfn>) {
        let theirs = to.lock();
        let ours = from.lock_nested(self.parent.machine.classes.ptl_nested);
        if ours.has_flush_put_off() {
            // Copied with the address space, though nobody has translations of the child yet.
            theirs.put_off_flush();
        }
        for vpn in pages.iter() {
            let old = ours.get(vpn);
            let copied = match old.kind() {
                PteKind::None => continue,
                PteKind::Guard => Some(old),
                PteKind::Present | PteKind::ProtNone { .. } => self.copy_present_pte(&ours, vpn, old),
                PteKind::Swap { slot } => {
                    self.k.visible_write(slot_obj(slot));
                    self.parent.machine.swap_duplicate(slot);
                    Some(old)
                }
                PteKind::DeviceExclusive { pfn } => {
                    // Taken back first, as by a fault, but inside the bracket that is open (`restore_exclusive_pte()`).
                    let back = self.parent.restored_exclusive(old, pfn, self.copy);
                    ours.set(self.k, vpn, back);
                    self.copy_present_pte(&ours, vpn, back)
                }
                PteKind::DevicePrivate { pfn } => {
                    self.parent.machine.get_page(self.k, pfn);
                    self.parent.machine.add_rmap(pfn, self.child.id);
                    self.parent.machine.with_frame(pfn, |f| f.flags -= FrameFlags::EXCLUSIVE);
                    Some(self.write_protected_entry(&ours, vpn, old))
                }
                // The child shall meet it as well.
                PteKind::HwPoison { .. } => Some(old),
                PteKind::Migration { pfn } => {
                    // What the page becomes is shared.
                    self.parent.machine.with_frame(pfn, |f| f.flags -= FrameFlags::EXCLUSIVE);
                    Some(self.write_protected(&ours, vpn, old))
                }
            };
            match copied {
                // Nobody protects what the child writes.
                Some(pte) => theirs.set(self.k, vpn, pte.with_uffd_wp(false)),
                None => return (Some(vpn), self.spare),
            }
        }
        (None, self.spare)
    }

    /// `copy_present_ptes()`: the child's entry; `None` when a pinned page is in the way and there is no page to copy to.
    fn copy_present_pte(&mut self, ours: &PteGuard<'_>, vpn: Vpn, old: Pte) -> Option<Pte> {
        let machine = &self.parent.machine;
        let Some(pfn) = old.mapped_pfn().filter(|_| !old.is_special()) else {
            return Some(self.write_protected(ours, vpn, old).with_young(false));
        };
        if !machine.share_page(self.k, pfn, self.child.id) {
            return self.copy_present_page(vpn, pfn);
        }
        if self.parent.is_wrong(Quirks::WRITE_PROTECT_SEQ) {
            self.k.sync_point(NAMES.mm_window);
        }
        Some(self.write_protected(ours, vpn, old).with_young(false))
    }

    /// `copy_present_page()`: the parent keeps its page, writable, since the device will not look for another.
    fn copy_present_page(&mut self, vpn: Vpn, pfn: Pfn) -> Option<Pte> {
        let machine = &self.parent.machine;
        let page = self.spare.take()?;
        let own = self.copy.anon().unwrap_or_else(|| panic!("{vpn} has an anonymous page and no anon_vma"));
        machine.copy_content(page, pfn);
        machine.map_new_anon(self.k, page, own.anon_vma, self.copy.pgoff_at(vpn));
        let writable = self.copy.flags().contains(VmFlags::WRITE);
        let pte = Pte::present(page).with_write(writable).with_dirty(true);
        Some(pte.with_protnone(!self.copy.is_accessible()))
    }

    /// Takes write access from what a device entry becomes, and soft-dirty with it: a device does not tell what it writes
    /// (`copy_nonpresent_pte()`).
    fn write_protected_entry(&self, ours: &PteGuard<'_>, vpn: Vpn, old: Pte) -> Pte {
        if !old.keeps_write() {
            return old;
        }
        let protected = |pte: Pte| pte.with_write(false).with_soft_dirty(false);
        protected(ours.update(self.k, vpn, protected))
    }

    /// Takes write access from the parent's entry, where the mapping is private; of a shared one the child's is clean.
    fn write_protected(&self, ours: &PteGuard<'_>, vpn: Vpn, old: Pte) -> Pte {
        if !self.copy.flags().is_cow() {
            return if self.copy.flags().contains(VmFlags::SHARED) { old.with_dirty(false) } else { old };
        }
        if !old.is_writable() {
            return old;
        }
        ours.update(self.k, vpn, |pte| pte.with_write(false)).with_write(false)
    }
}
