//! Random programs of memory calls against correct drivers: nothing is found. The same programs against a mutant: it is,
//! and what proptest shrinks it to is small enough to read.

use harness::strategies::{Program, Schedule, Subject, holds, program, still_holds};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::fs;
use std::path::Path;

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

/// The smallest program that is found fails with one of `codes`, and has no more than that many tasks and steps.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a counterexample is there to be read: cargo test -- --nocapture")]
fn shrinks_to(subject: &Subject, codes: &[&str], most_tasks: usize, most_steps: usize) {
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
    assert!(codes.iter().any(|code| why.contains(code)), "not {codes:?}: {why}");
}

/// An invalidation must come between `read_begin` and `read_retry`, by a turn of the schedule, which stays when the program
/// shrinks. Programs that fail in their benign run as well are passed over, and no random schedule helps.
#[test]
fn a_schedule_shrinks_beside_its_program() {
    let subject = mirror().mutant("no-set-seq").schedules(0);
    let without = |program: &Program| Program { schedule: Schedule::default(), ..program.clone() };
    let by_its_schedule = |program: Program| match holds(&without(&program), &subject) {
        Ok(()) => holds(&program, &subject),
        Err(_) => Ok(()),
    };
    let least = match runner(5_000).run(&program(), by_its_schedule) {
        Err(TestError::Fail(_, program)) => program,
        other => panic!("the mutant survived: {other:?}"),
    };
    assert!(least.steps() <= 6 && (1..=3).contains(&least.schedule.turns.len()), "{least:?}");
    assert!(least.schedule.picks.is_empty(), "{least:?}");
    let why = holds(&least, &subject).expect_err("it fails").to_string();
    assert!(why.contains("STALE") && why.contains("goes on"), "{why}");
}

/// Scenarios that the tests above printed. The first line of each says which wrong driver it was found in, and what.
#[test]
fn counterexamples_that_were_kept_hold_still() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/counterexamples");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let (name, text) = (file.to_string_lossy(), fs::read_to_string(&file).expect("a file"));
        let words: Vec<&str> = text.lines().next().expect("a line").split_whitespace().collect();
        let [_, driver, mutant, code] = words[..] else { panic!("{name}: the first line is `# DRIVER MUTANT CODE`") };
        still_holds(&name, &text, &builtin(driver)).unwrap_or_else(|why| panic!("{name}: {why}"));
        let wrong = still_holds(&name, &text, &builtin(driver).mutant(mutant)).expect_err("it was found in the mutant");
        assert!(wrong.to_string().contains(code), "{name}: {wrong}");
    }
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
    shrinks_to(&mirror().mutant("ignore-one-invalidation"), &["STALE", "SEQ"], 2, 4);
}

#[test]
fn a_mirror_that_zaps_late_fails_small() {
    shrinks_to(&mirror().mutant("late-zap"), &["STALE"], 2, 4);
}

#[test]
fn a_mirror_that_does_not_ask_read_retry_fails_small() {
    shrinks_to(&mirror().mutant("skip-retry"), &["SEQ"], 1, 1);
}

#[test]
fn the_userptr_driver_of_2019_fails_small() {
    shrinks_to(&userptr().mutant("2019"), &["&obj->mm.lock"], 2, 3);
}

#[test]
fn a_munmap_that_clears_too_early_fails_small() {
    shrinks_to(&mirror().quirk("munmap-clears-before-start"), &["ORD-CLEAR"], 1, 1);
}

#[test]
fn a_munmap_that_leaks_its_bracket_fails_small() {
    shrinks_to(&userptr().quirk("munmap-unpaired-end"), &["ORD-PAIR"], 1, 1);
}
