//! Driving a program through all its traces.

use crate::{Bounds, Course, Ended, Exhaustive, Program, Tally, Verdict};
use std::ops::ControlFlow;

/// How much is explored.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExhaustPlan {
    /// What is left out on purpose.
    pub bounds: Bounds,
    /// The most runs; none: as many as there are.
    pub executions: Option<u64>,
    /// Whether the first finding ends the exploration.
    pub stop_at_first: bool,
}

/// How far an exploration of all traces is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remaining {
    /// What is known so far.
    pub tally: Tally,
    /// Runs that there will have been at the end, as far as can be told ([`Exhaustive::estimate`]).
    pub estimate: u64,
}

/// The result of an exploration of all traces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exhausted<G> {
    /// What was gathered.
    pub gathered: G,
    /// What was run.
    pub tally: Tally,
    /// Whether every schedule of the program is explored ([`Exhaustive::complete`]).
    pub complete: bool,
    /// Runs that there would have been, as far as can be told; those that there were, if nothing is left.
    pub estimate: u64,
    /// Why there were no more runs. [`Ended::AllRuns`] if there were no more to do, or as many as were asked for.
    pub ended: Ended,
}

/// What is kept of the reports of an exploration of all traces.
pub trait Gather<R> {
    /// Adds the report of a run; `course` makes the run's [`Course`]. What is kept must not depend on the order of the calls: it
    /// is not the traces', but the search's.
    fn add(&mut self, report: R, course: &mut dyn FnMut() -> Option<Course>) -> Verdict;
}

/// Runs between two calls of the progress callback.
const BETWEEN: u64 = 256;

/// Executes one run of each trace of `program`, within what `plan` allows, and gathers their reports.
///
/// Reports of runs that turn out to be of a trace which another run had are counted in [`Tally::redundant`] and not gathered.
/// `progress` is called from time to time; [`ControlFlow::Break`] ends the exploration, keeping what there is.
pub fn exhaust<P: Program, G: Gather<P::Report>>(
    program: &P,
    plan: &ExhaustPlan,
    mut gathered: G,
    progress: &dyn Fn(Remaining) -> ControlFlow<()>,
) -> Exhausted<G> {
    let mut world = program.build();
    let mut exhaustive = Exhaustive::new(plan.bounds);
    let mut ended = Ended::AllRuns;
    let within = |runs: u64| plan.executions.is_none_or(|most| runs < most);
    while within(exhaustive.tally().executions) && exhaustive.next_run() {
        let run = exhaustive.tally().executions - 1;
        let report = program.run(&mut world, &mut exhaustive, run);
        if !exhaustive.was_redundant() {
            let verdict = gathered.add(report, &mut || exhaustive.course());
            if verdict == Verdict::Finding && plan.stop_at_first {
                ended = Ended::FirstFinding;
                break;
            }
        }
        let remaining = || Remaining { tally: exhaustive.tally(), estimate: exhaustive.estimate() };
        if run % BETWEEN == BETWEEN - 1 && progress(remaining()).is_break() {
            ended = Ended::Interrupted;
            break;
        }
    }
    let (tally, complete, estimate) = (exhaustive.tally(), exhaustive.complete(), exhaustive.estimate());
    Exhausted { gathered, tally, complete, estimate, ended }
}
