//! The question of the 2019 thread: what a lockdep map around the callbacks finds from one run in which nothing
//! deadlocks, and what it takes for it to stay silent.

use system_tests::{codes, run, shipped};

/// The lock order of the report, as the kernel prints it: `-> #n (name)`, innermost first.
fn chain(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| l.strip_prefix("-> #"))
        .filter_map(|l| Some(l.split_once(" (")?.1.split_once("){")?.0.to_owned()))
        .collect()
}

/// The source lines printed in the dependency chain.
fn source_lines(text: &str) -> std::collections::BTreeSet<String> {
    text.lines()
        .skip_while(|l| !l.starts_with("-> #"))
        .take_while(|l| !l.starts_with("other info"))
        .filter_map(|l| {
            let word = l.split_whitespace().find(|w| w.contains(".rs:"))?;
            Some(word.to_owned())
        })
        .collect()
}

#[test]
fn one_benign_run_of_the_2019_driver_gives_the_circular_report() {
    let report = run(&shipped("userptr-reclaim.mms", &[]));
    assert!(report.verdict.as_expected(), "{:?}", report.verdict.problems);
    assert_eq!(codes(&report), ["LD-CIRCULAR"]);
    assert_eq!(report.end.word(), "finished");
    assert!(report.summary().contains("reclaim invalidations delivered: 0, tasks blocked at the end: 0"));

    let text = &report.findings[0].text;
    assert!(text.contains("WARNING: possible circular locking dependency detected"), "{text}");
    let mut classes = chain(text);
    classes.sort();
    assert_eq!(classes, ["&obj->mm.lock", "fs_reclaim", "mmu_notifier_invalidate_range_start"], "{text}");
    assert!(text.contains("Possible unsafe locking scenario:") && text.contains(" *** DEADLOCK ***"), "{text}");
    assert!(source_lines(text).len() >= 3, "three distinct source lines: {:?}\n{text}", source_lines(text));
}

#[test]
fn the_finding_does_not_depend_on_the_order_of_the_two_tasks() {
    for seed in 0..40 {
        let experiment = shipped("userptr-reclaim.mms", &[&format!("seed={seed}")]);
        let report = run(&experiment);
        assert_eq!(codes(&report), ["LD-CIRCULAR"], "seed {seed}");
    }
}

/// Runs a scenario that is silent (or loud) as shipped, and its twin with one setting flipped.
#[track_caller]
fn flips(file: &str, as_shipped: &[&str], setting: &str, flipped: &[&str]) {
    let report = run(&shipped(file, &[]));
    assert!(report.verdict.as_expected(), "{file}: {:?}", report.verdict.problems);
    assert_eq!(codes(&report), as_shipped, "{file}");
    let twin = run(&shipped(file, &[setting]));
    assert_eq!(codes(&twin), flipped, "{file} with {setting}");
}

#[test]
fn no_map_is_silent_and_the_map_is_loud() {
    flips("userptr-no-map.mms", &[], "range_start=global", &["LD-CIRCULAR"]);
}

#[test]
fn no_priming_is_silent_and_priming_is_loud() {
    flips("userptr-unprimed.mms", &[], "prime=fs_reclaim", &["LD-CIRCULAR"]);
}

#[test]
fn reclaim_of_a_strangers_page_is_enough_when_every_mm_is_wrapped() {
    flips("userptr-unprimed-reclaim.mms", &["LD-CIRCULAR"], "wrap_start=subscribed", &[]);
    flips("userptr-unprimed-subscribed.mms", &[], "wrap_start=always", &["LD-CIRCULAR"]);
}

#[test]
fn reclaim_of_a_subscribed_mm_is_enough_when_only_those_are_wrapped() {
    flips("userptr-subscribed-reclaim.mms", &["LD-CIRCULAR"], "range_start=none", &[]);
}

#[test]
fn what_srcu_hides_from_lockdep_since_6_4() {
    flips("userptr-srcu-checked.mms", &[], "srcu=unchecked", &["LD-CIRCULAR"]);
}

#[test]
fn the_corrected_driver_is_silent_under_every_setting() {
    let choices: [(&str, &[&str]); 6] = [
        ("range_start", &["none", "global", "per_mm", "per_mm_class"]),
        ("range_end", &["none", "shared", "own"]),
        ("wrap_start", &["always", "subscribed"]),
        ("wrap_end", &["always", "subscribed"]),
        ("prime", &["none", "registration", "take_all_locks", "fs_reclaim", "registration,take_all_locks,fs_reclaim"]),
        ("touch", &["none", "read_begin", "remove", "read_begin,remove"]),
    ];
    let combinations: usize = choices.iter().map(|(_, values)| values.len()).product();
    for n in 0..combinations {
        let mut rest = n;
        let settings: Vec<String> = choices
            .iter()
            .map(|(key, values)| {
                let value = values[rest % values.len()];
                rest /= values.len();
                format!("{key}={value}")
            })
            .collect();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let report = run(&shipped("userptr-corrected.mms", &settings));
        assert!(report.verdict.as_expected(), "{settings:?}: {:?}", report.verdict.problems);
        assert!(report.callbacks.iter().any(|(s, h, n)| s == "gpu0" && *h == "invalidate" && *n > 0), "{settings:?}");
        assert!(report.allocations > 0, "{settings:?}");
    }
    // The same file is loud with the old driver.
    let twin = run(&shipped("userptr-corrected.mms", &["gpu0.mutant=2019"]));
    assert!(codes(&twin).contains(&"LD-CIRCULAR"), "{:?}", codes(&twin));
}
