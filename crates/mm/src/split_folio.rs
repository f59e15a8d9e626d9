//! A huge page becomes 512 pages. Linux: `split_folio()`, `split_huge_page_to_list_to_order()`, mm/huge_memory.c;
//! `try_to_map_unused_to_zeropage()`, mm/migrate.c, 6.12.
//!
//! Every entry of a PMD table that maps it is split first. Pages that hold nothing but zeros are mapped as the zero page
//! from then on, unless their VMA is locked, and freed.

use crate::frames::{BLOCK_FRAMES, ZERO_PAGE};
use crate::machine::Machine;
use crate::mm::Mm;
use ksync::Kernel;
use mm_types::{MmId, PageRange, Pfn, Pte, VmFlags, Vpn};
use std::collections::BTreeMap;
use trace::{NotifyEvent, NotifyRange};

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
    fn split_locked(&self, k: &Kernel, head: Pfn) -> bool {
        if !self.is_huge(head) {
            return false;
        }
        let places = self.mapped_places(head);
        for (mm, pages) in &places {
            let Some(mm) = self.mm(*mm) else { continue };
            for (vpn, _) in pages {
                let huge = mm.peek_huge(k, *vpn).and_then(Pte::mapped_pfn);
                if huge == Some(head) {
                    mm.split_huge_pmd(k, *vpn);
                }
            }
        }
        let frame = self.frame(head);
        let mapped = self.with_block(head, |block| (block.mapcount(), block.entire));
        if mapped != Some((frame.refcount - 1, 0)) {
            return false;
        }
        self.split_block(k, head, 1);
        for (mm, pages) in &places {
            if let Some(mm) = self.mm(*mm) {
                mm.map_unused_to_zeropage(k, pages);
            }
        }
        true
    }

    /// Where the pages of a huge page may be mapped, by address space.
    fn mapped_places(&self, head: Pfn) -> BTreeMap<MmId, Vec<(Vpn, Pfn)>> {
        let mut places = BTreeMap::<MmId, Vec<(Vpn, Pfn)>>::new();
        for pfn in (head.0..head.0 + BLOCK_FRAMES).map(Pfn) {
            let frame = self.frame(pfn);
            if frame.mapcount > 0 {
                self.rmap_walk(&frame, |mm, vpn| places.entry(mm.id).or_default().push((vpn, pfn)));
            }
        }
        places
    }
}

impl Mm {
    /// Entries that map pages of zeros map the zero page instead: inside a CLEAR bracket over all of `pages`.
    fn map_unused_to_zeropage(&self, k: &Kernel, pages: &[(Vpn, Pfn)]) {
        let (first, last) = (pages.iter().map(|(vpn, _)| *vpn).min(), pages.iter().map(|(vpn, _)| *vpn).max());
        let range = first.zip(last).and_then(|(first, last)| PageRange::new(first, last + 1).ok());
        let Some(range) = range else { return };
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: range,
            event: NotifyEvent::Clear,
            blockable: true,
            owner: None,
        });
        let mut unused = Vec::new();
        for (vpn, pfn) in pages {
            let locked = self.find_vma(*vpn).is_none_or(|vma| vma.flags().contains(VmFlags::LOCKED));
            let Some(leaf) = self.tables.walk(*vpn).filter(|_| !locked) else { continue };
            let ptes = leaf.lock();
            let old = ptes.get(*vpn);
            if old.mapped_pfn() != Some(*pfn) || old.is_special() || self.read_tag_of(*pfn) != 0 {
                continue;
            }
            ptes.clear(k, *vpn);
            self.flush_tlb_range(k, PageRange::page(*vpn));
            ptes.set(k, *vpn, Pte::present(ZERO_PAGE).with_special(true).with_protnone(!old.is_present()));
            self.machine.remove_rmap(*pfn, self.id);
            unused.push(*pfn);
        }
        bracket.end();
        unused.into_iter().for_each(|pfn| self.machine.put_page(k, pfn));
    }

    fn read_tag_of(&self, pfn: Pfn) -> u64 {
        self.machine.read_tag(pfn)
    }
}
