//! Snapshots of /proc/PID/maps beside a log: `STEM.PID.COMM.start.maps` and `STEM.PID.COMM.end.maps`.

use super::in_file;
use crate::files;
use harness::strace::{Difference, Explanation, Maps, Process, Start, compare, explain};
use std::path::{Path, PathBuf};

/// A process that was replayed, held against its end snapshot if there is one.
pub(super) struct Compared<'a> {
    pub(super) process: &'a Process,
    /// None without a snapshot.
    pub(super) differences: Option<Vec<(Difference, Vec<Explanation>)>>,
}

impl Compared<'_> {
    pub(super) fn differs(&self) -> bool {
        self.differences.as_ref().is_some_and(|d| !d.is_empty())
    }
}

/// The start snapshots of a log.
pub(super) fn starts(log: &Path) -> Result<Vec<Start>, Vec<String>> {
    let read = |(pid, comm, path): (u32, String, PathBuf)| Ok(Start { pid, comm, maps: read_maps(&path)? });
    beside(log, "start.maps").into_iter().map(read).collect()
}

/// Compares each process with its end snapshot, which is read now.
pub(super) fn compare_ends<'a>(log: &Path, processes: &'a [Process]) -> Result<Vec<Compared<'a>>, Vec<String>> {
    let snapshots = beside(log, "end.maps");
    let recorded = |process: &Process| {
        let of_process = || snapshots.iter().filter(|(pid, ..)| *pid == process.pid);
        // A script's name is not what it executes in the end: a snapshot that can be no other's is its.
        let alone = || of_process().next().filter(|_| of_process().count() == 1);
        of_process().find(|(_, comm, _)| *comm == process.comm).or_else(alone).map(|(.., path)| path.clone())
    };
    let compared = processes.iter().map(|process| {
        let differences = match (&process.end, recorded(process)) {
            (Some(end), Some(path)) if process.known => {
                let found = compare(&read_maps(&path)?, end);
                Some(found.into_iter().map(|d| (explain(&d, &process.changes), d)).map(|(e, d)| (d, e)).collect())
            }
            _ => None,
        };
        Ok(Compared { process, differences })
    });
    compared.collect()
}

fn read_maps(path: &Path) -> Result<Maps, Vec<String>> {
    let text = files::read_text(path).map_err(|line| vec![line])?;
    Maps::parse(&text).map_err(|errors| in_file(path, &errors))
}

/// The snapshots of a kind, sorted: process, command, file.
fn beside(log: &Path, kind: &str) -> Vec<(u32, String, PathBuf)> {
    let stem = log.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let folder = log.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<(u32, String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = super::file_name(&path);
            let rest = name.strip_prefix(&format!("{stem}."))?.strip_suffix(&format!(".{kind}"))?;
            let (pid, comm) = rest.split_once('.')?;
            Some((pid.parse().ok()?, comm.to_owned(), path))
        })
        .collect();
    found.sort();
    found
}
