//! The `shootdown` binary: the tool with the drivers it ships.

use std::process::ExitCode;

fn main() -> ExitCode {
    shootdown::main(harness::Registry::builtin())
}
