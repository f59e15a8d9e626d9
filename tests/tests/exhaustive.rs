//! Exploring everything, on scenarios with address spaces and devices: what any strategy finds in a scenario that is explored
//! completely, the complete exploration has found.

use harness::{Division, ExhaustPlan, ExhaustReport, Experiment, ExplorePlan, Mode};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

fn shipped(name: &str) -> Experiment {
    system_tests::shipped(&format!("{name}.mms"), &[])
}

fn exhaust(experiment: &Experiment, executions: Option<u64>) -> ExhaustReport {
    let plan = ExhaustPlan { executions, ..ExhaustPlan::default() };
    experiment.exhaust(&plan, &|_| ControlFlow::Continue(()))
}

/// With address spaces, devices, choices and steps that end a run; a bound cuts some of them.
#[test]
fn the_report_of_a_complete_exploration_does_not_depend_on_the_number_of_jobs() {
    let bounds = [(None, false), (Some(300), false), (None, true)];
    for name in ["toy-inversion", "lost-invalidation", "userptr-corrected", "philosophers-3"] {
        let experiment = shipped(name);
        for (executions, stop_at_first) in bounds {
            let report = |jobs| {
                let division = Division { turn: 8, open: 6 };
                let executions = executions.or(Some(2_000));
                let plan = ExhaustPlan { executions, stop_at_first, jobs, division, ..ExhaustPlan::default() };
                let report = experiment.exhaust(&plan, &|_| ControlFlow::Continue(()));
                (report.to_text(), report.to_json().to_string())
            };
            assert_eq!(report(1), report(2), "{name}, {executions:?}, {stop_at_first}");
        }
    }
}

/// Small enough to be explored completely.
const SMALL: [&str; 8] = [
    "alloc-under-spinlock",
    "mirror-ignores-unmap",
    "mirror-skips-retry",
    "quirk-frees-before-start",
    "toy-inversion",
    "two-locks-two-orders",
    "unmap-under-callback-lock",
    "lost-invalidation",
];

#[test]
fn no_strategy_finds_what_a_complete_exploration_does_not() {
    for name in SMALL {
        let experiment = shipped(name);
        let all = exhaust(&experiment, None);
        assert!(all.complete, "{name}: {:?}", all.left_out());
        let found: BTreeSet<(&str, u64)> = all.findings.iter().map(|f| (f.found.code.as_str(), f.found.key)).collect();
        for mode in [Mode::Random, Mode::Pct, Mode::Pos, Mode::Surw, Mode::Portfolio] {
            let plan = ExplorePlan { seed: 5, runs: 300, jobs: 1, stop_at_first: false };
            let sampled = experiment.explore_by(mode, &plan, &|_| ControlFlow::Continue(()));
            for f in &sampled.findings {
                assert!(found.contains(&(f.found.code.as_str(), f.found.key)), "{name}, {mode:?}: {}", f.found.text);
            }
        }
    }
}

#[test]
fn each_finding_of_a_strategy_replays_from_its_token() {
    for mode in [Mode::Random, Mode::Pct, Mode::Pos, Mode::Surw, Mode::Portfolio] {
        let experiment = shipped("lost-invalidation");
        let plan = ExplorePlan { seed: 7, runs: 2_000, jobs: 2, stop_at_first: true };
        let sampled = experiment.explore_by(mode, &plan, &|_| ControlFlow::Continue(()));
        assert_eq!(sampled.findings.len(), 1, "{mode:?} finds it within 2,000 runs");
        let token = sampled.findings[0].token.to_string().parse().expect("a token");
        let replayed = experiment.replay(&token, false).unwrap_or_else(|why| panic!("{mode:?}: {why}"));
        assert_eq!(replayed.findings[0].code, "CHECK");
    }
}

#[test]
fn the_report_of_a_strategy_does_not_depend_on_the_number_of_jobs() {
    let experiment = shipped("toy-inversion");
    for mode in [Mode::Pct, Mode::Surw, Mode::Portfolio] {
        let report = |jobs| {
            let plan = ExplorePlan { seed: 7, runs: 400, jobs, stop_at_first: false };
            experiment.explore_by(mode, &plan, &|_| ControlFlow::Continue(())).to_text()
        };
        assert_eq!(report(1), report(2), "{mode:?}");
    }
}

#[test]
fn what_was_cut_is_no_proof() {
    let all = exhaust(&shipped("userptr-corrected"), Some(50));
    assert!(!all.complete && all.estimate > 50);
    assert_eq!(all.coverage(), "bounded");
    assert!(!all.to_text().contains("complete"), "{}", all.to_text());
    // A run that never ends says nothing of what comes after its bound.
    let endless = exhaust(&shipped("retry-without-read-begin"), None);
    assert!(!endless.complete && endless.left_out().iter().any(|why| why.contains("max_steps")));
}
