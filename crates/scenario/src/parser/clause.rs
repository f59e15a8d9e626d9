//! `order`, `steer` and `assert`.

use super::setup::starters;
use super::{Parsed, Parser};
use crate::ast::{Assertion, Comparison, Counted, Pin, PinPoint, Steer, SteeredChoice, Taken};
use crate::lexer::TokenKind;
use crate::span::Spanned;
use crate::suggest;
use crate::words::{AssertWord, Word};

impl Parser<'_> {
    /// `{ A < B [< C ..] .. }`; a chain becomes its pairs.
    pub(super) fn order(&mut self, pins: &mut Vec<Spanned<Pin>>) -> Parsed<()> {
        self.block(&[], |p| {
            let mut before = p.pin_point()?;
            if *p.kind() != TokenKind::Less {
                return Err(p.expected("`<` and what happens later"));
            }
            while p.eat(&TokenKind::Less) {
                let after = p.pin_point()?;
                let span = before.span.to(after.span);
                let next = after.clone();
                pins.push(Spanned::new(Pin { before, after }, span));
                before = next;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// `TASK@POINT`
    fn pin_point(&mut self) -> Parsed<Spanned<PinPoint>> {
        let start = self.pos;
        let task = self.name("a pin such as `task@notifier.range_start`")?;
        self.expect(&TokenKind::At, "`@` and a sync point")?;
        let point = self.dotted("a sync point")?;
        let pin = PinPoint { task: task.node, point };
        Ok(Spanned::new(pin, self.span_since(start)))
    }

    /// Words joined by dots.
    fn dotted(&mut self, what: &str) -> Parsed<String> {
        let mut path = String::new();
        loop {
            let Some(word) = self.word() else {
                return Err(self.expected(what));
            };
            path.push_str(word);
            self.bump();
            if !self.eat(&TokenKind::Dot) {
                return Ok(path);
            }
            path.push('.');
        }
    }

    /// `{ TASK CHOICE NTH takes (OPTION | MM ADDR | TASK) .. }`
    pub(super) fn steers(&mut self) -> Parsed<Vec<Spanned<Steer>>> {
        self.block(&[], |p| {
            let start = p.pos;
            let task = p.name("a task's name")?;
            let choice: Spanned<SteeredChoice> =
                p.corrected("a choice", &[], |_, word, span| Ok(Spanned::new(word, span)))?;
            let nth = p.small("which choice of the task it is, from 1", 1)?;
            if p.eat_word("takes").is_none() {
                return Err(p.expected("`takes` and the number of an option"));
            }
            let takes = p.taken(choice.node)?;
            Ok(Spanned::new(Steer { task, choice, nth, takes }, p.span_since(start)))
        })
    }

    /// What a steered choice takes; a page has a place, a CPU a task, the other options have only numbers.
    fn taken(&mut self, choice: SteeredChoice) -> Parsed<Spanned<Taken>> {
        let start = self.pos;
        let taken = if choice == SteeredChoice::Victim && self.word().is_some() {
            Taken::Page { mm: self.mm_name()?, addr: self.addr()?.node }
        } else if matches!(choice, SteeredChoice::Interrupt | SteeredChoice::Timer) && self.word().is_some() {
            Taken::Cpu(self.name("a task's name")?)
        } else {
            Taken::Option(self.small("the number of an option", 0)?.node)
        };
        Ok(Spanned::new(taken, self.span_since(start)))
    }

    /// A number of at least `least` that fits 32 bits.
    fn small(&mut self, what: &str, least: u32) -> Parsed<Spanned<u32>> {
        let number = self.number(what)?;
        let fits = u32::try_from(*number).ok().filter(|n| *n >= least);
        if fits.is_none() {
            let message = format!("{} is not possible as {what}", *number);
            self.report(crate::diagnostic::Diagnostic::new(number.span, message));
        }
        Ok(Spanned::new(fits.unwrap_or(least), number.span))
    }

    pub(super) fn asserts(&mut self) -> Parsed<Vec<Spanned<Assertion>>> {
        self.block(&starters::<AssertWord>(), |p| {
            let start = p.pos;
            let assertion = p.corrected("an assertion", &[], |p, word, _| p.assertion(word))?;
            Ok(Spanned::new(assertion, p.span_since(start)))
        })
    }

    fn assertion(&mut self, word: AssertWord) -> Parsed<Assertion> {
        let counted = match word {
            AssertWord::Callbacks => {
                let device = self.name("a device's name")?;
                self.expect(&TokenKind::Dot, "`.` and a callback")?;
                let callback = self.name("a callback")?;
                Counted::Callbacks { device, callback }
            }
            AssertWord::Acquired => Counted::Acquired { class: self.foreign_name("a lock class")? },
            AssertWord::Allocations => {
                if self.eat_word("under").is_none() {
                    return Err(self.expected("`under` and a lock class"));
                }
                Counted::AllocationsUnder { class: self.foreign_name("a lock class")? }
            }
            AssertWord::Edge => return self.edge(true),
            AssertWord::No => {
                if self.eat_word("edge").is_none() {
                    return Err(self.expected("`edge`"));
                }
                return self.edge(false);
            }
            AssertWord::ReclaimInvalidations => Counted::ReclaimInvalidations,
            AssertWord::BlockedTasks => Counted::BlockedTasks,
        };
        Ok(Assertion::Count { counted, comparison: self.comparison()?, value: self.number("a number")? })
    }

    fn edge(&mut self, present: bool) -> Parsed<Assertion> {
        let from = self.foreign_name("a lock class")?;
        self.expect(&TokenKind::Arrow, "`->` and a lock class")?;
        let to = self.foreign_name("a lock class")?;
        Ok(Assertion::Edge { present, from, to })
    }

    fn comparison(&mut self) -> Parsed<Spanned<Comparison>> {
        let comparison = match self.kind() {
            TokenKind::Equal => Comparison::Equal,
            TokenKind::AtLeast => Comparison::AtLeast,
            TokenKind::AtMost => Comparison::AtMost,
            _ => {
                let all = Comparison::ALL.iter().map(|c| c.word());
                return Err(self.expected_with_help("a comparison", suggest::one_of(all)));
            }
        };
        Ok(Spanned::new(comparison, self.bump()))
    }
}
