//! Random operations against shadow models: `rangemap`, which merges all it can, and a page-by-page table.

use super::test_utils::{BASE, World, addr};
use crate::vma::{FileId, MapFlags, MmapArgs, MmapBacking, VmaKind, VmaTree};
use mm_types::{PAGE_SIZE, PageRange, Pgoff, Prot, VmFlags, Vpn};
use proptest::prelude::*;
use rangemap::RangeMap;
use std::collections::BTreeMap;

const PAGES: u64 = 48;

#[derive(Clone, Copy, Debug)]
enum Op {
    Mmap { start: u64, len: u64, prot: Prot, file: Option<(u32, u64)> },
    Munmap { start: u64, len: u64 },
    Mprotect { start: u64, len: u64, prot: Prot },
    Touch { page: u64 },
}

/// What one page is mapped to: neighbours merge when these are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    flags: VmFlags,
    kind: VmaKind,
    /// Object page less address page, so that it is constant over a mapping.
    delta: i64,
}

/// Page by page, without any VMA.
#[derive(Default)]
struct Model {
    pages: BTreeMap<u64, Page>,
    ranges: RangeMap<u64, (u64, i64, Option<u32>)>,
}

impl Model {
    fn set(&mut self, page: u64, to: Option<Page>) {
        match to {
            Some(to) => {
                self.pages.insert(page, to);
                let file = match to.kind {
                    VmaKind::File(FileId(n)) => Some(n),
                    _ => None,
                };
                self.ranges.insert(page..page + 1, (to.flags.bits(), to.delta, file));
            }
            None => {
                self.pages.remove(&page);
                self.ranges.remove(page..page + 1);
            }
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Mmap { start, len, prot, file } => {
                let may = VmFlags::MAYREAD | VmFlags::MAYWRITE | VmFlags::MAYEXEC;
                let mut flags = VmFlags::from_prot(prot) | may;
                flags.set(VmFlags::ACCOUNT, prot.contains(Prot::WRITE));
                let (kind, delta) = match file {
                    Some((n, page)) => (VmaKind::File(FileId(n)), page as i64 - (BASE + start) as i64),
                    None => (VmaKind::Anon, 0),
                };
                (start..start + len).for_each(|p| self.set(p, Some(Page { flags, kind, delta })));
            }
            Op::Munmap { start, len } => (start..start + len).for_each(|p| self.set(p, None)),
            Op::Mprotect { start, len, prot } => {
                for p in start..start + len {
                    let Some(page) = self.pages.get(&p).copied() else { return };
                    self.set(p, Some(protected(page, prot)));
                }
            }
            Op::Touch { .. } => {}
        }
    }
}

fn protected(page: Page, prot: Prot) -> Page {
    let access = VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC;
    let mut flags = page.flags.difference(access) | VmFlags::from_prot(prot);
    if prot.contains(Prot::WRITE) {
        flags |= VmFlags::ACCOUNT;
    } else if page.kind == VmaKind::Anon {
        flags.remove(VmFlags::ACCOUNT);
    }
    Page { flags, ..page }
}

fn run(world: &mut World, op: Op) {
    // Errors (a hole under mprotect) leave the part before done, in the model too.
    let _ = match op {
        Op::Mmap { start, len, prot, file } => {
            let (flags, backing, offset) = match file {
                Some((n, page)) => {
                    (MapFlags::empty(), MmapBacking::File { file: FileId(n), readable: true, writable: true }, page)
                }
                None => (MapFlags::ANONYMOUS, MmapBacking::None, 0),
            };
            let flags = flags | MapFlags::PRIVATE | MapFlags::FIXED;
            let args = MmapArgs {
                addr: addr(start),
                len_bytes: len * PAGE_SIZE,
                prot,
                flags,
                backing,
                offset_bytes: offset * PAGE_SIZE,
            };
            world.mmap_args(&args).map(|_| ())
        }
        Op::Munmap { start, len } => world.op(&format!("munmap {start}+{len}")),
        Op::Mprotect { start, len, prot } => world.mprotect((start, len), prot),
        Op::Touch { page } => {
            if world.tree.find(Vpn(BASE + page)).is_some() {
                world.prepare(Vpn(BASE + page));
            }
            Ok(())
        }
    };
}

fn prot() -> impl Strategy<Value = Prot> {
    prop_oneof![Just(Prot::READ), Just(Prot::READ | Prot::WRITE), Just(Prot::empty())]
}

fn range() -> impl Strategy<Value = (u64, u64)> {
    (0..PAGES, 1..=12u64).prop_map(|(start, len)| (start, len.min(PAGES - start).max(1)))
}

fn op(touches: bool) -> impl Strategy<Value = Op> {
    // Files mapped at the place their offset says, mostly, so that they can continue each other.
    let file = |start: u64| {
        prop_oneof![
            3 => Just(None),
            2 => (0..2u32).prop_map(move |n| Some((n, start))),
            1 => (0..2u32).prop_map(move |n| Some((n, start + 1))),
        ]
    };
    let mmap = (range(), prot()).prop_flat_map(move |((start, len), prot)| {
        file(start).prop_map(move |file| Op::Mmap { start, len, prot, file })
    });
    prop_oneof![
        4 => mmap,
        2 => range().prop_map(|(start, len)| Op::Munmap { start, len }),
        4 => (range(), prot()).prop_map(|((start, len), prot)| Op::Mprotect { start, len, prot }),
        u32::from(touches) * 3 => (0..PAGES).prop_map(|page| Op::Touch { page }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// As long as nothing has anonymous pages the kernel merges all that can be merged.
    #[test]
    fn untouched_memory_is_merged_as_far_as_it_can_be(ops in prop::collection::vec(op(false), 1..40)) {
        let mut world = World::new(VmaTree::default());
        let mut model = Model::default();
        for op in ops {
            run(&mut world, op);
            model.apply(op);
            world.tree.validate();
            let got: Vec<_> = world.tree.iter().map(|v| (v.start().0 - BASE, v.end().0 - BASE, v.flags().bits())).collect();
            let want: Vec<_> = model.ranges.iter().map(|(r, v)| (r.start, r.end, v.0)).collect();
            prop_assert_eq!(got, want, "after {:?}", op);
        }
    }

    /// Whatever is merged or not, every page is mapped as the model says.
    #[test]
    fn every_page_is_mapped_as_the_page_table_says(ops in prop::collection::vec(op(true), 1..60)) {
        let mut world = World::new(VmaTree::default());
        let mut model = Model::default();
        for op in ops {
            run(&mut world, op);
            model.apply(op);
            world.tree.validate();
            for page in 0..PAGES {
                let got = world.tree.find(Vpn(BASE + page)).map(|v| (v.flags().prot(), v.kind(), v.pgoff_at(Vpn(BASE + page)).0));
                let want = model.pages.get(&page).map(|p| (p.flags.prot(), p.kind, ((BASE + page) as i64 + p.delta) as u64));
                let want = want.map(|(prot, kind, pgoff)| (prot, kind, if kind == VmaKind::Anon { BASE + page } else { pgoff }));
                prop_assert_eq!(got, want, "page {} after {:?}", page, op);
            }
        }
    }
}

/// A VMA that comes, with what is free below it, or the n-th that goes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Map { page: u64, len: u64, stack: bool },
    Unmap { nth: usize },
    Cut { nth: usize },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..6000_u64, 1..4_u64, prop::bool::weighted(0.05)).prop_map(|(page, len, stack)| Change::Map { page, len, stack }),
        2 => (0..200_usize).prop_map(|nth| Change::Unmap { nth }),
        1 => (0..200_usize).prop_map(|nth| Change::Cut { nth }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_index_of_gaps_finds_what_a_walk_finds(
        changes in prop::collection::vec(change(), 100..500),
        asked in prop::collection::vec((1..40_u64, 0..3000_u64, 3000..6100_u64), 40),
    ) {
        let mut tree = VmaTree::default();
        for (n, change) in changes.into_iter().enumerate() {
            let at = |nth: usize| tree.iter().nth(nth % tree.map_count().max(1)).copied();
            match change {
                Change::Map { page, len, stack } => {
                    let range = PageRange::with_len(Vpn(page), len).expect("not empty");
                    if tree.find_first_intersection(range).is_none() {
                        let mut flags = VmFlags::READ;
                        flags.set(VmFlags::GROWSDOWN, stack);
                        tree.insert(range, flags, VmaKind::Anon, Pgoff(page), None);
                    }
                }
                Change::Unmap { nth } => if let Some(vma) = at(nth) {
                    tree.remove(vma.range()).expect("unmapped");
                },
                Change::Cut { nth } => if let Some(vma) = at(nth).filter(|vma| vma.range().nr_pages() > 1) {
                    tree.remove(PageRange::page(vma.end() - 1)).expect("cut");
                },
            }
            let (len, low, high) = asked[n % asked.len()];
            tree.validate();
            let (low, high) = (Vpn(low), Vpn(high));
            for walked in [0, 8] {
                prop_assert_eq!(tree.highest_after(walked, len, low, high), tree.highest_after(u32::MAX, len, low, high));
                prop_assert_eq!(tree.lowest_after(walked, len, low, high), tree.lowest_after(u32::MAX, len, low, high));
            }
        }
    }
}
