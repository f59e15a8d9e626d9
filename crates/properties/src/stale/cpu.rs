//! STALE of CPUs: what a TLB keeps must be gone by the time that somebody relies on it.
//!
//! A CPU may use what its TLB has until a flush: between the change of an entry and that flush nobody is to blame. But two things
//! say that the flush has been:
//!
//! ```text
//!   call                          cpu                       writeback
//!   munmap begins                 write P: frame 7
//!   the entry of P is none
//!   munmap returns                                          frame 7 counts as clean
//!                                 access P: frame 7
//!                                  <- stale
//!                                 write P: frame 7, by what the entry forbids
//!                                  <- stale: the store is lost
//! ```
//!
//! * A system call that leaves no entry where it found one has returned: nobody sees the page there any more that was there
//!   before the call began.
//! * Writeback has taken write access from all who map a page of a file, and it counts as clean: whoever writes it from here on
//!   faults first.
//!
//! A translation made since (the entry has mapped the frame again) is not one of these. A call that found no entry promises
//! the same and is not judged: by its events nothing tells it from one that promises nothing (`MADV_FREE`).
//!
//! Sources: `mm_tlb_flush_nested()`, include/linux/mm_types.h; `zap_pte_range()`, mm/memory.c;
//! `folio_clear_dirty_for_io()`, mm/page-writeback.c (6.12).

use super::{Stale, rw};
use crate::book::{Book, Line, Stamp};
use crate::finding::Sink;
use crate::table::Map;
use crate::{Code, Finding};
use mm_types::{MmId, Name, Pfn, Pte, TaskId, Vpn};
use smallvec::SmallVec;
use trace::Event;

/// The calls that tasks are in, innermost last.
pub(super) type Calls = Map<TaskId, SmallVec<[Call; 1]>>;

#[derive(Debug)]
pub(super) struct Call {
    name: Name,
    enter: Stamp,
    /// Pages whose entry it made none.
    took: SmallVec<[(MmId, Vpn); 4]>,
}

/// A call took the page away and has returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    call: Name,
    enter: Stamp,
    exit: Stamp,
}

impl Stale {
    pub(super) fn call_enter(&mut self, book: &Book, e: &Event, name: Name) {
        let call = Call { name, enter: book.stamp(e), took: SmallVec::new() };
        self.calls.entry(e.task).or_default().push(call);
    }

    /// An entry became none.
    pub(super) fn takes(&mut self, task: TaskId, key: (MmId, Vpn)) {
        if let Some(call) = self.calls.get_mut(&task).and_then(|calls| calls.last_mut()) {
            call.took.push(key);
        }
    }

    pub(super) fn call_exit(&mut self, book: &Book, e: &Event, ok: bool) {
        let Some(call) = self.calls.get_mut(&e.task).and_then(SmallVec::pop) else { return };
        for key in call.took.into_iter().filter(|_| ok) {
            if let Some(page) = self.pages.get_mut(key)
                && page.pte.is_some_and(Pte::is_none)
            {
                page.taken = Some(Taken { call: call.name, enter: call.enter, exit: book.stamp(e) });
            }
        }
    }

    /// A CPU accesses the frame, maybe by a translation that the page's entry does not allow any more.
    pub(super) fn late_cpu_access(
        &mut self,
        book: &Book,
        e: &Event,
        key: (MmId, Vpn),
        pfn: Pfn,
        write: bool,
        sink: &mut Sink,
    ) {
        let Some(page) = self.pages.get(key) else { return };
        let allows = |pte: Pte| pte.pfn() == Some(pfn) && (!write || pte.is_writable());
        if page.pte.is_none_or(allows) {
            return;
        }
        let Some(mapped) = page.mapped.iter().flatten().find(|m| m.pfn == pfn) else { return };
        let cleaned = self.frames.get(&pfn).and_then(|f| f.cleaned).filter(|(began, _)| write && began.at > mapped.at);
        let (why, mut lines) = if let Some(taken) = page.taken.filter(|t| t.enter.at > mapped.at) {
            let by = format!("{} by task {}", taken.call, book.task_name(taken.exit.task));
            let began = Line::mm(taken.enter, format!("{} begins", taken.call));
            let returned = Line::mm(taken.exit, format!("{} returns", taken.call));
            (format!("as it was before {by}, which has returned"), vec![began, returned])
        } else if let Some((_, cleaned)) = cleaned {
            let line = Line::mm(cleaned, format!("frame {pfn} counts as clean, and is written to the disk"));
            ("which counts as clean".to_owned(), vec![line])
        } else {
            return;
        };
        if !sink.first_of(Code::Stale, (e.task, key.0, book.call_serial(e.task))) {
            return;
        }
        let (page, rw, now) = (book.page(key.0, key.1), rw(write), book.stamp(e));
        let title = format!("task {} {rw} {page} {why}, through a stale TLB entry", book.task_name(e.task));
        lines.push(Line::device(now, format!("cpu {rw} {page}, frame {pfn}")));
        let (details, columns) = book.lay_out(lines, now);
        sink.push(Finding::new(Code::Stale, e.step, Some(e.task), title, details).with_columns(columns));
    }

    /// What a page holds is being written to the disk.
    pub(super) fn clean(&mut self, book: &Book, e: &Event, pfn: Pfn, done: bool) {
        let frame = self.frames.entry(pfn).or_default();
        if done {
            frame.cleaned = frame.cleaning.take().map(|began| (began, book.stamp(e)));
        } else {
            frame.cleaning = Some(book.stamp(e));
        }
    }
}
