//! Small programs as data, and a world that runs them.

use mm_types::{Name, ObjId, TaskId};
use sched::{Access, Availability, ChoiceKind, Config, Context, Op, Outcome, Sched, Scheduler, TASKS};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// One operation of a task. Numbers name locks, rwsems, words and queues, each from a space of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    /// Takes a lock. One that the task has already is taken again: a deadlock with itself.
    Lock(u8),
    /// Gives it back, if the task has it.
    Unlock(u8),
    /// Takes it if it is free, and skips the next operation if not.
    Try(u8),
    ReadLock(u8),
    /// Queues if it is not free.
    WriteLock(u8),
    RwUnlock(u8),
    Load(u8),
    /// Stores the task's last loaded value plus one.
    Store(u8),
    /// Local: nobody can tell.
    Local,
    /// Adds the option taken to the task's value.
    Choose(u8),
    /// Waits until the queue's event has happened.
    WaitFor(u8),
    /// Lets it happen and wakes who waits.
    Happen(u8),
    /// Waits to be woken, whatever happened before.
    Sleep(u8),
    /// Wakes one that waits.
    WakeOne(u8),
    /// Touches two words at once.
    Both(u8, u8),
    /// Spawns a task that stores to the word.
    Spawn(u8),
    /// Panics if the task's value is the number.
    PanicIf(u8),
    /// Disables hardirqs on the task's CPU.
    MaskHard,
    UnmaskHard,
    /// Disables softirqs on the task's CPU.
    MaskSoft,
    UnmaskSoft,
    /// First in the list: it is no task, but the handler of a hardirq, which arrives once.
    Hardirq,
    /// The same of a softirq, which arrives so often.
    Softirq(u8),
    /// An event that an oracle relates to the others of this number: it looks at their order.
    Mark(u8),
}

pub(crate) type Tasks = Vec<Vec<Do>>;

/// What one run showed: everything that a task saw, and how it ended.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seen {
    pub(crate) end: String,
    pub(crate) values: Vec<Vec<u32>>,
    pub(crate) marks: [Vec<u32>; 4],
}

pub(crate) struct World {
    pub(crate) sched: Sched,
    tasks: Tasks,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    locks: [Option<u32>; 4],
    sems: [Availability; 4],
    words: [u32; 4],
    happened: [bool; 4],
    marks: [Vec<u32>; 4],
    values: Vec<Vec<u32>>,
}

fn lock(i: u8) -> ObjId {
    ObjId(100 + u64::from(i))
}
fn sem(i: u8) -> ObjId {
    ObjId(200 + u64::from(i))
}
fn word(i: u8) -> ObjId {
    ObjId(300 + u64::from(i))
}
fn queue(i: u8) -> ObjId {
    ObjId(400 + u64::from(i))
}
fn sleepers(i: u8) -> ObjId {
    ObjId(500 + u64::from(i))
}

impl World {
    pub(crate) fn new(tasks: &[Vec<Do>]) -> Rc<World> {
        let config = Config { record: false, ..Config::default() };
        Rc::new(World { sched: Sched::new(config), tasks: tasks.to_vec(), state: RefCell::default() })
    }

    pub(crate) fn run(self: &Rc<World>, scheduler: &mut dyn Scheduler) -> Seen {
        self.sched.reset();
        *self.state.borrow_mut() = State::default();
        self.state.borrow_mut().values = vec![Vec::new(); self.tasks.len() + 1];
        let (handlers, tasks): (Vec<usize>, _) = (0..self.tasks.len()).partition(|i| self.interrupt(*i).is_some());
        for index in tasks {
            let world = Rc::clone(self);
            self.sched.spawn(Name::new("t"), Box::new(move || world.task(index)));
        }
        for index in handlers {
            let (world, (context, times)) = (Rc::clone(self), self.interrupt(index).expect("it is one"));
            let body = move || (0..times).for_each(|_| world.handle(index));
            self.sched.spawn_interrupt(Name::new("h"), context, Box::new(body));
        }
        let end = match self.sched.run(scheduler) {
            Outcome::Panicked { task, .. } => format!("{task} panicked"),
            other => format!("{other:?}"),
        };
        let State { values, marks, .. } = self.state.take();
        Seen { end, values, marks }
    }

    fn interrupt(&self, index: usize) -> Option<(Context, u8)> {
        match self.tasks[index].first() {
            Some(Do::Hardirq) => Some((Context::Hardirq, 1)),
            Some(Do::Softirq(times)) => Some((Context::Softirq, *times)),
            _ => None,
        }
    }

    fn handle(self: &Rc<World>, index: usize) {
        let cpu = self.sched.choose(ChoiceKind::Interrupt, self.sched.cpus() + 1);
        self.sched.arrive(TaskId(cpu));
        self.task(index);
        self.sched.return_from_interrupt();
    }

    fn task(self: &Rc<World>, index: usize) {
        let mut value = 0;
        let mut held: Vec<Do> = Vec::new();
        let mut skip = false;
        for &what in &self.tasks[index] {
            if std::mem::take(&mut skip) {
                continue;
            }
            skip = self.perform(index, what, &mut value, &mut held);
        }
        while let Some(what) = held.pop() {
            self.give_back(what);
        }
        self.sched.unmask(Context::Softirq);
        self.sched.unmask(Context::Hardirq);
    }

    fn see(&self, index: usize, value: u32) {
        self.state.borrow_mut().values[index].push(value);
    }

    fn perform(self: &Rc<World>, index: usize, what: Do, value: &mut u32, held: &mut Vec<Do>) -> bool {
        let sched = &self.sched;
        match what {
            Do::Lock(i) => {
                let taken = self.state.borrow().locks[i as usize].is_some();
                sched
                    .acquire(Op::take_exclusive(lock(i)), if taken { Availability::TAKEN } else { Availability::FREE });
                self.take_lock(i);
                held.push(what);
            }
            Do::Try(i) => {
                sched.visible(Op::write(lock(i)));
                if self.state.borrow().locks[i as usize].is_some() {
                    self.see(index, 100);
                    return true;
                }
                self.take_lock(i);
                held.push(Do::Lock(i));
            }
            Do::Unlock(_) | Do::RwUnlock(_) => {
                let same = |have: &Do| match (*have, what) {
                    (Do::Lock(a), Do::Unlock(b)) => a == b,
                    (Do::ReadLock(a) | Do::WriteLock(a), Do::RwUnlock(b)) => a == b,
                    _ => false,
                };
                if let Some(at) = held.iter().rposition(same) {
                    let have = held.remove(at);
                    self.give_back(have);
                }
            }
            Do::ReadLock(i) => {
                let now = self.state.borrow().sems[i as usize];
                sched.acquire(Op::take_shared(sem(i)), now);
                self.sem(i, |now| now.shared += 1);
                held.push(what);
            }
            Do::WriteLock(i) => {
                sched.visible(Op::write(sem(i)));
                let now = self.state.borrow().sems[i as usize];
                if now.allows(Access::TakeExclusive) {
                    self.sem(i, |now| now.exclusive += 1);
                } else {
                    self.sem(i, |now| now.queued += 1);
                    let now = self.state.borrow().sems[i as usize];
                    sched.acquire(Op::take_exclusive(sem(i)), now);
                    self.sem(i, |now| {
                        now.queued -= 1;
                        now.exclusive += 1;
                    });
                }
                held.push(what);
            }
            Do::Load(i) => {
                sched.visible(Op::read(word(i)));
                *value = self.state.borrow().words[i as usize];
                self.see(index, *value);
            }
            Do::Store(i) => {
                sched.visible(Op::write(word(i)));
                self.state.borrow_mut().words[i as usize] = *value + 1;
            }
            Do::Local => sched.visible(Op::LOCAL),
            Do::MaskHard => _ = sched.mask(Context::Hardirq),
            Do::UnmaskHard => sched.unmask(Context::Hardirq),
            Do::MaskSoft => _ = sched.mask(Context::Softirq),
            Do::UnmaskSoft => sched.unmask(Context::Softirq),
            Do::Hardirq | Do::Softirq(_) => {}
            Do::Choose(options) => {
                *value += sched.choose(ChoiceKind::User(0), u32::from(options));
                self.see(index, 200 + *value);
            }
            Do::WaitFor(i) => {
                sched.visible(Op::read(queue(i)));
                while !self.state.borrow().happened[i as usize] && !sched.tearing_down() {
                    sched.block(queue(i));
                }
            }
            Do::Happen(i) => {
                sched.visible(Op::write(queue(i)));
                self.state.borrow_mut().happened[i as usize] = true;
                sched.wake_all(queue(i));
            }
            Do::Sleep(i) => {
                // A write: the order of arrival decides who is woken.
                sched.visible(Op::write(sleepers(i)));
                sched.block(sleepers(i));
            }
            Do::WakeOne(i) => {
                sched.visible(Op::write(sleepers(i)));
                sched.wake_one(sleepers(i));
            }
            Do::Both(a, b) => {
                sched.visible_all(&[Op::write(word(a)), Op::read(word(b))]);
                let mut state = self.state.borrow_mut();
                state.words[a as usize] = state.words[b as usize] + 1;
            }
            Do::Spawn(i) => {
                let world = Rc::clone(self);
                sched.visible(Op::write(TASKS));
                sched.spawn(
                    Name::new("s"),
                    Box::new(move || {
                        world.sched.visible(Op::write(word(i)));
                        world.state.borrow_mut().words[i as usize] += 10;
                    }),
                );
            }
            Do::Mark(i) => {
                sched.visible(Op::write(ObjId(600 + u64::from(i))));
                self.state.borrow_mut().marks[i as usize].push(sched.current().0);
            }
            Do::PanicIf(n) => assert_ne!(*value, u32::from(n), "as told"),
        }
        false
    }

    fn take_lock(&self, i: u8) {
        let me = self.sched.current().0;
        let before = self.state.borrow_mut().locks[i as usize].replace(me);
        assert!(before.is_none(), "{before:?} has lock {i}");
        self.sched.set_availability(lock(i), Availability::FREE, Availability::TAKEN);
    }

    fn sem(&self, i: u8, change: impl FnOnce(&mut Availability)) {
        let from = self.state.borrow().sems[i as usize];
        let mut to = from;
        change(&mut to);
        assert!(to.exclusive == 0 || (to.exclusive == 1 && to.shared == 0), "{to:?}");
        self.state.borrow_mut().sems[i as usize] = to;
        self.sched.set_availability(sem(i), from, to);
    }

    fn give_back(&self, what: Do) {
        match what {
            Do::Lock(i) => {
                self.sched.visible(Op::drop_exclusive(lock(i)));
                self.state.borrow_mut().locks[i as usize] = None;
                self.sched.set_availability(lock(i), Availability::TAKEN, Availability::FREE);
            }
            Do::ReadLock(i) => {
                self.sched.visible(Op::drop_shared(sem(i)));
                self.sem(i, |now| now.shared -= 1);
            }
            Do::WriteLock(i) => {
                self.sched.visible(Op::drop_exclusive(sem(i)));
                self.sem(i, |now| now.exclusive -= 1);
            }
            _ => unreachable!("{what:?} is nothing to give back"),
        }
    }
}

/// What a set of runs showed.
pub(crate) type Findings = BTreeSet<Seen>;
