//! The notifier lock and what it protects.

use super::invalidation::{Invalidated, Invalidation, Refused};
use super::lookup::Found;
use crate::device::{Device, Spte};
use crate::typed::{Collided, Guarded};
use ksync::{Kernel, Mutex, MutexGuard};
use mm::device::HmmPage;
use mm_types::{MmId, PageRange, Vpn};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The mutex that `invalidate` and publication meet at, around the device's page table and the driver's own `T`.
///
/// Nothing may be allocated with `GFP_KERNEL` under it: `invalidate` takes it, possibly inside of reclaim.
pub struct NotifierLock<T = ()> {
    pub(super) device: Arc<Device>,
    pub(super) mm: MmId,
    inner: Mutex<Guarded<T>>,
}

impl<T> NotifierLock<T> {
    pub(super) fn new(k: &Kernel, class: &str, device: Arc<Device>, mm: MmId, state: T) -> NotifierLock<T> {
        NotifierLock { device, mm, inner: k.mutex(class, Guarded::new(state)) }
    }

    /// Takes it. May sleep.
    #[track_caller]
    pub fn lock(&self) -> Table<'_, T> {
        Table { lock: self, guard: self.inner.lock() }
    }

    /// Takes it for an invalidation: waits for it only if that may sleep.
    ///
    /// # Errors
    /// [`Refused`] where it is held by another task and must not be waited for.
    #[track_caller]
    pub fn lock_for<'a>(&self, inv: Invalidation<'a>) -> Result<Table<'_, T>, Refused<'a>> {
        if inv.blockable() {
            return Ok(self.lock());
        }
        self.inner.try_lock().map(|guard| Table { lock: self, guard }).ok_or(Refused::proven())
    }

    /// From here on what is looked up may be published.
    pub(super) fn open(&self) {
        self.inner.lock().open = true;
    }

    /// Takes every translation away; from here on none comes.
    pub(super) fn close(&self, pages: PageRange) {
        let mut table = self.lock();
        table.guard.open = false;
        table.zap(pages);
    }
}

impl<T> fmt::Debug for NotifierLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierLock").field("device", &self.device).finish_non_exhaustive()
    }
}

/// The device's page table, under its lock. Dereferences to the driver's own state.
pub struct Table<'l, T = ()> {
    pub(super) lock: &'l NotifierLock<T>,
    guard: MutexGuard<'l, Guarded<T>>,
}

impl<T> Table<'_, T> {
    /// `mmu_interval_set_seq()`: notes that an invalidation came, so that look-ups begun before do not pass `read_retry`.
    ///
    /// # Panics
    /// If the invalidation is of another address space than this lock's device is for.
    pub fn set_seq<'a>(&mut self, inv: Invalidation<'a>) -> Invalidated<'a> {
        assert!(
            inv.sub.mm_id() == self.lock.mm,
            "the notifier lock of {} was taken for another mm",
            self.lock.device.name()
        );
        inv.sub.set_seq(inv.cur_seq);
        Invalidated::proven()
    }

    /// Takes every translation of `pages` away, and with an entry for 2 MiB all that it translates; how many there were.
    pub fn zap(&mut self, pages: PageRange) -> u64 {
        self.lock.device.zap(self.lock.mm, pages)
    }

    /// The translation of a page.
    #[must_use]
    pub fn lookup(&self, vpn: Vpn) -> Option<Spte> {
        self.lock.device.lookup(self.lock.mm, vpn)
    }

    /// `mmu_interval_read_retry()`: whether `found` still holds. What passed may be published while this guard lives.
    ///
    /// # Errors
    /// [`Collided`] if an invalidation came since `read_begin`, or the subscription ends: begin again.
    pub fn read_retry<'t>(&'t self, found: Found<'t>) -> Result<Fresh<'t>, Collided> {
        if found.sub.read_retry(found.seq) || !self.guard.open {
            return Err(Collided);
        }
        Ok(Fresh { device: &self.lock.device, found })
    }
}

impl<T> Deref for Table<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Table<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> fmt::Debug for Table<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("device", &self.lock.device).finish_non_exhaustive()
    }
}

/// Pages that passed `read_retry` under the lock whose guard it borrows.
#[must_use = "what was looked up is not published yet"]
pub struct Fresh<'t> {
    device: &'t Device,
    found: Found<'t>,
}

impl Fresh<'_> {
    /// The pages, in order.
    #[must_use]
    pub fn pages(&self) -> &[HmmPage] {
        &self.found.pages
    }

    /// Puts them where the device can use them: an entry for 2 MiB where the device has such and so has the process.
    pub fn publish(self) {
        self.found.publish_to(self.device);
    }
}

impl fmt::Debug for Fresh<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("found", &self.found).finish_non_exhaustive()
    }
}
