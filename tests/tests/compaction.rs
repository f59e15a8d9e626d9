//! Compaction, direct reclaim and munmap against the same page: correct drivers under many schedules, each mutant found,
//! the interleaving shown.

use harness::{Experiment, ExplorePlan, ExploreReport};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use system_tests::{parse, scenarios, shipped};

const FILE: &str = "compaction-reclaim-munmap.mms";

fn explore(experiment: &Experiment) -> ExploreReport {
    let plan = ExplorePlan { seed: 7, runs: 2_000, jobs: 2, stop_at_first: false };
    experiment.explore(&plan, &|_| ControlFlow::Continue(()))
}

fn codes(report: &ExploreReport) -> BTreeSet<&str> {
    report.findings.iter().map(|f| f.found.code.as_str()).collect()
}

/// The scenario with another driver, which has other operations.
fn with_userptr() -> Experiment {
    let text = std::fs::read_to_string(scenarios().join(FILE)).expect("shipped");
    let text = text.replace("interval_mirror", "i915_userptr").replace("gpu0.map ", "gpu0.get_pages ");
    parse(FILE, &text.replace("    gpu0.worker\n", ""))
}

#[test]
fn correct_drivers_are_clean() {
    for experiment in [shipped(FILE, &[]), with_userptr()] {
        let report = explore(&experiment);
        assert!(report.verdict.as_expected() && report.findings.is_empty(), "{}", report.to_text());
        assert!(report.across_runs.is_empty(), "{}", report.to_text());
    }
}

/// But for `sleep-in-nonblock`: nothing here must not sleep.
#[test]
fn each_mutant_of_the_mirror_is_found() {
    let expected = [
        ("skip-retry", "SEQ"),
        ("ignore-one-invalidation", "STALE"),
        ("late-zap", "STALE"),
        ("no-set-seq", "STALE"),
        ("keep-old-frame-after-cow", "STALE"),
        ("keep-old-frame-after-cow", "COH"),
    ];
    for (mutant, code) in expected {
        let report = explore(&shipped(FILE, &[&format!("gpu0.mutant={mutant}")]));
        assert!(codes(&report).contains(code), "{mutant}: {:?}", codes(&report));
    }
}

#[test]
fn a_finding_shows_who_did_what_in_two_columns() {
    let report = explore(&shipped(FILE, &["gpu0.mutant=keep-old-frame-after-cow"]));
    let stale = report.findings.iter().find(|f| f.found.code == "STALE").expect("found");
    let rows: Vec<&str> = stale.found.text.lines().skip_while(|line| !line.contains("device and driver")).collect();
    assert!(rows.len() > 4, "{}", stale.found.text);
    assert!(rows.iter().all(|row| row.chars().count() <= 100), "{rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.contains("<-- here")).count(), 1, "{rows:#?}");
    let side = |what: &str| rows.iter().find_map(|row| row.find(what)).unwrap_or_else(|| panic!("{what}: {rows:#?}"));
    assert!(side("device gpu0") < 50 && side("spte of") < 50, "{rows:#?}");
    assert!(side("range_start CLEAR") > 50, "{rows:#?}");
    let steps: Vec<u64> = rows.iter().filter_map(|row| row.get(..6)?.trim().parse().ok()).collect();
    assert!(steps.len() >= 4 && steps.is_sorted(), "{rows:#?}");
}

/// A page read before it is written: the device mirrors the page of zeros, the CPU gets a copy.
#[test]
fn a_driver_that_keeps_the_old_frame_after_copy_on_write_reads_old_data() {
    let scenario = |mutant: &str| {
        let text = format!(
            "scenario \"cow\"\nmachine {{ memory 16M }}\nmm A {{ vma 0x10000..0x11000 rw anon }}\n\
             device gpu0 : interval_mirror(A, 0x10000..0x11000) {{ {mutant} }}\n\
             task t {{ gpu0.read 0x10000  write A 0x10000 5  gpu0.read 0x10000 }}\n"
        );
        system_tests::run(&parse("cow.mms", &text))
    };
    let wrong = scenario("mutant \"keep-old-frame-after-cow\"");
    assert_eq!(system_tests::codes(&wrong), ["COH", "STALE"]);
    assert!(system_tests::codes(&scenario("")).is_empty());
}

#[test]
fn a_pinned_page_stays_and_the_run_says_so() {
    let text = "scenario \"pinned\"\nmachine { memory 16M }\nmm A { vma 0x10000..0x12000 rw anon  touch 0x10000..0x12000 }\n\
                device gpu0 : i915_userptr(A, 0x10000..0x11000)\n\
                task t { gpu0.get_pages 0x10000..0x11000  compact A 0x10000..0x12000 }\n";
    let report = system_tests::run(&parse("pinned.mms", text));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(
        report.notes,
        ["pinned.mms:5 (t): compact: 1 pages moved, 1 busy; page 0x10000 is pinned by gpu0 (frame 256)"]
    );
}
