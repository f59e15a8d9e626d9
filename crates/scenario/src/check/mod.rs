//! What can be said about a scenario without running it: names exist and are unique, what is used
//! fits what is declared.

mod clause;
mod device;
mod globals;
mod names;
mod setup;
mod task;

use crate::ast::{Name, Scenario};
use crate::diagnostic::Diagnostic;
use crate::lost::{Lost, Namespace};
use crate::span::Span;
use crate::suggest;
use crate::vocabulary::Vocabulary;
use names::Names;
use std::collections::BTreeMap;

pub(crate) struct Checker<'a> {
    scenario: &'a Scenario,
    known: &'a Vocabulary,
    /// Whether drivers, finding codes and kinds of `never` that `known` lacks are taken on trust.
    open: bool,
    lost: &'a Lost,
    names: Names<'a>,
    diagnostics: Vec<Diagnostic>,
}

/// Every mistake in `scenario` that is not one of syntax, in no particular order.
pub(crate) fn check(scenario: &Scenario, known: &Vocabulary, open: bool, lost: &Lost) -> Vec<Diagnostic> {
    let mut checker = Checker { scenario, known, open, lost, names: Names::of(scenario), diagnostics: Vec::new() };
    checker.duplicates();
    checker.mms();
    checker.devices();
    checker.tasks();
    checker.clauses();
    checker.diagnostics
}

impl<'a> Checker<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports that `what` (such as "there is no mm") `name`, unless its declaration was given up.
    /// `allowed` is what could have been meant.
    fn undefined<'w>(
        &mut self,
        name: &str,
        span: Span,
        what: &str,
        namespace: Namespace,
        allowed: impl IntoIterator<Item = &'w str>,
    ) {
        if self.lost.may_have_declared(name, namespace) {
            return;
        }
        let help = suggest::help(name, allowed);
        let message = format!("{what} `{name}`");
        self.report(Diagnostic::new(span, message).help(help));
    }

    fn mm_exists(&mut self, name: &Name) {
        if !self.names.mms.contains_key(name.as_str()) {
            let allowed: Vec<&str> = self.names.mms.keys().copied().collect();
            self.undefined(name, name.span, "there is no mm", Namespace::Mm, allowed);
        }
    }

    /// Reports names that occur twice in one namespace.
    fn unique<'n>(&mut self, what: &str, names: impl IntoIterator<Item = &'n Name>) {
        let mut first: BTreeMap<&str, Span> = BTreeMap::new();
        for name in names {
            match first.get(name.as_str()) {
                None => {
                    first.insert(name.as_str(), name.span);
                }
                Some(&earlier) => self.report(
                    Diagnostic::new(name.span, format!("{what} `{}` appears twice", name.node))
                        .secondary(earlier, "first here"),
                ),
            }
        }
    }

    fn duplicates(&mut self) {
        let s = self.scenario;
        self.unique("mm", s.mms.iter().map(|mm| &mm.name));
        self.unique("device", s.devices.iter().map(|d| &d.name));
        self.unique("global", s.globals.iter().map(|g| g.node.name()));
        self.unique("task", s.tasks.iter().map(|t| &t.name));
        self.unique("finding code", &s.expect);
        self.unique("kind of finding", &s.never);
        self.unique("quirk", &s.quirks);
        self.unique("behaviour", &s.behaviours);
    }
}
