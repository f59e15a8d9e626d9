//! `docs/scenario-language.md` says what the crate does.

mod common;

use common::{SKETCH, vocabulary};
use scenario::{DriverWord, MmOp, SYNC_POINTS, TaskWord, Word, parse_with};

const REFERENCE: &str = include_str!("../../../docs/scenario-language.md");

#[test]
fn the_example_of_the_reference_parses() {
    let example = REFERENCE.split("```").nth(1).expect("a code block");
    let parsed = parse_with(&vocabulary(), "scenario-language.md", example);
    assert!(parsed.is_ok(), "{parsed:#?}");
}

#[test]
fn the_scenario_the_tests_mutate_has_every_statement_of_tasks() {
    for word in TaskWord::ALL.iter().map(|w| w.word()) {
        let mut words = SKETCH.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        assert!(words.any(|w| w == word), "{word}");
    }
}

#[test]
fn the_grammar_has_every_word_and_every_sync_point() {
    let grammar = REFERENCE.split("```").nth(3).expect("the grammar");
    let words = TaskWord::ALL.iter().map(|w| w.word()).chain(MmOp::ALL.iter().map(|w| w.word()));
    for word in words.chain(DriverWord::ALL.iter().map(|w| w.word())) {
        assert!(grammar.contains(&format!("\"{word}\"")), "{word}");
    }
    for point in SYNC_POINTS {
        assert!(REFERENCE.contains(&format!("`{point}`")), "{point}");
    }
}
