//! Owns the world: builds it from a scenario, attaches drivers from a [`Registry`], runs or explores it, judges it.
//!
//! | step | type | file |
//! |---|---|---|
//! | text to a checked, resolved scenario | [`Experiment`] | `experiment.rs`, `compile.rs`, `settings.rs` |
//! | drivers by name, Rust and inline | [`Registry`] | `registry.rs`, `devices.rs`, `inline.rs` |
//! | one run | `World`, `Live` | `world.rs`, `task.rs` |
//! | looking on | `Judge` | `judge.rs` |
//! | verdict, text, JSON | [`RunReport`] | `verdict.rs`, `report.rs` |
//! | many runs | [`ExploreReport`] | `explore.rs` |
//! | the same run again | [`Token`], [`Recipe`], [`Script`] | `token.rs`, `script.rs`, `trail.rs`, `schedulers.rs` |
//! | a driver against every case there is | [`conformance()`] | `conformance/` |
//! | random programs against a driver (feature `proptest`) | `strategies` | `strategies/` |
//! | a lock report driven into its deadlock | [`Proof`] | `prove/`, `lessen.rs` |
//! | the smallest scenario with the same finding | [`Shrunk`] | `shrink/` |
//! | a real program's calls | [`strace`] | `strace/` |
//! | annotation settings against workloads | [`matrix`] | `matrix/` |
//! | real bugs, found and silent | [`museum`] | `museum/` |
//! | a running kernel's callbacks | [`recorded`] | `recorded/` |
//!
//! A run's life: reset the kernel, build machine, address spaces and devices in the setup context (task 0), add pins and
//! tasks, run the scheduler, read the judges. Nothing here reads a file, a clock or the environment.

mod compile;
pub mod conformance;
mod coverage;
mod devices;
mod exhaust;
mod experiment;
mod explore;
mod globals;
mod inline;
mod judge;
mod lessen;
mod life;
pub mod listing;
pub mod matrix;
pub mod mm_trace;
pub mod museum;
mod operations;
mod pressure;
mod prove;
mod pulse;
pub mod recorded;
mod registry;
mod report;
mod request;
mod schedulers;
mod script;
mod settings;
mod shrink;
pub mod strace;
#[cfg(feature = "proptest")]
pub mod strategies;
mod task;
mod token;
mod trail;
mod verdict;
mod world;

pub use ::explore::{Bounds, Division, ExhaustPlan, Remaining, Watch};
pub use conformance::conformance;
pub use coverage::Covered;
pub use driver_model as drivers;
pub use exhaust::{ExhaustReport, ExhaustedFinding};
pub use experiment::{Experiment, ReplayError, Soak};
pub use explore::{ExploreEnd, ExplorePlan, ExploreReport, ExploredFinding, Progress};
pub use pressure::{Pressure, Sabotage};
pub use prove::{Outcome, Proof, Reason};
pub use pulse::{Last, Pulse};
pub use registry::Registry;
pub use report::{Found, IDENT, RunReport};
pub use sched::install_panic_hook;
pub use script::Script;
pub use shrink::{ShrinkError, ShrinkPlan, ShrinkProgress, Shrunk, Size};
pub use token::{LONGEST_IN_LINE, Mode, Origin, Recipe, Token, TokenError, Version};
pub use verdict::Verdict;
pub use world::Brief;
