//! The command line tool. Floor 8: the only place that touches files, the clock, the environment and standard output.
//!
//! [`main`] is the whole tool for a given set of drivers, so that a crate with a driver of its own is `shootdown` with
//! that driver in it: `fn main() -> ExitCode { shootdown::main(Registry::builtin().with(my_driver())) }`.
//!
//! Data goes to standard output, progress and complaints to standard error. Exit codes are in [`Exit`].

mod cli;
mod commands;
mod exit;
mod files;
mod out;
mod program;

use clap::Parser;
pub use exit::Exit;
use harness::Registry;
use std::process::ExitCode;

/// The tool with the drivers of `registry`: reads the process's arguments, does it, says how it went.
pub fn main(registry: Registry) -> ExitCode {
    harness::install_panic_hook();
    let cli = cli::Cli::parse();
    let exit = match cli.command {
        cli::Command::Run(args) => commands::run::run(&registry, &args),
        cli::Command::Explore(args) => commands::explore::explore(&registry, &args),
        cli::Command::Replay(args) => commands::replay::replay(&registry, &args),
        cli::Command::Strace(args) => commands::strace::strace(&registry, &args),
        cli::Command::List(args) => commands::list::list(&registry, &args),
    };
    ExitCode::from(exit.code())
}
