//! From a run that found something to the smallest scenario that still shows it.
//!
//! | file | what |
//! |---|---|
//! | `reduce.rs` | scenarios with one thing less |
//! | `search.rs` | does one still show the finding? |
//! | `pin.rs` | clauses that make every benign run show it |
//! | `lessen.rs`, one floor of the same house up | fewer preemptions, fewer steps |
//!
//! First the scenario: tasks, then operations, then whatever surrounds them, each left out for good if the finding is still
//! there under some schedule. The rest is gone through again until nothing more can be left out. Then the schedule of what
//! is left: preemptions, then steps; where more than none are left, every schedule with fewer is tried, if there are not too
//! many. Last the clauses. The result is a local minimum: no single thing can be left out. It is a function of scenario, token
//! and bound.

mod pin;
mod reduce;
mod search;

pub(crate) use search::{Essence, Wanted};

use crate::experiment::{Experiment, ReplayError};
use crate::lessen::lessen;
use crate::prove::Ring;
use crate::pulse::Pulse;
use crate::report::Found;
use crate::schedulers::{RecipeScheduler, scheduler_of};
use crate::token::{Mode, Origin, Recipe, Token};
use crate::trail::{Course, CourseScheduler, Trail};
use crate::world::World;
use explore::{Bounds, Exhaustive};
use lockdep::Lockdep;
use mm_types::TaskId;
use pin::{SEEDS, pinned};
use properties::Code;
use reduce::{REDUCTIONS, Smaller, operations_in};
use scenario::{Scenario, Spanned};
use search::{Search, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Schedules with fewer preemptions that are tried at most, for each number of them.
const BOUNDED_RUNS: u64 = 2_000;

/// What to shrink, and how hard to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShrinkPlan {
    /// The code or the key of the finding; the first of the run, one that is no lock report before one that is, if absent.
    pub finding: Option<String>,
    /// The most runs.
    pub runs: u64,
}

/// How large a scenario with a schedule is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Size {
    /// Tasks of the scenario.
    pub tasks: u64,
    /// Statements of its tasks, those that only name a place not counted.
    pub operations: u64,
    /// Switches away from a task that could have gone on.
    pub preemptions: u32,
    /// Visible operations of the run.
    pub steps: u64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        let Size { tasks, operations, preemptions, steps } = *self;
        write!(f, "{tasks} task{}, {operations} operation{}, ", s(tasks), s(operations))?;
        write!(f, "{preemptions} preemption{}, {steps} step{}", s(preemptions.into()), s(steps))
    }
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShrinkProgress {
    /// Runs done.
    pub runs: u64,
    /// Tasks and operations of the smallest scenario so far.
    pub tasks: u64,
    /// See `tasks`.
    pub operations: u64,
}

/// A small scenario that shows a finding.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario; it expects what its benign runs find.
    pub scenario: Scenario,
    /// The finding.
    pub found: Found,
    /// Size of what was shrunk.
    pub before: Size,
    /// Size of the scenario, with the plainest schedule that shows the finding without pins.
    pub after: Size,
    /// A run of the scenario that shows the finding.
    pub token: Token,
    /// Whether every benign run of the scenario shows it; otherwise only the run of `token` is known to.
    pub pinned: bool,
    /// Runs done.
    pub runs: u64,
    /// Whether it ended because there were no more runs, or because it was interrupted: more could have been left out.
    pub cut: bool,
}

/// A scenario made smaller: as [`Shrunk`], whatever it shows.
pub(crate) struct Less {
    pub(crate) scenario: Scenario,
    pub(crate) before: Size,
    pub(crate) after: Size,
    pub(crate) token: Token,
    pub(crate) pinned: bool,
    runs: u64,
    cut: bool,
}

impl From<Shrunk> for Less {
    fn from(shrunk: Shrunk) -> Less {
        let Shrunk { scenario, before, after, token, pinned, runs, cut, .. } = shrunk;
        Less { scenario, before, after, token, pinned, runs, cut }
    }
}

/// Why nothing was shrunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShrinkError {
    /// The token's run did not come about.
    Replay(ReplayError),
    /// It found nothing.
    NothingFound,
    /// It did not find what was asked for; what it found.
    NotFound(Vec<String>),
}

impl fmt::Display for ShrinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShrinkError::Replay(why) => why.fmt(f),
            ShrinkError::NothingFound => f.write_str("the run found nothing: there is nothing to shrink"),
            ShrinkError::NotFound(found) => write!(f, "the run did not find that; it found {}", found.join(", ")),
        }
    }
}

impl std::error::Error for ShrinkError {}

impl Experiment {
    /// Shrinks the run of a token to the smallest scenario and schedule that show the same finding: the same code about the same
    /// thing. Takes at most `plan.runs` runs, each at most the scenario's `max_steps` long, and 20,000 more for the clauses that
    /// pin it.
    ///
    /// # Errors
    /// If the token's run does not come about, or does not find what is asked for.
    pub fn shrink(
        &self,
        token: &Token,
        plan: &ShrinkPlan,
        progress: &dyn Fn(ShrinkProgress) -> ControlFlow<()>,
    ) -> Result<Shrunk, ShrinkError> {
        self.shrink_beside(token, plan, None, progress)
    }

    /// The same. `pulse` is told of everything that its runs do.
    pub(crate) fn shrink_beside(
        &self,
        token: &Token,
        plan: &ShrinkPlan,
        pulse: Option<&Arc<Pulse>>,
        progress: &dyn Fn(ShrinkProgress) -> ControlFlow<()>,
    ) -> Result<Shrunk, ShrinkError> {
        let report = self.replay(token, false).map_err(ShrinkError::Replay)?;
        let found = wanted(&report.findings, plan.finding.as_deref())?;
        let target = Essence::of(&found).ok_or(ShrinkError::NothingFound)?;
        let ring = found.ring.clone().filter(|_| target.code() == Code::LdRecursive);
        let ring = Ring::of_deadlock(&report.end).filter(|_| target.code() == Code::ProgDeadlock).or(ring);
        let search = Search {
            registry: &self.registry,
            pulse,
            file: self.scenario().source.name(),
            target: &target,
            ring,
            mode: token.origin.mode(),
            seed: token.origin.seed(),
            runs_left: plan.runs,
        };
        let less = Shrinker { search, runs: plan.runs, progress, stopped: false, current: self.start(token) }.shrink();
        let Less { scenario, before, after, token, pinned, runs, cut } = less;
        Ok(Shrunk { scenario, found, before, after, token, pinned, runs, cut })
    }

    /// The same for what is no finding; none if the token's run does not show it.
    pub(crate) fn shrink_to(
        &self,
        token: &Token,
        wanted: &dyn Wanted,
        runs: u64,
        pulse: Option<&Arc<Pulse>>,
    ) -> Option<Less> {
        let mut world = World::new(self, Lockdep::new(), false);
        world.attempt(&mut *scheduler_of(self, &token.origin));
        if !wanted.is_shown(&world) {
            return None;
        }
        let search = Search {
            registry: &self.registry,
            pulse,
            file: self.scenario().source.name(),
            target: wanted,
            ring: None,
            mode: token.origin.mode(),
            seed: token.origin.seed(),
            runs_left: runs,
        };
        let progress = &|_| ControlFlow::Continue(());
        Some(Shrinker { search, runs, progress, stopped: false, current: self.start(token) }.shrink())
    }

    /// The token's run as something to make smaller.
    fn start(&self, token: &Token) -> Current {
        let mut world = World::new(self, Lockdep::new(), false);
        let (_, trail) = world.attempt(&mut *scheduler_of(self, &token.origin));
        let steps = world.steps();
        Current { scenario: self.scenario().clone(), trail, steps }
    }
}

/// The finding that is asked for.
fn wanted(findings: &[Found], asked: Option<&str>) -> Result<Found, ShrinkError> {
    let lock_report = |f: &&Found| f.code.starts_with("LD-");
    let found = match asked {
        None => findings.iter().find(|f| !lock_report(f)).or(findings.first()),
        Some(asked) => findings.iter().find(|f| f.code == asked || format!("{:016x}", f.key) == asked),
    };
    let all = || findings.iter().map(|f| f.code.clone()).collect::<Vec<_>>();
    found.cloned().ok_or_else(|| match asked {
        Some(_) if !findings.is_empty() => ShrinkError::NotFound(all()),
        _ => ShrinkError::NothingFound,
    })
}

/// The smallest so far.
struct Current {
    scenario: Scenario,
    trail: Trail,
    steps: u64,
}

impl Current {
    fn size(&self) -> Size {
        Size {
            tasks: self.scenario.tasks.len() as u64,
            operations: operations_in(&self.scenario),
            preemptions: self.trail.preemptions,
            steps: self.steps,
        }
    }
}

struct Shrinker<'a> {
    search: Search<'a>,
    /// The most runs.
    runs: u64,
    progress: &'a dyn Fn(ShrinkProgress) -> ControlFlow<()>,
    stopped: bool,
    current: Current,
}

impl Shrinker<'_> {
    fn shrink(mut self) -> Less {
        let before = self.current.size();
        self.strip();
        loop {
            let size = self.current.size();
            let text = self.current.scenario.to_string();
            REDUCTIONS.iter().for_each(|reduction| self.reduce(*reduction));
            if self.over()
                || (size.tasks, size.operations) == self.tasks_and_operations()
                    && text == self.current.scenario.to_string()
            {
                break;
            }
        }
        self.plain_schedule();
        let cut = self.over();
        self.finish(before, cut)
    }

    fn tasks_and_operations(&self) -> (u64, u64) {
        let size = self.current.size();
        (size.tasks, size.operations)
    }

    fn over(&self) -> bool {
        self.stopped || self.search.runs_left == 0
    }

    /// What says nothing about what happens: the file's own judgement of it.
    fn strip(&mut self) {
        let scenario = &mut self.current.scenario;
        scenario.expect.clear();
        scenario.never.clear();
        scenario.asserts.clear();
    }

    /// Goes through what `reduction` makes of the current scenario, and takes what still shows the finding.
    fn reduce(&mut self, reduction: reduce::Reduction) {
        let mut at = 0;
        while !self.over() {
            let Some(smaller) = reduction(&self.current.scenario).into_iter().nth(at) else { return };
            if !self.takes(smaller) {
                at += 1;
            }
            self.report();
        }
    }

    fn takes(&mut self, smaller: Smaller) -> bool {
        let course = match smaller.without {
            Some(task) => without_task(&self.current.trail.course, task),
            None => self.current.trail.course.clone(),
        };
        let Some((subject, trail)) = self.search.shows(&smaller.scenario, &course) else { return false };
        self.current = Current { scenario: smaller.scenario, trail, steps: subject.world.steps() };
        true
    }

    fn report(&mut self) {
        let (tasks, operations) = self.tasks_and_operations();
        let runs = self.runs - self.search.runs_left;
        if (self.progress)(ShrinkProgress { runs, tasks, operations }).is_break() {
            self.stopped = true;
        }
    }

    /// Fewest preemptions, then steps, of the scenario that is left.
    fn plain_schedule(&mut self) {
        let Some(mut subject) = self.search.load(&self.current.scenario) else { return };
        self.lessen(&mut subject);
        for most in 0..self.current.trail.preemptions {
            if let Some(trail) = self.with_preemptions(&mut subject, most) {
                self.current.steps = subject.world.steps();
                self.current.trail = trail;
                self.lessen(&mut subject);
                return;
            }
        }
    }

    fn lessen(&mut self, subject: &mut Subject) {
        let target = self.search.target;
        let trail = self.current.trail.clone();
        let mut shows = |world: &World, _: &trace::RunEnd| target.is_shown(world);
        let trail = lessen(&mut subject.world, trail, &mut self.search.runs_left, &mut shows);
        let (_, trail) = subject.world.attempt(&mut CourseScheduler::new(&trail.course));
        self.current.trail = trail;
        self.current.steps = subject.world.steps();
    }

    /// A run with at most so many preemptions, looked for among all there are.
    fn with_preemptions(&mut self, subject: &mut Subject, most: u32) -> Option<Trail> {
        let mut all = Exhaustive::new(Bounds { preemptions: Some(most) });
        while !self.over() && all.tally().executions < BOUNDED_RUNS && all.next_run() {
            if let Some(trail) = self.search.attempt(&mut subject.world, &mut all).filter(|t| t.preemptions <= most) {
                return Some(trail);
            }
        }
        None
    }

    /// The scenario as it is written back.
    fn finish(mut self, before: Size, cut: bool) -> Less {
        let runs = self.runs - self.search.runs_left;
        let after = self.current.size();
        // The last scenario that was tried may have been another.
        self.search.target.is_meant(&self.current.scenario);
        // The end is owed whatever was spent before.
        self.search.runs_left = FOR_THE_END;
        let pinned = pinned(&mut self.search, &self.current.scenario, &self.current.trail.course);
        let is_pinned = pinned.is_some();
        let mut scenario = pinned.unwrap_or_else(|| self.current.scenario.clone());
        let runs = runs + FOR_THE_END - self.search.runs_left;
        // Only to be judged by its own expectations from here on.
        if let Some(mut subject) = self.search.load(&scenario) {
            self.expect(&mut scenario, &mut subject, is_pinned);
        }
        let token = self.token(&scenario, is_pinned);
        Less { scenario, before, after, token, pinned: is_pinned, runs, cut }
    }

    /// Writes down what the benign runs find: all of them if they agree, else that of a seed that is then the file's.
    fn expect(&mut self, scenario: &mut Scenario, subject: &mut Subject, is_pinned: bool) {
        let mut found = |seed| {
            let recipe = Recipe { mode: Mode::Benign, seed, run: 0 };
            subject.world.attempt(&mut RecipeScheduler::new(recipe));
            subject.world.essences().iter().map(Essence::code).collect::<BTreeSet<Code>>()
        };
        let codes: Vec<BTreeSet<Code>> = (0..SEEDS).map(&mut found).collect();
        scenario.machine.seed =
            if codes.iter().all(|c| *c == codes[0]) && is_pinned { None } else { Some(Spanned::from(0)) };
        scenario.expect = codes[0].iter().map(|code| Spanned::from(code.text().to_owned())).collect();
    }

    /// The run that shows it, of the scenario as it is written.
    fn token(&mut self, scenario: &Scenario, is_pinned: bool) -> Token {
        let recipe = Recipe { mode: Mode::Benign, seed: 0, run: 0 };
        let course = self.current.trail.course.clone();
        let mut benign = RecipeScheduler::new(recipe);
        let mut scripted = CourseScheduler::new(&course);
        let scheduler: &mut dyn sched::Scheduler = if is_pinned { &mut benign } else { &mut scripted };
        let Some(mut subject) = self.search.load(scenario) else { unreachable!("what was printed was parsed before") };
        let (_, trail) = subject.world.attempt(scheduler);
        debug_assert!(self.search.target.is_shown(&subject.world), "a run does the same again");
        let origin = if is_pinned {
            recipe.into()
        } else {
            Origin::Script { seed: self.search.seed, script: trail.script.clone() }
        };
        Token { origin, scenario: subject.experiment.hash(), hash: subject.world.hash() }
    }
}

/// Runs for making clauses, beyond the bound.
const FOR_THE_END: u64 = 20_000;

/// The course of a scenario from which `task` was taken: those behind it have moved up.
fn without_task(course: &Course, task: TaskId) -> Course {
    let moved = |id: TaskId| match id.cmp(&task) {
        std::cmp::Ordering::Less => Some(id),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(TaskId(id.0 - 1)),
    };
    let turns: BTreeMap<_, _> =
        course.turns.iter().filter_map(|((t, n), to)| Some(((moved(*t)?, *n), moved(*to)?))).collect();
    let picks = course.picks.iter().filter_map(|((t, kind, n), option)| Some(((moved(*t)?, *kind, *n), *option)));
    Course { turns, picks: picks.collect() }
}
