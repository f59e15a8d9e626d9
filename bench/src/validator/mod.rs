//! What the validator's rows time and what its instruction counts count: the same loads for both.

pub mod load;
pub mod peers;
pub mod scaling;

pub use load::{Cold, Fifo, Shape, Warm};
pub use peers::Lock;
