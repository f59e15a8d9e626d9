//! The operations of a line that are the validator's own: locks, maps, interrupts.

use super::case::{Case, Object, Op};
use crate::acquire::{Acquire, Site};
use crate::class::ClassId;
use crate::held::{Held, Nest};
use crate::run::{Run, Verdict};
use crate::storage::Storage;

/// What a line's operations are performed with.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'c> {
    /// The line.
    pub case: &'c Case,
    /// By index into [`Case::classes`].
    pub classes: &'c [ClassId],
    /// The instance number of the line's first object; the others count on from there.
    pub first: u64,
    /// Where everything happens.
    pub site: Site,
}

impl Stage<'_> {
    /// The instance number of an object.
    #[must_use]
    pub const fn instance(&self, object: Object) -> u64 {
        self.first + object as u64
    }

    /// The class of an object, for subclass 0; none if the line does not tell.
    #[must_use]
    pub fn class_of(&self, object: Object) -> Option<ClassId> {
        self.case.locks[object].class.map(|class| self.classes[class])
    }

    /// Takes a lock, under another if `nest` is given.
    pub fn acquire<S: Storage>(
        &self,
        run: &mut Run<S>,
        held: &mut Held,
        lock: Object,
        class: ClassId,
        how: Acquire,
        nest: Option<Object>,
    ) -> Verdict {
        match nest {
            None => run.acquire(held, class, self.instance(lock), how, self.site),
            Some(nest) => {
                let nest = Nest { instance: self.instance(nest), class: self.class_of(nest) };
                run.acquire_nest(held, class, self.instance(lock), how, nest, self.site)
            }
        }
    }

    /// Releases a lock.
    pub fn release<S: Storage>(&self, run: &mut Run<S>, held: &mut Held, lock: Object) -> Verdict {
        match self.class_of(lock) {
            Some(class) => run.release_of(held, class, self.instance(lock), self.site),
            None => run.release(held, self.instance(lock), self.site),
        }
    }

    /// Performs an operation; none, and nothing done, if it is one of read sections, allocations or wait/wound mutexes.
    pub fn perform<S: Storage>(&self, run: &mut Run<S>, held: &mut Held, op: Op) -> Option<Verdict> {
        let site = self.site;
        match op {
            Op::Acquire { lock, class, how, nest } => {
                return Some(self.acquire(run, held, lock, self.classes[class], how, nest));
            }
            Op::MapAcquire { lock, class, how } => {
                return Some(self.acquire(run, held, lock, self.classes[class], how, None));
            }
            Op::Release { lock } | Op::MapRelease { lock } => return Some(self.release(run, held, lock)),
            Op::Init { lock } => {
                let instance = self.instance(lock);
                return Some(run.freed(held, instance, instance, site));
            }
            Op::HardirqEnable => return Some(run.hardirqs_on(held, site)),
            Op::SoftirqEnable => return Some(run.local_bh_enable(held, site)),
            Op::HardirqDisable => run.hardirqs_off(held, site),
            Op::SoftirqDisable => run.local_bh_disable(held, site),
            Op::HardirqEnter => run.hardirq_enter(held),
            Op::HardirqExit => run.hardirq_exit(held),
            Op::HardirqThreaded => run.hardirq_threaded(held),
            Op::SoftirqEnter => run.softirq_enter(held),
            Op::SoftirqExit => run.softirq_exit(held),
            Op::Nothing => {}
            _ => return None,
        }
        Some(Verdict::Ok)
    }
}
