//! A huge page is allocated: what is tried before a fault makes do with small pages.
//!
//! | step | gives up when |
//! |---|---|
//! | a block that is free | memory is short |
//! | a fault, of its own node first: asynchronous direct compaction | |
//! | asynchronous direct compaction | it is put off, or there is no fragmentation but a lack of memory |
//! | direct reclaim, unless compaction has what it needs | nothing could be reclaimed |
//! | synchronous direct compaction | as above |
//!
//! Nobody else is asked: `kswapd` is not woken, the OOM killer not called (`GFP_TRANSHUGE_LIGHT | __GFP_DIRECT_RECLAIM`, costly).
//! Compaction that could not free a block is put off for twice as many attempts each time, up to 64 (`defer_compaction()`).
//!
//! Sources: `vma_thp_gfp_mask()`, mm/huge_memory.c; `alloc_pages_mpol_noprof()`, mm/mempolicy.c; `__alloc_pages_slowpath()`,
//! `__alloc_pages_direct_compact()`, mm/page_alloc.c; `try_to_compact_pages()`, `compaction_suitable()`, mm/compaction.c;
//! `compaction_ready()`, mm/vmscan.c; 6.12, with `defrag` at `madvise`.

use crate::compact_zone::{CompactResult, MigrateMode, Until};
use crate::frames::BLOCK_FRAMES;
use crate::machine::Machine;
use ksync::Kernel;
use mm_types::{Gfp, Pfn};
use std::sync::atomic::Ordering;

/// Above it a lack of blocks is fragmentation. Source: `sysctl_extfrag_threshold`, mm/compaction.c, 6.12.
const EXTFRAG_THRESHOLD: i64 = 500;
/// Source: `COMPACT_MAX_DEFER_SHIFT`, include/linux/mmzone.h, 6.12.
const MAX_DEFER_SHIFT: u32 = 6;
/// Frames that are to be free beyond the watermark while a block is made. Source: `compact_gap()`, include/linux/compaction.h, 6.12.
const COMPACT_GAP: i64 = 2 * BLOCK_FRAMES as i64;

/// For whom a huge page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HugeFor {
    /// A page fault: its own node is tried first, where nothing is reclaimed.
    Fault,
    /// A collapse, or hugetlb.
    Other,
}

/// How long compaction is put off: so many attempts of `1 << shift` were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Deferred {
    considered: u32,
    shift: u32,
}

impl Deferred {
    /// `compaction_deferred()`.
    fn put_off(&mut self) -> bool {
        let limit = 1 << self.shift;
        self.considered = (self.considered + 1).min(limit);
        self.considered < limit
    }

    /// `defer_compaction()`.
    fn failed(&mut self) {
        *self = Deferred { considered: 0, shift: (self.shift + 1).min(MAX_DEFER_SHIFT) };
    }
}

impl Machine {
    /// A huge page with one reference, contents 0, if there is one or one can be made.
    #[track_caller]
    pub(crate) fn alloc_huge_page(&self, k: &Kernel, whom: HugeFor) -> Option<Pfn> {
        let gfp = k.gfp_context(Gfp::USER);
        k.might_alloc(gfp);
        if let Some(page) = self.take_free_block(k) {
            return Some(page);
        }
        if !gfp.may_block() || !gfp.contains(Gfp::IO) || k.in_memalloc() {
            return None;
        }
        let own_node = (whom == HugeFor::Fault).then(|| self.direct_compact(k, gfp, MigrateMode::Async)).flatten();
        let page = own_node.or_else(|| self.direct_compact(k, gfp, MigrateMode::Async));
        page.or_else(|| {
            self.reclaim_for_compaction(k, gfp);
            self.take_free_block(k)
        })
        .or_else(|| self.direct_compact(k, gfp, MigrateMode::Sync))
    }

    /// `__alloc_pages_direct_compact()`.
    fn direct_compact(&self, k: &Kernel, gfp: Gfp, mode: MigrateMode) -> Option<Pfn> {
        self.look_at_blocks(k);
        if self.compaction_deferred.lock().put_off() || !self.compaction_suitable() {
            return None;
        }
        let (result, _) = k.with_memalloc(|| self.compact_zone(k, gfp, mode, Until::BlockFree));
        if result == CompactResult::Complete && mode == MigrateMode::Sync {
            self.look_at_blocks(k);
            self.compaction_deferred.lock().failed();
        }
        let page = self.take_free_block(k);
        if page.is_some() {
            *self.compaction_deferred.lock() = Deferred::default();
        }
        page
    }

    /// `compaction_suitable()`, and not if a block is free. The caller has looked at blocks.
    fn compaction_suitable(&self) -> bool {
        let free = self.nr_free.load(Ordering::Relaxed);
        free > self.watermarks.low + COMPACT_GAP && self.fragmentation_index() > EXTFRAG_THRESHOLD
    }

    /// `shrink_zones()` for a huge page: reclaims unless there are frames enough for compaction (`compaction_ready()`).
    fn reclaim_for_compaction(&self, k: &Kernel, gfp: Gfp) {
        self.look_at_blocks(k);
        let free = self.nr_free.load(Ordering::Relaxed);
        let can_proceed = self.compaction_suitable() && free > self.watermarks.high + COMPACT_GAP;
        if !can_proceed && !self.has_free_block() {
            self.direct_reclaim_cluster(k, gfp);
        }
    }
}
