//! Verdicts as values.

use crate::Code;
use hashbrown::HashSet;
use mm_types::TaskId;
use rustc_hash::{FxBuildHasher, FxHasher};
use std::fmt;
use std::hash::{Hash, Hasher};

/// An oracle's verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule that was broken.
    pub code: Code,
    /// The step (visible operations begun) at which it became certain.
    pub step: u64,
    /// The task whose event made it certain, when one did.
    pub task: Option<TaskId>,
    /// What happened, in one line: names and pages, no step numbers and no ids that a schedule changes.
    pub title: String,
    /// What, where, and the events that matter in their order: one line each.
    pub details: Vec<String>,
    /// The details again, for reading: the device's side on the left, the memory manager's on the right, the offending line
    /// marked, at most 100 columns wide. Empty for findings that have no two sides.
    pub columns: Vec<String>,
    /// The same for the same finding in another run: a hash of the code and the title.
    pub key: u64,
}

impl Finding {
    /// A finding whose key is made from its code and title.
    ///
    /// `title` must carry nothing that differs between two schedules of one bug (steps, sequence numbers, frames).
    #[must_use]
    pub fn new(code: Code, step: u64, task: Option<TaskId>, title: String, details: Vec<String>) -> Finding {
        let key = stable_key(code, &title);
        Finding { code, step, task, title, details, columns: Vec::new(), key }
    }

    /// The same with its events in two columns.
    pub(crate) fn with_columns(self, columns: Vec<String>) -> Finding {
        Finding { columns, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.title)?;
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// FNV-1a: pinned here, because keys are stored and compared between builds.
fn stable_key(code: Code, title: &str) -> u64 {
    let bytes = code.text().bytes().chain([0]).chain(title.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Where oracles put what they find: keeps the first of each key, and bounds how many.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    findings: Vec<Finding>,
    keys: HashSet<u64, FxBuildHasher>,
    bursts: HashSet<u64, FxBuildHasher>,
    suppressed: u64,
}

impl Sink {
    /// A run that breaks one rule everywhere is no better understood after this many findings.
    const MAX_FINDINGS: usize = 256;

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many verdicts were not kept because an equal one, or one of the same burst, was there already.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Whether this is the first verdict of its burst: one call that breaks a rule on a thousand pages is one finding.
    ///
    /// Asked before any text is made.
    pub(crate) fn first_of(&mut self, code: Code, burst: impl Hash) -> bool {
        let mut hasher = FxHasher::default();
        (code, burst).hash(&mut hasher);
        let first = self.findings.len() < Self::MAX_FINDINGS && self.bursts.insert(hasher.finish());
        self.suppressed += u64::from(!first);
        first
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        if self.findings.len() < Self::MAX_FINDINGS && self.keys.insert(finding.key) {
            self.findings.push(finding);
        } else {
            self.suppressed += 1;
        }
    }

    pub(crate) fn reset(&mut self) {
        self.findings.clear();
        self.keys.clear();
        self.bursts.clear();
        self.suppressed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: Code, step: u64, title: &str) -> Finding {
        Finding::new(code, step, None, title.to_owned(), Vec::new())
    }

    #[test]
    fn the_key_is_of_code_and_title_and_the_same_everywhere() {
        let a = finding(Code::Stale, 1, "x");
        assert_eq!(a.key, finding(Code::Stale, 99, "x").key);
        assert_ne!(a.key, finding(Code::StaleHarm, 1, "x").key);
        assert_ne!(a.key, finding(Code::Stale, 1, "y").key);
        // Pinned: stored reports are compared by it.
        assert_eq!(a.key, 0xa977_324b_611d_3806);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut sink = Sink::default();
        for n in 0..1000 {
            sink.push(finding(Code::Stale, n, &format!("page {n}")));
        }
        sink.push(finding(Code::Stale, 5, "page 1"));
        assert_eq!((sink.findings().len(), sink.suppressed()), (256, 745));
        sink.reset();
        assert!(sink.first_of(Code::Stale, 1) && !sink.first_of(Code::Stale, 1) && sink.first_of(Code::Seq, 1));
        assert_eq!(sink.suppressed(), 1);
    }
}
