//! `docs/json.md` and `--format json` say the same: every field printed is documented, with its type, and the reverse.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The objects that the tool prints.
#[track_caller]
fn printed(args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    let output = command.args(args).args(["--format", "json"]).current_dir(project()).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let objects: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("an object a line")).collect();
    assert!(!objects.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    objects
}

/// The table under a heading: field and type.
#[track_caller]
fn documented(heading: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(project().join("docs/json.md")).expect("docs/json.md");
    let lines = text.lines().skip_while(|l| *l != heading).skip(1).take_while(|l| !l.starts_with('#'));
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.splitn(3, " | ");
        Some((cells.next()?.strip_suffix('`')?.to_owned(), cells.next()?.to_owned()))
    };
    let rows: Vec<(String, String)> = lines.filter_map(row).collect();
    let table: BTreeMap<String, String> = rows.iter().cloned().collect();
    assert!(!table.is_empty(), "no table under {heading:?}");
    assert_eq!(table.len(), rows.len(), "{heading}: a field is documented twice");
    table
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Holds objects of one kind against the table under a heading.
#[track_caller]
fn agree<'a>(heading: &str, objects: impl IntoIterator<Item = &'a Value>) {
    let table = documented(heading);
    let mut seen = 0;
    for object in objects {
        let object: &Map<String, Value> = object.as_object().expect("an object");
        let here: BTreeSet<&String> = object.keys().collect();
        assert_eq!(here, table.keys().collect(), "{heading}");
        for (field, value) in object {
            let kinds: Vec<&str> = table[field].split(" or ").collect();
            assert!(kinds.contains(&kind(value)), "{heading}: {field} is documented as {kinds:?}, but is {value}");
        }
        seen += 1;
    }
    assert!(seen > 0, "{heading}: nothing to compare with");
}

fn elements<'a>(objects: &'a [Value], field: &str) -> Vec<&'a Value> {
    objects.iter().flat_map(|o| o[field].as_array().expect("an array")).collect()
}

/// Arrays documented as "a string each".
#[track_caller]
fn strings(objects: &[Value], fields: &[&str]) {
    for field in fields {
        assert!(elements(objects, field).iter().all(|e| e.is_string()), "{field}");
    }
}

/// What the findings of these objects say of their proofs.
fn proofs(objects: &[Value]) -> Vec<&Value> {
    elements(objects, "findings").into_iter().map(|f| &f["proof"]).filter(|p| !p.is_null()).collect()
}

const USERPTR: &str = "sim/scenarios/userptr-reclaim.mms";

#[test]
fn run_and_replay() {
    let mut objects = printed(&["run", USERPTR, "sim/scenarios/userptr-corrected.mms", "--events"]);
    assert_eq!(objects.len(), 2);
    let token = objects[0]["token"].as_str().expect("a token").to_owned();
    objects.extend(printed(&["replay", &token, USERPTR]));
    objects.extend(printed(&["run", USERPTR, "--set", "range_start=none"]));
    objects.extend(printed(&["run", "sim/scenarios/gated-inversion.mms"]));
    agree("## `run` and `replay`", &objects);
    agree("### An element of `callbacks`", elements(&objects, "callbacks"));
    agree("### An element of `lock_order`", elements(&objects, "lock_order"));
    agree("### An element of `findings`", elements(&objects, "findings"));
    let proofs = proofs(&objects);
    assert!(proofs.iter().any(|p| p["verdict"] == "proven") && proofs.iter().any(|p| p["reason"] == "gated"));
    agree("### `proof`", proofs);
    strings(&objects, &["notes", "problems", "events"]);
    assert!(!elements(&objects[..1], "events").is_empty() && elements(&objects[2..], "events").is_empty());
    assert!(!elements(&objects[3..4], "problems").is_empty());
}

#[test]
fn explore() {
    let mut objects = printed(&["explore", USERPTR, "--executions", "50", "--seed", "42"]);
    assert_eq!(objects[0]["ended"], "all-runs");
    objects.extend(printed(&["explore", USERPTR, "--stop-at-first"]));
    assert_eq!(objects[1]["ended"], "first-finding");
    objects.extend(printed(&[
        "explore",
        "sim/scenarios/userptr-corrected.mms",
        "--executions",
        "1000000000",
        "--time",
        "1",
    ]));
    assert_eq!(objects[2]["ended"], "cut");
    agree("## `explore`", &objects);
    agree("### An element of `findings` of `explore`", elements(&objects, "findings"));
    agree("### `proof`", proofs(&objects));
    agree("### `covered`", [&objects[0]["covered"]]);
    assert!(objects[1..].iter().all(|o| o["covered"].is_null()));
    strings(&objects, &["across_runs", "problems"]);
    assert!(objects.iter().all(|o| o["ends"].as_object().is_some_and(|ends| ends.values().all(Value::is_u64))));
}

#[test]
fn shrink() {
    let runs = printed(&["run", USERPTR]);
    let deadlock = runs[0]["findings"][0]["proof"]["token"].as_str().expect("a proof");
    let objects = printed(&["shrink", deadlock, USERPTR]);
    agree("## `shrink`", &objects);
    agree("### `before` and `after`", [&objects[0]["before"], &objects[0]["after"]]);
}

#[test]
fn explore_exhaustively() {
    let all = ["--strategy", "exhaustive"];
    let explored = |file: &str, more: &[&str]| printed(&[&["explore", file], &all[..], more].concat());
    let mut objects = explored("sim/scenarios/abba.mms", &[]);
    objects.extend(explored("sim/scenarios/counter-2x10.mms", &["--preemptions", "1"]));
    objects.extend(explored("sim/scenarios/lost-invalidation.mms", &["--stop-at-first"]));
    agree("## `explore --strategy exhaustive`", &objects);
    agree("### An element of `findings` of `explore --strategy exhaustive`", elements(&objects, "findings"));
    strings(&objects, &["left_out", "across_runs", "problems"]);
}

#[test]
fn strace() {
    let log = "tests/data/strace/cat_maps.strace";
    let mut objects = printed(&["strace", log, "--driver", "interval_mirror"]);
    objects.extend(printed(&["strace", log, "--driver", "interval_mirror", "--mutant", "ignore-one-invalidation"]));
    // Without its snapshots beside it there is nothing to compare with.
    let folder = tempfile::tempdir().expect("a folder");
    let alone = folder.path().join("alone.strace");
    fs::copy(project().join(log), &alone).expect("copied");
    objects.extend(printed(&["strace", alone.to_str().expect("UTF-8"), "--driver", "i915_userptr"]));
    agree("## `strace`", &objects);
    agree("### An element of `findings`", elements(&objects, "findings"));
    let processes = elements(&objects, "processes");
    assert!(
        processes.iter().any(|p| p["differences"].is_null()) && processes.iter().any(|p| p["differences"].is_array())
    );
    agree("### An element of `processes`", processes);
    strings(&objects, &["mismatches", "not_replayed"]);
    for field in ["calls", "invalidations"] {
        assert!(objects.iter().all(|o| o[field].as_object().is_some_and(|m| m.values().all(Value::is_u64))), "{field}");
    }
}

/// Objects of one `type`, of which there must be some.
#[track_caller]
fn of_type<'a>(objects: &'a [Value], name: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["type"] == name).collect()
}

#[test]
fn lockdep_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = folder.path().join("cases.jsonl");
    let ops = r#""locks":{"a":{"kind":"mutex","class":"A"}},"ops":[{"op":"lock","lock":"a"},{"op":"lock","lock":"a"}]"#;
    let expectations = ["", r#""report":null,"report_at_op":null,"#, r#""report":"x","report_at_op":1,"#];
    let lines: Vec<String> = expectations.iter().map(|e| format!("{{\"id\":\"c\",{e}{ops}}}\n")).collect();
    fs::write(&cases, lines.concat()).expect("written");
    let objects = printed(&["lockdep", "check", cases.to_str().expect("UTF-8"), "tests/data/lockdep/sample.trace"]);
    agree("### A `case`", of_type(&objects, "case"));
    let explained = of_type(&objects, "case").into_iter().map(|case| &case["explanation"]);
    let explained: Vec<&Value> = explained.filter(|explanation| !explanation.is_null()).collect();
    assert_eq!(explained.len(), 1, "the first disagreement only");
    agree("### An `explanation`", explained);
    agree("### A `finding` of a trace", of_type(&objects, "finding"));
    agree("### A `trace`", of_type(&objects, "trace"));
    agree("### The `summary`", of_type(&objects, "summary"));
    assert_eq!(objects.last().map(|last| &last["type"]), Some(&Value::from("summary")));
}

#[test]
fn lockdep_graph() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    let args = ["lockdep", "graph", "tests/data/lockdep/sample.trace", "--json", "-"];
    let output = command.args(args).current_dir(project()).output().expect("it starts");
    let objects: Vec<Value> = vec![serde_json::from_slice(&output.stdout).expect("one object")];
    agree("## `lockdep graph --json`", &objects);
    let classes = elements(&objects, "classes");
    agree("### An element of `classes`", classes.iter().copied());
    agree("### A `class`", classes.iter().map(|class| &class["class"]));
    let edges = elements(&objects, "edges");
    agree("### An element of `edges`", edges.iter().copied());
    agree("### A place", edges.iter().flat_map(|edge| [&edge["held_at"], &edge["taken_at"]]));
}

#[test]
fn conformance() {
    let mut objects = printed(&["conformance", "interval_mirror", "--case", "lifecycle"]);
    objects.extend(printed(&[
        "conformance",
        "interval_mirror",
        "--case",
        "nonblocking",
        "--mutant",
        "sleep-in-nonblock",
    ]));
    agree("## `conformance`", &objects);
    let failures = elements(&objects, "failures");
    let shrunk: Vec<&Value> = failures.iter().map(|failure| &failure["shrunk"]).filter(|s| !s.is_null()).collect();
    assert!(!shrunk.is_empty(), "{failures:?}");
    agree("### A smaller scenario", shrunk);
    agree("### An element of `failures`", failures);
}

#[test]
fn a_replay_field_is_a_command() {
    let objects = printed(&["run", USERPTR]);
    let command = objects[0]["findings"][0]["replay"].as_str().expect("a command");
    let again = Command::new("sh").args(["-c", command]).current_dir(project()).output().expect("sh");
    assert_eq!(again.status.code(), Some(0), "{command}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("replay: "), "{command}");
}

#[test]
fn museum() {
    let objects = [
        printed(&["museum", "mlx5-umem-mutex-alloc", "vhost-metadata-notifier"]),
        printed(&["museum", "amdgpu-lockdep-training-false-edge", "rdma-odp-iova-user-va", "--prove", "5"]),
    ]
    .concat();
    agree("## `museum`", &objects);
    agree("### An element of `exhibits`", elements(&objects, "exhibits"));
}

#[test]
fn matrix() {
    let objects = [
        printed(&["matrix", "sim/scenarios/toy-inversion.mms", "--vary", "touch"]),
        printed(&["matrix", "sim/scenarios/toy-inversion.mms", "--vary", "touch", "--timed"]),
    ]
    .concat();
    agree("## `matrix`", &objects);
    let rows = elements(&objects, "rows");
    assert_eq!(rows.iter().filter(|r| r["ns_per_bracket"].is_u64()).count(), 4);
    agree("### An element of `rows`", rows);
}
