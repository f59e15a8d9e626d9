//! A task as the engine keeps it.

use crate::{Availability, Context, Op, Woken};
use corosensei::{Coroutine, Yielder};
use mm_types::{Name, ObjId, TaskId};

pub(crate) type TaskYielder = Yielder<(), ()>;
pub(crate) type TaskCoroutine = Coroutine<(), (), ()>;

/// A place for a coroutine, kept between runs. A suspended coroutine stays in its place: it is the box that goes from
/// the task to the run loop and back at each switch (a move of the coroutine itself would read back, in one, words
/// that the switch has just written one by one, which stalls the processor).
pub(crate) type Slot = Option<TaskCoroutine>;

/// What a task is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Running, or able to.
    Runnable,
    /// Waiting to be woken through this object.
    Blocked(ObjId),
    /// Able to run, but its CPU is an interrupt's, which has taken this gate.
    Interrupted(ObjId),
    /// Its body returned or panicked.
    Finished,
    /// The run ended before its body did; it was unwound, or never started.
    Unwound,
}

impl TaskState {
    /// What it waits for, if it waits.
    #[must_use]
    #[inline]
    pub const fn waits_for(self) -> Option<ObjId> {
        match self {
            TaskState::Blocked(on) | TaskState::Interrupted(on) => Some(on),
            TaskState::Runnable | TaskState::Finished | TaskState::Unwound => None,
        }
    }
}

/// Entry 0 of the engine's list is the setup context, which has neither body nor coroutine.
pub(crate) struct Task {
    pub(crate) name: Name,
    pub(crate) state: TaskState,
    /// The operation the task stands before.
    pub(crate) op: Op,
    /// Who had the object of `op` when the task came to stand before it, if it takes it.
    pub(crate) found: Availability,
    /// What else it accesses; empty for most.
    pub(crate) more: Vec<Op>,
    /// How many steps there were when it was spawned: the last of them spawned it.
    pub(crate) spawned_by: u32,
    /// Of a daemon: what it waits on while it has nothing to do.
    pub(crate) idle_on: Option<ObjId>,
    /// The step that ended the last wait, until the next step of the task.
    pub(crate) woken_by: Option<u32>,
    /// Why the last wait ended.
    pub(crate) woken: Woken,
    /// What it is, and whose CPU it is on; 0: one that no interrupt arrives at.
    pub(crate) context: Context,
    pub(crate) cpu: TaskId,
    /// Of a handler that stands before its arrival: at whose CPU; else 0.
    pub(crate) arrives_at: TaskId,
    /// How many handlers are on its CPU above it, and the gate that the first of them took.
    pub(crate) frozen: u8,
    pub(crate) frozen_by: ObjId,
    /// Objects made so far by this task.
    pub(crate) objects: u64,
    /// Where the task suspends. Valid from its first resume to the end of its coroutine.
    pub(crate) yielder: *const TaskYielder,
    /// Until the first resume.
    pub(crate) body: Option<Box<dyn FnOnce()>>,
    /// From the first resume to the end, except while it runs.
    pub(crate) slot: Option<Box<Slot>>,
}

impl Task {
    pub(crate) fn new(name: Name, body: Option<Box<dyn FnOnce()>>) -> Task {
        Task {
            name,
            state: TaskState::Runnable,
            op: Op::LOCAL,
            found: Availability::FREE,
            more: Vec::new(),
            spawned_by: 0,
            woken_by: None,
            idle_on: None,
            woken: Woken::ByTask,
            context: Context::Task,
            cpu: TaskId(0),
            arrives_at: TaskId(0),
            frozen: 0,
            frozen_by: ObjId::NONE,
            objects: 0,
            yielder: std::ptr::null(),
            body,
            slot: None,
        }
    }
}
