//! `shrink`: the smallest scenario that shows the finding of a run.

use super::{load, tokens};
use crate::cli::{Format, ShrinkArgs};
use crate::interrupts::Interrupts;
use crate::{Exit, out};
use harness::{Registry, ShrinkPlan, Shrunk};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use std::path::Path;

/// What stands where the scenario's file would be named, if it has no name yet.
const NAMELESS: &str = "FILE.mms";

pub(crate) fn shrink(registry: &Registry, args: &ShrinkArgs) -> Exit {
    let interrupts = Interrupts::catch();
    let bad = |line: String| {
        out::error(&line);
        Exit::BadInput
    };
    let token = match tokens::read(&args.token) {
        Ok(token) => token,
        Err(why) => return bad(why),
    };
    let experiment = match load(registry, &args.file, &args.scenario) {
        Ok(experiment) => experiment,
        Err(exit) => return exit,
    };
    let plan = ShrinkPlan { finding: args.finding.clone(), runs: args.runs };
    let bar = progress_bar(args.runs);
    let shrunk = experiment.shrink(&token, &plan, &|progress| {
        bar.set_position(progress.runs);
        bar.set_message(format!("{} tasks, {} operations", progress.tasks, progress.operations));
        if interrupts.any() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let shrunk = match shrunk {
        Ok(shrunk) => shrunk,
        Err(why) => return bad(format!("{}: {why}", args.file.display())),
    };
    let name = args.output.as_deref().unwrap_or(Path::new(NAMELESS));
    let replay = tokens::replay_command(&shrunk.token, name, &[]);
    let text = scenario_text(&shrunk, &args.file, &replay);
    if let Some(path) = &args.output
        && let Err(why) = std::fs::write(path, &text)
    {
        out::error(&format!("{}: cannot be written: {why}", path.display()));
        return Exit::Internal;
    }
    match args.scenario.format {
        Format::Json => out::print(&format!("{}\n", to_json(&shrunk, &text, &replay))),
        Format::Human if args.output.is_some() => out::print(&summary(&shrunk, args.runs)),
        Format::Human => {
            out::print(&text);
            out::complain(summary(&shrunk, args.runs).trim_end());
        }
    }
    if interrupts.any() {
        Exit::Interrupted
    } else if shrunk.cut {
        Exit::Incomplete
    } else {
        Exit::AsExpected
    }
}

/// The scenario as a file: where it comes from, and how it is run if no benign run is sure to show it.
fn scenario_text(shrunk: &Shrunk, from: &Path, replay: &str) -> String {
    let found = &shrunk.found;
    let mut text = format!("# Shrunk from {}: {}: {}\n", from.display(), found.code, found.title);
    text.push_str(&format!("# {}; it was {}.\n", shrunk.after, shrunk.before));
    if !shrunk.pinned {
        text.push_str(&format!("# No pins make every run show it; this one does: {replay}\n"));
    }
    text.push('\n');
    text.push_str(&shrunk.scenario.to_string());
    text
}

fn summary(shrunk: &Shrunk, bound: u64) -> String {
    let found = &shrunk.found;
    let mut text = format!("{}: {}\n  was {}\n  is  {}\n", found.code, found.title, shrunk.before, shrunk.after);
    text.push_str(match shrunk.pinned {
        true => "  every benign run shows it\n",
        false => "  the places that have names do not pin it: its schedule shows it\n",
    });
    let cut = if shrunk.cut { ", cut: more may be possible" } else { "" };
    text.push_str(&format!("  {} runs (bound {bound}){cut}\n", shrunk.runs));
    text
}

fn to_json(shrunk: &Shrunk, text: &str, replay: &str) -> serde_json::Value {
    serde_json::json!({
        "code": shrunk.found.code, "title": shrunk.found.title, "key": format!("{:016x}", shrunk.found.key),
        "scenario": text, "before": shrunk.before, "after": shrunk.after, "pinned": shrunk.pinned,
        "token": shrunk.token.to_string(), "replay": replay, "runs": shrunk.runs, "cut": shrunk.cut,
    })
}

fn progress_bar(runs: u64) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(runs);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} runs, {len} at most; {msg}") {
        bar.set_style(style);
    }
    bar
}
