//! Old bugs of the memory manager and of the notifier framework, each switched on by the name of what fixed it: one run of its
//! scenario finds it, and without it nothing is found, in that run or in random ones.

use harness::{ExplorePlan, Mode, Recipe};
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use system_tests::parse;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Each scenario of an old bug: its name, and its text.
fn scenarios() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(system_tests::scenarios().join("quirks"))
        .expect("the folder of old bugs")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, read(&path))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn each_old_bug_is_found_and_the_fixed_version_is_silent() {
    let mut failures = Vec::new();
    for (name, text) in scenarios() {
        assert!(text.starts_with("# "), "{name}: no words on what it shows");
        assert!(text.contains(&format!("quirks {{ {name} }}")), "{name} does not switch its own quirk on");
        let buggy = parse(&name, &text);
        let once = Recipe { mode: Mode::Benign, seed: buggy.seed(), run: 0 };
        let report = buggy.run(once, false);
        if report.findings.is_empty() || !report.verdict.as_expected() {
            failures.push(format!("{name}: {:?}", report.verdict.problems));
        }
        let fixed = buggy.with_setting("quirks=none").expect("a setting");
        failures.extend(fixed.run(once, false).findings.into_iter().map(|f| format!("{name}, fixed: {}", f.text)));
        // What needs huge pages takes too long to be run often here.
        let runs = if text.contains("memory 64M") { 1 } else { 20 };
        let plan = ExplorePlan { seed: 1, runs, jobs: 1, stop_at_first: false };
        let explored = fixed.explore(&plan, &|_| ControlFlow::Continue(()));
        failures.extend(explored.findings.into_iter().map(|f| format!("{name}, fixed, explored: {}", f.found.text)));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn there_are_a_dozen_of_them_and_the_document_names_each_with_its_fix() {
    let known: BTreeSet<String> = harness::listing::quirks().into_iter().map(|(name, _)| name).collect();
    let document = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/properties.md"));
    let names: Vec<String> = scenarios().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        assert!(known.contains(&name), "there is no quirk {name}");
        let row = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table of quirks"));
        assert!(row.contains("20"), "{name}: no year of its fix in {row}");
    }
}

/// Four pages that a device pins and writes to without locks, while its process forks and writes to them.
const WRITE_PROTECT_SEQ: &str = "scenario \"a page pinned while fork write-protects it\"
    quirks { write-protect-seq }
    machine { cpus 3  memory 16M  swap 4M }
    mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x14000 }
    mm B { forked }
    device nic : hfi1_cache(A, 0x10000..0x14000) { look_up fast }
    task fork { fork A B  write A 0x13000 1  write A 0x12000 1  write A 0x11000 1  write A 0x10000 1  sync written }
    task receive { nic.receive 0x10000..0x14000 2  sync received }
    task look { sync go  read A 0x10000  read A 0x11000  read A 0x12000  read A 0x13000 }
    order { fork@user.written < look@user.go  receive@user.received < look@user.go }";

#[test]
fn a_pin_between_forks_look_and_its_write_protection_is_found_by_what_the_process_reads() {
    let buggy = parse("write-protect-seq", WRITE_PROTECT_SEQ);
    let fixed = buggy.with_setting("quirks=none").expect("a setting");
    let plan = ExplorePlan { seed: 7, runs: 3000, jobs: 1, stop_at_first: false };
    let found = |experiment: &harness::Experiment| -> BTreeSet<String> {
        let report = experiment.explore_by(Mode::Pct, &plan, &|_| ControlFlow::Continue(()));
        report.findings.iter().map(|f| f.found.code.as_str().to_owned()).collect()
    };
    assert_eq!(found(&buggy), BTreeSet::from(["COH".to_owned()]));
    assert_eq!(found(&fixed), BTreeSet::new());
}
