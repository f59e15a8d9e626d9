//! What is known of the run so far: who subscribed to what, which brackets are open, what each task is in the middle of.
//!
//! The oracles share it, so that each states its rule and nothing else. It is built from events alone.
//!
//! Protocol, per event: [`Book::before`] applies what begins (a bracket opens, a callback is entered), the oracles look,
//! [`Book::after`] applies what ends (the callback is left, the bracket is gone). So an oracle that sees `CallbackExit`
//! still finds the callback on its task's stack.

mod bracket;
mod columns;
mod sub;
mod task;
mod text;

pub(crate) use bracket::{Bracket, BracketState, Facts, Told};
pub(crate) use columns::Line;
pub(crate) use sub::{Sub, SubState};
pub(crate) use task::{Calls, Frame, Task};

use crate::table::{Map, Table};
use crate::{Variant, Variants};
use bracket::Brackets;
use mm_types::{MmId, Name, PageRange, TaskId, Vpn};
use smallvec::SmallVec;
use task::Call;
use trace::{DevId, Event, EventKind, Hook, NotifyEvent, SubId};

/// When, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) step: u64,
    pub(crate) task: TaskId,
    /// The ordinal of the event, from 1: orders events of one step.
    pub(crate) at: u64,
}

/// An address space.
#[derive(Debug, Default)]
pub(crate) struct Mm {
    pub(crate) name: Option<Name>,
    /// Subscriptions that may still be called, in order of subscription.
    pub(crate) subs: SmallVec<[u32; 2]>,
    /// Brackets announced and not closed, of any task, in order.
    pub(crate) open: SmallVec<[u32; 2]>,
    /// A start was refused: if that was by a list subscriber, the interval count stays raised for ever and interval
    /// subscriptions made from now on are never inserted (6.12 behaves so).
    refused: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Ordinal of the current event.
    now: u64,
    pub(crate) last_step: u64,
    pub(crate) tasks: Table<TaskId, Task>,
    pub(crate) mms: Table<MmId, Mm>,
    pub(crate) subs: Table<SubId, Sub>,
    pub(crate) brackets: Brackets,
    devices: Map<DevId, Name>,
    /// Subscriptions whose insertion is not certain yet.
    settling_subs: SmallVec<[u32; 2]>,
    /// Brackets whose last end callback can no longer come, as of this event.
    pub(crate) settled: SmallVec<[u32; 2]>,
}

/// What the book itself reads, beside the names and calls it keeps for the text of findings.
pub(crate) const READS: Variants = Variants::of(&[
    Variant::Subscribed,
    Variant::MmExit,
    Variant::ListReleased,
    Variant::UnsubscribeStart,
    Variant::Unsubscribed,
    Variant::RangeStart,
    Variant::RangeStarted,
    Variant::RangeEnd,
    Variant::BracketLeaked,
    Variant::CallbackEnter,
    Variant::CallbackExit,
    Variant::ReadBegin,
]);

impl Book {
    pub(crate) fn reset(&mut self) {
        self.now = 0;
        self.last_step = 0;
        self.tasks.clear();
        self.mms.clear();
        self.subs.clear();
        self.brackets.clear();
        self.devices.clear();
        self.settling_subs.clear();
        self.settled.clear();
    }

    /// The stamp of the current event.
    pub(crate) fn stamp(&self, e: &Event) -> Stamp {
        Stamp { step: e.step, task: e.task, at: self.now }
    }

    pub(crate) fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    fn task_mut(&mut self, id: TaskId) -> &mut Task {
        self.tasks.entry(id, || Task::new(id)).1
    }

    pub(crate) fn calls(&self, id: TaskId) -> Calls {
        self.task(id).map(|t| t.calls.clone()).unwrap_or_default()
    }

    /// Which system call of `task` this is, to tell bursts apart.
    pub(crate) fn call_serial(&self, task: TaskId) -> u32 {
        self.task(task).map_or(0, |t| t.call_serial)
    }

    /// Whether the task reclaims.
    pub(crate) fn in_reclaim(&self, task: TaskId) -> bool {
        self.task(task).is_some_and(|t| t.reclaim > 0)
    }

    /// The brackets that `task` itself has open over the page, innermost first.
    pub(crate) fn covering(&self, task: TaskId, mm: MmId, vpn: Vpn) -> impl Iterator<Item = &Bracket> {
        self.open_in(task, mm).filter(move |b| b.range.pages.contains(vpn))
    }

    /// The same over all of the pages.
    pub(crate) fn covering_all(&self, task: TaskId, mm: MmId, pages: PageRange) -> impl Iterator<Item = &Bracket> {
        self.open_in(task, mm).filter(move |b| b.range.pages.covers(pages))
    }

    fn open_in(&self, task: TaskId, mm: MmId) -> impl Iterator<Item = &Bracket> {
        let open = self.task(task).map_or(&[][..], |t| &t.open);
        let all = open.iter().rev().map(|&b| self.brackets.row(b));
        all.filter(move |b| b.range.mm == mm && b.range.event != NotifyEvent::Release)
    }

    /// The subscribers of the mm that must be told of an invalidation announced now.
    pub(crate) fn watchers(&self, mm: MmId) -> impl Iterator<Item = (u32, &Sub)> {
        let subs = self.mms.get(mm).map_or(&[][..], |m| &m.subs);
        subs.iter().map(|&s| (s, self.subs.row(s))).filter(|(_, s)| s.listens())
    }

    /// Applies what begins with `e`.
    pub(crate) fn before(&mut self, e: &Event) {
        self.now += 1;
        self.last_step = e.step;
        if !self.settling_subs.is_empty() {
            self.settle_subs(e);
        }
        match e.kind {
            EventKind::TaskSpawned { child, name } => {
                let task = self.task_mut(child);
                task.name = Some(name);
                task.spawned = true;
            }
            EventKind::TaskExited => {
                self.settle_brackets(e.task);
                self.task_mut(e.task).exited = true;
            }
            EventKind::MmCreated { mm, name } => self.mms.entry(mm, Mm::default).1.name = Some(name),
            EventKind::MmExit { mm } | EventKind::ListReleased { mm } => self.exit(mm),
            EventKind::DeviceCreated { dev, name } => {
                self.devices.insert(dev, name);
            }
            EventKind::CallEnter { mm, call, pages } => {
                self.settle_brackets(e.task);
                let task = self.task_mut(e.task);
                task.call_serial += u32::from(task.calls.is_empty());
                task.calls.push(Call { mm, name: call, pages });
            }
            EventKind::CallExit { .. } | EventKind::PteSet { .. } | EventKind::PudSet { .. } => {
                self.settle_brackets(e.task)
            }
            EventKind::ReclaimStart { .. } => self.task_mut(e.task).reclaim += 1,
            EventKind::ReclaimEnd { .. } => {
                let task = self.task_mut(e.task);
                task.reclaim = task.reclaim.saturating_sub(1);
            }
            EventKind::Subscribed { .. } => self.subscribed(e),
            EventKind::UnsubscribeStart { sub } => self.leave(sub, SubState::Leaving),
            EventKind::Unsubscribed { sub } => self.leave(sub, SubState::Gone),
            EventKind::ReadBegin { sub, .. } => self.seen_in_tree(sub),
            EventKind::ReadRetry { retry: true, .. } => self.task_mut(e.task).retries += 1,
            EventKind::RangeStart { bracket, range } => {
                self.settle_brackets(e.task);
                self.task_mut(e.task).announced += 1;
                self.open_bracket(e, bracket, range);
            }
            EventKind::RangeStarted { bracket, ok } => {
                let stamp = self.stamp(e);
                if let Some(b) = self.brackets.get_mut(bracket) {
                    b.started(stamp, ok);
                }
            }
            EventKind::CallbackEnter { .. } => self.enter_callback(e),
            EventKind::CallbackExit { sub, ok, .. } => self.callback_returns(e, sub, ok),
            _ => {}
        }
    }

    /// Applies what ends with `e`.
    pub(crate) fn after(&mut self, e: &Event) {
        for b in std::mem::take(&mut self.settled) {
            self.brackets.free(b);
        }
        match e.kind {
            EventKind::CallExit { .. } => {
                self.task_mut(e.task).calls.pop();
            }
            EventKind::CallbackExit { sub, hook, .. } => {
                let task = self.task_mut(e.task);
                if task.callbacks.last().is_some_and(|f| f.sub == sub && f.hook == hook) {
                    task.callbacks.pop();
                }
            }
            EventKind::RangeStarted { bracket, ok: false } => {
                if let Some(mm) = self.brackets.get(bracket).map(|b| b.range.mm) {
                    self.mms.entry(mm, Mm::default).1.refused = true;
                }
                self.close(bracket, |_| {});
            }
            EventKind::RangeEnd { bracket } => {
                let stamp = self.stamp(e);
                self.close(bracket, |b| b.state = BracketState::Closed(stamp));
            }
            EventKind::BracketLeaked { bracket } => {
                self.close(bracket, |b| {
                    // Nobody calls its ends any more; the leak is the finding, not each of them.
                    b.told.clear();
                });
            }
            _ => {}
        }
    }

    /// The run finished: every end callback that will come has come.
    pub(crate) fn finish(&mut self) {
        for i in 0..self.tasks.rows().len() {
            let ids = std::mem::take(&mut self.tasks.row_mut(i as u32).closing);
            self.settled.extend(ids);
        }
    }

    /// The task went on: the end callbacks of the brackets it closed are complete.
    ///
    /// Judged so late because an end callback may be emitted on either side of `RangeEnd`.
    fn settle_brackets(&mut self, task: TaskId) {
        if let Some(task) = self.tasks.get_mut(task)
            && !task.closing.is_empty()
        {
            self.settled.append(&mut task.closing);
        }
    }

    fn open_bracket(&mut self, e: &Event, id: trace::BracketId, range: trace::NotifyRange) {
        let opened = self.stamp(e);
        for &s in &self.settling_subs {
            let sub = self.subs.row_mut(s);
            sub.overtaken |= sub.mm == range.mm;
        }
        let task = self.task_mut(e.task);
        let in_reclaim = task.reclaim > 0;
        let calls = task.calls.clone();
        let bracket = Bracket::new(Facts { id, range, opened, calls }, in_reclaim);
        if let Some(i) = self.brackets.insert(bracket) {
            self.task_mut(e.task).open.push(i);
            self.mms.entry(range.mm, Mm::default).1.open.push(i);
        }
    }

    /// Takes a bracket off the open lists, and keeps it while it still owes callbacks.
    fn close(&mut self, id: trace::BracketId, change: impl FnOnce(&mut Bracket)) {
        let Some(i) = self.brackets.find(id) else { return };
        let bracket = self.brackets.row_mut(i);
        if matches!(bracket.state, BracketState::Closed(_)) {
            return;
        }
        change(bracket);
        let (mm, owner, owes) = (bracket.range.mm, bracket.opened.task, bracket.owes_ends());
        let task = self.task_mut(owner);
        task.open.retain(|b| *b != i);
        // A refused bracket that is ended all the same may be waiting there already.
        if owes && !task.closing.contains(&i) {
            task.closing.push(i);
        }
        let waits = task.closing.contains(&i);
        if let Some(mm) = self.mms.get_mut(mm) {
            mm.open.retain(|b| *b != i);
        }
        if !waits {
            self.brackets.free(i);
        }
    }

    fn enter_callback(&mut self, e: &Event) {
        let EventKind::CallbackEnter { sub, hook, pages, bracket, blockable } = e.kind else { return };
        let enter = self.stamp(e);
        let row = self.subs.find(sub);
        if let Some(s) = row {
            self.seen_in_tree(sub);
            let row = self.subs.row_mut(s);
            row.released |= hook == Hook::Release;
            row.ends |= hook == Hook::RangeEnd;
        }
        self.task_mut(e.task).callbacks.push(Frame { sub, hook, pages, bracket, blockable, enter });
        let (Some(s), Some(b)) = (row, bracket.and_then(|b| self.brackets.get_mut(b))) else { return };
        match hook {
            Hook::RangeStart | Hook::Invalidate => {
                b.told.push(Told { sub: s, hook, enter, exit: None, ok: false, ended: false });
            }
            Hook::RangeEnd => b.told.iter_mut().filter(|t| t.sub == s).for_each(|t| t.ended = true),
            _ => {}
        }
    }

    fn callback_returns(&mut self, e: &Event, sub: SubId, ok: bool) {
        let exit = self.stamp(e);
        let Some(frame) = self.task(e.task).and_then(|t| t.callbacks.last()) else { return };
        if frame.sub != sub || !matches!(frame.hook, Hook::RangeStart | Hook::Invalidate) {
            return;
        }
        let (Some(bracket), enter) = (frame.bracket, frame.enter) else { return };
        let Some(b) = self.brackets.get_mut(bracket) else { return };
        if let Some(told) = b.told.iter_mut().find(|t| t.enter == enter) {
            (told.exit, told.ok) = (Some(exit), ok);
        }
    }
}
