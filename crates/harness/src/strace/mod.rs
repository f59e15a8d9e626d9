//! Recorded memory traffic of real programs: `strace -f -y -e trace=%memory,%process` and /proc/PID/maps, as values.
//!
//! Text in, values out; no files, no replay. [`StraceLog::parse`] reads a log, [`Maps::parse`] a snapshot, [`compare`]
//! tells in which lines two snapshots differ. Every mistake in a text is reported, each with its line and column.
//!
//! Two harmless calls mark where the snapshots were taken ([`Marker`]): a replay loads the start snapshot, does the
//! calls of that process between its markers and is compared with the end snapshot.

mod call;
mod compare;
mod explain;
mod maps;
mod parse;
mod processes;
mod replay;
mod scan;
mod space;
mod tally;

#[cfg(test)]
mod tests;

pub use call::{Call, CloneFlags, Fd, Marker, MremapFlags, Outcome};
pub use compare::{Difference, compare};
pub use explain::{Change, Explanation, Should, explain};
pub use maps::Maps;
pub use parse::{Entry, Event, StraceLog};
pub use replay::{Process, Replay, ReplayFailure, Replayed, Start};
pub use scan::TextError;
pub use space::{Began, Mismatch};
pub use tally::Counts;
