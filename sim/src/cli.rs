//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A laboratory for MMU notifiers: a simulated Linux memory manager, drivers, and the schedules that break them.
#[derive(Parser, Debug)]
#[command(name = "shootdown", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// One run of each scenario, judged
    Run(RunArgs),
    /// Many schedules of one scenario
    Explore(ExploreArgs),
    /// A run again, from the token of a `replay:` line
    Replay(ReplayArgs),
    /// A real program's recorded memory calls, with a driver attached
    Strace(StraceArgs),
    /// What can be named in a scenario, with one line each
    List(ListArgs),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON object per result
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct ScenarioArgs {
    /// Seed of every random stream, instead of the file's
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Another value for a setting of `annotations` or `machine`, for `quirks` or for DEVICE.mutant, such as
    /// `range_start=none`, `prime=registration,fs_reclaim`, `quirks=none`
    #[arg(long = "set", value_name = "SETTING=VALUE")]
    pub(crate) settings: Vec<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
    /// Print every event
    #[arg(long)]
    pub(crate) events: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Scenario files (.mms)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum StrategyArg {
    /// Every choice at random
    Random,
}

#[derive(Args, Debug)]
pub(crate) struct ExploreArgs {
    /// Scenario file (.mms)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How schedules are chosen
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) strategy: StrategyArg,
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) executions: u64,
    /// Stop after so many seconds, with what there is
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time: Option<u64>,
    /// Threads; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) jobs: usize,
    /// End with the first run that has a finding
    #[arg(long)]
    pub(crate) stop_at_first: bool,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The token: `sd1-...`
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// The scenario file the token belongs to
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Args, Debug)]
pub(crate) struct StraceArgs {
    /// A log of `strace -f -y -e trace=%memory,%process`
    #[arg(value_name = "LOG")]
    pub(crate) log: PathBuf,
    /// The driver that mirrors the program's anonymous memory
    #[arg(long, value_name = "DRIVER")]
    pub(crate) driver: String,
    /// A way in which the driver is wrong on purpose
    #[arg(long, value_name = "NAME")]
    pub(crate) mutant: Option<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum ListWhat {
    /// Drivers, their operations, options and mutants
    Drivers,
    /// Finding codes
    Codes,
    /// Sync points that `order` can pin
    SyncPoints,
    /// Bugs of the memory manager that `quirks` switches on
    Quirks,
    /// Statements of tasks and of inline drivers
    Statements,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// What to list; everything if absent
    #[arg(value_enum)]
    pub(crate) what: Option<ListWhat>,
}
