//! [`Kernel`]: the scheduler, the validator, the observer and the allocation hook, for one world.

use crate::alloc::AllocHook;
use crate::class::{ClassIdx, ClassIndex, ClassRow, LockClass};
use crate::current;
use crate::map::LockMap;
use crate::memory::Memory;
use crate::pins::Pins;
use crate::rcu::{Rcu, RcuFlavour};
use crate::steer::Steers;
use crate::task::{TaskCx, TaskTable, WaitSite, Waits};
use crate::threads::Thread;
use crate::wait::WaitQueue;
use crate::ww::WwTable;
use lockdep::{Acquire, Assertion, ClassId, ClassSpec, Edge, Held, Lockdep, Nest, Report, Run, Site, Verdict};
use mm_types::{Name, ObjId, TaskId};
use sched::{Access, Availability, ChoiceKind, Op, Outcome, Sched, Schedule, Scheduler, StopReason, TaskState, Woken};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use trace::{Event, EventKind, LockKind, LockMode, LockRef, Observer, RunEnd};

/// The setup context.
const SETUP: TaskId = TaskId(0);

/// How to build a [`Kernel`].
#[derive(Clone, Default)]
pub struct KernelConfig {
    /// The scheduler's bounds.
    pub sched: sched::Config,
    /// The validator shared by the worlds of one explorer; `None` runs without one.
    pub lockdep: Option<Arc<Lockdep>>,
}

/// A report of the validator with the moment it was made.
#[derive(Clone, Debug)]
pub struct LockReport {
    /// Visible operations begun by then.
    pub step: u64,
    /// Who noticed.
    pub task: TaskId,
    /// The report.
    pub report: Report,
}

/// Everything that simulated kernel code below `mm` needs, for one world. Single threaded; worlds do not share it.
pub struct Kernel {
    pub(crate) sched: Sched,
    lockdep: Option<RefCell<Run>>,
    pub(crate) lockdep_registry: Option<Arc<Lockdep>>,
    pub(crate) tasks: RefCell<TaskTable>,
    pub(crate) classes: RefCell<Vec<ClassRow>>,
    /// The validator's number of each class: all that an acquisition wants to know of its row.
    class_ids: RefCell<Vec<ClassId>>,
    pub(crate) class_index: RefCell<ClassIndex>,
    observer: RefCell<Option<Rc<RefCell<dyn Observer>>>>,
    /// Whether events are made: somebody listens, and not only to how runs end.
    observing: Cell<bool>,
    muted: Cell<bool>,
    report_marks: RefCell<Vec<(u64, TaskId)>>,
    /// Who owes a wake-up on an object: what a wait without a lock waits *for*.
    pub(crate) debts: RefCell<BTreeMap<ObjId, Vec<TaskId>>>,
    pub(crate) pins: Pins,
    pub(crate) rcu: Rcu,
    pub(crate) ww: RefCell<WwTable>,
    pub(crate) steers: Steers,
    pub(crate) alloc_hook: RefCell<Option<Rc<dyn AllocHook>>>,
    pub(crate) alloc_failures: Cell<bool>,
    pub(crate) memory: Memory,
    pub(crate) fs_reclaim: Cell<Option<LockMap>>,
    /// The class of RCU read sections.
    pub(crate) rcu_class: ClassIdx,
    /// Taken and released inside every `fs_reclaim_acquire` of a direct-reclaim allocation, when priming is on.
    pub(crate) prime: Cell<Option<LockMap>>,
    /// Of an OS thread that is a task by itself.
    pub(crate) thread: Option<Thread>,
}

impl Kernel {
    /// A kernel without tasks.
    #[must_use]
    pub fn new(config: KernelConfig) -> Kernel {
        let mut kernel = Kernel::bare(config);
        kernel.rcu_class = kernel.class(RcuFlavour::Plain.class());
        let fs_reclaim = kernel.lock_map("fs_reclaim");
        kernel.fs_reclaim.set(Some(fs_reclaim));
        kernel
    }

    /// A kernel without tasks and classes.
    pub(crate) fn bare(config: KernelConfig) -> Kernel {
        Kernel {
            sched: Sched::new(config.sched),
            lockdep: config.lockdep.clone().map(|l| RefCell::new(Run::new(l))),
            lockdep_registry: config.lockdep,
            tasks: RefCell::new(TaskTable::new()),
            classes: RefCell::default(),
            class_ids: RefCell::default(),
            class_index: RefCell::default(),
            observer: RefCell::default(),
            observing: Cell::new(false),
            muted: Cell::new(false),
            report_marks: RefCell::default(),
            debts: RefCell::default(),
            pins: Pins::default(),
            rcu: Rcu::new(),
            ww: RefCell::default(),
            steers: Steers::default(),
            alloc_hook: RefCell::default(),
            alloc_failures: Cell::new(false),
            memory: Memory::default(),
            fs_reclaim: Cell::new(None),
            rcu_class: ClassIdx::ANONYMOUS,
            prime: Cell::new(None),
            thread: None,
        }
    }

    /// Begins with the classes of another kernel under the same validator.
    pub(crate) fn know_classes(&self, rows: &[ClassRow], index: &ClassIndex) {
        *self.classes.borrow_mut() = rows.to_vec();
        *self.class_ids.borrow_mut() = rows.iter().map(|row| row.id).collect();
        self.class_index.borrow_mut().clone_from(index);
    }

    /// Forgets the run: tasks, learnt order, reports, debts, hooks. Lock classes and buffers are kept.
    pub fn reset(&self) {
        self.sched.reset();
        if let Some(run) = &self.lockdep {
            run.borrow_mut().reset();
        }
        self.tasks.borrow_mut().reset();
        self.report_marks.borrow_mut().clear();
        self.debts.borrow_mut().clear();
        self.pins.clear();
        self.rcu.reset();
        self.ww.borrow_mut().clear();
        self.steers.clear();
        *self.alloc_hook.borrow_mut() = None;
        self.prime.set(None);
        self.alloc_failures.set(false);
        self.memory.reset();
        if let Some(before) = self.fs_reclaim.get() {
            self.fs_reclaim.set(Some(LockMap::new(before.class(), self.new_obj())));
        }
    }

    /// Runs `f` as this world's setup (task 0): locks work, waiting does not.
    pub fn enter<R>(&self, f: impl FnOnce(&Kernel) -> R) -> R {
        current::enter(self, || f(self))
    }

    /// Adds a task. Its body starts when the scheduler first chooses it. In a task, a scheduling point before it.
    ///
    /// A task that ends with locks held is reported, at the place it was spawned from (`debug_check_no_locks_held()`).
    #[track_caller]
    pub fn spawn(&self, name: Name, body: impl FnOnce() + 'static) -> TaskId {
        self.visible_write(sched::TASKS);
        let task = self.sched.spawn(name, task_body(body, Location::caller()));
        self.spawned(task, name)
    }

    /// Bookkeeping of a task that was just spawned.
    pub(crate) fn spawned(&self, task: TaskId, name: Name) -> TaskId {
        let mut tasks = self.tasks.borrow_mut();
        debug_assert_eq!(tasks.len(), task.0 as usize);
        tasks.push(name);
        drop(tasks);
        self.memory_of_task(task);
        self.emit(EventKind::TaskSpawned { child: task, name });
        task
    }

    /// As [`Kernel::spawn`], a task that others keep busy: while it waits on the queue `idle_on` it does not keep the run
    /// alive ([`Sched::spawn_daemon`]).
    #[track_caller]
    pub fn spawn_daemon(&self, name: Name, idle_on: WaitQueue, body: impl FnOnce() + 'static) -> TaskId {
        self.visible_write(sched::TASKS);
        let task = self.sched.spawn_daemon(name, idle_on.obj(), task_body(body, Location::caller()));
        self.spawned(task, name)
    }

    /// Runs all tasks under `scheduler` until the run ends, and tells the observer how.
    pub fn run(&self, scheduler: &mut dyn Scheduler) -> RunEnd {
        // Explained before the tasks are unwound: afterwards nobody holds or waits for anything.
        let mut explained = None;
        let mut explain = |outcome: &Outcome| {
            if let Outcome::Deadlock { blocked } = outcome {
                explained = Some(self.explain_deadlock(blocked));
            }
            if *outcome == Outcome::Finished {
                self.dismiss_daemons();
            }
        };
        let outcome = current::enter(self, || self.sched.run_observed(scheduler, &mut explain));
        let end = match outcome {
            Outcome::Finished => RunEnd::Finished,
            Outcome::Deadlock { .. } => {
                explained.unwrap_or(RunEnd::Deadlock { blocked: Vec::new(), cycle: Vec::new() })
            }
            Outcome::MaxSteps => RunEnd::MaxSteps { max_steps: self.sched.steps() },
            Outcome::Stopped(_) => RunEnd::Stopped,
            Outcome::Panicked { task, message, location } => RunEnd::Panicked { task, message, location },
            Outcome::Diverged { at, why } => RunEnd::Diverged { at, why },
        };
        if self.muted.get() && end != RunEnd::Finished {
            self.tell_of_tasks();
        }
        if let Some(observer) = &*self.observer.borrow() {
            observer.borrow_mut().end(&end);
        }
        end
    }

    /// What a muted world has kept silent about and the end of a run may refer to.
    fn tell_of_tasks(&self) {
        for child in (1..=self.sched.tasks()).map(TaskId) {
            let spawned = EventKind::TaskSpawned { child, name: self.sched.task_name(child) };
            self.emit_of(SETUP, spawned);
            if self.sched.state(child) == TaskState::Finished {
                self.emit_of(child, EventKind::TaskExited);
            }
        }
    }

    /// The run finished: the daemons that idle are done as well.
    fn dismiss_daemons(&self) {
        let Some(observer) = self.observer.borrow().clone() else { return };
        let idle = (1..=self.sched.tasks()).map(TaskId).filter(|task| self.sched.waiting_on(*task).is_some());
        for task in idle {
            observer.borrow_mut().event(&Event { step: self.sched.steps(), task, kind: EventKind::TaskExited });
        }
    }

    /// Ends the run at the current task's next scheduling point.
    pub fn stop(&self) {
        self.sched.stop(StopReason(0));
    }

    /// Hands events to `observer` from now on; `None` stops that, and costs one branch an event.
    pub fn set_observer(&self, observer: Option<Rc<RefCell<dyn Observer>>>) {
        self.observing.set(observer.is_some() && !self.muted.get());
        *self.observer.borrow_mut() = observer;
    }

    /// Whether only how runs end is told from now on, with the tasks that there were if it is not well: for a world in which
    /// nobody relates anything else. The validator is told of locks all the same.
    pub fn mute(&self, mute: bool) {
        self.muted.set(mute);
        self.observing.set(self.observer.borrow().is_some() && !mute);
    }

    /// Whether anybody listens: lets an emitter skip the making of an event.
    #[inline]
    pub fn observing(&self) -> bool {
        self.observing.get()
    }

    /// Emits an event of the current task. Silent while the run is torn down.
    #[inline]
    pub fn emit(&self, kind: EventKind) {
        if self.observing.get() && !self.quiet() {
            self.emit_slow(kind);
        }
    }

    fn emit_slow(&self, kind: EventKind) {
        self.emit_of(self.sched.current(), kind);
    }

    /// Emits an event of `task`, which need not be the current one.
    fn emit_of(&self, task: TaskId, kind: EventKind) {
        let event = Event { step: self.sched.steps(), task, kind };
        if let Some(observer) = &*self.observer.borrow() {
            observer.borrow_mut().event(&event);
        }
    }

    /// Whether the run has ended and tasks are only being unwound, or this task is unwinding from a panic.
    #[inline]
    pub fn quiet(&self) -> bool {
        self.sched.tearing_down()
    }

    /// Scheduling point before a visible operation on `object`.
    #[inline]
    pub fn visible(&self, object: ObjId, access: Access) {
        if !self.quiet() {
            self.sched.visible(Op { object, access });
        }
    }

    /// Scheduling point before one operation that accesses several objects. The first counts as its own.
    ///
    /// # Panics
    /// If `ops` is empty.
    pub fn visible_all(&self, ops: &[Op]) {
        if !self.quiet() {
            self.sched.visible_all(ops);
        }
    }

    /// Whether nobody would hear of an operation now ([`Sched::is_alone`]).
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.sched.is_alone()
    }

    /// Scheduling point before an operation that reads `object`.
    #[inline]
    pub fn visible_read(&self, object: ObjId) {
        self.visible(object, Access::Read);
    }

    /// Scheduling point before an operation that changes `object`.
    #[inline]
    pub fn visible_write(&self, object: ObjId) {
        self.visible(object, Access::Write);
    }

    /// A nondeterministic decision among `options`, `0..options`. Option 0 is the benign one.
    pub fn choose(&self, kind: ChoiceKind, options: u32) -> u32 {
        if self.quiet() {
            return 0;
        }
        self.steered(kind, options).unwrap_or_else(|| self.sched.choose(kind, options))
    }

    /// A fresh identity made by the current task.
    pub fn new_obj(&self) -> ObjId {
        match &self.thread {
            None => self.sched.new_obj(),
            Some(thread) => thread.new_obj(),
        }
    }

    /// Wakes all who wait on `obj`. No scheduling point; silent while the run is torn down.
    pub(crate) fn wake_all(&self, obj: ObjId) {
        if !self.quiet() && self.thread.is_none() {
            self.sched.wake_all(obj);
        }
        self.wake_threads();
    }

    /// The task that runs now; task 0 in setup.
    #[inline]
    pub fn current_task(&self) -> TaskId {
        self.sched.current()
    }

    /// A task's name.
    pub fn task_name(&self, task: TaskId) -> Name {
        if task.0 == 0 { Name::new("setup") } else { self.sched.task_name(task) }
    }

    /// The names of all tasks and handlers, by id; that of task 0 is `setup`.
    pub fn task_names(&self) -> Vec<Name> {
        (0..=self.sched.tasks()).map(|task| self.task_name(TaskId(task))).collect()
    }

    /// Visible operations begun so far.
    pub fn steps(&self) -> u64 {
        self.sched.steps()
    }

    /// Virtual time in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.sched.now_ns()
    }

    /// The choices made so far.
    pub fn schedule(&self) -> Schedule {
        self.sched.schedule()
    }

    /// Says what the current task is doing, in the words of its scenario (`userptr.mms:14 (ioctl)`); returns what was
    /// said before. Lockdep reports print it as the second line of a call site.
    #[inline]
    pub fn set_frame(&self, frame: Option<Name>) -> Option<&'static str> {
        self.with_task(|t| std::mem::replace(&mut t.frame, frame.map(Name::as_str)))
    }

    /// Puts back what [`Kernel::set_frame`] returned.
    #[inline]
    pub fn restore_frame(&self, frame: Option<&'static str>) {
        self.with_task(|t| t.frame = frame);
    }

    #[inline]
    pub(crate) fn with_task<R>(&self, f: impl FnOnce(&mut TaskCx) -> R) -> R {
        f(self.tasks.borrow_mut().row(self.sched.current()))
    }

    /// The class with this name and subclass, made on first use. A name has one sort of lock.
    pub fn class(&self, class: LockClass) -> ClassIdx {
        if let Some(idx) = self.class_index.borrow().get(&(class.name, class.subclass)) {
            return *idx;
        }
        let mut rows = self.classes.borrow_mut();
        let idx = ClassIdx(rows.len() as u32);
        let id = self.lockdep_class(&class.spec());
        rows.push(ClassRow { class, printed: class.printed(), id });
        self.class_ids.borrow_mut().push(id);
        self.class_index.borrow_mut().insert((class.name, class.subclass), idx);
        idx
    }

    /// The validator's own number of a class.
    pub(crate) fn lockdep_class(&self, spec: &ClassSpec<'_>) -> ClassId {
        match &self.lockdep_registry {
            Some(registry) => registry.class(spec),
            // Without a validator it is never looked at.
            None => Lockdep::new().class(spec),
        }
    }

    /// A bare lockdep map of class `name`.
    pub fn lock_map(&self, name: &str) -> LockMap {
        LockMap::new(self.class(LockClass::new(name, LockKind::Map)), self.new_obj())
    }

    /// The bare lockdep map of class `name` with the identity `obj`: every call gives the same one.
    pub fn lock_map_of(&self, name: &str, obj: ObjId) -> LockMap {
        LockMap::new(self.class(LockClass::new(name, LockKind::Map)), obj)
    }

    #[inline]
    fn class_id(&self, idx: ClassIdx) -> Option<ClassId> {
        self.class_ids.borrow().get(idx.0 as usize).copied()
    }

    pub(crate) fn class_row(&self, idx: ClassIdx) -> Option<ClassRow> {
        self.classes.borrow().get(idx.0 as usize).copied()
    }

    pub(crate) fn lock_ref(&self, idx: ClassIdx, obj: ObjId) -> Option<LockRef> {
        self.class_row(idx).map(|r| LockRef { obj, class: r.printed, kind: r.class.kind })
    }

    /// Tells the validator something of the current task, and notes when it reported. Silent while the run is torn down.
    #[inline]
    pub(crate) fn tell(&self, at: &'static Location<'static>, what: impl FnOnce(&mut Run, &mut Held, Site) -> Verdict) {
        if self.quiet() {
            return;
        }
        let Some(run) = &self.lockdep else { return };
        let task = self.sched.current();
        let mut tasks = self.tasks.borrow_mut();
        let cx = tasks.row(task);
        let site = Site { location: at, frame: cx.frame };
        let verdict = what(&mut run.borrow_mut(), &mut cx.held, site);
        if !verdict.is_ok() {
            self.mark_reports(verdict.reports().len(), task);
        }
    }

    /// Tells the validator that the current task takes a lock.
    pub(crate) fn lockdep_acquire(&self, idx: ClassIdx, obj: ObjId, how: Acquire, at: &'static Location<'static>) {
        let Some(class) = self.class_id(idx) else { return };
        self.tell(at, |run, held, site| run.acquire(held, class, obj.0, how, site));
    }

    /// The same under a map that serialises all locks of the class.
    pub(crate) fn lockdep_acquire_nest(
        &self,
        idx: ClassIdx,
        obj: ObjId,
        how: Acquire,
        nest: LockMap,
        at: &'static Location<'static>,
    ) {
        let (Some(class), Some(above)) = (self.class_id(idx), self.class_id(nest.class())) else { return };
        let nest = Nest { instance: nest.obj().0, class: Some(above) };
        self.tell(at, |run, held, site| run.acquire_nest(held, class, obj.0, how, nest, site));
    }

    /// Tells the validator that the current task lets a lock go.
    pub(crate) fn lockdep_release(&self, idx: ClassIdx, obj: ObjId, at: &'static Location<'static>) {
        let Some(class) = self.class_id(idx) else { return };
        self.tell(at, |run, held, site| run.release_of(held, class, obj.0, site));
    }

    /// Tells the validator that an exclusive hold became a shared one.
    pub(crate) fn lockdep_downgrade(&self, obj: ObjId, read: lockdep::Read, at: &'static Location<'static>) {
        self.tell(at, |run, held, site| run.downgrade(held, obj.0, read, site));
    }

    /// Reports conditions that kernel code checks with `DEBUG_LOCKS_WARN_ON()`, found true.
    pub(crate) fn lockdep_warn(&self, conditions: lockdep::ww::Warnings, at: &'static Location<'static>) {
        for condition in conditions {
            self.tell(at, |run, held, site| run.debug_locks(held, condition, site));
        }
    }

    /// `debug_check_no_locks_freed()`: the memory of a lock or map goes, or is initialised again, which no task may
    /// have in its hands. Looks at the current task, as the kernel does.
    #[track_caller]
    pub fn lock_freed(&self, obj: ObjId) {
        self.tell(Location::caller(), |run, held, site| run.freed(held, obj.0, obj.0, site));
    }

    /// `lockdep_sys_exit()`: the current task returns to user space, and must hold nothing.
    #[track_caller]
    pub fn return_to_user(&self) {
        self.tell(Location::caller(), |run, held, site| run.return_to_user(held, site));
    }

    /// `lockdep_assert_held()` and its kin: reports an assertion that does not hold of the current task.
    #[track_caller]
    pub fn lockdep_assert(&self, assertion: Assertion) {
        self.tell(Location::caller(), |run, held, site| run.assert(held, assertion, site));
    }

    #[cold]
    fn mark_reports(&self, new: usize, task: TaskId) {
        let step = self.sched.steps();
        self.report_marks.borrow_mut().extend(std::iter::repeat_n((step, task), new));
    }

    /// What the validator reported in this run, in order.
    pub fn lock_reports(&self) -> Vec<LockReport> {
        let Some(run) = &self.lockdep else { return Vec::new() };
        let marks = self.report_marks.borrow();
        let run = run.borrow();
        run.reports()
            .iter()
            .zip(marks.iter())
            .map(|(report, (step, task))| LockReport { step: *step, task: *task, report: report.clone() })
            .collect()
    }

    /// The title of the validator's report number `index`, if it has made so many.
    pub(crate) fn report_title(&self, index: usize) -> Option<&'static str> {
        let run = self.lockdep.as_ref()?.borrow();
        run.reports().get(index).map(Report::title)
    }

    /// The dependencies learnt in this run, sorted by names.
    pub fn lock_edges(&self) -> Vec<Edge> {
        self.lockdep.as_ref().map(|run| run.borrow().edges()).unwrap_or_default()
    }

    /// How many classes, dependencies and chains the validator has from this run; none without a validator.
    pub fn lock_stats(&self) -> Option<lockdep::Stats> {
        self.lockdep.as_ref().map(|run| run.borrow_mut().stats())
    }

    /// The chains of this run, for merging with those of other runs.
    pub fn lock_chains(&self) -> Option<lockdep::ChainSet> {
        self.lockdep.as_ref().map(|run| run.borrow().chains())
    }

    /// Adds the chains of this run to the union over all runs of the shared validator.
    pub fn merge_lock_chains(&self) {
        if let Some(run) = &self.lockdep {
            run.borrow_mut().merge();
        }
    }

    /// How often a lock of the class with this printed name was acquired in this run; 0 for an unknown name.
    pub fn acquisitions(&self, printed: Name) -> u64 {
        let Some(run) = &self.lockdep else { return 0 };
        let rows = self.classes.borrow();
        let run = run.borrow();
        rows.iter().filter(|r| r.printed == printed).map(|r| run.acquisitions(r.id)).sum()
    }

    /// Whether the current task holds (in any mode) an instance of the class with this printed name.
    pub fn holds_class(&self, printed: Name) -> bool {
        let rows = self.classes.borrow();
        let tasks = self.tasks.borrow();
        let held = &tasks[self.sched.current().0 as usize].held;
        held.locks().iter().any(|l| rows.iter().any(|r| r.printed == printed && r.id == l.class()))
    }

    /// The current task waits on `obj` until woken; the caller checks its condition again.
    pub(crate) fn block_on(&self, obj: ObjId, what: Name, at: &'static Location<'static>) -> Woken {
        self.waits_for(obj, what, at);
        let woken = self.sched.block(obj);
        self.waits_no_more();
        woken
    }

    /// Scheduling point before taking a lock of `class`, which is now as `now` says: returns when it can be taken.
    #[inline]
    pub(crate) fn acquire(
        &self,
        op: Op,
        now: Availability,
        class: ClassIdx,
        mode: LockMode,
        at: &'static Location<'static>,
    ) {
        self.with_task(|t| t.wait = Some(WaitSite { obj: op.object, waits: Waits::Lock(class, mode), location: at }));
        if !op.enabled(now) {
            self.emit_lock(class, op.object, |lock| EventKind::LockContended { lock, mode });
        }
        self.sched.acquire(op, now);
        self.waits_no_more();
    }

    /// The current task has taken the lock, or queues for it: those who now can no longer take it contend for it.
    #[inline]
    pub(crate) fn shut(&self, obj: ObjId, from: Availability, to: Availability) {
        let shuts = self.sched.set_availability(obj, from, to);
        if shuts && self.observing() {
            self.emit_contended(obj, from, to);
        }
    }

    fn emit_contended(&self, obj: ObjId, from: Availability, to: Availability) {
        for task in self.sched.shut_by(obj, from, to) {
            let wait = self.tasks.borrow()[task.0 as usize].wait;
            if let Some(WaitSite { waits: Waits::Lock(class, mode), .. }) = wait
                && let Some(lock) = self.lock_ref(class, obj)
            {
                self.emit_of(task, EventKind::LockContended { lock, mode });
            }
        }
    }

    pub(crate) fn waits_for(&self, obj: ObjId, what: Name, at: &'static Location<'static>) {
        self.with_task(|t| t.wait = Some(WaitSite { obj, waits: Waits::Event(what), location: at }));
    }

    #[inline]
    pub(crate) fn waits_no_more(&self) {
        self.with_task(|t| t.wait = None);
    }

    pub(crate) fn emit_lock(&self, idx: ClassIdx, obj: ObjId, make: impl FnOnce(LockRef) -> EventKind) {
        if self.observing()
            && let Some(lock) = self.lock_ref(idx, obj)
        {
            self.emit(make(lock));
        }
    }

    pub(crate) fn held_mode(read: lockdep::Read) -> LockMode {
        if read == lockdep::Read::Exclusive { LockMode::Exclusive } else { LockMode::Shared }
    }

    pub(crate) fn class_of_id(&self, id: lockdep::ClassId) -> Option<ClassRow> {
        self.classes.borrow().iter().find(|r| r.id == id).copied()
    }
}

/// A task's body, what must hold when it returned, and the event that it did.
pub(crate) fn task_body(body: impl FnOnce() + 'static, spawned: &'static Location<'static>) -> Box<dyn FnOnce()> {
    Box::new(move || {
        body();
        current::current(|k| {
            k.tell(spawned, |run, held, site| run.task_exit(held, site));
            k.emit(EventKind::TaskExited);
        });
    })
}
