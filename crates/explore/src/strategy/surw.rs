//! Selectively uniform random walk.

use super::{Patience, Profile, Strategy, Walk, entry, profile};
use mm_types::{ObjId, TaskId};
use sched::{ChoiceKind, Op, RandomScheduler, SchedView, Scheduler};
use std::sync::Arc;

/// Selectively uniform random walk: each run cares for one shared object, drawn anew, and samples the orders of the accesses
/// to it uniformly: whose access is next is drawn with the tasks' numbers of accesses left as weights, and that task goes
/// on until it has made it. Where no order of that object is left to be drawn, the current task goes on.
///
/// Source: Zhao, Wolff, Mathur, Roychoudhury, "Selectively uniform concurrency testing", ASPLOS 2025. There, tasks that do not
/// stand before an access of interest go on at random; here only the drawn one does, so that what is between two
/// accesses of interest stays together, and a run has as few preemptions as the order needs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Surw;

impl Strategy for Surw {
    fn name(&self) -> String {
        "surw".to_owned()
    }

    fn profiled(&self) -> u64 {
        profile::RUNS
    }

    fn walk(&self, profile: &Arc<Profile>) -> Box<dyn Walk> {
        Box::new(SurwWalk {
            profile: Arc::clone(profile),
            stream: RandomScheduler::new(0, 0),
            object: None,
            done: Vec::new(),
            drawn: None,
            seen: 0,
            patience: Patience::default(),
        })
    }
}

struct SurwWalk {
    profile: Arc<Profile>,
    stream: RandomScheduler,
    /// Whose orders are sampled.
    object: Option<ObjId>,
    /// By task: accesses of interest made.
    done: Vec<u32>,
    /// Whose access is next.
    drawn: Option<TaskId>,
    seen: usize,
    patience: Patience,
}

impl SurwWalk {
    fn is_of_interest(&self, op: Op) -> bool {
        Some(op.object) == self.object && profile::decides(op)
    }

    fn catch_up(&mut self, now: &SchedView<'_>) {
        let log = now.log();
        for at in self.seen..log.steps().len() {
            let step = &log.steps()[at];
            if self.is_of_interest(step.op) || log.more(at).iter().any(|op| self.is_of_interest(*op)) {
                *entry(&mut self.done, step.task.0) += 1;
                self.drawn = None;
            }
        }
        self.seen = log.steps().len();
    }

    /// Accesses of interest that `task` is still to make.
    fn left(&self, task: TaskId) -> u64 {
        let Some(object) = self.object else { return 0 };
        let done = self.done.get(task.0 as usize).copied().unwrap_or(0);
        u64::from(self.profile.uses(task, object).saturating_sub(done))
    }

    fn draw(&mut self, now: &SchedView<'_>) -> usize {
        let left: u64 = now.runnable.iter().map(|task| self.left(*task)).sum();
        if left == 0 {
            let any = |stream: &mut RandomScheduler| stream.below(now.runnable.len() as u64) as usize;
            return now.current_index().unwrap_or_else(|| any(&mut self.stream));
        }
        let mut place = self.stream.below(left);
        for (index, task) in now.runnable.iter().enumerate() {
            let weight = self.left(*task);
            if place < weight {
                return index;
            }
            place -= weight;
        }
        unreachable!("the weights add up to their sum")
    }
}

impl Walk for SurwWalk {
    fn begin(&mut self, seed: u64, run: u64) {
        self.stream.begin(seed, run);
        let shared = self.profile.shared();
        let place = self.stream.below(shared.len().max(1) as u64);
        self.object = shared.get(place as usize).copied();
        self.done.clear();
        self.drawn = None;
        self.seen = 0;
        self.patience.begin();
    }
}

impl Scheduler for SurwWalk {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.catch_up(now);
        let drawn = self.drawn.and_then(|task| now.runnable.binary_search(&task).ok());
        let mut index = drawn.unwrap_or_else(|| self.draw(now));
        if self.patience.is_over(now.runnable[index].0) {
            self.patience.begin();
            index = (index + 1 + self.stream.below(now.runnable.len() as u64 - 1) as usize) % now.runnable.len();
        }
        self.drawn = Some(now.runnable[index]);
        index
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.stream.choose(kind, options)
    }

    fn wants_log(&self) -> bool {
        true
    }
}
