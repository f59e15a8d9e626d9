//! Recorded memory system calls (tests/data/mm/FORMAT.md): done again on the simulated mm, and compared after each.
//!
//! | step | type | file |
//! |---|---|---|
//! | text to traces | [`Trace`], [`Step`], [`Call`] | `parse.rs`, `call.rs` |
//! | what is compared | [`Snapshot`], [`Layer`] | `snapshot.rs` |
//! | a trace done on a world of its own | [`Player`] | `player.rs` |
//! | differences, and how far each layer agrees | [`Check`], [`Difference`] | `check.rs` |
//!
//! A trace is followed to its first difference: what comes after it would be about another state. Nothing here looks at a
//! trace's name, or at where its arena lies.

mod call;
mod check;
mod parse;
mod player;
mod snapshot;

#[cfg(test)]
mod tests;

pub use call::{Act, Call, Fd, Len, Outcome, Place, Size};
pub use check::{Check, Checked, Difference};
pub use parse::{LineError, parse};
pub use player::Player;
pub use snapshot::{Layer, Recorded, Snapshot, VmaLine};

/// Where the arena of the recordings begins.
pub const ARENA: u64 = 0x2000_0000_0000;

/// One recorded trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// What it is called; for people.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// Pages of the arena; all else is taken.
    pub arena_pages: u64,
    /// VMAs outside of the arena.
    pub outside_vmas: u64,
    /// `RLIMIT_MEMLOCK`, pages.
    pub memlock_pages: u64,
    /// Its operations.
    pub steps: Vec<Step>,
}

/// One operation with what the recorded kernel did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// Its number in the trace.
    pub index: u64,
    /// The line's text.
    pub text: String,
    /// What is done.
    pub act: Act,
    /// The state after it, as far as it changed.
    pub after: Recorded,
    /// VMAs in the arena after it, where the state is not recorded.
    pub map_count: Option<u64>,
}
