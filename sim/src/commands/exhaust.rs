//! `explore --strategy exhaustive`: every schedule of one scenario.

use super::{load, tokens};
use crate::cli::{ExploreArgs, Format};
use crate::clock::Clock;
use crate::interrupts::Interrupts;
use crate::{Exit, out};
use harness::{Bounds, ExhaustPlan, ExhaustReport, ExploreEnd, Registry, Remaining};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::time::Duration;

pub(crate) fn exhaust(registry: &Registry, args: &ExploreArgs) -> Exit {
    let interrupts = Interrupts::catch();
    let experiment = match load(registry, &args.file, &args.scenario) {
        Ok(experiment) => experiment,
        Err(exit) => return exit,
    };
    let plan = ExhaustPlan {
        bounds: Bounds { preemptions: args.preemptions },
        executions: args.executions,
        stop_at_first: args.stop_at_first,
        jobs: super::explore::jobs(args),
        ..ExhaustPlan::default()
    };
    let clock = Clock::start();
    let limit = args.time.map(Duration::from_secs);
    let bar = progress_bar();
    let mut report = experiment.exhaust(&plan, &|remaining| {
        if !bar.is_hidden() {
            let Remaining { tally, estimate } = remaining();
            bar.set_length(estimate.max(tally.executions));
            bar.set_position(tally.executions);
        }
        let late = limit.is_some_and(|limit| clock.elapsed() >= limit);
        if late || interrupts.any() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if !interrupts.any() {
        bar.set_message("driving lock reports into their deadlocks");
        experiment.prove_exhausted(&mut report, args.proofs.prove, &|| interrupts.any());
    }
    bar.finish_and_clear();
    let took = clock.elapsed().as_secs_f64();
    for finding in &mut report.findings {
        tokens::name_replays(&mut finding.found, &finding.token, &args.file, &args.scenario.settings);
    }
    match args.scenario.format {
        Format::Json => out::print(&format!("{}\n", report.to_json())),
        Format::Human => out::print_report(&report.to_text()),
    }
    if out::stderr_is_terminal() {
        let runs = report.tally.executions;
        out::complain(&format!("{runs} executions in {took:.2} s, {:.0}/s", runs as f64 / took));
    }
    exit(&report, interrupts.any())
}

/// A bound that was asked for and reached is no failure of the scenario, but it is no proof either.
fn exit(report: &ExhaustReport, interrupted: bool) -> Exit {
    let first_was_enough = report.ended == ExploreEnd::FirstFinding;
    let unproven = !report.complete && !first_was_enough;
    let reasons = report.left_out();
    let excused = report.verdict.as_expected() || (unproven && report.only_missing());
    if unproven {
        out::complain(&format!("not complete: {}", reasons.join("; ")));
    }
    if interrupted {
        Exit::Interrupted
    } else if !excused {
        Exit::Unexpected
    } else if unproven {
        Exit::Incomplete
    } else {
        Exit::AsExpected
    }
}

fn progress_bar() -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of about {len} executions, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
