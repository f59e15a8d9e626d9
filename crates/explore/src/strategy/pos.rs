//! Partial-order sampling.

use super::{Patience, Profile, Strategy, Walk, entry};
use sched::{ChoiceKind, Op, RandomScheduler, SchedView, Scheduler};
use std::sync::Arc;

/// Partial-order sampling: each pending operation has a random priority and the highest goes first. Those that race with it
/// draw a new one, so that an operation that lost once is not behind for ever.
///
/// A task's priority outlasts operations on objects that only it accesses: they are nothing to be ordered.
///
/// Source: Yuan, Yang, Gu, "Partial order aware concurrency sampling", CAV 2018.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pos;

impl Strategy for Pos {
    fn name(&self) -> String {
        "pos".to_owned()
    }

    fn profiled(&self) -> u64 {
        super::profile::RUNS
    }

    fn walk(&self, profile: &Arc<Profile>) -> Box<dyn Walk> {
        Box::new(PosWalk {
            profile: Arc::clone(profile),
            stream: RandomScheduler::new(0, 0),
            pending: Vec::new(),
            seen: 0,
            patience: Patience::default(),
        })
    }
}

/// What a task stands before, as far as is known, and its priority; 0: to be drawn.
#[derive(Clone, Copy)]
struct Pending {
    op: Op,
    priority: u64,
}

impl Default for Pending {
    fn default() -> Pending {
        Pending { op: Op::LOCAL, priority: 0 }
    }
}

struct PosWalk {
    profile: Arc<Profile>,
    stream: RandomScheduler,
    /// By task.
    pending: Vec<Pending>,
    seen: usize,
    patience: Patience,
}

impl PosWalk {
    fn catch_up(&mut self, now: &SchedView<'_>) {
        let log = now.log();
        for at in self.seen..log.steps().len() {
            let step = &log.steps()[at];
            if step.op != Op::LOCAL && !self.profile.is_private(step.task, step.op.object) {
                entry(&mut self.pending, step.task.0).priority = 0;
            }
            for (task, other) in self.pending.iter_mut().enumerate() {
                let races = |op: &Op| task != step.task.0 as usize && op.conflicts_with(other.op);
                if races(&step.op) || log.more(at).iter().any(races) {
                    other.priority = 0;
                }
            }
        }
        self.seen = log.steps().len();
    }
}

impl Walk for PosWalk {
    fn begin(&mut self, seed: u64, run: u64) {
        self.stream.begin(seed, run);
        self.pending.clear();
        self.seen = 0;
        self.patience.begin();
    }
}

impl Scheduler for PosWalk {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.catch_up(now);
        let mut best = (0, 0);
        for (index, task) in now.runnable.iter().enumerate() {
            let pending = entry(&mut self.pending, task.0);
            pending.op = now.next_op(index);
            if pending.priority == 0 {
                pending.priority = 1 + self.stream.below(1 << 32);
            }
            best = best.max((pending.priority, index));
        }
        let task = now.runnable[best.1].0;
        if self.patience.is_over(task) {
            self.patience.begin();
            *entry(&mut self.pending, task) = Pending { op: now.next_op(best.1), priority: 1 };
            return (best.1 + 1) % now.runnable.len();
        }
        best.1
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.stream.choose(kind, options)
    }

    fn wants_log(&self) -> bool {
        true
    }
}
