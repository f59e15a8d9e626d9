//! The museum as a user calls it, and its exhibits against the records they are named after.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn museum(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.arg("museum").args(args).current_dir(project()).env("NO_COLOR", "1");
    command.output().expect("the tool starts")
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The records of the collection, by id.
fn records() -> BTreeMap<String, Value> {
    let text = read("tests/data/museum/bugs.jsonl");
    let record = |line: &str| serde_json::from_str::<Value>(line).expect("a record a line");
    text.lines().map(record).map(|r| (r["id"].as_str().expect("an id").to_owned(), r)).collect()
}

/// The whole museum in its short form, shown once.
fn short() -> &'static Value {
    static SHORT: OnceLock<Value> = OnceLock::new();
    SHORT.get_or_init(|| {
        let output = museum(&["--short", "--jobs", "2", "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    })
}

fn shown(json: &Value) -> &Vec<Value> {
    json["exhibits"].as_array().expect("a list")
}

#[test]
fn every_bug_is_found_and_its_fixed_version_is_silent() {
    let json = short();
    let records = records();
    for exhibit in shown(json) {
        let name = exhibit["name"].as_str().expect("a name");
        let record = records.get(name).unwrap_or_else(|| panic!("{name} is no record"));
        for (ours, theirs) in [("kind", "kind"), ("year", "year"), ("of", "subsystem"), ("detector", "detector")] {
            assert_eq!(exhibit[ours], record[theirs], "{name}: {ours}");
        }
        let lockdep = exhibit["detector"].as_str().is_some_and(|d| d.starts_with("lockdep"));
        assert!(!lockdep || exhibit["one_run"] == true, "{name}: a lock order must be found in one run");
        assert!(exhibit["runs"].as_u64().is_some_and(|n| n <= 10_000), "{name}: {}", exhibit["runs"]);
        assert_eq!(exhibit["problems"], Value::Array(Vec::new()), "{name}");
    }
    let kinds: BTreeSet<&str> = shown(json).iter().filter_map(|e| e["kind"].as_str()).collect();
    assert!(shown(json).len() >= 60 && kinds.len() == 15, "{} exhibits, {kinds:?}", shown(json).len());
    let names: BTreeSet<&str> = shown(json).iter().filter_map(|e| e["name"].as_str()).collect();
    let files = fs::read_dir(project().join("sim/scenarios/museum")).expect("the folder");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("an entry").file_name().to_string_lossy().trim_end_matches(".mms").to_owned())
        .collect();
    assert_eq!(names, files.iter().map(String::as_str).collect(), "the shipped exhibits are the files of the folder");
}

/// What a page says of its exhibit: a table, and the difference between the versions.
fn facts(exhibit: &Value, diff: &str) -> String {
    let word = |field: &str| exhibit[field].as_str().unwrap_or_default().to_owned();
    let codes: Vec<&str> = exhibit["found"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    // Not which run of an exploration: that changes with every change of how schedules are chosen.
    let after = if exhibit["one_run"] == true { "one run" } else { "an exploration" };
    let mut text = format!(
        "| kind | year | of | versions differ in | found by | after |\n|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {after} |\n",
        word("kind"),
        exhibit["year"],
        word("of"),
        word("by"),
        codes.join(", ")
    );
    if let Some(because) = exhibit["because"].as_str() {
        text.push_str(&format!("\nThe record names another detector ({}): {because}.\n", word("detector")));
    }
    text + &format!("\n```diff\n{diff}```\n")
}

/// Each exhibit has its page, whose facts are those of the tool. `MUSEUM_BLESS=1` writes them.
#[test]
fn the_pages_say_what_the_tool_says() {
    let json = short();
    let diffs = String::from_utf8(museum(&["--diff"]).stdout).expect("UTF-8");
    let table = read("docs/museum/README.md");
    for exhibit in shown(json) {
        let name = exhibit["name"].as_str().expect("a name");
        let diff = diffs.lines().skip_while(|line| !line.starts_with(&format!("{name}: "))).skip(1);
        let diff: String =
            diff.take_while(|line| line.starts_with(['-', '+', ' '])).map(|l| format!("{l}\n")).collect();
        let path = format!("docs/museum/{name}.md");
        let page = read(&path);
        let (before, rest) = page.split_once("<!-- facts -->\n").unwrap_or_else(|| panic!("{path}: no facts"));
        let (facts_there, after) =
            rest.split_once("<!-- /facts -->").unwrap_or_else(|| panic!("{path}: no end of facts"));
        let facts = facts(exhibit, &diff);
        #[expect(clippy::disallowed_methods, reason = "whether to write what is expected is not part of a run")]
        let bless = std::env::var_os("MUSEUM_BLESS").is_some();
        if bless {
            let page = format!("{before}<!-- facts -->\n{facts}<!-- /facts -->{after}");
            fs::write(project().join(&path), page).expect("written");
        } else {
            assert_eq!(facts_there, facts, "{path}: MUSEUM_BLESS=1 cargo test -p shootdown --test museum");
        }
        for part in ["## The bug\n", "## Here\n", "## Sources\n"] {
            assert!(page.contains(part), "{path}: no {part}");
        }
        assert!(table.contains(&format!("| [{name}]({name}.md) |")), "docs/museum/README.md: {name}");
    }
}

/// The collection has 93 records: each is an exhibit, or the document says what is missing for it, not both.
#[test]
fn each_record_is_shown_or_has_its_reason() {
    let document = read("docs/museum/README.md");
    let (shown, missing) = document.split_once("## Records without an exhibit").expect("its heading");
    let records = read("tests/data/museum/bugs.jsonl");
    let mut all = 0;
    for line in records.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let name = record["id"].as_str().expect("a name");
        let is_shown = shown.contains(&format!("| [{name}]({name}.md) |"));
        assert_ne!(is_shown, missing.contains(&format!("`{name}`")), "{name}");
        all += 1;
    }
    assert_eq!(all, 93);
}

#[test]
fn a_difference_is_short_and_in_what_it_says() {
    let output = museum(&["--diff"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = 0;
    let mut name = "";
    for line in text.lines() {
        if line.starts_with(['-', '+', ' ']) {
            lines += 1;
            assert!(lines <= 15, "{name}: more than 15 lines");
        } else {
            assert!(name.is_empty() || lines >= 1, "{name}: no line");
            (name, lines) = (line, 0);
        }
    }
}

#[test]
fn the_proof_of_a_lock_order_and_the_command_that_shows_it() {
    let name = "mlx5-umem-mutex-alloc";
    let output = museum(&[name]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("possible circular locking dependency") && text.contains("\nproven: "), "{text}");
    let replay = text.lines().find_map(|line| line.strip_prefix("replay: ")).expect("a replay line");
    let words: Vec<&str> = replay.split(' ').collect();
    let again = Command::new(words[0]).args(&words[1..]).current_dir(project()).output().expect("it starts");
    assert_eq!(again.status.code(), Some(0), "{replay}: {}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn a_name_that_none_has_is_refused_with_one_that_is_near() {
    let output = museum(&["mlx5-umem-mutex"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("did you mean `mlx5-umem-mutex-alloc`?"), "{complaint}");
}

#[test]
fn exhibits_of_ones_own_come_from_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.mms");
    let path = folder.path().to_str().expect("UTF-8");
    let text = read("sim/scenarios/museum/exmap-notifier-left-registered.mms");
    fs::write(&file, &text).expect("written");
    assert_eq!(museum(&["--exhibits", path]).status.code(), Some(0));
    // A bug that is not there is not found, and that is told.
    fs::write(&file, text.replace("{ mutant \"keep-subscription\" } #-", "{ retries 63 } #-")).expect("written");
    let output = museum(&["--exhibits", path]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mine: LIFE is not found"));
    assert_eq!(museum(&["--exhibits", "no-such-folder"]).status.code(), Some(2));
}
