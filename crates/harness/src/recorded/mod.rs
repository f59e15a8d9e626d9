//! Callbacks recorded on a running kernel, and the same scenario run here: operation by operation.
//!
//! | step | type | file |
//! |---|---|---|
//! | a line of a recording | [`Recording`] | `recording.rs` |
//! | what a run's recorders were called with | [`Operation`], `Recorder` | `recorder.rs` |
//! | one callback, in the recordings' words | [`Callback`] | `callback.rs` |
//! | agreement, or the first difference | [`compare`], [`Difference`] | `compare.rs` |
//! | what is compared where order and pages are chance | | `shape.rs` |
//!
//! A scenario says where an operation begins by `mark "TEXT"`, in the words of the recording; who listens are devices of
//! the drivers `recorder` and `interval_recorder`. Pages are numbered from the arena's base, [`ARENA_BASE`] unless a
//! recorder says otherwise, and callbacks that miss the arena are left out, as in the recordings.

mod callback;
mod compare;
mod recorder;
mod recording;
mod shape;

pub use callback::Callback;
pub use compare::{Difference, compare};
pub(crate) use recorder::Recorder;
pub use recorder::{Operation, Played};
pub use recording::{Determinism, Recording, RecordingError};

/// Where the arena of the recordings begins.
pub const ARENA_BASE: u64 = 0x100_0000_0000;
/// How many pages it has: 8 GiB.
pub const ARENA_PAGES: u64 = 8 << 18;
