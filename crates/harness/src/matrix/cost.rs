//! What a row costs: what the validator keeps, how that grows with address spaces, how long a bracket takes.

use super::rows::Row;
use crate::experiment::{Experiment, Soak};
use crate::registry::Registry;
use crate::token::{Mode, Recipe};
use serde::Serialize;
use std::fmt::Write as _;

/// What the lock validator kept of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LockCounts {
    /// Classes that were used.
    pub classes: u64,
    /// Direct dependencies.
    pub edges: u64,
    /// Chains of held locks.
    pub chains: u64,
}

impl LockCounts {
    pub(super) fn add(&mut self, other: &LockCounts) {
        self.classes += other.classes;
        self.edges += other.edges;
        self.chains += other.chains;
    }

    pub(crate) fn of(stats: &lockdep::Stats) -> LockCounts {
        LockCounts {
            classes: stats.lock_classes as u64,
            edges: stats.direct_dependencies as u64,
            chains: stats.chains.iter().sum::<usize>() as u64,
        }
    }
}

/// What the same driver and the same calls leave with more address spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Growth {
    /// With one.
    pub with_1: LockCounts,
    /// With sixteen.
    pub with_16: LockCounts,
}

/// A driver that takes a lock in its callback, in each of `mms` address spaces that are unmapped in turn.
fn grown(mms: u64) -> String {
    let mut text = String::from("scenario \"growth\"\nmachine { memory 64M }\n");
    for n in 0..mms {
        let _ = writeln!(text, "mm M{n} {{ vma 0x10000..0x20000 rw anon  touch 0x10000..0x12000 }}");
    }
    for n in 0..mms {
        let _ = writeln!(
            text,
            "device d{n} : list(M{n}) {{ mutex vm_lock class \"&vm->lock\"  on start(range) {{ if blockable {{ with vm_lock {{ zap range }} }} }} }}"
        );
    }
    let calls: String = (0..mms).map(|n| format!("munmap M{n} 0x10000..0x12000 ")).collect();
    let _ = writeln!(text, "task unmap {{ {calls} }}");
    text
}

/// [`Growth`] of a row. A workload's registry is asked only for what a scenario may name.
///
/// # Panics
/// If the generated scenario does not parse, which only a change of the language could bring about.
#[must_use]
pub fn growth(row: &Row, registry: Option<&Registry>) -> Growth {
    let with = |mms: u64| {
        let experiment = row.applied_to(&generated(registry, &grown(mms)));
        experiment.run(Recipe { mode: Mode::Benign, seed: 0, run: 0 }, false).lock_counts
    };
    Growth { with_1: with(1), with_16: with(16) }
}

/// Announced ranges of one run of [`cost_run`].
pub const COST_BRACKETS: u64 = 2_000;

/// A world whose run is [`COST_BRACKETS`] protection changes of a subscribed page and little else, for whoever has a clock.
///
/// # Panics
/// As [`growth`].
#[must_use]
pub fn cost_run(row: &Row, registry: &Registry) -> (Soak, Recipe) {
    let rounds = COST_BRACKETS / 2;
    let text = format!(
        "scenario \"cost\"\nmachine {{ memory 64M  max_steps 100000000 }}\n\
         mm A {{ vma 0x10000..0x20000 rw anon  touch 0x10000..0x12000 }}\n\
         device d : list(A) {{ mutex vm_lock  on start(range) {{ if blockable {{ with vm_lock {{ zap range }} }} }}  on end(range) {{ }} }}\n\
         task t {{ repeat {rounds} {{ mprotect A 0x10000..0x11000 r  mprotect A 0x10000..0x11000 rw }} }}\n"
    );
    let experiment = row.applied_to(&generated(Some(registry), &text));
    (Soak::new(&experiment), Recipe { mode: Mode::Benign, seed: 0, run: 0 })
}

fn generated(registry: Option<&Registry>, text: &str) -> Experiment {
    let builtin = Registry::builtin();
    let loaded = Experiment::load(registry.unwrap_or(&builtin), "generated.mms", text);
    loaded.unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(|m| m.render("generated.mms", text, false)).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::super::rows::product;
    use super::*;

    #[test]
    fn a_class_for_each_mm_grows_with_them_and_one_class_does_not() {
        let rows = product(&["range_start".to_owned()]).expect("a setting");
        let classes = |name: &str| {
            let row = rows.iter().find(|r| r.settings().any(|s| s == ("range_start", name))).expect("a row");
            let growth = growth(row, None);
            growth.with_16.classes - growth.with_1.classes
        };
        assert_eq!(["none", "global", "per_mm"].map(classes), [0, 0, 0]);
        assert_eq!(classes("per_mm_class"), 15);
    }

    #[test]
    fn the_run_that_is_timed_announces_what_it_says() {
        let row = product(&[]).expect("no settings").remove(0);
        let (soak, recipe) = cost_run(&row, &Registry::builtin());
        let report = soak.experiment().run(recipe, false);
        let starts: u64 = report.callbacks.iter().filter(|(_, hook, _)| *hook == "start").map(|(_, _, n)| n).sum();
        assert_eq!((report.end.word(), starts), ("finished", COST_BRACKETS));
    }
}
