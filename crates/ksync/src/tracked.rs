//! A shared word whose accesses other tasks can observe.

use crate::current::with_current;
use mm_types::ObjId;
use sched::Access;
use std::sync::atomic::{AtomicU64, Ordering};

/// A word read and written without a lock (`READ_ONCE` / `WRITE_ONCE`): every access is a scheduling point that names it.
#[derive(Debug)]
pub struct TrackedU64 {
    obj: ObjId,
    value: AtomicU64,
}

impl TrackedU64 {
    /// A word with the identity `obj`.
    #[must_use]
    pub const fn new(obj: ObjId, value: u64) -> TrackedU64 {
        TrackedU64 { obj, value: AtomicU64::new(value) }
    }

    /// Its identity: what a wait for a change of it may wait on.
    pub const fn obj(&self) -> ObjId {
        self.obj
    }

    /// Reads it.
    pub fn load(&self) -> u64 {
        self.point(Access::Read);
        self.value.load(Ordering::Acquire)
    }

    /// Writes it.
    pub fn store(&self, value: u64) {
        self.point(Access::Write);
        self.value.store(value, Ordering::Release);
    }

    /// Adds and returns the new value.
    pub fn add_return(&self, n: u64) -> u64 {
        self.point(Access::Write);
        self.value.fetch_add(n, Ordering::AcqRel).wrapping_add(n)
    }

    /// Subtracts and returns the new value.
    pub fn sub_return(&self, n: u64) -> u64 {
        self.point(Access::Write);
        self.value.fetch_sub(n, Ordering::AcqRel).wrapping_sub(n)
    }

    /// The value without a scheduling point: for code that holds the lock the word is written under, and for reports.
    pub fn peek(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Writes without a scheduling point: for code that holds the lock the word is read under.
    pub fn poke(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }

    fn point(&self, access: Access) {
        with_current(|k| {
            if let Some(k) = k {
                k.visible(self.obj, access);
            }
        });
    }
}
