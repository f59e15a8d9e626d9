//! `explore`: many schedules of one scenario.

use super::{load, tokens};
use crate::cli::{ExploreArgs, Format, StrategyArg};
use crate::clock::Clock;
use crate::interrupts::Interrupts;
use crate::{Exit, out, program};
use harness::{Covered, Experiment, ExploreEnd, ExplorePlan, ExploreReport, Mode, Progress, Registry};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::Duration;

/// Between two looks at what is covered: looking costs, and nobody reads faster.
const LOOK: Duration = Duration::from_millis(200);

/// Runs of a sampling exploration that does not say how many.
const DEFAULT_EXECUTIONS: u64 = 10_000;

pub(crate) fn explore(registry: &Registry, args: &ExploreArgs) -> Exit {
    let mode = match args.strategy {
        StrategyArg::Random => Mode::Random,
        StrategyArg::Pct => Mode::Pct,
        StrategyArg::Pos => Mode::Pos,
        StrategyArg::Surw => Mode::Surw,
        StrategyArg::Portfolio => Mode::Portfolio,
        StrategyArg::Exhaustive => return super::exhaust::exhaust(registry, args),
    };
    if args.preemptions.is_some() {
        out::error("--preemptions bounds an exploration of all schedules: it needs --strategy exhaustive");
        return Exit::BadInput;
    }
    // First of all, so that there is no moment in which Ctrl-C loses anything.
    let interrupts = Interrupts::catch();
    let experiment = match load(registry, &args.file, &args.scenario) {
        Ok(experiment) => experiment,
        Err(exit) => return exit,
    };
    let runs = args.executions.unwrap_or(DEFAULT_EXECUTIONS);
    let seed = args.seed.unwrap_or(experiment.seed());
    // A thread without a run to do is only a cost.
    let jobs = jobs(args).min(usize::try_from(runs).unwrap_or(usize::MAX));
    let plan = ExplorePlan { seed, runs, jobs, stop_at_first: args.stop_at_first };
    let clock = Clock::start();
    let limit = args.time.map(Duration::from_secs);
    let watch =
        Watch { args, interrupts: &interrupts, clock: &clock, bar: progress_bar(runs), looked: Cell::default() };
    let mut report = experiment.explore_by(mode, &plan, &|progress| {
        watch.look(&progress);
        let late = limit.is_some_and(|limit| clock.elapsed() >= limit);
        if late || interrupts.any() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let took = clock.elapsed().as_secs_f64();
    if !interrupts.any() {
        watch.bar.set_message("driving lock reports into their deadlocks");
        experiment.prove_explored(&mut report, args.proofs.prove, &|| interrupts.any());
    }
    watch.bar.finish_and_clear();
    for finding in &mut report.findings {
        tokens::name_replays(&mut finding.found, &finding.token, &args.file, &args.scenario.settings);
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
        let who = if interrupts.any() { "an interrupt" } else { "the time bound" };
        out::complain(&format!("{who} cut the exploration after {} of {} runs", report.runs, plan.runs));
    }
    if interrupts.any() {
        Exit::Interrupted
    } else if !excused {
        Exit::Unexpected
    } else if cut {
        Exit::Incomplete
    } else {
        Exit::AsExpected
    }
}

/// The threads that are asked for, else one for each core.
pub(super) fn jobs(args: &ExploreArgs) -> usize {
    args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Whether all that is wrong is that something expected has not been found: more runs may still find it.
fn only_missing(experiment: &Experiment, report: &ExploreReport) -> bool {
    let expected: BTreeSet<&str> = experiment.scenario().expect.iter().map(|name| name.node.as_str()).collect();
    expected.len() - report.verdict.expected.len() == report.verdict.problems.len()
}

/// What is shown and kept while it runs.
struct Watch<'a> {
    args: &'a ExploreArgs,
    interrupts: &'a Interrupts,
    clock: &'a Clock,
    bar: ProgressBar,
    looked: Cell<Duration>,
}

impl Watch<'_> {
    fn look(&self, progress: &Progress<'_>) {
        self.bar.set_position(progress.runs);
        let now = self.clock.elapsed();
        if now.saturating_sub(self.looked.get()) < LOOK {
            return;
        }
        self.looked.set(now);
        let found = progress.found();
        if !self.bar.is_hidden() {
            let Covered { traces, new_per_mille, sync_points, lock_edges } = progress.covered();
            self.bar.set_message(format!(
                "{traces} traces ({} % still new), {sync_points} sync points, {lock_edges} lock edges, {} findings",
                new_per_mille.div_ceil(10),
                found.len()
            ));
        }
        let settings = &self.args.scenario.settings;
        let line = |(code, token): (_, harness::Token)| {
            format!("{code}\nreplay: {}", program::replay_command(&token.to_string(), &self.args.file, settings))
        };
        self.interrupts.note(found.into_iter().map(line).collect());
    }
}

fn progress_bar(runs: u64) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(runs);
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} runs, {per_sec}, {eta} left; {wide_msg}") {
        bar.set_style(style);
    }
    bar
}
