//! `shootdown` with the driver `toy` in it.

use harness::{Registry, drivers::HasKind};
use std::process::ExitCode;

fn main() -> ExitCode {
    shootdown::main(Registry::builtin().with(toy_driver::Toy::KIND))
}
