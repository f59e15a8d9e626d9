//! What a task does in one step, and when the order of two of them does not matter.

use sched::Op;

/// One step of a task, as far as it is known: the operation it begins with, and the first of its choices.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Block {
    pub(super) task: u32,
    pub(super) op: Op,
    /// What it accesses besides `op`.
    pub(super) more: Box<[Op]>,
    /// The options taken, from the first choice on. A step of which nothing is known begins with none.
    pub(super) taken: Box<[u32]>,
    /// Whether the run ends with it: whatever comes later does not happen.
    pub(super) ends: bool,
}

impl Block {
    pub(super) fn accesses(&self) -> impl Iterator<Item = Op> + Clone + '_ {
        std::iter::once(self.op).chain(self.more.iter().copied())
    }

    /// Whether it is a step of `task` that begins with these choices, as far as either is known.
    pub(super) fn is(&self, task: u32, taken: &[u32]) -> bool {
        self.task == task && self.taken.iter().zip(taken).all(|(mine, theirs)| mine == theirs)
    }

    /// Whether its order with a step of another task that accesses `others` does not matter.
    pub(super) fn commutes(&self, others: impl Iterator<Item = Op> + Clone) -> bool {
        !self.ends && self.accesses().all(|mine| others.clone().all(|other| !mine.conflicts_with(other)))
    }
}
