//! Strategies for [`proptest`]: random programs against a driver, shrunk to the fewest operations, with their schedule.
//!
//! What is drawn is a [`Program`]: the layout of an address space, the pages a device watches, tasks of memory calls and
//! device operations, and the [`Schedule`] that interleaves them. It is run as a scenario, and a counterexample is printed as
//! one. [`program`] draws whole programs; its parts ([`layout`], [`memory_step`], [`device_step`], [`task`], [`schedule`], ..)
//! are public to make others of.
//!
//! A property test of a driver:
//!
//! ```
//! use harness::drivers::{self, DriverKind};
//! use harness::strategies::{Subject, holds, program};
//! use proptest::prelude::*;
//!
//! fn my_driver() -> DriverKind {
//!     drivers::builtin().into_iter().find(|kind| kind.name == "interval_mirror").expect("it is shipped")
//! }
//!
//! proptest! {
//!     #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
//!     fn nothing_is_found_in_any_program(program in program()) {
//!         holds(&program, &Subject::of(my_driver()))?;
//!     }
//! }
//! nothing_is_found_in_any_program();
//! ```
//!
//! With proptest's own persistence (the default in a crate's tests) a counterexample is kept in `proptest-regressions/`
//! and tried first from then on: commit it. It is a seed, and means another program as soon as strategies change. What is to
//! stay is the printed scenario: keep it in a folder of the tests, and say [`still_holds`] of each file in it.

mod draw;
mod program;
mod schedule;
mod subject;

pub use draw::{
    area, device_step, kernel_step, kind, layout, memory_step, program, program_of, prot, schedule, span, step, task,
};
pub use program::{Area, HEAP, Kind, PAGES, Program, Span, Step};
pub use schedule::{Choice, Pick, Schedule, Turn};
pub use subject::{Subject, holds, still_holds};
