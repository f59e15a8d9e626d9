//! Finding the bug, proving it, and acquitting the fixed version.

use super::exhibit::{Exhibit, Runs};
use crate::experiment::Experiment;
use crate::explore::{ExplorePlan, ExploreReport};
use crate::prove::{Outcome, Reason};
use crate::report::{Found, RunReport};
use crate::schedulers::scheduler_of;
use crate::token::{Mode, Origin, Recipe};
use crate::world::World;
use lockdep::Lockdep;
use mm_types::Name;
use properties::Code;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Runs that a fixed version gets beside the benign one where the buggy one needs a single run: it takes some to reach
/// what that one reached.
const TWIN_OF_ONE_RUN: u64 = 300;

/// The first run of the buggy version that found something.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// How many runs it took.
    pub runs: u64,
    /// That run.
    pub report: RunReport,
    /// Where the finding stands in it that the exhibit is about.
    at: usize,
    /// The sync points it reached.
    points: BTreeSet<Name>,
}

/// What the finding is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Certainty {
    /// It is about what happened.
    Happened,
    /// A schedule really ends in the deadlock.
    Proven {
        /// The run that does.
        token: String,
        /// Runs it took.
        tries: u64,
    },
    /// No schedule was found that does.
    Predicted {
        /// Why.
        reason: String,
        /// Whether one may be there all the same.
        feasible: bool,
    },
}

/// What the fixed version showed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Acquittal {
    /// Runs.
    pub runs: u64,
    /// What was found, a line each: nothing, if it is fixed.
    pub found: Vec<String>,
    /// Sync points of the buggy run that no run of it reached.
    pub unreached: Vec<String>,
}

impl Exhibit {
    /// Runs the buggy version until something is found.
    ///
    /// # Errors
    /// Why it is not the exhibit it says it is: nothing found within the budget, or something else.
    pub fn hunt(&self) -> Result<Hunt, String> {
        let (recipe, runs) = match self.runs {
            Runs::One => (Recipe { mode: Mode::Benign, seed: self.buggy.seed(), run: 0 }, 1),
            Runs::UpTo(runs) => {
                let run = self.first_run(runs)?;
                (Recipe { mode: self.mode, seed: self.buggy.seed(), run }, run + 1)
            }
        };
        let (report, points) = run(&self.buggy, recipe);
        let found: BTreeSet<Code> = report.findings.iter().filter_map(Found::code).collect();
        let code = self.code();
        let Some(at) = report.findings.iter().position(|f| f.code() == Some(code)) else {
            return Err(format!("{code} is not found in run {runs}, but {}", listed(&found)));
        };
        let besides: BTreeSet<Code> = found.difference(&self.expected()).copied().collect();
        if !besides.is_empty() {
            return Err(format!("run {runs} finds {} besides what it expects", listed(&besides)));
        }
        Ok(Hunt { runs, report, at, points })
    }

    /// The first run with the code. Earlier ones may have others of those expected.
    fn first_run(&self, runs: u64) -> Result<u64, String> {
        let code = self.code();
        let first = |report: &ExploreReport, wanted: &dyn Fn(Option<Code>) -> bool| {
            report.findings.iter().filter(|f| wanted(f.found.code())).map(|f| f.first_run).min()
        };
        let report = explored(&self.buggy, self.mode, runs, true);
        if report.findings.is_empty() {
            return Err(format!("nothing is found within {runs} runs"));
        }
        if let Some(run) = first(&report, &|found| found == Some(code)) {
            return Ok(run);
        }
        let report = explored(&self.buggy, self.mode, runs, false);
        first(&report, &|found| found == Some(code))
            .ok_or_else(|| format!("{code} is not found within {runs} runs, but {}", listed(&codes(&report))))
    }

    /// Runs the fixed version over the budget of the buggy one; `most` bounds the runs of an exploration further.
    #[must_use]
    pub fn acquit(&self, hunt: &Hunt, most: u64) -> Acquittal {
        let seed = self.fixed.seed();
        let (benign, mut points) = run(&self.fixed, Recipe { mode: Mode::Benign, seed, run: 0 });
        let runs = match self.runs {
            Runs::One => TWIN_OF_ONE_RUN,
            Runs::UpTo(runs) => runs,
        };
        let report = explored(&self.fixed, self.mode, runs.min(most), false);
        points.extend(&report.points);
        let mut found: Vec<String> = benign.findings.iter().map(|f| format!("{}: {}", f.code, f.title)).collect();
        found.extend(
            report.findings.iter().map(|f| format!("{}: {} (run {})", f.found.code, f.found.title, f.first_run + 1)),
        );
        found.extend(report.across_runs.iter().map(|line| format!("from several runs together: {line}")));
        let only_buggy = |point: &Name| self.only_buggy.contains(point.as_str());
        let unreached = hunt.points.difference(&points).filter(|point| !only_buggy(point));
        Acquittal { runs: report.runs + 1, found, unreached: unreached.map(Name::to_string).collect() }
    }
}

impl Hunt {
    /// The finding.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.report.findings[self.at]
    }

    /// Every code of the run, the exhibit's first.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        let mut codes = vec![self.found().code.clone()];
        for found in &self.report.findings {
            if !codes.contains(&found.code) {
                codes.push(found.code.clone());
            }
        }
        codes
    }

    /// Drives the finding into its deadlock, if it is a cycle of locks, with at most `tries` steered runs.
    pub fn prove(&mut self, exhibit: &Exhibit, tries: u64) -> Certainty {
        exhibit.buggy.prove(&mut self.report, tries, &|| false);
        let Some(proof) = &self.found().proof else { return Certainty::Happened };
        match &proof.outcome {
            Outcome::Proven { token, .. } => Certainty::Proven { token: token.to_string(), tries: proof.tries },
            // Another way into the same trap, which the run itself went.
            Outcome::Predicted(_) if self.codes().iter().any(|code| code == Code::ProgDeadlock.text()) => {
                Certainty::Happened
            }
            Outcome::Predicted(reason) => Certainty::Predicted {
                reason: proof.to_string().trim_start_matches("predicted: ").to_owned(),
                feasible: !matches!(reason, Reason::Gated(_) | Reason::Impossible(_)),
            },
        }
    }
}

/// One run, and the sync points it reached.
fn run(experiment: &Experiment, recipe: Recipe) -> (RunReport, BTreeSet<Name>) {
    let mut world = World::new(experiment, Lockdep::new(), false);
    let origin = Origin::from(recipe);
    let report = world.run(&mut *scheduler_of(experiment, &origin), origin);
    let points = world.take_new_points().into_iter().collect();
    (report, points)
}

fn explored(experiment: &Experiment, mode: Mode, runs: u64, stop_at_first: bool) -> ExploreReport {
    let plan = ExplorePlan { seed: experiment.seed(), runs, jobs: 1, stop_at_first };
    experiment.explore_by(mode, &plan, &|_| ControlFlow::Continue(()))
}

fn codes(report: &ExploreReport) -> BTreeSet<Code> {
    report.findings.iter().filter_map(|f| f.found.code()).collect()
}

fn listed(codes: &BTreeSet<Code>) -> String {
    if codes.is_empty() {
        return "nothing".to_owned();
    }
    codes.iter().map(|code| code.text()).collect::<Vec<_>>().join(", ")
}
