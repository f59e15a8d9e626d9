//! What a few runs of a program show of it.

use crate::{Program, Strategy};
use mm_types::{ObjId, TaskId};
use sched::{Access, ChoiceKind, EndView, Op, RandomScheduler, SchedView, Scheduler};
use std::collections::BTreeMap;

/// Runs that a strategy which wants to know the program looks at: enough that each task has got to its end in one of them.
pub(super) const RUNS: u64 = 8;

/// What tasks access, and how often: the most that any of the profiled runs showed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Profile {
    uses: BTreeMap<ObjId, Uses>,
    shared: Vec<ObjId>,
    conflicting: u32,
}

/// How one object is used.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Uses {
    /// By task: accesses whose place is a decision.
    by_task: BTreeMap<TaskId, u32>,
    changed: bool,
}

/// Whether the place of an operation among others is a decision of its own. Where somebody gives an object back, nobody
/// could do anything with it before; local operations nobody can tell.
pub(super) fn decides(op: Op) -> bool {
    !matches!(op.access, Access::Local | Access::DropExclusive | Access::DropShared)
}

impl Profile {
    /// The objects that several tasks access and some change, in ascending order.
    #[must_use]
    pub fn shared(&self) -> &[ObjId] {
        &self.shared
    }

    /// Whether `task`, and no other, was seen to access it: it did in some profiled run, and no other in any.
    #[must_use]
    pub fn is_private(&self, task: TaskId, object: ObjId) -> bool {
        self.uses.get(&object).is_some_and(|uses| uses.by_task.keys().eq([&task]))
    }

    /// How often `task` accesses `object`, giving back not counted.
    #[must_use]
    pub fn uses(&self, task: TaskId, object: ObjId) -> u32 {
        self.uses.get(&object).and_then(|uses| uses.by_task.get(&task)).copied().unwrap_or(0)
    }

    /// How many accesses to shared objects there are in a run, giving back not counted.
    #[must_use]
    pub fn conflicting(&self) -> u32 {
        self.conflicting
    }

    /// Whether the place of `task`'s `op` can matter, as far as is known.
    pub(super) fn conflicts(&self, task: TaskId, op: Op) -> bool {
        decides(op) && !self.is_private(task, op.object)
    }

    fn learn(&mut self, end: &EndView<'_>) {
        let mut counts: BTreeMap<(ObjId, TaskId), u32> = BTreeMap::new();
        let log = end.log();
        let accesses = log.steps().iter().enumerate().flat_map(|(at, step)| {
            let more = log.more(at).iter().copied();
            std::iter::once(step.op).chain(more).map(|op| (step.task, op))
        });
        for (task, op) in accesses.filter(|(_, op)| decides(*op)) {
            *counts.entry((op.object, task)).or_default() += 1;
            self.uses.entry(op.object).or_default().changed |= op.access != Access::Read;
        }
        for ((object, task), count) in &counts {
            let most = self.uses.entry(*object).or_default().by_task.entry(*task).or_default();
            *most = (*most).max(*count);
        }
        let shared = self.uses.iter().filter(|(_, uses)| uses.changed && uses.by_task.len() > 1);
        self.shared = shared.map(|(object, _)| *object).collect();
        let conflicting = counts.iter().filter(|((object, _), _)| self.shared.binary_search(object).is_ok());
        self.conflicting = self.conflicting.max(conflicting.map(|(_, count)| count).sum());
    }
}

/// The profile of `program` for an exploration by `strategy`: its profiled runs, executed in a world of their own.
pub fn profile<P: Program>(program: &P, strategy: &dyn Strategy, seed: u64) -> Profile {
    let mut profiler = Profiler { random: RandomScheduler::new(seed, 0), profile: Profile::default() };
    if strategy.profiled() > 0 {
        let mut world = program.build();
        for run in 0..strategy.profiled() {
            profiler.random.begin(seed, run);
            program.run(&mut world, &mut profiler, run);
        }
    }
    profiler.profile
}

struct Profiler {
    random: RandomScheduler,
    profile: Profile,
}

impl Scheduler for Profiler {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.random.next_task(now)
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.random.choose(kind, options)
    }

    fn wants_log(&self) -> bool {
        true
    }

    fn ended(&mut self, end: &EndView<'_>) {
        self.profile.learn(end);
    }
}
