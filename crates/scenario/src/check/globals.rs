//! Globals: what tasks name is declared, and locks are taken as what they are.

use super::Checker;
use crate::ast::{Global, GlobalStatement, LockKind, LockMode, Name, Scenario, Statement};
use crate::diagnostic::Diagnostic;
use crate::lost::Namespace;
use crate::span::Spanned;

impl Checker<'_> {
    pub(super) fn global_statement(&mut self, statement: &GlobalStatement<Vec<Spanned<Statement>>>) {
        match statement {
            GlobalStatement::With { lock, mode, body } => {
                self.global_lock(lock, *mode);
                self.task_body(body);
            }
            GlobalStatement::Load { word, .. }
            | GlobalStatement::Store { word, .. }
            | GlobalStatement::Add { word, .. } => self.word_exists(word),
            GlobalStatement::If { then, otherwise, .. } => {
                self.task_body(then);
                self.task_body(otherwise);
            }
            GlobalStatement::Barrier(_) | GlobalStatement::Check { .. } | GlobalStatement::Return => {}
        }
    }

    fn word_exists(&mut self, word: &Name) {
        let words: Vec<&str> =
            globals(self.scenario).filter(|(_, kind)| kind.is_none()).map(|(name, _)| name).collect();
        if !words.contains(&word.as_str()) {
            self.undefined(word, word.span, "there is no word", Namespace::Global, words);
        }
    }

    fn global_lock(&mut self, lock: &Name, mode: Option<Spanned<LockMode>>) {
        let locks: Vec<(&str, LockKind)> = global_locks(self.scenario).collect();
        match locks.iter().find(|(name, _)| *name == lock.as_str()) {
            Some((_, kind)) => self.lock_mode(lock, *kind, mode),
            None if self.names.devices.contains_key(lock.as_str()) => {
                let message = format!("`{}` is a device, not a lock", lock.node);
                let help = format!("a lock of it is written `{}.LOCK`", lock.node);
                self.report(Diagnostic::new(lock.span, message).help(help));
            }
            None => {
                let allowed = locks.iter().map(|(name, _)| *name);
                self.undefined(lock, lock.span, "there is no lock", Namespace::Global, allowed);
            }
        }
    }
}

/// Names of globals; of locks, with their sort.
fn globals(scenario: &Scenario) -> impl Iterator<Item = (&str, Option<LockKind>)> {
    scenario.globals.iter().map(|global| match &global.node {
        Global::Lock { name, kind } => (name.as_str(), Some(kind.node)),
        Global::Word { name, .. } => (name.as_str(), None),
    })
}

/// The locks that are globals.
pub(super) fn global_locks(scenario: &Scenario) -> impl Iterator<Item = (&str, LockKind)> {
    globals(scenario).filter_map(|(name, kind)| Some((name, kind?)))
}
