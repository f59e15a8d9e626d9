//! Handlers that take the CPU of a task away.

use crate::common::{Lock, World};
use mm_types::{Name, TaskId};
use sched::{ChoiceKind, Context, FirstScheduler, Op, Outcome, ReplayScheduler, SchedView, Scheduler, TaskState};
use std::rc::Rc;

/// A handler that arrives `times` times, at the CPU that the scheduler chooses, and says so.
fn handler(world: &Rc<World>, context: Context, times: u32, body: impl Fn(&Rc<World>) + 'static) -> TaskId {
    let w = Rc::clone(world);
    let arrivals = move || {
        for _ in 0..times {
            w.sched.arrive(TaskId(w.sched.choose(ChoiceKind::Interrupt, w.sched.cpus() + 1)));
            w.say("arrives");
            body(&w);
            w.sched.return_from_interrupt();
        }
    };
    world.sched.spawn_interrupt(Name::new("irq"), context, Box::new(arrivals))
}

fn steps(world: &Rc<World>, n: usize) -> impl Fn() + 'static {
    let w = Rc::clone(world);
    move || {
        for at in 0..n {
            w.sched.visible(Op::LOCAL);
            w.say(at.to_string());
        }
    }
}

/// Runs the handler as soon as it can, at the CPU of task 1; then `then`, else the current task, else the first.
struct Eager {
    handler: u32,
    then: Vec<u32>,
}

impl Scheduler for Eager {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let place = |task: u32| now.runnable.iter().position(|t| t.0 == task);
        let wanted = place(self.handler).or_else(|| self.then.iter().find_map(|t| place(*t)));
        wanted.or(now.current_index()).unwrap_or(0)
    }
    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        1
    }
}

#[test]
fn in_a_benign_run_an_interrupt_arrives_last_and_interrupts_nobody() {
    let world = World::new();
    let (a, b) = (steps(&world, 2), steps(&world, 1));
    world.spawn("a", move |_| a());
    world.spawn("b", move |_| b());
    handler(&world, Context::Hardirq, 1, |_| ());
    let (outcome, _, log) = world.run(&mut FirstScheduler);
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(log, ["t1 0", "t1 1", "t2 0", "t3 arrives"]);
}

#[test]
fn what_is_interrupted_waits_and_others_go_on() {
    let world = World::new();
    let (a, b) = (steps(&world, 1), steps(&world, 2));
    world.spawn("a", move |_| a());
    world.spawn("b", move |_| b());
    let irq = steps(&world, 1);
    handler(&world, Context::Hardirq, 1, move |w| {
        assert_eq!(w.sched.context(w.sched.current()), Context::Hardirq);
        assert!(matches!(w.sched.state(TaskId(1)), TaskState::Interrupted(_)));
        irq();
    });
    // Task 2 goes first where the handler cannot; it is done before task 1, which is interrupted first of all, may begin.
    let (outcome, schedule, log) = world.run(&mut Eager { handler: 9, then: vec![3, 2] });
    assert_eq!((outcome, log.clone()), (Outcome::Finished, words("t3 arrives,t3 0,t2 0,t2 1,t1 0")));
    world.sched.reset();
    assert!(!world.sched.has_interrupts(), "a reset forgets them");
    assert!(schedule.0.iter().any(|choice| choice.kind == ChoiceKind::Interrupt && choice.taken == 1));
}

fn words(log: &str) -> Vec<String> {
    log.split(',').map(str::to_owned).collect()
}

/// A task that holds a lock which the handler wants, with interrupts of kind `masked` disabled.
fn lock_and_handler(context: Context, masked: Option<Context>) -> (Rc<World>, Rc<Lock>) {
    let world = World::new();
    let lock = Lock::new(&world);
    let (ours, theirs) = (lock.clone(), lock.clone());
    world.spawn("task", move |w| {
        let masked = masked.filter(|of| w.sched.mask(*of));
        ours.lock(&w.sched);
        w.say("has it");
        w.sched.visible(Op::LOCAL);
        ours.unlock(&w.sched);
        if let Some(of) = masked {
            w.sched.unmask(of);
        }
    });
    handler(&world, context, 1, move |w| {
        theirs.lock(&w.sched);
        theirs.unlock(&w.sched);
    });
    (world, lock)
}

/// Lets the task take its lock before the handler may arrive.
struct AfterIt(u64);

impl Scheduler for AfterIt {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        if now.step < self.0 { 0 } else { now.runnable.len() - 1 }
    }
    fn choose(&mut self, _kind: ChoiceKind, options: u32) -> u32 {
        options - 1
    }
}

#[test]
fn a_handler_that_waits_for_what_it_interrupts_is_a_deadlock_of_both_and_replays() {
    let (world, lock) = lock_and_handler(Context::Hardirq, None);
    let (outcome, schedule, log) = world.run(&mut AfterIt(2));
    let Outcome::Deadlock { blocked } = outcome.clone() else { panic!("{outcome:?} {log:?}") };
    let [(TaskId(1), gate), (TaskId(2), on)] = blocked[..] else { panic!("{blocked:?}") };
    assert_eq!(on, lock.id);
    let gate = world.sched.gate(gate).expect("the task waits for a gate");
    assert_eq!((gate.cpu, gate.of, gate.taken_by), (TaskId(1), Context::Hardirq, Some(TaskId(2))));
    let (again, _) = lock_and_handler(Context::Hardirq, None);
    assert_eq!(again.run(&mut ReplayScheduler::new(schedule.clone())), (outcome, schedule, log));
}

#[test]
fn disabled_interrupts_keep_it_from_arriving() {
    for (context, masked) in [
        (Context::Hardirq, Context::Hardirq),
        (Context::Softirq, Context::Softirq),
        // A softirq runs when a hardirq returns, or where bottom halves are enabled: never with interrupts disabled.
        (Context::Softirq, Context::Hardirq),
    ] {
        for after in 0..8 {
            let (world, _) = lock_and_handler(context, Some(masked));
            let (outcome, _, log) = world.run(&mut AfterIt(after));
            assert_eq!(outcome, Outcome::Finished, "{context:?} with {masked:?} disabled after {after}: {log:?}");
        }
    }
}

#[test]
fn a_hardirq_interrupts_a_softirq_and_not_the_reverse() {
    let world = World::new();
    let task = steps(&world, 1);
    world.spawn("task", move |_| task());
    let (soft, hard) = (steps(&world, 2), steps(&world, 2));
    handler(&world, Context::Softirq, 2, move |_| soft());
    handler(&world, Context::Hardirq, 1, move |_| hard());
    let (outcome, _, log) = world.run(&mut Eager { handler: 3, then: vec![2] });
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(log[..3], ["t3 arrives", "t3 0", "t3 1"], "it runs to its end on the CPU that both want");
    world.sched.reset();
    let (soft, hard) = (steps(&world, 1), steps(&world, 1));
    world.spawn("task", |_| ());
    handler(&world, Context::Softirq, 1, move |_| soft());
    handler(&world, Context::Hardirq, 1, move |_| hard());
    // The softirq is there first, and begins its step only after the hardirq has come and gone.
    let (_, _, log) = world.run(&mut Eager { handler: 2, then: vec![3] });
    assert_eq!(log, ["t2 arrives", "t2 0", "t3 arrives", "t3 0"]);
    let order = |log: &[String], what| log.iter().position(|line| line == what);
    assert!(order(&log, "t3 arrives") > order(&log, "t2 arrives"));
}

#[test]
fn a_task_that_returns_with_interrupts_disabled_does_not_keep_them_so() {
    let world = World::new();
    world.spawn("task", |w| assert!(w.sched.mask(Context::Hardirq)));
    handler(&world, Context::Hardirq, 1, |_| ());
    let (outcome, _, _) = world.run(&mut AfterIt(1));
    assert_eq!(outcome, Outcome::Finished);
}
