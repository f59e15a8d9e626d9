//! `run`: one run of each scenario, judged.

use super::{load, tokens};
use crate::cli::{Format, RunArgs};
use crate::{Exit, out};
use harness::{Mode, Recipe, Registry, RunReport};
use std::path::Path;

pub(crate) fn run(registry: &Registry, args: &RunArgs) -> Exit {
    // All files are read before any is run: bad input never half-runs.
    let loaded: Vec<_> = args.files.iter().map(|file| (file, load(registry, file, &args.scenario))).collect();
    if let Some((_, Err(exit))) = loaded.iter().find(|(_, l)| l.is_err()) {
        return *exit;
    }
    let mut exit = Exit::AsExpected;
    for (at, (file, experiment)) in loaded.into_iter().enumerate() {
        let Ok(experiment) = experiment else { continue };
        let seed = args.seed.unwrap_or(experiment.seed());
        let recipe = Recipe { mode: Mode::Benign, seed, run: 0 };
        let mut report = experiment.run(recipe, args.events);
        experiment.prove(&mut report, args.proofs.prove, &|| false);
        name_replays(&mut report, file, &args.scenario.settings);
        if at > 0 && args.scenario.format == Format::Human {
            out::print("\n");
        }
        print(&report, args.scenario.format);
        exit = exit.and(if report.verdict.as_expected() { Exit::AsExpected } else { Exit::Unexpected });
    }
    exit
}

/// Tells every finding the command that shows it again.
pub(super) fn name_replays(report: &mut RunReport, file: &Path, settings: &[String]) {
    for finding in &mut report.findings {
        tokens::name_replays(finding, &report.token, file, settings);
    }
}

pub(super) fn print(report: &RunReport, format: Format) {
    match format {
        Format::Json => out::print(&format!("{}\n", report.to_json())),
        Format::Human => {
            let mut text = String::new();
            for line in &report.log {
                text.push_str(line);
                text.push('\n');
            }
            text.push_str(&report.summary());
            for finding in &report.findings {
                text.push('\n');
                text.push_str(&finding.to_text());
            }
            text.push('\n');
            text.push_str(&report.conclusion());
            out::print_report(&text);
        }
    }
}
