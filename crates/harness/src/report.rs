//! What a run or an exploration comes back with: values, their text in the kernel's manner, and their JSON.

use crate::judge::Counts;
use crate::matrix::LockCounts;
use crate::prove::{Proof, Ring};
use crate::token::Token;
use crate::verdict::{Verdict, hook_word};
use ksync::LockReport;
use lockdep::{Edge, ReportKind};
use properties::{Code, Finding};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use trace::RunEnd;

/// The kernel line of every report: what is modelled, and by whom.
pub const IDENT: &str = concat!("6.12.0-shootdown-", env!("CARGO_PKG_VERSION"), " Not tainted");

/// A finding of a run with the text that a kernel developer would read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    /// The rule's code.
    pub code: String,
    /// One line.
    pub title: String,
    /// Visible operations begun when it became certain.
    pub step: u64,
    /// The task that made it certain.
    pub task: Option<u32>,
    /// The same for the same finding in another run. Hexadecimal in JSON, whose readers may keep 53 bits of a number only.
    #[serde(serialize_with = "hexadecimal")]
    pub key: u64,
    /// The whole report.
    pub text: String,
    /// The command that shows it again; filled in by whoever knows how it was called.
    pub replay: String,
    /// Whether the deadlock that it warns of was really reached; none for what is no cycle of locks, or if nobody tried.
    pub proof: Option<Proof>,
    /// The cycle of lock classes that it is about.
    #[serde(skip)]
    pub(crate) ring: Option<Ring>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn hexadecimal<S: Serializer>(key: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{key:016x}"))
}

impl Found {
    pub(crate) fn code(&self) -> Option<Code> {
        Code::parse(&self.code)
    }

    /// Whether it says only that the scenario asked for pressure that it did not get.
    pub(crate) fn is_of_a_request(&self) -> bool {
        self.code() == Some(Code::ProgRequest)
    }

    /// The report with what is known of its deadlock and the command that shows it again, which is the last line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.text.trim_end());
        if let Some(proof) = &self.proof {
            let _ = writeln!(text, "{proof}");
            if !proof.replay.is_empty() {
                let _ = writeln!(text, "proof: {}", proof.replay);
            }
        }
        let _ = writeln!(text, "replay: {}", self.replay);
        text
    }

    pub(crate) fn from_oracle(finding: &Finding) -> Found {
        Found {
            code: finding.code.text().to_owned(),
            title: finding.title.clone(),
            step: finding.step,
            task: finding.task.map(|t| t.0),
            key: finding.key,
            text: oracle_text(finding),
            replay: String::new(),
            proof: None,
            ring: None,
        }
    }

    pub(crate) fn from_lockdep(found: &LockReport) -> Found {
        let code = lock_rule(found.report.kind);
        let cycle: Vec<String> = found.report.cycle().iter().map(|s| s.from.clone()).collect();
        let title = match cycle.first() {
            Some(first) if cycle.len() > 1 => format!("{} -> {first}", cycle.join(" -> ")),
            Some(first) => first.clone(),
            None => found.report.title().to_owned(),
        };
        Found {
            code: code.text().to_owned(),
            title,
            step: found.step,
            task: Some(found.task.0),
            key: found.report.id.value(),
            text: found.report.to_text(IDENT).trim_matches('\n').to_owned(),
            replay: String::new(),
            proof: None,
            ring: Ring::of(found),
        }
    }
}

/// The code of a lock report.
pub(crate) const fn lock_rule(kind: ReportKind) -> Code {
    match kind {
        ReportKind::Recursive => Code::LdRecursive,
        ReportKind::Circular => Code::LdCircular,
        ReportKind::UnlockBalance => Code::LdUnlock,
        ReportKind::InconsistentState | ReportKind::IrqInversion | ReportKind::IrqUnsafe => Code::LdIrq,
        ReportKind::InvalidWaitContext => Code::LdWait,
        ReportKind::HeldLockFreed | ReportKind::LocksHeldAtExit | ReportKind::LocksHeldInUserspace => Code::LdHeld,
        ReportKind::SuspiciousRcu => Code::LdRcu,
        // Downgrades, pins, assertions, nest_lock, and what else the kernel warns of.
        _ => Code::LdMisuse,
    }
}

/// An oracle's finding in the layout of a kernel report: a box with the title, then what happened in order.
fn oracle_text(finding: &Finding) -> String {
    let title = format!("BUG: {}: {}", finding.code, finding.title);
    let width = title.chars().count().min(100);
    let mut text = String::new();
    let _ = writeln!(text, "{}\n{title}\n{IDENT}\n{}", "=".repeat(width), "-".repeat(width));
    let lines = if finding.columns.is_empty() { &finding.details } else { &finding.columns };
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// One run, judged.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The scenario's title.
    pub title: String,
    /// The file it came from.
    pub file: String,
    /// Which run.
    pub token: Token,
    /// How it ended.
    pub end: RunEnd,
    /// Visible operations.
    pub steps: u64,
    /// What was found, in order.
    pub findings: Vec<Found>,
    /// Operations of tasks that failed, in order: where and why.
    pub notes: Vec<String>,
    /// Callbacks delivered: subscriber, callback, how often.
    pub callbacks: Vec<(String, &'static str, u64)>,
    /// Allocations made.
    pub allocations: u64,
    /// Callbacks delivered on behalf of reclaim.
    pub reclaim_invalidations: u64,
    /// Tasks that could not go on.
    pub blocked_tasks: u64,
    /// The lock order learnt.
    pub edges: Vec<Edge>,
    /// How much that was.
    pub lock_counts: LockCounts,
    /// Against the file's expectations.
    pub verdict: Verdict,
    /// Every event as a line, if asked for.
    pub log: Vec<String>,
}

impl RunReport {
    /// The run's hash: equal for the same run.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.token.hash
    }

    pub(crate) fn take_counts(&mut self, counts: &Counts) {
        self.callbacks = counts.all_callbacks().map(|(name, hook, n)| (name.to_string(), hook_word(hook), n)).collect();
        self.allocations = counts.allocations;
        self.reclaim_invalidations = counts.reclaim_invalidations;
        self.blocked_tasks = counts.blocked_tasks;
    }

    /// The summary above the findings.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let origin = &self.token.origin;
        let (seed, run) = (origin.seed(), origin.run());
        let which = if run > 0 { format!(", run {run}") } else { String::new() };
        let _ = writeln!(text, "scenario \"{}\" ({})", self.title, self.file);
        let _ = writeln!(
            text,
            "  {} choices, seed {seed}{which}: {} after {} steps, run hash {:016x}",
            origin.word(),
            self.end.word(),
            self.steps,
            self.token.hash
        );
        if !self.callbacks.is_empty() {
            let list: Vec<String> = self.callbacks.iter().map(|(s, h, n)| format!("{s}.{h} {n}")).collect();
            let _ = writeln!(text, "  callbacks delivered: {}", list.join(", "));
        }
        let _ = writeln!(
            text,
            "  reclaim invalidations delivered: {}, tasks blocked at the end: {}",
            self.reclaim_invalidations, self.blocked_tasks
        );
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        text
    }

    /// The last lines: what the file expected and whether it came.
    #[must_use]
    pub fn conclusion(&self) -> String {
        conclusion(&self.verdict, self.findings.len())
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "scenario": self.title,
            "file": self.file,
            "mode": self.token.origin.word(),
            "seed": self.token.origin.seed(),
            "run": self.token.origin.run(),
            "token": self.token.to_string(),
            "end": self.end.word(),
            "steps": self.steps,
            "run_hash": format!("{:016x}", self.token.hash),
            "callbacks": self.callbacks.iter().map(|(s, h, n)| serde_json::json!({"subscriber": s, "callback": h, "count": n})).collect::<Vec<_>>(),
            "allocations": self.allocations,
            "reclaim_invalidations": self.reclaim_invalidations,
            "blocked_tasks": self.blocked_tasks,
            "findings": self.findings,
            "notes": self.notes,
            "lock_order": self.edges.iter().map(|e| serde_json::json!({"from": e.from, "to": e.to})).collect::<Vec<_>>(),
            "as_expected": self.verdict.as_expected(),
            "problems": self.verdict.problems,
            "events": self.log,
        })
    }
}

pub(crate) fn conclusion(verdict: &Verdict, findings: usize) -> String {
    let mut text = String::new();
    if verdict.as_expected() {
        let found: Vec<&str> = verdict.expected.iter().map(|c| c.text()).collect();
        let what = match (found.is_empty(), findings) {
            (true, 0) => "nothing found".to_owned(),
            (true, n) => format!("{n} findings"),
            (false, _) => format!("{} found", found.join(", ")),
        };
        let _ = writeln!(text, "as expected: {what}");
    }
    for problem in &verdict.problems {
        let _ = writeln!(text, "not as expected: {problem}");
    }
    text
}
