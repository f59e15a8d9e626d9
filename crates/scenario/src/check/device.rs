//! Devices: the driver exists, its settings fit, an inline driver's statements fit where they are.

use super::Checker;
use super::names::{declared_members, walk_driver};
use crate::ast::{
    Device, DeviceBody, DeviceOption, DriverStatement, Handler, InlineDriver, InlineKind, LockKind, LockMode, Name,
    NamedDriver, OptionValue, RangeExpr,
};
use crate::diagnostic::Diagnostic;
use crate::lost::Namespace;
use crate::span::{Span, Spanned};
use crate::suggest;
use crate::vocabulary::{DriverWords, OptionKind, RangeRule};
use crate::words::Word;

/// First parts of sync points that are not devices.
const RESERVED_DEVICES: [&str; 3] = ["alloc", "notifier", "user"];

/// Where a statement of an inline driver stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    driver: &'a InlineDriver,
    kind: InlineKind,
    /// How the place is called in messages: `on invalidate`, `op bind`.
    name: &'a str,
    is_invalidate: bool,
    may_refuse: bool,
    has_range: bool,
    in_retry: bool,
    has_read_begin: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn devices(&mut self) {
        for device in &self.scenario.devices {
            self.device(device);
        }
    }

    fn device(&mut self, device: &'a Device) {
        if RESERVED_DEVICES.contains(&device.name.as_str()) {
            let message = format!("a device cannot be called `{}`", device.name.node);
            let help = format!("sync points `{}` would be ambiguous", device.name.node);
            self.report(Diagnostic::new(device.name.span, message).help(help));
        }
        self.mm_exists(&device.mm);
        let words = self.known.drivers.get(&device.driver.node);
        let kind = InlineKind::from_word(&device.driver);
        match (words, kind) {
            (Some(words), _) => self.range_rule(device, words.range),
            (None, Some(_)) => {}
            (None, None) => return self.unknown_driver(device),
        }
        match (&device.body, words, kind) {
            (DeviceBody::Named(body), Some(words), None) => self.settings(device, body, words),
            (DeviceBody::Inline(body), _, Some(kind)) => self.inline_driver(body, kind),
            _ => {}
        }
    }

    fn unknown_driver(&mut self, device: &Device) {
        // With handlers it is an inline driver of a kind that does not exist, whoever is asked.
        if self.open && matches!(device.body, DeviceBody::Named(_)) {
            return;
        }
        let name = &device.driver;
        let help = suggest::help(name, self.known.drivers.keys().map(String::as_str));
        let message = format!("there is no driver `{}`", name.node);
        self.report(Diagnostic::new(name.span, message).help(help));
    }

    fn range_rule(&mut self, device: &Device, rule: RangeRule) {
        let (driver, mm) = (&device.driver.node, &device.mm.node);
        match (rule, &device.range) {
            (RangeRule::Required, None) => {
                let message = format!("`{driver}` subscribes to a range");
                let help = format!("for example `{driver}({mm}, 0x10000..0x50000)`");
                self.report(Diagnostic::new(device.mm.span, message).help(help));
            }
            (RangeRule::Absent, Some(range)) => {
                let message = format!("`{driver}` hears of the whole mm and takes no range");
                let help = format!("write `{driver}({mm})`");
                self.report(Diagnostic::new(range.span, message).help(help));
            }
            _ => {}
        }
    }

    fn settings(&mut self, device: &Device, body: &NamedDriver, words: &DriverWords) {
        let driver = &device.driver.node;
        if let Some(mutant) = &body.mutant
            && !words.mutants.contains(&mutant.node)
        {
            let allowed = words.mutants.iter().map(String::as_str);
            let help = suggest::help(mutant, allowed);
            let message = format!("driver `{driver}` has no mutant `{}`", mutant.node);
            self.report(Diagnostic::new(mutant.span, message).help(help));
        }
        self.unique("option", body.options.iter().map(|o| &o.name));
        for option in &body.options {
            match words.options.get(&option.name.node) {
                Some(kind) => self.option_value(option, kind),
                None => self.unknown_option(driver, &option.name, words),
            }
        }
    }

    fn unknown_option(&mut self, driver: &str, name: &Name, words: &DriverWords) {
        let allowed = words.options.keys().map(String::as_str);
        let help = suggest::help(name, allowed.chain(["mutant"]));
        let message = format!("driver `{driver}` has no option `{}`", name.node);
        self.report(Diagnostic::new(name.span, message).help(help));
    }

    fn option_value(&mut self, option: &DeviceOption, kind: &OptionKind) {
        let (what, help) = match (kind, &option.value.node) {
            (OptionKind::Number, OptionValue::Number(_))
            | (OptionKind::Text, OptionValue::Word(_) | OptionValue::Text(_)) => return,
            (OptionKind::Word(words), OptionValue::Word(word)) if words.contains(word) => return,
            (OptionKind::Word(words), OptionValue::Word(word)) => {
                let words = words.iter().map(String::as_str);
                ("another word", suggest::help(word, words))
            }
            (OptionKind::Word(words), _) => {
                let words = words.iter().map(String::as_str);
                ("a word", suggest::one_of(words))
            }
            (OptionKind::Number, _) => ("a number", None),
            (OptionKind::Text, _) => ("a string", None),
        };
        let message = format!("option `{}` takes {what}", option.name.node);
        self.report(Diagnostic::new(option.value.span, message).help(help));
    }

    fn inline_driver(&mut self, driver: &'a InlineDriver, kind: InlineKind) {
        self.unique("lock or operation", declared_members(driver));
        self.handlers(driver, kind);
        for op in &driver.operations {
            let name = format!("op {}", op.name.node);
            let place = Place {
                driver,
                kind,
                name: &name,
                is_invalidate: false,
                may_refuse: false,
                has_range: op.takes_range,
                in_retry: false,
                has_read_begin: has_read_begin(&op.body),
            };
            self.driver_body(&op.body, place);
        }
    }

    fn handlers(&mut self, driver: &'a InlineDriver, kind: InlineKind) {
        let mut first: Vec<&Spanned<Handler>> = Vec::new();
        for handler in &driver.handlers {
            let callback = handler.callback;
            if !kind.callbacks().contains(&callback) {
                let message = format!("`{kind}` drivers have no `{}`", *callback);
                let help = suggest::one_of(kind.callbacks().iter().map(|c| c.word()));
                self.report(Diagnostic::new(callback.span, message).help(help));
                continue;
            }
            match first.iter().find(|h| h.callback == callback) {
                Some(earlier) => self.report(
                    Diagnostic::new(callback.span, format!("`on {}` appears twice", callback.node))
                        .secondary(earlier.callback.span, "first here"),
                ),
                None => first.push(handler),
            }
            let name = format!("on {}", callback.node);
            let place = Place {
                driver,
                kind,
                name: &name,
                is_invalidate: callback.node == crate::ast::Callback::Invalidate,
                may_refuse: callback.may_refuse(),
                has_range: callback.takes_range(),
                in_retry: false,
                has_read_begin: has_read_begin(&handler.body),
            };
            self.driver_body(&handler.body, place);
        }
    }

    fn driver_body(&mut self, body: &'a [Spanned<DriverStatement>], place: Place<'_>) {
        for statement in body {
            self.driver_statement(statement, place);
        }
    }

    fn driver_statement(&mut self, statement: &'a Spanned<DriverStatement>, place: Place<'_>) {
        let span = statement.span;
        match &statement.node {
            DriverStatement::With { lock, mode, body } => {
                self.own_lock(lock, *mode, place);
                self.driver_body(body, place);
            }
            DriverStatement::Retry { body } => {
                self.interval_only("retry", span, place);
                let in_retry = true;
                self.driver_body(body, Place { in_retry, ..place });
            }
            DriverStatement::IfBlockable { then, otherwise } => {
                self.blockable_known("if blockable", span, place);
                self.driver_body(then, place);
                self.driver_body(otherwise, place);
            }
            DriverStatement::Refuse => self.blockable_known("refuse", span, place),
            DriverStatement::SetSeq => self.set_seq(span, place),
            DriverStatement::ReadBegin => {
                self.interval_only("read_begin", span, place);
            }
            DriverStatement::CheckRetry => self.check_retry(span, place),
            DriverStatement::Zap(range)
            | DriverStatement::Map(range)
            | DriverStatement::Fault(range)
            | DriverStatement::Pin(range)
            | DriverStatement::Unpin(range) => self.range_known(range, place),
            DriverStatement::Alloc { .. }
            | DriverStatement::Sleep
            | DriverStatement::Sync { .. }
            | DriverStatement::Flush => {}
        }
    }

    fn own_lock(&mut self, lock: &Name, mode: Option<Spanned<LockMode>>, place: Place<'_>) {
        match place.driver.locks.iter().find(|l| l.name == *lock) {
            Some(declared) => self.lock_mode(lock, declared.kind.node, mode),
            None => {
                let allowed = place.driver.locks.iter().map(|l| l.name.as_str());
                self.undefined(lock, lock.span, "this driver has no lock", Namespace::Member, allowed);
            }
        }
    }

    /// An rwsem is taken to read or to write, a spinlock plainly or with handlers kept away; a mutex just is.
    pub(super) fn lock_mode(&mut self, lock: &Name, kind: LockKind, mode: Option<Spanned<LockMode>>) {
        match (kind, mode) {
            (LockKind::Rwsem, None) => {
                let message = format!("`{}` is an rwsem: taken to read or to write?", lock.node);
                let help = "`with read ..` or `with write ..`".to_owned();
                self.report(Diagnostic::new(lock.span, message).help(help));
            }
            (LockKind::Rwsem, Some(Spanned { node: LockMode::Irqsave | LockMode::Bh, span })) => {
                let message = format!("`{}` is an rwsem: no handler may take it", lock.node);
                self.report(Diagnostic::new(span, message).help("`with read ..` or `with write ..`".to_owned()));
            }
            (LockKind::Spinlock, Some(Spanned { node: LockMode::Irqsave | LockMode::Bh, .. })) => {}
            (LockKind::Mutex, Some(mode)) if matches!(*mode, LockMode::Irqsave | LockMode::Bh) => {
                let message = format!("`{}` is a mutex: `{}` is for spinlocks", lock.node, *mode);
                self.report(Diagnostic::new(mode.span, message).help(format!("leave out `{}`", *mode)));
            }
            (LockKind::Mutex | LockKind::Spinlock, Some(mode)) => {
                let message = format!("`{}` is a {kind}, which is not taken to {}", lock.node, *mode);
                let help = format!("leave out `{}`", *mode);
                self.report(Diagnostic::new(mode.span, message).help(help));
            }
            _ => {}
        }
    }

    fn interval_only(&mut self, word: &str, span: Span, place: Place<'_>) -> bool {
        let fits = place.kind == InlineKind::Interval;
        if !fits {
            let message = format!("`{word}` is for `interval` drivers");
            let help = "a list subscriber has no sequence number".to_owned();
            self.report(Diagnostic::new(head(span, word), message).help(help));
        }
        fits
    }

    fn blockable_known(&mut self, word: &str, span: Span, place: Place<'_>) {
        if !place.may_refuse {
            let message = format!("`{word}` has no meaning in `{}`", place.name);
            let help = "only `on invalidate`, `on start` and `on shrink` can be told not to block".to_owned();
            self.report(Diagnostic::new(head(span, word), message).help(help));
        }
    }

    fn set_seq(&mut self, span: Span, place: Place<'_>) {
        if self.interval_only("set_seq", span, place) && !place.is_invalidate {
            let message = format!("`set_seq` has no meaning in `{}`", place.name);
            let help = "only `on invalidate` is given a sequence number to set".to_owned();
            self.report(Diagnostic::new(span, message).help(help));
        }
    }

    fn check_retry(&mut self, span: Span, place: Place<'_>) {
        if !self.interval_only("check_retry", span, place) {
            return;
        }
        if !place.in_retry {
            let message = "`check_retry` has nothing to start again";
            let help = "put it into `retry { .. }`".to_owned();
            self.report(Diagnostic::new(span, message).help(help));
        } else if !place.has_read_begin && !self.lost.has_word("read_begin") {
            let message = "`check_retry` without a `read_begin` to compare with";
            let help = format!("`{}` needs a `read_begin` before it", place.name);
            self.report(Diagnostic::new(span, message).help(help));
        }
    }

    fn range_known(&mut self, range: &Spanned<RangeExpr>, place: Place<'_>) {
        if range.node == RangeExpr::Argument && !place.has_range {
            let message = format!("`{}` is called without a range", place.name);
            let help = if place.name.starts_with("op ") {
                format!("declare it `{}(range)`, or write an address range", place.name)
            } else {
                "write an address range such as `0x10000..0x12000`".to_owned()
            };
            self.report(Diagnostic::new(range.span, message).help(help));
        }
    }
}

/// The first `word` of a statement that may go on for many lines.
fn head(span: Span, word: &str) -> Span {
    Span::new(span.start, (span.start + word.len()).min(span.end))
}

fn has_read_begin(body: &[Spanned<DriverStatement>]) -> bool {
    let mut found = false;
    walk_driver(body, &mut |s| found |= *s == DriverStatement::ReadBegin);
    found
}
