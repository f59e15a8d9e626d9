//! The engine: its state, and everything that does not switch.

use crate::interrupt::{Context, Gates};
use crate::kept::Current;
use crate::log::{Picked, RunLog};
use crate::outcome::StopReason;
use crate::panic_hook;
use crate::stack::StackPool;
use crate::task::Task;
use crate::{Choice, ChoiceKind, Config, Op, Outcome, Schedule, Scheduler, TaskState};
use mm_types::{Name, ObjId, TaskId};
use std::cell::{Cell, RefCell};
use std::fmt;

/// The task id of the setup context.
pub(crate) const SETUP: TaskId = TaskId(0);

/// The engine of one world: tasks, clock, choices. Single threaded; tasks call back into it while it runs, so every
/// method takes `&self`. See the crate's documentation for the protocol.
pub struct Sched {
    pub(crate) config: Config,
    /// The task that executes now. Never other than [`SETUP`] unless this thread is on that task's stack.
    pub(crate) current: Cell<TaskId>,
    pub(crate) running: Cell<bool>,
    pub(crate) tearing_down: Cell<bool>,
    pub(crate) steps: Cell<u64>,
    /// `max_steps`, or 0 once the run is to end at the next scheduling point, so that one comparison sees both.
    pub(crate) limit: Cell<u64>,
    pub(crate) now_ns: Cell<u64>,
    /// Who decides. Valid only within `run` or `setup`, whose argument it points to.
    pub(crate) scheduler: Cell<*mut (dyn Scheduler + 'static)>,
    /// Whether `scheduler` is valid and not just being asked.
    pub(crate) can_ask: Cell<bool>,
    /// Whether interrupts may arrive.
    pub(crate) interrupts: Cell<bool>,
    /// Whether the scheduler wants the steps.
    pub(crate) logging: Cell<bool>,
    /// Whether steps of the run before are done again and who can be chosen is not known (`kept.rs`). Never while tearing
    /// down, nor outside a run.
    pub(crate) behind: Cell<bool>,
    /// Never borrowed across a switch or a call of foreign code other than the scheduler's.
    pub(crate) state: RefCell<State>,
}

pub(crate) struct State {
    /// Indexed by task id; entry 0 is the setup context.
    pub(crate) tasks: Vec<Task>,
    /// Who can be chosen, unless the run is behind.
    /// invariant: ascending
    pub(crate) runnable: Vec<TaskId>,
    /// Who waits on what, in order of arrival.
    pub(crate) waiters: Vec<(ObjId, TaskId)>,
    /// Who stands before taking an object that cannot be taken, in no order; as `runnable`.
    pub(crate) shut_out: Vec<TaskId>,
    /// Pending timeouts of blocked tasks, in order of arrival.
    pub(crate) deadlines: Vec<(u64, TaskId)>,
    /// Indexed by the task whose CPU it is; empty in a world without interrupts.
    pub(crate) cpus: Vec<Gates>,
    /// The strongest kind of interrupt that there is, and whether there are softirqs.
    pub(crate) sources: Context,
    pub(crate) softirqs: bool,
    /// The choices made, and beyond `recorded` those of the run before that are to be made again.
    pub(crate) schedule: Vec<Choice>,
    pub(crate) recorded: usize,
    /// The steps, while `logging`.
    pub(crate) log: RunLog,
    /// While the run is behind.
    pub(crate) current: Current,
    /// Chosen to be resumed next.
    pub(crate) next: Option<TaskId>,
    /// How the run ends, once that is known.
    pub(crate) ending: Option<Outcome>,
    pub(crate) stacks: StackPool,
}

impl State {
    pub(crate) fn record(&mut self, choice: Choice) {
        self.schedule.truncate(self.recorded);
        self.schedule.push(choice);
        self.recorded += 1;
    }

    /// As [`State::record`], of a choice that the run before made as well.
    pub(crate) fn record_again(&mut self, choice: Choice) {
        if self.schedule.get(self.recorded) == Some(&choice) {
            self.recorded += 1;
        } else {
            // Other options, or another moment: the run is not what it was.
            self.record(choice);
        }
    }
}

impl Sched {
    /// An engine without tasks.
    #[must_use]
    pub fn new(config: Config) -> Sched {
        Sched {
            config,
            current: Cell::new(SETUP),
            running: Cell::new(false),
            tearing_down: Cell::new(false),
            steps: Cell::new(0),
            limit: Cell::new(config.max_steps),
            now_ns: Cell::new(0),
            scheduler: Cell::new(crate::run::no_scheduler()),
            can_ask: Cell::new(false),
            interrupts: Cell::new(false),
            logging: Cell::new(false),
            behind: Cell::new(false),
            state: RefCell::new(State {
                tasks: vec![Task::new(Name::new("setup"), None)],
                runnable: Vec::new(),
                waiters: Vec::new(),
                shut_out: Vec::new(),
                deadlines: Vec::new(),
                cpus: Vec::new(),
                sources: Context::Task,
                softirqs: false,
                schedule: Vec::new(),
                recorded: 0,
                log: RunLog::default(),
                current: Current::NONE,
                next: None,
                ending: None,
                stacks: StackPool::new(config.stack_size, config.measure_stack),
            }),
        }
    }

    /// Makes the engine as new, keeping stacks and arenas. Tasks that never ran are dropped unrun.
    ///
    /// # Panics
    /// If called during a run.
    pub fn reset(&self) {
        assert!(!self.running.get(), "Sched::reset during a run");
        // Bodies may own anything, even something that calls back: they are dropped outside the borrow.
        while let Some(body) = self.take_unrun_body() {
            drop(body);
        }
        let state = &mut *self.state.borrow_mut();
        state.tasks.truncate(1);
        state.tasks[0].objects = 0;
        state.runnable.clear();
        state.waiters.clear();
        state.shut_out.clear();
        state.deadlines.clear();
        state.cpus.clear();
        (state.sources, state.softirqs) = (Context::Task, false);
        self.interrupts.set(false);
        state.recorded = 0;
        state.log.rewind();
        state.next = None;
        state.ending = None;
        self.behind.set(false);
        self.tearing_down.set(false);
        self.steps.set(0);
        self.limit.set(self.config.max_steps);
        self.now_ns.set(0);
    }

    fn take_unrun_body(&self) -> Option<Box<dyn FnOnce()>> {
        self.state.borrow_mut().tasks.iter_mut().find_map(|task| task.body.take())
    }

    /// Creates a task that executes `body`; it is runnable at once. Ids are given from 1 in order of creation.
    ///
    /// Before the run, or from a task. Not a scheduling point: call [`Sched::visible`] before, with a write to
    /// [`TASKS`](crate::TASKS), since others can tell by the id.
    /// While the run is torn down the task is counted, but its body is dropped unrun.
    pub fn spawn(&self, name: Name, body: Box<dyn FnOnce() + 'static>) -> TaskId {
        let mut state = self.state.borrow_mut();
        let id = TaskId(state.tasks.len() as u32);
        if self.tearing_down.get() {
            state.tasks.push(Task { state: TaskState::Unwound, ..Task::new(name, None) });
            drop(state);
            drop(body);
        } else {
            let spawned_by = state.log.steps().len();
            if self.logging.get() && self.in_task() {
                state.log.spawned();
            }
            state.tasks.push(Task { spawned_by: spawned_by as u32, ..Task::new(name, Some(body)) });
            state.runnable.push(id);
        }
        id
    }

    /// As [`Sched::spawn`], a task that others keep busy: while it waits on `idle_on` it does not keep the run alive. When
    /// only daemons that do are left, the run is [`Outcome::Finished`] and they are unwound. One that waits for something
    /// else counts as any other task.
    pub fn spawn_daemon(&self, name: Name, idle_on: ObjId, body: Box<dyn FnOnce() + 'static>) -> TaskId {
        let id = self.spawn(name, body);
        self.state.borrow_mut().tasks[id.0 as usize].idle_on = Some(idle_on);
        id
    }

    /// The task that executes now; `TaskId(0)`, the setup context, outside tasks.
    #[must_use]
    #[inline]
    pub fn current(&self) -> TaskId {
        self.current.get()
    }

    /// Whether a task executes now.
    #[must_use]
    #[inline]
    pub fn in_task(&self) -> bool {
        self.current.get() != SETUP
    }

    /// Whether what executes now is being unwound: the run has ended other than by every task returning, or the
    /// current task is panicking. Guards dropped now drop silently; nothing switches, blocks or records.
    ///
    /// Stays set after such a run until [`Sched::reset`]. Code of a task that catches unwinding must, when this is
    /// set, go on unwinding.
    #[must_use]
    #[inline]
    pub fn tearing_down(&self) -> bool {
        self.tearing_down.get() || std::thread::panicking()
    }

    /// Decides something other than which task runs: a number in `0..options`, recorded.
    ///
    /// With one option there is nothing to decide. Without a scheduler (in the setup context outside
    /// [`Sched::setup`]) and while tearing down it is option 0, unrecorded. If the scheduler cannot answer, it is
    /// option 0 and the run ends at the next scheduling point as [`Outcome::Diverged`].
    ///
    /// # Panics
    /// If `options` is 0.
    pub fn choose(&self, kind: ChoiceKind, options: u32) -> u32 {
        assert!(options > 0, "a choice of {kind:?} without options");
        if options == 1 || self.tearing_down() {
            return 0;
        }
        let taken = if self.logging.get() {
            let state = &mut *self.state.borrow_mut();
            if self.can_ask.get()
                && let Some(taken) = state.log.kept_choice(options)
            {
                if self.config.record {
                    state.record_again(Choice { kind, options, taken });
                }
                return taken;
            }
            let step = state.log.steps().len().saturating_sub(1);
            self.ask(|scheduler| scheduler.choose_in_step(step, kind, options))
        } else {
            self.ask(|scheduler| scheduler.choose(kind, options))
        };
        let Some(taken) = taken else { return 0 };
        if taken >= options {
            self.end(self.diverged());
            return 0;
        }
        let state = &mut *self.state.borrow_mut();
        if self.config.record {
            state.record(Choice { kind, options, taken });
        }
        if self.logging.get() {
            state.log.choice(Picked { options, taken });
        }
        taken
    }

    pub(crate) fn diverged(&self) -> Outcome {
        match self.ask(|scheduler| scheduler.divergence()).flatten() {
            Some(divergence) => Outcome::Diverged { at: divergence.at, why: divergence.why },
            None => panic!("a scheduler chose an option that does not exist and reports no divergence"),
        }
    }

    /// Ends the run at the current task's next scheduling point. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        if !self.tearing_down() {
            self.end(Outcome::Stopped(reason));
        }
    }

    /// Lets the run end with `outcome` at the next scheduling point, unless it already ends otherwise.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.state.borrow_mut().ending.get_or_insert(outcome);
        self.limit.set(0);
    }

    /// Scheduling points so far: visible operations and waits.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// The choices recorded so far.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let state = self.state.borrow();
        Schedule(state.schedule[..state.recorded].to_vec())
    }

    /// The name that `task` was spawned with; `setup` for task 0.
    ///
    /// # Panics
    /// If there is no such task.
    #[must_use]
    pub fn task_name(&self, task: TaskId) -> Name {
        self.state.borrow().tasks[task.0 as usize].name
    }

    /// How many tasks were spawned.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.state.borrow().tasks.len() as u32 - 1
    }

    /// What `task` is doing; the setup context is always runnable.
    ///
    /// # Panics
    /// If there is no such task.
    #[must_use]
    pub fn state(&self, task: TaskId) -> TaskState {
        let mut state = self.state.borrow_mut();
        self.catch_up(&mut state);
        state.tasks[task.0 as usize].state
    }

    /// The visible operation that `task` stands before, or performed last if it is the current one.
    ///
    /// # Panics
    /// If there is no such task.
    #[must_use]
    pub fn next_op(&self, task: TaskId) -> Op {
        self.state.borrow().tasks[task.0 as usize].op
    }

    /// An id for an object that the current context creates, from a counter of its own.
    #[must_use]
    pub fn new_obj(&self) -> ObjId {
        let current = self.current.get();
        let mut state = self.state.borrow_mut();
        let task = &mut state.tasks[current.0 as usize];
        task.objects += 1;
        ObjId::created(current, task.objects)
    }

    /// The most bytes of stack that any task used; 0 unless [`Config::measure_stack`] is set. Kept by a reset.
    #[must_use]
    pub fn stack_high_water(&self) -> usize {
        self.state.borrow().stacks.high_water()
    }

    /// Stacks mapped since the engine was made; none is unmapped before the engine is dropped.
    #[must_use]
    pub fn stacks_created(&self) -> usize {
        self.state.borrow().stacks.created()
    }
}

impl fmt::Debug for Sched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sched")
            .field("current", &self.current.get())
            .field("steps", &self.steps.get())
            .field("now_ns", &self.now_ns.get())
            .field("running", &self.running.get())
            .field("tearing_down", &self.tearing_down.get())
            .field("in_task", &panic_hook::in_task())
            .finish_non_exhaustive()
    }
}
