//! A release that no acquisition belongs to, for code that is wrong on purpose: no guard can do it.

use crate::current::with_current;
use crate::raw::Mutex;
use crate::raw_rw::RwSem;
use std::panic::Location;

/// Locks that can be let go by who does not hold them.
pub trait StrayUnlock {
    /// Tells the validator that the current task lets the lock go. Whoever holds it goes on holding it: what a real release by
    /// another would do to a lock is not modelled.
    fn stray_unlock(&self);
}

#[expect(unsafe_code, reason = "lock_api hands its raw locks out by unsafe functions only")]
impl<T> StrayUnlock for Mutex<T> {
    #[track_caller]
    fn stray_unlock(&self) {
        let at = Location::caller();
        // SAFETY: the raw lock's identity is read; it is neither taken nor let go.
        let raw = unsafe { self.raw() };
        with_current(|k| k.into_iter().for_each(|k| k.lockdep_release(raw.class(), raw.obj(), at)));
    }
}

#[expect(unsafe_code, reason = "lock_api hands its raw locks out by unsafe functions only")]
impl<T> StrayUnlock for RwSem<T> {
    #[track_caller]
    fn stray_unlock(&self) {
        let at = Location::caller();
        // SAFETY: as for a mutex.
        let raw = unsafe { self.raw() };
        with_current(|k| k.into_iter().for_each(|k| k.lockdep_release(raw.class(), raw.obj(), at)));
    }
}
