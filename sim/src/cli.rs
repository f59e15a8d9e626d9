//! The command line.

use crate::live::Profile;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Example:
  shootdown run sim/scenarios/userptr-reclaim.mms

Exit codes:
  0 as expected, 1 findings or an unexpected result, 2 bad usage or input (nothing was run),
  3 cut by a bound, 70 internal error, 130 interrupted (results so far are printed)";

const AFTER_RUN: &str = "\
Examples:
  shootdown run sim/scenarios/*.mms
  shootdown run sim/scenarios/userptr-reclaim.mms --set range_start=none";

const AFTER_EXPLORE: &str = "\
Examples:
  shootdown explore sim/scenarios/userptr-reclaim.mms --executions 2000 --jobs 2
  shootdown explore sim/scenarios/lost-invalidation-corrected.mms --strategy exhaustive

Ctrl-C ends it with the results so far, and so do two; a third one ends it at once.";

const AFTER_REPLAY: &str = "\
Example: paste the command of a `replay: ` line, and add --events to see every event
  shootdown replay sd1-... sim/scenarios/userptr-reclaim.mms --events

A long token stands in a file (.schedule), which is named instead. A token is refused when it is
damaged, when it comes from another version of the tool, when the scenario or its settings are not
those it was made with, and when the run hashes to something else.";

const AFTER_SHRINK: &str = "\
Example:
  shootdown shrink sd1-... sim/scenarios/userptr-reclaim.mms > small.mms

The result is the smallest scenario that was found to show the same finding, with pins and choices
that make every benign run of it show it, so that it lasts when the code changes.";

const AFTER_STRACE: &str = "\
Examples:
  shootdown strace tests/data/strace/cat_maps.strace --driver interval_mirror
  shootdown strace tests/data/strace/cat_maps.strace --driver interval_mirror --mutant late-zap

Snapshots of the memory map are looked for beside LOG.strace: LOG.PID.COMM.start.maps and .end.maps.";

const AFTER_MATRIX: &str = "\
Examples:
  shootdown matrix --jobs 2
  shootdown matrix --vary range_start --vary prime --svg matrix.svg
  shootdown matrix my-driver.mms my-driver-fixed.mms

A workload is a scenario whose `expect` clause says which lock report is right. Each cell is one benign run.";

const AFTER_MUSEUM: &str = "\
Examples:
  shootdown museum --jobs 2
  shootdown museum kvm-apic-page-invalidate-order --diff
  shootdown explore museum:kvm-apic-page-invalidate-order/fixed

docs/museum/README.md tells of each. Exit code 0 only if each bug is found within its budget by the rule that it
breaks, and its fixed version is silent where the buggy one was not.";

const AFTER_LOCKDEP: &str = "\
Examples:
  shootdown lockdep check tests/data/lockdep/locking_selftest.jsonl
  trace-cmd report -l | shootdown lockdep check -
  shootdown lockdep graph tests/data/lockdep/sample.trace --dot locks.dot

docs/lockdep.md tells how to record a trace, and what of it can be judged.";

const AFTER_LOCKDEP_CHECK: &str = "\
Example:
  shootdown lockdep check tests/data/lockdep/fuzz.jsonl.gz

A malformed line is named, the others are judged, and the exit code is 2.";

const AFTER_LOCKDEP_GRAPH: &str = "\
Example:
  shootdown lockdep graph tests/data/lockdep/sample.trace --dot locks.dot --json locks.json";
const AFTER_CONFORMANCE: &str = "\
Examples:
  shootdown conformance interval_mirror
  shootdown conformance interval_mirror --mutant skip-retry --case lifecycle
  shootdown run conformance:interval_mirror/lifecycle --events

A driver that does not come back, or takes the process down, fails its case; the other cases go on.";

const AFTER_EXPLAIN: &str = "\
Examples:
  shootdown explain
  shootdown explain LD-CIRCULAR";

const AFTER_NEW: &str = "\
Example:
  shootdown new driver my_gpu && cd my_gpu && cargo test";
const AFTER_NOTIFIER: &str = "\
Example:
  shootdown notifier check tests/data/notifier/traces.jsonl.gz --scenarios sim/scenarios/recorded

The first difference of a scenario is shown with both sequences; exit code 0 only if none differs.";

const AFTER_MM: &str = "\
Examples:
  shootdown mm check tests/data/mm/traces.jsonl.gz tests/data/mm/cases.jsonl.gz
  shootdown mm check traces.jsonl --arena 0x200040000000
  shootdown mm live --seed 1 --seeds 10 --ops 3000";

const AFTER_LIST: &str = "\
Example:
  shootdown list drivers";

/// More threads than this are a slip of the finger.
const MAX_JOBS: usize = 1024;

/// A laboratory for MMU notifiers: a simulated Linux memory manager, drivers, and the schedules that break them
#[derive(Parser, Debug)]
#[command(name = "shootdown", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Do one run of each scenario and judge it
    #[command(after_help = AFTER_RUN)]
    Run(RunArgs),
    /// Run one scenario under many schedules
    #[command(after_help = AFTER_EXPLORE)]
    Explore(ExploreArgs),
    /// Do a run again, from the token of a `replay: ` line
    #[command(after_help = AFTER_REPLAY)]
    Replay(ReplayArgs),
    /// Find the smallest scenario that shows the finding of a run
    #[command(after_help = AFTER_SHRINK)]
    Shrink(ShrinkArgs),
    /// Replay a real program's recorded memory calls, with a driver attached
    #[command(after_help = AFTER_STRACE)]
    Strace(StraceArgs),
    /// Compare settings of the lockdep annotations: what each finds, misses and costs
    #[command(after_help = AFTER_MATRIX)]
    Matrix(MatrixArgs),
    /// Show real bugs: each found in its buggy version, silent in its fixed one
    #[command(after_help = AFTER_MUSEUM)]
    Museum(MuseumArgs),
    /// Judge recorded lock operations and lock traces of running kernels, or draw their graph
    #[command(after_help = AFTER_LOCKDEP)]
    Lockdep(LockdepArgs),
    /// Run the conformance suite against a driver
    #[command(after_help = AFTER_CONFORMANCE)]
    Conformance(ConformanceArgs),
    /// Compare the simulated memory manager with recorded system calls
    #[command(after_help = AFTER_MM)]
    Mm(MmArgs),
    // The other end of `mm live`: not for people.
    #[command(hide = true)]
    MmHost,
    /// Compare notifier callbacks with recordings of a running kernel
    #[command(after_help = AFTER_NOTIFIER)]
    Notifier(NotifierArgs),
    /// Name everything that a scenario can name, with one line each
    #[command(after_help = AFTER_LIST)]
    List(ListArgs),
    /// Write a page about a finding code: what it means, how it looks, how to fix it
    #[command(after_help = AFTER_EXPLAIN)]
    Explain(ExplainArgs),
    /// Write the beginnings of something of your own
    New(NewArgs),
}

#[derive(Args, Debug)]
pub(crate) struct NotifierArgs {
    #[command(subcommand)]
    pub(crate) what: NotifierCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum NotifierCommand {
    /// Run the scenario of each recording's name and compare, operation by operation
    Check(NotifierCheckArgs),
    /// Run scenarios many times at random, and say which reasons for an invalidation came in how many runs
    Pressure(NotifierPressureArgs),
}

#[derive(Args, Debug)]
pub(crate) struct NotifierPressureArgs {
    /// Scenarios, or folders of them
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) runs: u64,
    /// Seed of the runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Make the same runs with each mutant of each scenario's first driver too, until one finds something
    #[arg(long)]
    pub(crate) mutants: bool,
}

#[derive(Args, Debug)]
pub(crate) struct NotifierCheckArgs {
    /// Recordings, one a line (docs/notifier-check.md); gzip or plain
    #[arg(value_name = "TRACES")]
    pub(crate) traces: PathBuf,
    /// The folder of the scenarios: NAME.mms for the recording NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) scenarios: PathBuf,
    /// Only these recordings
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Format {
    // No help of their own: it would make every `--help` six lines longer.
    Human,
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct ScenarioArgs {
    /// Another value for a setting of annotations or machine, for quirks or for DEVICE.mutant, such as
    /// range_start=none, prime=registration,fs_reclaim or quirks=none
    #[arg(long = "set", value_name = "SETTING=VALUE")]
    pub(crate) settings: Vec<String>,
    /// How results are printed: for people, or as one JSON object a line (docs/json.md)
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct ProveArgs {
    /// Runs to spend on driving each lock report into its deadlock; 0: none
    #[arg(long, value_name = "TRIES", default_value_t = 1000)]
    pub(crate) prove: u64,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Scenario files (.mms)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Seed of every random stream, instead of the file's
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print every event
    #[arg(long)]
    pub(crate) events: bool,
    #[command(flatten)]
    pub(crate) proofs: ProveArgs,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum StrategyArg {
    // Their help would cost more lines than it tells.
    Random,
    Pct,
    Pos,
    Surw,
    Portfolio,
    Exhaustive,
}

#[derive(Args, Debug)]
pub(crate) struct ExploreArgs {
    /// Scenario file (.mms)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How schedules are chosen: every choice at random; by priorities that change at few places
    /// (pct) or where operations race (pos); the orders of one object uniformly (surw); by each of
    /// these in turn (portfolio); or all, up to the order of operations that commute (exhaustive)
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) strategy: StrategyArg,
    /// How many runs, at most [default: 10000; exhaustive: all]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub(crate) executions: Option<u64>,
    /// Leave out schedules with more preemptions (exhaustive)
    #[arg(long, value_name = "N")]
    pub(crate) preemptions: Option<u32>,
    /// Stop after so many seconds, with what there is
    #[arg(long, value_name = "SECONDS", value_parser = one_or_more)]
    pub(crate) time: Option<u64>,
    /// Threads; the result is the same for any number [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) jobs: Option<usize>,
    /// Seed of every random stream, instead of the file's
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// End with the first run that has a finding
    #[arg(long)]
    pub(crate) stop_at_first: bool,
    #[command(flatten)]
    pub(crate) proofs: ProveArgs,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The token, `sd1-...`, or the file that it stands in
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// The scenario file the token belongs to
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print every event
    #[arg(long)]
    pub(crate) events: bool,
    // Hidden: it is there to be refused with the reason.
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) proofs: ProveArgs,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ShrinkArgs {
    /// The token, `sd1-...`, or the file that it stands in
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// The scenario file the token belongs to
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The code or the key of the finding to keep, if the run has several
    #[arg(long, value_name = "CODE")]
    pub(crate) finding: Option<String>,
    /// The most runs
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = one_or_more)]
    pub(crate) runs: u64,
    /// Where the scenario is written, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

#[derive(Args, Debug)]
pub(crate) struct StraceArgs {
    /// A log of `strace -f -y -e trace=%memory,%process` (docs/strace.md)
    #[arg(value_name = "LOG")]
    pub(crate) log: PathBuf,
    /// The driver that mirrors the program's anonymous memory
    #[arg(long, value_name = "DRIVER")]
    pub(crate) driver: String,
    /// A way in which the driver is wrong on purpose (`shootdown list drivers` names them)
    #[arg(long, value_name = "NAME")]
    pub(crate) mutant: Option<String>,
    /// How results are printed: for people, or as one JSON object a line (docs/json.md)
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct MatrixArgs {
    /// Workloads (.mms); the shipped ones if absent
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Every value of this setting; several give every combination. Without it: the settings that were real, and each
    /// single change from those of 6.12
    #[arg(long, value_name = "SETTING")]
    pub(crate) vary: Vec<String>,
    /// Measure how long an announced range takes, too: the only figure that is not the same every time
    #[arg(long)]
    pub(crate) timed: bool,
    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the table as a picture
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Threads; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) jobs: usize,
    /// How results are printed: for people, or as one JSON object (docs/json.md)
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct MuseumArgs {
    /// Only these exhibits; all if absent
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The exhibits of a folder, NAME.mms each, instead of the shipped ones
    #[arg(long, value_name = "DIR")]
    pub(crate) exhibits: Option<PathBuf>,
    /// Show in what the versions differ, and run nothing
    #[arg(long)]
    pub(crate) diff: bool,
    /// Fewer runs of the fixed versions, and no proofs: what the pipeline has time for
    #[arg(long, conflicts_with = "diff")]
    pub(crate) short: bool,
    #[command(flatten)]
    pub(crate) proofs: ProveArgs,
    /// Write the table as Markdown
    #[arg(long, value_name = "FILE", conflicts_with = "diff")]
    pub(crate) markdown: Option<PathBuf>,
    /// Threads; all but the times is the same for any number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) jobs: usize,
    /// How results are printed: for people, or as one JSON object (docs/json.md)
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct LockdepArgs {
    #[command(subcommand)]
    pub(crate) command: LockdepCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum LockdepCommand {
    /// Give a verdict on each recorded case, and the findings in each trace
    #[command(after_help = AFTER_LOCKDEP_CHECK)]
    Check(LockdepCheckArgs),
    /// Draw what all inputs together teach of the order of locks
    #[command(after_help = AFTER_LOCKDEP_GRAPH)]
    Graph(LockdepGraphArgs),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum InputArg {
    // No help of their own: what they are stands at the option.
    Auto,
    Json,
    Trace,
}

#[derive(Args, Debug)]
pub(crate) struct LockdepCheckArgs {
    /// JSON lines (tests/data/lockdep/FORMAT.md), or what `trace-cmd report` or `perf script` printed; packed with gzip or
    /// not; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the lines are: json, trace, or auto to tell by their content
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) input: InputArg,
    /// How results are printed: for people, or as one JSON object a line (docs/json.md)
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct MmArgs {
    #[command(subcommand)]
    pub(crate) command: MmCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum MmCommand {
    /// Do recorded calls again and compare results, VMAs, pages, contents and faults after each
    Check(MmCheckArgs),
    /// Do random calls on this machine's kernel and in the simulation, and compare after each (Linux, root)
    Live(MmLiveArgs),
    /// Do random calls on this machine's kernel and print what came of them, as traces
    Record(MmRecordArgs),
}

#[derive(Args, Debug)]
pub(crate) struct MmLiveArgs {
    /// Seed of the first program
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = one_or_more)]
    pub(crate) seeds: u64,
    /// Operations of each
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = one_or_more)]
    pub(crate) ops: u64,
    /// What programs are mostly about
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) profile: Profile,
}

#[derive(Args, Debug)]
pub(crate) struct MmRecordArgs {
    /// Seed of the program
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Operations
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = one_or_more)]
    pub(crate) ops: u64,
    /// What the program is mostly about
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) profile: Profile,
    /// Do the calls of these traces again, instead of random ones
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "ops", "profile"])]
    pub(crate) again: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct MmCheckArgs {
    /// Traces (tests/data/mm/FORMAT.md), plain or compressed with gzip
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where the arena begins: a multiple of 1 GiB
    #[arg(long, value_name = "ADDRESS", default_value = "0x200000000000", value_parser = arena)]
    pub(crate) arena: u64,
    /// How results are printed: for people, or as one JSON object a line (docs/json.md)
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct LockdepGraphArgs {
    /// As for `check`
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the lines are: json, trace, or auto to tell by their content
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) input: InputArg,
    /// Only the recorded case with this id
    #[arg(long, value_name = "ID")]
    pub(crate) only: Option<String>,
    /// Write the graph in the DOT language; `-` is standard output, and what happens if nothing else is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) dot: Option<PathBuf>,
    /// Write it as a JSON object (docs/json.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write it as /proc/lockdep, lockdep_chains and lockdep_stats have it
    #[arg(long, value_name = "FILE")]
    pub(crate) proc: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum TestFormat {
    // No help of their own: as `Format`.
    Human,
    Ktap,
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// The driver
    #[arg(value_name = "DRIVER")]
    pub(crate) driver: String,
    /// A way in which the driver is wrong on purpose
    #[arg(long, value_name = "NAME")]
    pub(crate) mutant: Option<String>,
    /// Only this case; may be given several times
    #[arg(long = "case", value_name = "NAME")]
    pub(crate) cases: Vec<String>,
    /// How results are printed: as a test list, as KTAP, or as one JSON object a case
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: TestFormat,
    // Hidden: how the watched child is called.
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub(crate) worker: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum ListWhat {
    /// Drivers, their operations, options and mutants
    Drivers,
    /// Finding codes
    Codes,
    /// Sync points that `order` can pin
    SyncPoints,
    /// What `behaviours` switches on: fixes that no release has
    Behaviours,
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

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The code, as reports and scenarios have it; all codes with one line each if absent
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    #[command(subcommand)]
    pub(crate) what: NewWhat,
}

#[derive(Subcommand, Debug)]
pub(crate) enum NewWhat {
    /// A crate with a driver, tests, a scenario, and a binary that is this tool with the driver in it
    #[command(after_help = AFTER_NEW)]
    Driver {
        /// Its name: lower-case letters, digits, `-` and `_`
        #[arg(value_name = "NAME")]
        name: String,
        /// How it hears of invalidations
        #[arg(long, value_name = "FAMILY", value_enum, default_value_t = FamilyArg::Interval)]
        family: FamilyArg,
        /// The folder to make; the name if absent
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// The checkout of shootdown to depend on; the one this program was built from if absent
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
    },
}

/// Which of the two families of subscribers a new driver is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum FamilyArg {
    /// Of some pages, with a sequence that the framework keeps (`mmu_interval_notifier_insert()`)
    Interval,
    /// Of the whole address space, counting open brackets (`mmu_notifier_register()`)
    List,
}

fn one_or_more(word: &str) -> Result<u64, String> {
    match word.parse() {
        Ok(0) => Err("nothing would be run; give 1 or more".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("give a whole number, 1 or more".to_owned()),
    }
}

/// An arena of at most 1 GiB fits between there and the end of user space, and there is room below it.
fn arena(word: &str) -> Result<u64, String> {
    const GIB: u64 = 1 << 30;
    let address = word.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    match address {
        Some(at) if at % GIB == 0 && (GIB..=(1 << 47) - 3 * GIB).contains(&at) => Ok(at),
        _ => Err("give a multiple of 1 GiB in user space, such as 0x200000000000".to_owned()),
    }
}

fn threads(word: &str) -> Result<usize, String> {
    match word.parse() {
        Ok(n) if (1..=MAX_JOBS).contains(&n) => Ok(n),
        _ => Err(format!("give 1 to {MAX_JOBS} threads")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(one_or_more("1"), Ok(1));
        assert!(one_or_more("0").is_err() && one_or_more("-1").is_err() && one_or_more("x").is_err());
        assert_eq!(arena("0x200000000000"), Ok(0x2000_0000_0000));
        assert!(arena("0x200000001000").is_err() && arena("0x0").is_err() && arena("17").is_err());
        assert!(arena("0x7fffffffffff").is_err());
        assert_eq!(threads("1024"), Ok(1024));
        assert!(threads("0").is_err() && threads("1025").is_err() && threads("").is_err());
    }
}
