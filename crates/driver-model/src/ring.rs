//! [`Ring`]: a command queue. A task of its own carries out what was submitted, word by word, and signals the fence of each.

use crate::device::{Device, DeviceFault};
use crate::fence::{Fence, Signalling, Timeline, begin_signalling};
use ksync::{Kernel, WaitQueue, current};
use mm_types::{MmId, Name, Vpn};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// One word that a command touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touch {
    /// Whose page.
    pub mm: MmId,
    /// Which.
    pub vpn: Vpn,
    /// What it stores; `None` reads.
    pub store: Option<u64>,
}

struct Job {
    touches: Vec<Touch>,
    fence: Arc<Fence>,
}

/// A command queue of one device; jobs are done in order.
pub struct Ring {
    timeline: Timeline,
    wait: WaitQueue,
    /// A storage lock.
    jobs: parking_lot::Mutex<VecDeque<Job>>,
}

/// What a driver does for a job besides the device's own work.
pub type JobHook = Box<dyn Fn() + Send + Sync>;

impl Ring {
    /// A queue of `device` with the task that serves it, a daemon. `in_signalling` runs for each job between its last access
    /// and its fence, inside the signalling section: what a driver must do to signal.
    ///
    /// Context: setup.
    #[must_use]
    pub fn start(k: &Kernel, device: Arc<Device>, in_signalling: JobHook) -> Arc<Ring> {
        let name = Name::new(&format!("{}-ring", device.name()));
        let wait = WaitQueue::new(k, name);
        let timeline = Timeline::new(Name::new(&format!("fence of {name}")));
        let ring = Arc::new(Ring { timeline, wait, jobs: parking_lot::Mutex::default() });
        let of = Arc::clone(&ring);
        k.spawn_daemon(name, wait, move || {
            loop {
                of.wait.wait_event(|| !of.jobs.lock().is_empty());
                of.work(&device, &in_signalling);
            }
        });
        ring
    }

    /// The fence of a command that is about to be submitted.
    #[must_use]
    pub fn next_fence(&self) -> Arc<Fence> {
        self.timeline.next()
    }

    /// Submits a command, whose end `fence` will tell. Does not sleep.
    pub fn push(&self, touches: Vec<Touch>, fence: Arc<Fence>) {
        self.wait.wake_all_after(|| self.jobs.lock().push_back(Job { touches, fence }));
    }

    /// Carries out the oldest command. A word without a translation is skipped: this engine has no fault handler.
    fn work(&self, device: &Device, in_signalling: &JobHook) {
        let Some(job) = self.take() else { return };
        let section: Signalling = begin_signalling();
        job.fence.owe();
        for touch in &job.touches {
            let _skipped: Result<(), DeviceFault> = match touch.store {
                Some(value) => device.write(touch.mm, touch.vpn, value),
                None => device.read(touch.mm, touch.vpn).map(drop),
            };
        }
        in_signalling();
        job.fence.signal();
        drop(section);
    }

    fn take(&self) -> Option<Job> {
        current(|k| k.visible_write(self.wait.obj()));
        self.jobs.lock().pop_front()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("jobs", &self.jobs.lock().len()).finish_non_exhaustive()
    }
}
