//! The engine as its users see it.

mod common;
mod daemons;
mod ending;
mod replay;
mod tasks;
