//! The steps of the run that is being explored, with the order among them that matters.
//!
//! Step `a` *happens before* step `b` if they are steps of one task, or conflict, or one spawned or woke the other's task, in
//! this order, or through others. Two runs with the same steps and the same such order are one *trace*: they differ in
//! nothing that a task could tell. A vector clock a step holds, for each task, how many of its steps happen before.
//!
//! The trace is a stack: a run shares the steps up to its branch with the run before and replaces the rest.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use sched::{Availability, Effect, Op, RunLog};
use std::cell::Cell;

pub(super) const NONE: u32 = u32::MAX;

pub(super) struct Event {
    pub(super) task: u32,
    /// Which of the task's steps it is, from 1.
    pub(super) nth: u32,
    /// The step of the task before it.
    prev_of_task: u32,
    first_access: u32,
}

pub(super) struct AccessRecord {
    pub(super) event: u32,
    pub(super) op: Op,
    pub(super) effect: Option<Effect>,
    object: u32,
    /// The record before it of the same object.
    pub(super) prev: u32,
}

#[derive(Default)]
pub(super) struct Trace {
    pub(super) events: Vec<Event>,
    pub(super) accesses: Vec<AccessRecord>,
    /// A row of `width` a step.
    clocks: Vec<Lane>,
    /// Lanes of a clock.
    width: usize,
    objects: HashMap<u64, u32, FxBuildHasher>,
    /// The object looked up last, and its number: what is done with one comes in a row.
    looked_up: Cell<Option<(u64, u32)>>,
    last_of_object: Vec<u32>,
    last_of_task: Vec<u32>,
    /// The clock that is being made.
    clock: Vec<Lane>,
}

/// Four tasks' part of a clock: what a processor copies and compares at once. Most programs have no more tasks.
type Lane = [u32; 4];

fn copy(to: &mut [Lane], from: &[Lane]) {
    match (to, from) {
        // By far the most common, and not worth a call.
        ([to], [from]) => *to = *from,
        (to, from) => to.copy_from_slice(from),
    }
}

#[inline]
fn of(clock: &[Lane], task: u32) -> u32 {
    clock[task as usize / 4][task as usize % 4]
}

impl Trace {
    /// Makes room for tasks `0..tasks`.
    pub(super) fn widen(&mut self, tasks: usize) {
        if tasks <= self.last_of_task.len() {
            return;
        }
        let width = tasks.div_ceil(4);
        let mut clocks = Vec::with_capacity(self.events.len() * width);
        for row in self.clocks.chunks(self.width.max(1)) {
            clocks.extend_from_slice(row);
            clocks.resize(clocks.len() + width - row.len(), Lane::default());
        }
        self.clocks = clocks;
        self.width = width;
        self.last_of_task.resize(tasks, NONE);
        self.clock.resize(width, Lane::default());
    }

    /// Forgets the steps from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.events.len() > len {
            let Some(event) = self.events.pop() else { return };
            while self.accesses.len() > event.first_access as usize {
                let Some(access) = self.accesses.pop() else { return };
                if access.object != NONE {
                    self.last_of_object[access.object as usize] = access.prev;
                }
            }
            self.last_of_task[event.task as usize] = event.prev_of_task;
        }
        self.clocks.truncate(len * self.width);
    }

    pub(super) fn accesses_of(&self, event: usize) -> &[AccessRecord] {
        let end = self.events.get(event + 1).map_or(self.accesses.len(), |next| next.first_access as usize);
        &self.accesses[self.events[event].first_access as usize..end]
    }

    pub(super) fn ops_of(&self, event: usize) -> impl Iterator<Item = Op> + Clone + '_ {
        self.accesses_of(event).iter().map(|a| a.op)
    }

    fn object(&mut self, op: Op) -> u32 {
        if let Some(known) = self.number_of(op) {
            return known;
        }
        let next = self.last_of_object.len() as u32;
        self.objects.insert(op.object.0, next);
        self.last_of_object.push(NONE);
        self.looked_up.set(Some((op.object.0, next)));
        next
    }

    #[inline]
    fn number_of(&self, op: Op) -> Option<u32> {
        match self.looked_up.get() {
            Some((object, number)) if object == op.object.0 => Some(number),
            _ => {
                let number = *self.objects.get(&op.object.0)?;
                self.looked_up.set(Some((op.object.0, number)));
                Some(number)
            }
        }
    }

    /// The newest record of the object of `op`.
    pub(super) fn newest(&self, op: Op) -> u32 {
        self.number_of(op).map_or(NONE, |object| self.last_of_object[object as usize])
    }

    /// Whether `a` is `b` or happens before it.
    #[inline]
    pub(super) fn before(&self, a: usize, b: usize) -> bool {
        let event = &self.events[a];
        of(self.row(b), event.task) >= event.nth
    }

    /// How many steps of `task` happen before step `event` or are it.
    pub(super) fn steps_before(&self, event: usize, task: u32) -> u32 {
        of(self.row(event), task)
    }

    /// Whether the clock that is being made knows `event`.
    #[inline]
    pub(super) fn known(&self, event: usize) -> bool {
        let event = &self.events[event];
        of(&self.clock, event.task) >= event.nth
    }

    /// The clock that is being made learns what `event` knows.
    #[inline]
    pub(super) fn learn(&mut self, event: usize) {
        let row = &self.clocks[event * self.width..(event + 1) * self.width];
        for (mine, theirs) in self.clock.iter_mut().zip(row) {
            *mine = std::array::from_fn(|i| mine[i].max(theirs[i]));
        }
    }

    #[inline]
    fn row(&self, event: usize) -> &[Lane] {
        &self.clocks[event * self.width..(event + 1) * self.width]
    }

    /// Begins the clock of a step of `task`: what is before it whatever it accesses. `origin` says which step spawned the
    /// task, and is asked at its first; `woken_by` is the one that woke it.
    #[inline]
    pub(super) fn begin_clock(&mut self, task: u32, origin: impl FnOnce() -> Option<usize>, woken_by: Option<usize>) {
        let last = self.last_of_task[task as usize];
        match last {
            NONE => self.clock.fill(Lane::default()),
            last => self.clock_of(last as usize),
        }
        // The setup context's steps are moments at which the whole world stood still.
        let world = self.last_of_task[0];
        if world != NONE {
            self.learn(world as usize);
        }
        if last == NONE
            && let Some(origin) = origin()
        {
            self.learn(origin);
        }
        if let Some(waker) = woken_by {
            self.learn(waker);
        }
    }

    /// Takes up the clock of `event`.
    pub(super) fn clock_of(&mut self, event: usize) {
        copy(&mut self.clock, &self.clocks[event * self.width..(event + 1) * self.width]);
    }

    /// Begins the clock of a moment at which every task stood still.
    pub(super) fn begin_world_clock(&mut self) {
        self.clock.fill(Lane::default());
        for task in 0..self.last_of_task.len() {
            let last = self.last_of_task[task];
            if last != NONE {
                self.learn(last as usize);
            }
        }
    }

    /// Adds step `at` of the log, whose clock has been begun: it learns from what conflicts with it.
    pub(super) fn push(&mut self, log: &RunLog, at: usize) {
        let step = &log.steps()[at];
        let event = self.events.len() as u32;
        let task = step.task.0;
        let prev_of_task = std::mem::replace(&mut self.last_of_task[task as usize], event);
        let nth = match prev_of_task {
            NONE => 1,
            prev => self.events[prev as usize].nth + 1,
        };
        let first_access = self.accesses.len() as u32;
        self.events.push(Event { task, nth, prev_of_task, first_access });
        self.access(event, step.op, step.effect);
        for &op in log.more(at) {
            self.access(event, op, None);
        }
        self.clock[task as usize / 4][task as usize % 4] = nth;
        match self.clock[..] {
            [lane] => self.clocks.push(lane),
            _ => self.clocks.extend_from_slice(&self.clock),
        }
    }

    fn access(&mut self, event: u32, op: Op, effect: Option<Effect>) {
        if op.access == sched::Access::Local {
            self.accesses.push(AccessRecord { event, op, effect, object: NONE, prev: NONE });
            return;
        }
        let object = self.object(op);
        let prev = self.last_of_object[object as usize];
        let mut at = prev;
        while at != NONE {
            let record = &self.accesses[at as usize];
            let (other, conflicts, all) = (record.event, record.op.conflicts_with(op), conflicts_with_all(record.op));
            at = record.prev;
            if conflicts && other != event {
                if !self.known(other as usize) {
                    self.learn(other as usize);
                }
                if all {
                    break;
                }
            }
        }
        self.last_of_object[object as usize] = self.accesses.len() as u32;
        self.accesses.push(AccessRecord { event, op, effect, object, prev });
    }

    /// Who has the object of `op` now, after all steps; `None` if nobody ever took it or gave it back.
    pub(super) fn availability(&self, op: Op) -> Option<Availability> {
        let mut at = self.newest(op);
        while at != NONE {
            let record = &self.accesses[at as usize];
            if let Some(effect) = record.effect {
                return Some(effect.to);
            }
            at = record.prev;
        }
        None
    }
}

/// Whether every operation on the object conflicts with it: what is before it is then before all that comes after.
pub(super) fn conflicts_with_all(op: Op) -> bool {
    use sched::Access::{DropExclusive, TakeExclusive, Write};
    matches!(op.access, Write | TakeExclusive | DropExclusive)
}
