//! The dependency graph and the search for strong cycles.
//!
//! An edge `A -> B` says: B was waited for while A was held. How both were taken gives it a kind, and only some kinds
//! may follow each other in a cycle that can block: after an edge whose end was taken *recursively* (`-(*R)->`), an edge
//! whose start is held *shared* (`-(S*)->`) leads nowhere, because such a reader is never kept out by a reader. A path
//! without that pair is *strong*; a strong closed path is a deadlock waiting for its schedule.
//!
//! The kernel searches breadth first with one mark per class (`__bfs()`) and sets it before it looks at kinds, so a class
//! first met over a weak edge hides a stronger way to it. Here the nodes of the search are the states (class, arrived
//! recursively), so nothing is hidden: a strong path exists if and only if one is found, and it is a shortest one.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::Serialize;
use smallvec::SmallVec;

use crate::acquire::Read;

/// Kind of a dependency: first letter how the start is held (Exclusive, Shared), second how the end was taken
/// (Non-recursively, Recursively). Linux: `-(EN)->` and so on, `calc_dep()`.
///
/// invariant: bit 0 of the number is "shared", bit 1 is "recursive"; smaller numbers are the stronger choice in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

    pub(crate) const fn contains(self, kind: EdgeKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    const fn insert(&mut self, kind: EdgeKind) {
        self.0 |= 1 << kind as u8;
    }

    /// The kind a path should use after arriving recursively or not: one that ends non-recursively if there is any,
    /// since whatever can follow a recursive end can follow that.
    const fn step(self, only_xr: bool) -> Option<EdgeKind> {
        let mask = if only_xr { self.0 & Self::STARTS_EXCLUSIVE } else { self.0 };
        match mask.trailing_zeros() {
            0 => Some(EdgeKind::EN),
            1 => Some(EdgeKind::SN),
            2 => Some(EdgeKind::ER),
            3 => Some(EdgeKind::SR),
            _ => None,
        }
    }
}

/// The number of an edge in one [`Graph`]; it survives [`Graph::clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeId(u32);

/// One step of a path that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) edge: EdgeId,
    pub(crate) kind: EdgeKind,
}

/// An edge with what is known of each kind that was seen; `S` says where.
#[derive(Debug)]
pub(crate) struct EdgeSlot<S> {
    pub(crate) from: u32,
    pub(crate) to: u32,
    kinds: Kinds,
    pub(crate) seen: SmallVec<[(EdgeKind, S); 1]>,
    epoch: u32,
}

impl<S> EdgeSlot<S> {
    /// Where the kind was first seen.
    pub(crate) fn sites(&self, kind: EdgeKind) -> Option<&S> {
        self.seen.iter().find(|(k, _)| *k == kind).map(|(_, sites)| sites)
    }
}

#[derive(Debug, Default)]
struct Out {
    epoch: u32,
    edges: Vec<EdgeId>,
}

/// A graph over class numbers that can be emptied without being freed.
///
/// Edge numbers and storage stay over [`Graph::clear`]; an edge or adjacency list whose epoch is not the graph's is empty.
#[derive(Debug)]
pub(crate) struct Graph<S> {
    epoch: u32,
    index: HashMap<(u32, u32), EdgeId, FxBuildHasher>,
    edges: Vec<EdgeSlot<S>>,
    out: Vec<Out>,
    /// Edges of this epoch, in the order of their first kind.
    live: Vec<EdgeId>,
    search: Search,
}

impl<S> Graph<S> {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 1,
            index: HashMap::default(),
            edges: Vec::new(),
            out: Vec::new(),
            live: Vec::new(),
            search: Search::default(),
        }
    }

    /// Empties the graph in O(1), except once in 2^32 times.
    pub(crate) fn clear(&mut self) {
        self.live.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.epoch = 1;
            self.edges.iter_mut().for_each(|edge| edge.epoch = 0);
            self.out.iter_mut().for_each(|out| out.epoch = 0);
        }
    }

    /// The number for `from -> to`, whether or not the edge is in the graph.
    pub(crate) fn edge_id(&mut self, from: u32, to: u32) -> EdgeId {
        let edges = &mut self.edges;
        *self.index.entry((from, to)).or_insert_with(|| {
            let id = EdgeId(u32::try_from(edges.len()).expect("fewer than 2^32 dependencies"));
            edges.push(EdgeSlot { from, to, kinds: Kinds::default(), seen: SmallVec::new(), epoch: 0 });
            id
        })
    }

    pub(crate) fn slot(&self, id: EdgeId) -> &EdgeSlot<S> {
        &self.edges[id.0 as usize]
    }

    pub(crate) fn has(&self, id: EdgeId, kind: EdgeKind) -> bool {
        let slot = self.slot(id);
        slot.epoch == self.epoch && slot.kinds.contains(kind)
    }

    /// Adds one kind of an edge. The sites of a kind that is already there stay as they are.
    pub(crate) fn add(&mut self, id: EdgeId, kind: EdgeKind, sites: S) {
        let slot = &mut self.edges[id.0 as usize];
        if slot.epoch != self.epoch {
            slot.epoch = self.epoch;
            slot.kinds = Kinds::default();
            slot.seen.clear();
            self.live.push(id);
            let from = slot.from as usize;
            if self.out.len() <= from {
                self.out.resize_with(from + 1, Out::default);
            }
            let out = &mut self.out[from];
            if out.epoch != self.epoch {
                out.epoch = self.epoch;
                out.edges.clear();
            }
            out.edges.push(id);
        }
        if !slot.kinds.contains(kind) {
            slot.kinds.insert(kind);
            slot.seen.push((kind, sites));
        }
    }

    /// The edges, in the order in which they were first added.
    pub(crate) fn live(&self) -> impl Iterator<Item = &EdgeSlot<S>> {
        self.live.iter().map(|id| self.slot(*id))
    }

    /// A shortest path that would make `prev -(kind)-> next` part of a strong cycle, if there is one: it leads from
    /// `next` to `prev`. The edge itself need not be in the graph. Linux: `check_noncircular()`.
    ///
    /// Among several shortest paths the one whose edges were added first is taken.
    pub(crate) fn closing_path(&mut self, prev: u32, kind: EdgeKind, next: u32) -> Option<Vec<Step>> {
        let Self { epoch, edges, out, search, .. } = self;
        let end = search.run(next, kind.ends_recursive(), prev, kind.starts_shared(), |class, queue| {
            let Some(out) = out.get(class as usize).filter(|out| out.epoch == *epoch) else {
                return;
            };
            for id in &out.edges {
                let slot = &edges[id.0 as usize];
                queue(*id, slot.to, slot.kinds);
            }
        })?;
        Some(search.path_to(end))
    }
}

/// A state of the search: a class and whether the path to it ended recursively.
#[derive(Clone, Copy, Debug)]
struct Node {
    class: u32,
    only_xr: bool,
    parent: u32,
    step: Option<Step>,
}

/// Storage of the breadth-first search, kept between searches.
#[derive(Debug, Default)]
struct Search {
    queue: Vec<Node>,
    /// Per class: `2 * stamp` when only the recursive state was reached, `2 * stamp + 1` when the other one was.
    reached: Vec<u64>,
    stamp: u64,
}

impl Search {
    /// Returns the index in `queue` of the state that matches `target`.
    fn run(
        &mut self,
        start: u32,
        only_xr: bool,
        target: u32,
        target_shared: bool,
        successors: impl Fn(u32, &mut dyn FnMut(EdgeId, u32, Kinds)),
    ) -> Option<u32> {
        self.stamp += 1;
        self.queue.clear();
        self.push(Node { class: start, only_xr, parent: 0, step: None });
        let mut head = 0;
        while head < self.queue.len() {
            let node = self.queue[head];
            // The closing edge starts at the target: if it starts shared, the path must not arrive recursively.
            if node.class == target && !(target_shared && node.only_xr) {
                return Some(head as u32);
            }
            successors(node.class, &mut |edge, to, kinds| {
                if let Some(kind) = kinds.step(node.only_xr) {
                    self.push(Node {
                        class: to,
                        only_xr: kind.ends_recursive(),
                        parent: head as u32,
                        step: Some(Step { edge, kind }),
                    });
                }
            });
            head += 1;
        }
        None
    }

    /// Queues a state unless it, or the stronger state of its class, was reached already.
    fn push(&mut self, node: Node) {
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
