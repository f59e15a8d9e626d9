//! The interface between the engine and what decides.

use crate::task::Task;
use crate::{ChoiceKind, Op};
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
}

impl SchedView<'_> {
    /// What the runnable task at `index` will do next. [`Op::LOCAL`] for one that has not started; for one that was
    /// woken, a write to what it waited for.
    #[must_use]
    pub fn next_op(&self, index: usize) -> Op {
        self.tasks[self.runnable[index].0 as usize].op
    }

    /// Where [`SchedView::current`] is in [`SchedView::runnable`].
    #[must_use]
    pub fn current_index(&self) -> Option<usize> {
        self.runnable.binary_search(&self.current?).ok()
    }
}
