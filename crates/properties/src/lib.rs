//! The oracles: rules over events, findings as values.
//!
//! [`Oracles`] is an observer that is handed every event of a run and says, as [`Finding`]s, which rules were broken.
//! It knows events only: an oracle must not share the bug it looks for, so nothing here links the memory manager, and
//! what an oracle relates must be in the events.
//!
//! | oracle | codes | file |
//! |---|---|---|
//! | ORD-CLEAR | entries revoked without notice | `ord/clear.rs` |
//! | ORD-PAIR | starts without ends | `ord/pair.rs` |
//! | ORD-CALLBACK | callbacks out of place | `ord/callback.rs` |
//! | STALE, STALE-HARM | translations used too late | `stale/` |
//! | SEQ | the collision-retry protocol | `seq.rs` |
//! | COH | contents other than those last written | `coh.rs` |
//! | CTX | sleeping where forbidden | `ctx.rs` |
//! | PROG, PANIC | how the run ended | `prog.rs` |
//!
//! The rules with their sources, and the mutant that proves that each oracle can fail, are in `docs/properties.md`.
//!
//! Neighbours: `trace` has the vocabulary. LD-* findings are made from the lock validator's reports by whoever runs it,
//! as the same [`Finding`] type.

mod book;
mod change;
mod code;
mod coh;
mod ctx;
mod finding;
mod ord;
mod prog;
mod pud;
mod seq;
mod stale;
mod stats;
mod table;
#[cfg(test)]
mod test_utils;
#[cfg(test)]
mod tests;
mod variant;

pub use code::Code;
pub use finding::Finding;
pub use stats::Stats;
pub use variant::{Variant, Variants};

use book::Book;
use coh::Coh;
use ctx::Ctx;
use finding::Sink;
use ord::{OrdCallback, OrdClear, OrdPair};
use prog::Prog;
use seq::Seq;
use stale::Stale;
use trace::{Event, Observer, RunEnd};

/// What an oracle reads: its verdict depends on the order of these events, so an exploration that leaves out orders of
/// them may leave out findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Declaration {
    /// The oracle.
    pub oracle: &'static str,
    /// The codes it may give.
    pub codes: &'static [Code],
    /// The events it relates. It is handed no others; names and calls in its text come from further events.
    pub reads: Variants,
}

const DECLARATIONS: [Declaration; 9] = [
    Declaration { oracle: "ORD-CLEAR", codes: &[Code::OrdClear], reads: OrdClear::READS },
    Declaration { oracle: "ORD-PAIR", codes: &[Code::OrdPair], reads: OrdPair::READS },
    Declaration { oracle: "ORD-CALLBACK", codes: &[Code::OrdCallback], reads: OrdCallback::READS },
    Declaration { oracle: "STALE", codes: &[Code::Stale], reads: Stale::READS },
    Declaration { oracle: "STALE-HARM", codes: &[Code::StaleHarm], reads: Stale::READS_HARM },
    Declaration { oracle: "SEQ", codes: &[Code::Seq], reads: Seq::READS },
    Declaration { oracle: "COH", codes: &[Code::Coh], reads: Coh::READS },
    Declaration { oracle: "CTX", codes: &[Code::Ctx], reads: Ctx::READS },
    Declaration { oracle: "PROG", codes: &[Code::ProgDeadlock, Code::ProgLivelock, Code::Panic], reads: Prog::READS },
];

/// All oracles over one run at a time.
///
/// Findings come in the order in which they became certain; of findings with one key, and of the many that one call
/// makes by breaking one rule on many pages, the first is kept ([`Stats::suppressed`] counts the rest). Nothing here
/// panics on any sequence of events. Events that contradict each other (a bracket announced twice) are ignored.
#[derive(Debug, Default)]
pub struct Oracles {
    book: Book,
    clear: OrdClear,
    pair: OrdPair,
    callback: OrdCallback,
    stale: Stale,
    seq: Seq,
    coh: Coh,
    ctx: Ctx,
    prog: Prog,
    sink: Sink,
    stats: Stats,
}

impl Oracles {
    /// Every oracle, before a run.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Forgets the run and keeps the allocations.
    pub fn reset(&mut self) {
        self.book.reset();
        self.clear.reset();
        self.pair.reset();
        self.callback.reset();
        self.stale.reset();
        self.seq.reset();
        self.coh.reset();
        self.ctx.reset();
        self.sink.reset();
        self.stats = Stats::default();
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.sink.findings()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What each oracle reads.
    #[must_use]
    pub fn declares(&self) -> &'static [Declaration] {
        &DECLARATIONS
    }
}

impl Observer for Oracles {
    fn event(&mut self, e: &Event) {
        let variant = Variant::of(&e.kind);
        let (book, sink) = (&mut self.book, &mut self.sink);
        book.before(e);
        self.stats.count(book, e);
        if OrdClear::READS.contains(variant) {
            self.clear.event(book, e, sink);
        }
        if OrdPair::READS.contains(variant) {
            self.pair.event(book, e, sink);
        }
        if OrdCallback::READS.contains(variant) {
            self.callback.event(book, e, sink);
        }
        if const { Stale::READS.and(Stale::READS_HARM) }.contains(variant) {
            self.stale.event(book, e, sink);
            self.stats.copy(self.stale.counts());
        }
        if Seq::READS.contains(variant) {
            self.seq.event(book, e, sink);
        }
        if Coh::READS.contains(variant) {
            self.coh.event(book, e, sink);
        }
        if Ctx::READS.contains(variant) {
            self.ctx.event(book, e, sink);
        }
        if variant == Variant::OutOfMemory {
            self.prog.event(book, e, sink);
        }
        book.after(e);
        self.stats.suppressed = sink.suppressed();
    }

    fn end(&mut self, end: &RunEnd) {
        if *end == RunEnd::Finished {
            self.book.finish();
            self.pair.finish(&self.book, &mut self.sink);
        }
        self.prog.end(&self.book, end, &mut self.sink);
        self.stats.suppressed = self.sink.suppressed();
    }
}
