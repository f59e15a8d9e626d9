//! Total store order, as a view of one order of all stores.
//!
//! The machine with a store buffer for each processor has an equal in which stores take effect at once and loads may lag
//! (Abdulla, Atig, Bouajjani, Ngo, "A load-buffer semantics for total store ordering", LMCS 14(1), 2018, which calls it dual
//! TSO). Each task stands at a place in the order of all stores, and only ever goes forward. A load sees the word as it was
//! at the task's place, or as any later store left it, and then the task stands at that store. A store of the task's own
//! that is after its place is what it sees for itself: the buffer it is forwarded from. A full barrier and an atomic
//! modification go to the end of the order.
//!
//! Between loads a task goes no further than it must: standing further back never takes a value away from a later load.

use super::{Barrier, Hold, Marked, Weak};
use mm_types::{ObjId, TaskId};
use sched::Op;
use std::collections::BTreeMap;

/// The order of all stores: written by every store, read by every full barrier.
const ORDER: ObjId = ObjId::keyed(super::MEMORY, 0);

/// A place in the order of all stores: how many come before it or are it.
type Place = u64;

#[derive(Default)]
pub(super) struct Tso {
    end: Place,
    words: BTreeMap<ObjId, Vec<Store>>,
    /// By task.
    stands: Vec<Stand>,
    released: BTreeMap<ObjId, Released>,
}

struct Store {
    place: Place,
    by: TaskId,
    value: u64,
}

/// Where a task is in the order.
#[derive(Clone, Copy, Default)]
struct Stand {
    /// Up to where it has seen.
    seen: Place,
    /// Its last store.
    stored: Place,
}

impl Stand {
    /// Up to where everybody has seen who sees all that this task did so far.
    fn whole(self) -> Place {
        self.seen.max(self.stored)
    }
}

#[derive(Clone, Copy, Default)]
struct Released {
    exclusive: Place,
    shared: Place,
}

impl Tso {
    fn stand(&mut self, task: TaskId) -> &mut Stand {
        let at = task.0 as usize;
        if self.stands.len() <= at {
            self.stands.resize(at + 1, Stand::default());
        }
        &mut self.stands[at]
    }

    fn stores(&mut self, word: ObjId, newest: u64) -> &mut Vec<Store> {
        self.words.entry(word).or_insert_with(|| vec![Store { place: 0, by: TaskId(0), value: newest }])
    }

    /// The oldest store to `word` that `task` may see: the last that is its own or not after its place.
    fn oldest(&mut self, task: TaskId, word: ObjId, newest: u64) -> usize {
        let seen = self.stand(task).seen;
        let stores = self.stores(word, newest);
        stores.iter().rposition(|store| store.by == task || store.place <= seen).unwrap_or(0)
    }

    fn append(&mut self, task: TaskId, word: ObjId, newest: u64, value: u64) {
        self.end += 1;
        let place = self.end;
        self.stores(word, newest).push(Store { place, by: task, value });
        self.stand(task).stored = place;
    }
}

impl Weak for Tso {
    fn spawn(&mut self, parent: TaskId, child: TaskId) {
        let seen = self.stand(parent).whole();
        *self.stand(child) = Stand { seen, stored: 0 };
    }

    fn load_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32 {
        let oldest = self.oldest(task, word, newest);
        (self.stores(word, newest).len() - oldest) as u32
    }

    // An acquire load is no more than a load: loads are seen in order.
    fn load(&mut self, task: TaskId, word: ObjId, nth: u32, _marked: Marked) -> u64 {
        let oldest = self.oldest(task, word, 0);
        let stores = self.stores(word, 0);
        let at = stores.len() - 1 - nth as usize;
        let Store { place, value, .. } = stores[at];
        if at > oldest {
            // The oldest is seen without moving: it is at the task's place, or forwarded.
            self.stand(task).seen = place;
        }
        value
    }

    fn store_options(&mut self, _task: TaskId, word: ObjId, newest: u64) -> u32 {
        self.stores(word, newest);
        1
    }

    // A release store is no more than a store: stores take their places in order.
    fn store(&mut self, task: TaskId, word: ObjId, value: u64, _nth: u32, _marked: Marked) {
        self.append(task, word, value, value);
    }

    fn modify_options(&mut self, _task: TaskId, word: ObjId, newest: u64) -> u32 {
        self.stores(word, newest);
        1
    }

    fn modify(&mut self, task: TaskId, word: ObjId, _nth: u32, change: &dyn Fn(u64) -> u64) -> u64 {
        let value = change(self.stores(word, 0).last().map_or(0, |store| store.value));
        self.append(task, word, value, value);
        value
    }

    fn barrier(&mut self, task: TaskId, which: Barrier) {
        if which == Barrier::Full {
            self.stand(task).seen = self.end;
        }
    }

    fn acquire(&mut self, task: TaskId, object: ObjId, hold: Hold) {
        let Released { exclusive, shared } = self.released.get(&object).copied().unwrap_or_default();
        let from = if hold == Hold::Shared { exclusive } else { exclusive.max(shared) };
        let stand = self.stand(task);
        stand.seen = stand.seen.max(from);
    }

    fn release(&mut self, task: TaskId, object: ObjId, hold: Hold) {
        let whole = self.stand(task).whole();
        let released = self.released.entry(object).or_default();
        let to = if hold == Hold::Shared { &mut released.shared } else { &mut released.exclusive };
        *to = whole.max(*to);
    }

    fn of_store(&self) -> Op {
        Op::write(ORDER)
    }

    fn of_modify(&self) -> Op {
        Op::write(ORDER)
    }

    fn of_full_barrier(&self) -> Op {
        Op::read(ORDER)
    }
}
