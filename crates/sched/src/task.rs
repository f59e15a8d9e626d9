//! A task as the engine keeps it.

use crate::{Op, Woken};
use corosensei::{Coroutine, Yielder};
use mm_types::{Name, ObjId};

pub(crate) type TaskYielder = Yielder<(), ()>;
pub(crate) type TaskCoroutine = Coroutine<(), (), ()>;

/// What a task is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Running, or able to.
    Runnable,
    /// Waiting to be woken through this object.
    Blocked(ObjId),
    /// Its body returned or panicked.
    Finished,
    /// The run ended before its body did; it was unwound, or never started.
    Unwound,
}

/// Entry 0 of the engine's list is the setup context, which has neither body nor coroutine.
pub(crate) struct Task {
    pub(crate) name: Name,
    pub(crate) state: TaskState,
    /// The operation the task stands before.
    pub(crate) op: Op,
    /// Why the last wait ended.
    pub(crate) woken: Woken,
    /// Objects made so far by this task.
    pub(crate) objects: u64,
    /// Where the task suspends. Valid from its first resume to the end of its coroutine.
    pub(crate) yielder: *const TaskYielder,
    /// Until the first resume.
    pub(crate) body: Option<Box<dyn FnOnce()>>,
    /// From the first resume to the end, except while it runs.
    pub(crate) coroutine: Option<TaskCoroutine>,
}

impl Task {
    pub(crate) fn new(name: Name, body: Option<Box<dyn FnOnce()>>) -> Task {
        Task {
            name,
            state: TaskState::Runnable,
            op: Op::LOCAL,
            woken: Woken::ByTask,
            objects: 0,
            yielder: std::ptr::null(),
            body,
            coroutine: None,
        }
    }
}
