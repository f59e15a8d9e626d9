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
//! Source: dma_fence_begin_signalling(), __dma_fence_might_wait(), drivers/dma-buf/dma-fence.c, 6.12.

use ksync::{Kernel, LockMap, MapGuard, WaitQueue, current};
use mm_types::{Name, ObjId};
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
}

impl Timeline {
    /// One without fences.
    #[must_use]
    pub const fn new(name: Name) -> Timeline {
        Timeline { name, last: AtomicU64::new(0) }
    }

    /// Its next fence, not signalled.
    #[must_use]
    pub fn next(&self) -> Arc<Fence> {
        let seqno = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        current(|k| Arc::new(Fence { seqno, done: AtomicBool::new(false), queue: WaitQueue::new(k, self.name) }))
    }
}

/// `struct dma_fence`.
pub struct Fence {
    seqno: u64,
    done: AtomicBool,
    queue: WaitQueue,
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

    /// The current task will signal it: a deadlock report names it as who is waited for.
    pub fn owe(&self) {
        self.queue.owe();
    }

    /// `dma_fence_signal()`: wakes everybody who waits, for good.
    pub fn signal(&self) {
        self.queue.wake_all_after(|| self.done.store(true, Ordering::Release));
        self.queue.settle();
    }

    /// `dma_fence_wait()`: returns when it is signalled. May sleep.
    #[track_caller]
    pub fn wait(&self) {
        might_wait();
        self.queue.wait_event(|| self.is_signalled());
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
