//! SEQ: an interval subscriber publishes a translation only after a `read_retry` that passed, under the lock that its
//! `invalidate` takes.
//!
//! ```text
//!   publisher                             invalidating task
//!   seq = read_begin()
//!   read the page tables
//!   lock                                  invalidate():
//!   read_retry(seq) == false                lock          <- waits: entering here is legal
//!   publish                                 .
//!   unlock                                  set_seq, zap, unlock
//!                                         invalidate returns
//! ```
//!
//! If both hold the lock, neither `set_seq` nor the return of an agreeing `invalidate` can fall between the passed
//! `read_retry` and the publication; one that does shows that the lock is not held. A callback that ignores its own
//! owner's event, or refuses, takes no lock and proves nothing. Source: include/linux/mmu_notifier.h and
//! Documentation/mm/hmm.rst, 6.12.

use crate::book::{Book, Line, Stamp};
use crate::finding::Sink;
use crate::table::Map;
use crate::{Code, Finding, Variant, Variants};
use mm_types::TaskId;
use trace::{Event, EventKind, Hook, SubId, SubKind};

#[derive(Debug, Default)]
pub(crate) struct Seq {
    reads: Map<(TaskId, SubId), Read>,
    invalidated: Map<SubId, (Stamp, &'static str)>,
}

/// One task's reading of one subscription.
#[derive(Clone, Copy, Debug)]
struct Read {
    begin: Stamp,
    seq: u64,
    /// The last `read_retry` with `seq`, and its answer.
    retry: Option<(Stamp, bool)>,
}

impl Seq {
    pub(crate) const READS: Variants = Variants::of(&[
        Variant::ReadBegin,
        Variant::ReadRetry,
        Variant::SetSeq,
        Variant::SpteSet,
        Variant::CallbackExit,
    ])
    .and(crate::book::READS);

    pub(crate) fn reset(&mut self) {
        self.reads.clear();
        self.invalidated.clear();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        let now = book.stamp(e);
        match e.kind {
            EventKind::ReadBegin { sub, seq } => {
                self.reads.insert((e.task, sub), Read { begin: now, seq, retry: None });
            }
            EventKind::ReadRetry { sub, seq, retry } => {
                if let Some(read) = self.reads.get_mut(&(e.task, sub)).filter(|r| r.seq == seq) {
                    read.retry = Some((now, retry));
                }
            }
            EventKind::SetSeq { sub, .. } => {
                self.invalidated.insert(sub, (now, "set_seq"));
            }
            EventKind::CallbackExit { sub, hook: Hook::Invalidate, ok: true } if takes_the_lock(book, e.task, sub) => {
                self.invalidated.insert(sub, (now, "invalidate returned"));
            }
            EventKind::SpteSet { sub, .. } => self.publish(book, e, sub, sink),
            _ => {}
        }
    }

    fn publish(&self, book: &Book, e: &Event, sub: SubId, sink: &mut Sink) {
        if book.subs.get(sub).is_none_or(|s| s.kind != SubKind::Interval) {
            return;
        }
        let read = self.reads.get(&(e.task, sub));
        let how = match read.map(|r| r.retry) {
            None => "without read_begin by the same task",
            Some(None) => "without read_retry since read_begin",
            Some(Some((_, true))) => "although read_retry said to start over",
            Some(Some((passed, false))) => match self.invalidated.get(&sub) {
                Some((at, _)) if at.at > passed.at => "after an invalidation that came since read_retry passed",
                _ => return,
            },
        };
        if sink.first_of(Code::Seq, (sub, e.task, how, read.map_or(0, |r| r.begin.at))) {
            sink.push(self.finding(book, e, sub, how));
        }
    }

    fn finding(&self, book: &Book, e: &Event, sub: SubId, how: &str) -> Finding {
        let EventKind::SpteSet { dev, mm, vpn, pfn, .. } = e.kind else { unreachable!("asked for a publication only") };
        let name = book.sub_name(sub);
        let what = format!("device {} published {} for subscription {name}", book.dev_name(dev), book.page(mm, vpn));
        let title = format!("{what} {how}, by task {}", book.task_name(e.task));
        let mut lines = Vec::new();
        if let Some(read) = self.reads.get(&(e.task, sub)) {
            lines.push(Line::device(read.begin, format!("read_begin of {name} = {}", read.seq)));
            lines.extend(read.retry.map(|(at, again)| Line::device(at, format!("read_retry {} = {again}", read.seq))));
        }
        lines.extend(self.invalidated.get(&sub).map(|(at, what)| Line::mm(*at, format!("{what} of {name}"))));
        let now = book.stamp(e);
        lines.push(Line::device(now, format!("spte of {} set to frame {pfn}", book.page(mm, vpn))));
        let (details, columns) = book.lay_out(lines, now);
        Finding::new(Code::Seq, e.step, Some(e.task), title, details).with_columns(columns)
    }
}

/// Whether the callback that returns now had to take the driver's lock.
fn takes_the_lock(book: &Book, task: TaskId, sub: SubId) -> bool {
    let frame = book.task(task).and_then(|t| t.callbacks.last());
    let bracket = frame.and_then(|f| f.bracket).and_then(|b| book.brackets.get(b));
    match (bracket, book.subs.get(sub)) {
        (Some(b), Some(s)) => !s.ignores(b.range.owner),
        _ => true,
    }
}
