//! Doing again the steps that a run shares with the one before it.
//!
//! Who goes next is known there, so who *could* go is not kept up to date: neither the tasks that can be chosen nor those
//! that stand before taking an object that others have. The run is *behind* then. It *catches up* where the kept steps end, or
//! as soon as something happens that the next one of them does not tell, or somebody wants to know.
//!
//! What it takes to catch up is in the log: who has an object is what the last step that changed it left. That the steps done
//! again change the same is not taken for granted: each is compared with what was told of it when the next begins.

use crate::engine::{Sched, State};
use crate::log::Left;
use crate::task::TaskYielder;
use crate::{Availability, Op, TaskState};
use mm_types::{ObjId, TaskId};

/// The current step of a run that is behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    /// What it accesses. Before the first step, nothing.
    object: ObjId,
    /// How it left its object in the run before.
    left: Left,
    /// How it has left its object so far.
    told: Left,
}

impl Current {
    pub(crate) const NONE: Current = Current { object: ObjId::NONE, left: Left::ALONE, told: Left::ALONE };
}

impl Sched {
    /// A run begins: it is behind if it keeps steps. Where interrupts may arrive, gates decide as well who can be chosen: there
    /// everything is kept up to date.
    pub(crate) fn begin_behind(&self) {
        let state = &mut *self.state.borrow_mut();
        state.current = Current::NONE;
        self.behind.set(state.log.follows() && !self.interrupts.get());
    }

    /// As [`Sched::decide`], while the run is behind.
    pub(crate) fn decide_behind(&self, op: Op, now: Availability) -> Option<*const TaskYielder> {
        if std::thread::panicking() {
            return None;
        }
        if self.count_step() {
            return Some(self.suspend_for_good());
        }
        let me = self.current.get();
        let state = &mut *self.state.borrow_mut();
        let task = &mut state.tasks[me.0 as usize];
        (task.op, task.found) = (op, now);
        let yielder = task.yielder;
        // Should it be this task's turn although it cannot go on, the run is not what it was.
        let mine = state.log.next_is_of(me);
        if !(mine && op.access.takes() && !op.enabled(now))
            && let Some(next) = self.next_behind(state)
        {
            if mine {
                return None;
            }
            state.next = Some(next);
            return Some(yielder);
        }
        self.decide_caught_up(state, op, now)
    }

    /// Where the kept steps end.
    #[inline(never)]
    fn decide_caught_up(&self, state: &mut State, op: Op, now: Availability) -> Option<*const TaskYielder> {
        self.catch_up(state);
        if op.enabled(now) { self.decide_among(state, op) } else { self.decide_among_others(state) }
    }

    /// The task of the step that comes next, if that is as it was in the run before.
    #[inline]
    pub(crate) fn next_behind(&self, state: &mut State) -> Option<TaskId> {
        if state.current.left != state.current.told {
            return None;
        }
        let step = state.log.step_again(&state.tasks)?;
        state.current = Current { object: step.op.object, left: step.left, told: Left::ALONE };
        state.recorded += usize::from(self.config.record && step.chosen);
        Some(step.task)
    }

    /// The current step changes who has `object`, while the run is behind.
    pub(crate) fn change_behind(&self, object: ObjId, from: Availability, to: Availability) -> bool {
        if std::thread::panicking() {
            return false;
        }
        let state = &mut *self.state.borrow_mut();
        if state.current.object == object {
            state.current.told = Left::as_it(to);
            return true;
        }
        // The log does not tell of it.
        self.catch_up(state);
        self.change(state, object, from, to)
    }

    /// Finds out who can be chosen, if the run is behind.
    #[inline]
    pub(crate) fn catch_up(&self, state: &mut State) {
        if self.behind.replace(false) {
            self.settle(state);
        }
    }

    fn settle(&self, state: &mut State) {
        state.runnable.clear();
        for id in (1..state.tasks.len() as u32).map(TaskId) {
            let task = &state.tasks[id.0 as usize];
            if task.state != TaskState::Runnable {
                continue;
            }
            let op = task.op;
            // The current task has done what it stands before, or says itself whether it can.
            let can = id == self.current.get()
                || !op.access.takes()
                || op.enabled(state.has(op.object).unwrap_or(task.found));
            if can {
                state.runnable.push(id);
            } else {
                state.tasks[id.0 as usize].state = TaskState::Blocked(op.object);
                state.shut_out.push(id);
            }
        }
    }
}

impl State {
    /// Who has `object`, in a run that is behind; `None` if no step has changed it.
    fn has(&self, object: ObjId) -> Option<Availability> {
        let told = self.current.told.availability().filter(|_| self.current.object == object);
        // What the current step leaves counts only as far as it was told.
        let before = self.log.steps().split_last().map_or(&[][..], |(_, before)| before);
        let left = |step: &crate::Step| if step.op.object == object { step.left.availability() } else { None };
        told.or_else(|| before.iter().rev().find_map(left))
    }
}
