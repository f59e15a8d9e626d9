//! What a program is run against, and the property that nothing is found.

use super::program::{Program, SEED};
use super::schedule::Schedule;
use crate::trail::CourseScheduler;
use crate::world::World;
use crate::{Experiment, ExplorePlan, Found, Mode, Origin, Recipe, Registry, RunReport, Token};
use driver_model::{DriverKind, Roles};
use lockdep::Lockdep;
use proptest::test_runner::TestCaseError;
use std::ops::ControlFlow;

/// The operations that programs call.
#[derive(Clone, Debug)]
pub(super) struct Ops {
    pub(super) map: &'static str,
    pub(super) unmap: &'static str,
    pub(super) read: &'static str,
    pub(super) write: &'static str,
}

impl Ops {
    fn of(kind: &DriverKind) -> Result<Ops, String> {
        let need = |role: &str, op: Option<&'static str>| {
            op.ok_or_else(|| format!("programs need an operation of `{}` that does `{role}`: see its roles", kind.name))
        };
        let Roles { map, unmap, read, write, .. } = kind.roles;
        Ok(Ops {
            map: need("map", map)?,
            unmap: need("unmap", unmap)?,
            read: need("read", read)?,
            write: need("write", write)?,
        })
    }
}

/// A driver, and how it or the memory manager is wrong.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(super) registry: Registry,
    pub(super) driver: &'static str,
    pub(super) ops: Ops,
    pub(super) mutant: Option<String>,
    pub(super) quirk: Option<String>,
    schedules: u64,
}

impl Subject {
    /// The driver of this kind; for each program the benign schedule, the program's own and two random ones.
    ///
    /// # Panics
    /// If its [`Roles`](driver_model::Roles) lack one that programs are made of: all but `map_write`.
    #[must_use]
    #[track_caller]
    pub fn of(kind: DriverKind) -> Subject {
        crate::install_panic_hook();
        let ops = Ops::of(&kind).unwrap_or_else(|why| panic!("{why}"));
        let (driver, registry) = (kind.name, Registry::builtin().with(kind));
        Subject { registry, driver, ops, mutant: None, quirk: None, schedules: 2 }
    }

    /// The same, wrong on purpose.
    #[must_use]
    pub fn mutant(self, name: &str) -> Subject {
        Subject { mutant: Some(name.to_owned()), ..self }
    }

    /// The same, with a bug of the memory manager or of the notifier framework.
    #[must_use]
    pub fn quirk(self, name: &str) -> Subject {
        Subject { quirk: Some(name.to_owned()), ..self }
    }

    /// The same under so many random schedules for each program, beside the benign one and its own. A smaller program often needs
    /// another schedule to fail: 64 or more make what is shrunk small.
    #[must_use]
    pub fn schedules(self, schedules: u64) -> Subject {
        Subject { schedules, ..self }
    }
}

/// Nothing is found in the program's benign run, under its schedule, nor in the random runs from the one it names.
///
/// # Errors
/// The first finding, the scenario, and how to run it again.
pub fn holds(program: &Program, subject: &Subject) -> Result<(), TestCaseError> {
    // By its text, so that what is printed is what ran.
    let text = program.scenario(subject).to_string();
    let experiment = Experiment::load(&subject.registry, "counterexample.mms", &text).map_err(|mistakes| {
        TestCaseError::fail(mistakes.iter().map(|m| m.render("counterexample.mms", &text, false)).collect::<String>())
    })?;
    clean(&experiment.run(Recipe { mode: Mode::Benign, seed: SEED, run: 0 }, false), &text)?;
    if let Some(report) = run_along(&experiment, &program.schedule) {
        clean(&report, &format!("{text}\n{}", program.schedule))?;
    }
    random_runs_are_clean(&experiment, program.run, subject.schedules, &text)
}

/// Runs of [`still_holds`], beside the benign one.
const AGAIN: u64 = 500;

/// Nothing is found any more in a counterexample that was kept: the text of a scenario whose first device is of the subject's
/// driver. One benign run, and 500 of several strategies.
///
/// # Errors
/// As [`holds`]; the mistakes in the text, if it is no scenario any more.
pub fn still_holds(name: &str, text: &str, subject: &Subject) -> Result<(), TestCaseError> {
    let experiment = Experiment::load(&subject.registry, name, text).map_err(|mistakes| {
        TestCaseError::fail(mistakes.iter().map(|m| m.render(name, text, false)).collect::<String>())
    })?;
    let device = experiment.scenario().devices.first().map(|device| device.node.name.node.clone());
    let experiment = match (&subject.mutant, device) {
        (Some(mutant), Some(device)) => {
            experiment.with_setting(&format!("{device}.mutant={mutant}")).map_err(TestCaseError::fail)?
        }
        _ => experiment,
    };
    let seed = experiment.seed();
    clean(&experiment.run(Recipe { mode: Mode::Benign, seed, run: 0 }, false), text)?;
    let plan = ExplorePlan { seed, runs: AGAIN, jobs: 1, stop_at_first: true };
    let report = experiment.explore_by(Mode::Portfolio, &plan, &|_| ControlFlow::Continue(()));
    report.findings.iter().try_for_each(|f| clean_of(&f.found, &f.token, text))
}

/// The run along a schedule, with a token that has it written out; none if it finds nothing.
fn run_along(experiment: &Experiment, schedule: &Schedule) -> Option<RunReport> {
    if schedule.is_plain() {
        return None;
    }
    let mut world = World::new(experiment, Lockdep::new(), false);
    let (_, trail) = world.attempt(&mut CourseScheduler::new(&schedule.course()));
    let found = !world.essences().is_empty();
    found.then(|| experiment.run_of(Origin::Script { seed: SEED, script: trail.script }, false))
}

fn random_runs_are_clean(experiment: &Experiment, first: u64, runs: u64, text: &str) -> Result<(), TestCaseError> {
    (first..first + runs)
        .try_for_each(|run| clean(&experiment.run(Recipe { mode: Mode::Random, seed: SEED, run }, false), text))
}

fn clean(report: &RunReport, text: &str) -> Result<(), TestCaseError> {
    report.findings.iter().try_for_each(|found| clean_of(found, &report.token, text))
}

/// Requests that could not be met are no counterexamples: programs are drawn, and ask reclaim for pages that are not there.
fn clean_of(found: &Found, token: &Token, text: &str) -> Result<(), TestCaseError> {
    if found.is_of_a_request() {
        return Ok(());
    }
    let replay = format!("replay: shootdown replay {token} counterexample.mms");
    Err(TestCaseError::fail(format!("\n{}\n{replay}\n\n{text}", found.text)))
}
