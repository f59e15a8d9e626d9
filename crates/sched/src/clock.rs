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
        let state = &mut *self.state.borrow_mut();
        if self.logging.get() {
            state.log.clock_moved_by_task();
        }
        state.expire(now);
    }

    /// Moves the clock to the earliest deadline, if there is one, and expires it.
    pub(crate) fn jump(&self, state: &mut State) {
        if let Some(deadline) = state.deadlines.iter().map(|&(deadline, _)| deadline).min() {
            let now = self.now_ns.get().max(deadline);
            self.now_ns.set(now);
            state.expire(now);
            if self.logging.get() {
                state.log.step(crate::engine::SETUP, Op::LOCAL, &[], None, false);
            }
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
        if let Some(at) = self.waiters.iter().position(|&(_, waiter)| waiter == task) {
            self.waiters.remove(at);
        }
        self.unblock_dequeued(task, woken);
    }

    /// As [`State::unblock`], for a task that was already taken off the waiters.
    #[inline]
    pub(crate) fn unblock_dequeued(&mut self, task: TaskId, woken: Woken) {
        let entry = &mut self.tasks[task.0 as usize];
        let TaskState::Blocked(on) = entry.state else { unreachable!("{task} is woken but does not wait") };
        entry.state = TaskState::Runnable;
        entry.woken = woken;
        entry.woken_by = (self.log.steps().len() as u32).checked_sub(1);
        // What it will do next is not known; it concerns what it waited for.
        entry.op = Op::write(on);
        if let Some(at) = self.deadlines.iter().position(|&(_, waiter)| waiter == task) {
            self.deadlines.remove(at);
        }
        self.enter(task);
    }

    /// Puts `task` among the runnable ones.
    pub(crate) fn enter(&mut self, task: TaskId) {
        if !self.cpus.is_empty() {
            let entry = &mut self.tasks[task.0 as usize];
            if entry.frozen > 0 {
                entry.state = TaskState::Interrupted(entry.frozen_by);
                return;
            }
        }
        // From behind, shifting as it goes: the vector is short, and the place mostly near its end.
        self.runnable.push(task);
        let mut at = self.runnable.len() - 1;
        while at > 0 && self.runnable[at - 1] > task {
            self.runnable.swap(at - 1, at);
            at -= 1;
        }
    }

    /// Takes `task` from among the runnable ones.
    pub(crate) fn leave(&mut self, task: TaskId) {
        let at = self.runnable.iter().position(|&other| other == task).expect("the current task is runnable");
        for at in at + 1..self.runnable.len() {
            self.runnable[at - 1] = self.runnable[at];
        }
        self.runnable.pop();
    }
}
