//! Schedules a second: n tasks that take a lock, increment and release it m times, in random runs.
//!
//! `cargo run --release -p sched --example counter [RUNS]`

#![expect(clippy::print_stdout, clippy::disallowed_methods, clippy::disallowed_types, reason = "a measurement")]

use mm_types::{Name, ObjId, TaskId};
use sched::{Config, Op, Outcome, RandomScheduler, Sched};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

struct World {
    sched: Sched,
    lock: ObjId,
    owner: Cell<TaskId>,
    count: Cell<u64>,
}

impl World {
    fn lock(&self) {
        self.sched.visible(Op::write(self.lock));
        while self.owner.get() != TaskId(0) {
            self.sched.block(self.lock);
        }
        self.owner.set(self.sched.current());
    }

    fn unlock(&self) {
        self.sched.visible(Op::write(self.lock));
        self.owner.set(TaskId(0));
        self.sched.wake_one(self.lock);
    }
}

fn measure(tasks: u64, times: u64, runs: u64) {
    let sched = Sched::new(Config::default());
    let world = Rc::new(World { sched, lock: ObjId(1), owner: Cell::default(), count: Cell::default() });
    let name = Name::new("counts");
    let mut scheduler = RandomScheduler::new(1, 0);
    let mut steps = 0;
    let start = Instant::now();
    for run in 0..runs {
        world.sched.reset();
        scheduler.begin(1, run);
        world.count.set(0);
        for _ in 0..tasks {
            let own = Rc::clone(&world);
            let body = move || {
                for _ in 0..times {
                    own.lock();
                    own.count.set(own.count.get() + 1);
                    own.unlock();
                }
            };
            world.sched.spawn(name, Box::new(body));
        }
        assert_eq!(world.sched.run(&mut scheduler), Outcome::Finished);
        assert_eq!(world.count.get(), tasks * times);
        steps += world.sched.steps();
    }
    let seconds = start.elapsed().as_secs_f64();
    let (per_run, ns) = (steps as f64 / runs as f64, seconds * 1e9 / steps.max(1) as f64);
    let rate = runs as f64 / seconds;
    println!("{tasks}x{times}: {rate:.0} schedules/s, {per_run:.1} steps a run, {ns:.1} ns a step");
}

fn main() {
    let runs = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(300_000);
    for _ in 0..3 {
        measure(2, 10, runs);
        measure(3, 5, runs);
        measure(1, 1000, runs / 100);
        measure(2, 0, runs);
    }
}
