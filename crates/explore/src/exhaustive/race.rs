//! Races, and the sequences that turn them round.

use super::block::Block;
use super::trace::{NONE, conflicts_with_all};
use super::tree::NIL;
use super::trunk::{Found, Link};
use super::{Exhaustive, Flaw};
use mm_types::TaskId;
use sched::{Access, Availability, Effect, EndView, Op, RunLog, Step};

/// What is kept between races for its memory alone.
#[derive(Default)]
pub(super) struct Scratch {
    /// Candidates for the other side of a race.
    candidates: Vec<u32>,
    /// Steps that a sequence leaves out; what happens after them is left out too.
    roots: Vec<usize>,
    /// The steps of a sequence but the last.
    sequence: Vec<usize>,
}

/// The last step of a sequence.
pub(super) struct Last<'a> {
    pub(super) task: u32,
    pub(super) op: Op,
    pub(super) more: &'a [Op],
    /// The options that it is to take; none: whatever.
    taken: &'a [u32],
    /// Whether the run ends with it.
    ends: bool,
    /// What comes directly after it: a step that ends the run.
    then: Option<Block>,
    /// It comes after these steps of the trace.
    after: usize,
}

impl<'a> Last<'a> {
    fn new(task: u32, op: Op, more: &'a [Op], after: usize) -> Last<'a> {
        Last { task, op, more, taken: &[], ends: false, then: None, after }
    }

    pub(super) fn accesses(&self) -> impl Iterator<Item = Op> + Clone + '_ {
        std::iter::once(self.op).chain(self.more.iter().copied())
    }
}

impl Exhaustive {
    /// The races of a step that is about to be added, whose clock has been begun.
    pub(super) fn race_of_step(&mut self, at: usize, step: &Step, log: &RunLog) {
        let last = Last::new(step.task.0, step.op, log.more(at), at);
        if last.takes_more() && self.flaw != Some(Flaw::OneObject) {
            let now = self.trace.availability(step.op).or(step.effect.map(|effect| effect.from));
            return self.races_with_all_free(&last, now.unwrap_or_default());
        }
        if step.op.access.takes() {
            // Where nobody had it in any step, it was free all the time.
            let now = self.trace.availability(step.op).or(step.effect.map(|effect| effect.from));
            self.races_to_take(&last, now.unwrap_or_default());
        }
        if !(step.op.access.takes() && last.more.is_empty()) {
            self.races_to_access(&last);
        }
    }

    /// The races of a task that waits to take an object for ever, or is interrupted, with the steps before `until`.
    pub(super) fn race_of_blocked(&mut self, end: &EndView<'_>, task: TaskId, until: usize) {
        let op = end.next_op(task);
        let now = match self.trace.availability(op) {
            Some(now) => now,
            None if !end.waits_for_its_own(task) => Availability::FREE,
            // If nobody's step took it, there is no order in which it is free.
            None => return,
        };
        let woken_by = end.woken_by(task);
        self.trace.begin_clock(task.0, || end.spawned_by(task), woken_by);
        let last = Last::new(task.0, op, end.next_more(task), until);
        if last.takes_more() {
            return self.races_with_all_free(&last, now);
        }
        self.races_to_take(&last, now);
    }

    /// What could have come before the step that ended the run, and what it could have come before.
    pub(super) fn race_of_end(&mut self, end: &EndView<'_>) {
        let Some(at) = self.trace.events.len().checked_sub(1) else { return };
        self.nodes[at].ends = true;
        let ender = self.block_of(at);
        let others: Vec<_> = end.runnable().filter(|(task, _)| task.0 != ender.task).collect();
        for (task, op) in others {
            self.trace.begin_clock(task.0, || end.spawned_by(task), None);
            if !self.trace.known(at) {
                // With the step that ends the run behind it: another option of that step may conflict with nothing.
                let then = Some(ender.clone());
                self.reverse(&[at], &Last { then, ..Last::new(task.0, op, end.next_more(task), at + 1) });
            }
        }
        let Block { task, op, ref more, ref taken, .. } = ender;
        let last = Last { task, op, more, taken, ends: true, then: None, after: at };
        self.trace.clock_of(at);
        for event in (0..at).rev() {
            if !self.trace.known(event) {
                self.reverse(&[event], &last);
                self.trace.learn(event);
            }
        }
    }

    /// Races of an operation that can be performed at any time.
    fn races_to_access(&mut self, last: &Last<'_>) {
        let mut candidates = std::mem::take(&mut self.race.candidates);
        candidates.clear();
        for op in last.accesses().filter(|op| !op.access.takes() && op.access != Access::Local) {
            let mut at = self.trace.newest(op);
            while at != NONE {
                let record = &self.trace.accesses[at as usize];
                at = record.prev;
                if record.op.conflicts_with(op) {
                    candidates.push(record.event);
                    if conflicts_with_all(record.op) {
                        break;
                    }
                }
            }
        }
        // From the latest: what is before one of them does not race itself.
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        candidates.dedup();
        for &event in &candidates {
            let event = event as usize;
            if !self.trace.known(event) {
                self.reverse(&[event], last);
                self.trace.learn(event);
            }
        }
        self.race.candidates = candidates;
    }

    /// Races of an operation that takes an object, which is now as `now` says.
    fn races_to_take(&mut self, last: &Last<'_>, now: Availability) {
        let mut at = self.trace.newest(last.op);
        let mut roots = std::mem::take(&mut self.race.roots);
        while at != NONE {
            let record = &self.trace.accesses[at as usize];
            let (event, conflicts, all) =
                (record.event as usize, record.op.conflicts_with(last.op), conflicts_with_all(record.op));
            let gives_back = record.op.access == Access::DropExclusive;
            let effect = record.effect;
            at = record.prev;
            if !conflicts {
                continue;
            }
            if !self.trace.known(event) {
                if gives_back && self.flaw == Some(Flaw::LooksBackOnce) {
                    break;
                }
                if gives_back {
                    // Without it, and all that came after, whoever had the object has it still.
                    continue;
                }
                roots.clear();
                roots.push(event);
                let free = match effect {
                    // All that came later on the object is left out too: it is as it was before.
                    Some(effect) if all => last.op.enabled(effect.from),
                    _ => self.free_without(&mut roots, last, now),
                };
                if !free {
                    // Whoever had it before this step still had it after: look further back.
                    continue;
                }
                self.reverse(&roots, last);
                for &root in &roots {
                    self.trace.learn(root);
                }
            }
            if all {
                break;
            }
        }
        self.race.roots = roots;
    }

    /// Whether the object of `last` can be taken once the steps `roots`, and what happens after them, are left out. Adds
    /// to `roots` those that came later and share it.
    fn free_without(&self, roots: &mut Vec<usize>, last: &Last<'_>, now: Availability) -> bool {
        loop {
            if last.op.enabled(self.availability_without(roots, last.op, Sum::of(now))) {
                return true;
            }
            match self.later_holder(roots, last.op) {
                Some(holder) => roots.push(holder),
                None => return false,
            }
        }
    }

    /// Who has the object of `op`, which is now as `free` says, once `roots` and what happens after them are left out.
    pub(super) fn availability_without(&self, roots: &[usize], op: Op, mut free: Sum) -> Availability {
        let trace = &self.trace;
        let mut at = trace.newest(op);
        while at != NONE {
            let record = &trace.accesses[at as usize];
            let event = record.event as usize;
            if event < roots[0] {
                break;
            }
            if let Some(effect) = record.effect
                && roots.iter().any(|&root| trace.before(root, event))
            {
                free = free.minus(Sum::of_effect(effect));
            }
            at = record.prev;
        }
        free.availability()
    }

    /// A step after the first of `roots` that took the object, remains without `roots`, and whose task does not give
    /// the object back among the steps that remain.
    pub(super) fn later_holder(&self, roots: &[usize], op: Op) -> Option<usize> {
        let trace = &self.trace;
        let mut at = trace.newest(op);
        // Of each task: what its remaining steps give back and have not taken, going backwards.
        let mut given: Vec<(u32, Sum)> = Vec::new();
        while at != NONE {
            let record = &trace.accesses[at as usize];
            let event = record.event as usize;
            at = record.prev;
            if event <= roots[0] {
                return None;
            }
            let Some(effect) = record.effect else { continue };
            if roots.iter().any(|&root| trace.before(root, event)) {
                continue;
            }
            let task = trace.events[event].task;
            let place = given.iter().position(|&(t, _)| t == task).unwrap_or(given.len());
            if place == given.len() {
                given.push((task, Sum::default()));
            }
            let sum = &mut given[place].1;
            *sum = sum.plus(Sum::of_effect(effect));
            if sum.some() && !trace.known(event) {
                return Some(event);
            }
        }
        None
    }

    /// Lets the prefix before the first of `roots` be continued by `last`, without `roots`, unless something there
    /// leads to that already.
    pub(super) fn reverse(&mut self, roots: &[usize], last: &Last<'_>) {
        let Some(first) = roots.iter().copied().min() else { return };
        let mut sequence = std::mem::take(&mut self.race.sequence);
        sequence.clear();
        let left_out = |event: usize| roots.iter().any(|&root| self.trace.before(root, event));
        sequence.extend((first + 1..last.after).filter(|&event| !left_out(event)));
        if first < self.owned {
            self.tell(first, &sequence, last);
            self.race.sequence = sequence;
            return;
        }
        let explored = self.nodes[first].sleep.iter().any(|block| self.may_begin(block, &sequence, Some(last)));
        if !explored {
            self.insert(first, &mut sequence, last);
        }
        self.race.sequence = sequence;
    }

    /// Writes down that the prefix of length `at`, which is not its own, is to be continued by `sequence`, then `last`.
    fn tell(&mut self, at: usize, sequence: &[usize], last: &Last<'_>) {
        let trace = &self.trace;
        let after = |nth: usize, event: usize| {
            (0..nth as u32).filter(|&earlier| trace.before(sequence[earlier as usize], event)).collect()
        };
        let mut links: Vec<Link> = sequence
            .iter()
            .enumerate()
            .map(|(nth, &event)| Link { block: self.block_of(event), after: after(nth, event), place: nth as u32 })
            .collect();
        let &Last { task, op, more, taken, ends, .. } = last;
        links.push(Link {
            block: Block { task, op, more: more.into(), taken: taken.into(), ends },
            after: (0..).zip(sequence).filter(|(_, event)| self.is_before(**event, last)).map(|(nth, _)| nth).collect(),
            place: sequence.len() as u32,
        });
        let found = Found { at, sequence: links, then: last.then.clone() };
        if self.told.insert(found.clone()) {
            self.found.push(found);
        }
    }

    /// Whether `event` comes before `last` in every order.
    fn is_before(&self, event: usize, last: &Last<'_>) -> bool {
        let trace = &self.trace;
        trace.known(event) || trace.ops_of(event).any(|op| last.accesses().any(|mine| mine.conflicts_with(op)))
    }

    /// Whether `sequence`, then `last`, is equivalent to something that begins with `block`, if it is continued
    /// suitably.
    fn may_begin(&self, block: &Block, sequence: &[usize], last: Option<&Last<'_>>) -> bool {
        let trace = &self.trace;
        for (nth, &event) in sequence.iter().enumerate() {
            if trace.events[event].task == block.task {
                return block.is(block.task, &self.nodes[event].taken)
                    && !sequence[..nth].iter().any(|&earlier| trace.before(earlier, event));
            }
        }
        if let Some(last) = last
            && last.task == block.task
        {
            // What it took when it came later says nothing of what it will take.
            return block.is(last.task, last.taken) && !sequence.iter().any(|&event| self.is_before(event, last));
        }
        if last.and_then(|last| last.then.as_ref()).is_some() {
            // It commutes with nothing; and it has others before it, so that it cannot come first.
            return false;
        }
        sequence.iter().all(|&event| block.commutes(trace.ops_of(event)))
            && last.is_none_or(|last| !last.ends && block.commutes(last.accesses()))
    }

    /// Adds `sequence`, then `last`, to the tree of the prefix of length `at`.
    fn insert(&mut self, at: usize, sequence: &mut Vec<usize>, last: &Last<'_>) {
        let mut parent = NIL;
        let mut last = Some(last);
        'down: loop {
            let children = if parent == NIL { self.nodes[at].todo } else { self.arena.children(parent) };
            if parent != NIL && (children.is_empty() || (sequence.is_empty() && last.is_none())) {
                // Something that is to be run leads to it.
                return;
            }
            let mut child = children.first;
            while child != NIL {
                let block = self.arena.block(child);
                if self.may_begin(block, sequence, last) {
                    let task = block.task;
                    match sequence.iter().position(|&event| self.trace.events[event].task == task) {
                        Some(nth) => drop(sequence.remove(nth)),
                        None => last = last.filter(|last| last.task != task),
                    }
                    parent = child;
                    continue 'down;
                }
                child = self.arena.next(child);
            }
            break;
        }
        for &event in sequence.iter() {
            let block = self.block_of(event);
            parent = self.append(at, parent, block);
        }
        if let Some(last) = last {
            let &Last { task, op, more, taken, ends, .. } = last;
            let block = Block { task, op, more: more.into(), taken: taken.into(), ends };
            let parent = self.append(at, parent, block);
            if let Some(then) = last.then.clone() {
                self.append(at, parent, then);
            }
        }
    }

    fn append(&mut self, at: usize, parent: u32, block: Block) -> u32 {
        match parent {
            NIL => self.arena.append(&mut self.nodes[at].todo, block),
            parent => self.arena.append_below(parent, block),
        }
    }
}

/// Who has an object, or how that changes, as numbers that steps may be taken off in any order.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    exclusive: i32,
    shared: i32,
    queued: i32,
}

impl Sum {
    pub(super) fn of(now: Availability) -> Sum {
        Sum { exclusive: now.exclusive.into(), shared: now.shared.into(), queued: now.queued.into() }
    }

    fn of_effect(effect: Effect) -> Sum {
        Sum::of(effect.to).minus(Sum::of(effect.from))
    }

    fn plus(self, other: Sum) -> Sum {
        let Sum { exclusive, shared, queued } = other;
        Sum { exclusive: self.exclusive + exclusive, shared: self.shared + shared, queued: self.queued + queued }
    }

    fn minus(self, other: Sum) -> Sum {
        let Sum { exclusive, shared, queued } = other;
        Sum { exclusive: self.exclusive - exclusive, shared: self.shared - shared, queued: self.queued - queued }
    }

    /// Whether somebody is left who has it or queues for it.
    fn some(self) -> bool {
        self.exclusive > 0 || self.shared > 0 || self.queued > 0
    }

    fn availability(self) -> Availability {
        let at_least_none = |n: i32| n.max(0) as u16;
        Availability {
            exclusive: at_least_none(self.exclusive),
            shared: at_least_none(self.shared),
            queued: at_least_none(self.queued),
        }
    }
}
