//! With what held the steps of a cycle are done: what tells a gate.

use super::ring::Ring;
use mm_types::{Name, ObjId, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use trace::{Event, EventKind, LockKind, LockMode, LockRef};

/// What a task held, innermost last, when it wanted a lock of the cycle: instance, class, whether alone.
type Context = (TaskId, Vec<(ObjId, Name, bool)>);

/// Looks on during the tries of a proof.
pub(crate) struct Witness {
    ring: Ring,
    held: BTreeMap<TaskId, Vec<(LockRef, LockMode)>>,
    /// Classes of the cycle that have locks behind them.
    real: BTreeSet<Name>,
    /// By what was held and what was wanted, both of the cycle: everything else that was held.
    contexts: BTreeMap<(Name, Name), BTreeSet<Context>>,
}

fn is_real(kind: LockKind) -> bool {
    !matches!(kind, LockKind::Map | LockKind::Srcu)
}

impl Witness {
    pub(crate) fn new(ring: Ring) -> Witness {
        Witness { ring, held: BTreeMap::new(), real: BTreeSet::new(), contexts: BTreeMap::new() }
    }

    /// Forgets what the tasks of the last run held.
    pub(crate) fn begin_run(&mut self) {
        self.held.clear();
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event.kind {
            EventKind::LockContended { lock, .. } => self.wanted(event.task, lock),
            EventKind::LockAcquired { lock, mode, trylock } => {
                if !trylock {
                    self.wanted(event.task, lock);
                }
                self.held.entry(event.task).or_default().push((lock, mode));
            }
            EventKind::LockReleased { lock, .. } => {
                let held = self.held.entry(event.task).or_default();
                if let Some(at) = held.iter().rposition(|(l, _)| l.obj == lock.obj) {
                    held.remove(at);
                }
            }
            _ => {}
        }
    }

    fn wanted(&mut self, task: TaskId, lock: LockRef) {
        if !self.ring.has(lock.class) || !is_real(lock.kind) {
            return;
        }
        self.real.insert(lock.class);
        let Some(held) = self.held.get(&task) else { return };
        let real: Vec<&(LockRef, LockMode)> = held.iter().filter(|(l, _)| is_real(l.kind)).collect();
        let from: BTreeSet<Name> = real.iter().map(|(l, _)| l.class).filter(|class| self.ring.has(*class)).collect();
        for class in from {
            let all = real.iter().map(|(l, mode)| (l.obj, l.class, *mode == LockMode::Exclusive)).collect();
            self.contexts.entry((class, lock.class)).or_default().insert((task, all));
        }
    }

    /// The lock, or the locks, that keep the steps of the cycle apart: two of them were never done without one in common, so
    /// no two tasks can be in them at once. None if some two could, or if one was never seen.
    pub(crate) fn gate(&self) -> Option<String> {
        let real: Vec<Name> = self.ring.0.iter().copied().filter(|class| self.real.contains(class)).collect();
        let steps: Vec<_> = (0..real.len()).map(|at| (real[at], real[(at + 1) % real.len()])).collect();
        let contexts: Vec<_> = steps.iter().map(|step| self.contexts.get(step)).collect::<Option<_>>()?;
        let pairs = (0..contexts.len()).flat_map(|a| (a..contexts.len()).map(move |b| (a, b)));
        let gates =
            pairs.filter(|(a, b)| a != b || contexts.len() == 1).filter_map(|(a, b)| gate_of(contexts[a], contexts[b]));
        let shortest = gates.min_by_key(BTreeSet::len)?;
        Some(shortest.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", "))
    }
}

/// The classes of locks of which one is held in every two contexts of different tasks, by one of them alone.
fn gate_of(a: &BTreeSet<Context>, b: &BTreeSet<Context>) -> Option<BTreeSet<Name>> {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| (x, y))).filter(|(x, y)| x.0 != y.0);
    let mut gates = BTreeSet::new();
    for ((_, held), (_, others)) in pairs {
        let shut = |(obj, _, alone): &&(ObjId, Name, bool)| others.iter().any(|(o, _, a)| o == obj && (*alone || *a));
        let common = held.iter().find(shut)?;
        gates.insert(common.1);
    }
    (!gates.is_empty()).then_some(gates)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Play(Witness);

    impl Play {
        fn new(ring: &[&str]) -> Play {
            Play(Witness::new(Ring(ring.iter().map(|c| Name::new(c)).collect())))
        }

        /// A task takes these locks one inside the other and lets them go.
        fn nest(mut self, task: u32, locks: &[(u64, &str)]) -> Play {
            let lock = |&(obj, class): &(u64, &str)| LockRef {
                obj: ObjId(obj),
                class: Name::new(class),
                kind: if class == "map" { LockKind::Map } else { LockKind::Mutex },
            };
            let mode = LockMode::Exclusive;
            let taken = locks.iter().map(lock).map(|lock| EventKind::LockAcquired { lock, mode, trylock: false });
            let given = locks.iter().rev().map(lock).map(|lock| EventKind::LockReleased { lock, mode });
            for kind in taken.chain(given) {
                self.0.event(&Event { step: 0, task: TaskId(task), kind });
            }
            self
        }

        #[track_caller]
        fn check(self, gate: Option<&str>) {
            assert_eq!(self.0.gate().as_deref(), gate);
        }
    }

    #[test]
    fn a_lock_around_both_orders_is_a_gate() {
        let (g, h, a, b) = ((9, "g"), (8, "h"), (1, "a"), (2, "b"));
        let ring = ["a", "b"];
        Play::new(&ring).nest(1, &[g, a, b]).nest(2, &[g, b, a]).check(Some("g"));
        Play::new(&ring).nest(1, &[a, b]).nest(2, &[b, a]).check(None);
        Play::new(&ring).nest(1, &[g, a, b]).nest(2, &[b, a]).check(None);
        // Two locks of one class are two locks.
        Play::new(&ring).nest(1, &[g, a, b]).nest(2, &[(7, "g"), b, a]).check(None);
        // One of the tasks does it without, too.
        Play::new(&ring).nest(1, &[g, a, b]).nest(1, &[a, b]).nest(2, &[g, b, a]).check(None);
        Play::new(&ring).nest(1, &[g, a, b]).nest(1, &[h, a, b]).nest(2, &[h, g, b, a]).check(Some("g, h"));
        // Only one order was seen.
        Play::new(&ring).nest(1, &[g, a, b]).check(None);
        // Nothing says what a lone task would meet.
        Play::new(&ring).nest(1, &[g, a, b]).nest(1, &[g, b, a]).check(None);
        Play::new(&["a", "map", "b"]).nest(1, &[g, a, (5, "map"), b]).nest(2, &[g, b, a]).check(Some("g"));
    }
}
