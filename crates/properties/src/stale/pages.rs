//! Changes of entries and of translations: when does which one become stale.

use super::{Cause, LastChange, Mapped, Page, Revoked, Spte, Stale};
use crate::book::{Book, Bracket, BracketState, Stamp, Sub};
use crate::change::Change;
use crate::finding::Sink;
use crate::pud;
use mm_types::{MmId, Pfn, Pte, Vpn};
use trace::{AccessModel, DevId, Event, SubId};

impl Page {
    fn maps(&mut self, new: Pte, generation: u32, at: u64) {
        let old = self.pte.replace(new);
        let Some(pfn) = new.pfn() else { return };
        let more = old.is_none_or(|old| old.pfn() != Some(pfn) || (new.is_writable() && !old.is_writable()));
        match &mut self.mapped[0] {
            Some(last) if (last.pfn, last.generation) == (pfn, generation) => {
                last.at = if more { at } else { last.at };
            }
            last => {
                let last = *last;
                self.mapped = [Some(Mapped { pfn, generation, at }), last];
            }
        }
    }
}

impl Stale {
    pub(super) fn pte_set(&mut self, book: &Book, e: &Event, key: (MmId, Vpn), old: Pte, new: Pte, sink: &mut Sink) {
        let generation = new.pfn().map_or(0, |pfn| self.generation(pfn));
        if new.is_none() && !old.is_none() {
            self.takes(e.task, key);
        }
        let page = self.page(key);
        page.maps(new, generation, book.stamp(e).at);
        let (Some(change), Some(old)) = (Change::of(old, new), old.pfn()) else { return };
        let sptes = page.sptes.len();
        let started = || book.covering(e.task, key.0, key.1).filter(|b| b.state == BracketState::Started);
        if let Some(b) = started().next() {
            let at = book.stamp(e);
            let cause = self.cause_of(b);
            self.page(key).last = Some(LastChange { change, old, at, cause });
            self.counts.pages_revoked += u64::from(started().any(|b| b.told.iter().any(|t| t.exit.is_some())));
        }
        for n in 0..sptes {
            let Some(&i) = self.pages.get(key).and_then(|p| p.sptes.get(n)) else { break };
            let spte = &self.sptes[i as usize];
            let sub = book.subs.row(spte.sub);
            match sub.model {
                AccessModel::Mirror | AccessModel::PinUntilInvalidate => {
                    if let Some(b) = started().find(|b| b.told(spte.sub).is_some()) {
                        self.revoke_in(book, e, i, change, b, sink);
                    }
                }
                AccessModel::SecondaryTlb => self.await_hook(i, change, book.stamp(e)),
                AccessModel::LongTermPin => {}
            }
        }
    }

    /// An entry of a PUD table changed, and with it that of each page below.
    pub(super) fn pud_set(&mut self, book: &Book, e: &Event, gib: (MmId, Vpn), old: Pte, new: Pte, sink: &mut Sink) {
        let (mm, base) = gib;
        for key in self.pages.keys(|key| key.0 == mm && pud::base(key.1) == base) {
            let index = key.1 - base;
            self.pte_set(book, e, key, pud::subpage(old, index), pud::subpage(new, index), sink);
        }
        let mut page = self.puds.remove(&gib).unwrap_or_default();
        page.maps(new, new.pfn().map_or(0, |pfn| self.generation(pfn)), book.stamp(e).at);
        let mut covering = book.covering_all(e.task, mm, pud::pages(base));
        if let (Some(change), Some(old)) = (Change::of(old, new), old.pfn())
            && let Some(b) = covering.find(|b| b.state == BracketState::Started)
        {
            page.last = Some(LastChange { change, old, at: book.stamp(e), cause: self.cause_of(b) });
        }
        self.puds.insert(gib, page);
    }

    /// The entry changed inside `b`, which told the translation's subscriber.
    fn revoke_in(&mut self, book: &Book, e: &Event, i: u32, change: Change, b: &Bracket, sink: &mut Sink) {
        let sub = book.subs.row(self.sptes[i as usize].sub);
        if sub.ignores(b.range.owner) {
            return;
        }
        let cause = self.cause_of(b);
        self.revoke(i, Revoked { change, at: book.stamp(e), cause, from_birth: false });
        let spte = &mut self.sptes[i as usize];
        if let Some(suspect) = spte.suspect.take_if(|s| s.bracket == b.id)
            && (suspect.write || !change.writes_only())
        {
            self.stale_finding(book, e, i, suspect.at, suspect.write, sink);
        }
    }

    /// Records the first change that revoked everything, or else the first that revoked writes.
    fn revoke(&mut self, i: u32, revoked: Revoked) {
        let spte = &mut self.sptes[i as usize];
        if spte.revoked.is_some_and(|r| !r.change.writes_only() || revoked.change.writes_only()) {
            return;
        }
        let was = spte.is_latent();
        spte.revoked = Some(revoked);
        self.counts.translations_revoked += u64::from(spte.live);
        self.counts.latent += u64::from(spte.is_latent() && !was);
    }

    fn await_hook(&mut self, i: u32, change: Change, at: Stamp) {
        let spte = &mut self.sptes[i as usize];
        let sub = spte.sub as usize;
        match &mut spte.unflushed {
            // Already listed; a change that takes more away counts from its own time.
            Some((first, _)) if !first.writes_only() || change.writes_only() => {}
            Some(first) => *first = (change, at),
            None => {
                spte.unflushed = Some((change, at));
                if self.unflushed.len() <= sub {
                    self.unflushed.resize_with(sub + 1, Vec::new);
                }
                self.unflushed[sub].push(i);
            }
        }
    }

    /// A secondary-TLB hook returned: what had changed when it was entered must not be used any more.
    pub(super) fn secondary_hook(&mut self, book: &Book, e: &Event, sub: SubId) {
        let frame = book.task(e.task).and_then(|t| t.callbacks.last()).filter(|f| f.sub == sub);
        let (Some(&frame), Some(row)) = (frame, book.subs.find(sub)) else { return };
        let Some(list) = self.unflushed.get_mut(row as usize).filter(|l| !l.is_empty()) else { return };
        let mut waiting = std::mem::take(list);
        let cause = self.causes.len() as u32;
        self.causes.push(Cause::Hook { enter: frame.enter, exit: book.stamp(e), pages: frame.pages });
        waiting.retain(|&i| {
            let spte = &mut self.sptes[i as usize];
            let Some((change, at)) = spte.unflushed else { return false };
            if !frame.pages.contains(spte.vpn) || at.at > frame.enter.at {
                return true;
            }
            spte.unflushed = None;
            self.revoke(i, Revoked { change, at, cause, from_birth: false });
            false
        });
        self.unflushed[row as usize] = waiting;
    }

    pub(super) fn spte_set(
        &mut self,
        book: &Book,
        e: &Event,
        (dev, sub): (DevId, u32),
        (mm, vpn): (MmId, Vpn),
        pfn: Pfn,
        writable: bool,
    ) {
        let generation = self.generation(pfn);
        let i = self.find_row(dev, sub, mm, vpn).unwrap_or(self.sptes.len() as u32);
        let set = book.stamp(e);
        let (revoked, suspect, unflushed) = (None, None, None);
        let spte = Spte { dev, sub, mm, vpn, pfn, generation, writable, live: true, set, revoked, suspect, unflushed };
        match self.sptes.get_mut(i as usize) {
            Some(old) => {
                self.counts.latent -= u64::from(old.is_latent());
                if old.unflushed.is_some() {
                    self.unflushed[sub as usize].retain(|x| *x != i);
                }
                *old = spte;
            }
            None => {
                self.sptes.push(spte);
                self.page((mm, vpn)).sptes.push(i);
            }
        }
        if let Some(revoked) = self.stale_from_birth(book.subs.row(sub), sub, i) {
            self.revoke(i, revoked);
        }
    }

    /// Whether the translation just set was read from an entry that an announced change has taken away since.
    fn stale_from_birth(&self, sub: &Sub, row: u32, i: u32) -> Option<Revoked> {
        let spte = &self.sptes[i as usize];
        let page = self.pages.get((spte.mm, spte.vpn))?;
        let (last, pte) = (page.last?, page.pte?);
        let Cause::Bracket { facts, told } = &self.causes[last.cause as usize] else { return None };
        let told = told.iter().any(|t| t.sub == row && t.exit.is_some());
        if !sub.revokes_at_start() || !told || sub.ignores(facts.range.owner) || last.old != spte.pfn {
            return None;
        }
        let true_now = pte.pfn() == Some(spte.pfn) && (pte.is_writable() || !last.change.writes_only());
        let harmless = last.change.writes_only() && !spte.writable;
        (!true_now && !harmless).then_some(Revoked {
            change: last.change,
            at: last.at,
            cause: last.cause,
            from_birth: true,
        })
    }
}
