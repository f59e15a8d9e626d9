//! How a token decides.

use crate::experiment::Experiment;
use crate::script::ScriptReader;
use crate::token::{Mode, Origin, Recipe};
use crate::trail::plain_turn;
use crate::world::World;
use explore::{Pct, Portfolio, Pos, Program, Sampler, Strategy, Surw, Uniform};
use lockdep::Lockdep;
use sched::{ChoiceKind, DIVERGED, Divergence, RandomScheduler, SchedView, Scheduler};
use std::sync::Arc;

/// What a mode of exploration is called in `explore`.
pub(crate) fn strategy_of(mode: Mode) -> Box<dyn Strategy> {
    match mode {
        Mode::Benign | Mode::Random => Box::new(Uniform),
        Mode::Pct => Box::new(Pct::default()),
        Mode::Pos => Box::new(Pos),
        Mode::Surw => Box::new(Surw),
        Mode::Portfolio => Box::new(Portfolio::default()),
    }
}

/// What decides the run of a recipe. For a strategy that wants to know the program, its profiled runs are executed.
fn scheduler_of_recipe(experiment: &Experiment, recipe: Recipe) -> Box<dyn Scheduler> {
    let Recipe { mode, seed, run } = recipe;
    if matches!(mode, Mode::Benign | Mode::Random) {
        return Box::new(RecipeScheduler::new(recipe));
    }
    sampler_of(experiment, mode, seed).into_run(seed, run)
}

/// What decides the runs of a mode of exploration with this seed, as `explore` does.
pub(crate) fn sampler_of(experiment: &Experiment, mode: Mode, seed: u64) -> Sampler {
    let strategy = strategy_of(mode);
    let profile = Arc::new(explore::profile(&Profiled { experiment }, &*strategy, seed));
    Sampler::new(&*strategy, &profile)
}

/// The experiment, run to learn what it accesses.
struct Profiled<'a> {
    experiment: &'a Experiment,
}

impl Program for Profiled<'_> {
    type World = World;
    type Report = ();

    fn build(&self) -> World {
        World::for_findings(self.experiment, Lockdep::new())
    }

    fn run(&self, world: &mut World, scheduler: &mut dyn Scheduler, _run: u64) {
        world.run_brief(scheduler);
    }
}

/// The scheduler of one run that needs no knowledge of the program.
pub(crate) struct RecipeScheduler {
    random: RandomScheduler,
    benign: bool,
}

impl RecipeScheduler {
    pub(crate) fn new(recipe: Recipe) -> RecipeScheduler {
        RecipeScheduler { random: RandomScheduler::new(recipe.seed, recipe.run), benign: recipe.mode == Mode::Benign }
    }
}

impl Scheduler for RecipeScheduler {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.random.next_task(now)
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        if self.benign { 0 } else { self.random.choose(kind, options) }
    }
}

/// Follows a script to its end and takes the plain course from there.
pub(crate) struct ScriptScheduler {
    reader: ScriptReader,
    divergence: Option<Divergence>,
}

impl ScriptScheduler {
    pub(crate) fn new(script: crate::script::Script) -> ScriptScheduler {
        ScriptScheduler { reader: ScriptReader::new(script), divergence: None }
    }

    fn choice(&mut self, plain: u32, options: u32) -> Option<u32> {
        let at = self.reader.choices;
        let taken = self.reader.choice(plain, options);
        if taken.is_none() {
            let why = format!("the schedule takes an option that is not among the {options} there are");
            self.divergence.get_or_insert(Divergence { at, why });
        }
        taken
    }
}

impl Scheduler for ScriptScheduler {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let taken = self.choice(plain_turn(now) as u32, now.runnable.len() as u32);
        taken.map_or(DIVERGED, |index| index as usize)
    }

    fn choose(&mut self, _kind: ChoiceKind, options: u32) -> u32 {
        self.choice(0, options).unwrap_or(u32::MAX)
    }

    fn divergence(&self) -> Option<Divergence> {
        self.divergence.clone()
    }
}

/// What decides as the run did that `origin` names.
pub(crate) fn scheduler_of(experiment: &Experiment, origin: &Origin) -> Box<dyn Scheduler> {
    match origin {
        Origin::Recipe(recipe) => scheduler_of_recipe(experiment, *recipe),
        Origin::Script { script, .. } => Box::new(ScriptScheduler::new(script.clone())),
    }
}
