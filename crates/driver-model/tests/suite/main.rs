//! The drivers over the memory manager, judged by the oracles.

mod coherence;
mod common;
mod drivers;
mod i915_userptr;
mod interval_mirror;
mod kinds;
