//! `conformance`: the suite against one driver, in a child process that is watched.
//!
//! ```text
//! the tool                              its child (--worker)
//! starts it for the cases left  ----->  a second thread looks at the pulse of the run
//! one line a case               <-----  runs a case, says how it went
//! the child ended early:                no sign of life: says so, with the last events, and exits
//!   the case after the last fails,
//!   the next child has the rest
//! ```

use crate::cli::{ConformanceArgs, TestFormat};
use crate::clock::Clock;
use crate::{Exit, files, out, program};
use harness::conformance::{CRASH, Case, Failure, HANG, Outcome, Report, Suite};
use harness::{Last, Pulse, Registry};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A run that computes for so long without an event hangs.
const HANGS_AFTER_CPU_SECONDS: f64 = 2.0;
/// So does one that waits for so long for something outside of the lab. Much longer: the machine may be busy.
const HANGS_AFTER: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn conformance(registry: &Registry, args: &ConformanceArgs) -> Exit {
    let called = args.worker.clone().unwrap_or_else(program::name);
    let (suite, cases) = match select(registry, args, &called) {
        Ok(selected) => selected,
        Err(line) => {
            out::error(&line);
            return Exit::BadInput;
        }
    };
    if args.worker.is_some() {
        return work(&suite, &cases);
    }
    watch(&suite, &cases, args, &called)
}

fn select(registry: &Registry, args: &ConformanceArgs, called: &str) -> Result<(Suite, Vec<&'static Case>), String> {
    let mut suite = Suite::new(registry, &args.driver, called)?;
    if let Some(mutant) = &args.mutant {
        suite = suite.mutant(mutant)?;
    }
    let mut cases: Vec<&Case> = suite.cases().iter().collect();
    if !args.cases.is_empty() {
        let asked = args.cases.iter().map(|name| suite.case(name)).collect::<Result<Vec<_>, _>>()?;
        cases.retain(|case| asked.contains(case));
    }
    Ok((suite, cases))
}

/// The tool's part: children one after the other, until every case has an outcome.
fn watch(suite: &Suite, cases: &[&'static Case], args: &ConformanceArgs, called: &str) -> Exit {
    match args.format {
        TestFormat::Human => out::print(&Report::head(suite.driver(), cases.len())),
        TestFormat::Ktap => out::print(&Report::ktap_head(cases.len())),
        TestFormat::Json => {}
    }
    let bar = progress_bar(cases.len());
    let mut report = Report { driver: suite.driver().to_owned(), outcomes: Vec::new() };
    let heard = |outcome: Outcome, report: &mut Report| {
        report.outcomes.push(outcome);
        let outcome = &report.outcomes[report.outcomes.len() - 1];
        bar.suspend(|| match args.format {
            TestFormat::Human => out::print(&outcome.line()),
            TestFormat::Ktap => out::print(&outcome.ktap(report.outcomes.len())),
            TestFormat::Json => out::print(&format!("{}\n", serde_json::json!(outcome))),
        });
        bar.set_position(report.outcomes.len() as u64);
    };
    while report.outcomes.len() < cases.len() {
        let left = &cases[report.outcomes.len()..];
        let mut child = match start(left, args, called) {
            Ok(child) => child,
            Err(why) => {
                out::error(&format!("a child process cannot be started: {why}"));
                return Exit::Internal;
            }
        };
        let before = report.outcomes.len();
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            if let Ok(outcome) = serde_json::from_str::<Outcome>(&line) {
                heard(outcome, &mut report);
            }
        }
        let how = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        // A child that ends before its last case says why; one that did not was ended.
        let said = report.outcomes.len() > before && hung(&report);
        if let Some(case) = cases.get(report.outcomes.len()).filter(|_| !said) {
            heard(crashed(suite, case, called, &how), &mut report);
        }
    }
    bar.finish_and_clear();
    if args.format == TestFormat::Human {
        out::print_report(&report.tail());
    }
    if report.passed() { Exit::AsExpected } else { Exit::Unexpected }
}

/// Whether the last case ended its child in an orderly manner.
fn hung(report: &Report) -> bool {
    report.outcomes.last().is_some_and(|o| o.failures.iter().any(|f| f.code == HANG))
}

fn crashed(suite: &Suite, case: &Case, called: &str, how: &str) -> Outcome {
    let failure = Failure {
        code: CRASH.to_owned(),
        title: format!("the process ended: {how}"),
        text: format!("{CRASH}: the process that ran the case ended before it: {how}"),
        replay: format!("{called} conformance {} --case {}", suite.driver(), case.name),
        shrunk: None,
    };
    let scenario = suite.scenario(case);
    Outcome::failed(case.name, failure, scenario)
}

fn start(cases: &[&'static Case], args: &ConformanceArgs, called: &str) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["conformance", &args.driver, "--worker", called]);
    command.args(args.mutant.iter().flat_map(|m| ["--mutant", m]));
    command.args(cases.iter().flat_map(|case| ["--case", case.name]));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// The child's part.
fn work(suite: &Suite, cases: &[&'static Case]) -> Exit {
    let pulse = Arc::new(Pulse::default());
    for case in cases {
        let watched = Watched { scenario: suite.scenario(case), case: case.name, pulse: pulse.clone() };
        let done = watched.start();
        let outcome = suite.run(case, Some(&pulse));
        // Waits for the watcher to leave: if it has something to say it ends the process.
        let _left = done.send(());
        out::print(&format!("{}\n", serde_json::json!(outcome)));
    }
    Exit::AsExpected
}

/// A case that somebody with a clock looks at.
struct Watched {
    case: &'static str,
    scenario: String,
    pulse: Arc<Pulse>,
}

impl Watched {
    /// Begins to watch; until something is sent.
    fn start(self) -> std::sync::mpsc::SyncSender<()> {
        let (done, told) = std::sync::mpsc::sync_channel::<()>(0);
        #[expect(clippy::disallowed_methods, reason = "floor 8: a watcher beside the lab, never inside of it")]
        std::thread::spawn(move || {
            let (mut beats, mut since, mut cpu) = (u64::MAX, Clock::start(), files::cpu_seconds());
            loop {
                match told.recv_timeout(LOOK_EVERY) {
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
                let now = self.pulse.beats();
                if now != beats {
                    (beats, since, cpu) = (now, Clock::start(), files::cpu_seconds());
                } else if computed_since(cpu) > HANGS_AFTER_CPU_SECONDS || since.elapsed() > HANGS_AFTER {
                    out::print(&format!("{}\n", serde_json::json!(self.hang())));
                    std::process::exit(i32::from(Exit::Unexpected.code()));
                }
            }
        });
        done
    }

    fn hang(&self) -> Outcome {
        let Last { task, statement, events, command } = self.pulse.last();
        let title = format!("{task} does not come back");
        let place = statement.unwrap_or_else(|| "before its first statement".to_owned());
        let last = events.join("\n");
        let text = format!(
            "{HANG}: {title}: it is in the driver, and does nothing that another task could see\nat {place}; the last events:\n{last}"
        );
        let failure = Failure { code: HANG.to_owned(), title, text, replay: command, shrunk: None };
        let scenario = self.scenario.clone();
        Outcome::failed(self.case, failure, scenario)
    }
}

fn computed_since(then: Option<f64>) -> f64 {
    files::cpu_seconds().zip(then).map_or(0.0, |(now, then)| now - then)
}

fn progress_bar(cases: usize) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(cases as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} cases, {elapsed}") {
        bar.set_style(style);
    }
    bar
}
