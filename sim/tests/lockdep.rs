//! `shootdown lockdep`: verdicts on recorded cases and traces, graphs, and what it does with bad input.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

const SELFTEST: &str = "tests/data/lockdep/locking_selftest.jsonl";
const FUZZ: &str = "tests/data/lockdep/fuzz.jsonl.gz";
const TRACE: &str = "tests/data/lockdep/sample.trace";
const TRACE_CMD: &str = "tests/data/lockdep/sample.trace-cmd";
const PERF: &str = "tests/data/lockdep/sample.perf";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code().expect("not killed"), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.arg("lockdep").args(args).current_dir(project()).env("NO_COLOR", "1");
    command
}

fn ran(args: &[&str]) -> Ran {
    tool(args).output().expect("it starts").into()
}

/// With `input` on standard input.
fn fed(args: &[&str], input: &[u8]) -> Ran {
    let mut command = tool(args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&input));
        child.wait_with_output().expect("it ends").into()
    })
}

fn last_line(ran: &Ran) -> &str {
    ran.out.lines().last().unwrap_or_default()
}

fn selftest_lines() -> Vec<String> {
    let text = fs::read_to_string(project().join(SELFTEST)).expect("the recording");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_recorded_case_agrees() {
    let ran = ran(&["check", SELFTEST, FUZZ]);
    assert_eq!((ran.code, last_line(&ran), ran.err.as_str()), (0, "10298 agree, 0 differ", ""));
    assert_eq!(ran.out.lines().count(), 10_299, "a verdict a line");
    assert!(ran.out.lines().take(10_298).all(|line| line.contains(": agrees, ")), "{}", ran.out);
}

#[test]
fn packed_and_plain_files_and_standard_input_are_the_same() {
    let plain = ran(&["check", SELFTEST]);
    let text = fs::read(project().join(SELFTEST)).expect("the recording");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&text).expect("packed");
    let packed = packed.finish().expect("packed");
    for input in [&text, &packed] {
        let fed = fed(&["check", "-"], input);
        assert_eq!((fed.code, fed.out.replace("<stdin>", SELFTEST)), (0, plain.out.clone()));
    }
}

#[test]
fn the_first_disagreement_is_explained() {
    let lines = selftest_lines();
    // The first case that reports a cycle, said to be silent; and one said to report something else.
    let circular = lines.iter().find(|line| line.contains("circular")).expect("a cycle");
    let silent =
        circular.replace("\"report\":\"WARNING: possible circular locking dependency detected\"", "\"report\":null");
    let other = circular.replace("circular locking", "linear locking");
    let wrong = fed(&["check", "-"], format!("{}\n{silent}\n{other}\n", lines[0]).as_bytes());
    assert_eq!((wrong.code, last_line(&wrong)), (1, "1 agree, 2 differ"), "{}", wrong.err);
    let explained: Vec<&str> = wrong.out.lines().filter(|line| line.starts_with("the first disagreement: ")).collect();
    assert_eq!(explained.len(), 1, "{}", wrong.out);
    assert!(explained[0].contains("<stdin>:2") && explained[0].contains("at operation "), "{}", explained[0]);
    for part in [
        "  expected: silent\n",
        "  got:      operation ",
        "\n  {\"kind\":",
        "locks held by task/1:",
        " (EN), by operation ",
        ", on a cycle\n",
        "WARNING: possible circular locking dependency detected\n",
        ": differs, expected operation ",
    ] {
        assert!(wrong.out.contains(part), "{part:?} is not in\n{}", wrong.out);
    }
}

#[test]
fn an_expected_report_that_does_not_come_is_explained_where_it_should_have() {
    let line = r#"{"id":"x","report":"WARNING: bad unlock balance detected!","report_at_op":1,
        "locks":{"a":{"kind":"mutex","class":"A"}},"ops":[{"op":"lock","lock":"a"},{"op":"unlock","lock":"a"}]}"#;
    let wrong = fed(&["check", "-"], line.replace('\n', " ").as_bytes());
    assert_eq!((wrong.code, last_line(&wrong)), (1, "0 agree, 1 differ"));
    for part in [
        "id x, at operation 1\n  {\"lock\":\"a\",\"op\":\"unlock\"}\n",
        "  got:      silent\n",
        "no locks held by task/1.\n",
    ] {
        assert!(wrong.out.contains(part), "{part:?} is not in\n{}", wrong.out);
    }
}

#[test]
fn without_expectations_cases_are_judged_and_not_counted() {
    let bare = |ops: &str| format!("{{\"locks\":{{\"a\":{{\"kind\":\"mutex\",\"class\":\"A\"}}}},\"ops\":[{ops}]}}\n");
    let silent = bare(r#"{"op":"lock","lock":"a"},{"op":"unlock","lock":"a"}"#);
    let ran = fed(&["check", "-"], silent.as_bytes());
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "<stdin>:1: silent\nwithout an expectation: 1 silent, 0 reported\n0 agree, 0 differ\n")
    );
    // What was never taken is released: a finding, and no panic.
    let imbalance = bare(r#"{"op":"unlock","lock":"a"}"#);
    let ran = fed(&["check", "-"], format!("{silent}{imbalance}").as_bytes());
    assert_eq!((ran.code, last_line(&ran), ran.err.as_str()), (1, "0 agree, 0 differ", ""));
    assert!(ran.out.contains("<stdin>:2: operation 0: WARNING: bad unlock balance detected!\n"), "{}", ran.out);
}

#[test]
fn a_malformed_line_is_named_and_the_rest_is_judged() {
    let lines = selftest_lines();
    let mut input: Vec<u8> = Vec::new();
    for line in [
        lines[0].as_str(),
        "{\"ops\":",
        r#"{"locks":{},"ops":[{"op":"lock","lock":"a"}]}"#,
        r#"{"locks":{},"ops":[{"op":"hardirq_disable"},{"op":"lok"}]}"#,
        r#"{"classes":{},"ops":3}"#,
        "",
        lines[1].as_str(),
        "[1, 2]",
    ] {
        input.extend(line.as_bytes());
        input.push(b'\n');
    }
    input.extend(b"\xff\xfe\n");
    let ran = fed(&["check", "-"], &input);
    assert_eq!((ran.code, last_line(&ran)), (2, "2 agree, 0 differ"));
    assert!(ran.out.contains("\nmalformed lines, left out: 6\n"), "{}", ran.out);
    let complaints: Vec<&str> = ran.err.lines().collect();
    for (complaint, part) in complaints.iter().zip([
        "error: <stdin>:2: not JSON: ",
        "error: <stdin>:3: ops[0].lock: no lock \"a\" in locks",
        "error: <stdin>:4: ops[1].op: no operation is called \"lok\"",
        "error: <stdin>:5: ops: 3 found where a list of operations is wanted",
        "error: <stdin>:8: not a JSON object",
        "error: <stdin>:9: not text: byte 0 of the line is not UTF-8",
    ]) {
        assert!(complaint.starts_with(part), "{complaint}");
    }
    assert_eq!(complaints.len(), 6, "{}", ran.err);
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_others_are_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let whole = fs::read(project().join(FUZZ)).expect("the recording");
    let (empty, odd, cut) =
        (file("empty", b""), file("odd", b"hello\nworld\n"), file("cut.gz", &whole[..whole.len() / 2]));
    let ran = ran(&["check", "no/such/file", "sim", &empty, &odd, SELFTEST, &cut]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    for part in [
        "error: no/such/file: cannot be read: ",
        "error: sim: cannot be read: ",
        "empty: the file is empty",
        "odd: 1: neither a JSON object nor a line of a trace; --input says which",
        "cut.gz:",
    ] {
        assert!(ran.err.contains(part), "{part:?} is not in\n{}", ran.err);
    }
    let judged: u64 = last_line(&ran).split(' ').next().and_then(|n| n.parse().ok()).expect("a count");
    assert!(judged > 265 && last_line(&ran).ends_with(" agree, 0 differ"), "{}", last_line(&ran));
}

#[test]
fn a_trace_is_judged_whoever_printed_it() {
    for (file, task) in [(TRACE, "gem_userptr"), (TRACE_CMD, "gem_user"), (PERF, "gem_userptr")] {
        let judged = ran(&["check", file]);
        assert_eq!(
            (judged.code, last_line(&judged), judged.err.as_str()),
            (1, "0 agree, 0 differ", ""),
            "{}",
            judged.out
        );
        for part in [
            "WARNING: possible circular locking dependency detected\n",
            &format!("{task}/1302 is trying to acquire lock:\nffff88800c2d7068 (&obj->mm.lock)"),
            "  &obj->mm.lock --> &mm->mmap_lock --> mmu_notifier_invalidate_range_start\n",
            ": lock events 33, tasks 5, classes 8, dependencies 6, findings 1\n",
            "  note: releases of locks that may have been held when recording began: 1, the first in line ",
        ] {
            assert!(judged.out.contains(part), "{part:?} is not in\n{}", judged.out);
        }
        assert_eq!(
            judged.out.contains("lock events that do not tell their context: 33"),
            file == PERF,
            "{}",
            judged.out
        );
        assert!(judged.out.starts_with(&format!("{file}:")), "{}", judged.out);
        // The same through a pipe, and when it is said what it is.
        let text = fs::read(project().join(file)).expect("the sample");
        let piped = fed(&["check", "-", "--input", "trace"], &text);
        assert_eq!(piped.out.replace("<stdin>", file), judged.out);
    }
}

#[test]
fn a_malformed_event_is_named_and_the_rest_is_judged() {
    let text = fs::read_to_string(project().join(TRACE)).expect("the sample");
    let text = text.replacen("ffff8880091c4a50", "0xmm", 1).replacen("# tracer: nop", "# tracer: nop\nwhat is this", 1);
    let ran = fed(&["check", "-"], text.as_bytes());
    assert_eq!((ran.code, last_line(&ran)), (2, "0 agree, 0 differ"));
    assert!(ran.out.contains("WARNING: possible circular locking dependency detected"), "{}", ran.out);
    let complaints: Vec<&str> = ran.err.lines().collect();
    assert_eq!(
        complaints,
        [
            "error: <stdin>:2: \"what is this\" is no line of a trace",
            "error: <stdin>:16: address: \"0xmm\" found where a hexadecimal address is wanted",
        ]
    );
}

#[test]
fn a_graph_is_drawn_of_all_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (dot, json, proc) = (path("g.dot"), path("g.json"), path("g.proc"));
    let ran = ran(&["graph", TRACE, SELFTEST, "--dot", &dot, "--json", &json, "--proc", &proc]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let dot = fs::read_to_string(dot).expect("written");
    assert!(dot.starts_with("digraph lockdep {\n") && dot.ends_with("}\n"), "{dot}");
    for part in ["&obj->mm.lock", "rwlock_X", "color=red", "tooltip=\"tests/data/lockdep/sample.trace:", ", operation "]
    {
        assert!(dot.contains(part), "{part}");
    }
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).expect("written")).expect("JSON");
    let edges = json["edges"].as_array().expect("edges").len();
    assert!(edges > 6 && edges == dot.matches(" -> n").count(), "{edges} edges");
    let proc = fs::read_to_string(proc).expect("written");
    for part in ["==> /proc/lockdep <==\nall lock classes:\n", "==> /proc/lockdep_chains <==", " lock-classes: "] {
        assert!(proc.contains(part), "{part}");
    }
}

#[test]
fn a_graph_goes_to_standard_output_if_nothing_else_is_said() {
    let all = ran(&["graph", SELFTEST]);
    let one = ran(&["graph", SELFTEST, "--only", "33"]);
    for graph in [&all, &one] {
        assert_eq!((graph.code, graph.err.as_str()), (0, ""));
        assert!(graph.out.starts_with("digraph lockdep {\n"), "{}", graph.out);
    }
    assert!(one.out.len() < all.out.len() / 4 && one.out.contains("33, operation "), "{}", one.out);
    assert!(ran(&["graph", TRACE, "--dot", "-"]).out.contains("mmap_lock"));
    let none = ran(&["graph", SELFTEST, "--only", "nobody"]);
    assert_eq!((none.code, none.err.as_str()), (2, "error: --only nobody: no case has this id\n"));
    let bad = fed(&["graph", "-"], b"{}\n");
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("<stdin>:1: "), "{}", bad.err);
    let unwritable = ran(&["graph", TRACE, "--dot", "no/such/folder/g.dot"]);
    assert_eq!(unwritable.code, 70, "{}", unwritable.err);
}

/// Locked twice under one context, the second answer is `-EALREADY`.
#[test]
fn a_mutex_that_answers_otherwise_than_recorded_differs() {
    let line = |ret: &str| {
        format!(
            concat!(
                r#"{{"id":"twice","locks":{{"t":{{"kind":"ww_acquire_ctx","class":"ww_lockdep_acquire"}},"#,
                r#""o":{{"kind":"ww_mutex","class":"ww_lockdep_mutex"}}}},"#,
                r#""ops":[{{"op":"ww_acquire_init","ctx":"t","stamp":7}},"#,
                r#"{{"op":"ww_lock","lock":"o","ctx":"t","ret":0}},"#,
                r#"{{"op":"ww_lock","lock":"o","ctx":"t","ret":{}}}]}}"#,
            ),
            ret
        )
    };
    let ran = fed(&["check", "-"], line("0").as_bytes());
    assert_eq!((ran.code, last_line(&ran)), (1, "0 agree, 1 differ"), "{}", ran.out);
    assert!(ran.out.contains("operation 2: recorded Locked, answered Err(EALREADY)"), "{}", ran.out);
    assert!(ran.out.contains("the first disagreement: <stdin>:1, id twice, at operation 2"), "{}", ran.out);
    let ran = fed(&["check", "-"], line(r#""EALREADY""#).as_bytes());
    assert_eq!((ran.code, last_line(&ran)), (0, "0 agree, 0 differ"), "{}", ran.out);
}
