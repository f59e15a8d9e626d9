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

use super::space::{Notes, Space, Victim};
use super::{Call, CloneFlags, Entry, Event, Maps, Marker, Outcome, StraceLog};
use crate::judge::Judge;
use crate::registry::Registry;
use crate::report::Found;
use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use ksync::{Kernel, KernelConfig, current};
use lockdep::Lockdep;
use mm::{Machine, MachineConfig};
use mm_types::{Name, PageRange};
use mmu_notifier::{Annotations, Framework};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
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
    /// The snapshots taken at start markers. Without any, processes begin empty at their `execve`.
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

/// A process at its end marker.
#[derive(Clone, Debug)]
pub struct ProcessEnd {
    /// The process.
    pub pid: u32,
    /// Its command's name.
    pub comm: String,
    /// Its mappings.
    pub maps: Maps,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Calls done, by name.
    pub calls: BTreeMap<String, u64>,
    /// Address spaces there were.
    pub spaces: u64,
    /// Callbacks that announced an invalidation, by reason.
    pub invalidations: Vec<(&'static str, u64)>,
    /// Device translations published.
    pub pages_mirrored: u64,
    /// Device translations that the driver took away in its callbacks.
    pub pages_revoked: u64,
    /// Accesses the devices made.
    pub device_accesses: u64,
    /// What the oracles and the validator found.
    pub findings: Vec<Found>,
    /// Calls whose result was not the recorded one: line, and both.
    pub mismatches: Vec<String>,
    /// What was not replayed: line, and why.
    pub skipped: Vec<String>,
    /// Processes at their end markers, in order.
    pub ends: Vec<ProcessEnd>,
    /// The run's hash.
    pub hash: u64,
    /// How it ended.
    pub end: RunEnd,
}

impl Replay<'_> {
    /// Does the calls.
    ///
    /// # Errors
    /// [`ReplayFailure`]; nothing was run.
    pub fn run(&self, registry: &Registry) -> Result<Replayed, ReplayFailure> {
        let victim = self.victim(registry)?;
        let k = Kernel::new(KernelConfig {
            // As many steps as the log needs: its length is known and finite.
            sched: sched::Config { max_steps: u64::MAX, ..sched::Config::default() },
            lockdep: Some(Lockdep::new()),
        });
        let judge = Rc::new(RefCell::new(Judge::new(false)));
        k.set_observer(Some(judge.clone()));
        let world = k.enter(|k| {
            let framework = Framework::new(k, Annotations::default());
            // Large enough that nothing is reclaimed: the recorded machine did not either.
            let config = MachineConfig { memory_bytes: 16 << 30, ..MachineConfig::default() };
            Rc::new(World::new(self, Machine::new(k, config, framework), victim))
        });
        let (task, entries) = (world.clone(), self.log.entries.clone());
        k.enter(|k| k.spawn(Name::new("replay"), move || task.replay(&entries)));
        let recipe = Recipe { mode: Mode::Benign, seed: 0, run: 0 };
        let end = k.run(&mut RecipeScheduler::new(recipe));
        let judge = judge.borrow();
        let stats = judge.oracles.stats();
        let mut findings: Vec<Found> = k.lock_reports().iter().map(Found::from_lockdep).collect();
        findings.extend(judge.oracles.findings().iter().map(Found::from_oracle));
        findings.sort_by_key(|f| f.step);
        let state = world.state.borrow();
        Ok(Replayed {
            calls: world.notes.calls.borrow().clone(),
            spaces: state.spaces.len() as u64,
            invalidations: stats.invalidations_by_event().map(|(reason, n)| (reason.word(), n)).collect(),
            pages_mirrored: stats.sptes_set,
            pages_revoked: judge.counts.revoked_in_callbacks,
            device_accesses: stats.device_accesses,
            findings,
            mismatches: world.notes.mismatches.borrow().clone(),
            skipped: world.notes.skipped.borrow().clone(),
            ends: state.ends.clone(),
            hash: judge.hash.value(),
            end,
        })
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
    /// Who made which task, how: a child's first call may stand before the call that made it.
    parents: BTreeMap<u32, (u32, Made)>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    spaces: Vec<Rc<Space>>,
    /// The address space of each task that has one.
    of: BTreeMap<u32, usize>,
    /// Tasks that were seen: they begin once.
    begun: BTreeSet<u32>,
    /// What each task last executed.
    executed: BTreeMap<u32, String>,
    /// Snapshots taken by a start marker already.
    used: BTreeSet<usize>,
    /// Command of the space's process, for its end.
    comm: BTreeMap<usize, String>,
    /// Address spaces past their end marker.
    ended: BTreeSet<usize>,
    ends: Vec<ProcessEnd>,
}

/// How a task came to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// It shares its maker's address space: a thread, a child of `vfork`.
    Sharing,
    /// It has a copy.
    Copying,
}

impl World {
    fn new(replay: &Replay<'_>, machine: Arc<Machine>, victim: Victim) -> World {
        World {
            log: replay.name.to_owned(),
            machine,
            victim,
            starts: replay.starts.to_vec(),
            notes: Notes::default(),
            parents: replay.log.entries.iter().filter_map(made).collect(),
            state: RefCell::default(),
        }
    }

    fn replay(&self, entries: &[Entry]) {
        for entry in entries {
            self.begin(entry.pid);
            match &entry.event {
                Event::Call(call, outcome) => self.call(entry, call, outcome),
                Event::Exited(_) | Event::Gone(_) => self.leave(entry.pid),
                Event::Signal(_) => {}
            }
        }
        self.frame("the end of the log", "exit");
        let left: Vec<u32> = self.state.borrow().of.keys().copied().collect();
        left.into_iter().for_each(|pid| self.leave(pid));
    }

    fn frame(&self, place: &str, what: &str) {
        current(|k| k.set_frame(Some(Name::new(&format!("{place} ({what})")))));
    }

    fn frame_at(&self, line: usize, what: &str) {
        self.frame(&format!("{}:{line}", self.log), what);
    }

    /// The first sight of a task: it gets its maker's address space, or a copy.
    fn begin(&self, pid: u32) {
        if !self.state.borrow_mut().begun.insert(pid) {
            return;
        }
        let Some((parent, how)) = self.parents.get(&pid).copied() else { return };
        let Some(index) = self.state.borrow().of.get(&parent).copied() else { return };
        let of = match how {
            Made::Sharing => index,
            Made::Copying => match self.fork(index, pid) {
                Some(child) => child,
                None => return,
            },
        };
        self.state.borrow_mut().of.insert(pid, of);
    }

    /// The child has its parent's memory and none of its subscribers; the parent's devices go on.
    fn fork(&self, index: usize, pid: u32) -> Option<usize> {
        let parent = self.state.borrow().spaces[index].clone();
        self.frame(&self.log, "fork");
        parent.mirror(&self.notes, PageRange::ALL);
        let forked = current(|k| parent.mm.fork(k, Name::new(&format!("{pid}"))));
        parent.access(PageRange::ALL);
        match forked {
            Ok(mm) => Some(self.add(Space::of(mm, &self.machine, None).known_if(parent.known))),
            Err(errno) => {
                self.notes.skipped.borrow_mut().push(format!("fork of {pid}: {errno}"));
                None
            }
        }
    }

    fn add(&self, space: Space) -> usize {
        let mut state = self.state.borrow_mut();
        state.spaces.push(Rc::new(space));
        state.spaces.len() - 1
    }

    fn call(&self, entry: &Entry, call: &Call, outcome: &Outcome) {
        match call.marker() {
            Some(Marker::Start) => return self.start(entry),
            Some(Marker::End) => return self.end(entry.pid),
            None => {}
        }
        match call {
            Call::Execve { path } if matches!(outcome, Outcome::Value(0)) => self.exec(entry, path),
            // Their children begin when they are first seen.
            Call::Clone { .. } | Call::Fork | Call::Vfork | Call::Execve { .. } => self.count(entry.pid, call),
            _ => self.memory_call(entry, call, outcome),
        }
    }

    fn count(&self, pid: u32, call: &Call) {
        if self.active(pid).is_some() {
            *self.notes.calls.borrow_mut().entry(call.name().to_owned()).or_default() += 1;
        }
    }

    /// The task's address space, if it has one that is not past its end.
    fn active(&self, pid: u32) -> Option<Rc<Space>> {
        let state = self.state.borrow();
        let index = *state.of.get(&pid)?;
        (!state.ended.contains(&index)).then(|| state.spaces[index].clone())
    }

    fn memory_call(&self, entry: &Entry, call: &Call, outcome: &Outcome) {
        let Some(space) = self.active(entry.pid) else { return };
        self.frame_at(entry.line, call.name());
        self.count(entry.pid, call);
        if let Some(about) = space.about(call) {
            space.mirror(&self.notes, about);
            space.access(about);
        }
        for touched in space.call(&self.notes, entry.line, call, outcome) {
            space.access(touched);
        }
    }

    /// Another program: the old address space loses this task; the new one is known at the start marker, if there is one.
    fn exec(&self, entry: &Entry, path: &str) {
        self.frame_at(entry.line, "execve");
        self.count(entry.pid, &Call::Execve { path: path.to_owned() });
        self.leave(entry.pid);
        self.state.borrow_mut().executed.insert(entry.pid, path.to_owned());
        if self.starts.is_empty() {
            let name = Name::new(&format!("{} {}", comm(path), entry.pid));
            let mm = current(|k| self.machine.new_mm(k, name));
            let index = self.add(Space::of(mm, &self.machine, Some(self.victim.clone())));
            self.state.borrow_mut().of.insert(entry.pid, index);
        }
    }

    fn start(&self, entry: &Entry) {
        let Some(number) = self.snapshot(entry.pid) else { return };
        let start = &self.starts[number];
        self.frame_at(entry.line, "start snapshot");
        self.leave(entry.pid);
        let name = Name::new(&start.comm);
        let loaded = current(|k| Space::load(k, &self.machine, name, &start.maps.lines, self.victim.clone()));
        match loaded {
            Ok(space) => {
                let index = self.add(space);
                let mut state = self.state.borrow_mut();
                state.used.insert(number);
                state.of.insert(entry.pid, index);
                state.comm.insert(index, start.comm.clone());
                let space = state.spaces[index].clone();
                drop(state);
                space.mirror(&self.notes, PageRange::ALL);
                space.access(PageRange::ALL);
            }
            Err(why) => {
                let line = format!("line {}: the start snapshot cannot be loaded: {why}", entry.line);
                self.notes.skipped.borrow_mut().push(line);
            }
        }
    }

    /// The snapshot of a start marker: of this process and the program it last executed; else its next one.
    fn snapshot(&self, pid: u32) -> Option<usize> {
        let state = self.state.borrow();
        let candidates =
            || self.starts.iter().enumerate().filter(|(i, s)| s.pid == pid && !state.used.contains(i)).map(|(i, _)| i);
        let executed = state.executed.get(&pid).map(|path| comm(path));
        candidates().find(|i| executed == Some(self.starts[*i].comm.as_str())).or_else(|| candidates().next())
    }

    fn end(&self, pid: u32) {
        let Some(space) = self.active(pid) else { return };
        let mut state = self.state.borrow_mut();
        let Some(index) = state.of.get(&pid).copied() else { return };
        let comm = state.comm.get(&index).cloned().unwrap_or_default();
        state.ended.insert(index);
        state.ends.push(ProcessEnd { pid, comm, maps: Maps { lines: space.mm.maps() } });
        drop(state);
        // Its exit is an invalidation of everything.
        space.mirror(&self.notes, PageRange::ALL);
        space.access(PageRange::ALL);
    }

    /// The task is not in its address space any more; the last one takes it down.
    fn leave(&self, pid: u32) {
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

/// The name a process gets from what it executes: the last part of the path, 15 bytes of it.
fn comm(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let end = (0..=15.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    &name[..end]
}

/// The task that a call made: its id, its maker and how.
fn made(entry: &Entry) -> Option<(u32, (u32, Made))> {
    let Event::Call(call, Outcome::Value(child)) = &entry.event else { return None };
    let how = match call {
        Call::Fork => Made::Copying,
        Call::Vfork => Made::Sharing,
        Call::Clone { flags } if flags.contains(CloneFlags::VM) => Made::Sharing,
        Call::Clone { .. } => Made::Copying,
        _ => return None,
    };
    Some((u32::try_from(*child).ok()?, (entry.pid, how)))
}
