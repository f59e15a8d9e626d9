//! `lockdep check`: a verdict on each recorded case, and each finding in a trace.

use super::explain::Explanation;
use super::input::{Form, Input};
use super::verdict::Verdict;
use crate::cli::{Format, LockdepCheckArgs};
use crate::{Exit, out};
use lockdep::kernel_trace::{TraceJudge, TraceSummary};
use lockdep::recorded::{Case, Player};
use lockdep::{Lockdep, Report, Run};
use serde_json::{Value, json};

/// What stands where the kernel names itself in a report.
pub(super) const IDENT: &str = concat!("shootdown-", env!("CARGO_PKG_VERSION"), " Not tainted");

pub(super) fn check(args: &LockdepCheckArgs) -> Exit {
    let mut check = Check {
        format: args.format,
        player: Player::default(),
        out: String::new(),
        tally: Tally::default(),
        explained: false,
    };
    for path in &args.files {
        match Input::open(path, args.input) {
            Ok(mut input) => match input.form {
                Form::Json => check.cases(&mut input),
                Form::Trace => check.trace(&mut input),
            },
            Err(why) => {
                check.tally.unread += 1;
                out::error(&why);
            }
        }
    }
    check.summary();
    check.flush();
    check.tally.exit()
}

#[derive(Default)]
struct Tally {
    agree: u64,
    differ: u64,
    /// Without an expectation: silent, reported.
    unasked: [u64; 2],
    /// In traces.
    findings: u64,
    malformed: u64,
    unread: u64,
}

impl Tally {
    fn exit(&self) -> Exit {
        if self.malformed + self.unread > 0 {
            Exit::BadInput
        } else if self.differ + self.unasked[1] + self.findings > 0 {
            Exit::Unexpected
        } else {
            Exit::AsExpected
        }
    }
}

struct Check {
    format: Format,
    player: Player,
    /// Not printed yet.
    out: String,
    tally: Tally,
    /// The first disagreement was explained.
    explained: bool,
}

/// Written at once, so that a long input costs few writes.
const CHUNK: usize = 1 << 14;

impl Check {
    fn cases(&mut self, input: &mut Input) {
        while let Some((number, line)) = input.next_line() {
            match line.and_then(|line| Ok((Case::parse(&line).map_err(|e| e.to_string())?, line))) {
                Ok((case, line)) => self.case(&input.name, number, &case, &line),
                Err(why) => self.malformed(&input.name, number, &why),
            }
        }
    }

    fn case(&mut self, file: &str, number: usize, case: &Case, line: &str) {
        let verdict = Verdict::of(&mut self.player, file, number, case);
        match verdict.agrees() {
            Some(true) => self.tally.agree += 1,
            Some(false) => self.tally.differ += 1,
            None => self.tally.unasked[usize::from(verdict.got.is_some())] += 1,
        }
        let mut explanation = None;
        if verdict.agrees() == Some(false) && !self.explained {
            self.explained = true;
            explanation = Explanation::of(&mut self.player, &verdict, line);
        }
        match self.format {
            Format::Human => {
                self.say(&verdict.to_text());
                if let Some(explanation) = explanation {
                    self.flush();
                    out::print_report(&(explanation.to_text(&verdict) + "\n"));
                }
            }
            Format::Json => {
                let explanation = explanation.map_or(Value::Null, |explanation| explanation.to_json());
                self.say_json(&verdict.to_json(&explanation));
            }
        }
    }

    fn trace(&mut self, input: &mut Input) {
        let mut judge = TraceJudge::new(Run::new(Lockdep::new()), &input.name);
        while let Some((number, line)) = input.next_line() {
            match line.and_then(|line| judge.line(number, &line).map_err(|e| e.to_string())) {
                Ok(verdict) => {
                    for report in &judge.run().reports()[verdict.reports()] {
                        self.finding(&input.name, number, report);
                    }
                }
                Err(why) => self.malformed(&input.name, number, &why),
            }
        }
        self.trace_summary(&input.name, &mut judge);
    }

    fn finding(&mut self, file: &str, number: usize, report: &Report) {
        self.tally.findings += 1;
        match self.format {
            Format::Human => {
                self.say(&format!("{file}:{number}: {}\n", report.first_line()));
                self.flush();
                out::print_report(&(report.to_text(IDENT) + "\n"));
            }
            Format::Json => self.say_json(&json!({
                "type": "finding",
                "file": file,
                "line": number,
                "title": report.first_line(),
                "id": report.id,
                "text": report.to_text(IDENT),
            })),
        }
    }

    fn trace_summary(&mut self, file: &str, judge: &mut TraceJudge) {
        let summary = judge.summary();
        let (stats, findings) = (judge.run_mut().stats(), judge.run().reports().len());
        match self.format {
            Format::Human => {
                let TraceSummary { events, tasks, .. } = summary;
                let (classes, edges) = (stats.lock_classes, stats.direct_dependencies);
                self.say(&format!(
                    "{file}: lock events {events}, tasks {tasks}, classes {classes}, dependencies {edges}, findings {findings}\n"
                ));
                for note in notes(&summary) {
                    self.say(&format!("  note: {note}\n"));
                }
            }
            Format::Json => self.say_json(&json!({
                "type": "trace",
                "file": file,
                "events": summary.events,
                "tasks": summary.tasks,
                "classes": stats.lock_classes,
                "dependencies": stats.direct_dependencies,
                "findings": findings,
                "notes": notes(&summary),
            })),
        }
    }

    fn malformed(&mut self, file: &str, number: usize, why: &str) {
        self.tally.malformed += 1;
        out::error(&format!("{file}:{number}: {why}"));
    }

    fn summary(&mut self) {
        let Tally { agree, differ, unasked: [silent, reported], malformed, .. } = self.tally;
        match self.format {
            Format::Human => {
                if silent + reported > 0 {
                    self.say(&format!("without an expectation: {silent} silent, {reported} reported\n"));
                }
                if malformed > 0 {
                    self.say(&format!("malformed lines, left out: {malformed}\n"));
                }
                self.say(&format!("{agree} agree, {differ} differ\n"));
            }
            Format::Json => self.say_json(&json!({
                "type": "summary",
                "agree": agree,
                "differ": differ,
                "silent": silent,
                "reported": reported,
                "findings": self.tally.findings,
                "malformed": malformed,
            })),
        }
    }

    fn say(&mut self, text: &str) {
        self.out.push_str(text);
        if self.out.len() >= CHUNK {
            self.flush();
        }
    }

    fn say_json(&mut self, value: &Value) {
        self.say(&format!("{value}\n"));
    }

    fn flush(&mut self) {
        out::print(&self.out);
        self.out.clear();
    }
}

/// What the reader of a verdict on a trace should know of the trace.
fn notes(summary: &TraceSummary) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(early) = summary.early_releases {
        notes.push(format!(
            "releases of locks that may have been held when recording began: {}, the first in line {}",
            early.count, early.first_line
        ));
    }
    if summary.lost > 0 {
        notes.push(format!("events were lost, times: {}; what was held then is not known", summary.lost));
    }
    if summary.without_context > 0 {
        notes.push(format!(
            "lock events that do not tell their context: {}; unless interrupts were recorded too, an interrupt's locks count as its victim's",
            summary.without_context
        ));
    }
    if summary.events > summary.without_context && !summary.softirqs_known {
        notes.push(
            "the flags do not tell whether softirqs are enabled: nothing is said to be held with them on".to_owned(),
        );
    }
    notes
}
