//! The swap device and the swap cache.
//!
//! A slot is held by the page-table entries that name it, and by the swap cache while a page of it is in memory.

use crate::content::{Content, Words};
use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::names::NAMES;
use crate::obj::{frame_obj, slot_obj};
use crate::per_task::PerTask;
use ksync::{Kernel, Op};
use mm_types::Pfn;
use trace::EventKind;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Page-table entries that name the slot.
    users: u32,
    /// The page in memory that has these contents.
    cache: Option<Pfn>,
    /// What it holds, in each word unless they differ.
    value: u64,
}

/// A swap device: slots of one page.
#[derive(Debug)]
pub(crate) struct SwapDevice {
    slots: PerTask<Slot>,
    /// Of those that hold more than one value.
    words: Words,
    capacity: u64,
    used: u64,
}

impl SwapDevice {
    pub(crate) const fn new(capacity: u64) -> SwapDevice {
        SwapDevice { slots: PerTask::new(), words: Words::new(), capacity, used: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.words.clear();
        self.used = 0;
    }

    pub(crate) fn pages_of_words(&self) -> usize {
        self.words.len()
    }

    fn slot(&mut self, slot: u64) -> &mut Slot {
        match self.slots.get_mut(slot) {
            Some(s) => s,
            None => panic!("no slot {slot} was ever given out"),
        }
    }
}

impl Machine {
    /// Slots in use.
    #[must_use]
    pub fn swap_used(&self) -> u64 {
        self.swap.lock().used
    }

    /// Slots not in use.
    pub(crate) fn swap_room(&self) -> u64 {
        let swap = self.swap.lock();
        swap.capacity.saturating_sub(swap.used)
    }

    /// Whether a page could go to swap.
    pub(crate) fn has_free_swap(&self) -> bool {
        let swap = self.swap.lock();
        swap.used < swap.capacity
    }

    /// `add_to_swap()`: a slot for a page, which enters the swap cache. The cache takes a reference. Folio lock held.
    pub(crate) fn add_to_swap(&self, k: &Kernel, pfn: Pfn) -> Option<u64> {
        let slot = {
            let mut swap = self.swap.lock();
            if swap.used >= swap.capacity {
                return None;
            }
            swap.used += 1;
            let slot = swap.slots.take(k.current_task());
            *swap.slot(slot) = Slot { users: 0, cache: Some(pfn), value: 0 };
            slot
        };
        self.get_page(k, pfn);
        self.with_frame(pfn, |f| {
            f.flags |= FrameFlags::SWAPCACHE;
            f.set_slot(slot);
        });
        Some(slot)
    }

    /// Takes a page out of the swap cache, with the cache's reference left to the caller. The slot goes when no entry
    /// names it. Folio lock held.
    pub(crate) fn delete_from_swap_cache(&self, k: &Kernel, pfn: Pfn) {
        let slot = self.with_frame(pfn, |f| {
            f.flags -= FrameFlags::SWAPCACHE;
            f.slot()
        });
        k.visible_write(slot_obj(slot));
        let mut swap = self.swap.lock();
        let entry = swap.slot(slot);
        entry.cache = None;
        if entry.users == 0 {
            free_slot(k, &mut swap, slot);
        }
    }

    /// A page of the swap cache is in another frame now. Folio lock held.
    pub(crate) fn replace_in_swap_cache(&self, slot: u64, pfn: Pfn) {
        self.swap.lock().slot(slot).cache = Some(pfn);
    }

    /// `swap_writepage()`: the contents go out. Sync point `swap`.
    pub(crate) fn swap_writepage(&self, k: &Kernel, pfn: Pfn, slot: u64) {
        k.sync_reached(NAMES.swap);
        k.visible_write(slot_obj(slot));
        let content = self.content(pfn);
        {
            let mut swap = self.swap.lock();
            let value = swap.words.keep(slot, content);
            swap.slot(slot).value = value;
        }
        k.emit(EventKind::SwapOut { pfn, slot });
        k.sync_passed(NAMES.swap);
    }

    /// The contents of a slot that an entry names.
    pub(crate) fn swap_read(&self, k: &Kernel, slot: u64) -> Content {
        k.visible_read(slot_obj(slot));
        let mut swap = self.swap.lock();
        let value = swap.slot(slot).value;
        swap.words.content(slot, value)
    }

    /// `swap_duplicate()`: an entry more names the slot.
    pub(crate) fn swap_duplicate(&self, slot: u64) {
        self.swap.lock().slot(slot).users += 1;
    }

    /// `swap_free()`: an entry less does. Returns whether another one is left.
    pub(crate) fn swap_free(&self, k: &Kernel, slot: u64) -> bool {
        k.visible_write(slot_obj(slot));
        let mut swap = self.swap.lock();
        let entry = swap.slot(slot);
        entry.users = entry.users.saturating_sub(1);
        let (users, cached) = (entry.users, entry.cache.is_some());
        if users == 0 && !cached {
            free_slot(k, &mut swap, slot);
        }
        users > 0
    }

    /// `free_swap_and_cache()`: as [`Machine::swap_free`], and a cached page that nobody names goes too.
    pub(crate) fn free_swap_and_cache(&self, k: &Kernel, slot: u64) {
        if self.swap_free(k, slot) {
            return;
        }
        if let Some(pfn) = self.swap_cache(slot) {
            self.settle_swap_cache(k, pfn, slot);
        }
    }

    /// `free_page_and_swap_cache()`: gives up the reference of an entry that was cleared, and the page's place in the swap
    /// cache if it was the last one to map it and no entry names its slot.
    pub(crate) fn free_page_and_swap_cache(&self, k: &Kernel, pfn: Pfn) {
        let frame = self.frame(pfn);
        if frame.flags.contains(FrameFlags::SWAPCACHE) {
            self.settle_swap_cache(k, pfn, frame.slot());
        }
        self.put_page(k, pfn);
    }

    /// Waits until nobody has the lock of a folio (`folio_wait_locked()`).
    pub(crate) fn wait_folio(&self, k: &Kernel, pfn: Pfn) {
        drop(self.folio_lock(pfn).lock());
        self.settle_swap_cache(k, pfn, self.frame(pfn).slot());
    }

    /// Drops a page of the swap cache with its slot if nothing names the slot or maps the page. Folio lock held.
    fn try_drop_swap_cache(&self, k: &Kernel, pfn: Pfn, slot: u64) {
        if self.is_orphan(pfn, slot) {
            self.delete_from_swap_cache(k, pfn);
            self.put_page(k, pfn);
        }
    }

    fn is_orphan(&self, pfn: Pfn, slot: u64) -> bool {
        let frame = self.frame(pfn);
        frame.flags.contains(FrameFlags::SWAPCACHE)
            && frame.slot() == slot
            && frame.mapcount == 0
            && !self.swap_in_use(slot)
    }

    /// Drops a page of the swap cache that nothing needs. To be called by whoever cleared an entry that mapped it or named
    /// its slot, and after its folio lock was let go: whoever found the lock taken meanwhile left the page to its holder. (The kernel leaves it to later reclaim.)
    pub(crate) fn settle_swap_cache(&self, k: &Kernel, pfn: Pfn, slot: u64) {
        if !self.frame(pfn).flags.contains(FrameFlags::SWAPCACHE) {
            return;
        }
        // Others may stop needing it: who comes last must see that.
        k.visible_all(&[Op::read(slot_obj(slot)), Op::read(frame_obj(pfn))]);
        while self.is_orphan(pfn, slot) {
            let lock = self.folio_lock(pfn);
            let Some(_folio) = lock.try_lock() else { return };
            self.try_drop_swap_cache(k, pfn, slot);
        }
    }

    /// Whether an entry names the slot.
    pub(crate) fn swap_in_use(&self, slot: u64) -> bool {
        self.swap.lock().slot(slot).users > 0
    }

    /// The page in memory that has the contents of a slot.
    pub(crate) fn swap_cache(&self, slot: u64) -> Option<Pfn> {
        self.swap.lock().slot(slot).cache
    }
}

fn free_slot(k: &Kernel, swap: &mut SwapDevice, slot: u64) {
    swap.used -= 1;
    *swap.slot(slot) = Slot::default();
    swap.words.forget(slot);
    swap.slots.give(k.current_task(), slot);
}
