//! Frames and their counts. The one place that emits `FrameAlloc` and `FrameFree`.
//!
//! Metadata lies under a storage lock (`parking_lot`) that protects memory only and is never held across a visible
//! operation; what orders tasks are the simulated locks and the visible operation that each method here names first.
//!
//! A huge page is a *block* of 512 frames with consecutive numbers, in a space of numbers of its own ([`Frames`]). While
//! it is one folio, references and pins are counted in its first frame; each frame counts the entries of leaf tables that
//! map it, and the block those of PMD tables, which map all. After a split each of its frames is a page like any other. Where
//! frames are is in [`crate::blocks`].

use crate::content::{Content, Words};
use crate::file::Inode;
use crate::machine::Machine;
use crate::obj::{MachineObj, frame_obj, machine_obj};
use crate::per_task::PerTask;
use crate::vma::AnonVmaId;
use bitflags::bitflags;
use ksync::{Kernel, Op};
use mm_types::{MmId, Pfn, Pgoff, TaskId};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use trace::EventKind;

/// The zero page: mapped by reads of untouched anonymous memory, never counted, never freed.
pub const ZERO_PAGE: Pfn = Pfn(0);

bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct FrameFlags: u16 {
        /// Anonymous: `anon_vma` and `index` say where it is mapped.
        const ANON = 1;
        /// `PageAnonExclusive`: one address space has it, and may write it.
        const EXCLUSIVE = 2;
        /// On the list reclaim looks at.
        const LRU = 4;
        /// In the swap cache, under `slot`.
        const SWAPCACHE = 8;
        /// In the page cache.
        const FILE = 16;
        /// `MADV_FREE` was said of it: reclaim drops it without a copy, unless an entry is dirty.
        const LAZYFREE = 32;
        /// A page of a file has contents that its file has not; an anonymous page was found written when it was to go.
        const DIRTY = 64;
        /// On the second node of memory.
        const NODE1 = 128;
        /// In a device's private memory: no CPU can access it.
        const DEVICE = 256;
        /// Its memory failed.
        const HWPOISON = 512;
        /// Of hugetlb: a huge page for ever, and on no list.
        const HUGETLB = 1024;
        /// Merged by KSM: nobody writes it.
        const KSM = 2048;
        /// Memory of a device that CPUs map (`folio_is_zone_device()`): never free, on no list, in no reverse map.
        const DAX = 4096;
        /// On the active list of its kind, not the inactive one.
        const ACTIVE = 8192;
        /// It was used since reclaim looked at it last, or before that and spared once.
        const REFERENCED = 16384;
    }
}

impl FrameFlags {
    /// What a dirty entry of the page says of it: a page of a file has news for its file.
    pub(crate) fn dirtied(self) -> FrameFlags {
        if self.contains(FrameFlags::FILE) { FrameFlags::DIRTY } else { FrameFlags::empty() }
    }
}

/// What is known of one frame (`struct page`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    /// References; 0 is free.
    pub(crate) refcount: u32,
    /// Page-table entries that map it.
    pub(crate) mapcount: u32,
    /// References that are pins of a device (`pin_user_pages`).
    pub(crate) pins: u32,
    pub(crate) flags: FrameFlags,
    pub(crate) anon_vma: Option<AnonVmaId>,
    /// The file whose page it is, if its mappings are listed (`folio->mapping`).
    pub(crate) mapping: Option<Inode>,
    /// Where in the object it is (`folio->index`).
    pub(crate) index: Pgoff,
    /// What it holds, in each word unless they differ ([`Frames::content`]).
    value: u64,
    /// Its swap slot while it is in the swap cache.
    pub(crate) slot: u32,
}

// With its entry, what CPUs have of that, and its part of the tables, a touched page is to take 64 bytes.
const _: () = assert!(size_of::<Frame>() <= 48);

impl Frame {
    pub(crate) fn slot(&self) -> u64 {
        self.slot.into()
    }

    pub(crate) fn set_slot(&mut self, slot: u64) {
        self.slot = u32::try_from(slot).unwrap_or_else(|_| panic!("no swap device has a slot {slot}"));
    }
}

/// Frames of a block: what one entry of a PMD table maps.
pub(crate) const BLOCK_FRAMES: u64 = 512;
/// The frame numbers of blocks begin here: a multiple of [`BLOCK_FRAMES`] far above what single frames reach.
pub(crate) const FIRST_BLOCK: u64 = 1 << 39;
/// The huge zero page: mapped by reads of untouched memory that wants huge pages; never counted, never freed.
pub const HUGE_ZERO_PAGE: Pfn = Pfn(FIRST_BLOCK);

/// The frame numbers of devices' memory begin here: far above what blocks reach.
const FIRST_DAX: u64 = 3 << 38;
/// Pages that a device has: 16 GiB.
const DAX_PAGES: u64 = 1 << 22;
/// How many devices the frame numbers suffice for.
const DAX_DEVICES: u64 = 1 << 14;
/// A page of a device that nobody has touched: the device's own reference.
const UNTOUCHED: Frame = Frame {
    refcount: 1,
    mapcount: 0,
    pins: 0,
    flags: FrameFlags::DAX,
    anon_vma: None,
    mapping: None,
    index: Pgoff(0),
    value: 0,
    slot: 0,
};

/// 512 frames in a row.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Empty when the block is free.
    pages: Vec<Frame>,
    /// Frames in use after a split; 0 while it is one folio.
    split: u32,
    /// Entries of PMD tables that map it (`_entire_mapcount`).
    pub(crate) entire: u32,
    /// Entries that map it or a part of it, by address space, exactly (the kernel tells two apart: `_mm_id`).
    by_mm: SmallVec<[(MmId, u32); 2]>,
}

impl Block {
    /// Entries that map it or a part of it (`folio_mapcount()`).
    pub(crate) fn mapcount(&self) -> u32 {
        self.by_mm.iter().map(|(_, n)| n).sum()
    }

    /// Whether all of those are one address space's (`!folio_maybe_mapped_shared()`).
    pub(crate) fn is_mapped_by(&self, mm: MmId) -> bool {
        self.by_mm.iter().all(|(id, n)| *id == mm || *n == 0)
    }

    /// It is in use, and no folio any more.
    pub(crate) fn is_split(&self) -> bool {
        self.split > 0
    }

    /// So many of its frames that were freed after a split are in use again.
    pub(crate) fn use_again(&mut self, nr_frames: u32) {
        self.split += nr_frames;
    }

    fn count_mapping(&mut self, mm: MmId, more: bool) {
        match self.by_mm.iter_mut().find(|(id, _)| *id == mm) {
            Some((_, n)) if more => *n += 1,
            Some((_, n)) => *n = n.saturating_sub(1),
            None if more => self.by_mm.push((mm, 1)),
            None => {}
        }
        self.by_mm.retain(|(_, n)| *n > 0);
    }
}

/// The frames of a machine: single ones, and blocks.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) single: PerTask<Frame>,
    pub(crate) blocks: PerTask<Block>,
    /// How many of those are in use.
    pub(crate) nr_blocks: u64,
    /// Of devices' memory, those that differ from [`UNTOUCHED`].
    dax: BTreeMap<Pfn, Frame>,
    /// Of those that hold more than one value.
    words: Words,
}

impl Frames {
    pub(crate) const fn new() -> Frames {
        Frames {
            single: PerTask::new(),
            blocks: PerTask::new(),
            nr_blocks: 0,
            dax: BTreeMap::new(),
            words: Words::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.single.clear();
        self.blocks.clear();
        self.nr_blocks = 0;
        self.dax.clear();
        self.words.clear();
    }

    /// What a frame holds, one that is free too; zeros if it was never given out.
    pub(crate) fn content(&self, pfn: Pfn) -> Content {
        self.get(pfn).map_or(Content::ZERO, |frame| self.words.content(pfn.0, frame.value))
    }

    /// It holds this from now on, all of it.
    pub(crate) fn set_content(&mut self, pfn: Pfn, content: Content) {
        if self.get(pfn).is_some() {
            let value = self.words.keep(pfn.0, content);
            if let Some(frame) = self.get_mut(pfn) {
                frame.value = value;
            }
        }
    }

    /// A frame that is given out holds zeros, whatever was written to it while it was free.
    pub(crate) fn forget_words(&mut self, pfn: Pfn, nr_frames: u64) {
        if self.words.len() > 0 {
            (pfn.0..pfn.0 + nr_frames).for_each(|pfn| self.words.forget(pfn));
        }
    }

    /// The frame of a page of the device `inode`; `None` beyond its end.
    pub(crate) fn dax(inode: Inode, at: Pgoff) -> Option<Pfn> {
        let there = at.0 < DAX_PAGES && u64::from(inode) < DAX_DEVICES;
        there.then(|| Pfn(FIRST_DAX + u64::from(inode) * DAX_PAGES + at.0))
    }

    pub(crate) fn get(&self, pfn: Pfn) -> Option<&Frame> {
        if pfn.0 >= FIRST_DAX {
            return Some(self.dax.get(&pfn).unwrap_or(&UNTOUCHED));
        }
        match pfn.0.checked_sub(FIRST_BLOCK) {
            None => self.single.get(pfn.0),
            Some(at) => self.blocks.get(at / BLOCK_FRAMES)?.pages.get((at % BLOCK_FRAMES) as usize),
        }
    }

    pub(crate) fn get_mut(&mut self, pfn: Pfn) -> Option<&mut Frame> {
        if pfn.0 >= FIRST_DAX {
            return Some(self.dax.entry(pfn).or_insert(UNTOUCHED));
        }
        match pfn.0.checked_sub(FIRST_BLOCK) {
            None => self.single.get_mut(pfn.0),
            Some(at) => self.blocks.get_mut(at / BLOCK_FRAMES)?.pages.get_mut((at % BLOCK_FRAMES) as usize),
        }
    }

    /// The block that `pfn` is a part of, while that is one folio.
    pub(crate) fn folio(&self, pfn: Pfn) -> Option<&Block> {
        let at = pfn.0.checked_sub(FIRST_BLOCK)?;
        self.blocks.get(at / BLOCK_FRAMES).filter(|b| b.split == 0 && !b.pages.is_empty())
    }

    fn folio_mut(&mut self, pfn: Pfn) -> Option<&mut Block> {
        let at = pfn.0.checked_sub(FIRST_BLOCK)?;
        self.blocks.get_mut(at / BLOCK_FRAMES).filter(|b| b.split == 0 && !b.pages.is_empty())
    }

    /// The frame that counts for `pfn`: the first of its folio (`compound_head()`).
    pub(crate) fn head(&self, pfn: Pfn) -> Pfn {
        if self.folio(pfn).is_some() { Pfn(pfn.0 / BLOCK_FRAMES * BLOCK_FRAMES) } else { pfn }
    }

    /// What is known of a frame: of one in a huge page with the references and pins of all of it, and with the entries
    /// of PMD tables among those that map it.
    fn view(&self, pfn: Pfn) -> Option<Frame> {
        let frame = *self.get(pfn)?;
        let Some(block) = self.folio(pfn) else { return Some(frame) };
        let head = block.pages[0];
        Some(Frame { refcount: head.refcount, pins: head.pins, mapcount: frame.mapcount + block.entire, ..frame })
    }

    /// Every frame ever given out; of a huge page the first only.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Pfn, &Frame)> {
        let single = self.single.iter().map(|(key, frame)| (Pfn(key), frame));
        let blocks = self.blocks.iter().flat_map(|(key, block)| {
            let shown = if block.split == 0 { block.pages.len().min(1) } else { block.pages.len() };
            let first = FIRST_BLOCK + key * BLOCK_FRAMES;
            block.pages.iter().take(shown).zip(first..).map(|(frame, pfn)| (Pfn(pfn), frame))
        });
        single.chain(blocks)
    }

    fn take(&mut self, task: TaskId) -> Pfn {
        let key = self.single.take(task);
        if let Some(frame) = self.single.get_mut(key) {
            *frame = Frame { refcount: 1, ..Frame::default() };
        }
        self.forget_words(Pfn(key), 1);
        Pfn(key)
    }

    /// The frame that [`Frames::take`] would give.
    fn next(&self, task: TaskId) -> Pfn {
        Pfn(self.single.next(task))
    }

    /// The first frame of what [`Frames::take_block`] would give.
    pub(crate) fn next_block(&self, task: TaskId) -> Pfn {
        Pfn(FIRST_BLOCK + self.blocks.next(task) * BLOCK_FRAMES)
    }

    pub(crate) fn take_block(&mut self, task: TaskId) -> Pfn {
        let key = self.blocks.take(task);
        self.nr_blocks += 1;
        if let Some(block) = self.blocks.get_mut(key) {
            block.pages.resize(BLOCK_FRAMES as usize, Frame::default());
            block.pages[0].refcount = 1;
        }
        let head = Pfn(FIRST_BLOCK + key * BLOCK_FRAMES);
        self.forget_words(head, BLOCK_FRAMES);
        head
    }

    /// Puts a frame, or a huge page named by its first, back. Gives how many frames that are.
    pub(crate) fn give(&mut self, task: TaskId, pfn: Pfn) -> u64 {
        if pfn.0 >= FIRST_DAX {
            return 0;
        }
        let Some(at) = pfn.0.checked_sub(FIRST_BLOCK) else {
            if let Some(frame) = self.single.get_mut(pfn.0) {
                *frame = Frame::default();
            }
            self.single.give(task, pfn.0);
            self.words.forget(pfn.0);
            return 1;
        };
        let key = at / BLOCK_FRAMES;
        let whole = self.folio(pfn).is_some();
        self.forget_words(pfn, if whole { BLOCK_FRAMES } else { 1 });
        let Some(block) = self.blocks.get_mut(key) else { return 0 };
        let freed = if block.split == 0 { BLOCK_FRAMES } else { 1 };
        if block.split > 1 {
            block.split -= 1;
            block.pages[(at % BLOCK_FRAMES) as usize] = Frame::default();
        } else {
            block.pages.clear();
            (block.split, block.entire) = (0, 0);
            block.by_mm.clear();
            self.blocks.give(task, key);
            self.nr_blocks -= 1;
        }
        freed
    }
}

/// Counts of a machine's frames, for accounting checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameCounts {
    /// In use, the page cache and the swap cache included.
    pub allocated: u64,
    /// In the page cache.
    pub page_cache: u64,
    /// Free, as the zone counts.
    pub free: u64,
    /// Sum of the pins.
    pub pinned: u64,
    /// Sum of the map counts.
    pub mapped: u64,
}

impl Machine {
    /// Takes a free frame out of the task's magazine: one reference, contents 0. The zone must have one
    /// ([`crate::alloc`] sees to the watermarks).
    pub(crate) fn take_frame(&self, k: &Kernel) -> Pfn {
        self.nr_free.fetch_sub(1, Ordering::Relaxed);
        let task = k.current_task();
        let pfn = loop {
            let next = self.frames.lock().next(task);
            k.visible_all(&[Op::write(frame_obj(next)), Op::read(machine_obj(MachineObj::Blocks))]);
            let mut frames = self.frames.lock();
            // Compaction may have taken it meanwhile.
            if frames.next(task) == next {
                break frames.take(task);
            }
        };
        k.emit(EventKind::FrameAlloc { pfn });
        pfn
    }

    /// `get_page()`: one reference more. The caller knows that the frame is in use.
    pub(crate) fn get_page(&self, k: &Kernel, pfn: Pfn) {
        if pfn != ZERO_PAGE {
            let pfn = self.head(pfn);
            k.visible_write(frame_obj(pfn));
            self.with_frame(pfn, |f| f.refcount += 1);
        }
    }

    /// The same for an entry that maps the page from now on, in a step that says so to reclaim, which looks at all pages.
    pub(crate) fn get_mapped_page(&self, k: &Kernel, pfn: Pfn) {
        let pfn = self.head(pfn);
        k.visible_all(&[Op::write(frame_obj(pfn)), Op::read(machine_obj(MachineObj::Lru))]);
        self.with_frame(pfn, |f| f.refcount += 1);
    }

    /// `folio_try_get()`: a reference unless the frame is free.
    pub(crate) fn try_get_page(&self, k: &Kernel, pfn: Pfn) -> bool {
        let pfn = self.head(pfn);
        k.visible_write(frame_obj(pfn));
        self.frames.lock().get_mut(pfn).is_some_and(|f| {
            let used = f.refcount > 0;
            f.refcount += u32::from(used);
            used
        })
    }

    /// `put_page()`: one reference less; the last one frees the frame.
    pub(crate) fn put_page(&self, k: &Kernel, pfn: Pfn) {
        if pfn == ZERO_PAGE {
            return;
        }
        let pfn = self.head(pfn);
        // Whether a block is free depends on it.
        k.visible_all(&[Op::write(frame_obj(pfn)), Op::read(machine_obj(MachineObj::Blocks))]);
        let left = self.with_frame(pfn, |f| {
            // A driver that puts a page twice is a finding from the events; the count must not wrap.
            let had = f.refcount;
            f.refcount = had.saturating_sub(1);
            if had == 0 { u32::MAX } else { f.refcount }
        });
        if left == 0 {
            self.free_frame(k, pfn);
        }
    }

    /// Frees a frame whose references are gone, or a huge page by its first.
    pub(crate) fn free_frame(&self, k: &Kernel, pfn: Pfn) {
        let device = self.frame(pfn).flags.contains(FrameFlags::DEVICE);
        if k.observing() && self.is_huge(pfn) {
            (0..BLOCK_FRAMES).for_each(|i| k.emit(EventKind::FrameFree { pfn: Pfn(pfn.0 + i) }));
        } else {
            k.emit(EventKind::FrameFree { pfn });
        }
        {
            // Whoever still has it, or waits for it, has it together with the next user of the frame: one frame, one lock.
            let mut locks = self.folio_locks.lock();
            if locks.get(&pfn).is_some_and(|lock| Arc::strong_count(lock) == 1) {
                locks.remove(&pfn);
            }
        }
        let freed = {
            let mut frames = self.frames.lock();
            let mapped = frames.view(pfn).is_some_and(|f| f.mapcount > 0);
            debug_assert!(!mapped || k.quiet(), "frame {pfn} is freed while mapped");
            frames.give(k.current_task(), pfn)
        };
        if !device {
            self.nr_free.fetch_add(freed.cast_signed(), Ordering::Relaxed);
        }
    }

    /// A frame of a device's private memory, of which there is enough: one reference. It is not the zone's.
    pub(crate) fn take_device_frame(&self, k: &Kernel) -> Pfn {
        let pfn = self.take_frame(k);
        self.nr_free.fetch_add(1, Ordering::Relaxed);
        self.with_frame(pfn, |f| f.flags |= FrameFlags::DEVICE);
        pfn
    }

    /// The frame that counts references for `pfn` (`compound_head()`).
    pub(crate) fn head(&self, pfn: Pfn) -> Pfn {
        if pfn.0 < FIRST_BLOCK { pfn } else { self.frames.lock().head(pfn) }
    }

    /// The frames of the folio that a frame is a part of, for reports.
    #[must_use]
    pub fn folio_of(&self, pfn: Pfn) -> std::ops::RangeInclusive<Pfn> {
        let head = self.head(pfn);
        head..=Pfn(head.0 + if self.is_huge(pfn) { BLOCK_FRAMES - 1 } else { 0 })
    }

    /// Whether a frame is a part of a huge page (`folio_test_large()`).
    pub(crate) fn is_huge(&self, pfn: Pfn) -> bool {
        pfn.0 >= FIRST_BLOCK && self.frames.lock().folio(pfn).is_some()
    }

    /// Looks at the block of a huge page; `None` for a frame that is in none.
    pub(crate) fn with_block<R>(&self, pfn: Pfn, f: impl FnOnce(&Block) -> R) -> Option<R> {
        if pfn.0 < FIRST_BLOCK { None } else { self.frames.lock().folio(pfn).map(f) }
    }

    /// Alters what is known of every frame of a huge page, each with its place in it.
    pub(crate) fn with_subpages(&self, head: Pfn, mut f: impl FnMut(u64, &mut Frame)) {
        if let Some(block) = self.frames.lock().folio_mut(head) {
            block.pages.iter_mut().zip(0..).for_each(|(frame, i)| f(i, frame));
        }
    }

    /// One entry of a PMD table more maps a huge page (`folio_add_anon_rmap_pmd()`).
    pub(crate) fn add_rmap_pmd(&self, head: Pfn, mm: MmId) {
        if let Some(block) = self.frames.lock().folio_mut(head) {
            block.entire += 1;
            block.count_mapping(mm, true);
        }
    }

    /// One entry of a PMD table less does (`folio_remove_rmap_pmd()`).
    pub(crate) fn remove_rmap_pmd(&self, head: Pfn, mm: MmId) {
        if let Some(block) = self.frames.lock().folio_mut(head) {
            debug_assert!(block.entire > 0, "huge page {head} is not mapped");
            block.entire = block.entire.saturating_sub(1);
            block.count_mapping(mm, false);
        }
    }

    /// The pages of a huge page are mapped by 512 entries where one mapped all: counts and references follow.
    pub(crate) fn split_rmap(&self, head: Pfn, mm: MmId) {
        if let Some(block) = self.frames.lock().folio_mut(head) {
            block.entire = block.entire.saturating_sub(1);
            block.count_mapping(mm, false);
            (0..BLOCK_FRAMES).for_each(|_| block.count_mapping(mm, true));
            block.pages[0].refcount += BLOCK_FRAMES as u32 - 1;
        }
    }

    /// The second half of [`Machine::split_rmap`]: now each page is mapped by an entry of its own.
    pub(crate) fn split_rmap_tails(&self, head: Pfn) {
        if let Some(block) = self.frames.lock().folio_mut(head) {
            block.pages.iter_mut().for_each(|frame| frame.mapcount += 1);
        }
    }

    /// How many entries map one page, that of the huge page it is in among them (`page_trans_huge_mapcount()`).
    pub(crate) fn page_mapcount(&self, pfn: Pfn) -> u32 {
        self.frame(pfn).mapcount + self.with_block(pfn, |block| block.entire).unwrap_or(0)
    }

    /// A huge page that no entry of a PMD table maps becomes 512 pages (`__split_folio_to_order()`): each keeps its mappings and
    /// its place in a cache as references, and has one more, which is the caller's ([`Machine::put_tails`]).
    pub(crate) fn split_block(&self, head: Pfn) {
        let mut frames = self.frames.lock();
        let Some(block) = frames.folio_mut(head) else { return };
        debug_assert_eq!(block.entire, 0, "huge page {head} is split while a PMD entry maps it");
        block.split = BLOCK_FRAMES as u32;
        block.by_mm.clear();
        // What is known of the folio is known of each.
        let lru = block.pages[0].flags & (FrameFlags::LRU | FrameFlags::DIRTY);
        for frame in &mut block.pages {
            let cached = frame.flags.intersects(FrameFlags::FILE | FrameFlags::SWAPCACHE);
            frame.refcount = frame.mapcount + u32::from(cached) + 1;
            frame.flags |= lru;
        }
    }

    /// Gives up the references that a split left the caller with, but for that to the first page. What nothing maps goes.
    pub(crate) fn put_tails(&self, k: &Kernel, head: Pfn) {
        (head.0 + 1..head.0 + BLOCK_FRAMES).map(Pfn).for_each(|pfn| self.free_page_and_swap_cache(k, pfn));
    }

    /// What is known of a frame.
    pub(crate) fn frame(&self, pfn: Pfn) -> Frame {
        self.frames.lock().view(pfn).unwrap_or_default()
    }

    /// Alters what is known of a frame; of one in a huge page, what is its own. No visible operation: the caller holds what protects it.
    pub(crate) fn with_frame<R>(&self, pfn: Pfn, f: impl FnOnce(&mut Frame) -> R) -> R {
        let mut frames = self.frames.lock();
        let Some(frame) = frames.get_mut(pfn) else { panic!("no frame {pfn} was ever given out") };
        f(frame)
    }

    /// `folio_add_new_anon_rmap()` and `folio_add_lru()`: a new anonymous page is mapped once, exclusively.
    pub(crate) fn map_new_anon(&self, k: &Kernel, pfn: Pfn, anon_vma: AnonVmaId, index: Pgoff) {
        k.visible_read(machine_obj(MachineObj::Lru));
        self.with_frame(pfn, |f| {
            f.mapcount = 1;
            f.flags = FrameFlags::ANON | FrameFlags::EXCLUSIVE | FrameFlags::LRU;
            f.anon_vma = Some(anon_vma);
            f.index = index;
        });
    }

    /// A huge page is new and mapped once, exclusively, by an entry of a PMD table (`folio_add_new_anon_rmap()`).
    pub(crate) fn map_new_huge_anon(&self, k: &Kernel, head: Pfn, mm: MmId, anon_vma: AnonVmaId, index: Pgoff) {
        k.visible_read(machine_obj(MachineObj::Lru));
        self.with_subpages(head, |i, f| {
            f.flags = FrameFlags::ANON | FrameFlags::EXCLUSIVE;
            f.flags.set(FrameFlags::LRU, i == 0);
            f.anon_vma = Some(anon_vma);
            f.index = index + i;
        });
        self.add_rmap_pmd(head, mm);
    }

    /// One entry of a leaf table more, of `mm`, maps the frame (`folio_dup_anon_rmap_pte()`, `folio_add_file_rmap_pte()`).
    pub(crate) fn add_rmap(&self, pfn: Pfn, mm: MmId) {
        let mut frames = self.frames.lock();
        if let Some(frame) = frames.get_mut(pfn) {
            frame.mapcount += 1;
        }
        if let Some(block) = frames.folio_mut(pfn) {
            block.count_mapping(mm, true);
        }
    }

    /// A child maps the frame too, with a reference, and it is nobody's alone any more. False, and nothing is done, for an
    /// exclusive page that a device has pinned (`folio_try_dup_anon_rmap_pte()`).
    pub(crate) fn share_page(&self, k: &Kernel, pfn: Pfn, child: MmId) -> bool {
        let head = self.head(pfn);
        k.visible_write(frame_obj(head));
        let mut frames = self.frames.lock();
        let pinned = frames.get(head).is_some_and(|head| head.pins > 0);
        let Some(frame) = frames.get_mut(pfn) else { return true };
        if pinned && frame.flags.contains(FrameFlags::ANON | FrameFlags::EXCLUSIVE) {
            return false;
        }
        frame.mapcount += 1;
        frame.flags -= FrameFlags::EXCLUSIVE;
        if head == pfn && pfn.0 < FIRST_BLOCK {
            frame.refcount += 1;
            return true;
        }
        if let Some(head) = frames.get_mut(head) {
            head.refcount += 1;
        }
        if let Some(block) = frames.folio_mut(pfn) {
            block.count_mapping(child, true);
        }
        true
    }

    /// One entry of a leaf table less maps the frame (`folio_remove_rmap_pte()`).
    pub(crate) fn remove_rmap(&self, pfn: Pfn, mm: MmId) {
        let mut frames = self.frames.lock();
        if let Some(frame) = frames.get_mut(pfn) {
            debug_assert!(frame.mapcount > 0, "frame {pfn} is not mapped");
            frame.mapcount = frame.mapcount.saturating_sub(1);
        }
        if let Some(block) = frames.folio_mut(pfn) {
            block.count_mapping(mm, false);
        }
    }

    /// `folio_mark_dirty()` of the folio of a page.
    pub(crate) fn folio_mark_dirty(&self, pfn: Pfn) {
        self.with_frame(self.head(pfn), |f| f.flags |= FrameFlags::DIRTY);
    }

    /// The page was written since it was lazily freed. Of a frame that was freed with the huge page it was in there is nothing to
    /// say: the access is what the oracles judge.
    pub(crate) fn clear_lazyfree(&self, pfn: Pfn) {
        if let Some(frame) = self.frames.lock().get_mut(pfn) {
            frame.flags -= FrameFlags::LAZYFREE;
        }
    }

    /// What a frame holds; without a reference that is a use after free, which the oracles judge by the events. The zero page
    /// holds zeros.
    pub(crate) fn content(&self, pfn: Pfn) -> Content {
        self.frames.lock().content(pfn)
    }

    /// All of a frame is written. It may be one that is free, through a stale translation.
    pub(crate) fn set_content(&self, pfn: Pfn, content: Content) {
        self.frames.lock().set_content(pfn, content);
    }

    /// One word of a frame is written, as [`Machine::set_content`].
    pub(crate) fn write_word(&self, pfn: Pfn, at: usize, value: u64) {
        let mut frames = self.frames.lock();
        let content = frames.content(pfn).with_word(at, value);
        frames.set_content(pfn, content);
    }

    /// A frame holds what another one does (`copy_user_highpage()`).
    pub(crate) fn copy_content(&self, to: Pfn, from: Pfn) {
        let mut frames = self.frames.lock();
        let content = frames.content(from);
        frames.set_content(to, content);
    }

    /// What a frame holds as one number, and in word `at`.
    pub(crate) fn digest_and_word(&self, pfn: Pfn, at: usize) -> (u64, u64) {
        let frames = self.frames.lock();
        if frames.words.len() == 0 {
            let value = frames.get(pfn).map_or(0, |frame| frame.value);
            return (value, value);
        }
        let content = frames.content(pfn);
        (content.digest(), content.word(at))
    }

    /// Pages that hold more than one value: what they take of our own memory is counted by them.
    #[must_use]
    pub fn pages_of_words(&self) -> usize {
        self.frames.lock().words.len() + self.swap.lock().pages_of_words()
    }

    /// What is known of a frame moves to another, with what it holds; `pfn` has one reference, the caller's, afterwards. Where
    /// each is does not move, and `new` keeps what references it had for a moment from others.
    pub(crate) fn move_frame(&self, pfn: Pfn, new: Pfn, more_references: u32) {
        let place = FrameFlags::NODE1 | FrameFlags::DEVICE;
        let mut frames = self.frames.lock();
        let Some(old) = frames.get(pfn).copied() else { return };
        if let Some(f) = frames.get_mut(new) {
            let refcount = f.refcount + more_references;
            *f = Frame { flags: old.flags.difference(place) | f.flags & place, refcount, ..old };
        }
        if let Some(f) = frames.get_mut(pfn) {
            *f = Frame { refcount: 1, flags: f.flags & place, ..Frame::default() };
        }
        frames.words.relocate(pfn.0, new.0);
    }

    /// How many entries map a page, or a huge page by any part of it (`folio_mapcount()`).
    pub(crate) fn folio_mapcount(&self, pfn: Pfn) -> u32 {
        self.with_block(pfn, Block::mapcount).unwrap_or_else(|| self.frame(pfn).mapcount)
    }

    /// References that the page cache or the swap cache has to a folio: one for each of its pages that is in it.
    pub(crate) fn cache_refs(&self, pfn: Pfn) -> u32 {
        let cached = |f: &Frame| f.flags.intersects(FrameFlags::FILE | FrameFlags::SWAPCACHE);
        let of_block = self.with_block(pfn, |block| block.pages.iter().filter(|f| cached(f)).count() as u32);
        of_block.unwrap_or_else(|| u32::from(cached(&self.frame(pfn))))
    }

    /// What a huge page holds, page by page, and what is known of each, moves to another one (`folio_migrate_mapping()`
    /// and the copy): `to` has one reference, as `from` has but for those of the cache, which move too.
    pub(crate) fn move_block(&self, from: Pfn, to: Pfn) {
        let mut frames = self.frames.lock();
        let place = FrameFlags::NODE1 | FrameFlags::DEVICE;
        let Some(old) = frames.folio_mut(from) else { return };
        let moved: Vec<Frame> = old.pages.clone();
        for (frame, i) in old.pages.iter_mut().zip(0_u32..) {
            *frame = Frame { refcount: u32::from(i == 0), flags: frame.flags & place, ..Frame::default() };
        }
        if let Some(new) = frames.folio_mut(to) {
            for (frame, moved) in new.pages.iter_mut().zip(moved) {
                *frame = Frame { flags: moved.flags.difference(place) | frame.flags & place, ..moved };
            }
        }
        (0..BLOCK_FRAMES).for_each(|i| frames.words.relocate(from.0 + i, to.0 + i));
    }

    /// Counts frames. Walks all of them.
    #[must_use]
    pub fn frame_counts(&self) -> FrameCounts {
        let frames = self.frames.lock();
        let mut counts = FrameCounts {
            allocated: 0,
            page_cache: 0,
            free: self.nr_free.load(Ordering::Relaxed).max(0).unsigned_abs(),
            pinned: 0,
            mapped: 0,
        };
        for (pfn, frame) in frames.iter().filter(|(_, f)| f.refcount > 0) {
            let block = frames.folio(pfn);
            counts.allocated += if block.is_some() { BLOCK_FRAMES } else { 1 };
            let in_cache = |f: &Frame| u64::from(f.flags.contains(FrameFlags::FILE));
            counts.page_cache += block.map_or_else(|| in_cache(frame), |b| b.pages.iter().map(in_cache).sum());
            counts.pinned += u64::from(frame.pins);
            counts.mapped += u64::from(block.map_or(frame.mapcount, Block::mapcount));
        }
        counts.pinned += frames.dax.values().map(|frame| u64::from(frame.pins)).sum::<u64>();
        counts
    }
}
