//! A run that does the first steps of the run before again goes on as one that was told each of them.

use crate::common::World;
use mm_types::{ObjId, TaskId};
use proptest::prelude::*;
use sched::{Access, Availability, ChoiceKind, EndView, Op, Outcome, RunId, SchedView, Schedule, Scheduler, Step};
use std::cell::Cell;
use std::rc::Rc;

/// What a task does in one step.
#[derive(Clone, Copy, Debug)]
enum Act {
    Take(usize),
    Share(usize),
    /// Gives back what it has.
    Drop(usize),
    /// Takes it if it is free, and gives it back at once.
    Peek(usize),
    /// As `Peek`, but names something else.
    PeekSlyly(usize),
    Write(usize),
    Choose,
    Wait(usize),
    Wake(usize),
}

const OBJECTS: usize = 2;

fn object(i: usize) -> ObjId {
    ObjId(1 + i as u64)
}

struct Objects([Cell<Availability>; OBJECTS]);

impl Objects {
    fn set(&self, w: &World, i: usize, to: Availability) {
        let from = self.0[i].replace(to);
        w.sched.set_availability(object(i), from, to);
    }

    fn peek(&self, w: &World, i: usize) {
        let before = self.0[i].get();
        if before == Availability::FREE {
            self.set(w, i, Availability::TAKEN);
            self.set(w, i, before);
        }
    }
}

fn perform(w: &World, objects: &Objects, acts: &[Act]) {
    let mut has: [Option<Access>; OBJECTS] = [None; OBJECTS];
    for &act in acts {
        match act {
            Act::Take(i) if has[i].is_none() => {
                w.sched.acquire(Op::take_exclusive(object(i)), objects.0[i].get());
                objects.set(w, i, Availability::TAKEN);
                has[i] = Some(Access::DropExclusive);
            }
            Act::Share(i) if has[i].is_none() => {
                w.sched.acquire(Op::take_shared(object(i)), objects.0[i].get());
                let now = objects.0[i].get();
                objects.set(w, i, Availability { shared: now.shared + 1, ..now });
                has[i] = Some(Access::DropShared);
            }
            Act::Drop(i) => {
                let Some(access) = has[i].take() else { continue };
                w.sched.visible(Op { object: object(i), access });
                let now = objects.0[i].get();
                let shared = now.shared.saturating_sub(1);
                objects.set(w, i, Availability { exclusive: 0, shared, ..now });
            }
            Act::Peek(i) => {
                w.sched.visible(Op::write(object(i)));
                objects.peek(w, i);
            }
            Act::PeekSlyly(i) => {
                w.sched.visible_all(&[Op::write(object(1 - i)), Op::read(ObjId(9))]);
                objects.peek(w, i);
            }
            Act::Write(i) => w.sched.visible(Op::write(object(i))),
            Act::Choose => w.say(format!("chose {}", w.sched.choose(ChoiceKind::Victim, 3))),
            Act::Wait(i) => w.say(format!("{:?}", w.sched.block_until(object(i), w.sched.now_ns() + 5))),
            Act::Wake(i) => drop(w.sched.wake_one(object(i))),
            Act::Take(_) | Act::Share(_) => {}
        }
        w.say(format!("{act:?}"));
    }
}

/// Everything that can be told of a run from its step number `from` on, and of its end.
#[derive(PartialEq, Debug)]
struct Told {
    outcome: Outcome,
    schedule: Schedule,
    said: Vec<String>,
    steps: Vec<Step>,
    opaque: bool,
    /// Who could be chosen, where somebody was asked.
    offered: Vec<(usize, Vec<TaskId>)>,
    blocked: Vec<(TaskId, Op)>,
    runnable: Vec<(TaskId, Op)>,
}

/// What a scheduler is shown of a run that is over.
#[derive(Default)]
struct End {
    steps: Vec<Step>,
    opaque: bool,
    blocked: Vec<(TaskId, Op)>,
    runnable: Vec<(TaskId, Op)>,
}

/// Decides by one number before step `turn` and by another from it on.
struct Turns {
    seeds: [u64; 2],
    turn: usize,
    /// The run of which the steps before the turn are kept.
    keep: Option<RunId>,
    ran: RunId,
    offered: Vec<(usize, Vec<TaskId>)>,
    end: End,
}

impl Turns {
    fn new(seeds: [u64; 2], turn: usize) -> Turns {
        Turns { seeds, turn, keep: None, ran: RunId::default(), offered: Vec::new(), end: End::default() }
    }

    fn pick(&self, at: usize, options: usize) -> usize {
        let seed = self.seeds[usize::from(at >= self.turn)];
        let mixed = (seed ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize % options
    }

    fn run(mut self, world: &Rc<World>, program: &[Vec<Act>]) -> (Told, RunId) {
        world.sched.reset();
        let objects = Rc::new(Objects(Default::default()));
        for acts in program {
            let (objects, acts) = (Rc::clone(&objects), acts.clone());
            world.spawn("t", move |w| perform(w, &objects, &acts));
        }
        let (outcome, schedule, said) = world.run(&mut self);
        let End { steps, opaque, blocked, runnable } = self.end;
        let offered = self.offered.into_iter().filter(|(at, _)| *at >= self.turn).collect();
        (Told { outcome, schedule, said, steps, opaque, offered, blocked, runnable }, self.ran)
    }
}

impl Scheduler for Turns {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let at = now.log().steps().len();
        self.offered.push((at, now.runnable.to_vec()));
        self.pick(at, now.runnable.len())
    }
    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        unreachable!("it wants the log")
    }
    fn choose_in_step(&mut self, step: usize, _kind: ChoiceKind, options: u32) -> u32 {
        self.pick(step, options as usize) as u32
    }
    fn wants_log(&self) -> bool {
        true
    }
    fn keeps(&self, last: RunId) -> usize {
        if self.keep == Some(last) { self.turn } else { 0 }
    }
    fn ended(&mut self, end: &EndView<'_>) {
        self.ran = end.log().id();
        self.end = End {
            steps: end.log().steps().to_vec(),
            opaque: end.log().opaque(),
            blocked: end.blocked().collect(),
            runnable: end.runnable().collect(),
        };
    }
}

fn acts(all: bool) -> impl Strategy<Value = Vec<Act>> {
    let i = 0..OBJECTS;
    let locks = prop_oneof![
        4 => i.clone().prop_map(Act::Take),
        3 => i.clone().prop_map(Act::Share),
        6 => i.clone().prop_map(Act::Drop),
        1 => i.clone().prop_map(Act::Peek),
        1 => i.clone().prop_map(Act::Write),
        1 => Just(Act::Choose),
    ];
    let others = prop_oneof![i.clone().prop_map(Act::Wait), i.clone().prop_map(Act::Wake), i.prop_map(Act::PeekSlyly)];
    let one = if all { prop_oneof![6 => locks, 1 => others].boxed() } else { locks.boxed() };
    prop::collection::vec(one, 1..9)
}

fn programs() -> impl Strategy<Value = Vec<Vec<Act>>> {
    any::<bool>().prop_flat_map(|all| prop::collection::vec(acts(all), 2..5))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_run_that_keeps_steps_is_the_run_that_was_told_them(
        program in programs(),
        first in any::<u64>(),
        others in prop::collection::vec((any::<u64>(), 0_usize..40), 1..5),
    ) {
        let world = World::new();
        let (before, mut ran) = Turns::new([first, first], usize::MAX).run(&world, &program);
        for (then, turn) in others {
            let turn = turn.min(before.steps.len());
            let (kept, id) = Turns { keep: Some(ran), ..Turns::new([first, then], turn) }.run(&world, &program);
            let (told, _) = Turns::new([first, then], turn).run(&World::new(), &program);
            prop_assert_eq!(&kept.steps[..turn], &before.steps[..turn]);
            // A change that no step names is told once: by the run that did it first.
            prop_assert_eq!(Told { opaque: told.opaque, ..kept }, told);
            // The next one keeps steps of the first run too: those of this one up to its turn.
            let (_, again) = Turns { keep: Some(id), ..Turns::new([first, first], turn) }.run(&world, &program);
            ran = again;
        }
    }
}

#[test]
fn a_program_that_does_something_else_is_found_out_and_runs_on() {
    let world = World::new();
    let usual = vec![vec![Act::Take(0), Act::Drop(0), Act::Take(0), Act::Drop(0)]; 2];
    for at in 0..3 {
        for other in [Act::Share(1), Act::Take(1), Act::Peek(0), Act::Choose, Act::Wait(0)] {
            for seed in 0..20 {
                let (before, ran) = Turns::new([seed, seed], usize::MAX).run(&world, &usual);
                assert_eq!(before.outcome, Outcome::Finished);
                let mut odd = usual.clone();
                odd[1].insert(at, other);
                let turn = before.steps.len() - 1;
                let (kept, _) = Turns { keep: Some(ran), ..Turns::new([seed, seed], turn) }.run(&world, &odd);
                assert!(kept.opaque, "{other:?} at {at}, seed {seed}");
                assert_eq!(kept.outcome, Outcome::Finished, "{other:?} at {at}, seed {seed}");
            }
        }
    }
}
