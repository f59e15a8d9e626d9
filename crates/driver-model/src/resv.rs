//! `dma_resv`: the lock of a buffer, and the fences of what the device still does with it.
//!
//! The kernel's lock is a `ww_mutex`, taken with an acquire context whenever several buffers are locked. Here each driver
//! has one buffer, so it is a mutex of that class under the map of the context; a driver with several takes them by a real one.

use crate::fence::{self, Fence};
use ksync::{Assertion, FsReclaim, Kernel, LockClass, LockMap, MapGuard, Mutex, MutexGuard, RawMutex, current};

use mm::{Mm, device};
use mm_types::{Gfp, ObjId};
use std::sync::Arc;
use trace::LockKind;

/// `struct dma_resv`.
#[derive(Debug)]
pub struct Resv {
    acquire: LockMap,
    lock: Mutex<()>,
    /// The identity of `lock`.
    obj: ObjId,
    /// What adding a fence writes and a wait for all reads.
    list: ObjId,
    /// A storage lock.
    fences: parking_lot::Mutex<Vec<Arc<Fence>>>,
}

/// A reservation that is held.
#[derive(Debug)]
#[must_use = "the reservation lasts as long as this value"]
pub struct ResvGuard<'a> {
    resv: &'a Resv,
    _lock: MutexGuard<'a, ()>,
    _acquire: Option<MapGuard>,
}

impl Resv {
    /// A buffer that nobody uses.
    #[must_use]
    pub fn new(k: &Kernel) -> Resv {
        let class = k.class(LockClass::new("reservation_ww_class_mutex", LockKind::Mutex));
        let obj = k.new_obj();
        Resv {
            acquire: k.lock_map("reservation_ww_class_acquire"),
            lock: Mutex::from_raw(RawMutex::new(class, obj), ()),
            obj,
            list: k.new_obj(),
            fences: parking_lot::Mutex::default(),
        }
    }

    /// `dma_resv_lock()` in an acquire context of its own. May sleep.
    #[track_caller]
    pub fn lock(&self) -> ResvGuard<'_> {
        let acquire = self.acquire.acquire();
        ResvGuard { resv: self, _lock: self.lock.lock(), _acquire: Some(acquire) }
    }

    /// `dma_resv_trylock()`: no acquire context is opened, and nothing is waited for.
    #[track_caller]
    pub fn try_lock(&self) -> Option<ResvGuard<'_>> {
        self.lock.try_lock().map(|lock| ResvGuard { resv: self, _lock: lock, _acquire: None })
    }

    /// `dma_resv_assert_held()`: what walks the fences without restarting begins with it.
    #[track_caller]
    pub fn assert_held(&self) {
        current(|k| k.lockdep_assert(Assertion::Held(self.obj.0)));
    }

    /// `dma_resv_wait_timeout()` without a limit: waits for every fence that is there now. Needs no reservation; may sleep.
    #[track_caller]
    pub fn wait_all(&self) {
        fence::might_wait();
        let fences = current(|k| {
            k.visible_read(self.list);
            self.fences.lock().clone()
        });
        fences.iter().for_each(|fence| fence.wait());
    }

    /// `dma_resv_lockdep()`: what the kernel teaches its validator at boot. A fault may take reservations under `mmap_lock`,
    /// allocations may be made under a reservation, and a notifier callback may wait for fences.
    ///
    /// Context: setup. Source: drivers/dma-buf/dma-resv.c, 6.12; the reverse map of files is left out.
    pub fn prime(&self, mm: &Mm) {
        device::with_mmap_read(mm, || {
            let _reserved = self.lock();
            let _reclaim = FsReclaim::acquire(Gfp::KERNEL);
            mm.subscriptions().prime_callback(fence::might_wait);
        });
    }
}

impl ResvGuard<'_> {
    /// `dma_resv_add_fence()`: whoever waits for the buffer from now on waits for `fence` too. Fences that are signalled are
    /// forgotten.
    pub fn add_fence(&self, fence: &Arc<Fence>) {
        current(|k| {
            k.visible_write(self.resv.list);
            let mut fences = self.resv.fences.lock();
            fences.retain(|f| !f.is_signalled());
            fences.push(Arc::clone(fence));
        });
    }
}
