//! How a run ended.

use crate::{LockKind, LockMode};
use mm_types::{Name, ObjId, TaskId};

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// Every task returned.
    Finished,
    /// No task could run.
    Deadlock {
        /// Every blocked task, in order of id.
        blocked: Vec<BlockedTask>,
        /// The tasks of one cycle of waits, each waiting for the next and the last for the first; empty when no cycle
        /// is known (somebody waits for a wake-up that nobody owes).
        cycle: Vec<TaskId>,
    },
    /// A bound on visible operations was reached: this is not "passed".
    MaxSteps {
        /// The bound.
        max_steps: u64,
    },
    /// A finding ended it early.
    Stopped,
    /// A task panicked.
    Panicked {
        /// Who.
        task: TaskId,
        /// The message.
        message: String,
        /// File and line, when known.
        location: Option<String>,
    },
    /// A replayed schedule did not fit the program.
    Diverged {
        /// The choice at which it stopped fitting.
        at: usize,
        /// Why.
        why: String,
    },
}

impl RunEnd {
    /// How many tasks were left blocked.
    #[must_use]
    pub fn blocked_tasks(&self) -> usize {
        match self {
            Self::Deadlock { blocked, .. } => blocked.len(),
            _ => 0,
        }
    }

    /// One word for tables and JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Deadlock { .. } => "deadlock",
            Self::MaxSteps { .. } => "max-steps",
            Self::Stopped => "stopped",
            Self::Panicked { .. } => "panicked",
            Self::Diverged { .. } => "diverged",
        }
    }
}

/// A task that can never run again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockedTask {
    /// Which.
    pub task: TaskId,
    /// Its name.
    pub name: Name,
    /// What it waits for.
    pub waits_for: WaitFor,
    /// The locks and sections it holds, outermost first.
    pub holds: Vec<HeldRef>,
}

/// What a blocked task waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitFor {
    /// The object.
    pub obj: ObjId,
    /// Its class or name.
    pub what: Name,
    /// Where the wait began: `file:line`.
    pub site: String,
    /// Who holds it, or owes the wake-up.
    pub holders: Vec<TaskId>,
}

/// A lock that a blocked task holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldRef {
    /// The instance.
    pub obj: ObjId,
    /// Its class.
    pub class: Name,
    /// Its sort.
    pub kind: LockKind,
    /// How it is held.
    pub mode: LockMode,
    /// Where it was taken: `file:line`.
    pub site: String,
}
