//! The memory manager as a whole: against recordings, by scripted cases, and by random programs.

mod accounting;
mod common;
mod fork;
mod ops;
mod recorded;
mod recorded_calls;
mod recorded_moves;
mod sharing;
