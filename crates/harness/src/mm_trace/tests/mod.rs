//! What the recordings say; and what is said of edited and of damaged ones.

use super::*;
use flate2::read::GzDecoder;
use proptest::prelude::*;
use std::io::Read;

const CASES: &[u8] = include_bytes!("../../../../../tests/data/mm/cases.jsonl.gz");
const TRACES: &[u8] = include_bytes!("../../../../../tests/data/mm/traces.jsonl.gz");

fn text(gz: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(gz).read_to_string(&mut text).expect("a gzip of text");
    text
}

fn check(check: Check, traces: &[Trace]) -> Checked {
    let mut all = Checked::default();
    traces.iter().for_each(|trace| all.merge(check.trace(trace)));
    all
}

#[track_caller]
fn assert_all_agree(checked: &Checked, traces: u64, operations: u64) {
    let first = checked.differences.first().map(ToString::to_string);
    assert_eq!((first, &checked.leaks[..]), (None, &[][..]));
    assert_eq!((checked.traces_agree, checked.agree, checked.not_followed), (traces, operations, 0));
}

#[test]
fn the_scripted_cases_agree_in_every_layer() {
    assert_all_agree(&check(Check::default(), &parse(&text(CASES)).expect("traces")), 53, 1004);
}

#[test]
fn the_random_traces_agree_in_every_layer() {
    assert_all_agree(&check(Check::default(), &parse(&text(TRACES)).expect("traces")), 300, 18_006);
}

#[test]
fn a_moved_arena_and_traces_without_names_agree_too() {
    let nameless: Vec<String> = text(CASES)
        .lines()
        .map(|line| {
            let mut value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            value.as_object_mut().expect("an object").remove("trace");
            value.to_string()
        })
        .collect();
    let traces = parse(&nameless.join("\n")).expect("traces");
    assert!(traces.iter().all(|trace| trace.name.is_empty()));
    assert_all_agree(&check(Check { arena: ARENA + (1 << 30) }, &traces), 53, 1004);
}

/// The cases with one line edited.
fn edited(line_with: &str, from: &str, to: &str) -> Checked {
    let mut done = false;
    let lines: Vec<String> = text(CASES)
        .lines()
        .map(|line| {
            if !done && line.contains(line_with) && line.contains(from) {
                done = true;
                return line.replacen(from, to, 1);
            }
            line.to_owned()
        })
        .collect();
    assert!(done, "{from:?} is in a line with {line_with:?}");
    check(Check::default(), &parse(&lines.join("\n")).expect("traces"))
}

#[test]
fn an_edited_expectation_is_exactly_that_difference() {
    let cases = [
        ("\"op\":\"write\"", "[4,1,\"a\"]", "[4,1,\"s\"]", Layer::Pages, "page 4: 's'", "page 4: 'a'"),
        (
            "\"op\":\"write\"",
            "\"pm\":[[4,1,\"a\"]]",
            "\"pm\":[[5,1,\"a\"]]",
            Layer::Presence,
            "page 5: 'a'",
            "page 4: 'a'",
        ),
        ("\"op\":\"write\"", "\"ct\":[[4,1,1]]", "\"ct\":[[4,1,9]]", Layer::Contents, "page 4: 9", "page 4: 1"),
        ("\"op\":\"write\"", "\"nf\":1", "\"nf\":2", Layer::Faults, "2", "1"),
        ("\"op\":\"munmap\"", "\"e\":\"EINVAL\"", "\"e\":\"ENOMEM\"", Layer::Result, "ENOMEM", "EINVAL"),
    ];
    for (line_with, from, to, layer, expected, got) in cases {
        let checked = edited(line_with, from, to);
        let [difference] = &checked.differences[..] else { panic!("{from}: {:?}", checked.differences) };
        assert_eq!(
            (difference.layer, difference.expected.as_str(), difference.got.as_str()),
            (layer, expected, got),
            "{difference}"
        );
        assert_eq!((checked.traces_agree, checked.agree + 1 + checked.not_followed), (52, 1004));
    }
}

#[test]
fn an_edited_vma_flag_is_told_as_a_flag() {
    let checked = edited("\"op\":\"madvise\"", " hg\"", " nh\"");
    let [difference] = &checked.differences[..] else { panic!("{:?}", checked.differences) };
    assert_eq!(difference.layer, Layer::Flags, "{difference}");
}

#[test]
fn a_damaged_line_is_named() {
    let header = r#"{"trace":"t","arena_pages":16,"outside_vmas":2,"memlock_pages":96}"#;
    let op = r#"{"i":0,"op":"munmap","addr":0,"len":1,"r":0,"nf":0,"v":[]}"#;
    let cases = [
        (String::new(), 1, "no trace in it"),
        (op.to_owned(), 1, "before the first trace's header"),
        (format!("{header}\n{{"), 2, "not JSON"),
        (format!("{header}\n{}", op.replace("munmap", "mumap")), 2, "unknown operation \"mumap\""),
        (format!("{header}\n{}", op.replace("\"len\":1,", "")), 2, "\"len\" is missing"),
        (format!("{header}\n{op}\n{op}"), 3, "operation 0 where 1 is due"),
        (format!("{header}\n{}", op.replace("\"r\":0", "\"e\":\"EWHAT\"")), 2, "unknown error number"),
        (format!("{header}\n{}", op.replace("\"v\":[]", "\"v\":[[1]]")), 2, "\"v\" has an entry that is none"),
        (header.replace("16", "\"x\""), 1, "\"arena_pages\" is no number"),
    ];
    for (text, line, message) in cases {
        let error = parse(&text).expect_err(&text);
        assert!(error.line == line && error.message.contains(message), "{error} for {text}");
    }
}

proptest! {
    /// A damaged file is refused or it is played; it never panics.
    #[test]
    fn a_file_with_a_byte_changed_is_refused_or_played(at in any::<prop::sample::Index>(), byte in 0x20u8..0x7f) {
        let text = text(CASES);
        let head: String = text.lines().take(40).collect::<Vec<_>>().join("\n");
        let mut bytes = head.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).expect("ASCII");
        if let Ok(traces) = parse(&changed) {
            let _ = check(Check::default(), &traces);
        }
    }
}
