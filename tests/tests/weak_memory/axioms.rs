//! Linux's memory model as its axioms say it (tools/memory-model/linux-kernel.cat, Linux 6.12), for programs without locks,
//! RCU and dependencies: an outcome is allowed if there is, for some choice of which store each load reads from and in
//! which order the stores to each word come, no cycle among the accesses that the axioms forbid.
//!
//! Load buffering is left out, in one of two ways: the least that must go, and the most that may.

use super::program::{Do, Outcome, Tasks, WORDS};
use ksync::Barrier;
use std::collections::BTreeSet;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Fence(Barrier),
}

#[derive(Clone, Copy)]
struct Event {
    /// None: the stores that made the words.
    task: Option<usize>,
    kind: Kind,
    word: usize,
    /// What is stored, or added to what the read before it read.
    value: u64,
    /// An acquire load, or a release store.
    ordered: bool,
    /// The write of an atomic modification, whose read is the event before it.
    modifies: bool,
}

/// A relation between events: for each, a set of others, as bits.
#[derive(Clone, PartialEq, Eq)]
struct Relation(Vec<u32>);

impl Relation {
    fn of(events: usize, holds: impl Fn(usize, usize) -> bool) -> Relation {
        Relation((0..events).map(|a| (0..events).filter(|&b| holds(a, b)).fold(0, |set, b| set | 1 << b)).collect())
    }

    fn has(&self, a: usize, b: usize) -> bool {
        self.0[a] >> b & 1 == 1
    }

    fn or(&self, other: &Relation) -> Relation {
        Relation(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    fn and(&self, holds: impl Fn(usize, usize) -> bool) -> Relation {
        Relation::of(self.0.len(), |a, b| self.has(a, b) && holds(a, b))
    }

    fn then(&self, other: &Relation) -> Relation {
        let through = |set: u32| (0..self.0.len()).filter(|b| set >> b & 1 == 1).fold(0, |all, b| all | other.0[b]);
        Relation(self.0.iter().map(|&set| through(set)).collect())
    }

    fn maybe(&self) -> Relation {
        Relation(self.0.iter().enumerate().map(|(a, set)| set | 1 << a).collect())
    }

    fn star(&self) -> Relation {
        let mut all = self.maybe();
        loop {
            let more = all.then(&all);
            if more == all {
                return all;
            }
            all = more;
        }
    }

    fn is_acyclic(&self) -> bool {
        let after = self.then(&self.star());
        !(0..self.0.len()).any(|a| after.has(a, a))
    }
}

/// The events of a program: first the stores that make the words, then task by task in program order.
fn events(tasks: &Tasks) -> Vec<Event> {
    let made =
        (0..WORDS).map(|word| Event { task: None, kind: Kind::Write, word, value: 0, ordered: false, modifies: false });
    let mut all: Vec<Event> = made.collect();
    for (task, body) in tasks.iter().enumerate() {
        for step in body {
            let of =
                |kind, word, value, ordered| Event { task: Some(task), kind, word, value, ordered, modifies: false };
            let full = of(Kind::Fence(Barrier::Full), WORDS, 0, false);
            match *step {
                Do::Load(word) => all.push(of(Kind::Read, word, 0, false)),
                Do::LoadAcquire(word) => all.push(of(Kind::Read, word, 0, true)),
                Do::Store(word, value) => all.push(of(Kind::Write, word, value, false)),
                Do::StoreRelease(word, value) => all.push(of(Kind::Write, word, value, true)),
                Do::Barrier(which) => all.push(of(Kind::Fence(which), WORDS, 0, false)),
                Do::Add(word, n) => {
                    let modifies = Event { modifies: true, ..of(Kind::Write, word, n, false) };
                    all.extend([full, of(Kind::Read, word, 0, false), modifies, full]);
                }
            }
        }
    }
    all
}

/// How load buffering is kept out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Without {
    /// No load depends on itself: program order and who reads from whom have no cycle.
    Cycles,
    /// Every load is before every later store of its task, as if the store depended on it.
    LoadsAfterStores,
}

/// What may come of a program, by the axioms.
pub(crate) fn outcomes(tasks: &Tasks, without: Without) -> BTreeSet<Outcome> {
    let events = events(tasks);
    let writes = |word: usize| -> Vec<usize> {
        (0..events.len()).filter(|&e| events[e].kind == Kind::Write && events[e].word == word).collect()
    };
    let reads: Vec<usize> = (0..events.len()).filter(|&e| events[e].kind == Kind::Read).collect();
    let static_order = Static::of(&events, without);
    let mut all = BTreeSet::new();
    let orders: Vec<Vec<Vec<usize>>> = (0..WORDS).map(|word| permutations(&writes(word))).collect();
    for first in &orders[0] {
        for second in &orders[1] {
            let order = [first, second];
            let sources: Vec<&[usize]> = reads.iter().map(|&r| &order[events[r].word][..]).collect();
            for from in products(&sources) {
                let candidate = Candidate { events: &events, reads: &reads, from: &from, order };
                if candidate.is_allowed(&static_order)
                    && let Some(outcome) = candidate.outcome(tasks.len())
                {
                    all.insert(outcome);
                }
            }
        }
    }
    all
}

/// Orders of the stores to one word; the one that makes it is first.
fn permutations(writes: &[usize]) -> Vec<Vec<usize>> {
    let [first, rest @ ..] = writes else { return vec![Vec::new()] };
    let mut all = vec![vec![*first]];
    for &write in rest {
        let longer = |order: &Vec<usize>| -> Vec<Vec<usize>> {
            (1..=order.len()).map(|at| [&order[..at], &[write], &order[at..]].concat()).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Every way to take one of each.
fn products(of: &[&[usize]]) -> Vec<Vec<usize>> {
    of.iter().fold(vec![Vec::new()], |all, options| {
        all.iter().flat_map(|taken| options.iter().map(|o| [&taken[..], &[*o]].concat()).collect::<Vec<_>>()).collect()
    })
}

/// What the program alone says.
struct Static {
    po: Relation,
    strong: Relation,
    wmb: Relation,
    po_rel: Relation,
    /// `fence`, and loads before later stores if these are never after them.
    fence: Relation,
}

impl Static {
    fn of(events: &[Event], without: Without) -> Static {
        let n = events.len();
        let po = Relation::of(n, |a, b| a < b && events[a].task.is_some() && events[a].task == events[b].task);
        let read = |e: usize| events[e].kind == Kind::Read;
        let write = |e: usize| events[e].kind == Kind::Write;
        let access = |e: usize| read(e) || write(e);
        let around = |which: Barrier, a: usize, b: usize| {
            (a..b).any(|f| events[f].kind == Kind::Fence(which) && po.has(a, f) && po.has(f, b))
        };
        let strong = Relation::of(n, |a, b| access(a) && access(b) && around(Barrier::Full, a, b));
        let wmb = Relation::of(n, |a, b| write(a) && write(b) && around(Barrier::Write, a, b));
        let rmb = Relation::of(n, |a, b| read(a) && read(b) && around(Barrier::Read, a, b));
        let po_rel = po.and(|a, b| access(a) && write(b) && events[b].ordered);
        let acq_po = po.and(|a, b| read(a) && events[a].ordered && access(b));
        let load_store = po.and(|a, b| without == Without::LoadsAfterStores && read(a) && write(b));
        let fence = strong.or(&wmb).or(&rmb).or(&po_rel).or(&acq_po).or(&load_store);
        Static { po, strong, wmb, po_rel, fence }
    }
}

/// One choice of sources and orders.
struct Candidate<'a> {
    events: &'a [Event],
    reads: &'a [usize],
    from: &'a [usize],
    order: [&'a Vec<usize>; WORDS],
}

impl Candidate<'_> {
    fn place(&self, write: usize) -> usize {
        self.order[self.events[write].word].iter().position(|&w| w == write).expect("a write is in its order")
    }

    fn source(&self, read: usize) -> Option<usize> {
        self.reads.iter().position(|&r| r == read).map(|at| self.from[at])
    }

    fn is_allowed(&self, known: &Static) -> bool {
        let n = self.events.len();
        let same = |a: usize, b: usize| self.events[a].word == self.events[b].word;
        let external = |a: usize, b: usize| self.events[a].task != self.events[b].task;
        let is_write = |e: usize| self.events[e].kind == Kind::Write;
        let rf = Relation::of(n, |a, b| self.source(b) == Some(a));
        let co = Relation::of(n, |a, b| is_write(a) && is_write(b) && same(a, b) && self.place(a) < self.place(b));
        let fr = Relation::of(n, |a, b| {
            self.source(a).is_some_and(|from| is_write(b) && same(a, b) && self.place(from) < self.place(b))
        });
        let com = rf.or(&co).or(&fr);
        if !known.po.and(|a, b| same(a, b) && self.events[a].word < WORDS).or(&com).is_acyclic() {
            return false;
        }
        let torn = |write: usize| {
            self.events[write].modifies
                && self.source(write - 1).is_some_and(|from| self.place(from) + 1 != self.place(write))
        };
        if (0..n).any(torn) || !known.po.or(&rf).is_acyclic() {
            return false;
        }
        let overwrite = co.or(&fr);
        let rfe = rf.and(external);
        let internal = |a: usize, b: usize| self.events[a].task.is_some() && !external(a, b);
        let ppo = known.fence.or(&overwrite.and(internal));
        let rmw = Relation::of(n, |a, b| a + 1 == b && self.events[b].modifies);
        let cumul = rfe.maybe().then(&known.strong.or(&known.po_rel)).or(&known.wmb).then(&rf.then(&rmw).star());
        let prop = overwrite.and(external).maybe().then(&cumul.star()).then(&rfe.maybe());
        let hb = ppo.or(&rfe).or(&prop.and(|a, b| a != b && internal(a, b)));
        let pb = prop.then(&known.strong).then(&hb.star());
        hb.is_acyclic() && pb.is_acyclic()
    }

    /// What the loads read. None where a modification would have to read what it writes.
    fn outcome(&self, tasks: usize) -> Option<Outcome> {
        let mut loaded = vec![Vec::new(); tasks];
        for &read in self.reads {
            loaded[self.events[read].task?].push(self.value(self.source(read)?, 0)?);
        }
        let last = |word: usize| self.order[word].last().and_then(|&write| self.value(write, 0));
        Some(Outcome { loaded, end: [last(0)?, last(1)?] })
    }

    fn value(&self, write: usize, depth: usize) -> Option<u64> {
        let event = self.events[write];
        if !event.modifies {
            return Some(event.value);
        }
        if depth > self.events.len() {
            return None;
        }
        Some(event.value + self.value(self.source(write - 1)?, depth + 1)?)
    }
}
