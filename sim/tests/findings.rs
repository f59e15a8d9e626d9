//! `explain`, `conformance` and scenarios by the suite's names, as a user calls them.

use std::path::Path;
use std::process::{Command, Output};

fn shootdown(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Output { status, stdout, stderr } =
        command.args(args).current_dir(project).env("NO_COLOR", "1").output().expect("the tool starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("not killed"), text(stdout), text(stderr))
}

#[track_caller]
fn shows(args: &[&str], code: i32, parts: &[&str]) -> String {
    let (got, out, err) = shootdown(args);
    assert_eq!(got, code, "{args:?}: {out}{err}");
    assert_eq!(err, "", "{args:?}: nothing but data in a pipe");
    for part in parts {
        assert!(out.contains(part), "{args:?}: {part:?} is not in\n{out}");
    }
    out
}

#[track_caller]
fn refused(args: &[&str], part: &str) {
    let (code, out, err) = shootdown(args);
    assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
    assert!(err.contains(part), "{args:?}: {part:?} is not in\n{err}");
}

#[test]
fn explain_shows_a_page_with_a_run_and_lists_the_codes() {
    shows(
        &["explain", "STALE"],
        0,
        &["# STALE: ", "$ shootdown run sim/scenarios/mirror-ignores-protection.mms", "<-- here", "## How to fix it"],
    );
    shows(&["explain", "ld-circular"], 0, &["possible circular locking dependency", "CPU0", "*** DEADLOCK ***"]);
    let list = shows(&["explain"], 0, &["LD-CIRCULAR ", "CONFORM-HANG "]);
    assert!(list.lines().count() >= 19, "{list}");
    refused(&["explain", "STAEL"], "did you mean `STALE`?");
    refused(&["explain", "frobnicate"], "lists them");
}

#[test]
fn conformance_is_a_test_list_or_ktap_and_its_replay_lines_work_when_pasted() {
    let two = ["conformance", "interval_mirror", "--case", "lifecycle", "--case", "nonblocking"];
    shows(
        &two,
        0,
        &["running 2 conformance cases", "test lifecycle ... ok\n", "test result: ok. 2 passed; 0 failed; "],
    );
    let wrong = [&two[..], &["--mutant", "sleep-in-nonblock"]].concat();
    let text = shows(&wrong, 1, &["test lifecycle ... ok\n", "test nonblocking ... FAILED: CTX\n", "\nreplay: "]);
    let line = text.lines().find_map(|l| l.strip_prefix("replay: ")).expect("a replay line");
    let again = Command::new("sh").args(["-c", line]).output().expect("sh");
    assert_eq!(again.status.code(), Some(1), "{line}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("BUG: CTX: "), "{line}");
    let ktap = shows(&[&wrong[..], &["--format", "ktap"]].concat(), 1, &["# BUG: CTX: "]);
    let results: Vec<&str> = ktap.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(results, ["KTAP version 1", "1..2", "ok 1 lifecycle", "not ok 2 nonblocking"]);
}

#[test]
fn the_suite_refuses_what_is_not_there() {
    refused(&["conformance", "gpu9"], "there is no driver `gpu9`");
    refused(&["conformance", "interval_mirror", "--mutant", "x"], "has no mutant `x`");
    refused(&["conformance", "interval_mirror", "--case", "lifecycel"], "did you mean `lifecycle`?");
    refused(&["run", "conformance:interval_mirror/x"], "there is no case `x`");
    shows(&["run", "conformance:interval_mirror/nested-brackets"], 0, &["as expected: nothing found"]);
}
