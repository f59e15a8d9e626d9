//! Page blocks: 512 frames that together could be a huge page.
//!
//! | block | what is in it | its frames' numbers |
//! |---|---|---|
//! | begun by a task | single frames, which that task takes until they are all given out | every 256th: the task's own, 512 in a row |
//! | a huge page | itself | consecutive, in a space of their own |
//! | a huge page that was split | what of its 512 pages is left, and what compaction moves there | the same |
//! | free | nothing | none, until it is one of the above |
//!
//! A machine has so many blocks as its memory is large. A huge page needs one that is free: one that nobody has begun, or
//! one that was begun and whose frames are all free again. Single frames come from a task's own blocks, whatever is free
//! elsewhere: tasks that allocate do not meet ([`crate::per_task`]), and so a machine may have more blocks begun than it
//! has memory for. Then none is free.
//!
//! # Protocol
//! Taking a frame and freeing one read [`MachineObj::Blocks`]; who looks at blocks, or takes a free one, writes it.
//!
//! Sources: `pageblock_order`, include/linux/pageblock-flags.h; `rmqueue_bulk()`, `drain_pages_zone()`, mm/page_alloc.c;
//! `fragmentation_index()`, mm/vmstat.c, 6.12.

use crate::frames::{BLOCK_FRAMES, FIRST_BLOCK, Frame, Frames};
use crate::machine::Machine;
use crate::obj::{MachineObj, frame_obj, machine_obj};
use crate::per_task::Group;
use ksync::{Kernel, Op};
use mm_types::{Pfn, TaskId};
use std::sync::atomic::Ordering;
use trace::EventKind;

/// A block that has single frames, in the order in which compaction goes through them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum PageBlock {
    /// Begun by a task.
    Begun(Group),
    /// Of a huge page that was split: the key of the block.
    Split(u64),
}

impl Frames {
    /// All blocks that have single frames, ascending.
    pub(crate) fn page_blocks(&self) -> Vec<PageBlock> {
        let split = self.blocks.iter().filter(|(_, block)| block.is_split()).map(|(key, _)| PageBlock::Split(key));
        let mut blocks: Vec<PageBlock> = self.single.groups().into_iter().map(PageBlock::Begun).chain(split).collect();
        blocks.sort_unstable();
        blocks
    }

    /// The frames of a block, in order.
    pub(crate) fn pfns_of(&self, block: PageBlock) -> Vec<Pfn> {
        match block {
            PageBlock::Begun(group) => group.keys().map(Pfn).collect(),
            PageBlock::Split(key) => (0..BLOCK_FRAMES).map(|i| Pfn(FIRST_BLOCK + key * BLOCK_FRAMES + i)).collect(),
        }
    }

    /// One whose last reference is gone is in use until it is freed: it is something until then.
    fn is_used(&self, pfn: Pfn) -> bool {
        self.get(pfn).is_some_and(|frame| frame.refcount > 0 || !frame.flags.is_empty())
    }

    /// The frames of a block that are in use, or isolated, in order.
    pub(crate) fn used_in(&self, block: PageBlock) -> Vec<Pfn> {
        self.pfns_of(block).into_iter().filter(|pfn| self.is_used(*pfn)).collect()
    }

    /// Isolates up to `max` free frames of a block, the lowest first: nobody takes them, each has a reference.
    fn isolate_free(&mut self, block: PageBlock, max: usize) -> Vec<Pfn> {
        let free: Vec<Pfn> = match block {
            PageBlock::Begun(group) => self.single.withdraw(group, max).into_iter().map(Pfn).collect(),
            PageBlock::Split(_) => {
                let free = self.pfns_of(block).into_iter().filter(|pfn| !self.is_used(*pfn));
                free.take(max).collect()
            }
        };
        if let PageBlock::Split(key) = block
            && let Some(block) = self.blocks.get_mut(key)
        {
            block.use_again(free.len() as u32);
        }
        for pfn in &free {
            if let Some(frame) = self.get_mut(*pfn) {
                *frame = Frame::default();
                frame.refcount = 1;
            }
            self.forget_words(*pfn, 1);
        }
        free
    }

    /// How many of `all` blocks are free, those included that have no frame in use any more, which are given up here.
    fn free_blocks(&mut self, all: u64) -> u64 {
        let free = |frames: &Frames| all.saturating_sub(frames.single.nr_groups() + frames.nr_blocks);
        if free(self) == 0 {
            self.single.end_unused();
        }
        free(self)
    }

    /// Free pieces of a power of two of frames, as a buddy allocator would have them, in the blocks that are begun.
    fn nr_free_pieces(&self) -> u64 {
        let pieces_of = |block| {
            let used: Vec<bool> = self.pfns_of(block).into_iter().map(|pfn| self.is_used(pfn)).collect();
            nr_pieces(&used)
        };
        self.page_blocks().into_iter().map(pieces_of).sum()
    }
}

/// Of so many frames in a row, each used or not: aligned pieces of unused ones, as few as can be.
fn nr_pieces(used: &[bool]) -> u64 {
    if used.iter().all(|used| !used) {
        return 1;
    }
    if used.len() == 1 {
        return 0;
    }
    let (low, high) = used.split_at(used.len() / 2);
    nr_pieces(low) + nr_pieces(high)
}

impl Machine {
    /// How many blocks the machine has.
    fn nr_page_blocks(&self) -> u64 {
        self.config.memory_bytes / mm_types::PAGE_SIZE / BLOCK_FRAMES
    }

    /// The scheduling point of whoever looks at blocks.
    pub(crate) fn look_at_blocks(&self, k: &Kernel) {
        k.visible_write(machine_obj(MachineObj::Blocks));
    }

    /// Whether a block is free. The caller has looked ([`Machine::look_at_blocks`]).
    pub(crate) fn has_free_block(&self) -> bool {
        self.frames.lock().free_blocks(self.nr_page_blocks()) > 0
    }

    /// Takes a free block, if there is one and memory is not short: a huge page with one reference, contents 0.
    /// (`get_page_from_freelist()`)
    pub(crate) fn take_free_block(&self, k: &Kernel) -> Option<Pfn> {
        let left = || self.nr_free.load(Ordering::Relaxed) - BLOCK_FRAMES.cast_signed();
        if left() <= self.watermarks.near {
            return None;
        }
        let task = k.current_task();
        let head = loop {
            let next = self.frames.lock().next_block(task);
            k.visible_all(&[Op::write(frame_obj(next)), Op::write(machine_obj(MachineObj::Blocks))]);
            let mut frames = self.frames.lock();
            if left() <= self.watermarks.near || frames.free_blocks(self.nr_page_blocks()) == 0 {
                return None;
            }
            if frames.next_block(task) == next {
                break frames.take_block(task);
            }
        };
        self.nr_free.fetch_sub(BLOCK_FRAMES.cast_signed(), Ordering::Relaxed);
        if k.observing() {
            (0..BLOCK_FRAMES).for_each(|i| k.emit(EventKind::FrameAlloc { pfn: Pfn(head.0 + i) }));
        }
        Some(head)
    }

    /// `isolate_freepages_block()`: up to `max` free frames of a block leave the zone, down to its min watermark. None of a block
    /// that is free as a whole (`suitable_migration_target()`). The caller has looked and has the zone's lock.
    pub(crate) fn isolate_free_frames(&self, block: PageBlock, max: usize) -> Vec<Pfn> {
        let room = (self.nr_free.load(Ordering::Relaxed) - self.watermarks.min - 1).max(0).unsigned_abs();
        let mut frames = self.frames.lock();
        if frames.used_in(block).is_empty() {
            return Vec::new();
        }
        let free = frames.isolate_free(block, max.min(usize::try_from(room).unwrap_or(usize::MAX)));
        self.nr_free.fetch_sub(free.len() as i64, Ordering::Relaxed);
        free
    }

    /// Frames that were isolated and not used are free again. The caller has looked.
    pub(crate) fn release_free_frames(&self, task: TaskId, isolated: impl Iterator<Item = Pfn>) {
        let mut frames = self.frames.lock();
        for pfn in isolated {
            let freed = frames.give(task, pfn);
            self.nr_free.fetch_add(freed.cast_signed(), Ordering::Relaxed);
        }
    }

    /// What a task freed of others goes back to them (`drain_local_pages()`). The caller has looked.
    pub(crate) fn drain_local_pages(&self, task: TaskId) {
        self.frames.lock().single.drain(task);
    }

    /// How much it is fragmentation that keeps a huge page from being had, and not a lack of memory, up to 1000; less than 0 if
    /// there is a free block. The caller has looked.
    pub(crate) fn fragmentation_index(&self) -> i64 {
        let mut frames = self.frames.lock();
        if frames.free_blocks(self.nr_page_blocks()) > 0 {
            return -1000;
        }
        let pieces = frames.nr_free_pieces().cast_signed();
        if pieces == 0 {
            return 0;
        }
        let free = self.nr_free.load(Ordering::Relaxed);
        1000 - (1000 + free * 1000 / BLOCK_FRAMES.cast_signed()) / pieces
    }
}

#[cfg(test)]
mod tests {
    use super::nr_pieces;

    #[test]
    fn free_frames_make_up_the_pieces_that_a_buddy_allocator_has() {
        let used = |at: &[usize]| (0..512).map(|i| at.contains(&i)).collect::<Vec<bool>>();
        assert_eq!(nr_pieces(&used(&[])), 1);
        assert_eq!(nr_pieces(&used(&[0])), 9, "one of each size");
        assert_eq!(nr_pieces(&used(&[255, 256])), 16);
        assert_eq!(nr_pieces(&(0..512).map(|i| i % 2 == 0).collect::<Vec<bool>>()), 256);
        assert_eq!(nr_pieces(&[true; 512]), 0);
    }
}
