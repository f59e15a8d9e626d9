//! Wakeup trees: the sequences of steps with which a prefix is still to be continued.
//!
//! The tree of a prefix is a list of children, each a step with a list of its own. A path from the root to a leaf is a
//! sequence that must be run; what follows the leaf is free. Nodes live in one arena and are linked by numbers.

use super::block::Block;
use super::trunk::Sprout;

pub(super) const NIL: u32 = u32::MAX;

/// A list of children: first and last.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u32,
    last: u32,
}

impl List {
    pub(super) const EMPTY: List = List { first: NIL, last: NIL };

    pub(super) fn is_empty(self) -> bool {
        self.first == NIL
    }
}

struct Node {
    block: Option<Block>,
    children: List,
    next: u32,
}

#[derive(Default)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

impl Arena {
    pub(super) fn block(&self, node: u32) -> &Block {
        self.nodes[node as usize].block.as_ref().expect("a linked node has a block")
    }

    pub(super) fn children(&self, node: u32) -> List {
        self.nodes[node as usize].children
    }

    pub(super) fn next(&self, node: u32) -> u32 {
        self.nodes[node as usize].next
    }

    pub(super) fn len(&self, list: List) -> usize {
        std::iter::successors((!list.is_empty()).then_some(list.first), |&n| Some(self.next(n)).filter(|&n| n != NIL))
            .count()
    }

    fn add(&mut self, block: Block, next: u32) -> u32 {
        let node = Node { block: Some(block), children: List::EMPTY, next };
        match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    /// Adds a child before those that `list` has.
    pub(super) fn prepend(&mut self, list: &mut List, block: Block) -> u32 {
        list.first = self.add(block, list.first);
        if list.last == NIL {
            list.last = list.first;
        }
        list.first
    }

    /// Adds a child behind those that `list` has.
    pub(super) fn append(&mut self, list: &mut List, block: Block) -> u32 {
        let at = self.add(block, NIL);
        match list.last {
            NIL => list.first = at,
            last => self.nodes[last as usize].next = at,
        }
        list.last = at;
        at
    }

    /// As [`Arena::append`], to the children of a node.
    pub(super) fn append_below(&mut self, parent: u32, block: Block) -> u32 {
        let mut children = self.children(parent);
        let at = self.append(&mut children, block);
        self.nodes[parent as usize].children = children;
        at
    }

    /// Takes the first child off `list`: its step, and what is to follow it.
    pub(super) fn pop(&mut self, list: &mut List) -> Option<(Block, List)> {
        let at = list.first;
        let node = self.nodes.get_mut(at as usize)?;
        let block = node.block.take().expect("a linked node has a block");
        let children = std::mem::replace(&mut node.children, List::EMPTY);
        list.first = node.next;
        if list.first == NIL {
            list.last = NIL;
        }
        self.free.push(at);
        Some((block, children))
    }

    /// Takes everything out of `list`. No recursion: a sequence may be as long as a run.
    pub(super) fn uproot(&mut self, list: &mut List) -> Vec<Sprout> {
        let mut sprouts = Vec::new();
        // Steps whose children are being taken out, with those that are, and the list that they themselves are from.
        let mut above: Vec<(Block, Vec<Sprout>, List)> = Vec::new();
        let mut list = std::mem::replace(list, List::EMPTY);
        loop {
            if let Some((block, children)) = self.pop(&mut list) {
                above.push((block, std::mem::take(&mut sprouts), std::mem::replace(&mut list, children)));
            } else if let Some((block, before, rest)) = above.pop() {
                let children = std::mem::replace(&mut sprouts, before);
                sprouts.push(Sprout { block, children });
                list = rest;
            } else {
                return sprouts;
            }
        }
    }
}
