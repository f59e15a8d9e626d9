//! A topological order of the condensed graph of states, kept up as dependencies come.
//!
//! The nodes are states (class, arrived recursively), see `graph.rs`; states on a common cycle are one component. Most new
//! dependencies agree with the order and cost one comparison. One that does not is looked at from both ends at once:
//! forwards from its end in rising order, backwards from its start in falling order, until the two frontiers have passed
//! each other; what was visited is moved between them. Nothing outside the disputed stretch of the order is touched, and a
//! state nothing leads into goes to the front (one that leads nowhere, to the back) without any search: so chains built
//! from either end, and stars, never search at all.
//!
//! ```text
//!   order:   ... v   a   b   c   d   u ...         new: u -> v
//!   forwards     v ->    b                         stop: the next forward state (d) is behind
//!   backwards                c  <-   u             the next backward state (c)
//!   then:    ... a   c   u | v   b   d ...         visited backwards, then visited forwards, before d
//! ```
//!
//! Bender, Fineman, Gilbert, Tarjan, "A New Approach to Incremental Cycle Detection and Related Problems" (2016), and
//! Haeupler, Kavitha, Mathew, Sen, Tarjan, "Incremental Cycle Detection, Topological Ordering, and Strong Component
//! Maintenance" (2012), describe this family; the one here is the vertex-guided two-way search of the latter.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// A state: twice the class, plus 1 if it is only reached recursively.
pub(crate) type State = u32;

const NONE: u32 = u32::MAX;
/// Room between neighbours, so that about forty insertions fit between two of them before labels are dealt out again.
const SPACING: i64 = 1 << 40;

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Valid in this epoch only.
    epoch: u32,
    /// Union-find; itself if it represents its component.
    parent: u32,
    label: i64,
    /// Neighbours in the order; of representatives only.
    before: u32,
    after: u32,
    has_in: bool,
    has_out: bool,
    /// `2 * stamp` when met forwards, `2 * stamp + 1` backwards, in the search with that stamp.
    mark: u32,
}

const _: () = assert!(size_of::<Slot>() <= 32);

const EMPTY: Slot =
    Slot { epoch: 0, parent: NONE, label: 0, before: NONE, after: NONE, has_in: false, has_out: false, mark: 0 };

/// What leads out of, and into, a state.
pub(crate) trait Arcs {
    fn successors(&self, state: State, f: &mut dyn FnMut(State));
    fn predecessors(&self, state: State, f: &mut dyn FnMut(State));
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Order {
    epoch: u32,
    slots: Vec<Slot>,
    first: u32,
    last: u32,
    front: i64,
    back: i64,
    stamp: u32,
    /// The states of each component that has more than one, by representative.
    members: HashMap<u32, Vec<State>, FxBuildHasher>,
    forward: BinaryHeap<Reverse<(i64, u32)>>,
    backward: BinaryHeap<(i64, u32)>,
    seen_forward: Vec<u32>,
    seen_backward: Vec<u32>,
    /// Arcs that needed a search.
    pub(crate) searches: u64,
}

impl Order {
    pub(crate) fn new() -> Self {
        Self { epoch: 1, first: NONE, last: NONE, ..Self::default() }
    }

    pub(crate) fn clear(&mut self, epoch: u32) {
        if epoch <= self.epoch {
            self.slots.fill(EMPTY);
        }
        self.epoch = epoch;
        (self.first, self.last, self.front, self.back) = (NONE, NONE, 0, 0);
        self.members.clear();
    }

    /// Whether the state has a place, which it gets with its first arc.
    #[inline]
    pub(crate) fn has(&self, state: State) -> bool {
        self.slots.get(state as usize).is_some_and(|slot| slot.epoch == self.epoch)
    }

    /// Gives a state nothing leads into a place at the front: whatever it leads to is behind it.
    pub(crate) fn place_front(&mut self, state: State, arcs: &impl Arcs) {
        self.init(state);
        self.link_front(state);
        let mut next = Vec::new();
        self.neighbours(state, true, arcs, &mut next);
        self.slots[state as usize].has_out = !next.is_empty();
        for node in next {
            self.slots[node as usize].has_in = true;
        }
    }

    /// Whether the two are on a common cycle (or the same).
    pub(crate) fn together(&mut self, a: State, b: State) -> bool {
        self.has(a) && self.has(b) && self.find(a) == self.find(b)
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.members.values().map(|members| 4 * members.capacity() + 32).sum::<usize>()
    }

    /// Adds `from -> to`, which `arcs` has already. Both may be new. Returns whether they are now on a common cycle.
    pub(crate) fn insert(&mut self, from: State, to: State, arcs: &impl Arcs) -> bool {
        if !self.has(from) {
            self.init(from);
            self.link_front(from);
        }
        if !self.has(to) {
            self.init(to);
            self.link_back(to);
        }
        let (u, v) = (self.find(from), self.find(to));
        if u == v {
            return true;
        }
        let (source, target) = (self.slots[u as usize], self.slots[v as usize]);
        if source.label > target.label {
            if !source.has_in {
                self.unlink(u);
                self.link_front(u);
            } else if !target.has_out {
                self.unlink(v);
                self.link_back(v);
            } else if self.search(u, v, arcs) {
                self.condense(u, v, arcs);
                return true;
            }
        }
        self.slots[u as usize].has_out = true;
        self.slots[v as usize].has_in = true;
        false
    }

    /// Makes room for the states of as many classes.
    pub(crate) fn reserve(&mut self, classes: usize) {
        self.slots.reserve((2 * classes).saturating_sub(self.slots.len()));
    }

    /// A stamp that no mark has.
    fn next_stamp(&mut self) -> u32 {
        if self.stamp >= u32::MAX / 2 - 1 {
            self.stamp = 0;
            self.slots.iter_mut().for_each(|slot| slot.mark = 0);
        }
        self.stamp += 1;
        self.stamp
    }

    fn init(&mut self, state: State) {
        let at = state as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, EMPTY);
        }
        let mark = self.slots[at].mark;
        self.slots[at] = Slot { epoch: self.epoch, parent: state, mark, ..EMPTY };
    }

    fn find(&mut self, state: State) -> u32 {
        let mut at = state;
        loop {
            let parent = self.slots[at as usize].parent;
            if parent == at {
                return at;
            }
            let grand = self.slots[parent as usize].parent;
            self.slots[at as usize].parent = grand;
            at = grand;
        }
    }

    fn link_front(&mut self, node: u32) {
        if self.front < i64::MIN + 2 * SPACING {
            self.relabel();
        }
        self.front -= SPACING;
        let (label, after) = (self.front, self.first);
        self.link(node, NONE, after, label);
    }

    fn link_back(&mut self, node: u32) {
        if self.back > i64::MAX - 2 * SPACING {
            self.relabel();
        }
        self.back += SPACING;
        let (label, before) = (self.back, self.last);
        self.link(node, before, NONE, label);
    }

    fn link(&mut self, node: u32, before: u32, after: u32, label: i64) {
        let slot = &mut self.slots[node as usize];
        (slot.before, slot.after, slot.label) = (before, after, label);
        match before {
            NONE => self.first = node,
            _ => self.slots[before as usize].after = node,
        }
        match after {
            NONE => self.last = node,
            _ => self.slots[after as usize].before = node,
        }
    }

    fn unlink(&mut self, node: u32) {
        let Slot { before, after, .. } = self.slots[node as usize];
        match before {
            NONE => self.first = after,
            _ => self.slots[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            _ => self.slots[after as usize].before = before,
        }
    }

    /// Deals the labels out again, evenly.
    fn relabel(&mut self) {
        let (mut at, mut label) = (self.first, 0);
        while at != NONE {
            label += SPACING;
            self.slots[at as usize].label = label;
            at = self.slots[at as usize].after;
        }
        (self.front, self.back) = (SPACING, label);
    }

    /// Links `nodes`, in their order, directly behind `before` (at the front for `NONE`).
    fn link_behind(&mut self, before: u32, nodes: &[u32]) {
        let n = nodes.len() as i64;
        if n == 0 {
            return;
        }
        let after = |order: &Self| match before {
            NONE => order.first,
            _ => order.slots[before as usize].after,
        };
        let bounds = |order: &Self| {
            let after = after(order);
            let low = if before == NONE { None } else { Some(order.slots[before as usize].label) };
            let high = if after == NONE { None } else { Some(order.slots[after as usize].label) };
            match (low, high) {
                (Some(low), Some(high)) => (low, high),
                (Some(low), None) => (low, low.saturating_add((n + 1) * SPACING)),
                (None, Some(high)) => (high.saturating_sub((n + 1) * SPACING), high),
                (None, None) => (0, (n + 1) * SPACING),
            }
        };
        let (mut low, mut high) = bounds(self);
        if high.abs_diff(low) <= n as u64 {
            self.relabel();
            (low, high) = bounds(self);
        }
        // More nodes than fit between neighbours that have just been spaced: never below 2^40 states.
        let step = (high.abs_diff(low) / (n as u64 + 1)) as i64;
        let (mut previous, next) = (before, after(self));
        for (i, node) in nodes.iter().enumerate() {
            self.link(*node, previous, next, low + step * (i as i64 + 1));
            previous = *node;
        }
        self.front = self.front.min(self.slots[self.first as usize].label);
        self.back = self.back.max(self.slots[self.last as usize].label);
    }

    /// The other components that a component leads to, or that lead to it.
    fn neighbours(&mut self, node: u32, forwards: bool, arcs: &impl Arcs, out: &mut Vec<u32>) {
        out.clear();
        let mut push = |state: State| out.push(state);
        let mut visit = |state: State| match forwards {
            true => arcs.successors(state, &mut push),
            false => arcs.predecessors(state, &mut push),
        };
        match self.members.get(&node) {
            Some(members) => members.iter().for_each(|state| visit(*state)),
            None => visit(node),
        }
        // An arc to a state without a place is one that is just being added, or starts where nothing arrives.
        out.retain(|state| self.has(*state));
        for state in out.iter_mut() {
            *state = self.find(*state);
        }
    }

    /// Makes `u` come before `v`, or returns true if `v` leads to `u`.
    fn search(&mut self, u: u32, v: u32, arcs: &impl Arcs) -> bool {
        self.searches += 1;
        let stamp = self.next_stamp();
        let (ahead, behind) = (2 * stamp, 2 * stamp + 1);
        let (low, high) = (self.slots[v as usize].label, self.slots[u as usize].label);
        let mut forward = core::mem::take(&mut self.forward);
        let mut backward = core::mem::take(&mut self.backward);
        forward.clear();
        backward.clear();
        self.seen_forward.clear();
        self.seen_backward.clear();
        forward.push(Reverse((low, v)));
        backward.push((high, u));
        self.slots[v as usize].mark = ahead;
        self.slots[u as usize].mark = behind;
        let mut next = Vec::new();
        let (mut forward_cost, mut backward_cost) = (0, 0);
        let mut met = false;
        while let (Some(Reverse((f, fnode))), Some((b, bnode))) = (forward.peek().copied(), backward.peek().copied()) {
            if f > b || met {
                break;
            }
            if forward_cost <= backward_cost {
                forward.pop();
                self.seen_forward.push(fnode);
                self.neighbours(fnode, true, arcs, &mut next);
                forward_cost += next.len() + 1;
                for node in &next {
                    let slot = &mut self.slots[*node as usize];
                    if slot.mark == behind {
                        met = true;
                    } else if slot.mark != ahead && slot.label < high {
                        slot.mark = ahead;
                        forward.push(Reverse((slot.label, *node)));
                    }
                }
            } else {
                backward.pop();
                self.seen_backward.push(bnode);
                self.neighbours(bnode, false, arcs, &mut next);
                backward_cost += next.len() + 1;
                for node in &next {
                    let slot = &mut self.slots[*node as usize];
                    if slot.mark == ahead {
                        met = true;
                    } else if slot.mark != behind && slot.label > low {
                        slot.mark = behind;
                        backward.push((slot.label, *node));
                    }
                }
            }
        }
        if !met {
            self.reorder(u, v, forward.peek().map(|Reverse((_, node))| *node), backward.is_empty());
        }
        self.forward = forward;
        self.backward = backward;
        met
    }

    /// After a search that met nothing. `beyond` is the first state forwards that was not visited.
    fn reorder(&mut self, u: u32, v: u32, beyond: Option<u32>, backward_done: bool) {
        let mut ahead = core::mem::take(&mut self.seen_forward);
        let mut behind = core::mem::take(&mut self.seen_backward);
        // Forwards they were visited in rising order, backwards in falling order.
        behind.reverse();
        match beyond {
            // All that `v` leads to before `u` was visited: it goes behind `u`.
            None => {
                ahead.iter().for_each(|node| self.unlink(*node));
                self.link_behind(u, &ahead);
            }
            // All that leads to `u` behind `v` was visited: it goes before `v`.
            Some(_) if backward_done => {
                behind.iter().for_each(|node| self.unlink(*node));
                let before = self.slots[v as usize].before;
                self.link_behind(before, &behind);
            }
            // What was visited backwards and lies beyond, then all that was visited forwards, go right before it.
            Some(beyond) => {
                let limit = self.slots[beyond as usize].label;
                behind.retain(|node| self.slots[*node as usize].label > limit);
                behind.extend_from_slice(&ahead);
                behind.iter().for_each(|node| self.unlink(*node));
                let before = self.slots[beyond as usize].before;
                self.link_behind(before, &behind);
            }
        }
        ahead.clear();
        behind.clear();
        self.seen_forward = ahead;
        self.seen_backward = behind;
    }

    /// `u -> v` closed a cycle: all that is on a path from `v` to `u` becomes one component.
    ///
    /// Visits the whole disputed stretch and deals out all labels. Once per merging of components, so at most as often as
    /// there are states.
    fn condense(&mut self, u: u32, v: u32, arcs: &impl Arcs) {
        let (low, high) = (self.slots[v as usize].label, self.slots[u as usize].label);
        let ahead = self.reach(v, true, low, high, arcs);
        let behind = self.reach(u, false, low, high, arcs);
        let stamp = 2 * self.next_stamp();
        for node in &ahead {
            self.slots[*node as usize].mark = stamp;
        }
        let (cycle, above): (Vec<u32>, Vec<u32>) =
            behind.into_iter().partition(|node| self.slots[*node as usize].mark == stamp);
        for node in &cycle {
            self.slots[*node as usize].mark = stamp + 1;
        }
        let below: Vec<u32> = ahead.into_iter().filter(|node| self.slots[*node as usize].mark == stamp).collect();
        let anchor = self.slots[v as usize].before;
        for node in cycle.iter().chain(&above).chain(&below) {
            self.unlink(*node);
        }
        let whole = cycle[0];
        let mut members = Vec::new();
        for node in &cycle {
            members.extend(self.members.remove(node).unwrap_or_else(|| vec![*node]));
            self.slots[*node as usize].parent = whole;
        }
        self.members.insert(whole, members);
        let slot = &mut self.slots[whole as usize];
        (slot.has_in, slot.has_out) = (true, true);
        // Right behind what preceded `v`: first what leads there, then the component, then where it leads. States in the
        // stretch that neither leads there nor are led to keep their places, behind all three: what is led to must not
        // come before those of them that lead to it, so that part goes to where it was, one by one.
        let mut placed = above;
        placed.sort_unstable_by_key(|node| self.slots[*node as usize].label);
        let mut tail = below;
        tail.sort_unstable_by_key(|node| self.slots[*node as usize].label);
        self.link_stretch(anchor, placed, whole, tail, high);
        self.relabel();
    }

    /// Puts `above` right behind `anchor`, then `whole` and `below` behind the last state labelled below `high`.
    fn link_stretch(&mut self, anchor: u32, above: Vec<u32>, whole: u32, below: Vec<u32>, high: i64) {
        self.link_list(anchor, &above);
        let mut at = above.last().copied().unwrap_or(anchor);
        loop {
            let next = match at {
                NONE => self.first,
                _ => self.slots[at as usize].after,
            };
            if next == NONE || self.slots[next as usize].label > high {
                break;
            }
            at = next;
        }
        self.link_list(at, &[whole]);
        self.link_list(whole, &below);
    }

    /// Links without caring for labels.
    fn link_list(&mut self, mut before: u32, nodes: &[u32]) {
        for node in nodes {
            let after = match before {
                NONE => self.first,
                _ => self.slots[before as usize].after,
            };
            let label = self.slots[*node as usize].label;
            self.link(*node, before, after, label);
            before = *node;
        }
    }

    /// All components reached from `from` without leaving the labels `low..=high`, itself included.
    fn reach(&mut self, from: u32, forwards: bool, low: i64, high: i64, arcs: &impl Arcs) -> Vec<u32> {
        let mark = 2 * self.next_stamp();
        self.slots[from as usize].mark = mark;
        let mut reached = vec![from];
        let mut next = Vec::new();
        let mut head = 0;
        while head < reached.len() {
            self.neighbours(reached[head], forwards, arcs, &mut next);
            for node in &next {
                let slot = &mut self.slots[*node as usize];
                if slot.mark != mark && (low..=high).contains(&slot.label) {
                    slot.mark = mark;
                    reached.push(*node);
                }
            }
            head += 1;
        }
        reached
    }

    /// Checks that every arc between components goes forwards.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&mut self, arcs: &impl Arcs) {
        let mut at = self.first;
        let mut label = i64::MIN;
        let mut next = Vec::new();
        while at != NONE {
            assert_eq!(self.slots[at as usize].parent, at, "only components are in the order");
            assert!(self.slots[at as usize].label > label, "labels rise");
            label = self.slots[at as usize].label;
            self.neighbours(at, true, arcs, &mut next);
            for node in &next {
                assert!(*node == at || self.slots[*node as usize].label > label, "arcs go forwards");
            }
            at = self.slots[at as usize].after;
        }
    }
}
