//! A run is a function of its schedule.

use crate::common::{World, spawn_abba};
use mm_types::ObjId;
use proptest::prelude::*;
use sched::{ChoiceKind, Config, FirstScheduler, Op, Outcome, RandomScheduler, ReplayScheduler, Schedule};
use std::rc::Rc;

fn spawn_chatter(world: &Rc<World>) {
    for name in ["a", "b", "c"] {
        world.spawn(name, |w| {
            for step in 0..4 {
                w.sched.visible(Op::write(ObjId(1)));
                let luck = w.sched.choose(ChoiceKind::AllocFails, 2);
                w.say(format!("{step} {luck}"));
            }
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_gives_another() {
    let world = World::new();
    let mut runs = Vec::new();
    for (seed, run) in [(1, 0), (1, 0), (1, 1), (2, 0)] {
        world.sched.reset();
        spawn_chatter(&world);
        runs.push(world.run(&mut RandomScheduler::new(seed, run)));
    }
    assert_eq!(runs[0].0, Outcome::Finished);
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].2, runs[2].2);
    assert_ne!(runs[0].2, runs[3].2);
}

#[test]
fn a_recorded_schedule_replays_the_interleaving_in_another_world() {
    for run in 0..200 {
        let world = World::new();
        spawn_abba(&world);
        spawn_chatter(&world);
        let expect = world.run(&mut RandomScheduler::new(5, run));
        let again = World::new();
        spawn_abba(&again);
        spawn_chatter(&again);
        let mut replay = ReplayScheduler::new(expect.1.clone());
        assert_eq!(again.run(&mut replay), expect);
        assert_eq!(replay.unused(), 0);
    }
}

#[test]
fn choices_are_recorded_in_order_and_forced_ones_are_not() {
    let world = World::new();
    world.spawn("a", |w| {
        assert_eq!(w.sched.choose(ChoiceKind::Victim, 1), 0);
        assert_eq!(w.sched.choose(ChoiceKind::Victim, 3), 0);
        w.sched.visible(Op::LOCAL);
        assert_eq!(w.sched.choose(ChoiceKind::User(7), 9), 0);
    });
    world.spawn("b", |_| ());
    let (outcome, schedule, _) = world.run(&mut FirstScheduler);
    assert_eq!(outcome, Outcome::Finished);
    // Start: a of {a, b}; then in a; at its scheduling point a of {a, b} again; b alone is forced.
    assert_eq!(schedule.to_string(), "T0/2 V0/3 T0/2 U7:0/9");
}

#[test]
fn without_recording_the_run_is_the_same_and_the_schedule_is_empty() {
    let recorded = World::new();
    spawn_chatter(&recorded);
    let expect = recorded.run(&mut RandomScheduler::new(3, 3));
    let world = World::with(Config { record: false, ..Config::default() });
    spawn_chatter(&world);
    let (outcome, schedule, log) = world.run(&mut RandomScheduler::new(3, 3));
    assert_eq!((outcome, log), (expect.0, expect.2));
    assert_eq!(schedule, Schedule::default());
}

#[test]
fn setup_choices_precede_those_of_the_run_and_replay_with_them() {
    let build = |scheduler: &mut dyn sched::Scheduler| {
        let world = World::new();
        let picked = world.sched.setup(scheduler, || world.sched.choose(ChoiceKind::User(1), 1000));
        spawn_chatter(&world);
        let run = world.run(scheduler);
        (picked, run)
    };
    let expect = build(&mut RandomScheduler::new(9, 9));
    assert_eq!(expect.1.1.0[0].kind, ChoiceKind::User(1));
    assert_eq!(expect.1.1.0[0].taken, expect.0);
    assert_eq!(build(&mut ReplayScheduler::new(expect.1.1.clone())), expect);
    let world = World::new();
    assert_eq!(world.sched.choose(ChoiceKind::User(1), 1000), 0, "no scheduler: the first option");
    assert_eq!(world.sched.schedule(), Schedule::default());
}

#[track_caller]
fn check_divergence(schedule: &str, expect_at: usize, expect_why: &str) {
    let world = World::new();
    spawn_chatter(&world);
    let schedule = schedule.parse().expect("a schedule");
    let (outcome, ..) = world.run(&mut ReplayScheduler::new(schedule));
    assert_eq!(outcome, Outcome::Diverged { at: expect_at, why: expect_why.to_owned() });
    assert!(world.sched.tearing_down());
}

#[test]
fn a_schedule_that_does_not_fit_diverges_at_the_first_misfit() {
    check_divergence("", 0, "the schedule ends here, but Task of 3 is asked");
    check_divergence("T0/2", 0, "recorded Task of 2, asked Task of 3");
    check_divergence("V0/3", 0, "recorded Victim of 3, asked Task of 3");
    check_divergence("T0/3 T0/3 T1/3", 2, "recorded Task of 3, asked AllocFails of 2");
    check_divergence("T0/3 T0/3", 2, "the schedule ends here, but AllocFails of 2 is asked");
}

#[test]
fn an_exhausted_schedule_may_go_on_with_the_first_options() {
    let world = World::new();
    spawn_chatter(&world);
    let (outcome, schedule, log) =
        world.run(&mut ReplayScheduler::new("T2/3".parse().expect("a schedule")).then_first());
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(
        log,
        ["t3", "t1", "t2"].map(|t| (0..4).map(move |i| format!("{t} {i} 0"))).into_iter().flatten().collect::<Vec<_>>()
    );
    assert!(schedule.to_string().starts_with("T2/3 T2/3 A0/2"), "{schedule}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// A prefix of a run, continued in any way, replays as what it became.
    #[test]
    fn any_prefix_continues_deterministically(seed in any::<u64>(), keep in any::<prop::sample::Index>()) {
        let world = World::new();
        spawn_chatter(&world);
        let (_, Schedule(mut choices), _) = world.run(&mut RandomScheduler::new(seed, 0));
        choices.truncate(keep.index(choices.len()));
        let once = |scheduler: &mut dyn sched::Scheduler| {
            let world = World::new();
            spawn_chatter(&world);
            world.run(scheduler)
        };
        let continued = once(&mut ReplayScheduler::new(Schedule(choices.clone())).then_first());
        prop_assert_eq!(&continued.0, &Outcome::Finished);
        prop_assert_eq!(&continued.1.0[..choices.len()], &choices[..]);
        prop_assert_eq!(once(&mut ReplayScheduler::new(continued.1.clone())), continued);
    }
}
