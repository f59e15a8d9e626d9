//! From predicted to proven: drives the tasks of a scenario into the deadlock that a lock report warns of.
//!
//! | file | what |
//! |---|---|
//! | `ring.rs` | the cycle of the report, and whether a deadlock is it |
//! | `guide.rs` | the scheduler that steers into it |
//! | `witness.rs` | what was held along the way: a lock that keeps the steps of the cycle apart |
//!
//! Tries are runs: first those that are known to have ended badly, then steered ones, then, where neither the deadlock nor a
//! gate was found, every schedule there is, if they are few enough. The schedule that got there is made plain
//! (`lessen.rs`) before it is shown. The outcome is a function of scenario, seed, report and number of tries.

mod guide;
mod ring;
mod witness;

pub(crate) use guide::Guide;
pub(crate) use ring::Ring;
pub(crate) use witness::Witness;

use crate::experiment::Experiment;
use crate::lessen::lessen;
use crate::report::Found;
use crate::schedulers::scheduler_of;
use crate::token::{Origin, Token};
use crate::trail::Trail;
use crate::world::World;
use explore::{Bounds, Exhaustive};
use lockdep::Lockdep;
use sched::Scheduler;
use serde::{Serialize, Serializer};
use std::fmt;

/// Runs that making a schedule plain may take.
const LESSEN_RUNS: u64 = 2_000;

/// What became of driving a lock report into its deadlock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Whether it was reached.
    pub outcome: Outcome,
    /// Runs spent on it, those that made the schedule plain not counted.
    pub tries: u64,
    /// The command that runs into it; filled in by whoever knows how it was called. Empty without a schedule.
    pub replay: String,
}

/// See [`Proof`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A schedule really ends in it.
    Proven {
        /// The run that does.
        token: Box<Token>,
        /// Switches in it away from a task that could have gone on.
        preemptions: u32,
        /// Who waits for what.
        deadlock: String,
    },
    /// None was found.
    Predicted(Reason),
}

/// Why a report is only a prediction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No try got there.
    NotReached,
    /// Two steps of the cycle are done under this lock only (or under one of these), in every try: no two tasks can be in
    /// them at once.
    Gated(String),
    /// Every schedule of the scenario was run: this many.
    Impossible(u64),
    /// The search was interrupted.
    Interrupted,
}

impl Reason {
    /// The word used in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Reason::NotReached => "not-reached",
            Reason::Gated(_) => "gated",
            Reason::Impossible(_) => "impossible",
            Reason::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Proof {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tries = self.tries;
        match &self.outcome {
            Outcome::Proven { preemptions, deadlock, .. } => {
                let s = if *preemptions == 1 { "" } else { "s" };
                write!(f, "proven: {deadlock} ({preemptions} preemption{s}, try {tries})")
            }
            Outcome::Predicted(reason) => {
                f.write_str("predicted: ")?;
                match reason {
                    Reason::NotReached => write!(f, "not reached within {tries} tries"),
                    Reason::Gated(lock) => {
                        write!(f, "gated by {lock}: in {tries} tries no two tasks could be in the cycle at once")
                    }
                    Reason::Impossible(runs) => {
                        write!(f, "impossible in this scenario: none of all its schedules ({runs}) gets there")
                    }
                    Reason::Interrupted => write!(f, "not reached within {tries} tries, then interrupted"),
                }
            }
        }
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (reached, reason) = match &self.outcome {
            Outcome::Proven { token, preemptions, deadlock } => (Some((token, preemptions, deadlock)), None),
            Outcome::Predicted(reason) => (None, Some(reason)),
        };
        let gate = reason.and_then(|r| if let Reason::Gated(lock) = r { Some(lock) } else { None });
        serde_json::json!({
            "verdict": if reached.is_some() { "proven" } else { "predicted" },
            "tries": self.tries,
            "reason": reason.map(Reason::word),
            "gate": gate,
            "preemptions": reached.as_ref().map(|(_, preemptions, _)| preemptions),
            "deadlock": reached.as_ref().map(|(_, _, deadlock)| deadlock),
            "token": reached.as_ref().map(|(token, ..)| token.to_string()),
            "replay": reached.is_some().then_some(&self.replay),
        })
        .serialize(serializer)
    }
}

/// How hard to try, and from what.
pub(crate) struct Effort<'a> {
    pub(crate) seed: u64,
    /// The most steered runs; the same number again for running every schedule.
    pub(crate) tries: u64,
    /// Runs that may have got there already.
    pub(crate) hints: &'a [Origin],
    /// Whether to give up now.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// Tries to reach the deadlock that `found` warns of; none if it is no report of a cycle, or if nothing is to be tried.
pub(crate) fn prove(experiment: &Experiment, found: &Found, effort: &Effort<'_>) -> Option<Proof> {
    let ring = found.ring.as_ref().filter(|_| effort.tries > 0)?;
    let mut search =
        Search { experiment, ring, effort, world: World::new(experiment, Lockdep::new(), false), tries: 0 };
    search.world.let_witness(Some(Witness::new(ring.clone())));
    let outcome = search.run(found.key);
    Some(Proof { outcome, tries: search.tries, replay: String::new() })
}

struct Search<'a> {
    experiment: &'a Experiment,
    ring: &'a Ring,
    effort: &'a Effort<'a>,
    world: World,
    tries: u64,
}

impl Search<'_> {
    fn run(&mut self, key: u64) -> Outcome {
        for hint in self.effort.hints {
            if let Some(trail) = self.attempt(&mut *scheduler_of(self.experiment, hint)) {
                return self.proven(trail);
            }
        }
        // Two reports of one scenario are searched for along different paths.
        let seed = self.effort.seed ^ key;
        for nth in 0..self.effort.tries {
            if (self.effort.stop)() {
                return Outcome::Predicted(Reason::Interrupted);
            }
            if let Some(trail) = self.attempt(&mut Guide::new(self.ring, seed, nth)) {
                return self.proven(trail);
            }
        }
        if let Some(gate) = self.world.gate() {
            return Outcome::Predicted(Reason::Gated(gate));
        }
        self.everything()
    }

    /// Runs every schedule, if there are not more than tries.
    fn everything(&mut self) -> Outcome {
        let mut all = Exhaustive::new(Bounds::default());
        while all.next_run() {
            if (self.effort.stop)() {
                return Outcome::Predicted(Reason::Interrupted);
            }
            if all.tally().executions > self.effort.tries {
                return Outcome::Predicted(Reason::NotReached);
            }
            if let Some(trail) = self.attempt(&mut all) {
                return self.proven(trail);
            }
        }
        Outcome::Predicted(if all.complete() { Reason::Impossible(all.tally().executions) } else { Reason::NotReached })
    }

    /// One run; what it chose, if it got there.
    fn attempt(&mut self, scheduler: &mut dyn Scheduler) -> Option<Trail> {
        self.tries += 1;
        let (end, trail) = self.world.attempt(scheduler);
        self.ring.closed_by(&end).then_some(trail)
    }

    fn proven(&mut self, trail: Trail) -> Outcome {
        let ring = self.ring;
        let mut budget = LESSEN_RUNS;
        let trail = lessen(&mut self.world, trail, &mut budget, &mut |_, end| ring.closed_by(end));
        let origin = Origin::Script { seed: self.effort.seed, script: trail.script };
        let report = self.world.run(&mut *scheduler_of(self.experiment, &origin), origin);
        debug_assert!(ring.closed_by(&report.end), "a run does the same again");
        let deadlock = report.findings.iter().find(|f| f.code() == Some(properties::Code::ProgDeadlock));
        Outcome::Proven {
            token: Box::new(Token { scenario: self.experiment.hash(), ..report.token.clone() }),
            preemptions: trail.preemptions,
            deadlock: deadlock.map_or_else(String::new, |f| f.title.clone()),
        }
    }
}
