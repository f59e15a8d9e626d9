//! [`Mutex`].

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use lockdep::{Acquire, Site};

use crate::tag::{Known, Tag};
use crate::thread;

/// A mutex under the validator: `parking_lot::Mutex` with a class.
pub struct Mutex<T: ?Sized> {
    tag: Tag,
    inner: parking_lot::Mutex<T>,
}

/// Access to what a [`Mutex`] protects; dropping it unlocks.
#[must_use = "the mutex is unlocked at once if the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    pub(crate) known: Known,
    pub(crate) inner: parking_lot::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    /// A mutex whose class is the place of this call.
    #[must_use]
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self { tag: Tag::here(), inner: parking_lot::Mutex::new(value) }
    }

    /// A mutex of the class `name`, which all locks of this name share.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self { tag: Tag::named(name), inner: parking_lot::Mutex::new(value) }
    }

    /// What it protects.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the mutex and locks it.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let known = self.tag.known();
        thread::acquire(known, Acquire::exclusive(), Site::here());
        MutexGuard { known, inner: self.inner.lock() }
    }

    /// The same as a level of its own, from 1, of the mutex's class: for locks of one class that are always taken in the
    /// order of their levels. Linux: `mutex_lock_nested()`.
    #[track_caller]
    pub fn lock_nested(&self, level: u8) -> MutexGuard<'_, T> {
        let known = self.tag.nested(level);
        thread::acquire(known, Acquire::exclusive(), Site::here());
        MutexGuard { known, inner: self.inner.lock() }
    }

    /// The same under the lock of `outer`, which whoever takes several of the class at once must hold. Linux:
    /// `mutex_lock_nest_lock()`.
    #[track_caller]
    pub fn lock_under<U: ?Sized>(&self, outer: &MutexGuard<'_, U>) -> MutexGuard<'_, T> {
        let known = self.tag.known();
        thread::acquire_under(known, Acquire::exclusive(), outer.known, Site::here());
        MutexGuard { known, inner: self.inner.lock() }
    }

    /// Locks the mutex if that needs no waiting.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.tried(self.inner.try_lock()?, Site::here())
    }

    /// Locks the mutex if that needs no longer waiting than this. As it cannot wait for ever, it counts as a trylock.
    #[track_caller]
    pub fn try_lock_for(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        self.tried(self.inner.try_lock_for(timeout)?, Site::here())
    }

    #[inline]
    fn tried<'a>(&'a self, inner: parking_lot::MutexGuard<'a, T>, site: Site) -> Option<MutexGuard<'a, T>> {
        let known = self.tag.known();
        thread::acquire(known, Acquire::exclusive().trylock(), site);
        Some(MutexGuard { known, inner })
    }

    /// Whether somebody has it locked.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }

    /// What it protects, without locking: nobody else can reach it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        thread::release(self.known);
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
