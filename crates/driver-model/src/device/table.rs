//! A device's page table, and what its TLB has of one: a directory of blocks of 2 MiB, each a table of pages or one big entry.

use super::Spte;
use mm_types::{MmId, PageRange, Pfn, Vpn};
use std::collections::BTreeMap;

/// Pages of a block: what one big entry translates.
pub const BLOCK_PAGES: u64 = 512;

/// The first page of the block that a page is in.
#[must_use]
pub const fn block_base(vpn: Vpn) -> Vpn {
    Vpn(vpn.0 & !(BLOCK_PAGES - 1))
}

/// The pages of the block that a page is in.
#[must_use]
pub fn block_of(vpn: Vpn) -> PageRange {
    PageRange::with_len(block_base(vpn), BLOCK_PAGES).expect("a block lies in the address space")
}

/// Whether `pages` have a whole block among them: only then big entries are of use.
#[must_use]
pub fn has_block(pages: PageRange) -> bool {
    let first = pages.start().0.next_multiple_of(BLOCK_PAGES);
    pages.end().0.checked_sub(first).is_some_and(|len| len >= BLOCK_PAGES)
}

/// What translates a block.
enum Entry {
    Pages(BTreeMap<Vpn, Spte>),
    Big(Spte),
}

/// Whether a translation is that of a page or of its block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Page,
    Block,
}

#[derive(Default)]
pub(super) struct Table(BTreeMap<(MmId, Vpn), Entry>);

impl Spte {
    /// The translation that a big one is for one of its pages.
    fn of_page(self, index: u64) -> Spte {
        Spte { pfn: Pfn(self.pfn.0 + index), ..self }
    }
}

impl Table {
    pub(super) fn get(&self, mm: MmId, vpn: Vpn) -> Option<(Spte, Level)> {
        let base = block_base(vpn);
        match self.0.get(&(mm, base))? {
            Entry::Pages(pages) => Some((*pages.get(&vpn)?, Level::Page)),
            Entry::Big(spte) => Some((spte.of_page(vpn - base), Level::Block)),
        }
    }

    /// The entry of one page; a big one over it becomes a table of the same translations first.
    pub(super) fn insert(&mut self, mm: MmId, vpn: Vpn, spte: Spte) {
        let base = block_base(vpn);
        let entry = self.0.entry((mm, base)).or_insert_with(|| Entry::Pages(BTreeMap::new()));
        if let Entry::Big(big) = *entry {
            let split = (0..BLOCK_PAGES).map(|index| (Vpn(base.0 + index), big.of_page(index)));
            *entry = Entry::Pages(split.collect());
        }
        if let Entry::Pages(pages) = entry {
            pages.insert(vpn, spte);
        }
    }

    /// One entry for a whole block, in the place of what is there.
    pub(super) fn insert_big(&mut self, mm: MmId, base: Vpn, spte: Spte) {
        self.0.insert((mm, base), Entry::Big(spte));
    }

    /// Takes the entry of a page away; one of the block is none.
    pub(super) fn remove(&mut self, mm: MmId, vpn: Vpn) -> Option<Spte> {
        match self.0.get_mut(&(mm, block_base(vpn)))? {
            Entry::Pages(pages) => pages.remove(&vpn),
            Entry::Big(_) => None,
        }
    }

    /// Takes the big entry of a block away.
    pub(super) fn remove_big(&mut self, mm: MmId, base: Vpn) -> Option<Spte> {
        let Entry::Big(spte) = self.0.get(&(mm, base))? else { return None };
        let spte = *spte;
        self.0.remove(&(mm, base));
        Some(spte)
    }

    /// The pages of `pages` that have an entry of their own.
    pub(super) fn pages_in(&self, mm: MmId, pages: PageRange) -> Vec<Vpn> {
        let tables = self.blocks(mm, pages).filter_map(|(_, entry)| match entry {
            Entry::Pages(table) => Some(table),
            Entry::Big(_) => None,
        });
        tables.flat_map(|table| table.range(pages.start()..pages.end()).map(|(vpn, _)| *vpn)).collect()
    }

    /// The blocks with a big entry that overlap `pages`.
    pub(super) fn big_in(&self, mm: MmId, pages: PageRange) -> Vec<Vpn> {
        self.blocks(mm, pages).filter(|(_, entry)| matches!(entry, Entry::Big(_))).map(|(base, _)| base).collect()
    }

    fn blocks(&self, mm: MmId, pages: PageRange) -> impl Iterator<Item = (Vpn, &Entry)> {
        let range = (mm, block_base(pages.start()))..(mm, pages.end());
        self.0.range(range).map(|((_, base), entry)| (*base, entry))
    }

    /// Every translation, page by page, in order.
    pub(super) fn all(&self) -> Vec<(MmId, Vpn, Spte)> {
        let mut all = Vec::new();
        for ((mm, base), entry) in &self.0 {
            match entry {
                Entry::Pages(pages) => all.extend(pages.iter().map(|(vpn, spte)| (*mm, *vpn, *spte))),
                Entry::Big(spte) => {
                    all.extend((0..BLOCK_PAGES).map(|index| (*mm, Vpn(base.0 + index), spte.of_page(index))));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::via::Via;
    use mm_types::ObjId;
    use trace::SubId;

    const MM: MmId = MmId(1);

    fn spte(pfn: u64) -> Spte {
        let via = Via { sub: SubId(ObjId(1)), mm: MM, brackets: ObjId::NONE };
        Spte { pfn: Pfn(pfn), writable: true, via }
    }

    fn pages(start: u64, end: u64) -> PageRange {
        PageRange::new(Vpn(start), Vpn(end)).unwrap()
    }

    #[test]
    fn a_big_entry_translates_each_page_of_its_block_and_no_other() {
        let mut table = Table::default();
        table.insert_big(MM, Vpn(512), spte(1000));
        assert_eq!(table.get(MM, Vpn(511)), None);
        assert_eq!(table.get(MM, Vpn(512)), Some((spte(1000), Level::Block)));
        assert_eq!(table.get(MM, Vpn(1023)), Some((spte(1511), Level::Block)));
        assert_eq!(table.get(MM, Vpn(1024)), None);
        assert_eq!(table.get(MmId(2), Vpn(512)), None);
        assert_eq!(table.all().len(), 512);
    }

    #[test]
    fn a_big_entry_is_found_by_any_part_and_not_by_the_pages_it_translates() {
        let mut table = Table::default();
        table.insert_big(MM, Vpn(512), spte(1000));
        table.insert(MM, Vpn(1024), spte(5));
        for part in [pages(700, 701), pages(0, 513), pages(1023, 1030)] {
            assert_eq!(table.big_in(MM, part), [Vpn(512)], "{part}");
        }
        assert_eq!(table.big_in(MM, pages(0, 512)), []);
        assert_eq!(table.big_in(MM, pages(1024, 1030)), []);
        assert_eq!(table.pages_in(MM, pages(0, 2000)), [Vpn(1024)]);
        assert_eq!((table.remove(MM, Vpn(600)), table.remove_big(MM, Vpn(1024))), (None, None));
        assert_eq!(table.remove_big(MM, Vpn(512)), Some(spte(1000)));
        assert_eq!(table.get(MM, Vpn(600)), None);
    }

    #[test]
    fn a_page_set_under_a_big_entry_splits_it_and_the_other_pages_stay() {
        let mut table = Table::default();
        table.insert_big(MM, Vpn(512), spte(1000));
        table.insert(MM, Vpn(514), spte(7));
        assert_eq!(table.get(MM, Vpn(514)), Some((spte(7), Level::Page)));
        assert_eq!(table.get(MM, Vpn(515)), Some((spte(1003), Level::Page)));
        assert_eq!(table.pages_in(MM, pages(513, 516)), [Vpn(513), Vpn(514), Vpn(515)]);
    }

    #[test]
    fn only_a_whole_block_in_its_place_counts() {
        assert!(has_block(pages(512, 1024)) && has_block(pages(1, 1025)));
        assert!(!has_block(pages(1, 1023)) && !has_block(pages(0, 511)) && !has_block(pages(513, 1500)));
    }
}
