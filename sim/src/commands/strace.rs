//! `strace`: a real program's recorded memory calls, with a driver attached.

use crate::cli::{Format, StraceArgs};
use crate::{Exit, files, out, program};
use harness::Registry;
use harness::strace::{Difference, Maps, Replay, Replayed, StraceLog, TextError, compare};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A process of the log that has both markers, with its snapshot files.
struct Process {
    pid: u32,
    start: PathBuf,
    end: Option<PathBuf>,
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
    let process = find_process(&args.log, &log)?;
    let calls = log.between_markers(process.pid).unwrap_or_default();
    let start = read_maps(&process.start)?;
    let name = file_name(&args.log);
    let done = Replay {
        log: &name,
        process: &process_name(&args.log, &process),
        calls,
        start: &start,
        driver: &args.driver,
        mutant: args.mutant.as_deref(),
    }
    .run(registry)
    .map_err(|why| vec![format!("{}: {why}", args.log.display())])?;
    // Read only now: the replay cannot have looked.
    let differences = match &process.end {
        Some(path) => Some(compare(&read_maps(path)?, &done.maps)),
        None => None,
    };
    let replay = replay_line(args);
    match args.format {
        Format::Human => out::print_report(&to_text(&name, &process, args, &done, differences.as_deref(), &replay)),
        Format::Json => {
            out::print(&format!("{}\n", to_json(&name, &process, args, &done, differences.as_deref(), &replay)))
        }
    }
    let clean = done.findings.is_empty()
        && done.mismatches.is_empty()
        && done.skipped.is_empty()
        && differences.is_none_or(|d| d.is_empty());
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

/// The process to replay: the one with both markers and a snapshot `STEM.PID.COMM.start.maps` beside the log.
fn find_process(log_path: &Path, log: &StraceLog) -> Result<Process, Vec<String>> {
    let mut pids: Vec<u32> = log.entries.iter().map(|e| e.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let shown = log_path.display();
    let marked: Vec<u32> = pids.into_iter().filter(|pid| log.between_markers(*pid).is_some()).collect();
    match marked.as_slice() {
        [] => Err(vec![format!("{shown}: no process has both snapshot markers")]),
        [pid] => {
            let start = snapshot(log_path, *pid, "start.maps")
                .ok_or_else(|| vec![format!("{shown}: no start snapshot of process {pid} beside it")])?;
            Ok(Process { pid: *pid, start, end: snapshot(log_path, *pid, "end.maps") })
        }
        several => Err(vec![format!(
            "{shown}: {} processes have snapshot markers; logs of one process are replayed so far",
            several.len()
        )]),
    }
}

/// `STEM.PID.COMM.KIND` beside the log; the first by name if there are several.
fn snapshot(log: &Path, pid: u32, kind: &str) -> Option<PathBuf> {
    let stem = log.file_stem()?.to_string_lossy().into_owned();
    let folder = log.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!("{stem}.{pid}.");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = file_name(path);
            name.starts_with(&prefix) && name.ends_with(&format!(".{kind}"))
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

/// The command's name as the snapshot file has it.
fn process_name(log: &Path, process: &Process) -> String {
    let stem = log.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let file = file_name(&process.start);
    let name = file.strip_prefix(&format!("{stem}.{}.", process.pid)).and_then(|r| r.strip_suffix(".start.maps"));
    name.unwrap_or(&stem).to_owned()
}

fn replay_line(args: &StraceArgs) -> String {
    let log = program::shell_word(&args.log.to_string_lossy());
    let mutant = args.mutant.as_ref().map_or_else(String::new, |m| format!(" --mutant {}", program::shell_word(m)));
    format!("replay: {} strace {log} --driver {}{mutant}", program::name(), program::shell_word(&args.driver))
}

fn to_text(
    name: &str,
    process: &Process,
    args: &StraceArgs,
    done: &Replayed,
    differences: Option<&[Difference]>,
    replay: &str,
) -> String {
    let mut text = String::new();
    let mutant = args.mutant.as_ref().map_or_else(String::new, |m| format!(", mutant {m}"));
    let _ = writeln!(text, "{name}, process {}, driver {}{mutant}", process.pid, args.driver);
    let total: u64 = done.calls.values().sum();
    let calls: Vec<String> = done.calls.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let _ = writeln!(text, "  calls:           {total:>6}   {}", calls.join(", "));
    let all: u64 = done.invalidations.iter().map(|(_, n)| n).sum();
    let reasons: Vec<String> = done.invalidations.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    let _ = writeln!(text, "  invalidations:   {all:>6}   {}", reasons.join(", "));
    let _ = writeln!(text, "  pages mirrored:  {:>6}", done.pages_mirrored);
    let _ = writeln!(text, "  pages revoked:   {:>6}", done.pages_revoked);
    let _ = writeln!(text, "  device accesses: {:>6}", done.device_accesses);
    let _ = writeln!(text, "  findings:        {:>6}", done.findings.len());
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
    let vmas = done.maps.lines.len();
    match differences {
        None => {
            let _ =
                writeln!(text, "\nfinal maps: {vmas} VMAs; no end snapshot beside the log, nothing to compare with");
        }
        Some([]) => {
            let _ = writeln!(text, "\nas expected: the final maps are exact, {vmas} VMAs");
        }
        Some(differences) => {
            for difference in differences {
                let _ = writeln!(text, "\n{difference}");
            }
            let _ = writeln!(text, "\nnot as expected: the final maps differ in {} places", differences.len());
        }
    }
    text
}

fn to_json(
    name: &str,
    process: &Process,
    args: &StraceArgs,
    done: &Replayed,
    differences: Option<&[Difference]>,
    replay: &str,
) -> serde_json::Value {
    serde_json::json!({
        "log": name, "pid": process.pid, "driver": args.driver, "mutant": args.mutant,
        "calls": done.calls,
        "invalidations": done.invalidations.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect::<std::collections::BTreeMap<_, _>>(),
        "pages_mirrored": done.pages_mirrored, "pages_revoked": done.pages_revoked,
        "device_accesses": done.device_accesses, "findings": done.findings,
        "mismatches": done.mismatches, "not_replayed": done.skipped,
        "run_hash": format!("{:016x}", done.hash), "replay": replay,
        "differences": differences.map(|d| d.iter().map(ToString::to_string).collect::<Vec<_>>()),
    })
}
