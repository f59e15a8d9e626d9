//! How far an exploration is.

/// How far an exploration is. What it says depends on the number of jobs and on timing; the result does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Runs executed, those included that may yet be dropped.
    pub runs: u64,
    /// Runs planned.
    pub of: u64,
    /// The first run with a finding, as far as is known.
    pub first: Option<u64>,
}
