//! `explore`: many schedules of one scenario.

use super::load;
use crate::cli::{ExploreArgs, Format, StrategyArg};
use crate::clock::Clock;
use crate::{Exit, out, program};
use harness::{Experiment, ExploreEnd, ExplorePlan, ExploreReport, Registry};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn explore(registry: &Registry, args: &ExploreArgs) -> Exit {
    // First of all, so that there is no moment in which Ctrl-C loses anything.
    let interrupted = catch_interrupts();
    let experiment = match load(registry, &args.file, &args.scenario) {
        Ok(experiment) => experiment,
        Err(exit) => return exit,
    };
    let StrategyArg::Random = args.strategy;
    let seed = args.seed.unwrap_or(experiment.seed());
    // A thread without a run to do is only a cost.
    let jobs = args.jobs.min(usize::try_from(args.executions).unwrap_or(usize::MAX));
    let plan = ExplorePlan { seed, runs: args.executions, jobs, stop_at_first: args.stop_at_first };
    let clock = Clock::start();
    let limit = args.time.map(Duration::from_secs);
    let bar = progress_bar(args.executions);
    let mut report = experiment.explore(&plan, &|progress| {
        bar.set_position(progress.runs);
        let late = limit.is_some_and(|limit| clock.elapsed() >= limit);
        if late || interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let took = clock.elapsed().as_secs_f64();
    for finding in &mut report.findings {
        finding.found.replay = program::replay_command(&finding.token.to_string(), &args.file, &args.scenario.settings);
    }
    match args.scenario.format {
        Format::Json => out::print(&format!("{}\n", report.to_json())),
        Format::Human => out::print_report(&report.to_text()),
    }
    if out::stderr_is_terminal() {
        out::complain(&format!("{} runs in {took:.2} s, {:.0} runs/s", report.runs, report.runs as f64 / took));
    }
    let cut = report.ended == ExploreEnd::Cut;
    let excused = report.verdict.as_expected() || (cut && only_missing(&experiment, &report));
    if cut {
        let who = if interrupted.load(Ordering::Relaxed) { "an interrupt" } else { "the time bound" };
        out::complain(&format!("{who} cut the exploration after {} of {} runs", report.runs, plan.runs));
    }
    if interrupted.load(Ordering::Relaxed) {
        Exit::Interrupted
    } else if !excused {
        Exit::Unexpected
    } else if cut {
        Exit::Incomplete
    } else {
        Exit::AsExpected
    }
}

/// Whether all that is wrong is that something expected has not been found: more runs may still find it.
fn only_missing(experiment: &Experiment, report: &ExploreReport) -> bool {
    let expected: BTreeSet<&str> = experiment.scenario().expect.iter().map(|name| name.node.as_str()).collect();
    expected.len() - report.verdict.expected.len() == report.verdict.problems.len()
}

/// A flag that the first Ctrl-C raises. The second ends the tool, should a run never end.
fn catch_interrupts() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    };
    if let Err(why) = ctrlc::set_handler(handler) {
        out::complain(&format!("warning: Ctrl-C will lose the results: {why}"));
    }
    interrupted
}

fn progress_bar(runs: u64) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(runs);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
