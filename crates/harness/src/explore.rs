//! Many runs of one experiment, and what they found together.

use crate::coverage::{Coverage, Covered};
use crate::experiment::Experiment;
use crate::report::{Found, conclusion};
use crate::schedulers::strategy_of;
use crate::token::{Mode, Recipe, Token};
use crate::verdict::{self, Verdict};
use crate::world::{Brief, World};
use explore::{Accumulate, Ended, Plan, Program};
use lockdep::Lockdep;
use mm_types::Name;
use properties::Code;
use sched::Scheduler;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How much to explore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExplorePlan {
    /// Run `k` decides by the stream of (`seed`, `k`).
    pub seed: u64,
    /// Runs `0..runs`.
    pub runs: u64,
    /// Threads; the report does not depend on it.
    pub jobs: usize,
    /// Whether the first run with a finding ends it.
    pub stop_at_first: bool,
}

/// Why there were no more runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExploreEnd {
    /// All that were asked for.
    AllRuns,
    /// The first finding was enough.
    FirstFinding,
    /// The progress callback said stop: a bound or the user.
    Cut,
}

impl ExploreEnd {
    /// One word, as JSON has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ExploreEnd::AllRuns => "all-runs",
            ExploreEnd::FirstFinding => "first-finding",
            ExploreEnd::Cut => "cut",
        }
    }
}

/// A finding of an exploration.
#[derive(Clone, Debug)]
pub struct ExploredFinding {
    /// The finding as its first run shows it.
    pub found: Found,
    /// The first run that had it.
    pub first_run: u64,
    /// How many runs had it.
    pub runs: u64,
    /// The token of the first run.
    pub token: Token,
}

/// How far an exploration is. What it says depends on the number of jobs and on timing; the report does not.
pub struct Progress<'a> {
    /// Runs executed, those included that may yet be dropped.
    pub runs: u64,
    /// Runs planned.
    pub of: u64,
    /// The first run with a finding, as far as is known.
    pub first: Option<u64>,
    mode: Mode,
    seed: u64,
    scenario: u64,
    coverage: &'a Coverage,
}

impl Progress<'_> {
    /// What the runs so far have met. Costs some microseconds.
    #[must_use]
    pub fn covered(&self) -> Covered {
        self.coverage.covered()
    }

    /// Each distinct finding so far: its code, and the token of a run that has it.
    #[must_use]
    pub fn found(&self) -> Vec<(Code, Token)> {
        let found = self.coverage.found(self.mode, self.seed, self.scenario);
        found.into_iter().map(|(code, _, token)| (code, token)).collect()
    }
}

/// What a sampling exploration found: a clean report proves nothing about the schedules it did not
/// run, and says so.
#[derive(Clone, Debug)]
pub struct ExploreReport {
    /// The scenario's title.
    pub title: String,
    /// Its file.
    pub file: String,
    /// How schedules were chosen.
    pub strategy: &'static str,
    /// The seed.
    pub seed: u64,
    /// Runs counted.
    pub runs: u64,
    /// Visible operations in all of them.
    pub steps: u64,
    /// How runs ended: word, how many.
    pub ends: BTreeMap<&'static str, u64>,
    /// Distinct findings, by the first run that had them.
    pub findings: Vec<ExploredFinding>,
    /// Lock orders that are a cycle only together, from different runs: one line each. Empty when the exploration
    /// stopped at its first finding or was cut.
    pub across_runs: Vec<String>,
    /// How much of the scenario the runs have seen. None when the exploration stopped at its first finding or was cut.
    pub covered: Option<Covered>,
    /// The sync points that its runs reached. Beyond a first finding, or beyond a cut, it depends on the number of jobs.
    pub(crate) points: BTreeSet<Name>,
    /// Why it ended.
    pub ended: ExploreEnd,
    /// Against the file's expectations.
    pub verdict: Verdict,
}

impl ExploreReport {
    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "scenario \"{}\" ({})", self.title, self.file);
        let ends: Vec<String> = self.ends.iter().map(|(word, n)| format!("{n} {word}")).collect();
        let _ = writeln!(
            text,
            "  sampled ({}, seed {}): {} runs, {} steps; {}",
            self.strategy,
            self.seed,
            self.runs,
            self.steps,
            ends.join(", ")
        );
        if let Some(Covered { traces, new_per_mille, sync_points, lock_edges }) = self.covered {
            let _ = writeln!(
                text,
                "  {traces} distinct traces (about {}.{} % of further runs would be new), {sync_points} sync points, \
                 {lock_edges} lock edges",
                new_per_mille / 10,
                new_per_mille % 10
            );
        }
        if !self.findings.is_empty() {
            let _ = writeln!(text, "\n  {:<14} {:>9} {:>9}  what", "finding", "found in", "runs");
            for f in &self.findings {
                let took = format!("run {}", f.first_run + 1);
                let _ = writeln!(text, "  {:<14} {:>9} {:>9}  {}", f.found.code, took, f.runs, f.found.title);
            }
        }
        if let Some((warning, deadlock)) = self.warned_before_deadlock() {
            let _ = writeln!(text, "\n  runs until lockdep reported: {warning}, until the deadlock: {deadlock}");
        }
        for line in &self.across_runs {
            let _ = writeln!(text, "  predicted from several runs together: {line}");
        }
        for f in &self.findings {
            let _ = write!(text, "\n{}", f.found.to_text());
        }
        text.push('\n');
        text.push_str(&conclusion(&self.verdict, self.findings.len()));
        text
    }

    /// How many runs it took until lockdep had something to say, and until a run really ended in a deadlock.
    fn warned_before_deadlock(&self) -> Option<(u64, u64)> {
        let first = |wanted: &dyn Fn(&str) -> bool| {
            self.findings.iter().filter(|f| wanted(&f.found.code)).map(|f| f.first_run + 1).min()
        };
        Some((first(&|code| code.starts_with("LD-"))?, first(&|code| code == Code::ProgDeadlock.text())?))
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let findings: Vec<serde_json::Value> = self
            .findings
            .iter()
            .map(|f| {
                serde_json::json!({
                    "code": f.found.code, "title": f.found.title, "key": format!("{:016x}", f.found.key), "text": f.found.text,
                    "first_run": f.first_run, "runs": f.runs, "token": f.token.to_string(),
                    "run_hash": format!("{:016x}", f.token.hash), "replay": f.found.replay, "proof": f.found.proof,
                })
            })
            .collect();
        serde_json::json!({
            "scenario": self.title, "file": self.file, "strategy": self.strategy, "coverage": "sampled", "seed": self.seed,
            "runs": self.runs, "ended": self.ended.word(), "steps": self.steps, "ends": self.ends, "findings": findings,
            "across_runs": self.across_runs, "covered": self.covered,
            "as_expected": self.verdict.as_expected(), "problems": self.verdict.problems,
        })
    }
}

/// The experiment as something to explore.
struct Explored<'a> {
    experiment: &'a Experiment,
    lockdep: Arc<Lockdep>,
    coverage: Coverage,
}

impl Program for Explored<'_> {
    type World = World;
    type Report = Brief;

    fn build(&self) -> World {
        World::new(self.experiment, self.lockdep.clone(), false)
    }

    fn run(&self, world: &mut World, scheduler: &mut dyn Scheduler, run: u64) -> Brief {
        let brief = world.run_brief(scheduler);
        self.coverage.add(run, &brief, world.take_new_points());
        brief
    }
}

/// What is kept of the runs.
#[derive(Default)]
struct Tally {
    found: BTreeMap<(Code, u64), Seen>,
    ends: BTreeMap<&'static str, u64>,
    steps: u64,
}

struct Seen {
    first: u64,
    runs: u64,
}

impl Accumulate<Brief> for Tally {
    fn add(&mut self, run: u64, brief: Brief) -> explore::Verdict {
        *self.ends.entry(brief.end).or_default() += 1;
        self.steps += brief.steps;
        let verdict = if brief.found.is_empty() { explore::Verdict::Clean } else { explore::Verdict::Finding };
        for key in brief.found {
            self.found.entry(key).or_insert(Seen { first: run, runs: 0 }).runs += 1;
        }
        verdict
    }

    fn merge(&mut self, later: Tally) {
        for (key, seen) in later.found {
            self.found.entry(key).or_insert(Seen { first: seen.first, runs: 0 }).runs += seen.runs;
        }
        for (end, n) in later.ends {
            *self.ends.entry(end).or_default() += n;
        }
        self.steps += later.steps;
    }
}

pub(crate) fn explore(
    experiment: &Experiment,
    mode: Mode,
    plan: &ExplorePlan,
    progress: &dyn Fn(Progress<'_>) -> ControlFlow<()>,
) -> ExploreReport {
    let lockdep = Lockdep::new();
    let program = Explored { experiment, coverage: Coverage::new(lockdep.clone()), lockdep };
    let strategy = strategy_of(mode);
    let runs = Plan {
        strategy: &*strategy,
        seed: plan.seed,
        runs: plan.runs,
        jobs: plan.jobs,
        stop_at_first: plan.stop_at_first,
    };
    let explored = explore::explore(&program, &runs, &Tally::default, &|explore::Progress { runs, of, first }| {
        let (seed, scenario, coverage) = (plan.seed, experiment.hash(), &program.coverage);
        progress(Progress { runs, of, first, mode, seed, scenario, coverage })
    });
    let tally = explored.accumulated;
    let findings = show(experiment, mode, plan.seed, &tally);
    let ended = match explored.ended {
        Ended::AllRuns => ExploreEnd::AllRuns,
        Ended::FirstFinding => ExploreEnd::FirstFinding,
        Ended::Interrupted => ExploreEnd::Cut,
    };
    // Runs beyond the first finding, or beyond a cut, have left their chains too: which ones depends on the jobs.
    let across_runs = if ended == ExploreEnd::AllRuns {
        cycles_across_runs(&program.lockdep, tally.found.keys())
    } else {
        Vec::new()
    };
    let covered = (ended == ExploreEnd::AllRuns).then(|| program.coverage.covered());
    let codes: BTreeSet<Code> = tally.found.keys().map(|(code, _)| *code).collect();
    let scenario = experiment.scenario();
    // The counts of `assert` speak of one run with benign choices; what random choices may change they do not say.
    let verdict = verdict::judge_codes(scenario, &codes);
    ExploreReport {
        title: scenario.title.node.clone(),
        file: scenario.source.name().to_owned(),
        strategy: mode.word(),
        seed: plan.seed,
        runs: explored.runs,
        steps: tally.steps,
        ends: tally.ends,
        findings,
        across_runs,
        covered,
        points: program.coverage.points(),
        ended,
        verdict,
    }
}

/// Runs the first run of each distinct finding again, with everything written down.
fn show(experiment: &Experiment, mode: Mode, seed: u64, tally: &Tally) -> Vec<ExploredFinding> {
    let first_runs: BTreeSet<u64> = tally.found.values().map(|seen| seen.first).collect();
    let mut findings = Vec::new();
    for run in first_runs {
        let report = experiment.run(Recipe { mode, seed, run }, false);
        for found in &report.findings {
            let seen = found.code().and_then(|code| tally.found.get(&(code, found.key)));
            if let Some(seen) = seen.filter(|seen| seen.first == run) {
                let token = report.token.clone();
                findings.push(ExploredFinding { found: found.clone(), first_run: run, runs: seen.runs, token });
            }
        }
    }
    findings
}

/// Cycles of the union of all runs' lock orders that no single run had.
pub(crate) fn cycles_across_runs<'a>(lockdep: &Lockdep, found: impl Iterator<Item = &'a (Code, u64)>) -> Vec<String> {
    let judgement = lockdep.judge(&lockdep.merged());
    let known: BTreeSet<u64> = found.map(|(_, key)| *key).collect();
    let mut lines: Vec<String> = judgement
        .findings
        .iter()
        .filter(|f| !known.contains(&f.id.value()))
        .map(|f| f.steps.iter().map(|s| format!("{} -> {}", s.from, s.to)).collect::<Vec<_>>().join(", "))
        .collect();
    lines.sort();
    lines
}
