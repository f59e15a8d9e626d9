//! The command line tool. Floor 8: the only place that touches files, the clock, the environment and standard output.
//!
//! [`main`] is the whole tool for a given set of drivers, so that a crate with a driver of its own is `shootdown` with
//! that driver in it: `fn main() -> ExitCode { shootdown::main(Registry::builtin().with(my_driver())) }`.
//!
//! Data goes to standard output, progress and complaints to standard error. Exit codes are in [`Exit`].

mod cli;
mod clock;
mod commands;
mod exit;
mod files;
mod interrupts;
mod live;
mod museum;
mod out;
mod program;
mod testing;

use clap::Parser;
pub use exit::Exit;
use harness::Registry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
pub use testing::conformance;

/// The tool with the drivers of `registry`: reads the process's arguments, does it, says how it went.
pub fn main(registry: Registry) -> ExitCode {
    harness::install_panic_hook();
    let cli = cli::Cli::parse();
    // A driver's panic is a finding and never gets here; what does is our own.
    let exit = catch_unwind(AssertUnwindSafe(|| dispatch(&registry, &cli.command))).unwrap_or_else(|_| {
        out::complain(
            "internal error: this is a bug of shootdown, not of your scenario; please report the command line",
        );
        Exit::Internal
    });
    let exit = if out::lost_results() { exit.and(Exit::Internal) } else { exit };
    ExitCode::from(exit.code())
}

fn dispatch(registry: &Registry, command: &cli::Command) -> Exit {
    match command {
        cli::Command::Run(args) => commands::run::run(registry, args),
        cli::Command::Explore(args) => commands::explore::explore(registry, args),
        cli::Command::Replay(args) => commands::replay::replay(registry, args),
        cli::Command::Shrink(args) => commands::shrink::shrink(registry, args),
        cli::Command::Strace(args) => commands::strace::strace(registry, args),
        cli::Command::Matrix(args) => commands::matrix::matrix(registry, args),
        cli::Command::Museum(args) => commands::museum::museum(registry, args),
        cli::Command::Lockdep(args) => commands::lockdep::lockdep(&args.command),
        cli::Command::Conformance(args) => commands::conformance::conformance(registry, args),
        cli::Command::Mm(args) => commands::mm::mm(&args.command),
        cli::Command::MmHost => commands::mm_live::play_host(),
        cli::Command::Notifier(args) => commands::notifier::notifier(registry, args),
        cli::Command::List(args) => commands::list::list(registry, args),
        cli::Command::Explain(args) => commands::explain::explain(registry, args),
        cli::Command::New(args) => commands::new::new(registry, args),
    }
}
