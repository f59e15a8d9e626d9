//! Everything that switches: scheduling points, the run loop, teardown.
//!
//! The run loop resumes the task in `state.next`. A task that reaches a scheduling point decides for itself who is
//! next and suspends only if that is another; a task that ends leaves the decision to the loop. Once `state.ending`
//! is set, whoever sees it first returns to the loop and never comes back.

use crate::engine::{SETUP, Sched, State};
use crate::panic_hook::{self, CaughtPanic};
use crate::scheduler::EndView;
use crate::task::{Slot, TaskCoroutine, TaskYielder};
use crate::{Availability, Choice, ChoiceKind, Op, Outcome, SchedView, Scheduler, TaskState};
use corosensei::CoroutineResult;
use mm_types::TaskId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

impl Sched {
    /// Runs until every task has returned or the run ends otherwise, deciding by `scheduler`.
    ///
    /// On return every task has returned or been unwound, and its stack is back in the pool. After
    /// [`Outcome::Finished`] more tasks may be spawned and run; after any other outcome only after [`Sched::reset`].
    ///
    /// # Panics
    /// If called from a task (of any world), or after a run that was torn down. A panic of `scheduler` between tasks
    /// goes through, after the teardown.
    pub fn run(&self, scheduler: &mut dyn Scheduler) -> Outcome {
        self.run_observed(scheduler, &mut |_| ())
    }

    /// As [`Sched::run`], and calls `before_teardown` when the outcome is known but nothing has been unwound yet, so
    /// that it sees who holds and waits for what. It is called in the setup context.
    ///
    /// # Panics
    /// As [`Sched::run`].
    pub fn run_observed(&self, scheduler: &mut dyn Scheduler, before_teardown: &mut dyn FnMut(&Outcome)) -> Outcome {
        assert!(!panic_hook::in_task(), "a task may not run a world");
        assert!(!self.running.get(), "Sched::run during a run");
        assert!(!self.tearing_down.get(), "Sched::run after a run that was torn down: reset first");
        let running = Running::new(self, scheduler);
        panic_hook::set_in_task(true);
        let outcome = self.drive();
        panic_hook::set_in_task(false);
        if self.logging.get() {
            let state = &*self.state.borrow();
            self.ask(|scheduler| scheduler.ended(&EndView { outcome: &outcome, state }));
        }
        before_teardown(&outcome);
        if outcome != Outcome::Finished || self.has_live_tasks() {
            self.tear_down();
        }
        if outcome == Outcome::Finished {
            // Only idle daemons were unwound: what they shared is as they left it.
            self.tearing_down.set(false);
        }
        drop(running);
        outcome
    }

    /// Executes `f` in the setup context with `scheduler` deciding the choices that it makes. They are recorded at
    /// the front of the run's schedule: a run that uses this must use it when it is replayed.
    ///
    /// # Panics
    /// If called during a run.
    pub fn setup<R>(&self, scheduler: &mut dyn Scheduler, f: impl FnOnce() -> R) -> R {
        assert!(!self.running.get(), "Sched::setup during a run");
        let _deciding = Deciding::new(self, scheduler);
        f()
    }

    /// A scheduling point: the current task is about to perform `op`, and another may be chosen to go first. Returns
    /// when this task's turn has come.
    ///
    /// Does nothing in the setup context and while tearing down.
    // Deciding is a call that has returned before the switch, and the switch is inlined: every return after a switch
    // is one that the processor predicted for another task.
    #[inline]
    pub fn visible(&self, op: Op) {
        if let Some(yielder) = self.decide_visible(op) {
            suspend(yielder);
        }
    }

    /// As [`Sched::visible`], before an operation that accesses several objects at once: the first of `ops` counts as
    /// its own, the others are more that it touches.
    ///
    /// # Panics
    /// If `ops` is empty.
    pub fn visible_all(&self, ops: &[Op]) {
        let me = self.current.get();
        if me == SETUP || self.tearing_down() {
            return;
        }
        if self.interrupts.get() {
            self.name_gates();
        }
        self.state.borrow_mut().tasks[me.0 as usize].more.extend_from_slice(&ops[1..]);
        let yielder =
            if self.behind.get() { self.decide_behind(ops[0], Availability::FREE) } else { self.decide_named(ops[0]) };
        if let Some(yielder) = yielder {
            suspend(yielder);
        }
        self.state.borrow_mut().tasks[me.0 as usize].more.clear();
    }

    /// Whether nobody would hear of an operation now: no other task can run, and steps are not logged. What it would say of
    /// the objects that it accesses need not be put together then.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.current.get() == SETUP || !self.logging.get() && self.state.borrow().runnable.len() == 1
    }

    #[inline]
    fn decide_visible(&self, op: Op) -> Option<*const TaskYielder> {
        if self.behind.get() { self.decide_behind(op, Availability::FREE) } else { self.decide(op) }
    }

    /// Whether the current task has to suspend before `op`, which it can do, and where.
    #[inline]
    pub(crate) fn decide(&self, op: Op) -> Option<*const TaskYielder> {
        if self.interrupts.get() {
            self.name_gates();
        }
        self.decide_named(op)
    }

    /// As [`Sched::decide`], for a task that has said what else `op` accesses.
    pub(crate) fn decide_named(&self, op: Op) -> Option<*const TaskYielder> {
        let me = self.current.get();
        if me == SETUP || self.tearing_down() {
            return None;
        }
        if self.count_step() {
            return Some(self.suspend_for_good());
        }
        let state = &mut *self.state.borrow_mut();
        state.tasks[me.0 as usize].op = op;
        self.decide_among(state, op)
    }

    /// Decides whether the current task, which stands before `op` and can do it, goes on.
    #[inline(always)]
    pub(crate) fn decide_among(&self, state: &mut State, op: Op) -> Option<*const TaskYielder> {
        let me = self.current.get();
        let task = &state.tasks[me.0 as usize];
        if state.runnable.len() == 1 {
            if self.logging.get() {
                state.log.step(me, op, &task.more, None, false);
            }
            return None;
        }
        let yielder = task.yielder;
        let next = self.pick(state, Some(me));
        if next == Some(me) {
            return None;
        }
        state.next = next;
        Some(yielder)
    }

    /// Counts a step; true if the run ends here.
    #[inline]
    pub(crate) fn count_step(&self) -> bool {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        steps > self.limit.get()
    }

    /// The run ends here: where the current task has to suspend, never to be resumed except to be unwound.
    #[cold]
    pub(crate) fn suspend_for_good(&self) -> *const TaskYielder {
        self.end(Outcome::MaxSteps);
        let state = &mut *self.state.borrow_mut();
        self.catch_up(state);
        state.tasks[self.current.get().0 as usize].yielder
    }

    /// The current task, `me`, has been taken off the runnable tasks: where it has to suspend to let another run. None
    /// if `me` is at once the one to go on (the clock jumped to its own deadline).
    pub(crate) fn switch_away(&self, state: &mut State, me: TaskId) -> Option<*const TaskYielder> {
        let next = self.pick(state, None);
        if next == Some(me) {
            return None;
        }
        state.next = next;
        Some(state.tasks[me.0 as usize].yielder)
    }

    /// Decides who runs next. None if the run ends, and then `state.ending` says how.
    #[inline(always)]
    fn pick(&self, state: &mut State, current: Option<TaskId>) -> Option<TaskId> {
        if state.runnable.is_empty() {
            self.jump(state);
        }
        let options = state.runnable.len();
        if options < 2 {
            if options == 0 {
                state.ending.get_or_insert_with(|| nothing_runnable(&state.tasks));
            }
            let next = state.runnable.first().copied();
            self.log_step(state, next, false);
            return next;
        }
        if state.log.follows() {
            if let Some(next) = self.follow(state) {
                return Some(next);
            }
            state.log.stray();
        }
        let view = SchedView {
            runnable: &state.runnable,
            current,
            step: self.steps.get(),
            tasks: &state.tasks,
            log: &state.log,
        };
        let index = self.ask(|scheduler| scheduler.next_task(&view)).expect("a run has a scheduler");
        let Some(&next) = state.runnable.get(index) else {
            state.ending.get_or_insert_with(|| self.diverged());
            return None;
        };
        if self.config.record {
            let (options, taken) = (options as u32, index as u32);
            state.record(Choice { kind: ChoiceKind::Task, options, taken });
        }
        self.log_step(state, Some(next), true);
        Some(next)
    }

    /// The task that did the next step of the run before, which is kept; `None` if it cannot do it now.
    #[inline]
    fn follow(&self, state: &mut State) -> Option<TaskId> {
        let next = state.log.next_kept();
        let task = state.tasks.get_mut(next.0 as usize).filter(|task| task.state == TaskState::Runnable)?;
        let woken_by = task.woken_by.take();
        state.log.step(next, task.op, &task.more, woken_by, true);
        if self.config.record {
            let taken = state.runnable.iter().position(|&task| task == next)? as u32;
            let options = state.runnable.len() as u32;
            state.record_again(Choice { kind: ChoiceKind::Task, options, taken });
        }
        Some(next)
    }

    #[inline]
    fn log_step(&self, state: &mut State, next: Option<TaskId>, chosen: bool) {
        if self.logging.get()
            && let Some(next) = next
        {
            let task = &mut state.tasks[next.0 as usize];
            let woken_by = task.woken_by.take();
            state.log.step(next, task.op, &task.more, woken_by, chosen);
        }
    }

    fn drive(&self) -> Outcome {
        let mut state = self.state.borrow_mut();
        loop {
            let next = match state.next.take() {
                Some(next) => Some(next),
                None if state.ending.is_none() => self.next_of_loop(&mut state),
                None => None,
            };
            let Some(next) = next else {
                self.catch_up(&mut state);
                return state.ending.take().expect("a run without a next task has ended");
            };
            let mut slot = match state.tasks[next.0 as usize].slot.take() {
                Some(slot) => slot,
                None => outside_tasks(|| self.start(&mut state, next)),
            };
            drop(state);
            self.current.set(next);
            let result = (*slot).as_mut().expect("a task's slot is filled").resume(());
            self.current.set(SETUP);
            state = self.state.borrow_mut();
            match result {
                CoroutineResult::Yield(()) => state.tasks[next.0 as usize].slot = Some(slot),
                CoroutineResult::Return(()) => {
                    state.tasks[next.0 as usize].state = TaskState::Finished;
                    if !self.behind.get() {
                        state.leave(next);
                    }
                    state.stacks.put(slot);
                    if !state.cpus.is_empty() {
                        state.open_gates(next);
                    }
                }
            }
        }
    }

    /// Who runs next where no task decides it: at the beginning, and when one has ended.
    fn next_of_loop(&self, state: &mut State) -> Option<TaskId> {
        if self.behind.get() {
            if let Some(next) = self.next_behind(state) {
                return Some(next);
            }
            self.catch_up(state);
        }
        outside_tasks(|| self.pick(state, None))
    }

    /// A coroutine for the body of task `id`, not yet resumed.
    fn start(&self, state: &mut State, id: TaskId) -> Box<Slot> {
        let body = state.tasks[id.0 as usize].body.take().expect("a task that was not started has a body");
        let (mut slot, stack) = state.stacks.take();
        let sched = ptr::from_ref(self);
        *slot = Some(TaskCoroutine::with_stack(stack, move |yielder: &TaskYielder, ()| {
            #[expect(unsafe_code, reason = "a coroutine's closure is 'static, the engine is not")]
            // SAFETY: this executes within `run`, which borrows the engine: `Running` unwinds every coroutine before
            // `run` is left, also by a panic, and nothing else resumes one.
            let sched = unsafe { &*sched };
            sched.task_main(id, yielder, body);
        }));
        slot
    }

    /// The root of every task's stack. Nothing unwinds out of it.
    fn task_main(&self, id: TaskId, yielder: &TaskYielder, body: Box<dyn FnOnce()>) {
        self.state.borrow_mut().tasks[id.0 as usize].yielder = yielder;
        let Err(payload) = catch_unwind(AssertUnwindSafe(body)) else { return };
        // While tearing down it is the unwinding that we started: returning tells the coroutine library that it is
        // complete, as well as rethrowing would and at half the price.
        if !self.tearing_down.get() {
            let CaughtPanic { message, location } = panic_hook::caught(&*payload);
            self.end(Outcome::Panicked { task: id, message, location });
        }
    }

    /// Unwinds every task that has not returned.
    fn tear_down(&self) {
        self.tearing_down.set(true);
        self.behind.set(false);
        // Before anything unwinds: destructors that wake must find nobody.
        let mut state = self.state.borrow_mut();
        state.waiters.clear();
        state.shut_out.clear();
        state.deadlines.clear();
        drop(state);
        for id in 1..=self.tasks() {
            self.unwind(TaskId(id));
        }
        let mut state = self.state.borrow_mut();
        state.runnable.clear();
        state.next = None;
        state.ending = None;
    }

    fn has_live_tasks(&self) -> bool {
        let state = self.state.borrow();
        state.tasks[1..].iter().any(|task| !matches!(task.state, TaskState::Finished | TaskState::Unwound))
    }

    fn unwind(&self, id: TaskId) {
        let mut state = self.state.borrow_mut();
        let task = &mut state.tasks[id.0 as usize];
        if task.state == TaskState::Finished {
            return;
        }
        task.state = TaskState::Unwound;
        let (body, slot) = (task.body.take(), task.slot.take());
        drop(state);
        self.current.set(id);
        panic_hook::set_in_task(true);
        // A task that swallowed the unwinding and then panicked has nothing to say any more.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
        if let Some(mut slot) = slot {
            let coroutine = (*slot).as_mut().expect("a task's slot is filled");
            let _ = catch_unwind(AssertUnwindSafe(|| coroutine.force_unwind()));
            self.state.borrow_mut().stacks.put(slot);
        }
        panic_hook::set_in_task(false);
        self.current.set(SETUP);
    }

    /// The first decision of a run is near: the log begins, with what the scheduler keeps of the run before.
    fn begin_log(&self) {
        let state = &mut *self.state.borrow_mut();
        if state.log.fresh() {
            let last = state.log.id();
            let kept = if self.logging.get() { self.ask(|scheduler| scheduler.keeps(last)) } else { None };
            state.log.begin(ptr::from_ref(self).addr(), kept.unwrap_or(0));
        }
    }

    /// Asks the scheduler, if there is one. It is out of reach while it answers.
    #[inline]
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&mut dyn Scheduler) -> R) -> Option<R> {
        if !self.can_ask.replace(false) {
            return None;
        }
        #[expect(unsafe_code, reason = "the scheduler is lent to `run`, tasks reach it through the engine")]
        // SAFETY: `can_ask` is set only while the `Deciding` made from the reference is alive, which borrows it
        // exclusively. A scheduler that calls back into the engine finds it cleared above, so no second reference is
        // made. (If it panics, that stays: it is not asked again.)
        let answer = question(unsafe { &mut *self.scheduler.get() });
        self.can_ask.set(true);
        Some(answer)
    }
}

/// Executes `f`, in the run loop, where a panic is the simulator's own and must be heard. (The loop's own few lines count
/// as in a task, so that a switch does not pay for the difference.)
fn outside_tasks<R>(f: impl FnOnce() -> R) -> R {
    panic_hook::set_in_task(false);
    let result = f();
    panic_hook::set_in_task(true);
    result
}

fn nothing_runnable(tasks: &[crate::task::Task]) -> Outcome {
    // Idle daemons do not keep a run alive; they are told of when something else does.
    if !tasks.iter().any(|task| task.state.waits_for().is_some_and(|on| task.idle_on != Some(on))) {
        return Outcome::Finished;
    }
    let blocked = tasks.iter().enumerate().filter_map(|(id, task)| {
        let on = task.state.waits_for()?;
        Some((TaskId(id as u32), on))
    });
    let blocked: Vec<_> = blocked.collect();
    if blocked.is_empty() { Outcome::Finished } else { Outcome::Deadlock { blocked } }
}

/// Leaves the current task's stack for the run loop; returns when the loop resumes the task.
#[inline(always)]
#[expect(unsafe_code, reason = "the yielder lives on the coroutine's stack, out of reach of lifetimes")]
pub(crate) fn suspend(yielder: *const TaskYielder) {
    // SAFETY: the pointer is the current task's (only the current task suspends), stored by its `task_main`, whose
    // frame is below ours on this very stack and holds the yielder's reference until it ends.
    unsafe { &*yielder }.suspend(());
}

/// The absence of a scheduler.
pub(crate) fn no_scheduler() -> *mut (dyn Scheduler + 'static) {
    ptr::null_mut::<crate::FirstScheduler>()
}

/// While it lives, the engine asks `scheduler`.
struct Deciding<'a> {
    sched: &'a Sched,
    previous: (*mut (dyn Scheduler + 'static), bool, bool),
}

impl<'a> Deciding<'a> {
    fn new(sched: &'a Sched, scheduler: &'a mut dyn Scheduler) -> Deciding<'a> {
        let logging = scheduler.wants_log();
        let scheduler: *mut (dyn Scheduler + 'a) = scheduler;
        #[expect(unsafe_code, reason = "only a transmute changes the lifetime bound of a trait object")]
        // SAFETY: the two types differ in the lifetime bound alone. The pointer is followed only until `drop` puts
        // back what was there before, within 'a.
        let scheduler =
            unsafe { std::mem::transmute::<*mut (dyn Scheduler + 'a), *mut (dyn Scheduler + 'static)>(scheduler) };
        let previous =
            (sched.scheduler.replace(scheduler), sched.can_ask.replace(true), sched.logging.replace(logging));
        sched.begin_log();
        Deciding { sched, previous }
    }
}

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        let (scheduler, can_ask, logging) = self.previous;
        self.sched.scheduler.set(scheduler);
        self.sched.can_ask.set(can_ask);
        self.sched.logging.set(logging);
    }
}

/// A run in progress. However it is left, no coroutine outlives it.
struct Running<'a> {
    deciding: Deciding<'a>,
}

impl<'a> Running<'a> {
    fn new(sched: &'a Sched, scheduler: &'a mut dyn Scheduler) -> Running<'a> {
        sched.running.set(true);
        let deciding = Deciding::new(sched, scheduler);
        sched.begin_behind();
        Running { deciding }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let sched = self.deciding.sched;
        panic_hook::set_in_task(false);
        sched.current.set(SETUP);
        if sched.has_live_tasks() {
            sched.tear_down();
        }
        sched.running.set(false);
    }
}
