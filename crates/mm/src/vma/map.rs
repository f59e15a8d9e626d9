//! VMAs in order of their addresses, with an index of the free pages between them.
//!
//! They lie in blocks of a few, so that a lookup is two binary searches over memory that lies together, and a neighbour is the
//! next element. Of each block a bound of the gaps below its VMAs is known, and a tree of maxima over the bounds finds the next
//! block that may have room: O(log n). A bound may be too high after pages were mapped: who looks into the block and finds less
//! says so ([`VmaMap::set_bound`]).

use super::Vma;
use mm_types::Vpn;
use std::cell::{Cell, RefCell};

/// VMAs of a block at most; one more and it is halved.
const BLOCK_VMAS: usize = 32;
/// VMAs by which the room of a block grows: the memory of an address space with many lies in their blocks.
const GROWTH: usize = 4;

/// Where a VMA is: its block, its place there. One past the last is (number of blocks, 0).
type At = (usize, usize);

#[derive(Clone, Debug, Default)]
pub(super) struct VmaMap {
    // invariant: `firsts` has the start of each block's first VMA; no block is empty
    firsts: Vec<Vpn>,
    blocks: Vec<Vec<Vma>>,
    bounds: RefCell<Bounds>,
    /// The block that was looked into last: the next lookup is mostly near.
    hint: Cell<usize>,
    len: usize,
}

/// Bounds of the gaps of each block, and maxima of them.
#[derive(Clone, Debug, Default)]
struct Bounds {
    // invariant: a node holds the larger of its two children, node 1 the largest; the second half are the blocks' bounds
    tree: Vec<u64>,
}

impl Bounds {
    const fn leaves(&self) -> usize {
        self.tree.len() / 2
    }

    fn get(&self, block: usize) -> u64 {
        self.tree[self.leaves() + block]
    }

    fn set(&mut self, block: usize, bound: u64) {
        let mut node = self.leaves() + block;
        self.tree[node] = bound;
        while node > 1 {
            node /= 2;
            let larger = self.tree[2 * node].max(self.tree[2 * node + 1]);
            if self.tree[node] == larger {
                return;
            }
            self.tree[node] = larger;
        }
    }

    /// Other blocks than before: `change` is given their bounds.
    fn replant(&mut self, blocks: usize, change: impl FnOnce(&mut Vec<u64>)) {
        let mut bounds = self.tree.split_off(self.leaves());
        bounds.truncate(blocks);
        change(&mut bounds);
        let leaves = bounds.len().next_power_of_two();
        self.tree.clear();
        self.tree.resize(leaves, 0);
        self.tree.append(&mut bounds);
        self.tree.resize(2 * leaves, 0);
        for node in (1..leaves).rev() {
            self.tree[node] = self.tree[2 * node].max(self.tree[2 * node + 1]);
        }
    }

    /// The last block up to `block` with a bound of `least`.
    fn last(&self, block: usize, least: u64) -> Option<usize> {
        let leaves = self.leaves();
        let mut node = leaves + block;
        loop {
            if self.tree[node] >= least {
                while node < leaves {
                    node = 2 * node + usize::from(self.tree[2 * node + 1] >= least);
                }
                return Some(node - leaves);
            }
            // To the subtree before: out of all that this is the first part of.
            while node.is_multiple_of(2) {
                node /= 2;
            }
            if node == 1 {
                return None;
            }
            node -= 1;
        }
    }

    /// The first block from `block` on with a bound of `least`.
    fn first(&self, block: usize, least: u64) -> Option<usize> {
        let leaves = self.leaves();
        let mut node = leaves + block;
        loop {
            if self.tree[node] >= least {
                while node < leaves {
                    node = 2 * node + usize::from(self.tree[2 * node] < least);
                }
                return Some(node - leaves);
            }
            while node % 2 == 1 {
                if node == 1 {
                    return None;
                }
                node /= 2;
            }
            node += 1;
        }
    }
}

impl VmaMap {
    pub(super) const fn new() -> VmaMap {
        VmaMap {
            firsts: Vec::new(),
            blocks: Vec::new(),
            bounds: RefCell::new(Bounds { tree: Vec::new() }),
            hint: Cell::new(0),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        *self = VmaMap::new();
    }

    /// The first VMA that starts at `vpn` or above.
    fn at_or_above(&self, vpn: Vpn) -> At {
        if self.firsts.first().is_none_or(|first| vpn <= *first) {
            return (0, 0);
        }
        let hint = self.hint.get();
        let next = self.firsts.get(hint + 1);
        let near = self.firsts.get(hint).is_some_and(|first| *first < vpn) && next.is_none_or(|next| vpn <= *next);
        let block = if near { hint + 1 } else { self.firsts.partition_point(|first| *first < vpn) };
        self.hint.set(block - 1);
        let below = &self.blocks[block - 1];
        let at = below.partition_point(|vma| vma.start() < vpn);
        if at == below.len() { (block, 0) } else { (block - 1, at) }
    }

    fn vma(&self, (block, at): At) -> Option<&Vma> {
        self.blocks.get(block)?.get(at)
    }

    fn before(&self, (block, at): At) -> Option<At> {
        match at.checked_sub(1) {
            Some(at) => Some((block, at)),
            None => block.checked_sub(1).map(|block| (block, self.blocks[block].len() - 1)),
        }
    }

    fn end_before(&self, at: At) -> Vpn {
        self.before(at).and_then(|at| self.vma(at)).map_or(Vpn(0), Vma::end)
    }

    /// The VMA that starts at `vpn`.
    pub(super) fn get(&self, vpn: Vpn) -> Option<&Vma> {
        self.last_at(vpn).filter(|vma| vma.start() == vpn)
    }

    /// The last VMA that starts at `vpn` or below.
    pub(super) fn last_at(&self, vpn: Vpn) -> Option<&Vma> {
        let (block, at) = self.place_of(vpn)?;
        Some(&self.blocks[block][at])
    }

    /// The same, to be altered in all but its range.
    pub(super) fn last_at_mut(&mut self, vpn: Vpn) -> Option<&mut Vma> {
        let (block, at) = self.place_of(vpn)?;
        Some(&mut self.blocks[block][at])
    }

    fn place_of(&self, vpn: Vpn) -> Option<At> {
        if self.firsts.first().is_none_or(|first| vpn < *first) {
            return None;
        }
        let hint = self.hint.get();
        let next = self.firsts.get(hint + 1);
        let near = self.firsts.get(hint).is_some_and(|first| *first <= vpn) && next.is_none_or(|next| vpn < *next);
        let block = if near { hint } else { self.firsts.partition_point(|first| *first <= vpn) - 1 };
        self.hint.set(block);
        Some((block, self.blocks[block].partition_point(|vma| vma.start() <= vpn) - 1))
    }

    /// The VMAs that start in `[from, to)`.
    pub(super) fn range(&self, from: Vpn, to: Vpn) -> Iter<'_> {
        let front = self.at_or_above(from);
        Iter { map: self, front, back: self.at_or_above(to).max(front) }
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { map: self, front: (0, 0), back: (self.blocks.len(), 0) }
    }

    /// The VMAs that start at `vpn` or below.
    pub(super) fn up_to(&self, vpn: Vpn) -> Iter<'_> {
        self.range(Vpn(0), Vpn(vpn.0.saturating_add(1)))
    }

    pub(super) fn last(&self) -> Option<&Vma> {
        self.blocks.last()?.last()
    }

    /// Puts a VMA in the place of the one with the same start, which is given, or adds it.
    pub(super) fn insert(&mut self, vma: Vma) -> Option<Vma> {
        let (block, at) = self.at_or_above(vma.start());
        if self.vma((block, at)).is_some_and(|old| old.start() == vma.start()) {
            let old = std::mem::replace(&mut self.blocks[block][at], vma);
            if vma.end() < old.end() {
                self.raise_after((block, at));
            }
            return Some(old);
        }
        self.len += 1;
        if self.blocks.is_empty() {
            self.firsts.push(vma.start());
            self.blocks.push(vec![vma]);
            self.bounds.get_mut().replant(0, |bounds| bounds.push(vma.start().0));
            return None;
        }
        // Before the first of a block is behind the last of the one before it.
        let place = match (block, at) {
            (block @ 1.., 0) => (block - 1, self.blocks[block - 1].len()),
            place => place,
        };
        let gap = vma.start() - self.end_before(place);
        let (block, at) = self.room_at(place);
        let vmas = &mut self.blocks[block];
        if vmas.len() == vmas.capacity() {
            vmas.reserve_exact(GROWTH);
        }
        vmas.insert(at, vma);
        if at == 0 {
            self.firsts[block] = vma.start();
        }
        self.raise(block, gap);
        None
    }

    /// A place in a block with room for one more. A full one is parted: at a quarter of an end where one more comes, since
    /// mappings mostly come in order, else in the middle.
    fn room_at(&mut self, (block, at): At) -> At {
        let len = self.blocks[block].len();
        if len < BLOCK_VMAS {
            return (block, at);
        }
        let from = match at {
            0 => len / 4,
            at if at == len => len - len / 4,
            _ => len / 2,
        };
        let moved = self.blocks[block].split_off(from);
        self.blocks[block].shrink_to_fit();
        let before = self.blocks.len();
        self.firsts.insert(block + 1, moved[0].start());
        self.blocks.insert(block + 1, moved);
        self.bounds.get_mut().replant(before, |bounds| bounds.insert(block + 1, bounds[block]));
        if at < from { (block, at) } else { (block + 1, at - from) }
    }

    /// Takes the VMA that starts at `vpn` out.
    pub(super) fn remove(&mut self, vpn: Vpn) -> Option<Vma> {
        let (block, at) = self.place_of(vpn).filter(|(block, at)| self.blocks[*block][*at].start() == vpn)?;
        let vma = self.blocks[block].remove(at);
        self.len -= 1;
        if self.blocks[block].is_empty() {
            let before = self.blocks.len();
            self.blocks.remove(block);
            self.firsts.remove(block);
            self.bounds.get_mut().replant(before, |bounds| {
                bounds.remove(block);
            });
        } else if at == 0 {
            self.firsts[block] = self.blocks[block][0].start();
        }
        let above = self.at_or_above(vpn);
        if let Some(start) = self.vma(above).map(Vma::start) {
            let gap = start - self.end_before(above);
            self.raise(above.0, gap);
        }
        Some(vma)
    }

    /// The VMA at a place became shorter.
    fn raise_after(&mut self, (block, at): At) {
        let end = self.blocks[block][at].end();
        let next = if at + 1 < self.blocks[block].len() { (block, at + 1) } else { (block + 1, 0) };
        if let Some(start) = self.vma(next).map(Vma::start) {
            self.raise(next.0, start - end);
        }
    }

    fn raise(&mut self, block: usize, gap: u64) {
        let bounds = self.bounds.get_mut();
        if bounds.get(block) < gap {
            bounds.set(block, gap);
        }
    }

    /// The last block, up to that of `vpn`, that may have a gap of `nr_pages` below one of its VMAs.
    pub(super) fn last_fit(&self, vpn: Vpn, nr_pages: u64) -> Option<usize> {
        let (block, _) = self.place_of(vpn)?;
        self.bounds.borrow().last(block, nr_pages)
    }

    /// The first block, from that of `vpn` on, that may.
    pub(super) fn first_fit(&self, vpn: Vpn, nr_pages: u64) -> Option<usize> {
        let (block, _) = self.at_or_above(vpn);
        if block == self.blocks.len() { None } else { self.bounds.borrow().first(block, nr_pages) }
    }

    /// Where the first VMA of a block starts, and one page after the last does.
    pub(super) fn span(&self, block: usize) -> (Vpn, Vpn) {
        let vmas = &self.blocks[block];
        (self.firsts[block], vmas[vmas.len() - 1].start() + 1)
    }

    /// All gaps of a block are known: this is the largest.
    pub(super) fn set_bound(&self, block: usize, bound: u64) {
        self.bounds.borrow_mut().set(block, bound);
    }
}

/// VMAs in order, from either end.
#[derive(Clone)]
pub(super) struct Iter<'a> {
    map: &'a VmaMap,
    front: At,
    back: At,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Vma;
    fn next(&mut self) -> Option<&'a Vma> {
        if self.front == self.back {
            return None;
        }
        let (block, at) = self.front;
        let vmas = &self.map.blocks[block];
        self.front = if at + 1 == vmas.len() { (block + 1, 0) } else { (block, at + 1) };
        Some(&vmas[at])
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<&'a Vma> {
        if self.front == self.back {
            return None;
        }
        self.back = self.map.before(self.back)?;
        self.map.vma(self.back)
    }
}
