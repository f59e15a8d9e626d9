//! How a lock is taken, and where.

use core::fmt;
use core::panic::Location;

use serde::Serialize;

use crate::class::ClassId;
use crate::context::Context;

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

/// The location of what lies in no Rust source: told from every other by where in this file it is.
const NOT_IN_SOURCE: &Location<'static> = Location::caller();

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

    /// A place that is not in Rust source, such as a line of a recording. It is printed as `place` alone.
    #[must_use]
    pub const fn of_text(place: &'static str) -> Self {
        Self { location: NOT_IN_SOURCE, frame: Some(place) }
    }

    /// The place that [`Site::of_text`] made it of.
    pub(crate) fn as_text(self) -> Option<&'static str> {
        self.frame.filter(|_| self.location == NOT_IN_SOURCE)
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
        match (self.as_text(), self.frame) {
            (Some(place), _) => f.write_str(place),
            (None, None) => write!(f, "{}", self.location),
            (None, Some(frame)) => write!(f, "{} in {frame}", self.location),
        }
    }
}

/// Class, manner and context in 32 bits: what, with the chain before it, decides the next chain and all that is said of it.
///
/// Bits 0..20 class, 20..22 read, 22 trylock, 23 check, 24..30 [`Context`], 30 `nest_lock`. Bit 31 is never stored in a
/// chain: it stands for "in an NMI", where nothing is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LockKey(u32);

impl LockKey {
    /// Of nothing: the key of a chain that is not known yet.
    pub(crate) const NONE: Self = Self(0);
    const CLASS_BITS: u32 = 20;
    pub(crate) const MAX_CLASSES: usize = 1 << Self::CLASS_BITS;
    const CLASS: u32 = (1 << Self::CLASS_BITS) - 1;
    const READ: u32 = 3 << 20;
    const CHECK: u32 = 1 << 23;
    const CONTEXT: u32 = 63 << 24;
    const NEST: u32 = 1 << 30;
    pub(crate) const NMI: u32 = 1 << 31;
    /// Which kind of handler: what cuts a chain.
    const IRQ: u32 = 3 << 24;

    /// `bits` as [`Held`](crate::Held) keeps them: the context, shifted.
    #[inline]
    pub(crate) const fn new(class: ClassId, how: Acquire, bits: u32) -> Self {
        Self(class.0 | (how.read as u32) << 20 | (how.trylock as u32) << 22 | (how.check as u32) << 23 | bits)
    }

    /// From the stored form, where the context is given as such.
    pub(crate) const fn of(class: u32, how: Acquire, context: Context, nest: bool) -> Self {
        let bits = (context.bits() as u32) << 24 | (nest as u32) << 30;
        Self::new(ClassId(class), how, bits)
    }

    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn class(self) -> ClassId {
        ClassId(self.0 & Self::CLASS)
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
        self.0 & Self::CHECK != 0
    }

    #[inline]
    pub(crate) const fn nested(self) -> bool {
        self.0 & Self::NEST != 0
    }

    #[inline]
    pub(crate) const fn with_nest(self) -> Self {
        Self(self.0 | Self::NEST)
    }

    #[inline]
    pub(crate) const fn in_nmi(self) -> bool {
        self.0 & Self::NMI != 0
    }

    /// Whether `other` was taken in the same irq context (`hlock->irq_context`).
    #[inline]
    pub(crate) const fn same_irq(self, other: Self) -> bool {
        (self.0 ^ other.0) & Self::IRQ == 0
    }

    pub(crate) const fn context(self) -> Context {
        Context::from_bits((self.0 >> 24 & 63) as u8)
    }

    /// The same lock taken in the context of `bits`, but with interrupts as they were: what an entry becomes when it is
    /// validated again (`reacquire_held_locks()` keeps `hardirqs_off` and takes everything else from the task).
    pub(crate) const fn moved_to(self, bits: u32) -> Self {
        let old = self.context();
        let new = Context::from_bits((bits >> 24 & 63) as u8);
        Self(self.0 & !Self::CONTEXT | (new.with_hardirqs(old.hardirqs_on()).bits() as u32) << 24)
    }

    /// Whether taking it is validated: `!trylock && check` in `validate_chain()`.
    pub(crate) const fn validates(self) -> bool {
        self.check() && !self.trylock()
    }

    pub(crate) const fn how(self) -> Acquire {
        Acquire { read: self.read(), trylock: self.trylock(), check: self.check() }
    }

    /// The key that stands for all which the kernel's chain key does not tell apart: class and read only (`hlock_id()`).
    pub(crate) const fn as_the_kernel_tells(self) -> Self {
        Self(self.0 & (Self::CLASS | Self::READ) | Self::CHECK | (Context::TASK.bits() as u32) << 24)
    }
}
