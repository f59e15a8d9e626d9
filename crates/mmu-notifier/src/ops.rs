//! What subscribers implement, and what the framework asks of an mm.

use crate::{IntervalSub, Subscriptions};
use bitflags::bitflags;
use mm_types::{Errno, MmId, Name, ObjId, PageRange, Pte, Vpn};
use std::fmt;
use trace::{AccessModel, NotifyRange};

/// A callback was told not to sleep and could not go on without (`-EAGAIN`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a notifier callback would block")
    }
}

impl std::error::Error for WouldBlock {}

bitflags! {
    /// Which callbacks a list subscriber has: the members of its `struct mmu_notifier_ops` that are not NULL.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Hooks: u8 {
        /// `release`.
        const RELEASE = 1;
        /// `invalidate_range_start`.
        const RANGE_START = 2;
        /// `invalidate_range_end`.
        const RANGE_END = 4;
        /// `arch_invalidate_secondary_tlbs`.
        const SECONDARY_TLB = 8;
        /// `clear_flush_young`.
        const CLEAR_FLUSH_YOUNG = 16;
        /// `clear_young`.
        const CLEAR_YOUNG = 32;
        /// `test_young`.
        const TEST_YOUNG = 64;
        /// `change_pte`, up to 6.9.
        const CHANGE_PTE = 128;
    }
}

/// A list subscriber: `struct mmu_notifier` with its ops. Only callbacks named by [`Notifier::hooks`] are called, each
/// inside an SRCU read section.
///
/// It must not own the mm it subscribes to: the mm owns its subscribers.
pub trait Notifier: Send + Sync {
    /// The name of the device or test, for events.
    fn name(&self) -> Name;

    /// How it uses translations: what STALE judges it by.
    fn model(&self) -> AccessModel;

    /// Its token, by which it knows invalidations made on its own behalf.
    fn owner(&self) -> Option<ObjId> {
        None
    }

    /// Which callbacks exist. Asked once, at registration.
    fn hooks(&self) -> Hooks;

    /// The address space goes away, or this subscriber is being unregistered: every translation must go. May sleep. Can
    /// run in two tasks at once when both happen together.
    fn release(&self, mm: MmId) {
        let _ = mm;
    }

    /// Translations of `range` are about to go. May sleep only if `range.blockable`.
    ///
    /// # Errors
    /// [`WouldBlock`], only if not `range.blockable`. A subscriber that can refuse must have no `invalidate_range_end`:
    /// it would be called for the refused start too.
    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        let _ = range;
        Ok(())
    }

    /// The bracket is closed. May sleep only if `range.blockable`.
    fn invalidate_range_end(&self, range: &NotifyRange) {
        let _ = range;
    }

    /// Tests and clears the accessed state of `pages` and flushes; whether any was accessed. Must not sleep.
    fn clear_flush_young(&self, mm: MmId, pages: PageRange) -> bool {
        let _ = (mm, pages);
        false
    }

    /// Tests and clears the accessed state of `pages`; whether any was accessed. Must not sleep.
    fn clear_young(&self, mm: MmId, pages: PageRange) -> bool {
        let _ = (mm, pages);
        false
    }

    /// Tests the accessed state of a page. Must not sleep.
    fn test_young(&self, mm: MmId, vpn: Vpn) -> bool {
        let _ = (mm, vpn);
        false
    }

    /// The entry of `vpn`, which is cleared and announced by an open bracket, will be `pte` next. A subscriber need do nothing:
    /// its translation went at the start. Must not sleep. Up to 6.9.
    fn change_pte(&self, mm: MmId, vpn: Vpn, pte: Pte) {
        let _ = (mm, vpn, pte);
    }

    /// The CPUs' TLBs are being flushed for `pages`; so must be a TLB that walks the CPU's page table. Must not sleep.
    fn arch_invalidate_secondary_tlbs(&self, mm: MmId, pages: PageRange) {
        let _ = (mm, pages);
    }
}

/// An interval subscriber: `struct mmu_interval_notifier_ops`.
///
/// It must own neither the mm nor its [`IntervalSub`]: both own it.
pub trait IntervalNotifier: Send + Sync {
    /// The name of the device or test, for events.
    fn name(&self) -> Name;

    /// How it uses translations: what STALE judges it by.
    fn model(&self) -> AccessModel;

    /// Its token, by which it knows invalidations made on its own behalf.
    fn owner(&self) -> Option<ObjId> {
        None
    }

    /// Translations of `range`, which overlaps the subscribed pages, are about to go. The subscriber takes the lock it
    /// publishes translations under, calls `sub.set_seq(cur_seq)`, and takes its translations of `range` away before it
    /// returns. May sleep only if `range.blockable`. Not inside an SRCU read section.
    ///
    /// Returns false if that would have meant sleeping although `range` is not blockable. Then nothing may have changed.
    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool;
}

/// What the framework asks of an mm. Implemented by `mm::Mm`, and by tests.
pub trait MmHost {
    /// Which address space it is.
    fn mm_id(&self) -> MmId;

    /// Calls `body` once with the mmap lock held for writing.
    fn with_mmap_write(&self, body: &mut dyn FnMut());

    /// Calls `body` once with every lock taken under which page-table entries of this mm change
    /// (`mm_take_all_locks()`). The caller holds the mmap lock for writing.
    ///
    /// # Errors
    /// `EINTR` when a signal came; `body` was not called and nothing is held.
    fn take_all_locks(&self, body: &mut dyn FnMut()) -> Result<(), Errno>;

    /// Keeps the struct, not the address space: `mmgrab()`.
    fn mmgrab(&self);

    /// Gives up what [`MmHost::mmgrab`] took.
    fn mmdrop(&self);

    /// The mm's subscriptions.
    fn subscriptions(&self) -> &Subscriptions;
}
