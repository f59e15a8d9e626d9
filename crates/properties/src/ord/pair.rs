//! ORD-PAIR: every successful start has exactly one end, and every list subscriber that agreed hears of it.
//!
//! A refused start owes no end, but the list subscribers that had agreed to it before another refused are owed theirs
//! (6.12, `mn_hlist_invalidate_range_start`). Interval subscribers have no end callback. A list subscriber may leave
//! its end callback out, and events do not tell: one whose end was never called in a run is taken to have none.
//! `RELEASE` ranges have no end (6.12, `mn_itree_release`). A subscriber removed, or released, in between gets none.

use crate::book::{Book, Bracket, BracketState, Line, SubState};
use crate::finding::Sink;
use crate::{Code, Finding, Variant, Variants};
use trace::{BracketId, Event, EventKind, Hook, NotifyEvent};

#[derive(Debug, Default)]
pub(crate) struct OrdPair {
    /// Missing ends of subscribers not yet known to have an end callback: the first of each.
    unsure: Vec<Unsure>,
}

/// A finding, if the subscriber turns out to have an end callback. Most have none, so it is put into words only then.
#[derive(Debug)]
struct Unsure {
    /// Its row.
    sub: u32,
    bracket: Bracket,
    step: u64,
}

impl OrdPair {
    /// `TaskExited`, `CallEnter`, `CallExit`, `PteSet` and `PudSet` tell that a task has left an end behind.
    pub(crate) const READS: Variants =
        Variants::of(&[Variant::TaskExited, Variant::CallEnter, Variant::CallExit, Variant::PteSet, Variant::PudSet])
            .and(crate::book::READS);

    pub(crate) fn reset(&mut self) {
        self.unsure.clear();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        if !book.settled.is_empty() {
            self.judge_settled(book, sink);
        }
        match e.kind {
            EventKind::RangeEnd { bracket } => end(book, e, bracket, sink),
            EventKind::BracketLeaked { bracket } => {
                if let Some(b) = book.brackets.get(bracket).filter(|b| b.state != BracketState::Refused) {
                    unmatched(book, b, e.step, "was dropped without its range_end", sink);
                }
            }
            EventKind::CallbackEnter { sub, hook: Hook::RangeEnd, .. } => {
                if let Some(s) = book.subs.find(sub) {
                    self.now_sure(book, s, sink);
                }
            }
            _ => {}
        }
    }

    /// The run finished: what is open now never ends.
    pub(crate) fn finish(&mut self, book: &Book, sink: &mut Sink) {
        self.judge_settled(book, sink);
        for task in book.tasks.rows() {
            for b in task.open.iter().map(|&b| book.brackets.row(b)) {
                if b.state == BracketState::Started && b.range.event != NotifyEvent::Release {
                    unmatched(book, b, book.last_step, "has no range_end when the run finished", sink);
                }
            }
        }
    }

    fn judge_settled(&mut self, book: &Book, sink: &mut Sink) {
        for b in book.settled.iter().map(|&b| book.brackets.row(b)) {
            for told in b.missing_ends() {
                let sub = book.subs.row(told.sub);
                if sub.state != SubState::Live || sub.released {
                    continue;
                }
                let known = sub.ends;
                if known && !sink.first_of(Code::OrdPair, (b.id, told.sub))
                    || !known && self.unsure.iter().any(|unsure| unsure.sub == told.sub)
                {
                    continue;
                }
                let step = book.last_step;
                if known {
                    sink.push(end_not_delivered(book, b, told.sub, step));
                } else {
                    self.unsure.push(Unsure { sub: told.sub, bracket: b.clone(), step });
                }
            }
        }
    }

    fn now_sure(&mut self, book: &Book, sub: u32, sink: &mut Sink) {
        if let Some(i) = self.unsure.iter().position(|unsure| unsure.sub == sub) {
            let Unsure { sub, bracket, step } = self.unsure.swap_remove(i);
            sink.push(end_not_delivered(book, &bracket, sub, step));
        }
    }
}

fn end(book: &Book, e: &Event, id: BracketId, sink: &mut Sink) {
    let how = match book.brackets.get(id).map(|b| b.state) {
        Some(BracketState::Started) => return,
        Some(BracketState::Opening) => "before its range_start returned",
        Some(BracketState::Refused) => "although its range_start was refused",
        Some(BracketState::Closed(_)) => "a second time",
        None => "of no open bracket",
    };
    if !sink.first_of(Code::OrdPair, (id, how)) {
        return;
    }
    let during = book.call(&book.calls(e.task), e.task);
    let title = format!("range_end {how}, during {during}");
    let mut details: Vec<String> = book.brackets.get(id).map(|b| book.range_start_line(b)).into_iter().collect();
    details.push(book.line(book.stamp(e), format_args!("range_end {}", id.0)));
    let now = book.stamp(e);
    let mut lines: Vec<Line> = book.brackets.get(id).map(|b| book.range_start(b)).into_iter().collect();
    lines.push(Line::mm(now, "range_end"));
    let finding = Finding::new(Code::OrdPair, e.step, Some(e.task), title, details);
    sink.push(finding.with_columns(book.columns(lines, now)));
}

fn unmatched(book: &Book, b: &Bracket, step: u64, how: &str, sink: &mut Sink) {
    if !sink.first_of(Code::OrdPair, b.id) {
        return;
    }
    let task = b.opened.task;
    let what = format!("range_start {} {} of {}", b.range.event, b.range.pages, book.mm_name(b.range.mm));
    let title = format!("{what} {how}, during {}", book.call(&b.calls, task));
    let mut details = vec![book.range_start_line(b)];
    details.extend(b.told.iter().map(|t| book.told_line(book.subs.row(t.sub), t)));
    let finding = Finding::new(Code::OrdPair, step, Some(task), title, details);
    sink.push(finding.with_columns(book.columns(told_lines(book, b), b.opened)));
}

/// The start and what each subscriber said to it.
fn told_lines(book: &Book, b: &Bracket) -> Vec<Line> {
    let mut lines = vec![book.range_start(b)];
    lines.extend(b.told.iter().flat_map(|t| [book.subscribes(book.subs.row(t.sub)), book.answer(t)]));
    lines
}

fn end_not_delivered(book: &Book, b: &Bracket, s: u32, step: u64) -> Finding {
    let sub = book.subs.row(s);
    let refused = b.state == BracketState::Refused;
    let after = if refused { "after another subscriber refused" } else { "at range_end" };
    let what = format!("{} {} of {}", b.range.event, b.range.pages, book.mm_name(b.range.mm));
    let during = book.call(&b.calls, b.opened.task);
    let title = format!("subscription {} agreed to {what} and got no end {after}, during {during}", sub.name);
    let mut details = vec![book.range_start_line(b)];
    details.extend(b.told.iter().map(|t| book.told_line(book.subs.row(t.sub), t)));
    let mut lines = told_lines(book, b);
    let mut here = b.opened;
    if let BracketState::Closed(at) = b.state {
        details.push(book.line(at, "range_end"));
        lines.push(Line::mm(at, "range_end"));
        here = at;
    }
    let finding = Finding::new(Code::OrdPair, step, Some(b.opened.task), title, details);
    finding.with_columns(book.columns(lines, here))
}
