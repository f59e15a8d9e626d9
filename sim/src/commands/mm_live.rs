//! `mm live` and `mm record`: random calls on the kernel this runs on, beside the simulated mm.

use crate::cli::{MmLiveArgs, MmRecordArgs};
use crate::{Exit, files, live, out};
use harness::mm_trace::{Check, Checked, Difference, parse};
use indicatif::ProgressBar;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Operations of one process: few enough that no daemon of the host comes in between.
const OPS_PER_PROCESS: usize = 100;
/// How often a process is done that is disturbed each time.
const TRIES: usize = 20;
/// The kernel whose calls are modelled.
const MODELLED: &str = "6.18";
/// What other kernels do differently, as far as known.
const VERSIONS: &str = "\
known differences of other kernels:
  before 6.18.x  no VM_MAYBE_GUARD ('gu') and no sticky flags in merges
  before 6.17    mremap moves one VMA only
  before 6.16    mprotect does not merge an unfaulted neighbour into a faulted VMA
  before 6.15    no guard pages in mappings of files; pages of huge pages are copied after a fork
  before 6.14    MADV_DONTNEED leaves empty page tables
  before 6.13    no guard pages; a write to the huge zero page splits it
";

/// What one process recorded, and how it compares.
struct Played {
    text: String,
    checked: Checked,
}

pub(crate) fn live(args: &MmLiveArgs) -> Exit {
    let host = match files::kernel_release() {
        Ok(release) => release,
        Err(line) => return bad(&line),
    };
    let modelled = host.starts_with(MODELLED);
    if !modelled {
        out::complain(&format!(
            "this kernel is {host}; the model is {MODELLED}: differences are shown and are no failure\n{VERSIONS}"
        ));
    }
    live::occupy_khugepaged();
    let bar = ProgressBar::new(args.seeds * args.ops);
    let mut all = Checked::default();
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let program = live::program(seed, args.ops, args.profile);
        for (part, ops) in program.chunks(OPS_PER_PROCESS).enumerate() {
            let played = match play_undisturbed(ops) {
                Ok(played) => played,
                Err(line) => return bad(&line),
            };
            if let Some(difference) = played.checked.differences.first() {
                report(seed, part, ops, &played, difference);
            }
            all.merge(played.checked);
            bar.inc(ops.len() as u64);
        }
    }
    bar.finish_and_clear();
    all.leaks.iter().for_each(|leak| out::complain(leak));
    out::print(&format!(
        "kernel {host}, seeds {} to {}, {} operations each\n",
        args.seed,
        args.seed + args.seeds - 1,
        args.ops
    ));
    out::print(&format!("{} operations agree, {} differ\n", all.agree, all.differences.len()));
    if all.is_clean() || !modelled { Exit::AsExpected } else { Exit::Unexpected }
}

pub(crate) fn record(args: &MmRecordArgs) -> Exit {
    if !args.again.is_empty() {
        return args
            .again
            .iter()
            .try_for_each(|file| record_again(file))
            .map_or_else(|line| bad(&line), |()| Exit::AsExpected);
    }
    let program = live::program(args.seed, args.ops, args.profile);
    for (part, ops) in program.chunks(OPS_PER_PROCESS).enumerate() {
        match host(ops) {
            Ok(text) => out::print(&named(&text, &format!("live-{}-{part}", args.seed))),
            Err(line) => return bad(&line),
        }
    }
    Exit::AsExpected
}

/// Does the calls of the traces of a file again, and prints what came of them, under the same names.
fn record_again(file: &Path) -> Result<(), String> {
    let text = files::read_text_or_gz(file)?;
    let mut programs: Vec<(String, Vec<Value>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).map_err(|e| format!("{}:{}: {e}", file.display(), number + 1))?;
        match (line["trace"].as_str(), programs.last_mut()) {
            (Some(name), _) => programs.push((name.to_owned(), Vec::new())),
            (None, Some((_, ops))) => ops.push(line),
            (None, None) => return Err(format!("{}:{}: a trace begins with its header", file.display(), number + 1)),
        }
    }
    for (name, ops) in programs {
        let ops: Vec<Value> = ops.into_iter().map(live::without_results).collect();
        out::print(&named(&host(&ops)?, &name));
    }
    Ok(())
}

/// The process that does the calls: the program on standard input, the trace on standard output.
pub(crate) fn play_host() -> Exit {
    match live::play() {
        Ok(()) => Exit::AsExpected,
        Err(line) => bad(&line),
    }
}

fn bad(line: &str) -> Exit {
    out::error(line);
    Exit::BadInput
}

/// Has a program done by a process of its own.
fn host(ops: &[Value]) -> Result<String, String> {
    let this = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
    let mut child = Command::new(this)
        .arg("mm-host")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("a process cannot be started: {e}"))?;
    let lines: String = ops.iter().map(|op| format!("{op}\n")).collect();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes()).map_err(|e| format!("the process takes no program: {e}"))?;
    }
    let output = child.wait_with_output().map_err(|e| format!("the process was lost: {e}"))?;
    if !output.status.success() {
        return Err(format!("the process that does the calls ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("the process wrote no text: {e}"))
}

fn play(ops: &[Value]) -> Result<Played, String> {
    let text = host(ops)?;
    let traces = parse(&text).map_err(|e| format!("what the process wrote, {e}"))?;
    let mut checked = Checked::default();
    traces.iter().for_each(|trace| checked.merge(Check::default().trace(trace)));
    Ok(Played { text, checked })
}

/// khugepaged may come in between, and it counts the pages that it collapses: what differs in a process that it disturbed says
/// nothing, and is done again.
fn play_undisturbed(ops: &[Value]) -> Result<Played, String> {
    for _ in 1..TRIES {
        let before = files::pages_collapsed();
        let played = play(ops)?;
        if played.checked.is_clean() || files::pages_collapsed() == before {
            return Ok(played);
        }
    }
    play(ops)
}

fn named(text: &str, name: &str) -> String {
    text.replacen("\"trace\":\"live\"", &format!("\"trace\":\"{name}\""), 1)
}

/// Shows a difference with as few calls before it as still show it, and saves that as a trace.
fn report(seed: u64, part: usize, ops: &[Value], played: &Played, difference: &Difference) {
    let (text, shrunk) = shrink(ops, played, difference);
    let name = format!("live-{seed}-{part}");
    let file = format!("mm-{name}.jsonl");
    out::print(&format!("seed {seed}, process {part}:\n{shrunk}"));
    match std::fs::write(&file, named(&text, &name)) {
        Ok(()) => out::print(&format!("replay: {} mm check {file}\n\n", crate::program::name())),
        Err(why) => out::error(&format!("{file} cannot be written: {why}")),
    }
}

/// Leaves out calls, the last before the difference first, while the same layer still differs at the last call.
fn shrink(ops: &[Value], played: &Played, difference: &Difference) -> (String, Difference) {
    let mut kept: Vec<Value> = ops[..=(difference.index as usize).min(ops.len() - 1)].to_vec();
    let mut best = (played.text.clone(), difference.clone());
    let mut at = kept.len().saturating_sub(1);
    while at > 0 {
        at -= 1;
        let mut fewer = kept.clone();
        fewer.remove(at);
        let Ok(again) = play(&fewer) else { continue };
        let same = again.checked.differences.into_iter().find(|d| d.layer == difference.layer);
        if let Some(found) = same.filter(|found| found.index as usize + 1 == fewer.len()) {
            kept = fewer;
            best = (again.text, found);
        }
    }
    best
}
