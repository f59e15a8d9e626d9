//! Races of a step that takes several objects at once, if only for its own moment.
//!
//! In a world with interrupts a step of a task shares the gates of its CPU (`sched`, `interrupt.rs`) besides what it does. It
//! can be put before another only where *all* that it takes can be taken, which is what is different here: a step that gives
//! something back and comes with what is left out may keep the step from being possible, so that it is the one which took
//! that before that has to be left out as well.

use super::Exhaustive;
use super::race::{Last, Sum};
use super::trace::NONE;
use sched::{Access, Availability, Op};

impl Last<'_> {
    /// Whether it takes something besides the object of its operation.
    pub(super) fn takes_more(&self) -> bool {
        self.more.iter().any(|op| op.access.takes())
    }
}

impl Exhaustive {
    /// All races of `last`, whose operation's object is now as `now` says, if it takes that.
    pub(super) fn races_with_all_free(&mut self, last: &Last<'_>, now: Availability) {
        let mut candidates: Vec<(u32, bool)> = Vec::new();
        for op in last.accesses().filter(|op| op.access != Access::Local) {
            let mut at = self.trace.newest(op);
            while at != NONE {
                let record = &self.trace.accesses[at as usize];
                at = record.prev;
                if record.op.conflicts_with(op) {
                    let gives_back = op.access.takes() && record.op.access == Access::DropExclusive;
                    candidates.push((record.event, gives_back));
                }
            }
        }
        // From the latest: what is before one of them does not race itself.
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        candidates.dedup();
        for (event, gives_back) in candidates {
            let event = event as usize;
            if gives_back || self.trace.known(event) {
                continue;
            }
            let mut roots = vec![event];
            if self.all_free_without(&mut roots, last, now) {
                self.reverse(&roots, last);
                for &root in &roots {
                    self.trace.learn(root);
                }
            }
        }
    }

    /// Whether everything that `last` takes can be taken once the steps `roots`, and what happens after them, are left
    /// out. Adds to `roots` those that came later and keep it from being so.
    fn all_free_without(&self, roots: &mut Vec<usize>, last: &Last<'_>, now: Availability) -> bool {
        while let Some(op) = last.accesses().find(|op| op.access.takes() && !self.free_of(roots, *op, last, now)) {
            match self.later_holder(roots, op) {
                Some(holder) => roots.push(holder),
                None => return false,
            }
        }
        true
    }

    fn free_of(&self, roots: &[usize], op: Op, last: &Last<'_>, now: Availability) -> bool {
        let now = if op == last.op { now } else { self.trace.availability(op).unwrap_or_default() };
        op.enabled(self.availability_without(roots, op, Sum::of(now)))
    }
}
