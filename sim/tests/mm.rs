//! `shootdown mm check`: recorded traces, compressed and plain, edited and damaged.

use std::fs;
use std::path::Path;
use std::process::Command;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

#[track_caller]
fn check(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    command.args(["mm", "check"]).args(args).current_dir(project).env("NO_COLOR", "1");
    let output = command.output().expect("the tool starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("not killed"), out: text(output.stdout), err: text(output.stderr) }
}

const SMALL: &str = r#"{"trace":"small","arena_pages":16,"outside_vmas":2,"memlock_pages":96}
{"i":0,"op":"mmap","addr":2,"len":4,"prot":"rw-","type":"PRIVATE","flags":"FIXED|ANON","fd":"-","off":0,"r":2,"nf":0,"v":[[2,6,"rw-p",0,"","rd wr mr mw me ac"]]}
{"i":1,"op":"write","page":3,"tag":7,"r":0,"nf":1,"pm":[[3,1,"a"]],"ct":[[3,1,7]]}
{"i":2,"op":"munmap","addr":2,"len":4,"r":0,"nf":0,"v":[],"pm":[],"ct":[]}
"#;

fn checked_text(text: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.jsonl");
    fs::write(&path, text).expect("written");
    check(&[&[path.to_str().expect("UTF-8")], more].concat())
}

#[test]
fn the_recorded_cases_agree_wherever_the_arena_lies() {
    for arena in ["0x200000000000", "0x200040000000"] {
        let ran = check(&["tests/data/mm/cases.jsonl.gz", "--arena", arena]);
        assert_eq!((ran.code, ran.out.lines().last()), (0, Some("1004 operations agree, 0 differ")), "{}", ran.err);
        assert!(ran.out.contains("53 of 53 traces agree\n"), "{}", ran.out);
    }
}

#[test]
fn an_edited_page_state_is_that_difference_and_ends_the_trace() {
    assert_eq!(checked_text(SMALL, &[]).code, 0);
    let ran = checked_text(&SMALL.replace("[[3,1,\"a\"]]", "[[3,1,\"s\"]]"), &[]);
    assert_eq!((ran.code, ran.out.lines().last()), (1, Some("1 operations agree, 1 differ")));
    for line in [
        "small, operation 1 (line 3): page states differ",
        "  expected: page 3: 's'",
        "  got: page 3: 'a'",
        "  VMAs before it: [2, 6) rw-p 0 \"\" ac me mr mw rd wr",
        "1 operations come after the first difference of their trace",
    ] {
        assert!(ran.out.lines().any(|l| l == line), "{line:?} in {}", ran.out);
    }
    let json = checked_text(&SMALL.replace("[[3,1,\"a\"]]", "[[3,1,\"s\"]]"), &["--format", "json"]);
    let lines: Vec<serde_json::Value> = json.out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!((lines[0]["layer"].as_str(), lines[1]["differ"].as_u64()), (Some("page states"), Some(1)));
}

#[test]
fn damaged_and_missing_files_are_named_and_nothing_is_run() {
    let ran = checked_text(&SMALL.replace("\"op\":\"write\"", "\"op\":\"wite\""), &[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("small.jsonl:3: unknown operation \"wite\""), "{}", ran.err);
    let none = check(&["no/such/file.jsonl"]);
    assert!(none.code == 2 && none.err.contains("no/such/file.jsonl: cannot be read"), "{}", none.err);
    let arena = check(&["tests/data/mm/cases.jsonl.gz", "--arena", "0x1000"]);
    assert!(arena.code == 2 && arena.err.contains("a multiple of 1 GiB"), "{}", arena.err);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.jsonl.gz");
    let whole = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/mm/cases.jsonl.gz")).expect("read");
    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let cut = check(&[path.to_str().expect("UTF-8")]);
    assert!(cut.code == 2 && cut.err.contains("cut.jsonl.gz: damaged"), "{}", cut.err);
}

#[expect(clippy::print_stderr, reason = "a test that compares nothing says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Why live runs say nothing on this machine; `None` where they do.
fn not_comparable() -> Option<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    if !release.starts_with("6.18.") {
        return Some(format!("the kernel is {:?}, not 6.18", release.trim()));
    }
    if !read("/sys/kernel/mm/transparent_hugepage/enabled").contains("[madvise]") {
        return Some("huge pages are not on advice".to_owned());
    }
    if fs::File::open("/proc/kpageflags").is_err() {
        return Some("/proc/kpageflags is for root".to_owned());
    }
    None
}

#[test]
fn random_calls_on_this_kernel_agree() {
    if let Some(why) = not_comparable() {
        return skipped(&why);
    }
    for profile in ["all", "huge"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
        let folder = tempfile::tempdir().expect("a folder");
        command.args(["mm", "live", "--seed", "1", "--seeds", "2", "--ops", "500", "--profile", profile]);
        let output = command.current_dir(&folder).env("NO_COLOR", "1").output().expect("the tool starts");
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            (output.status.code(), out.lines().last()),
            (Some(0), Some("1000 operations agree, 0 differ")),
            "{out}"
        );
    }
}

#[test]
fn what_is_recorded_is_a_trace_that_agrees() {
    if let Some(why) = not_comparable() {
        return skipped(&why);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_shootdown"))
        .args(["mm", "record", "--ops", "150"])
        .output()
        .expect("the tool starts");
    let ran = checked_text(&String::from_utf8_lossy(&output.stdout), &[]);
    assert_eq!((ran.code, ran.out.lines().last()), (0, Some("150 operations agree, 0 differ")), "{}", ran.out);
}
