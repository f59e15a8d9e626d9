//! The annotation settings against workloads: what each setting finds and misses, reports wrongly, and costs.
//!
//! A *workload* is a scenario whose `expect` clause is the truth about its drivers: the lock reports an ideal validator
//! would give. A *row* is a value for every setting of the annotations. A *cell* is one benign run of the workload under
//! the row. Names of drivers, mutants and devices are never looked at.
//!
//! | the workload expects | the run reports | cell |
//! |---|---|---|
//! | a lock report | one of the expected codes | [`Cell::Found`] |
//! | a lock report | none of them | [`Cell::Missed`] |
//! | nothing | nothing | [`Cell::Quiet`] |
//! | whatever | a lock report of a code that is not expected | [`Cell::False`] |
//!
//! Runs do not depend on each other, so neither does the matrix on their order or on the number of threads.

mod cost;
mod rows;
mod text;

pub use cost::{COST_BRACKETS, Growth, LockCounts, cost_run, growth};
pub use rows::{Row, UnknownSetting, default_rows, product};

use crate::experiment::Experiment;
use crate::token::{Mode, Recipe};
use crate::verdict::expected_codes;
use properties::Code;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a setting makes of a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// The inversion is there and is reported.
    Found,
    /// The inversion is there and nothing is said.
    Missed,
    /// An inversion is reported that is not there.
    False,
    /// Nothing is there and nothing is said.
    Quiet,
}

impl Cell {
    /// As it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Cell::Found => "found",
            Cell::Missed => "missed",
            Cell::False => "false",
            Cell::Quiet => "quiet",
        }
    }
}

/// One row, measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measured {
    /// The settings.
    pub row: Row,
    /// A cell for each workload, in their order.
    pub cells: Vec<Cell>,
    /// What the validator kept, over all workloads together.
    pub counts: LockCounts,
    /// Classes with more and more address spaces.
    pub growth: Growth,
    /// Nanoseconds for an announced range, if somebody measured them: the only figure that is not the same every time.
    pub ns_per_bracket: Option<u64>,
}

/// A finding that is no lock report, in a workload that does not expect it: the workload is not fit for a matrix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// The row's name.
    pub row: String,
    /// The workload's.
    pub workload: String,
    /// What was found, in a line.
    pub what: String,
}

/// Every row against every workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matrix {
    /// The workloads: a short name each, and the scenario's title.
    pub workloads: Vec<(String, String)>,
    /// The rows, in the order they were given.
    pub rows: Vec<Measured>,
    /// What was found besides lock reports.
    pub unfit: Vec<Unfit>,
}

/// A workload with its short name.
pub type Workload = (String, Experiment);

/// Measures all rows on `jobs` threads. `progress` is told how many rows are done, on whichever thread finished one.
///
/// # Panics
/// If a row's text does not parse, which only a change of the language could bring about.
#[must_use]
pub fn measure(workloads: &[Workload], rows: &[Row], jobs: usize, progress: &(dyn Fn(usize) + Sync)) -> Matrix {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<OneRow>>> = rows.iter().map(|_| Mutex::default()).collect();
    let work = || {
        while let Some((index, row)) = take(rows, &next) {
            *slots[index].lock().expect("no row panics while it is stored") = Some(one_row(workloads, row));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    crossbeam::scope(|s| {
        for _ in 1..jobs.min(rows.len()) {
            s.spawn(|_| work());
        }
        work();
    })
    .expect("a row that panics ends the process");
    let mut unfit = Vec::new();
    let mut measured = Vec::with_capacity(rows.len());
    for slot in slots {
        let (row, problems) = slot.into_inner().expect("as above").expect("every row was taken");
        measured.push(row);
        unfit.extend(problems);
    }
    let workloads = workloads.iter().map(|(name, e)| (name.clone(), e.scenario().title.node.clone())).collect();
    Matrix { workloads, rows: measured, unfit }
}

fn take<'a>(rows: &'a [Row], next: &AtomicUsize) -> Option<(usize, &'a Row)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    rows.get(index).map(|row| (index, row))
}

type OneRow = (Measured, Vec<Unfit>);

fn one_row(workloads: &[Workload], row: &Row) -> OneRow {
    let mut counts = LockCounts::default();
    let mut unfit = Vec::new();
    let mut cells = Vec::with_capacity(workloads.len());
    for (name, experiment) in workloads {
        let experiment = row.applied_to(experiment);
        let report = experiment.run(Recipe { mode: Mode::Benign, seed: experiment.seed(), run: 0 }, false);
        counts.add(&report.lock_counts);
        let expected = expected_codes(experiment.scenario());
        let found: BTreeSet<Code> = report.findings.iter().filter_map(|f| Code::parse(&f.code)).collect();
        for finding in &report.findings {
            let code = Code::parse(&finding.code);
            if code.is_none_or(|c| !c.is_of_locks() && !expected.contains(&c)) {
                let what = format!("{}: {}", finding.code, finding.title);
                unfit.push(Unfit { row: row.name.clone(), workload: name.clone(), what });
            }
        }
        cells.push(cell(&expected, &found));
    }
    let growth = growth(row, workloads.first().map(|(_, e)| &e.registry));
    (Measured { row: row.clone(), cells, counts, growth, ns_per_bracket: None }, unfit)
}

fn cell(expected: &BTreeSet<Code>, found: &BTreeSet<Code>) -> Cell {
    let truth: BTreeSet<Code> = expected.iter().copied().filter(|c| c.is_of_locks()).collect();
    let said: BTreeSet<Code> = found.iter().copied().filter(|c| c.is_of_locks()).collect();
    match (truth.is_empty(), said.is_empty()) {
        (_, false) if !said.is_subset(&truth) => Cell::False,
        (true, _) => Cell::Quiet,
        (false, true) => Cell::Missed,
        (false, false) => Cell::Found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &[Code], found: &[Code], is: Cell) {
        let set = |codes: &[Code]| codes.iter().copied().collect();
        assert_eq!(cell(&set(expected), &set(found)), is);
    }

    #[test]
    fn a_cell_compares_lock_reports_with_the_truth() {
        check(&[], &[], Cell::Quiet);
        check(&[Code::LdCircular], &[Code::LdCircular], Cell::Found);
        check(&[Code::LdCircular], &[], Cell::Missed);
        check(&[], &[Code::LdCircular], Cell::False);
        check(&[Code::LdCircular], &[Code::LdRecursive], Cell::False);
        check(&[Code::LdCircular, Code::LdRecursive], &[Code::LdRecursive], Cell::Found);
        check(&[Code::Stale], &[Code::Stale], Cell::Quiet);
    }
}
