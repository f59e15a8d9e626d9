//! Interrupts: contexts that take the CPU of a task away.
//!
//! Each task that exists when the first interrupt is declared has a CPU of its own. A handler is a coroutine as a task is. It
//! *arrives* at one of these CPUs, or at one that is idle, and until it returns nothing else on that CPU can be chosen; what is on
//! other CPUs goes on.
//!
//! ```text
//! task t (CPU t)            handler h                     task u (CPU u)
//! lock L
//!                           arrive at CPU t
//!   interrupted             lock L: waits for t ...       goes on
//!   (cannot be chosen)
//! ```
//!
//! # Gates
//!
//! A CPU has two *gates*, one for hardirqs and one for softirqs: objects that can be taken, as locks are. A handler that arrives
//! takes its gate and gives it back when it returns; a task that disables interrupts takes it meanwhile. Every other step on
//! the CPU shares the gates that are open to it for the moment of the step, and says so as part of what it accesses. So
//! nothing but gates decides who can be chosen, and a reduction that knows how taking and sharing conflict knows interrupts.
//!
//! | step | hardirq gate | softirq gate |
//! |---|---|---|
//! | a hardirq arrives .. returns | taken | |
//! | a softirq arrives .. returns | shared for the moment | taken |
//! | a step of a softirq handler | shared for the moment, unless the handler has taken it | |
//! | a step of a task | shared for the moment, unless the task has taken it | the same |
//! | interrupts disabled .. enabled | taken | shared for the moment of either |
//! | bottom halves disabled .. enabled | shared for the moment of either | taken |
//!
//! While a task has taken the hardirq gate no softirq arrives either, and its steps name no gate at all.

use crate::engine::{SETUP, Sched, State};
use crate::log::Effect;
use crate::task::{Task, TaskYielder};
use crate::{Availability, Op, TaskState};
use mm_types::{Name, ObjId, TaskId};

/// What kind of code a coroutine executes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Context {
    /// A task.
    #[default]
    Task,
    /// The handler of a softirq: interrupts tasks.
    Softirq,
    /// The handler of a hardware interrupt: interrupts tasks and softirqs.
    Hardirq,
}

/// The gates of a CPU: who has taken them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Gates {
    hard: Option<TaskId>,
    soft: Option<TaskId>,
}

/// A gate, as one who finds its object among what is waited for sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gate {
    /// Whose CPU's.
    pub cpu: TaskId,
    /// Whose arrivals it lets through.
    pub of: Context,
    /// Who has taken it: a handler of that kind, or a task or softirq handler that disabled them.
    pub taken_by: Option<TaskId>,
}

const GATE: u8 = 0x7e;

fn gate_obj(cpu: TaskId, of: Context) -> ObjId {
    ObjId::keyed(GATE, u64::from(cpu.0) << 1 | u64::from(of == Context::Hardirq))
}

impl Gates {
    fn of(&mut self, of: Context) -> &mut Option<TaskId> {
        match of {
            Context::Hardirq => &mut self.hard,
            Context::Softirq | Context::Task => &mut self.soft,
        }
    }

    /// The gate that keeps a handler of this kind from arriving at this CPU: its own if that is taken.
    fn in_the_way(&self, cpu: TaskId, of: Context) -> ObjId {
        let own = of == Context::Hardirq || self.soft.is_some();
        gate_obj(cpu, if own { of } else { Context::Hardirq })
    }

    /// Whether a handler of this kind can arrive.
    fn let_in(&self, of: Context) -> bool {
        self.hard.is_none() && (of == Context::Hardirq || self.soft.is_none())
    }
}

impl Sched {
    /// Creates the handler of an interrupt; `context` is not [`Context::Task`]. Its body calls [`Sched::arrive`] and
    /// [`Sched::return_from_interrupt`] around what it does, as often as it is to arrive. Interrupts can arrive at the CPUs of all
    /// tasks that there are now; others have none.
    ///
    /// # Panics
    /// During a run.
    pub fn spawn_interrupt(&self, name: Name, context: Context, body: Box<dyn FnOnce() + 'static>) -> TaskId {
        assert!(!self.running.get(), "Sched::spawn_interrupt during a run");
        assert!(context != Context::Task, "{name} is to be an interrupt");
        let id = self.spawn(name, body);
        let state = &mut *self.state.borrow_mut();
        state.tasks[id.0 as usize].context = context;
        state.sources = state.sources.max(context);
        state.softirqs |= context == Context::Softirq;
        if state.cpus.is_empty() {
            state.cpus.resize(state.tasks.len() - 1, Gates::default());
        }
        for at in 1..state.cpus.len() {
            let task = &mut state.tasks[at];
            task.cpu = TaskId(at as u32);
            task.more.clear();
            state.name_gates(TaskId(at as u32), None);
        }
        self.interrupts.set(true);
        id
    }

    /// As [`Sched::spawn_interrupt`], one that others raise: while it waits on `idle_on` for that it does not keep the run alive.
    pub fn spawn_raised_interrupt(
        &self,
        name: Name,
        context: Context,
        idle_on: ObjId,
        body: Box<dyn FnOnce() + 'static>,
    ) -> TaskId {
        let id = self.spawn_interrupt(name, context, body);
        self.state.borrow_mut().tasks[id.0 as usize].idle_on = Some(idle_on);
        id
    }

    /// Whether interrupts may arrive in this world.
    #[must_use]
    #[inline]
    pub fn has_interrupts(&self) -> bool {
        self.interrupts.get()
    }

    /// The tasks whose CPUs interrupts can arrive at are `1..=cpus`.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        (self.state.borrow().cpus.len() as u32).saturating_sub(1)
    }

    /// What `task` is.
    ///
    /// # Panics
    /// If there is no such task.
    #[must_use]
    pub fn context(&self, task: TaskId) -> Context {
        self.state.borrow().tasks[task.0 as usize].context
    }

    /// Of a handler that stands before its arrival: at whose CPU.
    #[must_use]
    pub fn arrives_at(&self, task: TaskId) -> Option<TaskId> {
        let state = self.state.borrow();
        state.tasks.get(task.0 as usize).map(|task| task.arrives_at).filter(|cpu| *cpu != SETUP)
    }

    /// The current handler arrives at the CPU of task `cpu`, once it can; at one that is idle if that is 0, which is no step.
    ///
    /// # Panics
    /// If the current context is no handler, or there is no such CPU.
    pub fn arrive(&self, cpu: TaskId) {
        let me = self.current.get();
        if self.tearing_down() || cpu == SETUP {
            return;
        }
        if let Some(yielder) = self.begin_arrival(me, cpu) {
            crate::run::suspend(yielder);
        }
        self.end_arrival(me, cpu);
    }

    fn begin_arrival(&self, me: TaskId, cpu: TaskId) -> Option<*const TaskYielder> {
        let mut state = self.state.borrow_mut();
        let gates = state.cpus.get(cpu.0 as usize).copied();
        let task = &mut state.tasks[me.0 as usize];
        let context = task.context;
        assert!(context != Context::Task, "{} is no interrupt", task.name);
        let Some(gates) = gates else { panic!("{} arrives at CPU {cpu}, which is none", task.name) };
        let op = Op::take_exclusive(gate_obj(cpu, context));
        task.more.clear();
        if context == Context::Softirq {
            task.more.push(Op::take_shared(gate_obj(cpu, Context::Hardirq)));
        }
        task.arrives_at = cpu;
        if gates.let_in(context) {
            drop(state);
            return self.decide_named(op);
        }
        drop(state);
        if self.count_step() {
            return Some(self.suspend_for_good());
        }
        let state = &mut *self.state.borrow_mut();
        let task = &mut state.tasks[me.0 as usize];
        (task.op, task.state) = (op, TaskState::Blocked(gates.in_the_way(cpu, context)));
        state.leave(me);
        self.switch_away(state, me)
    }

    fn end_arrival(&self, me: TaskId, cpu: TaskId) {
        if self.tearing_down() {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        let task = &mut state.tasks[me.0 as usize];
        let context = task.context;
        (task.arrives_at, task.cpu) = (SETUP, cpu);
        self.take_gate(state, cpu, context, me);
        for other in 1..state.tasks.len() {
            let task = &state.tasks[other];
            if task.cpu == cpu && task.context < context {
                state.freeze(TaskId(other as u32), gate_obj(cpu, context));
            }
        }
    }

    /// The current handler returns to what it interrupted. A scheduling point before, unless it interrupted nothing.
    pub fn return_from_interrupt(&self) {
        let me = self.current.get();
        let (context, cpu) = self.place(me);
        if self.tearing_down() || cpu == SETUP {
            return;
        }
        self.visible(Op::drop_exclusive(gate_obj(cpu, context)));
        if self.tearing_down() {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        state.tasks[me.0 as usize].cpu = SETUP;
        for other in 1..state.tasks.len() {
            let task = &state.tasks[other];
            if task.cpu == cpu && task.context < context {
                state.thaw(TaskId(other as u32));
            }
        }
        self.give_gate(state, cpu, context);
    }

    /// Whether the current context could be interrupted by an interrupt of kind `of`, as far as it has a say.
    #[must_use]
    pub fn unmasked(&self, of: Context) -> bool {
        let (context, cpu) = self.place(self.current.get());
        cpu != SETUP && context < of && self.state.borrow_mut().cpus[cpu.0 as usize].of(of).is_none()
    }

    /// The current context disables interrupts of kind `of` on its CPU: a step, unless they are or there are none that could
    /// arrive there. Whether it did.
    pub fn mask(&self, of: Context) -> bool {
        let me = self.current.get();
        if self.tearing_down() || !self.unmasked(of) {
            return false;
        }
        let (_, cpu) = self.place(me);
        self.state.borrow_mut().name_gates(me, Some(of));
        if let Some(yielder) = self.decide_named(Op::take_exclusive(gate_obj(cpu, of))) {
            crate::run::suspend(yielder);
        }
        if !self.tearing_down() {
            self.take_gate(&mut self.state.borrow_mut(), cpu, of, me);
        }
        true
    }

    /// The current context enables again what it has disabled by [`Sched::mask`]: a step, unless it has not.
    pub fn unmask(&self, of: Context) {
        let me = self.current.get();
        let (context, cpu) = self.place(me);
        let taken_by = |of| *self.state.borrow_mut().cpus[cpu.0 as usize].of(of);
        if self.tearing_down() || cpu == SETUP || context >= of || taken_by(of) != Some(me) {
            return;
        }
        self.visible(Op::drop_exclusive(gate_obj(cpu, of)));
        if !self.tearing_down() {
            self.give_gate(&mut self.state.borrow_mut(), cpu, of);
        }
    }

    /// The gate that `obj` is, if it is one.
    #[must_use]
    pub fn gate(&self, obj: ObjId) -> Option<Gate> {
        let (GATE, key) = obj.as_keyed()? else { return None };
        let of = if key & 1 == 1 { Context::Hardirq } else { Context::Softirq };
        let cpu = TaskId((key >> 1) as u32);
        let taken_by = *self.state.borrow_mut().cpus.get_mut(cpu.0 as usize)?.of(of);
        Some(Gate { cpu, of, taken_by })
    }

    fn place(&self, task: TaskId) -> (Context, TaskId) {
        let state = self.state.borrow();
        let task = &state.tasks[task.0 as usize];
        (task.context, task.cpu)
    }

    fn take_gate(&self, state: &mut State, cpu: TaskId, of: Context, by: TaskId) {
        let before = state.cpus[cpu.0 as usize].of(of).replace(by);
        assert!(before.is_none(), "{by} was chosen to take a gate that {before:?} has");
        self.log_gate(state, cpu, of, Effect { from: Availability::FREE, to: Availability::TAKEN });
        state.settle_arrivals(cpu);
    }

    fn give_gate(&self, state: &mut State, cpu: TaskId, of: Context) {
        *state.cpus[cpu.0 as usize].of(of) = None;
        self.log_gate(state, cpu, of, Effect { from: Availability::TAKEN, to: Availability::FREE });
        state.settle_arrivals(cpu);
    }

    fn log_gate(&self, state: &mut State, cpu: TaskId, of: Context, effect: Effect) {
        if self.logging.get() {
            state.log.effect(gate_obj(cpu, of), effect);
        }
    }

    /// Says which gates the next step of the current context shares.
    #[cold]
    pub(crate) fn name_gates(&self) {
        self.state.borrow_mut().name_gates(self.current.get(), None);
    }
}

impl State {
    /// Says which gates the next step of `task` shares: those that it could be interrupted through, but not `except`.
    fn name_gates(&mut self, task: TaskId, except: Option<Context>) {
        let Task { more, cpu, context, .. } = &mut self.tasks[task.0 as usize];
        more.clear();
        let Some(gates) = self.cpus.get_mut(cpu.0 as usize).filter(|_| *cpu != SETUP) else { return };
        if gates.hard.is_some() {
            return;
        }
        let kinds = [(Context::Hardirq, self.sources == Context::Hardirq), (Context::Softirq, self.softirqs)];
        for (of, any) in kinds {
            if any && *context < of && Some(of) != except && gates.of(of).is_none() {
                more.push(Op::take_shared(gate_obj(*cpu, of)));
            }
        }
    }

    /// Something on this CPU's gates changed: those that wait to arrive at it can, or no longer.
    fn settle_arrivals(&mut self, cpu: TaskId) {
        let gates = self.cpus[cpu.0 as usize];
        for at in 1..self.tasks.len() {
            let task = &mut self.tasks[at];
            if task.arrives_at != cpu {
                continue;
            }
            let id = TaskId(at as u32);
            match (task.state, gates.let_in(task.context)) {
                (TaskState::Runnable, false) => {
                    task.state = TaskState::Blocked(gates.in_the_way(cpu, task.context));
                    self.leave(id);
                }
                (TaskState::Blocked(_), false) => task.state = TaskState::Blocked(gates.in_the_way(cpu, task.context)),
                (TaskState::Blocked(_), true) => {
                    task.state = TaskState::Runnable;
                    self.enter(id);
                }
                _ => {}
            }
        }
    }

    /// A handler has arrived where `task` is.
    fn freeze(&mut self, task: TaskId, gate: ObjId) {
        let entry = &mut self.tasks[task.0 as usize];
        if entry.frozen == 0 {
            entry.frozen_by = gate;
            if entry.state == TaskState::Runnable {
                entry.state = TaskState::Interrupted(gate);
                self.leave(task);
            }
        }
        self.tasks[task.0 as usize].frozen += 1;
    }

    fn thaw(&mut self, task: TaskId) {
        let entry = &mut self.tasks[task.0 as usize];
        entry.frozen -= 1;
        if entry.frozen == 0 && matches!(entry.state, TaskState::Interrupted(_)) {
            entry.state = TaskState::Runnable;
            self.enter(task);
        }
    }

    /// Those that are interrupted and stand before taking `object`, which is now as `now` says, and can no longer: how many.
    pub(crate) fn shut_interrupted(&mut self, object: ObjId, now: Availability) -> usize {
        let before = self.shut_out.len();
        for at in 1..self.tasks.len() {
            let task = &mut self.tasks[at];
            if matches!(task.state, TaskState::Interrupted(_)) && task.op.object == object && !task.op.enabled(now) {
                task.state = TaskState::Blocked(object);
                self.shut_out.push(TaskId(at as u32));
            }
        }
        self.shut_out.len() - before
    }

    /// `task` has returned: what it left disabled does not stay so.
    pub(crate) fn open_gates(&mut self, task: TaskId) {
        for cpu in 1..self.cpus.len() {
            let gates = &mut self.cpus[cpu];
            let before = *gates;
            gates.hard = gates.hard.filter(|by| *by != task);
            gates.soft = gates.soft.filter(|by| *by != task);
            if *gates != before {
                self.log.gate_left_taken();
                self.settle_arrivals(TaskId(cpu as u32));
            }
        }
    }
}
