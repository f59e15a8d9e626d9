//! What a kernel keeps for each task.

use crate::class::ClassIdx;
use crate::irq::Masked;
use lockdep::Held;
use mm_types::{Name, ObjId, TaskId};
use std::ops::{Deref, DerefMut};
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
    pub(crate) masked: Masked,
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
        TaskCx { held: Held::new(comm, pid), frame: None, memalloc: 0, nofs: 0, masked: Masked::default(), wait: None }
    }

    /// As new, keeping name and storage.
    pub(crate) fn renew(&mut self) {
        self.held.reset();
        (self.frame, self.memalloc, self.nofs, self.wait) = (None, 0, 0, None);
        self.masked = Masked::default();
    }
}

/// The tasks of a run, by id. Runs of one world spawn the same tasks again: those of the run before are kept.
#[derive(Debug)]
pub(crate) struct TaskTable {
    /// From `len` on: of the run before.
    rows: Vec<TaskCx>,
    len: usize,
}

impl TaskTable {
    /// The setup context alone.
    pub(crate) fn new() -> TaskTable {
        TaskTable { rows: vec![TaskCx::new("setup", 0)], len: 1 }
    }

    pub(crate) fn reset(&mut self) {
        self.len = 1;
        self.rows[0].renew();
    }

    /// A task that there is.
    #[inline]
    pub(crate) fn row(&mut self, task: TaskId) -> &mut TaskCx {
        debug_assert!((task.0 as usize) < self.len);
        &mut self.rows[task.0 as usize]
    }

    pub(crate) fn push(&mut self, name: Name) {
        let pid = self.len as u32;
        match self.rows.get_mut(self.len) {
            Some(task) if task.held.comm() == name.as_str() => task.renew(),
            Some(task) => *task = TaskCx::new(name.as_str(), pid),
            None => self.rows.push(TaskCx::new(name.as_str(), pid)),
        }
        self.len += 1;
    }
}

impl Deref for TaskTable {
    type Target = [TaskCx];

    #[inline]
    fn deref(&self) -> &[TaskCx] {
        &self.rows[..self.len]
    }
}

impl DerefMut for TaskTable {
    #[inline]
    fn deref_mut(&mut self) -> &mut [TaskCx] {
        &mut self.rows[..self.len]
    }
}
