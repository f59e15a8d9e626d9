//! Checks a caller asks for: freed memory, ends of tasks, pins, assertions, RCU.

use crate::acquire::{Read, Site};
use crate::class::ClassId;
use crate::core::Core;
use crate::held::Held;
use crate::report::{Detail, Report};
use crate::run::{Run, Verdict};
use crate::storage::Storage;

/// What a caller takes for granted: `lockdep_assert_held()` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// `lockdep_assert_held`: this lock is held, in whatever way.
    Held(u64),
    /// `lockdep_assert_not_held`.
    NotHeld(u64),
    /// `lockdep_assert_held_write`: held exclusively.
    HeldWrite(u64),
    /// `lockdep_assert_held_read`: held shared.
    HeldRead(u64),
    /// `lockdep_assert_none_held_once`: no lock is held at all.
    NoneHeld,
    /// `lockdep_assert_irqs_enabled`: hardirqs are.
    IrqsEnabled,
    /// `lockdep_assert_irqs_disabled`: hardirqs are.
    IrqsDisabled,
    /// `lockdep_assert_in_irq`: in a hardirq handler.
    InIrq,
    /// `lockdep_assert_no_hardirq`: in no hardirq handler, and hardirqs are enabled.
    NoHardirq,
    /// `lockdep_assert_in_softirq`: in a softirq handler, and in no hardirq that interrupted it.
    InSoftirq,
    /// `lockdep_assert_RT_in_threaded_ctx`: not in a hardirq handler that PREEMPT_RT would not run in a thread.
    InThreadedContext,
}

impl Assertion {
    /// Whether it holds of a task.
    #[must_use]
    pub fn holds(self, held: &Held) -> bool {
        // The outermost hold of a lock counts (`__lock_is_held()`).
        let is = |instance: u64, read: Option<bool>| {
            let hold = held.locks().iter().find(|lock| lock.instance() == instance);
            hold.is_some_and(|lock| read.is_none_or(|read| read == (lock.read() != Read::Exclusive)))
        };
        let irq = held.irq_state();
        match self {
            Self::Held(instance) => is(instance, None),
            Self::NotHeld(instance) => !is(instance, None),
            Self::HeldWrite(instance) => is(instance, Some(false)),
            Self::HeldRead(instance) => is(instance, Some(true)),
            Self::NoneHeld => held.locks().is_empty(),
            Self::IrqsEnabled => irq.hardirqs_enabled,
            Self::IrqsDisabled => !irq.hardirqs_enabled,
            Self::InIrq => irq.hardirq_depth > 0,
            Self::NoHardirq => irq.hardirq_depth == 0 && irq.hardirqs_enabled,
            Self::InSoftirq => irq.softirq_depth > 0 && irq.hardirq_depth == 0,
            Self::InThreadedContext => irq.hardirq_depth == 0 || irq.hardirq_threaded,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Held(_) => "lockdep_assert_held",
            Self::NotHeld(_) => "lockdep_assert_not_held",
            Self::HeldWrite(_) => "lockdep_assert_held_write",
            Self::HeldRead(_) => "lockdep_assert_held_read",
            Self::NoneHeld => "lockdep_assert_none_held_once",
            Self::IrqsEnabled => "lockdep_assert_irqs_enabled",
            Self::IrqsDisabled => "lockdep_assert_irqs_disabled",
            Self::InIrq => "lockdep_assert_in_irq",
            Self::NoHardirq => "lockdep_assert_no_hardirq",
            Self::InSoftirq => "lockdep_assert_in_softirq",
            Self::InThreadedContext => "lockdep_assert_RT_in_threaded_ctx",
        }
    }
}

/// What [`Run::pin`] gives and [`Run::unpin`] wants back: how often the lock was pinned by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Pin(u32);

impl<S: Storage> Run<S> {
    /// The memory of the instances `first..=last` is freed or initialised again: a lock held in it, by this task, is
    /// reported. The lock stays on the held stack. Linux: `debug_check_no_locks_freed()`.
    pub fn freed(&mut self, held: &Held, first: u64, last: u64, site: Site) -> Verdict {
        let Some(lock) = held.locks.iter().find(|lock| (first..=last).contains(&lock.instance)) else {
            return Verdict::Ok;
        };
        let lock = self.storage.view(|core| core.with_tables(|core, tables| core.lock_text(tables, lock)));
        self.raise(held, Detail::HeldLockFreed { lock, range: (first, last) }, site)
    }

    /// The task ends, or is about to be frozen: it must hold nothing. Linux: `debug_check_no_locks_held()`.
    pub fn task_exit(&mut self, held: &Held, site: Site) -> Verdict {
        match held.locks.is_empty() {
            true => Verdict::Ok,
            false => self.raise(held, Detail::LocksHeldAtExit, site),
        }
    }

    /// The task returns to user space: it must hold nothing. Linux: `lockdep_sys_exit()`.
    pub fn return_to_user(&mut self, held: &Held, site: Site) -> Verdict {
        match held.locks.is_empty() {
            true => Verdict::Ok,
            false => self.raise(held, Detail::LocksHeldInUserspace, site),
        }
    }

    /// Data protected by RCU was used outside of a read section, or such; `what` says how. Linux:
    /// `lockdep_rcu_suspicious()`.
    pub fn rcu_suspicious(&mut self, held: &Held, what: &str, site: Site) -> Verdict {
        self.raise(held, Detail::SuspiciousRcu { what: what.to_owned() }, site)
    }

    /// A lock that was announced has to be waited for: it must be on the held stack. Linux: `lock_contended()`.
    pub fn contended(&mut self, held: &Held, class: ClassId, instance: u64, site: Site) -> Verdict {
        if held.holds_of(class, instance) || held.irq.nmi_depth > 0 {
            return Verdict::Ok;
        }
        let name = self.storage.view(|core| core.name_of(Some(class), instance));
        self.raise(held, Detail::BadContention { name }, site)
    }

    /// Reports an assertion that does not hold.
    pub fn assert(&mut self, held: &Held, assertion: Assertion, site: Site) -> Verdict {
        match assertion.holds(held) {
            true => Verdict::Ok,
            false => self.raise(held, Detail::AssertionFailed { what: assertion.words() }, site),
        }
    }

    /// Forbids releasing `instance` until it is unpinned. Not held: a report. Linux: `lock_pin_lock()`.
    pub fn pin(&mut self, held: &mut Held, instance: u64, site: Site) -> (Pin, Verdict) {
        let Some(at) = held.locks.iter().position(|lock| lock.instance == instance) else {
            return (Pin(0), self.bad_pin(held, "WARNING: pinning an unheld lock", instance, site));
        };
        held.locks[at].pins += 1;
        (Pin(1), Verdict::Ok)
    }

    /// Pins again what was unpinned with the same `pin`. Linux: `lock_repin_lock()`.
    pub fn repin(&mut self, held: &mut Held, instance: u64, pin: Pin, site: Site) -> Verdict {
        let Some(at) = held.locks.iter().position(|lock| lock.instance == instance) else {
            return self.bad_pin(held, "WARNING: pinning an unheld lock", instance, site);
        };
        held.locks[at].pins += pin.0;
        Verdict::Ok
    }

    /// Takes a pin back. Not held, not pinned, or pinned less often: a report. Linux: `lock_unpin_lock()`.
    pub fn unpin(&mut self, held: &mut Held, instance: u64, pin: Pin, site: Site) -> Verdict {
        let Some(at) = held.locks.iter().position(|lock| lock.instance == instance) else {
            return self.bad_pin(held, "WARNING: unpinning an unheld lock", instance, site);
        };
        if held.locks[at].pins == 0 {
            return self.bad_pin(held, "WARNING: unpinning an unpinned lock", instance, site);
        }
        match held.locks[at].pins.checked_sub(pin.0) {
            Some(left) => {
                held.locks[at].pins = left;
                Verdict::Ok
            }
            None => {
                held.locks[at].pins = 0;
                self.bad_pin(held, "WARNING: pin count corrupted", instance, site)
            }
        }
    }

    fn bad_pin(&mut self, held: &Held, what: &'static str, instance: u64, site: Site) -> Verdict {
        let class = held.locks.iter().find(|lock| lock.instance == instance).map(|lock| lock.class());
        let name = self.storage.view(|core: &Core| core.name_of(class, instance));
        self.raise(held, Detail::Pinned { what, name }, site)
    }

    /// The reports a verdict speaks of, copied.
    #[must_use]
    pub fn reports_of(&self, verdict: Verdict) -> Vec<Report> {
        self.storage.view(|core| core.reports.get(verdict.reports()).unwrap_or_default().to_vec())
    }
}
