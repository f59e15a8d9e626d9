//! Text to tokens. Knows no grammar: words are not yet keywords.
//!
//! A word is `[A-Za-z_]` and then letters, digits, `_`, and `-` where a letter or digit follows
//! (finding codes are words: `LD-CIRCULAR`). Newlines separate nothing, but each token knows whether
//! it is the first of its line: that is where recovery from a mistake may stop.

use crate::diagnostic::Diagnostic;
use crate::span::Span;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TokenKind {
    Word,
    Number(u64),
    /// Two decimal numbers with a dot: `6.12`.
    Version,
    /// A quoted string, unescaped.
    Text(String),
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    Comma,
    Semicolon,
    Colon,
    Dot,
    DotDot,
    At,
    Less,
    AtLeast,
    AtMost,
    Equal,
    Arrow,
    /// Something already reported here.
    Error,
    End,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
    pub(crate) line_first: bool,
}

/// Whether `text` can be a scenario at all: no control characters but tab and line ends.
pub(crate) fn is_text(text: &str) -> bool {
    first_control(text).is_none()
}

/// The byte offset of the first character that no text file has.
pub(crate) fn first_control(text: &str) -> Option<usize> {
    text.char_indices().find(|&(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r')).map(|(at, _)| at)
}

/// The tokens of `text`, the last one [`TokenKind::End`], and what was wrong with them.
pub(crate) fn lex(text: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer = Lexer { text, at: 0, line_first: true, tokens: Vec::new(), diagnostics: Vec::new() };
    lexer.run();
    (lexer.tokens, lexer.diagnostics)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line_first: bool,
    tokens: Vec<Token>,
    diagnostics: Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        // A byte order mark is not text. Anywhere else it is a stray character like any other.
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.line_first = true;
                    self.at += 1;
                }
                c if c.is_whitespace() => self.at += c.len_utf8(),
                '#' => self.take_while(|c| c != '\n'),
                '"' => self.string(),
                c if c.is_ascii_digit() => self.number(),
                c if starts_word(c) => self.word(),
                _ => self.punctuation(),
            }
        }
        self.push(TokenKind::End, self.at);
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|c| !keep(c)).unwrap_or(rest.len());
    }

    /// The token from `start` to here.
    fn push(&mut self, kind: TokenKind, start: usize) {
        self.tokens.push(Token { kind, span: Span::new(start, self.at), line_first: self.line_first });
        self.line_first = false;
    }

    fn error(&mut self, start: usize, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
        self.push(TokenKind::Error, start);
    }

    fn word(&mut self) {
        let start = self.at;
        loop {
            self.take_while(|c| starts_word(c) || c.is_ascii_digit());
            let mut rest = self.text[self.at..].chars();
            let dash = rest.next() == Some('-');
            if !(dash && rest.next().is_some_and(|c| c.is_ascii_alphanumeric())) {
                break;
            }
            self.at += 1;
        }
        self.push(TokenKind::Word, start);
    }

    fn number(&mut self) {
        let start = self.at;
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        let digits = &self.text[start..self.at];
        if digits.bytes().all(|b| b.is_ascii_digit()) && self.fraction_follows() {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
            self.push(TokenKind::Version, start);
            return;
        }
        match number(digits) {
            Ok(value) => self.push(TokenKind::Number(value), start),
            Err(help) => {
                let span = Span::new(start, self.at);
                let message = format!("`{digits}` is not a number");
                self.error(start, Diagnostic::new(span, message).help(help));
            }
        }
    }

    /// Whether `.` and a digit come next (`..` is a range).
    fn fraction_follows(&self) -> bool {
        let mut rest = self.text[self.at..].chars();
        rest.next() == Some('.') && rest.next().is_some_and(|c| c.is_ascii_digit())
    }

    fn string(&mut self) {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        let mut bad_escape = None;
        loop {
            let at = self.at;
            match self.peek() {
                None | Some('\n') => {
                    let span = Span::new(start, self.at);
                    let unclosed = Diagnostic::new(span, "this string has no end")
                        .help("a string ends with `\"` on the line it began on".to_owned());
                    return self.error(start, unclosed);
                }
                Some('"') => {
                    self.at += 1;
                    break;
                }
                Some('\\') => match self.escape() {
                    Some(c) => value.push(c),
                    None => bad_escape = bad_escape.or(Some(Span::new(at, self.at))),
                },
                Some(c) => {
                    self.at += c.len_utf8();
                    value.push(c);
                }
            }
        }
        match bad_escape {
            None => self.push(TokenKind::Text(value), start),
            Some(span) => {
                let unknown = Diagnostic::new(span, "unknown escape in a string")
                    .help("one of `\\\"`, `\\\\`, `\\n`, `\\t`, `\\u{1F600}`; a plain backslash is `\\\\`".to_owned());
                self.error(start, unknown);
            }
        }
    }

    /// What the escape at the backslash here stands for; moves past it either way.
    fn escape(&mut self) -> Option<char> {
        self.at += 1;
        let c = self.peek().filter(|&c| c != '\n')?;
        self.at += c.len_utf8();
        match c {
            '"' | '\\' => Some(c),
            'n' => Some('\n'),
            't' => Some('\t'),
            'u' => {
                let digits = self.text[self.at..].strip_prefix('{')?;
                let (digits, _) = digits.split_once('}')?;
                let value = u32::from_str_radix(digits, 16).ok()?;
                let escaped = char::from_u32(value)?;
                self.at += digits.len() + 2;
                Some(escaped)
            }
            _ => None,
        }
    }

    fn punctuation(&mut self) {
        const TABLE: [(&str, TokenKind); 15] = [
            ("..", TokenKind::DotDot),
            ("->", TokenKind::Arrow),
            ("==", TokenKind::Equal),
            (">=", TokenKind::AtLeast),
            ("<=", TokenKind::AtMost),
            ("{", TokenKind::OpenBrace),
            ("}", TokenKind::CloseBrace),
            ("(", TokenKind::OpenParen),
            (")", TokenKind::CloseParen),
            (",", TokenKind::Comma),
            (";", TokenKind::Semicolon),
            (":", TokenKind::Colon),
            (".", TokenKind::Dot),
            ("@", TokenKind::At),
            ("<", TokenKind::Less),
        ];
        let start = self.at;
        let rest = &self.text[start..];
        if let Some((sign, kind)) = TABLE.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return self.push(kind.clone(), start);
        }
        self.take_while(is_stray);
        // `is_stray` is false for signs that are only half of one of the table (`=`, `-`, `>`).
        if self.at == start {
            self.at += 1;
        }
        let span = Span::new(start, self.at);
        let stray: String = self.text[start..self.at].chars().take(16).collect();
        let message = format!("`{}` means nothing here", stray.escape_debug());
        let help = match stray.as_str() {
            "=" => Some("a comparison is `==`, `>=` or `<=`".to_owned()),
            ">" => Some("a pin is written earlier `<` later, a comparison `>=`".to_owned()),
            "-" => Some("numbers are not negative; an edge is `\"a\" -> \"b\"`".to_owned()),
            "/" => Some("a comment begins with `#`".to_owned()),
            _ => None,
        };
        self.error(start, Diagnostic::new(span, message).help(help));
    }
}

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// A character that begins no token: a run of them is one mistake.
fn is_stray(c: char) -> bool {
    !(c.is_whitespace() || c.is_ascii_alphanumeric() || "_#\"{}(),;:.@<>=-".contains(c))
}

/// The value of `digits`, or what a number looks like.
fn number(digits: &str) -> Result<u64, String> {
    let plain = digits.replace('_', "");
    let (value, unit) = match plain.strip_prefix("0x") {
        Some(hex) => (u64::from_str_radix(hex, 16), 1),
        None => {
            let (decimal, unit) = size(&plain);
            (decimal.parse::<u64>(), unit)
        }
    };
    match value.as_ref().map(|&v| v.checked_mul(unit)) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(TOO_LARGE.to_owned()),
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => Err(TOO_LARGE.to_owned()),
        Err(_) => Err(number_help(&plain)),
    }
}

const TOO_LARGE: &str = "numbers have 64 bits: the largest is `0xffff_ffff_ffff_ffff`";

/// Splits `64M` into its digits and what they count.
fn size(digits: &str) -> (&str, u64) {
    for (suffix, unit) in [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)] {
        if let Some(decimal) = digits.strip_suffix(suffix) {
            return (decimal, unit);
        }
    }
    (digits, 1)
}

fn number_help(digits: &str) -> String {
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (count, unit) = digits.split_at(end);
    match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => format!("did you mean `{count}K`?"),
        "m" | "mb" | "mib" => format!("did you mean `{count}M`?"),
        "g" | "gb" | "gib" => format!("did you mean `{count}G`?"),
        _ => "numbers are decimal `4096`, hexadecimal `0x1000` or sizes `4K`, `64M`, `1G`".to_owned(),
    }
}
