//! Whether a scenario still shows what is looked for: some runs, the likeliest first.

use crate::experiment::Experiment;
use crate::prove::{Guide, Ring};
use crate::pulse::Pulse;
use crate::registry::Registry;
use crate::report::Found;
use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use crate::trail::{Course, CourseScheduler, Trail};
use crate::world::World;
use lockdep::Lockdep;
use properties::Code;
use scenario::Scenario;
use sched::Scheduler;
use std::sync::Arc;

/// What a finding is about, whatever pages it happened to be found on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Essence {
    code: Code,
    /// The cycle's id for a lock report; the title with a `#` for each number for anything else.
    about: String,
}

impl Essence {
    pub(crate) fn of_lock_report(code: Code, id: u64) -> Essence {
        Essence { code, about: format!("{id:016x}") }
    }

    pub(crate) fn of_oracle(code: Code, title: &str) -> Essence {
        Essence { code, about: without_numbers(title) }
    }

    pub(super) fn of(found: &Found) -> Option<Essence> {
        let code = found.code()?;
        let locks = code.is_of_locks();
        Some(if locks { Essence::of_lock_report(code, found.key) } else { Essence::of_oracle(code, &found.title) })
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }
}

/// Numbers of their own, decimal or hexadecimal, as `#`; digits within a word stay.
fn without_numbers(title: &str) -> String {
    let mut text = String::with_capacity(title.len());
    let mut rest = title;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        text.push_str(before);
        text.push_str(if word.starts_with(|c: char| c.is_ascii_digit()) { "#" } else { word });
        rest = after;
    }
    text.push_str(rest);
    text
}

/// What a smaller scenario must still show.
pub(crate) trait Wanted {
    /// Whether it would mean something there. Asked before any run.
    fn is_meant(&self, scenario: &Scenario) -> bool;

    /// Whether the last run of `world` showed it.
    fn is_shown(&self, world: &World) -> bool;
}

impl Wanted for Essence {
    fn is_meant(&self, _scenario: &Scenario) -> bool {
        true
    }

    fn is_shown(&self, world: &World) -> bool {
        world.essences().contains(self)
    }
}

/// Steered tries where a deadlock is looked for.
const GUIDED: u64 = 10;
/// Random tries.
const RANDOM: u64 = 100;

/// Looks for one finding in one scenario after another.
pub(super) struct Search<'a> {
    pub(super) registry: &'a Registry,
    /// Told of everything that happens.
    pub(super) pulse: Option<&'a Arc<Pulse>>,
    /// The name that the scenarios go by.
    pub(super) file: &'a str,
    pub(super) target: &'a dyn Wanted,
    /// The cycle of the deadlock that is looked for.
    pub(super) ring: Option<Ring>,
    /// How random tries choose.
    pub(super) mode: Mode,
    pub(super) seed: u64,
    /// Runs that may still be done.
    pub(super) runs_left: u64,
}

/// A scenario, checked, in a world of its own.
pub(super) struct Subject {
    pub(super) experiment: Experiment,
    pub(super) world: World,
}

impl Search<'_> {
    /// The scenario as something to run, if it is one: its text has no mistake.
    pub(super) fn load(&self, scenario: &Scenario) -> Option<Subject> {
        let experiment = Experiment::load(self.registry, self.file, &scenario.to_string()).ok()?;
        let mut world = World::new(&experiment, Lockdep::new(), false);
        if let Some(pulse) = self.pulse {
            world.watch(pulse);
        }
        Some(Subject { experiment, world })
    }

    /// A run of `scenario` that shows what is looked for, if one is found; `course` is what showed it elsewhere.
    pub(super) fn shows(&mut self, scenario: &Scenario, course: &Course) -> Option<(Subject, Trail)> {
        let mut subject = self.load(scenario)?;
        if !self.target.is_meant(scenario) {
            return None;
        }
        let trail = self.look(&mut subject.world, course)?;
        Some((subject, trail))
    }

    fn look(&mut self, world: &mut World, course: &Course) -> Option<Trail> {
        for course in [course, &Course::default()] {
            if let Some(trail) = self.attempt(world, &mut CourseScheduler::new(course)) {
                return Some(trail);
            }
        }
        if let Some(ring) = self.ring.clone() {
            for nth in 0..GUIDED {
                if let Some(trail) = self.attempt(world, &mut Guide::new(&ring, self.seed, nth)) {
                    return Some(trail);
                }
            }
        }
        let (mode, seed) = (self.mode, self.seed);
        (0..RANDOM).find_map(|run| self.attempt(world, &mut RecipeScheduler::new(Recipe { mode, seed, run })))
    }

    /// One run; what it chose, if it showed it. Without runs left nothing is shown.
    pub(super) fn attempt(&mut self, world: &mut World, scheduler: &mut dyn Scheduler) -> Option<Trail> {
        self.runs_left = self.runs_left.checked_sub(1)?;
        let (_, trail) = world.attempt(scheduler);
        self.target.is_shown(world).then_some(trail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_and_names_stay() {
        let check = |title: &str, expect: &str| assert_eq!(without_numbers(title), expect);
        check("toy reads page 0x10000 after 3 steps", "toy reads page # after # steps");
        check(
            "deadlock: t1 waits for &obj->mm.lock/1, held by itself",
            "deadlock: t1 waits for &obj->mm.lock/#, held by itself",
        );
        check("gpu0.read(0x1000..0x2000)", "gpu0.read(#..#)");
        check("", "");
    }
}
