//! Deliberate errors, one at a time: each is noticed by the recorded lines, or by a case of its own.

#[path = "../../tests/data/mod.rs"]
mod data;
#[path = "../../tests/random/mod.rs"]
mod random;
#[path = "../../tests/reference/mod.rs"]
mod reference;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::recorded::{Case, Noticed, Player};
use crate::{Acquire, ClassSpec, Held, Lockdep, Mutant, ReportKind, Run, Site};

fn cases(name: &str) -> Vec<Case> {
    data::text(name).lines().map(|line| Case::parse(line).expect("a line")).collect()
}

/// How many lines come out otherwise than recorded.
fn wrong(cases: &[Case], mutant: Option<Mutant>) -> usize {
    // The interner remembers how chains are told apart, so each error starts with its own.
    let mut player = Player::default();
    player.run_mut().set_mutant(mutant);
    cases.iter().filter(|case| case.expect.agrees(player.play(case, false).as_ref()) == Some(false)).count()
}

#[test]
fn every_deliberate_error_is_noticed_by_the_recorded_lines_but_one() {
    let (selftest, fuzz) = (cases("locking_selftest.jsonl"), cases("fuzz.jsonl.gz"));
    let count = |mutant| (wrong(&selftest, mutant), wrong(&fuzz, mutant));
    assert_eq!(count(None), (0, 0));
    let missed: Vec<(Mutant, (usize, usize))> = Mutant::ALL
        .into_iter()
        .map(|mutant| (mutant, count(Some(mutant))))
        .filter(|(_, noticed)| *noticed == (0, 0))
        .collect();
    let missed: Vec<Mutant> = missed.into_iter().map(|(mutant, _)| mutant).collect();
    assert_eq!(missed, [Mutant::ReleaseSearchesPastIrqContext]);
}

/// So that the reference and the random lines are worth having: together they notice what recorded lines cannot.
#[test]
fn every_deliberate_error_is_noticed_by_random_lines() {
    let mut runner = TestRunner::deterministic();
    let lines: Vec<(Case, Option<Noticed>)> = (0..12_000)
        .map(|_| {
            let case = random::case(&random::line().new_tree(&mut runner).expect("a line").current());
            let first = reference::Reference::play(&case);
            (case, first)
        })
        .collect();
    let noticed = |mutant| {
        let mut player = Player::default();
        player.run_mut().set_mutant(mutant);
        lines.iter().any(|(case, first)| player.play(case, false) != *first)
    };
    assert!(!noticed(None));
    let missed: Vec<Mutant> = Mutant::ALL.into_iter().filter(|mutant| !noticed(Some(*mutant))).collect();
    assert_eq!(missed, []);
}

/// A lock taken in task context cannot be released by the handler that interrupted the task.
#[test]
fn release_does_not_search_past_an_irq_context() {
    let kinds = |mutant| {
        let lockdep = Lockdep::new();
        let (outer, inner) = (lockdep.class(&ClassSpec::new("outer")), lockdep.class(&ClassSpec::new("inner")));
        let (mut run, mut held, site) = (Run::new(lockdep), Held::new("task", 1), Site::here());
        run.set_mutant(mutant);
        run.hardirqs_off(&mut held, site);
        assert!(run.acquire(&mut held, outer, 1, Acquire::exclusive(), site).is_ok());
        run.hardirq_enter(&mut held);
        assert!(run.acquire(&mut held, inner, 2, Acquire::exclusive(), site).is_ok());
        let verdict = run.release_of(&mut held, outer, 1, site);
        run.reports_of(verdict).iter().map(|report| report.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(None), [ReportKind::UnlockBalance]);
    assert_eq!(kinds(Some(Mutant::ReleaseSearchesPastIrqContext)), []);
}
