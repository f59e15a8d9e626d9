//! Random programs of memory calls against correct drivers: nothing is found. The same programs against a mutant: it is,
//! and what proptest shrinks it to is small enough to read.

use harness::{Experiment, Mode, Recipe, Registry};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::fmt;

/// One step of a task. Pages are counted from the start of the arena.
#[derive(Clone, Debug)]
enum Step {
    Mmap { page: u8, len: u8, writable: bool },
    Munmap { page: u8, len: u8 },
    Mprotect { page: u8, len: u8, writable: bool },
    Read { page: u8 },
    Write { page: u8 },
    Reclaim { page: u8, len: u8 },
    Publish { page: u8, len: u8 },
    DeviceRead { page: u8 },
    DeviceWrite { page: u8 },
}

const PAGES: u8 = 12;

fn step() -> impl Strategy<Value = Step> {
    let span = || (0..PAGES).prop_flat_map(|page| (Just(page), 1..=PAGES - page));
    prop_oneof![
        2 => (span(), any::<bool>()).prop_map(|((page, len), writable)| Step::Mmap { page, len, writable }),
        3 => span().prop_map(|(page, len)| Step::Munmap { page, len }),
        2 => (span(), any::<bool>()).prop_map(|((page, len), writable)| Step::Mprotect { page, len, writable }),
        2 => (0..PAGES).prop_map(|page| Step::Read { page }),
        2 => (0..PAGES).prop_map(|page| Step::Write { page }),
        2 => span().prop_map(|(page, len)| Step::Reclaim { page, len }),
        3 => span().prop_map(|(page, len)| Step::Publish { page, len }),
        3 => (0..PAGES).prop_map(|page| Step::DeviceRead { page }),
        2 => (0..PAGES).prop_map(|page| Step::DeviceWrite { page }),
    ]
}

/// Tasks, and the run of the random stream that interleaves them.
#[derive(Clone, Debug)]
struct Program {
    tasks: Vec<Vec<Step>>,
    run: u64,
}

fn program() -> impl Strategy<Value = Program> {
    (prop::collection::vec(prop::collection::vec(step(), 0..8), 1..4), 0..1_000_u64)
        .prop_map(|(tasks, run)| Program { tasks, run })
}

/// A driver: its name, the operations that publish a range.
#[derive(Clone, Copy)]
struct Victim {
    driver: &'static str,
    publish: &'static str,
    mutant: Option<&'static str>,
    quirk: Option<&'static str>,
}

const MIRROR: Victim = Victim { driver: "interval_mirror", publish: "map", mutant: None, quirk: None };
const USERPTR: Victim = Victim { driver: "i915_userptr", publish: "get_pages", mutant: None, quirk: None };

/// The program as a scenario file.
struct Scenario<'a>(&'a Program, Victim);

impl fmt::Display for Scenario<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario(program, victim) = self;
        let at = |page: u8| 0x10000 + u64::from(page) * 0x1000;
        let range = |page: u8, len: u8| format!("{:#x}..{:#x}", at(page), at(page + len));
        let prot = |writable: bool| if writable { "rw" } else { "r" };
        writeln!(f, "scenario \"property\"\nmachine {{ memory 16M  swap 4M }}")?;
        if let Some(quirk) = victim.quirk {
            writeln!(f, "quirks {{ {quirk} }}")?;
        }
        writeln!(f, "mm A {{ vma {} rw anon  touch {} }}", range(0, PAGES), range(0, PAGES / 2))?;
        let mutant = victim.mutant.map_or_else(String::new, |m| format!(" {{ mutant \"{m}\" }}"));
        writeln!(f, "device gpu0 : {}(A, {}){mutant}", victim.driver, range(0, PAGES))?;
        for (i, task) in program.tasks.iter().enumerate() {
            writeln!(f, "task t{i} {{")?;
            for step in task {
                match *step {
                    Step::Mmap { page, len, writable } => {
                        writeln!(f, "    mmap A {} {} anon", range(page, len), prot(writable))?;
                    }
                    Step::Munmap { page, len } => writeln!(f, "    munmap A {}", range(page, len))?,
                    Step::Mprotect { page, len, writable } => {
                        writeln!(f, "    mprotect A {} {}", range(page, len), prot(writable))?;
                    }
                    Step::Read { page } => writeln!(f, "    read A {:#x}", at(page))?,
                    Step::Write { page } => writeln!(f, "    write A {:#x}", at(page))?,
                    Step::Reclaim { page, len } => writeln!(f, "    reclaim A {}", range(page, len))?,
                    Step::Publish { page, len } => writeln!(f, "    gpu0.{} {}", victim.publish, range(page, len))?,
                    Step::DeviceRead { page } => writeln!(f, "    gpu0.read {:#x}", at(page))?,
                    Step::DeviceWrite { page } => writeln!(f, "    gpu0.write {:#x}", at(page))?,
                }
            }
            writeln!(f, "}}")?;
        }
        Ok(())
    }
}

/// Nothing is found in the program's benign run, nor in the random one it names.
fn holds(program: &Program, victim: Victim) -> Result<(), TestCaseError> {
    let text = Scenario(program, victim).to_string();
    let experiment = Experiment::load(&Registry::builtin(), "property.mms", &text).map_err(|mistakes| {
        TestCaseError::fail(mistakes.iter().map(|m| m.render("property.mms", &text, false)).collect::<String>())
    })?;
    for mode in [Mode::Benign, Mode::Random] {
        let report = experiment.run(Recipe { mode, seed: 5, run: program.run }, false);
        if let Some(found) = report.findings.first() {
            return Err(TestCaseError::fail(format!("{mode:?} run {} finds\n{}\n{text}", program.run, found.text)));
        }
    }
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(
        Config { cases, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    )
}

#[track_caller]
fn nothing_is_found_with(victim: Victim) {
    harness::install_panic_hook();
    if let Err(error) = runner(4_000).run(&program(), |program| holds(&program, victim)) {
        match error {
            TestError::Fail(why, _) => panic!("{} fails: {why}", victim.driver),
            TestError::Abort(why) => panic!("aborted: {why}"),
        }
    }
}

/// The smallest program that proptest finds.
#[track_caller]
fn counterexample(victim: Victim) -> Program {
    harness::install_panic_hook();
    match runner(600).run(&program(), |program| holds(&program, victim)) {
        Err(TestError::Fail(_, program)) => program,
        other => panic!("the mutant survived: {other:?}"),
    }
}

#[track_caller]
fn shrinks_to(victim: Victim, most_steps: usize) {
    let least = counterexample(victim);
    let text = Scenario(&least, victim).to_string();
    let tasks = least.tasks.iter().filter(|t| !t.is_empty()).count();
    let steps: usize = least.tasks.iter().map(Vec::len).sum();
    assert!(tasks <= 2 && steps <= most_steps, "{tasks} tasks and {steps} steps are left:\n{text}");
}

#[test]
fn the_correct_mirror_holds() {
    nothing_is_found_with(MIRROR);
}

#[test]
fn the_correct_userptr_driver_holds() {
    nothing_is_found_with(USERPTR);
}

#[test]
fn a_mirror_that_ignores_one_invalidation_fails_small() {
    shrinks_to(Victim { mutant: Some("ignore-one-invalidation"), ..MIRROR }, 4);
}

#[test]
fn a_mirror_that_does_not_ask_read_retry_fails_small() {
    shrinks_to(Victim { mutant: Some("skip-retry"), ..MIRROR }, 1);
}

#[test]
fn the_userptr_driver_of_2019_fails_small() {
    shrinks_to(Victim { mutant: Some("2019"), ..USERPTR }, 3);
}

#[test]
fn a_munmap_that_clears_too_early_fails_small() {
    shrinks_to(Victim { quirk: Some("munmap-clears-before-start"), ..MIRROR }, 2);
}
