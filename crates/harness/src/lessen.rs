//! Makes a schedule plain: as few preemptions as a search finds that leaves things out, then as few exceptions from the plain
//! course, then as few steps.
//!
//! A [`Course`] says what is special by where a task is, so that leaving out one thing does not move the others. Parts of
//! it are left out, halves first, and single ones at the end, as long as what is looked for is still there
//! (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).

use crate::trail::{Course, CourseScheduler, Trail};
use crate::world::World;
use trace::RunEnd;

/// Leaves out of `trail`'s course what `holds` does not need. Takes at most `budget` runs off it; `holds` looks at the world
/// after a run and how it ended. The result is a run that was done, and held.
pub(crate) fn lessen(
    world: &mut World,
    trail: Trail,
    budget: &mut u64,
    holds: &mut dyn FnMut(&World, &RunEnd) -> bool,
) -> Trail {
    let mut best = Best { trail, cost: (u32::MAX, usize::MAX, u64::MAX) };
    // What was recorded from another scheduler has to hold as a course first.
    let whole = best.trail.course.clone();
    if !best.accepts(world, &whole, budget, holds) {
        return best.trail;
    }
    let mut part = best.trail.course.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        let mut any = false;
        while at < best.trail.course.len() {
            let less = without(&best.trail.course, at, part);
            if *budget == 0 {
                return best.trail;
            }
            if best.accepts(world, &less, budget, holds) {
                any = true;
            } else {
                at += part;
            }
        }
        if !any || part > 1 {
            part /= 2;
        }
    }
    best.trail
}

struct Best {
    trail: Trail,
    cost: (u32, usize, u64),
}

impl Best {
    /// Runs `course` and takes it if what is looked for is there and it is cheaper.
    fn accepts(
        &mut self,
        world: &mut World,
        course: &Course,
        budget: &mut u64,
        holds: &mut dyn FnMut(&World, &RunEnd) -> bool,
    ) -> bool {
        *budget = budget.saturating_sub(1);
        let (end, trail) = world.attempt(&mut CourseScheduler::new(course));
        let cost = (trail.preemptions, trail.course.len(), world.steps());
        let better = cost < self.cost && holds(world, &end);
        if better {
            *self = Best { trail, cost };
        }
        better
    }
}

/// The course without `part` of its entries from number `at` on: turns first, then picks.
fn without(course: &Course, at: usize, part: usize) -> Course {
    let outside = |n: &usize| !(at..at + part).contains(n);
    let turns = course.turns.iter().enumerate().filter(|(n, _)| outside(n)).map(|(_, (k, v))| (*k, *v)).collect();
    let from = course.turns.len();
    let picks = course.picks.iter().enumerate().filter(|(n, _)| outside(&(from + n))).map(|(_, (k, v))| (*k, *v));
    Course { turns, picks: picks.collect() }
}
