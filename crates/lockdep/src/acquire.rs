//! How a lock is taken, and where.

use core::fmt;
use core::panic::Location;

use serde::Serialize;

use crate::class::ClassId;

/// The three ways to take a lock (`read` of `lock_acquire()`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
pub enum Read {
    /// 0: exclusive.
    #[default]
    Exclusive = 0,
    /// 1: shared, but waiting behind a waiting writer: rw_semaphore, a queued rwlock in task context.
    Shared = 1,
    /// 2: shared and admitted even when a writer waits: SRCU, rwlock in interrupt context.
    Recursive = 2,
}

/// How a lock is taken: the arguments of the kernel's `lock_acquire()` besides map and subclass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Acquire {
    /// Exclusive or one of the two shared forms.
    pub read: Read,
    /// It did not wait: no dependency leads into it, but others may start from it.
    pub trylock: bool,
    /// False: the lock is on the held stack only; no dependency starts or ends at it.
    pub check: bool,
}

impl Acquire {
    /// Waits, exclusive, checked.
    #[must_use]
    pub const fn exclusive() -> Self {
        Self { read: Read::Exclusive, trylock: false, check: true }
    }

    /// Waits, shared and not recursive (read 1), checked.
    #[must_use]
    pub const fn shared() -> Self {
        Self { read: Read::Shared, ..Self::exclusive() }
    }

    /// Waits, shared and recursive (read 2), checked.
    #[must_use]
    pub const fn recursive() -> Self {
        Self { read: Read::Recursive, ..Self::exclusive() }
    }

    /// The same without waiting.
    #[must_use]
    pub const fn trylock(mut self) -> Self {
        self.trylock = true;
        self
    }

    /// The same with `check` 0, as RCU's maps are.
    #[must_use]
    pub const fn unchecked(mut self) -> Self {
        self.check = false;
        self
    }
}

/// Where a lock was taken or released.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// The call in Rust, as `#[track_caller]` gives it.
    pub location: &'static Location<'static>,
    /// What asked for it, such as a line of a scenario: the second line of the printed stack.
    pub frame: Option<&'static str>,
}

impl Site {
    /// The caller's location, without a frame.
    #[must_use]
    #[track_caller]
    pub fn here() -> Self {
        Self { location: Location::caller(), frame: None }
    }

    /// The same place with a frame.
    #[must_use]
    pub const fn framed(mut self, frame: &'static str) -> Self {
        self.frame = Some(frame);
        self
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frame {
            None => write!(f, "{}", self.location),
            Some(frame) => write!(f, "{} in {frame}", self.location),
        }
    }
}

/// Class and manner in 32 bits: what, with the chain before it, decides the next chain.
///
/// Bits 0..20 class, 20..22 read, 22 trylock, 23 check. Bits 24..32 are free for what later joins the key: the irq
/// context, and whether a `nest_lock` serialises it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LockKey(u32);

impl LockKey {
    const CLASS_BITS: u32 = 20;
    pub(crate) const MAX_CLASSES: usize = 1 << Self::CLASS_BITS;

    #[inline]
    pub(crate) const fn new(class: ClassId, how: Acquire) -> Self {
        Self(class.0 | (how.read as u32) << 20 | (how.trylock as u32) << 22 | (how.check as u32) << 23)
    }

    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn class(self) -> ClassId {
        ClassId(self.0 & ((1 << Self::CLASS_BITS) - 1))
    }

    #[inline]
    pub(crate) const fn read(self) -> Read {
        match (self.0 >> 20) & 3 {
            0 => Read::Exclusive,
            1 => Read::Shared,
            _ => Read::Recursive,
        }
    }

    #[inline]
    pub(crate) const fn trylock(self) -> bool {
        self.0 >> 22 & 1 == 1
    }

    #[inline]
    pub(crate) const fn check(self) -> bool {
        self.0 >> 23 & 1 == 1
    }

    /// Whether taking it is validated: `!trylock && check` in `validate_chain()`.
    pub(crate) const fn validates(self) -> bool {
        self.check() && !self.trylock()
    }

    pub(crate) const fn how(self) -> Acquire {
        Acquire { read: self.read(), trylock: self.trylock(), check: self.check() }
    }
}
