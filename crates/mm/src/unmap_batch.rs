//! Reclaim's flushes, put off for many pages (`struct tlbflush_unmap_batch`), and the pages that go after them.
//!
//! ```text
//!   reclaim                           cpu 1                       another task
//!   P: bracket, entry cleared                                     
//!      bracket ends                   uses P's old translation
//!   Q: the same                                                   munmap of P: finds the entry gone, and the
//!   flush                             has nothing any more        flush still to come: flushes itself
//!   frames of P and Q are free
//! ```
//!
//! What holds meanwhile: a page is not free before the flush. It is not written to swap, nor taken from its file when it is
//! dirty, before the flush if an entry of the batch was dirty: whoever has a dirty translation may still write
//! (`try_to_unmap_flush_dirty()`). Whoever changes or clears entries of a table in which reclaim has cleared some flushes first
//! ([`Mm::flush_tlb_batched_pending`]).
//!
//! A flush is put off where the process ran on another CPU too. That some are outstanding is kept for each leaf table, under its
//! lock; the kernel keeps it for the address space, in counts that fork copies. So whoever comes upon it later flushes once for
//! each such table, the kernel once.
//!
//! Sources: `set_tlb_ubc_flush_pending()`, `try_to_unmap_flush()`, `flush_tlb_batched_pending()`, mm/rmap.c;
//! `shrink_folio_list()`, mm/vmscan.c; `arch_tlbbatch_should_defer()`, `arch_tlbbatch_add_pending()`,
//! arch/x86/include/asm/tlbflush.h; 6.12.

use crate::behaviour::Behaviour;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::obj::{MachineObj, machine_obj};
use crate::page_table::PteGuard;
use crate::quirks::Quirks;
use ksync::Kernel;
use mm_types::{MmId, PageRange, Pfn, Pte, Vpn};
use smallvec::SmallVec;
use trace::EventKind;

/// Pages that wait for one flush before they are freed. Source: `PAGEVEC_SIZE`, include/linux/pagevec.h, 6.12.
const FOLIO_BATCH_SIZE: usize = 31;

/// What one call of reclaim has unmapped so far.
pub(crate) struct UnmapBatch<'m> {
    machine: &'m Machine,
    /// Address spaces with entries that were cleared and not flushed.
    mms: SmallVec<[MmId; 2]>,
    /// One of them was dirty.
    writable: bool,
    /// First frames of pages with no reference left, to be freed after the flush.
    folios: SmallVec<[Pfn; FOLIO_BATCH_SIZE]>,
}

impl Machine {
    /// Runs `f`, and then flushes what it has put off and frees what it gave to [`UnmapBatch::free`].
    pub(crate) fn with_unmap_batch<R>(&self, k: &Kernel, f: impl FnOnce(&mut UnmapBatch<'_>) -> R) -> R {
        let mut batch = UnmapBatch { machine: self, mms: SmallVec::new(), writable: false, folios: SmallVec::new() };
        let done = f(&mut batch);
        batch.flush_and_free(k);
        done
    }
}

impl UnmapBatch<'_> {
    /// `set_tlb_ubc_flush_pending()`: the entry of `vpn`, cleared under the lock `ptes`, was `old`. Secondary TLBs are told at once,
    /// of everything.
    pub(crate) fn put_off_flush(
        &mut self,
        k: &Kernel,
        mm: &Mm,
        ptes: &PteGuard<'_>,
        (vpn, old): (Vpn, Pte),
        anon: bool,
    ) {
        if !self.mms.contains(&mm.id) {
            self.mms.push(mm.id);
        }
        self.writable |= old.is_dirty();
        ptes.put_off_flush();
        k.emit(EventKind::TlbFlushDeferred { mm: mm.id, vpn });
        if !mm.is(Behaviour::SECONDARY_AT_RANGE_END) {
            mm.subs.arch_invalidate_secondary_tlbs(PageRange::ALL);
        } else if anon {
            mm.subs.arch_invalidate_secondary_tlbs(PageRange::page(vpn));
        }
    }

    /// `try_to_unmap_flush()`.
    fn flush(&mut self, k: &Kernel) {
        self.writable = false;
        for id in self.mms.drain(..) {
            // An exit has flushed.
            if let Some(mm) = self.machine.mm(id) {
                mm.flush_tlb_only(k, PageRange::ALL);
            }
        }
    }

    /// `try_to_unmap_flush_dirty()`: nobody writes to pages of this batch any more. Before one of them is written out.
    pub(crate) fn flush_dirty(&mut self, k: &Kernel) {
        if self.writable && !self.machine.config.quirks.contains(Quirks::FLUSH_BEFORE_WRITEPAGE) {
            self.flush(k);
        }
    }

    /// Before a page leaves its file or the swap cache, with the behaviour `flush-before-remove-mapping`: who finds it gone makes
    /// another one, which may be written while a CPU still reads this one.
    pub(crate) fn before_remove_mapping(&mut self, k: &Kernel) {
        if self.machine.config.behaviour.contains(Behaviour::FLUSHES_BEFORE_REMOVE_MAPPING) {
            self.flush(k);
        }
    }

    /// Frees a page that nobody references, or a huge page by its first frame, with others and after a flush.
    pub(crate) fn free(&mut self, k: &Kernel, pfn: Pfn) {
        if self.machine.config.quirks.contains(Quirks::FLUSH_BEFORE_FREEING_LARGE_FOLIOS) && self.machine.is_huge(pfn) {
            k.visible_read(machine_obj(MachineObj::Blocks));
            self.machine.free_frame(k, pfn);
            return;
        }
        self.folios.push(pfn);
        if self.folios.len() >= FOLIO_BATCH_SIZE {
            self.flush_and_free(k);
        }
    }

    fn flush_and_free(&mut self, k: &Kernel) {
        self.flush(k);
        if !self.folios.is_empty() {
            // Compaction looks for blocks that are free.
            k.visible_read(machine_obj(MachineObj::Blocks));
        }
        self.folios.drain(..).for_each(|pfn| self.machine.free_frame(k, pfn));
    }
}

impl Mm {
    /// `flush_tlb_batched_pending()`: by whoever is about to change entries of a table and has its lock. Entries that reclaim
    /// has cleared look as if nobody could have them.
    pub(crate) fn flush_tlb_batched_pending(&self, k: &Kernel, ptes: &PteGuard<'_>) {
        if ptes.has_flush_put_off() && !self.machine.config.quirks.contains(Quirks::FLUSH_BATCHED_PENDING) {
            self.flush_tlb_range(k, PageRange::ALL);
            ptes.flush_was_done();
        }
    }
}
