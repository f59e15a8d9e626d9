//! STALE and STALE-HARM: what devices and CPUs do with translations that are no longer true.
//!
//! Both look at the same table: pages with their entry, the translations built from them, frames with a generation.
//!
//! STALE, for subscribers that revoke at the start (*Mirror*, *PinUntilInvalidate*), two windows:
//!
//! ```text
//!   mm                                  device
//!                                       spte set
//!   range_start; callback returns
//!     .                                 access    <- suspect: stale if the entry changes in this bracket
//!   entry changes
//!     .                                 access    <- stale
//!   range_end
//!     .                                 access    <- stale, until the spte is set again
//! ```
//!
//! An entry announced and left as it was owes nothing, so a suspect access is forgotten with its bracket. A
//! write-protected entry revokes writes only. A translation published *after* the change, from what the entry held
//! before it, is stale from birth. A subscriber that was not called at all is not to blame (that is ORD-CLEAR), nor
//! is one whose own doing it was (`range->owner`). *SecondaryTlb*: an entry that changed is revoked by the return of a
//! secondary-TLB hook over it that was entered after the change. *LongTermPin*: never.
//!
//! Of CPUs, which revoke nothing by themselves, STALE judges two things (`cpu.rs`): the use of a page that a call has taken
//! away and returned, and a store to one that counts as clean.
//!
//! STALE-HARM, for everybody: the frame is free, or was freed since the translation was made.
//!
//! A stale translation is a finding when it is used, not while it is merely there: [`Counts::latent`] counts those.
//!
//! Sources: Documentation/mm/mmu_notifier.rst, Documentation/mm/hmm.rst, include/linux/mmu_notifier.h (6.12).

mod access;
mod cpu;
mod pages;
mod report;

use crate::book::{Book, BracketState, Facts, Stamp, Told};
use crate::change::Change;
use crate::finding::Sink;
use crate::pud;
use crate::table::{Map, Table};
use crate::{Variant, Variants};
use mm_types::{MmId, PageRange, Pfn, Pte, Vpn};
use smallvec::SmallVec;
use trace::{BracketId, DevId, Event, EventKind, Hook, SubId};

/// What the table has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Changes of entries that revoked something and that a subscriber had been told of.
    pub(crate) pages_revoked: u64,
    /// Translations that became stale.
    pub(crate) translations_revoked: u64,
    /// Translations there now that are stale.
    pub(crate) latent: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Stale {
    pages: Table<(MmId, Vpn), Page>,
    /// What holds for the pages of a GiB that no row tells otherwise of, by its first page and as that has it.
    puds: Map<(MmId, Vpn), Page>,
    sptes: Vec<Spte>,
    frames: Map<Pfn, Frame>,
    causes: Vec<Cause>,
    /// By row of the subscription: secondary-TLB translations whose entry changed and whose hook is still to come.
    unflushed: Vec<Vec<u32>>,
    calls: cpu::Calls,
    counts: Counts,
}

/// A page that was ever mapped.
#[derive(Debug, Default)]
struct Page {
    pte: Option<Pte>,
    /// The last two frames it mapped, newest first.
    mapped: [Option<Mapped>; 2],
    /// By the last call that left no entry here.
    taken: Option<cpu::Taken>,
    last: Option<LastChange>,
    sptes: SmallVec<[u32; 2]>,
}

/// A frame that an entry mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mapped {
    pfn: Pfn,
    /// The frame's generation then.
    generation: u32,
    /// When the entry last came to allow what it had not allowed before: the ordinal of the event.
    at: u64,
}

/// The last change that revoked translations of a page and was announced.
#[derive(Clone, Copy, Debug)]
struct LastChange {
    change: Change,
    old: Pfn,
    at: Stamp,
    cause: u32,
}

/// One device's translation of one page; kept after it is cleared, so that a use of it is still recognised.
#[derive(Debug)]
struct Spte {
    dev: DevId,
    /// Row of the subscription.
    sub: u32,
    mm: MmId,
    vpn: Vpn,
    pfn: Pfn,
    /// The frame's generation when it was set.
    generation: u32,
    writable: bool,
    live: bool,
    set: Stamp,
    revoked: Option<Revoked>,
    suspect: Option<Suspect>,
    /// Secondary TLB: the change that its hook has not followed yet.
    unflushed: Option<(Change, Stamp)>,
}

#[derive(Clone, Copy, Debug)]
struct Revoked {
    change: Change,
    at: Stamp,
    cause: u32,
    /// It was set after the change.
    from_birth: bool,
}

/// An access between the return of a start and the change it announced.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    bracket: BracketId,
    at: Stamp,
    write: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// When it became free, while it is.
    free: Option<Stamp>,
    /// When it last became free.
    freed: Option<Stamp>,
    /// How often it was freed.
    generation: u32,
    /// When writeback began to take write access from all who map it, as the page of a file.
    cleaning: Option<Stamp>,
    /// The same, once it counts as clean; and when that was.
    cleaned: Option<(Stamp, Stamp)>,
}

/// Why translations were revoked; shared by all of one bracket or one call of a hook.
#[expect(clippy::large_enum_variant, reason = "nearly all are brackets, and a box each would allocate when warm")]
#[derive(Debug)]
enum Cause {
    Bracket { facts: Facts, told: SmallVec<[Told; 2]> },
    Hook { enter: Stamp, exit: Stamp, pages: PageRange },
}

impl Stale {
    pub(crate) const READS: Variants = Variants::of(&[
        Variant::PteSet,
        Variant::PudSet,
        Variant::CpuAccess,
        Variant::FrameAlloc,
        Variant::FrameFree,
        Variant::FolioClean,
        Variant::CallEnter,
        Variant::CallExit,
        Variant::CallbackExit,
        Variant::SpteSet,
        Variant::SpteClear,
        Variant::DeviceAccess,
    ])
    .and(crate::book::READS);

    pub(crate) const READS_HARM: Variants = Variants::of(&[
        Variant::PteSet,
        Variant::PudSet,
        Variant::CpuAccess,
        Variant::FrameAlloc,
        Variant::FrameFree,
        Variant::PagePin,
        Variant::SpteSet,
        Variant::DeviceAccess,
    ]);

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn reset(&mut self) {
        self.pages.clear();
        self.puds.clear();
        self.sptes.clear();
        self.frames.clear();
        self.causes.clear();
        self.unflushed.iter_mut().for_each(Vec::clear);
        self.calls.clear();
        self.counts = Counts::default();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        match e.kind {
            EventKind::PteSet { mm, vpn, old, new } => self.pte_set(book, e, (mm, vpn), old, new, sink),
            EventKind::PudSet { mm, base, old, new } => self.pud_set(book, e, (mm, base), old, new, sink),
            EventKind::FrameAlloc { pfn } => {
                let frame = self.frames.entry(pfn).or_default();
                (frame.free, frame.cleaned) = (None, None);
            }
            EventKind::PagePin { pfn } => self.pin_harm(book, e, pfn, sink),
            EventKind::FolioClean { pfn, done } => self.clean(book, e, pfn, done),
            EventKind::CallEnter { call, .. } => self.call_enter(book, e, call),
            EventKind::CallExit { error } => self.call_exit(book, e, error.is_none()),
            EventKind::FrameFree { pfn } => {
                let now = book.stamp(e);
                let frame = self.frames.entry(pfn).or_default();
                (frame.free, frame.freed) = (Some(now), Some(now));
                frame.generation += 1;
            }
            EventKind::SpteSet { dev, sub, mm, vpn, pfn, writable } => {
                if let Some(sub) = book.subs.find(sub) {
                    self.spte_set(book, e, (dev, sub), (mm, vpn), pfn, writable);
                }
            }
            EventKind::SpteClear { dev, sub, mm, vpn } => {
                if let Some(i) = self.find(book, dev, sub, mm, vpn) {
                    self.counts.latent -= u64::from(self.sptes[i as usize].is_latent());
                    self.sptes[i as usize].live = false;
                }
            }
            EventKind::CallbackExit { sub, hook: Hook::SecondaryTlb, .. } => self.secondary_hook(book, e, sub),
            EventKind::DeviceAccess { .. } => self.device_access(book, e, sink),
            EventKind::CpuAccess { mm, vpn, pfn, write, .. } => self.cpu_access(book, e, (mm, vpn), pfn, write, sink),
            _ => {}
        }
    }

    fn find(&self, book: &Book, dev: DevId, sub: SubId, mm: MmId, vpn: Vpn) -> Option<u32> {
        let sub = book.subs.find(sub)?;
        self.find_row(dev, sub, mm, vpn)
    }

    fn find_row(&self, dev: DevId, sub: u32, mm: MmId, vpn: Vpn) -> Option<u32> {
        let page = self.pages.get((mm, vpn))?;
        page.sptes.iter().copied().find(|&i| {
            let spte = &self.sptes[i as usize];
            spte.dev == dev && spte.sub == sub
        })
    }

    /// The row of a page, made when there is none: of one below an entry of a PUD table as that has it.
    fn page(&mut self, key: (MmId, Vpn)) -> &mut Page {
        let puds = &self.puds;
        self.pages.entry(key, || born(puds, key)).1
    }

    fn generation(&self, pfn: Pfn) -> u32 {
        self.frames.get(&pfn).map_or(0, |f| f.generation)
    }

    /// The row of a bracket's cause, made when there is none.
    fn cause_of(&mut self, b: &crate::book::Bracket) -> u32 {
        debug_assert_eq!(b.state, BracketState::Started);
        // The pages of one bracket change in a row.
        if let Some(Cause::Bracket { facts, .. }) = self.causes.last()
            && facts.id == b.id
        {
            return self.causes.len() as u32 - 1;
        }
        self.causes.push(Cause::Bracket { facts: b.facts().clone(), told: b.told.clone() });
        self.causes.len() as u32 - 1
    }
}

fn rw(write: bool) -> &'static str {
    if write { "writes" } else { "reads" }
}

fn born(puds: &Map<(MmId, Vpn), Page>, (mm, vpn): (MmId, Vpn)) -> Page {
    let base = pud::base(vpn);
    let Some(gib) = puds.get(&(mm, base)) else { return Page::default() };
    let index = vpn - base;
    let there = |pfn: Pfn| Pfn(pfn.0 + index);
    Page {
        pte: gib.pte.map(|pte| pud::subpage(pte, index)),
        mapped: gib.mapped.map(|mapped| mapped.map(|m| Mapped { pfn: there(m.pfn), ..m })),
        taken: None,
        last: gib.last.map(|last| LastChange { old: there(last.old), ..last }),
        sptes: SmallVec::new(),
    }
}

impl Spte {
    /// Stale, and there to be used.
    fn is_latent(&self) -> bool {
        self.live && self.revoked.is_some_and(|r| !r.change.writes_only() || self.writable)
    }
}
