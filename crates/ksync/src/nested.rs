//! Locks taken under another class than their own: `spin_lock_nested()`, `down_write_nested()`.
//!
//! A task that holds a lock and takes a second one of the same class looks to the validator like one that takes the first
//! twice. Where an outer lock, or the hierarchy of what is locked, makes that safe, the kernel says so with a subclass
//! (`SINGLE_DEPTH_NESTING`): the second acquisition counts as one of `&mm->mmap_lock/1`.

use crate::class::ClassIdx;
use crate::raw::{RawLock, SpinLock};
use crate::raw_rw::{RawRwSem, RwSem};
use lock_api::GuardNoSend;
use std::fmt;
use std::marker::PhantomData;
use trace::LockMode;

/// Taking a lock under a subclass. What it protects is not handed out: the guard only holds.
pub trait LockNested {
    /// Takes the lock, exclusively, as one of `class`; waits as the plain form does. `class` is to be the lock's own with
    /// another subclass.
    #[track_caller]
    fn lock_nested(&self, class: ClassIdx) -> NestedGuard<'_>;
}

#[derive(Clone, Copy)]
enum Held<'a> {
    Mutex(&'a RawLock<true>),
    Spin(&'a RawLock<false>),
    RwSem(&'a RawRwSem),
}

/// A lock held under a subclass, until it is dropped.
#[must_use]
pub struct NestedGuard<'a> {
    held: Held<'a>,
    class: ClassIdx,
    _stays: PhantomData<GuardNoSend>,
}

impl fmt::Debug for NestedGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NestedGuard").field("class", &self.class).finish_non_exhaustive()
    }
}

impl Drop for NestedGuard<'_> {
    #[track_caller]
    fn drop(&mut self) {
        match self.held {
            Held::Mutex(raw) => raw.unlock_as(self.class),
            Held::Spin(raw) => raw.unlock_as(self.class),
            Held::RwSem(raw) => raw.unlock_as(self.class, LockMode::Exclusive),
        }
    }
}

#[expect(unsafe_code, reason = "lock_api hands its raw locks out by unsafe functions only")]
impl<T> LockNested for SpinLock<T> {
    #[track_caller]
    fn lock_nested(&self, class: ClassIdx) -> NestedGuard<'_> {
        // SAFETY: the raw lock is taken here and let go once, by the guard; it is never unlocked for anybody else.
        let raw = unsafe { self.raw() };
        raw.lock_as(class);
        NestedGuard { held: Held::Spin(raw), class, _stays: PhantomData }
    }
}

#[expect(unsafe_code, reason = "lock_api hands its raw locks out by unsafe functions only")]
impl<T> LockNested for crate::raw::Mutex<T> {
    #[track_caller]
    fn lock_nested(&self, class: ClassIdx) -> NestedGuard<'_> {
        // SAFETY: as for a spinlock.
        let raw = unsafe { self.raw() };
        raw.lock_as(class);
        NestedGuard { held: Held::Mutex(raw), class, _stays: PhantomData }
    }
}

#[expect(unsafe_code, reason = "lock_api hands its raw locks out by unsafe functions only")]
impl<T> LockNested for RwSem<T> {
    #[track_caller]
    fn lock_nested(&self, class: ClassIdx) -> NestedGuard<'_> {
        // SAFETY: as for a spinlock.
        let raw = unsafe { self.raw() };
        raw.lock_as(class, LockMode::Exclusive);
        NestedGuard { held: Held::RwSem(raw), class, _stays: PhantomData }
    }
}
