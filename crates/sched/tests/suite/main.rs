//! The engine as its users see it.

mod common;
mod ending;
mod replay;
mod tasks;
