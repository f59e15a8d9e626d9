//! Page allocation: watermarks, and direct reclaim in the caller's stack.
//!
//! Frames come from per-task magazines. The zone, which all tasks share, is touched only when the number of free frames
//! comes near the watermarks; so allocations of different tasks commute otherwise.
//!
//! Sources: `get_page_from_freelist()`, `__alloc_pages_slowpath()`, `__perform_reclaim()`, mm/page_alloc.c, 6.12.

use crate::machine::Machine;
use crate::obj::{MachineObj, machine_obj};
use crate::unmap_batch::UnmapBatch;
use ksync::{AllocHook, ChoiceKind, FsReclaim, Kernel, PageOptions, Place};
use mm_types::{Errno, Gfp, Pfn, Pte};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use trace::EventKind;

/// Pages one round of reclaim tries to free. Source: `SWAP_CLUSTER_MAX`, include/linux/swap.h, 6.12.
pub(crate) const SWAP_CLUSTER_MAX: u64 = 32;
/// Rounds without progress before an allocation fails, or calls the OOM killer. Source: `MAX_RECLAIM_RETRIES`, mm/internal.h, 6.12.
const MAX_RECLAIM_RETRIES: u32 = 16;

/// Numbers of free frames at which allocations change their ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watermarks {
    /// Below it only reserves are left: for reclaim itself, and partly for atomic allocations.
    pub(crate) min: i64,
    /// Below it an allocation that may reclaim does.
    pub(crate) low: i64,
    /// Background reclaim stops above it.
    pub(crate) high: i64,
    /// Below it the zone's lock is taken: what tasks do to the count is then ordered.
    pub(crate) near: i64,
}

impl Watermarks {
    /// As `__setup_per_zone_wmarks()` does: min is 4 * sqrt(size in KiB), low a quarter above. A machine smaller than
    /// the kernel would run on keeps at most an eighth.
    pub(crate) fn of(nr_frames: u64) -> Watermarks {
        let min = ((nr_frames * 4 * 16).isqrt() / 4).min(nr_frames / 8).cast_signed();
        let low = min + min / 4;
        Watermarks { min, low, high: low + min / 4, near: low + min }
    }
}

impl Machine {
    /// A page for user memory or the page cache: one reference, contents 0. May sleep and reclaim as `gfp` allows.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[track_caller]
    pub(crate) fn alloc_page(&self, k: &Kernel, gfp: Gfp) -> Result<Pfn, Errno> {
        let gfp = k.gfp_context(gfp);
        k.might_alloc(gfp);
        let room = if k.alloc_fails(gfp) { Err(Errno::ENOMEM) } else { self.make_room(k, gfp) };
        let page = room.map(|()| self.take_frame(k));
        k.emit(EventKind::Alloc { gfp, nr_pages: 1, ok: page.is_ok() });
        page
    }

    /// Returns when the zone has a page to give, after reclaim if need be, or if the schedule says so.
    fn make_room(&self, k: &Kernel, gfp: Gfp) -> Result<(), Errno> {
        let may_reclaim = gfp.may_block() && !k.in_memalloc();
        if may_reclaim && self.config.reclaim_by_choice && k.choose(ChoiceKind::EntersReclaim, 2) == 1 {
            self.direct_reclaim(k, gfp, Target::Choice);
        }
        let mut fruitless = 0;
        let mut mark = self.watermark_for(k, gfp);
        if mark == self.watermarks.low && !self.watermark_ok(k, mark) && self.wake_kswapd() {
            // While it reclaims, the reserve above min may be used.
            mark = self.watermarks.min;
        }
        while !self.watermark_ok(k, mark) {
            if !may_reclaim {
                return Err(Errno::ENOMEM);
            }
            if self.direct_reclaim(k, gfp, Target::Pressure) > 0 {
                fruitless = 0;
                continue;
            }
            fruitless += 1;
            // With nothing freed the reserve above min may be used before giving up.
            if self.watermark_ok(k, self.watermarks.min) {
                return Ok(());
            }
            if gfp.contains(Gfp::NORETRY) {
                return Err(Errno::ENOMEM);
            }
            if fruitless >= MAX_RECLAIM_RETRIES {
                if !self.may_oom(k, gfp) {
                    return Err(Errno::ENOMEM);
                }
                fruitless = 0;
            }
        }
        Ok(())
    }

    fn watermark_for(&self, k: &Kernel, gfp: Gfp) -> i64 {
        if k.in_memalloc() {
            0
        } else if gfp.contains(Gfp::HIGH) {
            self.watermarks.min / 2
        } else if gfp.may_block() {
            self.watermarks.low
        } else {
            self.watermarks.min
        }
    }

    /// `zone_watermark_ok()` for one page. Takes the zone's lock only near the watermarks.
    pub(crate) fn watermark_ok(&self, k: &Kernel, mark: i64) -> bool {
        if self.nr_free.load(Ordering::Relaxed) > self.watermarks.near {
            return true;
        }
        let locks = self.locks();
        let _zone = (!k.quiet()).then(|| locks.zone.lock());
        self.nr_free.load(Ordering::Relaxed) > mark
    }

    /// Direct reclaim of a cluster of pages. Gives how many were freed.
    #[track_caller]
    pub(crate) fn direct_reclaim_cluster(&self, k: &Kernel, gfp: Gfp) -> u64 {
        self.direct_reclaim(k, gfp, Target::Pressure)
    }

    /// `__perform_reclaim()`: reclaim in the caller's stack, with whatever the caller holds.
    #[track_caller]
    fn direct_reclaim(&self, k: &Kernel, gfp: Gfp, target: Target) -> u64 {
        let _map = FsReclaim::acquire(gfp);
        k.with_memalloc(|| {
            k.emit(EventKind::ReclaimStart { direct: true });
            let freed = match target {
                Target::Choice => {
                    let freed = self.with_unmap_batch(k, |batch| self.reclaim_chosen(k, gfp, batch));
                    self.shrink_slab(k, gfp, 0);
                    freed
                }
                Target::Pressure => self.shrink_node(k, gfp, SWAP_CLUSTER_MAX),
            };
            k.emit(EventKind::ReclaimEnd { freed });
            freed
        })
    }

    /// One page of the reclaimable ones, or one huge page, chosen by the schedule. How many frames were freed.
    pub(crate) fn reclaim_chosen(&self, k: &Kernel, gfp: Gfp, batch: &mut UnmapBatch<'_>) -> u64 {
        k.visible_write(machine_obj(MachineObj::Lru));
        let candidates = self.reclaimable();
        let Ok(options @ 1..) = u32::try_from(candidates.len()) else { return 0 };
        let pages = Candidates { machine: self, pfns: &candidates };
        let victim = if options == 1 { 0 } else { k.choose_page(ChoiceKind::Victim, options, &pages) };
        self.reclaim_folio(k, candidates[victim as usize], gfp, batch)
    }
}

/// The pages that reclaim may take, by frame.
struct Candidates<'a> {
    machine: &'a Machine,
    pfns: &'a [Pfn],
}

impl PageOptions for Candidates<'_> {
    fn option_at(&self, (mm, vpn): Place) -> Option<u32> {
        let mm = self.machine.living_mms().into_iter().rfind(|living| living.name() == mm)?;
        let head = self.head(mm.pte(vpn))?;
        self.pfns.binary_search(&head).ok().map(|at| at as u32)
    }

    fn place_of(&self, option: u32) -> Option<Place> {
        let head = self.pfns.get(option as usize).copied();
        self.machine.living_mms().into_iter().find_map(|mm| {
            let mut pages = mm.vmas().into_iter().flat_map(|vma| vma.range().iter());
            pages.find(|vpn| self.head(mm.pte(*vpn)) == head).map(|vpn| (mm.name(), vpn))
        })
    }
}

impl Candidates<'_> {
    /// The first frame of the folio that an entry maps.
    fn head(&self, pte: Pte) -> Option<Pfn> {
        pte.mapped_pfn().map(|pfn| self.machine.frames.lock().head(pfn))
    }
}

#[derive(Clone, Copy)]
enum Target {
    /// One page, and the shrinkers: the schedule wanted reclaim.
    Choice,
    /// A cluster: memory is short.
    Pressure,
}

/// Serves `kmalloc` of drivers. Kernel objects have no frames of their own here: the watermarks and reclaim are what
/// their allocation means to the rest of the system.
pub(crate) struct MachineAlloc(pub(crate) Arc<Machine>);

impl AllocHook for MachineAlloc {
    fn alloc(&self, k: &Kernel, gfp: Gfp, _nr_pages: u32) -> Result<(), Errno> {
        self.0.make_room(k, gfp)
    }
}
