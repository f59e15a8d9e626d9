//! Driving a program through all its traces, on several threads.
//!
//! The tree of runs is divided among [`Exhaustive`]s, each of which goes on for a *turn* of some runs at a time. Turns are
//! numbered when they are handed out, and what came of them is taken in the order of their numbers: only then is it known
//! what is left to be explored and by whom. So which runs there are, and in which order they count, is a function of the
//! program and the plan; how many threads there are decides only who waits for whom.
//!
//! A step that ends a run keeps from happening what the others would have done, and what a sequence covers is then not known
//! from its steps. A program that has one is explored by a single [`Exhaustive`]: from the beginning, if that shows late.
//!
//! ```text
//! open:   a        hand out turn 1 (a)     turn 1 comes back: a sheds b, c      hand out 2 (a), 3 (b), 4 (c)
//! job 1:           1                                                           2           4
//! job 2:                                                                          3
//! ```

use crate::exhaustive::{Attached, Trunk};
use crate::{Bounds, Course, Ended, Exhaustive, Program, Tally, Verdict};
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is explored.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExhaustPlan {
    /// What is left out on purpose.
    pub bounds: Bounds,
    /// The most runs; none: as many as there are.
    pub executions: Option<u64>,
    /// Whether the first finding ends the exploration.
    pub stop_at_first: bool,
    /// Threads; 0 is taken as 1. The result does not depend on it.
    pub jobs: usize,
    /// How the tree of runs is divided. Which runs there are depends on it only if a bound ends the exploration.
    pub division: Division,
}

/// How the tree of runs is divided among explorations that go on side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Division {
    /// Runs of a turn. A tree with fewer is not divided.
    pub turn: u64,
    /// Explorations that there should be at any time; also the most turns that are handed out and not yet taken back. More
    /// threads than that have nothing to do.
    pub open: usize,
}

impl Default for Division {
    /// Turns of 256 runs, for up to 32 threads.
    fn default() -> Division {
        Division { turn: 256, open: 32 }
    }
}

/// How far an exploration of all traces is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remaining {
    /// What is known so far.
    pub tally: Tally,
    /// Runs that there will have been at the end, as far as can be told ([`Exhaustive::estimate`]).
    pub estimate: u64,
}

/// Called from time to time with what says, when asked, how far an exploration is; to say takes a look at all that is shared.
/// [`ControlFlow::Break`] ends the exploration.
pub type Watch<'a> = dyn Fn(&dyn Fn() -> Remaining) -> ControlFlow<()> + 'a;

/// The result of an exploration of all traces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exhausted<G> {
    /// What was gathered.
    pub gathered: G,
    /// What was run.
    pub tally: Tally,
    /// Whether every schedule of the program is explored ([`Exhaustive::complete`]).
    pub complete: bool,
    /// Runs that there would have been, as far as can be told; those that there were, if nothing is left.
    pub estimate: u64,
    /// Why there were no more runs. [`Ended::AllRuns`] if there were no more to do, or as many as were asked for.
    pub ended: Ended,
}

/// What is kept of the reports of an exploration of all traces.
pub trait Gather<R>: Send {
    /// Adds the report of a run; `course` makes the run's [`Course`]. What is kept must not depend on the order of the calls: it
    /// is not the traces', but the search's.
    fn add(&mut self, report: R, course: &mut dyn FnMut() -> Option<Course>) -> Verdict;

    /// Adds everything that `other` keeps.
    fn merge(&mut self, other: Self)
    where
        Self: Sized;
}

/// Executes one run of each trace of `program`, within what `plan` allows, and gathers their reports.
///
/// `empty` makes what keeps nothing yet. Reports of runs that turn out to be of a trace which another run had are counted in
/// [`Tally::redundant`] and not gathered. `progress` is called on the calling thread from time to time;
/// [`ControlFlow::Break`] ends the exploration, keeping what there is.
///
/// # Panics
/// A panic of `program` goes through, after the other jobs have stopped.
pub fn exhaust<P: Program, G: Gather<P::Report>>(
    program: &P,
    plan: &ExhaustPlan,
    empty: &(impl Fn() -> G + Sync),
    progress: &Watch<'_>,
) -> Exhausted<G> {
    let epoch = AtomicU64::new(0);
    let (turns, to_do) = unbounded();
    let (done, parts) = unbounded();
    let scope = crossbeam::thread::scope(|scope| {
        let jobs: Vec<_> = (0..plan.jobs.max(1))
            .map(|_| {
                let (to_do, done, epoch) = (to_do.clone(), done.clone(), &epoch);
                scope.spawn(move |_| work(program, plan.stop_at_first, empty, epoch, &to_do, &done))
            })
            .collect();
        // The channel of parts ends when the last job does, that of turns when the collector does.
        drop((to_do, done));
        let exhausted = Collector::new(plan, empty, &epoch).collect(turns, &parts, progress);
        for job in jobs {
            job.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        exhausted
    });
    scope.unwrap_or_else(|panic| resume_unwind(panic))
}

/// An exploration that goes on for some runs.
struct Turn {
    number: u64,
    /// In another epoch nobody waits for it.
    epoch: u64,
    explorer: Box<Exhaustive>,
    runs: u64,
}

/// The epoch in which nobody waits for anything.
const OVER: u64 = u64::MAX;

/// What came of it.
struct Part<G> {
    number: u64,
    explorer: Box<Exhaustive>,
    /// Runs that it did not need.
    spare: u64,
    gathered: G,
    found: bool,
}

/// Does turns until there are no more. Sends `None` if it panics.
fn work<P: Program, G: Gather<P::Report>>(
    program: &P,
    stop_at_first: bool,
    empty: &(impl Fn() -> G + Sync),
    now: &AtomicU64,
    turns: &Receiver<Turn>,
    parts: &Sender<Option<Part<G>>>,
) {
    let _tell = TellOfPanic(parts);
    let mut world = None;
    for Turn { number, epoch, mut explorer, runs } in turns {
        let world = world.get_or_insert_with(|| program.build());
        let (mut gathered, mut found, mut spare) = (empty(), false, runs);
        while spare > 0 && now.load(Ordering::Relaxed) == epoch && explorer.next_run() {
            spare -= 1;
            let report = program.run(world, &mut *explorer, 0);
            if !explorer.was_redundant() {
                found |= gathered.add(report, &mut || explorer.course()) == Verdict::Finding;
            }
            if found && stop_at_first {
                break;
            }
        }
        if parts.send(Some(Part { number, explorer, spare, gathered, found })).is_err() {
            return;
        }
    }
}

/// A job that panics takes the exploration with it: nobody waits for its turn.
struct TellOfPanic<'a, G>(&'a Sender<Option<Part<G>>>);

impl<G> Drop for TellOfPanic<'_, G> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Without a receiver there is nobody to wait.
            let _ = self.0.send(None);
        }
    }
}

/// An exploration of a part of the tree, and where it began.
struct Open<E> {
    from: Attached,
    explorer: E,
}

/// Hands out turns and takes in what comes of them, in the order of their numbers.
struct Collector<'a, G, F> {
    plan: &'a ExhaustPlan,
    empty: &'a F,
    now: &'a AtomicU64,
    epoch: u64,
    /// Whether no exploration gives anything away.
    undivided: bool,
    /// Whether one may have.
    divided: bool,
    trunk: Trunk,
    /// Explorations that no turn has, the next in front.
    waiting: VecDeque<Open<Box<Exhaustive>>>,
    /// Those of turns that were handed out.
    out: BTreeMap<u64, Open<()>>,
    /// The number of the next turn to be handed out.
    next: u64,
    /// Runs that may still be handed out; none: any number.
    left: Option<u64>,
    gathered: G,
    tally: Tally,
    chose: bool,
    /// How much is explored, while nothing is shared.
    explored: f64,
    /// Whether turns later than the first finding were left out.
    dropped: bool,
    ended: Ended,
}

impl<'a, G, F: Fn() -> G> Collector<'a, G, F> {
    fn new(plan: &'a ExhaustPlan, empty: &'a F, now: &'a AtomicU64) -> Collector<'a, G, F> {
        let all = Box::new(Exhaustive::new(plan.bounds));
        Collector {
            plan,
            empty,
            now,
            epoch: 0,
            undivided: false,
            divided: false,
            trunk: Trunk::default(),
            waiting: VecDeque::from([Open { from: Attached::default(), explorer: all }]),
            out: BTreeMap::new(),
            next: 0,
            left: plan.executions,
            gathered: empty(),
            tally: Tally::default(),
            chose: false,
            explored: 0.0,
            dropped: false,
            ended: Ended::AllRuns,
        }
    }

    /// Begins again, undivided. Nobody waits any more for the turns that were handed out.
    fn restart(&mut self) {
        let (epoch, next) = (self.epoch + 1, self.next);
        *self = Collector { epoch, next, undivided: true, ..Collector::new(self.plan, self.empty, self.now) };
        self.now.store(epoch, Ordering::Relaxed);
    }

    /// Takes the sender, so that the jobs end when this does.
    fn collect<R>(
        mut self,
        turns: Sender<Turn>,
        parts: &Receiver<Option<Part<G>>>,
        progress: &Watch<'_>,
    ) -> Exhausted<G>
    where
        G: Gather<R>,
    {
        let mut early = BTreeMap::new();
        self.hand_out(&turns);
        while let Some(expected) = self.out.keys().next().copied() {
            if let Some(part) = early.remove(&expected) {
                self.take_in(part);
                self.hand_out(&turns);
                continue;
            }
            // A job that panicked will not send what is expected; its panic goes through when it is joined.
            let Ok(Some(part)) = parts.recv() else { break };
            if self.out.contains_key(&part.number) {
                early.insert(part.number, part);
            }
            if self.ended == Ended::AllRuns && progress(&|| self.remaining()).is_break() {
                self.end(Ended::Interrupted);
            }
        }
        self.now.store(OVER, Ordering::Relaxed);
        let Remaining { tally, estimate } = self.remaining();
        let nothing_left = !self.dropped
            && self.out.is_empty()
            && !self.trunk.has_more()
            && self.waiting.iter().all(|open| open.explorer.has_nothing_left());
        // One option of a step may end the run and another not: the orders of such a step are not all tried.
        let ended = if self.chose { tally.ended } else { 0 };
        Exhausted {
            gathered: self.gathered,
            tally,
            complete: nothing_left && (tally.cut, tally.left_out, tally.unfaithful, ended) == (0, 0, 0, 0),
            estimate: if nothing_left { tally.executions } else { estimate },
            ended: self.ended,
        }
    }

    fn end(&mut self, why: Ended) {
        self.ended = why;
        self.now.store(OVER, Ordering::Relaxed);
    }

    /// Hands out as many turns as there may be.
    fn hand_out(&mut self, turns: &Sender<Turn>) {
        while self.ended == Ended::AllRuns && self.out.len() < self.plan.division.open.max(1) && self.left != Some(0) {
            let waiting = self.waiting.pop_front();
            let handed_out = || {
                let (from, explorer) = self.trunk.hand_out(self.plan.bounds)?;
                Some(Open { from, explorer: Box::new(explorer) })
            };
            let Some(Open { from, explorer }) = waiting.or_else(handed_out) else { return };
            let runs = self.left.unwrap_or(u64::MAX).min(self.plan.division.turn.max(1));
            self.left = self.left.map(|left| left - runs);
            self.out.insert(self.next, Open { from, explorer: () });
            // A job that panicked has left the others: the channel is as long as they.
            let turn = Turn { number: self.next, epoch: self.epoch, explorer, runs };
            self.next += 1;
            if turns.send(turn).is_err() {
                return;
            }
        }
    }

    fn take_in<R>(&mut self, part: Part<G>)
    where
        G: Gather<R>,
    {
        let Part { number, mut explorer, spare, gathered, found } = part;
        let Some(Open { mut from, .. }) = self.out.remove(&number) else { return };
        if self.ended == Ended::FirstFinding {
            // Later than the first.
            return;
        }
        let (tally, chose) = explorer.take_tally();
        if tally.ended > 0 && !self.undivided {
            if self.divided {
                return self.restart();
            }
            self.undivided = true;
        }
        self.left = self.left.map(|left| left + spare);
        self.gathered.merge(gathered);
        self.tally.add(tally);
        self.chose |= chose;
        self.trunk.take_found(from, &mut explorer);
        if found && self.plan.stop_at_first {
            self.end(Ended::FirstFinding);
            self.dropped = !self.out.is_empty();
        }
        self.explored = explorer.explored();
        if explorer.is_done() {
            self.trunk.leave(from);
            return;
        }
        if !self.undivided && self.out.len() + self.waiting.len() < self.plan.division.open {
            from = self.trunk.shed(from, &mut explorer);
            self.divided = true;
        }
        self.trunk.note(from, explorer.explored());
        self.waiting.push_back(Open { from, explorer });
    }

    fn remaining(&self) -> Remaining {
        let mut tally = self.tally;
        tally.left_out += self.trunk.left_out;
        let explored = self.trunk.explored().unwrap_or(self.explored);
        let estimate = if explored > 0.0 { (tally.executions as f64 / explored).round() as u64 } else { 0 };
        Remaining { tally, estimate: estimate.max(tally.executions) }
    }
}
