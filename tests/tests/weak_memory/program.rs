//! Small programs on words, and what may come of them by exploring them.

use explore::{Bounds, Exhaustive};
use ksync::{Barrier, Kernel, KernelConfig, MemoryModel, TrackedU64};
use mm_types::Name;
use sched::Scheduler;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// One operation on one of a few words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    Load(usize),
    LoadAcquire(usize),
    Store(usize, u64),
    StoreRelease(usize, u64),
    /// Adds, and sees what it was before.
    Add(usize, u64),
    Barrier(Barrier),
}

pub(crate) const WORDS: usize = 2;

pub(crate) type Tasks = Vec<Vec<Do>>;

/// What a run saw: for each task what it loaded, and what the words are at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Outcome {
    pub(crate) loaded: Vec<Vec<u64>>,
    pub(crate) end: [u64; WORDS],
}

fn execute(body: &[Do], words: &[TrackedU64], loaded: impl Fn(u64)) {
    for step in body {
        match *step {
            Do::Load(word) => loaded(words[word].load()),
            Do::LoadAcquire(word) => loaded(words[word].load_acquire()),
            Do::Store(word, value) => words[word].store(value),
            Do::StoreRelease(word, value) => words[word].store_release(value),
            Do::Add(word, n) => loaded(words[word].add_return(n) - n),
            Do::Barrier(which) => ksync::barrier(which),
        }
    }
}

/// A kernel in which a program is run again and again.
pub(crate) struct Machine {
    kernel: Kernel,
    model: MemoryModel,
}

impl Machine {
    pub(crate) fn new(model: MemoryModel) -> Machine {
        Machine { kernel: Kernel::new(KernelConfig::default()), model }
    }

    pub(crate) fn run(&self, tasks: &Tasks, scheduler: &mut dyn Scheduler) -> Outcome {
        let k = &self.kernel;
        k.reset();
        k.set_memory_model(self.model);
        let loaded = Rc::new(RefCell::new(vec![Vec::new(); tasks.len()]));
        let words: Rc<[TrackedU64; WORDS]> =
            k.enter(|k| Rc::new(std::array::from_fn(|_| TrackedU64::new(k.new_obj(), 0))));
        k.enter(|k| {
            for (at, body) in tasks.iter().enumerate() {
                let (body, words, loaded) = (body.clone(), Rc::clone(&words), Rc::clone(&loaded));
                k.spawn(Name::new("task"), move || {
                    execute(&body, &words[..], |value| loaded.borrow_mut()[at].push(value));
                });
            }
        });
        k.run(scheduler);
        let end = std::array::from_fn(|word| words[word].peek());
        Outcome { loaded: loaded.take(), end }
    }
}

/// What may come of a program, by all its traces.
#[track_caller]
pub(crate) fn outcomes(model: MemoryModel, tasks: &Tasks) -> BTreeSet<Outcome> {
    let machine = Machine::new(model);
    let mut exhaustive = Exhaustive::new(Bounds::default());
    let mut all = BTreeSet::new();
    while exhaustive.next_run() {
        all.insert(machine.run(tasks, &mut exhaustive));
    }
    let tally = exhaustive.tally();
    assert!(exhaustive.complete() && tally.redundant == 0, "{model:?}: {tally:?}: {tasks:?}");
    all
}
