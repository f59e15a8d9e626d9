//! Requests for memory pressure that cannot be met: the finding says which pages stay, and what keeps each.

use harness::{Experiment, Mode, Recipe, Registry, RunReport};

const MM: &str = "mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }\n";
const RDMA: &str = "device rdma : list(A) { op pin(range) { pin range } op unpin(range) { unpin range } }\n";

#[track_caller]
fn run(body: &str, mode: Mode) -> RunReport {
    let text = format!("scenario \"test\"\n{body}");
    let experiment = Experiment::load(&Registry::builtin(), "test.mms", &text).unwrap_or_else(|mistakes| {
        let all: Vec<String> = mistakes.iter().map(|m| m.render("test.mms", &text, false)).collect();
        panic!("{}", all.join("\n"))
    });
    let report = experiment.run(Recipe { mode, seed: 1, run: 0 }, false);
    assert_eq!(report.end.word(), "finished");
    report
}

/// The one finding of a run of its own says `why`.
#[track_caller]
fn refused(body: &str, why: &str) {
    let report = run(body, Mode::Benign);
    let found: Vec<String> = report.findings.iter().map(|f| format!("{}: {}", f.code, f.title)).collect();
    assert_eq!(found.len(), 1, "{found:#?}, {:?}", report.notes);
    assert!(found[0].starts_with("PROG-REQUEST: ") && found[0].contains(why), "{why:?} is not in {found:?}");
}

#[track_caller]
fn noted(body: &str, notes: &[&str]) {
    let report = run(body, Mode::Benign);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.notes.len(), notes.len(), "{:?}", report.notes);
    for (note, text) in report.notes.iter().zip(notes) {
        assert!(note.contains(text), "{text:?} is not in {note:?}");
    }
}

#[test]
fn a_pinned_page_is_named_with_who_pinned_it() {
    let pinned = "rdma.pin 0x10000..0x11000";
    for (request, title) in [
        (
            "reclaim A 0x10000..0x11000",
            "reclaim A 0x10000..0x11000: no page could be freed: page 0x10000 is pinned by rdma",
        ),
        (
            "compact A 0x10000..0x11000",
            "compact A 0x10000..0x11000: no page could be moved: page 0x10000 is pinned by rdma",
        ),
    ] {
        refused(&format!("{MM}{RDMA}task t {{ {pinned}  {request} }}"), title);
        noted(&format!("{MM}{RDMA}task t {{ {pinned}  rdma.unpin 0x10000..0x11000  {request} }}"), &[]);
        // There it is chance who pins when.
        let random = run(&format!("{MM}{RDMA}task t {{ {pinned}  {request} }}"), Mode::Random);
        assert!(random.findings.is_empty() && !random.notes.is_empty(), "{:?}", random.findings);
    }
    let all = "rdma.pin 0x10000..0x14000  reclaim 2 pages";
    refused(
        &format!("{MM}{RDMA}task t {{ {all} }}"),
        "reclaim 2 pages: no page could be freed: page 0x10000 is pinned by rdma",
    );
}

#[test]
fn what_was_met_in_part_is_a_note() {
    noted(
        &format!("{MM}{RDMA}task t {{ rdma.pin 0x10000..0x11000  reclaim A 0x10000..0x12000 }}"),
        &["reclaim: 1 of 2 pages freed; page 0x10000 is pinned by rdma"],
    );
    // The second time everything is in swap.
    noted(
        &format!("{MM}task t {{ reclaim A 0x10000..0x12000  reclaim A 0x10000..0x12000 }}"),
        &["reclaim: 0 of 2 pages freed"],
    );
}

#[test]
fn every_other_obstacle_is_named_too() {
    let page = "0x10000..0x11000";
    refused(&format!("{MM}task t {{ mlock A {page}  reclaim A {page} }}"), "page 0x10000 is locked in memory (mlock)");
    noted(&format!("{MM}task t {{ mlock A {page}  compact A {page} }}"), &[]);
    refused(&format!("machine {{ swap 0M }}\n{MM}task t {{ reclaim A {page} }}"), "page 0x10000 has no room in swap");
    refused(&format!("{MM}task t {{ reclaim A 0x20000..0x24000 }}"), "page 0x20000 is not mapped");
    refused(&format!("{MM}task t {{ read A 0x20000  reclaim A 0x20000..0x21000 }}"), "page 0x20000 is the zero page");
    refused(
        "mm A { vma 0x40000000..0x80000000 rw dax \"pmem0\" }\ntask t { write A 0x40000000  compact A 0x40000000..0x40001000 }",
        "page 0x40000000 is a device's memory",
    );
    refused("mm A { vma 0x10000..0x50000 rw anon }\ntask t { reclaim 1 pages }", "nothing is in memory");
}

/// A breakpoint holds the lock of the page that it replaces while subscribers are told.
#[test]
fn a_lock_that_is_taken_is_named_with_its_holder() {
    refused(
        "mm A { vma 0x10000..0x14000 rx file \"code\"  touch 0x10000..0x14000 }
device ear : list(A) { on start(range) { sync told  sync go } }
task probe { uprobe_insert \"code\" 0 }
task mem { sync start  reclaim A 0x10000..0x11000  sync done }
order { probe@user.told < mem@user.start  mem@user.done < probe@user.go }",
        "page 0x10000 has its folio lock taken by task probe",
    );
}

#[test]
fn a_page_that_compaction_of_all_memory_does_not_move_is_said_with_the_reason() {
    // The setup's pages are in the lowest block, those of the task in one above.
    let other = "mm B { vma 0x80000..0x90000 rw anon }\n";
    noted(&format!("{MM}{other}task t {{ touch B 0x80000..0x81000  compact_until A 0x10000 }}"), &[]);
    noted(&format!("{MM}{other}task t {{ touch B 0x80000..0x81000  compact_memory }}"), &[]);
    refused(
        &format!("{MM}{other}task t {{ compact_until A 0x10000 }}"),
        "compact_until A 0x10000: the page did not move: no block above the one that it is in has a free frame",
    );
    refused(
        &format!(
            "{MM}{RDMA}{other}task t {{ touch B 0x80000..0x81000  rdma.pin 0x10000..0x11000  compact_until A 0x10000 }}"
        ),
        "the page did not move: page 0x10000 is pinned by rdma",
    );
    refused(&format!("{MM}task t {{ compact_until A 0x20000 }}"), "page 0x20000 is not mapped");
    refused(
        "mm A { vma 0x200000..0x400000 rw anon }\ntask t { madvise A 0x200000..0x400000 MADV_HUGEPAGE  write A 0x200000 1  compact_until A 0x200000 }",
        "it is a part of a huge page",
    );
}

#[test]
fn a_kill_that_nobody_can_be_chosen_for_is_said() {
    let spared = format!("{MM}task t {{ oom_score_adj A 1000 minus  oom_kill }}");
    refused(&spared, "oom_kill: no killable process: every process is gone, reaped already, or may not be killed");
    let killed = "SIGKILL: the OOM killer chose the process";
    noted(&format!("{MM}task t {{ oom_kill  sleep 1  write A 0x10000 1 }}"), &[killed]);
    // Once it is reaped, there is none left.
    refused(&format!("{MM}task t {{ oom_kill  sleep 1  oom_kill }}"), "oom_kill: no killable process");
}

#[test]
fn an_allocation_that_nobody_can_be_killed_for_is_a_deadlock_on_memory() {
    let mm = "machine { memory 128K  swap 0  oom_killer on }\nmm A { vma 0x10000..0x50000 rw anon }\n";
    let hog = |protect: &str| format!("{mm}task t {{ {protect}  touch A 0x10000..0x50000 }}");
    let alone = run(&hog("oom_score_adj A 1000 minus"), Mode::Benign);
    let found: Vec<&str> = alone.findings.iter().map(|f| f.title.as_str()).collect();
    assert_eq!(found, ["out of memory and no killable process: the system is deadlocked on memory"]);
    assert_eq!(alone.findings[0].code, "PROG-DEADLOCK");
    // Else it is killed itself.
    let killed = run(&hog(""), Mode::Benign);
    assert!(killed.findings.is_empty() && killed.notes.iter().any(|n| n.contains("SIGKILL")), "{:?}", killed.notes);
}
