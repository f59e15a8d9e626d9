//! The conformance suite names the mistake: drivers that are right pass, and each of the mistakes that people make is found
//! by the finding it should be found by, in a case that fits.

#[path = "sabotage/idle.rs"]
mod idle;
mod sabotage;
#[path = "sabotage/list.rs"]
mod sabotage_list;
/// What `new driver --family list` writes.
#[path = "../../examples/toy-driver/list/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own where it is written")]
mod toy_list;

use harness::conformance::{self, Report, Suite};
use harness::drivers::HasKind;
use harness::{Experiment, Registry};
use idle::IDLE;
use sabotage::Sabotaged;
use sabotage_list::SabotagedList;

fn registry() -> Registry {
    harness::install_panic_hook();
    Registry::builtin().with(Sabotaged::KIND).with(SabotagedList::KIND).with(toy_list::Toy::KIND)
}

fn suite(driver: &str, mutant: Option<&str>) -> Suite {
    let suite = Suite::new(&registry(), driver, "shootdown").expect("the driver").as_found();
    mutant.map_or(Ok(suite.clone()), |m| suite.mutant(m)).expect("the mutant")
}

fn all(driver: &str, mutant: Option<&str>) -> Report {
    let suite = suite(driver, mutant);
    Report { driver: driver.to_owned(), outcomes: suite.cases().iter().map(|case| suite.run(case, None)).collect() }
}

/// The codes that a case finds in a mutant of the sabotaged driver.
#[track_caller]
fn codes(mutant: &str, case: &str) -> Vec<String> {
    let suite = suite("sabotaged", Some(mutant));
    let outcome = suite.run(suite.case(case).expect("the case"), None);
    outcome.codes().into_iter().map(str::to_owned).collect()
}

#[test]
fn drivers_that_are_right_pass_every_case() {
    for driver in ["sabotaged", "sabotaged_list", "interval_mirror", "i915_userptr", "toy"] {
        let report = all(driver, None);
        assert!(report.passed(), "{}", report.to_text());
        let runs: u64 = report.outcomes.iter().map(|o| o.runs).sum();
        assert!(runs > 4_000, "{driver}: {runs} runs");
    }
}

#[test]
fn each_of_five_mistakes_is_named_by_its_finding() {
    for (mistake, case, expect) in [
        ("skip-retry", "lifecycle", "SEQ"),
        ("sleep-in-nonblocking", "nonblocking", "CTX"),
        ("allocate-under-the-lock", "lifecycle", "LD-CIRCULAR"),
        ("ignore-partial-overlap", "munmap-over-the-left-edge", "STALE"),
        ("forget-unregister", "lifecycle", "LIFE"),
    ] {
        let report = all("sabotaged", Some(mistake));
        assert!(report.codes().contains(&expect), "{mistake}: {:?}", report.codes());
        let outcome = report.outcomes.iter().find(|o| o.case == case).expect("the case");
        assert!(outcome.codes().contains(&expect), "{mistake}: {case}: {:?}", outcome.codes());
    }
}

/// The mistakes that the compiler keeps an honest author of the list family from, and those it cannot see.
#[test]
fn each_mistake_of_a_list_driver_is_named_by_its_finding() {
    for (mistake, case, expect) in [
        ("skip-retry", "reclaim-races-use", "STALE"),
        ("forget-begin", "reclaim-races-use", "STALE"),
        ("forget-end", "munmap-middle", "PROG-DEADLOCK"),
        ("forget-close", "exit-while-mapped", "STALE-HARM"),
        ("forget-unregister", "lifecycle", "LIFE"),
        ("ignore-partial-overlap", "munmap-everything", "STALE"),
        ("zap-without-lock", "reclaim-races-use", "STALE"),
        ("allocate-under-the-lock", "lifecycle", "CTX"),
        ("leak-on-allocation-failure", "allocations-fail", "LIFE"),
    ] {
        let suite = suite("sabotaged_list", Some(mistake));
        let outcome = suite.run(suite.case(case).expect("the case"), None);
        let elsewhere = || {
            let report = all("sabotaged_list", Some(mistake));
            report.outcomes.iter().map(|o| format!("{} {:?}", o.case, o.codes())).collect::<Vec<_>>()
        };
        assert!(outcome.codes().contains(&expect), "{mistake}: {case}: {:?} {:#?}", outcome.codes(), elsewhere());
    }
}

/// A driver with entries for 2 MiB that takes away those for 4 KiB alone: nothing shows it but a part of a huge page that goes.
#[test]
fn a_big_entry_that_outlives_a_part_of_its_pages_is_found_in_both_families() {
    for driver in ["sabotaged", "sabotaged_list"] {
        let report = all(driver, Some("zap-small-only"));
        let failed: Vec<&str> = report.outcomes.iter().filter(|o| !o.passed()).map(|o| o.case.as_str()).collect();
        assert_eq!(failed, ["huge-page", "huge-entry-loses-a-part"], "{driver}");
        for outcome in report.outcomes.iter().filter(|o| !o.passed()) {
            assert!(outcome.codes().contains(&"STALE"), "{driver}: {}: {:?}", outcome.case, outcome.codes());
        }
    }
}

#[test]
fn a_mistake_is_found_where_it_matters_and_nowhere_else() {
    let failed = |mistake| -> Vec<String> {
        let report = all("sabotaged", Some(mistake));
        report.outcomes.iter().filter(|o| !o.passed()).map(|o| o.case.clone()).collect()
    };
    assert_eq!(failed("sleep-in-nonblocking"), ["nonblocking", "nonblocking-races-map", "nested-brackets"]);
    let edges = failed("ignore-partial-overlap");
    assert!(edges.iter().all(|case| !case.contains("middle")), "{edges:?}");
    // Every case but those that never remove the device, or end with it removed and the process alive.
    assert!(failed("forget-unregister").len() > 25);
}

#[test]
fn a_panic_an_error_and_idleness_fail_their_cases_with_their_place_and_the_suite_goes_on() {
    let report = all("sabotaged", Some("panic-in-callback"));
    let panics = report.outcomes.iter().filter(|o| o.codes().contains(&"PANIC")).count();
    assert!(panics > 15, "{}", report.tail());
    let text = &report.outcomes.iter().flat_map(|o| &o.failures).find(|f| f.code == "PANIC").expect("a panic").text;
    assert!(text.contains("tests/tests/sabotage/mod.rs:") && text.contains("was not expected"), "{text}");
    assert_eq!(codes("panic-in-map", "lifecycle"), ["PANIC"]);
    assert_eq!(codes("wrong-error", "lifecycle"), ["CONFORM-ERROR"]);
    assert_eq!(codes("wrong-error", "munmap-races-map"), ["CONFORM-ERROR"]);
    // Its device faults for ever, which is EBUSY.
    assert_eq!(codes("publish-nothing", "lifecycle"), ["CONFORM-ERROR"]);
    assert_eq!(codes("spin-with-operations", "lifecycle"), ["PROG-LIVELOCK"]);
    assert!(codes("refuse-always", "munmap-middle").contains(&"ORD-CALLBACK".to_owned()));
    assert!(codes("skip-set-seq", "munmap-races-map").contains(&"STALE".to_owned()));
    assert!(!codes("zap-without-lock", "munmap-races-map").is_empty());
}

/// What is wrong on the way out when there is no memory: an oops, and a driver that is of no use any more. No other case sees them.
#[test]
fn what_a_driver_does_wrong_without_memory_is_found_by_the_cases_about_that_alone() {
    for (mistake, expect) in [("oops-on-allocation-failure", "PANIC"), ("gives-up-for-good", "CONFORM-ERROR")] {
        assert_eq!(codes(mistake, "allocations-fail"), [expect], "{mistake}");
        for case in ["lifecycle", "munmap-middle", "nonblocking", "copy-on-write"] {
            assert_eq!(codes(mistake, case), [] as [&str; 0], "{mistake}: {case}");
        }
    }
    let suite = suite("toy", None);
    let outcome = suite.run(suite.case("allocations-fail").expect("the case"), None);
    assert!(outcome.passed() && outcome.runs > 66, "{} runs", outcome.runs);
}

#[test]
fn a_failure_is_shown_by_a_scenario_that_is_smaller_and_shows_it_again() {
    let suite = Suite::new(&registry(), "sabotaged", "shootdown").expect("the driver");
    let suite = suite.mutant("ignore-partial-overlap").expect("the mutant");
    let outcome = suite.run(suite.case("munmap-over-the-left-edge").expect("the case"), None);
    let failure = outcome.failures.iter().find(|f| f.shrunk.is_some()).expect("one is shrunk");
    let shrunk = failure.shrunk.as_ref().expect("it");
    assert!(shrunk.scenario.lines().count() < outcome.scenario.lines().count(), "{}", shrunk.scenario);
    assert!(shrunk.about.contains("every benign run"), "{}", shrunk.about);
    let smaller = Experiment::load(&registry(), "smaller.mms", &shrunk.scenario).expect("a scenario");
    let recipe = harness::Recipe { mode: harness::Mode::Benign, seed: 3, run: 0 };
    let found = smaller.run(recipe, false).findings;
    assert!(found.iter().any(|f| f.code == failure.code), "{found:?}");
    let text = Report { driver: "sabotaged".to_owned(), outcomes: vec![outcome.clone()] }.to_text();
    assert!(text.contains("shrunk for STALE") && text.contains(&shrunk.scenario), "{text}");
}

#[test]
fn silence_is_believed_only_of_a_driver_that_does_something() {
    let suite = Suite::new(&Registry::builtin().with(IDLE), "idle", "shootdown").expect("the driver");
    let codes = |case| suite.run(suite.case(case).expect("the case"), None).failures.into_iter().map(|f| f.code);
    assert_eq!(codes("lifecycle").collect::<Vec<_>>(), ["CONFORM-IDLE"]);
    assert_eq!(codes("munmap-middle").count(), 0, "only the first case asks");
    // One whose roles are no operations is refused.
    let none = harness::drivers::DriverKind { name: "none", ops: &[], ..IDLE };
    let refused = Suite::new(&Registry::builtin().with(none), "none", "shootdown").err();
    assert!(refused.is_some_and(|why| why.contains("its operation `map` does `map`, and has none")));
}

/// Nothing is passed over in silence: neither a case nor a line of one.
#[test]
fn what_a_driver_has_no_operation_for_is_skipped_with_the_reason_and_what_is_left_out_is_said() {
    let run = |driver: &str, case: &str| {
        let suite = Suite::new(&Registry::builtin(), driver, "shootdown").expect("the driver");
        suite.run(suite.case(case).expect("the case"), None)
    };
    let skipped = run("sgx_encl", "lifecycle");
    assert!(!skipped.passed() && !skipped.is_failure() && skipped.runs == 0);
    let why = "no operation of `sgx_encl` does map, map_write, write";
    assert_eq!(skipped.line(), format!("test lifecycle ... skipped: {why}\n"));
    assert_eq!(skipped.ktap(3), format!("ok 3 lifecycle # SKIP {why}\n"));
    assert_eq!(run("kvm", "lifecycle").line(), "test lifecycle ... ok, without unmap\n");
    assert_eq!(run("kvm", "lifecycle").ktap(1), "# lifecycle, without unmap\nok 1 lifecycle\n");
    let only = Report { driver: "sgx_encl".to_owned(), outcomes: vec![skipped] };
    assert!(
        !only.passed() && only.tail().contains("nothing was run. 0 passed; 0 failed; 1 skipped"),
        "{}",
        only.tail()
    );
    let refused = conformance::scenario(&Registry::builtin(), "conformance:sgx_encl/lifecycle");
    assert_eq!(refused, Some(Err(why.to_owned())));
}

#[test]
fn errors_and_idleness_are_shown_by_less_in_which_the_driver_of_reference_does_neither() {
    let less = |registry: Registry, driver: &str, mutant: Option<&str>, case: &str| {
        let suite = Suite::new(&registry, driver, "shootdown").expect("the driver");
        let suite = mutant.map_or(Ok(suite.clone()), |m| suite.mutant(m)).expect("the mutant");
        let outcome = suite.run(suite.case(case).expect("the case"), None);
        let shrunk = outcome.failures[0].shrunk.clone().unwrap_or_else(|| panic!("{:#?}", outcome.failures));
        assert!(shrunk.about.contains("every benign run"), "{}", shrunk.about);
        shrunk.scenario
    };
    let body =
        |text: &str| text.split_once("task ").map(|(_, body)| body.split_whitespace().collect::<Vec<_>>().join(" "));
    let wrong = less(registry(), "sabotaged", Some("wrong-error"), "munmap-races-map");
    assert_eq!(body(&wrong).as_deref(), Some("dev { gpu0.map 0x10000..0x11000 }"), "{wrong}");
    // The mapping stays: without it the error would be right.
    assert!(wrong.contains("vma 0x10000.."), "{wrong}");
    let again = less(registry(), "sabotaged", Some("gives-up-for-good"), "allocations-fail");
    assert!(again.contains("user fail 1 takes 1") && again.matches("gpu0.").count() == 2, "{again}");
    let idle = less(Registry::builtin().with(IDLE), "idle", None, "lifecycle");
    assert_eq!(body(&idle).as_deref(), Some("user { gpu0.read 0x11000 }"), "{idle}");
}

/// The suite is for any driver: each that is shipped passes what it has operations for.
#[test]
fn every_shipped_driver_passes_what_it_has_operations_for() {
    let mut told = String::new();
    for kind in harness::drivers::builtin() {
        let suite =
            Suite::new(&Registry::builtin(), kind.name, "shootdown").expect("its roles are operations").as_found();
        let outcomes: Vec<_> = suite.cases().iter().map(|case| suite.run(case, None)).collect();
        let report = Report { driver: kind.name.to_owned(), outcomes };
        if !report.passed() {
            told.push_str(&report.to_text());
        }
        let run = report.outcomes.iter().filter(|o| o.skipped.is_none()).count();
        let fewest = if kind.roles.map.is_some() { report.outcomes.len() } else { 5 };
        assert!(run >= fewest, "{}: {run} cases run", kind.name);
    }
    assert!(told.is_empty(), "{told}");
}

#[test]
fn the_suite_says_the_same_twice_and_its_replay_lines_lead_to_what_it_found() {
    let (one, two) = (all("sabotaged", Some("skip-set-seq")), all("sabotaged", Some("skip-set-seq")));
    assert_eq!(one, two);
    assert_eq!(one.to_ktap(), two.to_ktap());
    let mut replayed = 0;
    for (outcome, failure) in one.outcomes.iter().flat_map(|o| o.failures.iter().map(move |f| (o, f))) {
        // shootdown replay TOKEN conformance:sabotaged/CASE --set gpu0.mutant=..
        let words: Vec<&str> = failure.replay.split(' ').collect();
        let [_, "replay", token, name, settings @ ..] = words.as_slice() else { panic!("{}", failure.replay) };
        let text = conformance::scenario(&registry(), name).expect("a name of the suite").expect("a case");
        let loaded = Experiment::load(&registry(), name, &text).expect("a scenario");
        let set = settings.chunks(2).map(|pair| pair[1]);
        let experiment = set.fold(loaded, |e, s| e.with_setting(s).expect("a setting"));
        let again = experiment.replay(&token.parse().expect("a token"), false).expect("the same run");
        assert!(again.findings.iter().any(|f| f.code == failure.code && f.title == failure.title), "{}", outcome.case);
        replayed += 1;
    }
    assert!(replayed > 5, "{replayed}");
}

#[test]
fn results_read_like_a_test_list_and_like_ktap() {
    let report = all("sabotaged", Some("sleep-in-nonblocking"));
    let text = report.to_text();
    for part in [
        "running 40 conformance cases against sabotaged\n",
        "\ntest lifecycle ... ok\n",
        "\ntest nonblocking ... FAILED: CTX\n",
        "\n---- nonblocking ----\nscenario \"",
        "\nreplay: shootdown replay sd1-",
        "\ntest result: FAILED. 37 passed; 3 failed; ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let ktap = report.to_ktap();
    assert!(ktap.starts_with("KTAP version 1\n1..40\nok 1 lifecycle\n"), "{ktap}");
    let results = ktap.lines().skip(2).filter(|line| !line.starts_with("# "));
    for (number, line) in results.enumerate() {
        let ok = line.strip_prefix("not ").unwrap_or(line);
        assert!(ok.starts_with(&format!("ok {} ", number + 1)), "{line}");
    }
}

#[test]
fn names_that_are_not_there_are_refused_with_a_suggestion() {
    let no = |name: &str| conformance::scenario(&registry(), name).map(Result::err);
    assert_eq!(no("sim/scenarios/x.mms"), None);
    assert!(no("conformance:gpu9/lifecycle").flatten().is_some_and(|why| why.contains("no driver `gpu9`")));
    assert!(no("conformance:sabotaged/lifecycel").flatten().is_some_and(|why| why.contains("`lifecycle`?")));
    let why = suite("sabotaged", None).mutant("x").err();
    assert!(why.is_some_and(|why| why.contains("no mutant `x`")));
}

/// Mutants of shipped drivers that no case shows: what they do wrong is in an operation that no other driver has (slots and the cache
/// of `kvm`, `bind`, `prefetch`, `split`, `close`), or comes about only where one task is held between two steps (`ignore-seq`,
/// `mmput-in-callback`). Scenarios of their own find them.
const NOT_FOUND: &[(&str, &[&str])] = &[
    ("amdkfd_svm", &["mmput-in-callback", "insert-without-users", "unref-unlocked", "migrate-recursively"]),
    (
        "kvm",
        &["ignore-seq", "slots-change-in-bracket", "skips-invalid-slots", "gpc-maps-in-loop", "gpc-ignores-active"],
    ),
    ("nouveau_svm", &["binds-from-hole"]),
    ("sgx_encl", &["release-takes-mmap-lock"]),
];

#[test]
fn the_suite_finds_the_mutants_of_shipped_drivers_but_for_those_whose_operations_it_does_not_call() {
    let mut missed = Vec::new();
    for kind in harness::drivers::builtin() {
        let finds = |mutant: &str| {
            let suite = Suite::new(&Registry::builtin(), kind.name, "shootdown").and_then(|suite| suite.mutant(mutant));
            let suite = suite.expect("the mutant").as_found();
            suite.cases().iter().any(|case| suite.run(case, None).is_failure())
        };
        let of: Vec<&str> = kind.mutants.iter().map(|mutant| mutant.name).filter(|mutant| !finds(mutant)).collect();
        if !of.is_empty() {
            missed.push((kind.name, of));
        }
    }
    let expect: Vec<(&str, Vec<&str>)> = NOT_FOUND.iter().map(|(driver, of)| (*driver, of.to_vec())).collect();
    assert_eq!(missed, expect);
}
