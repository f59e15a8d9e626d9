//! A step and a schedule: two tasks that take a lock, increment and release it ten times, in random runs.

use criterion::Criterion;
use ksync::{Kernel, KernelConfig};
use lockdep::Lockdep;
use mm_types::Name;
use properties::Oracles;
use sched::RandomScheduler;
use shootdown_bench::{Bare, Table};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId as ShuttleTask};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use trace::{RunEnd, RunHash};

const TASKS: u64 = 2;
const TIMES: u64 = 10;
/// Runs over which steps are counted.
const COUNTED: u64 = 1_000;

/// One run of the counter on a real lock, under the validator, with the schedule recorded; its steps.
fn judged(kernel: &Kernel, name: Name, scheduler: &mut RandomScheduler, run: u64) -> u64 {
    kernel.reset();
    scheduler.begin(1, run);
    kernel.enter(|k| {
        let lock = Arc::new(k.mutex("counter", 0u64));
        for _ in 0..TASKS {
            let lock = Arc::clone(&lock);
            k.spawn(name, move || {
                for _ in 0..TIMES {
                    *lock.lock() += 1;
                }
            });
        }
    });
    assert_eq!(kernel.run(scheduler), RunEnd::Finished);
    kernel.steps()
}

fn judged_kernel() -> Kernel {
    Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() })
}

/// The same program for shuttle.
fn shuttle_counter() {
    use shuttle::sync::{Arc, Mutex};
    let count = Arc::new(Mutex::new(0u64));
    let others: Vec<_> = (1..TASKS)
        .map(|_| {
            let count = count.clone();
            shuttle::thread::spawn(move || (0..TIMES).for_each(|_| *count.lock().unwrap() += 1))
        })
        .collect();
    (0..TIMES).for_each(|_| *count.lock().unwrap() += 1);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(*count.lock().unwrap(), TASKS * TIMES);
}

fn shuttle_config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.silence_warnings = true;
    config
}

fn shuttle_runs(runs: u64) -> Duration {
    let scheduler = shuttle::scheduler::RandomScheduler::new_from_seed(1, runs as usize);
    let runner = shuttle::Runner::new(scheduler, shuttle_config());
    let start = Instant::now();
    assert_eq!(runner.run(shuttle_counter), runs as usize);
    start.elapsed()
}

/// Counts the steps of shuttle's runs.
#[derive(Debug)]
struct Counting<S>(S, Arc<AtomicU64>);

impl<S: Scheduler> Scheduler for Counting<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.0.new_execution()
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<ShuttleTask>, yields: bool) -> Option<ShuttleTask> {
        self.1.fetch_add(1, Relaxed);
        self.0.next_task(runnable, current, yields)
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

fn shuttle_steps_a_run() -> f64 {
    let steps = Arc::new(AtomicU64::new(0));
    let random = shuttle::scheduler::RandomScheduler::new_from_seed(1, COUNTED as usize);
    shuttle::Runner::new(Counting(random, Arc::clone(&steps)), shuttle_config()).run(shuttle_counter);
    steps.load(Relaxed) as f64 / COUNTED as f64
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    let name = Name::new("counts");
    let mut scheduler = RandomScheduler::new(1, 0);
    let bare = Bare::new(TASKS, TIMES);
    let kernel = judged_kernel();
    let observed = judged_kernel();
    observed.set_observer(Some(Rc::new(RefCell::new(RunHash::default()))));
    let oracles = Rc::new(RefCell::new(Oracles::all()));
    let watched = judged_kernel();
    watched.set_observer(Some(oracles.clone()));

    let bare_steps = (0..COUNTED).map(|run| bare.random(&mut scheduler, run)).sum::<u64>() as f64 / COUNTED as f64;
    let steps = (0..COUNTED).map(|run| judged(&kernel, name, &mut scheduler, run)).sum::<u64>() as f64 / COUNTED as f64;
    let shuttle_steps = shuttle_steps_a_run();

    let mut group = criterion.benchmark_group("schedule_2x10");
    let mut run = 0;
    let mut next = move || {
        run += 1;
        run
    };
    group.bench_function("bare", |b| b.iter(|| bare.random(&mut scheduler, next())));
    group.bench_function("judged", |b| b.iter(|| judged(&kernel, name, &mut scheduler, next())));
    group.bench_function("hashed", |b| b.iter(|| judged(&observed, name, &mut scheduler, next())));
    group.bench_function("watched", |b| {
        b.iter(|| {
            oracles.borrow_mut().reset();
            judged(&watched, name, &mut scheduler, next())
        })
    });
    group.bench_function("shuttle", |b| b.iter_custom(shuttle_runs));
    group.finish();

    let shuttle = Some(("schedule_2x10/shuttle", "shuttle 0.9.9, random"));
    let (ours, judged) = ("schedule_2x10/bare", "schedule_2x10/judged");
    table.row("schedule 2 x 10 lock/unlock, bare", ours, shuttle, "<= 1 us (1 M/s)");
    table.row("schedule, lockdep and recorded choices", judged, shuttle, "<= 2 us (500,000/s)");
    table.row("schedule, the same and every event hashed", "schedule_2x10/hashed", shuttle, "-");
    table.row("schedule, the same and every oracle looking on", "schedule_2x10/watched", shuttle, "-");
    table.row_per("a step of it, bare", ours, shuttle, (bare_steps, shuttle_steps), "<= 20 ns");
    table.row_per("a step of it, lockdep and recorded choices", judged, shuttle, (steps, shuttle_steps), "<= 40 ns");
}
