//! One call with its arguments as they are recorded, and what came of it.

use super::Recorded;
use mm::vma::{MapFlags, MremapFlags, ProtFlags};
use mm::{Advice, MlockFlags, MsyncFlags};
use mm_types::{Errno, PAGE_SIZE, Prot, VirtAddr};

/// An address: in the arena, or anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Bytes from the start of the arena.
    Arena(u64),
    /// An address outside.
    Absolute(u64),
}

impl Place {
    /// The address, with the arena at `arena`.
    #[must_use]
    pub const fn addr(self, arena: u64) -> VirtAddr {
        match self {
            Place::Arena(bytes) => VirtAddr(arena + bytes),
            Place::Absolute(addr) => VirtAddr(addr),
        }
    }
}

/// A length in bytes.
pub type Len = u64;
/// A size or an offset in bytes.
pub type Size = u64;

/// What the descriptor argument of a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fd {
    /// None.
    None,
    /// 64 pages of data.
    F0,
    /// 24 pages and 100 bytes, every second page a hole.
    F1,
    /// `F0`, opened for reading.
    F0ReadOnly,
}

/// A system call, or an access of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments, under the recording's names; lengths are bytes")]
pub enum Call {
    Mmap { addr: Place, len: Len, prot: Prot, flags: MapFlags, fd: Fd, off: Size },
    Munmap { addr: Place, len: Len },
    Mprotect { addr: Place, len: Len, prot: ProtFlags },
    Mremap { addr: Place, old_len: Len, new_len: Len, flags: MremapFlags, new_addr: Place },
    Madvise { addr: Place, len: Len, advice: Advice },
    Mlock { addr: Place, len: Len },
    Munlock { addr: Place, len: Len },
    Mlock2 { addr: Place, len: Len, flags: MlockFlags },
    Msync { addr: Place, len: Len, flags: MsyncFlags },
    Mincore { addr: Place, len: Len },
    Mseal { addr: Place, len: Len, flags: u64 },
    Ftruncate { fd: Fd, size: Size },
    PunchHole { fd: Fd, off: Size, len: Len },
    Fwrite { fd: Fd, page: u64, tag: u64 },
    Read { page: u64 },
    Write { page: u64, tag: u64 },
}

/// What a call came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An address.
    At(Place),
    /// A number.
    Number(u64),
    /// One bit a page.
    Bits(String),
    /// An error number.
    Error(Errno),
    /// A signal, by the recording's name.
    Signal(&'static str),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::At(Place::Arena(bytes)) if bytes % PAGE_SIZE == 0 => write!(f, "page {}", bytes / PAGE_SIZE),
            Outcome::At(place) => write!(f, "{place:?}"),
            Outcome::Number(n) => n.fmt(f),
            Outcome::Bits(bits) => f.write_str(bits),
            Outcome::Error(errno) => errno.fmt(f),
            Outcome::Signal(name) => f.write_str(name),
        }
    }
}

/// A call with its outcome and the faults it took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// What was called.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
    /// Page faults.
    pub faults: u64,
}

/// What one line of a trace does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// One call.
    Call(Made),
    /// Single pages mapped from `first` on, `step` apart, below `limit`, until one fails.
    BulkMmap {
        /// First page.
        first: u64,
        /// End.
        limit: u64,
        /// Distance.
        step: u64,
        /// How many there were.
        made: u64,
        /// Why there were no more.
        stop: Option<Errno>,
    },
    /// A fork: the child acts, then the parent does, then the child exits.
    Fork(Box<Fork>),
}

/// A fork with the snapshots around it, each whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fork {
    /// Faults of the parent by the fork itself.
    pub faults: u64,
    /// The child at its start.
    pub child_first: Recorded,
    /// What the child does.
    pub child_acts: Vec<Made>,
    /// The child after that.
    pub child_acted: Recorded,
    /// What the parent does then.
    pub parent_acts: Vec<Made>,
    /// The parent with the child alive.
    pub parent: Recorded,
    /// The child after that.
    pub child_last: Recorded,
}
