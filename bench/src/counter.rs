//! The counter that every explorer is measured on: tasks that take a lock, increment and release it.

use explore::Program;
use mm_types::{Name, ObjId};
use sched::{Availability, Config, Op, Outcome, RandomScheduler, Sched, Scheduler};
use std::cell::Cell;
use std::rc::Rc;

/// The counter on the scheduler alone: what is left when nobody judges or records.
#[derive(Debug)]
pub struct Bare {
    sched: Sched,
    name: Name,
    tasks: u64,
    times: u64,
    taken: Cell<bool>,
    count: Cell<u64>,
}

const LOCK: ObjId = ObjId(1);

impl Bare {
    /// `tasks` tasks that do it `times` times each.
    #[must_use]
    pub fn new(tasks: u64, times: u64) -> Rc<Bare> {
        let sched = Sched::new(Config { record: false, ..Config::default() });
        let name = Name::new("counts");
        Rc::new(Bare { sched, name, tasks, times, taken: Cell::default(), count: Cell::default() })
    }

    fn lock(&self) {
        let now = if self.taken.get() { Availability::TAKEN } else { Availability::FREE };
        self.sched.acquire(Op::take_exclusive(LOCK), now);
        self.taken.set(true);
        self.sched.set_availability(LOCK, Availability::FREE, Availability::TAKEN);
    }

    fn unlock(&self) {
        self.sched.visible(Op::drop_exclusive(LOCK));
        self.taken.set(false);
        self.sched.set_availability(LOCK, Availability::TAKEN, Availability::FREE);
    }

    /// One run.
    ///
    /// # Panics
    /// If it does not count what it should.
    pub fn run(self: &Rc<Self>, scheduler: &mut dyn Scheduler) {
        self.sched.reset();
        self.count.set(0);
        for _ in 0..self.tasks {
            let own = Rc::clone(self);
            let body = move || {
                for _ in 0..own.times {
                    own.lock();
                    own.count.set(own.count.get() + 1);
                    own.unlock();
                }
            };
            self.sched.spawn(self.name, Box::new(body));
        }
        assert_eq!(self.sched.run(scheduler), Outcome::Finished);
        assert_eq!(self.count.get(), self.tasks * self.times);
    }

    /// One random run; its steps.
    pub fn random(self: &Rc<Self>, scheduler: &mut RandomScheduler, run: u64) -> u64 {
        scheduler.begin(1, run);
        self.run(scheduler);
        self.sched.steps()
    }
}

/// The counter as something to explore.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Tasks.
    pub tasks: u64,
    /// Turns of each.
    pub times: u64,
}

impl Program for Counter {
    type World = Rc<Bare>;
    type Report = ();

    fn build(&self) -> Rc<Bare> {
        Bare::new(self.tasks, self.times)
    }

    fn run(&self, bare: &mut Rc<Bare>, scheduler: &mut dyn Scheduler, _run: u64) {
        bare.run(scheduler);
    }
}

/// The same program for loom.
///
/// # Panics
/// If it does not count what it should.
pub fn loom_counter(tasks: usize, times: usize) {
    use loom::sync::{Arc, Mutex};
    let count = Arc::new(Mutex::new(0));
    let others: Vec<_> = (1..tasks)
        .map(|_| {
            let count = count.clone();
            loom::thread::spawn(move || (0..times).for_each(|_| *count.lock().unwrap() += 1))
        })
        .collect();
    (0..times).for_each(|_| *count.lock().unwrap() += 1);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(*count.lock().unwrap(), tasks * times);
}
