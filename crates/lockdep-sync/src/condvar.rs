//! [`Condvar`].

use core::time::Duration;

use lockdep::Site;
use parking_lot::WaitTimeoutResult;

use crate::mutex::MutexGuard;
use crate::thread;

/// A condition variable for [`Mutex`](crate::Mutex).
///
/// Waiting gives the mutex back and takes it again, with whatever else the thread holds still held: the order that this
/// makes is judged before the thread waits.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: parking_lot::Condvar,
}

impl Condvar {
    /// A condition variable nobody waits on.
    #[must_use]
    pub const fn new() -> Self {
        Self { inner: parking_lot::Condvar::new() }
    }

    /// Unlocks the mutex, waits to be notified, and locks it again.
    #[track_caller]
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        thread::retake(guard.known, Site::here());
        self.inner.wait(&mut guard.inner);
    }

    /// The same, for no longer than `timeout`; the mutex is locked again in either case.
    #[track_caller]
    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> WaitTimeoutResult {
        thread::retake(guard.known, Site::here());
        self.inner.wait_for(&mut guard.inner, timeout)
    }

    /// Waits for as long as `condition` says so.
    #[track_caller]
    pub fn wait_while<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, mut condition: impl FnMut(&mut T) -> bool) {
        while condition(&mut guard.inner) {
            self.wait(guard);
        }
    }

    /// Wakes one who waits; whether there was one.
    pub fn notify_one(&self) -> bool {
        self.inner.notify_one()
    }

    /// Wakes all who wait; how many there were.
    pub fn notify_all(&self) -> usize {
        self.inner.notify_all()
    }
}
