//! The dependency graph, what is known of each class in it, and the questions asked of it.
//!
//! An edge `A -> B` says: B was waited for while A was held. How both were taken gives it a kind, and only some kinds
//! may follow each other in a cycle that can block: after an edge whose end was taken *recursively* (`-(*R)->`), an edge
//! whose start is held *shared* (`-(S*)->`) leads nowhere, because such a reader is never kept out by a reader. A path
//! without that pair is *strong*; a strong closed path is a deadlock waiting for its schedule.
//!
//! The kernel searches breadth first with one mark per class (`__bfs()`) and sets it before it looks at kinds, so a class
//! first met over a weak edge hides a stronger way to it. Here the nodes of every question are the states (class, arrived
//! recursively), so nothing is hidden: a strong path exists if and only if one is found, and it is a shortest one.
//!
//! Whether there is a path is not searched for but known: `order.rs` keeps the states in an order that tells of cycles, and
//! each class carries which usage states lie before and behind it ([`Node::back`], [`Node::ahead`]). Searches run to show a
//! path that is there.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::acquire::Read;
use crate::mutant::{Mutant, Switch};
use crate::order::{Arcs, Order, State};
use crate::usage::Usage;

/// Kind of a dependency: first letter how the start is held (Exclusive, Shared), second how the end was taken
/// (Non-recursively, Recursively). Linux: `-(EN)->` and so on, `calc_dep()`.
///
/// invariant: bit 0 of the number is "shared", bit 1 is "recursive"; smaller numbers are the stronger choice in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum EdgeKind {
    /// Held exclusively, taken exclusively or shared.
    EN = 0,
    /// Held shared, taken exclusively or shared.
    SN = 1,
    /// Held exclusively, taken recursively.
    ER = 2,
    /// Held shared, taken recursively.
    SR = 3,
}

impl EdgeKind {
    /// All kinds, strongest first.
    pub const ALL: [Self; 4] = [Self::EN, Self::SN, Self::ER, Self::SR];

    /// The kind of the dependency from a lock held as `prev` to one taken as `next`.
    #[must_use]
    pub const fn between(prev: Read, next: Read) -> Self {
        match (prev, next) {
            (Read::Exclusive, Read::Recursive) => Self::ER,
            (Read::Exclusive, _) => Self::EN,
            (_, Read::Recursive) => Self::SR,
            (_, _) => Self::SN,
        }
    }

    /// Whether the start is held shared.
    #[must_use]
    pub const fn starts_shared(self) -> bool {
        self as u8 & 1 == 1
    }

    /// Whether the end was taken recursively.
    #[must_use]
    pub const fn ends_recursive(self) -> bool {
        self as u8 & 2 == 2
    }

    /// The two letters.
    #[must_use]
    pub const fn letters(self) -> &'static str {
        match self {
            Self::EN => "EN",
            Self::SN => "SN",
            Self::ER => "ER",
            Self::SR => "SR",
        }
    }
}

/// A set of [`EdgeKind`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    const STARTS_EXCLUSIVE: u8 = 1 << EdgeKind::EN as u8 | 1 << EdgeKind::ER as u8;
    const ENDS_PLAIN: u8 = 1 << EdgeKind::EN as u8 | 1 << EdgeKind::SN as u8;

    pub(crate) const fn contains(self, kind: EdgeKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    const fn insert(&mut self, kind: EdgeKind) {
        self.0 |= 1 << kind as u8;
    }

    const fn strongest(mask: u8) -> Option<EdgeKind> {
        match mask.trailing_zeros() {
            0 => Some(EdgeKind::EN),
            1 => Some(EdgeKind::SN),
            2 => Some(EdgeKind::ER),
            3 => Some(EdgeKind::SR),
            _ => None,
        }
    }

    /// What can follow an arrival, recursive or not.
    const fn after(self, only_xr: bool) -> u8 {
        if only_xr { self.0 & Self::STARTS_EXCLUSIVE } else { self.0 }
    }

    /// What can precede a departure, of a lock held shared or not.
    const fn before(self, shared: bool) -> u8 {
        if shared { self.0 & Self::ENDS_PLAIN } else { self.0 }
    }
}

/// The number of an edge in one [`Graph`]; it survives [`Graph::clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EdgeId(pub(crate) u32);

impl EdgeId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One step of a path that was found, in the direction of the search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) edge: EdgeId,
    pub(crate) kind: EdgeKind,
}

#[derive(Clone, Copy, Debug)]
struct Arc {
    other: u32,
    edge: EdgeId,
}

/// What is known of one class.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Valid in this epoch only.
    epoch: u32,
    pub(crate) usage: Usage,
    /// Left out of irq searches, with all that is reached through it (`usage_skip()`).
    skip: bool,
    /// "Enabled" states of this class and all behind it, by whether this one is only reached recursively.
    ahead: [u8; 2],
    /// "In irq" states of this class and all before it, by whether the path leaves this one shared.
    back: [u8; 2],
    out: SmallVec<[Arc; 2]>,
    inn: SmallVec<[Arc; 2]>,
}

/// A graph over class numbers that can be emptied without being freed.
///
/// Edge numbers and storage stay over [`Graph::clear`]; an edge or node whose epoch is not the graph's is empty.
#[derive(Debug)]
pub(crate) struct Graph {
    epoch: u32,
    nodes: Vec<Node>,
    index: HashMap<u64, EdgeId, FxBuildHasher>,
    ends: Vec<(u32, u32)>,
    kinds: Vec<Kinds>,
    edge_epoch: Vec<u32>,
    /// Edges of this epoch, in the order of their first kind.
    live: Vec<EdgeId>,
    order: Order,
    search: Search,
    work: Vec<u32>,
    pub(crate) switch: Switch,
}

/// Successors and predecessors as the order sees them.
struct Adjacency<'g> {
    epoch: u32,
    nodes: &'g [Node],
    kinds: &'g [Kinds],
}

impl Arcs for Adjacency<'_> {
    fn successors(&self, state: State, f: &mut dyn FnMut(State)) {
        let Some(node) = self.nodes.get((state / 2) as usize).filter(|node| node.epoch == self.epoch) else { return };
        for arc in &node.out {
            let mask = self.kinds[arc.edge.index()].after(state % 2 == 1);
            if mask & Kinds::ENDS_PLAIN != 0 {
                f(2 * arc.other);
            }
            if mask & !Kinds::ENDS_PLAIN != 0 {
                f(2 * arc.other + 1);
            }
        }
    }

    fn predecessors(&self, state: State, f: &mut dyn FnMut(State)) {
        let Some(node) = self.nodes.get((state / 2) as usize).filter(|node| node.epoch == self.epoch) else { return };
        for arc in &node.inn {
            let kinds = self.kinds[arc.edge.index()].0;
            let mask = if state % 2 == 1 { kinds & !Kinds::ENDS_PLAIN } else { kinds & Kinds::ENDS_PLAIN };
            if mask != 0 {
                f(2 * arc.other);
            }
            if mask & Kinds::STARTS_EXCLUSIVE != 0 {
                f(2 * arc.other + 1);
            }
        }
    }
}

impl Graph {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 1,
            nodes: Vec::new(),
            index: HashMap::default(),
            ends: Vec::new(),
            kinds: Vec::new(),
            edge_epoch: Vec::new(),
            live: Vec::new(),
            order: Order::new(),
            search: Search::default(),
            work: Vec::new(),
            switch: Switch::default(),
        }
    }

    /// Makes room for as many classes, and as many dependencies.
    pub(crate) fn reserve(&mut self, classes: usize) {
        self.nodes.reserve(classes.saturating_sub(self.nodes.len()));
        self.order.reserve(classes);
        let edges = classes.saturating_sub(self.ends.len());
        self.index.reserve(classes.saturating_sub(self.index.len()));
        self.ends.reserve(edges);
        self.kinds.reserve(edges);
        self.edge_epoch.reserve(edges);
    }

    /// Empties the graph in O(1), except once in 2^32 times.
    pub(crate) fn clear(&mut self) {
        self.live.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.epoch = 1;
            self.edge_epoch.fill(0);
            self.nodes.iter_mut().for_each(|node| node.epoch = 0);
        }
        self.order.clear(self.epoch);
    }

    /// The class's node, empty if it was not touched since [`Graph::clear`].
    #[inline]
    pub(crate) fn node_mut(&mut self, class: u32) -> &mut Node {
        let at = class as usize;
        if self.nodes.len() <= at {
            self.nodes.resize_with(at + 1, Node::default);
        }
        let node = &mut self.nodes[at];
        if node.epoch != self.epoch {
            node.epoch = self.epoch;
            node.usage = Usage::default();
            node.skip = false;
            node.ahead = [0; 2];
            node.back = [0; 2];
            node.out.clear();
            node.inn.clear();
        }
        node
    }

    fn node(&self, class: u32) -> Option<&Node> {
        self.nodes.get(class as usize).filter(|node| node.epoch == self.epoch)
    }

    /// The usage states of a class.
    pub(crate) fn usage(&self, class: u32) -> Usage {
        self.node(class).map_or(Usage::default(), |node| node.usage)
    }

    /// Leaves a class out of irq searches. Before it is first used.
    pub(crate) fn set_skip(&mut self, class: u32) {
        self.node_mut(class).skip = true;
    }

    fn skips(&self, class: u32) -> bool {
        !self.switch.on(Mutant::PercpuNotSkipped) && self.node(class).is_some_and(|node| node.skip)
    }

    /// The number for `from -> to`, whether or not the edge is in the graph.
    #[inline]
    pub(crate) fn edge_id(&mut self, from: u32, to: u32) -> EdgeId {
        let next = EdgeId(u32::try_from(self.ends.len()).expect("fewer than 2^32 dependencies"));
        let id = *self.index.entry(u64::from(from) << 32 | u64::from(to)).or_insert(next);
        if id == next {
            self.ends.push((from, to));
            self.kinds.push(Kinds::default());
            self.edge_epoch.push(0);
        }
        id
    }

    /// From which class to which.
    pub(crate) fn ends(&self, id: EdgeId) -> (u32, u32) {
        self.ends[id.index()]
    }

    /// The kinds of an edge; none if it is not in the graph.
    #[inline]
    pub(crate) fn kinds(&self, id: EdgeId) -> Kinds {
        if self.edge_epoch[id.index()] == self.epoch { self.kinds[id.index()] } else { Kinds::default() }
    }

    /// The edges, in the order in which they were first added.
    pub(crate) fn live(&self) -> &[EdgeId] {
        &self.live
    }

    /// Adds one kind of an edge; whether the edge itself is new.
    pub(crate) fn add(&mut self, id: EdgeId, kind: EdgeKind) -> bool {
        let (from, to) = self.ends[id.index()];
        let new = self.edge_epoch[id.index()] != self.epoch;
        if new {
            self.edge_epoch[id.index()] = self.epoch;
            self.kinds[id.index()] = Kinds::default();
            self.live.push(id);
            self.node_mut(from).out.push(Arc { other: to, edge: id });
            self.node_mut(to).inn.push(Arc { other: from, edge: id });
        }
        if !self.kinds[id.index()].contains(kind) {
            self.kinds[id.index()].insert(kind);
            self.arrange(from, kind, to);
            self.spread_edge(from, kind, to);
        }
        new
    }

    /// Tells the order of a new kind.
    fn arrange(&mut self, from: u32, kind: EdgeKind, to: u32) {
        let arcs = Adjacency { epoch: self.epoch, nodes: &self.nodes, kinds: &self.kinds };
        let end = 2 * to + u32::from(kind.ends_recursive());
        // Where nothing arrives recursively, the state stands for no path yet: it gets its place with its first arc in.
        if kind.ends_recursive() && !self.order.has(end) {
            self.order.place_front(end, &arcs);
        }
        self.order.insert(2 * from, end, &arcs);
        if !kind.starts_shared() && self.order.has(2 * from + 1) {
            self.order.insert(2 * from + 1, end, &arcs);
        }
    }

    /// Whether `from -(kind)-> to`, which is in the graph, is part of a strong cycle.
    pub(crate) fn on_a_cycle(&mut self, from: u32, kind: EdgeKind, to: u32) -> bool {
        let end = 2 * to + u32::from(kind.ends_recursive());
        self.order.together(2 * from, end) || !kind.starts_shared() && self.order.together(2 * from + 1, end)
    }

    /// Adds usage states to a class.
    pub(crate) fn mark(&mut self, class: u32, bits: u16) {
        let node = self.node_mut(class);
        node.usage.0 |= bits;
        if node.skip {
            return;
        }
        for weak in [false, true] {
            let bits = Usage(bits).behind(weak);
            node.ahead[usize::from(weak)] |= (bits & Usage::ENABLED) as u8;
            node.back[usize::from(weak)] |= (bits & Usage::USED_IN) as u8;
        }
        let (from, to) = (!node.inn.is_empty(), !node.out.is_empty());
        if from && bits & Usage::ENABLED != 0 {
            self.spread_ahead(class);
        }
        if to && bits & Usage::USED_IN != 0 {
            self.spread_back(class);
        }
    }

    fn spread_edge(&mut self, from: u32, kind: EdgeKind, to: u32) {
        let (start, end) = (usize::from(kind.starts_shared()), usize::from(kind.ends_recursive()));
        let (before, behind) = (self.nodes[from as usize].back[start], self.nodes[to as usize].ahead[end]);
        if self.absorb_ahead(from, kind, behind) {
            self.spread_ahead(from);
        }
        if self.absorb_back(to, kind, before) {
            self.spread_back(to);
        }
    }

    /// `class -(kind)->` something with `bits` behind it.
    fn absorb_ahead(&mut self, class: u32, kind: EdgeKind, bits: u8) -> bool {
        let node = &mut self.nodes[class as usize];
        let old = node.ahead;
        if !node.skip {
            node.ahead[0] |= bits;
            if !kind.starts_shared() {
                node.ahead[1] |= bits;
            }
        }
        node.ahead != old
    }

    /// Something with `bits` before it `-(kind)-> class`.
    fn absorb_back(&mut self, class: u32, kind: EdgeKind, bits: u8) -> bool {
        let node = &mut self.nodes[class as usize];
        let old = node.back;
        if !node.skip {
            node.back[0] |= bits;
            if !kind.ends_recursive() {
                node.back[1] |= bits;
            }
        }
        node.back != old
    }

    /// Hands what is ahead of a class to those before it. Each mask can only grow eight times, so all of it together costs
    /// a bounded number of looks at each edge.
    fn spread_ahead(&mut self, class: u32) {
        let mut work = core::mem::take(&mut self.work);
        work.push(class);
        while let Some(class) = work.pop() {
            let ahead = self.nodes[class as usize].ahead;
            for at in 0..self.nodes[class as usize].inn.len() {
                let arc = self.nodes[class as usize].inn[at];
                let kinds = self.kinds[arc.edge.index()];
                let mut grew = false;
                for kind in EdgeKind::ALL.into_iter().filter(|kind| kinds.contains(*kind)) {
                    grew |= self.absorb_ahead(arc.other, kind, ahead[usize::from(kind.ends_recursive())]);
                }
                if grew {
                    work.push(arc.other);
                }
            }
        }
        self.work = work;
    }

    fn spread_back(&mut self, class: u32) {
        let mut work = core::mem::take(&mut self.work);
        work.push(class);
        while let Some(class) = work.pop() {
            let back = self.nodes[class as usize].back;
            for at in 0..self.nodes[class as usize].out.len() {
                let arc = self.nodes[class as usize].out[at];
                let kinds = self.kinds[arc.edge.index()];
                let mut grew = false;
                for kind in EdgeKind::ALL.into_iter().filter(|kind| kinds.contains(*kind)) {
                    grew |= self.absorb_back(arc.other, kind, back[usize::from(kind.starts_shared())]);
                }
                if grew {
                    work.push(arc.other);
                }
            }
        }
        self.work = work;
    }

    /// "Enabled" states of the class and all behind it on a path that arrives so.
    pub(crate) fn usage_ahead(&self, class: u32, only_xr: bool) -> u16 {
        self.node(class).map_or(0, |node| u16::from(node.ahead[usize::from(only_xr)]))
    }

    /// "In irq" states of the class and all before it on a path that leaves it so.
    pub(crate) fn usage_back(&self, class: u32, shared: bool) -> u16 {
        self.node(class).map_or(0, |node| u16::from(node.back[usize::from(shared)]))
    }

    /// The same by looking at every path: what the kernel does, and what the tests compare with.
    pub(crate) fn gather_back(&mut self, class: u32, shared: bool) -> u16 {
        let mut gathered = 0;
        self.bfs(Direction::Backward, class, shared, Scope::Irq, |usage, _, only_xr| {
            gathered |= usage.behind(only_xr);
            false
        });
        gathered & Usage::USED_IN
    }

    /// A shortest path from `class` to one with any of the usage states `mask`: the steps, nearest first, and that class.
    ///
    /// Of several, the one whose edges were added first. Linux: `find_usage_forwards()`, `find_usage_backwards()`.
    pub(crate) fn usage_path(
        &mut self,
        direction: Direction,
        class: u32,
        only_xr: bool,
        mask: u16,
    ) -> Option<(Vec<Step>, u32)> {
        let plain = self.switch.on(Mutant::IrqMatchIgnoresOnlyXr);
        let end = self.bfs(direction, class, only_xr, Scope::Irq, |usage, _, only_xr| {
            usage.behind(only_xr && !plain) & mask != 0
        })?;
        Some((self.search.path_to(end), self.search.queue[end as usize].class))
    }

    /// A shortest path that makes `prev -(kind)-> next` part of a strong cycle, if there is one: it leads from `next` to
    /// `prev`. The edge itself need not be in the graph. Linux: `check_noncircular()`.
    pub(crate) fn closing_path(&mut self, prev: u32, kind: EdgeKind, next: u32) -> Option<Vec<Step>> {
        let any = self.switch.on(Mutant::CycleMatchIgnoresStrength);
        let end = self.bfs(Direction::Forward, next, kind.ends_recursive(), Scope::All, |_, class, only_xr| {
            // The closing edge starts at the target: if it starts shared, the path must not arrive recursively.
            class == prev && (any || !(kind.starts_shared() && only_xr))
        })?;
        Some(self.search.path_to(end))
    }

    /// Breadth first over states from a class. Returns the index in `search.queue` of the first that `found` accepts.
    fn bfs(
        &mut self,
        direction: Direction,
        start: u32,
        only_xr: bool,
        scope: Scope,
        mut found: impl FnMut(Usage, u32, bool) -> bool,
    ) -> Option<u32> {
        let mut search = core::mem::take(&mut self.search);
        search.begin(start, only_xr);
        let mut head = 0;
        let mut end = None;
        while let Some(node) = search.queue.get(head).copied() {
            head += 1;
            if scope == Scope::Irq && self.skips(node.class) {
                continue;
            }
            if found(self.usage(node.class), node.class, node.only_xr) {
                end = Some(head as u32 - 1);
                break;
            }
            let Some(from) = self.node(node.class) else { continue };
            let arcs = if direction == Direction::Forward { &from.out } else { &from.inn };
            for arc in arcs {
                let Some(kind) = self.step(direction, self.kinds[arc.edge.index()], node.only_xr) else { continue };
                search.push(SearchNode {
                    class: arc.other,
                    only_xr: match direction {
                        Direction::Forward => kind.ends_recursive(),
                        Direction::Backward if self.switch.on(Mutant::BackwardEdgesWithForwardKinds) => {
                            kind.ends_recursive()
                        }
                        Direction::Backward => kind.starts_shared(),
                    },
                    parent: head as u32 - 1,
                    step: Some(Step { edge: arc.edge, kind }),
                });
            }
        }
        self.search = search;
        end
    }

    /// The kind a path should use: one that leaves most open, since whatever can follow a weak one can follow a strong one.
    fn step(&self, direction: Direction, kinds: Kinds, only_xr: bool) -> Option<EdgeKind> {
        let only_xr = only_xr && !self.switch.on(Mutant::SearchIgnoresMasking);
        let forward = direction == Direction::Forward || self.switch.on(Mutant::BackwardEdgesWithForwardKinds);
        if forward {
            return Kinds::strongest(kinds.after(only_xr));
        }
        let mask = kinds.before(only_xr);
        let exclusive = mask & Kinds::STARTS_EXCLUSIVE;
        Kinds::strongest(if exclusive != 0 { exclusive } else { mask })
    }

    /// Takes a class out with all its edges and usage states; how many edges went.
    pub(crate) fn remove_class(&mut self, class: u32) -> usize {
        let gone: Vec<EdgeId> =
            self.live.iter().copied().filter(|id| [self.ends(*id).0, self.ends(*id).1].contains(&class)).collect();
        let kept: Vec<(EdgeId, Kinds)> =
            self.live.iter().filter(|id| !gone.contains(id)).map(|id| (*id, self.kinds[id.index()])).collect();
        let usages: Vec<(u32, Usage, bool)> = (0..self.nodes.len() as u32)
            .filter(|other| *other != class)
            .filter_map(|other| self.node(other).map(|node| (other, node.usage, node.skip)))
            .collect();
        self.clear();
        for (class, usage, skip) in usages {
            self.node_mut(class).skip = skip;
            self.mark(class, usage.0);
        }
        for (id, kinds) in kept {
            for kind in EdgeKind::ALL.into_iter().filter(|kind| kinds.contains(*kind)) {
                self.add(id, kind);
            }
        }
        gone.len()
    }

    /// How many other classes are reached in a direction, whatever the kinds (`lockdep_count_forward_deps()` counts the
    /// class itself too).
    pub(crate) fn count(&mut self, direction: Direction, class: u32) -> usize {
        let mut search = core::mem::take(&mut self.search);
        search.begin(class, false);
        let mut head = 0;
        while let Some(node) = search.queue.get(head).copied() {
            head += 1;
            let Some(from) = self.node(node.class) else { continue };
            for arc in if direction == Direction::Forward { &from.out } else { &from.inn } {
                search.push(SearchNode { class: arc.other, only_xr: false, parent: 0, step: None });
            }
        }
        let count = search.queue.len();
        self.search = search;
        count
    }

    /// The classes a class leads to directly, in the order in which that was learnt.
    pub(crate) fn directly_after(&self, class: u32) -> impl Iterator<Item = u32> {
        self.node(class).into_iter().flat_map(|node| node.out.iter().map(|arc| arc.other))
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        let spilled = |arcs: &SmallVec<[Arc; 2]>| if arcs.spilled() { arcs.capacity() * size_of::<Arc>() } else { 0 };
        self.nodes.capacity() * size_of::<Node>()
            + self.nodes.iter().map(|node| spilled(&node.out) + spilled(&node.inn)).sum::<usize>()
            + self.index.capacity() * 16
            + self.ends.capacity() * 13
            + self.live.capacity() * 4
            + self.order.bytes()
    }

    /// New dependencies that the order needed a search for.
    pub(crate) fn searches(&self) -> u64 {
        self.order.searches
    }

    #[cfg(test)]
    pub(crate) fn assert_ordered(&mut self) {
        let arcs = Adjacency { epoch: self.epoch, nodes: &self.nodes, kinds: &self.kinds };
        self.order.assert_consistent(&arcs);
    }
}

/// Along the edges or against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// Whether some classes are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Irq,
}

/// A state of the search: a class and whether the path to it ended recursively (backwards: started shared).
#[derive(Clone, Copy, Debug)]
struct SearchNode {
    class: u32,
    only_xr: bool,
    parent: u32,
    step: Option<Step>,
}

/// Storage of the breadth-first search, kept between searches.
#[derive(Debug, Default)]
struct Search {
    queue: Vec<SearchNode>,
    /// Per class: `2 * stamp` when only the weak state was reached, `2 * stamp + 1` when the other one was.
    reached: Vec<u64>,
    stamp: u64,
}

impl Search {
    fn begin(&mut self, start: u32, only_xr: bool) {
        self.stamp += 1;
        self.queue.clear();
        self.push(SearchNode { class: start, only_xr, parent: 0, step: None });
    }

    /// Queues a state unless it, or the stronger state of its class, was reached already.
    fn push(&mut self, node: SearchNode) {
        let class = node.class as usize;
        if self.reached.len() <= class {
            self.reached.resize(class + 1, 0);
        }
        let mark = 2 * self.stamp + u64::from(!node.only_xr);
        if self.reached[class] < mark {
            self.reached[class] = mark;
            self.queue.push(node);
        }
    }

    fn path_to(&self, end: u32) -> Vec<Step> {
        let mut path = Vec::new();
        let mut at = self.queue[end as usize];
        while let Some(step) = at.step {
            path.push(step);
            at = self.queue[at.parent as usize];
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays_an_order_whatever_edges_come() {
        let mut graph = Graph::new();
        // A deterministic walk over pairs of 40 classes: forward and backward arcs, cycles among them.
        let mut state = 1u32;
        for _ in 0..600 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (from, to) = ((state >> 8) % 40, (state >> 16) % 40);
            if from != to {
                let id = graph.edge_id(from, to);
                let kind = EdgeKind::ALL[(state >> 24) as usize % EdgeKind::ALL.len()];
                graph.add(id, kind);
                graph.assert_ordered();
            }
        }
        assert!(graph.live().len() > 100);
    }
}
