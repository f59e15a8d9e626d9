//! What is explored, and what is kept of it.

use sched::Scheduler;

/// A program whose runs differ only by the choices of a scheduler.
pub trait Program: Sync {
    /// What a run executes in. Each job builds one and uses it for all its runs.
    type World;
    /// What one run found.
    type Report: Send;

    /// A world. It stays on the thread that built it.
    fn build(&self) -> Self::World;

    /// One run, number `run`, deciding by `scheduler`. The report is a function of the scheduler's answers (and of
    /// `run`, where streams are numbered by it) alone: the program resets the world first, so that no earlier run shows.
    fn run(&self, world: &mut Self::World, scheduler: &mut dyn Scheduler, run: u64) -> Self::Report;
}

/// Whether a run found what the caller looks for.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It did not.
    Clean,
    /// It did. With [`Plan::stop_at_first`](crate::Plan::stop_at_first) the exploration ends with it.
    Finding,
}

/// What is kept of many reports.
pub trait Accumulate<R>: Send {
    /// Adds the report of run number `run`. Called in ascending order of run within one accumulator.
    fn add(&mut self, run: u64, report: R) -> Verdict;

    /// Adds everything that `later` holds. All its runs are later than ours; the result must be the same as if their
    /// reports had been added here.
    fn merge(&mut self, later: Self)
    where
        Self: Sized;
}
