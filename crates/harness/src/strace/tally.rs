//! What a replay's devices and callbacks did, by address space.

use crate::judge::Judge;
use mm_types::{MmId, PageRange, Vpn};
use std::collections::{BTreeMap, BTreeSet};
use trace::{BracketId, Event, EventKind, Hook, NotifyEvent, Observer, RunEnd, SubId};

/// Counts of one address space.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Callbacks that announced an invalidation, by reason.
    pub invalidations: BTreeMap<&'static str, u64>,
    /// Device translations published.
    pub pages_mirrored: u64,
    /// Device translations that the driver took away in its callbacks.
    pub pages_revoked: u64,
    /// Device translations that invalidations were about, before the address space went: what a driver that ignores one
    /// could get wrong.
    pub mirrored_invalidated: u64,
    /// Accesses the devices made.
    pub device_accesses: u64,
}

impl Counts {
    /// Adds `other`.
    pub(super) fn add(&mut self, other: &Counts) {
        for (reason, n) in &other.invalidations {
            *self.invalidations.entry(reason).or_default() += n;
        }
        self.pages_mirrored += other.pages_mirrored;
        self.pages_revoked += other.pages_revoked;
        self.mirrored_invalidated += other.mirrored_invalidated;
        self.device_accesses += other.device_accesses;
    }
}

/// The judge, and the counts.
pub(super) struct Tally {
    pub(super) judge: Judge,
    counts: BTreeMap<MmId, Counts>,
    /// Whose each subscription is.
    subscribed: BTreeMap<SubId, MmId>,
    /// The translations there are.
    mirrored: BTreeSet<(SubId, Vpn)>,
    /// Address spaces that are on their way out.
    going: BTreeSet<MmId>,
    /// Open brackets.
    brackets: BTreeMap<BracketId, NotifyEvent>,
    /// Callbacks the replaying task is inside of.
    depth: u32,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            judge: Judge::new(false),
            counts: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            mirrored: BTreeSet::new(),
            going: BTreeSet::new(),
            brackets: BTreeMap::new(),
            depth: 0,
        }
    }

    pub(super) fn of(&self, mm: MmId) -> Counts {
        self.counts.get(&mm).cloned().unwrap_or_default()
    }

    fn at(&mut self, mm: MmId) -> &mut Counts {
        self.counts.entry(mm).or_default()
    }

    fn invalidates(&mut self, sub: SubId, pages: PageRange, reason: &'static str) {
        let Some(mm) = self.subscribed.get(&sub).copied() else { return };
        *self.at(mm).invalidations.entry(reason).or_default() += 1;
        if !self.going.contains(&mm) {
            let hit = self.mirrored.range((sub, pages.start())..(sub, pages.end())).count() as u64;
            self.at(mm).mirrored_invalidated += hit;
        }
    }
}

impl Observer for Tally {
    fn event(&mut self, event: &Event) {
        match event.kind {
            EventKind::Subscribed { sub, mm, .. } => {
                self.subscribed.insert(sub, mm);
            }
            EventKind::CallEnter { mm, call, .. } if call.as_str() == "exit" => {
                self.going.insert(mm);
            }
            EventKind::RangeStart { bracket, range } => {
                self.brackets.insert(bracket, range.event);
            }
            EventKind::RangeEnd { bracket } => {
                self.brackets.remove(&bracket);
            }
            EventKind::CallbackEnter { sub, hook, pages, bracket, .. } => {
                self.depth += 1;
                if matches!(hook, Hook::RangeStart | Hook::Invalidate)
                    && let Some(reason) = bracket.and_then(|b| self.brackets.get(&b))
                {
                    self.invalidates(sub, pages, reason.word());
                }
            }
            EventKind::CallbackExit { .. } => self.depth = self.depth.saturating_sub(1),
            EventKind::SpteSet { sub, mm, vpn, .. } => {
                self.mirrored.insert((sub, vpn));
                self.at(mm).pages_mirrored += 1;
            }
            EventKind::SpteClear { sub, mm, vpn, .. } => {
                self.mirrored.remove(&(sub, vpn));
                let in_callback = u64::from(self.depth > 0);
                self.at(mm).pages_revoked += in_callback;
            }
            EventKind::DeviceAccess { mm, .. } => self.at(mm).device_accesses += 1,
            _ => {}
        }
        self.judge.event(event);
    }

    fn end(&mut self, end: &RunEnd) {
        self.judge.end(end);
    }
}
