//! Strategies: how the schedules of a sampling exploration are chosen.
//!
//! A [`Strategy`] makes [`Walk`]s, one a job. A walk is a scheduler that is begun anew for each run. What it decides is a
//! function of (seed, run) and of the [`Profile`] alone, so that run *k* is the same whoever executes it.
//!
//! | strategy | chooses | for |
//! |---|---|---|
//! | [`Uniform`] | each time any task | many schedules quickly; shallow bugs |
//! | [`Pct`] | the task of highest priority; priorities change at a few places | bugs of known depth |
//! | [`Pos`] | the operation of highest priority; priorities are drawn anew where operations race | ordering bugs |
//! | [`Surw`] | orders of the accesses to one object, each equally likely | bugs of one object in long programs |
//! | [`Portfolio`] | by each of several in turn | when nothing is known |
//!
//! # Fairness
//!
//! A walk that lets the same task go on for [`PATIENCE`] decisions while others could run lets another one go first, so that
//! a loop that waits for somebody else ends.

mod pct;
mod portfolio;
mod pos;
mod profile;
mod surw;
mod uniform;

pub use pct::Pct;
pub use portfolio::Portfolio;
pub use pos::Pos;
pub use profile::{Profile, profile};
pub use surw::Surw;
pub use uniform::Uniform;

use sched::{RandomScheduler, Scheduler};
use std::fmt;
use std::sync::Arc;

/// Decisions in a row in favour of one task, after which another goes first.
pub const PATIENCE: u32 = 256;

/// A way of choosing schedules. The set is open: what a user writes is used as the ones here are.
pub trait Strategy: Sync + fmt::Debug {
    /// What reports call it.
    fn name(&self) -> String;

    /// How many of the first runs are chosen by [`Uniform`] and looked at, to learn what the program does.
    fn profiled(&self) -> u64 {
        0
    }

    /// A walk for one job. `profile` is what the profiled runs showed.
    fn walk(&self, profile: &Arc<Profile>) -> Box<dyn Walk>;
}

/// A scheduler for run after run.
pub trait Walk: Scheduler {
    /// The next run to decide is number `run` of the exploration with this seed.
    fn begin(&mut self, seed: u64, run: u64);
}

/// The schedulers of the runs of one exploration.
pub struct Sampler {
    profiled: u64,
    uniform: RandomScheduler,
    walk: Box<dyn Walk>,
}

impl Sampler {
    /// Those of `strategy`, which has been told of the program by `profile`.
    #[must_use]
    pub fn new(strategy: &dyn Strategy, profile: &Arc<Profile>) -> Sampler {
        Sampler { profiled: strategy.profiled(), uniform: RandomScheduler::new(0, 0), walk: strategy.walk(profile) }
    }

    /// The scheduler of run `run` of the exploration with this seed.
    pub fn begin(&mut self, seed: u64, run: u64) -> &mut dyn Scheduler {
        if run < self.profiled {
            self.uniform.begin(seed, run);
            return &mut self.uniform;
        }
        self.walk.begin(seed, run);
        &mut *self.walk
    }

    /// As [`Sampler::begin`], for that run alone.
    #[must_use]
    pub fn into_run(mut self, seed: u64, run: u64) -> Box<dyn Scheduler> {
        self.begin(seed, run);
        if run < self.profiled { Box::new(self.uniform) } else { self.walk }
    }
}

/// Counts decisions in a row for the same task.
#[derive(Default)]
struct Patience {
    task: u32,
    times: u32,
}

impl Patience {
    fn begin(&mut self) {
        *self = Patience::default();
    }

    /// `task` was chosen; whether it has been for too long.
    fn is_over(&mut self, task: u32) -> bool {
        if self.task != task {
            *self = Patience { task, times: 0 };
        }
        self.times += 1;
        self.times > PATIENCE
    }
}

/// The entry of `task` in a list that grows as tasks are met.
fn entry<T: Default + Clone>(list: &mut Vec<T>, task: u32) -> &mut T {
    let index = task as usize;
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}
