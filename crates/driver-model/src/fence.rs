//! `dma_fence`: a promise that a device will be done, and the validator's view of it.
//!
//! Whoever waits for a fence waits for everything that its signaller may still have to take. The kernel tells lockdep by
//! one map, `dma_fence_map`: a signalling section holds it shared, a wait takes and releases it exclusively. So a cycle
//! through a fence is reported although nobody ever waited for long:
//!
//! ```text
//! signaller                            notifier callback
//! begin_signalling    dma_fence_map    range_start map
//!   kmalloc             -> fs_reclaim    fence.wait()  -> dma_fence_map
//! signal                   -> range_start map
//! ```
//!
//! A timeline whose device tells by an interrupt ([`Timeline::with_irq`]) signals from its handler, so its fences share a lock
//! that is taken with interrupts disabled, and callbacks run under it in whatever context signals:
//!
//! ```text
//! ring (device)      handler, hardirq                     waiter, submitter
//! accesses                                                lock_irqsave &ring->fence_drv.lock
//! raise              arrive                                 add_callback, or find it signalled
//!                      lock_irqsave                       unlock
//!                        done; callbacks; wake            wait
//!                      unlock
//! ```
//!
//! The fences of a timeline without interrupts are signalled by its task alone; for these the lock, which nobody could be kept
//! waiting by, is left out.
//!
//! Source: dma_fence_signal(), dma_fence_add_callback(), dma_fence_default_wait(), dma_fence_begin_signalling(), __dma_fence_might_wait(), drivers/dma-buf/dma-fence.c, 6.12.

use ksync::{IrqGuard, Kernel, LockMap, MapGuard, SpinLock, SpinLockIrq, WaitQueue, current};
use mm_types::{Name, ObjId, TaskId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Objects of this crate are keyed from 32 on (`device.rs`).
const FENCE_MAP: u8 = 33;

fn map(k: &Kernel) -> LockMap {
    k.lock_map_of("dma_fence_map", ObjId::keyed(FENCE_MAP, 0))
}

/// A timeline: fences that one queue signals in order.
#[derive(Debug)]
pub struct Timeline {
    name: Name,
    last: AtomicU64,
    /// Shared by its fences, if they are signalled from an interrupt.
    lock: Option<Arc<SpinLock<()>>>,
}

/// What is to be done when a fence is signalled, under its lock and in the context that signals: it must not sleep.
pub type FenceCallback = Box<dyn FnOnce() + Send>;

impl Timeline {
    /// One without fences.
    #[must_use]
    pub const fn new(name: Name) -> Timeline {
        Timeline { name, last: AtomicU64::new(0), lock: None }
    }

    /// One whose fences are signalled from an interrupt; the class of their lock.
    #[must_use]
    pub fn with_irq(k: &Kernel, name: Name, class: &str) -> Timeline {
        Timeline { lock: Some(Arc::new(k.spinlock(class, ()))), ..Timeline::new(name) }
    }

    /// Its next fence, not signalled.
    #[must_use]
    pub fn next(&self) -> Arc<Fence> {
        let seqno = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let queue = current(|k| WaitQueue::new(k, self.name));
        let (done, callbacks) = (AtomicBool::new(false), parking_lot::Mutex::default());
        Arc::new(Fence { seqno, done, queue, lock: self.lock.clone(), callbacks })
    }
}

/// `struct dma_fence`.
pub struct Fence {
    seqno: u64,
    done: AtomicBool,
    queue: WaitQueue,
    lock: Option<Arc<SpinLock<()>>>,
    /// A storage lock.
    callbacks: parking_lot::Mutex<Vec<FenceCallback>>,
}

impl Fence {
    /// Its number on its timeline, from 1.
    #[must_use]
    pub fn seqno(&self) -> u64 {
        self.seqno
    }

    /// Whether it was signalled, without a scheduling point.
    #[must_use]
    pub fn is_signalled(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// `dma_fence_is_signaled()` as a step of its own: for who acts on the answer without another that says what it looks at.
    pub fn test_signalled(&self) -> bool {
        current(|k| k.visible_read(self.queue.obj()));
        self.is_signalled()
    }

    /// The current task will signal it: a deadlock report names it as who is waited for.
    pub fn owe(&self) {
        self.queue.owe();
    }

    /// The current task will not signal it: `handler` does, of the interrupt that it is about to raise.
    pub fn hand_over(&self, handler: TaskId) {
        self.queue.hand_over(handler);
    }

    /// `dma_fence_signal()`: runs its callbacks and wakes everybody who waits, for good. From any context, if it is of a
    /// timeline with interrupts.
    #[track_caller]
    pub fn signal(&self) {
        let guard = self.lock_irqsave();
        self.queue.wake_all_after(|| self.done.store(true, Ordering::Release));
        let callbacks = std::mem::take(&mut *self.callbacks.lock());
        callbacks.into_iter().for_each(|callback| callback());
        drop(guard);
        self.queue.settle();
    }

    /// `dma_fence_add_callback()`: `callback` runs when it is signalled. False, and nothing is kept, if it was already.
    #[track_caller]
    pub fn add_callback(&self, callback: FenceCallback) -> bool {
        let _guard = self.lock_irqsave();
        current(|k| k.visible_write(self.queue.obj()));
        let pending = !self.is_signalled();
        if pending {
            self.callbacks.lock().push(callback);
        }
        pending
    }

    /// `dma_fence_wait()`: returns when it is signalled. May sleep.
    #[track_caller]
    pub fn wait(&self) {
        might_wait();
        // It adds a callback of its own.
        drop(self.lock_irqsave());
        self.queue.wait_event(|| self.is_signalled());
    }

    #[track_caller]
    fn lock_irqsave(&self) -> Option<IrqGuard<'_, ()>> {
        #[expect(clippy::manual_map, reason = "inside of `map` the closure would be the caller that is reported")]
        match &self.lock {
            Some(lock) => Some(lock.lock_irqsave()),
            None => None,
        }
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("seqno", &self.seqno)
            .field("signalled", &self.is_signalled())
            .finish_non_exhaustive()
    }
}

/// A signalling section: what is taken in it, somebody may be waiting for.
#[derive(Debug)]
#[must_use = "the section lasts as long as this value"]
pub struct Signalling {
    /// `None` inside of another section.
    _map: Option<MapGuard>,
}

/// `dma_fence_begin_signalling()` .. `dma_fence_end_signalling()`. Sections nest.
#[track_caller]
pub fn begin_signalling() -> Signalling {
    let map = current(map);
    let outermost = !map.is_held();
    #[expect(clippy::if_then_some_else_none, reason = "inside `then` the closure would be the caller that is reported")]
    let held = if outermost { Some(map.acquire_shared()) } else { None };
    Signalling { _map: held }
}

/// `__dma_fence_might_wait()`: teaches the validator that the caller may wait for a fence here. A task may wait for another
/// device's fence inside of a signalling section of its own, so that one does not count.
#[track_caller]
pub fn might_wait() {
    let map = current(map);
    if !map.is_held() {
        map.touch();
    }
}
