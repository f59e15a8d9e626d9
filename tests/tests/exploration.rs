//! The real deadlock by exploration; the same report for any number of jobs; replay of what was found.

use harness::{ExplorePlan, Mode, Recipe, ReplayError};
use std::ops::ControlFlow;
use system_tests::shipped;
use trace::RunEnd;

fn plan(runs: u64, jobs: usize) -> ExplorePlan {
    ExplorePlan { seed: 3, runs, jobs, stop_at_first: false }
}

#[test]
fn exploration_drives_the_2019_driver_into_its_deadlock() {
    let experiment = shipped("userptr-reclaim.mms", &[]);
    let report = experiment.explore(&plan(2_000, 1), &|_| ControlFlow::Continue(()));
    let inversion = report.findings.iter().find(|f| f.found.code == "LD-CIRCULAR").expect("lockdep's report");
    assert_eq!(inversion.first_run, 0, "lockdep needs one run");
    let deadlock = report.findings.iter().find(|f| f.found.code == "PROG-DEADLOCK").expect("the real deadlock");
    assert!(deadlock.first_run > 0, "the deadlock needs more than one run");
    let text = report.to_text();
    assert!(text.contains(&format!("run {}", deadlock.first_run + 1)) && text.contains("run 1"), "{text}");

    // A task in its own reclaim: it waits for the object mutex that it holds.
    let again = experiment.replay(&deadlock.token, false).expect("replays");
    let RunEnd::Deadlock { blocked, cycle } = &again.end else { panic!("{}", again.end.word()) };
    let own: Vec<_> = blocked.iter().filter(|b| b.waits_for.holders == [b.task]).collect();
    assert_eq!(own.len(), 1, "{blocked:?}");
    assert_eq!(*cycle, [own[0].task]);
    assert_eq!(own[0].waits_for.what.as_str(), "&obj->mm.lock");
    let held: Vec<&str> = own[0].holds.iter().map(|h| h.class.as_str()).collect();
    for class in ["&obj->mm.lock", "fs_reclaim", "mmu_notifier_invalidate_range_start"] {
        assert!(held.contains(&class), "{class} is not among {held:?}");
    }
    for part in ["&obj->mm.lock", "fs_reclaim", again.end.word()] {
        assert!(deadlock.found.text.contains(part) || part == "deadlock", "{part}: {}", deadlock.found.text);
    }
}

#[test]
fn one_job_and_two_jobs_give_the_same_report() {
    for file in ["userptr-reclaim.mms", "userptr-corrected.mms", "toy-inversion.mms"] {
        let experiment = shipped(file, &[]);
        let one = experiment.explore(&plan(600, 1), &|_| ControlFlow::Continue(()));
        let two = experiment.explore(&plan(600, 2), &|_| ControlFlow::Continue(()));
        assert_eq!(one.to_text(), two.to_text());
        assert_eq!(one.to_json(), two.to_json());
    }
}

#[test]
fn the_corrected_driver_survives_exploration() {
    let experiment = shipped("userptr-corrected.mms", &[]);
    let report = experiment.explore(&plan(3_000, 2), &|_| ControlFlow::Continue(()));
    assert!(report.verdict.as_expected() && report.findings.is_empty(), "{}", report.to_text());
    assert!(report.across_runs.is_empty(), "{}", report.to_text());
}

#[test]
fn the_same_run_twice_has_the_same_hash_and_events() {
    for file in ["userptr-reclaim.mms", "userptr-corrected.mms", "toy-inversion.mms"] {
        let experiment = shipped(file, &[]);
        for run in 0..50 {
            let recipe = Recipe { mode: Mode::Random, seed: 3, run };
            let (a, b) = (experiment.run(recipe, true), experiment.run(recipe, true));
            assert_eq!(a.log, b.log, "{file} run {run}");
            assert_eq!(a.hash(), b.hash(), "{file} run {run}");
        }
    }
}

#[test]
fn a_run_of_an_exploration_replays_from_its_token_whatever_the_files_seed() {
    let experiment = shipped("userptr-reclaim.mms", &[]);
    let report = experiment.explore(&ExplorePlan { seed: 99, ..plan(500, 1) }, &|_| ControlFlow::Continue(()));
    assert!(!report.findings.is_empty());
    for finding in &report.findings {
        let text = finding.token.to_string();
        let token = text.parse().expect("our own token");
        let other_seed = shipped("userptr-reclaim.mms", &["seed=12345"]);
        let replayed = other_seed.replay(&token, false).expect("replays");
        assert_eq!(replayed.hash(), finding.token.hash);
        assert!(replayed.findings.iter().any(|f| f.key == finding.found.key));
    }
}

#[test]
fn a_token_of_another_scenario_is_refused() {
    let a = shipped("userptr-reclaim.mms", &[]);
    let token = a.run(Recipe { mode: Mode::Benign, seed: 1, run: 0 }, false).token;
    let other = shipped("userptr-reclaim.mms", &["range_end=none"]);
    assert_eq!(other.replay(&token, false).unwrap_err(), ReplayError::OtherScenario);
    let forged = harness::Token { hash: token.hash ^ 1, ..token.clone() };
    assert!(matches!(a.replay(&forged, false).unwrap_err(), ReplayError::OtherRun { .. }));
}
