//! The validator beside others: warm acquire and release with 0, 3 and 7 other locks held, release in the order of taking,
//! new dependencies in four shapes, two threads.

use criterion::{BatchSize, BenchmarkGroup, Criterion, measurement::WallTime};
use shootdown_bench::Table;
use shootdown_bench::validator::peers::{Deloxide, Locks, NoDeadlocks, Ours, ParkingLot, TracingMutex};
use shootdown_bench::validator::{Cold, Fifo, Lock, Shape, Warm, scaling};
use std::hint::black_box;
use std::time::Duration;

const DEPTHS: [usize; 3] = [0, 3, 7];
/// The 15 ns of a mutex under the validator are meant where the bare one takes 5.2 ns; its two atomic operations cost three
/// times that on some virtual machines.
const ADDED: &str = "<= 9.8 ns";
/// How many locks are released in the order of taking.
const FIFO: [usize; 3] = [2, 4, 8];

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    warm(criterion, table);
    fifo(criterion, table);
    for classes in [1_000, 10_000] {
        cold(criterion, table, classes);
    }
    threads(table);
}

fn warm(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("validator_pair");
    for depth in DEPTHS {
        let mut ours = Warm::new(depth);
        group.bench_function(format!("ours_{depth}"), |b| b.iter(|| ours.pair()));
        warm_peer::<Ours>(&mut group, depth);
        warm_peer::<ParkingLot>(&mut group, depth);
        warm_peer::<TracingMutex>(&mut group, depth);
        warm_peer::<Deloxide>(&mut group, depth);
        warm_peer::<NoDeadlocks>(&mut group, depth);
    }
    let mut nested = Warm::nested(7);
    group.bench_function("ours_nested_7", |b| b.iter(|| nested.pair()));
    group.finish();

    for depth in DEPTHS {
        let ours = format!("validator_pair/ours_{depth}");
        pair_row::<TracingMutex>(table, &format!("acquire + release, warm, {depth} held"), &ours, depth, "<= 10 ns");
    }
    pair_row::<TracingMutex>(
        table,
        "the same under a nest_lock, 7 held",
        "validator_pair/ours_nested_7",
        7,
        "<= 10 ns",
    );
    for depth in DEPTHS {
        let inside = format!("validator_pair/{}", id::<Ours>(depth));
        let what = format!("lockdep-sync's mutex, {depth} held");
        pair_row::<TracingMutex>(table, &what, &inside, depth, "<= 15 ns");
        pair_row::<ParkingLot>(table, &what, &inside, depth, "<= 15 ns");
        pair_row::<Deloxide>(table, &what, &inside, depth, "<= 15 ns");
        pair_row::<NoDeadlocks>(table, &what, &inside, depth, "<= 15 ns");
        let bare = format!("validator_pair/{}", id::<ParkingLot>(depth));
        let what = format!("what lockdep-sync adds to parking_lot's, {depth} held");
        table.added(&what, &inside, &bare, ADDED);
    }
}

fn warm_peer<L: Lock>(group: &mut BenchmarkGroup<'_, WallTime>, depth: usize) {
    Locks::<L>::new(depth + 1).with_held(|lock| {
        group.bench_function(id::<L>(depth), |b| b.iter(|| drop(black_box(black_box(lock).lock()))));
    });
}

/// What criterion calls a peer's measurement.
fn id<L: Lock>(depth: usize) -> String {
    let name = L::NAME.split(' ').next().unwrap_or(L::NAME);
    format!("{}_{depth}", name.replace('-', "_"))
}

fn pair_row<L: Lock>(table: &mut Table, what: &str, ours: &str, depth: usize, budget: &'static str) {
    let peer = format!("validator_pair/{}", id::<L>(depth));
    table.row(what, ours, Some((&peer, L::NAME)), budget);
}

fn fifo(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("validator_fifo");
    for depth in FIFO {
        let mut ours = Fifo::new(depth);
        group.bench_function(format!("ours_{depth}"), |b| b.iter(|| ours.round()));
    }
    group.finish();
    for depth in FIFO {
        let (ours, two) = (format!("validator_fifo/ours_{depth}"), "validator_fifo/ours_2");
        let per = (depth as f64, 2.0);
        let what = format!("release in the order of taking, {depth} locks, a pair");
        table.row_per(&what, &ours, Some((two, "ours, 2 locks")), per, "no worse than linear");
    }
}

fn cold(criterion: &mut Criterion, table: &mut Table, classes: usize) {
    let mut group = criterion.benchmark_group(format!("validator_new_{classes}"));
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for shape in Shape::ALL {
        let (edges, name) = (shape.edges(classes), shape.name().replace(' ', "_"));
        for (manner, mixed) in [("plain", false), ("mixed", true)] {
            group.bench_function(format!("ours_{manner}_{name}"), |b| {
                let make = || Cold::new(classes, mixed);
                b.iter_batched_ref(make, |cold| cold.learn(&edges), BatchSize::PerIteration);
            });
        }
        // At 10,000 classes a peer that searches takes minutes.
        if classes <= 1_000 {
            group.bench_function(format!("tracing_mutex_{name}"), |b| {
                let make = || Locks::<TracingMutex>::new(classes);
                b.iter_batched_ref(make, |locks| locks.learn(&edges), BatchSize::PerIteration);
            });
        }
    }
    group.finish();
    for shape in Shape::ALL {
        let (edges, name) = (shape.edges(classes).len() as f64, shape.name().replace(' ', "_"));
        let tracing = format!("validator_new_{classes}/tracing_mutex_{name}");
        for manner in ["plain", "mixed"] {
            let what = format!("new dependency, {}, {classes} classes, {manner}", shape.name());
            let ours = format!("validator_new_{classes}/ours_{manner}_{name}");
            let peer = Some((tracing.as_str(), TracingMutex::NAME)).filter(|_| classes <= 1_000);
            table.row_per(&what, &ours, peer, (edges, edges), shape.budget(classes));
        }
    }
}

/// Not timed by criterion; left out where a filter is given that does not ask for it.
fn threads(table: &mut Table) {
    if !Table::wants("validator_threads") {
        return;
    }
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let scaling::Scaling { machine, ours, lockdep_sync, tracing_mutex, parking_lot } = scaling::measure();
    let measured = format!(
        "{} of the machine's x{machine:.2} (lockdep-sync {}, tracing-mutex {}, parking_lot {})",
        percent(ours),
        percent(lockdep_sync),
        percent(tracing_mutex),
        percent(parking_lot)
    );
    table.figure("warm pairs of two threads, median of nine", measured, ">= 95 %");
}
