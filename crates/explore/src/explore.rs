//! Starting the jobs and merging what they send.

use crate::worker::{Part, Shared, work};
use crate::{Accumulate, Plan, Program, Progress, Sampler, profile};
use crossbeam::channel::{Receiver, bounded};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;

/// Why an exploration ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Every planned run was executed.
    AllRuns,
    /// A run had a finding, and the plan says to stop there.
    FirstFinding,
    /// The progress callback asked for it. How many runs there were, and which, depends on timing.
    Interrupted,
}

/// The result of an exploration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explored<A> {
    /// The reports of the runs counted by `runs`, added in their order.
    pub accumulated: A,
    /// Runs: `0..runs`, unless interrupted.
    pub runs: u64,
    /// The first of them with a finding.
    pub first: Option<u64>,
    /// Why there were no more.
    pub ended: Ended,
}

/// Executes the runs of `plan`, on `plan.jobs` threads, and accumulates their reports.
///
/// `empty` makes an accumulator without reports. `progress` is called on the calling thread from time to time;
/// [`ControlFlow::Break`] ends the exploration after the runs in progress, keeping what there is.
///
/// # Panics
/// A panic of `program` goes through, after the other jobs have stopped.
pub fn explore<P: Program, A: Accumulate<P::Report>>(
    program: &P,
    plan: &Plan<'_>,
    empty: &(impl Fn() -> A + Sync),
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Explored<A> {
    let shared = Shared::new();
    let profile = Arc::new(profile(program, plan.strategy, plan.seed));
    // Bounded, so that slow merging holds the jobs up instead of filling memory.
    let (sender, receiver) = bounded(4 * plan.threads());
    let scope = crossbeam::thread::scope(|scope| {
        let jobs: Vec<_> = (0..plan.threads())
            .map(|_| {
                let (shared, profile, sender) = (&shared, Arc::clone(&profile), sender.clone());
                scope.spawn(move |_| work(program, plan, Sampler::new(plan.strategy, &profile), empty, shared, &sender))
            })
            .collect();
        // The channel ends when the last job does.
        drop(sender);
        let explored = collect(plan, empty(), &shared, receiver, progress);
        for job in jobs {
            job.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        explored
    });
    scope.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Takes the receiver, so that a panic here closes the channel and no job waits for room in it.
fn collect<R, A: Accumulate<R>>(
    plan: &Plan<'_>,
    empty: A,
    shared: &Shared,
    parts: Receiver<Part<A>>,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Explored<A> {
    let mut explored = Explored { accumulated: empty, runs: 0, first: None, ended: Ended::AllRuns };
    let mut early = BTreeMap::new();
    let mut next = 0;
    let mut seen = Progress { runs: 0, of: plan.runs, first: None };
    let mut interrupted = false;
    for part in parts {
        seen.runs += part.runs;
        seen.first = seen.first.into_iter().chain(part.first).min();
        early.insert(part.chunk, part);
        while explored.ended == Ended::AllRuns
            && let Some(part) = early.remove(&next)
        {
            next += 1;
            if plan.stop_at_first && part.first.is_some() {
                explored.ended = Ended::FirstFinding;
            }
            merge(&mut explored, part);
        }
        if !interrupted && progress(seen).is_break() {
            interrupted = true;
            shared.stop();
        }
    }
    if interrupted && explored.ended == Ended::AllRuns && explored.runs < plan.runs {
        explored.ended = Ended::Interrupted;
        early.into_values().for_each(|part| merge(&mut explored, part));
    }
    explored
}

fn merge<R, A: Accumulate<R>>(explored: &mut Explored<A>, part: Part<A>) {
    explored.runs += part.runs;
    explored.first = explored.first.or(part.first);
    explored.accumulated.merge(part.accumulated);
}
