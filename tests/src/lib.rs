//! What the cross-crate tests share: loading shipped scenarios, running them.

use harness::{Experiment, Mode, Recipe, Registry, RunReport};
use std::path::{Path, PathBuf};

/// The folder of shipped scenarios.
#[must_use]
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/scenarios")
}

/// A shipped scenario, with settings changed as `--set` would.
///
/// # Panics
/// When it cannot be read or parsed, or a setting is wrong.
#[must_use]
#[track_caller]
pub fn shipped(name: &str, settings: &[&str]) -> Experiment {
    let path = scenarios().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    with_settings(parse(name, &text), settings)
}

/// A scenario given as text.
///
/// # Panics
/// With every mistake in it.
#[must_use]
#[track_caller]
pub fn parse(name: &str, text: &str) -> Experiment {
    harness::install_panic_hook();
    Experiment::load(&Registry::builtin(), name, text).unwrap_or_else(|mistakes| {
        let all: Vec<String> = mistakes.iter().map(|m| m.render(name, text, false)).collect();
        panic!("{}", all.join("\n"))
    })
}

#[track_caller]
fn with_settings(mut experiment: Experiment, settings: &[&str]) -> Experiment {
    for setting in settings {
        experiment = experiment.with_setting(setting).unwrap_or_else(|why| panic!("{setting}: {why}"));
    }
    experiment
}

/// The single run that `shootdown run` does.
#[must_use]
pub fn run(experiment: &Experiment) -> RunReport {
    experiment.run(Recipe { mode: Mode::Benign, seed: experiment.seed(), run: 0 }, false)
}

/// The codes a run found, sorted, each once.
#[must_use]
pub fn codes(report: &RunReport) -> Vec<&str> {
    let mut codes: Vec<&str> = report.findings.iter().map(|f| f.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}
