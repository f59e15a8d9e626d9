//! The validator's acquire and release, warm, with 0, 3 and 7 other locks held.

use criterion::Criterion;
use lockdep::{Acquire, ClassId, ClassSpec, Held, Lockdep, Run, Site};
use shootdown_bench::Table;
use std::hint::black_box;

const DEPTHS: [usize; 3] = [0, 3, 7];

/// A task that holds `depth` locks of distinct classes, and the class of one more.
struct Warm {
    run: Run,
    held: Held,
    class: ClassId,
    instance: u64,
    site: Site,
}

impl Warm {
    fn new(depth: usize) -> Warm {
        let lockdep = Lockdep::new();
        let classes: Vec<ClassId> = (0..=depth).map(|n| lockdep.class(&ClassSpec::new(&format!("&lock{n}")))).collect();
        let mut warm = Warm {
            run: Run::new(lockdep),
            held: Held::new("bench", 1),
            class: classes[depth],
            instance: depth as u64 + 1,
            site: Site::here(),
        };
        for (n, class) in classes[..depth].iter().enumerate() {
            let verdict = warm.run.acquire(&mut warm.held, *class, n as u64 + 1, Acquire::exclusive(), warm.site);
            assert!(verdict.is_ok());
        }
        warm
    }

    fn acquire(&mut self) {
        let verdict =
            self.run.acquire(&mut self.held, black_box(self.class), self.instance, Acquire::exclusive(), self.site);
        assert!(verdict.is_ok());
    }

    fn release(&mut self) {
        assert!(self.run.release(&mut self.held, black_box(self.instance), self.site).is_ok());
    }
}

/// Measures and adds the rows.
pub fn rows(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("validator_pair");
    for depth in DEPTHS {
        let mut warm = Warm::new(depth);
        group.bench_function(format!("ours_{depth}"), |b| {
            b.iter(|| {
                warm.acquire();
                warm.release();
            });
        });
        let inside = parking_lot::Mutex::new(0u64);
        group.bench_function(format!("ours_with_mutex_{depth}"), |b| {
            b.iter(|| {
                warm.acquire();
                drop(black_box(black_box(&inside).lock()));
                warm.release();
            });
        });

        use tracing_mutex::parkinglot::tracing;
        let locks: Vec<tracing::Mutex<u64>> = (0..=depth).map(|_| tracing::Mutex::new(0)).collect();
        let held: Vec<_> = locks[..depth].iter().map(|lock| lock.lock()).collect();
        group.bench_function(format!("tracing_mutex_{depth}"), |b| {
            b.iter(|| drop(black_box(black_box(&locks[depth]).lock())))
        });
        drop(held);
    }
    let bare = parking_lot::Mutex::new(0u64);
    group.bench_function("parking_lot", |b| b.iter(|| drop(black_box(black_box(&bare).lock()))));
    group.finish();

    for depth in DEPTHS {
        let tracing = format!("validator_pair/tracing_mutex_{depth}");
        let peer = Some((tracing.as_str(), "tracing-mutex, with its lock"));
        let ours = format!("validator_pair/ours_{depth}");
        let inside = format!("validator_pair/ours_with_mutex_{depth}");
        table.row(&format!("acquire + release, warm, {depth} held"), &ours, peer, "<= 10 ns");
        table.row(&format!("the same with a parking_lot mutex inside, {depth} held"), &inside, peer, "<= 15 ns");
    }
    let bare = Some(("validator_pair/parking_lot", "parking_lot, no validator"));
    table.row("the same, 7 held, beside the lock alone", "validator_pair/ours_with_mutex_7", bare, "<= 15 ns");
}
