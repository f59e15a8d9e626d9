//! Many runs of one scenario under random pressure: what was found, and what its first device was told in how many runs.

use crate::experiment::Experiment;
use crate::schedulers::sampler_of;
use crate::token::Mode;
use crate::world::World;
use explore::Sampler;
use lockdep::Lockdep;
use properties::Stats;
use scenario::Spanned;
use scenario::ast::Device;
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

/// The first of the runs of [`Experiment::pressure`] that finds something of a mutant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sabotage {
    /// The mutant, of the scenario's first device.
    pub mutant: &'static str,
    /// The run, from 0, and what it found; none if none of the runs did.
    pub found: Option<(u64, BTreeSet<&'static str>)>,
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

impl Pressure {
    /// How the runs' schedules are chosen: by several strategies in turn. Under one alone some orders do not happen:
    /// uniformly chosen turns never let a whole bracket pass between two steps of a look-up.
    pub const MODE: Mode = Mode::Portfolio;
}

/// The runs of one experiment: run `k` is run `k` of `explore --strategy portfolio` with this seed.
struct Runs {
    world: World,
    sampler: Sampler,
    seed: u64,
}

impl Runs {
    fn of(experiment: &Experiment, seed: u64) -> Runs {
        let sampler = sampler_of(experiment, Pressure::MODE, seed);
        Runs { world: World::new(experiment, Lockdep::new(), false), sampler, seed }
    }

    /// The codes of what one run finds.
    fn found(&mut self, run: u64) -> BTreeSet<&'static str> {
        let brief = self.world.run_brief(self.sampler.begin(self.seed, run));
        brief.found.iter().map(|(code, _)| code.text()).collect()
    }
}

impl Experiment {
    /// Makes `runs` runs, numbered from 0, of this seed, chosen by [`Pressure::MODE`].
    #[must_use]
    pub fn pressure(&self, seed: u64, runs: u64) -> Pressure {
        let mut all = Runs::of(self, seed);
        let device = self.under_pressure().map_or("", |device| device.name.as_str());
        let mut pressure =
            Pressure { runs, found: BTreeMap::new(), heard: Heard::all().map(|(word, _)| (word, 0)).collect() };
        for run in 0..runs {
            for code in all.found(run) {
                pressure.found.entry(code).or_insert((0, run)).0 += 1;
            }
            for ((_, what), (_, heard)) in Heard::all().zip(&mut pressure.heard) {
                *heard += u64::from(all.world.heard(device, what));
            }
        }
        pressure
    }

    /// The device that is put under pressure: the first.
    fn under_pressure(&self) -> Option<&Device> {
        self.scenario().devices.first().map(|device| &device.node)
    }

    /// The same runs with each mutant of the scenario's first device, and of the others of its driver, until one finds
    /// something.
    ///
    /// # Errors
    /// When the scenario cannot be had with a mutant, in one line.
    pub fn sabotages(&self, seed: u64, runs: u64) -> Result<Vec<Sabotage>, String> {
        let Some(device) = self.under_pressure() else { return Ok(Vec::new()) };
        let mutants = self.registry.get(device.driver.as_str()).map_or(&[][..], |kind| kind.mutants);
        let of_driver = |other: &&Spanned<Device>| other.driver.node == device.driver.node;
        let same = self.scenario().devices.iter().filter(of_driver).map(|other| &other.name.node);
        let sabotage = |mutant: &'static str| {
            let twin = same
                .clone()
                .try_fold(self.clone(), |twin, name| twin.with_setting(&format!("{name}.mutant={mutant}")))?;
            let mut twins = Runs::of(&twin, seed);
            let mut all = (0..runs).map(|run| (run, twins.found(run)));
            Ok(Sabotage { mutant, found: all.find(|(_, codes)| !codes.is_empty()) })
        };
        mutants.iter().map(|mutant| sabotage(mutant.name)).collect()
    }
}
