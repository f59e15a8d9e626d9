//! The random walk.

use super::{Profile, Strategy, Walk};
use sched::RandomScheduler;
use std::sync::Arc;

/// Every option of every choice with equal probability ([`sched::RandomScheduler`]).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Uniform;

impl Strategy for Uniform {
    fn name(&self) -> String {
        "random".to_owned()
    }

    fn walk(&self, _profile: &Arc<Profile>) -> Box<dyn Walk> {
        Box::new(RandomScheduler::new(0, 0))
    }
}

impl Walk for RandomScheduler {
    fn begin(&mut self, seed: u64, run: u64) {
        RandomScheduler::begin(self, seed, run);
    }
}
