//! Compaction: the pages of a range move to other frames.
//!
//! The kernel moves whatever lies in the way of a large free block; here the caller says which pages those are. There are
//! no blocks: frames have no place.
//!
//! Sources: `compact_zone()`, mm/compaction.c; `migrate_pages_batch()`, mm/migrate.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use ksync::{Kernel, current};
use mm_types::{Errno, PageRange, Pfn};

/// How often a page is tried. Source: `NR_MAX_MIGRATE_ASYNC_RETRY`, mm/migrate.c, 6.12.
const MAX_TRIES: u32 = 3;

/// What became of the pages of [`Mm::compact`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compacted {
    /// In another frame now.
    pub moved: u64,
    /// Where they were: pinned, held or locked by somebody (`EBUSY`).
    pub busy: u64,
    /// Where they were, for want of a free frame.
    pub no_memory: u64,
}

impl Mm {
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
