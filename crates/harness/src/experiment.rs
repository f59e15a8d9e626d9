//! A scenario ready to run: parsed, checked against a registry, bound to its drivers.

use crate::compile::{Code, compile};
use crate::exhaust::ExhaustReport;
use crate::explore::{ExplorePlan, ExploreReport, Progress};
use crate::prove::{Effort, prove};
use crate::recorded::Played;
use crate::registry::Registry;
use crate::report::{Found, RunReport};
use crate::schedulers::scheduler_of;
use crate::settings;
use crate::token::{Mode, Origin, Recipe, Token};
use crate::world::{Brief, World};
use explore::{ExhaustPlan, Watch};
use lockdep::Lockdep;
use scenario::{Diagnostic, Scenario, Span};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A scenario with everything it needs to run. Cheap to clone; the same experiment runs on many threads at once.
#[derive(Clone)]
pub struct Experiment {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) code: Arc<Code>,
    pub(crate) registry: Registry,
    hash: u64,
}

/// Why a token was not replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// The token belongs to another scenario, or to another version of this one.
    OtherScenario,
    /// The run happened, but hashed to something else: the tool has changed since the token was made.
    OtherRun {
        /// What the token says.
        expected: u64,
        /// What came.
        got: u64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::OtherScenario => f.write_str(
                "the token belongs to another scenario, or the file or its --set settings have changed since it was made",
            ),
            ReplayError::OtherRun { expected, got } => write!(
                f,
                "the run hashed to {got:016x}, the token says {expected:016x}: this tool does not run it as the one that made \
                 the token did"
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

impl Experiment {
    /// Parses and checks a scenario; `file_name` is for messages, no file is read.
    ///
    /// # Errors
    /// Every mistake in the text, in its order; nothing was run.
    pub fn load(registry: &Registry, file_name: &str, text: &str) -> Result<Experiment, Vec<Diagnostic>> {
        let scenario = scenario::parse_with(&registry.vocabulary(), file_name, text)?;
        Experiment::of(registry, scenario).map_err(|why| vec![Diagnostic::new(Span::default(), why)])
    }

    /// An experiment of a scenario that a program built or changed.
    ///
    /// # Errors
    /// A name that is not defined (the parser would have found it, with its place).
    pub fn of(registry: &Registry, scenario: Scenario) -> Result<Experiment, String> {
        let hash = scenario_hash(&scenario);
        let code = Arc::new(compile(&scenario)?);
        Ok(Experiment { scenario: Arc::new(scenario), code, registry: registry.clone(), hash })
    }

    /// The same with another value for one setting: `range_start=none`, `prime=registration,fs_reclaim`,
    /// `memory=1M`, `DEVICE.mutant=NAME`.
    ///
    /// # Errors
    /// What is wrong with the setting, in one line.
    pub fn with_setting(&self, setting: &str) -> Result<Experiment, String> {
        let mut scenario = (*self.scenario).clone();
        settings::apply(&self.registry.vocabulary(), &mut scenario, setting)?;
        Experiment::of(&self.registry, scenario)
    }

    /// The same with these annotations for those of the file that `section`, a section of the language, names.
    ///
    /// # Errors
    /// What is wrong with the section, in one line.
    pub(crate) fn with_annotations(&self, section: &str) -> Result<Experiment, String> {
        let mut scenario = (*self.scenario).clone();
        settings::annotate(&self.registry.vocabulary(), &mut scenario, section)?;
        Experiment::of(&self.registry, scenario)
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The scenario's canonical text: what its hash is of, but for the seed.
    #[must_use]
    pub fn text(&self) -> String {
        self.scenario.to_string()
    }

    /// The seed the file asks for; 0 if it does not say.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.scenario.machine.seed.as_ref().map_or(0, |s| s.node)
    }

    /// The hash tokens are bound to: of the canonical text without its seed, which a token carries itself.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// One run in a world of its own. `events` keeps every event as a line.
    #[must_use]
    pub fn run(&self, recipe: Recipe, events: bool) -> RunReport {
        self.run_of(recipe.into(), events)
    }

    /// The run that `origin` names, in a world of its own.
    pub(crate) fn run_of(&self, origin: Origin, events: bool) -> RunReport {
        let mut world = World::new(self, Lockdep::new(), events);
        world.run(&mut *scheduler_of(self, &origin), origin)
    }

    /// One benign run, as the scenario's recorders see it.
    #[must_use]
    pub fn play(&self) -> Played {
        let recipe = Recipe { mode: Mode::Benign, seed: self.seed(), run: 0 };
        World::new(self, Lockdep::new(), false).play(&mut *scheduler_of(self, &recipe.into()))
    }

    /// The run of a token again.
    ///
    /// # Errors
    /// [`ReplayError::OtherScenario`] before anything is run; [`ReplayError::OtherRun`] after.
    pub fn replay(&self, token: &Token, events: bool) -> Result<RunReport, ReplayError> {
        if token.scenario != self.hash {
            return Err(ReplayError::OtherScenario);
        }
        let report = self.run_of(token.origin.clone(), events);
        match report.hash() {
            got if got == token.hash => Ok(report),
            got => Err(ReplayError::OtherRun { expected: token.hash, got }),
        }
    }

    /// Tries to drive each lock report of a run into its deadlock, with at most `tries` steered runs for each, and writes down
    /// what became of it. `stop` says when to give up.
    pub fn prove(&self, report: &mut RunReport, tries: u64, stop: &dyn Fn() -> bool) {
        let hints = [report.token.origin.clone()];
        let effort = Effort { seed: report.token.origin.seed(), tries, hints: &hints, stop };
        for found in &mut report.findings {
            found.proof = prove(self, found, &effort);
        }
    }

    /// The same for the findings of an exploration, whose deadlocks are tried first.
    pub fn prove_explored(&self, report: &mut ExploreReport, tries: u64, stop: &dyn Fn() -> bool) {
        let found = report.findings.iter_mut().map(|f| (&mut f.found, &f.token));
        self.prove_each(report.seed, tries, stop, found.collect());
    }

    /// The same for what an exploration of every schedule found.
    pub fn prove_exhausted(&self, report: &mut ExhaustReport, tries: u64, stop: &dyn Fn() -> bool) {
        let found = report.findings.iter_mut().map(|f| (&mut f.found, &f.token));
        self.prove_each(self.seed(), tries, stop, found.collect());
    }

    fn prove_each(&self, seed: u64, tries: u64, stop: &dyn Fn() -> bool, all: Vec<(&mut Found, &Token)>) {
        let ended_badly = all.iter().filter(|(found, _)| found.code() == Some(properties::Code::ProgDeadlock));
        let hints: Vec<Origin> = ended_badly.map(|(_, token)| token.origin.clone()).collect();
        let effort = Effort { seed, tries, hints: &hints, stop };
        for (found, _) in all {
            found.proof = prove(self, found, &effort);
        }
    }

    /// One run of each trace: every schedule, up to the order of operations that commute.
    #[must_use]
    pub fn exhaust(&self, plan: &ExhaustPlan, progress: &Watch<'_>) -> ExhaustReport {
        crate::exhaust::exhaust(self, plan, progress)
    }

    /// Many runs, on `plan.jobs` threads. The report does not depend on the number of jobs.
    #[must_use]
    pub fn explore(&self, plan: &ExplorePlan, progress: &dyn Fn(Progress<'_>) -> ControlFlow<()>) -> ExploreReport {
        crate::explore::explore(self, Mode::Random, plan, progress)
    }

    /// As [`Experiment::explore`], with schedules chosen as `mode` says.
    #[must_use]
    pub fn explore_by(
        &self,
        mode: Mode,
        plan: &ExplorePlan,
        progress: &dyn Fn(Progress<'_>) -> ControlFlow<()>,
    ) -> ExploreReport {
        crate::explore::explore(self, mode, plan, progress)
    }
}

/// One world that runs an experiment again and again: what an explorer's thread does, for tests and benchmarks.
pub struct Soak {
    world: World,
}

impl Soak {
    /// A world for `experiment`.
    #[must_use]
    pub fn new(experiment: &Experiment) -> Soak {
        Soak { world: World::new(experiment, Lockdep::new(), false) }
    }

    /// What it runs.
    #[must_use]
    pub fn experiment(&self) -> &Experiment {
        self.world.experiment()
    }

    /// One run.
    pub fn run(&mut self, recipe: Recipe) -> Brief {
        let mut scheduler = scheduler_of(self.world.experiment(), &recipe.into());
        self.world.run_brief(&mut *scheduler)
    }
}

/// See [`Experiment::hash`].
fn scenario_hash(scenario: &Scenario) -> u64 {
    let mut without_seed = scenario.clone();
    without_seed.machine.seed = None;
    let hash = blake3::hash(without_seed.to_string().as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}
