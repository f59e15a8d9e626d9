//! Scenario text (`.mms`) to a syntax tree and back, with diagnostics. Executes nothing.
//!
//! [`parse_with`] turns text into a [`Scenario`], or into every mistake in it at
//! once. A scenario prints itself in canonical form (`Display`): parsing what was printed gives an
//! equal tree. Comments and layout are lost on the way. `docs/scenario-language.md` is the reference
//! of the language.
//!
//! The stages, one module each: `lexer` (text to tokens), `parser` (tokens to tree; goes on at the
//! next statement after a mistake), `check` (names, duplicates, what fits where), `print`. Which
//! drivers, finding codes and sync points exist is told by the caller in a [`Vocabulary`], so that
//! this crate depends on none of them.
//!
//! **Protocol of a mistake.** Whoever sees one reports it once and then either goes on with a value
//! that fits (a range that is not aligned is widened) or gives up on the statement. Names that may
//! have been declared in text that was given up are not reported as undefined: one mistake, one
//! diagnostic.

pub mod ast;
mod check;
mod diagnostic;
mod lexer;
mod lost;
mod parser;
mod print;
mod span;
mod suggest;
mod vocabulary;
mod words;

pub use ast::Scenario;
pub use diagnostic::Diagnostic;
pub use parser::MAX_DEPTH;
pub use span::{Position, Source, Span, Spanned};
pub use suggest::nearest;
pub use vocabulary::{DriverWords, OptionKind, Parameter, ParameterKind, RangeRule, SYNC_POINTS, Vocabulary};
pub use words::{DriverWord, MmOp, OperandKind, TaskWord, Word};

/// Parses and checks a scenario as far as the language alone can: drivers, options, finding codes
/// and kinds of `never` may have any name. For formatters; to run a scenario use [`parse_with`].
///
/// # Errors
/// Every mistake in the file, in source order; never empty.
pub fn parse(file_name: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    run(&Vocabulary::builtin_only(), true, file_name, text)
}

/// Parses and checks a scenario against all that `known` knows.
///
/// `file_name` is only remembered, for [`Source`]; no file is read. A leading byte order mark and
/// carriage returns are white space.
///
/// # Errors
/// Every mistake in the file, in source order; never empty.
pub fn parse_with(known: &Vocabulary, file_name: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    run(known, false, file_name, text)
}

/// `open`: whether names that `known` lacks are to be taken on trust.
fn run(known: &Vocabulary, open: bool, file_name: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    if let Some(unreadable) = unreadable(text) {
        return Err(vec![unreadable]);
    }
    let (tokens, mut diagnostics) = lexer::lex(text);
    let parsed = parser::parse(text, tokens, known);
    diagnostics.extend(parsed.diagnostics);
    diagnostics.extend(check::check(&parsed.scenario, known, open, &parsed.lost));
    if diagnostics.is_empty() {
        let source = Source::new(file_name, text);
        return Ok(Scenario { source, ..parsed.scenario });
    }
    diagnostics.sort_by_key(|d| (d.span.start, d.span.end));
    Err(diagnostics)
}

/// What is wrong with a file that is no scenario at all: one mistake, not one per byte.
fn unreadable(text: &str) -> Option<Diagnostic> {
    if let Some(at) = lexer::first_control(text) {
        let message = format!("this is not a text file: it has a control character at byte {at}");
        return Some(Diagnostic::new(Span::at(at), message));
    }
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        let help = "a scenario begins with `scenario \"what it shows\"`".to_owned();
        return Some(Diagnostic::new(Span::at(0), "the file is empty").help(help));
    }
    None
}
