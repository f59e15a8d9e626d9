//! Daemons: tasks that do not keep a run alive while they have nothing to do.

use crate::common::World;
use mm_types::{Name, ObjId, TaskId};
use sched::{FirstScheduler, Op, Outcome, RandomScheduler, TaskState};
use std::cell::Cell;
use std::rc::Rc;

const WORK: ObjId = ObjId(201);
const OTHER: ObjId = ObjId(202);

/// A daemon that counts how often it was woken.
fn spawn_counter(world: &Rc<World>, woken: &Rc<Cell<u32>>) -> TaskId {
    let (w, woken) = (Rc::clone(world), Rc::clone(woken));
    world.sched.spawn_daemon(
        Name::new("daemon"),
        WORK,
        Box::new(move || {
            loop {
                w.sched.block(WORK);
                woken.set(woken.get() + 1);
            }
        }),
    )
}

#[test]
fn a_run_finishes_when_only_idle_daemons_are_left() {
    for seed in 0..50 {
        let world = World::new();
        let woken = Rc::new(Cell::new(0));
        let daemon = spawn_counter(&world, &woken);
        world.spawn("user", |w| {
            for _ in 0..3 {
                w.sched.visible(Op::write(WORK));
                w.sched.wake_all(WORK);
            }
        });
        assert_eq!(world.sched.run(&mut RandomScheduler::new(seed, 0)), Outcome::Finished);
        assert!(woken.get() <= 3);
        assert_eq!(world.sched.state(daemon), TaskState::Unwound);
        assert!(!world.sched.tearing_down(), "the run was not cut");
        // Another task may follow, as after any run that finished.
        world.spawn("later", |w| w.say("ran"));
        assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
        assert_eq!(world.log.take(), ["t3 ran"]);
    }
}

#[test]
fn a_daemon_that_waits_for_something_else_is_a_deadlock() {
    let world = World::new();
    let w = Rc::clone(&world);
    world.sched.spawn_daemon(
        Name::new("daemon"),
        WORK,
        Box::new(move || {
            w.sched.block(OTHER);
        }),
    );
    world.spawn("user", |_| {});
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Deadlock { blocked: vec![(TaskId(1), OTHER)] });
}

#[test]
fn an_idle_daemon_does_not_hide_a_deadlock() {
    let world = World::new();
    spawn_counter(&world, &Rc::default());
    world.spawn("user", |w| {
        w.sched.block(OTHER);
    });
    let blocked = vec![(TaskId(1), WORK), (TaskId(2), OTHER)];
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Deadlock { blocked });
}

#[test]
fn a_run_of_daemons_alone_finishes_at_once() {
    let world = World::new();
    let woken = Rc::new(Cell::new(0));
    spawn_counter(&world, &woken);
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
    assert_eq!(woken.get(), 0);
}
