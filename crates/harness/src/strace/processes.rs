//! What a log tells of tasks before any call is done: who made whom, and which start marker has which snapshot.

use super::replay::{Start, comm};
use super::{Call, CloneFlags, Entry, Event, Marker, Outcome, StraceLog};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How a task came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Born {
    /// It shares its maker's address space: a thread, a child of `vfork`.
    Sharing,
    /// It has a copy.
    Copying,
}

#[derive(Clone, Copy, Debug)]
struct Birth {
    /// Line in which the call that made it began.
    began: usize,
    parent: u32,
    how: Born,
}

/// The tasks of a log.
pub(super) struct Processes {
    /// The births of each task that have not been yet, in order: ids are used again.
    births: RefCell<BTreeMap<u32, VecDeque<Birth>>>,
    /// The snapshot of each start marker that has one, by the marker's entry.
    starts: BTreeMap<usize, usize>,
    /// Entries between an `execve` and the start marker that brings the new mappings; the `execve` is one.
    awaiting: BTreeSet<usize>,
    /// Entries of calls that were overtaken: the line each began in, and which.
    overtaken: Vec<(usize, usize)>,
}

impl Processes {
    pub(super) fn of(log: &StraceLog, starts: &[Start]) -> Processes {
        let starts = match_starts(log, starts);
        let mut births: BTreeMap<u32, VecDeque<Birth>> = BTreeMap::new();
        for (child, birth) in log.entries.iter().filter_map(birth) {
            births.entry(child).or_default().push_back(birth);
        }
        let mut overtaken: Vec<(usize, usize)> =
            log.entries.iter().enumerate().filter(|(_, e)| e.began < e.line).map(|(i, e)| (e.began, i)).collect();
        overtaken.sort_unstable();
        Processes { births: RefCell::new(births), awaiting: awaiting(log, &starts), starts, overtaken }
    }

    /// The birth of `task`, if it has not been yet: when it is first seen, or when the call that made it returns, whichever
    /// stands first in the log. `began` is the line in which that began: a task cannot be older than its maker's call.
    pub(super) fn birth(&self, task: u32, began: usize) -> Option<(u32, Born)> {
        let mut births = self.births.borrow_mut();
        let next = births.get_mut(&task)?;
        let birth = next.pop_front_if(|birth| birth.began <= began)?;
        Some((birth.parent, birth.how))
    }

    /// The number of the snapshot that belongs to the start marker at `index`.
    pub(super) fn start(&self, index: usize) -> Option<usize> {
        self.starts.get(&index).copied()
    }

    /// Whether a start marker has this snapshot.
    pub(super) fn uses(&self, number: usize) -> bool {
        self.starts.values().any(|n| *n == number)
    }

    /// Whether the entry at `index` is done on mappings that a start marker is yet to bring.
    pub(super) fn awaits_start(&self, index: usize) -> bool {
        self.awaiting.contains(&index)
    }

    /// Calls that had begun when `entry`, at `index`, ended and that ended later: entries, in order of beginning.
    pub(super) fn under_way(&self, index: usize, entry: &Entry) -> Vec<usize> {
        let begun = self.overtaken.partition_point(|(began, _)| *began < entry.line);
        self.overtaken[..begun].iter().map(|(_, other)| *other).filter(|other| *other > index).collect()
    }
}

/// The task that a call made, if it made one.
pub(super) fn child(entry: &Entry) -> Option<u32> {
    birth(entry).map(|(child, _)| child)
}

/// The task that a call made, and how.
fn birth(entry: &Entry) -> Option<(u32, Birth)> {
    let Event::Call(call, Outcome::Value(child)) = &entry.event else { return None };
    let how = match call {
        Call::Fork => Born::Copying,
        Call::Vfork => Born::Sharing,
        Call::Clone { flags } if flags.contains(CloneFlags::VM) => Born::Sharing,
        Call::Clone { .. } => Born::Copying,
        _ => return None,
    };
    Some((u32::try_from(*child).ok()?, Birth { began: entry.began, parent: entry.pid, how }))
}

/// Finds the marker of each snapshot: the last one of the process after it executed a program of that name, since a later
/// snapshot of the same name replaced an earlier one; if it executed none of that name, its last marker that is left.
fn match_starts(log: &StraceLog, starts: &[Start]) -> BTreeMap<usize, usize> {
    let mut executed: BTreeMap<u32, &str> = BTreeMap::new();
    let mut markers: Vec<(usize, u32, Option<&str>)> = Vec::new();
    for (index, entry) in log.entries.iter().enumerate() {
        if let Some(path) = executes(entry) {
            executed.insert(entry.pid, comm(path));
        }
        if entry.marker() == Some(Marker::Start) {
            markers.push((index, entry.pid, executed.get(&entry.pid).copied()));
        }
    }
    let mut matched = BTreeMap::new();
    for by_name in [true, false] {
        for (number, start) in starts.iter().enumerate() {
            let fits = |(index, pid, comm): &&(usize, u32, Option<&str>)| {
                *pid == start.pid && !matched.contains_key(index) && (!by_name || *comm == Some(start.comm.as_str()))
            };
            if matched.values().any(|n| *n == number) {
                continue;
            }
            if let Some((index, ..)) = markers.iter().rfind(fits) {
                matched.insert(*index, number);
            }
        }
    }
    matched
}

/// The entries of each process from an `execve` to the start marker that follows before the next one.
fn awaiting(log: &StraceLog, starts: &BTreeMap<usize, usize>) -> BTreeSet<usize> {
    let mut awaiting = BTreeSet::new();
    // Since the last execve of each process.
    let mut since: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, entry) in log.entries.iter().enumerate() {
        if executes(entry).is_some() {
            since.insert(entry.pid, vec![index]);
        } else if starts.contains_key(&index) {
            awaiting.extend(since.remove(&entry.pid).unwrap_or_default());
        } else if let Some(entries) = since.get_mut(&entry.pid) {
            entries.push(index);
        }
    }
    awaiting
}

fn executes(entry: &Entry) -> Option<&str> {
    match &entry.event {
        Event::Call(Call::Execve { path }, Outcome::Value(0)) => Some(path),
        _ => None,
    }
}
