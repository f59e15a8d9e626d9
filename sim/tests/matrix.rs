//! `matrix`: what must be in it, as a user sees it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn matrix(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.arg("matrix").args(args).current_dir(project()).env("NO_COLOR", "1");
    command.output().expect("the tool starts")
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
    let output = matrix(&args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The cell of a row and a workload.
#[track_caller]
fn cell<'a>(matrix: &'a Value, row: &str, workload: &str) -> &'a str {
    let position = |list: &str, name: &str| {
        let list = matrix[list].as_array().expect("a list");
        list.iter().position(|x| x["name"] == name).unwrap_or_else(|| panic!("{name} is not there"))
    };
    let (row, column) = (position("rows", row), position("workloads", workload));
    matrix["rows"][row]["cells"][column].as_str().expect("a word")
}

#[test]
fn the_questions_of_the_thread_have_their_answers() {
    let m = json(&["--jobs", "2"]);
    let cells = [
        // The deadlock: missed without the map, found with it and the priming by every allocation.
        ("as before 5.4", "thread-deadlock", "missed"),
        ("range_start=none", "thread-deadlock", "missed"),
        ("6.12", "thread-deadlock", "found"),
        ("6.12", "thread-corrected", "quiet"),
        // Only the annotation of the end finds it, and only if it shares the map.
        ("6.12", "end-callback", "found"),
        ("range_end=none", "end-callback", "missed"),
        ("range_end=own", "end-callback", "missed"),
        ("6.12", "end-callback-correct", "quiet"),
        ("6.12", "allocation-in-callback", "found"),
        ("range_start=none", "allocation-in-callback", "missed"),
        // Only priming finds it; without, it takes a reclaimed page, of a stranger if every process enters the map.
        ("prime=none", "thread-deadlock", "missed"),
        ("prime=none", "stranger-reclaimed", "found"),
        ("wrap_start=subscribed prime=none", "stranger-reclaimed", "missed"),
        // Priming at registration knows of no GFP_NOFS: only that in the allocation does.
        ("as 5.5 to 5.9", "notifier-under-lock-nofs", "missed"),
        ("prime=fs_reclaim", "notifier-under-lock-nofs", "found"),
        // A class for each address space loses what one class finds.
        ("6.12", "two-processes", "found"),
        ("range_start=per_mm", "two-processes", "found"),
        ("range_start=per_mm_class", "two-processes", "missed"),
        // Waits that touch the map.
        ("touch=none", "wait-for-invalidation", "missed"),
        ("touch=read_begin", "wait-for-invalidation", "found"),
        ("touch=remove", "remove-under-lock", "found"),
        ("touch=read_begin", "remove-under-lock", "missed"),
        // The false report that priming under mm_take_all_locks causes.
        ("6.12", "device-file-mapping", "quiet"),
        ("prime=take_all_locks", "device-file-mapping", "false"),
        // Maps around the other callbacks: one of `release` finds something, one shared with the start's says too much.
        ("6.12", "unregister-under-lock", "missed"),
        ("other_callbacks=own", "unregister-under-lock", "found"),
        ("other_callbacks=own", "unregister-correct", "quiet"),
        ("other_callbacks=own", "aging-and-device-file", "quiet"),
        ("other_callbacks=shared", "unregister-under-lock", "found"),
        ("other_callbacks=shared", "aging-and-device-file", "false"),
    ];
    for (row, workload, expected) in cells {
        // 6.12 primes in fs_reclaim.
        let row = if row == "prime=fs_reclaim" { "6.12" } else { row };
        assert_eq!(cell(&m, row, workload), expected, "{row}, {workload}");
    }
    let growth = |row: &str| {
        let rows = m["rows"].as_array().expect("rows");
        let row = rows.iter().find(|r| r["name"] == row).expect("the row");
        let classes = |n: &str| row[n]["classes"].as_u64().expect("a number");
        (classes("with_1_mm"), classes("with_16_mms"))
    };
    let (one, many) = growth("6.12");
    assert_eq!(one, many);
    let (one, many) = growth("range_start=per_mm_class");
    assert_eq!(many - one, 15);
}

#[test]
fn the_same_for_any_number_of_jobs() {
    let out = |jobs: &str| matrix(&["--jobs", jobs]).stdout;
    assert_eq!(out("1"), out("2"));
}

#[test]
fn a_workload_of_ones_own_is_judged_by_its_expectation() {
    let m = json(&["sim/scenarios/toy-inversion.mms", "--vary", "prime"]);
    assert_eq!(cell(&m, "6.12", "toy-inversion"), "found");
    assert_eq!(m["rows"].as_array().map(Vec::len), Some(8));
}

#[test]
fn pictures_and_tables_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (svg, markdown) = (at("m.svg"), at("m.md"));
    let ran = matrix(&["--vary", "range_start", "--svg", &svg, "--markdown", &markdown]);
    assert_eq!(ran.status.code(), Some(0));
    let read = |path: &str| std::fs::read_to_string(path).expect("written");
    assert_eq!(read(&svg).matches("<rect x=").count(), 4 * 16);
    assert!(read(&markdown).contains("| range_start=none | **missed** |"), "{}", read(&markdown));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for (args, part) in [
        (&["--vary", "range_begin"][..], "there is no setting `range_begin`"),
        (&["no-such-file.mms"], "no-such-file.mms: cannot be read"),
        (&["--svg", "/nonexistent/folder/m.svg", "--vary", "touch"], "cannot be written"),
    ] {
        let ran = matrix(args);
        assert_eq!(ran.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&ran.stderr).contains(part), "{args:?}");
    }
}

#[test]
fn a_workload_with_another_finding_is_not_fit() {
    let ran =
        matrix(&["sim/scenarios/userptr-reclaim.mms", "sim/scenarios/two-locks-two-orders.mms", "--vary", "touch"]);
    let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(0), "expected findings are no fault: {complaint}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stale.mms");
    let text = std::fs::read_to_string(project().join("sim/scenarios/mirror-ignores-unmap.mms")).expect("shipped");
    let start = text.find("expect").expect("a clause");
    let end = start + text[start..].find('}').expect("its end") + 1;
    std::fs::write(&path, format!("{}{}", &text[..start], &text[end..])).expect("written");
    let ran = matrix(&[path.to_str().expect("UTF-8"), "--vary", "touch"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("stale under 6.12: unexpectedly STALE"));
}
