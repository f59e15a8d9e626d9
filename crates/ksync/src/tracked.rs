//! A shared word whose accesses other tasks can observe.

use crate::current::with_current;
use crate::kernel::Kernel;
use crate::memory::Marked;
use mm_types::ObjId;
use sched::Access;
use std::sync::atomic::{AtomicU64, Ordering};

/// A word read and written without a lock (`READ_ONCE` / `WRITE_ONCE`): every access is a scheduling point that names it.
/// Which value a load sees is a matter of the [memory model](crate::MemoryModel): the newest, unless a weak one is set.
#[derive(Debug)]
pub struct TrackedU64 {
    obj: ObjId,
    /// The newest value.
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

    /// Reads it: `READ_ONCE()`.
    pub fn load(&self) -> u64 {
        self.load_as(Marked::Once)
    }

    /// Reads it before everything that comes after: `smp_load_acquire()`.
    pub fn load_acquire(&self) -> u64 {
        self.load_as(Marked::Ordered)
    }

    /// Writes it: `WRITE_ONCE()`.
    pub fn store(&self, value: u64) {
        self.store_as(value, Marked::Once);
    }

    /// Writes it after everything that came before: `smp_store_release()`.
    pub fn store_release(&self, value: u64) {
        self.store_as(value, Marked::Ordered);
    }

    /// Adds and returns the new value: `atomic64_add_return()`, fully ordered.
    pub fn add_return(&self, n: u64) -> u64 {
        self.modify(|value| value.wrapping_add(n))
    }

    /// Subtracts and returns the new value: `atomic64_sub_return()`, fully ordered.
    pub fn sub_return(&self, n: u64) -> u64 {
        self.modify(|value| value.wrapping_sub(n))
    }

    /// Adds 1 unless it is 0; whether it did: `atomic64_inc_not_zero()`, fully ordered.
    ///
    /// To the scheduler it is a read: two of them commute, and what takes it to 0 is a write.
    pub fn inc_not_zero(&self) -> bool {
        let change = |value: u64| if value == 0 { 0 } else { value + 1 };
        with_current(|k| match k {
            Some(k) if k.has_weak_memory() => k.weak_modify(self.obj, &self.value, change) != 0,
            k => {
                self.point(k, Access::Read);
                self.value.update(Ordering::AcqRel, Ordering::Acquire, change) != 0
            }
        })
    }

    /// The newest value without a scheduling point: for code that holds the lock the word is written under, for what a wait
    /// waits for, and for reports. Where memory is weak it orders as little as [`TrackedU64::load`].
    pub fn peek(&self) -> u64 {
        let value = self.value.load(Ordering::Relaxed);
        with_current(|k| {
            if let Some(k) = k.filter(|k| k.has_weak_memory()) {
                k.weak_peek(self.obj, value);
            }
        });
        value
    }

    /// Writes without a scheduling point: for code that holds the lock the word is read under.
    pub fn poke(&self, value: u64) {
        with_current(|k| match k {
            Some(k) if k.has_weak_memory() => k.weak_poke(self.obj, &self.value, value),
            _ => self.value.store(value, Ordering::Relaxed),
        });
    }

    #[inline]
    fn load_as(&self, marked: Marked) -> u64 {
        with_current(|k| match k {
            Some(k) if k.has_weak_memory() => k.weak_load(self.obj, &self.value, marked),
            k => {
                self.point(k, Access::Read);
                self.value.load(Ordering::Acquire)
            }
        })
    }

    #[inline]
    fn store_as(&self, value: u64, marked: Marked) {
        with_current(|k| match k {
            Some(k) if k.has_weak_memory() => k.weak_store(self.obj, &self.value, value, marked),
            k => {
                self.point(k, Access::Write);
                self.value.store(value, Ordering::Release);
            }
        });
    }

    #[inline]
    fn modify(&self, change: impl Fn(u64) -> u64) -> u64 {
        with_current(|k| match k {
            Some(k) if k.has_weak_memory() => k.weak_modify(self.obj, &self.value, change),
            k => {
                self.point(k, Access::Write);
                change(self.value.update(Ordering::AcqRel, Ordering::Acquire, &change))
            }
        })
    }

    #[inline]
    fn point(&self, k: Option<&Kernel>, access: Access) {
        if let Some(k) = k {
            k.visible(self.obj, access);
        }
    }
}
