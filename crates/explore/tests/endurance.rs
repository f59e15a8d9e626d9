//! A million failing runs in one process: none spurious, memory flat. A test binary of its own, so that nothing else grows.

use mm_types::{Name, ObjId};
use sched::{Availability, Config, Op, Outcome, Sched, SchedView, Scheduler};
use std::cell::Cell;
use std::rc::Rc;

/// Unoptimised code takes too long for all of them.
const RUNS: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

struct World {
    sched: Sched,
    taken: [Cell<bool>; 2],
    /// Guards that are alive: unwinding drops each once.
    guards: Cell<u64>,
}

struct Guard(Rc<World>);

impl Guard {
    fn new(world: &Rc<World>, lock: usize) -> Guard {
        let object = ObjId(1 + lock as u64);
        let now = if world.taken[lock].get() { Availability::TAKEN } else { Availability::FREE };
        world.sched.acquire(Op::take_exclusive(object), now);
        world.taken[lock].set(true);
        world.sched.set_availability(object, Availability::FREE, Availability::TAKEN);
        world.guards.set(world.guards.get() + 1);
        Guard(Rc::clone(world))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.guards.set(self.0.guards.get() - 1);
    }
}

/// Lets each task take one step in turn.
struct Alternates(bool);

impl Scheduler for Alternates {
    fn next_task(&mut self, _now: &SchedView<'_>) -> usize {
        self.0 = !self.0;
        usize::from(self.0)
    }
    fn choose(&mut self, _kind: sched::ChoiceKind, _options: u32) -> u32 {
        0
    }
}

fn run(world: &Rc<World>, panics: bool) -> Outcome {
    world.sched.reset();
    world.taken.iter().for_each(|taken| taken.set(false));
    for order in [[0, 1], [1, 0]] {
        let own = Rc::clone(world);
        let body = move || {
            let _first = Guard::new(&own, order[0]);
            assert!(!panics, "as told");
            let _second = Guard::new(&own, order[1]);
        };
        world.sched.spawn(Name::new("takes"), Box::new(body));
    }
    world.sched.run(&mut Alternates(false))
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn a_million_failing_runs_fail_each_in_its_own_way_and_leave_memory_flat() {
    sched::install_panic_hook();
    let sched = Sched::new(Config::default());
    let world = Rc::new(World { sched, taken: Default::default(), guards: Cell::default() });
    let mut before = 0;
    for k in 0..RUNS {
        let panics = k % 10 == 0;
        match run(&world, panics) {
            Outcome::Deadlock { blocked } => assert!(!panics && blocked.len() == 2, "run {k}: {blocked:?}"),
            Outcome::Panicked { message, .. } => assert!(panics && message == "as told", "run {k}: {message}"),
            other => panic!("run {k}: {other:?}"),
        }
        assert_eq!(world.guards.get(), 0, "run {k} left guards alive");
        if k == RUNS / 10 {
            before = resident_kib();
        }
    }
    let after = resident_kib();
    assert!(after <= before + 256, "resident memory grew from {before} KiB to {after} KiB");
    assert_eq!(world.sched.stacks_created(), 2);
}
