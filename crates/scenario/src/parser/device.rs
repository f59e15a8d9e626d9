//! `device`, with a driver's settings or an inline driver.

use super::setup::starters;
use super::{Parsed, Parser, Reported};
use crate::ast::{
    Callback, Device, DeviceBody, DeviceOption, Handler, InlineDriver, InlineKind, Lock, LockKind, Name, NamedDriver,
    Operation, OptionValue,
};
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::lost::Namespace;
use crate::span::{Span, Spanned};
use crate::words::{InlineWord, Word};
use mm_types::PageRange;

type Header = (Name, Name, Name, Option<Spanned<PageRange>>);

impl Parser<'_> {
    /// `device NAME : DRIVER(MM[, RANGE]) [{ .. }]`, after `device`.
    pub(super) fn device(&mut self) -> Parsed<Spanned<Device>> {
        let start = self.pos - 1;
        let header = self.header(Self::device_header)?;
        let driver = header.as_ref().map(|(_, driver, _, _)| driver.as_str());
        let body = if *self.kind() == TokenKind::OpenBrace { self.device_body(driver)? } else { no_body(driver) };
        let (name, driver, mm, range) = header.ok_or(Reported)?;
        let device = Device { name, driver, mm, range, body };
        Ok(Spanned::new(device, self.span_since(start)))
    }

    fn device_header(&mut self) -> Parsed<Header> {
        let name = self.declared("a device's name", Namespace::Device)?;
        self.expect(&TokenKind::Colon, "`:` and the driver")?;
        let driver = self.name("a driver's name")?;
        self.expect(&TokenKind::OpenParen, "`(` and the mm")?;
        let mm = self.mm_name()?;
        let range = match self.eat(&TokenKind::Comma) {
            true => Some(self.range()?),
            false => None,
        };
        self.expect(&TokenKind::CloseParen, "`)`")?;
        Ok((name, driver, mm, range))
    }

    /// The block of a device. A driver that nobody knows is taken for an inline one if its block
    /// looks like one, so that its statements are still read.
    fn device_body(&mut self, driver: Option<&str>) -> Parsed<DeviceBody> {
        let known = driver.is_some_and(|d| self.known.drivers.contains_key(d));
        let inline = driver.and_then(InlineKind::from_word).is_some();
        let first = *self.kind_ahead(1) == TokenKind::Word;
        let first = first.then(|| self.slice(self.tokens[self.pos + 1].span));
        let looks_inline = first.and_then(InlineWord::from_word).is_some();
        if inline || (!known && looks_inline) {
            return Ok(DeviceBody::Inline(self.inline_driver()?));
        }
        Ok(DeviceBody::Named(self.named_driver()?))
    }

    fn named_driver(&mut self) -> Parsed<NamedDriver> {
        let mut driver = NamedDriver::default();
        self.block(&["mutant"], |p| {
            let start = p.pos;
            if let Some(span) = p.eat_word("mutant") {
                let mutant = p.foreign_name("the mutant's name")?;
                p.set_mutant(&mut driver, mutant, span);
                return Ok(());
            }
            if p.word().and_then(InlineWord::from_word).is_some() {
                return Err(p.not_inline());
            }
            let name = p.name("`mutant` or an option")?;
            let value = p.option_value()?;
            let option = DeviceOption { name, value };
            driver.options.push(Spanned::new(option, p.span_since(start)));
            Ok(())
        })?;
        Ok(driver)
    }

    fn set_mutant(&mut self, driver: &mut NamedDriver, mutant: Name, span: Span) {
        if let Some(first) = &driver.mutant {
            let twice = Diagnostic::new(span, "`mutant` is set twice")
                .secondary(first.span, "first here")
                .help("a device is wrong in one way at a time".to_owned());
            self.report(twice);
        } else {
            driver.mutant = Some(mutant);
        }
    }

    fn not_inline(&mut self) -> Reported {
        let span = self.span();
        let message = format!("`{}` belongs to an inline driver", self.slice(span));
        let help = "inline drivers are `interval(MM, RANGE)` and `list(MM)`".to_owned();
        self.report(Diagnostic::new(span, message).help(help));
        Reported
    }

    fn option_value(&mut self) -> Parsed<Spanned<OptionValue>> {
        let value = match self.kind() {
            TokenKind::Number(value) => OptionValue::Number(*value),
            TokenKind::Text(text) => OptionValue::Text(text.clone()),
            _ => OptionValue::Word(self.name("the option's value")?.node),
        };
        // The word was taken with its name, the others are still here.
        let span = match value {
            OptionValue::Word(_) => self.span_since(self.pos - 1),
            _ => self.bump(),
        };
        Ok(Spanned::new(value, span))
    }

    fn inline_driver(&mut self) -> Parsed<InlineDriver> {
        let mut driver = InlineDriver::default();
        self.block(&starters::<InlineWord>(), |p| {
            let start = p.pos;
            p.corrected("a lock, `on` or `op`", &[], |p, word, span| {
                match word {
                    InlineWord::Mutex => p.lock(&mut driver, LockKind::Mutex, span)?,
                    InlineWord::Spinlock => p.lock(&mut driver, LockKind::Spinlock, span)?,
                    InlineWord::Rwsem => p.lock(&mut driver, LockKind::Rwsem, span)?,
                    InlineWord::On => {
                        let handler = p.handler()?;
                        let span = p.span_since(start);
                        driver.handlers.push(Spanned::new(handler, span));
                    }
                    InlineWord::Op => {
                        let operation = p.operation()?;
                        let span = p.span_since(start);
                        driver.operations.push(Spanned::new(operation, span));
                    }
                }
                Ok(())
            })
        })?;
        Ok(driver)
    }

    fn lock(&mut self, driver: &mut InlineDriver, kind: LockKind, span: Span) -> Parsed<()> {
        let name = self.member_name("a lock's name")?;
        let class = match self.eat_word("class") {
            Some(_) => Some(self.foreign_name("a lock class")?),
            None => None,
        };
        let whole = span.to(class.as_ref().map_or(name.span, |c| c.span));
        let kind = Spanned::new(kind, span);
        driver.locks.push(Spanned::new(Lock { kind, name, class }, whole));
        Ok(())
    }

    /// The name of a lock or an operation. Not a word that begins an item: after `mutex`, `rwsem tree`
    /// is a forgotten name and a second lock, not a lock called `rwsem`.
    fn member_name(&mut self, what: &str) -> Parsed<Name> {
        if self.word().and_then(InlineWord::from_word).is_some() {
            self.lost.name_of(Namespace::Member);
            return Err(self.expected(what));
        }
        self.declared(what, Namespace::Member)
    }

    /// `on CALLBACK[(range)] { .. }`, after `on`.
    fn handler(&mut self) -> Parsed<Handler> {
        let header = self.header(|p| {
            let callback = p.choice::<Callback>("a callback")?;
            let takes_range = p.parameter()?;
            p.check_parameter(callback, takes_range);
            Ok(callback)
        })?;
        let body = self.driver_block()?;
        Ok(Handler { callback: header.ok_or(Reported)?, body })
    }

    fn check_parameter(&mut self, callback: Spanned<Callback>, takes_range: bool) {
        if takes_range == callback.takes_range() {
            return;
        }
        let (message, right) = if takes_range {
            (format!("`{}` has no range", *callback), "")
        } else {
            (format!("`{}` has a range", *callback), "(range)")
        };
        let help = format!("write `on {}{right}`", *callback);
        self.report(Diagnostic::new(callback.span, message).help(help));
    }

    /// `op NAME[(range)] { .. }`, after `op`.
    fn operation(&mut self) -> Parsed<Operation> {
        let header = self.header(|p| {
            let name = p.member_name("an operation's name")?;
            Ok((name, p.parameter()?))
        })?;
        let body = self.driver_block()?;
        let (name, takes_range) = header.ok_or(Reported)?;
        Ok(Operation { name, takes_range, body })
    }

    /// `(range)` or nothing.
    fn parameter(&mut self) -> Parsed<bool> {
        if !self.eat(&TokenKind::OpenParen) {
            return Ok(false);
        }
        if self.eat_word("range").is_none() {
            let help = "the one parameter there can be is called `range`".to_owned();
            return Err(self.expected_with_help("`range`", Some(help)));
        }
        self.expect(&TokenKind::CloseParen, "`)`")?;
        Ok(true)
    }
}

/// What a device without a block has.
fn no_body(driver: Option<&str>) -> DeviceBody {
    match driver.and_then(InlineKind::from_word) {
        Some(_) => DeviceBody::Inline(InlineDriver::default()),
        None => DeviceBody::Named(NamedDriver::default()),
    }
}
