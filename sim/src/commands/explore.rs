//! `explore`: many schedules of one scenario.

use super::load;
use crate::cli::{ExploreArgs, Format, StrategyArg};
use crate::{Exit, out, program};
use harness::{ExploreEnd, ExplorePlan, Registry};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn explore(registry: &Registry, args: &ExploreArgs) -> Exit {
    let experiment = match load(registry, &args.file, &args.scenario) {
        Ok(experiment) => experiment,
        Err(exit) => return exit,
    };
    if args.executions == 0 {
        out::complain("error: --executions 0: nothing would be run; give 1 or more");
        return Exit::BadInput;
    }
    let StrategyArg::Random = args.strategy;
    let seed = args.scenario.seed.unwrap_or(experiment.seed());
    let plan = ExplorePlan { seed, runs: args.executions, jobs: args.jobs, stop_at_first: args.stop_at_first };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    if let Err(why) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
        out::complain(&format!("warning: Ctrl-C will lose the results: {why}"));
    }
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
        finding.found.replay = program::replay_line(&finding.token.to_string(), &args.file, &args.scenario.settings);
    }
    match args.scenario.format {
        Format::Json => out::print(&format!("{}\n", report.to_json())),
        Format::Human => out::print_report(&report.to_text()),
    }
    if out::stderr_is_terminal() {
        out::complain(&format!("{} runs in {took:.2} s, {:.0} runs/s", report.runs, report.runs as f64 / took));
    }
    if interrupted.load(Ordering::Relaxed) {
        Exit::Interrupted
    } else if !report.verdict.as_expected() {
        Exit::Unexpected
    } else if report.ended == ExploreEnd::Cut {
        out::complain(&format!("the time bound cut the exploration after {} of {} runs", report.runs, plan.runs));
        Exit::Incomplete
    } else {
        Exit::AsExpected
    }
}

fn progress_bar(runs: u64) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(runs);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// The host's clock: for bounds and rates, never inside a run.
struct Clock(
    #[expect(clippy::disallowed_types, reason = "floor 8: time bounds and rates of the tool itself")]
    std::time::Instant,
);

impl Clock {
    fn start() -> Clock {
        #[expect(
            clippy::disallowed_types,
            clippy::disallowed_methods,
            reason = "floor 8: time bounds and rates of the tool itself"
        )]
        Clock(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
