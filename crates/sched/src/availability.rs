//! Whether an object can be taken. The engine knows no lock: it knows objects that somebody has.

use crate::Access;
use crate::engine::{SETUP, Sched, State};
use crate::log::Effect;
use crate::task::{Task, TaskYielder};
use crate::{Op, TaskState};
use mm_types::{ObjId, TaskId};
use smallvec::SmallVec;

/// Who has an object: what decides whether a task that stands before an operation that takes it can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Availability {
    /// How many have it alone; 0 or 1.
    pub exclusive: u16,
    /// How many share it.
    pub shared: u16,
    /// How many have queued to take it alone: nobody new may share it meanwhile.
    pub queued: u16,
}

impl Availability {
    /// Nobody has it.
    pub const FREE: Availability = Availability { exclusive: 0, shared: 0, queued: 0 };
    /// Somebody has it alone.
    pub const TAKEN: Availability = Availability { exclusive: 1, shared: 0, queued: 0 };

    /// Whether `access` can be performed now.
    #[must_use]
    #[inline]
    pub const fn allows(self, access: Access) -> bool {
        match access {
            Access::TakeExclusive => self.exclusive == 0 && self.shared == 0,
            Access::TakeShared => self.exclusive == 0 && self.queued == 0,
            _ => true,
        }
    }
}

impl Sched {
    /// A scheduling point before an operation that takes its object, which is now as `now` says: the task can be
    /// chosen only while the object can be taken, so that on return it can.
    ///
    /// The caller then takes it and says so by [`Sched::set_availability`]. Does nothing in the setup context and
    /// while tearing down.
    ///
    /// # Panics
    /// In the setup context, if the object cannot be taken: nobody could give it back.
    #[inline]
    pub fn acquire(&self, op: Op, now: Availability) {
        let yielder = if self.behind.get() {
            self.decide_behind(op, now)
        } else if op.enabled(now) {
            self.decide(op)
        } else {
            self.decide_shut_out(op)
        };
        if let Some(yielder) = yielder {
            crate::run::suspend(yielder);
        }
    }

    fn decide_shut_out(&self, op: Op) -> Option<*const TaskYielder> {
        let me = self.current.get();
        if self.tearing_down() {
            return None;
        }
        assert!(me != SETUP, "the setup context waits for {}: only a task can wait", op.object);
        if self.count_step() {
            return Some(self.suspend_for_good());
        }
        if self.interrupts.get() {
            self.name_gates();
        }
        let state = &mut *self.state.borrow_mut();
        state.tasks[me.0 as usize].op = op;
        self.decide_among_others(state)
    }

    /// Decides who runs instead of the current task, which stands before taking an object that it cannot take.
    #[inline]
    pub(crate) fn decide_among_others(&self, state: &mut State) -> Option<*const TaskYielder> {
        let me = self.current.get();
        state.shut_out(me);
        self.switch_away(state, me)
    }

    /// Says that the current task's operation changed who has `object`. Tasks that stand before taking it can be
    /// chosen, or no longer: whether there may be some of the latter ([`Sched::shut_by`]). Not a scheduling point; does
    /// nothing while tearing down.
    #[inline]
    pub fn set_availability(&self, object: ObjId, from: Availability, to: Availability) -> bool {
        if self.behind.get() { self.change_behind(object, from, to) } else { self.change_now(object, from, to) }
    }

    fn change_now(&self, object: ObjId, from: Availability, to: Availability) -> bool {
        if self.tearing_down() {
            return false;
        }
        self.change(&mut self.state.borrow_mut(), object, from, to)
    }

    #[inline]
    pub(crate) fn change(&self, state: &mut State, object: ObjId, from: Availability, to: Availability) -> bool {
        if self.logging.get() {
            state.log.effect(object, Effect { from, to });
        }
        let opens = |access| !from.allows(access) && to.allows(access);
        if !state.shut_out.is_empty() && (opens(Access::TakeExclusive) || opens(Access::TakeShared)) {
            state.let_in(object, to);
        }
        let shuts = |access| from.allows(access) && !to.allows(access);
        if (state.runnable.len() > 1 || !state.cpus.is_empty())
            && (shuts(Access::TakeExclusive) || shuts(Access::TakeShared))
        {
            return state.shut(object, to, self.current.get());
        }
        false
    }

    /// The tasks that stand before taking `object` and cannot any more since it changed in this way: those that are interrupted,
    /// then the others, by id.
    #[must_use]
    pub fn shut_by(&self, object: ObjId, from: Availability, to: Availability) -> SmallVec<[TaskId; 8]> {
        let state = self.state.borrow();
        // What the current task stands before is what it has just done.
        let shut = |&(id, task): &(TaskId, &Task)| {
            let op = task.op;
            let lives = !matches!(task.state, TaskState::Finished | TaskState::Unwound);
            lives && id != self.current.get() && op.object == object && op.enabled(from) && !op.enabled(to)
        };
        let tasks = || (0..).map(TaskId).zip(&state.tasks).filter(shut);
        let (interrupted, others) =
            (tasks().filter(|(_, task)| task.frozen > 0), tasks().filter(|(_, task)| task.frozen == 0));
        interrupted.chain(others).map(|(id, _)| id).collect()
    }
}

impl State {
    /// The task, which can be chosen, no longer can: its operation waits for its object.
    fn shut_out(&mut self, task: TaskId) {
        let entry = &mut self.tasks[task.0 as usize];
        entry.state = TaskState::Blocked(entry.op.object);
        self.leave(task);
        self.shut_out.push(task);
    }

    fn let_in(&mut self, object: ObjId, now: Availability) {
        let mut at = 0;
        while let Some(&task) = self.shut_out.get(at) {
            let entry = &mut self.tasks[task.0 as usize];
            if entry.op.object == object && entry.op.enabled(now) {
                entry.state = TaskState::Runnable;
                // One that is alone, as most are, costs no call.
                if self.shut_out.len() == 1 {
                    self.shut_out.clear();
                } else {
                    self.shut_out.remove(at);
                }
                self.enter(task);
            } else {
                at += 1;
            }
        }
    }

    fn shut(&mut self, object: ObjId, now: Availability, current: TaskId) -> bool {
        let interrupted = if self.cpus.is_empty() { 0 } else { self.shut_interrupted(object, now) };
        let before = self.runnable.len();
        let mut at = 0;
        while let Some(&task) = self.runnable.get(at) {
            let op = self.tasks[task.0 as usize].op;
            // What the current task stands before is what it has just done.
            if task != current && op.object == object && !op.enabled(now) {
                self.shut_out(task);
            } else {
                at += 1;
            }
        }
        interrupted > 0 || self.runnable.len() < before
    }
}
