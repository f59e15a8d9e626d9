//! Many runs of one scenario under random pressure: what was found, and what its first device was told in how many runs.

use crate::experiment::Experiment;
use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use crate::world::World;
use lockdep::Lockdep;
use properties::Stats;
use std::collections::{BTreeMap, BTreeSet};
use trace::{Hook, NotifyEvent};

/// What a subscriber can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// A start or `invalidate` for this reason.
    Reason(NotifyEvent),
    /// A callback that has no reason.
    Hook(Hook),
}

impl Heard {
    fn all() -> impl Iterator<Item = (&'static str, Heard)> {
        let reasons = Stats::REASONS.into_iter().map(|reason| (reason.word(), Heard::Reason(reason)));
        let hooks = [("release", Hook::Release), ("tlb", Hook::SecondaryTlb)];
        reasons.chain(hooks.into_iter().map(|(word, hook)| (word, Heard::Hook(hook))))
    }
}

/// What the runs of [`Experiment::pressure`] came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pressure {
    /// Runs made.
    pub runs: u64,
    /// Each code found, with how many runs found it and the first of them.
    pub found: BTreeMap<&'static str, (u64, u64)>,
    /// Each reason for an invalidation, and each callback that has none, by its word: the number of runs in which the
    /// scenario's first device was called for it.
    pub heard: Vec<(&'static str, u64)>,
}

impl Experiment {
    /// Makes `runs` random runs, numbered from 0, of this seed.
    #[must_use]
    pub fn pressure(&self, seed: u64, runs: u64) -> Pressure {
        let mut world = World::new(self, Lockdep::new(), false);
        let device = self.scenario().devices.first().map_or("", |device| device.name.node.as_str());
        let mut pressure =
            Pressure { runs, found: BTreeMap::new(), heard: Heard::all().map(|(word, _)| (word, 0)).collect() };
        for run in 0..runs {
            let brief = world.run_brief(&mut RecipeScheduler::new(Recipe { mode: Mode::Random, seed, run }));
            let codes: BTreeSet<&'static str> = brief.found.iter().map(|(code, _)| code.text()).collect();
            for code in codes {
                pressure.found.entry(code).or_insert((0, run)).0 += 1;
            }
            for ((_, what), (_, heard)) in Heard::all().zip(&mut pressure.heard) {
                *heard += u64::from(world.heard(device, what));
            }
        }
        pressure
    }
}
