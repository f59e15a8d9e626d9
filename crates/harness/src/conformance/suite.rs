//! The suite for one driver.

use super::cases::{CASES, Case};
use super::dialect::Dialect;
use super::failing::{Failing, Which};
use super::report::{Failure, Outcome, Smaller};
use super::smaller::{Idleness, Reference, Refusal};
use super::{ERROR, IDLE, PREFIX};
use crate::experiment::Experiment;
use crate::judge::Counts;
use crate::pulse::Pulse;
use crate::registry::Registry;
use crate::report::RunReport;
use crate::schedulers::RecipeScheduler;
use crate::shrink::{Less, ShrinkPlan};
use crate::token::{Mode, Origin, Recipe, Token};
use crate::world::World;
use lockdep::Lockdep;
use mm_types::Name;
use properties::Code;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Runs to spend on making the scenario of a failure smaller. It ends by itself long before in nearly all cases.
const SHRINK_RUNS: u64 = 1_000;

/// The suite for one driver, or for one of its mutants.
#[derive(Clone)]
pub struct Suite {
    registry: Registry,
    driver: &'static str,
    mutant: Option<String>,
    dialect: Dialect,
    program: String,
    shrinks: bool,
}

impl Suite {
    /// The suite for `driver` of `registry`. Replay lines begin with `program`.
    ///
    /// # Errors
    /// One line: there is no such driver, or its roles name operations that it has not.
    pub fn new(registry: &Registry, driver: &str, program: &str) -> Result<Suite, String> {
        let known = || registry.kinds().iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
        let kind =
            registry.get(driver).ok_or_else(|| format!("there is no driver `{driver}`; there are {}", known()))?;
        let (driver, dialect) = (kind.name, Dialect::of(kind)?);
        let (registry, program) = (registry.clone(), program.to_owned());
        Ok(Suite { registry, driver, mutant: None, dialect, program, shrinks: true })
    }

    /// The same for a mutant.
    ///
    /// # Errors
    /// One line, if the driver has no such mutant.
    pub fn mutant(mut self, name: &str) -> Result<Suite, String> {
        let mutants = self.registry.get(self.driver).map_or(&[][..], |kind| kind.mutants);
        if mutants.iter().all(|m| m.name != name) {
            let names: Vec<&str> = mutants.iter().map(|m| m.name).collect();
            return Err(format!("`{}` has no mutant `{name}`; it has {}", self.driver, names.join(", ")));
        }
        self.mutant = Some(name.to_owned());
        Ok(self)
    }

    /// The same, with failures as they were found: for who wants to know that and no more.
    #[must_use]
    pub fn as_found(mut self) -> Suite {
        self.shrinks = false;
        self
    }

    /// The driver's name.
    #[must_use]
    pub fn driver(&self) -> &'static str {
        self.driver
    }

    /// The cases, in order.
    #[must_use]
    pub fn cases(&self) -> &'static [Case] {
        CASES
    }

    /// The case of this name.
    ///
    /// # Errors
    /// One line, if there is none.
    pub fn case(&self, name: &str) -> Result<&'static Case, String> {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        let found = CASES.iter().find(|case| case.name == name);
        found.ok_or_else(|| match scenario::nearest(name, names.iter().copied()) {
            Some(near) => format!("there is no case `{name}`; did you mean `{near}`?"),
            None => format!("there is no case `{name}`; there are {}", names.join(", ")),
        })
    }

    /// The scenario of a case, for this driver.
    #[must_use]
    pub fn scenario(&self, case: &Case) -> String {
        self.dialect.scenario(case)
    }

    /// Why a case cannot be run: it needs what the driver has no operation for.
    #[must_use]
    pub fn skips(&self, case: &Case) -> Option<String> {
        let (missing, optional) = (self.dialect.missing(case), case.optional());
        let needed: Vec<&str> = missing.into_iter().filter(|role| !optional.contains(role)).collect();
        let why = || format!("no operation of `{}` does {}", self.driver, needed.join(", "));
        (!needed.is_empty()).then(why)
    }

    /// The name by which the tool knows the scenario of a case.
    #[must_use]
    pub fn scenario_name(&self, case: &Case) -> String {
        format!("{PREFIX}{}/{}", self.driver, case.name)
    }

    /// Runs one case. `pulse` is told of everything that happens.
    ///
    /// # Panics
    /// If the case is no scenario for the driver, which is a mistake of the suite's.
    #[must_use]
    pub fn run(&self, case: &Case, pulse: Option<&Arc<Pulse>>) -> Outcome {
        if let Some(why) = self.skips(case) {
            return Outcome { skipped: Some(why), without: Vec::new(), ..self.begun(case, String::new()) };
        }
        let mut outcome = self.find(case, pulse);
        if self.shrinks {
            self.shrink(&self.experiment(case), pulse, &mut outcome.failures);
        }
        outcome
    }

    fn begun(&self, case: &Case, scenario: String) -> Outcome {
        let without = self.dialect.missing(case).into_iter().filter(|role| case.optional().contains(role));
        Outcome {
            case: case.name.to_owned(),
            runs: 0,
            steps: 0,
            failures: Vec::new(),
            skipped: None,
            without: without.map(str::to_owned).collect(),
            scenario,
        }
    }

    fn find(&self, case: &Case, pulse: Option<&Arc<Pulse>>) -> Outcome {
        let experiment = self.experiment(case);
        let mut world = World::new(&experiment, Lockdep::new(), false);
        if let Some(pulse) = pulse {
            world.watch(pulse);
        }
        let names = || experiment.code.tasks.iter().map(|task| task.name);
        let mut outcome = self.begun(case, experiment.text());

        self.begin(pulse, case, Mode::Benign, 0, names());
        let recipe = Recipe { mode: Mode::Benign, seed: experiment.seed(), run: 0 };
        let report = world.run(&mut RecipeScheduler::new(recipe), recipe.into());
        outcome.runs += 1;
        outcome.steps += report.steps;
        outcome.failures = self.judge(case, &report);
        if case.name == "lifecycle" && outcome.failures.is_empty() {
            let (published, accesses) = world.counted(|c| (c.published, c.device_accesses));
            if world.counted(silent) {
                outcome.failures.push(self.idle(case, &report, published, accesses));
            }
        }
        if outcome.failures.is_empty() && case.fails_allocations() {
            self.fail_allocations(case, pulse, &mut world, &mut outcome);
        }
        for run in 0..case.runs() {
            if !outcome.failures.is_empty() {
                break;
            }
            self.begin(pulse, case, Mode::Random, run, names());
            let recipe = Recipe { mode: Mode::Random, seed: experiment.seed(), run };
            let (brief, notes) = world.run_noted(&mut RecipeScheduler::new(recipe));
            outcome.runs += 1;
            outcome.steps += brief.steps;
            if !brief.found.is_empty() || notes.iter().any(|note| not_allowed(case, Mode::Random, note)) {
                // Once more, with everything written down.
                outcome.failures = self.judge(case, &experiment.run(recipe, false));
            }
        }
        outcome
    }

    /// Benign runs in which allocations fail, for each there is, until one is not as it should be.
    fn fail_allocations(&self, case: &Case, pulse: Option<&Arc<Pulse>>, world: &mut World, outcome: &mut Outcome) {
        let experiment = world.experiment().clone();
        for which in Which::ALL {
            for nth in 1.. {
                let tasks = experiment.code.tasks.iter().map(|task| task.name);
                self.begin(pulse, case, Mode::Benign, 0, tasks);
                let mut failing = Failing::new(experiment.seed(), which, nth);
                let (brief, notes) = world.run_noted(&mut failing);
                outcome.runs += 1;
                outcome.steps += brief.steps;
                if !failing.reached() {
                    break;
                }
                let stays = which == Which::Only && self.stays_broken(case, &notes);
                if brief.found.is_empty() && !stays && !notes.iter().any(|n| not_allowed(case, Mode::Random, n)) {
                    continue;
                }
                // Once more, with everything written down, as a schedule that a token can name.
                let (_, trail) = world.attempt(&mut Failing::new(experiment.seed(), which, nth));
                let origin = Origin::Script { seed: experiment.seed(), script: trail.script };
                let report = experiment.run_of(origin, false);
                outcome.failures = self.judge(case, &report);
                if stays {
                    outcome.failures.extend(self.broken(case, &report));
                }
                return;
            }
        }
    }

    /// Whether the driver fails where there is memory again, although no allocation failed there.
    fn stays_broken(&self, case: &Case, notes: &[String]) -> bool {
        // Behind this line one allocation that failed before it has no effect any more.
        let from = self.scenario(case).lines().position(|line| line.trim() == "sync memory");
        let Some(from) = from.map(|index| index + 1) else { return false };
        let prefix = format!("{}:", self.scenario_name(case));
        let line = |note: &String| note.strip_prefix(&prefix)?.split(' ').next()?.parse::<usize>().ok();
        let mut late = notes.iter().filter(|note| line(note).is_some_and(|line| line > from) && is_of_the_driver(note));
        let all: Vec<&String> = late.by_ref().collect();
        !all.is_empty() && !all.iter().any(|note| note.ends_with("ENOMEM"))
    }

    fn broken(&self, case: &Case, report: &RunReport) -> Option<Failure> {
        let note = report.notes.iter().rev().find(|note| is_of_the_driver(note))?;
        Some(Failure {
            code: ERROR.to_owned(),
            title: note.clone(),
            text: format!("{ERROR}: {note}\nallowed here: no error, since one allocation failed, and long before"),
            replay: self.command(&format!("replay {}", report.token), case, ""),
            shrunk: None,
        })
    }

    /// The first finding of a case that failed, or if there is none what else was wrong, shown by less.
    fn shrink(&self, experiment: &Experiment, pulse: Option<&Arc<Pulse>>, failures: &mut [Failure]) {
        let found = failures.iter().position(|f| Code::parse(&f.code).is_some());
        let Some(failure) = failures.get_mut(found.unwrap_or(0)) else { return };
        let Some(token) = failure.replay.split(' ').find_map(|word| word.parse::<Token>().ok()) else { return };
        let Some(less) = self.less(experiment, pulse, failure, &token) else { return };
        let how = if less.pinned {
            "every benign run of it shows that".to_owned()
        } else {
            format!("the schedule {} of it shows that", less.token)
        };
        failure.shrunk = Some(Smaller {
            scenario: less.scenario.to_string(),
            about: format!("{} instead of {}; {how}", less.after, less.before),
        });
    }

    fn less(
        &self,
        experiment: &Experiment,
        pulse: Option<&Arc<Pulse>>,
        failure: &Failure,
        token: &Token,
    ) -> Option<Less> {
        let reference = Reference { registry: &self.registry, dialect: &self.dialect };
        match failure.code.as_str() {
            ERROR => {
                let refusal = Refusal::of(reference, &failure.title)?;
                experiment.shrink_to(token, &refusal, SHRINK_RUNS, pulse)
            }
            IDLE => experiment.shrink_to(token, &Idleness { reference }, SHRINK_RUNS, pulse),
            code => {
                let plan = ShrinkPlan { finding: Some(code.to_owned()), runs: SHRINK_RUNS };
                let go_on = |_| ControlFlow::Continue(());
                experiment.shrink_beside(token, &plan, pulse, &go_on).ok().map(Less::from)
            }
        }
    }

    fn experiment(&self, case: &Case) -> Experiment {
        let (name, text) = (self.scenario_name(case), self.scenario(case));
        let mut experiment = Experiment::load(&self.registry, &name, &text).unwrap_or_else(|mistakes| {
            panic!("{}", mistakes.iter().map(|m| m.render(&name, &text, false)).collect::<String>())
        });
        for setting in self.settings(case) {
            experiment = experiment.with_setting(&setting).unwrap_or_else(|why| panic!("{name}: {setting}: {why}"));
        }
        experiment
    }

    /// The mutant, for each device of the case.
    fn settings(&self, case: &Case) -> Vec<String> {
        let devices = ["gpu0", "gpu1"].iter().filter(|d| case.text.contains(&format!("device {d} ")));
        self.mutant.iter().flat_map(|m| devices.clone().map(move |d| format!("{d}.mutant={m}"))).collect()
    }

    /// A command of the tool about a case: `run`, `replay TOKEN`, `explore`.
    fn command(&self, verb: &str, case: &Case, options: &str) -> String {
        let settings: String = self.settings(case).iter().map(|s| format!(" --set {s}")).collect();
        format!("{} {verb} {}{options}{settings}", self.program, self.scenario_name(case))
    }

    fn begin(&self, pulse: Option<&Arc<Pulse>>, case: &Case, mode: Mode, run: u64, tasks: impl Iterator<Item = Name>) {
        let Some(pulse) = pulse else { return };
        let command = match mode {
            Mode::Benign => self.command("run", case, ""),
            _ => self.command("explore", case, &format!(" --executions {}", run + 1)),
        };
        pulse.begin(&command, tasks);
    }

    fn judge(&self, case: &Case, report: &RunReport) -> Vec<Failure> {
        let replay = self.command(&format!("replay {}", report.token), case, "");
        // What a driver pins no case can reclaim.
        let of_driver = report.findings.iter().filter(|found| !found.is_of_a_request());
        let found = of_driver.map(|f| Failure {
            code: f.code.clone(),
            title: f.title.clone(),
            text: f.text.trim_end().to_owned(),
            replay: replay.clone(),
            shrunk: None,
        });
        let mode = report.token.origin.mode();
        let errors = report.notes.iter().filter(|note| not_allowed(case, mode, note)).map(|note| Failure {
            code: ERROR.to_owned(),
            title: note.clone(),
            text: format!("{ERROR}: {note}\nallowed here: {}", allowed(case)),
            replay: replay.clone(),
            shrunk: None,
        });
        found.chain(errors).collect()
    }

    fn idle(&self, case: &Case, report: &RunReport, published: u64, accesses: u64) -> Failure {
        let title = format!("{published} translations published, {accesses} device accesses");
        Failure {
            code: IDLE.to_owned(),
            text: format!("{IDLE}: {title}: silence proves nothing"),
            title,
            replay: self.command(&format!("replay {}", report.token), case, ""),
            shrunk: None,
        }
    }
}

/// Whether the driver has done too little to be judged by what was found.
pub(super) fn silent(counts: &Counts) -> bool {
    counts.published == 0 || counts.device_accesses == 0
}

fn allowed(case: &Case) -> String {
    let errors = case.errors();
    if errors.is_empty() { "no error".to_owned() } else { errors.join(", ") }
}

/// Whether a note tells of an operation of the driver that failed in a way the case does not allow. In an exploration
/// memory may be short at any time.
fn not_allowed(case: &Case, mode: Mode, note: &str) -> bool {
    let Some((_, errno)) = failed(note) else { return false };
    let short = mode != Mode::Benign && errno == "ENOMEM";
    is_of_the_driver(note) && !short && !case.errors().contains(&errno)
}

/// What failed, and how.
pub(super) fn failed(note: &str) -> Option<(&str, &str)> {
    note.rsplit_once(" failed: ").or_else(|| note.rsplit_once("could not register: "))
}

fn is_of_the_driver(note: &str) -> bool {
    failed(note).is_some_and(|(what, _)| {
        what.contains(": gpu") || what.ends_with(": register") || note.contains("could not register")
    })
}
