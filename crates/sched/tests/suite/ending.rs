//! How runs end: deadlock, bound, stop, panic, and what is unwound then.

use crate::common::{Lock, OnDrop, World, spawn_abba};
use mm_types::{ObjId, TaskId};
use sched::{
    ChoiceKind, Config, FirstScheduler, Op, Outcome, RandomScheduler, ReplayScheduler, StopReason, TaskState, Woken,
    install_panic_hook,
};
use std::cell::Cell;
use std::rc::Rc;

const A: ObjId = ObjId(101);
const B: ObjId = ObjId(102);

#[test]
fn a_deadlock_names_who_waits_on_what() {
    let world = World::new();
    let locks = [Lock::new(&world), Lock::new(&world)];
    for order in [[0, 1], [1, 0]] {
        let locks = locks.clone();
        world.spawn("abba", move |w| order.iter().for_each(|&i| locks[i].lock(&w.sched)));
    }
    // t1 takes 0 and stands before 1; then t2 takes 1 and waits for 0; t1 waits for 1.
    let mut replay = ReplayScheduler::new("T0/2 T0/2 T1/2 T1/2 T1/2".parse().expect("a schedule"));
    let mut seen = None;
    let outcome = world.sched.run_observed(&mut replay, &mut |outcome| {
        let states = [TaskId(1), TaskId(2)].map(|task| world.sched.state(task));
        seen = Some((outcome.clone(), states, world.sched.tearing_down(), world.sched.current()));
    });
    let blocked = vec![(TaskId(1), locks[1].id), (TaskId(2), locks[0].id)];
    assert_eq!(outcome, Outcome::Deadlock { blocked });
    let states = [TaskState::Blocked(locks[1].id), TaskState::Blocked(locks[0].id)];
    assert_eq!(seen, Some((outcome, states, false, TaskId(0))), "the observer sees the world before the teardown");
    assert_eq!(world.sched.state(TaskId(1)), TaskState::Unwound);
    assert!(world.sched.tearing_down());
}

#[test]
fn twenty_thousand_deadlocking_runs_leave_nothing_behind() {
    let world = World::new();
    let dropped = Rc::new(Cell::new(0));
    let mut stacks = Vec::new();
    for _ in 0..20_000 {
        world.sched.reset();
        for (mine, other) in [(A, B), (B, A)] {
            let on_drop = OnDrop(Rc::clone(&dropped));
            world.spawn("waits", move |w| {
                let _on_drop = on_drop;
                w.sched.visible(Op::write(mine));
                w.sched.block(other);
                w.say("was woken");
            });
        }
        let outcome = world.sched.run(&mut FirstScheduler);
        assert_eq!(outcome, Outcome::Deadlock { blocked: vec![(TaskId(1), B), (TaskId(2), A)] });
        stacks.push(world.sched.stacks_created());
    }
    assert_eq!(stacks.first(), Some(&2));
    assert_eq!(stacks.last(), Some(&2), "stacks are reused");
    assert_eq!(dropped.get(), 40_000, "every parked task was unwound");
    assert!(world.log.borrow().is_empty(), "no task went on after its run");
    assert_eq!(Rc::strong_count(&world), 1, "no body is left");
}

#[test]
fn random_runs_of_opposite_lock_orders_deadlock_sometimes_and_finish_sometimes() {
    let world = World::new();
    let mut deadlocks = 0;
    for run in 0..1000 {
        world.sched.reset();
        spawn_abba(&world);
        match world.run(&mut RandomScheduler::new(1, run)).0 {
            Outcome::Finished => {}
            Outcome::Deadlock { blocked } => {
                assert_eq!(blocked.len(), 2);
                deadlocks += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((100..900).contains(&deadlocks), "{deadlocks}");
}

#[test]
fn reaching_the_bound_is_an_outcome_of_its_own() {
    let world = World::with(Config { max_steps: 100, ..Config::default() });
    let dropped = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let on_drop = OnDrop(Rc::clone(&dropped));
        world.spawn("spins", move |w| {
            let _on_drop = on_drop;
            loop {
                w.sched.visible(Op::LOCAL);
            }
        });
    }
    assert_eq!(world.sched.run(&mut RandomScheduler::new(1, 1)), Outcome::MaxSteps);
    assert_eq!(world.sched.steps(), 101, "the step after the last allowed one ended it");
    assert_eq!(dropped.get(), 2);
    world.sched.reset();
    world.spawn("takes 100 steps", |w| (0..100).for_each(|_| w.sched.visible(Op::LOCAL)));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
}

#[test]
fn waiting_without_end_reaches_the_bound_too() {
    let world = World::with(Config { max_steps: 100, ..Config::default() });
    world.spawn("polls", |w| {
        loop {
            w.sched.block_until(A, w.sched.now_ns());
        }
    });
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::MaxSteps);
}

#[test]
fn a_stop_takes_effect_at_the_next_scheduling_point() {
    let world = World::new();
    world.spawn("stops", |w| {
        w.sched.stop(StopReason(4));
        w.sched.stop(StopReason(5));
        w.say("still here");
        assert!(!w.sched.tearing_down());
        w.sched.visible(Op::LOCAL);
        w.say("gone");
    });
    world.spawn("never starts", |w| w.say("started"));
    let (outcome, _, log) = world.run(&mut FirstScheduler);
    assert_eq!(outcome, Outcome::Stopped(StopReason(4)));
    assert_eq!(log, ["t1 still here"]);
    assert_eq!([1, 2].map(|t| world.sched.state(TaskId(t))), [TaskState::Unwound; 2]);
}

#[test]
fn a_stop_in_a_tasks_last_words_or_in_the_setup_counts() {
    let world = World::new();
    world.spawn("stops", |w| w.sched.stop(StopReason(4)));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Stopped(StopReason(4)));
    assert!(world.sched.tearing_down());
    world.sched.reset();
    world.spawn("never starts", |w| w.say("started"));
    world.sched.stop(StopReason(6));
    assert_eq!(world.run(&mut FirstScheduler), (Outcome::Stopped(StopReason(6)), Default::default(), vec![]));
}

#[test]
fn a_panic_is_an_outcome_with_its_place() {
    install_panic_hook();
    let world = World::new();
    let dropped = Rc::new(Cell::new(0));
    let on_drop = OnDrop(Rc::clone(&dropped));
    world.spawn("waits", move |w| {
        let _on_drop = on_drop;
        w.sched.block(A);
    });
    world.spawn("panics", |w| {
        w.sched.visible(Op::LOCAL);
        let three = 3;
        panic!("frame {three} is gone");
    });
    let line = line!() - 2;
    let Outcome::Panicked { task, message, location } = world.sched.run(&mut FirstScheduler) else {
        panic!("no panic")
    };
    assert_eq!((task, message.as_str()), (TaskId(2), "frame 3 is gone"));
    assert!(location.as_ref().is_some_and(|l| l.contains(&format!("tests/suite/ending.rs:{line}:"))), "{location:?}");
    assert_eq!(dropped.get(), 1);
    assert_eq!([1, 2].map(|t| world.sched.state(TaskId(t))), [TaskState::Unwound, TaskState::Finished]);
}

/// A guard whose destructor calls everything a destructor might.
struct Guard(Rc<World>);

impl Drop for Guard {
    fn drop(&mut self) {
        let sched = &self.0.sched;
        assert!(sched.tearing_down());
        sched.visible(Op::write(A));
        let (choices, steps) = (sched.schedule(), sched.steps());
        assert_eq!(sched.choose(ChoiceKind::Victim, 5), 0);
        assert_eq!(sched.block(A), Woken::TearingDown);
        assert_eq!(sched.block_until(A, 1 << 40), Woken::TearingDown);
        sched.wake_all(B);
        sched.wake_task(TaskId(1));
        assert_eq!((sched.schedule(), sched.steps()), (choices, steps));
        self.0.say("dropped");
    }
}

#[test]
fn destructors_of_unwound_tasks_neither_switch_nor_wait_nor_record() {
    let world = World::new();
    for _ in 0..3 {
        world.spawn("waits", |w| {
            let _guard = Guard(Rc::clone(w));
            w.sched.block(B);
            w.say("went on");
        });
    }
    let outcome = world.sched.run(&mut FirstScheduler);
    assert_eq!(outcome, Outcome::Deadlock { blocked: [1, 2, 3].map(|t| (TaskId(t), B)).to_vec() });
    assert_eq!(world.log.take(), ["t1 dropped", "t2 dropped", "t3 dropped"]);
}

#[test]
fn destructors_of_a_panicking_task_neither_switch_nor_wait() {
    install_panic_hook();
    let world = World::new();
    world.spawn("panics", |w| {
        let _guard = Guard(Rc::clone(w));
        w.sched.visible(Op::LOCAL);
        panic!("on purpose");
    });
    world.spawn("other", |w| w.say("ran"));
    let (outcome, _, log) = world.run(&mut FirstScheduler);
    assert!(matches!(outcome, Outcome::Panicked { task: TaskId(1), .. }), "{outcome:?}");
    assert_eq!(log, ["t1 dropped"]);
}

#[test]
fn a_task_that_swallows_the_unwinding_cannot_hold_up_the_teardown() {
    install_panic_hook();
    let world = World::new();
    world.spawn("swallows", |w| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.sched.block(A)));
        assert!(caught.is_err() && w.sched.tearing_down());
        w.sched.visible(Op::LOCAL);
        assert_eq!(w.sched.spawn("late".into(), Box::new(|| unreachable!("ran"))), TaskId(2));
        panic!("too late");
    });
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Deadlock { blocked: vec![(TaskId(1), A)] });
    assert_eq!(world.sched.state(TaskId(2)), TaskState::Unwound);
    assert_eq!(world.sched.stacks_created(), 1);
}

#[test]
#[should_panic(expected = "the setup context waits on t0.1")]
fn the_setup_context_must_not_wait() {
    let world = World::new();
    let on = world.sched.new_obj();
    world.sched.block(on);
}

#[test]
fn a_task_must_not_run_a_world() {
    install_panic_hook();
    let world = World::new();
    world.spawn("nests", |_| {
        World::new().sched.run(&mut FirstScheduler);
    });
    let outcome = world.sched.run(&mut FirstScheduler);
    assert!(
        matches!(&outcome, Outcome::Panicked { message, .. } if message == "a task may not run a world"),
        "{outcome:?}"
    );
}

#[test]
fn a_panic_of_the_observer_still_unwinds_every_task() {
    install_panic_hook();
    let world = World::new();
    let dropped = Rc::new(Cell::new(0));
    let on_drop = OnDrop(Rc::clone(&dropped));
    world.spawn("waits", move |w| {
        let _on_drop = on_drop;
        w.sched.block(A);
    });
    let run = || world.sched.run_observed(&mut FirstScheduler, &mut |_| std::panic::resume_unwind(Box::new(7)));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    assert_eq!(dropped.get(), 1);
    world.sched.reset();
    world.spawn("runs", |w| w.say("fine"));
    assert_eq!(world.run(&mut FirstScheduler), (Outcome::Finished, Default::default(), vec!["t1 fine".to_owned()]));
}
