//! What the runs of an exploration have met together.

use crate::token::{Mode, Recipe, Token};
use crate::world::Brief;
use lockdep::Lockdep;
use mm_types::Name;
use parking_lot::Mutex;
use properties::Code;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How much of a scenario an exploration has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Covered {
    /// Runs that differ in what happened in them: distinct run hashes.
    pub traces: u64,
    /// How many of a thousand further runs would be ones not seen before, by the share of runs that were met once so far
    /// (Good and Turing's estimate).
    pub new_per_mille: u64,
    /// Distinct sync points that some task reached.
    pub sync_points: u64,
    /// Distinct pairs of lock classes of which one was taken right inside the other.
    pub lock_edges: u64,
}

/// Shared by the jobs. What is in it is a function of the runs that were added, not of their order.
pub(crate) struct Coverage {
    lockdep: Arc<Lockdep>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    runs: u64,
    /// Run hashes, and whether they came once.
    traces: BTreeMap<u64, bool>,
    once: u64,
    points: BTreeSet<Name>,
    found: BTreeMap<(Code, u64), (u64, u64)>,
}

impl Coverage {
    pub(crate) fn new(lockdep: Arc<Lockdep>) -> Coverage {
        Coverage { lockdep, seen: Mutex::default() }
    }

    /// Adds a run; `points` are sync points that its world has not named before.
    pub(crate) fn add(&self, run: u64, brief: &Brief, points: Vec<Name>) {
        let mut seen = self.seen.lock();
        seen.runs += 1;
        match seen.traces.insert(brief.hash, false) {
            None => {
                seen.traces.insert(brief.hash, true);
                seen.once += 1;
            }
            Some(once) => seen.once -= u64::from(once),
        }
        seen.points.extend(points);
        for key in &brief.found {
            let first = seen.found.entry(*key).or_insert((run, brief.hash));
            *first = (*first).min((run, brief.hash));
        }
    }

    pub(crate) fn covered(&self) -> Covered {
        let chains = self.lockdep.merged();
        let edges: BTreeSet<(u32, u32)> =
            chains.chains().iter().flat_map(|chain| chain.windows(2).map(|w| (w[0].class, w[1].class))).collect();
        let seen = self.seen.lock();
        Covered {
            traces: seen.traces.len() as u64,
            new_per_mille: (seen.once * 1000).checked_div(seen.runs).unwrap_or(1000),
            sync_points: seen.points.len() as u64,
            lock_edges: edges.len() as u64,
        }
    }

    /// The sync points.
    pub(crate) fn points(&self) -> BTreeSet<Name> {
        self.seen.lock().points.clone()
    }

    /// What was found so far: code, first run, and its token.
    pub(crate) fn found(&self, mode: Mode, seed: u64, scenario: u64) -> Vec<(Code, u64, Token)> {
        let seen = self.seen.lock();
        let token = |run, hash| Token { origin: Recipe { mode, seed, run }.into(), scenario, hash };
        seen.found.iter().map(|((code, _), (run, hash))| (*code, *run, token(*run, *hash))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_counted_once_and_the_rest_is_estimated() {
        let coverage = Coverage::new(Lockdep::new());
        assert_eq!(coverage.covered().new_per_mille, 1000, "nothing is known yet");
        let brief =
            |hash, found: &[(Code, u64)]| Brief { found: found.iter().copied().collect(), end: "", steps: 1, hash };
        let point = Name::new("user.x");
        coverage.add(3, &brief(7, &[(Code::Stale, 1)]), vec![point]);
        coverage.add(0, &brief(7, &[]), vec![point]);
        coverage.add(1, &brief(8, &[(Code::Stale, 1)]), Vec::new());
        coverage.add(2, &brief(7, &[]), Vec::new());
        let expect = Covered { traces: 2, new_per_mille: 250, sync_points: 1, lock_edges: 0 };
        assert_eq!(coverage.covered(), expect);
        let found = coverage.found(Mode::Random, 5, 9);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].1, found[0].2.hash), (1, 8), "the first run by number, whichever came first");
    }
}
