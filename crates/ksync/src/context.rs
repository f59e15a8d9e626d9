//! Where a task may sleep.

use crate::current::current;
use crate::kernel::Kernel;
use crate::names::NAMES;
use mm_types::Name;
use std::panic::Location;
use trace::EventKind;

impl Kernel {
    /// `might_sleep()`: tells the observer that the current task may sleep here. Whether it was allowed to is for the CTX
    /// oracle to say; in an RCU read section the validator reports it as well. `what` names the caller.
    #[inline]
    #[track_caller]
    pub fn might_sleep_at(&self, what: Name) {
        self.might_sleep_from(what, Location::caller());
    }

    #[inline]
    pub(crate) fn might_sleep_from(&self, what: Name, at: &'static Location<'static>) {
        if self.observing() {
            self.emit(EventKind::MightSleep { what });
        }
        if self.rcu.any_reader() {
            self.rcu_sleep_check(at);
        }
    }
}

impl Kernel {
    /// Sleeps for `ns` of virtual time (`msleep()`). Other tasks run meanwhile; when none can, time passes at once.
    pub fn sleep_ns(&self, ns: u64) {
        self.might_sleep_at(NAMES.msleep);
        if self.quiet() {
            return;
        }
        let (me, until) = (self.new_obj(), self.now_ns().saturating_add(ns));
        let _timed_out = self.sched.block_until(me, until);
    }
}

/// `non_block_start()` .. `non_block_end()`: while it lives the task must not sleep. Nests.
#[derive(Debug)]
#[must_use = "the section lasts as long as this value"]
pub struct NonBlock(());

impl NonBlock {
    /// Begins the section.
    pub fn start() -> NonBlock {
        current(|k| k.emit(EventKind::NonBlockStart));
        NonBlock(())
    }
}

impl Drop for NonBlock {
    fn drop(&mut self) {
        current(|k| k.emit(EventKind::NonBlockEnd));
    }
}
