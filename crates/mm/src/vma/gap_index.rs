//! An index of the free pages between VMAs, so that looking for a place does not pass over every gap that is too small.
//!
//! VMAs lie in blocks of a few by their start; a block knows a bound of the gaps below its VMAs, and a tree of maxima over
//! the blocks finds the next one that may have room: O(log n). A bound may be too high after pages were mapped: whoever looks
//! into the block and finds less says so.

use mm_types::Vpn;

/// VMAs of a block at most; then it is halved.
pub(super) const BLOCK_VMAS: u32 = 32;

#[derive(Clone, Copy, Debug)]
struct Block {
    /// invariant: VMAs of the block start here or above, and below the next block's; that of the first block is 0
    first: Vpn,
    vmas: u32,
}

/// The blocks, and maxima of their bounds.
#[derive(Clone, Debug)]
pub(super) struct GapIndex {
    blocks: Vec<Block>,
    /// invariant: a node holds the larger of its two children, node 1 the largest; leaves are the bounds of the blocks
    tree: Vec<u64>,
}

impl GapIndex {
    /// The index of VMAs that start at `starts`, in order, each with the free pages below it.
    pub(super) fn new(gaps: impl Iterator<Item = (Vpn, u64)>) -> GapIndex {
        let mut blocks = vec![Block { first: Vpn(0), vmas: 0 }];
        let mut bounds = vec![0];
        for (start, gap) in gaps {
            if blocks[blocks.len() - 1].vmas == BLOCK_VMAS / 2 {
                blocks.push(Block { first: start, vmas: 0 });
                bounds.push(0);
            }
            let last = blocks.len() - 1;
            blocks[last].vmas += 1;
            bounds[last] = gap.max(bounds[last]);
        }
        let mut index = GapIndex { blocks, tree: Vec::new() };
        index.plant(&bounds);
        index
    }

    const fn leaves(&self) -> usize {
        self.tree.len() / 2
    }

    fn plant(&mut self, bounds: &[u64]) {
        let leaves = bounds.len().next_power_of_two();
        self.tree.clear();
        self.tree.resize(leaves, 0);
        self.tree.extend_from_slice(bounds);
        self.tree.resize(2 * leaves, 0);
        for node in (1..leaves).rev() {
            self.tree[node] = self.tree[2 * node].max(self.tree[2 * node + 1]);
        }
    }

    fn bounds(&self) -> Vec<u64> {
        self.tree[self.leaves()..][..self.blocks.len()].to_vec()
    }

    /// The block that a VMA at `start` is in.
    pub(super) fn block_of(&self, start: Vpn) -> usize {
        self.blocks.partition_point(|block| block.first <= start) - 1
    }

    /// Where a block begins, and where the next does.
    pub(super) fn span(&self, block: usize) -> (Vpn, Vpn) {
        (self.blocks[block].first, self.blocks.get(block + 1).map_or(Vpn::MAX, |next| next.first))
    }

    /// A bound of the gaps in a block is known.
    pub(super) fn set(&mut self, block: usize, bound: u64) {
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

    /// There are `gap` free pages below the VMA at `start`.
    pub(super) fn raise(&mut self, start: Vpn, gap: u64) {
        let block = self.block_of(start);
        if self.tree[self.leaves() + block] < gap {
            self.set(block, gap);
        }
    }

    /// A VMA at `start` is there, with `gap` free pages below it. Gives its block if that has to be halved.
    pub(super) fn insert(&mut self, start: Vpn, gap: u64) -> Option<usize> {
        let block = self.block_of(start);
        self.blocks[block].vmas += 1;
        if self.tree[self.leaves() + block] < gap {
            self.set(block, gap);
        }
        (self.blocks[block].vmas > BLOCK_VMAS).then_some(block)
    }

    /// A block is halved: from `middle` on its VMAs are in one of their own.
    pub(super) fn halve(&mut self, block: usize, middle: Vpn) {
        let vmas = self.blocks[block].vmas;
        self.blocks[block].vmas = BLOCK_VMAS / 2;
        self.blocks.insert(block + 1, Block { first: middle, vmas: vmas - BLOCK_VMAS / 2 });
        let mut bounds = self.bounds_but(1);
        bounds.insert(block + 1, bounds[block]);
        self.plant(&bounds);
    }

    /// The bounds of all blocks but the `new` last ones that were added since the tree was made.
    fn bounds_but(&self, new: usize) -> Vec<u64> {
        self.tree[self.leaves()..][..self.blocks.len() - new].to_vec()
    }

    /// The VMA at `start` is gone.
    pub(super) fn remove(&mut self, start: Vpn) {
        let block = self.block_of(start);
        self.blocks[block].vmas -= 1;
        if self.blocks[block].vmas > 0 || block == 0 {
            return;
        }
        let mut bounds = self.bounds();
        bounds.remove(block);
        self.blocks.remove(block);
        self.plant(&bounds);
    }

    /// The last block up to `block` that may have a gap of `nr_pages`.
    pub(super) fn last_fit(&self, block: usize, nr_pages: u64) -> Option<usize> {
        let leaves = self.leaves();
        let mut node = leaves + block;
        loop {
            if self.tree[node] >= nr_pages {
                while node < leaves {
                    node = 2 * node + usize::from(self.tree[2 * node + 1] >= nr_pages);
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

    /// The first block from `block` on that may have a gap of `nr_pages`.
    pub(super) fn first_fit(&self, block: usize, nr_pages: u64) -> Option<usize> {
        let leaves = self.leaves();
        let mut node = leaves + block;
        loop {
            if self.tree[node] >= nr_pages {
                while node < leaves {
                    node = 2 * node + usize::from(self.tree[2 * node] < nr_pages);
                }
                return (node - leaves < self.blocks.len()).then_some(node - leaves);
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
