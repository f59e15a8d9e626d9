//! Identities. They come from counters per creator, never from addresses, so that two tasks that create things do not
//! share a counter (a shared counter would make everything they do conflict).

use std::fmt;

/// A simulated task, numbered in order of creation within its run. Task 0 is the world's own setup context.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TaskId(pub u32);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address space, numbered in order of creation within its run, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MmId(pub u32);

impl fmt::Display for MmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mm{}", self.0)
    }
}

impl fmt::Debug for MmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An object that visible operations name: a lock, a wait queue, a page-table entry, a frame, an oracle's virtual object.
///
/// 64 bits: the creating task in the upper 24, a number of that task in the lower 40; or, for things that have a
/// natural key (a PTE, a frame), a tagged hash-free packing made by [`ObjId::keyed`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjId(pub u64);

impl ObjId {
    /// No object: an operation that commutes with every other.
    pub const NONE: ObjId = ObjId(0);
    const KEYED: u64 = 1 << 63;

    /// The `n`-th object that `creator` made; `n` counts from 1.
    #[must_use]
    pub const fn created(creator: TaskId, n: u64) -> ObjId {
        ObjId(((creator.0 as u64) << 40) | (n & ((1 << 40) - 1)))
    }

    /// An object with a natural key: `kind` (< 128) tells the key spaces apart, `key` (< 2^56) is unique in its kind.
    #[must_use]
    pub const fn keyed(kind: u8, key: u64) -> ObjId {
        ObjId(Self::KEYED | ((kind as u64 & 0x7f) << 56) | (key & ((1 << 56) - 1)))
    }

    /// The `(kind, key)` of a [`ObjId::keyed`] object.
    #[must_use]
    pub const fn as_keyed(self) -> Option<(u8, u64)> {
        if self.0 & Self::KEYED == 0 { None } else { Some(((self.0 >> 56) as u8 & 0x7f, self.0 & ((1 << 56) - 1))) }
    }
}

impl fmt::Display for ObjId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_keyed() {
            Some((kind, key)) => write!(f, "k{kind}:{key:x}"),
            None => write!(f, "{}.{}", TaskId((self.0 >> 40) as u32), self.0 & ((1 << 40) - 1)),
        }
    }
}

impl fmt::Debug for ObjId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
