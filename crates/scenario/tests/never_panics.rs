//! Whatever the input, parsing ends with a scenario or with diagnostics that can be shown.

mod common;

use common::{SKETCH, vocabulary};
use proptest::prelude::*;
use scenario::parse_with;

/// Parses, and checks what holds of any outcome.
fn parse_anything(text: &str) -> Result<(), TestCaseError> {
    let diagnostics = match parse_with(&vocabulary(), "fuzz.mms", text) {
        Ok(scenario) => {
            let again = parse_with(&vocabulary(), "again.mms", &scenario.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&scenario));
            return Ok(());
        }
        Err(diagnostics) => diagnostics,
    };
    prop_assert!(!diagnostics.is_empty());
    for pair in diagnostics.windows(2) {
        prop_assert!(pair[0].span.start <= pair[1].span.start, "not in order");
    }
    for d in &diagnostics {
        prop_assert!(text.get(d.span.start..d.span.end).is_some(), "{:?}", d.span);
        prop_assert!(!d.message.contains('\n'));
    }
    // Showing is quadratic in the size of the text; the first and the last are enough.
    for d in diagnostics.iter().take(1).chain(diagnostics.last()) {
        prop_assert!(d.render("fuzz.mms", text, false).contains("fuzz.mms"));
        prop_assert!(!d.render("", "", true).is_empty());
        prop_assert!(!d.render("x", "é", false).is_empty());
    }
    Ok(())
}

/// Pieces of the language, so that random files get beyond the first token.
const PIECES: &[&str] = &[
    "scenario",
    "\"t\"",
    "machine",
    "cpus",
    "max_steps",
    "2",
    "64M",
    "annotations",
    "prime",
    "fs_reclaim",
    "mm",
    "A",
    "vma",
    "0x10000..0x50000",
    "0x1001..0x2000",
    "rw",
    "anon",
    "file",
    "offset",
    "device",
    "toy",
    ":",
    "interval",
    "list",
    "i915_userptr",
    "(",
    ")",
    ",",
    "{",
    "}",
    "{",
    "}",
    "mutex",
    "l",
    "on",
    "invalidate",
    "range",
    "op",
    "go",
    "with",
    "read",
    "zap",
    "retry",
    "read_begin",
    "check_retry",
    "if",
    "blockable",
    "else",
    "refuse",
    "task",
    "t",
    "munmap",
    "alloc",
    "1",
    "GFP_KERNEL",
    "reclaim",
    "pages",
    "repeat",
    "notify",
    "nonblock",
    "sync",
    "toy.go",
    "toy.l",
    "order",
    "steer",
    "takes",
    "@",
    "<",
    "mm.zap",
    "never",
    "quirks",
    "stale",
    "assert",
    "callbacks",
    "edge",
    "->",
    "==",
    "\n",
    "\n",
    ";",
    "#",
    "%",
    "\"",
    "é",
    "..",
    "6.12",
    "kernel",
    "-",
    "=",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn random_text(text in "\\PC{0,200}|[ -~\n]{0,400}|(?s).{0,100}") {
        parse_anything(&text)?;
    }

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        parse_anything(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn random_pieces(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..120)) {
        parse_anything(&pieces.join(" "))?;
    }

    #[test]
    fn a_valid_file_with_pieces_lost_put_in_and_swapped(
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..12_usize, proptest::sample::select(PIECES)),
            1..5,
        ),
    ) {
        let mut text = SKETCH.to_owned();
        for (at, lost, piece) in edits {
            let start = at.index(text.len());
            let end = (start + lost).min(text.len());
            let range = text.floor_char_boundary(start)..text.ceil_char_boundary(end);
            text.replace_range(range, piece);
        }
        parse_anything(&text)?;
    }
}

#[test]
fn every_prefix_of_a_valid_file() {
    for end in 0..=SKETCH.len() {
        if let Err(e) = parse_anything(&SKETCH[..end]) {
            panic!("at {end}: {e}");
        }
    }
}

#[test]
fn one_lost_token_costs_few_diagnostics() {
    // Without comments: a word lost at the end of one would make the next line a comment.
    let lines = SKETCH.lines().map(|line| line.split('#').next().unwrap_or(line));
    let sketch = lines.collect::<Vec<_>>().join("\n");
    let words: Vec<&str> = sketch.split_inclusive(char::is_whitespace).collect();
    for lost in 0..words.len() {
        let kept = words.iter().enumerate().filter(|&(i, _)| i != lost);
        let text: String = kept.map(|(_, w)| *w).collect();
        if let Err(found) = parse_with(&vocabulary(), "t.mms", &text) {
            assert!(found.len() <= 4, "without `{}`: {found:#?}", words[lost]);
        }
    }
}
