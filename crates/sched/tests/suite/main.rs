//! The engine as its users see it.

mod common;
mod daemons;
mod ending;
mod interrupts;
mod kept;
mod replay;
mod tasks;
