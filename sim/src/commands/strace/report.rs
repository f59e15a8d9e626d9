//! What a replay is printed as.

use super::snapshots::Compared;
use crate::cli::StraceArgs;
use harness::strace::{Began, Counts, Difference, Explanation, Process, Replayed};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Findings printed in full; of the others a line each.
const IN_FULL: usize = 3;

/// A replay with what was found out about it.
pub(super) struct Report<'a> {
    pub(super) args: &'a StraceArgs,
    /// Name of the log.
    pub(super) name: &'a str,
    /// Its text.
    pub(super) text: &'a str,
    pub(super) done: &'a Replayed,
    pub(super) compared: &'a [Compared<'a>],
    /// How the replay ended, if not as it should.
    pub(super) cut_short: Option<String>,
    /// The command that does it again.
    pub(super) replay: String,
}

impl Report<'_> {
    /// For people.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mutant = self.args.mutant.as_ref().map_or_else(String::new, |m| format!(", mutant {m}"));
        let n = self.compared.len();
        let s = if n == 1 { "" } else { "es" };
        let _ = writeln!(text, "{}, {n} process{s}, driver {}{mutant}", self.name, self.args.driver);
        for compared in self.compared.iter().filter(|c| is_told(c)) {
            let _ = writeln!(text, "\n{}", began(compared.process));
            text.push_str(&counts(&compared.process.calls, &compared.process.counts));
            text.push_str(&self.comparison(compared));
        }
        let silent = self.compared.iter().filter(|c| !is_told(c)).count();
        if silent > 0 {
            let _ = writeln!(text, "\n{silent} more made no call but to execute another program or to exit");
        }
        let _ = writeln!(text, "\ntotal");
        text.push_str(&counts(&self.done.calls, &self.done.counts));
        let _ = writeln!(text, "  findings:        {:>7}", self.done.findings.len());
        let _ = writeln!(text, "  run hash {:016x}", self.done.hash);
        self.remarks(&mut text);
        self.findings(&mut text);
        text.push_str(&self.conclusion());
        text
    }

    fn remarks(&self, text: &mut String) {
        for note in &self.done.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        if self.done.counts.mirrored_invalidated == 0 {
            let _ = writeln!(text, "  note: no invalidation of a mirrored page before an exit: nothing to miss");
        }
        for mismatch in self.mismatches() {
            let _ = writeln!(text, "not as expected: {mismatch}");
        }
        for line in &self.done.skipped {
            let _ = writeln!(text, "not as expected: not replayed: {line}");
        }
    }

    fn mismatches(&self) -> Vec<String> {
        let mismatches = self.done.mismatches.iter();
        let before = |last: Option<usize>| last.map(|l| format!("\n  last changed by line {l}: {}", self.line(l)));
        mismatches.map(|m| format!("line {}: {}{}", m.line, m.what, before(m.last).unwrap_or_default())).collect()
    }

    fn findings(&self, text: &mut String) {
        for finding in self.done.findings.iter().take(IN_FULL) {
            let _ = writeln!(text, "\n{}\nreplay: {}", finding.text.trim_end(), self.replay);
        }
        let rest: Vec<_> = self.done.findings.iter().skip(IN_FULL).collect();
        if !rest.is_empty() {
            let _ = writeln!(text, "\n{} more:", rest.len());
        }
        for finding in rest {
            let _ = writeln!(text, "  {}: {}", finding.code, finding.title);
        }
    }

    fn conclusion(&self) -> String {
        let mut text = "\n".to_owned();
        let held = self.compared.iter().filter(|c| c.differences.is_some()).count();
        let s = if held == 1 { "" } else { "es" };
        if let Some(why) = &self.cut_short {
            let _ = writeln!(text, "not as expected: {why}");
        }
        if !self.done.findings.is_empty() {
            let _ = writeln!(text, "not as expected: {} findings", self.done.findings.len());
        }
        match self.compared.iter().filter(|c| c.differs()).count() {
            0 if held > 0 => {
                let _ = writeln!(text, "as expected: {held} process{s} with an end snapshot, every final map exact");
            }
            0 => text.push_str("no process has an end snapshot: no final map was compared\n"),
            differ => {
                let _ = writeln!(text, "not as expected: {differ} of {held} final maps differ");
            }
        }
        text
    }

    /// What became of one process's mappings.
    fn comparison(&self, compared: &Compared<'_>) -> String {
        let mut text = String::new();
        let vmas = compared.process.end.as_ref().map(|end| end.lines.len());
        match (vmas, compared.differences.as_deref()) {
            (None, _) => text.push_str("  no end marker: its final map is not compared\n"),
            (Some(_), None) if !compared.process.known => {
                text.push_str("  its final map is not compared: what it began with is in no log\n");
            }
            (Some(vmas), None) => {
                let _ = writeln!(text, "  {vmas} VMAs; no end snapshot beside the log, nothing to compare with");
            }
            (Some(vmas), Some([])) => {
                let _ = writeln!(text, "  the final maps are exact, {vmas} VMAs");
            }
            (Some(_), Some(differences)) => {
                let n = differences.len();
                let places = if n == 1 { "1 place".to_owned() } else { format!("{n} places") };
                let _ = writeln!(text, "  the final maps differ in {places}:");
                for (difference, explanations) in differences {
                    let _ = writeln!(text, "{}", self.difference(difference, explanations));
                }
            }
        }
        text
    }

    fn difference(&self, difference: &Difference, explanations: &[Explanation]) -> String {
        let mut text = format!("\n{difference}");
        for explanation in explanations {
            let _ = write!(text, "\n  {explanation}");
            match explanation.last {
                Some(line) => {
                    let _ = write!(text, "\n    last changed by line {line}: {}", self.line(line));
                }
                None => text.push_str("\n    no call of the log changed them since it began"),
            }
            let _ = write!(text, "\n    {}", explanation.missing());
        }
        text
    }

    /// A line of the log; the call that it ends, if that began in another.
    fn line(&self, number: usize) -> String {
        let line = self.text.lines().nth(number.wrapping_sub(1)).unwrap_or_default().trim();
        let Some((pid, _)) = line.split_once(" <... ") else { return line.to_owned() };
        let begun = self.text.lines().take(number.saturating_sub(1)).enumerate();
        let unfinished = |l: &str| l.ends_with("<unfinished ...>") && l.starts_with(pid);
        match begun.filter(|(_, l)| unfinished(l)).last() {
            Some((n, begun)) => format!("{line}  (begun in line {}: {})", n + 1, begun.trim()),
            None => line.to_owned(),
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let processes: Vec<serde_json::Value> = self.compared.iter().map(|c| self.process_json(c)).collect();
        let (done, counts) = (self.done, &self.done.counts);
        serde_json::json!({
            "log": self.name, "driver": self.args.driver, "mutant": self.args.mutant,
            "address_spaces": processes.len(), "processes": processes,
            "calls": done.calls, "invalidations": counts.invalidations,
            "pages_mirrored": counts.pages_mirrored, "pages_revoked": counts.pages_revoked,
            "mirrored_pages_invalidated": counts.mirrored_invalidated, "device_accesses": counts.device_accesses,
            "findings": done.findings, "mismatches": self.mismatches(), "not_replayed": done.skipped,
            "notes": done.notes, "cut_short": self.cut_short,
            "run_hash": format!("{:016x}", done.hash), "replay": self.replay,
        })
    }

    fn process_json(&self, compared: &Compared<'_>) -> serde_json::Value {
        let Process { pid, comm, tasks, calls, counts, end, .. } = compared.process;
        let differences = compared.differences.as_ref().map(|differences| {
            differences.iter().map(|(d, why)| self.difference(d, why).trim_start().to_owned()).collect::<Vec<_>>()
        });
        serde_json::json!({
            "pid": pid, "comm": comm, "began": began_word(compared.process.began), "tasks": tasks, "calls": calls,
            "invalidations": counts.invalidations, "pages_mirrored": counts.pages_mirrored,
            "pages_revoked": counts.pages_revoked, "mirrored_pages_invalidated": counts.mirrored_invalidated,
            "device_accesses": counts.device_accesses, "vmas": end.as_ref().map(|end| end.lines.len()),
            "differences": differences,
        })
    }
}

/// A child that only executes another program is worth no paragraph.
fn is_told(compared: &Compared<'_>) -> bool {
    let process = compared.process;
    let idle = |call: &str| matches!(call, "execve" | "exit" | "exit_group" | "wait4");
    process.began == Began::Snapshot || process.end.is_some() || !process.calls.keys().all(|call| idle(call))
}

fn began(process: &Process) -> String {
    let comm = if process.comm.is_empty() { "(name unknown)" } else { &process.comm };
    let s = if process.tasks == 1 { "" } else { "s" };
    let from = match process.began {
        Began::Snapshot => "from its start snapshot".to_owned(),
        Began::Fork(parent) => format!("forked by {parent}, without a device of its own"),
        Began::Empty => "from an empty map: what it had is in no log".to_owned(),
    };
    format!("process {} {comm}, {} task{s}, {from}", process.pid, process.tasks)
}

fn began_word(began: Began) -> &'static str {
    match began {
        Began::Snapshot => "snapshot",
        Began::Fork(_) => "fork",
        Began::Empty => "empty",
    }
}

fn counts(calls: &BTreeMap<String, u64>, counts: &Counts) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  calls:           {}", sum(calls.iter().map(|(name, n)| (name.as_str(), *n))));
    let _ = writeln!(text, "  invalidations:   {}", sum(counts.invalidations.iter().map(|(reason, n)| (*reason, *n))));
    let _ = writeln!(text, "  pages mirrored:  {:>7}", counts.pages_mirrored);
    let _ = writeln!(text, "  pages revoked:   {:>7}", counts.pages_revoked);
    let _ = writeln!(text, "  device accesses: {:>7}", counts.device_accesses);
    text
}

/// The sum, and its parts by name.
fn sum<'a>(parts: impl Iterator<Item = (&'a str, u64)> + Clone) -> String {
    let all: u64 = parts.clone().map(|(_, n)| n).sum();
    let list: Vec<String> = parts.map(|(name, n)| format!("{name} {n}")).collect();
    format!("{all:>7}   {}", list.join(", ")).trim_end().to_owned()
}
