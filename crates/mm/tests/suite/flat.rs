//! Random programs over three huge pages' worth of memory, against a flat model: which pages are mapped and how (a map of
//! ranges), which are guards (a set of ranges), what each holds. After every operation coverage and permissions are compared;
//! then and when, what each page shows, how often each frame is mapped, and at the end that no frame is left.
//!
//! # What it was seen to find
//! The memory manager was made wrong in one place at a time. "flat" is the property here, "accounting" that of `accounting.rs`.
//!
//! | mistake | found by |
//! |---|---|
//! | an entry that goes leaves the map count as it was | flat, accounting |
//! | a copy on write forgets what the page held | flat, accounting |
//! | the split of a huge page's entry lets its pages be written | flat |
//! | it loses the last of the pages | flat |
//! | `MADV_DONTNEED` misses the last page | flat, accounting |
//! | the zero page may be written | flat, accounting |
//! | `mremap` loses guards; leaves the old entries behind | flat, accounting |
//! | `mprotect` leaves write access | flat |
//! | a page that was moved is put twice | flat |
//! | a page that was in the swap cache is put twice | accounting |
//! | a slot that is free stays counted; `fork` counts no user of a slot | flat, accounting |
//! | `fork` leaves the child write access; leaves the page exclusive | flat, accounting |
//! | a collapse forgets what a page held | flat |
//! | words stay with the old frame when a page, or a huge page, is moved; do not go to swap; outlive their frame; outlive a write of the whole page | flat |

use crate::common::{Context, World, addr, bytes, check_frame_events, pages};
use mm::vma::MremapFlags;
use mm::{Advice, FaultError, Machine, MachineConfig, Mm, PageState};
use mm_types::{Errno, Name, Pfn, Prot, VirtAddr};
use proptest::prelude::*;
use rangemap::{RangeMap, RangeSet};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

const HUGE: u64 = 512;
const PAGES: u64 = 3 * HUGE;

#[derive(Clone, Debug)]
enum Op {
    Map(Range<u64>, bool),
    Unmap(Range<u64>),
    Protect(Range<u64>, bool),
    /// All of a page.
    Write(u64, u64),
    /// One word of it.
    WriteWord(u64, u64, u64),
    Advise(Range<u64>, Advice),
    Reclaim(Range<u64>),
    Compact(Range<u64>),
    /// Of all memory.
    CompactMemory,
    /// To this page.
    Move(Range<u64>, u64),
    Fork,
    Exit,
    Switch(prop::sample::Index),
    /// Everything is read, and map counts are compared.
    Look,
}

/// Whole huge pages, parts of them, and single pages.
fn span() -> impl Strategy<Value = Range<u64>> {
    prop_oneof![
        3 => (0..3u64, 1..3u64).prop_map(|(at, n)| at * HUGE..((at + n) * HUGE).min(PAGES)),
        2 => (0..PAGES / 64, 1..12u64).prop_map(|(at, n)| at * 64..((at + n) * 64).min(PAGES)),
        4 => (page(), 1..4u64).prop_map(|(at, n)| at..(at + n).min(PAGES)),
    ]
}

/// Pages at which programs meet again and again: at the ends of huge pages, and in a row.
const HOT: [u64; 12] = [0, 1, 2, 64, 65, HUGE - 1, HUGE, HUGE + 1, 2 * HUGE - 1, 2 * HUGE, 2 * HUGE + 1, 2 * HUGE + 2];

fn page() -> impl Strategy<Value = u64> {
    prop_oneof![3 => prop::sample::select(&HOT[..]), 1 => 0..PAGES]
}

fn advice() -> impl Strategy<Value = Advice> {
    prop_oneof![
        6 => Just(Advice::HugePage),
        1 => Just(Advice::NoHugePage),
        3 => Just(Advice::Collapse),
        3 => Just(Advice::DontNeed),
        4 => Just(Advice::GuardInstall),
        2 => Just(Advice::GuardRemove),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (span(), any::<bool>()).prop_map(|(at, writable)| Op::Map(at, writable)),
        1 => span().prop_map(Op::Unmap),
        2 => (span(), any::<bool>()).prop_map(|(at, writable)| Op::Protect(at, writable)),
        8 => (page(), 1..1000u64).prop_map(|(page, tag)| Op::Write(page, tag)),
        6 => (page(), 0..4u64, 0..3u64).prop_map(|(page, at, value)| Op::WriteWord(page, at * 170, value)),
        6 => (span(), advice()).prop_map(|(at, advice)| Op::Advise(at, advice)),
        1 => span().prop_map(Op::Reclaim),
        1 => span().prop_map(Op::Compact),
        1 => Just(Op::CompactMemory),
        2 => (span(), 0..PAGES / 64).prop_map(|(at, to)| Op::Move(at, to * 64)),
        2 => Just(Op::Fork),
        1 => Just(Op::Exit),
        4 => any::<prop::sample::Index>().prop_map(Op::Switch),
        1 => Just(Op::Look),
    ]
}

fn range(of: &Range<u64>) -> mm_types::PageRange {
    pages(of.start, of.end - of.start)
}

#[derive(Clone)]
struct Process {
    mm: Arc<Mm>,
    /// Whether it may be written, of what is mapped.
    mapped: RangeMap<u64, bool>,
    guards: RangeSet<u64>,
    held: BTreeMap<u64, Held>,
}

/// What a page holds.
#[derive(Clone, Default)]
struct Held {
    fill: u64,
    /// Words that were written since.
    words: BTreeMap<u64, u64>,
}

impl Held {
    fn word(&self, at: u64) -> u64 {
        self.words.get(&at).copied().unwrap_or(self.fill)
    }
}

impl Process {
    fn apply(&mut self, op: &Op) {
        let mm = Arc::clone(&self.mm);
        match op {
            Op::Map(at, writable) => {
                mm.mmap_anon(range(at), prot(*writable)).expect("mapped");
                self.forget(at);
                self.mapped.insert(at.clone(), *writable);
            }
            Op::Unmap(at) => {
                mm.munmap(addr(at.start), bytes(at.end - at.start)).expect("unmapped");
                self.forget(at);
                self.mapped.remove(at.clone());
            }
            Op::Protect(at, writable) => {
                let done = mm.mprotect(addr(at.start), bytes(at.end - at.start), prot(*writable));
                let hole = self.mapped.gaps(at).next().map_or(at.end, |gap| gap.start);
                assert_eq!(done.is_ok(), hole == at.end);
                if at.start < hole {
                    self.mapped.insert(at.start..hole, *writable);
                }
            }
            Op::Write(page, tag) => {
                let expected = self.writing(*page);
                assert_eq!(mm.write_page(pages(*page, 1).start(), *tag), expected);
                if expected.is_ok() {
                    self.held.insert(*page, Held { fill: *tag, words: BTreeMap::new() });
                }
            }
            Op::WriteWord(page, at, value) => {
                let expected = self.writing(*page);
                assert_eq!(mm.write(word(*page, *at), *value), expected);
                if expected.is_ok() {
                    self.held.entry(*page).or_default().words.insert(*at, *value);
                }
            }
            Op::Advise(at, advice) => self.advise(at, *advice),
            Op::Reclaim(at) => {
                mm.reclaim_pages(range(at));
            }
            Op::Compact(at) => {
                mm.compact(range(at));
            }
            Op::CompactMemory => {
                mm.machine().compact_memory();
            }
            Op::Move(at, to) => self.relocate(at, *to),
            Op::Fork | Op::Exit | Op::Switch(_) | Op::Look => unreachable!("not of one process"),
        }
        self.compare_coverage();
    }

    /// What a write to a page comes to.
    fn writing(&self, page: u64) -> Result<(), FaultError> {
        let vpn = pages(page, 1).start();
        match self.mapped.get(&page) {
            None => Err(FaultError::NotMapped(vpn)),
            Some(false) => Err(FaultError::NotAllowed(vpn)),
            Some(true) if self.guards.contains(&page) => Err(FaultError::Guard(vpn)),
            Some(true) => Ok(()),
        }
    }

    fn advise(&mut self, at: &Range<u64>, advice: Advice) {
        let done = self.mm.madvise(addr(at.start), bytes(at.end - at.start), advice);
        let whole = self.mapped.gaps(at).next().is_none();
        // Whether a collapse succeeds is for the tests of huge pages; contents stay in any case.
        if advice == Advice::Collapse {
            return;
        }
        assert_eq!(done, if whole { Ok(()) } else { Err(Errno::ENOMEM) });
        let parts: Vec<Range<u64>> = self.mapped.overlapping(at).map(|(part, _)| clip(part, at)).collect();
        for part in parts {
            match advice {
                Advice::DontNeed => self.held.retain(|page, _| !part.contains(page)),
                Advice::GuardInstall => {
                    self.held.retain(|page, _| !part.contains(page));
                    self.guards.insert(part);
                }
                Advice::GuardRemove => self.guards.remove(part),
                _ => {}
            }
        }
    }

    /// One VMA, or a part of it, to a fixed place.
    fn relocate(&mut self, at: &Range<u64>, to: u64) {
        let len = at.end - at.start;
        let target = to..to + len;
        let one = self.mm.vmas().iter().any(|vma| vma.range().covers(range(at)));
        if !one || target.end > PAGES || (target.start < at.end && at.start < target.end) {
            return;
        }
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        let done = self.mm.mremap(addr(at.start), bytes(len), bytes(len), flags, Some(addr(to)), None);
        assert_eq!(done, Ok(addr(to)));
        let moved = |page: u64| page - at.start + to;
        let writable = *self.mapped.get(&at.start).expect("mapped");
        let held: Vec<(u64, Held)> =
            self.held.range(at.clone()).map(|(page, held)| (moved(*page), held.clone())).collect();
        let guards: Vec<Range<u64>> = self.guards.overlapping(at).map(|part| clip(part, at)).collect();
        self.forget(at);
        self.mapped.remove(at.clone());
        self.forget(&target);
        self.mapped.insert(target, writable);
        self.held.extend(held);
        guards.into_iter().for_each(|part| self.guards.insert(moved(part.start)..moved(part.end)));
    }

    fn forget(&mut self, at: &Range<u64>) {
        self.held.retain(|page, _| !at.contains(page));
        self.guards.remove(at.clone());
    }

    fn compare_coverage(&self) {
        let mut real: RangeMap<u64, bool> = RangeMap::new();
        let base = crate::common::ARENA.0;
        for vma in self.mm.vmas() {
            real.insert(vma.start().0 - base..vma.end().0 - base, vma.flags().contains(mm_types::VmFlags::WRITE));
        }
        assert_eq!(real, self.mapped);
    }

    /// Reads every page.
    fn read_all(&self) {
        for page in 0..PAGES {
            let vpn = pages(page, 1).start();
            let expected = match self.mapped.get(&page) {
                None => Err(FaultError::NotMapped(vpn)),
                Some(_) if self.guards.contains(&page) => Err(FaultError::Guard(vpn)),
                Some(_) => Ok(self.held.get(&page).map_or(0, |held| held.word(0))),
            };
            assert_eq!(self.mm.read_page(vpn), expected, "page {page}");
            if let (Ok(_), Some(held)) = (expected, self.held.get(&page)) {
                for at in held.words.keys().flat_map(|at| [*at, at + 1]) {
                    assert_eq!(self.mm.read(word(page, at)), Ok(held.word(at)), "word {at} of page {page}");
                }
            }
        }
    }

    fn fork(&self) -> Process {
        let mm = ksync::current(|k| self.mm.fork(k, Name::new("child"))).expect("forked");
        Process { mm, ..self.clone() }
    }
}

fn word(page: u64, at: u64) -> VirtAddr {
    VirtAddr(addr(page).0 + 8 * at)
}

fn prot(writable: bool) -> Prot {
    if writable { Prot::READ | Prot::WRITE } else { Prot::READ }
}

fn clip(part: &Range<u64>, to: &Range<u64>) -> Range<u64> {
    part.start.max(to.start)..part.end.min(to.end)
}

/// How often each frame is mapped, by the entries of all processes; `exclusive` must agree.
fn compare_map_counts(processes: &[Process]) {
    let mut mapped: BTreeMap<Pfn, u32> = BTreeMap::new();
    let entries = |mm: &Mm| -> Vec<(mm_types::Vpn, Option<Pfn>)> {
        pages(0, PAGES).iter().map(|vpn| (vpn, mm.pte(vpn).mapped_pfn())).collect()
    };
    for process in processes {
        entries(&process.mm)
            .into_iter()
            .filter_map(|(_, pfn)| pfn)
            .for_each(|pfn| *mapped.entry(pfn).or_default() += 1);
    }
    for process in processes {
        for view in process.mm.pagemap(pages(0, PAGES)) {
            let Some(pfn) = process.mm.pte(view.vpn).mapped_pfn() else { continue };
            // Of a huge page the kernel may say of all what is true of the first.
            if let PageState::Anon { exclusive, huge: false } = view.state {
                assert_eq!(exclusive, mapped[&pfn] == 1, "{} in {pfn}", view.vpn);
            }
        }
    }
}

struct System {
    processes: Vec<Process>,
    current: usize,
    /// Huge pages that were there at some look.
    huge: Rc<RefCell<u64>>,
}

impl System {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Fork if self.processes.len() < 4 => {
                let child = self.processes[self.current].fork();
                self.processes.push(child);
            }
            Op::Exit if self.processes.len() > 1 => {
                self.processes.remove(self.current).mm.exit();
                self.current = 0;
            }
            Op::Fork | Op::Exit => {}
            Op::Switch(index) => self.current = index.index(self.processes.len()),
            Op::Look => self.look(),
            op => self.processes[self.current].apply(op),
        }
    }

    fn look(&self) {
        self.processes.iter().for_each(Process::read_all);
        compare_map_counts(&self.processes);
        let huge = |process: &Process| {
            let views = process.mm.pagemap(pages(0, PAGES));
            views.iter().filter(|view| matches!(view.state, PageState::Anon { huge: true, .. })).count() as u64
        };
        *self.huge.borrow_mut() += self.processes.iter().map(huge).sum::<u64>();
    }

    fn finish(mut self) {
        self.look();
        self.processes.drain(..).for_each(|process| process.mm.exit());
    }
}

fn check_all_given_back(world: &World, machine: &Machine, free: u64) {
    check_frame_events(world);
    let counts = machine.frame_counts();
    assert_eq!((counts.allocated, counts.pinned, counts.mapped, counts.free), (0, 0, 0, free));
    assert_eq!((machine.swap_used(), machine.nr_anon_vmas(), machine.pages_of_words()), (0, 0, 0));
}

/// Runs a program; gives how many pages of huge pages were seen.
fn run(ops: Vec<Op>) -> u64 {
    let config = MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() };
    let world = World::new(config);
    let free = world.machine.frame_counts().free;
    let mm = world.new_mm("a");
    let huge = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&huge);
    world.run(Context::Task, move || {
        let first = Process { mm, mapped: RangeMap::new(), guards: RangeSet::new(), held: BTreeMap::new() };
        let mut system = System { processes: vec![first], current: 0, huge: seen };
        ops.iter().for_each(|op| system.apply(op));
        system.finish();
    });
    check_all_given_back(&world, &world.machine, free);
    huge.take()
}

#[test]
fn random_programs_with_huge_pages_and_guards_agree_with_a_flat_model() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    let huge = RefCell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let programs = prop::collection::vec(op(), 1..50).prop_map(|mut ops| {
        // Most programs begin with memory that wants huge pages.
        ops.splice(0..0, [Op::Map(0..PAGES, true), Op::Advise(0..2 * HUGE, Advice::HugePage)]);
        ops
    });
    runner
        .run(&programs, |ops| {
            *huge.borrow_mut() += run(ops);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(huge.take() > 10 * HUGE, "hardly any huge page was there");
}
