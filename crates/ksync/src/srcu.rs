//! Sleepable RCU: read sections that may sleep, and the wait for those that began before.

use crate::class::{ClassIdx, LockClass};
use crate::current::current;
use crate::grace::Readers;
use crate::kernel::Kernel;
use crate::map::LockMap;
use crate::memory::{Barrier, Hold};
use crate::names::NAMES;
use crate::wait::WaitQueue;
use lockdep::Acquire;
use sched::Access;
use std::panic::Location;
use trace::{EventKind, LockKind, LockMode};

/// `struct srcu_struct`. Only inside a [`Kernel`].
///
/// A grace period waits for the readers that began before it; those that come later do not delay it.
#[derive(Debug)]
pub struct Srcu {
    class: ClassIdx,
    map: LockMap,
    /// Whether lockdep learns orders through read sections: not before Linux 6.4 (`check` 0), since then it does.
    checked: bool,
    readers: Readers,
    grace: WaitQueue,
}

/// A read section; dropping it is `srcu_read_unlock()`.
#[derive(Debug)]
#[must_use = "the read section lasts as long as its guard"]
pub struct SrcuReadGuard<'a> {
    srcu: &'a Srcu,
    parity: usize,
}

impl Srcu {
    /// An SRCU domain. `checked`: lockdep judges it like any recursive read lock (`lock_map_acquire_read()`,
    /// include/linux/srcu.h 6.12), else it is only on the held stack (6.1: `rcu_lock_acquire()`, `check` 0).
    #[must_use]
    pub fn new(k: &Kernel, name: &str, checked: bool) -> Srcu {
        let class = k.class(LockClass::new(name, LockKind::Srcu));
        let obj = k.new_obj();
        Srcu {
            class,
            map: LockMap::new(class, obj),
            checked,
            readers: Readers::new(),
            grace: WaitQueue::new(k, NAMES.synchronize_srcu),
        }
    }

    fn how(&self) -> Acquire {
        let how = Acquire::recursive();
        if self.checked { how } else { how.unchecked() }
    }

    /// `srcu_read_lock()`. Never waits; sections nest.
    #[track_caller]
    pub fn read_lock(&self) -> SrcuReadGuard<'_> {
        let at = Location::caller();
        current(|k| {
            k.visible_read(self.grace.obj());
            k.memory_acquire(self.grace.obj(), Hold::Shared);
            let parity = self.readers.enter();
            self.grace.owe();
            k.lockdep_acquire(self.class, self.map.obj(), self.how(), at);
            k.emit_lock(self.class, self.map.obj(), |lock| EventKind::LockAcquired {
                lock,
                mode: LockMode::Shared,
                trylock: false,
            });
            SrcuReadGuard { srcu: self, parity }
        })
    }

    /// `synchronize_srcu()`: returns when every read section that had begun is over. May sleep. A caller inside a read
    /// section of the same domain waits for itself.
    #[track_caller]
    pub fn synchronize(&self) {
        let at = Location::caller();
        current(|k| {
            k.might_sleep_from(NAMES.synchronize_srcu, at);
            if self.checked {
                // `srcu_lock_sync()`: the validator sees an acquisition that is over at once.
                self.map.touch();
            }
            k.barrier(Barrier::Full);
            k.visible_write(self.grace.obj());
            k.memory_release(self.grace.obj(), Hold::Exclusive);
            let asked = self.readers.next_grace_period();
            self.grace.wait(Access::Write, || self.readers.is_over(asked), at);
            k.barrier(Barrier::Full);
        });
    }
}

impl Drop for SrcuReadGuard<'_> {
    #[track_caller]
    fn drop(&mut self) {
        let at = Location::caller();
        let srcu = self.srcu;
        current(|k| {
            let leaves = srcu.readers.leaves(self.parity);
            if k.quiet() {
                drop(leaves);
                k.wake_threads();
                return;
            }
            k.visible_write(srcu.grace.obj());
            k.memory_release(srcu.grace.obj(), Hold::Exclusive);
            k.lockdep_release(srcu.class, srcu.map.obj(), at);
            k.emit_lock(srcu.class, srcu.map.obj(), |lock| EventKind::LockReleased { lock, mode: LockMode::Shared });
            srcu.grace.settle();
            drop(leaves);
            if srcu.readers.gone(self.parity) {
                k.wake_all(srcu.grace.obj());
            }
        });
    }
}
