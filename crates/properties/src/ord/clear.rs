//! ORD-CLEAR: no entry of a subscribed mm loses a translation before every subscriber was told.
//!
//! | the emitting task | the oracle says |
//! |---|---|
//! | has a started bracket over the page, and each subscriber was called by one | nothing |
//! | has one, and a subscriber over the page was called by none | that subscriber was not told |
//! | has only a bracket whose start has not returned, or was refused | too early |
//! | has none | outside any bracket |
//! | took `mmap_lock` when it had one that speaks for the VMA (PROTECTION_VMA) | announced before the lock |
//!
//! PROTECTION_VMA tells a subscriber to do as the VMA says (include/linux/mmu_notifier.h), which only `mmap_lock` keeps as it is.
//!
//! The bracket must be the task's own: another task's may end at any moment. Source: the order at every caller,
//! 6.12 (mm/memory.c, mm/rmap.c, mm/mprotect.c, ...), and Documentation/mm/mmu_notifier.rst.

use crate::book::{Book, Bracket, BracketState, Line};
use crate::change::Change;
use crate::finding::Sink;
use crate::pud;
use crate::table::Map;
use crate::{Code, Finding, Variant, Variants};
use mm_types::{MmId, Name, PageRange, TaskId};
use std::sync::LazyLock;
use trace::{Event, EventKind, LockKind, NotifyEvent};

/// The class of `mmap_lock`.
static MMAP_LOCK: LazyLock<Name> = LazyLock::new(|| Name::new("&mm->mmap_lock"));

#[derive(Debug, Default)]
pub(crate) struct OrdClear {
    /// When each task last took an `mmap_lock`: the ordinal of the event.
    locked: Map<TaskId, u64>,
}

impl OrdClear {
    pub(crate) const READS: Variants =
        Variants::of(&[Variant::PteSet, Variant::PudSet, Variant::LockAcquired]).and(crate::book::READS);

    pub(crate) fn reset(&mut self) {
        self.locked.clear();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        let (mm, pages, old, new) = match e.kind {
            EventKind::PteSet { mm, vpn, old, new } => (mm, PageRange::page(vpn), old, new),
            EventKind::PudSet { mm, base, old, new } => (mm, pud::pages(base), old, new),
            EventKind::LockAcquired { lock, .. } if lock.kind == LockKind::RwSem && lock.class == *MMAP_LOCK => {
                self.locked.insert(e.task, book.stamp(e).at);
                return;
            }
            _ => return,
        };
        let Some(change) = Change::of(old, new) else { return };
        if book.watchers(mm).next().is_none() {
            return;
        }
        let started = |b: &&Bracket| b.state == BracketState::Started;
        if book.covering_all(e.task, mm, pages).any(|b| started(&b)) {
            self.announced_early(book, e, (mm, pages, change), sink);
            self.everyone_told(book, e, (mm, pages, change), sink);
        } else {
            not_covered(book, e, (mm, pages, change), sink);
        }
    }

    /// What speaks for the VMA was announced before the task had `mmap_lock`.
    fn announced_early(&self, book: &Book, e: &Event, (mm, pages, change): (MmId, PageRange, Change), sink: &mut Sink) {
        let started = |b: &&Bracket| b.state == BracketState::Started;
        let speaks = |b: &&Bracket| b.range.event == NotifyEvent::ProtectionVma;
        let mut covering = book.covering_all(e.task, mm, pages).filter(started);
        let Some(bracket) = covering.next().filter(speaks) else { return };
        let Some(&locked) = self.locked.get(&e.task).filter(|at| **at > bracket.opened.at) else { return };
        if !sink.first_of(Code::OrdClear, (bracket.id, locked)) {
            return;
        }
        let what = format!("{} was {}", book.page(mm, pages.start()), change.word());
        let during = book.call(&bracket.calls, e.task);
        let title = format!("{what} inside of a bracket that was opened before mmap_lock was taken, during {during}");
        let details = vec![
            book.range_start_line(bracket),
            book.line(book.stamp(e), format_args!("{what}: {}", old_new(e))),
            "the mapping could change between what was announced and the lock".to_owned(),
        ];
        let now = book.stamp(e);
        let lines = vec![book.range_start(bracket), Line::mm(now, what)];
        let finding = Finding::new(Code::OrdClear, e.step, Some(e.task), title, details);
        sink.push(finding.with_columns(book.columns(lines, now)));
    }

    fn everyone_told(&self, book: &Book, e: &Event, (mm, pages, change): (MmId, PageRange, Change), sink: &mut Sink) {
        for (s, sub) in book.watchers(mm) {
            let Some(watched) = sub.pages.intersect(pages).filter(|_| sub.takes_starts()) else { continue };
            let vpn = watched.start();
            let started = || book.covering_all(e.task, mm, watched).filter(|b| b.state == BracketState::Started);
            let owed = started().find(|b| sub.visible_at.is_some_and(|at| at < b.opened.at));
            let Some(owed) = owed else { continue };
            if started().any(|b| b.told(s).is_some()) || !sink.first_of(Code::OrdClear, (owed.id, s)) {
                continue;
            }
            let what = format!("{} was {}", book.page(mm, vpn), change.word());
            let during = book.call(&owed.calls, e.task);
            let title = format!("{what} but subscription {} got no callback, during {during}", sub.name);
            let details = vec![
                format!("subscription {} watches {} as {}", sub.name, sub.pages, sub.model.word()),
                book.range_start_line(owed),
                book.line(book.stamp(e), format_args!("{what}: {old_new}", old_new = old_new(e))),
            ];
            let now = book.stamp(e);
            let lines = vec![book.subscribes(sub), book.range_start(owed), Line::mm(now, what)];
            let finding = Finding::new(Code::OrdClear, e.step, Some(e.task), title, details);
            sink.push(finding.with_columns(book.columns(lines, now)));
        }
    }
}

fn not_covered(book: &Book, e: &Event, (mm, pages, change): (MmId, PageRange, Change), sink: &mut Sink) {
    if !sink.first_of(Code::OrdClear, (e.task, book.call_serial(e.task), mm)) {
        return;
    }
    let vpn = pages.start();
    let early = book.covering_all(e.task, mm, pages).next();
    let how = match early.map(|b| b.state) {
        Some(BracketState::Refused) => "although the start was refused",
        Some(_) => "before range_start returned",
        None => "outside any bracket of the task",
    };
    let what = format!("{} was {}", book.page(mm, vpn), change.word());
    let during = book.call(&book.calls(e.task), e.task);
    let title = format!("{what} {how}, during {during}");
    let mut details: Vec<String> = early.map(|b| book.range_start_line(b)).into_iter().collect();
    details.push(book.line(book.stamp(e), format_args!("{what}: {}", old_new(e))));
    let watchers: Vec<&str> = book.watchers(mm).map(|(_, s)| s.name.as_str()).collect();
    details.push(format!("subscribed to {}: {}", book.mm_name(mm), watchers.join(", ")));
    let now = book.stamp(e);
    let mut lines: Vec<Line> = book.watchers(mm).map(|(_, s)| book.subscribes(s)).collect();
    lines.extend(early.map(|b| book.range_start(b)));
    lines.push(Line::mm(now, what));
    let finding = Finding::new(Code::OrdClear, e.step, Some(e.task), title, details);
    sink.push(finding.with_columns(book.columns(lines, now)));
}

fn old_new(e: &Event) -> String {
    match e.kind {
        EventKind::PteSet { old, new, .. } | EventKind::PudSet { old, new, .. } => format!("{old} -> {new}"),
        _ => String::new(),
    }
}
