//! [`ReentrantMutex`].

use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering};

use lockdep::{Acquire, Site};

use crate::tag::{Known, Tag};
use crate::thread;

/// A mutex that its owner may lock again, under the validator: `parking_lot::ReentrantMutex` with a class.
///
/// Only the outermost locking waits for others, so only that is an order.
pub struct ReentrantMutex<T: ?Sized> {
    tag: Tag,
    /// How often the owner has it; written by the owner alone.
    depth: AtomicU32,
    inner: parking_lot::ReentrantMutex<T>,
}

/// Shared access to what a [`ReentrantMutex`] protects; dropping the last of its owner's unlocks.
#[must_use = "the mutex is unlocked at once if the guard is dropped"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    known: Known,
    depth: &'a AtomicU32,
    inner: parking_lot::ReentrantMutexGuard<'a, T>,
}

impl<T> ReentrantMutex<T> {
    /// A mutex whose class is the place of this call.
    #[must_use]
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self { tag: Tag::here(), depth: AtomicU32::new(0), inner: parking_lot::ReentrantMutex::new(value) }
    }

    /// A mutex of the class `name`, which all locks of this name share.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self { tag: Tag::named(name), depth: AtomicU32::new(0), inner: parking_lot::ReentrantMutex::new(value) }
    }

    /// What it protects.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits for the mutex, unless this thread has it, and locks it (once more).
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        let known = self.tag.known();
        if !self.inner.is_owned_by_current_thread() {
            thread::acquire(known, Acquire::exclusive(), Site::here());
        }
        self.counted(known, self.inner.lock())
    }

    /// Locks the mutex if that needs no waiting.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        let known = self.tag.known();
        let again = self.inner.is_owned_by_current_thread();
        let inner = self.inner.try_lock()?;
        if !again {
            thread::acquire(known, Acquire::exclusive().trylock(), Site::here());
        }
        Some(self.counted(known, inner))
    }

    #[inline]
    fn counted<'a>(
        &'a self,
        known: Known,
        inner: parking_lot::ReentrantMutexGuard<'a, T>,
    ) -> ReentrantMutexGuard<'a, T> {
        self.depth.store(self.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        ReentrantMutexGuard { known, depth: &self.depth, inner }
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

impl<T: ?Sized> Drop for ReentrantMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let left = self.depth.load(Ordering::Relaxed) - 1;
        self.depth.store(left, Ordering::Relaxed);
        if left == 0 {
            thread::release(self.known);
        }
    }
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
