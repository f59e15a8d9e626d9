//! What asks for compaction: a caller who says which pages are to move, or that the zone is to be compacted.
//!
//! | request | which pages move, and where to |
//! |---|---|
//! | [`Mm::compact`] | those of a range, to any free frame |
//! | [`Machine::compact_memory`], [`Mm::compact_until_moved`] | those that the scanners find ([`crate::compact_zone`]); of the second until a page has moved |
//! | a huge page is wanted ([`crate::alloc_huge`]) | the same, until a block is free |
//!
//! Sources: `sysctl_compaction_handler()`, `compact_node()`, mm/compaction.c; `migrate_pages_batch()`, mm/migrate.c, 6.12.

use crate::compact_zone::{CompactResult, MigrateMode, Moves, Until};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use ksync::{Kernel, current};
use mm_types::{Errno, Gfp, PageRange, Pfn, Vpn};

/// How often a page is tried. Source: `NR_MAX_MIGRATE_ASYNC_RETRY`, mm/migrate.c, 6.12.
const MAX_TRIES: u32 = 3;

/// What became of the pages that were to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compacted {
    /// In another frame now.
    pub moved: u64,
    /// Where they were: pinned, held or locked by somebody (`EBUSY`).
    pub busy: u64,
    /// Where they were, for want of a free frame.
    pub no_memory: u64,
}

impl From<Moves> for Compacted {
    fn from(Moves { moved, busy }: Moves) -> Compacted {
        Compacted { moved, busy, no_memory: 0 }
    }
}

impl Machine {
    /// A write of 1 to `/proc/sys/vm/compact_memory`: the scanners go through all of memory, waiting for folio locks. Any task may
    /// call it, without `mmap_lock`; it sleeps in notifiers and does not reclaim.
    pub fn compact_memory(&self) -> Compacted {
        current(|k| self.compact_zone(k, Gfp::KERNEL, MigrateMode::Sync, Until::ScannersMeet).1.into())
    }
}

impl Mm {
    /// [`Machine::compact_memory`], which ends when the page that is at `vpn` now has moved. Says whether it has; `None` if there
    /// is none.
    pub fn compact_until_moved(&self, vpn: Vpn) -> Option<(bool, Compacted)> {
        current(|k| {
            let pfn = self.mapped_frames(k, PageRange::page(vpn)).first().copied()?;
            let until = Until::Moved(pfn);
            let (result, moves) = self.machine.compact_zone(k, Gfp::KERNEL, MigrateMode::Sync, until);
            Some((result == CompactResult::Success, moves.into()))
        })
    }

    /// Moves the pages that `pages` maps to other frames, in order, wherever else they are mapped too. Any task may call it,
    /// without `mmap_lock`; it sleeps in notifiers and does not reclaim.
    pub fn compact(&self, pages: PageRange) -> Compacted {
        current(|k| {
            let mut done = Compacted::default();
            let _: Result<(), Errno> = self.call(k, NAMES.compact, Some(pages), || {
                for pfn in self.mapped_frames(k, pages) {
                    match self.migrate_retrying(k, pfn) {
                        Ok(_) => done.moved += 1,
                        Err(Errno::ENOMEM) => done.no_memory += 1,
                        Err(_) => done.busy += 1,
                    }
                }
                Ok(())
            });
            done
        })
    }

    fn migrate_retrying(&self, k: &Kernel, pfn: Pfn) -> Result<Pfn, Errno> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.machine.migrate_folio(k, pfn, None) {
                Err(Errno::EAGAIN) if tries < MAX_TRIES => {}
                done => return done,
            }
        }
    }
}
