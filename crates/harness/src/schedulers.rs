//! How a token decides.

use crate::script::ScriptReader;
use crate::token::{Mode, Origin, Recipe};
use crate::trail::plain_turn;
use sched::{ChoiceKind, DIVERGED, Divergence, RandomScheduler, SchedView, Scheduler};

/// The scheduler of one run that is made from a seed.
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
pub(crate) fn scheduler_of(origin: &Origin) -> Box<dyn Scheduler> {
    match origin {
        Origin::Recipe(recipe) => Box::new(RecipeScheduler::new(*recipe)),
        Origin::Script { script, .. } => Box::new(ScriptScheduler::new(script.clone())),
    }
}
