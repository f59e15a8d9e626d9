//! One file a command.

pub(crate) mod conformance;
pub(crate) mod exhaust;
pub(crate) mod explain;
pub(crate) mod explore;
pub(crate) mod list;
pub(crate) mod lockdep;
pub(crate) mod matrix;
pub(crate) mod mm;
pub(crate) mod mm_live;
pub(crate) mod museum;
pub(crate) mod new;
pub(crate) mod notifier;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod shrink;
pub(crate) mod strace;
mod tokens;

use crate::cli::ScenarioArgs;
use crate::{Exit, files, out};
use harness::{Experiment, Registry};
use std::path::Path;

/// Reads, parses and checks a scenario; complains about every mistake in it.
fn load(registry: &Registry, file: &Path, args: &ScenarioArgs) -> Result<Experiment, Exit> {
    let name = file.to_string_lossy();
    let shipped = harness::conformance::scenario(registry, &name).or_else(|| crate::museum::scenario(&name));
    let text = shipped.unwrap_or_else(|| files::read_text(file)).map_err(|line| {
        out::error(&line);
        Exit::BadInput
    })?;
    let mut experiment = Experiment::load(registry, &name, &text).map_err(|mistakes| {
        for mistake in &mistakes {
            out::complain(mistake.render(&name, &text, true).trim_end());
        }
        let s = if mistakes.len() == 1 { "" } else { "s" };
        out::error(&format!("{name}: {} mistake{s}; nothing was run", mistakes.len()));
        Exit::BadInput
    })?;
    for setting in &args.settings {
        experiment = experiment.with_setting(setting).map_err(|why| {
            out::error(&format!("--set {setting}: {why}"));
            Exit::BadInput
        })?;
    }
    Ok(experiment)
}
