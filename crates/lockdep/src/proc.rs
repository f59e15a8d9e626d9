//! Look-alikes of `/proc/lockdep`, `/proc/lockdep_stats` and `/proc/lockdep_chains`, with names where the kernel has
//! addresses.

use core::fmt::{self, Write as _};

use serde::Serialize;

use crate::chain::ChainId;
use crate::context::Context;
use crate::core::Core;
use crate::graph::Direction;
use crate::run::Run;
use crate::storage::Storage;
use crate::usage::{Usage, UsageBit};

/// The numbers of `/proc/lockdep_stats`. Where the kernel prints the size of a table, there is none here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Classes that were taken.
    pub lock_classes: usize,
    /// Dependencies, each pair of classes once.
    pub direct_dependencies: usize,
    /// Pairs of classes joined by a path, each class with itself too.
    pub indirect_dependencies: usize,
    /// Chains, as the kernel tells them apart: in a hardirq, in a softirq, in a task.
    pub chains: [usize; 3],
    /// Locks in all chains together.
    pub chain_hlocks: usize,
    /// For each usage state (`INITIAL USE` and its reader left out), the classes in it.
    pub usage: [usize; 8],
    /// Classes in an "in irq" state of either kind, as writer and as reader.
    pub irq_safe: [usize; 2],
    /// The same of "enabled" states.
    pub irq_unsafe: [usize; 2],
    /// Classes that were only ever taken, in no state that matters.
    pub uncategorized: usize,
    /// The deepest stack held.
    pub max_depth: usize,
    /// New dependencies looked at for cycles.
    pub cyclic_checks: u64,
    /// Of these, those the order of classes did not answer at once.
    pub searches: u64,
    /// Classes unregistered.
    pub zapped_classes: u64,
    /// Chains that went with them.
    pub zapped_chains: u64,
    /// Reports.
    pub reports: usize,
    /// Bytes in use by the graph and its indexes.
    pub memory_bytes: usize,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [in_hardirq, in_softirq, in_process] = self.chains;
        let all = self.irq_unsafe[0] * self.irq_safe[0] + self.usage[2] * self.usage[0] + self.direct_dependencies;
        let rows = [
            ("lock-classes:", self.lock_classes),
            ("direct dependencies:", self.direct_dependencies),
            ("indirect dependencies:", self.indirect_dependencies),
            ("all direct dependencies:", all),
            ("dependency chains:", self.chains.iter().sum()),
            ("dependency chain hlocks used:", self.chain_hlocks),
            ("in-hardirq chains:", in_hardirq),
            ("in-softirq chains:", in_softirq),
            ("in-process chains:", in_process),
            ("combined max dependencies:", (in_hardirq + 1) * (in_softirq + 1) * (in_process + 1)),
            ("hardirq-safe locks:", self.usage[0]),
            ("hardirq-unsafe locks:", self.usage[2]),
            ("softirq-safe locks:", self.usage[4]),
            ("softirq-unsafe locks:", self.usage[6]),
            ("irq-safe locks:", self.irq_safe[0]),
            ("irq-unsafe locks:", self.irq_unsafe[0]),
            ("hardirq-read-safe locks:", self.usage[1]),
            ("hardirq-read-unsafe locks:", self.usage[3]),
            ("softirq-read-safe locks:", self.usage[5]),
            ("softirq-read-unsafe locks:", self.usage[7]),
            ("irq-read-safe locks:", self.irq_safe[1]),
            ("irq-read-unsafe locks:", self.irq_unsafe[1]),
            ("uncategorized locks:", self.uncategorized),
            ("max locking depth:", self.max_depth),
            ("cyclic checks:", self.cyclic_checks as usize),
            ("of these searched for:", self.searches as usize),
            ("reports:", self.reports),
            ("memory bytes:", self.memory_bytes),
            ("zapped classes:", self.zapped_classes as usize),
            ("zapped lock chains:", self.zapped_chains as usize),
        ];
        rows.into_iter().try_for_each(|(name, value)| writeln!(f, " {name:<30} {value:>11}"))
    }
}

impl<S: Storage> Run<S> {
    /// The numbers of `/proc/lockdep_stats`.
    #[must_use]
    pub fn stats(&mut self) -> Stats {
        self.storage.with(Core::stats)
    }

    /// `/proc/lockdep`: every class with how many it leads to and how many lead to it, its usage states, and the classes
    /// it leads to directly.
    #[must_use]
    pub fn proc_lockdep(&mut self) -> String {
        let front = &self.front;
        self.storage.with(|core| {
            let classes = core.used_classes();
            let counts = core.reach_counts(&classes);
            let mut out = String::from("all lock classes:\n");
            let tables = core.lockdep.tables.read();
            for (class, (forward, backward)) in classes.into_iter().zip(counts) {
                let (ops, usage) = (core.acquisitions(front, class), core.graph.usage(class));
                let name = tables.class(class);
                let line = writeln!(out, "OPS:{ops:>8} FD:{forward:>5} BD:{backward:>5} {usage}: {name}");
                line.expect("writing to a string does not fail");
                for next in core.graph.directly_after(class) {
                    writeln!(out, " -> {}", tables.class(next)).expect("writing to a string does not fail");
                }
                out.push('\n');
            }
            out
        })
    }

    /// `/proc/lockdep_chains`: every chain as the kernel tells them apart, outermost lock first.
    #[must_use]
    pub fn proc_lockdep_chains(&self) -> String {
        self.storage.view(|core| {
            let mut out = String::from("all lock chains:\n");
            let tables = core.lockdep.tables.read();
            for chain in core.validated_chains() {
                let path = core.path(chain);
                let context = match path[0].context().irq_context() {
                    0 => "0",
                    1 => "softirq",
                    2 => "hardirq",
                    _ => "hardirq|softirq",
                };
                writeln!(out, "irq_context: {context}").expect("writing to a string does not fail");
                for key in path.iter().rev() {
                    writeln!(out, "{}", tables.class(key.class().0)).expect("writing to a string does not fail");
                }
                out.push('\n');
            }
            out
        })
    }
}

impl Core {
    /// The classes that were taken, in the order in which they were made.
    pub(crate) fn used_classes(&self) -> Vec<u32> {
        let all = 0..self.lockdep.tables.read().class_count() as u32;
        all.filter(|class| self.graph.usage(*class).0 != 0).collect()
    }

    /// For each class, how many it leads to, and how many lead to it, itself included.
    pub(crate) fn reach_counts(&mut self, classes: &[u32]) -> Vec<(usize, usize)> {
        let graph = &mut self.graph;
        classes
            .iter()
            .map(|class| (graph.count(Direction::Forward, *class), graph.count(Direction::Backward, *class)))
            .collect()
    }

    /// The chains that were looked at, in order: what `/proc/lockdep_chains` has.
    fn validated_chains(&self) -> impl Iterator<Item = ChainId> {
        let waited = |chain: &ChainId| self.info[chain.index()].key.validates() && self.counts(*chain);
        self.chains.iter().copied().filter(waited)
    }

    fn stats(&mut self) -> Stats {
        let classes = self.used_classes();
        let indirect = self.reach_counts(&classes).iter().map(|(forward, _)| forward).sum();
        let mut stats = Stats {
            lock_classes: classes.len(),
            direct_dependencies: self.graph.live().len(),
            indirect_dependencies: indirect,
            max_depth: self.counters.max_depth,
            cyclic_checks: self.counters.cyclic_checks,
            searches: self.graph.searches(),
            zapped_classes: self.counters.zapped_classes,
            zapped_chains: self.counters.zapped_chains,
            reports: self.reports.len(),
            memory_bytes: self.bytes(),
            ..Stats::default()
        };
        for chain in self.validated_chains() {
            let context: Context = self.info[chain.index()].key.context();
            stats.chains[if context.hardirq() { 0 } else { usize::from(!context.softirq()) + 1 }] += 1;
            stats.chain_hlocks += self.path(chain).len();
        }
        for class in classes {
            let usage = self.graph.usage(class);
            let any = |mask: u16| usize::from(usage.0 & mask != 0);
            for bit in usage.bits().filter(|bit| bit.0 < UsageBit::USED.0) {
                stats.usage[usize::from(bit.0)] += 1;
            }
            for (read, mask) in [(0, 0x55), (1, 0xaa)] {
                stats.irq_safe[read] += any(mask & Usage::USED_IN);
                stats.irq_unsafe[read] += any(mask & Usage::ENABLED);
            }
            stats.uncategorized += usize::from(usage.0 & Usage::IRQ_ALL == 0);
        }
        stats
    }
}
