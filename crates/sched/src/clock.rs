//! The virtual clock. It stands still while tasks run, unless someone advances it; when every task waits, it jumps to
//! the earliest deadline.

use crate::engine::{Sched, State};
use crate::{Op, TaskState, Woken};
use mm_types::TaskId;

impl Sched {
    /// The virtual time, in nanoseconds since the run's beginning.
    #[must_use]
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// Moves the virtual clock on by `ns`. Tasks whose deadline has come become runnable. Not a scheduling point.
    pub fn advance(&self, ns: u64) {
        let now = self.now_ns.get().saturating_add(ns);
        self.now_ns.set(now);
        self.state.borrow_mut().expire(now);
    }

    /// Moves the clock to the earliest deadline, if there is one, and expires it.
    pub(crate) fn jump(&self, state: &mut State) {
        if let Some(deadline) = state.deadlines.iter().map(|&(deadline, _)| deadline).min() {
            let now = self.now_ns.get().max(deadline);
            self.now_ns.set(now);
            state.expire(now);
        }
    }
}

impl State {
    /// Makes every task runnable whose deadline is not after `now`.
    fn expire(&mut self, now: u64) {
        while let Some(at) = self.deadlines.iter().position(|&(deadline, _)| deadline <= now) {
            let (_, task) = self.deadlines[at];
            self.unblock(task, Woken::Timeout);
        }
    }

    /// Ends the wait of `task`, which is blocked, and forgets that it waited.
    pub(crate) fn unblock(&mut self, task: TaskId, woken: Woken) {
        let entry = &mut self.tasks[task.0 as usize];
        let TaskState::Blocked(on) = entry.state else { unreachable!("{task} is woken but does not wait") };
        entry.state = TaskState::Runnable;
        entry.woken = woken;
        // What it will do next is not known; it concerns what it waited for.
        entry.op = Op::write(on);
        self.waiters.retain(|&(_, waiter)| waiter != task);
        self.deadlines.retain(|&(_, waiter)| waiter != task);
        let at = self.runnable.partition_point(|&other| other < task);
        self.runnable.insert(at, task);
    }
}
