//! What the kernel's own suites of memory-management tests check, checked here, and counted: docs/fidelity.md has the counts.
//!
//! A case is one of two kinds. Most are traces (tests/data/mm/peers.jsonl.gz): the calls of the case, with what a running
//! 6.18 did, which passes it. What calls alone cannot do or tell (pins, devices, locks of all memory) is a function in
//! `peer_cases`. The cases were written from descriptions of what each checks.

mod peer_cases;

use harness::mm_trace::{Check, parse};
use peer_cases::{CASES, Case};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One suite of the kernel's.
struct Suite {
    name: &'static str,
    /// How many cases it has.
    cases: u32,
    /// Those that mean something to a simulator of memory management: first, last.
    meaningful: &'static [(u32, u32)],
    /// Those that need a model of something else besides: pins, huge pages, userfaultfd, devices.
    more: &'static [(u32, u32)],
}

const SUITES: [Suite; 10] = [
    Suite { name: "merge.c", cases: 19, meaningful: &[(1, 7), (10, 19)], more: &[(9, 9)] },
    Suite {
        name: "tools/testing/vma",
        cases: 25,
        meaningful: &[(1, 5), (9, 11), (13, 13), (15, 15), (25, 25)],
        more: &[(6, 6)],
    },
    Suite { name: "mremap_test.c", cases: 26, meaningful: &[(1, 25)], more: &[(26, 26)] },
    Suite { name: "mremap_dontunmap.c", cases: 5, meaningful: &[(1, 5)], more: &[] },
    Suite {
        name: "guard-regions.c",
        cases: 30,
        meaningful: &[(1, 2), (4, 17), (19, 28), (30, 30)],
        more: &[(3, 3), (18, 18), (29, 29)],
    },
    Suite { name: "cow.c", cases: 21, meaningful: &[(1, 2), (15, 19)], more: &[(3, 14), (20, 21)] },
    Suite { name: "madv_populate.c", cases: 21, meaningful: &[(1, 16)], more: &[(17, 21)] },
    Suite { name: "mlock2-tests.c", cases: 13, meaningful: &[(1, 13)], more: &[] },
    Suite { name: "map_fixed_noreplace.c", cases: 9, meaningful: &[(1, 9)], more: &[] },
    Suite {
        name: "hmm-tests.c",
        cases: 38,
        meaningful: &[(1, 7), (10, 20), (22, 22), (24, 27), (29, 29), (34, 35)],
        more: &[(8, 8), (21, 21), (23, 23), (28, 28), (30, 33), (36, 38)],
    },
];

fn numbers(ranges: &[(u32, u32)]) -> BTreeSet<u32> {
    ranges.iter().flat_map(|(first, last)| *first..=*last).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The traces, as text.
fn traces() -> String {
    let bytes = fs::read(root().join("tests/data/mm/peers.jsonl.gz")).expect("the traces");
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
    text
}

/// Suite and cases of a trace, from its name: `merge.c 3: what it is about`, or `2-4`.
fn named(name: &str) -> (&str, (u32, u32)) {
    let (place, _) = name.split_once(": ").expect("a name with a colon");
    let (suite, cases) = place.rsplit_once(' ').expect("a suite and its cases");
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{name}: {text} is no number"));
    match cases.split_once('-') {
        Some((first, last)) => (suite, (number(first), number(last))),
        None => (suite, (number(cases), number(cases))),
    }
}

/// The cases of a suite that some trace or function is about.
fn covered(suite: &str, text: &str) -> BTreeSet<u32> {
    let traces = parse(text).expect("traces");
    let by_trace = traces.iter().map(|trace| named(&trace.name)).filter(|(of, _)| *of == suite);
    let by_code = CASES.iter().filter(|case| case.suite == suite).map(|case| case.cases);
    numbers(&by_trace.map(|(_, cases)| cases).chain(by_code).collect::<Vec<_>>())
}

#[test]
fn the_calls_of_the_cases_do_what_they_do_on_a_running_kernel() {
    let text = traces();
    for trace in parse(&text).expect("traces") {
        let checked = Check::default().trace(&trace);
        assert!(checked.is_clean(), "{}{:?}", checked.differences[0], checked.leaks);
    }
}

#[test]
fn an_edited_outcome_of_a_case_is_noticed() {
    let text = traces();
    let edited = text.replacen("\"pm\":[[100,1,\"a\"]", "\"pm\":[[100,1,\"s\"]", 1);
    assert_ne!(text, edited);
    let traces = parse(&edited).expect("traces");
    let differences = traces.iter().map(|trace| Check::default().trace(trace).differences.len());
    assert_eq!(differences.sum::<usize>(), 1);
}

#[test]
#[expect(clippy::print_stdout, reason = "names the case, should it fail")]
fn cases_that_calls_alone_cannot_tell_pass() {
    for Case { suite, cases, what, run } in CASES {
        println!("{suite} {cases:?}: {what}");
        run();
    }
}

#[test]
fn the_table_in_the_documents_has_the_counts() {
    let document = fs::read_to_string(root().join("docs/fidelity.md")).expect("the document");
    let text = traces();
    let (mut all, mut more) = (0, 0);
    for Suite { name, cases, meaningful, more: extra } in SUITES {
        let (meaningful, extra) = (numbers(meaningful), numbers(extra));
        let covered = covered(name, &text);
        let unknown: Vec<&u32> = covered.iter().filter(|n| !meaningful.contains(n) && !extra.contains(n)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let (passing, passing_extra) =
            (covered.intersection(&meaningful).count(), covered.intersection(&extra).count());
        let row =
            format!("| {name} | {cases} | {} | {passing} | {passing_extra} of {} |", meaningful.len(), extra.len());
        let missing: Vec<&u32> = meaningful.union(&extra).filter(|n| !covered.contains(n)).collect();
        assert!(document.contains(&row), "docs/fidelity.md lacks {row:?}; missing are {missing:?}");
        all += passing;
        more += passing_extra;
    }
    let sum = format!("| sum | 207 | 156 | {all} | {more} of 36 |");
    assert!(document.contains(&sum), "docs/fidelity.md lacks {sum:?}");
}
