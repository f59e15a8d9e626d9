//! What a task is in the middle of.

use super::Stamp;
use mm_types::{MmId, Name, PageRange, TaskId};
use smallvec::SmallVec;
use trace::{BracketId, Hook, SubId};

/// The system calls and kernel paths a task is in, outermost first.
pub(crate) type Calls = SmallVec<[Call; 2]>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) mm: MmId,
    pub(crate) name: Name,
    pub(crate) pages: Option<PageRange>,
}

/// A callback that was entered and has not returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) sub: SubId,
    pub(crate) hook: Hook,
    pub(crate) pages: PageRange,
    pub(crate) bracket: Option<BracketId>,
    pub(crate) blockable: bool,
    pub(crate) enter: Stamp,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) name: Option<Name>,
    pub(crate) spawned: bool,
    pub(crate) exited: bool,
    pub(crate) calls: Calls,
    /// Outermost calls so far.
    pub(crate) call_serial: u32,
    /// How often it was told to do what it did for a translation again.
    pub(crate) retries: u64,
    /// Invalidations that it announced.
    pub(crate) announced: u64,
    /// Depth of `ReclaimStart`.
    pub(crate) reclaim: u32,
    /// Brackets it announced and did not close, outermost first.
    pub(crate) open: SmallVec<[u32; 2]>,
    /// Brackets it closed whose end callbacks may still be coming.
    pub(crate) closing: SmallVec<[u32; 2]>,
    pub(crate) callbacks: SmallVec<[Frame; 1]>,
}

impl Task {
    pub(crate) fn new(id: TaskId) -> Task {
        Task {
            id,
            name: None,
            spawned: false,
            exited: false,
            calls: Calls::new(),
            call_serial: 0,
            retries: 0,
            announced: 0,
            reclaim: 0,
            open: SmallVec::new(),
            closing: SmallVec::new(),
            callbacks: SmallVec::new(),
        }
    }
}
