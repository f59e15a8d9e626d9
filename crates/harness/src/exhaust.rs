//! Every schedule of one experiment, one run of each trace, and what they found together.

use crate::experiment::Experiment;
use crate::explore::{ExploreEnd, cycles_across_runs};
use crate::report::{Found, conclusion};
use crate::token::{Origin, Token};
use crate::verdict::{self, Verdict};
use crate::world::{Brief, World};
use explore::{Bounds, Course, CourseScheduler, Ended, ExhaustPlan, Exhausted, Gather, Program, Tally, Watch};
use lockdep::Lockdep;
use properties::Code;
use sched::Scheduler;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// What an exploration of all traces found. Complete, it is a proof: no schedule of the scenario shows anything else.
#[derive(Clone, Debug)]
pub struct ExhaustReport {
    /// The scenario's title.
    pub title: String,
    /// Its file.
    pub file: String,
    /// What was left out on purpose.
    pub bounds: Bounds,
    /// What was run: every run that was started is counted.
    pub tally: Tally,
    /// Whether every schedule is explored.
    pub complete: bool,
    /// Runs that there would have been, as far as can be told.
    pub estimate: u64,
    /// Visible operations in one run of each trace.
    pub steps: u64,
    /// How traces end: word, how many.
    pub ends: BTreeMap<&'static str, u64>,
    /// Distinct findings, by code and title.
    pub findings: Vec<ExhaustedFinding>,
    /// Lock orders that are a cycle only together, from different runs. Empty unless complete.
    pub across_runs: Vec<String>,
    /// Why it ended.
    pub ended: ExploreEnd,
    /// The codes that the file expects.
    pub expected: BTreeSet<String>,
    /// Against the file's expectations.
    pub verdict: Verdict,
}

/// A finding of an exploration of all traces.
#[derive(Clone, Debug)]
pub struct ExhaustedFinding {
    /// The finding as it shows in the run with the fewest switches, then the fewest steps.
    pub found: Found,
    /// How many traces have it.
    pub traces: u64,
    /// The token of that run.
    pub token: Token,
}

impl ExhaustReport {
    /// The word for how much was explored.
    #[must_use]
    pub const fn coverage(&self) -> &'static str {
        if self.complete { "complete" } else { "bounded" }
    }

    /// Whether all that is wrong is that something expected has not been found: what was left out may have it.
    #[must_use]
    pub fn only_missing(&self) -> bool {
        let found: BTreeSet<&str> = self.findings.iter().map(|f| f.found.code.as_str()).collect();
        self.expected.iter().filter(|code| !found.contains(code.as_str())).count() == self.verdict.problems.len()
    }

    /// What was left out, and why; empty if nothing was.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        let Tally { cut, ended, left_out, unfaithful, .. } = self.tally;
        let mut reasons = Vec::new();
        match self.ended {
            ExploreEnd::FirstFinding => reasons.push("stopped at the first finding".to_owned()),
            ExploreEnd::Cut => reasons.push(format!("stopped; about {} executions in all", self.estimate)),
            ExploreEnd::AllRuns if !self.complete && left_out + cut + unfaithful == 0 && ended == 0 => {
                reasons.push(format!("the bound of executions was reached; about {} in all", self.estimate));
            }
            ExploreEnd::AllRuns => {}
        }
        if left_out > 0 {
            reasons.push(format!("{left_out} sequences need more preemptions than the bound"));
        }
        if cut > 0 {
            reasons.push(format!("{cut} runs reached max_steps"));
        }
        if unfaithful > 0 {
            reasons.push(format!("{unfaithful} runs did something that their operations do not name"));
        }
        if !self.complete && ended > 0 {
            reasons.push(format!("{ended} runs were ended by a step, in a scenario that makes other choices too"));
        }
        reasons
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "scenario \"{}\" ({})", self.title, self.file);
        let Tally { executions, redundant, .. } = self.tally;
        let ends: Vec<String> = self.ends.iter().map(|(word, n)| format!("{n} {word}")).collect();
        let what = if self.complete { "complete: every schedule of this scenario" } else { "bounded" };
        let _ = writeln!(text, "  {what}; {executions} executions, {} steps; {}", self.steps, ends.join(", "));
        if redundant > 0 {
            let _ = writeln!(text, "  {redundant} of the executions were of traces that others had been of");
        }
        for reason in self.left_out() {
            let _ = writeln!(text, "  left out: {reason}");
        }
        if !self.findings.is_empty() {
            let _ = writeln!(text, "\n  {:<14} {:>9}  what", "finding", "traces");
            for f in &self.findings {
                let _ = writeln!(text, "  {:<14} {:>9}  {}", f.found.code, f.traces, f.found.title);
            }
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

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let finding = |f: &ExhaustedFinding| {
            serde_json::json!({
                "code": f.found.code, "title": f.found.title, "key": format!("{:016x}", f.found.key), "text": f.found.text,
                "traces": f.traces, "token": f.token.to_string(), "run_hash": format!("{:016x}", f.token.hash),
                "replay": f.found.replay, "proof": f.found.proof,
            })
        };
        let findings: Vec<_> = self.findings.iter().map(finding).collect();
        let Tally { executions, redundant, cut, ended, left_out, unfaithful } = self.tally;
        serde_json::json!({
            "scenario": self.title, "file": self.file, "strategy": "exhaustive", "coverage": self.coverage(),
            "executions": executions, "redundant": redundant, "cut": cut, "ended_by_a_step": ended,
            "sequences_left_out": left_out, "unfaithful": unfaithful, "estimate": self.estimate,
            "preemptions": self.bounds.preemptions, "left_out": self.left_out(),
            "ended": self.ended.word(), "steps": self.steps, "ends": self.ends, "findings": findings,
            "across_runs": self.across_runs,
            "as_expected": self.verdict.as_expected(), "problems": self.verdict.problems,
        })
    }
}

struct Traces<'a> {
    experiment: &'a Experiment,
    lockdep: Arc<Lockdep>,
}

impl Program for Traces<'_> {
    type World = World;
    type Report = Brief;

    fn build(&self) -> World {
        World::for_findings(self.experiment, self.lockdep.clone())
    }

    fn run(&self, world: &mut World, scheduler: &mut dyn Scheduler, _run: u64) -> Brief {
        world.run_brief(scheduler)
    }
}

/// What is kept of the traces.
#[derive(Default)]
struct Kept {
    found: BTreeMap<(Code, u64), Best>,
    ends: BTreeMap<&'static str, u64>,
    steps: u64,
}

#[derive(Default)]
struct Best {
    traces: u64,
    course: Option<Course>,
}

impl Gather<Brief> for Kept {
    fn add(&mut self, brief: Brief, course: &mut dyn FnMut() -> Option<Course>) -> explore::Verdict {
        *self.ends.entry(brief.end).or_default() += 1;
        self.steps += brief.steps;
        if brief.found.is_empty() {
            return explore::Verdict::Clean;
        }
        let course = course();
        for key in brief.found {
            let best = self.found.entry(key).or_default();
            best.traces += 1;
            best.offer(course.clone());
        }
        explore::Verdict::Finding
    }

    fn merge(&mut self, other: Kept) {
        for (key, Best { traces, course }) in other.found {
            let best = self.found.entry(key).or_default();
            best.traces += traces;
            best.offer(course);
        }
        for (end, n) in other.ends {
            *self.ends.entry(end).or_default() += n;
        }
        self.steps += other.steps;
    }
}

impl Best {
    /// Takes the course if it is better than the one there is.
    fn offer(&mut self, course: Option<Course>) {
        let better = |new: &Course| self.course.as_ref().is_none_or(|old| new < old);
        if course.as_ref().is_some_and(better) {
            self.course = course;
        }
    }
}

pub(crate) fn exhaust(experiment: &Experiment, plan: &ExhaustPlan, progress: &Watch<'_>) -> ExhaustReport {
    let program = Traces { experiment, lockdep: Lockdep::new() };
    let Exhausted { gathered, tally, complete, estimate, ended } =
        explore::exhaust(&program, plan, &Kept::default, progress);
    let across_runs = if complete { cycles_across_runs(&program.lockdep, gathered.found.keys()) } else { Vec::new() };
    let codes: BTreeSet<Code> = gathered.found.keys().map(|(code, _)| *code).collect();
    let scenario = experiment.scenario();
    let mut report = ExhaustReport {
        title: scenario.title.node.clone(),
        file: scenario.source.name().to_owned(),
        bounds: plan.bounds,
        tally,
        complete,
        estimate,
        steps: gathered.steps,
        ends: gathered.ends,
        findings: Vec::new(),
        across_runs,
        ended: match ended {
            Ended::AllRuns => ExploreEnd::AllRuns,
            Ended::FirstFinding => ExploreEnd::FirstFinding,
            Ended::Interrupted => ExploreEnd::Cut,
        },
        expected: scenario.expect.iter().map(|name| name.node.clone()).collect(),
        verdict: verdict::judge_codes(scenario, &codes),
    };
    report.findings = show(experiment, gathered.found);
    report
}

/// Runs the best trace of each distinct finding again, with everything written down.
fn show(experiment: &Experiment, found: BTreeMap<(Code, u64), Best>) -> Vec<ExhaustedFinding> {
    let mut world = World::for_findings(experiment, Lockdep::new());
    let shown = found.into_iter().filter_map(|((code, key), best)| {
        let (_, trail) = world.attempt(&mut CourseScheduler::new(best.course?));
        let report = experiment.run_of(Origin::Script { seed: experiment.seed(), script: trail.script }, false);
        let same = |f: &&Found| f.code() == Some(code) && f.key == key;
        let found = report.findings.iter().find(same)?.clone();
        Some(ExhaustedFinding { found, traces: best.traces, token: report.token })
    });
    let mut shown: Vec<ExhaustedFinding> = shown.collect();
    shown.sort_by(|a, b| (&a.found.code, &a.found.title).cmp(&(&b.found.code, &b.found.title)));
    shown
}
