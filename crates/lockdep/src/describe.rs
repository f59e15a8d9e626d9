//! From numbers to text: the parts of reports.

use crate::acquire::Site;
use crate::core::{Core, UnsafeOrder};
use crate::front::Front;
use crate::graph::Step;
use crate::held::{Held, HeldLock, NO_CLASS};
use crate::registry::Tables;
use crate::report::{ClassHistory, ClassText, CycleStep, Dependency, Detail, IrqText, LockText, SiteText, UsageText};
use crate::usage::UsageBit;

impl Core {
    pub(crate) fn with_tables<T>(&self, f: impl FnOnce(&Self, &Tables) -> T) -> T {
        f(self, &self.lockdep.tables.read())
    }

    pub(crate) fn class_text(&self, tables: &Tables, class: u32) -> ClassText {
        ClassText::new(tables.class(class), self.graph.usage(class))
    }

    pub(crate) fn lock_text(&self, tables: &Tables, lock: &HeldLock) -> LockText {
        LockText {
            instance: lock.instance,
            class: self.class_text(tables, lock.class().0),
            how: lock.how(),
            at: lock.site.into(),
            references: lock.references(),
        }
    }

    pub(crate) fn held_texts(&self, tables: &Tables, locks: &[HeldLock]) -> Vec<LockText> {
        locks.iter().map(|lock| self.lock_text(tables, lock)).collect()
    }

    pub(crate) fn dependency(&self, tables: &Tables, step: Step) -> Dependency {
        let (from, to) = self.graph.ends(step.edge);
        let sites = self.edge_sites(step);
        Dependency {
            from: self.class_text(tables, from),
            kind: step.kind,
            to: self.class_text(tables, to),
            held_at: sites.held.into(),
            taken_at: sites.taken.into(),
        }
    }

    fn named(&self, tables: &Tables, step: Step) -> CycleStep {
        let (from, to) = self.graph.ends(step.edge);
        CycleStep { from: tables.class(from).to_string(), kind: step.kind, to: tables.class(to).to_string() }
    }

    /// How often a class was taken in this run, in whatever way.
    pub(crate) fn acquisitions(&self, front: &Front, class: u32) -> u64 {
        self.chains
            .iter()
            .filter(|chain| self.info[chain.index()].key.class().0 == class)
            .map(|chain| u64::from(front.counted(self.epoch, *chain)))
            .sum()
    }

    fn history(&self, tables: &Tables, front: &Front, class: u32, acquired_at: Option<Site>) -> ClassHistory {
        let usage = |bit: UsageBit| UsageText {
            bit,
            at: self.mark_site(class, bit).map_or_else(SiteText::unknown, SiteText::from),
        };
        ClassHistory {
            class: self.class_text(tables, class),
            ops: self.acquisitions(front, class),
            usages: self.graph.usage(class).bits().map(usage).collect(),
            acquired_at: acquired_at.map(SiteText::from),
        }
    }

    /// The classes of a path that leads from `root`, farthest first, each with where it was taken under the one before it
    /// on the path; `root` itself with `here` (`print_shortest_lock_dependencies()`).
    fn histories(
        &self,
        tables: &Tables,
        front: &Front,
        (root, forwards): (u32, bool),
        path: &[Step],
        here: Site,
    ) -> Vec<ClassHistory> {
        let mut list: Vec<ClassHistory> = path
            .iter()
            .rev()
            .map(|step| {
                let (from, to) = self.graph.ends(step.edge);
                // Against the edges, the farther end is the one it starts from.
                let far = if forwards { to } else { from };
                self.history(tables, front, far, Some(self.edge_sites(*step).taken))
            })
            .collect();
        list.push(self.history(tables, front, root, Some(here)));
        list
    }

    /// The same for a path searched backwards, each class with where it was taken under the one farther out
    /// (`print_shortest_lock_dependencies_backwards()`).
    fn histories_backwards(&self, tables: &Tables, front: &Front, root: u32, path: &[Step]) -> Vec<ClassHistory> {
        let mut taken = None;
        let mut list = Vec::new();
        for step in path.iter().rev() {
            list.push(self.history(tables, front, self.graph.ends(step.edge).0, taken));
            taken = Some(self.edge_sites(*step).taken);
        }
        list.push(self.history(tables, front, root, taken));
        list
    }

    fn irq_text(&self, held: &Held) -> IrqText {
        let last = [
            held.trace.hardirq_enable,
            held.trace.hardirq_disable,
            held.trace.softirq_enable,
            held.trace.softirq_disable,
        ];
        IrqText {
            state: held.irq,
            events: held.trace.events,
            last: last.map(|(event, site)| (event, site.map(SiteText::from))),
        }
    }

    pub(crate) fn inconsistent(&self, held: &Held, lock: &HeldLock, old: UsageBit, new: UsageBit) -> Detail {
        Detail::InconsistentState {
            lock: self.with_tables(|core, tables| core.lock_text(tables, lock)),
            old,
            new,
            registered_at: self.mark_site(lock.class().0, old).map(SiteText::from),
            irq: self.irq_text(held),
        }
    }

    pub(crate) fn inversion(
        &self,
        front: &Front,
        lock: &HeldLock,
        new: UsageBit,
        other_bit: UsageBit,
        forwards: bool,
        path: &[Step],
    ) -> Detail {
        self.with_tables(|core, tables| {
            let mut steps: Vec<CycleStep> = path.iter().map(|step| core.named(tables, *step)).collect();
            if !forwards {
                steps.reverse();
            }
            Detail::IrqInversion {
                lock: core.lock_text(tables, lock),
                new,
                other_bit,
                forwards,
                path: core.histories(tables, front, (lock.class().0, forwards), path, lock.site),
                steps,
            }
        })
    }

    pub(crate) fn irq_unsafe(
        &self,
        front: &Front,
        held: &Held,
        prev: &HeldLock,
        next: &HeldLock,
        new: Step,
        found: &UnsafeOrder,
    ) -> Detail {
        self.with_tables(|core, tables| {
            let before = found.before.iter().rev();
            let steps = before.chain([&new]).chain(&found.behind).map(|step| core.named(tables, *step)).collect();
            Detail::IrqUnsafe {
                next: core.lock_text(tables, next),
                prev: core.lock_text(tables, prev),
                irq: core.irq_text(held),
                safe_bit: found.safe_bit,
                unsafe_bit: found.unsafe_bit,
                safe: core.histories_backwards(tables, front, prev.class().0, &found.before),
                unsafe_: core.histories(tables, front, (next.class().0, true), &found.behind, next.site),
                steps,
            }
        })
    }

    pub(crate) fn nest_not_held(&self, lock: &HeldLock) -> Detail {
        self.with_tables(|core, tables| Detail::NestedLockNotTaken {
            lock: core.lock_text(tables, lock),
            nest_lock: match lock.nest_class {
                NO_CLASS => format!("{:016x}", lock.nest),
                class => tables.class(class).to_string(),
            },
        })
    }

    /// The name of a class, or the number of an instance whose class is not known.
    pub(crate) fn name_of(&self, class: Option<crate::class::ClassId>, instance: u64) -> String {
        match class {
            Some(class) => self.lockdep.class_name(class),
            None => format!("{instance:016x}"),
        }
    }
}
