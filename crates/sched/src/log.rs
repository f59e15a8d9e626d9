//! What the tasks of a run did, for a scheduler that learns from it.

use crate::{Availability, Op};
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
    pub(crate) more: u32,
    pub(crate) choices: u32,
}

/// A change of who has an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effect {
    /// Before.
    pub from: Availability,
    /// After.
    pub to: Availability,
}

/// A choice other than which task runs, made within a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picked {
    /// How many options there were.
    pub options: u32,
    /// The one taken.
    pub taken: u32,
}

/// The steps of a run in their order. Kept only for a scheduler that [wants it](crate::Scheduler::wants_log).
#[derive(Default, Debug)]
pub struct RunLog {
    steps: Vec<Step>,
    more: Vec<Op>,
    choices: Vec<Picked>,
    opaque: bool,
}

impl RunLog {
    /// The steps.
    #[must_use]
    #[inline]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What step `at` accessed besides its `op`.
    #[must_use]
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

    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.more.clear();
        self.choices.clear();
        self.opaque = false;
    }

    #[inline]
    pub(crate) fn step(&mut self, task: TaskId, op: Op, more: &[Op], woken_by: Option<u32>) {
        let (from, choices) = (self.more.len() as u32, self.choices.len() as u32);
        self.steps.push(Step { task, op, effect: None, woken_by, more: from, choices });
        if !more.is_empty() {
            self.more.extend_from_slice(more);
        }
    }

    pub(crate) fn choice(&mut self, picked: Picked) {
        if self.steps.is_empty() {
            self.step(crate::engine::SETUP, Op::LOCAL, &[], None);
        }
        self.choices.push(picked);
    }

    #[inline]
    pub(crate) fn effect(&mut self, object: ObjId, effect: Effect) {
        match self.steps.last_mut() {
            Some(step) if step.op.object == object => {
                let from = step.effect.map_or(effect.from, |before| before.from);
                step.effect = Some(Effect { from, to: effect.to });
            }
            // Before the first step only the setup context acts: what it leaves is the state the run begins with.
            None => {}
            Some(_) => self.opaque = true,
        }
    }

    pub(crate) fn spawned(&mut self) {
        if self.steps.last().is_none_or(|step| step.op != Op::write(TASKS)) {
            self.opaque = true;
        }
    }

    pub(crate) fn clock_moved_by_task(&mut self) {
        self.opaque = true;
    }
}
