//! The tree divided among explorations that go on side by side: the same traces, each once, whoever runs them.

use crate::brute::{TraceKey, brute};
use crate::keyed::Keyed;
use crate::program::{Do, Findings, Seen, Tasks, World};
use crate::random::{Kind, draw};
use crate::turns;
use explore::{Bounds, Course, Division, Ended, ExhaustPlan, Exhausted, Gather, Program, Remaining, Verdict, exhaust};
use sched::Scheduler;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;

struct Small(Tasks);

impl Program for Small {
    type World = Rc<World>;
    type Report = (Seen, TraceKey);

    fn build(&self) -> Rc<World> {
        World::new(&self.0)
    }

    fn run(&self, world: &mut Rc<World>, scheduler: &mut dyn Scheduler, _run: u64) -> (Seen, TraceKey) {
        let mut keyed = Keyed::of(scheduler, true);
        let seen = world.run(&mut keyed);
        (seen, keyed.key.expect("a run has an end"))
    }
}

/// In the order of the search, so that two explorations that are equal did the same.
#[derive(Default, PartialEq, Eq, Debug)]
struct All {
    keys: Vec<TraceKey>,
    findings: Findings,
}

impl Gather<(Seen, TraceKey)> for All {
    fn add(&mut self, (seen, key): (Seen, TraceKey), _course: &mut dyn FnMut() -> Option<Course>) -> Verdict {
        let deadlock = seen.end.starts_with("Deadlock");
        self.keys.push(key);
        self.findings.insert(seen);
        if deadlock { Verdict::Finding } else { Verdict::Clean }
    }

    fn merge(&mut self, other: All) {
        self.keys.extend(other.keys);
        self.findings.extend(other.findings);
    }
}

/// Divided after every run.
const FINE: Division = Division { turn: 1, open: 5 };

fn divided(tasks: &[Vec<Do>], plan: ExhaustPlan) -> Exhausted<All> {
    let most = ExhaustPlan { executions: plan.executions.or(Some(20_000)), ..plan };
    exhaust(&Small(tasks.to_vec()), &most, &All::default, &|_| ControlFlow::Continue(()))
}

/// False if there are too many schedules.
#[track_caller]
fn check(tasks: &[Vec<Do>]) -> bool {
    let Some((traces, findings, _)) = brute(tasks, 20_000) else { return false };
    for division in [FINE, Division { turn: 3, open: 2 }] {
        let all = divided(tasks, ExhaustPlan { jobs: 1, division, ..ExhaustPlan::default() });
        let keys: BTreeSet<TraceKey> = all.gathered.keys.iter().cloned().collect();
        assert!(keys == traces, "{} of {} traces, {:?}: {tasks:?}", keys.len(), traces.len(), all.tally);
        assert!(all.gathered.findings == findings, "the findings differ: {tasks:?}");
        assert!(all.complete && all.tally.unfaithful == 0, "{:?}: {tasks:?}", all.tally);
        if all.tally.ended == 0 {
            let once = (all.tally.redundant, all.tally.executions) == (0, traces.len() as u64);
            assert!(once, "{} traces, {:?}: {tasks:?}", traces.len(), all.tally);
        }
        assert_eq!(all.estimate, all.tally.executions);
    }
    true
}

#[test]
fn a_divided_tree_has_the_same_traces_each_once() {
    sched::install_panic_hook();
    let seeds: u32 = 24;
    let kinds =
        [Kind::Locks, Kind::Tries, Kind::Words, Kind::Waits, Kind::Sems, Kind::Choices, Kind::Events, Kind::Ends];
    for kind in kinds.into_iter().chain([Kind::All, Kind::Hardirqs, Kind::Interrupts]) {
        let checked = (0..seeds).filter(|&seed| check(&draw(kind, seed))).count();
        assert!(checked > seeds as usize / 3, "{kind:?}: only {checked} are small enough");
    }
}

#[test]
fn the_same_runs_in_the_same_order_for_any_number_of_jobs() {
    let philosophers =
        [[0, 1], [1, 2], [2, 0]].map(|[a, b]| vec![Do::Lock(a), Do::Lock(b), Do::Unlock(b), Do::Unlock(a)]);
    let programs = [vec![turns(0, 4), turns(0, 4)], philosophers.to_vec(), draw(Kind::All, 11), draw(Kind::Ends, 4)];
    for tasks in programs {
        for (executions, stop_at_first) in [(None, false), (Some(7), false), (None, true)] {
            for preemptions in [None, Some(1)] {
                let bounds = Bounds { preemptions };
                let by = |jobs| {
                    let division = Division { turn: 2, open: 4 };
                    divided(&tasks, ExhaustPlan { bounds, executions, stop_at_first, jobs, division })
                };
                let one = by(1);
                for jobs in [2, 3] {
                    assert!(
                        by(jobs) == one,
                        "{jobs} jobs, {executions:?}, {stop_at_first}, {preemptions:?}: {tasks:?}"
                    );
                }
                assert!(executions.is_none_or(|most| one.tally.executions <= most));
            }
        }
    }
}

#[test]
fn a_bound_of_executions_is_met_exactly_whatever_the_division() {
    for turn in [1, 2, 7, 256] {
        let division = Division { turn, open: 3 };
        let plan = ExhaustPlan { executions: Some(10), jobs: 2, division, ..ExhaustPlan::default() };
        let some = divided(&[turns(0, 3), turns(0, 3)], plan);
        assert_eq!((some.tally.executions, some.complete, some.ended), (10, false, Ended::AllRuns));
        let exact = ExhaustPlan { executions: Some(20), ..plan };
        assert!(divided(&[turns(0, 3), turns(0, 3)], exact).complete);
    }
}

#[test]
fn an_interrupted_exploration_keeps_what_was_run_and_is_not_complete() {
    let plan = ExhaustPlan { jobs: 2, division: FINE, ..ExhaustPlan::default() };
    let enough = |remaining: &dyn Fn() -> Remaining| match remaining().tally.executions {
        0..50 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let some = exhaust(&Small(vec![turns(0, 5), turns(0, 5)]), &plan, &All::default, &enough);
    assert!(some.ended == Ended::Interrupted && !some.complete, "{:?}", some.tally);
    assert!((50..252).contains(&some.tally.executions));
    assert_eq!(some.gathered.keys.len() as u64, some.tally.executions);
}

struct Panics;

impl Program for Panics {
    type World = Rc<World>;
    type Report = (Seen, TraceKey);

    fn build(&self) -> Rc<World> {
        World::new(&[turns(0, 4), turns(0, 4)])
    }

    fn run(&self, world: &mut Rc<World>, scheduler: &mut dyn Scheduler, run: u64) -> (Seen, TraceKey) {
        let report = Small(Vec::new()).run(world, scheduler, run);
        let last_first = report.0.marks[0].is_empty() && world.sched.steps() > 0;
        assert!(!last_first, "the program's own mistake");
        report
    }
}

#[test]
#[should_panic(expected = "the program's own mistake")]
fn a_panic_of_the_program_goes_through() {
    let plan = ExhaustPlan { jobs: 2, division: FINE, ..ExhaustPlan::default() };
    exhaust(&Panics, &plan, &All::default, &|_| ControlFlow::Continue(()));
}
