//! The programs of a comparison with other explorers: an invalidation that a device's fault loses.
//!
//! The device's fault reads the page table, then takes its lock, looks whether an invalidation is running, and publishes
//! what it read. It must look whether one *has run since*.

use explore::Program;
use mm_types::{Name, ObjId};
use sched::{Availability, Config, Op, Outcome, Sched, Scheduler};
use std::cell::Cell;
use std::rc::Rc;

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// The page is there from the start: one preemption loses the invalidation.
    Lost2,
    /// It is mapped and unmapped by the other task: two preemptions.
    Lost3,
    /// Two locks in opposite orders.
    Abba,
}

/// A program, with `pad` turns on a lock of its own before and after what each task does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bug {
    pub(crate) shape: Shape,
    pub(crate) pad: u64,
    /// Without the bug.
    pub(crate) fixed: bool,
}

pub(crate) struct Mm {
    sched: Sched,
    pte: Cell<usize>,
    freed: [Cell<bool>; 3],
    seq: Cell<usize>,
    dev: Cell<usize>,
    locks: [Cell<bool>; 5],
    found: Cell<bool>,
}

const PTE: ObjId = ObjId(1);
const SEQ: ObjId = ObjId(2);
const FREED: u64 = 10;
const LOCK: u64 = 20;
const DEV: usize = 0;

impl Mm {
    fn lock(&self, i: usize) {
        let now = if self.locks[i].get() { Availability::TAKEN } else { Availability::FREE };
        let object = ObjId(LOCK + i as u64);
        self.sched.acquire(Op::take_exclusive(object), now);
        self.locks[i].set(true);
        self.sched.set_availability(object, Availability::FREE, Availability::TAKEN);
    }

    fn unlock(&self, i: usize) {
        let object = ObjId(LOCK + i as u64);
        self.sched.visible(Op::drop_exclusive(object));
        self.locks[i].set(false);
        self.sched.set_availability(object, Availability::TAKEN, Availability::FREE);
    }

    fn pad(&self, own: usize, times: u64) {
        for _ in 0..times {
            self.lock(own);
            self.unlock(own);
        }
    }

    fn add_seq(&self) {
        self.sched.visible(Op::write(SEQ));
        self.seq.set(self.seq.get() + 1);
    }

    fn load_seq(&self) -> usize {
        self.sched.visible(Op::read(SEQ));
        self.seq.get()
    }

    fn set_pte(&self, page: usize) {
        self.sched.visible(Op::write(PTE));
        self.pte.set(page);
    }

    fn invalidate(&self, page: usize) {
        self.add_seq();
        self.lock(DEV);
        self.dev.set(0);
        self.unlock(DEV);
        self.set_pte(0);
        self.add_seq();
        self.sched.visible(Op::write(ObjId(FREED + page as u64)));
        self.freed[page].set(true);
    }

    fn fault(&self, fixed: bool) {
        let seq = self.load_seq();
        if seq & 1 == 1 {
            return;
        }
        self.sched.visible(Op::read(PTE));
        let page = self.pte.get();
        if page == 0 {
            return;
        }
        self.lock(DEV);
        let now = self.load_seq();
        let lost = now & 1 == 1 || (fixed && now != seq);
        if !lost {
            self.dev.set(page);
        }
        self.unlock(DEV);
        if lost {
            return;
        }
        self.lock(DEV);
        let page = self.dev.get();
        if page != 0 {
            self.sched.visible(Op::read(ObjId(FREED + page as u64)));
            if self.freed[page].get() {
                self.found.set(true);
            }
        }
        self.unlock(DEV);
    }

    fn both(&self, first: usize, second: usize) {
        self.lock(first);
        self.lock(second);
        self.unlock(second);
        self.unlock(first);
    }
}

impl Program for Bug {
    type World = Rc<Mm>;
    /// Whether the bug showed.
    type Report = bool;

    fn build(&self) -> Rc<Mm> {
        Rc::new(Mm {
            sched: Sched::new(Config::default()),
            pte: Cell::default(),
            freed: Default::default(),
            seq: Cell::default(),
            dev: Cell::default(),
            locks: Default::default(),
            found: Cell::default(),
        })
    }

    fn run(&self, mm: &mut Rc<Mm>, scheduler: &mut dyn Scheduler, _run: u64) -> bool {
        let Bug { shape, pad, fixed } = *self;
        mm.sched.reset();
        mm.pte.set(usize::from(shape == Shape::Lost2));
        mm.freed.iter().for_each(|freed| freed.set(false));
        mm.locks.iter().for_each(|lock| lock.set(false));
        mm.seq.set(0);
        mm.dev.set(0);
        mm.found.set(false);
        let own = Rc::clone(mm);
        let invalidates = move || {
            own.pad(3, pad);
            match shape {
                Shape::Lost2 => own.invalidate(1),
                Shape::Lost3 => {
                    own.set_pte(2);
                    own.invalidate(2);
                }
                Shape::Abba => own.both(1, 2),
            }
            own.pad(3, pad);
        };
        mm.sched.spawn(Name::new("invalidates"), Box::new(invalidates));
        let own = Rc::clone(mm);
        let faults = move || {
            own.pad(4, pad);
            match shape {
                Shape::Abba if fixed => own.both(1, 2),
                Shape::Abba => own.both(2, 1),
                _ => own.fault(fixed),
            }
            own.pad(4, pad);
        };
        mm.sched.spawn(Name::new("faults"), Box::new(faults));
        let outcome = mm.sched.run(scheduler);
        mm.found.get() || matches!(outcome, Outcome::Deadlock { .. })
    }
}

mod tests {
    use super::*;
    use explore::{
        Accumulate, Bounds, Exhaustive, Pct, Plan, Portfolio, Pos, Strategy, Surw, Uniform, Verdict, explore,
    };
    use std::ops::ControlFlow;

    struct Found;

    impl Accumulate<bool> for Found {
        fn add(&mut self, _run: u64, found: bool) -> Verdict {
            if found { Verdict::Finding } else { Verdict::Clean }
        }
        fn merge(&mut self, _later: Found) {}
    }

    /// Executions until the bug showed, for each of 20 seeds, in ascending order. A seed that does not find it within
    /// 100,000 has that.
    fn until_found(bug: Bug, strategy: &dyn Strategy) -> Vec<u64> {
        let executions = |seed| {
            let plan = Plan { strategy, seed, runs: 100_000, jobs: 1, stop_at_first: true };
            explore(&bug, &plan, &|| Found, &|_| ControlFlow::Continue(())).runs
        };
        let mut all: Vec<u64> = (1..=20).map(executions).collect();
        all.sort_unstable();
        all
    }

    #[track_caller]
    fn median_at_most(most: u64, strategy: &dyn Strategy) {
        for shape in [Shape::Abba, Shape::Lost2, Shape::Lost3] {
            for pad in [0, 10] {
                let runs = until_found(Bug { shape, pad, fixed: false }, strategy);
                let median = (runs[9] + runs[10]).div_ceil(2);
                assert!(median <= most, "{strategy:?} on {shape:?} padded with {pad}: {runs:?}");
                assert!(runs[19] < 100_000, "{strategy:?} on {shape:?} padded with {pad}: {runs:?}");
            }
        }
    }

    #[test]
    fn surw_finds_each_bug_within_20_runs() {
        median_at_most(20, &Surw);
    }

    #[test]
    fn pos_finds_each_bug_within_40_runs() {
        median_at_most(40, &Pos);
    }

    #[test]
    fn pct_over_conflicts_finds_each_bug_within_100_runs() {
        median_at_most(100, &Pct { depth: 3 });
    }

    #[test]
    fn a_portfolio_finds_each_bug_for_every_seed() {
        median_at_most(40, &Portfolio::default());
    }

    #[test]
    fn no_strategy_finds_a_bug_in_the_corrected_protocol() {
        let portfolio = Portfolio::default();
        let strategies: [&dyn Strategy; 5] = [&Uniform, &Pct { depth: 3 }, &Pos, &Surw, &portfolio];
        for strategy in strategies {
            let plan = Plan { strategy, seed: 1, runs: 3_000, jobs: 2, stop_at_first: false };
            for shape in [Shape::Abba, Shape::Lost2, Shape::Lost3] {
                let bug = Bug { shape, pad: 2, fixed: true };
                let explored = explore(&bug, &plan, &|| Found, &|_| ControlFlow::Continue(()));
                assert_eq!((explored.runs, explored.first), (3_000, None), "{strategy:?} on {shape:?}");
            }
        }
    }

    /// Executions, and which of them was the first to show the bug.
    fn exhaust(bug: Bug) -> (u64, Option<u64>) {
        let mut mm = bug.build();
        let mut exhaustive = Exhaustive::new(Bounds::default());
        let mut first = None;
        while exhaustive.next_run() {
            let run = exhaustive.tally().executions;
            if bug.run(&mut mm, &mut exhaustive, run) {
                first = first.or(Some(run));
            }
        }
        assert!(exhaustive.complete());
        (exhaustive.tally().executions, first)
    }

    #[test]
    fn lost_invalidations_take_few_runs_to_the_bug_padded_or_not() {
        for shape in [Shape::Lost2, Shape::Lost3, Shape::Abba] {
            let plain = exhaust(Bug { shape, pad: 0, fixed: false });
            let padded = exhaust(Bug { shape, pad: 10, fixed: false });
            assert_eq!(plain, padded, "padding is nothing to explore");
            let (runs, first) = plain;
            assert!(first.is_some_and(|first| first <= 10), "{shape:?}: {runs} runs, the bug in {first:?}");
        }
    }

    #[test]
    fn the_corrected_protocol_is_proven() {
        for shape in [Shape::Lost2, Shape::Lost3, Shape::Abba] {
            for pad in [0, 10] {
                let (runs, first) = exhaust(Bug { shape, pad, fixed: true });
                assert_eq!(first, None, "{shape:?} after {runs} runs");
            }
        }
    }

    #[test]
    fn lost_invalidations_have_at_most_ten_traces() {
        for shape in [Shape::Lost2, Shape::Lost3] {
            let (runs, _) = exhaust(Bug { shape, pad: 10, fixed: false });
            assert!(runs <= 10, "{shape:?}: {runs}");
        }
    }
}
