//! Random programs of memory calls against correct drivers: nothing is found. The same programs against a mutant: it is,
//! and what proptest shrinks it to is small enough to read.

use harness::strategies::{Program, Subject, holds, program};
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

/// `program` without the steps without which it fails too: proptest tries to leave one out only before it makes the others
/// simpler.
fn without_idle_steps(mut program: Program, subject: &Subject) -> Program {
    let places = |program: &Program| -> Vec<(usize, usize)> {
        program.tasks.iter().enumerate().flat_map(|(t, steps)| (0..steps.len()).map(move |at| (t, at))).collect()
    };
    let one_less = |program: &Program, (task, at): (usize, usize)| {
        let mut fewer = program.clone();
        fewer.tasks[task].remove(at);
        fewer
    };
    let fails = |fewer: &Program| holds(fewer, subject).is_err();
    while let Some(fewer) = places(&program).into_iter().map(|at| one_less(&program, at)).find(fails) {
        program = fewer;
    }
    program
}

/// The smallest program that is found fails with `code`, and has no more than that many tasks and steps.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a counterexample is there to be read: cargo test -- --nocapture")]
fn shrinks_to(subject: &Subject, code: &str, most_tasks: usize, most_steps: usize) {
    // A smaller program needs another schedule to fail.
    let subject = subject.clone().schedules(64);
    let least = match runner(1_000).run(&program(), |program| holds(&program, &subject)) {
        Err(TestError::Fail(_, program)) => without_idle_steps(program, &subject),
        other => panic!("the mutant survived: {other:?}"),
    };
    let why = holds(&least, &subject).expect_err("it fails").to_string();
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
