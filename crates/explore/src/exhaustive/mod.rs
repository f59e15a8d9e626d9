//! Every schedule of a program, one of each kind: optimal dynamic partial-order reduction.
//!
//! Two runs in which conflicting operations come in the same order are one *trace* (`trace.rs`): no task, and no oracle whose
//! events are accesses, can tell them apart. [`Exhaustive`] runs each trace once. The method is that of Abdulla, Aronis,
//! Jonsson and Sagonas, "Source sets: a foundation for optimal dynamic partial order reduction" (J. ACM 64(4), 2017):
//!
//! 1. Run to the end, by whatever schedule. Find the *races* (`race.rs`): pairs of conflicting steps with nothing between
//!    them that orders them, whose order could be the other.
//! 2. For each, the steps that lead to the second without the first are a sequence with which the prefix before the first
//!    is to be continued. It is added to the *wakeup tree* (`tree.rs`) of that prefix, unless something in the tree, or
//!    something explored there before (the *sleep set*), already leads to the same traces.
//! 3. Go on with the deepest prefix that has something in its tree.
//!
//! What is particular here:
//!
//! * *Operations that wait.* A step that takes an object does not race with the step that gave it back, but with the one
//!   that took it before; an order is possible only if the object can be taken there, which is computed from who took and
//!   gave back what among the steps that remain. Where several share the object, all of them are put after it. A task that
//!   still waits when a run deadlocks races as if its operation were the run's last.
//! * *Interrupts.* A handler takes a gate of the CPU that it arrives at, and each step there shares the gates that are open to
//!   it (`sched`, `interrupt.rs`). Such a step takes several objects, and is put only where all of them are free (`gate.rs`).
//! * *Other choices* belong to the step in which they are made: the same step with another option is another step, and each
//!   option that was not asked for by the tree is added to the tree of its own prefix.
//! * *A step that ends the run* (a panic, a finding that stops) conflicts with every other task's next step, which it
//!   keeps from happening. (If such a run also made choices, the exploration does not call itself complete.)
//! * *The clock* jumps when nothing can run: a moment that is after and before everything.

mod block;
mod course;
mod flaw;
mod gate;
mod race;
mod trace;
mod tree;
mod trunk;

pub use course::{Course, CourseScheduler};
pub use flaw::Flaw;

use block::Block;
use hashbrown::HashSet;
use rustc_hash::FxBuildHasher;
use sched::{ChoiceKind, Divergence, EndView, Op, Outcome, RunId, RunLog, SchedView, Scheduler, Step};
use trace::Trace;
use tree::{Arena, List};
pub(crate) use trunk::{Attached, Trunk};
use trunk::{Cut, Found};

/// What an exploration leaves out on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bounds {
    /// The most preemptions of a run: switches away from a task that could have gone on. Sequences known to need more are
    /// not run; what a run does after its sequence is not bounded, and adds none of its own.
    pub preemptions: Option<u32>,
}

/// What is known of a program's schedules.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Runs started.
    pub executions: u64,
    /// Of these, runs that turned out to be of a trace that was explored before. Never any while operations name all that
    /// they access before they are performed.
    pub redundant: u64,
    /// Of these, runs that a bound of the engine cut ([`Outcome::MaxSteps`]): what they would have done is not known.
    pub cut: u64,
    /// Of these, runs that a step ended before every task had returned or waited for ever: a panic, a stop. What the
    /// other tasks would have done is explored by letting them go first.
    pub ended: u64,
    /// Sequences that were left out for [`Bounds::preemptions`].
    pub left_out: u64,
    /// Runs that did not follow the sequence that they were to begin with, or did something that their operations do
    /// not tell: some operation accesses more than it names. What was concluded from it may be wrong.
    pub unfaithful: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        let Tally { executions, redundant, cut, ended, left_out, unfaithful } = other;
        self.executions += executions;
        self.redundant += redundant;
        self.cut += cut;
        self.ended += ended;
        self.left_out += left_out;
        self.unfaithful += unfaithful;
    }
}

/// A scheduler that, run after run, leads a program through all its traces.
///
/// ```text
/// while exhaustive.next_run() { program.run(&mut world, &mut exhaustive, n); n += 1; }
/// exhaustive.complete()
/// ```
pub struct Exhaustive {
    bounds: Bounds,
    trace: Trace,
    arena: Arena,
    /// For each step of the trace, and one more.
    nodes: Vec<Node>,
    /// The run that the trace is of.
    ran: RunId,
    /// The tasks whose steps the run is to begin with; after the run, those of the trace.
    script: Vec<u32>,
    /// The last step of the script, if it is one that ends the run: it has one before it of which the choices are free.
    planned_end: Option<Block>,
    /// The step in which a choice was made last, and how many were made in it.
    choosing: (usize, usize),
    diverged: Option<Divergence>,
    /// Whether any step ever made a choice.
    chose: bool,
    /// Whether the trace is not the whole of the last run, which turned out to be of one explored before.
    partial: bool,
    flaw: Option<Flaw>,
    /// Steps that the run shares with the one before.
    shared: usize,
    tally: Tally,
    state: State,
    race: race::Scratch,
    /// What is to be tried at shorter prefixes is for others to try: it is written down in `found`.
    owned: usize,
    found: Vec<Found>,
    /// What is in `found` or was: races are found again in other runs.
    told: HashSet<Found, FxBuildHasher>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// As new, with a script.
    Planned,
    Prepared,
    Ran,
    Done,
}

/// A prefix of the trace: what is left to be tried after it, and what was.
struct Node {
    /// What the step after the prefix took.
    taken: Vec<u32>,
    /// Whether the run ended with that step.
    ends: bool,
    /// How many other steps were explored after this prefix.
    done: u32,
    /// Steps that need not be tried here: what they lead to is explored. The last `done` of them began here.
    sleep: Vec<Block>,
    todo: List,
}

impl Default for Node {
    fn default() -> Node {
        Node { taken: Vec::new(), ends: false, done: 0, sleep: Vec::new(), todo: List::EMPTY }
    }
}

impl Exhaustive {
    /// Nothing explored yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Exhaustive {
        Exhaustive {
            bounds,
            trace: Trace::default(),
            arena: Arena::default(),
            nodes: vec![Node::default()],
            ran: RunId::default(),
            script: Vec::new(),
            planned_end: None,
            choosing: (0, 0),
            diverged: None,
            chose: false,
            partial: false,
            flaw: None,
            shared: 0,
            tally: Tally::default(),
            state: State::New,
            race: race::Scratch::default(),
            owned: 0,
            found: Vec::new(),
            told: HashSet::default(),
        }
    }

    /// An exploration of what begins with `prefix` and `block`. Runs that begin with something that sleeps after `prefix` are
    /// explored by others.
    fn branch(bounds: Bounds, prefix: Vec<Block>, sleep: Vec<Block>, block: Block) -> Exhaustive {
        let mut branch = Exhaustive { owned: prefix.len() + 1, ..Exhaustive::new(bounds) };
        branch.nodes.resize_with(prefix.len() + 1, Node::default);
        for (node, step) in branch.nodes.iter_mut().zip(&prefix) {
            node.taken.extend_from_slice(&step.taken);
        }
        branch.script.extend(prefix.iter().map(|step| step.task));
        branch.nodes[prefix.len()].sleep = sleep;
        branch.follow(prefix.len(), block, List::EMPTY);
        branch.state = State::Planned;
        branch
    }

    /// Where what is explored here begins.
    fn root(&self) -> usize {
        self.owned.saturating_sub(1)
    }

    /// What is to be tried at prefixes that others try, found since this was called last.
    fn take_found(&mut self) -> Vec<Found> {
        self.told.clear();
        std::mem::take(&mut self.found)
    }

    /// What was run since this was called last, and whether any step of it made a choice.
    pub(crate) fn take_tally(&mut self) -> (Tally, bool) {
        (std::mem::take(&mut self.tally), self.chose)
    }

    /// How much of what is explored here is, as far as can be told.
    pub(crate) fn explored(&self) -> f64 {
        match self.state {
            State::New | State::Planned => 0.0,
            State::Prepared | State::Ran => self.explored_part(),
            State::Done => 1.0,
        }
    }

    /// Whether it was asked for another run and had none.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether it has no other run.
    pub(crate) fn has_nothing_left(&self) -> bool {
        let nothing_open = || self.nodes[self.root()..=self.trace.events.len()].iter().all(|node| node.todo.is_empty());
        self.state == State::Done || (self.state == State::Ran && nothing_open())
    }

    /// Gives away what is left at the shortest of its own prefixes that has anything left; from then on that and those before it
    /// are shared.
    fn shed(&mut self) -> Option<Vec<Cut>> {
        let open = |at: &usize| !self.nodes[*at].todo.is_empty();
        // Other options of the step it began with are for itself to try.
        let first = (self.root()..self.trace.events.len()).find(open).filter(|&at| at >= self.owned)?;
        let cuts = self.owned..first + 1;
        self.owned = first + 1;
        Some(cuts.map(|at| self.cut(at)).collect())
    }

    fn cut(&mut self, at: usize) -> Cut {
        let current = self.block_of(at);
        let step = at.checked_sub(1).map(|before| self.block_of(before));
        let node = &mut self.nodes[at];
        let done = std::mem::take(&mut node.done);
        let sleep = std::mem::take(&mut node.sleep);
        let todo = self.arena.uproot(&mut node.todo);
        Cut { depth: at, step, sleep, done, current, todo }
    }

    /// As [`Exhaustive::new`], wrong on purpose.
    #[must_use]
    pub fn flawed(bounds: Bounds, flaw: Flaw) -> Exhaustive {
        Exhaustive { flaw: Some(flaw), ..Exhaustive::new(bounds) }
    }

    /// Whether the last run was of a trace that had been explored before.
    #[must_use]
    pub fn was_redundant(&self) -> bool {
        self.partial
    }

    /// Prepares the next run; false if there is none. Each true is to be followed by exactly one run.
    ///
    /// # Panics
    /// If the run before was not executed with this scheduler.
    pub fn next_run(&mut self) -> bool {
        match self.state {
            State::New | State::Planned => {}
            State::Prepared => panic!("a prepared run was not executed"),
            State::Ran => {
                if !self.turn() {
                    self.state = State::Done;
                    return false;
                }
            }
            State::Done => return false,
        }
        self.choosing = (0, 0);
        self.diverged = None;
        self.tally.executions += 1;
        self.state = State::Prepared;
        true
    }

    /// What is known so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether every schedule of the program is explored, up to the order of operations that commute.
    #[must_use]
    pub fn complete(&self) -> bool {
        let Tally { cut, left_out, unfaithful, ended, .. } = self.tally;
        // One option of a step may end the run and another not: the orders of such a step are not all tried.
        let ended = if self.chose { ended } else { 0 };
        self.has_nothing_left() && (cut, left_out, unfaithful, ended) == (0, 0, 0, 0)
    }

    /// How many runs there will have been at the end, if what is still to be tried is like what was: exact at the end,
    /// rough before.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let explored = if self.state == State::Done { 1.0 } else { self.explored_part() };
        (self.tally.executions as f64 / explored).round() as u64
    }

    fn explored_part(&self) -> f64 {
        let (mut explored, mut weight) = (0.0, 1.0);
        for node in &self.nodes[self.root()..self.trace.events.len().max(self.root())] {
            let todo = self.arena.len(node.todo) as f64;
            let of = f64::from(node.done) + 1.0 + todo;
            explored += weight * f64::from(node.done) / of;
            weight /= of;
        }
        // The current branch of the deepest prefix is explored too.
        f64::min(explored + weight, 1.0)
    }

    /// Turns to the deepest prefix that has something left to be tried.
    fn turn(&mut self) -> bool {
        loop {
            let open = (self.root()..=self.trace.events.len()).rev().find(|&at| !self.nodes[at].todo.is_empty());
            let Some(at) = open else { return false };
            self.leave(at);
            let node = &mut self.nodes[at];
            let Some((block, rest)) = self.arena.pop(&mut node.todo) else { return false };
            node.done += 1;
            self.follow(at, block, rest);
            if self.bounds.preemptions.is_none_or(|most| preemptions(&self.script) <= most) {
                return true;
            }
            self.tally.left_out += 1;
            // Nothing was explored under it: it must not keep others from being tried.
            self.nodes[at].done -= 1;
            self.script.truncate(at);
        }
    }

    /// Goes back to the prefix of length `at`: the step that came after it sleeps there.
    fn leave(&mut self, at: usize) {
        if at < self.trace.events.len() {
            let block = self.block_of(at);
            self.nodes[at].sleep.push(block);
            self.trace.truncate(at);
        }
        self.shared = at;
        self.script.truncate(at);
    }

    /// Plans to continue the prefix of length `at` by `block` and then by the first of each list.
    fn follow(&mut self, at: usize, block: Block, rest: List) {
        let (mut at, mut block, mut rest) = (at, block, rest);
        loop {
            self.script.push(block.task);
            let node = &mut self.nodes[at];
            node.taken.clear();
            node.taken.extend_from_slice(&block.taken);
            at += 1;
            if self.nodes.len() <= at {
                self.nodes.push(Node::default());
            }
            let node = &mut self.nodes[at];
            node.todo = rest;
            node.sleep.clear();
            node.taken.clear();
            node.done = 0;
            match self.arena.pop(&mut node.todo) {
                Some(next) => (block, rest) = next,
                None => {
                    self.planned_end = block.ends.then_some(block);
                    return;
                }
            }
        }
    }

    fn block_of(&self, at: usize) -> Block {
        let accesses = self.trace.accesses_of(at);
        let (first, more) = accesses.split_first().expect("a step has an operation");
        let Node { taken, ends, .. } = &self.nodes[at];
        Block {
            task: self.trace.events[at].task,
            op: first.op,
            more: more.iter().map(|a| a.op).collect(),
            taken: taken.as_slice().into(),
            ends: *ends,
        }
    }

    /// Learns from a run that has ended.
    fn learn(&mut self, end: &EndView<'_>) {
        let log = end.log();
        self.partial = false;
        self.trace.widen(end.tasks() as usize + 1);
        let ended = matches!(end.outcome, Outcome::Panicked { .. } | Outcome::Stopped(_));
        // A step that ends the run may come before the one that was to.
        self.tally.ended += u64::from(ended);
        let whole = ended || log.steps().len() >= self.script.len();
        if log.opaque() || self.diverged.is_some() || !whole || !self.as_planned(log) {
            self.tally.unfaithful += 1;
        }
        match end.outcome {
            Outcome::MaxSteps => self.tally.cut += 1,
            Outcome::Diverged { .. } => {
                self.partial = true;
                return;
            }
            _ => {}
        }
        let planned = self.script.len();
        for at in self.shared..log.steps().len() {
            if at < self.root() {
                self.retrace(end, at);
            } else if !self.add(end, at, at < planned) {
                self.tally.redundant += 1;
                self.partial = true;
                return;
            }
        }
        let until = self.trace.events.len() - usize::from(ended);
        let waits_count = self.flaw != Some(Flaw::ForgetsWhoWaits);
        let interrupted = |task| end.interrupted(task) && self.flaw != Some(Flaw::ForgetsTheInterrupted);
        let waits = |task, op: Op| op.access.takes() || interrupted(task);
        let waiting: Vec<_> = end.blocked().filter(|&(task, op)| waits_count && waits(task, op)).collect();
        for (task, _) in waiting {
            self.race_of_blocked(end, task, until);
        }
        if ended {
            // Nothing can follow it.
            let after = self.trace.events.len();
            self.nodes[after].todo = List::EMPTY;
            self.race_of_end(end);
        }
    }

    /// Whether the run's steps are those that it was to begin with.
    fn as_planned(&self, log: &RunLog) -> bool {
        let steps = log.steps();
        let same = |at: usize| {
            steps[at].task.0 == self.trace.events[at].task && steps[at].op == self.trace.accesses_of(at)[0].op
        };
        let taken_first = |at: usize| {
            let wanted = &self.nodes[at].taken;
            let taken = log.choices(at);
            taken.len() >= wanted.len() && wanted.iter().zip(taken).all(|(want, got)| *want == got.taken)
        };
        let planned = self.script.len().min(steps.len());
        // What the engine kept of the run before it has compared itself.
        let kept = log.kept();
        (kept..planned).all(taken_first)
            && (kept..self.shared.min(planned)).all(same)
            && (self.shared.max(kept)..planned).all(|at| steps[at].task.0 == self.script[at])
    }

    /// Adds step `at` to the trace, which is one of the prefix that others explored.
    fn retrace(&mut self, end: &EndView<'_>, at: usize) {
        let log = end.log();
        let step = &log.steps()[at];
        self.chose |= !log.choices(at).is_empty();
        self.begin_clock_of(end, at, step);
        self.trace.push(log, at);
    }

    fn begin_clock_of(&mut self, end: &EndView<'_>, at: usize, step: &Step) {
        if step.task.0 == 0 && at > 0 {
            self.trace.begin_world_clock();
        } else {
            let woken_by = step.woken_by.map(|by| by as usize);
            self.trace.begin_clock(step.task.0, || end.spawned_by(step.task), woken_by);
        }
    }

    /// Adds step `at` of the run to the trace; false if what it leads to was explored before.
    fn add(&mut self, end: &EndView<'_>, at: usize, planned: bool) -> bool {
        let log = end.log();
        let step = &log.steps()[at];
        if self.nodes.len() <= at + 1 {
            self.nodes.push(Node::default());
        }
        match self.script.get_mut(at) {
            Some(task) => *task = step.task.0,
            None => self.script.push(step.task.0),
        }
        if !planned {
            // Beyond the plan nothing is left over from the run before.
            let node = &mut self.nodes[at + 1];
            node.todo = List::EMPTY;
            node.sleep.clear();
            node.done = 0;
        }
        let taken = log.choices(at);
        self.chose |= !taken.is_empty();
        let asked = if planned { self.nodes[at].taken.len().min(taken.len()) } else { 0 };
        self.nodes[at].taken.clear();
        self.nodes[at].taken.extend(taken.iter().map(|choice| choice.taken));
        self.nodes[at].ends = false;
        let task = step.task.0;
        let sleeps = |block: &Block| block.is(task, &self.nodes[at].taken);
        if self.nodes[at].sleep.iter().any(sleeps) {
            // With another option it may be one that does not.
            self.trace.begin_clock(task, || None, None);
            self.trace.push(log, at);
            self.other_options(at, asked, taken);
            self.trace.truncate(at);
            return false;
        }
        self.begin_clock_of(end, at, step);
        if task != 0 || at == 0 {
            // What races teach the clock is what the step itself would learn: it comes after what it races with. With several
            // objects something may be left out that it does not come after.
            self.race_of_step(at, step, log);
            if !log.more(at).is_empty() {
                self.begin_clock_of(end, at, step);
            }
        }
        self.trace.push(log, at);
        if !taken.is_empty() {
            self.other_options(at, asked, taken);
        }
        self.sleep_after(at);
        true
    }

    /// Every option that the step did not take, of each choice that it was not told to make.
    ///
    /// They come before whatever else is to be tried at this prefix: once another task's step has been, it sleeps, and would
    /// keep from what follows here what only these options lead to.
    fn other_options(&mut self, at: usize, asked: usize, taken: &[sched::Picked]) {
        for (nth, choice) in taken.iter().enumerate().skip(asked) {
            for option in (0..choice.options).rev().filter(|&option| option != choice.taken) {
                let mut block = self.block_of(at);
                block.taken = taken[..nth].iter().map(|c| c.taken).chain([option]).collect();
                let known = self.nodes[at].sleep.iter().any(|s| s.is(block.task, &block.taken));
                if !known && self.flaw != Some(Flaw::OneOption) {
                    let other = self.arena.prepend(&mut self.nodes[at].todo, block);
                    if let Some(end) = self.planned_end.as_ref().filter(|_| at + 1 < self.script.len()) {
                        self.arena.append_below(other, end.clone());
                    }
                }
            }
        }
    }

    /// What sleeps before step `at` and has nothing to do with it sleeps after it.
    fn sleep_after(&mut self, at: usize) {
        if self.nodes[at].sleep.is_empty() {
            return;
        }
        let task = self.trace.events[at].task;
        let mut sleep = std::mem::take(&mut self.nodes[at + 1].sleep);
        sleep.clear();
        let oversleeps = self.flaw == Some(Flaw::Oversleeps);
        let still = |block: &&Block| block.task != task && (oversleeps || block.commutes(self.trace.ops_of(at)));
        sleep.extend(self.nodes[at].sleep.iter().filter(still).cloned());
        self.nodes[at + 1].sleep = sleep;
    }
}

impl Scheduler for Exhaustive {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let at = now.log().steps().len();
        let Some(&task) = self.script.get(at) else {
            return now.current_index().unwrap_or(0);
        };
        match now.runnable.iter().position(|t| t.0 == task) {
            Some(index) => index,
            None => {
                let why = format!("step {at} was to be one of t{task}, which cannot be chosen");
                self.diverged.get_or_insert(Divergence { at, why });
                sched::DIVERGED
            }
        }
    }

    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        unreachable!("a scheduler that wants the log is told the step")
    }

    fn choose_in_step(&mut self, step: usize, _kind: ChoiceKind, options: u32) -> u32 {
        if self.choosing.0 != step {
            self.choosing = (step, 0);
        }
        let nth = self.choosing.1;
        self.choosing.1 += 1;
        if step >= self.script.len() {
            return 0;
        }
        let option = self.nodes[step].taken.get(nth).copied().unwrap_or(0);
        if option >= options {
            let why = format!("option {option} of step {step} was to be taken, but there are {options}");
            self.diverged.get_or_insert(Divergence { at: step, why });
        }
        option
    }

    fn divergence(&self) -> Option<Divergence> {
        self.diverged.clone()
    }

    fn wants_log(&self) -> bool {
        true
    }

    fn keeps(&self, last: RunId) -> usize {
        if last == self.ran { self.shared } else { 0 }
    }

    fn ended(&mut self, end: &EndView<'_>) {
        self.learn(end);
        self.ran = end.log().id();
        self.state = State::Ran;
    }
}

/// Switches in `script` away from a task that has more steps in it.
fn preemptions(script: &[u32]) -> u32 {
    let preempts = |at: usize| script[at] != script[at - 1] && script[at..].contains(&script[at - 1]);
    (1..script.len()).filter(|&at| preempts(at)).count() as u32
}
