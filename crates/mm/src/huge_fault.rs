//! Faults that an entry of a PMD table serves. Linux: `create_huge_pmd()`, `wp_huge_pmd()`, mm/memory.c;
//! `do_huge_pmd_anonymous_page()`, `do_huge_pmd_wp_page()`, mm/huge_memory.c.
//!
//! | entry | access | what happens |
//! |---|---|---|
//! | none, in anonymous memory that wants huge pages and has all 512 | read | the huge zero page |
//! | the same | write | a new huge page of zeros |
//! | huge zero page | write | split, and the page goes on as one of a leaf table; since 6.13 a new huge page inside a CLEAR bracket of the 512 |
//! | none, in a mapping of a file that has a huge page there | read, shared write | that (`collapse_file.rs`) |
//! | not accessible, in a mapping that is | any | as for NUMA hinting (`numa.rs`) |
//! | huge page, read-only | write | exclusive: made writable; else split, and the page goes on as one of a leaf table |

use crate::alloc_huge::HugeFor;
use crate::behaviour::Behaviour;
use crate::fault::{Access, FaultError, oom};
use crate::frames::{FrameFlags, HUGE_ZERO_PAGE};
use crate::huge::{pmd_base, pmd_range};
use crate::mm::Mm;
use crate::page_table::Pmd;
use crate::vma::{AnonVmaId, Vma, VmaKind};
use ksync::Kernel;
use mm_types::{Gfp, Pfn, Pgoff, Pte, PteKind, VmFlags, Vpn};
use trace::{NotifyEvent, NotifyRange};

/// What an entry of a PMD table could do for a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HugeFault {
    /// All: try the access again.
    Done,
    /// Nothing: a leaf table is asked.
    Fallback,
    /// The page moves: wait for its lock.
    Wait(Pfn),
}

impl Mm {
    /// The part of `__handle_mm_fault()` that is about PMD entries. `mmap_lock` held.
    pub(crate) fn huge_fault(&self, k: &Kernel, vma: &Vma, vpn: Vpn, how: Access) -> Result<HugeFault, FaultError> {
        let write = how.write;
        match self.tables.pmd(vpn) {
            Pmd::Table(_) => Ok(HugeFault::Fallback),
            Pmd::None if wants_huge_pages(vma, vpn) => self.huge_anonymous_page(k, vma, vpn, write),
            Pmd::None => Ok(match vma.kind() {
                VmaKind::File(file) => self.huge_file_fault(k, vma, file, vpn, write),
                VmaKind::Anon | VmaKind::Special(_) => HugeFault::Fallback,
            }),
            Pmd::Huge(_) => match self.peek_huge(k, vpn).map(|pmd| (pmd, pmd.kind())) {
                // `pmd_migration_entry_wait()`
                Some((_, PteKind::Migration { pfn })) => Ok(HugeFault::Wait(pfn)),
                Some((pmd, PteKind::ProtNone { .. })) if vma.is_accessible() => {
                    self.do_huge_pmd_numa_page(k, vma, vpn, pmd);
                    Ok(HugeFault::Done)
                }
                Some((pmd, _)) if (write || how.unshare) && !pmd.is_writable() => {
                    self.huge_wp_page(k, vma, vpn, pmd, write)
                }
                Some(_) => Ok(HugeFault::Done),
                None => Ok(HugeFault::Fallback),
            },
        }
    }

    /// `do_huge_pmd_anonymous_page()`: a read gives the VMA its `anon_vma` too.
    fn huge_anonymous_page(&self, k: &Kernel, vma: &Vma, vpn: Vpn, write: bool) -> Result<HugeFault, FaultError> {
        let (anon_vma, _) = self.anon_vma_prepare(k, vpn).map_err(oom)?;
        // The table of leaf entries that a split will need.
        k.kmalloc(Gfp::KERNEL, 1).map_err(oom)?;
        if !write {
            let zero = Pte::present(HUGE_ZERO_PAGE).with_special(true).with_huge(true);
            self.with_pmd(vpn, |pmd| {
                if matches!(pmd.get(), Pmd::None) {
                    pmd.set(k, zero);
                }
            });
            return Ok(HugeFault::Done);
        }
        let Some(page) = self.machine.alloc_huge_page(k, HugeFor::Fault) else { return Ok(HugeFault::Fallback) };
        let index = vma.pgoff_at(pmd_base(vpn));
        let mapped = self.with_pmd(vpn, |pmd| {
            let free = matches!(pmd.get(), Pmd::None);
            if free {
                self.map_new_huge_anon(k, vma, page, anon_vma, index);
                pmd.set(k, own_entry(vma, page));
            }
            free
        });
        if !mapped {
            self.machine.put_page(k, page);
        }
        Ok(HugeFault::Done)
    }

    /// `folio_add_new_anon_rmap()`: the page of a `MAP_DROPPABLE` mapping may be dropped from the start.
    pub(crate) fn map_new_huge_anon(&self, k: &Kernel, vma: &Vma, head: Pfn, anon_vma: AnonVmaId, index: Pgoff) {
        self.machine.map_new_huge_anon(k, head, self.id, anon_vma, index);
        if vma.flags().contains(VmFlags::DROPPABLE) {
            self.machine.with_subpages(head, |_, f| f.flags |= FrameFlags::LAZYFREE);
        }
    }

    /// `do_huge_pmd_wp_page()`: for a write, or only so that the page is not shared.
    fn huge_wp_page(&self, k: &Kernel, vma: &Vma, vpn: Vpn, seen: Pte, write: bool) -> Result<HugeFault, FaultError> {
        let allocates = self.machine.config.behaviour.contains(Behaviour::HUGE_ZERO_WRITE_ALLOCATES);
        if seen.is_special() && allocates && write && !seen.is_uffd_wp() {
            return self.huge_zero_wp_page(k, vma, vpn, seen);
        }
        let Some(page) = seen.pfn() else { return Ok(HugeFault::Done) };
        // `wp_huge_pmd()`: userfaultfd hears of the page that is written, and of no other.
        let protected = write && seen.is_uffd_wp();
        if protected || seen.is_special() || !self.machine.frame(page).flags.contains(FrameFlags::ANON) {
            self.split_huge_pmd(k, vpn);
            return Ok(HugeFault::Fallback);
        }
        let reused = self.with_pmd(vpn, |pmd| {
            if pmd.huge() != Some(seen) {
                return true;
            }
            let frame = self.machine.frame(page);
            let ours = frame.flags.contains(FrameFlags::EXCLUSIVE) || frame.refcount == 1;
            if ours {
                let anon_vma = vma.anon().map(|link| link.anon_vma);
                self.machine.with_subpages(page, |_, f| {
                    f.flags |= FrameFlags::EXCLUSIVE;
                    f.anon_vma = anon_vma.or(f.anon_vma);
                });
                if write {
                    // A forced write needs no write access (`maybe_pmd_mkwrite()`).
                    let writable = vma.flags().contains(VmFlags::WRITE);
                    pmd.set(k, seen.with_write(writable).with_dirty(true).with_young(true));
                }
            }
            ours
        });
        if reused {
            return Ok(HugeFault::Done);
        }
        self.split_huge_pmd(k, vpn);
        Ok(HugeFault::Fallback)
    }

    /// `do_huge_zero_wp_pmd()`, since 6.13. Without memory the entry is split, as always before.
    fn huge_zero_wp_page(&self, k: &Kernel, vma: &Vma, vpn: Vpn, seen: Pte) -> Result<HugeFault, FaultError> {
        let (anon_vma, _) = self.anon_vma_prepare(k, vpn).map_err(oom)?;
        let Some(page) = self.machine.alloc_huge_page(k, HugeFor::Fault) else {
            self.split_huge_pmd(k, vpn);
            return Ok(HugeFault::Fallback);
        };
        let index: Pgoff = vma.pgoff_at(pmd_base(vpn));
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: pmd_range(vpn),
            event: NotifyEvent::Clear,
            blockable: true,
            owner: None,
        });
        let same = self.with_pmd(vpn, |pmd| {
            let same = pmd.huge() == Some(seen);
            if same {
                pmd.clear(k);
                self.flush_tlb_range(k, pmd_range(vpn));
                self.map_new_huge_anon(k, vma, page, anon_vma, index);
                pmd.set(k, own_entry(vma, page));
            }
            same
        });
        bracket.end();
        if !same {
            self.machine.put_page(k, page);
        }
        Ok(HugeFault::Done)
    }
}

/// The entry of a new huge page.
pub(crate) fn own_entry(vma: &Vma, page: Pfn) -> Pte {
    let writable = vma.flags().contains(VmFlags::WRITE);
    Pte::present(page).with_write(writable).with_dirty(writable).with_huge(true)
}

/// Whether a fault may be served by a huge page: anonymous memory that was advised so and has all 512 pages.
///
/// Source: `thp_vma_allowable_order()`, mm/huge_memory.c, 6.12, with `enabled` at `madvise`.
fn wants_huge_pages(vma: &Vma, vpn: Vpn) -> bool {
    vma.is_anonymous()
        && vma.flags() & (VmFlags::HUGEPAGE | VmFlags::NOHUGEPAGE) == VmFlags::HUGEPAGE
        && !vma.is_special()
        && vma.range().covers(pmd_range(vpn))
}
