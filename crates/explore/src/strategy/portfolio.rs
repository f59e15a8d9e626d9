//! Several strategies, each in its turn.

use super::{Pct, Pos, Profile, Strategy, Surw, Uniform, Walk};
use sched::{ChoiceKind, Divergence, EndView, RunId, SchedView, Scheduler};
use std::sync::Arc;

/// Divides the runs among several strategies: run `k` of `n` strategies is run `k / n` of strategy `k % n`.
#[derive(Debug)]
pub struct Portfolio(Vec<Box<dyn Strategy + Send>>);

impl Portfolio {
    /// Of these.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn new(strategies: Vec<Box<dyn Strategy + Send>>) -> Portfolio {
        assert!(!strategies.is_empty(), "a portfolio of no strategies");
        Portfolio(strategies)
    }
}

impl Default for Portfolio {
    fn default() -> Portfolio {
        Portfolio(vec![Box::new(Surw), Box::new(Pos), Box::new(Uniform), Box::new(Pct { depth: 3 })])
    }
}

impl Strategy for Portfolio {
    fn name(&self) -> String {
        "portfolio".to_owned()
    }

    fn profiled(&self) -> u64 {
        self.0.iter().map(|strategy| strategy.profiled()).max().unwrap_or(0)
    }

    fn walk(&self, profile: &Arc<Profile>) -> Box<dyn Walk> {
        Box::new(PortfolioWalk { walks: self.0.iter().map(|s| s.walk(profile)).collect(), turn: 0 })
    }
}

struct PortfolioWalk {
    walks: Vec<Box<dyn Walk>>,
    turn: usize,
}

impl Walk for PortfolioWalk {
    fn begin(&mut self, seed: u64, run: u64) {
        let of = self.walks.len() as u64;
        self.turn = (run % of) as usize;
        self.walks[self.turn].begin(seed, run / of);
    }
}

impl Scheduler for PortfolioWalk {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.walks[self.turn].next_task(now)
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.walks[self.turn].choose(kind, options)
    }

    fn choose_in_step(&mut self, step: usize, kind: ChoiceKind, options: u32) -> u32 {
        self.walks[self.turn].choose_in_step(step, kind, options)
    }

    fn wants_log(&self) -> bool {
        self.walks[self.turn].wants_log()
    }

    fn keeps(&self, last: RunId) -> usize {
        self.walks[self.turn].keeps(last)
    }

    fn ended(&mut self, end: &EndView<'_>) {
        self.walks[self.turn].ended(end);
    }

    fn divergence(&self) -> Option<Divergence> {
        self.walks[self.turn].divergence()
    }
}
