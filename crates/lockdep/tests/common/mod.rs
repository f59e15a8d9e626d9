//! A line of words for a sequence of lock operations, so that a rule is a line of data.
//!
//! `A` takes class A exclusively; `A:` and letters takes it otherwise: `r` shared, `R` recursively, `t` without waiting,
//! `u` unchecked. `A.2` is another instance of class A, `A/1` its subclass 1. `-A` releases, `vA` downgrades. `;` releases
//! all that is held, innermost first.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses another part")]

use lockdep::{Acquire, ClassId, ClassSpec, Held, Lockdep, Read, ReportKind, Run, Site, Verdict};

/// A run and one task in it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) run: Run,
    pub(crate) held: Held,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { run: Run::new(Lockdep::new()), held: Held::new("task", 1) }
    }

    pub(crate) fn class(&self, word: &str) -> ClassId {
        let (name, subclass) = word.split_once('/').unwrap_or((word, "0"));
        self.run.lockdep().class(&ClassSpec::new(name).subclass(subclass.parse().expect("a subclass")))
    }

    /// Plays a line; returns the kind of each new report with the word that made it.
    pub(crate) fn play(&mut self, line: &str) -> Vec<(String, ReportKind)> {
        let mut found = Vec::new();
        for word in line.split_whitespace() {
            for report in self.word(word) {
                found.push((word.to_owned(), self.run.reports()[report].kind));
            }
        }
        found
    }

    fn word(&mut self, word: &str) -> Vec<usize> {
        let site = Site::here();
        let (run, held) = (&mut self.run, &mut self.held);
        let verdict = if word == ";" {
            while let Some(lock) = held.locks().last() {
                assert_eq!(run.release(held, lock.instance(), site), Verdict::Ok, "releasing the innermost is silent");
            }
            Verdict::Ok
        } else if let Some(lock) = word.strip_prefix('-') {
            run.release(held, instance(lock), site)
        } else if let Some(lock) = word.strip_prefix('v') {
            run.downgrade(held, instance(lock), Read::Shared, site)
        } else {
            let (lock, letters) = word.split_once(':').unwrap_or((word, ""));
            let class = self.class(lock.split('.').next().unwrap_or(lock));
            self.run.acquire(&mut self.held, class, instance(lock), manner(letters), site)
        };
        verdict.reports().collect()
    }
}

fn manner(letters: &str) -> Acquire {
    letters.chars().fold(Acquire::exclusive(), |how, letter| match letter {
        'r' => Acquire { read: Read::Shared, ..how },
        'R' => Acquire { read: Read::Recursive, ..how },
        't' => how.trylock(),
        'u' => how.unchecked(),
        other => panic!("manner {other}"),
    })
}

/// A number that differs between `A`, `A.2` and `A/1`.
fn instance(lock: &str) -> u64 {
    lock.bytes().fold(0, |n, byte| n << 8 | u64::from(byte))
}

/// Plays `line` in an empty run and compares what it reports, word by word.
#[track_caller]
pub(crate) fn check(line: &str, expect: &[(&str, ReportKind)]) -> World {
    let mut world = World::new();
    let found = world.play(line);
    let found: Vec<(&str, ReportKind)> = found.iter().map(|(word, kind)| (word.as_str(), *kind)).collect();
    assert_eq!(found, expect, "{line}");
    world
}

/// The edges of a run as `A-EN->B`, sorted.
pub(crate) fn edges(run: &Run) -> Vec<String> {
    run.edges()
        .iter()
        .flat_map(|edge| edge.kinds.iter().map(|(kind, ..)| format!("{}-{}->{}", edge.from, kind.letters(), edge.to)))
        .collect()
}
