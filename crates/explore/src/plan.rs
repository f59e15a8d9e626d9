//! What to explore, and how much of it.

use crate::Strategy;
use std::ops::Range;

/// How much is explored, by what, and on how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// How schedules are chosen.
    pub strategy: &'a dyn Strategy,
    /// Run `k` decides by the stream of (`seed`, `k`).
    pub seed: u64,
    /// Runs are numbered `0..runs`.
    pub runs: u64,
    /// Threads; 0 is taken as 1. The result does not depend on it.
    pub jobs: usize,
    /// Whether the first finding, by number of run, ends the exploration.
    pub stop_at_first: bool,
}

impl Plan<'_> {
    /// How many consecutive runs a job takes at once: enough that handing them out costs nothing, few enough that no job
    /// is left alone with the last ones.
    fn chunk(&self) -> u64 {
        (self.runs / 64).clamp(1, 256)
    }

    /// How many chunks there are.
    pub(crate) fn chunks(&self) -> u64 {
        self.runs.div_ceil(self.chunk())
    }

    /// The runs of chunk `index`.
    pub(crate) fn runs_of(&self, index: u64) -> Range<u64> {
        let start = index * self.chunk();
        start..(start + self.chunk()).min(self.runs)
    }

    /// The threads to start.
    pub(crate) fn threads(&self) -> usize {
        self.jobs.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uniform;

    #[test]
    fn chunks_partition_the_runs() {
        for runs in [0, 1, 63, 64, 65, 1000, 16_384, 100_000, 100_001] {
            let plan = Plan { strategy: &Uniform, seed: 0, runs, jobs: 1, stop_at_first: false };
            let mut next = 0;
            for index in 0..plan.chunks() {
                let part = plan.runs_of(index);
                assert_eq!(part.start, next);
                assert!(!part.is_empty());
                next = part.end;
            }
            assert_eq!(next, runs);
        }
    }
}
