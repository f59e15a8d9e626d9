//! What makes a warm acquisition cheap: the part of a run that one thread has to itself.

use crate::acquire::LockKey;
use crate::chain::ChainId;
use crate::class::ClassId;
use crate::mutant::Switch;
use crate::usage::UsageBit;

/// One way of a direct-mapped cache: `parent`, `key` -> `chain`, for a chain that was met in `epoch`.
#[derive(Clone, Copy, Debug)]
struct Line {
    parent: ChainId,
    key: LockKey,
    chain: ChainId,
    epoch: u32,
}

/// Enough for all chains of a task that releases sixteen locks in the order of taking, without much displacement.
const LINES: usize = 1024;

/// Caches and counts of one thread.
#[derive(Debug)]
pub(crate) struct Front {
    lines: Box<[Line; LINES]>,
    /// By chain: the epoch it counts for, and how often the chain was completed by an acquisition.
    counts: Vec<(u32, u32)>,
    /// By class: the epoch, and usage states known to be set.
    marked: Vec<(u32, u16)>,
    pub(crate) switch: Switch,
}

impl Front {
    pub(crate) fn new() -> Self {
        // No chain is met in epoch 0, so an empty line matches nothing.
        let empty = Line { parent: ChainId::ROOT, key: LockKey::default(), chain: ChainId::ROOT, epoch: 0 };
        Self { lines: Box::new([empty; LINES]), counts: Vec::new(), marked: Vec::new(), switch: Switch::default() }
    }

    #[inline]
    fn slot(parent: ChainId, key: LockKey) -> usize {
        let both = u64::from(parent.0) << 32 | u64::from(key.bits());
        (both.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - LINES.ilog2())) as usize
    }

    /// The chain that follows, if this thread met it in the epoch; counts the acquisition.
    #[inline]
    pub(crate) fn take(&mut self, epoch: u32, parent: ChainId, key: LockKey) -> Option<ChainId> {
        let line = &self.lines[Self::slot(parent, key)];
        if line.parent != parent || line.key != key || line.epoch != epoch {
            return None;
        }
        self.counts[line.chain.index()].1 += 1;
        Some(line.chain)
    }

    /// The same without counting.
    #[inline]
    pub(crate) fn peek(&self, epoch: u32, parent: ChainId, key: LockKey) -> Option<ChainId> {
        let line = &self.lines[Self::slot(parent, key)];
        (line.parent == parent && line.key == key && line.epoch == epoch).then_some(line.chain)
    }

    /// Remembers a chain that was met.
    pub(crate) fn put(&mut self, epoch: u32, parent: ChainId, key: LockKey, chain: ChainId) {
        self.lines[Self::slot(parent, key)] = Line { parent, key, chain, epoch };
        if self.counts.len() <= chain.index() {
            self.counts.resize(chain.index() + 1, (0, 0));
        }
        let count = &mut self.counts[chain.index()];
        if count.0 != epoch {
            *count = (epoch, 0);
        }
    }

    /// Counts an acquisition that completed a remembered chain.
    pub(crate) fn count(&mut self, chain: ChainId) {
        self.counts[chain.index()].1 += 1;
    }

    pub(crate) fn counted(&self, epoch: u32, chain: ChainId) -> u32 {
        self.counts.get(chain.index()).filter(|count| count.0 == epoch).map_or(0, |count| count.1)
    }

    /// Whether a class is known to be in a state.
    #[inline]
    pub(crate) fn knows(&self, epoch: u32, class: ClassId, bit: UsageBit) -> bool {
        self.marked.get(class.0 as usize).is_some_and(|mark| mark.0 == epoch && mark.1 & bit.mask() != 0)
    }

    pub(crate) fn know(&mut self, epoch: u32, class: ClassId, bit: UsageBit) {
        let at = class.0 as usize;
        if self.marked.len() <= at {
            self.marked.resize(at + 1, (0, 0));
        }
        let mark = &mut self.marked[at];
        if mark.0 != epoch {
            *mark = (epoch, 0);
        }
        mark.1 |= bit.mask();
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<[Line; LINES]>() + self.counts.capacity() * 8 + self.marked.capacity() * 8
    }
}
