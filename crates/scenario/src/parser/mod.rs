//! Tokens to tree: recursive descent, one file per section of the language.
//!
//! Protocol: a function that cannot go on reports the mistake and returns [`Reported`]; the block
//! around it catches that, skips to where the next item may begin ([`Parser::recover`]) and goes on.
//! A mistake in a *value* (a range that is not aligned) is reported and a value that fits is used,
//! because nothing has to be skipped for it.

mod clause;
mod cursor;
mod device;
mod driver;
mod globals;
mod setup;
mod task;
mod value;

pub(crate) use value::PROTS;

use crate::ast::{KernelPreset, Scenario};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Token, TokenKind};
use crate::lost::Lost;
use crate::span::{Span, Spanned};
use crate::suggest;
use crate::vocabulary::Vocabulary;
use crate::words::{Section, Word};
use std::collections::BTreeMap;

/// Blocks may be nested this deep, the outermost counted.
pub const MAX_DEPTH: usize = 64;

/// A mistake was reported; the caller has nothing to add.
pub(crate) struct Reported;

pub(crate) type Parsed<T> = Result<T, Reported>;

/// What parsing leaves behind: a scenario without the parts that were given up.
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) lost: Lost,
}

pub(crate) struct Parser<'t> {
    text: &'t str,
    // invariant: the last token is `End`
    tokens: Vec<Token>,
    // invariant: an index into `tokens`
    pos: usize,
    depth: usize,
    known: &'t Vocabulary,
    diagnostics: Vec<Diagnostic>,
    lost: Lost,
    /// A missing `}` was reported; it is missing in every block around as well.
    unclosed: bool,
}

/// Parses the tokens of `text`.
pub(crate) fn parse(text: &str, tokens: Vec<Token>, known: &Vocabulary) -> Outcome {
    let mut parser = Parser {
        text,
        tokens,
        pos: 0,
        depth: 0,
        known,
        diagnostics: Vec::new(),
        lost: Lost::default(),
        unclosed: false,
    };
    let scenario = parser.scenario();
    Outcome { scenario, diagnostics: parser.diagnostics, lost: parser.lost }
}

impl Parser<'_> {
    fn scenario(&mut self) -> Scenario {
        let mut scenario = Scenario::default();
        let mut seen = BTreeMap::new();
        loop {
            while self.eat(&TokenKind::Semicolon) {}
            match self.kind() {
                TokenKind::End => break,
                TokenKind::CloseBrace => {
                    let span = self.bump();
                    let stray = Diagnostic::new(span, "this `}` closes nothing");
                    self.report(stray);
                }
                TokenKind::Error => self.recover_at_top(self.pos),
                _ => {
                    let start = self.pos;
                    let section = self.corrected("a section", &[], |p, word, span| {
                        p.once(word, span, &mut seen);
                        p.section(&mut scenario, word)
                    });
                    if let Err(Reported) = section {
                        self.recover_at_top(start);
                    }
                }
            }
        }
        if !seen.contains_key(&Section::Scenario) && !self.lost.has_word("scenario") {
            self.missing_title();
        }
        scenario
    }

    fn section(&mut self, scenario: &mut Scenario, word: Section) -> Parsed<()> {
        match word {
            Section::Scenario => scenario.title = self.text_value("the scenario's title in quotes")?,
            Section::Kernel => scenario.kernel = Some(self.kernel()?),
            Section::Expect => scenario.expect.extend(self.name_list("a finding code")?),
            Section::Machine => self.machine(&mut scenario.machine)?,
            Section::Annotations => self.annotations(&mut scenario.annotations)?,
            Section::Mm => scenario.mms.push(self.mm()?),
            Section::Globals => scenario.globals.extend(self.globals()?),
            Section::Device => scenario.devices.push(self.device()?),
            Section::Task => {
                // Before all handlers: their places are no business of the file's.
                let task = self.task()?;
                let at = scenario.tasks.partition_point(|other| other.interrupt.is_none());
                scenario.tasks.insert(at, task);
            }
            Section::Irq | Section::Softirq | Section::Timer => scenario.tasks.push(self.interrupt(word)?),
            Section::Order => self.order(&mut scenario.order)?,
            Section::Steer => scenario.steer.extend(self.steers()?),
            Section::Quirks => scenario.quirks.extend(self.name_list("a quirk")?),
            Section::Behaviours => scenario.behaviours.extend(self.name_list("a behaviour")?),
            Section::Never => scenario.never.extend(self.name_list("a kind of finding")?),
            Section::Assert => scenario.asserts.extend(self.asserts()?),
        }
        Ok(())
    }

    /// Reports a second section of a kind that makes sense once.
    fn once(&mut self, word: Section, span: Span, seen: &mut BTreeMap<Section, Span>) {
        let many = matches!(
            word,
            Section::Mm | Section::Device | Section::Task | Section::Irq | Section::Softirq | Section::Timer
        );
        if let (Some(&first), false) = (seen.get(&word), many) {
            self.report(
                Diagnostic::new(span, format!("`{word}` appears twice"))
                    .secondary(first, "first here")
                    .help("put both into one".to_owned()),
            );
        }
        seen.entry(word).or_insert(span);
    }

    fn missing_title(&mut self) {
        let span = self.tokens[0].span;
        self.report(
            Diagnostic::new(span, "the scenario has no title")
                .help("begin the file with `scenario \"what it shows\"`".to_owned()),
        );
    }

    fn kernel(&mut self) -> Parsed<Spanned<KernelPreset>> {
        let span = self.span();
        if !matches!(self.kind(), TokenKind::Version | TokenKind::Number(_)) {
            return Err(self.expected("a kernel version such as `6.12`"));
        }
        self.bump();
        let written = self.slice(span);
        let preset = KernelPreset::from_word(written).filter(|p| self.known.kernels.contains(p));
        // A preset that fits, so that one wrong word costs one diagnostic.
        if preset.is_none() {
            let message = format!("no preset for kernel {written}");
            let help = suggest::one_of(self.known.kernels.iter().map(|k| k.word()));
            self.report(Diagnostic::new(span, message).help(help));
        }
        Ok(Spanned::new(preset.unwrap_or(KernelPreset::V6_12), span))
    }
}
