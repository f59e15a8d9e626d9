//! Frames and their counts. The one place that emits `FrameAlloc` and `FrameFree`.
//!
//! Metadata lies under a storage lock (`parking_lot`) that protects memory only and is never held across a visible
//! operation; what orders tasks are the simulated locks and the visible operation that each method here names first.

use crate::file::Inode;
use crate::machine::Machine;
use crate::obj::{MachineObj, frame_obj, machine_obj};
use crate::per_task::PerTask;
use crate::vma::AnonVmaId;
use bitflags::bitflags;
use ksync::Kernel;
use mm_types::{Pfn, Pgoff};
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
        /// A page of a file has contents that its file has not.
        const DIRTY = 64;
        /// On the second node of memory.
        const NODE1 = 128;
        /// In a device's private memory: no CPU can access it.
        const DEVICE = 256;
        /// Its memory failed.
        const HWPOISON = 512;
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
    /// Its contents.
    pub(crate) tag: u64,
    /// Its swap slot while it is in the swap cache.
    pub(crate) slot: u64,
}

const _: () = assert!(size_of::<Frame>() <= 56);

pub(crate) type Frames = PerTask<Frame>;

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
        let pfn = {
            let mut frames = self.frames.lock();
            let key = frames.take(k.current_task());
            if let Some(frame) = frames.get_mut(key) {
                *frame = Frame { refcount: 1, ..Frame::default() };
            }
            Pfn(key)
        };
        k.visible_write(frame_obj(pfn));
        k.emit(EventKind::FrameAlloc { pfn });
        pfn
    }

    /// `get_page()`: one reference more. The caller knows that the frame is in use.
    pub(crate) fn get_page(&self, k: &Kernel, pfn: Pfn) {
        if pfn != ZERO_PAGE {
            k.visible_write(frame_obj(pfn));
            self.with_frame(pfn, |f| f.refcount += 1);
        }
    }

    /// `folio_try_get()`: a reference unless the frame is free.
    pub(crate) fn try_get_page(&self, k: &Kernel, pfn: Pfn) -> bool {
        k.visible_write(frame_obj(pfn));
        self.with_frame(pfn, |f| {
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
        k.visible_write(frame_obj(pfn));
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

    /// Frees a frame whose references are gone.
    pub(crate) fn free_frame(&self, k: &Kernel, pfn: Pfn) {
        k.emit(EventKind::FrameFree { pfn });
        let device = self.frame(pfn).flags.contains(FrameFlags::DEVICE);
        {
            // Whoever still has it, or waits for it, has it together with the next user of the frame: one frame, one lock.
            let mut locks = self.folio_locks.lock();
            if locks.get(&pfn).is_some_and(|lock| Arc::strong_count(lock) == 1) {
                locks.remove(&pfn);
            }
        }
        {
            let mut frames = self.frames.lock();
            if let Some(frame) = frames.get_mut(pfn.0) {
                debug_assert!(frame.mapcount == 0 || k.quiet(), "frame {pfn} is freed while mapped");
                *frame = Frame::default();
            }
            frames.give(k.current_task(), pfn.0);
        }
        self.nr_free.fetch_add(i64::from(!device), Ordering::Relaxed);
    }

    /// A frame of a device's private memory, of which there is enough: one reference. It is not the zone's.
    pub(crate) fn take_device_frame(&self, k: &Kernel) -> Pfn {
        let pfn = self.take_frame(k);
        self.nr_free.fetch_add(1, Ordering::Relaxed);
        self.with_frame(pfn, |f| f.flags |= FrameFlags::DEVICE);
        pfn
    }

    /// What is known of a frame.
    pub(crate) fn frame(&self, pfn: Pfn) -> Frame {
        self.frames.lock().get(pfn.0).copied().unwrap_or_default()
    }

    /// Alters what is known of a frame. No visible operation: the caller holds what protects it.
    pub(crate) fn with_frame<R>(&self, pfn: Pfn, f: impl FnOnce(&mut Frame) -> R) -> R {
        let mut frames = self.frames.lock();
        let Some(frame) = frames.get_mut(pfn.0) else { panic!("no frame {pfn} was ever given out") };
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

    /// One page-table entry less maps the frame (`folio_remove_rmap_pte()`).
    pub(crate) fn remove_rmap(&self, pfn: Pfn) {
        self.with_frame(pfn, |f| {
            debug_assert!(f.mapcount > 0, "frame {pfn} is not mapped");
            f.mapcount = f.mapcount.saturating_sub(1);
        });
    }

    /// Reads a frame's contents; without a reference that is a use after free, which the oracles judge by the events.
    pub(crate) fn read_tag(&self, pfn: Pfn) -> u64 {
        self.frame(pfn).tag
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
        for (_, frame) in frames.iter().filter(|(_, f)| f.refcount > 0) {
            counts.allocated += 1;
            counts.page_cache += u64::from(frame.flags.contains(FrameFlags::FILE));
            counts.pinned += u64::from(frame.pins);
            counts.mapped += u64::from(frame.mapcount);
        }
        counts
    }
}
