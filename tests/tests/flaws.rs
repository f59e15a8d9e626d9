//! Flaws of the real protocol: each is found in one run as it is, and its fix, a behaviour, is enough.

use harness::{Experiment, ExplorePlan, Mode, Recipe};
use std::ops::ControlFlow;
use system_tests::{codes, shipped};

const FIXES: &str = "behaviours=undo-refused-start,close-bracket-at-zero";

fn explored(experiment: &Experiment, runs: u64) -> Vec<String> {
    let plan = ExplorePlan { seed: 1, runs, jobs: 1, stop_at_first: false };
    let report = experiment.explore(&plan, &|_| ControlFlow::Continue(()));
    report.findings.into_iter().map(|f| f.found.text).collect()
}

#[track_caller]
fn found_and_fixed(name: &str, fix: &str) {
    let as_it_is = shipped(&format!("flaws/{name}.mms"), &[]);
    let once = Recipe { mode: Mode::Benign, seed: as_it_is.seed(), run: 0 };
    let report = as_it_is.run(once, false);
    assert!(report.verdict.as_expected() && !codes(&report).is_empty(), "{name}: {:?}", report.verdict.problems);
    let fixed = as_it_is.with_setting(&format!("behaviours={fix}")).expect("a setting");
    assert_eq!(codes(&fixed.run(once, false)), Vec::<&str>::new(), "{name}");
    assert_eq!(explored(&fixed, 100), Vec::<String>::new(), "{name}");
}

#[test]
fn a_refused_start_stays_counted_and_undoing_it_is_enough() {
    found_and_fixed("refused-start", "undo-refused-start");
    found_and_fixed("refused-start-reader", "undo-refused-start");
}

#[test]
fn a_bracket_at_address_0_stays_open_and_a_flag_is_enough() {
    found_and_fixed("mprotect-at-zero", "close-bracket-at-zero");
    found_and_fixed("mprotect-at-zero-reader", "close-bracket-at-zero");
}

#[test]
fn a_page_that_came_back_is_read_where_it_was_and_flushing_before_it_leaves_its_cache_is_enough() {
    found_and_fixed("deferred-flush", "flush-before-remove-mapping");
    found_and_fixed("deferred-flush-file", "flush-before-remove-mapping");
}

#[test]
fn adversarial_subscribers_find_the_flaw_by_themselves_and_nothing_beyond_it() {
    let mended = shipped("flaws/adversaries.mms", &[FIXES]);
    assert_eq!(explored(&mended, 300), Vec::<String>::new());
    let as_it_is = shipped("flaws/adversaries.mms", &["behaviours=none"]);
    let found = explored(&as_it_is, 300);
    assert!(found.iter().any(|text| text.contains("PROG-DEADLOCK")), "{found:?}");
}
