//! What was given up while parsing, so that the checks do not blame a name for it.

use std::collections::BTreeSet;

/// A set of names of one kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Namespace {
    Mm,
    Device,
    /// Locks and words that belong to no device.
    Global,
    Task,
    /// Locks and operations of devices.
    Member,
    Sync,
}

#[derive(Default)]
pub(crate) struct Lost {
    /// Every word in text that was given up.
    words: BTreeSet<String>,
    /// Kinds of which a declaration had no readable name.
    namespaces: BTreeSet<Namespace>,
}

impl Lost {
    pub(crate) fn word(&mut self, word: &str) {
        self.words.insert(word.to_owned());
    }

    pub(crate) fn name_of(&mut self, namespace: Namespace) {
        self.namespaces.insert(namespace);
    }

    /// Whether a declaration of `name` may have been given up.
    pub(crate) fn may_have_declared(&self, name: &str, namespace: Namespace) -> bool {
        self.namespaces.contains(&namespace) || self.words.contains(name)
    }

    /// Whether `word` stands in text that was given up.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}
