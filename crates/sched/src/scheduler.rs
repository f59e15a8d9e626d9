//! The interface between the engine and what decides.

use crate::engine::{SETUP, State};
use crate::log::{RunId, RunLog};
use crate::task::Task;
use crate::{ChoiceKind, Op, Outcome, TaskState};
use mm_types::TaskId;

/// Returned by [`Scheduler::next_task`] instead of an index: the scheduler cannot answer, and
/// [`Scheduler::divergence`] says why. ([`Scheduler::choose`] returns `u32::MAX`.)
pub const DIVERGED: usize = usize::MAX;

/// Why a scheduler could not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// The position in the replayed schedule, from 0.
    pub at: usize,
    /// What was expected and what was asked.
    pub why: String,
}

/// What decides. Asked only when there are at least two options.
pub trait Scheduler {
    /// The next task to run, as an index into [`SchedView::runnable`]; any index outside it ends the run as
    /// [`Outcome::Diverged`](crate::Outcome::Diverged).
    fn next_task(&mut self, now: &SchedView<'_>) -> usize;

    /// A number in `0..options`; any other ends the run as [`Outcome::Diverged`](crate::Outcome::Diverged).
    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32;

    /// As [`Scheduler::choose`], and that is what it does unless overridden; `step` is the number of the step in the log in
    /// which the choice is made. Called only for a scheduler that wants the log, instead of `choose`.
    fn choose_in_step(&mut self, step: usize, kind: ChoiceKind, options: u32) -> u32 {
        let _ = step;
        self.choose(kind, options)
    }

    /// Whether the steps of the run are to be logged for it. Asked once, before the run.
    fn wants_log(&self) -> bool {
        false
    }

    /// How many steps of the run `last`, the one before in this engine, the next is to do again, choices included. Asked once,
    /// before the run, and only where the log is wanted. The scheduler is not asked about these steps; should the run not
    /// do them, its log is [opaque](RunLog::opaque).
    fn keeps(&self, last: RunId) -> usize {
        let _ = last;
        0
    }

    /// The run is over, and its tasks are not yet unwound. Told only to a scheduler that wants the log.
    fn ended(&mut self, end: &EndView<'_>) {
        let _ = end;
    }

    /// Why the last answer was out of range. Asked only after one was.
    fn divergence(&self) -> Option<Divergence> {
        None
    }
}

/// What a scheduler may know when it picks the next task.
pub struct SchedView<'a> {
    /// The runnable tasks in ascending order; at least two.
    pub runnable: &'a [TaskId],
    /// The task that was running, if it still can.
    pub current: Option<TaskId>,
    /// Scheduling points so far in this run, this one included.
    pub step: u64,
    pub(crate) tasks: &'a [Task],
    pub(crate) log: &'a RunLog,
}

impl SchedView<'_> {
    /// What the runnable task at `index` will do next. [`Op::LOCAL`] for one that has not started; for one that was
    /// woken, a write to what it waited for.
    #[must_use]
    pub fn next_op(&self, index: usize) -> Op {
        self.tasks[self.runnable[index].0 as usize].op
    }

    /// What the runnable task at `index` will access besides [`SchedView::next_op`].
    #[must_use]
    pub fn next_more(&self, index: usize) -> &[Op] {
        &self.tasks[self.runnable[index].0 as usize].more
    }

    /// Of a handler that stands before its arrival: the task at whose CPU.
    #[must_use]
    pub fn arrives_at(&self, task: TaskId) -> Option<TaskId> {
        Some(self.tasks[task.0 as usize].arrives_at).filter(|cpu| *cpu != SETUP)
    }

    /// The tasks and handlers that are on the CPU of task `cpu`.
    pub fn on_cpu(&self, cpu: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        (0..).map(TaskId).zip(self.tasks).filter(move |(_, task)| task.cpu == cpu).map(|(id, _)| id)
    }

    /// The steps so far, for a scheduler that wants them; else empty. The step to be decided now is the next.
    #[must_use]
    #[inline]
    pub fn log(&self) -> &RunLog {
        self.log
    }

    /// Where [`SchedView::current`] is in [`SchedView::runnable`].
    #[must_use]
    pub fn current_index(&self) -> Option<usize> {
        self.runnable.binary_search(&self.current?).ok()
    }
}

/// What a scheduler may know when the run is over.
pub struct EndView<'a> {
    /// How it ended.
    pub outcome: &'a Outcome,
    pub(crate) state: &'a State,
}

impl EndView<'_> {
    /// The steps of the run.
    #[must_use]
    pub fn log(&self) -> &RunLog {
        &self.state.log
    }

    /// How many tasks were spawned; their ids are `1..=tasks`.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.state.tasks.len() as u32 - 1
    }

    /// The step that spawned `task`; `None` if it was spawned before the first.
    #[must_use]
    pub fn spawned_by(&self, task: TaskId) -> Option<usize> {
        (self.state.tasks[task.0 as usize].spawned_by as usize).checked_sub(1)
    }

    /// The tasks that could go on, each with the operation that it stands before; none after a run that ended by itself.
    /// That of the task which ended the run is one that it has performed.
    pub fn runnable(&self) -> impl Iterator<Item = (TaskId, Op)> + '_ {
        self.state.runnable.iter().map(|&id| (id, self.state.tasks[id.0 as usize].op))
    }

    /// The operation that `task` stands before, or performed last.
    #[must_use]
    pub fn next_op(&self, task: TaskId) -> Op {
        self.state.tasks[task.0 as usize].op
    }

    /// The step that woke `task`, if it has done none since.
    #[must_use]
    pub fn woken_by(&self, task: TaskId) -> Option<usize> {
        self.state.tasks[task.0 as usize].woken_by.map(|step| step as usize)
    }

    /// Whether `task` could go on but for an interrupt on its CPU.
    #[must_use]
    pub fn interrupted(&self, task: TaskId) -> bool {
        matches!(self.state.tasks[task.0 as usize].state, TaskState::Interrupted(_))
    }

    /// Whether `task` waits for the object of its operation itself, and not for something else that it accesses.
    #[must_use]
    pub fn waits_for_its_own(&self, task: TaskId) -> bool {
        let task = &self.state.tasks[task.0 as usize];
        task.state.waits_for() == Some(task.op.object)
    }

    /// What else `task` would access by the operation that it stands before.
    #[must_use]
    pub fn next_more(&self, task: TaskId) -> &[Op] {
        &self.state.tasks[task.0 as usize].more
    }

    /// The tasks that wait, each with the operation that it stands before: one that takes an object, or a write to what
    /// it waits to be woken through, or any that an interrupt keeps it from ([`EndView::interrupted`]).
    pub fn blocked(&self) -> impl Iterator<Item = (TaskId, Op)> + '_ {
        (0..).map(TaskId).zip(&self.state.tasks).filter_map(|(id, task)| {
            task.state.waits_for()?;
            Some((id, task.op))
        })
    }
}
