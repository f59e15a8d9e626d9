//! The lock of a list driver, and what it protects.

use super::bracket::{End, Ended, Release, Released, Start, Started};
use super::lookup::{Found, MmRef};
use crate::device::{Device, DeviceFault, Spte};
use crate::typed::{Collided, Guarded};
use ksync::{Kernel, SpinLock, SpinLockGuard, TrackedU64, WaitQueue, current};
use mm::device;
use mm_types::{Errno, MmId, Name, PageRange, Vpn};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The spinlock that callbacks and publication meet at, around the device's page table and the driver's own `T`, with the count
/// of open brackets and the sequence of closed ones.
///
/// A spinlock, so that no callback has to refuse: nothing may sleep under it, nor allocate with `GFP_KERNEL`.
pub struct MmuLock<T = ()> {
    pub(super) device: Arc<Device>,
    pub(super) mm: MmId,
    inner: SpinLock<Guarded<T>>,
    brackets: Brackets,
}

/// `mmu_invalidate_in_progress` and `mmu_invalidate_seq`: written under the lock.
struct Brackets {
    in_progress: AtomicU64,
    /// Who waits for 0 waits here.
    idle: WaitQueue,
    seq: TrackedU64,
}

impl<T> MmuLock<T> {
    pub(super) fn new(k: &Kernel, class: &str, device: Arc<Device>, mm: MmId, state: T) -> MmuLock<T> {
        let brackets = Brackets {
            in_progress: AtomicU64::new(0),
            idle: WaitQueue::new(k, Name::new(&format!("brackets of {} == 0", device.name()))),
            seq: TrackedU64::new(k.new_obj(), 0),
        };
        MmuLock { device, mm, inner: k.spinlock(class, Guarded::new(state)), brackets }
    }

    /// Takes it. Does not sleep.
    #[track_caller]
    pub fn lock(&self) -> Table<'_, T> {
        Table { lock: self, guard: self.inner.lock() }
    }

    /// From here on what is looked up may be published.
    pub(super) fn open(&self) {
        self.inner.lock().open = true;
    }

    /// The subscription has ended: brackets that were open then will not be told to have closed. Who waits for them goes on.
    pub(super) fn forget_brackets(&self) {
        self.brackets.idle.wake_all_after(|| self.brackets.in_progress.store(0, Ordering::Release));
    }

    /// Waits until no bracket is open, and says how many have closed; `None` if nothing may be published. The caller holds no
    /// lock that a caller of the notifiers may take. May sleep.
    #[track_caller]
    pub(super) fn read_begin(&self) -> Option<u64> {
        self.brackets.idle.wait_event(|| !self.brackets.any());
        let guard = self.inner.lock();
        guard.open.then(|| self.brackets.seq.load())
    }
}

impl Brackets {
    fn any(&self) -> bool {
        self.in_progress.load(Ordering::Acquire) > 0
    }

    fn open(&self) {
        current(|k| k.visible_write(self.idle.obj()));
        self.in_progress.fetch_add(1, Ordering::AcqRel);
        self.idle.owe();
    }

    fn close(&self) {
        self.seq.store(self.seq.peek() + 1);
        self.idle.wake_all_after(|| {
            // An honest driver has counted it: none is open while one is registered.
            let _never_below = self.in_progress.try_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        });
        self.idle.settle();
    }
}

impl<T> fmt::Debug for MmuLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmuLock").field("device", &self.device).finish_non_exhaustive()
    }
}

/// The device's page table, under its lock. Dereferences to the driver's own state.
pub struct Table<'l, T = ()> {
    pub(super) lock: &'l MmuLock<T>,
    guard: SpinLockGuard<'l, Guarded<T>>,
}

impl<T> Table<'_, T> {
    /// `kvm_mmu_invalidate_begin()`: a bracket is open from here on, so that nothing looked up before it is published.
    pub fn begin<'a>(&mut self, _start: Start<'a>) -> Started<'a> {
        self.lock.brackets.open();
        Started::proven()
    }

    /// `kvm_mmu_invalidate_end()`: the bracket is closed and the sequence goes on, so that nothing looked up inside of it is
    /// published.
    pub fn end<'a>(&mut self, _end: End<'a>) -> Ended<'a> {
        self.lock.brackets.close();
        Ended::proven()
    }

    /// Takes every translation away; from here on none comes.
    pub fn close<'a>(&mut self, _release: Release<'a>) -> Released<'a> {
        self.guard.open = false;
        self.zap(PageRange::ALL);
        Released::proven()
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

    /// `get_user_pages_fast()` of one page, without a reference: publishes what the process's page table has for it at this moment,
    /// which no invalidation changes before it has been told under this lock. Does not sleep. Whether there was something: not while
    /// a bracket is open, nor once the subscription or the mm has ended.
    ///
    /// # Errors
    /// `ENODEV` when the driver is not subscribed.
    pub fn publish_present(&mut self, mm: &MmRef<'_>, vpn: Vpn, write: bool) -> Result<bool, Errno> {
        if self.lock.brackets.any() {
            return mm.sub.map(|_| false).ok_or(Errno::ENODEV);
        }
        self.fill(mm, vpn, write)
    }

    /// The same whether or not a bracket is open.
    pub(super) fn fill(&mut self, mm: &MmRef<'_>, vpn: Vpn, write: bool) -> Result<bool, Errno> {
        let via = mm.sub.ok_or(Errno::ENODEV)?;
        let allowed = |(_, writable): &(_, bool)| *writable || !write;
        let entry = device::walk_objects(mm.mm, vpn);
        let walk = || device::walk_now(mm.mm, vpn).filter(allowed);
        Ok(self.guard.open && self.lock.device.fill(via, vpn, entry, walk))
    }

    /// The device reads the word of a page while the lock is held, so that its translation stays for the access.
    ///
    /// # Errors
    /// [`DeviceFault`] without a translation.
    pub fn read(&self, vpn: Vpn) -> Result<u64, DeviceFault> {
        self.lock.device.read(self.lock.mm, vpn)
    }

    /// The device writes the word of a page while the lock is held.
    ///
    /// # Errors
    /// [`DeviceFault`] without a translation that allows it.
    pub fn write(&self, vpn: Vpn, value: u64) -> Result<(), DeviceFault> {
        self.lock.device.write(self.lock.mm, vpn, value)
    }

    /// `set_page_dirty_lock()` of what the device has of `pages`: takes their folio locks, which may sleep, so never in a callback.
    pub fn set_page_dirty_lock(&self, pages: PageRange) {
        let lock = self.lock;
        let there = lock.device.sptes().into_iter().filter(|(mm, vpn, _)| *mm == lock.mm && pages.contains(*vpn));
        there.for_each(|(.., spte)| device::set_page_dirty_lock(lock.device.machine(), spte.pfn));
    }

    /// `mmu_invalidate_retry()`: whether `found` still holds. What passed may be published while this guard lives.
    ///
    /// # Errors
    /// [`Collided`] if a bracket is open or one closed since `read_begin`, or the subscription or the mm has ended: begin again.
    pub fn retry<'t>(&'t self, found: &'t Found<'_, T>) -> Result<Fresh<'t, T>, Collided> {
        let brackets = &self.lock.brackets;
        if brackets.any() || brackets.seq.load() != found.seq || !self.guard.open {
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

/// Pages that passed `retry` under the lock whose guard it borrows.
#[must_use = "what was looked up is not published yet"]
pub struct Fresh<'t, T = ()> {
    device: &'t Device,
    found: &'t Found<'t, T>,
}

impl<T> Fresh<'_, T> {
    /// Puts them where the device can use them: an entry for 2 MiB where the device has such and so has the process.
    pub fn publish(self) {
        self.found.publish_to(self.device);
    }
}

impl<T> fmt::Debug for Fresh<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("found", self.found).finish_non_exhaustive()
    }
}
