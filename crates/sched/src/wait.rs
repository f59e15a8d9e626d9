//! Waiting and waking. What is waited for has an id and no state here: whether to wait is the caller's decision.

use crate::engine::{SETUP, Sched};
use crate::run::suspend;
use crate::task::TaskYielder;
use crate::{Op, TaskState};
use mm_types::{ObjId, TaskId};
use smallvec::SmallVec;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Woken {
    /// Another task (or interrupt) woke it.
    ByTask,
    /// Its deadline came.
    Timeout,
    /// The run is over: return or unwind, do not wait again.
    TearingDown,
}

/// How a wait goes on.
enum Wait {
    Over(Woken),
    Suspend(*const TaskYielder),
}

impl Sched {
    /// The current task waits on `on`, behind those that wait on it already, until it is woken. A scheduling point.
    ///
    /// Returns [`Woken::TearingDown`] at once while tearing down.
    ///
    /// # Panics
    /// In the setup context, which nobody could wake.
    #[inline]
    pub fn block(&self, on: ObjId) -> Woken {
        self.wait(on, None)
    }

    /// As [`Sched::block`], but no longer than until the virtual clock reaches `deadline_ns`. If it already has, the
    /// task does not wait and nothing switches.
    ///
    /// # Panics
    /// In the setup context.
    #[inline]
    pub fn block_until(&self, on: ObjId, deadline_ns: u64) -> Woken {
        self.wait(on, Some(deadline_ns))
    }

    #[inline]
    fn wait(&self, on: ObjId, deadline_ns: Option<u64>) -> Woken {
        match self.begin_wait(on, deadline_ns) {
            Wait::Over(woken) => return woken,
            Wait::Suspend(yielder) => suspend(yielder),
        }
        self.end_wait()
    }

    fn begin_wait(&self, on: ObjId, deadline_ns: Option<u64>) -> Wait {
        let me = self.current.get();
        if self.tearing_down() {
            return Wait::Over(Woken::TearingDown);
        }
        assert!(me != SETUP, "the setup context waits on {on}: only a task can wait");
        if self.count_step() {
            return Wait::Suspend(self.suspend_for_good());
        }
        if deadline_ns.is_some_and(|deadline| deadline <= self.now_ns.get()) {
            return Wait::Over(Woken::Timeout);
        }
        if self.interrupts.get() {
            self.name_gates();
        }
        let state = &mut *self.state.borrow_mut();
        self.catch_up(state);
        let task = &mut state.tasks[me.0 as usize];
        task.state = TaskState::Blocked(on);
        task.op = Op::write(on);
        state.leave(me);
        state.waiters.push((on, me));
        if let Some(deadline) = deadline_ns {
            state.deadlines.push((deadline, me));
        }
        match self.switch_away(state, me) {
            Some(yielder) => Wait::Suspend(yielder),
            None => Wait::Over(state.tasks[me.0 as usize].woken),
        }
    }

    fn end_wait(&self) -> Woken {
        self.state.borrow().tasks[self.current.get().0 as usize].woken
    }

    /// Makes the task that has waited longest on `on` runnable. Not a scheduling point.
    pub fn wake_one(&self, on: ObjId) -> Option<TaskId> {
        let mut state = self.state.borrow_mut();
        let at = state.waiters.iter().position(|&(object, _)| object == on)?;
        let (_, task) = state.waiters.remove(at);
        state.unblock_dequeued(task, Woken::ByTask);
        Some(task)
    }

    /// Makes every task that waits on `on` runnable and returns how many they were. Not a scheduling point.
    pub fn wake_all(&self, on: ObjId) -> u32 {
        let mut woken = 0;
        while self.wake_one(on).is_some() {
            woken += 1;
        }
        woken
    }

    /// Makes `task` runnable, whatever it waits on; false if it does not wait, or only for an object that it is about
    /// to [take](Sched::acquire). Not a scheduling point.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn wake_task(&self, task: TaskId) -> bool {
        let mut state = self.state.borrow_mut();
        let entry = &state.tasks[task.0 as usize];
        let blocked = matches!(entry.state, TaskState::Blocked(_)) && !entry.op.access.takes();
        if blocked {
            state.unblock(task, Woken::ByTask);
        }
        blocked
    }

    /// The tasks that wait on `on`, longest first.
    #[must_use]
    pub fn waiters(&self, on: ObjId) -> SmallVec<[TaskId; 8]> {
        let state = self.state.borrow();
        state.waiters.iter().filter(|&&(object, _)| object == on).map(|&(_, task)| task).collect()
    }

    /// Whether any task waits on `on`.
    #[must_use]
    pub fn has_waiters(&self, on: ObjId) -> bool {
        self.state.borrow().waiters.iter().any(|&(object, _)| object == on)
    }

    /// What `task` waits on, or for.
    ///
    /// # Panics
    /// If there is no such task.
    #[must_use]
    pub fn waiting_on(&self, task: TaskId) -> Option<ObjId> {
        self.state(task).waits_for()
    }
}
