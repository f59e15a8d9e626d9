//! Warm pairs, release in the order of taking, and new dependencies in four shapes.

use lockdep::{Acquire, ClassId, ClassSpec, Held, Lockdep, Nest, Run, Site, WaitType};
use std::hint::black_box;

fn classes(lockdep: &Lockdep, n: usize, wait: WaitType) -> Vec<ClassId> {
    (0..n).map(|i| lockdep.class(&ClassSpec::new(&format!("&lock{i}")).wait(wait))).collect()
}

/// A task that holds some locks of distinct classes, and takes and releases one more: a chain it has met.
#[derive(Debug)]
pub struct Warm {
    run: Run,
    held: Held,
    class: ClassId,
    instance: u64,
    nest: Option<Nest>,
    site: Site,
}

impl Warm {
    /// With `depth` locks held.
    #[must_use]
    pub fn new(depth: usize) -> Warm {
        let lockdep = Lockdep::new();
        let classes = classes(&lockdep, depth + 1, WaitType::Sleep);
        let mut warm = Warm {
            run: Run::new(lockdep),
            held: Held::new("bench", 1),
            class: classes[depth],
            instance: depth as u64 + 1,
            nest: None,
            site: Site::here(),
        };
        for (n, class) in classes[..depth].iter().enumerate() {
            let verdict = warm.run.acquire(&mut warm.held, *class, n as u64 + 1, Acquire::exclusive(), warm.site);
            assert!(verdict.is_ok());
        }
        warm.pair();
        warm
    }

    /// The same, where the one more is taken under a `nest_lock`: the outermost of the `depth` that are held.
    #[must_use]
    pub fn nested(depth: usize) -> Warm {
        let mut warm = Warm::new(depth);
        warm.nest = Some(Nest { instance: 1, class: None });
        warm.pair();
        warm
    }

    /// Acquires.
    #[inline]
    pub fn acquire(&mut self) {
        let (class, how) = (black_box(self.class), Acquire::exclusive());
        let verdict = match self.nest {
            None => self.run.acquire(&mut self.held, class, self.instance, how, self.site),
            Some(nest) => self.run.acquire_nest(&mut self.held, class, self.instance, how, nest, self.site),
        };
        assert!(verdict.is_ok());
    }

    /// Releases.
    #[inline]
    pub fn release(&mut self) {
        assert!(self.run.release(&mut self.held, black_box(self.instance), self.site).is_ok());
    }

    /// Both.
    #[inline]
    pub fn pair(&mut self) {
        self.acquire();
        self.release();
    }
}

/// Locks that are taken one inside the other and released in the order of taking: never the innermost, but for the last.
#[derive(Debug)]
pub struct Fifo {
    run: Run,
    held: Held,
    classes: Vec<ClassId>,
    site: Site,
}

impl Fifo {
    /// With `depth` locks.
    #[must_use]
    pub fn new(depth: usize) -> Fifo {
        let lockdep = Lockdep::new();
        let classes = classes(&lockdep, depth, WaitType::Sleep);
        let mut fifo = Fifo { run: Run::new(lockdep), held: Held::new("bench", 1), classes, site: Site::here() };
        fifo.round();
        fifo
    }

    /// Takes and releases all of them.
    pub fn round(&mut self) {
        for (n, class) in self.classes.iter().enumerate() {
            assert!(self.run.acquire(&mut self.held, *class, n as u64, Acquire::exclusive(), self.site).is_ok());
        }
        for n in 0..self.classes.len() {
            assert!(self.run.release(&mut self.held, black_box(n as u64), self.site).is_ok());
        }
    }
}

/// How dependencies come. All lead from a lower class to a higher one, so that there is no cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `0 -> 1`, `1 -> 2`, ...
    ForwardChain,
    /// The same, last dependency first.
    ReverseChain,
    /// `0 -> 1`, `0 -> 2`, ...
    Star,
    /// Four from each class to some of the next 64, in random order.
    Dag,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 4] = [Shape::ForwardChain, Shape::ReverseChain, Shape::Star, Shape::Dag];

    /// For the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Shape::ForwardChain => "forward chain",
            Shape::ReverseChain => "reverse chain",
            Shape::Star => "star",
            Shape::Dag => "dag",
        }
    }

    /// What a new dependency is meant to cost at most, of 1,000 and of 10,000 classes.
    #[must_use]
    pub const fn budget(self, classes: usize) -> &'static str {
        match (self, classes) {
            (Shape::ForwardChain | Shape::Star, _) => "<= 0.3 us",
            (_, ..=1_000) => "<= 1.5 us",
            _ => "<= 10 us",
        }
    }

    /// The dependencies between `n` classes, in the order in which they come.
    #[must_use]
    pub fn edges(self, n: usize) -> Vec<(usize, usize)> {
        match self {
            Shape::ForwardChain => (0..n - 1).map(|i| (i, i + 1)).collect(),
            Shape::ReverseChain => (0..n - 1).rev().map(|i| (i, i + 1)).collect(),
            Shape::Star => (1..n).map(|i| (0, i)).collect(),
            Shape::Dag => dag(n),
        }
    }
}

fn dag(n: usize) -> Vec<(usize, usize)> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut edges: Vec<(usize, usize)> = (0..n - 1)
        .flat_map(|i| std::array::from_fn::<_, 4, _>(|_| (i, i + 1 + (random() % 64) as usize)))
        .filter(|(_, to)| *to < n)
        .collect();
    for i in (1..edges.len()).rev() {
        edges.swap(i, (random() % (i as u64 + 1)) as usize);
    }
    edges
}

/// A run that is taught dependencies between classes.
///
/// Plainly, they are mutexes in task context, as a peer's are. *Mixed*, the lower half of the classes was held with
/// interrupts enabled and the upper half is used in a hardirq handler, every third is taken shared and every fifth
/// recursively: so every dependency has masks to hand on and to compare, and none is wrong.
#[derive(Debug)]
pub struct Cold {
    run: Run,
    held: Held,
    classes: Vec<ClassId>,
    mixed: bool,
    site: Site,
}

impl Cold {
    /// With `n` classes.
    #[must_use]
    pub fn new(n: usize, mixed: bool) -> Cold {
        let lockdep = Lockdep::new();
        let classes = classes(&lockdep, n, WaitType::Spin);
        let mut cold = Cold { run: Run::new(lockdep), held: Held::new("bench", 1), classes, mixed, site: Site::here() };
        if mixed {
            (0..n / 2).for_each(|class| cold.alone(class));
            cold.run.hardirqs_off(&mut cold.held, cold.site);
            cold.run.hardirq_enter(&mut cold.held);
            (n / 2..n).for_each(|class| cold.alone(class));
            cold.run.hardirq_exit(&mut cold.held);
        }
        cold
    }

    fn how(&self, class: usize) -> Acquire {
        match class {
            class if self.mixed && class % 5 == 4 => Acquire::recursive(),
            class if self.mixed && class % 3 == 2 => Acquire::shared(),
            _ => Acquire::exclusive(),
        }
    }

    fn alone(&mut self, class: usize) {
        let verdict =
            self.run.acquire(&mut self.held, self.classes[class], class as u64, Acquire::exclusive(), self.site);
        assert!(verdict.is_ok() && self.run.release(&mut self.held, class as u64, self.site).is_ok());
    }

    /// Learns dependencies: both locks are taken and released for each.
    pub fn learn(&mut self, edges: &[(usize, usize)]) {
        for (outer, inner) in edges {
            for class in [*outer, *inner] {
                let how = self.how(class);
                let verdict = self.run.acquire(&mut self.held, self.classes[class], class as u64, how, self.site);
                assert!(verdict.is_ok());
            }
            for class in [*inner, *outer] {
                assert!(self.run.release(&mut self.held, class as u64, self.site).is_ok());
            }
        }
    }
}
