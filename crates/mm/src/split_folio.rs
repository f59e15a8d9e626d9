//! A huge page becomes 512 pages. Linux: `split_folio()`, `split_huge_page_to_list_to_order()`, mm/huge_memory.c;
//! `try_to_map_unused_to_zeropage()`, mm/migrate.c, 6.12.
//!
//! | step | held | bracket |
//! |---|---|---|
//! | every entry that maps it, of a PMD table or of a leaf table, becomes a migration entry | folio lock, `anon_vma` W | CLEAR of what the PMD entry covers, whether it still maps the page or not; then CLEAR of the page |
//! | of a page of a file: they are taken away | folio lock, `i_mmap_rwsem` R | CLEAR of the page; flushed inside |
//! | if nobody else holds it, each of its pages is one of its own | folio lock, the same | none |
//! | migration entries map those pages | the same | none |

use crate::behaviour::Behaviour;
use crate::content::Content;
use crate::file_locks::Fs;
use crate::frames::{FrameFlags, ZERO_PAGE};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::reclaim::Unmap;
use crate::rmap::{FolioPlace, RmapLock};
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn, Pte, PteKind, VmFlags, Vpn};

impl Machine {
    /// Splits the huge page whose first frame is `head`, if only its mappings hold it. Says whether it did.
    pub(crate) fn split_folio(&self, k: &Kernel, head: Pfn) -> bool {
        if !self.try_get_page(k, head) {
            return false;
        }
        let lock = self.folio_lock(head);
        let split = match lock.try_lock() {
            Some(_folio) => self.split_locked(k, head),
            None => false,
        };
        self.put_page(k, head);
        split
    }

    /// The folio locked, with one reference of the caller's, which is to the first page afterwards.
    pub(crate) fn split_locked(&self, k: &Kernel, head: Pfn) -> bool {
        if !self.is_huge(head) {
            return false;
        }
        let frame = self.frame(head);
        if frame.flags.contains(FrameFlags::HUGETLB) {
            return false;
        }
        // `can_split_folio()`: nobody is told of a split that somebody's reference forbids.
        if frame.refcount != self.folio_mapcount(head) + self.cache_refs(head) + 1 {
            return false;
        }
        let anon = frame.flags.contains(FrameFlags::ANON);
        let split = self.with_folio_places(head, RmapLock::Write, |places| {
            self.unmap_folio(k, head, places, anon);
            let alone = self.frame(head).refcount == self.cache_refs(head) + 1 && self.folio_mapcount(head) == 0;
            if alone {
                self.split_block(head);
            }
            if anon {
                for place in places {
                    place.mm.remap_folio(k, place, alone);
                }
            }
            if alone {
                self.put_tails(k, head);
            }
            alone
        });
        split == Some(true)
    }

    /// `unmap_folio()`.
    fn unmap_folio(&self, k: &Kernel, head: Pfn, places: &[FolioPlace], anon: bool) {
        for place in places {
            if anon {
                place.mm.split_huge_pmd_frozen(k, place.pages[0].0, head);
                place.mm.try_to_migrate_place(k, head, place);
            } else {
                place.mm.try_to_unmap_place(k, head, place, Unmap::Drop, None);
            }
        }
    }
}

impl Mm {
    /// `remap_page()`: migration entries of a folio map its pages again. Of one that was `split`, pages of zeros may be mapped
    /// as the zero page instead, and go.
    fn remap_folio(&self, k: &Kernel, place: &FolioPlace, split: bool) {
        let unused = split && self.machine.config.behaviour.contains(Behaviour::SPLIT_UNUSED_TO_ZEROPAGE);
        for (vpn, pfn) in &place.pages {
            if !(unused && self.map_unused_to_zeropage(k, *vpn, *pfn)) {
                self.remove_migration_pte(k, *vpn, *pfn, *pfn);
            }
        }
    }

    /// An entry for a page of zeros maps the zero page, unless its VMA is locked.
    fn map_unused_to_zeropage(&self, k: &Kernel, vpn: Vpn, pfn: Pfn) -> bool {
        let Some(vma) = self.find_vma(vpn).filter(|vma| !vma.flags().contains(VmFlags::LOCKED)) else { return false };
        let Some(leaf) = self.tables.walk(vpn) else { return false };
        let ptes = leaf.lock();
        let old = ptes.get(vpn);
        if old.kind() != (PteKind::Migration { pfn }) || self.machine.content(pfn) != Content::ZERO {
            return false;
        }
        let zero = Pte::present(ZERO_PAGE).with_special(true).with_marks_of(old);
        ptes.set(k, vpn, zero.with_protnone(!vma.is_accessible()));
        true
    }

    /// A write of this process and `pages` to `split_huge_pages` in debugfs: what huge pages are mapped there become single
    /// ones. Gives how many did.
    ///
    /// # Errors
    /// None; told as a call.
    ///
    /// Source: `split_huge_pages_pid()`, mm/huge_memory.c, 6.12.
    pub fn split_huge_pages(&self, pages: PageRange) -> Result<u64, Errno> {
        current(|k| {
            self.call(k, NAMES.split_huge_pages, Some(pages), || {
                let locks = self.machine.locks();
                Ok(self.machine.with_writers(Fs::Debugfs, || {
                    let _one = locks.files.split_debug.lock();
                    let _read = self.mmap_lock.read();
                    let mut heads = self.mapped_frames(k, pages);
                    heads.iter_mut().for_each(|pfn| *pfn = self.machine.head(*pfn));
                    heads.dedup();
                    let huge = heads.into_iter().filter(|pfn| self.machine.is_huge(*pfn));
                    huge.map(|head| u64::from(self.machine.split_folio(k, head))).sum()
                }))
            })
        })
    }
}
