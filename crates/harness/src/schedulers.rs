//! How a recipe decides.

use crate::token::{Mode, Recipe};
use sched::{ChoiceKind, RandomScheduler, SchedView, Scheduler};

/// The scheduler of one run.
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
