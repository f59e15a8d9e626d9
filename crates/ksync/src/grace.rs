//! Read sections and the grace periods that wait for them: what RCU and SRCU have in common.
//!
//! Readers are counted by the parity of the generation in which they began. A grace period begins a generation and is over
//! when the count of the one before is 0. Grace periods come one after another; who asks for one while one is going on
//! gets the next, as others do who ask meanwhile (`srcu_gp_start_if_needed()`, kernel/rcu/srcutree.c, Linux 6.12): the one
//! that is going on may have begun before a reader whom the asker must wait for.
//!
//! Nobody has the task of driving a grace period: whoever waits for one does what can be done ([`Readers::is_over`]).

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The readers of one domain, and its grace periods.
#[derive(Debug)]
pub(crate) struct Readers {
    generation: AtomicU64,
    counts: [AtomicU32; 2],
    /// A storage lock, never held across a scheduling point.
    grace: Mutex<Grace>,
}

/// Which grace period somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct GracePeriod(u64);

#[derive(Debug)]
struct Grace {
    /// The last that began.
    begun: GracePeriod,
    /// The last that is over.
    over: GracePeriod,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    /// Waits for readers of the generation to come. There are some only among OS threads: who read the generation long ago
    /// and was counted just now.
    Draining,
    /// Waits for readers of the generation before.
    Waiting,
}

impl Grace {
    const NONE: Grace = Grace { begun: GracePeriod(0), over: GracePeriod(0), phase: Phase::Idle };
}

impl Readers {
    pub(crate) const fn new() -> Readers {
        Readers {
            generation: AtomicU64::new(0),
            counts: [AtomicU32::new(0), AtomicU32::new(0)],
            grace: Mutex::new(Grace::NONE),
        }
    }

    pub(crate) fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.generation.store(0, Ordering::Relaxed);
        *self.grace.lock() = Grace::NONE;
    }

    /// A read section begins; its parity.
    // Sequentially consistent, here and in `gone`: either a grace period sees the reader, or the reader sees what was done
    // before the grace period.
    pub(crate) fn enter(&self) -> usize {
        let parity = (self.generation.load(Ordering::SeqCst) & 1) as usize;
        self.counts[parity].fetch_add(1, Ordering::SeqCst);
        parity
    }

    /// The end of a read section of this parity, for when that is dropped.
    pub(crate) fn leaves(&self, parity: usize) -> Leaves<'_> {
        Leaves(&self.counts[parity])
    }

    /// The grace period to wait for, by somebody who asks now.
    pub(crate) fn next_grace_period(&self) -> GracePeriod {
        GracePeriod(self.grace.lock().begun.0 + 1)
    }

    /// Whether a grace period is over, after everything was done for it that can be done now.
    pub(crate) fn is_over(&self, wanted: GracePeriod) -> bool {
        let mut grace = self.grace.lock();
        while grace.over < wanted {
            let now = (self.generation.load(Ordering::SeqCst) & 1) as usize;
            match grace.phase {
                Phase::Idle => {
                    grace.begun = GracePeriod(grace.begun.0 + 1);
                    grace.phase = Phase::Draining;
                }
                Phase::Draining if self.gone(1 - now) => {
                    self.generation.fetch_add(1, Ordering::SeqCst);
                    grace.phase = Phase::Waiting;
                }
                Phase::Waiting if self.gone(1 - now) => {
                    grace.over = grace.begun;
                    grace.phase = Phase::Idle;
                }
                Phase::Draining | Phase::Waiting => return false,
            }
        }
        true
    }

    /// Whether no read section of a parity goes on.
    pub(crate) fn gone(&self, parity: usize) -> bool {
        self.counts[parity].load(Ordering::SeqCst) == 0
    }

    /// Whether any read section goes on.
    pub(crate) fn any(&self) -> bool {
        !(self.gone(0) && self.gone(1))
    }
}

/// Takes a reader off when it is dropped: also when its task is unwound from the scheduling point of the release.
pub(crate) struct Leaves<'a>(&'a AtomicU32);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_waits_for_those_before_it_only() {
        let readers = Readers::new();
        let before = readers.enter();
        let asked = readers.next_grace_period();
        assert!(!readers.is_over(asked));
        let after = readers.enter();
        assert_ne!(before, after);
        drop(readers.leaves(before));
        assert!(readers.is_over(asked), "a reader that came later does not delay it");
        drop(readers.leaves(after));
        assert!(!readers.any());
    }

    #[test]
    fn who_asks_during_one_waits_for_the_next() {
        let readers = Readers::new();
        let early = readers.enter();
        let first = readers.next_grace_period();
        assert!(!readers.is_over(first));
        let (second, third) = (readers.next_grace_period(), readers.next_grace_period());
        assert_eq!(second, third, "one serves both");
        assert!(!readers.is_over(second), "the early reader began before it was asked for");
        let late = readers.enter();
        drop(readers.leaves(early));
        assert!(readers.is_over(first));
        assert!(!readers.is_over(second), "the late reader began before that period");
        drop(readers.leaves(late));
        assert!(readers.is_over(second));
    }

    /// Among OS threads only: the generation was read before a grace period, and the count came after it.
    #[test]
    fn a_reader_that_was_counted_late_is_waited_for() {
        let readers = Readers::new();
        let stale = 0;
        assert!(readers.is_over(readers.next_grace_period()));
        readers.counts[stale].fetch_add(1, Ordering::SeqCst);
        let asked = readers.next_grace_period();
        assert!(!readers.is_over(asked));
        drop(readers.leaves(stale));
        assert!(readers.is_over(asked));
    }
}
