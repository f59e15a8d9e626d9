//! Reading text from left to right, with the place of what cannot be read.

use std::fmt;

/// What could not be read, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for TextError {}

/// What could not be read: a message, and the text from the offending place to the end of what was being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) rest_len: usize,
}

impl Unreadable {
    /// `rest` is a suffix of the text being read.
    pub(super) fn at(rest: &str, message: impl Into<String>) -> Unreadable {
        Unreadable { message: message.into(), rest_len: rest.len() }
    }

    pub(super) fn in_line(self, line: usize, text: &str) -> TextError {
        let bytes = text.len().saturating_sub(self.rest_len);
        let column = text.char_indices().take_while(|(i, _)| *i < bytes).count() + 1;
        TextError { line, column, message: self.message }
    }
}

/// A piece of text for a message, shortened.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let text = text.trim_end();
    if text.chars().count() <= SHOWN {
        return format!("`{text}`");
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("`{head}`...")
}

/// The number at the start of `text`, decimal or `0x`; and what follows.
pub(super) fn number(text: &str) -> Result<(u64, &str), Unreadable> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let len = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(len);
    match u64::from_str_radix(digits, radix) {
        Ok(n) => Ok((n, rest)),
        Err(_) if digits.is_empty() => Err(Unreadable::at(text, format!("expected a number, found {}", quoted(text)))),
        Err(_) => Err(Unreadable::at(text, format!("{} does not fit in 64 bits", quoted(text)))),
    }
}

/// The hexadecimal number without prefix at the start of `text`; and what follows.
pub(super) fn hex(text: &str) -> Result<(u64, &str), Unreadable> {
    let len = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    u64::from_str_radix(digits, 16)
        .map(|n| (n, rest))
        .map_err(|_| Unreadable::at(text, format!("expected a hexadecimal number, found {}", quoted(text))))
}

/// What follows `prefix`.
pub(super) fn expect<'t>(text: &'t str, prefix: &str) -> Result<&'t str, Unreadable> {
    text.strip_prefix(prefix).ok_or_else(|| Unreadable::at(text, format!("expected `{prefix}`, found {}", found(text))))
}

fn found(text: &str) -> String {
    if text.trim().is_empty() { "the end of the line".to_owned() } else { quoted(text) }
}
