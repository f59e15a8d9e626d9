//! The sequence check of an invalidation: proven with its barriers, and a stale page without any one of them.

use super::litmus::exhaust;
use harness::Experiment;
use system_tests::{parse, scenarios};

fn text(name: &str) -> String {
    std::fs::read_to_string(scenarios().join("barriers").join(name)).expect("a scenario")
}

fn under(text: &str, model: &str) -> Experiment {
    parse("barriers.mms", text).with_setting(&format!("memory_model={model}")).expect("a setting")
}

/// Whether exploring everything finds a stale page.
#[track_caller]
fn is_stale(text: &str, model: &str) -> bool {
    let report = exhaust(&under(text, model));
    assert!(report.complete && report.tally.redundant == 0, "{:?}", report.left_out());
    !report.findings.is_empty()
}

/// A barrier, and `text` without it; for each.
fn without_one(text: &str) -> Vec<(&str, String)> {
    let is_barrier = |line: &str| line.trim_start().starts_with("smp_");
    let lines: Vec<&str> = text.lines().collect();
    let barriers = (0..lines.len()).filter(|&at| is_barrier(lines[at]));
    barriers.map(|at| (lines[at], [&lines[..at], &lines[at + 1..]].concat().join("\n"))).collect()
}

#[test]
fn the_sequence_check_needs_each_of_its_barriers_and_no_other() {
    let whole = text("sequence-and-count.mms");
    assert!(!is_stale(&whole, "relaxed"));
    let reduced = without_one(&whole);
    assert_eq!(reduced.len(), 4);
    for (barrier, text) in reduced {
        assert!(is_stale(&text, "relaxed"), "without `{barrier}`");
        assert!(!is_stale(&text, "tso"), "x86 needs none of them: without `{barrier}`");
    }
}

#[test]
fn the_lock_of_read_begin_is_a_barrier_and_two_read_barriers_would_do() {
    assert!(!is_stale(&text("read-begin.mms"), "relaxed"));
    let unlocked = text("read-begin-unlocked.mms");
    assert!(is_stale(&unlocked, "relaxed"));
    assert!(!is_stale(&unlocked, "tso"));
    let fenced = unlocked
        .replace("load own own_seq\n", "load own own_seq\n    smp_rmb\n")
        .replace("load now seq\n", "load now seq\n    smp_rmb\n");
    assert!(!is_stale(&fenced, "relaxed"));
    let reduced = without_one(&fenced);
    assert_eq!(reduced.len(), 2);
    for (_, text) in reduced {
        assert!(is_stale(&text, "relaxed"), "{text}");
    }
}

#[test]
fn the_shipped_scenarios_end_as_their_files_say() {
    for name in ["sequence-and-count", "sequence-and-count-without", "read-begin", "read-begin-unlocked"] {
        let experiment = parse(name, &text(&format!("{name}.mms")));
        let report = exhaust(&experiment);
        assert!(report.verdict.as_expected(), "{name}: {:?}", report.verdict.problems);
        let sc = exhaust(&under(&text(&format!("{name}.mms")), "sc"));
        assert!(sc.complete && sc.findings.is_empty(), "{name} in sequentially consistent memory");
    }
}
