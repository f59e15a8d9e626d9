//! The cycle of lock classes that a report names, and whether a deadlock is that cycle.

use ksync::LockReport;
use lockdep::{Detail, ReportKind};
use mm_types::Name;
use trace::{BlockedTask, RunEnd};

/// Lock classes, each held while the next one was taken, and the last while the first one was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ring(pub(crate) Vec<Name>);

impl Ring {
    /// The cycle of a report that is about one; that of an inversion with a handler is closed by the interrupt.
    pub(crate) fn of(found: &LockReport) -> Option<Ring> {
        let cycle = found.report.cycle();
        let from = cycle.iter().map(|step| step.from.as_str());
        let classes: Vec<&str> = match (&found.report.kind, &found.report.detail) {
            (ReportKind::Recursive | ReportKind::Circular, _) => from.collect(),
            // A handler wants what it interrupts.
            (_, Detail::InconsistentState { lock, .. }) => vec![lock.class.name.as_str()],
            // From the lock that the handler wants to the one that its CPU was interrupted with: the handler closes it.
            (ReportKind::IrqInversion | ReportKind::IrqUnsafe, _) => {
                from.chain(cycle.last().map(|step| step.to.as_str())).collect()
            }
            _ => return None,
        };
        Some(Ring(classes.into_iter().map(Name::new).collect()))
    }

    /// The cycle of a deadlock: the locks that its tasks wait for, and what they hold between them.
    pub(crate) fn of_deadlock(end: &RunEnd) -> Option<Ring> {
        let RunEnd::Deadlock { blocked, cycle } = end else { return None };
        let classes: Option<Vec<Vec<Name>>> = (0..cycle.len())
            .map(|at| {
                let row = |at: usize| blocked.iter().find(|b| b.task == cycle[at % cycle.len()]);
                Some(held_from(row(at)?, row(at + cycle.len() - 1)?)?.collect())
            })
            .collect();
        classes.map(|parts| Ring(parts.concat())).filter(|ring| !ring.0.is_empty())
    }

    pub(crate) fn has(&self, class: Name) -> bool {
        self.0.contains(&class)
    }

    /// Whether the run ended in a deadlock along this cycle: going round the tasks, what each holds from the lock that the
    /// one before waits for to the lock that it waits for itself has the classes of the cycle in their order.
    pub(crate) fn closed_by(&self, end: &RunEnd) -> bool {
        let Some(Ring(classes)) = Ring::of_deadlock(end) else { return false };
        (0..classes.len()).any(|start| {
            let mut turn = classes.iter().cycle().skip(start).take(classes.len());
            self.0.iter().all(|class| turn.any(|c| c == class))
        })
    }
}

/// The classes that `task` holds, from the lock that `before` waits for on. Where `before` waits for no lock, but for `task` to do
/// something (to signal a fence, to finish a work), they are all that it holds: it is inside of all of them until it has.
fn held_from<'a>(task: &'a BlockedTask, before: &BlockedTask) -> Option<impl Iterator<Item = Name> + use<'a>> {
    let waits_for = &before.waits_for;
    let owes = || waits_for.holders.contains(&task.task).then_some(0);
    let from = task.holds.iter().position(|held| held.obj == waits_for.obj).or_else(owes)?;
    Some(task.holds[from..].iter().map(|held| held.class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mm_types::{ObjId, TaskId};
    use trace::{HeldRef, LockKind, LockMode, WaitFor};

    fn task(id: u32, holds: &[(u64, &str)], wants: u64) -> BlockedTask {
        let held = |&(obj, class): &(u64, &str)| HeldRef {
            obj: ObjId(obj),
            class: Name::new(class),
            kind: LockKind::Mutex,
            mode: LockMode::Exclusive,
            site: String::new(),
        };
        BlockedTask {
            task: TaskId(id),
            name: Name::new("t"),
            waits_for: WaitFor { obj: ObjId(wants), what: Name::new("?"), site: String::new(), holders: Vec::new() },
            holds: holds.iter().map(held).collect(),
        }
    }

    #[track_caller]
    fn check(ring: &[&str], blocked: Vec<BlockedTask>, closed: bool) {
        let cycle = blocked.iter().map(|b| b.task).collect();
        let end = RunEnd::Deadlock { blocked, cycle };
        assert_eq!(Ring(ring.iter().map(|c| Name::new(c)).collect()).closed_by(&end), closed);
    }

    #[test]
    fn a_deadlock_is_the_reported_cycle_or_another() {
        let abba = || vec![task(1, &[(1, "a")], 2), task(2, &[(2, "b")], 1)];
        check(&["a", "b"], abba(), true);
        check(&["b", "a"], abba(), true);
        check(&["a", "c"], abba(), false);
        // What was held before the lock that the other waits for has no part in it.
        check(&["g", "a", "b"], vec![task(1, &[(9, "g"), (1, "a")], 2), task(2, &[(2, "b")], 1)], false);
        // One task, through a map.
        let own = || vec![task(1, &[(1, "a"), (5, "map"), (6, "srcu")], 1)];
        check(&["a", "map"], own(), true);
        check(&["a"], own(), true);
        check(&["map", "srcu", "a"], own(), true);
        check(&["srcu", "map", "a"], own(), false);
        // A handler wants what the task that it interrupts holds, or what another one holds that wants it.
        let interrupted = |holds: &[(u64, &str)], by| {
            let mut task = task(1, holds, 99);
            task.waits_for.holders = vec![TaskId(by)];
            task
        };
        check(&["a"], vec![interrupted(&[(1, "a")], 2), task(2, &[], 1)], true);
        check(&["b"], vec![interrupted(&[(1, "a")], 2), task(2, &[], 1)], false);
        // Task 1 waits for the handler, that for task 3, that for task 1.
        check(&["a", "b"], vec![interrupted(&[(2, "b")], 2), task(2, &[], 1), task(3, &[(1, "a")], 2)], true);
        // A wait for something that nobody holds as a lock.
        check(&["a"], vec![task(1, &[(1, "a")], 7)], false);
        // The same, if it is known who is waited for: the other must let it go on.
        let owed = |by| {
            let mut waits = task(1, &[(1, "mmap_lock"), (5, "start")], 7);
            waits.waits_for.holders = vec![TaskId(by)];
            vec![waits, task(2, &[(6, "fence_map")], 1)]
        };
        check(&["mmap_lock", "start", "fence_map"], owed(2), true);
        check(&["fence_map", "mmap_lock"], owed(2), true);
        check(&["fence_map", "start", "mmap_lock"], owed(2), false);
        check(&["mmap_lock", "start", "fence_map"], owed(3), false);
    }
}
