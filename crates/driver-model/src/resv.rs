//! `dma_resv`: the lock of a buffer, and the fences of what the device still does with it.
//!
//! The lock is a `ww_mutex`, taken in an acquire context of its own: each driver here has one buffer. A driver with several
//! takes them in one context by `ksync::WwMutex` itself.

use crate::fence::{self, Fence};
use ksync::{Assertion, FsReclaim, Kernel, WwAcquireCtx, WwClass, WwGuard, WwMutex, WwPolicy, current};
use mm::{Mm, device};
use mm_types::{Gfp, ObjId};
use std::sync::Arc;

/// `struct dma_resv`.
#[derive(Debug)]
pub struct Resv {
    class: WwClass,
    lock: WwMutex,
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
    // Let go before the context ends.
    _lock: WwGuard<'a>,
    _ctx: Option<WwAcquireCtx>,
}

impl Resv {
    /// A buffer that nobody uses.
    #[must_use]
    pub fn new(k: &Kernel) -> Resv {
        let class = WwClass::new(k, "reservation_ww_class", WwPolicy::WoundWait);
        let lock = WwMutex::new(k, &class);
        Resv { class, lock, list: k.new_obj(), fences: parking_lot::Mutex::default() }
    }

    /// `dma_resv_lock()` in an acquire context of its own. May sleep.
    #[track_caller]
    pub fn lock(&self) -> ResvGuard<'_> {
        let ctx = WwAcquireCtx::init(&self.class);
        // A context without a lock has nothing to give way with, so this is not told to.
        let lock = self.lock.lock(Some(&ctx)).or_else(|_| self.lock.lock_slow(&ctx));
        ResvGuard { resv: self, _lock: lock.expect("the first lock of a context"), _ctx: Some(ctx) }
    }

    /// `dma_resv_trylock()`: no acquire context is opened, and nothing is waited for.
    #[track_caller]
    pub fn try_lock(&self) -> Option<ResvGuard<'_>> {
        self.lock.try_lock(None).map(|lock| ResvGuard { resv: self, _lock: lock, _ctx: None })
    }

    /// `dma_resv_assert_held()`: what walks the fences without restarting begins with it.
    #[track_caller]
    pub fn assert_held(&self) {
        current(|k| k.lockdep_assert(Assertion::Held(self.lock.obj().0)));
    }

    /// `dma_resv_test_signaled()`: whether the device is done with the buffer. The caller has reserved it, so that it stays so.
    pub fn is_idle(&self) -> bool {
        current(|k| k.visible_read(self.list));
        let fences = self.fences.lock().clone();
        fences.iter().all(|fence| fence.test_signalled())
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
