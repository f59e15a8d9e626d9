//! What looks on during a run: the oracles, the run hash, the counters of `assert`, and a text log if asked for.

use crate::prove::Witness;
use crate::pulse::Pulse;
use crate::recorded::Recorder;
use hashbrown::HashSet;
use mm_types::{MmId, Name, ObjId, Pfn, TaskId};
use properties::Oracles;
use rustc_hash::FxBuildHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trace::{Event, EventKind, Hook, Observer, RunEnd, RunHash, SubId, TextLog};

/// All observers of a world as one.
pub(crate) struct Judge {
    pub(crate) oracles: Oracles,
    pub(crate) hash: RunHash,
    pub(crate) counts: Counts,
    pub(crate) log: Option<TextLog>,
    /// Who watches that something happens at all.
    pub(crate) pulse: Option<Arc<Pulse>>,
    /// Looks on during the tries of a proof.
    pub(crate) witness: Option<Witness>,
    /// Sync points reached in any run so far (never iterated), and those that came since somebody asked.
    points: HashSet<Name, FxBuildHasher>,
    pub(crate) new_points: Vec<Name>,
    /// Whether the oracles know anything of a run: in a muted world most runs tell them nothing.
    saw: bool,
    /// Only findings are wanted: nothing is hashed or counted.
    pub(crate) only_findings: bool,
    /// If the scenario has devices that record.
    pub(crate) recorder: Option<Recorder>,
}

impl Judge {
    pub(crate) fn new(log: bool) -> Judge {
        Judge {
            oracles: Oracles::all(),
            hash: RunHash::default(),
            counts: Counts::default(),
            log: log.then(TextLog::default),
            pulse: None,
            witness: None,
            points: HashSet::default(),
            new_points: Vec::new(),
            saw: false,
            only_findings: false,
            recorder: None,
        }
    }

    pub(crate) fn reset(&mut self) {
        if std::mem::take(&mut self.saw) {
            self.oracles.reset();
        }
        if !self.only_findings {
            self.hash.reset();
            self.counts = Counts::default();
        }
        if let Some(log) = &mut self.log {
            *log = TextLog::default();
        }
        if let Some(witness) = &mut self.witness {
            witness.begin_run();
        }
    }
}

impl Observer for Judge {
    fn event(&mut self, event: &Event) {
        if let Some(pulse) = &self.pulse {
            pulse.beat(event);
        }
        self.saw = true;
        self.oracles.event(event);
        self.counts.life(event);
        if self.only_findings {
            return;
        }
        self.hash.event(event);
        self.counts.event(event);
        if let EventKind::SyncPoint { name } = event.kind
            && self.points.insert(name)
        {
            self.new_points.push(name);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.event(event);
        }
        if let Some(log) = &mut self.log {
            log.event(event);
        }
        if let Some(witness) = &mut self.witness {
            witness.event(event);
        }
    }

    fn end(&mut self, end: &RunEnd) {
        self.saw |= *end != RunEnd::Finished;
        self.oracles.end(end);
        if self.only_findings {
            return;
        }
        self.hash.end(end);
        self.counts.end(end);
        if let Some(log) = &mut self.log {
            log.end(end);
        }
    }
}

/// A subscription to an address space whose last user had left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Late {
    pub(crate) name: Name,
    pub(crate) step: u64,
    pub(crate) task: TaskId,
}

/// What `assert` counts.
#[derive(Default, Debug)]
pub(crate) struct Counts {
    names: BTreeMap<SubId, Name>,
    callbacks: BTreeMap<(Name, Hook), u64>,
    /// Calls of shrinkers, by name.
    shrunk: BTreeMap<Name, u64>,
    /// Lock instances held, by task, innermost last.
    held: BTreeMap<TaskId, Vec<(ObjId, Name)>>,
    allocations_under: BTreeMap<Name, u64>,
    reclaiming: BTreeMap<TaskId, u32>,
    /// Callbacks a task is inside of.
    called_back: BTreeMap<TaskId, u32>,
    /// Address spaces whose last user has left.
    exited: BTreeSet<MmId>,
    pub(crate) late: Vec<Late>,
    /// Subscriptions that were asked for before that, and wait until the open brackets have ended.
    in_time: BTreeSet<SubId>,
    /// References to pages that drivers have.
    pub(crate) held_pages: i64,
    /// Which device a task does an operation of.
    operating: BTreeMap<TaskId, Name>,
    /// Who pinned, or holds, a page: devices, else tasks, in order.
    pinned_by: BTreeMap<Pfn, Vec<Pinner>>,
    /// Device translations taken away by callbacks.
    pub(crate) revoked_in_callbacks: u64,
    /// Device translations published.
    pub(crate) published: u64,
    /// Accesses by devices.
    pub(crate) device_accesses: u64,
    pub(crate) allocations: u64,
    pub(crate) reclaim_invalidations: u64,
    pub(crate) blocked_tasks: u64,
}

/// Who pinned a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pinner {
    Device(Name),
    Task(TaskId),
}

impl Counts {
    /// The task does an operation of a device from now on, or of none.
    pub(crate) fn operates(&mut self, task: TaskId, device: Option<Name>) {
        match device {
            Some(device) => drop(self.operating.insert(task, device)),
            None => drop(self.operating.remove(&task)),
        }
    }

    /// Who has pinned one of `nr_pages` frames.
    pub(crate) fn pinners(&self, first: Pfn, nr_pages: u64) -> Vec<Pinner> {
        let mut all: Vec<Pinner> = Vec::new();
        for pinner in self.pinned_by.range(first..Pfn(first.0 + nr_pages)).flat_map(|(_, pinners)| pinners) {
            if !all.contains(pinner) {
                all.push(*pinner);
            }
        }
        all
    }

    /// Which task has a lock.
    pub(crate) fn holder(&self, lock: ObjId) -> Option<TaskId> {
        let held = self.held.iter().find(|(_, held)| held.iter().any(|(obj, _)| *obj == lock));
        held.map(|(task, _)| *task)
    }

    fn pinned(&mut self, task: TaskId, pfn: Pfn, more: bool) {
        let who = self.operating.get(&task).map_or(Pinner::Task(task), |device| Pinner::Device(*device));
        let pinners = self.pinned_by.entry(pfn).or_default();
        if more {
            pinners.push(who);
        } else if let Some(at) = pinners.iter().rposition(|p| *p == who).or_else(|| pinners.len().checked_sub(1)) {
            pinners.remove(at);
        }
    }

    /// Calls of the shrinker called `name`, but for those that only count.
    pub(crate) fn shrunk(&self, name: Name) -> u64 {
        self.shrunk.get(&name).copied().unwrap_or(0)
    }

    /// Calls of `hook` of the subscriber called `name`.
    pub(crate) fn callbacks(&self, name: Name, hook: Hook) -> u64 {
        self.callbacks.get(&(name, hook)).copied().unwrap_or(0)
    }

    /// Every `(subscriber, hook)` that was called, with how often.
    pub(crate) fn all_callbacks(&self) -> impl Iterator<Item = (Name, Hook, u64)> + '_ {
        self.callbacks.iter().map(|((name, hook), n)| (*name, *hook, *n))
    }

    /// Allocations made while a lock of this class was held.
    pub(crate) fn allocations_under(&self, class: Name) -> u64 {
        self.allocations_under.get(&class).copied().unwrap_or(0)
    }

    /// What LIFE judges besides the state at the end.
    fn life(&mut self, event: &Event) {
        match event.kind {
            EventKind::PagePin { pfn } => {
                self.held_pages += 1;
                self.pinned(event.task, pfn, true);
            }
            EventKind::PageUnpin { pfn } => {
                self.held_pages -= 1;
                self.pinned(event.task, pfn, false);
            }
            EventKind::MmExit { mm } => {
                self.exited.insert(mm);
            }
            EventKind::SubscribeDeferred { sub, mm } if !self.exited.contains(&mm) => {
                self.in_time.insert(sub);
            }
            EventKind::Subscribed { sub, mm, name, .. } if self.exited.contains(&mm) && !self.in_time.remove(&sub) => {
                self.late.push(Late { name, step: event.step, task: event.task });
            }
            _ => {}
        }
    }

    fn allocated(&mut self, task: TaskId) {
        self.allocations += 1;
        let mut classes: Vec<Name> = self.held.get(&task).into_iter().flatten().map(|(_, class)| *class).collect();
        classes.sort_unstable();
        classes.dedup();
        for class in classes {
            *self.allocations_under.entry(class).or_default() += 1;
        }
    }
}

impl Observer for Counts {
    fn event(&mut self, event: &Event) {
        let task = event.task;
        match event.kind {
            EventKind::Subscribed { sub, name, .. } => {
                self.names.insert(sub, name);
            }
            EventKind::SpteSet { .. } => self.published += 1,
            EventKind::DeviceAccess { .. } => self.device_accesses += 1,
            EventKind::CallbackExit { .. } => *self.called_back.entry(task).or_default() -= 1,
            EventKind::SpteClear { .. } => {
                self.revoked_in_callbacks += u64::from(self.called_back.get(&task).is_some_and(|depth| *depth > 0));
            }
            EventKind::CallbackEnter { sub, hook, .. } => {
                *self.called_back.entry(task).or_default() += 1;
                if let Some(name) = self.names.get(&sub) {
                    *self.callbacks.entry((*name, hook)).or_default() += 1;
                }
                if self.reclaiming.get(&task).is_some_and(|depth| *depth > 0) {
                    self.reclaim_invalidations += 1;
                }
            }
            EventKind::LockAcquired { lock, .. } => {
                self.held.entry(task).or_default().push((lock.obj, lock.class));
            }
            EventKind::LockReleased { lock, .. } => {
                let held = self.held.entry(task).or_default();
                if let Some(i) = held.iter().rposition(|(obj, _)| *obj == lock.obj) {
                    held.remove(i);
                }
            }
            EventKind::Alloc { .. } => self.allocated(task),
            EventKind::ShrinkSlabEnd { shrinker, calls, .. } => *self.shrunk.entry(shrinker).or_default() += calls,
            EventKind::ReclaimStart { .. } => *self.reclaiming.entry(task).or_default() += 1,
            EventKind::ReclaimEnd { .. } => *self.reclaiming.entry(task).or_default() -= 1,
            _ => {}
        }
    }

    fn end(&mut self, end: &RunEnd) {
        self.blocked_tasks = end.blocked_tasks() as u64;
    }
}
