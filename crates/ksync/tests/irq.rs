//! Handlers, and keeping them from a CPU: what the validator and the observer hear, and the deadlocks that come of it.

use ksync::{ChoiceKind, Context, Interrupt, IrqLine, Kernel, KernelConfig, SpinLock, SpinLockIrq, current};
use lockdep::{Lockdep, ReportKind};
use mm_types::{Name, TaskId};
use sched::{FirstScheduler, RandomScheduler, SchedView, Scheduler};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use trace::{Atomic, Event, EventKind, Observer, RunEnd};

fn kernel() -> Kernel {
    Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() })
}

/// How a task takes the lock that a handler takes too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Plain,
    Irq,
    Irqsave,
    Bh,
}

fn under(lock: &SpinLock<u32>, how: How, f: impl FnOnce()) {
    match how {
        How::Plain => {
            let _guard = lock.lock();
            f();
        }
        How::Irq | How::Irqsave | How::Bh => {
            let mut guard = match how {
                How::Irq => lock.lock_irq(),
                How::Irqsave => lock.lock_irqsave(),
                _ => lock.lock_bh(),
            };
            *guard += 1;
            f();
        }
    }
}

fn spawn(k: &Kernel, how: How, what: Interrupt) {
    let lock = Arc::new(k.spinlock("queue_lock", 0));
    let theirs = lock.clone();
    k.spawn(Name::new("send"), move || {
        under(&lock, how, || current(|k| k.visible_write(mm_types::ObjId(77))));
        assert!(current(Kernel::irqs_enabled));
    });
    k.spawn_interrupt(Name::new("eth0"), what, 1, move || under(&theirs, How::Plain, || ()));
}

/// The kinds of what the validator reports in a benign run.
fn reports(setup: impl Fn(&Kernel)) -> Vec<(ReportKind, String)> {
    let k = kernel();
    k.enter(&setup);
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    k.lock_reports().iter().map(|r| (r.report.kind, r.report.to_text("6.12"))).collect()
}

const TIMER: Interrupt = Interrupt::Timer { after_ns: 5 };

#[test]
fn a_benign_run_tells_which_locks_a_handler_can_come_in_under() {
    let cases = [
        (How::Plain, Interrupt::Hardirq, true),
        (How::Bh, Interrupt::Hardirq, true),
        (How::Irq, Interrupt::Hardirq, false),
        (How::Irqsave, Interrupt::Hardirq, false),
        (How::Plain, Interrupt::Softirq, true),
        (How::Plain, TIMER, true),
        (How::Bh, Interrupt::Softirq, false),
        (How::Bh, TIMER, false),
        (How::Irqsave, Interrupt::Softirq, false),
    ];
    for (how, what, inverted) in cases {
        let found = reports(|k| spawn(k, how, what));
        let kinds: Vec<ReportKind> = found.iter().map(|(kind, _)| *kind).collect();
        let expect = if inverted { vec![ReportKind::InconsistentState] } else { Vec::new() };
        assert_eq!(kinds, expect, "{how:?} against {what:?}");
    }
    let (_, text) = reports(|k| spawn(k, How::Plain, Interrupt::Hardirq)).remove(0);
    for part in [
        "inconsistent lock state",
        "inconsistent {HARDIRQ-ON-W} -> {IN-HARDIRQ-W} usage.",
        "eth0/2 [HC1[1]:SC0[0]:HE0:SE1] takes:",
        "  <Interrupt>",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let (_, text) = reports(|k| spawn(k, How::Plain, TIMER)).remove(0);
    assert!(text.contains("{SOFTIRQ-ON-W} -> {IN-SOFTIRQ-W}"), "{text}");
}

/// Any option, any task.
struct Anything(RandomScheduler);

impl Scheduler for Anything {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.0.next_task(now)
    }
    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.0.choose(kind, options)
    }
}

fn ends(how: How, what: Interrupt) -> Vec<RunEnd> {
    let k = kernel();
    let run = |run| {
        k.reset();
        k.enter(|k| spawn(k, how, what));
        k.run(&mut Anything(RandomScheduler::new(3, run)))
    };
    (0..200).map(run).collect()
}

#[test]
fn only_a_handler_that_can_come_in_deadlocks_and_is_named() {
    for (how, what, deadlocks) in [
        (How::Plain, Interrupt::Hardirq, true),
        (How::Bh, Interrupt::Hardirq, true),
        (How::Irqsave, Interrupt::Hardirq, false),
        (How::Plain, TIMER, true),
        (How::Bh, TIMER, false),
        (How::Irq, TIMER, false),
    ] {
        let ends = ends(how, what);
        let found = ends.iter().find(|end| **end != RunEnd::Finished);
        assert_eq!(found.is_some(), deadlocks, "{how:?} against {what:?}");
        let Some(found) = found else { continue };
        let RunEnd::Deadlock { blocked, cycle } = found else { panic!("{found:?}") };
        assert_eq!(*cycle, [TaskId(1), TaskId(2)]);
        let [send, eth0] = &blocked[..] else { panic!("{blocked:?}") };
        assert_eq!(send.waits_for.what.as_str(), "return from interrupt eth0");
        assert_eq!((send.waits_for.holders.as_slice(), send.holds[0].class.as_str()), (&[TaskId(2)][..], "queue_lock"));
        assert_eq!((eth0.name.as_str(), eth0.waits_for.what.as_str()), ("eth0", "queue_lock"));
        assert!(eth0.holds.is_empty(), "{eth0:?}");
    }
}

#[derive(Default)]
struct Sections(Vec<String>);

impl Observer for Sections {
    fn event(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::AtomicEnter { .. } | EventKind::AtomicExit { .. }) {
            self.0.push(format!("{} {}", event.task, event.kind));
        }
    }
    fn end(&mut self, _end: &RunEnd) {}
}

#[test]
fn sections_nest_and_restore_what_they_found() {
    let k = kernel();
    let sections = Rc::new(RefCell::new(Sections::default()));
    k.set_observer(Some(sections.clone()));
    k.enter(|k| {
        k.spawn(Name::new("task"), || {
            current(|k| {
                let outer = k.local_irq_save();
                let inner = k.local_irq_save();
                k.local_irq_restore(inner);
                assert!(!k.irqs_enabled());
                k.local_irq_restore(outer);
                assert!(k.irqs_enabled());
                k.local_bh_disable();
                k.local_bh_disable();
                k.local_bh_enable();
                k.local_bh_enable();
                // One too many does nothing.
                k.local_bh_enable();
            });
        });
        k.spawn_interrupt(Name::new("irq"), Interrupt::Hardirq, 2, || {
            current(|k| {
                assert_eq!(k.context_of(k.current_task()), Context::Hardirq);
                let flags = k.local_irq_save();
                k.local_irq_restore(flags);
                assert!(!k.irqs_enabled());
            });
        });
    });
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    let irq = ["t2 hardirq", "t2 hardirq ends"];
    let task = ["t1 irqs_off", "t1 irqs_off ends", "t1 bh_off", "t1 bh_off ends"];
    assert_eq!(sections.borrow().0, [&task[..], &irq, &irq].concat());
    assert!(k.lock_reports().is_empty());
    assert_eq!(Atomic::BhOff.word(), "bh_off");
}

#[test]
fn enabling_interrupts_in_a_handler_is_reported_and_does_not() {
    let found = reports(|k| {
        k.spawn_interrupt(Name::new("irq"), Interrupt::Hardirq, 1, || {
            current(|k| {
                k.local_irq_enable();
                assert!(!k.irqs_enabled());
            });
        });
    });
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("DEBUG_LOCKS_WARN_ON(lockdep_hardirq_context())"), "{}", found[0].1);
}

#[test]
fn timers_expire_in_the_order_of_their_time_in_a_benign_run() {
    let k = kernel();
    let seen = Rc::new(RefCell::new(Vec::new()));
    k.enter(|k| {
        for (name, after_ns) in [("late", 30), ("early", 10)] {
            let seen = seen.clone();
            let timer = Interrupt::Timer { after_ns };
            k.spawn_interrupt(Name::new(name), timer, 2, move || {
                seen.borrow_mut().push((name, current(|k| k.now_ns())));
            });
        }
    });
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    assert_eq!(*seen.borrow(), [("early", 10), ("early", 20), ("late", 30), ("late", 60)]);
}

/// What the handler of a line does, how often, and where it is while it does.
#[test]
fn a_line_that_is_raised_runs_its_handler_in_interrupt_context_and_one_that_is_not_keeps_no_run_alive() {
    for (raises, seeds) in [(0, 1), (1, 20), (3, 20)] {
        for seed in 0..seeds {
            let k = kernel();
            let handled = Rc::new(RefCell::new(0));
            k.enter(|k| {
                let line = Arc::new(IrqLine::new(k, Name::new("gpu0-irq")));
                let raised = line.clone();
                k.spawn(Name::new("device"), move || (0..raises).for_each(|_| raised.raise()));
                let (count, task) = (handled.clone(), Rc::new(RefCell::new(TaskId(0))));
                let me = task.clone();
                *task.borrow_mut() = k.request_irq(&line, move || {
                    assert!(current(Kernel::in_interrupt) && !current(Kernel::irqs_enabled));
                    assert_eq!(current(Kernel::current_task), *me.borrow());
                    *count.borrow_mut() += 1;
                });
                assert_eq!(line.handler(), Some(*task.borrow()));
            });
            assert_eq!(k.run(&mut RandomScheduler::new(seed, 0)), RunEnd::Finished, "{raises} times, seed {seed}");
            // What is raised before the handler has begun is one interrupt.
            let handled = *handled.borrow();
            assert!(handled <= raises && (handled > 0) == (raises > 0), "{raises} times, seed {seed}: {handled}");
        }
    }
}

/// A handler that is to wake somebody is named by the deadlock that comes of its not doing so.
#[test]
fn who_waits_for_what_a_handler_owes_waits_for_the_handler() {
    let k = kernel();
    let handler = k.enter(|k| {
        let line = Arc::new(IrqLine::new(k, Name::new("gpu0-irq")));
        let done = ksync::WaitQueue::new(k, Name::new("fence"));
        let raised = line.clone();
        k.spawn(Name::new("device"), move || {
            done.owe();
            done.hand_over(raised.handler().expect("it was requested"));
            raised.raise();
        });
        k.spawn(Name::new("waiter"), move || done.wait_event(|| false));
        k.request_irq(&line, || ())
    });
    let RunEnd::Deadlock { blocked, .. } = k.run(&mut FirstScheduler) else { panic!("the fence is never signalled") };
    let waiter = blocked.iter().find(|task| task.name == Name::new("waiter")).expect("it waits");
    assert_eq!((waiter.waits_for.what, &*waiter.waits_for.holders), (Name::new("fence"), &[handler][..]));
}
