//! Spawning, waiting, waking, the clock.

use crate::common::{Lock, World};
use mm_types::{Name, ObjId, TaskId};
use sched::{
    Config, FirstScheduler, Op, Outcome, RandomScheduler, ReplayScheduler, SchedView, Scheduler, TaskState, Woken,
};
use std::cell::Cell;
use std::rc::Rc;

const A: ObjId = ObjId(101);

#[test]
fn a_task_spawned_by_a_task_runs_beside_it() {
    let world = World::new();
    world.spawn("parent", |w| {
        let child = w.spawn("child", |w| w.say("child"));
        assert_eq!((child, w.sched.state(child)), (TaskId(2), TaskState::Runnable));
        w.sched.visible(Op::LOCAL);
        w.say("parent");
    });
    let (outcome, schedule, log) = world.run(&mut ReplayScheduler::new("T1/2".parse().expect("a schedule")));
    assert_eq!((outcome, schedule.to_string().as_str()), (Outcome::Finished, "T1/2"));
    assert_eq!(log, ["t2 child", "t1 parent"]);
    assert_eq!(world.sched.tasks(), 2);
    assert_eq!(world.sched.task_name(TaskId(2)), Name::new("child"));
    assert_eq!(world.sched.task_name(TaskId(0)), Name::new("setup"));
}

#[test]
fn many_tasks_spawned_while_running_do_not_disturb_the_running_one() {
    let world = World::new();
    world.spawn("parent", |w| {
        for i in 0..100 {
            w.spawn("child", move |w| {
                w.sched.visible(Op::LOCAL);
                w.say(i.to_string());
            });
            w.sched.visible(Op::LOCAL);
        }
    });
    let (outcome, _, mut log) = world.run(&mut RandomScheduler::new(1, 1));
    assert_eq!(outcome, Outcome::Finished);
    let mut expect: Vec<_> = (0..100).map(|i| format!("t{} {i}", i + 2)).collect();
    expect.sort();
    log.sort();
    assert_eq!(log, expect);
}

#[test]
fn waiters_are_woken_in_order_of_arrival() {
    let world = World::new();
    for _ in 0..3 {
        world.spawn("waiter", |w| {
            assert_eq!(w.sched.block(A), Woken::ByTask);
            w.say("woken");
        });
    }
    world.spawn("waker", |w| {
        assert_eq!(w.sched.waiters(A).as_slice(), [TaskId(2), TaskId(1), TaskId(3)]);
        assert!(w.sched.has_waiters(A) && !w.sched.has_waiters(ObjId(5)));
        assert_eq!(w.sched.waiting_on(TaskId(2)), Some(A));
        assert_eq!(w.sched.wake_one(A), Some(TaskId(2)));
        assert_eq!(w.sched.waiting_on(TaskId(2)), None);
        assert!(w.sched.wake_task(TaskId(3)) && !w.sched.wake_task(TaskId(3)));
        assert_eq!(w.sched.wake_all(A), 1);
        assert_eq!((w.sched.wake_all(A), w.sched.wake_one(A)), (0, None));
    });
    // t2, t1, t3 wait in this order, then t4 is alone.
    let mut scheduler = ReplayScheduler::new("T1/4 T0/3 T0/2".parse().expect("a schedule")).then_first();
    let (outcome, _, log) = world.run(&mut scheduler);
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(log, ["t1 woken", "t2 woken", "t3 woken"]);
}

#[test]
fn the_clock_jumps_to_the_earliest_deadline_when_everyone_waits() {
    let world = World::new();
    for (deadline, name) in [(30, "late"), (10, "early"), (10, "early too")] {
        world.spawn(name, move |w| {
            assert_eq!(w.sched.block_until(A, deadline), Woken::Timeout);
            w.say(format!("at {}", w.sched.now_ns()));
        });
    }
    let (outcome, schedule, log) = world.run(&mut FirstScheduler);
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(log, ["t2 at 10", "t3 at 10", "t1 at 30"]);
    // Who starts, three times; and which of the two early ones goes first.
    assert_eq!(schedule.to_string(), "T0/3 T0/2 T0/2");
    assert_eq!(world.sched.now_ns(), 30);
}

#[test]
fn a_task_woken_before_its_deadline_does_not_time_out_later() {
    let world = World::new();
    world.spawn("waits", |w| {
        assert_eq!(w.sched.block_until(A, 10), Woken::ByTask);
        assert_eq!(w.sched.block_until(A, 50), Woken::Timeout);
        w.say(format!("at {}", w.sched.now_ns()));
    });
    world.spawn("wakes", |w| {
        w.sched.wake_one(A);
    });
    let (outcome, _, log) = world.run(&mut FirstScheduler);
    assert_eq!((outcome, log), (Outcome::Finished, vec!["t1 at 50".to_owned()]));
}

#[test]
fn advancing_the_clock_expires_deadlines_and_past_ones_do_not_wait() {
    let world = World::new();
    world.spawn("waits", |w| {
        assert_eq!(w.sched.block_until(A, 10), Woken::Timeout);
        assert_eq!(w.sched.block_until(A, 25), Woken::Timeout);
        w.say(format!("at {}", w.sched.now_ns()));
    });
    world.spawn("works", |w| {
        w.sched.advance(9);
        assert_eq!(w.sched.state(TaskId(1)), TaskState::Blocked(A));
        w.sched.advance(16);
        assert_eq!(w.sched.state(TaskId(1)), TaskState::Runnable);
    });
    let (outcome, _, log) = world.run(&mut FirstScheduler);
    assert_eq!((outcome, log), (Outcome::Finished, vec!["t1 at 25".to_owned()]));
}

#[test]
fn ids_come_from_a_counter_of_each_task() {
    let world = World::new();
    assert_eq!([world.sched.new_obj(), world.sched.new_obj()].map(|id| id.to_string()), ["t0.1", "t0.2"]);
    for _ in 0..2 {
        world.spawn("creates", |w| {
            w.say(w.sched.new_obj().to_string());
            w.sched.visible(Op::LOCAL);
            w.say(w.sched.new_obj().to_string());
        });
    }
    let (_, _, mut log) = world.run(&mut RandomScheduler::new(1, 1));
    log.sort();
    assert_eq!(log, ["t1 t1.1", "t1 t1.2", "t2 t2.1", "t2 t2.2"]);
}

#[test]
fn a_lock_excludes_in_every_random_run() {
    let world = World::new();
    for run in 0..500 {
        world.sched.reset();
        let (lock, count) = (Lock::new(&world), Rc::new(Cell::new(0)));
        for _ in 0..3 {
            let (lock, count) = (Rc::clone(&lock), Rc::clone(&count));
            world.spawn("counts", move |w| {
                for _ in 0..3 {
                    lock.lock(&w.sched);
                    let before = count.get();
                    w.sched.visible(Op::LOCAL);
                    count.set(before + 1);
                    lock.unlock(&w.sched);
                }
            });
        }
        assert_eq!(world.sched.run(&mut RandomScheduler::new(2, run)), Outcome::Finished);
        assert_eq!(count.get(), 9);
    }
}

#[test]
fn without_the_lock_some_random_run_loses_an_update() {
    let world = World::new();
    let lost = (0..100).filter(|&run| {
        world.sched.reset();
        let count = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let count = Rc::clone(&count);
            world.spawn("counts", move |w| {
                w.sched.visible(Op::read(A));
                let before = count.get();
                w.sched.visible(Op::write(A));
                count.set(before + 1);
            });
        }
        assert_eq!(world.sched.run(&mut RandomScheduler::new(3, run)), Outcome::Finished);
        count.get() == 1
    });
    let lost = lost.count();
    assert!((20..100).contains(&lost), "{lost}");
}

/// Writes down what it is shown.
struct Spy(Vec<String>);

impl Scheduler for Spy {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let ops: Vec<_> = (0..now.runnable.len()).map(|i| format!("{:?}", now.next_op(i).access)).collect();
        self.0.push(format!("{} {:?} {:?} {}", now.step, now.runnable, now.current, ops.join(",")));
        now.runnable.len() - 1
    }

    fn choose(&mut self, _kind: sched::ChoiceKind, _options: u32) -> u32 {
        0
    }
}

#[test]
fn a_scheduler_sees_the_next_operation_of_every_runnable_task() {
    let world = World::new();
    world.spawn("writes", |w| w.sched.visible(Op::write(A)));
    world.spawn("reads", |w| {
        w.sched.visible(Op::read(A));
        w.sched.block(A);
    });
    world.spawn("wakes", |w| {
        w.sched.wake_all(A);
    });
    let mut spy = Spy(Vec::new());
    let outcome = world.sched.run(&mut spy);
    assert_eq!(outcome, Outcome::Deadlock { blocked: vec![(TaskId(2), A)] });
    assert_eq!(
        spy.0,
        ["0 [t1, t2, t3] None Local,Local,Local", "0 [t1, t2] None Local,Local", "1 [t1, t2] Some(t2) Local,Read",]
    );
}

#[test]
fn a_finished_engine_can_run_more_tasks_without_a_reset() {
    let world = World::new();
    world.spawn("first", |w| w.sched.visible(Op::LOCAL));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
    assert!(!world.sched.tearing_down());
    let second = world.spawn("second", |w| w.sched.visible(Op::LOCAL));
    assert_eq!(second, TaskId(2));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
    assert_eq!((world.sched.steps(), world.sched.stacks_created()), (2, 1));
    world.sched.reset();
    assert_eq!((world.sched.steps(), world.sched.tasks()), (0, 0));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished, "a world without tasks finishes");
}

#[test]
fn the_high_water_mark_follows_what_a_task_used() {
    #[inline(never)]
    fn use_stack(bytes: u8) -> u8 {
        let buffer = std::hint::black_box([bytes; 40_000]);
        buffer[usize::from(bytes)]
    }
    let world = World::with(Config { measure_stack: true, ..Config::default() });
    world.spawn("small", |w| w.sched.visible(Op::LOCAL));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
    let small = world.sched.stack_high_water();
    assert!((100..20_000).contains(&small), "{small}");
    world.spawn("large", |_| assert_eq!(use_stack(3), 3));
    assert_eq!(world.sched.run(&mut FirstScheduler), Outcome::Finished);
    let large = world.sched.stack_high_water();
    assert!((40_000..100_000).contains(&large), "{large}");
}

#[test]
fn two_worlds_run_one_after_the_other_and_side_by_side() {
    let log_of = |seed| {
        let world = World::new();
        for _ in 0..3 {
            world.spawn("says", |w| {
                (0..5).for_each(|i| {
                    w.sched.visible(Op::write(A));
                    w.say(i.to_string());
                });
            });
        }
        world.run(&mut RandomScheduler::new(seed, 0))
    };
    let alone = [log_of(1), log_of(2)];
    let beside = std::thread::scope(|s| {
        let threads = [1, 2].map(|seed| s.spawn(move || (log_of)(seed)));
        threads.map(|t| t.join().expect("no panic"))
    });
    assert_eq!(alone, beside);
}
