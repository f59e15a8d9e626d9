//! How a run ended.

use mm_types::{ObjId, TaskId};

/// Why [`Sched::stop`](crate::Sched::stop) was called; the number's meaning is the caller's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StopReason(pub u32);

/// How a run ended. A value in every case: a bug in simulated code is a result, not a panic of the simulator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Every task returned, or is a daemon that had nothing to do.
    Finished,
    /// No task can run and no timeout is pending.
    Deadlock {
        /// Every blocked task with what it waits for, in ascending order of task.
        blocked: Vec<(TaskId, ObjId)>,
    },
    /// [`Config::max_steps`](crate::Config::max_steps) was reached. Not a pass: the run was cut.
    MaxSteps,
    /// [`Sched::stop`](crate::Sched::stop) was called.
    Stopped(StopReason),
    /// A task panicked.
    Panicked {
        /// The task.
        task: TaskId,
        /// The panic's message.
        message: String,
        /// `file:line:column`, if [`install_panic_hook`](crate::install_panic_hook) had been called.
        location: Option<String>,
    },
    /// The scheduler could not answer: the run does not fit the schedule that is being replayed.
    Diverged {
        /// The position in the schedule, from 0.
        at: usize,
        /// What was expected and what was asked.
        why: String,
    },
}
