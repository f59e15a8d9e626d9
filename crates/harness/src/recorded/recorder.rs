//! Records what the recorders of a run are called with.

use super::callback::{Callback, run_lengths};
use super::recording::without_number;
use super::{ARENA_BASE, ARENA_PAGES};
use crate::compile::{Code, DriverSpec};
use ksync::{HeldLock, current};
use lockdep::Read;
use mm::Machine;
use mm_types::{MmId, Name, PageRange, VirtAddr, Vpn};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use trace::{BracketId, Event, EventKind, Hook, NotifyRange, Observer, SubId, SubKind};

/// What happened between two marks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The mark's text; `(setup)` before the first.
    pub name: String,
    /// Callbacks in order.
    pub callbacks: Vec<Callback>,
    /// The recording kept only the first of them.
    pub truncated: bool,
}

impl Operation {
    fn new(name: &str) -> Operation {
        Operation { name: name.to_owned(), callbacks: Vec::new(), truncated: false }
    }
}

/// A run as its recorders saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Played {
    /// What was done, in order.
    pub operations: Vec<Operation>,
    /// How it ended, in a word.
    pub end: &'static str,
    /// What operations of the scenario failed, and why.
    pub notes: Vec<String>,
}

/// The observer behind the recorders: looks at page tables and held locks when a callback begins.
pub(crate) struct Recorder {
    machine: Weak<Machine>,
    /// Names of devices that record.
    devices: Vec<Name>,
    base: Vpn,
    subs: BTreeMap<SubId, Sub>,
    registered: BTreeMap<Name, u64>,
    intervals: BTreeMap<Name, u64>,
    brackets: BTreeMap<BracketId, NotifyRange>,
    /// Callbacks that have not returned: where each was written down.
    open: BTreeMap<(mm_types::TaskId, SubId, Hook), Option<(usize, usize)>>,
    pub(crate) operations: Vec<Operation>,
}

#[derive(Clone, Copy)]
struct Sub {
    mm: MmId,
    number: u64,
}

/// Classes that surround every callback of a kind, and that recordings leave out.
const CONSTANT: [&str; 2] = ["mmu_notifier_invalidate_range_start", "srcu"];

impl Recorder {
    /// A recorder of the devices in `code`; `None` if none of them records.
    pub(crate) fn of(code: &Code) -> Option<Recorder> {
        let mut devices = Vec::new();
        let mut base = VirtAddr(ARENA_BASE).vpn();
        for device in &code.devices {
            if let DriverSpec::Named { driver, options, .. } = &device.driver
                && matches!(driver.as_str(), "recorder" | "interval_recorder")
            {
                devices.push(device.name);
                for (option, value) in options {
                    match option.as_str() {
                        "base" => base = VirtAddr(value.parse().unwrap_or(ARENA_BASE)).vpn(),
                        "arena" => base = Vpn(0),
                        _ => {}
                    }
                }
            }
        }
        (!devices.is_empty()).then(|| Recorder {
            machine: Weak::new(),
            devices,
            base,
            subs: BTreeMap::new(),
            registered: BTreeMap::new(),
            intervals: BTreeMap::new(),
            brackets: BTreeMap::new(),
            open: BTreeMap::new(),
            operations: vec![Operation::new("(setup)")],
        })
    }

    pub(crate) fn set_machine(&mut self, machine: &Arc<Machine>) {
        self.machine = Arc::downgrade(machine);
    }

    /// From here on callbacks belong to another operation.
    pub(crate) fn mark(&mut self, name: &str) {
        self.operations.push(Operation::new(name));
    }

    fn subscribed(&mut self, sub: SubId, mm: MmId, kind: SubKind, name: Name) {
        if !self.devices.contains(&name) {
            return;
        }
        let numbers = match kind {
            SubKind::List => &mut self.registered,
            SubKind::Interval => &mut self.intervals,
        };
        let next = numbers.len() as u64 + u64::from(kind == SubKind::List);
        let number = *numbers.entry(name).or_insert(next);
        self.subs.insert(sub, Sub { mm, number });
    }

    fn enter(&mut self, event: &Event, sub: SubId, hook: Hook, pages: PageRange, bracket: Option<BracketId>) {
        let Some(Sub { mm, number }) = self.subs.get(&sub).copied() else { return };
        let arena = PageRange::with_len(self.base, ARENA_PAGES);
        let Some(seen) = arena.and_then(|arena| arena.intersect(pages)) else { return };
        let range = bracket.and_then(|b| self.brackets.get(&b)).copied();
        let is_release = hook == Hook::Release;
        let (mmap_lock, locks, task) = current(|k| {
            let held = k.held_locks();
            (mmap_mode(&held, mm), held.iter().filter_map(|l| lock(l, mm)).collect(), k.task_name(event.task))
        });
        let callback = Callback {
            hook: hook_word(hook).to_owned(),
            subscriber: number,
            range: (!is_release).then(|| (self.bound(pages.start()), self.bound(pages.end()))),
            event: range.map_or(String::new(), |r| r.event.word().to_owned()),
            blockable: range.is_none_or(|r| r.blockable),
            owner: range.is_some_and(|r| r.owner.is_some()),
            cur_seq: (hook == Hook::Invalidate).then(|| self.sequence(mm)).flatten(),
            returned: None,
            mmap_lock: mmap_lock.to_owned(),
            locks,
            pages: if is_release { String::new() } else { self.states(mm, seen) },
            task: task.as_str().to_owned(),
        };
        let at = self.operations.len() - 1;
        self.operations[at].callbacks.push(callback);
        self.open.insert((event.task, sub, hook), Some((at, self.operations[at].callbacks.len() - 1)));
    }

    /// What a callback returned is known when it has.
    fn exit(&mut self, event: &Event, sub: SubId, hook: Hook, ok: bool) {
        let Some(Some((op, at))) = self.open.remove(&(event.task, sub, hook)) else { return };
        let returned = match hook {
            Hook::RangeStart => (!ok).then_some(-11),
            Hook::Invalidate | Hook::ClearFlushYoung | Hook::ClearYoung | Hook::TestYoung => Some(i64::from(ok)),
            Hook::RangeEnd | Hook::Release | Hook::SecondaryTlb | Hook::ChangePte => None,
        };
        self.operations[op].callbacks[at].returned = returned;
    }

    /// The sequence of an mm: while an interval subscriber is called, the one it is told.
    fn sequence(&self, mm: MmId) -> Option<u64> {
        Some(self.machine.upgrade()?.mm(mm)?.subscriptions().peek_seq())
    }

    fn bound(&self, vpn: Vpn) -> String {
        let arena_end = self.base.0 + ARENA_PAGES;
        match vpn {
            at if at == PageRange::ALL.start() => "min".to_owned(),
            at if at == PageRange::ALL.end() => "max".to_owned(),
            at if (self.base.0..=arena_end).contains(&at.0) => (at.0 - self.base.0).to_string(),
            _ => "out".to_owned(),
        }
    }

    fn states(&self, mm: MmId, seen: PageRange) -> String {
        let Some(mm) = self.machine.upgrade().and_then(|machine| machine.mm(mm)) else { return String::new() };
        run_lengths(seen.iter().take(16).map(|vpn| mm.page_state(vpn)))
    }
}

impl Observer for Recorder {
    fn event(&mut self, event: &Event) {
        match event.kind {
            EventKind::Subscribed { sub, mm, kind, name, .. } => self.subscribed(sub, mm, kind, name),
            EventKind::RangeStart { bracket, range } => {
                self.brackets.insert(bracket, range);
            }
            EventKind::CallbackEnter { sub, hook, pages, bracket, .. } => self.enter(event, sub, hook, pages, bracket),
            EventKind::CallbackExit { sub, hook, ok } => self.exit(event, sub, hook, ok),
            _ => {}
        }
    }
}

const fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::RangeStart => "start",
        Hook::RangeEnd => "end",
        Hook::Invalidate => "interval",
        Hook::Release => "release",
        Hook::SecondaryTlb => "secondary_tlb",
        Hook::ClearFlushYoung => "clear_flush_young",
        Hook::ClearYoung => "clear_young",
        Hook::TestYoung => "test_young",
        Hook::ChangePte => "change_pte",
    }
}

/// How the caller holds `mmap_lock` of `mm`.
fn mmap_mode(held: &[HeldLock], mm: MmId) -> &'static str {
    match held.iter().find(|lock| lock.obj == mm::mmap_lock_obj(mm)) {
        Some(lock) if lock.read == Read::Exclusive => "W",
        Some(_) => "R",
        None => "none",
    }
}

/// A lock in the words of the recordings; `None` if they leave it out.
fn lock(held: &HeldLock, mm: MmId) -> Option<String> {
    let class = held.class.as_str();
    if held.ours || CONSTANT.contains(&class) {
        return None;
    }
    let (class, subclass) = match class.split_once('/') {
        Some((class, sub)) if sub.bytes().all(|b| b.is_ascii_digit()) => (class, format!("/{sub}")),
        _ => (class, String::new()),
    };
    let name = match class {
        "&mm->mmap_lock" if held.obj == mm::mmap_lock_obj(mm) => "mmap_lock",
        "&mm->mmap_lock" => "other_mmap_lock",
        "ptlock_ptr(ptdesc)" => "pte_ptl",
        "ptlock_ptr(ptdesc)#2" => "pmd_ptl",
        "&anon_vma->rwsem" => "anon_vma",
        "&mapping->i_mmap_rwsem" => "i_mmap_rwsem",
        "&vma->vm_lock->lock" => "vma_lock",
        other => other,
    };
    let mode = match held.read {
        Read::Exclusive => 'W',
        Read::Shared => 'R',
        Read::Recursive => 'S',
    };
    let trylock = if held.trylock { "t" } else { "" };
    Some(without_number(&format!("{name}{subclass}:{mode}{trylock}")))
}
