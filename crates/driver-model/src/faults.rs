//! [`FaultBuffer`]: replayable faults of a device, told by an interrupt and handled by a worker.
//!
//! ```text
//! device                      interrupt            worker
//! misses a page
//! writes a fault, raises
//! stalls                      queues the work      handles every fault of the buffer, in order
//! tries again, or gives up                         replays
//! ```
//!
//! A device whose handler was not installed is polled: the work is queued when the fault is written.
//!
//! Source: nouveau_svm_event(), nouveau_svm_fault(), drivers/gpu/drm/nouveau/nouveau_svm.c, 6.12.

use crate::work::{Work, WorkQueue};
use ksync::{IrqLine, Kernel, WaitQueue, current};
use mm_types::{Errno, Name, Vpn};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

/// What handles one fault: the page, and whether the access was a write.
pub type FaultHandler = Box<dyn Fn(Vpn, bool) -> Result<(), Errno> + Send + Sync>;

/// The faults of a device that are not handled yet.
pub struct FaultBuffer {
    line: Arc<IrqLine>,
    wq: Arc<WorkQueue>,
    work: Arc<Work>,
    entries: Arc<Entries>,
}

struct Entries {
    /// The device stalls here, and the buffer is read and written as this object.
    replay: WaitQueue,
    /// A storage lock.
    queue: parking_lot::Mutex<VecDeque<Arc<Entry>>>,
    handle: FaultHandler,
}

struct Entry {
    vpn: Vpn,
    write: bool,
    handled: OnceLock<Result<(), Errno>>,
}

impl FaultBuffer {
    /// An empty buffer of the device `device`, with the worker that handles its faults by `handle`.
    ///
    /// Context: setup.
    #[must_use]
    pub fn start(k: &Kernel, device: Name, handle: FaultHandler) -> FaultBuffer {
        let replay = WaitQueue::new(k, Name::new(&format!("fault replay of {device}")));
        let entries = Arc::new(Entries { replay, queue: parking_lot::Mutex::default(), handle });
        let of = Arc::clone(&entries);
        FaultBuffer {
            line: Arc::new(IrqLine::new(k, Name::new(&format!("{device}-irq")))),
            wq: WorkQueue::start(k, &format!("{device}-fault")),
            work: Work::new(k, "&buffer->work", move || of.handle_all()),
            entries,
        }
    }

    /// Installs the interrupt's handler. `in_handler` is for drivers that are wrong on purpose: they handle faults right there.
    ///
    /// Context: before the run, when its tasks are there.
    pub fn request_irq(&self, k: &Kernel, in_handler: bool) {
        let (wq, work, entries) = (Arc::clone(&self.wq), Arc::clone(&self.work), Arc::clone(&self.entries));
        k.request_irq(&self.line, move || {
            if in_handler {
                entries.handle_all();
            }
            wq.queue_work(&work);
        });
    }

    /// The device misses a page and stalls until the fault is handled. May sleep.
    ///
    /// # Errors
    /// Those of the handler: the access is cancelled.
    #[track_caller]
    pub fn stall(&self, vpn: Vpn, write: bool) -> Result<(), Errno> {
        let entry = Arc::new(Entry { vpn, write, handled: OnceLock::new() });
        current(|k| k.visible_write(self.entries.replay.obj()));
        self.entries.queue.lock().push_back(Arc::clone(&entry));
        match self.line.handler() {
            Some(_) => self.line.raise(),
            None => {
                self.wq.queue_work(&self.work);
            }
        }
        self.entries.replay.wait_event(|| entry.handled.get().is_some());
        entry.handled.get().copied().unwrap_or(Err(Errno::EFAULT))
    }

    /// Waits until every fault that was told of is handled. May sleep.
    #[track_caller]
    pub fn flush(&self) {
        self.wq.flush_work(&self.work);
    }
}

impl Entries {
    fn handle_all(&self) {
        loop {
            current(|k| k.visible_write(self.replay.obj()));
            let Some(entry) = self.queue.lock().pop_front() else { break };
            self.replay.owe();
            let done = (self.handle)(entry.vpn, entry.write);
            self.replay.wake_all_after(|| {
                let _first = entry.handled.set(done);
            });
            self.replay.settle();
        }
    }
}

impl fmt::Debug for FaultBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultBuffer").field("faults", &self.entries.queue.lock().len()).finish_non_exhaustive()
    }
}
