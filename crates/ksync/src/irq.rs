//! Interrupts: handlers, and keeping them from the current CPU.
//!
//! A handler is a context of the scheduler (`sched`, `interrupt.rs`): it arrives at the CPU of a task, which cannot go on
//! until it returns, or at an idle one. When, and where, are choices. In a benign run it arrives once nothing else can run, and
//! interrupts nobody.
//!
//! | here | Linux |
//! |---|---|
//! | [`Kernel::spawn_interrupt`] | `open_softirq()`, `timer_setup()` and `mod_timer()`; an interrupt of which nobody knows why it comes |
//! | [`Kernel::request_irq`], [`IrqLine::raise`] | `request_irq()`; the device asserts its line |
//! | [`Kernel::local_irq_disable`], [`Kernel::local_irq_save`] | the same |
//! | [`Kernel::local_bh_disable`] | the same |
//! | [`SpinLockIrq`] | `spin_lock_irq()`, `spin_lock_irqsave()`, `spin_lock_bh()` |
//!
//! # What happens when
//!
//! Disabling: a scheduling point (in a world with interrupts), then lockdep, then the event. Enabling: lockdep, while what is
//! held is held, then the event, then a scheduling point, after which handlers arrive. A handler's begin: choice, scheduling
//! point, event, lockdep; its return: lockdep, event, scheduling point.
//!
//! # Deviations
//!
//! A handler has a stack of held locks of its own and a name of its own; in the kernel it has those of what it interrupts, from
//! which the validator keeps its locks apart by their context. A softirq is raised by nobody: it arrives where interrupts and
//! bottom halves are enabled, as one does that is raised by an interrupt there.

use crate::current::current;
use crate::kernel::Kernel;
use crate::names::NAMES;
use crate::raw::{SpinLock, SpinLockGuard};
use crate::wait::WaitQueue;
use mm_types::{Name, TaskId};
use sched::{ChoiceKind, Context};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use trace::{Atomic, EventKind};

/// What makes a handler run, and as what it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// A device: hardirq context, interrupts disabled.
    Hardirq,
    /// A softirq.
    Softirq,
    /// A timer, armed when the run begins and again each time it has expired; a softirq.
    ///
    /// A delay is no synchronisation: any task may be so slow that the timer expires at any of its steps. In a benign run it
    /// expires when the virtual clock has come to it.
    Timer {
        /// Its delay.
        after_ns: u64,
    },
}

impl Interrupt {
    const fn context(self) -> Context {
        match self {
            Interrupt::Hardirq => Context::Hardirq,
            Interrupt::Softirq | Interrupt::Timer { .. } => Context::Softirq,
        }
    }

    const fn atomic(self) -> Atomic {
        match self {
            Interrupt::Hardirq => Atomic::Hardirq,
            Interrupt::Softirq | Interrupt::Timer { .. } => Atomic::Softirq,
        }
    }
}

/// What a task, or a handler, has disabled on its CPU.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Masked {
    irqs: bool,
    /// How often.
    bh: u32,
}

/// What [`Kernel::local_irq_save`] found: whether interrupts were enabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "interrupts stay disabled until it is restored"]
pub struct IrqFlags {
    enabled: bool,
}

/// The interrupt line of a device. Raised again before its handler has begun, it is one interrupt: a handler looks at
/// everything that there is to do.
#[derive(Debug)]
pub struct IrqLine {
    name: Name,
    wait: WaitQueue,
    raised: AtomicBool,
    /// The handler's context, 0 while there is none.
    handler: AtomicU32,
}

impl IrqLine {
    /// A line that nobody listens to yet.
    #[must_use]
    pub fn new(k: &Kernel, name: Name) -> IrqLine {
        IrqLine { name, wait: WaitQueue::new(k, name), raised: AtomicBool::new(false), handler: AtomicU32::new(0) }
    }

    /// The device asserts it: the handler will run, once. Does not sleep; a scheduling point before it.
    pub fn raise(&self) {
        self.wait.wake_all_after(|| self.raised.store(true, Ordering::Release));
    }

    /// The context that handles it.
    #[must_use]
    pub fn handler(&self) -> Option<TaskId> {
        Some(TaskId(self.handler.load(Ordering::Acquire))).filter(|task| *task != TaskId(0))
    }

    /// Waits until it is raised, and acknowledges it.
    #[track_caller]
    fn take(&self) {
        self.wait.wait(sched::Access::Write, || self.raised.swap(false, Ordering::AcqRel), Location::caller());
    }
}

impl Kernel {
    /// `request_irq()`: `handler` runs in hardirq context each time that `line` was raised, and must not sleep. It does not keep
    /// a run alive. Interrupts arrive as those of [`Kernel::spawn_interrupt`] do.
    ///
    /// Context: before the run, when its tasks are there.
    #[track_caller]
    pub fn request_irq(&self, line: &Arc<IrqLine>, handler: impl Fn() + 'static) -> TaskId {
        let of = Arc::clone(line);
        let arrivals = move || {
            loop {
                of.take();
                current(|k| k.arrive(Interrupt::Hardirq));
                handler();
                current(|k| k.leave_interrupt(Interrupt::Hardirq));
            }
        };
        let body = crate::kernel::task_body(arrivals, Location::caller());
        let task = self.sched.spawn_raised_interrupt(line.name, Context::Hardirq, line.wait.obj(), body);
        line.handler.store(task.0, Ordering::Release);
        self.spawned(task, line.name)
    }

    /// Whether the current context is the handler of an interrupt (`in_hardirq()` or `in_serving_softirq()`).
    pub fn in_interrupt(&self) -> bool {
        self.thread.is_none() && self.sched.context(self.current_task()) != Context::Task
    }

    /// Adds the handler of an interrupt that arrives `times` times, one after the other. Interrupts arrive at the CPUs of the
    /// tasks that were spawned before the first of them, and at idle ones.
    ///
    /// Context: before the run. `body` runs in interrupt context and must not sleep.
    #[track_caller]
    pub fn spawn_interrupt(&self, name: Name, what: Interrupt, times: u32, body: impl Fn() + 'static) -> TaskId {
        let arrivals = move || {
            for _ in 0..times {
                current(|k| k.arrive(what));
                body();
                current(|k| k.leave_interrupt(what));
            }
        };
        let at = Location::caller();
        let task = self.sched.spawn_interrupt(name, what.context(), crate::kernel::task_body(arrivals, at));
        self.spawned(task, name)
    }

    /// What `task` is.
    pub fn context_of(&self, task: TaskId) -> Context {
        self.sched.context(task)
    }

    #[track_caller]
    fn arrive(&self, what: Interrupt) {
        self.sync_reached(NAMES.interrupt_arrive);
        let on = TaskId(self.place_of_arrival(what));
        self.sched.arrive(on);
        self.emit(EventKind::AtomicEnter { atomic: what.atomic(), on });
        let at = Location::caller();
        match what.context() {
            Context::Hardirq => {
                self.with_task(|t| t.masked.irqs = true);
                self.tell(at, |run, held, site| {
                    run.hardirqs_off(held, site);
                    run.hardirq_enter(held);
                    // As every handler that does not ask for the contrary (`IRQF_NO_THREAD`): it may take a spinlock_t.
                    run.hardirq_threaded(held);
                    lockdep::Verdict::Ok
                });
            }
            Context::Softirq | Context::Task => {
                self.with_task(|t| t.masked.bh = 1);
                self.tell(at, |run, held, site| {
                    run.local_bh_disable(held, site);
                    run.softirq_enter(held);
                    lockdep::Verdict::Ok
                });
            }
        }
        self.sync_passed(NAMES.interrupt_arrive);
    }

    /// Of a timer, option 0 is that it expires when its time has come, and the last that it does so before, on an idle CPU.
    fn place_of_arrival(&self, what: Interrupt) -> u32 {
        let cpus = self.sched.cpus();
        let Interrupt::Timer { after_ns } = what else {
            return self.choose(ChoiceKind::Interrupt, cpus + 1);
        };
        let place = self.choose(ChoiceKind::Timer, cpus + 2);
        if place == 0 && !self.quiet() {
            let deadline = self.now_ns().saturating_add(after_ns);
            let _timed_out = self.sched.block_until(self.new_obj(), deadline);
        }
        if place > cpus { 0 } else { place }
    }

    #[track_caller]
    fn leave_interrupt(&self, what: Interrupt) {
        let at = Location::caller();
        self.tell(at, |run, held, site| match what.context() {
            Context::Hardirq => {
                run.hardirq_exit(held);
                run.hardirqs_on(held, site)
            }
            Context::Softirq | Context::Task => {
                run.softirq_exit(held);
                run.local_bh_enable(held, site)
            }
        });
        self.with_task(|t| t.masked = Masked::default());
        self.emit(EventKind::AtomicExit { atomic: what.atomic() });
        self.sched.return_from_interrupt();
    }

    /// `local_irq_disable()`. A scheduling point where interrupts may arrive.
    #[track_caller]
    pub fn local_irq_disable(&self) {
        let _before = self.local_irq_save();
    }

    /// `local_irq_enable()`. A scheduling point where interrupts may arrive.
    #[track_caller]
    pub fn local_irq_enable(&self) {
        self.local_irq_restore(IrqFlags { enabled: true });
    }

    /// `local_irq_save()`. A scheduling point where interrupts may arrive, unless they are disabled.
    #[track_caller]
    pub fn local_irq_save(&self) -> IrqFlags {
        let at = Location::caller();
        let enabled = !self.with_task(|t| t.masked.irqs);
        if enabled && !self.quiet() {
            self.mask(Context::Hardirq);
            self.with_task(|t| t.masked.irqs = true);
            self.tell(at, |run, held, site| {
                run.hardirqs_off(held, site);
                lockdep::Verdict::Ok
            });
            self.emit(EventKind::AtomicEnter { atomic: Atomic::IrqsOff, on: TaskId(0) });
        }
        IrqFlags { enabled }
    }

    /// `local_irq_restore()`. A scheduling point where interrupts may arrive, if they were enabled. In a hardirq handler they
    /// stay disabled, and lockdep reports who enables them.
    #[track_caller]
    pub fn local_irq_restore(&self, flags: IrqFlags) {
        let at = Location::caller();
        if !flags.enabled || self.quiet() || !self.with_task(|t| t.masked.irqs) {
            return;
        }
        self.tell(at, |run, held, site| run.hardirqs_on(held, site));
        if self.thread.is_none() && self.sched.context(self.current_task()) == Context::Hardirq {
            return;
        }
        self.with_task(|t| t.masked.irqs = false);
        self.emit(EventKind::AtomicExit { atomic: Atomic::IrqsOff });
        self.unmask(Context::Hardirq);
    }

    /// `local_bh_disable()`. Nests. A scheduling point where softirqs may arrive, the first time.
    #[track_caller]
    pub fn local_bh_disable(&self) {
        let at = Location::caller();
        if self.quiet() {
            return;
        }
        let first = self.with_task(|t| t.masked.bh == 0);
        if first {
            self.mask(Context::Softirq);
        }
        self.with_task(|t| t.masked.bh += 1);
        self.tell(at, |run, held, site| {
            run.local_bh_disable(held, site);
            lockdep::Verdict::Ok
        });
        if first {
            self.emit(EventKind::AtomicEnter { atomic: Atomic::BhOff, on: TaskId(0) });
        }
    }

    /// `local_bh_enable()`: the last one enables. A scheduling point where softirqs may arrive, then.
    #[track_caller]
    pub fn local_bh_enable(&self) {
        let at = Location::caller();
        if self.quiet() {
            return;
        }
        let Masked { irqs, bh } = self.with_task(|t| t.masked);
        if bh == 0 {
            return;
        }
        self.tell(at, |run, held, site| {
            let verdict = run.local_bh_enable(held, site);
            // It enables interrupts for a moment, for whoever called it with interrupts disabled.
            if irqs {
                run.hardirqs_off(held, site);
            }
            verdict
        });
        self.with_task(|t| t.masked.bh -= 1);
        if bh == 1 {
            self.emit(EventKind::AtomicExit { atomic: Atomic::BhOff });
            self.unmask(Context::Softirq);
        }
    }

    /// Whether the current task has interrupts enabled (`irqs_disabled()`, negated).
    pub fn irqs_enabled(&self) -> bool {
        !self.with_task(|t| t.masked.irqs)
    }

    fn mask(&self, of: Context) {
        if self.thread.is_none() && self.sched.has_interrupts() {
            self.sched.mask(of);
        }
    }

    fn unmask(&self, of: Context) {
        if self.thread.is_none() && self.sched.has_interrupts() {
            self.sched.unmask(of);
        }
    }
}

/// How a spinlock's guard leaves the CPU's interrupts.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Irqs(IrqFlags),
    Bh,
}

/// The forms of taking a spinlock that keep handlers from the CPU meanwhile.
pub trait SpinLockIrq<T> {
    /// `spin_lock_irq()`: disables interrupts, and enables them when the guard is dropped.
    #[track_caller]
    fn lock_irq(&self) -> IrqGuard<'_, T>;

    /// `spin_lock_irqsave()`: disables interrupts, and leaves them as they were when the guard is dropped.
    #[track_caller]
    fn lock_irqsave(&self) -> IrqGuard<'_, T>;

    /// `spin_lock_bh()`: disables bottom halves until the guard is dropped.
    #[track_caller]
    fn lock_bh(&self) -> IrqGuard<'_, T>;
}

impl<T> SpinLockIrq<T> for SpinLock<T> {
    #[track_caller]
    fn lock_irq(&self) -> IrqGuard<'_, T> {
        current(Kernel::local_irq_disable);
        IrqGuard::new(self.lock(), Leave::Irqs(IrqFlags { enabled: true }))
    }

    #[track_caller]
    fn lock_irqsave(&self) -> IrqGuard<'_, T> {
        let flags = current(Kernel::local_irq_save);
        IrqGuard::new(self.lock(), Leave::Irqs(flags))
    }

    #[track_caller]
    fn lock_bh(&self) -> IrqGuard<'_, T> {
        current(Kernel::local_bh_disable);
        IrqGuard::new(self.lock(), Leave::Bh)
    }
}

/// A spinlock held with interrupts, or bottom halves, disabled.
#[must_use]
pub struct IrqGuard<'a, T> {
    guard: ManuallyDrop<SpinLockGuard<'a, T>>,
    leave: Leave,
}

impl<'a, T> IrqGuard<'a, T> {
    fn new(guard: SpinLockGuard<'a, T>, leave: Leave) -> IrqGuard<'a, T> {
        IrqGuard { guard: ManuallyDrop::new(guard), leave }
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    #[track_caller]
    #[expect(unsafe_code, reason = "the lock is let go before interrupts are enabled, and the guard is a field")]
    fn drop(&mut self) {
        // SAFETY: the guard is dropped here and nowhere else, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        current(|k| match self.leave {
            Leave::Irqs(flags) => k.local_irq_restore(flags),
            Leave::Bh => k.local_bh_enable(),
        });
    }
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> fmt::Debug for IrqGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqGuard").field("leave", &self.leave).finish_non_exhaustive()
    }
}
