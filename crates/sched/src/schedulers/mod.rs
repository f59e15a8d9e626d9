//! The schedulers that need no knowledge of a program.

mod first;
mod random;
mod replay;

pub use first::FirstScheduler;
pub use random::RandomScheduler;
pub use replay::ReplayScheduler;
