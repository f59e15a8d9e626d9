//! RCU read sections for whose end nobody here waits (what they protect is never freed): the validator sees them, and they
//! are neither a scheduling point nor an event. Those with a grace period are in `rcu.rs`.

use crate::current::current;
use crate::kernel::Kernel;
use crate::rcu::RcuFlavour;
use lockdep::Acquire;
use std::panic::Location;

/// `rcu_read_lock()` .. `rcu_read_unlock()`; nests.
#[derive(Debug)]
#[must_use = "the read section lasts as long as its guard"]
pub struct RcuSection(());

impl Kernel {
    /// `rcu_read_lock()`: on the held stack only, as there (`rcu_lock_acquire()`, `check` 0): no order is learnt by it.
    #[track_caller]
    pub fn rcu_section(&self) -> RcuSection {
        let obj = RcuFlavour::Plain.obj();
        self.lockdep_acquire(self.rcu_class, obj, Acquire::recursive().unchecked(), Location::caller());
        RcuSection(())
    }
}

impl Drop for RcuSection {
    #[track_caller]
    fn drop(&mut self) {
        let at = Location::caller();
        current(|k| k.lockdep_release(k.rcu_class, RcuFlavour::Plain.obj(), at));
    }
}
