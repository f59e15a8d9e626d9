//! Relaxed memory, as views of each word.
//!
//! The stores to one word have an order that all agree on; nothing orders stores to different words but what the task did
//! between them. Each store carries a view: for each word, the store that nobody misses who has seen this one *and* has
//! ordered his later loads after that. The idea is that of view-based operational models (Kang, Hur, Lahav, Vafeiadis,
//! Dreyer, "A promising semantics for relaxed-memory concurrency", POPL 2017) without their promises; what carries a view
//! is Linux's (tools/memory-model/linux-kernel.cat, 6.12):
//!
//! | | |
//! |---|---|
//! | load | sees any store that is not before the word's in `floor`; may be ordered before any earlier load of another word |
//! | store | takes any place after the word's in `seen`: a load is never after a later store |
//! | `smp_load_acquire()` | what the store carries is in `floor` |
//! | `smp_rmb()` | what all stores carry that were seen is in `floor` |
//! | `smp_wmb()` | later stores carry the task's own earlier stores, and what these carry |
//! | `smp_store_release()` | carries all that the task has seen: cumulative |
//! | `smp_mb()` | both, cumulative, and all full barriers see what those before them have seen. What was seen before one is with
//! everybody from then on (`pb`): all stores carry it that are later in time, whoever does them |
//! | a lock | taken: as an acquire of what was let go; let go: as a release. Later stores carry what the lock does |
//!
//! Full barriers are in one order, and locks' views are kept apart for who lets go alone and who did with others, so that
//! the order of two sharers does not matter.

use super::{Barrier, Hold, Marked, Weak};
use mm_types::{ObjId, TaskId};
use sched::Op;
use std::collections::{BTreeMap, BTreeSet};

/// The order of all full barriers, each of which changes what the next sees.
const BARRIERS: ObjId = ObjId::keyed(super::MEMORY, 1);

#[derive(Default)]
pub(super) struct Relaxed {
    words: Words,
    /// By task.
    tasks: Vec<Views>,
    /// What tasks had seen that have gone through a full barrier.
    fenced: View,
    released: BTreeMap<ObjId, Released>,
}

/// What a task has seen, and promised.
#[derive(Clone, Default)]
struct Views {
    /// What it has loaded and stored, and what those stores carry.
    seen: View,
    /// What its loads can no longer miss. invariant: not after `seen`, for any word
    floor: View,
    /// Its own stores, and what they carry.
    stored: View,
    /// What its later stores carry.
    carried: View,
    /// What it had seen when it last let a lock go.
    unlocked: View,
    /// What it knows to be with everybody: seen before a full barrier of its own, or of somebody before what it loaded.
    everywhere: View,
    /// The stores that its loads saw.
    loaded: BTreeSet<(ObjId, usize)>,
}

/// For each word, one of its stores, by its number. A word that is not there: the store that made it.
#[derive(Clone, Default)]
struct View(BTreeMap<ObjId, usize>);

#[derive(Default)]
struct Released {
    exclusive: View,
    shared: View,
    /// Of all that let go.
    everywhere: View,
}

#[derive(Default)]
struct Words(BTreeMap<ObjId, Word>);

/// The stores to one word.
#[derive(Default)]
struct Word {
    /// By number: as they were executed.
    stores: Vec<Store>,
    /// The numbers in the order that all agree on. invariant: number 0 is first
    order: Vec<usize>,
}

struct Store {
    value: u64,
    /// Where it is in the order.
    place: usize,
    /// invariant: not before `everywhere`, for any word
    carries: View,
    /// What was with everybody when it was done.
    everywhere: View,
    /// Made of the store before it in one step: none comes between.
    modifies: bool,
}

impl Word {
    /// A word that nobody accessed before.
    fn of(value: u64) -> Word {
        let first = Store { value, place: 0, carries: View::default(), everywhere: View::default(), modifies: false };
        Word { stores: vec![first], order: vec![0] }
    }

    /// Where a store may take its place that is after `after`, the last place first.
    fn places(&self, after: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.order.len();
        let free = move |&at: &usize| at == end || !self.stores[self.order[at]].modifies;
        (after + 1..=end).rev().filter(free)
    }

    /// Adds a store at `place`; its number.
    fn insert(&mut self, place: usize, store: Store) -> usize {
        let number = self.stores.len();
        self.stores.push(store);
        self.order.insert(place, number);
        for (at, &moved) in self.order.iter().enumerate().skip(place) {
            self.stores[moved].place = at;
        }
        number
    }
}

impl Words {
    fn word(&mut self, word: ObjId, newest: u64) -> &mut Word {
        self.0.entry(word).or_insert_with(|| Word::of(newest))
    }

    /// Where in the order of its word a store is.
    fn place(&self, word: ObjId, number: usize) -> usize {
        self.0.get(&word).map_or(0, |word| word.stores[number].place)
    }

    /// Where in the order of `word` the store is that `view` names.
    fn place_in(&self, view: &View, word: ObjId) -> usize {
        self.place(word, view.0.get(&word).copied().unwrap_or(0))
    }

    /// `view`, and what the stores carry that are overwritten in it: whoever loaded one of these did so before the overwriting
    /// store, and so before he sees `view` (`prop & int`).
    fn with_overwritten(&self, view: &View, loaded: &BTreeSet<(ObjId, usize)>) -> View {
        let mut all = view.clone();
        for &(word, number) in loaded {
            if self.place(word, number) < self.place_in(view, word)
                && let Some(stores) = self.0.get(&word)
            {
                self.join(&mut all, &stores.stores[number].carries);
            }
        }
        all
    }

    /// For each word, the later store.
    fn join(&self, to: &mut View, from: &View) {
        for (&word, &number) in &from.0 {
            self.join_one(to, word, number);
        }
    }

    fn join_one(&self, to: &mut View, word: ObjId, number: usize) {
        if self.place(word, number) >= self.place_in(to, word) {
            to.0.insert(word, number);
        }
    }
}

impl Relaxed {
    fn task(&mut self, task: TaskId) -> (&Words, &mut Views) {
        let at = task.0 as usize;
        if self.tasks.len() <= at {
            self.tasks.resize_with(at + 1, Views::default);
        }
        (&self.words, &mut self.tasks[at])
    }

    /// The places that a store of `task` to `word` may take.
    fn places(&mut self, task: TaskId, word: ObjId) -> Vec<usize> {
        let (words, views) = self.task(task);
        let after = words.place_in(&views.seen, word);
        words.0.get(&word).map_or_else(Vec::new, |stores| stores.places(after).collect())
    }

    /// What a store of the task is that carries `carries`.
    fn store_of(&mut self, task: TaskId, value: u64, place: usize, mut carries: View) -> Store {
        let (words, views) = self.task(task);
        words.join(&mut carries, &views.everywhere);
        Store { value, place, carries, everywhere: views.everywhere.clone(), modifies: false }
    }

    fn insert(&mut self, task: TaskId, word: ObjId, place: usize, store: Store) {
        let number = self.words.word(word, store.value).insert(place, store);
        let (words, views) = self.task(task);
        for view in [&mut views.seen, &mut views.floor, &mut views.stored] {
            words.join_one(view, word, number);
        }
        let carries = words.0.get(&word).map(|stores| &stores.stores[number].carries);
        if let Some(carries) = carries {
            words.join(&mut views.stored, carries);
        }
    }

    fn full_barrier(&mut self, task: TaskId) {
        let mut fenced = std::mem::take(&mut self.fenced);
        let (words, views) = self.task(task);
        words.join(&mut views.seen, &fenced);
        words.join(&mut fenced, &views.seen);
        views.floor = views.seen.clone();
        views.carried = views.seen.clone();
        views.everywhere = views.seen.clone();
        self.fenced = fenced;
    }
}

impl Weak for Relaxed {
    fn spawn(&mut self, parent: TaskId, child: TaskId) {
        let Views { seen, everywhere, .. } = self.task(parent).1.clone();
        let (floor, carried) = (seen.clone(), seen.clone());
        *self.task(child).1 = Views { seen, floor, carried, everywhere, ..Views::default() };
    }

    fn load_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32 {
        let stores = self.words.word(word, newest).order.len();
        let (words, views) = self.task(task);
        (stores - words.place_in(&views.floor, word)) as u32
    }

    fn load(&mut self, task: TaskId, word: ObjId, nth: u32, marked: Marked) -> u64 {
        let (words, views) = self.task(task);
        let Some(stores) = words.0.get(&word) else { return 0 };
        let number = stores.order[stores.order.len() - 1 - nth as usize];
        let store = &stores.stores[number];
        words.join_one(&mut views.floor, word, number);
        words.join_one(&mut views.seen, word, number);
        words.join(&mut views.seen, &store.carries);
        words.join(&mut views.everywhere, &store.everywhere);
        if marked == Marked::Ordered {
            let mut view = store.carries.clone();
            words.join_one(&mut view, word, number);
            words.join(&mut views.floor, &words.with_overwritten(&view, &views.loaded));
        }
        views.loaded.insert((word, number));
        store.value
    }

    fn store_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32 {
        self.words.word(word, newest);
        self.places(task, word).len() as u32
    }

    fn store(&mut self, task: TaskId, word: ObjId, value: u64, nth: u32, marked: Marked) {
        let place = self.places(task, word)[nth as usize];
        let (_, views) = self.task(task);
        let carries = if marked == Marked::Ordered { &views.seen } else { &views.carried }.clone();
        let store = self.store_of(task, value, place, carries);
        self.insert(task, word, place, store);
    }

    // It sees a store, and takes the place after it.
    fn modify_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32 {
        self.store_options(task, word, newest)
    }

    fn modify(&mut self, task: TaskId, word: ObjId, nth: u32, change: &dyn Fn(u64) -> u64) -> u64 {
        let place = self.places(task, word)[nth as usize];
        let from_last = self.words.word(word, 0).order.len() - place;
        let value = change(self.load(task, word, from_last as u32, Marked::Once));
        // After a full barrier that is all that was carried before, and what the store carries that it saw
        // (`rmw-sequence`).
        let carries = self.task(task).1.seen.clone();
        let store = self.store_of(task, value, place, carries);
        self.insert(task, word, place, Store { modifies: true, ..store });
        value
    }

    fn barrier(&mut self, task: TaskId, which: Barrier) {
        let (words, views) = self.task(task);
        match which {
            Barrier::Full => self.full_barrier(task),
            Barrier::Write => words.join(&mut views.carried, &views.stored),
            Barrier::Read => views.floor = views.seen.clone(),
        }
    }

    fn acquire(&mut self, task: TaskId, object: ObjId, hold: Hold) {
        let released = self.released.remove(&object).unwrap_or_default();
        let (words, views) = self.task(task);
        let mut from = released.exclusive.clone();
        if hold == Hold::Exclusive {
            words.join(&mut from, &released.shared);
        }
        words.join(&mut views.seen, &from);
        if hold == Hold::Exclusive {
            words.join(&mut views.everywhere, &released.everywhere);
        }
        words.join(&mut views.floor, &words.with_overwritten(&from, &views.loaded));
        // What came before the last release comes before what follows (`po-unlock-lock-po`).
        words.join(&mut from, &views.unlocked);
        words.join(&mut views.floor, &from);
        words.join(&mut views.carried, &from);
        self.released.insert(object, released);
    }

    fn release(&mut self, task: TaskId, object: ObjId, hold: Hold) {
        let mut released = self.released.remove(&object).unwrap_or_default();
        let (words, views) = self.task(task);
        let to = if hold == Hold::Shared { &mut released.shared } else { &mut released.exclusive };
        words.join(to, &views.seen);
        words.join(&mut released.everywhere, &views.everywhere);
        views.unlocked = views.seen.clone();
        self.released.insert(object, released);
    }

    fn of_store(&self) -> Op {
        Op::LOCAL
    }

    fn of_modify(&self) -> Op {
        Op::write(BARRIERS)
    }

    fn of_full_barrier(&self) -> Op {
        Op::write(BARRIERS)
    }
}
