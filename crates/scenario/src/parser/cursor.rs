//! Moving over tokens: looking, taking, blocks, and going on after a mistake.

use super::{MAX_DEPTH, Parsed, Parser, Reported};
use crate::ast::Name;
use crate::diagnostic::Diagnostic;
use crate::lexer::{Token, TokenKind};
use crate::lost::Namespace;
use crate::span::{Span, Spanned};
use crate::suggest;
use crate::words::{Section, Word};

impl<'t> Parser<'t> {
    pub(super) fn kind(&self) -> &TokenKind {
        &self.tokens[self.pos].kind
    }

    /// The token `n` further on; the end of the file beyond it.
    fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.pos + n).min(self.tokens.len() - 1)]
    }

    pub(super) fn kind_ahead(&self, n: usize) -> &TokenKind {
        &self.ahead(n).kind
    }

    pub(super) fn span(&self) -> Span {
        self.tokens[self.pos].span
    }

    pub(super) fn slice(&self, span: Span) -> &'t str {
        &self.text[span.start..span.end]
    }

    /// The word here, if it is one.
    pub(super) fn word(&self) -> Option<&'t str> {
        (*self.kind() == TokenKind::Word).then(|| self.slice(self.span()))
    }

    /// Takes the token here. The end of the file is never passed.
    pub(super) fn bump(&mut self) -> Span {
        let span = self.span();
        if *self.kind() != TokenKind::End {
            self.pos += 1;
        }
        span
    }

    pub(super) fn eat(&mut self, kind: &TokenKind) -> bool {
        let here = self.kind() == kind;
        if here {
            self.bump();
        }
        here
    }

    pub(super) fn eat_word(&mut self, word: &str) -> Option<Span> {
        (self.word() == Some(word)).then(|| self.bump())
    }

    pub(super) fn expect(&mut self, kind: &TokenKind, what: &str) -> Parsed<Span> {
        if self.kind() == kind {
            return Ok(self.bump());
        }
        Err(self.expected(what))
    }

    /// The end of the last token taken.
    fn previous_end(&self) -> usize {
        self.pos.checked_sub(1).map_or(0, |last| self.tokens[last].span.end)
    }

    /// From token `start` to the last one taken.
    pub(super) fn span_since(&self, start: usize) -> Span {
        let begin = self.tokens[start].span;
        Span::new(begin.start, self.previous_end().max(begin.start))
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports that `what` should stand here. Where the statement is simply over, the caret goes
    /// behind what is there instead of under the next line.
    pub(super) fn expected(&mut self, what: &str) -> Reported {
        let token = &self.tokens[self.pos];
        let over = matches!(token.kind, TokenKind::CloseBrace | TokenKind::Semicolon | TokenKind::End);
        let missing = self.pos > 0 && (over || token.line_first);
        if token.kind == TokenKind::Error && !missing {
            return Reported;
        }
        let diagnostic = if missing {
            Diagnostic::new(Span::at(self.previous_end()), format!("missing: {what}")).label("expected here")
        } else {
            let found = match token.kind {
                TokenKind::End => "the end of the file".to_owned(),
                _ => format!("`{}`", abbreviated(self.slice(token.span))),
            };
            Diagnostic::new(token.span, format!("expected {what}, found {found}"))
        };
        self.report(diagnostic);
        Reported
    }

    /// The same, with help.
    pub(super) fn expected_with_help(&mut self, what: &str, help: Option<String>) -> Reported {
        let before = self.diagnostics.len();
        let reported = self.expected(what);
        if let Some(last) = self.diagnostics.get_mut(before) {
            last.help = help;
        }
        reported
    }

    /// A word of the closed set `W`.
    pub(super) fn choice<W: Word>(&mut self, what: &str) -> Parsed<Spanned<W>> {
        let all = || W::ALL.iter().map(|w| w.word());
        let Some(word) = self.word() else {
            return Err(self.expected_with_help(what, suggest::one_of(all())));
        };
        match W::from_word(word) {
            Some(choice) => Ok(Spanned::new(choice, self.bump())),
            None => Err(self.expected_with_help(what, suggest::help(word, all()))),
        }
    }

    /// Parses what begins with a word of `W`. A word that is only nearly one is reported, and then
    /// read as the one it was meant to be, so that what it declares is known and the rest of it is
    /// looked at. `others` are further words to suggest. The word is taken before `parse` is called.
    pub(super) fn corrected<W: Word, T>(
        &mut self,
        what: &str,
        others: &[&str],
        parse: impl FnOnce(&mut Self, W, Span) -> Parsed<T>,
    ) -> Parsed<T> {
        self.corrected_among(what, W::ALL, others, parse)
    }

    /// The same with only some words of `W` allowed.
    pub(super) fn corrected_among<W: Word, T>(
        &mut self,
        what: &str,
        allowed: &[W],
        others: &[&str],
        parse: impl FnOnce(&mut Self, W, Span) -> Parsed<T>,
    ) -> Parsed<T> {
        let words = || allowed.iter().map(|w| w.word()).chain(others.iter().copied());
        let Some(word) = self.word() else {
            return Err(self.expected_with_help(what, suggest::one_of(words())));
        };
        let span = self.span();
        if let Some(&meant) = allowed.iter().find(|w| w.word() == word) {
            self.bump();
            return parse(self, meant, span);
        }
        let message = format!("expected {what}, found `{}`", abbreviated(word));
        self.report(Diagnostic::new(span, message).help(suggest::help(word, words())));
        let near = suggest::nearest(word, words());
        let Some(&meant) = allowed.iter().find(|w| Some(w.word()) == near) else {
            return Err(Reported);
        };
        let reported = self.diagnostics.len();
        self.bump();
        let parsed = parse(self, meant, span);
        if parsed.is_err() {
            // The guess did not fit: what was said on its account is worth nothing.
            self.diagnostics.truncate(reported);
        }
        parsed
    }

    /// A name: any word that is not the beginning of a section.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        let Some(word) = self.word() else {
            return Err(self.expected(what));
        };
        let span = self.span();
        if Section::from_word(word).is_some() {
            let message = format!("`{word}` is a word of the language and cannot be {what}");
            self.report(Diagnostic::new(span, message));
            return Err(Reported);
        }
        self.bump();
        Ok(Spanned::new(word.to_owned(), span))
    }

    /// A name that this place declares.
    pub(super) fn declared(&mut self, what: &str, namespace: Namespace) -> Parsed<Name> {
        let name = self.name(what);
        if name.is_err() {
            self.lost.name_of(namespace);
        }
        name
    }

    /// Parses what stands before a block. If that fails but a `{` follows on the same line, `None`:
    /// the block is to be read all the same, for the mistakes in it.
    pub(super) fn header<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<Option<T>> {
        let start = self.pos;
        if let Ok(header) = parse(self) {
            return Ok(Some(header));
        }
        while self.in_statement(start) && *self.kind() != TokenKind::OpenBrace {
            self.bump();
        }
        if *self.kind() != TokenKind::OpenBrace {
            return Err(Reported);
        }
        self.note_lost(start);
        Ok(None)
    }

    /// Whether the token here may still belong to the statement that began at token `start`.
    fn in_statement(&self, start: usize) -> bool {
        let over = matches!(self.kind(), TokenKind::CloseBrace | TokenKind::Semicolon | TokenKind::End);
        let next_line = self.tokens[self.pos].line_first && self.pos > start;
        !over && !next_line && !self.at_section()
    }

    /// `{ ITEM .. }`. Items may be separated by `;` or `,`, and need not be. `starters` are the words
    /// an item can begin with: after a mistake the next of them on the line is where to go on.
    pub(super) fn block<T>(
        &mut self,
        starters: &[&str],
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let open = self.open_brace(starters)?;
        if self.depth == MAX_DEPTH {
            return Err(self.too_deep(open));
        }
        self.depth += 1;
        let mut items = Vec::new();
        while !self.block_ends(open) {
            let start = self.pos;
            if *self.kind() == TokenKind::Error {
                self.recover(start, starters);
                continue;
            }
            match item(self) {
                Ok(item) => items.push(item),
                Err(Reported) => self.recover(start, starters),
            }
        }
        self.depth -= 1;
        Ok(items)
    }

    /// `{`. Where only that is missing, before what could be the first item on the same line, it is
    /// reported and taken as read: its `}` is most likely there.
    fn open_brace(&mut self, starters: &[&str]) -> Parsed<Span> {
        let here = self.span();
        let forgotten = !self.tokens[self.pos].line_first && self.word().is_some_and(|word| starters.contains(&word));
        match self.expect(&TokenKind::OpenBrace, "`{`") {
            Err(Reported) if forgotten => Ok(Span::at(here.start)),
            opened => opened,
        }
    }

    /// Passes separators, and the `}` if it is there. A block that is not closed ends at the next
    /// section or with the file, and is reported once.
    fn block_ends(&mut self, open: Span) -> bool {
        while self.eat(&TokenKind::Semicolon) || self.eat(&TokenKind::Comma) {}
        if self.eat(&TokenKind::CloseBrace) {
            return true;
        }
        if *self.kind() != TokenKind::End && !self.at_section() {
            // Whatever was reported as unclosed before, this block still has something in it.
            self.unclosed = false;
            return false;
        }
        if !self.unclosed {
            let span = Span::at(self.previous_end());
            self.report(Diagnostic::new(span, "missing: `}`").label("expected here").secondary(open, "to close this"));
        }
        self.unclosed = true;
        true
    }

    fn too_deep(&mut self, open: Span) -> Reported {
        let message = format!("blocks are nested more than {MAX_DEPTH} deep");
        self.report(Diagnostic::new(open, message));
        let mut depth = 1;
        while depth > 0 && *self.kind() != TokenKind::End {
            match self.kind() {
                TokenKind::OpenBrace => depth += 1,
                TokenKind::CloseBrace => depth -= 1,
                _ => {}
            }
            self.bump();
        }
        // A file that ends inside has one mistake to mend first.
        self.unclosed = depth > 0;
        Reported
    }

    /// Whether a section begins here. Section words are reserved, but may be the first part of a
    /// sync point (`mm.zap`).
    fn at_section(&self) -> bool {
        let Some(section) = self.word().and_then(Section::from_word) else {
            return false;
        };
        let next = self.kind_ahead(1);
        match section {
            Section::Scenario => matches!(next, TokenKind::Text(_)),
            Section::Kernel => matches!(next, TokenKind::Version | TokenKind::Number(_)),
            Section::Mm | Section::Device | Section::Task | Section::Irq | Section::Softirq | Section::Timer => {
                *next == TokenKind::Word
            }
            Section::Expect
            | Section::Machine
            | Section::Annotations
            | Section::Globals
            | Section::Order
            | Section::Steer
            | Section::Never
            | Section::Quirks
            | Section::Behaviours
            | Section::Assert => *next == TokenKind::OpenBrace,
        }
    }

    /// Skips the rest of an item that began at token `start` and was given up: to the next line, the
    /// next `;`, the next word that can begin an item, past one block, but not out of this one.
    fn recover(&mut self, start: usize, starters: &[&str]) {
        loop {
            let moved = self.pos > start;
            match self.kind() {
                TokenKind::End | TokenKind::CloseBrace => break,
                TokenKind::Semicolon if moved => break,
                TokenKind::OpenBrace => {
                    self.skip_block();
                    break;
                }
                _ if moved && (self.tokens[self.pos].line_first || self.at_section()) => break,
                _ if moved && self.word().is_some_and(|w| starters.contains(&w)) => break,
                _ => {
                    self.bump();
                }
            }
        }
        self.note_lost(start);
    }

    /// Skips to the next section after one that began at token `start` and was given up.
    pub(super) fn recover_at_top(&mut self, start: usize) {
        let mut depth = 0_usize;
        while *self.kind() != TokenKind::End && !(self.pos > start && self.at_section()) {
            let after_block = depth == 0 && self.pos > start && self.tokens[self.pos].line_first;
            if after_block && self.nearly_at_section() {
                break;
            }
            match self.kind() {
                TokenKind::OpenBrace => depth += 1,
                TokenKind::CloseBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.bump();
        }
        self.note_lost(start);
    }

    /// Whether the word here may be meant to begin a section. Any other word would be reported as
    /// no section, line by line, where an opening brace is all that is missing.
    fn nearly_at_section(&self) -> bool {
        let sections = Section::ALL.iter().map(|s| s.word());
        self.word().is_some_and(|word| suggest::nearest(word, sections).is_some())
    }

    /// Passes the block that begins here.
    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.kind() {
                TokenKind::OpenBrace => depth += 1,
                TokenKind::CloseBrace => depth -= 1,
                TokenKind::End => return,
                _ => {}
            }
            self.bump();
            if depth == 0 || self.at_section() {
                return;
            }
        }
    }

    /// Remembers the words from token `start` to here as possibly declared.
    fn note_lost(&mut self, start: usize) {
        for token in &self.tokens[start..self.pos] {
            if token.kind == TokenKind::Word {
                self.lost.word(&self.text[token.span.start..token.span.end]);
            }
        }
    }
}

/// A token as quoted in a message.
fn abbreviated(token: &str) -> String {
    match token.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &token[..cut]),
        None => token.to_owned(),
    }
}
