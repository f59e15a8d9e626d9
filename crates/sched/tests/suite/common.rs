//! A world for the tests: an engine, a log, and the smallest lock that can be built on the engine.

use mm_types::{Name, ObjId, TaskId};
use sched::{Config, Op, Outcome, Sched, Schedule, Scheduler, Woken};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// An engine and what its tasks wrote.
pub(crate) struct World {
    pub(crate) sched: Sched,
    pub(crate) log: RefCell<Vec<String>>,
}

impl World {
    pub(crate) fn new() -> Rc<World> {
        World::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Rc<World> {
        Rc::new(World { sched: Sched::new(config), log: RefCell::default() })
    }

    pub(crate) fn spawn(self: &Rc<World>, name: &str, body: impl FnOnce(&Rc<World>) + 'static) -> TaskId {
        let world = Rc::clone(self);
        self.sched.spawn(Name::new(name), Box::new(move || body(&world)))
    }

    pub(crate) fn say(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(format!("{} {}", self.sched.current(), what.into()));
    }

    pub(crate) fn run(&self, scheduler: &mut dyn Scheduler) -> (Outcome, Schedule, Vec<String>) {
        let outcome = self.sched.run(scheduler);
        (outcome, self.sched.schedule(), self.log.take())
    }
}

/// Who holds it, and who waits for it is in the engine.
pub(crate) struct Lock {
    pub(crate) id: ObjId,
    owner: Cell<Option<TaskId>>,
}

impl Lock {
    pub(crate) fn new(world: &World) -> Rc<Lock> {
        Rc::new(Lock { id: world.sched.new_obj(), owner: Cell::new(None) })
    }

    pub(crate) fn lock(&self, sched: &Sched) {
        sched.visible(Op::write(self.id));
        while self.owner.get().is_some() {
            if sched.block(self.id) == Woken::TearingDown {
                return;
            }
        }
        self.owner.set(Some(sched.current()));
    }

    pub(crate) fn unlock(&self, sched: &Sched) {
        sched.visible(Op::write(self.id));
        self.owner.set(None);
        sched.wake_all(self.id);
    }
}

/// Two tasks that take two locks in opposite orders: some schedules deadlock.
pub(crate) fn spawn_abba(world: &Rc<World>) {
    let locks = [Lock::new(world), Lock::new(world)];
    for order in [[0, 1], [1, 0]] {
        let locks = locks.clone();
        world.spawn("abba", move |w| {
            for i in order {
                locks[i].lock(&w.sched);
                w.say(format!("locks {i}"));
            }
            for i in order {
                locks[i].unlock(&w.sched);
            }
        });
    }
}

/// Writes to a cell when dropped.
pub(crate) struct OnDrop(pub(crate) Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}
