//! The text of STALE and STALE-HARM findings: the events that matter, in their order.

use super::{Cause, Frame, Spte, Stale, rw};
use crate::book::{Book, Line, Stamp};
use crate::finding::Sink;
use crate::{Code, Finding};
use mm_types::{MmId, Pfn, Vpn};
use trace::{Event, EventKind};

impl Stale {
    /// Translation `i`, revoked, was used at `access`.
    pub(super) fn stale_finding(&self, book: &Book, e: &Event, i: u32, access: Stamp, write: bool, sink: &mut Sink) {
        let spte = &self.sptes[i as usize];
        let Some(revoked) = spte.revoked else { return };
        if !sink.first_of(Code::Stale, (spte.dev, spte.sub, revoked.cause)) {
            return;
        }
        let sub = book.subs.row(spte.sub);
        let (by, mut lines) = self.cause_lines(book, spte, revoked.cause);
        let page = book.page(spte.mm, spte.vpn);
        let rw = rw(write);
        let published = if revoked.from_birth { "published after its revocation" } else { "revoked" };
        let title = format!(
            "device {} {rw} {page} through a translation {published} by {by} (subscription {}, {})",
            book.dev_name(spte.dev),
            sub.name,
            sub.model.word()
        );
        lines.push(Line::device(spte.set, spte_line(book, spte)));
        lines.push(Line::mm(revoked.at, format!("{page} {}", revoked.change.word())));
        lines.push(Line::device(access, format!("device {} {rw} {page}, frame {}", book.dev_name(spte.dev), spte.pfn)));
        let (details, columns) = book.lay_out(lines, access);
        let finding = Finding::new(Code::Stale, access.step, Some(access.task), title, details);
        sink.push(finding.with_columns(columns));
        debug_assert!(access.at <= book.stamp(e).at);
    }

    fn cause_lines(&self, book: &Book, spte: &Spte, cause: u32) -> (String, Vec<Line>) {
        let sub = book.subs.row(spte.sub);
        match &self.causes[cause as usize] {
            Cause::Bracket { facts, told } => {
                let by = book.call(&facts.calls, facts.opened.task);
                let range = facts.range;
                let start = format!("range_start {} {}, during {by}", range.event, range.pages);
                let mut lines = vec![Line::mm(facts.opened, start)];
                if let Some(told) = told.iter().find(|t| t.sub == spte.sub) {
                    let exit = told.exit.unwrap_or(told.enter);
                    lines.push(Line::mm(exit, format!("{} of {} returned", told.hook, sub.name)));
                }
                (by, lines)
            }
            Cause::Hook { enter, exit, pages } => {
                let hook = "arch_invalidate_secondary_tlbs";
                let by = format!("{hook} {pages} in task {}", book.task_name(exit.task));
                let entered = Line::mm(*enter, format!("{hook} {pages} of {} entered", sub.name));
                (by, vec![entered, Line::mm(*exit, format!("{hook} of {} returned", sub.name))])
            }
        }
    }

    pub(super) fn device_harm(
        &self,
        book: &Book,
        e: &Event,
        spte: Option<u32>,
        frame: Frame,
        write: bool,
        sink: &mut Sink,
    ) {
        let EventKind::DeviceAccess { dev, sub, mm, vpn, pfn, .. } = e.kind else { return };
        if !sink.first_of(Code::StaleHarm, (dev, sub, book.call_serial(e.task))) {
            return;
        }
        let page = book.page(mm, vpn);
        let dev = book.dev_name(dev);
        let (rw, how) = (rw(write), how(frame));
        let title = format!("device {dev} {rw} {page} in {how} (subscription {})", book.sub_name(sub));
        let mut lines = Vec::new();
        let now = book.stamp(e);
        lines.extend(spte.map(|i| &self.sptes[i as usize]).map(|s| Line::device(s.set, spte_line(book, s))));
        lines.extend(frame.freed.map(|at| Line::mm(at, format!("frame {pfn} freed"))));
        lines.push(Line::device(now, format!("device {dev} {rw} {page}, frame {pfn}")));
        let (details, columns) = book.lay_out(lines, now);
        sink.push(Finding::new(Code::StaleHarm, e.step, Some(e.task), title, details).with_columns(columns));
    }

    /// A page is pinned, or referenced, that is free already: whoever looked it up had no lock that kept it.
    pub(super) fn pin_harm(&self, book: &Book, e: &Event, pfn: Pfn, sink: &mut Sink) {
        let Some(freed) = self.frames.get(&pfn).and_then(|frame| frame.free) else { return };
        if !sink.first_of(Code::StaleHarm, (e.task, "pin", book.call_serial(e.task))) {
            return;
        }
        let title = format!("task {} takes a reference to a free frame", book.task_name(e.task));
        let now = book.stamp(e);
        let lines = vec![
            Line::mm(freed, format!("frame {pfn} freed")),
            Line::device(now, format!("frame {pfn} looked up for a device")),
        ];
        let (details, columns) = book.lay_out(lines, now);
        sink.push(Finding::new(Code::StaleHarm, e.step, Some(e.task), title, details).with_columns(columns));
    }

    pub(super) fn cpu_harm(
        &self,
        book: &Book,
        e: &Event,
        (mm, vpn): (MmId, Vpn),
        frame: Frame,
        write: bool,
        sink: &mut Sink,
    ) {
        let EventKind::CpuAccess { pfn, .. } = e.kind else { return };
        if !sink.first_of(Code::StaleHarm, (e.task, mm, book.call_serial(e.task))) {
            return;
        }
        let page = book.page(mm, vpn);
        let (rw, how) = (rw(write), how(frame));
        let title = format!("task {} {rw} {page} in {how}, through a stale TLB entry", book.task_name(e.task));
        let mut lines = Vec::new();
        let now = book.stamp(e);
        lines.extend(frame.freed.map(|at| Line::mm(at, format!("frame {pfn} freed"))));
        lines.push(Line::mm(now, format!("cpu {rw} {page}, frame {pfn}")));
        let (details, columns) = book.lay_out(lines, now);
        sink.push(Finding::new(Code::StaleHarm, e.step, Some(e.task), title, details).with_columns(columns));
    }
}

fn how(frame: Frame) -> &'static str {
    if frame.free.is_some() { "a free frame" } else { "a frame freed and reused since" }
}

fn spte_line(book: &Book, spte: &Spte) -> String {
    let mode = if spte.writable { "writable" } else { "read-only" };
    format!("spte of {} set to frame {}, {mode}", book.page(spte.mm, spte.vpn), spte.pfn)
}
