//! What the tasks of a run did, for a scheduler that learns from it.

use crate::engine::SETUP;
use crate::task::Task;
use crate::{Availability, Op, TaskState};
use mm_types::{ObjId, TaskId};

/// The list of tasks: a task that spawns writes to it, since the child's id is the next.
pub const TASKS: ObjId = ObjId::keyed(0x7f, 0);

/// One step of a run: an operation with what the task did until its next scheduling point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Whose. The setup context's is a step that no task took: choices before the run, or (not the first) a moment in which
    /// the clock moved on because nothing could run.
    pub task: TaskId,
    /// What it accessed.
    pub op: Op,
    /// How it changed who has the object of `op`.
    pub effect: Option<Effect>,
    /// The step that woke the task, if it waited before this one.
    pub woken_by: Option<u32>,
    /// What `effect` comes to.
    pub(crate) left: Left,
    pub(crate) more: u32,
    pub(crate) choices: u32,
    /// Whether it accesses nothing but `op`.
    pub(crate) plain: bool,
    /// Whether it was chosen among several.
    pub(crate) chosen: bool,
}

/// A change of who has an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effect {
    /// Before.
    pub from: Availability,
    /// After.
    pub to: Availability,
}

/// How a step left its object: as one number, which is compared at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Left(u64);

impl Left {
    /// As it was.
    pub(crate) const ALONE: Left = Left(0);

    /// As `now` says.
    #[inline]
    pub(crate) fn as_it(now: Availability) -> Left {
        let Availability { exclusive, shared, queued } = now;
        Left(1 << 48 | u64::from(queued) << 32 | u64::from(shared) << 16 | u64::from(exclusive))
    }

    /// Who has the object since; `None` if that did not change.
    pub(crate) fn availability(self) -> Option<Availability> {
        let part = |shift: u32| (self.0 >> shift) as u16;
        (self != Left::ALONE).then(|| Availability { exclusive: part(0), shared: part(16), queued: part(32) })
    }
}

/// A choice other than which task runs, made within a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picked {
    /// How many options there were.
    pub options: u32,
    /// The one taken.
    pub taken: u32,
}

/// Which run of which engine a log is of. Compared, never ordered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RunId {
    engine: usize,
    run: u64,
}

/// The steps of a run in their order. Kept only for a scheduler that [wants it](crate::Scheduler::wants_log).
///
/// A scheduler that goes back to a prefix of the run before says how much of it it [keeps](crate::Scheduler::keeps): these
/// steps are then done again without asking it, and are not written again, only compared.
#[derive(Default, Debug)]
pub struct RunLog {
    /// Beyond `len`: what is kept of the run before and not yet done again.
    steps: Vec<Step>,
    more: Vec<Op>,
    /// Beyond `made`: as `steps` beyond `len`.
    choices: Vec<Picked>,
    len: usize,
    made: usize,
    kept: usize,
    opaque: bool,
    begun: bool,
    id: RunId,
}

impl RunLog {
    /// The steps.
    #[must_use]
    #[inline]
    pub fn steps(&self) -> &[Step] {
        &self.steps[..self.len]
    }

    /// What step `at` accessed besides its `op`.
    #[must_use]
    #[inline]
    pub fn more(&self, at: usize) -> &[Op] {
        let end = self.steps.get(at + 1).map_or(self.more.len(), |next| next.more as usize);
        &self.more[self.steps[at].more as usize..end]
    }

    /// The choices made within step `at`.
    #[must_use]
    #[inline]
    pub fn choices(&self, at: usize) -> &[Picked] {
        let end = self.steps.get(at + 1).map_or(self.choices.len(), |next| next.choices as usize);
        &self.choices[self.steps[at].choices as usize..end]
    }

    /// Whether something happened that the steps do not tell: a task moved the clock, or changed who has an object
    /// that its step did not name. What is concluded from the steps alone may then be wrong.
    #[must_use]
    pub fn opaque(&self) -> bool {
        self.opaque
    }

    /// Which run this is the log of.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// How many of the steps are those of the run before.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    pub(crate) fn rewind(&mut self) {
        (self.len, self.made) = (0, 0);
        (self.opaque, self.begun) = (false, false);
    }

    /// Whether this run's first decision is still to come.
    pub(crate) fn fresh(&self) -> bool {
        !self.begun
    }

    /// A run of `engine` begins, which keeps `kept` steps of the one before.
    pub(crate) fn begin(&mut self, engine: usize, kept: usize) {
        self.begun = true;
        self.id = RunId { engine, run: self.id.run + 1 };
        self.kept = kept.min(self.steps.len());
        self.forget_from(self.kept);
    }

    fn forget_from(&mut self, step: usize) {
        if let Some(first) = self.steps.get(step) {
            let (more, choices) = (first.more as usize, first.choices as usize);
            self.more.truncate(more);
            self.choices.truncate(choices);
            self.steps.truncate(step);
        }
    }

    /// Whether the next step is one that the run before did.
    #[inline]
    pub(crate) fn follows(&self) -> bool {
        self.len < self.steps.len()
    }

    /// The task of the next step, where it is one that the run before did.
    #[inline]
    pub(crate) fn next_kept(&self) -> TaskId {
        self.steps[self.len].task
    }

    /// The run does not do what the one before did, although it was to.
    #[cold]
    pub(crate) fn stray(&mut self) {
        self.opaque = true;
        self.kept = self.kept.min(self.len);
        self.forget_from(self.len);
        self.choices.truncate(self.made);
    }

    /// Does the next step of the run before again, if its task stands before it.
    #[inline]
    pub(crate) fn step_again(&mut self, tasks: &[Task]) -> Option<&Step> {
        let step = self.steps.get(self.len)?;
        let task = tasks.get(step.task.0 as usize)?;
        let stands = task.op == step.op && task.state == TaskState::Runnable && step.task != SETUP;
        let alike = (step.plain && task.more.is_empty()) || self.more(self.len) == task.more;
        if !stands || !alike || step.choices as usize != self.made {
            return None;
        }
        self.len += 1;
        Some(step)
    }

    /// Whether the next step is one that the run before did, of `task`.
    #[inline]
    pub(crate) fn next_is_of(&self, task: TaskId) -> bool {
        self.steps.get(self.len).is_some_and(|step| step.task == task)
    }

    #[inline]
    pub(crate) fn step(&mut self, task: TaskId, op: Op, more: &[Op], woken_by: Option<u32>, chosen: bool) {
        if self.follows() {
            let Step { task: t, op: o, choices, .. } = self.steps[self.len];
            if (t, o, choices as usize) == (task, op, self.made) && self.more(self.len) == more {
                self.len += 1;
                return;
            }
            self.stray();
        }
        self.push(task, op, more, woken_by, chosen);
    }

    #[inline]
    fn push(&mut self, task: TaskId, op: Op, more: &[Op], woken_by: Option<u32>, chosen: bool) {
        let (from, choices) = (self.more.len() as u32, self.choices.len() as u32);
        let (left, plain) = (Left::ALONE, more.is_empty());
        self.steps.push(Step { task, op, effect: None, woken_by, left, more: from, choices, plain, chosen });
        self.len += 1;
        if !more.is_empty() {
            self.more.extend_from_slice(more);
        }
    }

    /// The choice that the run before made here, if this one is to make the same.
    pub(crate) fn kept_choice(&mut self, options: u32) -> Option<u32> {
        if self.len == 0 && self.follows() && self.steps[0].task == SETUP {
            self.len = 1;
        }
        let kept = *self.choices.get(self.made)?;
        let of_this_step = self.steps.get(self.len).is_none_or(|next| self.made < next.choices as usize);
        if kept.options != options || !of_this_step {
            self.stray();
            return None;
        }
        self.made += 1;
        Some(kept.taken)
    }

    pub(crate) fn choice(&mut self, picked: Picked) {
        if self.len == 0 {
            self.step(SETUP, Op::LOCAL, &[], None, false);
        }
        self.choices.push(picked);
        self.made += 1;
    }

    #[inline]
    pub(crate) fn effect(&mut self, object: ObjId, effect: Effect) {
        if self.len <= self.kept {
            // Known; or, before the first step, only the setup context acts: what it leaves is what the run begins with.
            return;
        }
        let step = &mut self.steps[self.len - 1];
        if step.op.object == object {
            let from = step.effect.map_or(effect.from, |before| before.from);
            step.effect = Some(Effect { from, to: effect.to });
            step.left = Left::as_it(effect.to);
        } else {
            self.opaque = true;
        }
    }

    pub(crate) fn spawned(&mut self) {
        if self.steps().last().is_none_or(|step| step.op != Op::write(TASKS)) {
            self.opaque = true;
        }
    }

    /// A task returned and left interrupts disabled, which its step does not tell.
    pub(crate) fn gate_left_taken(&mut self) {
        self.opaque = true;
    }

    pub(crate) fn clock_moved_by_task(&mut self) {
        self.opaque = true;
    }
}
