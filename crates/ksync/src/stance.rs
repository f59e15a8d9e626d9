//! Where a task stands: what it holds and what it is about to take. For schedulers that steer by locks.

use crate::kernel::Kernel;
use crate::task::{TaskCx, Waits};
use mm_types::TaskId;
use trace::{LockMode, LockRef};

/// What a task holds and wants at a moment in which it does not run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stance {
    /// Locks, maps and sections, outermost first.
    pub holds: Vec<(LockRef, LockMode)>,
    /// The lock that it stands before taking, or waits for.
    pub wants: Option<(LockRef, LockMode)>,
}

impl Kernel {
    /// Where `task` stands. Without a validator nothing is known to be held. A task that runs wants nothing.
    pub fn stance(&self, task: TaskId) -> Stance {
        let tasks = self.tasks.borrow();
        let Some(cx) = tasks.get(task.0 as usize) else { return Stance::default() };
        let wants = self.wants(cx);
        let mut holds: Vec<(LockRef, LockMode)> = cx
            .held
            .locks()
            .iter()
            .filter_map(|held| {
                let row = self.class_of_id(held.class())?;
                let lock = LockRef { obj: mm_types::ObjId(held.instance()), class: row.printed, kind: row.class.kind };
                Some((lock, Kernel::held_mode(held.read())))
            })
            .collect();
        // The validator hears of an acquisition before the wait: the lock wanted is the innermost, and not held yet.
        if wants.is_some_and(|(wanted, _)| holds.last().is_some_and(|(last, _)| last.obj == wanted.obj)) {
            holds.pop();
        }
        Stance { holds, wants }
    }

    fn wants(&self, cx: &TaskCx) -> Option<(LockRef, LockMode)> {
        let wait = cx.wait?;
        match wait.waits {
            Waits::Lock(class, mode) => Some((self.lock_ref(class, wait.obj)?, mode)),
            Waits::Event(_) => None,
        }
    }
}
