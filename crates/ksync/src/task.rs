//! What a kernel keeps for each task.

use crate::class::ClassIdx;
use lockdep::Held;
use mm_types::{Name, ObjId};
use std::panic::Location;
use trace::LockMode;

/// Per-task state besides the scheduler's.
#[derive(Debug)]
pub(crate) struct TaskCx {
    pub(crate) held: Held,
    /// What the task is doing, in the words of its scenario: second line of a lockdep site.
    pub(crate) frame: Option<&'static str>,
    /// `PF_MEMALLOC`: allocations by reclaim itself do not reclaim.
    pub(crate) memalloc: u32,
    /// `memalloc_nofs_save()` depth.
    pub(crate) nofs: u32,
    /// What it waits for, while it waits.
    pub(crate) wait: Option<WaitSite>,
}

/// A wait in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitSite {
    pub(crate) obj: ObjId,
    pub(crate) waits: Waits,
    pub(crate) location: &'static Location<'static>,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waits {
    /// A lock, in this mode.
    Lock(ClassIdx, LockMode),
    /// What this names.
    Event(Name),
}

impl TaskCx {
    pub(crate) fn new(comm: &str, pid: u32) -> TaskCx {
        TaskCx { held: Held::new(comm, pid), frame: None, memalloc: 0, nofs: 0, wait: None }
    }
}
