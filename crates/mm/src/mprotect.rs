//! `mprotect`. Linux: `do_mprotect_pkey()`, `change_protection()`, mm/mprotect.c, 6.12.

use crate::behaviour::Behaviour;
use crate::frames::FrameFlags;
use crate::gup::MmapLock;
use crate::huge::is_pmd_range;
use crate::migrate::Node;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Leaf, Pmd};
use crate::quirks::Quirks;
use crate::tlb::MmuGather;
use crate::vma::{Mprotect, ProtFlags, Vma, VmaKind};
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, Pte, PteKind, VirtAddr, VmFlags, Vpn};
use mmu_notifier::Bracket;
use trace::{NotifyEvent, NotifyRange};

/// Why entries change (`MM_CP_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// They follow the VMA's flags.
    Protection,
    /// Userfaultfd wants to hear of writes.
    UffdWp,
    /// It does not any more.
    UffdWpResolve,
    /// The NUMA scanner wants to see who uses the pages.
    Numa,
}

impl Mm {
    /// `mprotect(addr, len, prot)` with `mmap_lock` held for writing throughout. For each VMA whose flags differ: one
    /// PROTECTION_VMA bracket from the first page below a PUD entry that leads somewhere to the end of the request inside
    /// that VMA, none without such an entry. One flush at the end, if an entry lost or changed access.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned address, `ENOMEM` at a hole or too many VMAs, `EACCES` for what the VMA may never allow,
    /// `EPERM` if sealed. VMAs below the offending one are changed.
    pub fn mprotect(&self, addr: VirtAddr, len_bytes: u64, prot: impl Into<ProtFlags>) -> Result<(), Errno> {
        let prot = prot.into();
        let pages = PageRange::with_len(addr.vpn(), len_bytes.div_ceil(PAGE_SIZE));
        current(|k| {
            self.call(k, NAMES.mprotect, pages, || {
                let Some(mut walk) = Mprotect::new(addr, len_bytes, prot)? else { return Ok(()) };
                let _write = self.mmap_lock.write();
                walk.begin(&self.inner.lock().tree)?;
                let mut tlb = MmuGather::new(self);
                let done = self.mprotect_vmas(k, &mut tlb, walk);
                tlb.finish(k);
                done
            })
        })
    }

    fn mprotect_vmas(&self, k: &Kernel, tlb: &mut MmuGather<'_>, mut walk: Mprotect) -> Result<(), Errno> {
        loop {
            let step = walk.step(&mut self.inner.lock().tree);
            match step {
                Ok(None) => return Ok(()),
                Ok(Some(step)) => {
                    self.vma_adjusted(k, &step.changes);
                    self.vma_start_write(step.vma.id());
                    self.change_protection(k, tlb, &step.vma, step.range, Change::Protection);
                    if step.becomes_writable_locked() {
                        // Errors are ignored, as there.
                        let _: Result<(), Errno> = self.populate_vma(k, &step.vma, step.range, MmapLock::Held);
                    }
                }
                Err(error) => {
                    self.vma_resync(k);
                    return Err(error);
                }
            }
        }
    }

    /// `change_protection()`: the entries of `range`, a part of `vma`, follow its flags.
    ///
    /// The bracket is opened at the first PUD entry that leads somewhere. The walker takes a start address of 0 for "none
    /// is open yet": a mapping at address 0 gets another one at each further entry, and a start at 0 never gets its end.
    /// That flaw is 6.12's (recorded), so it is here too; the bracket left open is told as an event.
    pub(crate) fn change_protection(
        &self,
        k: &Kernel,
        tlb: &mut MmuGather<'_>,
        vma: &Vma,
        range: PageRange,
        change: Change,
    ) {
        if vma.flags().contains(VmFlags::HUGETLB) {
            if change != Change::Numa {
                self.hugetlb_change_protection(k, vma, range, change);
            }
            return;
        }
        let mut bracket: Option<Bracket<'_>> = None;
        let mut rest = Some(range);
        while let Some(part) = rest.and_then(|range| self.tables.next_populated_pud(range)) {
            if self.clears_bad_pud(k, part) {
                continue;
            }
            if bracket.as_ref().is_none_or(|b| self.seems_closed(b)) {
                drop(bracket.take());
                let Some(pages) = self.announced_protection(part, range) else {
                    rest = PageRange::new(part.end(), range.end()).ok();
                    continue;
                };
                bracket = Some(self.subs.invalidate_range_start(NotifyRange {
                    mm: self.id,
                    pages,
                    event: NotifyEvent::ProtectionVma,
                    blockable: true,
                    owner: None,
                }));
            }
            if vma.flags().contains(VmFlags::DAX) {
                self.change_huge_pud(k, tlb, vma, part);
            } else {
                self.change_pmd_range(k, tlb, vma, part, change);
            }
            if self.is(Behaviour::BRACKET_FOR_EACH_PUD) {
                bracket.take().into_iter().for_each(|bracket| self.close(bracket));
            }
            rest = PageRange::new(part.end(), range.end()).ok();
        }
        bracket.into_iter().for_each(|bracket| self.close(bracket));
    }

    /// What is announced when a bracket opens at `part`, below one PUD entry; none if nothing is there.
    fn announced_protection(&self, part: PageRange, range: PageRange) -> Option<PageRange> {
        if !self.is(Behaviour::BRACKET_FOR_EACH_PUD) {
            return PageRange::new(part.start(), range.end()).ok();
        }
        let (_, first) = self.tables.next_pmd(part)?;
        PageRange::new(first.start(), part.end()).ok()
    }

    /// Whether the walker takes an open bracket for none.
    fn seems_closed(&self, bracket: &Bracket<'_>) -> bool {
        bracket.range().pages.start() == Vpn(0) && !self.is(Behaviour::CLOSES_BRACKET_AT_ZERO)
    }

    fn close(&self, bracket: Bracket<'_>) {
        if self.seems_closed(&bracket) { drop(bracket) } else { bracket.end() }
    }

    fn change_pmd_range(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, range: PageRange, change: Change) {
        let mut rest = Some(range);
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            match pmd {
                Pmd::Table(leaf) => self.change_pte_range(k, tlb, vma, &leaf, part, change),
                // Of a file's page userfaultfd's mark needs entries that stay (`pgtable_split_needed()`).
                Pmd::Huge(_) if is_pmd_range(part) && (change != Change::UffdWp || vma.is_anonymous()) => {
                    self.change_huge_pmd(k, tlb, vma, part, change);
                }
                Pmd::Huge(_) => {
                    self.split_huge_pmd(k, part.start());
                    continue;
                }
                Pmd::None => {}
            }
            rest = PageRange::new(part.end(), range.end()).ok();
        }
    }

    /// `change_huge_pmd()`.
    fn change_huge_pmd(&self, k: &Kernel, tlb: &mut MmuGather<'_>, vma: &Vma, part: PageRange, change: Change) {
        // Where a huge page is the NUMA scanner does not ask.
        let changed = |pmd: Pte| match change {
            Change::Numa if !pmd.is_special() => pmd.with_protnone(true),
            _ => self.changed(vma, pmd, change),
        };
        self.with_pmd(part.start(), |pmd| {
            let old = pmd.huge().unwrap_or(Pte::NONE);
            if matches!(old.kind(), PteKind::Migration { .. }) {
                pmd.update(k, |pmd| changed_absent(pmd, change));
            } else if !old.is_none() && changed(old) != old {
                let before = pmd.update(k, changed);
                if pte_needs_flush(before, changed(before)) {
                    tlb.note_range(part);
                }
            }
        });
    }

    fn change_pte_range(
        &self,
        k: &Kernel,
        tlb: &mut MmuGather<'_>,
        vma: &Vma,
        leaf: &Leaf,
        part: PageRange,
        change: Change,
    ) {
        let ptes = leaf.lock();
        self.flush_tlb_batched_pending(k, &ptes);
        for vpn in part.iter() {
            let old = ptes.get(vpn);
            if !matches!(old.kind(), PteKind::Present | PteKind::ProtNone { .. }) {
                if changed_absent(old, change) != old {
                    ptes.update(k, vpn, |now| changed_absent(now, change));
                }
                continue;
            }
            let new = self.changed(vma, old, change);
            if new != old {
                let before = ptes.update(k, vpn, |now| self.changed(vma, now, change));
                if pte_needs_flush(before, self.changed(vma, before, change)) {
                    tlb.note(vpn);
                }
            }
        }
    }

    fn changed(&self, vma: &Vma, old: Pte, change: Change) -> Pte {
        match change {
            Change::Protection => self.pte_modify(vma, old),
            Change::UffdWp => old.with_uffd_wp(true),
            Change::UffdWpResolve => {
                let pte = old.with_uffd_wp(false);
                let writable = vma.flags().contains(VmFlags::WRITE) && self.can_change_pte_writable(vma, pte);
                if writable { pte.with_write(true) } else { pte }
            }
            Change::Numa if old.is_special() || self.is_local(old) => old,
            Change::Numa => old.with_protnone(true),
        }
    }

    /// Whether a page is on the node that its only user runs on: the NUMA scanner has nothing to learn of it.
    fn is_local(&self, pte: Pte) -> bool {
        self.users.peek() == 1 && pte.mapped_pfn().is_some_and(|pfn| self.machine.node_of(pfn) == Node::Zero)
    }

    /// The entry with the access that the VMA's flags give it now.
    pub(crate) fn pte_modify(&self, vma: &Vma, old: Pte) -> Pte {
        let flags = vma.flags();
        if !vma.is_accessible() {
            return old.with_write(false).with_protnone(true);
        }
        let pte = old.with_protnone(false);
        if pte.is_uffd_wp() {
            return pte;
        }
        pte.with_write(flags.contains(VmFlags::WRITE) && self.can_change_pte_writable(vma, pte))
    }

    /// Whether an entry may become writable without a fault: a private page that is exclusive, a shared one whose file
    /// needs no notice. Source: `can_change_pte_writable()`, mm/mprotect.c, 6.12.
    fn can_change_pte_writable(&self, vma: &Vma, pte: Pte) -> bool {
        if Mm::needs_soft_dirty_wp(vma, pte) {
            return false;
        }
        let Some(pfn) = pte.pfn().filter(|_| !pte.is_special()) else { return false };
        if Mm::is_private(vma) {
            // Who knows no exclusive pages asks at the write.
            if self.machine.config.quirks.contains(Quirks::REUSE_BY_EXCLUSIVITY) {
                return false;
            }
            return self.machine.frame(pfn).flags.contains(FrameFlags::ANON | FrameFlags::EXCLUSIVE);
        }
        pte.is_dirty() || matches!(vma.kind(), VmaKind::File(id) if self.machine.is_shmem(id))
    }
}

/// What becomes of an entry of a page that is elsewhere. One that keeps write access loses it: a fault gives it back if the
/// VMA allows it. Userfaultfd's mark is that of the page. Soft-dirty of a page that a device has in its memory is lost.
///
/// Source: `change_pte_range()`, mm/mprotect.c, 6.12.
fn changed_absent(old: Pte, change: Change) -> Pte {
    let pte = match old.kind() {
        PteKind::None | PteKind::Guard | PteKind::HwPoison { .. } => return old,
        PteKind::DevicePrivate { .. } if old.keeps_write() => old.with_write(false).with_soft_dirty(false),
        PteKind::DeviceExclusive { .. } | PteKind::Migration { .. } => old.with_write(false),
        _ => old,
    };
    match change {
        Change::UffdWp => pte.with_uffd_wp(true),
        Change::UffdWpResolve => pte.with_uffd_wp(false),
        Change::Protection | Change::Numa => pte,
    }
}

/// Whether a CPU could still use the old entry in a way the new one forbids, or must see a change of access.
/// Source: `pte_needs_flush()`, arch/x86/include/asm/tlbflush.h, 6.12.
fn pte_needs_flush(old: Pte, new: Pte) -> bool {
    old.is_present() && (!new.is_present() || old.is_writable() != new.is_writable())
}
