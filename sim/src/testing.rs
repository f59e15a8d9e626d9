//! What a user's `#[test]` calls.

use harness::drivers::HasKind;
use std::process::{Command, Stdio};

/// Holds driver `D` to the conformance suite: every case, each in a child process that is watched, so that a driver that
/// panics, spins, or takes the process down fails its case and no more.
///
/// `program` is the tool with `D` in its registry: `env!("CARGO_BIN_EXE_<name>")` in an integration test.
///
/// ```no_run
/// fn the_driver_conforms<Toy: harness::drivers::HasKind>() {
///     shootdown::conformance::<Toy>("target/release/toy-driver");
/// }
/// ```
///
/// # Panics
/// With the whole test list, each failure with its scenario and a replay line, if a case fails; and if the program cannot
/// be started.
pub fn conformance<D: HasKind>(program: &str) {
    let mut command = Command::new(program);
    command.args(["conformance", D::KIND.name]).stderr(Stdio::inherit());
    let output = command.output().unwrap_or_else(|e| panic!("{program} cannot be started: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{} does not conform ({}):\n{text}", D::KIND.name, output.status);
    #[expect(clippy::print_stdout, reason = "a test's output: cargo shows it with --nocapture")]
    {
        print!("{text}");
    }
}
