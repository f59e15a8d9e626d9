//! [`Ring`]: a command queue. A task of its own carries out what was submitted, word by word, and signals the fence of each.
//!
//! With [`Completion::Irq`] the task is the device alone: it notes how far it came and raises its interrupt, and the handler
//! signals the fences of everything that is done. A device whose handler was not installed is polled instead.
//!
//! Source: amdgpu_fence_process(), amdgpu_fence_emit(), drivers/gpu/drm/amd/amdgpu/amdgpu_fence.c, 6.12.

use crate::device::{Device, DeviceFault};
use crate::fence::{Fence, Signalling, Timeline, begin_signalling};
use ksync::{IrqLine, Kernel, WaitQueue, current};
use mm_types::{MmId, Name, ObjId, Vpn};
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

/// How a queue tells that a command is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// Its task signals the fence.
    Task,
    /// Its task raises an interrupt, whose handler signals the fence: the class of the fences' lock.
    Irq {
        /// As the kernel names it.
        fence_lock: &'static str,
    },
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
    irq: Option<Irq>,
}

/// What the device has done and not told of yet.
struct Irq {
    line: Arc<IrqLine>,
    /// What is done, as device and handler access it: the word in memory that the device writes.
    word: ObjId,
    done: parking_lot::Mutex<VecDeque<Arc<Fence>>>,
}

/// What a driver does for a job besides the device's own work.
pub type JobHook = Box<dyn Fn() + Send + Sync>;

impl Ring {
    /// A queue of `device` with the task that serves it, a daemon. `in_signalling` runs for each job between its last access
    /// and its fence, inside the signalling section: what a driver must do to signal.
    ///
    /// Context: setup.
    #[must_use]
    pub fn start(k: &Kernel, device: Arc<Device>, completion: Completion, in_signalling: JobHook) -> Arc<Ring> {
        let name = Name::new(&format!("{}-ring", device.name()));
        let wait = WaitQueue::new(k, name);
        let fences = Name::new(&format!("fence of {name}"));
        let (timeline, irq) = match completion {
            Completion::Task => (Timeline::new(fences), None),
            Completion::Irq { fence_lock } => {
                let line = Arc::new(IrqLine::new(k, Name::new(&format!("{}-irq", device.name()))));
                let irq = Irq { line, word: k.new_obj(), done: parking_lot::Mutex::default() };
                (Timeline::with_irq(k, fences, fence_lock), Some(irq))
            }
        };
        let ring = Arc::new(Ring { timeline, wait, jobs: parking_lot::Mutex::default(), irq });
        let of = Arc::clone(&ring);
        k.spawn_daemon(name, wait, move || {
            loop {
                of.wait.wait_event(|| !of.jobs.lock().is_empty());
                of.work(&device, &in_signalling);
            }
        });
        ring
    }

    /// Installs the handler of its interrupt, if it has one.
    ///
    /// Context: before the run, when its tasks are there.
    pub fn request_irq(self: &Arc<Ring>, k: &Kernel) {
        if let Some(irq) = &self.irq {
            let of = Arc::clone(self);
            k.request_irq(&irq.line, move || of.irq.iter().for_each(Irq::process));
        }
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
        match &self.irq {
            Some(irq) => irq.tell(job.fence),
            None => job.fence.signal(),
        }
        drop(section);
    }

    fn take(&self) -> Option<Job> {
        current(|k| k.visible_write(self.wait.obj()));
        self.jobs.lock().pop_front()
    }
}

impl Irq {
    /// The device: notes that a command is done, and raises the interrupt.
    fn tell(&self, fence: Arc<Fence>) {
        current(|k| k.visible_write(self.word));
        let handler = self.line.handler();
        if let Some(handler) = handler {
            fence.hand_over(handler);
        }
        self.done.lock().push_back(fence);
        match handler {
            Some(_) => self.line.raise(),
            None => self.process(),
        }
    }

    /// `amdgpu_fence_process()`: signals what is done, oldest first.
    fn process(&self) {
        loop {
            current(|k| k.visible_write(self.word));
            let Some(fence) = self.done.lock().pop_front() else { break };
            fence.signal();
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("jobs", &self.jobs.lock().len()).finish_non_exhaustive()
    }
}
