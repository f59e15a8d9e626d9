//! ORD-CALLBACK: a callback comes within its subscription's life, family, pages and bracket, and refuses only where it
//! may.
//!
//! Legal between the call of the removal and its return (6.12: SRCU readers are waited for, not stopped). A list
//! subscriber is told of the whole address space, and what an entry will be (`change_pte`) inside of a bracket of the task only; an interval subscriber of ranges that overlap its own, and it gets
//! the full range (6.12, `mn_itree_invalidate`). A removal that begins when the exit has emptied the list does not call
//! `release` again; one that begins earlier may, while the exit does (6.12, `mmu_notifier_unregister`).

use crate::book::{Book, Bracket, BracketState, Frame, Line, Sub, SubState};
use crate::finding::Sink;
use crate::table::Map;
use crate::{Code, Finding, Variant, Variants};
use mm_types::{MmId, PageRange, TaskId};
use std::collections::BTreeSet;
use trace::{BracketId, Event, EventKind, Hook, SubId, SubKind};

#[derive(Debug, Default)]
pub(crate) struct OrdCallback {
    /// Subscriptions whose `release` was called.
    released: BTreeSet<SubId>,
    /// Address spaces whose list the exit has emptied.
    emptied: BTreeSet<MmId>,
    /// Subscriptions whose removal began after that.
    late: BTreeSet<SubId>,
    /// The pages whose entry each task last looked at, to see whether they were accessed.
    looked: Map<TaskId, (MmId, PageRange)>,
}

impl OrdCallback {
    pub(crate) const READS: Variants = Variants::of(&[
        Variant::CallbackEnter,
        Variant::CallbackExit,
        Variant::ListReleased,
        Variant::UnsubscribeStart,
        Variant::YoungCheck,
    ])
    .and(crate::book::READS);

    pub(crate) fn reset(&mut self) {
        self.released.clear();
        self.emptied.clear();
        self.late.clear();
        self.looked.clear();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        let problem = match e.kind {
            EventKind::CallbackEnter { sub, hook, pages, bracket, .. } => {
                let again = hook == Hook::Release && !self.released.insert(sub) && self.late.contains(&sub);
                let twice = again.then(|| "was called a second time, by a removal after the exit".to_owned());
                let other = || self.other_page(book, e.task, sub, hook, pages);
                life(book, sub).or(twice).or_else(|| place(book, e, sub, hook, pages, bracket)).or_else(other)
            }
            EventKind::YoungCheck { mm, pages } => {
                self.looked.insert(e.task, (mm, pages));
                None
            }
            EventKind::CallbackExit { sub, ok: false, .. } => refusal(book, e, sub),
            EventKind::ListReleased { mm } => {
                self.emptied.insert(mm);
                None
            }
            EventKind::UnsubscribeStart { sub } => {
                let mm = book.subs.get(sub).map(|row| row.mm);
                self.late.extend(mm.filter(|mm| self.emptied.contains(mm)).map(|_| sub));
                None
            }
            _ => None,
        };
        let (EventKind::CallbackEnter { sub, hook, .. } | EventKind::CallbackExit { sub, hook, .. }) = e.kind else {
            return;
        };
        let Some(problem) = problem else { return };
        if !sink.first_of(Code::OrdCallback, (sub, hook, &problem)) {
            return;
        }
        let during = book.call(&book.calls(e.task), e.task);
        let title = format!("{hook} of subscription {} {problem}, during {during}", book.sub_name(sub));
        let mut details = Vec::new();
        let now = book.stamp(e);
        let mut lines = vec![Line::mm(now, e.kind.to_string())];
        if let Some(row) = book.subs.get(sub) {
            lines.push(book.subscribes(row));
            details.push(format!("subscription {} watches {} of {}", row.name, row.pages, book.mm_name(row.mm)));
        }
        let frame = book.task(e.task).and_then(|t| t.callbacks.last());
        if let Some(b) = frame.and_then(|f| f.bracket).and_then(|b| book.brackets.get(b)) {
            details.push(book.range_start_line(b));
            lines.push(book.range_start(b));
        }
        details.push(book.line(now, e.kind));
        let finding = Finding::new(Code::OrdCallback, e.step, Some(e.task), title, details);
        sink.push(finding.with_columns(book.columns(lines, now)));
    }
}

impl OrdCallback {
    /// A subscriber is asked whether a page was accessed that the memory manager does not look at.
    fn other_page(&self, book: &Book, task: TaskId, sub: SubId, hook: Hook, pages: PageRange) -> Option<String> {
        if !matches!(hook, Hook::ClearFlushYoung | Hook::ClearYoung | Hook::TestYoung) {
            return None;
        }
        let (mm, looked) = *self.looked.get(&task)?;
        let same = book.subs.get(sub).is_some_and(|row| row.mm == mm) && looked.covers(pages);
        (!same).then(|| format!("was called with {pages}, while the entry of {looked} is looked at"))
    }
}

fn life(book: &Book, sub: SubId) -> Option<String> {
    match book.subs.get(sub).map(|s| s.state) {
        None => Some("was called before it subscribed".to_owned()),
        Some(SubState::Gone) => Some("was called after its removal returned".to_owned()),
        Some(SubState::Live | SubState::Leaving) => None,
    }
}

fn place(
    book: &Book,
    e: &Event,
    sub: SubId,
    hook: Hook,
    pages: PageRange,
    bracket: Option<BracketId>,
) -> Option<String> {
    let sub = book.subs.get(sub)?;
    let started = |b: &Bracket| b.state == BracketState::Started;
    if hook == Hook::ChangePte && !book.covering_all(e.task, sub.mm, pages).any(started) {
        return Some(format!("was called with {pages}, outside any bracket of the task"));
    }
    if (hook == Hook::Invalidate) != (sub.kind == SubKind::Interval) {
        return Some("is of the other family of subscribers".to_owned());
    }
    if sub.kind == SubKind::Interval && !sub.pages.overlaps(pages) {
        return Some(format!("was called with {pages}, outside its {}", sub.pages));
    }
    in_bracket(book, sub, hook, pages, bracket?)
}

fn in_bracket(book: &Book, sub: &Sub, hook: Hook, pages: PageRange, id: BracketId) -> Option<String> {
    let Some(b) = book.brackets.get(id) else {
        return Some("belongs to no open bracket".to_owned());
    };
    if b.range.mm != sub.mm {
        return Some(format!("belongs to a bracket of {}", book.mm_name(b.range.mm)));
    }
    if !b.range.pages.covers(pages) {
        return Some(format!("was called with {pages}, outside the {} announced", b.range.pages));
    }
    let late = hook != Hook::RangeEnd && b.state != BracketState::Opening;
    late.then(|| "was called after its range_start had returned".to_owned())
}

/// Only a callback that was told not to block may refuse.
fn refusal(book: &Book, e: &Event, sub: SubId) -> Option<String> {
    let frame: &Frame = book.task(e.task)?.callbacks.last()?;
    let starts = matches!(frame.hook, Hook::RangeStart | Hook::Invalidate);
    (frame.sub == sub && starts && frame.blockable).then(|| "refused a range that may block".to_owned())
}
