//! One recorded run again.

use crate::Program;
use sched::{ReplayScheduler, Schedule};

/// What a replay gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed<R> {
    /// The run's report. That the run did not fit the schedule is an [`Outcome`](sched::Outcome::Diverged) in it.
    pub report: R,
    /// Recorded choices that the run did not ask for; not 0 if it ended earlier than the recorded one.
    pub unused: usize,
}

/// Executes run number `run` of `program` under a recorded `schedule`, in a world of its own.
pub fn replay<P: Program>(program: &P, run: u64, schedule: Schedule) -> Replayed<P::Report> {
    let mut scheduler = ReplayScheduler::new(schedule);
    let mut world = program.build();
    let report = program.run(&mut world, &mut scheduler, run);
    Replayed { report, unused: scheduler.unused() }
}
