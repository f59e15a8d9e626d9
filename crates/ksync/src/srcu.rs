//! Sleepable RCU: read sections that may sleep, and the wait for those that began before.

use crate::class::{ClassIdx, LockClass};
use crate::current::current;
use crate::kernel::Kernel;
use crate::map::LockMap;
use crate::names::NAMES;
use crate::wait::WaitQueue;
use lockdep::Acquire;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use trace::{EventKind, LockKind, LockMode};

/// `struct srcu_struct`. Only inside a [`Kernel`].
///
/// Readers are counted per generation parity; a grace period advances the generation and waits until the readers of the
/// one before are gone. Readers that come later do not delay it.
#[derive(Debug)]
pub struct Srcu {
    class: ClassIdx,
    map: LockMap,
    /// Whether lockdep learns orders through read sections: not before Linux 6.4 (`check` 0), since then it does.
    checked: bool,
    readers: Readers,
    grace: WaitQueue,
}

/// Readers by the parity of the generation in which they began: all that a grace period asks.
#[derive(Debug)]
pub(crate) struct Readers {
    generation: AtomicU64,
    counts: [AtomicU32; 2],
}

impl Readers {
    pub(crate) const fn new() -> Readers {
        Readers { generation: AtomicU64::new(0), counts: [AtomicU32::new(0), AtomicU32::new(0)] }
    }

    pub(crate) fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// A read section begins; its parity.
    pub(crate) fn enter(&self) -> usize {
        let parity = (self.generation.load(Ordering::Relaxed) & 1) as usize;
        self.counts[parity].fetch_add(1, Ordering::AcqRel);
        parity
    }

    /// The end of a read section of this parity, for when that is dropped.
    pub(crate) fn leaves(&self, parity: usize) -> Leaves<'_> {
        Leaves(&self.counts[parity])
    }

    /// A grace period begins; the parity of those it waits for.
    pub(crate) fn begin_grace(&self) -> usize {
        (self.generation.fetch_add(1, Ordering::AcqRel) & 1) as usize
    }

    /// Whether no read section of a parity goes on.
    pub(crate) fn gone(&self, parity: usize) -> bool {
        self.counts[parity].load(Ordering::Acquire) == 0
    }

    /// Whether any read section goes on.
    pub(crate) fn any(&self) -> bool {
        !(self.gone(0) && self.gone(1))
    }
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
            k.visible_read(self.map.obj());
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
            k.visible_write(self.map.obj());
            let old = self.readers.begin_grace();
            self.grace.wait_event(|| self.readers.gone(old));
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
                return;
            }
            k.visible_write(srcu.map.obj());
            k.lockdep_release(srcu.class, srcu.map.obj(), at);
            k.emit_lock(srcu.class, srcu.map.obj(), |lock| EventKind::LockReleased { lock, mode: LockMode::Shared });
            srcu.grace.settle();
            drop(leaves);
            if srcu.readers.gone(self.parity) {
                k.sched.wake_all(srcu.grace.obj());
            }
        });
    }
}

/// Takes a reader off when it is dropped: also when its task is unwound from the scheduling point of the release.
pub(crate) struct Leaves<'a>(&'a AtomicU32);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
