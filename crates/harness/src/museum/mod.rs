//! The museum: real bugs of notifiers, memory managers and drivers, each found in its buggy version and silent in its fixed one.
//!
//! An *exhibit* is a scenario with head lines and marked lines ([`Exhibit`], `exhibit.rs`); what is marked is all that the two
//! versions differ in. It is shown in three steps, each a function of the exhibit alone:
//!
//! | step | what |
//! |---|---|
//! | [`Exhibit::hunt`] | the buggy version: one benign run, or runs of an exploration until the first with a finding |
//! | [`Hunt::prove`] | drives a cycle of locks that was found into its deadlock |
//! | [`Exhibit::acquit`] | the fixed version over the same budget: silent, and at the same sync points |
//!
//! [`Museum`] is what came of all of them: problems, table, JSON (`text.rs`).

mod exhibit;
mod show;
mod text;

pub use exhibit::{By, Exhibit, Runs};
pub use show::{Acquittal, Certainty, Hunt};
pub use text::{Museum, Shown};

/// What the name of an exhibit begins with where a file could be named: `museum:NAME`, and `museum:NAME/fixed`.
pub const PREFIX: &str = "museum:";

/// Kinds of bug in the collection.
pub const KINDS: [&str; 15] = [
    "dma-fence",
    "fs-reclaim",
    "irq-or-context",
    "lifetime-uaf",
    "livelock",
    "lock-cycle",
    "lock-recursion",
    "missing-invalidate",
    "non-blockable-sleep",
    "other",
    "overflow/limits",
    "range-math",
    "seq-retry",
    "unpaired",
    "wrong-order",
];
