//! What the validator costs: a warm pair, out-of-order release, a new dependency in four shapes, two threads.
//!
//! `cargo run --release -p lockdep --example cost`. The comparison with other validators is in `bench/`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock and prints"
)]

use std::hint::black_box;
use std::time::Instant;

use lockdep::{Acquire, ClassId, ClassSpec, Held, Lockdep, Nest, Run, SharedRun, Site, WaitType};

fn main() {
    // The name of a part, to run that alone under a profiler.
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    for depth in [0, 3, 7].into_iter().filter(|_| wanted("warm")) {
        println!("warm pair, {depth} held: {} ns; nested {} ns", warm(depth, false), warm(depth, true));
    }
    let depths = |all: &'static [usize]| {
        let one = std::env::args().nth(2).and_then(|depth| depth.parse::<usize>().ok());
        all.iter().copied().filter(move |depth| one.is_none_or(|one| one == *depth))
    };
    for depth in depths(&[2, 4, 8, 16, 32]).filter(|_| wanted("fifo")) {
        println!("release in the order of taking, {depth} held: {} ns a pair", fifo(depth));
    }
    for n in [1_000, 10_000].into_iter().filter(|_| wanted("cold")) {
        let shape = std::env::args().nth(2);
        for (name, edges) in shapes(n).into_iter().filter(|(name, _)| shape.as_deref().is_none_or(|s| s == *name)) {
            let mut best = f64::MAX;
            for _ in 0..7 {
                best = best.min(cold(n, &edges));
            }
            println!("new dependency, {name}, {n} classes, {} edges: {best:.3} us", edges.len());
        }
    }
    for threads in [1, 2].into_iter().filter(|_| wanted("threads")) {
        println!("{threads} threads: {} million pairs/s", threaded(threads));
    }
}

/// The median of nine, and the best: what it is when nothing else runs.
#[derive(Clone, Copy)]
struct Nine {
    median: f64,
    best: f64,
}

impl std::fmt::Display for Nine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} (best {:.1})", self.median, self.best)
    }
}

fn nine(mut f: impl FnMut() -> f64) -> Nine {
    let mut v: Vec<f64> = (0..9).map(|_| f()).collect();
    v.sort_by(f64::total_cmp);
    Nine { median: v[4], best: v[0] }
}

fn classes(lockdep: &Lockdep, n: usize) -> Vec<ClassId> {
    (0..n).map(|i| lockdep.class(&ClassSpec::new(&format!("c{i}")).wait(WaitType::Sleep))).collect()
}

fn warm(depth: usize, nested: bool) -> Nine {
    let lockdep = Lockdep::new();
    let classes = classes(&lockdep, depth + 2);
    let (mut run, mut held, site) = (Run::new(lockdep), Held::new("t", 1), Site::here());
    let nest = Nest { instance: 100, class: Some(classes[depth + 1]) };
    if nested {
        let _ = run.acquire(&mut held, classes[depth + 1], 100, Acquire::exclusive(), site);
    }
    for (i, class) in classes[..depth].iter().enumerate() {
        let _ = run.acquire(&mut held, *class, i as u64 + 1, Acquire::exclusive(), site);
    }
    nine(|| {
        let (n, t) = (100_000, Instant::now());
        for _ in 0..n {
            let class = black_box(classes[depth]);
            let verdict = match nested {
                true => run.acquire_nest(&mut held, class, 99, Acquire::exclusive(), nest, site),
                false => run.acquire(&mut held, class, 99, Acquire::exclusive(), site),
            };
            assert!(verdict.is_ok());
            assert!(run.release(&mut held, black_box(99), site).is_ok());
        }
        t.elapsed().as_nanos() as f64 / f64::from(n)
    })
}

fn fifo(depth: usize) -> Nine {
    let lockdep = Lockdep::new();
    let classes = classes(&lockdep, depth);
    let (mut run, mut held, site) = (Run::new(lockdep), Held::new("t", 1), Site::here());
    nine(|| {
        let (n, t) = (20_000, Instant::now());
        for _ in 0..n {
            for (i, class) in classes.iter().enumerate() {
                let _ = run.acquire(&mut held, *class, i as u64, Acquire::exclusive(), site);
            }
            for i in 0..depth {
                let _ = run.release(&mut held, i as u64, site);
            }
        }
        t.elapsed().as_nanos() as f64 / (f64::from(n) * depth as f64)
    })
}

fn shapes(n: usize) -> Vec<(&'static str, Vec<(usize, usize)>)> {
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let mut dag = Vec::new();
    for i in 0..n - 1 {
        for _ in 0..4 {
            let j = i + 1 + (random() % 64) as usize;
            if j < n {
                dag.push((i, j));
            }
        }
    }
    for i in (1..dag.len()).rev() {
        dag.swap(i, (random() % (i as u64 + 1)) as usize);
    }
    vec![
        ("forward chain", (0..n - 1).map(|i| (i, i + 1)).collect()),
        ("reverse chain", (0..n - 1).rev().map(|i| (i, i + 1)).collect()),
        ("star", (1..n).map(|i| (0, i)).collect()),
        ("dag", dag),
    ]
}

fn cold(n: usize, edges: &[(usize, usize)]) -> f64 {
    let lockdep = Lockdep::new();
    let classes = classes(&lockdep, n);
    let (mut run, mut held, site) = (Run::new(lockdep), Held::new("t", 1), Site::here());
    let t = Instant::now();
    for (a, b) in edges {
        assert!(run.acquire(&mut held, classes[*a], *a as u64, Acquire::exclusive(), site).is_ok());
        assert!(run.acquire(&mut held, classes[*b], *b as u64, Acquire::exclusive(), site).is_ok());
        let _ = run.release(&mut held, *b as u64, site);
        let _ = run.release(&mut held, *a as u64, site);
    }
    t.elapsed().as_secs_f64() * 1e6 / edges.len() as f64
}

fn threaded(threads: usize) -> Nine {
    let lockdep = Lockdep::new();
    let classes = classes(&lockdep, 4);
    let shared = SharedRun::new(lockdep);
    let barrier = std::sync::Barrier::new(threads);
    nine(|| {
        let per_thread = || {
            let (mut run, mut held, site) = (shared.attach(), Held::new("t", 1), Site::here());
            for (i, class) in classes[..3].iter().enumerate() {
                let _ = run.acquire(&mut held, *class, i as u64, Acquire::exclusive(), site);
            }
            barrier.wait();
            let (n, t) = (4_000_000, Instant::now());
            for _ in 0..n {
                let _ = run.acquire(&mut held, black_box(classes[3]), 9, Acquire::exclusive(), site);
                let _ = run.release(&mut held, black_box(9), site);
            }
            f64::from(n) / t.elapsed().as_secs_f64() / 1e6
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(per_thread)).collect();
            handles.into_iter().map(|handle| handle.join().expect("a thread")).sum()
        })
    })
}
