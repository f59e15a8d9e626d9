//! `notifier check`: the scenarios agree with the recordings of a running kernel, and a recording with one thing altered is
//! reported as exactly that.

use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const TRACES: &str = "tests/data/notifier/traces.jsonl.gz";
const SCENARIOS: &str = "sim/scenarios/recorded";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

#[track_caller]
fn check(traces: &str, scenarios: &str, more: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.args(["notifier", "check", traces, "--scenarios", scenarios]).args(more);
    let output = command.current_dir(project()).env("NO_COLOR", "1").output().expect("the tool starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("not killed"), out: text(output.stdout), err: text(output.stderr) }
}

/// The recordings, one a line.
fn recordings() -> Vec<Value> {
    let bytes = fs::read(project().join(TRACES)).expect("the recordings");
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The recording of this name. Where order is no chance only its first round: a run need not agree with both.
#[track_caller]
fn recording(name: &str) -> Value {
    let mut recording = recordings().into_iter().find(|r| r["name"] == name).expect("the recording");
    if name != "compaction" {
        recording.as_object_mut().expect("an object").remove("ops_round2");
    }
    recording
}

/// Checks a copy of the recording `name` in which `alter` changed the callbacks of its operation `op`.
#[track_caller]
fn altered(name: &str, op: &str, alter: impl Fn(&mut Vec<Value>)) -> Ran {
    let mut recording = recording(name);
    for round in ["ops", "ops_round2"] {
        for operation in recording.get_mut(round).and_then(Value::as_array_mut).into_iter().flatten() {
            if operation["op"] != op {
                continue;
            }
            alter(operation["callbacks"].as_array_mut().expect("callbacks"));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("altered.jsonl");
    fs::write(&path, format!("{recording}\n")).expect("written");
    check(path.to_str().expect("UTF-8"), SCENARIOS, &[])
}

/// An alteration is reported as a difference in `what`.
#[track_caller]
fn reported(name: &str, op: &str, what: &str, alter: impl Fn(&mut Vec<Value>)) {
    let ran = altered(name, op, alter);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let first = format!("{name}: differs in {what}, at \"{op}\"");
    assert!(ran.out.starts_with(&first), "not {first:?}:\n{}", ran.out);
    assert!(ran.out.ends_with("0 scenarios agree, 1 differ, 0 without scenario\n"), "{}", ran.out);
}

#[test]
fn every_scenario_agrees_with_its_recording() {
    let ran = check(TRACES, SCENARIOS, &[]);
    let last = ran.out.lines().last().unwrap_or_default();
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let has_scenario = |r: &Value| {
        let name = r["name"].as_str().expect("a name");
        project().join(SCENARIOS).join(name).with_extension("mms").exists()
    };
    let (with, without): (Vec<_>, Vec<_>) = recordings().into_iter().partition(has_scenario);
    assert!(with.len() >= 95, "{} scenarios", with.len());
    assert_eq!(last, format!("{} scenarios agree, 0 differ, {} without scenario", with.len(), without.len()));
}

#[test]
fn a_recording_that_nobody_altered_agrees() {
    let ran = altered("munmap_whole", "munmap(0,8)", |_| {});
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 scenarios agree, 0 differ, 0 without scenario\n"));
}

#[test]
fn one_altered_thing_is_reported_as_exactly_that() {
    let munmap = |what: &str, alter: fn(&mut Vec<Value>)| reported("munmap_whole", "munmap(0,8)", what, alter);
    munmap("locks held", |c| c[0]["lk"] = serde_json::json!(["mmap_lock:W"]));
    munmap("locks held", |c| c[1]["lk"] = serde_json::json!(["mmap_lock:R", "rcu_read_lock:S"]));
    munmap("mmap_lock", |c| c[0]["mm"] = "W".into());
    munmap("range", |c| c[0]["r"] = serde_json::json!([0, 9]));
    munmap("range", |c| c[2]["r"] = serde_json::json!(["min", "max"]));
    munmap("event", |c| c[0]["ev"] = "CLEAR".into());
    munmap("blockable", |c| c[0]["b"] = 0.into());
    munmap("owner", |c| c[0]["o"] = 1.into());
    munmap("page state", |c| c[1]["p"] = "w8".into());
    munmap("subscriber", |c| c[0]["n"] = 2.into());
    munmap("order", |c| c.swap(1, 2));
    munmap("number of callbacks", |c| drop(c.pop()));
    munmap("return value", |c| c[0]["ret"] = (-11).into());
    reported("ival_overlap", "madvise(6,2,DONTNEED)", "order", |c| c.swap(0, 1));
    reported("ival_overlap", "madvise(6,2,DONTNEED)", "sequence", |c| c[0]["cq"] = 7.into());
}

#[test]
fn where_order_is_chance_an_altered_kind_is_reported() {
    let missing = "an episode that is missing here";
    let op = "compact_memory=1";
    reported("compaction", op, missing, |c| c[0]["lk"] = serde_json::json!(["sb_writers#3:R", "anon_vma:R"]));
    reported("compaction", op, missing, |c| c[0]["r"] = serde_json::json!([684, 690]));
    reported("compaction", op, missing, |c| c[2]["p"] = "s".into());
    reported("compaction", op, missing, |c| c.swap(1, 2));
}

#[test]
fn other_operations_than_recorded_are_reported() {
    let mut recording = recording("munmap_whole");
    recording["ops"][1]["op"] = "munmap(0,9)".into();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("altered.jsonl");
    fs::write(&path, recording.to_string()).expect("written");
    let ran = check(path.to_str().expect("UTF-8"), SCENARIOS, &[]);
    assert!(ran.out.starts_with("munmap_whole: differs in operations"), "{}", ran.out);
}

#[test]
fn bad_input_is_told_and_nothing_is_run() {
    #[track_caller]
    fn refused(traces: &str, scenarios: &str, more: &[&str], part: &str) {
        let ran = check(traces, scenarios, more);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(part), "{part:?} is not in\n{}", ran.err);
    }
    refused("no/such.jsonl", SCENARIOS, &[], "no/such.jsonl: cannot be read");
    refused("Cargo.toml", SCENARIOS, &[], "Cargo.toml:1: ");
    refused(TRACES, "no/such", &[], "no/such: not a folder");
    refused(TRACES, SCENARIOS, &["--only", "munmap_hole"], "--only munmap_hole: no such recording");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("munmap_whole.mms"), "scenario \"x\"\ntask t { mumap A 0x0..0x1000 }")
        .expect("written");
    let path = folder.path().to_str().expect("UTF-8");
    refused(TRACES, path, &["--only", "munmap_whole"], "did you mean `munmap`?");
}
