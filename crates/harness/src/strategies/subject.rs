//! What a program is run against, and the property that nothing is found.

use super::program::{Program, SEED};
use crate::conformance::Ops;
use crate::{Experiment, Mode, Recipe, Registry};
use driver_model::DriverKind;
use proptest::test_runner::TestCaseError;

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
    /// The driver of this kind, under two schedules for each program.
    ///
    /// # Panics
    /// If it lacks operations that programs are made of: see [`Ops::of`].
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

    /// The same under so many random schedules for each program, beside the benign one. A smaller program often needs
    /// another schedule to fail: 64 or more make what is shrunk small.
    #[must_use]
    pub fn schedules(self, schedules: u64) -> Subject {
        Subject { schedules, ..self }
    }
}

/// Nothing is found in the program's benign run, nor in the random ones from the one it names.
///
/// # Errors
/// The first finding, the scenario, and how to run it again.
pub fn holds(program: &Program, subject: &Subject) -> Result<(), TestCaseError> {
    // By its text, so that what is printed is what ran.
    let text = program.scenario(subject).to_string();
    let experiment = Experiment::load(&subject.registry, "counterexample.mms", &text).map_err(|mistakes| {
        TestCaseError::fail(mistakes.iter().map(|m| m.render("counterexample.mms", &text, false)).collect::<String>())
    })?;
    let random = (program.run..program.run + subject.schedules).map(|run| (Mode::Random, run));
    for (mode, run) in [(Mode::Benign, 0)].into_iter().chain(random) {
        let report = experiment.run(Recipe { mode, seed: SEED, run }, false);
        // Programs are drawn: they ask reclaim for pages that are not there.
        if let Some(found) = report.findings.iter().find(|found| !found.is_of_a_request()) {
            let replay = format!("replay: shootdown replay {} counterexample.mms", report.token);
            return Err(TestCaseError::fail(format!("\n{}\n{replay}\n\n{text}", found.text)));
        }
    }
    Ok(())
}
