//! Two threads against one: how much of what the machine gives is left.
//!
//! A loop that touches nothing shared scales as the machine does on the day: often less than twice, on a shared one. The
//! figure is the validator's scaling divided by that loop's, both measured in turns; the median of nine.

use crate::validator::Lock;
use lockdep::{Acquire, ClassSpec, Held, Lockdep, SharedRun, Site};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long each thread counts.
const TIME: Duration = Duration::from_millis(60);
/// Operations between two looks at the clock.
const BATCH: u64 = 4096;
/// Locks held besides.
const HELD: usize = 3;

/// The operations a second that `threads` do together; each makes its own `state` first.
fn rate<S>(threads: usize, state: impl Fn() -> S + Sync, operation: impl Fn(&mut S) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let thread = || {
        let mut state = state();
        operation(&mut state);
        barrier.wait();
        let (begun, mut done) = (Instant::now(), 0_u64);
        while begun.elapsed() < TIME {
            (0..BATCH).for_each(|_| operation(&mut state));
            done += BATCH;
        }
        done as f64 / begun.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a counting thread")).sum()
    })
}

fn calibration(threads: usize) -> f64 {
    rate(threads, || 1_u64, |x| *x = black_box(*x).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
}

/// Warm pairs a second of threads that teach one graph, each with locks of its own.
fn ours(threads: usize) -> f64 {
    let lockdep = Lockdep::new();
    let classes: Vec<_> = (0..=HELD).map(|n| lockdep.class(&ClassSpec::new(&format!("&lock{n}")))).collect();
    let shared = SharedRun::new(lockdep);
    let site = Site::here();
    let state = || {
        let (mut run, mut held) = (shared.attach(), Held::new("bench", 1));
        for (n, class) in classes[..HELD].iter().enumerate() {
            assert!(run.acquire(&mut held, *class, n as u64, Acquire::exclusive(), site).is_ok());
        }
        (run, held)
    };
    rate(threads, state, |(run, held)| {
        let verdict = run.acquire(held, black_box(classes[HELD]), 9, Acquire::exclusive(), site);
        assert!(verdict.is_ok() && run.release(held, black_box(9), site).is_ok());
    })
}

/// The same of a peer's locks: as many locks held, of each thread's own. Guards cannot be kept beside their locks, so the
/// locks live as long as the program.
fn peer<L: Lock>(threads: usize) -> f64 {
    let state = || {
        let locks: &'static [L] = Box::leak((0..=HELD).map(|_| L::new()).collect());
        let guards: Vec<_> = locks[..HELD].iter().map(Lock::lock).collect();
        (guards, &locks[HELD])
    };
    rate(threads, state, |(_, lock)| drop(black_box(black_box(*lock).lock())))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What the two-thread figures came to.
#[derive(Clone, Copy, Debug)]
pub struct Scaling {
    /// Of the calibration loop.
    pub machine: f64,
    /// Of the validator, divided by that of the calibration loop in the same turn.
    pub ours: f64,
    /// Of `lockdep-sync`'s mutex, likewise.
    pub lockdep_sync: f64,
    /// Of tracing-mutex, likewise.
    pub tracing_mutex: f64,
    /// Of parking_lot, likewise.
    pub parking_lot: f64,
}

/// Measures in nine turns; the median of each.
#[must_use]
pub fn measure() -> Scaling {
    use crate::validator::peers::{Ours, ParkingLot, TracingMutex};
    let twice = |rate: fn(usize) -> f64| rate(2) / rate(1);
    let turns: Vec<[f64; 5]> = (0..9)
        .map(|_| {
            let machine = twice(calibration);
            let rates = [ours, peer::<Ours>, peer::<TracingMutex>, peer::<ParkingLot>];
            let [ours, lockdep_sync, tracing_mutex, parking_lot] = rates.map(|rate| twice(rate) / machine);
            [machine, ours, lockdep_sync, tracing_mutex, parking_lot]
        })
        .collect();
    let of = |column: usize| median(turns.iter().map(|turn| turn[column]).collect());
    Scaling { machine: of(0), ours: of(1), lockdep_sync: of(2), tracing_mutex: of(3), parking_lot: of(4) }
}
