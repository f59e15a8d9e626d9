//! Compaction of the zone: two scanners that move towards each other.
//!
//! ```text
//!   page blocks   | x..x.x | .xx..x |  ....  | xx.x.. | x..... |
//!                   migrate scanner -->      <-- free scanner
//! ```
//!
//! The migrate scanner isolates the pages of a block that can move, 32 at a time ([`COMPACT_CLUSTER_MAX`]), the free scanner
//! free frames for them in blocks that are neither free as a whole nor lower. They are moved one by one, as `migrate.rs` says.
//! Compaction ends when the scanners meet; for an allocation, when a block is free; for a page, when that has moved.
//!
//! | step | scheduling point | held |
//! |---|---|---|
//! | a cluster is looked for | the blocks, the lists of reclaim | |
//! | each page of it gets a reference and leaves its list | the frame | |
//! | free frames are isolated | the blocks | `zone->lock` |
//! | a page moves | those of migration | folio lock: waited for by [`MigrateMode::Sync`] outside of allocations only |
//! | it comes to a list again, or is freed | the frame, the lists | |
//!
//! Passed over: what is in no reverse map or list, pinned or held, merged by KSM, a huge page. Pages of locked mappings move
//! (`sysctl_compact_unevictable_allowed`). Not modelled: positions kept between calls, skip hints, migrate types.
//!
//! Sources: `compact_zone()`, `isolate_migratepages_block()`, `isolate_freepages()`, `__compact_finished()`, mm/compaction.c;
//! `migrate_pages_batch()`, `migrate_folio_unmap()`, mm/migrate.c, 6.12.

use crate::blocks::PageBlock;
use crate::frames::{BLOCK_FRAMES, FrameFlags};
use crate::machine::Machine;
use crate::migrate::Node;
use crate::names::NAMES;
use crate::obj::{MachineObj, frame_obj, machine_obj};
use ksync::{Kernel, Op};
use mm_types::{Gfp, Pfn};
use std::collections::VecDeque;
use trace::EventKind;

/// Pages that are isolated at once. Source: `COMPACT_CLUSTER_MAX`, mm/internal.h, 6.12.
pub(crate) const COMPACT_CLUSTER_MAX: usize = 32;
/// How often a page is tried without waiting, and then, if waiting is allowed, with. Source: `NR_MAX_MIGRATE_ASYNC_RETRY`,
/// `NR_MAX_MIGRATE_SYNC_RETRY`, mm/migrate.c, 6.12.
const ASYNC_TRIES: u32 = 3;
const SYNC_TRIES: u32 = 7;

/// How hard compaction tries (`enum migrate_mode`). Nothing here waits for a disk: `MIGRATE_SYNC_LIGHT` and `MIGRATE_SYNC` are one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MigrateMode {
    /// It gives up what it would have to wait for, and a block that one page cannot leave.
    Async,
    /// It waits for a folio lock, unless for an allocation.
    Sync,
}

/// When compaction is done before its scanners meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// Never: `cc->order` is -1.
    ScannersMeet,
    /// A block is free: `cc->order` is that of a huge page.
    BlockFree,
    /// The page in this frame is in another one.
    Moved(Pfn),
}

/// How it ended (`enum compact_result`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CompactResult {
    /// The scanners met.
    Complete,
    /// What was asked for is so.
    Success,
    /// There was no free frame to move to before they met.
    Contended,
}

/// What [`Machine::compact_zone`] did, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Moves {
    pub(crate) moved: u64,
    /// Isolated, but somebody had a lock or a reference.
    pub(crate) busy: u64,
}

/// `struct compact_control`.
struct Control<'a> {
    machine: &'a Machine,
    k: &'a Kernel,
    gfp: Gfp,
    mode: MigrateMode,
    until: Until,
    /// Where the migrate scanner is, and the frame of that block which it looks at next.
    migrate: Option<PageBlock>,
    at: usize,
    /// Where the free scanner is; `None` before it began.
    free: Option<PageBlock>,
    /// Frames that the free scanner isolated: whether an event has told of each.
    spare: VecDeque<(Pfn, bool)>,
    done: Moves,
    reached: bool,
}

/// What a look of the migrate scanner found.
enum Look {
    Pages(Vec<Pfn>),
    Finished(CompactResult),
}

/// A page that did not move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NotMoved {
    /// There is a lock or a reference in the way.
    Again,
    NoMemory,
}

impl Machine {
    /// `compact_zone()`: for as long as `until` says. With `gfp` less than `GFP_KERNEL`, pages of files stay.
    ///
    /// Context: may sleep, in notifiers too; never reclaims.
    pub(crate) fn compact_zone(&self, k: &Kernel, gfp: Gfp, mode: MigrateMode, until: Until) -> (CompactResult, Moves) {
        let mut cc = Control {
            machine: self,
            k,
            gfp,
            mode,
            until,
            migrate: None,
            at: 0,
            free: None,
            spare: VecDeque::new(),
            done: Moves::default(),
            reached: false,
        };
        let result = loop {
            let pages = match cc.isolate_migratepages() {
                Look::Finished(result) => break result,
                Look::Pages(pages) => pages,
            };
            let enough = cc.migrate_pages(pages);
            if cc.reached {
                break CompactResult::Success;
            }
            if !enough && !cc.scanners_met() {
                break CompactResult::Contended;
            }
        };
        cc.release();
        (result, cc.done)
    }
}

impl Control<'_> {
    /// `compact_scanners_met()`.
    fn scanners_met(&self) -> bool {
        self.migrate.is_some() && self.free.is_some() && self.migrate >= self.free
    }

    /// Looks for pages to move, and isolates them. An empty cluster is looked past.
    fn isolate_migratepages(&mut self) -> Look {
        loop {
            let blocks = Op::write(machine_obj(MachineObj::Blocks));
            self.k.visible_all(&[blocks, Op::write(machine_obj(MachineObj::Lru))]);
            if let Some(result) = self.finished() {
                return Look::Finished(result);
            }
            let Some(block) = self.migrate else { return Look::Finished(CompactResult::Complete) };
            let found = self.scan_block(block);
            let isolated: Vec<Pfn> = found.into_iter().filter(|pfn| self.isolate(*pfn)).collect();
            if !isolated.is_empty() {
                return Look::Pages(isolated);
            }
        }
    }

    /// `compact_finished()`, and on to the next block if this one is done with. Whether a block is free is asked between blocks.
    fn finished(&mut self) -> Option<CompactResult> {
        let blocks = self.machine.frames.lock().page_blocks();
        if self.free.is_none() {
            self.free = blocks.last().copied();
        }
        let begins = self.migrate.is_none_or(|_| self.at as u64 >= BLOCK_FRAMES);
        if begins {
            let next = blocks.into_iter().find(|block| self.migrate.is_none_or(|now| *block > now));
            self.machine.drain_local_pages(self.k.current_task());
            if self.until == Until::BlockFree && self.machine.has_free_block() {
                return Some(CompactResult::Success);
            }
            if next.is_none() {
                return Some(CompactResult::Complete);
            }
            (self.migrate, self.at) = (next, 0);
        }
        self.scanners_met().then_some(CompactResult::Complete)
    }

    /// `isolate_migratepages_block()`: the next pages of a block that seem to be able to move. Asynchronous compaction for an
    /// allocation leaves a block as soon as one of its pages cannot.
    fn scan_block(&mut self, block: PageBlock) -> Vec<Pfn> {
        let skip_on_failure = self.mode == MigrateMode::Async && self.until == Until::BlockFree;
        let (pfns, used) = {
            let frames = self.machine.frames.lock();
            (frames.pfns_of(block), frames.used_in(block))
        };
        let mut found = Vec::new();
        for pfn in &pfns[self.at..] {
            self.at += 1;
            if used.binary_search(pfn).is_err() {
                continue;
            }
            if self.may_isolate(*pfn) {
                found.push(*pfn);
            } else if skip_on_failure {
                self.at = pfns.len();
                return Vec::new();
            }
            if found.len() == COMPACT_CLUSTER_MAX {
                break;
            }
        }
        found
    }

    fn may_isolate(&self, pfn: Pfn) -> bool {
        let frame = self.machine.frame(pfn);
        let of_file = frame.mapping.is_some();
        frame.flags.contains(FrameFlags::LRU)
            && (self.gfp.contains(Gfp::FS) || !of_file)
            && self.machine.is_movable(pfn)
    }

    /// The page leaves its list, with a reference of this caller, if it is still one that can move.
    fn isolate(&self, pfn: Pfn) -> bool {
        if !self.machine.try_get_page(self.k, pfn) {
            return false;
        }
        let isolated = !self.machine.is_huge(pfn) && self.may_isolate(pfn);
        if isolated {
            self.machine.with_frame(pfn, |f| f.flags -= FrameFlags::LRU);
        } else {
            self.machine.put_page(self.k, pfn);
        }
        isolated
    }

    /// `putback_movable_pages()`: to a list again, if it is still something.
    fn putback(&self, pfn: Pfn) {
        self.k.visible_all(&[Op::write(frame_obj(pfn)), Op::read(machine_obj(MachineObj::Lru))]);
        self.machine.with_frame(pfn, |f| {
            let is_something = f.flags.intersects(FrameFlags::ANON | FrameFlags::FILE);
            f.flags.set(FrameFlags::LRU, is_something && !f.flags.contains(FrameFlags::KSM));
        });
        self.machine.settle_swap_cache(self.k, pfn, self.machine.frame(pfn).slot());
        self.machine.put_page(self.k, pfn);
    }

    /// `migrate_pages()`: all of them a few times without waiting; what is left, if that is allowed, one after the other with.
    /// False if there was no frame to move to.
    fn migrate_pages(&mut self, pages: Vec<Pfn>) -> bool {
        let mut rest = pages;
        let mut enough = true;
        for _ in 0..ASYNC_TRIES {
            rest = self.migrate_each(rest, 1, false, &mut enough);
        }
        if enough && self.mode == MigrateMode::Sync {
            // In an allocation whoever has the lock may be the one who allocates.
            let wait = !self.k.in_memalloc();
            rest = self.migrate_each(rest, SYNC_TRIES, wait, &mut enough);
        }
        self.done.busy += rest.len() as u64;
        rest.into_iter().for_each(|pfn| self.putback(pfn));
        enough
    }

    /// Gives those that are where they were.
    fn migrate_each(&mut self, pages: Vec<Pfn>, tries: u32, wait: bool, enough: &mut bool) -> Vec<Pfn> {
        let mut left = Vec::new();
        for pfn in pages {
            let moved = (0..tries).any(|_| {
                let moved = if *enough { self.migrate_one(pfn, wait) } else { Err(NotMoved::NoMemory) };
                *enough &= moved != Err(NotMoved::NoMemory);
                moved.is_ok()
            });
            if !moved {
                left.push(pfn);
            }
        }
        left
    }

    /// One page, whose reference is gone when it has moved. Sync point `mm.migrate`.
    fn migrate_one(&mut self, pfn: Pfn, wait: bool) -> Result<(), NotMoved> {
        let k = self.k;
        k.sync_reached(NAMES.mm_migrate);
        let moved = self.migrate_isolated(pfn, wait);
        k.sync_passed(NAMES.mm_migrate);
        moved
    }

    fn migrate_isolated(&mut self, pfn: Pfn, wait: bool) -> Result<(), NotMoved> {
        let (k, machine) = (self.k, self.machine);
        let node = machine.node_of(pfn);
        let Some(new) = self.compaction_alloc() else { return Err(NotMoved::NoMemory) };
        machine.with_frame(new, |f| f.flags.set(FrameFlags::NODE1, node == Node::One));
        if !machine.migrate_between(k, pfn, new, wait) {
            self.spare.push_front((new, true));
            return Err(NotMoved::Again);
        }
        self.putback(new);
        machine.put_page(k, pfn);
        self.done.moved += 1;
        self.reached |= self.until == Until::Moved(pfn);
        Ok(())
    }

    /// A frame that the free scanner isolated.
    fn compaction_alloc(&mut self) -> Option<Pfn> {
        if self.spare.is_empty() {
            self.isolate_freepages();
        }
        let (pfn, told) = self.spare.pop_front()?;
        self.k.visible_write(frame_obj(pfn));
        if !told {
            self.k.emit(EventKind::FrameAlloc { pfn });
        }
        Some(pfn)
    }

    /// `isolate_freepages()`: from where the free scanner was downwards, a cluster of frames, above the migrate scanner's block.
    fn isolate_freepages(&mut self) {
        let machine = self.machine;
        let locks = machine.locks();
        let _zone = (!self.k.quiet()).then(|| locks.zone.lock());
        machine.look_at_blocks(self.k);
        let mut blocks = machine.frames.lock().page_blocks();
        blocks.retain(|block| self.free.is_none_or(|free| *block <= free));
        for block in blocks.into_iter().rev() {
            self.free = Some(block);
            if self.migrate.is_some_and(|migrate| block <= migrate) {
                break;
            }
            let isolated = machine.isolate_free_frames(block, COMPACT_CLUSTER_MAX - self.spare.len());
            self.spare.extend(isolated.into_iter().map(|pfn| (pfn, false)));
            if self.spare.len() == COMPACT_CLUSTER_MAX {
                break;
            }
        }
    }

    /// What was isolated and not used is free again (`release_free_list()`).
    fn release(&mut self) {
        let task = self.k.current_task();
        let (told, untold): (Vec<_>, Vec<_>) = self.spare.drain(..).partition(|(_, told)| *told);
        told.into_iter().for_each(|(pfn, _)| self.machine.put_page(self.k, pfn));
        self.machine.look_at_blocks(self.k);
        self.machine.release_free_frames(task, untold.into_iter().map(|(pfn, _)| pfn));
        self.machine.drain_local_pages(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MachineConfig;
    use ksync::KernelConfig;
    use mm_types::{Name, PageRange, Prot, Vpn};
    use mmu_notifier::{Annotations, Framework};
    use sched::FirstScheduler;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;
    use trace::RunEnd;

    /// Whether a page moves whose folio lock a task has, which lets it go when everybody else waits.
    fn locked_page_moves(mode: MigrateMode) -> bool {
        let kernel = Kernel::new(KernelConfig::default());
        let moved = Rc::new(Cell::new(false));
        let out = Rc::clone(&moved);
        kernel.enter(|k| {
            let machine = Machine::new(k, MachineConfig::default(), Framework::new(k, Annotations::default()));
            let mm = machine.new_mm(k, Name::new("A"));
            // A block, and a part of another one: there is where to move.
            let pages = PageRange::with_len(Vpn(0x1000), BLOCK_FRAMES + 8).expect("not empty");
            mm.mmap_anon(pages, Prot::READ | Prot::WRITE).expect("mapped");
            mm.touch(pages, true).expect("touched");
            let first = mm.pte(pages.start()).mapped_pfn().expect("there");
            let lock = machine.folio_lock(first);
            k.spawn(Name::new("holder"), move || {
                let _folio = lock.lock();
                ksync::current(|k| k.sleep_ns(1));
            });
            let machine = Arc::clone(&machine);
            k.spawn(Name::new("compact"), move || {
                ksync::current(|k| machine.compact_zone(k, Gfp::KERNEL, mode, Until::ScannersMeet));
                out.set(mm.pte(pages.start()).mapped_pfn() != Some(first));
            });
        });
        assert_eq!(kernel.run(&mut FirstScheduler), RunEnd::Finished);
        moved.get()
    }

    #[test]
    fn synchronous_compaction_waits_for_a_folio_lock_and_asynchronous_does_not() {
        assert!(locked_page_moves(MigrateMode::Sync));
        assert!(!locked_page_moves(MigrateMode::Async));
    }
}
