//! Accesses: by devices through their translations, by CPUs through their TLBs.

use super::{Spte, Stale, Suspect};
use crate::book::{Book, Bracket, BracketState};
use crate::finding::Sink;
use mm_types::{MmId, Pfn, Vpn};
use trace::{Event, EventKind};

impl Stale {
    pub(super) fn device_access(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        let EventKind::DeviceAccess { dev, sub, mm, vpn, pfn, write, .. } = e.kind else { return };
        let spte = self.find(book, dev, sub, mm, vpn);
        if let Some(i) = spte {
            let revoked = self.sptes[i as usize].revoked;
            if revoked.is_some_and(|r| write || !r.change.writes_only()) {
                self.stale_finding(book, e, i, book.stamp(e), write, sink);
            } else {
                self.suspect(book, e, i, write);
            }
        }
        self.harm(book, e, spte, pfn, write, sink);
    }

    /// Remembers an access through a translation whose revocation was announced and has not happened yet.
    fn suspect(&mut self, book: &Book, e: &Event, i: u32, write: bool) {
        let spte = &mut self.sptes[i as usize];
        let Some(mm) = book.mms.get(spte.mm).filter(|m| !m.open.is_empty()) else { return };
        if !book.subs.row(spte.sub).revokes_at_start() {
            return;
        }
        let announcing = mm.open.iter().map(|&b| book.brackets.row(b)).find(|b| announces(book, b, spte));
        let Some(bracket) = announcing.map(|b| b.id) else { return };
        // The first access is the clearest evidence, but only a write is evidence against write-protection.
        if spte.suspect.is_none_or(|s| s.bracket != bracket || (write && !s.write)) {
            spte.suspect = Some(Suspect { bracket, at: book.stamp(e), write });
        }
    }

    fn harm(&mut self, book: &Book, e: &Event, spte: Option<u32>, pfn: Pfn, write: bool, sink: &mut Sink) {
        let Some(&frame) = self.frames.get(&pfn) else { return };
        let reused = spte.is_some_and(|i| {
            let spte = &self.sptes[i as usize];
            spte.pfn == pfn && spte.generation != frame.generation
        });
        if frame.free.is_some() || reused {
            self.device_harm(book, e, spte, frame, write, sink);
        }
    }

    pub(super) fn cpu_access(
        &mut self,
        book: &Book,
        e: &Event,
        (mm, vpn): (MmId, Vpn),
        pfn: Pfn,
        write: bool,
        sink: &mut Sink,
    ) {
        self.late_cpu_access(book, e, (mm, vpn), pfn, write, sink);
        let Some(&frame) = self.frames.get(&pfn) else { return };
        let reused = || {
            let mapped = self.pages.get((mm, vpn)).and_then(|p| p.mapped.iter().flatten().find(|m| m.pfn == pfn));
            mapped.is_some_and(|m| m.generation != frame.generation)
        };
        if frame.free.is_some() || reused() {
            self.cpu_harm(book, e, (mm, vpn), frame, write, sink);
        }
    }
}

/// Whether `b` has told the translation's subscriber that the page will change, after the translation was set.
fn announces(book: &Book, b: &Bracket, spte: &Spte) -> bool {
    matches!(b.state, BracketState::Opening | BracketState::Started)
        && b.range.pages.contains(spte.vpn)
        && !book.subs.row(spte.sub).ignores(b.range.owner)
        && b.told(spte.sub).and_then(|t| t.exit).is_some_and(|exit| exit.at > spte.set.at)
}
