//! A log's processes and threads on the simulated mm, with a driver that mirrors their anonymous memory.
//!
//! The calls are done in the order of the log, which is the order of completion. A process begins at its start marker
//! with the snapshot taken there (what `execve` maps is in no log), a forked child with its parent's memory, a thread or
//! a child of `vfork` with its parent's address space. A process is compared at its end marker.
//!
//! The driver gets an instance, a device of its own, for each anonymous mapping it meets: that is how user memory becomes
//! device objects. Anonymous memory is mirrored, and accessed by its device, when the process begins and again just before
//! a call changes it: so every invalidation is about mirrored pages, while memory that no call touches stays as untouched
//! as the log knows it (faulting it in earlier would give it an identity that keeps it from merging with its neighbours).
//! After the call the devices access what they still translate of those pages, so that a translation which should have
//! gone is used and not only left lying.

use super::explain::Change;
use super::processes::{Born, Processes, child};
use super::space::{Began, Mismatch, Notes, Owner, Space, Victim};
use super::tally::{Counts, Tally};
use super::{Call, Entry, Event, Maps, Marker, Outcome, StraceLog};
use crate::registry::Registry;
use crate::report::Found;
use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use ksync::{Kernel, KernelConfig, current};
use lockdep::Lockdep;
use mm::{Behaviour, Machine, MachineConfig};
use mm_types::{Name, PageRange};
use mmu_notifier::{Annotations, Framework};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use trace::RunEnd;

/// Mappings of a process at its start marker.
#[derive(Clone, Debug)]
pub struct Start {
    /// The process.
    pub pid: u32,
    /// Its command's name, at most 15 bytes.
    pub comm: String,
    /// The mappings.
    pub maps: Maps,
}

/// What to replay.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// Name of the log in reports.
    pub name: &'a str,
    /// The log.
    pub log: &'a StraceLog,
    /// The snapshots taken at start markers. A process without one begins empty at its `execve`.
    pub starts: &'a [Start],
    /// The driver.
    pub driver: &'a str,
    /// Wrong in which way.
    pub mutant: Option<&'a str>,
}

/// Why nothing was replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayFailure {
    /// There is no such driver; the ones there are.
    UnknownDriver(Vec<String>),
    /// The driver has no such mutant; the ones it has.
    UnknownMutant(Vec<String>),
}

impl std::fmt::Display for ReplayFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplayFailure::UnknownDriver(known) => write!(f, "unknown driver; there are {}", known.join(", ")),
            ReplayFailure::UnknownMutant(known) if known.is_empty() => f.write_str("the driver has no mutants"),
            ReplayFailure::UnknownMutant(known) => write!(f, "unknown mutant; the driver has {}", known.join(", ")),
        }
    }
}

impl std::error::Error for ReplayFailure {}

/// An address space that was replayed: a process from its start snapshot, its `execve` or its fork on.
#[derive(Clone, Debug)]
pub struct Process {
    /// The process.
    pub pid: u32,
    /// Its command's name; empty if the log does not tell.
    pub comm: String,
    /// What it began with.
    pub began: Began,
    /// Whether all its mappings are known: it began with a snapshot, or its parent did.
    pub known: bool,
    /// Tasks that were in it.
    pub tasks: u64,
    /// Calls done, by name.
    pub calls: BTreeMap<String, u64>,
    /// What its devices and callbacks did.
    pub counts: Counts,
    /// Its mappings at its end marker.
    pub end: Option<Maps>,
    /// What changed them, in order; those of its parent before it was forked are in it.
    pub changes: Vec<Change>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The address spaces, in order of beginning.
    pub processes: Vec<Process>,
    /// Calls done, by name.
    pub calls: BTreeMap<String, u64>,
    /// What devices and callbacks did.
    pub counts: Counts,
    /// What the oracles and the validator found.
    pub findings: Vec<Found>,
    /// Calls whose result was not the recorded one.
    pub mismatches: Vec<Mismatch>,
    /// What could not be done: line, and why.
    pub skipped: Vec<String>,
    /// What the log has and the replay leaves out, or does otherwise, for reasons that are no fault.
    pub notes: Vec<String>,
    /// The run's hash.
    pub hash: u64,
    /// How it ended.
    pub end: RunEnd,
}

impl Replayed {
    /// How the run ended if not with the last entry of the log: then there is no final map to speak of.
    #[must_use]
    pub fn cut_short(&self) -> Option<String> {
        match &self.end {
            RunEnd::Finished => None,
            RunEnd::Panicked { message, .. } => Some(format!("the replay panicked: {message}")),
            other => Some(format!("the replay ended early: {}", other.word())),
        }
    }
}

impl Replay<'_> {
    /// Does the calls. `progress` is told how many entries of the log are done.
    ///
    /// # Errors
    /// [`ReplayFailure`]; nothing was run.
    pub fn run(&self, registry: &Registry, progress: impl Fn(usize) + 'static) -> Result<Replayed, ReplayFailure> {
        let victim = self.victim(registry)?;
        let k = Kernel::new(KernelConfig {
            // As many steps as the log needs: its length is known and finite.
            sched: sched::Config { max_steps: u64::MAX, ..sched::Config::default() },
            lockdep: Some(Lockdep::new()),
        });
        let tally = Rc::new(RefCell::new(Tally::new()));
        k.set_observer(Some(tally.clone()));
        let world = k.enter(|k| {
            let framework = Framework::new(k, Annotations::default());
            // Large enough that nothing is reclaimed: the recorded machine did not either.
            let config =
                MachineConfig { memory_bytes: 16 << 30, behaviour: Behaviour::V6_18, ..MachineConfig::default() };
            Rc::new(World::new(self, Machine::new(k, config, framework), victim))
        });
        let (task, entries) = (world.clone(), self.log.entries.clone());
        k.enter(|k| k.spawn(Name::new("replay"), move || task.replay(&entries, &progress)));
        let recipe = Recipe { mode: Mode::Benign, seed: 0, run: 0 };
        let end = k.run(&mut RecipeScheduler::new(recipe));
        Ok(world.report(&k, &tally.borrow(), end))
    }

    fn victim(&self, registry: &Registry) -> Result<Victim, ReplayFailure> {
        let Some(kind) = registry.get(self.driver) else {
            let known = registry.kinds().iter().map(|k| k.name.to_owned()).collect();
            return Err(ReplayFailure::UnknownDriver(known));
        };
        if let Some(mutant) = self.mutant
            && kind.mutants.iter().all(|m| m.name != mutant)
        {
            return Err(ReplayFailure::UnknownMutant(kind.mutants.iter().map(|m| m.name.to_owned()).collect()));
        }
        Ok(Victim { kind: *kind, mutant: self.mutant.map(str::to_owned) })
    }
}

/// The processes of a log while it is replayed.
struct World {
    log: String,
    machine: Arc<Machine>,
    victim: Victim,
    starts: Vec<Start>,
    notes: Notes,
    processes: Processes,
    state: RefCell<State>,
    /// Calls of processes that wait for their start marker.
    before_start: Cell<u64>,
}

#[derive(Default)]
struct State {
    spaces: Vec<Rc<Space>>,
    /// The address space of each task that has one.
    of: BTreeMap<u32, usize>,
    /// Entries done before their turn.
    early: Vec<usize>,
    /// For each entry that was begun, the step at which it was, and the line.
    begun: Vec<(u64, usize)>,
}

impl World {
    fn new(replay: &Replay<'_>, machine: Arc<Machine>, victim: Victim) -> World {
        World {
            log: replay.name.to_owned(),
            machine,
            victim,
            starts: replay.starts.to_vec(),
            notes: Notes::default(),
            processes: Processes::of(replay.log, replay.starts),
            state: RefCell::default(),
            before_start: Cell::new(0),
        }
    }

    fn report(&self, k: &Kernel, tally: &Tally, end: RunEnd) -> Replayed {
        let state = self.state.borrow();
        let mut findings: Vec<Found> = k.lock_reports().iter().map(Found::from_lockdep).collect();
        findings.extend(tally.judge.oracles.findings().iter().map(Found::from_oracle));
        findings.sort_by_key(|f| f.step);
        findings.iter_mut().for_each(|found| self.locate(&state.begun, found));
        let processes: Vec<Process> = state.spaces.iter().map(|space| process(space, tally)).collect();
        let (mut calls, mut counts) = (BTreeMap::new(), Counts::default());
        for process in &processes {
            counts.add(&process.counts);
            for (name, n) in &process.calls {
                *calls.entry(name.clone()).or_default() += n;
            }
        }
        Replayed {
            processes,
            calls,
            counts,
            findings,
            mismatches: self.notes.mismatches.borrow().clone(),
            skipped: self.notes.skipped.borrow().clone(),
            notes: self.remarks(),
            hash: tally.judge.hash.value(),
            end,
        }
    }

    /// Says in which line of the log it was found.
    fn locate(&self, begun: &[(u64, usize)], found: &mut Found) {
        let after = begun.partition_point(|(step, _)| *step <= found.step);
        if let Some((_, line)) = after.checked_sub(1).and_then(|i| begun.get(i)) {
            found.text = format!("{}\nfound in the replay of {}:{line}\n", found.text.trim_end(), self.log);
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = Vec::new();
        for (name, (n, line)) in self.notes.unmodelled.borrow().iter() {
            remarks.push(format!("{name} is not modelled: {n} left out, the first in line {line}"));
        }
        if self.notes.cut.get() > 0 {
            remarks.push(format!("of {} mappings only the first 256 MiB were mirrored", self.notes.cut.get()));
        }
        if self.before_start.get() > 0 {
            let n = self.before_start.get();
            remarks.push(format!("{n} calls before start markers are in the start snapshots, and not done again"));
        }
        let unused = self.starts.iter().enumerate().filter(|(i, _)| !self.processes.uses(*i));
        for (_, start) in unused {
            let (pid, comm) = (start.pid, &start.comm);
            remarks.push(format!("the start snapshot of {comm} ({pid}) belongs to no start marker of the log"));
        }
        remarks
    }

    fn replay(&self, entries: &[Entry], progress: &impl Fn(usize)) {
        for (index, entry) in entries.iter().enumerate() {
            self.begin(entry.pid, entry);
            if !self.state.borrow().early.contains(&index) {
                match &entry.event {
                    Event::Call(call, outcome) => self.call(entries, index, call, outcome),
                    Event::Exited(_) => self.leave(entry),
                    Event::Gone(why) => self.gone(entry, why),
                    Event::Signal(_) => {}
                }
            }
            progress(index + 1);
        }
        self.frame("the end of the log", "exit");
        let left: Vec<u32> = self.state.borrow().of.keys().copied().collect();
        left.into_iter().for_each(|pid| self.vacate(pid));
    }

    fn frame(&self, place: &str, what: &str) {
        current(|k| k.set_frame(Some(Name::new(&format!("{place} ({what})")))));
    }

    /// Says in reports what is being done.
    fn at(&self, entry: &Entry, what: &str) {
        self.frame(&format!("{}:{}", self.log, entry.line), &format!("{} {what}", entry.pid));
        self.state.borrow_mut().begun.push((current(Kernel::steps), entry.line));
    }

    /// The task begins if it has not: it gets its maker's address space, or a copy.
    fn begin(&self, pid: u32, entry: &Entry) {
        let Some((parent, how)) = self.processes.birth(pid, entry.began) else { return };
        let Some(index) = self.state.borrow().of.get(&parent).copied() else { return };
        match how {
            Born::Sharing => self.enter(pid, index),
            Born::Copying => {
                self.at(entry, "fork");
                let parent = self.state.borrow().spaces[index].clone();
                match parent.fork(&self.notes, pid) {
                    Ok(child) => self.add(pid, child),
                    Err(errno) => {
                        let line = format!("line {}: fork of {pid}: {errno}", entry.line);
                        self.notes.skipped.borrow_mut().push(line);
                    }
                }
            }
        }
    }

    fn enter(&self, pid: u32, index: usize) {
        let mut state = self.state.borrow_mut();
        state.of.insert(pid, index);
        let tasks = &state.spaces[index].tasks;
        tasks.set(tasks.get() + 1);
    }

    fn add(&self, pid: u32, space: Space) {
        let index = {
            let mut state = self.state.borrow_mut();
            state.spaces.push(Rc::new(space));
            state.spaces.len() - 1
        };
        self.enter(pid, index);
    }

    fn space(&self, pid: u32) -> Option<Rc<Space>> {
        let state = self.state.borrow();
        state.of.get(&pid).map(|index| state.spaces[*index].clone())
    }

    fn call(&self, entries: &[Entry], index: usize, call: &Call, outcome: &Outcome) {
        let entry = &entries[index];
        match call.marker() {
            Some(Marker::Start) => return self.start(index, entry),
            Some(Marker::End) => return self.end(entry),
            None => {}
        }
        match call {
            Call::Execve { path } if matches!(outcome, Outcome::Value(0)) => self.exec(index, entry, path),
            _ if self.processes.awaits_start(index) => self.before_start.set(self.before_start.get() + 1),
            Call::Other { name } => {
                if changes_mappings(name) && matches!(outcome, Outcome::Value(_)) {
                    self.notes.unmodelled(name, entry.line);
                }
                self.memory_call(entries, index, call, outcome);
            }
            _ => self.memory_call(entries, index, call, outcome),
        }
    }

    /// A call on the task's address space; calls that make tasks, and those that end them, are only counted there.
    fn memory_call(&self, entries: &[Entry], index: usize, call: &Call, outcome: &Outcome) {
        let entry = &entries[index];
        let Some(space) = self.space(entry.pid).or_else(|| self.unheard_of(entry)) else { return };
        if space.end.borrow().is_some() {
            return;
        }
        self.at(entry, call.name());
        space.count(call);
        if let Some(pages) = space.in_the_way(call, outcome) {
            self.make_room(entries, index, &space, pages);
        }
        if let Some(about) = space.about(call) {
            space.mirror(&self.notes, about);
            space.access(about);
        }
        for touched in space.call(&self.notes, entry.line, call, outcome) {
            space.access(touched);
        }
        if let Some(child) = child(entry) {
            self.begin(child, entry);
        }
    }

    /// The recorded kernel had room where something is mapped here. Two calls that overlap have no recorded order: one that
    /// was under way and makes room was first. Otherwise the log lacks a call, and what is in the way goes without it.
    fn make_room(&self, entries: &[Entry], index: usize, space: &Rc<Space>, pages: PageRange) {
        let now = &entries[index];
        for early in self.processes.under_way(index, now) {
            let entry = &entries[early];
            let Event::Call(call, outcome) = &entry.event else { continue };
            // It may be the first that is seen of its task.
            self.begin(entry.pid, entry);
            let ours = self.space(entry.pid).is_some_and(|theirs| Rc::ptr_eq(&theirs, space));
            let unmaps = matches!(call, Call::Munmap { .. } | Call::Mremap { .. });
            if !ours || !unmaps || !space.about(call).is_some_and(|about| about.overlaps(pages)) {
                continue;
            }
            if self.state.borrow().early.contains(&early) {
                continue;
            }
            self.state.borrow_mut().early.push(early);
            self.memory_call(entries, early, call, outcome);
        }
        let Event::Call(call, outcome) = &now.event else { return };
        if let Some(pages) = space.in_the_way(call, outcome).filter(|_| space.known) {
            let what =
                format!("{} into {pages}, which no call unmapped: one before it is missing or altered", call.name());
            let last = space.changes.borrow().iter().rfind(|c| c.pages.overlaps(pages)).map(|c| c.line);
            self.notes.mismatches.borrow_mut().push(Mismatch { line: now.line, what, last });
        }
        if let Some(pages) = space.in_the_way(call, outcome) {
            space.make_room(pages);
        }
    }

    /// A task whose beginning is not in the log.
    fn unheard_of(&self, entry: &Entry) -> Option<Rc<Space>> {
        let owner = Owner { pid: entry.pid, comm: String::new() };
        let space = current(|k| Space::empty(k, &self.machine, owner, self.victim.clone()));
        self.add(entry.pid, space);
        self.space(entry.pid)
    }

    /// Another program: the old address space loses this task; the new one is known at the start marker, if there is one.
    fn exec(&self, index: usize, entry: &Entry, path: &str) {
        self.at(entry, "execve");
        if let Some(old) = self.space(entry.pid) {
            old.count(&Call::Execve { path: path.to_owned() });
        }
        self.vacate(entry.pid);
        if !self.processes.awaits_start(index) {
            let owner = Owner { pid: entry.pid, comm: comm(path).to_owned() };
            let space = current(|k| Space::empty(k, &self.machine, owner, self.victim.clone()));
            self.add(entry.pid, space);
        }
    }

    fn start(&self, index: usize, entry: &Entry) {
        let Some(start) = self.processes.start(index).map(|number| &self.starts[number]) else { return };
        self.at(entry, "start snapshot");
        self.vacate(entry.pid);
        let owner = Owner { pid: entry.pid, comm: start.comm.clone() };
        let loaded = current(|k| Space::load(k, &self.machine, owner, &start.maps.lines, self.victim.clone()));
        match loaded {
            Ok(space) => {
                space.mirror(&self.notes, PageRange::ALL);
                space.access(PageRange::ALL);
                self.add(entry.pid, space);
            }
            Err(why) => {
                let line = format!("line {}: the start snapshot cannot be loaded: {why}", entry.line);
                self.notes.skipped.borrow_mut().push(line);
            }
        }
    }

    fn end(&self, entry: &Entry) {
        let Some(space) = self.space(entry.pid) else { return };
        if space.end.borrow().is_some() {
            return;
        }
        self.at(entry, "end snapshot");
        *space.end.borrow_mut() = Some(space.mm.maps());
        // Its exit is an invalidation of everything.
        space.mirror(&self.notes, PageRange::ALL);
        space.access(PageRange::ALL);
    }

    fn leave(&self, entry: &Entry) {
        self.at(entry, "exit");
        self.vacate(entry.pid);
    }

    /// A thread that executes takes the process's id: the line of the one that had it names the thread.
    fn gone(&self, entry: &Entry, why: &str) {
        self.leave(entry);
        let thread = why.strip_prefix("superseded by execve in pid ").and_then(|pid| pid.parse().ok());
        if let Some(thread) = thread {
            self.vacate(thread);
        }
    }

    /// The task is not in its address space any more; the last one takes it down.
    fn vacate(&self, pid: u32) {
        let left = {
            let mut state = self.state.borrow_mut();
            let Some(index) = state.of.remove(&pid) else { return };
            if state.of.values().any(|i| *i == index) { None } else { Some(state.spaces[index].clone()) }
        };
        if let Some(space) = left {
            space.mm.exit();
        }
    }
}

fn process(space: &Space, tally: &Tally) -> Process {
    Process {
        pid: space.owner.pid,
        comm: space.owner.comm.clone(),
        began: space.began,
        known: space.known,
        tasks: space.tasks.get(),
        calls: space.calls.borrow().clone(),
        counts: tally.of(space.mm.id()),
        end: space.end.borrow().clone().map(|lines| Maps { lines }),
        changes: space.changes.borrow().clone(),
    }
}

/// The name a process gets from what it executes: the last part of the path, 15 bytes of it.
pub(super) fn comm(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let end = (0..=15.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    &name[..end]
}

/// Whether a call that is not modelled may change mappings, or what keeps them apart.
fn changes_mappings(name: &str) -> bool {
    [
        "mlock",
        "mlock2",
        "munlock",
        "mlockall",
        "munlockall",
        "mbind",
        "set_mempolicy_home_node",
        "mseal",
        "pkey_mprotect",
        "remap_file_pages",
        "shmat",
        "shmdt",
        "io_setup",
        "io_destroy",
        "map_shadow_stack",
        "process_madvise",
    ]
    .contains(&name)
}
