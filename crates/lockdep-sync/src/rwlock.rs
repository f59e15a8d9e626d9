//! [`RwLock`].

use core::fmt;
use core::ops::{Deref, DerefMut};

use lockdep::{Acquire, Site};
use parking_lot::RawRwLock;
use parking_lot::lock_api;

use crate::tag::{Known, Tag};
use crate::thread;

/// A reader-writer lock under the validator: `parking_lot::RwLock` with a class, or `parking_lot::RecursiveRwLock`.
///
/// Readers wait behind a writer who waits, so that a thread must not read twice. With `RECURSIVE` they go past it.
pub struct RwLock<T: ?Sized, const RECURSIVE: bool = false> {
    tag: Tag,
    inner: lock_api::RwLock<RawRwLock<RECURSIVE>, T>,
}

/// Shared access to what a [`RwLock`] protects; dropping it unlocks.
#[must_use = "the lock is unlocked at once if the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized, const RECURSIVE: bool = false> {
    // Before `inner`, as fields are dropped in order, and a lock is released before it is unlocked.
    _held: Release,
    inner: lock_api::RwLockReadGuard<'a, RawRwLock<RECURSIVE>, T>,
}

/// Exclusive access to what a [`RwLock`] protects; dropping it unlocks.
#[must_use = "the lock is unlocked at once if the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized, const RECURSIVE: bool = false> {
    // Before `inner`, as above.
    held: Release,
    inner: lock_api::RwLockWriteGuard<'a, RawRwLock<RECURSIVE>, T>,
}

/// Releases when dropped: a field, so that a guard can be turned into another.
struct Release(Known);

impl Drop for Release {
    #[inline]
    fn drop(&mut self) {
        thread::release(self.0);
    }
}

impl<T> RwLock<T> {
    /// A lock whose class is the place of this call.
    #[must_use]
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self { tag: Tag::here(), inner: lock_api::RwLock::new(value) }
    }

    /// A lock of the class `name`, which all locks of this name share.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self { tag: Tag::named(name), inner: lock_api::RwLock::new(value) }
    }
}

impl<T> RwLock<T, true> {
    /// A lock that a thread may read twice, whose class is the place of this call.
    #[must_use]
    #[track_caller]
    pub const fn recursive(value: T) -> Self {
        Self { tag: Tag::here(), inner: lock_api::RwLock::new(value) }
    }

    /// A lock that a thread may read twice, of the class `name`.
    #[must_use]
    pub const fn recursive_named(name: &'static str, value: T) -> Self {
        Self { tag: Tag::named(name), inner: lock_api::RwLock::new(value) }
    }
}

impl<T, const RECURSIVE: bool> RwLock<T, RECURSIVE> {
    /// What it protects.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized, const RECURSIVE: bool> RwLock<T, RECURSIVE> {
    /// How reading counts.
    const READ: Acquire = if RECURSIVE { Acquire::recursive() } else { Acquire::shared() };

    /// Waits until there is no writer (nor one who waits, unless `RECURSIVE`) and locks it shared.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T, RECURSIVE> {
        let held = self.taken(self.tag.known(), Self::READ, Site::here());
        RwLockReadGuard { _held: held, inner: self.inner.read() }
    }

    /// Waits until nobody has it and locks it.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T, RECURSIVE> {
        let held = self.taken(self.tag.known(), Acquire::exclusive(), Site::here());
        RwLockWriteGuard { held, inner: self.inner.write() }
    }

    /// [`RwLock::read`] as a level of its own: see [`Mutex::lock_nested`](crate::Mutex::lock_nested).
    #[track_caller]
    pub fn read_nested(&self, level: u8) -> RwLockReadGuard<'_, T, RECURSIVE> {
        let held = self.taken(self.tag.nested(level), Self::READ, Site::here());
        RwLockReadGuard { _held: held, inner: self.inner.read() }
    }

    /// [`RwLock::write`] as a level of its own: see [`Mutex::lock_nested`](crate::Mutex::lock_nested).
    #[track_caller]
    pub fn write_nested(&self, level: u8) -> RwLockWriteGuard<'_, T, RECURSIVE> {
        let held = self.taken(self.tag.nested(level), Acquire::exclusive(), Site::here());
        RwLockWriteGuard { held, inner: self.inner.write() }
    }

    /// Locks it shared if that needs no waiting.
    #[inline]
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T, RECURSIVE>> {
        let inner = self.inner.try_read()?;
        let held = self.taken(self.tag.known(), Self::READ.trylock(), Site::here());
        Some(RwLockReadGuard { _held: held, inner })
    }

    /// Locks it if that needs no waiting.
    #[inline]
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T, RECURSIVE>> {
        let inner = self.inner.try_write()?;
        let held = self.taken(self.tag.known(), Acquire::exclusive().trylock(), Site::here());
        Some(RwLockWriteGuard { held, inner })
    }

    #[inline]
    fn taken(&self, known: Known, how: Acquire, site: Site) -> Release {
        thread::acquire(known, how, site);
        Release(known)
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

impl<'a, T: ?Sized, const RECURSIVE: bool> RwLockWriteGuard<'a, T, RECURSIVE> {
    /// Lets other readers in, and no writer in between. Linux: `downgrade_write()`.
    #[track_caller]
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T, RECURSIVE> {
        thread::downgrade(guard.held.0, RwLock::<(), RECURSIVE>::READ.read, Site::here());
        RwLockReadGuard { _held: guard.held, inner: lock_api::RwLockWriteGuard::downgrade(guard.inner) }
    }
}

impl<T: ?Sized, const RECURSIVE: bool> Deref for RwLockReadGuard<'_, T, RECURSIVE> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized, const RECURSIVE: bool> Deref for RwLockWriteGuard<'_, T, RECURSIVE> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized, const RECURSIVE: bool> DerefMut for RwLockWriteGuard<'_, T, RECURSIVE> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized + fmt::Debug, const RECURSIVE: bool> fmt::Debug for RwLock<T, RECURSIVE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, const RECURSIVE: bool> fmt::Debug for RwLockReadGuard<'_, T, RECURSIVE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, const RECURSIVE: bool> fmt::Debug for RwLockWriteGuard<'_, T, RECURSIVE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Default> Default for RwLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
