//! Allocation failures at every point: benign runs in which one allocation fails, or every one from there on.

use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use sched::{ChoiceKind, SchedView, Scheduler};

/// Which allocations of a run fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    /// The one.
    Only,
    /// It, and every one after it.
    FromThere,
}

impl Which {
    pub(super) const ALL: [Which; 2] = [Which::Only, Which::FromThere];
}

/// Benign choices, but for allocations.
pub(super) struct Failing {
    benign: RecipeScheduler,
    which: Which,
    /// From 1.
    nth: u32,
    /// Allocations so far.
    asked: u32,
}

impl Failing {
    pub(super) fn new(seed: u64, which: Which, nth: u32) -> Failing {
        let benign = RecipeScheduler::new(Recipe { mode: Mode::Benign, seed, run: 0 });
        Failing { benign, which, nth, asked: 0 }
    }

    /// Whether the run had that many allocations: if not, there are no more points.
    pub(super) fn reached(&self) -> bool {
        self.asked >= self.nth
    }
}

impl Scheduler for Failing {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.benign.next_task(now)
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        if kind != ChoiceKind::AllocFails {
            return self.benign.choose(kind, options);
        }
        self.asked += 1;
        let fails = match self.which {
            Which::Only => self.asked == self.nth,
            Which::FromThere => self.asked >= self.nth,
        };
        u32::from(fails)
    }
}
