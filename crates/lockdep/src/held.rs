//! What one task holds, in the order it was taken.

use crate::acquire::{Acquire, LockKey, Read, Site};
use crate::chain::ChainId;
use crate::class::ClassId;

/// One entry of a held stack.
///
/// invariant: at most 40 bytes, and `Copy`: pushing and popping one is all that a warm acquire and release store.
#[derive(Clone, Copy, Debug)]
pub struct HeldLock {
    pub(crate) instance: u64,
    pub(crate) site: Site,
    pub(crate) key: LockKey,
    /// The chain that ends with this lock; the chain before it is the entry below's.
    pub(crate) chain: ChainId,
}

const _: () = assert!(size_of::<HeldLock>() <= 40);

impl HeldLock {
    /// The lock's class.
    #[must_use]
    pub fn class(&self) -> ClassId {
        self.key.class()
    }

    /// Which lock of that class.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Exclusive or shared.
    #[must_use]
    pub fn read(&self) -> Read {
        self.key.read()
    }

    /// Whether it was taken without waiting.
    #[must_use]
    pub fn trylock(&self) -> bool {
        self.key.trylock()
    }

    /// All of how it was taken.
    #[must_use]
    pub fn how(&self) -> Acquire {
        self.key.how()
    }

    /// Where it was taken (after a downgrade: where that was).
    #[must_use]
    pub fn site(&self) -> Site {
        self.site
    }
}

/// The locks one task holds, outermost first, and the name the task has in reports.
///
/// Owned by whoever owns the task and handed to each call of [`Run`](crate::Run): the validator itself knows no task.
#[derive(Clone, Debug)]
pub struct Held {
    pub(crate) locks: Vec<HeldLock>,
    pub(crate) comm: String,
    pub(crate) pid: u32,
}

impl Held {
    /// An empty stack of the task `comm/pid`. Depth is not limited.
    #[must_use]
    pub fn new(comm: impl Into<String>, pid: u32) -> Self {
        Self { locks: Vec::with_capacity(8), comm: comm.into(), pid }
    }

    /// Forgets what is held, keeping name and storage. For a task torn down or started again; reports nothing.
    pub fn reset(&mut self) {
        self.locks.clear();
    }

    /// Outermost first.
    #[must_use]
    pub fn locks(&self) -> &[HeldLock] {
        &self.locks
    }

    /// Whether this very lock is held (`lockdep_is_held()`).
    #[must_use]
    pub fn holds(&self, instance: u64) -> bool {
        self.locks.iter().any(|lock| lock.instance == instance)
    }

    /// The task's name.
    #[must_use]
    pub fn comm(&self) -> &str {
        &self.comm
    }

    /// The task's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    #[inline]
    pub(crate) fn chain(&self) -> ChainId {
        match self.locks.last() {
            Some(lock) => lock.chain,
            None => ChainId::ROOT,
        }
    }

    /// The innermost entry of `instance`, as `find_held_lock()` searches.
    #[inline]
    pub(crate) fn position(&self, instance: u64) -> Option<usize> {
        self.locks.iter().rposition(|lock| lock.instance == instance)
    }
}
