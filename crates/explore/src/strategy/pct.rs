//! Priorities that change at a few places.

use super::{Patience, Profile, Strategy, Walk, entry};
use sched::{ChoiceKind, RandomScheduler, SchedView, Scheduler};
use std::sync::Arc;

/// Probabilistic concurrency testing: each task has a random priority and the highest goes on; at `depth - 1` random places
/// the one that would go on falls below all others. A bug that needs `depth` ordering constraints is found with
/// probability at least 1 / (tasks x places^(depth - 1)).
///
/// A place is a conflicting operation rather than any step: padding costs nothing. How many places a run has differs from run to run (a task that returns early has
/// fewer), so that the number among which they are drawn is itself drawn, up to half as many again as were seen. The first place is
/// left out: a change there is another order of priorities.
///
/// Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding
/// bugs", ASPLOS 2010.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pct {
    /// Ordering constraints of the bugs looked for; at least 1.
    pub depth: u32,
}

impl Default for Pct {
    fn default() -> Pct {
        Pct { depth: 3 }
    }
}

impl Strategy for Pct {
    fn name(&self) -> String {
        format!("pct:{}", self.depth)
    }

    fn profiled(&self) -> u64 {
        super::profile::RUNS
    }

    fn walk(&self, profile: &Arc<Profile>) -> Box<dyn Walk> {
        Box::new(PctWalk {
            depth: self.depth.max(1),
            profile: Arc::clone(profile),
            stream: RandomScheduler::new(0, 0),
            priorities: Vec::new(),
            changes: Vec::new(),
            lowest: LOWERED,
            seen: 0,
            passed: 0,
            patience: Patience::default(),
        })
    }
}

/// Lowered priorities are below this, first ones above.
const LOWERED: u64 = 1 << 32;

struct PctWalk {
    depth: u32,
    profile: Arc<Profile>,
    stream: RandomScheduler,
    /// By task; 0: not met yet.
    priorities: Vec<u64>,
    /// invariant: descending, so that the next is the last
    changes: Vec<u32>,
    lowest: u64,
    /// Steps of the log that are counted in `passed`.
    seen: usize,
    /// Conflicting operations so far.
    passed: u32,
    patience: Patience,
}

impl PctWalk {
    fn draw_changes(&mut self) {
        self.changes.clear();
        let places = u64::from(self.depth - 1);
        // Half as many again: a task may get further than it did in any of the profiled runs.
        let most = u64::from(self.profile.conflicting()) * 3 / 2 + places + 1;
        let of = places + self.stream.below(most - places);
        while self.changes.len() < places as usize {
            let place = 1 + self.stream.below(of) as u32;
            if !self.changes.contains(&place) {
                self.changes.push(place);
            }
        }
        self.changes.sort_unstable_by(|a, b| b.cmp(a));
    }

    fn catch_up(&mut self, now: &SchedView<'_>) {
        let steps = now.log().steps();
        let new = steps[self.seen..].iter().filter(|step| self.profile.conflicts(step.task, step.op));
        self.passed += new.count() as u32;
        self.seen = steps.len();
    }

    fn highest(&mut self, now: &SchedView<'_>) -> usize {
        let mut best = (0, 0);
        for (index, task) in now.runnable.iter().enumerate() {
            let priority = entry(&mut self.priorities, task.0);
            if *priority == 0 {
                *priority = LOWERED + 1 + self.stream.below(1 << 32);
            }
            best = best.max((*priority, index));
        }
        best.1
    }

    fn lower(&mut self, task: u32) {
        self.lowest -= 1;
        *entry(&mut self.priorities, task) = self.lowest;
    }
}

impl Walk for PctWalk {
    fn begin(&mut self, seed: u64, run: u64) {
        self.stream.begin(seed, run);
        self.priorities.clear();
        self.lowest = LOWERED;
        (self.seen, self.passed) = (0, 0);
        self.patience.begin();
        self.draw_changes();
    }
}

impl Scheduler for PctWalk {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.catch_up(now);
        loop {
            let index = self.highest(now);
            let task = now.runnable[index].0;
            let here = self.changes.last().is_some_and(|place| *place <= self.passed);
            if here && self.profile.conflicts(now.runnable[index], now.next_op(index)) {
                self.changes.pop();
            } else if !self.patience.is_over(task) {
                return index;
            }
            self.lower(task);
        }
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.stream.choose(kind, options)
    }

    fn wants_log(&self) -> bool {
        true
    }
}
