//! `explore --strategy exhaustive` on the shipped scenarios: counts, proofs, bounds.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn explore(scenario: &str, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.args(["explore", &format!("sim/scenarios/{scenario}.mms"), "--strategy", "exhaustive"]);
    command.args(options).output().expect("it starts")
}

#[track_caller]
fn object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Executions, deadlocks and exit code of a scenario, explored completely.
#[track_caller]
fn check(scenario: &str, executions: u64, deadlocks: u64) {
    let output = explore(scenario, &["--format", "json"]);
    let report = object(&output);
    assert_eq!(report["coverage"], "complete", "{report}");
    assert_eq!(report["executions"], executions, "{scenario}");
    assert_eq!(report["ends"]["deadlock"].as_u64().unwrap_or(0), deadlocks, "{scenario}");
    assert_eq!((&report["redundant"], &report["estimate"]), (&0.into(), &executions.into()), "{scenario}");
    assert_eq!(output.status.code(), Some(0), "{report}");
}

#[test]
fn each_trace_is_run_once() {
    check("private-locks-2x10", 1, 0);
    check("abba", 3, 1);
    check("abba-padded", 3, 1);
    check("two-rounds-two-orders", 9, 3);
    check("philosophers-3", 7, 1);
    check("counter-2x10", 184_756, 0);
}

#[test]
fn a_lost_invalidation_takes_ten_runs_at_most_and_the_corrected_protocol_is_proven() {
    let report = object(&explore("lost-invalidation", &["--format", "json"]));
    assert!(report["executions"].as_u64().is_some_and(|runs| runs <= 10), "{report}");
    assert_eq!(report["findings"][0]["code"], "CHECK");
    let corrected = explore("lost-invalidation-corrected", &[]);
    assert_eq!(corrected.status.code(), Some(0));
    let text = String::from_utf8_lossy(&corrected.stdout);
    assert!(text.contains("complete: every schedule of this scenario"), "{text}");
    assert!(text.contains("as expected: nothing found"), "{text}");
}

#[test]
fn a_lock_report_of_a_complete_exploration_is_proven_or_says_why_not() {
    for (scenario, says) in [("abba", "proven: deadlock: "), ("gated-inversion", "predicted: gated by toy.outer")] {
        let text = String::from_utf8_lossy(&explore(scenario, &[]).stdout).into_owned();
        assert!(text.lines().any(|line| line.starts_with(says)), "{text}");
        assert_eq!(text.lines().any(|line| line.starts_with("proof: ")), scenario == "abba", "{text}");
        assert!(!String::from_utf8_lossy(&explore(scenario, &["--prove", "0"]).stdout).contains(says));
    }
    let report = object(&explore("abba", &["--format", "json"]));
    let of = |code: &str| report["findings"].as_array().and_then(|all| all.iter().find(|f| f["code"] == code));
    assert!(of("LD-CIRCULAR").is_some_and(|found| found["proof"].is_object()), "{report}");
    assert!(of("PROG-DEADLOCK").is_some_and(|found| found["proof"].is_null()), "{report}");
}

#[test]
fn a_bound_that_is_reached_is_said_and_is_no_proof() {
    for (options, why) in [
        (["--executions", "100"], "the bound of executions was reached"),
        (["--preemptions", "1"], "need more preemptions than the bound"),
    ] {
        let output = explore("counter-2x10", &options);
        assert_eq!(output.status.code(), Some(3), "{options:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("bounded") && text.contains(why) && !text.contains("complete:"), "{text}");
    }
    // As many as there are is no bound that was reached.
    assert_eq!(explore("philosophers-3", &["--executions", "7"]).status.code(), Some(0));
}

#[test]
fn the_estimate_is_near_long_before_the_end() {
    let report = object(&explore("counter-2x10", &["--executions", "20000", "--format", "json"]));
    let estimate = report["estimate"].as_u64().unwrap_or(0);
    assert!((50_000..1_000_000).contains(&estimate), "{estimate}");
}

#[test]
fn a_bound_of_preemptions_is_for_all_schedules_only() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let output = command.args(["explore", "sim/scenarios/abba.mms", "--preemptions", "2"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs --strategy exhaustive"));
}
