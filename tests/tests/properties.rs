//! Random programs of memory calls against correct drivers: nothing is found. The same programs against a mutant: it is,
//! and what proptest shrinks it to is small enough to read.

mod program;

use harness::{Experiment, Mode, Recipe, Registry};
use program::{Program, Victim, program};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Of every choice of a run.
const SEED: u64 = 5;

const MIRROR: Victim =
    Victim { driver: "interval_mirror", publish: "map", unpublish: "unmap", mutant: None, quirk: None };
const USERPTR: Victim =
    Victim { driver: "i915_userptr", publish: "get_pages", unpublish: "put_pages", mutant: None, quirk: None };

/// Nothing is found in the program's benign run, nor in as many random ones from the one it names.
fn holds(program: &Program, victim: Victim, schedules: u64) -> Result<(), TestCaseError> {
    // By its text, so that what is printed is what ran.
    let text = program.scenario(victim).to_string();
    let experiment = Experiment::load(&Registry::builtin(), "counterexample.mms", &text).map_err(|mistakes| {
        TestCaseError::fail(mistakes.iter().map(|m| m.render("counterexample.mms", &text, false)).collect::<String>())
    })?;
    let random = (program.run..program.run + schedules).map(|run| (Mode::Random, run));
    for (mode, run) in [(Mode::Benign, 0)].into_iter().chain(random) {
        let report = experiment.run(Recipe { mode, seed: SEED, run }, false);
        if let Some(found) = report.findings.first() {
            let replay = format!("replay: shootdown replay {} counterexample.mms", report.token);
            return Err(TestCaseError::fail(format!("\n{}\n{replay}\n\n{text}", found.text)));
        }
    }
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(
        Config { cases, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
}

#[track_caller]
fn nothing_is_found_with(victim: Victim) {
    harness::install_panic_hook();
    match runner(5_000).run(&program(), |program| holds(&program, victim, 2)) {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("{}: {why}", victim.driver),
        Err(TestError::Abort(why)) => panic!("aborted: {why}"),
    }
}

/// The smallest program that proptest finds fails with `code`, and has no more than that many tasks and steps.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a counterexample is there to be read: cargo test -- --nocapture")]
fn shrinks_to(victim: Victim, code: &str, most_tasks: usize, most_steps: usize) {
    harness::install_panic_hook();
    // A smaller program needs another schedule to fail.
    let (why, least) = match runner(1_000).run(&program(), |program| holds(&program, victim, 64)) {
        Err(TestError::Fail(why, program)) => (why.to_string(), program),
        other => panic!("the mutant survived: {other:?}"),
    };
    println!("{why}");
    let tasks = least.tasks.iter().filter(|t| !t.is_empty()).count();
    let steps = least.steps();
    assert!(tasks <= most_tasks && steps <= most_steps, "{tasks} tasks and {steps} steps are left: {why}");
    assert!(why.contains(code), "not {code}: {why}");
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
    shrinks_to(Victim { mutant: Some("ignore-one-invalidation"), ..MIRROR }, "STALE", 2, 4);
}

#[test]
fn a_mirror_that_zaps_late_fails_small() {
    shrinks_to(Victim { mutant: Some("late-zap"), ..MIRROR }, "STALE", 2, 4);
}

#[test]
fn a_mirror_that_does_not_ask_read_retry_fails_small() {
    shrinks_to(Victim { mutant: Some("skip-retry"), ..MIRROR }, "SEQ", 1, 1);
}

#[test]
fn the_userptr_driver_of_2019_fails_small() {
    shrinks_to(Victim { mutant: Some("2019"), ..USERPTR }, "&obj->mm.lock", 2, 3);
}

#[test]
fn a_munmap_that_clears_too_early_fails_small() {
    shrinks_to(Victim { quirk: Some("munmap-clears-before-start"), ..MIRROR }, "ORD-CLEAR", 1, 1);
}

#[test]
fn a_munmap_that_leaks_its_bracket_fails_small() {
    shrinks_to(Victim { quirk: Some("munmap-unpaired-end"), ..USERPTR }, "ORD-PAIR", 1, 1);
}
