//! Explorations of a program on real engines.

use explore::{Accumulate, Ended, Explored, Plan, Program, Progress, Uniform, Verdict, explore, replay};
use mm_types::{Name, ObjId, TaskId};
use sched::{Config, Op, Outcome, Sched, Schedule, Scheduler};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Two tasks take two locks in opposite orders.
#[derive(Default)]
struct Abba {
    worlds_built: AtomicU64,
}

struct Locks {
    sched: Sched,
    held: [Cell<bool>; 2],
}

impl Locks {
    fn lock(&self, i: usize) {
        let id = ObjId(i as u64 + 1);
        self.sched.visible(Op::write(id));
        while self.held[i].get() {
            self.sched.block(id);
        }
        self.held[i].set(true);
    }

    fn unlock(&self, i: usize) {
        let id = ObjId(i as u64 + 1);
        self.sched.visible(Op::write(id));
        self.held[i].set(false);
        self.sched.wake_one(id);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Report {
    outcome: Outcome,
    schedule: Schedule,
}

impl Program for Abba {
    type World = Rc<Locks>;
    type Report = Report;

    fn build(&self) -> Rc<Locks> {
        self.worlds_built.fetch_add(1, Ordering::Relaxed);
        Rc::new(Locks { sched: Sched::new(Config::default()), held: Default::default() })
    }

    fn run(&self, world: &mut Rc<Locks>, scheduler: &mut dyn Scheduler, _run: u64) -> Report {
        world.sched.reset();
        world.held.iter().for_each(|held| held.set(false));
        for order in [[0, 1], [1, 0]] {
            let locks = Rc::clone(world);
            let body = move || {
                order.iter().for_each(|&i| locks.lock(i));
                order.iter().for_each(|&i| locks.unlock(i));
            };
            world.sched.spawn(Name::new("abba"), Box::new(body));
        }
        let outcome = world.sched.run(scheduler);
        Report { outcome, schedule: world.sched.schedule() }
    }
}

/// Keeps everything, and a deadlock is a finding.
#[derive(Default, PartialEq, Eq, Debug)]
struct All(Vec<(u64, Report)>);

impl Accumulate<Report> for All {
    fn add(&mut self, run: u64, report: Report) -> Verdict {
        let deadlock = matches!(report.outcome, Outcome::Deadlock { .. });
        self.0.push((run, report));
        if deadlock { Verdict::Finding } else { Verdict::Clean }
    }

    fn merge(&mut self, later: All) {
        self.0.extend(later.0);
    }
}

fn plan(runs: u64, jobs: usize, stop_at_first: bool) -> Plan<'static> {
    Plan { strategy: &Uniform, seed: 11, runs, jobs, stop_at_first }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn explored(plan: Plan<'_>) -> Explored<All> {
    explore(&Abba::default(), &plan, &All::default, &go_on)
}

#[test]
fn every_run_is_executed_once_and_reported_in_order() {
    for (runs, jobs) in [(0, 2), (1, 2), (7, 3), (1000, 1), (1000, 2), (40_001, 3)] {
        let result = explored(plan(runs, jobs, false));
        assert_eq!((result.runs, result.ended), (runs, Ended::AllRuns));
        assert!(result.accumulated.0.iter().map(|(run, _)| *run).eq(0..runs), "{runs} runs on {jobs} jobs");
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_jobs() {
    let one = explored(plan(3000, 1, false));
    assert!(one.accumulated.0.iter().any(|(_, r)| r.outcome == Outcome::Finished));
    assert!(one.first.is_some());
    for jobs in [0, 2, 5] {
        assert_eq!(explored(plan(3000, jobs, false)), one);
    }
}

#[test]
fn the_first_finding_is_the_first_by_number_of_run_and_nothing_after_it_is_kept() {
    for seed in 0..30 {
        let all = explored(Plan { seed, ..plan(500, 2, false) });
        let first = all.first.expect("opposite lock orders deadlock in some of 500 runs");
        for jobs in [1, 2, 4] {
            let result = explored(Plan { seed, ..plan(500, jobs, true) });
            assert_eq!((result.first, result.runs, result.ended), (Some(first), first + 1, Ended::FirstFinding));
            assert_eq!(result.accumulated.0[..], all.accumulated.0[..=first as usize]);
        }
    }
}

#[test]
fn a_found_run_replays() {
    let program = Abba::default();
    let result = explore(&program, &plan(500, 2, true), &All::default, &go_on);
    let (run, report) = result.accumulated.0.last().expect("a finding");
    assert_eq!(Some(*run), result.first);
    let replayed = replay(&program, *run, report.schedule.clone());
    assert_eq!((&replayed.report, replayed.unused), (report, 0));
    let mut longer = report.schedule.clone();
    longer.0.extend(report.schedule.0.clone());
    assert_eq!(replay(&program, *run, longer).unused, report.schedule.0.len());
}

#[test]
fn a_job_builds_one_world_at_most() {
    let program = Abba::default();
    let result = explore(&program, &plan(2000, 3, false), &All::default, &go_on);
    assert_eq!(result.runs, 2000);
    assert!((1..=3).contains(&program.worlds_built.load(Ordering::Relaxed)));
}

#[test]
fn progress_is_told_and_may_interrupt() {
    let last = Cell::new(None);
    let told = |progress: Progress| {
        assert!(progress.runs <= progress.of);
        last.set(Some(progress));
        ControlFlow::Continue(())
    };
    let all = explore(&Abba::default(), &plan(1000, 2, false), &All::default, &told);
    assert_eq!(last.get(), Some(Progress { runs: 1000, of: 1000, first: all.first }));

    let result = explore(&Abba::default(), &plan(1_000_000, 2, false), &All::default, &|_| ControlFlow::Break(()));
    assert_eq!(result.ended, Ended::Interrupted);
    assert!((1..500_000).contains(&result.runs), "{}", result.runs);
    assert_eq!(result.accumulated.0.len() as u64, result.runs);
    assert!(result.accumulated.0.is_sorted_by_key(|(run, _)| *run));
}

/// A program whose run 70 panics.
struct Broken;

impl Program for Broken {
    type World = TaskId;
    type Report = Report;

    fn build(&self) -> TaskId {
        TaskId(0)
    }

    fn run(&self, _world: &mut TaskId, _scheduler: &mut dyn Scheduler, run: u64) -> Report {
        assert_ne!(run, 70, "the simulator is broken");
        Report { outcome: Outcome::Finished, schedule: Schedule::default() }
    }
}

#[test]
#[should_panic(expected = "the simulator is broken")]
fn a_panic_of_the_program_goes_through() {
    explore(&Broken, &plan(1 << 40, 2, false), &All::default, &go_on);
}

#[test]
#[should_panic(expected = "the display is broken")]
fn a_panic_of_the_progress_callback_goes_through() {
    let broken = |progress: Progress| {
        assert!(progress.runs < 1000, "the display is broken");
        ControlFlow::Continue(())
    };
    explore(&Abba::default(), &plan(1_000_000, 2, false), &All::default, &broken);
}
