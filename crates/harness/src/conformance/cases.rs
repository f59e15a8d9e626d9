//! The cases, and what their head lines say.

/// One case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! cases {
    ($($name:literal,)*) => {
        /// Every case, those of one task first.
        pub const CASES: &[Case] =
            &[$(Case { name: $name, text: include_str!(concat!("cases/", $name, ".mms")) },)*];
    };
}

cases! {
    "lifecycle",
    "detached",
    "munmap-middle",
    "munmap-one-page",
    "munmap-over-the-left-edge",
    "munmap-over-the-right-edge",
    "munmap-everything",
    "several-vmas",
    "mprotect-read-only",
    "mprotect-none",
    "map-again-in-place",
    "copy-on-write",
    "fork",
    "huge-page",
    "huge-entry-loses-a-part",
    "heap-shrinks",
    "reclaim-own-pages",
    "nonblocking",
    "allocations-fail",
    "exit-while-mapped",
    "exit-races-use",
    "exit-races-removal",
    "removal-races-munmap",
    "removal-races-use",
    "registration-races-munmap",
    "munmap-races-map",
    "map-races-map",
    "protection-races-use",
    "fork-races-use",
    "huge-page-races-use",
    "nonblocking-races-map",
    "nested-brackets",
    "reclaim-races-use",
    "compaction-races-use",
    "memory-pressure",
    "allocations-fail-beside-use",
    "retry-storm",
    "two-devices",
    "two-processes",
    "shared-frames",
}

impl Case {
    /// What it is about: its scenario's title.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.text.split('"').nth(1).unwrap_or_default()
    }

    /// The errors that operations of the driver may return in it.
    #[must_use]
    pub fn errors(&self) -> Vec<&'static str> {
        self.head("errors").map_or_else(Vec::new, |words| words.split(' ').collect())
    }

    /// The roles that it keeps its sense without: lines that call them are left out for a driver that has no such operation.
    pub(super) fn optional(&self) -> Vec<&'static str> {
        self.head("without").map_or_else(Vec::new, |words| words.split(' ').collect())
    }

    /// How many runs explore it.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.head("runs").and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Whether every allocation of its benign run is to fail once.
    pub(super) fn fails_allocations(&self) -> bool {
        self.head("failures").is_some()
    }

    /// What stands behind `#: KEY`.
    fn head(&self, key: &str) -> Option<&'static str> {
        self.text.lines().find_map(|line| line.strip_prefix("#: ")?.strip_prefix(key)?.strip_prefix(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Experiment, Registry};

    #[test]
    fn every_case_is_a_scenario_that_says_what_it_is_about_and_how_often_it_runs() {
        for case in CASES {
            let loaded = Experiment::load(&Registry::builtin(), case.name, case.text);
            assert!(loaded.is_ok(), "{}: {:?}", case.name, loaded.err());
            assert!(!case.about().is_empty() && case.runs() > 0, "{}", case.name);
            for errno in case.errors() {
                assert!(["EFAULT", "EBUSY", "ENODEV", "EPERM"].contains(&errno), "{}: {errno}", case.name);
            }
        }
    }
}
