//! Explorations: every trace of a counter, and random runs on one core and on two.

use criterion::Criterion;
use explore::{Accumulate, ExhaustPlan, Gather, Plan, Uniform, Verdict, exhaust};
use shootdown_bench::{Counter, Table, loom_counter};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Of which loom explores everything in a few milliseconds.
const LOOM_TIMES: usize = 4;
/// Random runs of one exploration.
const RUNS: u64 = 1 << 16;

struct Nothing;

impl Gather<()> for Nothing {
    fn add(&mut self, (): (), _course: &mut dyn FnMut() -> Option<explore::Course>) -> Verdict {
        Verdict::Clean
    }

    fn merge(&mut self, _other: Nothing) {}
}

impl Accumulate<()> for Nothing {
    fn add(&mut self, _run: u64, (): ()) -> Verdict {
        Verdict::Clean
    }

    fn merge(&mut self, _later: Nothing) {}
}

/// Runs of a complete exploration.
fn explore_all(counter: Counter, jobs: usize) -> u64 {
    let plan = ExhaustPlan { jobs, ..ExhaustPlan::default() };
    let explored = exhaust(&counter, &plan, &|| Nothing, &|_| ControlFlow::Continue(()));
    assert!(explored.complete);
    explored.tally.executions
}

fn explore_all_by_loom(times: usize) -> u64 {
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.log = false;
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        loom_counter(2, times);
    });
    runs.load(Relaxed)
}

fn explore_at_random(jobs: usize) {
    let plan = Plan { strategy: &Uniform, seed: 1, runs: RUNS, jobs, stop_at_first: false };
    let counter = Counter { tasks: 2, times: 10 };
    let explored = explore::explore(&counter, &plan, &|| Nothing, &|_| ControlFlow::Continue(()));
    assert_eq!(explored.runs, RUNS);
}

/// What two cores can do at best: arithmetic that shares nothing, divided among `jobs` threads.
fn calibrate(jobs: u64) {
    let part = || {
        let mut x = 1u64;
        for i in 0..(RUNS * 512 / jobs) {
            x = black_box(x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(i));
        }
        x
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(part))));
}

/// Every trace of 2 x 10, once by us and once by loom, which takes too long for criterion to sample.
fn against_loom(table: &mut Table) {
    if !Table::wants("exhaustive/loom_2x10") {
        return;
    }
    let timed = |explore: &dyn Fn() -> u64| {
        let start = Instant::now();
        let runs = explore();
        (runs, start.elapsed().as_secs_f64())
    };
    let (runs, seconds) = timed(&|| explore_all(Counter { tasks: 2, times: 10 }, 1));
    let (loom_runs, loom_seconds) = timed(&|| explore_all_by_loom(10));
    let measured = format!(
        "{seconds:.3} s, {runs} runs; loom 0.7.3 {loom_seconds:.1} s, {loom_runs} runs: {:.0} times as long",
        loom_seconds / seconds
    );
    table.figure("every trace of 2 x 10 lock/unlock, one core, once", measured, "<= 0.25 s, 184,756 runs");
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    let (two, three) = (Counter { tasks: 2, times: 10 }, Counter { tasks: 3, times: 5 });
    let mut group = criterion.benchmark_group("exhaustive");
    group.sample_size(10);
    for jobs in [1, 2] {
        group.bench_function(format!("counter_2x10_{jobs}"), |b| {
            b.iter(|| assert_eq!(explore_all(two, jobs), 184_756));
        });
        group.bench_function(format!("counter_3x5_{jobs}"), |b| {
            b.iter(|| assert_eq!(explore_all(three, jobs), 756_756));
        });
    }
    group.bench_function("loom", |b| b.iter(|| explore_all_by_loom(LOOM_TIMES)));
    group.finish();

    let mut group = criterion.benchmark_group("cores");
    group.sample_size(20);
    for jobs in [1, 2] {
        group.bench_function(format!("random_{jobs}"), |b| b.iter(|| explore_at_random(jobs)));
        group.bench_function(format!("calibration_{jobs}"), |b| b.iter(|| calibrate(jobs as u64)));
    }
    group.finish();

    against_loom(table);
    let loom_runs = explore_all_by_loom(LOOM_TIMES) as f64;
    let loom = Some(("exhaustive/loom", "loom 0.7.3, 2 x 4"));
    for (jobs, cores) in [(1, "one core"), (2, "two cores")] {
        let (two, three) = (format!("exhaustive/counter_2x10_{jobs}"), format!("exhaustive/counter_3x5_{jobs}"));
        table.row(&format!("every trace of 2 x 10 lock/unlock (184,756), {cores}"), &two, None, "<= 250 ms");
        table.row(&format!("every trace of 3 x 5 lock/unlock (756,756), {cores}"), &three, None, "<= 1 s");
    }
    table.row_per("an execution of 2 x 10", "exhaustive/counter_2x10_1", loom, (184_756.0, loom_runs), "<= 1.35 us");
    let one = Some(("cores/random_1", "the same, one core"));
    table.row("65,536 random runs of 2 x 10, two cores", "cores/random_2", one, "ratio as the next row, to 5 %");
    let one = Some(("cores/calibration_1", "the same, one core"));
    table.row("a calibration loop, two cores", "cores/calibration_2", one, "-");
}
