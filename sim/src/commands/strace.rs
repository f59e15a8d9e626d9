//! `strace`: a real program's recorded memory calls, with a driver attached.

mod report;
mod snapshots;

use crate::cli::{Format, StraceArgs};
use crate::clock::Clock;
use crate::{Exit, files, out, program};
use harness::Registry;
use harness::strace::{Replay, StraceLog, TextError};
use indicatif::{ProgressBar, ProgressStyle};
use report::Report;
use std::path::Path;

pub(crate) fn strace(registry: &Registry, args: &StraceArgs) -> Exit {
    match replay(registry, args) {
        Ok(exit) => exit,
        Err(lines) => {
            for line in lines {
                out::error(&line);
            }
            Exit::BadInput
        }
    }
}

fn replay(registry: &Registry, args: &StraceArgs) -> Result<Exit, Vec<String>> {
    let text = files::read_text(&args.log).map_err(|line| vec![line])?;
    let log = StraceLog::parse(&text).map_err(|errors| in_file(&args.log, &errors))?;
    let starts = snapshots::starts(&args.log)?;
    let name = file_name(&args.log);
    let clock = Clock::start();
    let bar = progress_bar(log.entries.len());
    let progress = bar.clone();
    let mut done =
        Replay { name: &name, log: &log, starts: &starts, driver: &args.driver, mutant: args.mutant.as_deref() }
            .run(registry, move |entries| progress.set_position(entries as u64))
            .map_err(|why| vec![format!("{}: {why}", args.log.display())])?;
    bar.finish_and_clear();
    let command = replay_command(args);
    done.findings.iter_mut().for_each(|finding| finding.replay.clone_from(&command));
    let took = clock.elapsed().as_secs_f64();
    // Read only now: the replay cannot have looked.
    let compared = snapshots::compare_ends(&args.log, &done.processes)?;
    let cut_short = done.cut_short();
    let clean = done.findings.is_empty()
        && done.mismatches.is_empty()
        && done.skipped.is_empty()
        && cut_short.is_none()
        && !compared.iter().any(snapshots::Compared::differs);
    let calls: u64 = done.calls.values().sum();
    let report =
        Report { args, name: &name, text: &text, done: &done, compared: &compared, cut_short, replay: command.clone() };
    match args.format {
        Format::Human => out::print_report(&report.to_text()),
        Format::Json => out::print(&format!("{}\n", report.to_json())),
    }
    out::complain(&cost(calls, took));
    Ok(if clean { Exit::AsExpected } else { Exit::Unexpected })
}

fn in_file(path: &Path, errors: &[TextError]) -> Vec<String> {
    errors.iter().map(|e| format!("{}:{}:{}: {}", path.display(), e.line, e.column, e.message)).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

fn replay_command(args: &StraceArgs) -> String {
    let log = program::shell_word(&args.log.to_string_lossy());
    let mutant = args.mutant.as_ref().map_or_else(String::new, |m| format!(" --mutant {}", program::shell_word(m)));
    format!("{} strace {log} --driver {}{mutant}", program::name(), program::shell_word(&args.driver))
}

fn progress_bar(entries: usize) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(entries as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} calls, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Rate and memory: of this machine, not of the replay, so not among the data.
fn cost(calls: u64, seconds: f64) -> String {
    let memory =
        files::peak_memory_kib().map_or_else(String::new, |kib| format!(", {} MiB at most", kib.div_ceil(1024)));
    format!("{calls} calls in {seconds:.2} s, {:.0} calls/s{memory}", calls as f64 / seconds.max(1e-9))
}
