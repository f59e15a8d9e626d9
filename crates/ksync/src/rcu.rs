//! RCU: read sections that must not sleep, the wait for those that began before, and what is checked of both.
//!
//! The three flavours are three lockdep maps and one grace period: since 5.0 a grace period waits for read sections, and
//! for stretches with bottom halves or preemption disabled, alike. To the validator a section is on the held stack only
//! (`check` 0): it teaches no order, but limits what may be waited for inside.
//!
//! Sources: include/linux/rcupdate.h, kernel/rcu/update.c, Linux 6.12.

use crate::class::LockClass;
use crate::current::current;
use crate::grace::Readers;
use crate::kernel::Kernel;
use crate::map::LockMap;
use crate::memory::{Barrier, Hold};
use crate::names::NAMES;
use crate::wait::WaitQueue;
use lockdep::{Acquire, WaitType};
use mm_types::ObjId;
use sched::Access;
use std::panic::Location;
use std::sync::Arc;
use trace::{EventKind, LockKind, LockMode};

/// Which read section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RcuFlavour {
    /// `rcu_read_lock()`.
    Plain,
    /// `rcu_read_lock_bh()`: bottom halves are disabled as well.
    Bh,
    /// `rcu_read_lock_sched()`: preemption is.
    Sched,
}

/// The key space of RCU's objects: the flavours' maps, and the grace period.
const RCU: u8 = 0x7e;
const GRACE: ObjId = ObjId::keyed(RCU, 3);

impl RcuFlavour {
    const ALL: [RcuFlavour; 3] = [RcuFlavour::Plain, RcuFlavour::Bh, RcuFlavour::Sched];

    pub(crate) const fn obj(self) -> ObjId {
        ObjId::keyed(RCU, self as u64)
    }

    /// Nests anywhere (it needs no wait), and inside of it at most spinlocks may be waited for; where preemption is
    /// disabled, raw ones.
    pub(crate) fn class(self) -> LockClass {
        let (name, inner) = match self {
            RcuFlavour::Plain => ("rcu_read_lock", WaitType::Config),
            RcuFlavour::Bh => ("rcu_read_lock_bh", WaitType::Config),
            RcuFlavour::Sched => ("rcu_read_lock_sched", WaitType::Spin),
        };
        LockClass::new(name, LockKind::Rcu).wait(inner, WaitType::Free)
    }

    fn map(self, k: &Kernel) -> LockMap {
        LockMap::new(k.class(self.class()), self.obj())
    }

    const fn switched_in(self) -> &'static str {
        match self {
            RcuFlavour::Plain => "Illegal context switch in RCU read-side critical section",
            RcuFlavour::Bh => "Illegal context switch in RCU-bh read-side critical section",
            RcuFlavour::Sched => "Illegal context switch in RCU-sched read-side critical section",
        }
    }
}

/// What a kernel keeps of RCU.
#[derive(Debug)]
pub(crate) struct Rcu {
    /// Of all threads, where there are some.
    pub(crate) readers: Arc<Readers>,
}

impl Rcu {
    pub(crate) fn new() -> Rcu {
        Rcu { readers: Arc::new(Readers::new()) }
    }

    pub(crate) fn reset(&self) {
        self.readers.reset();
    }

    /// Whether any task is in a read section.
    #[inline]
    pub(crate) fn any_reader(&self) -> bool {
        self.readers.any()
    }
}

/// A read section of the current task; dropping it ends it. Only inside a [`Kernel`].
#[derive(Debug)]
#[must_use = "the read section lasts as long as its guard"]
pub struct RcuReadGuard {
    flavour: RcuFlavour,
    parity: usize,
}

/// `rcu_read_lock()`, `rcu_read_lock_bh()` or `rcu_read_lock_sched()`. Never waits; sections nest, of whatever flavour.
#[track_caller]
pub fn rcu_read_lock(flavour: RcuFlavour) -> RcuReadGuard {
    let at = Location::caller();
    current(|k| RcuReadGuard { flavour, parity: enter(k, flavour, at) })
}

/// Begins a section; the parity with which it is to be left.
pub(crate) fn enter(k: &Kernel, flavour: RcuFlavour, at: &'static Location<'static>) -> usize {
    let map = flavour.map(k);
    k.visible_read(GRACE);
    k.memory_acquire(GRACE, Hold::Shared);
    let parity = k.rcu.readers.enter();
    grace().owe();
    if flavour == RcuFlavour::Bh {
        k.tell(at, |run, held, site| {
            run.local_bh_disable(held, site);
            lockdep::Verdict::Ok
        });
    }
    k.lockdep_acquire(map.class(), map.obj(), Acquire::recursive().unchecked(), at);
    k.emit_lock(map.class(), map.obj(), |lock| EventKind::LockAcquired {
        lock,
        mode: LockMode::Shared,
        trylock: false,
    });
    parity
}

/// Ends a section.
pub(crate) fn leave(k: &Kernel, flavour: RcuFlavour, parity: usize, at: &'static Location<'static>) {
    let leaves = k.rcu.readers.leaves(parity);
    if k.quiet() {
        drop(leaves);
        k.wake_threads();
        return;
    }
    k.visible_write(GRACE);
    k.memory_release(GRACE, Hold::Exclusive);
    tell_left(k, flavour, at);
    grace().settle();
    drop(leaves);
    if k.rcu.readers.gone(parity) {
        k.wake_all(GRACE);
    }
}

/// Tells that a section ends.
pub(crate) fn tell_left(k: &Kernel, flavour: RcuFlavour, at: &'static Location<'static>) {
    let map = flavour.map(k);
    k.lockdep_release(map.class(), map.obj(), at);
    if flavour == RcuFlavour::Bh {
        k.tell(at, |run, held, site| run.local_bh_enable(held, site));
    }
    k.emit_lock(map.class(), map.obj(), |lock| EventKind::LockReleased { lock, mode: LockMode::Shared });
}

fn grace() -> WaitQueue {
    WaitQueue::with_obj(GRACE, NAMES.synchronize_rcu)
}

impl Drop for RcuReadGuard {
    #[track_caller]
    fn drop(&mut self) {
        let at = Location::caller();
        current(|k| leave(k, self.flavour, self.parity, at));
    }
}

/// `synchronize_rcu()`: returns when every read section that had begun is over. May sleep. A caller inside a read section
/// is reported, and waits for itself.
#[track_caller]
pub fn synchronize_rcu() {
    let at = Location::caller();
    current(|k| {
        let inside = RcuFlavour::ALL.into_iter().any(|flavour| k.rcu_read_lock_held(flavour));
        k.rcu_lockdep_warn(inside, "Illegal synchronize_rcu() in RCU read-side critical section", at);
        k.might_sleep_from(NAMES.synchronize_rcu, at);
        k.barrier(Barrier::Full);
        k.visible_write(GRACE);
        k.memory_release(GRACE, Hold::Exclusive);
        let asked = k.rcu.readers.next_grace_period();
        grace().wait(Access::Write, || k.rcu.readers.is_over(asked), at);
        k.barrier(Barrier::Full);
    });
}

impl Kernel {
    /// `rcu_read_lock_held()` and its kin: whether the current task is in such a section, as far as the validator knows.
    pub fn rcu_read_lock_held(&self, flavour: RcuFlavour) -> bool {
        self.with_task(|task| task.held.holds(flavour.obj().0))
    }

    /// `rcu_dereference_check()`: reports that the current task looks at what RCU protects, outside of a read section and
    /// without what else `protected` says would do.
    #[track_caller]
    pub fn rcu_dereference_check(&self, protected: bool) {
        let fine = protected || self.rcu_read_lock_held(RcuFlavour::Plain);
        self.rcu_lockdep_warn(!fine, "suspicious rcu_dereference_check() usage", Location::caller());
    }

    /// `RCU_LOCKDEP_WARN()`.
    fn rcu_lockdep_warn(&self, wrong: bool, what: &'static str, at: &'static Location<'static>) {
        if wrong {
            self.tell(at, |run, held, site| run.rcu_suspicious(held, what, site));
        }
    }

    /// `rcu_sleep_check()`: a task in a read section must not sleep.
    #[cold]
    pub(crate) fn rcu_sleep_check(&self, at: &'static Location<'static>) {
        for flavour in RcuFlavour::ALL {
            self.rcu_lockdep_warn(self.rcu_read_lock_held(flavour), flavour.switched_in(), at);
        }
    }
}
