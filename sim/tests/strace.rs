//! `shootdown strace`: seven recorded programs, copies of them with one call dropped or altered, and small logs of every
//! way in which a task can begin and end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

#[track_caller]
fn strace(log: &str, driver: &str, more: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.args(["strace", log, "--driver", driver]).args(more).current_dir(project()).env("NO_COLOR", "1");
    let output = command.output().expect("the tool starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("not killed"), out: text(output.stdout), err: text(output.stderr) }
}

fn recorded(log: &str) -> String {
    format!("tests/data/strace/{log}.strace")
}

/// A log in a folder of its own.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

/// Copies a recorded log with all its snapshots, changed.
#[track_caller]
fn altered(log: &str, change: impl Fn(&str) -> String) -> (tempfile::TempDir, String) {
    let text = fs::read_to_string(project().join(recorded(log))).expect("the log");
    let changed = change(&text);
    assert_ne!(changed, text, "the log is changed");
    let (folder, path) = file(&format!("{log}.strace"), &changed);
    for entry in fs::read_dir(project().join("tests/data/strace")).expect("the folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        if name.starts_with(&format!("{log}.")) && name.ends_with(".maps") {
            fs::copy(project().join("tests/data/strace").join(&name), folder.path().join(&name)).expect("copied");
        }
    }
    (folder, path)
}

/// The log without one line, which has `dropped` in it.
#[track_caller]
fn without_line(text: &str, line: usize, dropped: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let removed = lines.remove(line - 1);
    assert!(removed.contains(dropped), "line {line} is {removed}");
    lines.join("\n") + "\n"
}

/// Every part is in the output, in this order.
#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    let mut rest = ran.out.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not, or not there, in\n{}{}", ran.out, ran.err));
        rest = &rest[at + part.len()..];
    }
}

/// Every recorded log, with the processes that have an end snapshot.
const LOGS: [(&str, usize); 7] = [
    ("cat_maps", 1),
    ("git_log", 1),
    ("cargo_version", 1),
    ("python_json", 1),
    ("python_threads", 1),
    ("sh_pipeline", 3),
    ("rustc_small", 3),
];

#[test]
fn recorded_programs_end_in_their_exact_maps() {
    for (log, processes) in LOGS {
        for driver in ["i915_userptr", "interval_mirror"] {
            let ran = strace(&recorded(log), driver, &[]);
            assert_eq!(ran.code, 0, "{log} {driver}: {}{}", ran.out, ran.err);
            assert_eq!(ran.out.matches("the final maps are exact").count(), processes, "{log} {driver}: {}", ran.out);
            says(&ran, &["findings:              0", "every final map exact"]);
            assert!(ran.err.contains("calls/s"), "{}", ran.err);
        }
    }
}

#[test]
fn every_process_and_the_total_are_told() {
    let ran = strace(&recorded("rustc_small"), "interval_mirror", &[]);
    says(
        &ran,
        &[
            "process 29413 rustc, 15 tasks, from its start snapshot",
            "calls:",
            "clone 15",
            "invalidations:",
            "PROTECTION_PAGE",
            "the final maps are exact, 105 VMAs",
            "process 29442 cc, 2 tasks",
            "process 29444 collect2, 2 tasks",
            "process 29446 ld.lld, 1 task,",
            "no end marker",
            "process 29446 rust-lld, 3 tasks",
            "no end marker",
            "total",
            "vfork 2",
        ],
    );
}

#[test]
fn an_ignored_invalidation_is_caught_with_its_call() {
    for (log, _) in LOGS {
        let ran = strace(&recorded(log), "interval_mirror", &["--mutant", "ignore-one-invalidation"]);
        if log == "git_log" {
            assert_eq!(ran.code, 0, "{}", ran.out);
            says(&ran, &["no invalidation of a mirrored page before an exit"]);
            continue;
        }
        assert_eq!(ran.code, 1, "{log}: {}", ran.out);
        let line = ran.out.lines().find(|l| l.starts_with("BUG: STALE: ")).expect("a stale access");
        let calls = ["munmap [", "mprotect [", "brk", "fork", "madvise ["].map(|call| format!("revoked by {call}"));
        assert!(calls.iter().any(|call| line.contains(call)), "{log}: {line}");
        assert!(ran.out.contains(&format!("found in the replay of {log}.strace:")), "{}", ran.out);
    }
    let ran = strace(&recorded("cat_maps"), "interval_mirror", &["--mutant", "ignore-one-invalidation"]);
    says(&ran, &["revoked by munmap [0x7f02ec516000, 0x7f02ec538000)", "found in the replay of cat_maps.strace:38"]);
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    let once = strace(&recorded("python_threads"), "interval_mirror", &[]);
    assert_eq!(once.out, strace(&recorded("python_threads"), "interval_mirror", &[]).out);
}

#[test]
fn a_dropped_munmap_shows_exactly_its_mapping_and_what_mapped_it() {
    let (_folder, path) = altered("cat_maps", |text| without_line(text, 38, "munmap(0x7f02ec516000, 139264)"));
    let ran = strace(&path, "i915_userptr", &[]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    says(
        &ran,
        &[
            "the final maps differ in 1 place:",
            "expected: nothing mapped there",
            "got:      7f02ec516000-7f02ec538000 rw-p",
            "7f02ec516000-7f02ec538000 should not be mapped",
            "last changed by line 37: 29357 mmap(NULL, 139264, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)",
            "the call that unmapped them is missing, or is altered",
            "not as expected: 1 of 1 final maps differ",
        ],
    );
    assert_eq!(ran.out.matches("expected: ").count(), 2, "one difference and the last line: {}", ran.out);
}

#[test]
fn a_dropped_munmap_whose_pages_are_mapped_again_names_both_calls() {
    // A file's page, at whose place the next file is mapped.
    let (_folder, path) = altered("git_log", |text| without_line(text, 101, "munmap(0x7f57e6ebb000, 46)"));
    let ran = strace(&path, "interval_mirror", &[]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    says(
        &ran,
        &[
            "not as expected: line 101: mmap into [0x7f57e6ebb000, 0x7f57e6ebc000), which no call unmapped",
            "last changed by line 100: 29521 mmap(",
        ],
    );
}

#[test]
fn an_altered_mprotect_shows_exactly_its_mapping_and_itself() {
    // The stack of a thread that is there at the end.
    let call = "mprotect(0x7f7102a00000, 2097152, PROT_READ|PROT_WRITE)";
    let (_folder, path) =
        altered("rustc_small", |text| text.replace(call, &call.replace("PROT_READ|PROT_WRITE", "PROT_READ")));
    let ran = strace(&path, "interval_mirror", &[]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    says(
        &ran,
        &[
            "the final maps differ in 1 place:",
            "expected: 7f7102a00000-7f7102c00000 rw-p",
            "got:      7f7102a00000-7f7102c00000 r--p",
            "7f7102a00000-7f7102c00000 should be rw-p, not r--p",
            ": 29427 mprotect(0x7f7102a00000, 2097152, PROT_READ)",
            "that call is altered, or one after it is missing",
            "not as expected: 1 of 3 final maps differ",
        ],
    );
}

#[test]
fn a_log_without_snapshots_is_replayed_and_says_that_nothing_is_compared() {
    for (log, _) in LOGS {
        let text = fs::read_to_string(project().join(recorded(log))).expect("the log");
        let (_folder, path) = file("alone.strace", &text);
        let ran = strace(&path, "interval_mirror", &[]);
        assert_eq!(ran.code, 0, "{log}: {}{}", ran.out, ran.err);
        says(&ran, &["from an empty map", "findings:              0", "no final map was compared"]);
    }
}

/// A small log of its own; what it must say.
#[track_caller]
fn check(text: &str, parts: &[&str]) -> Ran {
    let (_folder, path) = file("small.strace", text);
    let ran = strace(&path, "interval_mirror", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    says(&ran, parts);
    ran
}

const MAP: &str = "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000";

#[test]
fn a_child_that_speaks_before_its_maker_has_its_parents_memory() {
    let text = format!(
        "1 execve(\"/bin/a\", [\"a\"], 0x1 /* 1 var */) = 0\n1 {MAP}\n1 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n\
         2 munmap(0x7f0000000000, 4096) = 0\n1 <... clone resumed>, child_tidptr=0x1) = 2\n\
         2 exit_group(0) = ?\n2 +++ exited with 0 +++\n1 exit_group(0) = ?\n1 +++ exited with 0 +++\n"
    );
    check(&text, &["process 1 a, 1 task", "PROTECTION_PAGE 1", "process 2 a, 1 task, forked by 1", "munmap 1"]);
}

#[test]
fn what_a_parent_maps_after_a_fork_is_not_its_childs() {
    let again = MAP.replace("0x7f0000000000", "0x7f0000010000");
    let text = format!(
        "1 munmap(0x5eed0000, 0) = -1 EINVAL (Invalid argument)\n1 {MAP}\n1 fork() = 2\n1 {again}\n2 {again}\n\
         2 munmap(0x5eed1000, 0) = -1 EINVAL (Invalid argument)\n2 +++ exited with 0 +++\n"
    );
    let (folder, path) = file("small.strace", &text);
    let maps = "00400000-00401000 r-xp 00000000 08:01 1 /bin/a\n";
    let end = "7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n7f0000010000-7f0000012000 rw-p 00000000 00:00 0 \n";
    fs::write(folder.path().join("small.1.a.start.maps"), maps).expect("written");
    fs::write(folder.path().join("small.2.a.end.maps"), format!("{maps}{end}")).expect("written");
    let ran = strace(&path, "interval_mirror", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    says(&ran, &["process 2 a, 1 task, forked by 1", "the final maps are exact, 3 VMAs"]);
}

#[test]
fn threads_and_children_of_vfork_share_and_an_id_can_be_used_again() {
    let text = format!(
        "1 execve(\"/bin/a\", [\"a\"], 0x1 /* 1 var */) = 0\n1 {MAP}\n\
         1 clone3({{flags=CLONE_VM|CLONE_THREAD, stack=0x1}}, 88) = 2\n2 munmap(0x7f0000000000, 4096) = 0\n\
         2 +++ exited with 0 +++\n1 vfork( <unfinished ...>\n3 execve(\"/bin/b\", [\"b\"], 0x1 /* 1 var */ <unfinished ...>\n\
         1 <... vfork resumed>) = 3\n3 <... execve resumed>) = 0\n3 {MAP}\n3 +++ exited with 0 +++\n\
         1 fork() = 2\n2 munmap(0x7f0000001000, 4096) = 0\n2 +++ exited with 0 +++\n1 +++ exited with 0 +++\n"
    );
    let ran =
        check(&text, &["process 1 a, 3 tasks", "munmap 1", "process 3 b, 1 task", "process 2 a, 1 task, forked by 1"]);
    assert!(ran.out.starts_with("small.strace, 3 processes"), "{}", ran.out);
}

#[test]
fn a_thread_that_executes_takes_its_process_over() {
    let text = format!(
        "1 execve(\"/bin/a\", [\"a\"], 0x1 /* 1 var */) = 0\n1 clone3({{flags=CLONE_VM|CLONE_THREAD, stack=0x1}}, 88) = 2\n\
         2 {MAP}\n2 execve(\"/bin/b\", [\"b\"], 0x1 /* 1 var */ <pid changed to 1 ...>\n\
         1 +++ superseded by execve in pid 2 +++\n1 <... execve resumed>) = 0\n1 {MAP}\n1 exit_group(0) = ?\n\
         1 +++ exited with 0 +++\n"
    );
    check(&text, &["process 1 a, 2 tasks", "process 1 b, 1 task"]);
}

#[test]
fn a_munmap_that_was_under_way_makes_room_for_the_mmap_that_overtook_its_line() {
    let maps = "00400000-00401000 r-xp 00000000 08:01 1 /bin/a\n";
    let text = format!(
        "1 munmap(0x5eed0000, 0) = -1 EINVAL (Invalid argument)\n1 {MAP}\n\
         1 clone3({{flags=CLONE_VM|CLONE_THREAD, stack=0x1}}, 88) = 2\n2 munmap(0x7f0000000000, 8192 <unfinished ...>\n\
         1 {MAP}\n2 <... munmap resumed>) = 0\n1 munmap(0x5eed1000, 0) = -1 EINVAL (Invalid argument)\n"
    );
    let (folder, path) = file("small.strace", &text);
    let end = format!("{maps}7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n");
    fs::write(folder.path().join("small.1.a.start.maps"), maps).expect("written");
    fs::write(folder.path().join("small.1.a.end.maps"), end).expect("written");
    let ran = strace(&path, "i915_userptr", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    says(&ran, &["the final maps are exact, 2 VMAs"]);
}

#[test]
fn what_is_left_out_is_said() {
    let text = format!(
        "1 execve(\"/bin/a\", [\"a\"], 0x1 /* 1 var */) = 0\n1 {MAP}\n1 mlock(0x7f0000000000, 4096) = 0\n\
         1 mlock(0x7f0000001000, 4096) = 0\n1 mincore(0x7f0000000000, 4096, [1]) = 0\n\
         1 mmap(NULL, 1073741824, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7e0000000000\n\
         1 munmap(0x7e0000000000, 1073741824) = 0\n"
    );
    let (folder, path) = file("small.strace", &text);
    fs::write(folder.path().join("small.9.z.start.maps"), "00400000-00401000 r-xp 00000000 08:01 1 /bin/z\n")
        .expect("written");
    let ran = strace(&path, "interval_mirror", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    says(
        &ran,
        &[
            "mlock is not modelled: 2 left out, the first in line 3",
            "of 1 mappings only the first 256 MiB were mirrored",
            "the start snapshot of z (9) belongs to no start marker",
        ],
    );
    assert!(!ran.out.contains("mincore is not modelled"), "{}", ran.out);
}

/// Bad input: exit code 2, nothing on standard output, and `parts` in the complaint.
#[track_caller]
fn refused(path: &str, parts: &[&str]) {
    let ran = strace(path, "i915_userptr", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    for part in parts {
        assert!(ran.err.contains(part), "{part:?} is not in\n{}", ran.err);
    }
}

#[test]
fn a_garbled_log_names_its_line() {
    let text = fs::read_to_string(project().join(recorded("cat_maps"))).expect("the log");
    let (_folder, path) = file("cat_maps.strace", &text.replacen("PROT_READ|PROT_WRITE", "PROT_RAED", 1));
    refused(&path, &["cat_maps.strace:3:", "PROT_RAED"]);
    let cut = &text[..text.len() / 2];
    let (_folder, path) = file("cat_maps.strace", cut);
    refused(&path, &[&format!("cat_maps.strace:{}:", cut.lines().count()), "truncated"]);
    let (_folder, path) = file("a.strace", "1 brk(NULL <unfinished ...>\n");
    refused(&path, &["a.strace:1:1: brk of thread 1 is unfinished and never resumed"]);
}

#[test]
fn a_garbled_snapshot_names_its_line() {
    for kind in ["start", "end"] {
        let (folder, path) = altered("cat_maps", |text| text.replace("exited with 0", "exited with 1"));
        let snapshot = folder.path().join(format!("cat_maps.29357.cat.{kind}.maps"));
        let text = fs::read_to_string(&snapshot).expect("the snapshot").replacen("r-xp", "rqxp", 1);
        fs::write(&snapshot, &text).expect("written");
        let line = 1 + text.lines().position(|l| l.contains("rqxp")).expect("the line");
        refused(&path, &[&format!("cat_maps.29357.cat.{kind}.maps:{line}:"), "expected permissions"]);
    }
}
