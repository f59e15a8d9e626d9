//! Was a page accessed? Reclaim, the page-idle map and DAMON ask page tables and subscribers.
//!
//! | who | hook | held |
//! |---|---|---|
//! | reclaim (`folio_referenced()`) | `clear_flush_young`; with MGLRU `clear_young` | `fs_reclaim`, folio lock, rmap R by trylock, page-table lock |
//! | MGLRU's page-table walk | `clear_young` | `fs_reclaim`, RCU, `mmap_lock` R by trylock, page-table lock by trylock |
//! | the page-idle map | `clear_young` | `sb_writers` R, the sysfs file's locks, folio lock, rmap R by trylock, page-table lock |
//! | DAMON | `clear_young`, `test_young` | as above, or `mmap_lock` R |
//!
//! Sources: `folio_referenced_one()`, mm/rmap.c; `walk_pte_range()`, mm/vmscan.c; `page_idle_clear_pte_refs_one()`,
//! mm/page_idle.c; mm/damon/, 6.12.

use crate::behaviour::Behaviour;
use crate::huge::pmd_range;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{MmObj, frame_obj, mm_obj};
use crate::page_table::Pmd;
use crate::quirks::Quirks;
use ksync::{FsReclaim, Kernel, current};
use mm_types::{Errno, Gfp, PageRange, Pfn, VmFlags, Vpn};
use trace::EventKind;

/// How the accessed state of one entry is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    ClearFlush,
    Clear,
    /// Of the CPUs' entries only.
    ClearSilently,
    Test,
}

/// What [`Machine::folio_referenced`] saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct References {
    /// Entries that were accessed.
    pub(crate) entries: u32,
    /// A mapping that has it is locked.
    pub(crate) locked: bool,
    /// One of those that accessed it is executable.
    pub(crate) executable: bool,
}

impl Machine {
    /// `folio_referenced()`: how many entries say that a page was accessed since reclaim last asked. None of one that is locked,
    /// or gone, or that a locked mapping has, where the walk ends.
    pub(crate) fn folio_referenced(&self, k: &Kernel, pfn: Pfn) -> References {
        let mut seen = References::default();
        if !self.try_get_page(k, pfn) {
            return seen;
        }
        let lock = self.folio_lock(pfn);
        if let Some(_folio) = lock.try_lock() {
            let frame = self.frame(pfn);
            self.rmap_walk(&frame, |mm, vpn| {
                let flags = mm.find_vma(vpn).map_or(VmFlags::empty(), |vma| vma.flags());
                seen.locked |= flags.contains(VmFlags::LOCKED);
                if !seen.locked && mm.entry_young(k, vpn, pfn, Look::ClearFlush) {
                    seen.entries += 1;
                    seen.executable |= flags.contains(VmFlags::EXEC);
                }
            });
        }
        drop(lock);
        self.put_page(k, pfn);
        seen
    }

    /// Whether any entry of a page, or any device, accessed it; forgets it unless it only tests. Nothing if the folio is
    /// locked by somebody.
    fn folio_young(&self, k: &Kernel, pfn: Pfn, look: Look) -> bool {
        let lock = self.folio_lock(pfn);
        let Some(_folio) = lock.try_lock() else { return false };
        k.visible_read(frame_obj(pfn));
        let frame = self.frame(pfn);
        let mut young = false;
        self.rmap_walk(&frame, |mm, vpn| young |= mm.entry_young(k, vpn, pfn, look));
        young
    }
}

impl Mm {
    fn entry_young(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, look: Look) -> bool {
        // Whether there is a table is decided under this lock.
        k.visible_read(mm_obj(self.id, MmObj::PageTableLock));
        let leaf = match self.tables.pmd(vpn) {
            Pmd::Table(leaf) => leaf,
            Pmd::Huge(_) => return self.huge_young(k, vpn, pfn, look),
            Pmd::None => return false,
        };
        let ptes = leaf.lock();
        if ptes.get(vpn).pfn() != Some(pfn) {
            return false;
        }
        let young = ptes.get(vpn).is_young();
        if young && look != Look::Test {
            ptes.update(k, vpn, |pte| pte.with_young(false));
        }
        let device = self.device_young(k, PageRange::page(vpn), young, look);
        young || device
    }

    /// Asks subscribers about `pages`, which the entry maps that is looked at.
    fn device_young(&self, k: &Kernel, pages: PageRange, young: bool, look: Look) -> bool {
        k.emit(EventKind::YoungCheck { mm: self.id, pages });
        match look {
            Look::ClearFlush => self.subs.clear_flush_young(pages),
            Look::Clear => self.subs.clear_young(pages),
            Look::ClearSilently => false,
            Look::Test => !young && self.subs.test_young(pages.start()),
        }
    }

    /// `mmu_notifier_test_young()` about the page whose entry khugepaged looks at, one of `table`.
    pub(crate) fn device_tests_young(&self, k: &Kernel, vpn: Vpn, table: PageRange) -> bool {
        k.emit(EventKind::YoungCheck { mm: self.id, pages: PageRange::page(vpn) });
        self.subs.test_young(if self.is_wrong(Quirks::ASK_ABOUT_PAGE_IN_HAND) { table.start() } else { vpn })
    }

    /// The same of the entry of a huge page (`pmdp_clear_flush_young_notify()`).
    fn huge_young(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, look: Look) -> bool {
        self.with_pmd(vpn, |pmd| {
            let Some(old) = pmd.huge().filter(|old| old.pfn() == Some(self.machine.head(pfn))) else { return false };
            let young = old.is_young();
            if young && look != Look::Test {
                pmd.update(k, |pmd| pmd.with_young(false));
            }
            let device = self.device_young(k, pmd_range(vpn), young, look);
            young || device
        })
    }

    /// What reclaim asks before it takes a page: for each page that `pages` maps, whether it was accessed since it last
    /// asked. Gives how many were. Nothing is taken.
    pub fn age(&self, pages: PageRange) -> u64 {
        current(|k| {
            let young: Result<u64, Errno> = self.call(k, NAMES.age, Some(pages), || {
                let _map = FsReclaim::acquire(Gfp::KERNEL);
                Ok(k.with_memalloc(|| self.count_young(k, pages, Look::ClearFlush)))
            });
            young.unwrap_or(0)
        })
    }

    fn count_young(&self, k: &Kernel, pages: PageRange, look: Look) -> u64 {
        let frames = self.mapped_frames(k, pages);
        frames.into_iter().filter(|pfn| self.machine.folio_young(k, *pfn, look)).count() as u64
    }

    /// What MGLRU asks instead: through the reverse map, with the pages around looked at as well (`lru_gen_look_around()`);
    /// here those are among `pages` themselves.
    pub fn lru_gen_age(&self, pages: PageRange) -> u64 {
        current(|k| {
            let young: Result<u64, Errno> = self.call(k, NAMES.age, Some(pages), || {
                let _map = FsReclaim::acquire(Gfp::KERNEL);
                // Up to 6.11 MGLRU asks no subscriber.
                let silent = self.is(Behaviour::NO_NEWER_CALLS);
                let look = if silent { Look::ClearSilently } else { Look::Clear };
                Ok(k.with_memalloc(|| self.count_young(k, pages, look)))
            });
            young.unwrap_or(0)
        })
    }

    /// MGLRU's walk of page tables, on behalf of reclaim: how many entries were accessed.
    pub fn lru_gen_walk(&self, pages: PageRange) -> u64 {
        current(|k| {
            let young: Result<u64, Errno> = self.call(k, NAMES.lru_gen, Some(pages), || {
                let _map = FsReclaim::acquire(Gfp::KERNEL);
                let _rcu = k.rcu_section();
                let Some(_read) = self.mmap_lock.try_read() else { return Ok(0) };
                Ok(self.walk_young(k, pages))
            });
            young.unwrap_or(0)
        })
    }

    fn walk_young(&self, k: &Kernel, pages: PageRange) -> u64 {
        let mut young = 0;
        self.for_each_leaf(pages, |leaf, part| {
            let Some(ptes) = leaf.try_lock() else { return };
            for vpn in part.iter() {
                let pte = ptes.get(vpn);
                if pte.pfn().is_none() || pte.is_special() {
                    continue;
                }
                if pte.is_young() {
                    ptes.update(k, vpn, |pte| pte.with_young(false));
                }
                let device = !self.is(Behaviour::NO_NEWER_CALLS)
                    && self.device_young(k, PageRange::page(vpn), false, Look::Clear);
                young += u64::from(pte.is_young() || device);
            }
        });
        young
    }

    /// A write to the page-idle map for the page behind `vpn`: it is idle from now on, until it is accessed.
    ///
    /// # Errors
    /// `EFAULT` where no page is.
    pub fn page_idle(&self, vpn: Vpn) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.page_idle, Some(PageRange::page(vpn)), || {
                let pfn = self.pte(vpn).pfn().ok_or(Errno::EFAULT)?;
                self.machine.sysfs_write(|| self.machine.folio_young(k, pfn, Look::Clear));
                Ok(())
            })
        })
    }

    /// One sample of DAMON by addresses: forgets that a page was accessed (`mkold`), or asks.
    pub fn damon_vaddr(&self, vpn: Vpn, check: bool) -> bool {
        current(|k| {
            let _read = self.mmap_lock.read();
            let page = self.pte(vpn).pfn();
            page.is_some_and(|pfn| self.entry_young(k, vpn, pfn, if check { Look::Test } else { Look::Clear }))
        })
    }

    /// One sample of DAMON by frames: the same through the reverse map.
    pub fn damon_paddr(&self, vpn: Vpn, check: bool) -> bool {
        current(|k| {
            let page = self.pte(vpn).pfn();
            page.is_some_and(|pfn| self.machine.folio_young(k, pfn, if check { Look::Test } else { Look::Clear }))
        })
    }
}
