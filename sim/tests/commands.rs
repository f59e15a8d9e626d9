//! The tool as a user calls it: exit codes, messages, replay lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shootdown(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.args(args).current_dir(project()).env("NO_COLOR", "1");
    command.output().expect("the tool starts")
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

#[track_caller]
fn ran(args: &[&str]) -> Ran {
    let output = shootdown(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("not killed"), out: text(output.stdout), err: text(output.stderr) }
}

/// Bad input: exit code 2, nothing on standard output, and `parts` in the complaint.
#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let ran = ran(args);
    assert_eq!(ran.code, 2, "{args:?}: {}{}", ran.out, ran.err);
    assert_eq!(ran.out, "", "{args:?}: something was run");
    for part in parts {
        assert!(ran.err.contains(part), "{args:?}: {part:?} is not in\n{}", ran.err);
    }
}

/// A file in a folder of its own.
fn file(name: &str, contents: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, contents).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

const USERPTR: &str = "sim/scenarios/userptr-reclaim.mms";

#[test]
fn every_shipped_scenario_ends_as_it_expects() {
    let in_folder = |folder: &str| -> Vec<String> {
        fs::read_dir(project().join(folder))
            .expect("the folder")
            .map(|e| format!("{folder}/{}", e.expect("an entry").file_name().to_string_lossy()))
            .filter(|f| f.ends_with(".mms"))
            .collect()
    };
    let mut files = [in_folder("sim/scenarios"), in_folder("sim/scenarios/drivers")].concat();
    files.sort();
    assert!(files.len() >= 30, "{files:?}");
    let args: Vec<&str> = ["run"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let ran = ran(&args);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out.matches("as expected: ").count(), files.len(), "{}", ran.out);
    assert_eq!(ran.err, "", "nothing but data in a pipe");
}

#[test]
fn the_replay_line_works_when_pasted() {
    let first = ran(&["run", USERPTR]);
    let line = first.out.lines().find_map(|l| l.strip_prefix("replay: ")).expect("a replay line");
    let again = Command::new("sh").args(["-c", line]).current_dir(project()).output().expect("sh");
    assert_eq!(again.status.code(), Some(0), "{line}");
    assert_eq!(String::from_utf8_lossy(&again.stdout), first.out);
}

#[test]
fn a_finding_of_an_exploration_replays_to_its_hash() {
    let explored = ran(&["explore", USERPTR, "--executions", "300", "--seed", "42", "--format", "json"]);
    assert_eq!(explored.code, 1, "the file expects no deadlock: {}", explored.err);
    let report: serde_json::Value = serde_json::from_str(&explored.out).expect("JSON");
    assert_eq!(report["coverage"], "sampled");
    let findings = report["findings"].as_array().expect("findings");
    let deadlock = findings.iter().find(|f| f["code"] == "PROG-DEADLOCK").expect("the deadlock");
    let token = deadlock["token"].as_str().expect("a token");
    let again = ran(&["replay", token, USERPTR, "--format", "json"]);
    let replayed: serde_json::Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!(replayed["run_hash"], deadlock["run_hash"]);
    assert_eq!(replayed["end"], "deadlock");
}

#[test]
fn a_token_with_one_changed_character_is_refused() {
    let out = ran(&["run", USERPTR]).out;
    let token = out.split_whitespace().find(|w| w.starts_with("sd1-")).expect("a token").to_owned();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        let part = if at < "sd1-".len() { "not a replay token" } else { "damaged replay token" };
        refused(&["replay", &changed, USERPTR], &[part]);
    }
    refused(&["replay", "hello", USERPTR], &["not a replay token"]);
    refused(&["replay", &token, "sim/scenarios/toy-inversion.mms"], &["belongs to another scenario"]);
    refused(&["replay", &token, USERPTR, "--set", "range_end=none"], &["belongs to another scenario"]);
    refused(&["replay", &token, USERPTR, "--seed", "1"], &["a token carries its own seed"]);
}

#[test]
fn five_mistakes_are_reported_at_once_and_nothing_is_run() {
    let text = "scenario \"five mistakes\"\n\
                expect { LD-CIRCULER }\n\
                mm A { vma 0x10000..0x50001 rw anon }\n\
                device gpu0 : i915_userptr(B, 0x10000..0x20000)\n\
                task t { munmap A 0x20000..0x10000  alloc 1 GFP_KERNAL }\n";
    let (_folder, path) = file("five.mms", text.as_bytes());
    refused(
        &["run", &path],
        &[
            "LD-CIRCULAR",
            "0x50001",
            "`B`",
            "0x20000..0x10000",
            "GFP_KERNEL",
            "five.mms:2",
            "five.mms:3",
            "five.mms:4",
            "five.mms:5",
            "^",
            "5 mistakes; nothing was run",
        ],
    );
    // One bad file among good ones: nothing is run either.
    refused(&["run", USERPTR, &path], &["5 mistakes"]);
}

#[test]
fn files_that_are_no_scenarios_get_one_clear_line() {
    let one_line = |args: &[&str], part: &str| {
        refused(args, &[part, args[1]]);
        let err = ran(args).err;
        assert!(err.lines().count() == 1 && err.starts_with("error: "), "{err}");
    };
    let (_a, empty) = file("empty.mms", b"");
    one_line(&["run", &empty], "the file is empty");
    let (_b, binary) = file("binary.mms", b"\x7fELF\x02\x01\x01\x00\xff\xfe");
    one_line(&["run", &binary], "not a text file");
    let (_c, control) = file("control.mms", b"scenario\x00\x01");
    one_line(&["run", &control], "not a text file");
    one_line(&["run", "no/such/file.mms"], "cannot be read");
    one_line(&["run", "sim"], "cannot be read");
    one_line(&["explore", "no/such/file.mms"], "cannot be read");
    one_line(&["run", "tests/data/strace", USERPTR], "cannot be read");
    for path in ["no/such/log.strace", "sim", &binary, &control, &empty] {
        one_line(&["strace", path, "--driver", "i915_userptr"], path);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_unreadable_file_gets_one_clear_line() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, locked) = file("locked.mms", b"scenario \"locked\"");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).expect("changed");
    // The superuser may read it all the same; the start of its own memory nobody may.
    let paths =
        if fs::read(&locked).is_err() { vec![locked.as_str(), "/proc/self/mem"] } else { vec!["/proc/self/mem"] };
    for path in paths {
        let ran = ran(&["run", path]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.starts_with(&format!("error: {path}: cannot be read: ")), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
}

#[test]
fn bad_usage_names_what_would_be_right() {
    refused(&["run"], &["FILE"]);
    refused(&["explore", USERPTR, "--strategy", "luck"], &["random"]);
    refused(&["explore", USERPTR, "--executions", "0"], &["give 1 or more"]);
    refused(&["explore", USERPTR, "--executions", "many"], &["invalid value", "whole number"]);
    refused(&["explore", USERPTR, "--jobs", "0"], &["give 1 to 1024 threads"]);
    refused(&["explore", USERPTR, "--jobs", "100000"], &["give 1 to 1024 threads"]);
    refused(&["explore", USERPTR, "--time", "0"], &["give 1 or more"]);
    refused(&["explore", USERPTR, "--events"], &["--events"]);
    refused(&["run", USERPTR, "--set", "rang_start=none"], &["did you mean `range_start`"]);
    refused(&["run", USERPTR, "--set", "range_start"], &["SETTING=VALUE"]);
    refused(&["run", USERPTR, "--format", "xml"], &["human", "json"]);
    refused(&["run", USERPTR, "--set", "range_start=globel"], &["global"]);
    refused(&["run", USERPTR, "--set", "gpu0.mutant=2020"], &["2019"]);
    refused(&["strace", "tests/data/strace/cat_maps.strace", "--driver", "i916"], &["i915_userptr", "interval_mirror"]);
    refused(
        &["strace", "tests/data/strace/cat_maps.strace", "--driver", "interval_mirror", "--mutant", "x"],
        &["late-zap"],
    );
    refused(&["frobnicate"], &["frobnicate", "--help"]);
}

#[test]
fn a_setting_that_silences_the_report_is_unexpected() {
    let ran = ran(&["run", USERPTR, "--set", "range_start=none"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("not as expected: expected LD-CIRCULAR"), "{}", ran.out);
}

#[test]
fn names_of_drivers_and_mutants_are_checked_before_anything_runs() {
    let device = |line: &str| format!("scenario \"names\"\nmm A {{ vma 0x10000..0x50000 rw anon }}\n{line}\n");
    let (_a, path) = file("driver.mms", device("device gpu0 : i915_userptx(A, 0x10000..0x50000)").as_bytes());
    refused(&["run", &path], &["driver.mms:3:", "i915_userptx", "did you mean `i915_userptr`"]);
    let mutant = device("device gpu0 : i915_userptr(A, 0x10000..0x50000) { mutant \"2018\" }");
    let (_b, path) = file("mutant.mms", mutant.as_bytes());
    refused(&["run", &path], &["mutant.mms:3:", "2018", "2019"]);
}

#[test]
fn an_expectation_that_a_bound_cut_off_is_incomplete_rather_than_unmet() {
    let text = fs::read_to_string(project().join("sim/scenarios/userptr-corrected.mms")).expect("the scenario");
    let (head, rest) = text.split_once("\nmachine").or_else(|| text.split_once("\nmm ")).expect("a clause");
    let clause = if text.contains("\nmachine") { "machine" } else { "mm " };
    let text = format!("{head}\nexpect {{ STALE }}\n{clause}{rest}");
    let (_folder, path) = file("never-found.mms", text.as_bytes());
    let cut = ran(&["explore", &path, "--executions", "1000000000", "--time", "1"]);
    assert_eq!(cut.code, 3, "{}{}", cut.out, cut.err);
    let whole = ran(&["explore", &path, "--executions", "10"]);
    assert_eq!(whole.code, 1, "{}{}", whole.out, whole.err);
}

#[test]
fn an_exploration_is_the_same_for_any_number_of_jobs() {
    let out = |jobs: &str| ran(&["explore", USERPTR, "--executions", "300", "--jobs", jobs]).out;
    let one = out("1");
    assert_eq!(out("2"), one);
    assert_eq!(out("1024"), one, "more threads than runs");
}

#[test]
fn an_exploration_sets_the_deadlock_beside_the_lock_report() {
    let out = ran(&["explore", USERPTR, "--executions", "300"]).out;
    let line = "  runs until lockdep reported: 1, until the deadlock: ";
    let runs: u64 = out.lines().find_map(|l| l.strip_prefix(line)).expect("the line").parse().expect("a number");
    let deadlocks = out.lines().find(|l| l.trim_start().starts_with("PROG-DEADLOCK")).expect("a row of the table");
    assert!(deadlocks.contains(&format!(" run {runs} ")), "{out}");
    let table = out.find("  finding ").expect("the table");
    assert!(table < out.find("WARNING: ").expect("a report"), "the table comes first: {out}");
}

/// The command behind `proof: ` of a run.
fn proof_of(file: &str) -> String {
    let out = ran(&["run", file]).out;
    out.lines().find_map(|l| l.strip_prefix("proof: ")).unwrap_or_else(|| panic!("no proof in\n{out}")).to_owned()
}

fn token_in(command: &str) -> &str {
    command.split(' ').find(|word| word.starts_with("sd1-")).expect("a token")
}

#[test]
fn the_proof_line_runs_into_the_deadlock_and_comes_before_the_replay_line() {
    let out = ran(&["run", USERPTR]).out;
    let lines: Vec<&str> = out.lines().collect();
    let at = lines.iter().position(|l| l.starts_with("proven: ")).expect("proven");
    assert!(lines[at].contains("preemption") && lines[at + 1].starts_with("proof: "), "{out}");
    assert!(lines[at + 2].starts_with("replay: "), "{out}");
    let again = Command::new("sh").args(["-c", &proof_of(USERPTR)]).current_dir(project()).output().expect("sh");
    assert_eq!(again.status.code(), Some(1), "the file expects no deadlock");
    let text = String::from_utf8_lossy(&again.stdout);
    assert!(text.contains("scripted choices") && text.contains("PROG-DEADLOCK"), "{text}");
    let silent = ran(&["run", USERPTR, "--prove", "0"]).out;
    assert!(!silent.contains("proven: ") && !silent.contains("predicted: "), "{silent}");
    let gated = ran(&["run", "sim/scenarios/gated-inversion.mms"]).out;
    assert!(gated.contains("predicted: gated by toy.outer"), "{gated}");
}

#[test]
fn a_token_may_stand_in_a_file() {
    let proof = proof_of(USERPTR);
    let token = token_in(&proof);
    let (head, tail) = token.split_at(20);
    let (_folder, path) = file("long.schedule", format!("# where it is from\n{head}\n{tail}\n").as_bytes());
    let (there, here) = (ran(&["replay", &path, USERPTR]), ran(&["replay", token, USERPTR]));
    assert_eq!((there.code, &there.out), (1, &here.out), "{}", there.err);
    let (_folder, path) = file("damaged.schedule", format!("{head}0\n{tail}\n").as_bytes());
    refused(&["replay", &path, USERPTR], &["damaged.schedule", "damaged replay token"]);
    let (_folder, path) = file("empty.schedule", b"# nothing\n");
    refused(&["replay", &path, USERPTR], &["not a replay token"]);
}

#[test]
fn a_scripted_token_is_refused_where_it_does_not_belong() {
    let proof = proof_of(USERPTR);
    let token = token_in(&proof);
    let last = if token.ends_with('0') { "1" } else { "0" };
    refused(&["replay", &format!("{}{last}", &token[..token.len() - 1]), USERPTR], &["damaged replay token"]);
    refused(&["replay", token, "sim/scenarios/toy-inversion.mms"], &["belongs to another scenario"]);
    refused(&["replay", token, USERPTR, "--set", "range_end=none"], &["belongs to another scenario"]);
}

#[test]
fn a_deadlock_shrinks_to_a_scenario_that_runs_into_it() {
    let proof = proof_of(USERPTR);
    let small = ran(&["shrink", token_in(&proof), USERPTR, "--finding", "PROG-DEADLOCK"]);
    assert_eq!(small.code, 0, "{}{}", small.out, small.err);
    assert!(small.err.contains("every benign run shows it"), "{}", small.err);
    assert!(small.out.starts_with("# Shrunk from sim/scenarios/userptr-reclaim.mms: PROG-DEADLOCK: "), "{}", small.out);
    let (_folder, path) = file("small.mms", small.out.as_bytes());
    for seed in ["0", "7", "123456789"] {
        let run = ran(&["run", &path, "--seed", seed]);
        assert_eq!(run.code, 0, "{}{}\n{}", run.out, run.err, small.out);
        assert!(run.out.contains("PROG-DEADLOCK found"), "{}", run.out);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.mms");
    let output = output.to_str().expect("UTF-8");
    let written = ran(&["shrink", token_in(&proof), USERPTR, "--finding", "PROG-DEADLOCK", "--output", output]);
    assert_eq!(fs::read_to_string(output).expect("written"), small.out);
    assert!(written.out.contains("PROG-DEADLOCK") && written.out.contains("runs (bound 50000)"), "{}", written.out);
    let cut = ran(&["shrink", token_in(&proof), USERPTR, "--runs", "3"]);
    assert_eq!(cut.code, 3, "{}{}", cut.out, cut.err);
}

#[test]
fn what_cannot_be_shrunk_is_refused() {
    let proof = proof_of(USERPTR);
    let token = token_in(&proof);
    refused(&["shrink", "sd1-zzzz", USERPTR], &["damaged replay token"]);
    refused(&["shrink", "no-such-file", USERPTR], &["not a replay token"]);
    refused(&["shrink", token, "sim/scenarios/toy-inversion.mms"], &["belongs to another scenario"]);
    refused(&["shrink", token, USERPTR, "--finding", "STALE"], &["did not find that", "PROG-DEADLOCK"]);
    refused(&["shrink", token, USERPTR, "--runs", "0"], &["1 or more"]);
    let clean = ran(&["run", "sim/scenarios/userptr-corrected.mms", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&clean.out).expect("JSON");
    let token = report["token"].as_str().expect("a token");
    refused(&["shrink", token, "sim/scenarios/userptr-corrected.mms"], &["nothing to shrink"]);
}

#[test]
fn parts_are_one_empty_line_apart() {
    let outs = [
        ran(&["run", "sim/scenarios/toy-inversion.mms", "sim/scenarios/userptr-no-map.mms"]).out,
        ran(&["run", "sim/scenarios/userptr-no-map.mms", USERPTR]).out,
        ran(&["explore", USERPTR, "--executions", "300"]).out,
        ran(&["strace", "tests/data/strace/cat_maps.strace", "--driver", "interval_mirror"]).out,
    ];
    for out in outs {
        assert!(!out.starts_with('\n') && out.ends_with('\n') && !out.ends_with("\n\n"), "{out}");
        // The kernel's own layout has two empty lines in the middle of a circular report, and only there.
        let own = out.replace("which lock already depends on the new lock.\n\n\n", "");
        assert!(!own.contains("\n\n\n"), "{out}");
        for part in ["scenario \"", "=======", "as expected: ", "not as expected: "] {
            let lines: Vec<&str> = own.lines().collect();
            let starts = lines.windows(2).filter(|w| w[1].starts_with(part) && !w[0].is_empty());
            let alone: Vec<_> = starts.filter(|w| !w[0].contains("as expected: ")).collect();
            assert!(alone.is_empty(), "{part}: {alone:?}");
        }
        assert!(out.lines().all(|l| l == l.trim_end()), "spaces at the end of a line: {out}");
    }
}

#[test]
fn help_is_short_and_ends_with_an_example() {
    let help = ran(&["--help"]);
    assert_eq!(help.code, 0);
    for command in ["run", "explore", "replay", "shrink", "strace", "lockdep", "list"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{}", help.out);
        let own = ran(&[command, "--help"]);
        assert_eq!(own.code, 0);
        assert!(own.out.contains("Example") && own.out.contains(&format!("  shootdown {command}")), "{}", own.out);
        assert!(own.out.lines().count() < 50, "{}", own.out);
        assert!(own.out.lines().all(|l| l.chars().count() <= 110), "{}", own.out);
    }
    let version = ran(&["--version"]);
    assert_eq!(version.out, format!("shootdown {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_time_bound_that_cuts_says_incomplete() {
    let ran = ran(&["explore", "sim/scenarios/userptr-corrected.mms", "--executions", "1000000000", "--time", "1"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("time bound") && ran.out.contains("sampled"), "{}{}", ran.out, ran.err);
}

#[test]
fn json_is_one_object_a_result() {
    let out = ran(&["run", USERPTR, "sim/scenarios/userptr-no-map.mms", "--format", "json"]).out;
    let reports: Vec<serde_json::Value> =
        out.lines().map(|l| serde_json::from_str(l).expect("one object a line")).collect();
    assert_eq!(reports.len(), 2);
    for field in ["scenario", "file", "mode", "seed", "token", "end", "steps", "run_hash", "findings", "as_expected"] {
        assert!(reports.iter().all(|r| !r[field].is_null()), "{field}");
    }
    let strace =
        ran(&["strace", "tests/data/strace/cat_maps.strace", "--driver", "interval_mirror", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&strace.out).expect("JSON");
    assert_eq!(report["processes"][0]["differences"].as_array().map(Vec::len), Some(0));
}

#[test]
fn list_names_what_a_scenario_may_say() {
    let out = ran(&["list"]).out;
    for word in [
        "i915_userptr",
        "mutant \"2019\"",
        "interval_mirror",
        "LD-CIRCULAR",
        "notifier.range_start",
        "munmap-unpaired-end",
        "reclaim",
    ] {
        assert!(out.contains(word), "{word}");
    }
    assert!(!ran(&["list", "codes"]).out.contains("i915_userptr"));
}
