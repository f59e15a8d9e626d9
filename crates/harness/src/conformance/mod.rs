//! The conformance suite: everything a driver must hold, against a driver of any make.
//!
//! A case is a scenario (`cases/NAME.mms`, there with `interval_mirror` in the driver's place). It is run once with benign
//! choices, which is enough for lock orders; if that is silent it is explored at random, for a bounded number of runs. A case
//! about allocations is run once more for each allocation of its benign run, which fails then, and once more with all from there
//! on failing. So the result is the same every time, on any machine.
//!
//! What a case calls is written with the names of [`Roles`](driver_model::Roles), and said with the driver's operations. A case that calls
//! what the driver has no operation for is skipped, and says so; one that keeps its sense without (`#: without`) leaves these lines out,
//! and says so.
//!
//! The first failure of a case is shrunk, to a scenario that shows it in every benign run if there is one.
//!
//! | a case fails when | code |
//! |---|---|
//! | an oracle or lockdep finds something | the finding's |
//! | an operation of the driver returns an error that the case does not allow | [`ERROR`] |
//! | nothing was published or accessed where it must be: silence proves nothing then | [`IDLE`] |
//! | a run does not come back (judged by who has a clock, from outside) | [`HANG`] |
//! | the process that ran it died (the same) | [`CRASH`] |
//!
//! A scenario of the suite has a name that can be given to the tool in the place of a file, `conformance:toy/lifecycle`;
//! replay lines use it.

mod cases;
mod dialect;
mod failing;
mod report;
mod smaller;
mod suite;

pub use cases::{CASES, Case};
pub use report::{Failure, Outcome, Report};
pub use suite::Suite;

use crate::registry::Registry;
use driver_model::HasKind;

/// An operation of the driver returned an error where none is allowed.
pub const ERROR: &str = "CONFORM-ERROR";
/// The driver published nothing, or its device accessed nothing.
pub const IDLE: &str = "CONFORM-IDLE";
/// The driver did not come back.
pub const HANG: &str = "CONFORM-HANG";
/// The process died.
pub const CRASH: &str = "CONFORM-CRASH";

/// The codes above, with one line each.
pub const CODES: [(&str, &str); 4] = [
    (ERROR, "an operation of the driver returned an error where none is allowed"),
    (IDLE, "the driver published nothing, or its device accessed nothing"),
    (HANG, "the driver did not come back, and did nothing that another task could see"),
    (CRASH, "the process that ran the driver died"),
];

/// What the name of a scenario of the suite begins with.
pub const PREFIX: &str = "conformance:";

/// Runs the whole suite against `D`, in this process: a driver that never comes back keeps it. The command `conformance`
/// of the tool, and `shootdown::conformance` in a test, run it in a child that is watched.
///
/// `program` is the tool with the driver in it, as a shell calls it: replay lines begin with it.
///
/// # Panics
/// If its roles name operations that it has not.
#[must_use]
pub fn conformance<D: HasKind>(program: &str) -> Report {
    let suite = Suite::new(&Registry::builtin().with(D::KIND), D::KIND.name, program);
    let suite = suite.unwrap_or_else(|why| panic!("{why}"));
    let outcomes = suite.cases().iter().map(|case| suite.run(case, None)).collect();
    Report { driver: D::KIND.name.to_owned(), outcomes }
}

/// The text of a scenario of the suite, by its whole name; `None` if the name is not of that form.
///
/// # Errors
/// One line: no such driver, no such case, or a case that needs what the driver has not.
#[must_use]
pub fn scenario(registry: &Registry, name: &str) -> Option<Result<String, String>> {
    let (driver, case) = name.strip_prefix(PREFIX)?.split_once('/')?;
    Some(Suite::new(registry, driver, "").and_then(|suite| {
        let case = suite.case(case)?;
        suite.skips(case).map_or_else(|| Ok(suite.scenario(case)), Err)
    }))
}
