//! What one job does.

use crate::{Accumulate, Plan, Program, Sampler, Verdict};
use crossbeam::channel::Sender;
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the jobs share. Touched once a chunk, except for the two words that say when to stop, which are only read.
pub(crate) struct Shared {
    next_chunk: CachePadded<AtomicU64>,
    /// The earliest run known to have a finding that ends the exploration; `u64::MAX` if none.
    first: CachePadded<AtomicU64>,
    stop: CachePadded<AtomicBool>,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            next_chunk: CachePadded::new(AtomicU64::new(0)),
            first: CachePadded::new(AtomicU64::new(u64::MAX)),
            stop: CachePadded::new(AtomicBool::new(false)),
        }
    }

    /// Lets every job stop after the run it executes.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What became of a chunk.
pub(crate) struct Part<A> {
    pub(crate) chunk: u64,
    /// Runs that are in `accumulated`.
    pub(crate) runs: u64,
    pub(crate) first: Option<u64>,
    pub(crate) accumulated: A,
}

/// Executes chunks until there are none or the others say that it is enough.
pub(crate) fn work<P: Program, A: Accumulate<P::Report>>(
    program: &P,
    plan: &Plan<'_>,
    mut sampler: Sampler,
    empty: &(impl Fn() -> A + Sync),
    shared: &Shared,
    parts: &Sender<Part<A>>,
) {
    let _stop_others = StopOnPanic(shared);
    let mut world = None;
    while !shared.stopped() {
        // Relaxed: the numbers are all that is exchanged; accumulators go through the channel.
        let chunk = shared.next_chunk.fetch_add(1, Ordering::Relaxed);
        if chunk >= plan.chunks() || plan.runs_of(chunk).start > shared.first.load(Ordering::Relaxed) {
            return;
        }
        let world = world.get_or_insert_with(|| program.build());
        let mut part = Part { chunk, runs: 0, first: None, accumulated: empty() };
        for run in plan.runs_of(chunk) {
            if shared.stopped() {
                break;
            }
            if run > shared.first.load(Ordering::Relaxed) {
                // The finding is in an earlier chunk: ours will not be merged.
                return;
            }
            let report = program.run(world, sampler.begin(plan.seed, run), run);
            part.runs += 1;
            if part.accumulated.add(run, report) == Verdict::Finding {
                part.first.get_or_insert(run);
                if plan.stop_at_first {
                    shared.first.fetch_min(run, Ordering::Relaxed);
                    break;
                }
            }
        }
        if parts.send(part).is_err() {
            return;
        }
    }
}

/// A job that panics takes the exploration with it: the others need not go on to the end.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
