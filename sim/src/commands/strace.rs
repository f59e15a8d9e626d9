//! `strace`: a real program's recorded memory calls, with a driver attached.

use crate::cli::{Format, StraceArgs};
use crate::{Exit, files, out, program};
use harness::Registry;
use harness::strace::{Difference, Maps, Replay, Replayed, Start, StraceLog, TextError, compare};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A process at its end marker, held against its end snapshot if there is one.
struct Compared {
    pid: u32,
    comm: String,
    vmas: usize,
    differences: Option<Vec<Difference>>,
}

pub(crate) fn strace(registry: &Registry, args: &StraceArgs) -> Exit {
    match replay(registry, args) {
        Ok(exit) => exit,
        Err(lines) => {
            for line in lines {
                out::complain(&format!("error: {line}"));
            }
            Exit::BadInput
        }
    }
}

fn replay(registry: &Registry, args: &StraceArgs) -> Result<Exit, Vec<String>> {
    let text = files::read_text(&args.log).map_err(|line| vec![line])?;
    let log = StraceLog::parse(&text).map_err(|errors| in_file(&args.log, &errors))?;
    let starts = start_snapshots(&args.log)?;
    let name = file_name(&args.log);
    let done = Replay { name: &name, log: &log, starts: &starts, driver: &args.driver, mutant: args.mutant.as_deref() }
        .run(registry)
        .map_err(|why| vec![format!("{}: {why}", args.log.display())])?;
    // Read only now: the replay cannot have looked.
    let compared = compare_ends(&args.log, &done)?;
    let replay = replay_line(args);
    match args.format {
        Format::Human => out::print_report(&to_text(&name, args, &done, &compared, &replay)),
        Format::Json => out::print(&format!("{}\n", to_json(&name, args, &done, &compared, &replay))),
    }
    let clean = done.findings.is_empty()
        && done.mismatches.is_empty()
        && done.skipped.is_empty()
        && compared.iter().all(|c| c.differences.as_ref().is_none_or(Vec::is_empty));
    Ok(if clean { Exit::AsExpected } else { Exit::Unexpected })
}

fn in_file(path: &Path, errors: &[TextError]) -> Vec<String> {
    errors.iter().map(|e| format!("{}:{}:{}: {}", path.display(), e.line, e.column, e.message)).collect()
}

fn read_maps(path: &Path) -> Result<Maps, Vec<String>> {
    let text = files::read_text(path).map_err(|line| vec![line])?;
    Maps::parse(&text).map_err(|errors| in_file(path, &errors))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Snapshots `STEM.PID.COMM.KIND` beside the log, sorted by name: process, command, file.
fn snapshots(log: &Path, kind: &str) -> Vec<(u32, String, PathBuf)> {
    let stem = log.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let folder = log.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<(u32, String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = file_name(&path);
            let rest = name.strip_prefix(&format!("{stem}."))?.strip_suffix(&format!(".{kind}"))?;
            let (pid, comm) = rest.split_once('.')?;
            Some((pid.parse().ok()?, comm.to_owned(), path))
        })
        .collect();
    found.sort();
    found
}

fn start_snapshots(log: &Path) -> Result<Vec<Start>, Vec<String>> {
    let read = |(pid, comm, path): (u32, String, PathBuf)| Ok(Start { pid, comm, maps: read_maps(&path)? });
    snapshots(log, "start.maps").into_iter().map(read).collect()
}

fn compare_ends(log: &Path, done: &Replayed) -> Result<Vec<Compared>, Vec<String>> {
    let snapshots = snapshots(log, "end.maps");
    let compared = done.ends.iter().map(|end| {
        let recorded = snapshots.iter().find(|(pid, comm, _)| *pid == end.pid && *comm == end.comm);
        let differences = match recorded {
            Some((.., path)) => Some(compare(&read_maps(path)?, &end.maps)),
            None => None,
        };
        Ok(Compared { pid: end.pid, comm: end.comm.clone(), vmas: end.maps.lines.len(), differences })
    });
    compared.collect()
}

fn replay_line(args: &StraceArgs) -> String {
    let log = program::shell_word(&args.log.to_string_lossy());
    let mutant = args.mutant.as_ref().map_or_else(String::new, |m| format!(" --mutant {}", program::shell_word(m)));
    format!("replay: {} strace {log} --driver {}{mutant}", program::name(), program::shell_word(&args.driver))
}

fn to_text(name: &str, args: &StraceArgs, done: &Replayed, compared: &[Compared], replay: &str) -> String {
    let mut text = String::new();
    let mutant = args.mutant.as_ref().map_or_else(String::new, |m| format!(", mutant {m}"));
    let _ = writeln!(text, "{name}, driver {}{mutant}", args.driver);
    let total: u64 = done.calls.values().sum();
    let calls: Vec<String> = done.calls.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let _ = writeln!(text, "  address spaces:  {:>7}", done.spaces);
    let _ = writeln!(text, "  calls:           {total:>7}   {}", calls.join(", "));
    let all: u64 = done.invalidations.iter().map(|(_, n)| n).sum();
    let reasons: Vec<String> = done.invalidations.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    let _ = writeln!(text, "  invalidations:   {all:>7}   {}", reasons.join(", "));
    let _ = writeln!(text, "  pages mirrored:  {:>7}", done.pages_mirrored);
    let _ = writeln!(text, "  pages revoked:   {:>7}", done.pages_revoked);
    let _ = writeln!(text, "  device accesses: {:>7}", done.device_accesses);
    let _ = writeln!(text, "  findings:        {:>7}", done.findings.len());
    let _ = writeln!(text, "  run hash {:016x}", done.hash);
    for line in &done.mismatches {
        let _ = writeln!(text, "not as expected: {line}");
    }
    for line in &done.skipped {
        let _ = writeln!(text, "not as expected: not replayed: {line}");
    }
    for finding in &done.findings {
        let _ = writeln!(text, "\n{}\n{replay}", finding.text.trim_end());
    }
    text.push('\n');
    for process in compared {
        text.push_str(&comparison(process));
    }
    if compared.is_empty() {
        text.push_str("no process has an end marker: nothing to compare with\n");
    }
    text
}

/// What became of one process's mappings.
fn comparison(process: &Compared) -> String {
    let mut text = String::new();
    let who = format!("{} ({})", process.comm, process.pid);
    match process.differences.as_deref() {
        None => {
            let _ =
                writeln!(text, "{who}: {} VMAs; no end snapshot beside the log, nothing to compare with", process.vmas);
        }
        Some([]) => {
            let _ = writeln!(text, "as expected: {who}: the final maps are exact, {} VMAs", process.vmas);
        }
        Some(differences) => {
            for difference in differences {
                let _ = writeln!(text, "{difference}\n");
            }
            let _ = writeln!(text, "not as expected: {who}: the final maps differ in {} places", differences.len());
        }
    }
    text
}

fn to_json(name: &str, args: &StraceArgs, done: &Replayed, compared: &[Compared], replay: &str) -> serde_json::Value {
    let processes: Vec<serde_json::Value> = compared
        .iter()
        .map(|c| {
            let differences = c.differences.as_ref().map(|d| d.iter().map(ToString::to_string).collect::<Vec<_>>());
            serde_json::json!({"pid": c.pid, "comm": c.comm, "vmas": c.vmas, "differences": differences})
        })
        .collect();
    let invalidations: std::collections::BTreeMap<&str, u64> = done.invalidations.iter().copied().collect();
    serde_json::json!({
        "log": name, "driver": args.driver, "mutant": args.mutant, "address_spaces": done.spaces,
        "calls": done.calls, "invalidations": invalidations,
        "pages_mirrored": done.pages_mirrored, "pages_revoked": done.pages_revoked,
        "device_accesses": done.device_accesses, "findings": done.findings,
        "mismatches": done.mismatches, "not_replayed": done.skipped,
        "run_hash": format!("{:016x}", done.hash), "replay": replay, "processes": processes,
    })
}
