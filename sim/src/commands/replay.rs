//! `replay`: the run of a token again.

use super::{load, run, tokens};
use crate::cli::ReplayArgs;
use crate::{Exit, out};
use harness::Registry;

pub(crate) fn replay(registry: &Registry, args: &ReplayArgs) -> Exit {
    let bad = |line: String| {
        out::error(&line);
        Exit::BadInput
    };
    let token = match tokens::read(&args.token) {
        Ok(token) => token,
        Err(why) => return bad(why),
    };
    if args.seed.is_some() {
        return bad("--seed: a token carries its own seed".to_owned());
    }
    let experiment = match load(registry, &args.file, &args.scenario) {
        Ok(experiment) => experiment,
        Err(exit) => return exit,
    };
    let mut report = match experiment.replay(&token, args.events) {
        Ok(report) => report,
        Err(why) => return bad(format!("{}: {why}", args.file.display())),
    };
    experiment.prove(&mut report, args.proofs.prove, &|| false);
    run::name_replays(&mut report, &args.file, &args.scenario.settings);
    run::print(&report, args.scenario.format);
    if report.verdict.as_expected() { Exit::AsExpected } else { Exit::Unexpected }
}
