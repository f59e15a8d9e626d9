//! Strategies that drive many runs of one program, on many cores, and merge what they report.
//!
//! A [`Program`] builds worlds and runs them; [`explore`] samples its schedules by a [`Strategy`]; an [`Accumulate`] keeps what
//! the caller wants to know. [`exhaust`] runs it once for each trace ([`Exhaustive`]), and a [`Gather`] keeps. [`replay`] runs
//! one recorded schedule.
//!
//! # The result does not depend on the number of jobs
//!
//! Run `k` decides by a stream that is a function of (seed, `k`) alone, whoever executes it. Runs are handed out in
//! chunks of consecutive numbers; each chunk has an accumulator of its own, and the accumulators are merged in the
//! order of the runs, whatever the order in which they come in. With [`Plan::stop_at_first`] the chunk with the
//! first finding ends there, and what other jobs did beyond it is dropped:
//!
//! ```text
//! job 1:  runs 0..4        runs 8..12                 | merged: 0..4, 4..7
//! job 2:         runs 4..6, 6 finds    runs 12.. stops | runs 8.. are dropped: runs == 7, first == 6
//! ```
//!
//! An exhaustive exploration has no numbered runs; its *turns* are (`exhaust.rs`).

mod exhaust;
mod exhaustive;
mod explore;
mod plan;
mod program;
mod progress;
mod replay;
mod strategy;
mod worker;

pub use exhaust::{Division, ExhaustPlan, Exhausted, Gather, Remaining, Watch, exhaust};
pub use exhaustive::{Bounds, Course, CourseScheduler, Exhaustive, Flaw, Tally};
pub use explore::{Ended, Explored, explore};
pub use plan::Plan;
pub use program::{Accumulate, Program, Verdict};
pub use progress::Progress;
pub use replay::{Replayed, replay};
pub use strategy::{PATIENCE, Pct, Portfolio, Pos, Profile, Sampler, Strategy, Surw, Uniform, Walk, profile};
