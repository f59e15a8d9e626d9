//! COH: whoever reads a page of a process, CPU or device, reads what was last written to that page of that process.
//!
//! ```text
//!   parent                         child                        device of the parent
//!   write 1 to page P
//!   fork: P is shared, read-only
//!                                                               write 2 to P through a writable translation
//!                                  read P: 1 it must be         read P: 2 it must be
//! ```
//!
//! Expected contents belong to a page of an address space and follow it over copies, swap and migration; they are
//! forgotten where the page is unmapped, and learnt by a read where they are not known. A store through an entry that is
//! writable is a store to every page that maps the frame. One through a translation that the entry does not allow (any
//! more) is meant for that page alone: where it lands is what there is to find.
//!
//! A CPU may use what its TLB has until the flush. A store through it goes to whoever maps the frame, and to the page itself
//! while that is being cleared. What a load finds there is nothing of the page if the entry was cleared; if it maps
//! something else by then, it must be what that holds.
//!
//! Reclaim puts flushes off (`TlbFlushDeferred`). Until the flush a load may find what the page held, even if the page has come back
//! elsewhere by then and was written there; and a store through a translation of a page that is to go to swap is one to that
//! page, since the flush comes before the page is written out.
//!
//! A subscriber that declares *SecondaryTlb* may store through what its TLB has until the flush, after the entry was cleared
//! or write-protected: such a store counts as one through the entry as it was. So does one of a *LongTermPin*, which never
//! lets go: a page that is pinned keeps its frame, and an entry that was cleared to take it away is set again.
//!
//! A device is judged only while the mapping lives that its translation was made in. What was known of a frame is what a
//! new mapping of it is expected to show: so a child has its parent's contents, and a moved page those it had.
//!
//! A page that was freed lazily may lose what it holds to reclaim, but not what was stored to it since: reclaim is to leave such
//! a page where it is.
//!
//! Not seen: a frame shared by mistake and writable by both, which looks like shared memory.

use crate::book::{Book, BracketState, Line, Stamp};
use crate::finding::Sink;
use crate::pud;
use crate::table::{Map, Table};
use crate::{Code, Finding, Variant, Variants};
use mm_types::{MmId, Pfn, Pte, PteKind, TaskId, Vpn};
use smallvec::SmallVec;
use trace::{AccessModel, BracketId, DevId, Event, EventKind, SubId};

#[derive(Debug, Default)]
pub(crate) struct Coh {
    pages: Table<(MmId, Vpn), Page>,
    /// What holds for the pages of a GiB that have no row yet, by its first page and as that has it.
    puds: Map<(MmId, Vpn), Page>,
    frames: Map<Pfn, Frame>,
    /// What was known of a page when an entry first named the slot.
    slots: Map<u64, Known>,
    /// The life of the page that a translation was made in.
    translations: Map<(DevId, SubId, MmId, Vpn), u32>,
    /// Pages whose flush reclaim has put off.
    deferred: Vec<(MmId, Vpn)>,
}

#[derive(Debug, Default)]
struct Page {
    pte: Pte,
    known: Option<Known>,
    /// The entry was cleared: if the same one sets it again, it is the same page.
    cleared: Option<Cleared>,
    /// How often it was unmapped.
    life: u32,
}

/// Who cleared an entry, and inside which bracket of its own.
#[derive(Clone, Copy, Debug)]
struct Cleared {
    by: TaskId,
    within: Option<BracketId>,
    /// It mapped a frame.
    frame: bool,
    /// By reclaim, for good, although it was stored to since it was freed lazily.
    dropped: bool,
}

/// Contents, and who showed them first.
#[derive(Clone, Copy, Debug)]
struct Known {
    value: u64,
    at: Stamp,
    by: By,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Store,
    DeviceStore,
    Load,
}

#[derive(Debug, Default)]
struct Frame {
    known: Option<Known>,
    /// When it was freed lazily: the ordinal of the event.
    lazy: Option<u64>,
    /// Rows of the pages that map it.
    mapped: SmallVec<[u32; 2]>,
}

impl Coh {
    pub(crate) const READS: Variants = Variants::of(&[
        Variant::PteSet,
        Variant::PudSet,
        Variant::CpuAccess,
        Variant::FrameFree,
        Variant::LazyFreed,
        Variant::TlbFlush,
        Variant::TlbFlushDeferred,
        Variant::SpteSet,
        Variant::DeviceAccess,
    ])
    .and(crate::book::READS);

    pub(crate) fn reset(&mut self) {
        self.pages.clear();
        self.puds.clear();
        self.frames.clear();
        self.slots.clear();
        self.translations.clear();
        self.deferred.clear();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        match e.kind {
            EventKind::PteSet { mm, vpn, new, .. } => self.pte_set(book, e, (mm, vpn), new),
            EventKind::PudSet { mm, base, new, .. } => self.pud_set(book, e, (mm, base), new),
            EventKind::FrameFree { pfn } => {
                if let Some(frame) = self.frames.get_mut(&pfn) {
                    frame.known = None;
                    frame.lazy = None;
                }
            }
            EventKind::LazyFreed { pfn } => self.frames.entry(pfn).or_default().lazy = Some(book.stamp(e).at),
            EventKind::TlbFlushDeferred { mm, vpn } => self.deferred.push((mm, vpn)),
            EventKind::TlbFlush { mm, pages } => {
                self.deferred.retain(|(of, vpn)| *of != mm || !pages.contains(*vpn));
            }
            EventKind::SpteSet { dev, sub, mm, vpn, .. } => {
                let row = self.row((mm, vpn));
                let life = self.pages.row(row).life;
                self.translations.insert((dev, sub, mm, vpn), life);
            }
            EventKind::CpuAccess { mm, vpn, pfn, write, value } => {
                let by = if write { By::Store } else { By::Load };
                let now = Known { value, at: book.stamp(e), by };
                match (write, self.translates(mm, vpn, pfn)) {
                    (true, true) => self.store(mm, vpn, pfn, now),
                    (true, false) => self.late_store(book, (mm, vpn), pfn, now),
                    (false, true) => self.load(book, e, (mm, vpn), now, sink),
                    (false, false) => self.late_load(book, e, (mm, vpn), now, sink),
                }
            }
            EventKind::DeviceAccess { .. } => self.device_access(book, e, sink),
            _ => {}
        }
    }

    /// The row of a page, made when there is none: of one below an entry of a PUD table as that has it.
    fn row(&mut self, key: (MmId, Vpn)) -> u32 {
        if let Some(row) = self.pages.find(key) {
            return row;
        }
        let base = pud::base(key.1);
        let gib = self.puds.get(&(key.0, base));
        let page = gib.map_or_else(Page::default, |gib| Page {
            pte: pud::subpage(gib.pte, key.1 - base),
            known: None,
            cleared: gib.cleared,
            life: gib.life,
        });
        let frame = frame_of(page.pte);
        let row = self.pages.entry(key, || page).0;
        if let Some(pfn) = frame {
            let frame = self.frames.entry(pfn).or_default();
            frame.mapped.push(row);
            self.pages.row_mut(row).known = frame.known;
        }
        row
    }

    /// An entry of a PUD table changed, and with it that of each page below.
    fn pud_set(&mut self, book: &Book, e: &Event, (mm, base): (MmId, Vpn), new: Pte) {
        for key in self.pages.keys(|key| key.0 == mm && pud::base(key.1) == base) {
            self.pte_set(book, e, key, pud::subpage(new, key.1 - base));
        }
        let bracket = book.covering_all(e.task, mm, pud::pages(base)).next().map(|b| b.id);
        let gib = self.puds.entry((mm, base)).or_default();
        let old = std::mem::replace(&mut gib.pte, new);
        match gib.cleared.take() {
            _ if new.is_none() => {
                gib.cleared =
                    Some(Cleared { by: e.task, within: bracket, frame: frame_of(old).is_some(), dropped: false });
            }
            Some(Cleared { by, within: Some(within), .. }) if by == e.task && Some(within) == bracket => {}
            Some(_) => gib.life += 1,
            None => {}
        }
    }

    fn pte_set(&mut self, book: &Book, e: &Event, key: (MmId, Vpn), new: Pte) {
        let bracket = book.covering(e.task, key.0, key.1).next().map(|b| b.id);
        let row = self.row(key);
        let dropped = new.is_none() && book.in_reclaim(e.task) && self.is_written_lazyfree(row);
        let page = self.pages.row_mut(row);
        let old = std::mem::replace(&mut page.pte, new);
        let (left, taken) = (frame_of(old), frame_of(new));
        // A frame's contents go to a slot with or without the entry being cleared between.
        let mut goes_out = left.is_some();
        let mut must_show = None;
        match page.cleared.take() {
            _ if new.is_none() => {
                page.cleared = Some(Cleared { by: e.task, within: bracket, frame: left.is_some(), dropped });
            }
            // Outside of a bracket nothing tells a replaced page from one that was unmapped and made anew.
            Some(Cleared { by, within: Some(within), frame, .. }) if by == e.task && Some(within) == bracket => {
                goes_out = frame;
            }
            Some(Cleared { dropped, .. }) => {
                page.known = page.known.filter(|_| dropped);
                page.life += 1;
                must_show = page.known;
            }
            None => {}
        }
        if let PteKind::Swap { slot } = new.kind()
            && goes_out
        {
            // Whatever the slot held for an earlier page is gone, also where this one's contents are not known.
            self.slots.remove(&slot);
        }
        if left != taken
            && let Some(frame) = left.and_then(|pfn| self.frames.get_mut(&pfn))
        {
            frame.mapped.retain(|r| *r != row);
        }
        self.shows(row, book.stamp(e), new, (left != taken).then_some(taken).flatten());
        if must_show.is_some() {
            self.pages.row_mut(row).known = must_show;
        }
    }

    /// Whether what a page holds was stored after it was freed lazily.
    fn is_written_lazyfree(&self, row: u32) -> bool {
        let page = self.pages.row(row);
        let lazy = frame_of(page.pte).and_then(|pfn| self.frames.get(&pfn)).and_then(|frame| frame.lazy);
        let stored = page.known.filter(|known| known.by != By::Load).map(|known| known.at.at);
        lazy.zip(stored).is_some_and(|(lazy, stored)| stored > lazy)
    }

    /// What a page shows through its new entry: what it did, or what is known of what it shows now.
    fn shows(&mut self, row: u32, at: Stamp, new: Pte, newly: Option<Pfn>) {
        let page = self.pages.row_mut(row);
        if let Some(pfn) = newly {
            let frame = self.frames.entry(pfn).or_default();
            frame.mapped.push(row);
            frame.known = frame.known.or(page.known);
            page.known = page.known.or(frame.known);
        }
        match new.kind() {
            PteKind::Present if new.is_special() => page.known = Some(Known { value: 0, at, by: By::Load }),
            PteKind::Swap { slot } => match page.known {
                Some(known) => {
                    self.slots.insert(slot, known);
                }
                None => page.known = self.slots.get(&slot).copied(),
            },
            PteKind::Migration { pfn } => {
                page.known = page.known.or_else(|| self.frames.get(&pfn).and_then(|f| f.known));
            }
            _ => {}
        }
    }

    /// Whether the page's entry maps the frame: the CPU's translation is true. Of a page never heard of it is.
    fn translates(&self, mm: MmId, vpn: Vpn, pfn: Pfn) -> bool {
        self.pages.get((mm, vpn)).is_none_or(|page| page.pte.mapped_pfn() == Some(pfn))
    }

    /// A store through a writable entry: to each page that maps the frame.
    fn store(&mut self, mm: MmId, vpn: Vpn, pfn: Pfn, now: Known) {
        let row = self.row((mm, vpn));
        self.pages.row_mut(row).known = Some(now);
        self.store_to_frame(pfn, now);
    }

    fn store_to_frame(&mut self, pfn: Pfn, now: Known) {
        let frame = self.frames.entry(pfn).or_default();
        frame.known = Some(now);
        for &other in &frame.mapped {
            self.pages.row_mut(other).known = Some(now);
        }
    }

    /// A store through a translation that the entry has taken back.
    fn late_store(&mut self, book: &Book, key: (MmId, Vpn), pfn: Pfn, now: Known) {
        let goes_out = self.deferred.contains(&key);
        if let Some(page) = self.pages.get_mut(key) {
            match page.pte.kind() {
                PteKind::None if being_cleared(book, page) => page.known = Some(now),
                PteKind::Swap { slot } if goes_out => self.store_to_slot(slot, now),
                _ => {}
            }
        }
        self.store_to_frame(pfn, now);
    }

    /// A store to a page that is still to be written to swap: every page that names the slot will show it.
    fn store_to_slot(&mut self, slot: u64, now: Known) {
        self.slots.insert(slot, now);
        self.pages
            .rows_mut()
            .iter_mut()
            .filter(|page| page.pte.kind() == PteKind::Swap { slot })
            .for_each(|page| page.known = Some(now));
    }

    /// A load through such a translation.
    fn late_load(&mut self, book: &Book, e: &Event, key: (MmId, Vpn), now: Known, sink: &mut Sink) {
        if self.deferred.contains(&key) {
            return;
        }
        let shown = self.pages.get(key).filter(|page| !page.pte.is_none()).and_then(|page| page.known);
        if let Some(expected) = shown.filter(|k| k.value != now.value) {
            wrong_load(book, e, key, (expected, now), sink);
        }
    }

    fn load(&mut self, book: &Book, e: &Event, key: (MmId, Vpn), now: Known, sink: &mut Sink) {
        let row = self.row(key);
        let page = self.pages.row_mut(row);
        let expected = page.known.replace(page.known.filter(|k| k.value == now.value).unwrap_or(now));
        if let Some(expected) = expected.filter(|k| k.value != now.value) {
            wrong_load(book, e, key, (expected, now), sink);
            return;
        }
        if let Some(frame) = frame_of(page.pte).and_then(|pfn| self.frames.get_mut(&pfn)) {
            frame.known = frame.known.or(Some(now));
        }
    }

    fn device_access(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        let EventKind::DeviceAccess { dev, sub, mm, vpn, pfn, write, value } = e.kind else { return };
        let Some(page) = self.pages.get_mut((mm, vpn)) else { return };
        let outlasts = |model| matches!(model, AccessModel::SecondaryTlb | AccessModel::LongTermPin);
        let until_flush = book.subs.get(sub).is_some_and(|s| outlasts(s.model));
        let there = !page.pte.is_none() || (until_flush && being_cleared(book, page));
        if self.translations.get(&(dev, sub, mm, vpn)) != Some(&page.life) || !there {
            return;
        }
        let now = Known { value, at: book.stamp(e), by: By::DeviceStore };
        if write {
            let allowed = page.pte.pfn() == Some(pfn) && (page.pte.is_writable() || until_flush);
            // The zero page swallows stores; nobody is given it for writing.
            page.known = Some(now);
            if allowed {
                self.store(mm, vpn, pfn, now);
            }
        } else if let Some(expected) = page.known.filter(|k| k.value != value)
            && sink.first_of(Code::Coh, (dev, sub, expected.at.at))
        {
            let (dev, page) = (book.dev_name(dev), book.page(mm, vpn));
            let sub = book.sub_name(sub);
            let title =
                format!("device {dev} reads {page} and does not get what was last written to it (subscription {sub})");
            let seen = Line::device(now.at, format!("device {dev} reads {value:#x} from {page}, frame {pfn}"));
            sink.push(finding(book, title, &page, expected, vec![seen], now.at));
        }
    }
}

/// A task reads another value than the one that was expected.
fn wrong_load(book: &Book, e: &Event, key: (MmId, Vpn), (expected, now): (Known, Known), sink: &mut Sink) {
    if sink.first_of(Code::Coh, (e.task, key, book.call_serial(e.task))) {
        let (by, page) = (book.task_name(e.task), book.page(key.0, key.1));
        let title = format!("task {by} reads {page} and does not get what was last written to it");
        let seen = Line::mm(now.at, format!("cpu reads {:#x} from {page}", now.value));
        sink.push(finding(book, title, &page, expected, vec![seen], now.at));
    }
}

/// Whether the entry was cleared inside of a bracket that is still open: its contents may go on somewhere else.
fn being_cleared(book: &Book, page: &Page) -> bool {
    let within = page.cleared.filter(|c| c.frame).and_then(|c| c.within);
    within.and_then(|b| book.brackets.get(b)).is_some_and(|b| b.state == BracketState::Started)
}

/// The frame behind an entry that keeps one of its own.
fn frame_of(pte: Pte) -> Option<Pfn> {
    pte.mapped_pfn().filter(|_| !pte.is_special())
}

fn finding(book: &Book, title: String, page: &str, expected: Known, mut lines: Vec<Line>, here: Stamp) -> Finding {
    lines.push(match expected.by {
        By::Store => Line::mm(expected.at, format!("cpu writes {:#x} to {page}", expected.value)),
        By::DeviceStore => Line::device(expected.at, format!("device writes {:#x} to {page}", expected.value)),
        By::Load => Line::mm(expected.at, format!("{page} shows {:#x}", expected.value)),
    });
    let (details, columns) = book.lay_out(lines, here);
    Finding::new(Code::Coh, here.step, Some(here.task), title, details).with_columns(columns)
}
