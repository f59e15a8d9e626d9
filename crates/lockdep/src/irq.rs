//! What callers tell of interrupts, and what turning them on says of the locks held.

use crate::acquire::Site;
use crate::held::Held;
use crate::mutant::Mutant;
use crate::report::Detail;
use crate::run::{Run, Verdict};
use crate::storage::Storage;
use crate::usage::UsageBit;

impl<S: Storage> Run<S> {
    /// Hardirqs are turned on: every checked lock held is from now on held with them enabled. Nothing if they are on.
    ///
    /// Within a hardirq handler that is an error of its own, and reported. Linux: `lockdep_hardirqs_on()`.
    pub fn hardirqs_on(&mut self, held: &mut Held, site: Site) -> Verdict {
        if held.irq.hardirqs_enabled || held.irq.nmi_depth > 0 {
            return Verdict::Ok;
        }
        if held.irq.hardirq_depth > 0 {
            return self.debug_locks(held, "DEBUG_LOCKS_WARN_ON(lockdep_hardirq_context())", site);
        }
        let mut verdict = self.mark_held(held, UsageBit::HARDIRQ_ON, site);
        if held.irq.softirqs_enabled && !self.front.switch.on(Mutant::SoftirqNotMarkedWhenHardirqsTurnOn) {
            verdict = verdict.and(self.mark_held(held, UsageBit::SOFTIRQ_ON, site));
        }
        held.trace.hardirq_enable = held.trace.stamp(site);
        held.irq.hardirqs_enabled = true;
        held.bits = held.irq.key_bits();
        verdict
    }

    /// Hardirqs are turned off. Linux: `lockdep_hardirqs_off()`.
    pub fn hardirqs_off(&mut self, held: &mut Held, site: Site) {
        if held.irq.hardirqs_enabled && held.irq.nmi_depth == 0 {
            held.trace.hardirq_disable = held.trace.stamp(site);
            held.irq.hardirqs_enabled = false;
            held.bits = held.irq.key_bits();
        }
    }

    /// Softirqs are turned on: if hardirqs are on too, every checked lock held is from now on held so. Nothing if they are
    /// on. Linux: `lockdep_softirqs_on()`.
    pub fn softirqs_on(&mut self, held: &mut Held, site: Site) -> Verdict {
        if held.irq.softirqs_enabled || held.irq.nmi_depth > 0 {
            return Verdict::Ok;
        }
        held.trace.softirq_enable = held.trace.stamp(site);
        held.irq.softirqs_enabled = true;
        held.bits = held.irq.key_bits();
        match held.irq.hardirqs_enabled {
            true => self.mark_held(held, UsageBit::SOFTIRQ_ON, site),
            false => Verdict::Ok,
        }
    }

    /// Softirqs are turned off. Linux: `lockdep_softirqs_off()`.
    pub fn softirqs_off(&mut self, held: &mut Held, site: Site) {
        if held.irq.softirqs_enabled && held.irq.nmi_depth == 0 {
            held.trace.softirq_disable = held.trace.stamp(site);
            held.irq.softirqs_enabled = false;
            held.bits = held.irq.key_bits();
        }
    }

    /// `local_bh_disable()`: counts, and turns softirqs off the first time.
    pub fn local_bh_disable(&mut self, held: &mut Held, site: Site) {
        held.irq.bh_disabled = held.irq.bh_disabled.saturating_add(1);
        self.softirqs_off(held, site);
    }

    /// `local_bh_enable()`: with hardirqs off, turns softirqs on when the count is back at zero; then hardirqs on.
    /// Without a matching disable nothing is counted.
    pub fn local_bh_enable(&mut self, held: &mut Held, site: Site) -> Verdict {
        self.hardirqs_off(held, site);
        let mut verdict = Verdict::Ok;
        if held.irq.bh_disabled <= 1 {
            verdict = self.softirqs_on(held, site);
        }
        held.irq.bh_disabled = held.irq.bh_disabled.saturating_sub(1);
        verdict.and(self.hardirqs_on(held, site))
    }

    /// A hardirq handler begins. Linux: `lockdep_hardirq_enter()`.
    pub fn hardirq_enter(&mut self, held: &mut Held) {
        if held.irq.hardirq_depth == 0 {
            held.irq.hardirq_threaded = false;
        }
        held.irq.hardirq_depth = held.irq.hardirq_depth.saturating_add(1);
        held.bits = held.irq.key_bits();
    }

    /// It ends. Linux: `lockdep_hardirq_exit()`.
    pub fn hardirq_exit(&mut self, held: &mut Held) {
        held.irq.hardirq_depth = held.irq.hardirq_depth.saturating_sub(1);
        held.bits = held.irq.key_bits();
    }

    /// The handler running is one that PREEMPT_RT runs in a thread. Linux: `lockdep_hardirq_threaded()`.
    pub fn hardirq_threaded(&mut self, held: &mut Held) {
        held.irq.hardirq_threaded = true;
        held.bits = held.irq.key_bits();
    }

    /// A softirq handler begins. Linux: `lockdep_softirq_enter()`.
    pub fn softirq_enter(&mut self, held: &mut Held) {
        held.irq.softirq_depth = held.irq.softirq_depth.saturating_add(1);
        held.bits = held.irq.key_bits();
    }

    /// It ends. Linux: `lockdep_softirq_exit()`.
    pub fn softirq_exit(&mut self, held: &mut Held) {
        held.irq.softirq_depth = held.irq.softirq_depth.saturating_sub(1);
        held.bits = held.irq.key_bits();
    }

    /// An NMI begins: locks are only looked at, and none is held. Linux: `nmi_enter()`.
    pub fn nmi_enter(&mut self, held: &mut Held) {
        held.irq.nmi_depth = held.irq.nmi_depth.saturating_add(1);
        held.bits = held.irq.key_bits();
    }

    /// It ends. Linux: `nmi_exit()`.
    pub fn nmi_exit(&mut self, held: &mut Held) {
        held.irq.nmi_depth = held.irq.nmi_depth.saturating_sub(1);
        held.bits = held.irq.key_bits();
    }

    /// A condition the caller checks as kernel code does with `DEBUG_LOCKS_WARN_ON()`, found true.
    #[cold]
    pub fn debug_locks(&mut self, held: &Held, condition: &'static str, site: Site) -> Verdict {
        self.raise(held, Detail::DebugLocks { condition }, site)
    }

    pub(crate) fn raise(&mut self, held: &Held, detail: Detail, site: Site) -> Verdict {
        self.storage.with(|core| {
            let first = core.reports.len();
            core.report(held, site, detail);
            core.verdict_since(first)
        })
    }

    /// Brings the class of every checked lock held into a usage state. Linux: `mark_held_locks()`.
    fn mark_held(&mut self, held: &Held, bit: UsageBit, site: Site) -> Verdict {
        if self.front.switch.on(Mutant::HeldLocksNotMarkedWhenIrqsTurnOn) {
            return Verdict::Ok;
        }
        let (epoch, mut verdict) = (self.storage.epoch(), Verdict::Ok);
        let unchecked = self.front.switch.on(Mutant::UncheckedLocksCreateDependencies);
        for lock in held.locks.iter().filter(|lock| unchecked || lock.key.check()) {
            let bit = bit.of_reader(lock.read() != crate::acquire::Read::Exclusive);
            if !self.front.knows(epoch, lock.class(), bit) {
                let front = &mut self.front;
                verdict = verdict.and(self.storage.with(|core| {
                    let first = core.reports.len();
                    core.mark(front, held, lock, bit, site);
                    core.verdict_since(first)
                }));
            }
        }
        verdict
    }
}
