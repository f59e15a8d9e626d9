//! Exhaustive exploration of counters: n tasks that take a lock, increment and release it m times.
//!
//! `cargo run --release -p explore --example exhaustive [TIMES]`

#![expect(clippy::print_stdout, clippy::disallowed_methods, clippy::disallowed_types, reason = "a measurement")]

use explore::{Bounds, Exhaustive};
use mm_types::{Name, ObjId};
use sched::{Availability, Config, Op, Outcome, RandomScheduler, Sched, Scheduler};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

struct World {
    sched: Sched,
    lock: ObjId,
    taken: Cell<bool>,
    count: Cell<u64>,
}

impl World {
    fn lock(&self) {
        let now = if self.taken.get() { Availability::TAKEN } else { Availability::FREE };
        self.sched.acquire(Op::take_exclusive(self.lock), now);
        self.taken.set(true);
        self.sched.set_availability(self.lock, Availability::FREE, Availability::TAKEN);
    }

    fn unlock(&self) {
        self.sched.visible(Op::drop_exclusive(self.lock));
        self.taken.set(false);
        self.sched.set_availability(self.lock, Availability::TAKEN, Availability::FREE);
    }

    fn run(self: &Rc<Self>, name: Name, (tasks, times): (u64, u64), scheduler: &mut dyn Scheduler) {
        self.sched.reset();
        self.count.set(0);
        for _ in 0..tasks {
            let own = Rc::clone(self);
            let body = move || {
                for _ in 0..times {
                    own.lock();
                    own.count.set(own.count.get() + 1);
                    own.unlock();
                }
            };
            self.sched.spawn(name, Box::new(body));
        }
        assert_eq!(self.sched.run(scheduler), Outcome::Finished);
        assert_eq!(self.count.get(), tasks * times);
    }
}

fn measure(shape: (u64, u64)) {
    let config = Config { record: false, ..Config::default() };
    let world =
        Rc::new(World { sched: Sched::new(config), lock: ObjId(1), taken: Cell::default(), count: Cell::default() });
    let name = Name::new("counts");
    let mut exhaustive = Exhaustive::new(Bounds::default());
    let start = Instant::now();
    while exhaustive.next_run() {
        world.run(name, shape, &mut exhaustive);
    }
    let seconds = start.elapsed().as_secs_f64();
    let runs = exhaustive.tally().executions;
    let us = seconds * 1e6 / runs as f64;
    println!(
        "{}x{}: {runs} executions, {seconds:.3} s, {us:.2} us each, complete: {}",
        shape.0,
        shape.1,
        exhaustive.complete()
    );
    if std::env::args().nth(2).is_some() {
        return;
    }
    let mut random = RandomScheduler::new(1, 0);
    let start = Instant::now();
    for run in 0..runs {
        random.begin(1, run);
        world.run(name, shape, &mut random);
    }
    let us = start.elapsed().as_secs_f64() * 1e6 / runs as f64;
    println!("{}x{}: random, {us:.2} us each", shape.0, shape.1);
}

fn main() {
    let times = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3);
    for _ in 0..times {
        measure((2, 10));
        measure((3, 5));
    }
}
