//! NUMA hinting and moving pages between nodes. Memory has two nodes, and every task runs on node 0.
//!
//! The scanner, in a task's own context, makes entries inaccessible; a fault on one says who uses the page, and moves it to
//! the node of that task.
//!
//! | step | held | bracket |
//! |---|---|---|
//! | scan | `mmap_lock` R by trylock | PROTECTION_VMA, as `mprotect`; one flush after it |
//! | fault | the lock of the VMA, or `mmap_lock` R | one CLEAR for each entry that maps the page, no flush: nobody could use it. Of a huge page, which moves as one: its 512 pages, flushed |
//! | `move_pages` | nothing; the folio lock | one CLEAR for each entry |
//!
//! Sources: `task_numa_work()`, kernel/sched/fair.c; `change_prot_numa()`, mm/mempolicy.c; `do_numa_page()`, mm/memory.c;
//! `do_huge_pmd_numa_page()`, mm/huge_memory.c; `do_pages_move()`, mm/migrate.c, 6.12.

use crate::frames::FrameFlags;
use crate::huge::PmdGuard;
use crate::migrate::Node;
use crate::mm::Mm;
use crate::mprotect::Change;
use crate::names::NAMES;
use crate::page_table::Leaf;
use crate::tlb::MmuGather;
use crate::vma::Vma;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};

impl Mm {
    /// One round of the NUMA scanner over `pages`. Nothing if `mmap_lock` is taken.
    pub fn numa_scan(&self, pages: PageRange) {
        current(|k| {
            let Some(_read) = self.mmap_lock.try_read() else { return };
            for vma in self.vmas() {
                let Some(part) = vma.range().intersect(pages) else { continue };
                if vma.is_accessible() && !vma.flags().intersects(VmFlags::PFNMAP | VmFlags::DAX) {
                    let mut tlb = MmuGather::new(self);
                    self.change_protection(k, &mut tlb, &vma, part, Change::Numa);
                    tlb.finish(k);
                }
            }
        });
    }

    /// `do_numa_page()`: moves the page to the node of the task that faults, or maps it where it is.
    pub(crate) fn do_numa_page(&self, k: &Kernel, vma: &Vma, leaf: &Leaf, vpn: Vpn, pfn: Pfn) {
        let here = {
            let ptes = leaf.lock();
            ptes.get(vpn).kind() == PteKind::ProtNone { pfn }
        };
        let misplaced = self.machine.frame(pfn).flags.contains(FrameFlags::NODE1);
        if here && misplaced && self.machine.migrate_folio(k, pfn, Some(Node::Zero)).is_ok() {
            return;
        }
        let ptes = leaf.lock();
        let seen = ptes.get(vpn);
        if seen.kind() == (PteKind::ProtNone { pfn }) {
            ptes.set(k, vpn, self.pte_modify(vma, seen).with_young(true));
        }
    }

    /// `do_huge_pmd_numa_page()`: the same of a huge page, whose entry was `seen`.
    pub(crate) fn do_huge_pmd_numa_page(&self, k: &Kernel, vma: &Vma, vpn: Vpn, seen: Pte) {
        let Some(head) = seen.mapped_pfn() else { return };
        let not_accessible = |pmd: &PmdGuard<'_>| pmd.huge().is_some_and(|now| now.kind() == seen.kind());
        if !self.with_pmd(vpn, |pmd| not_accessible(pmd)) {
            return;
        }
        let misplaced = !seen.is_special() && self.machine.node_of(head) == Node::One;
        if misplaced && self.machine.migrate_folio(k, head, Some(Node::Zero)).is_ok() {
            return;
        }
        self.with_pmd(vpn, |pmd| {
            if not_accessible(pmd) {
                pmd.update(k, |now| self.pte_modify(vma, now).with_young(true));
            }
        });
    }

    /// `move_pages()`: each page that is mapped in `pages` goes to `node` (0 or 1), unless it is there. Gives how many did.
    ///
    /// # Errors
    /// `EINVAL` for a node that is not there.
    pub fn move_pages(&self, pages: PageRange, node: u64) -> Result<u64, Errno> {
        let node = match node {
            0 => Node::Zero,
            1 => Node::One,
            _ => return Err(Errno::EINVAL),
        };
        current(|k| {
            self.call(k, NAMES.move_pages, Some(pages), || {
                let misplaced = |pfn: &Pfn| self.machine.node_of(*pfn) != node;
                let there: Vec<Pfn> = self.mapped_frames(k, pages).into_iter().filter(misplaced).collect();
                Ok(there.into_iter().filter(|pfn| self.machine.migrate_folio(k, *pfn, Some(node)).is_ok()).count()
                    as u64)
            })
        })
    }
}
