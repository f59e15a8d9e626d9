//! Random programs of memory calls against correct drivers: nothing is found. The same programs against a mutant: it is,
//! and what proptest shrinks it to is small enough to read.

use harness::strategies::{Subject, holds, program};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

fn builtin(name: &str) -> Subject {
    let kind = harness::drivers::builtin().into_iter().find(|kind| kind.name == name);
    Subject::of(kind.expect("a builtin driver"))
}

fn mirror() -> Subject {
    builtin("interval_mirror")
}

fn userptr() -> Subject {
    builtin("i915_userptr")
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(
        Config { cases, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
}

#[track_caller]
fn nothing_is_found_with(subject: &Subject) {
    match runner(5_000).run(&program(), |program| holds(&program, subject)) {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("{why}"),
        Err(TestError::Abort(why)) => panic!("aborted: {why}"),
    }
}

/// The smallest program that proptest finds fails with `code`, and has no more than that many tasks and steps.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a counterexample is there to be read: cargo test -- --nocapture")]
fn shrinks_to(subject: &Subject, code: &str, most_tasks: usize, most_steps: usize) {
    // A smaller program needs another schedule to fail.
    let subject = subject.clone().schedules(64);
    let (why, least) = match runner(1_000).run(&program(), |program| holds(&program, &subject)) {
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
    nothing_is_found_with(&mirror());
}

#[test]
fn the_correct_userptr_driver_holds() {
    nothing_is_found_with(&userptr());
}

#[test]
fn a_mirror_that_ignores_one_invalidation_fails_small() {
    shrinks_to(&mirror().mutant("ignore-one-invalidation"), "STALE", 2, 4);
}

#[test]
fn a_mirror_that_zaps_late_fails_small() {
    shrinks_to(&mirror().mutant("late-zap"), "STALE", 2, 4);
}

#[test]
fn a_mirror_that_does_not_ask_read_retry_fails_small() {
    shrinks_to(&mirror().mutant("skip-retry"), "SEQ", 1, 1);
}

#[test]
fn the_userptr_driver_of_2019_fails_small() {
    shrinks_to(&userptr().mutant("2019"), "&obj->mm.lock", 2, 3);
}

#[test]
fn a_munmap_that_clears_too_early_fails_small() {
    shrinks_to(&mirror().quirk("munmap-clears-before-start"), "ORD-CLEAR", 1, 1);
}

#[test]
fn a_munmap_that_leaks_its_bracket_fails_small() {
    shrinks_to(&userptr().quirk("munmap-unpaired-end"), "ORD-PAIR", 1, 1);
}
