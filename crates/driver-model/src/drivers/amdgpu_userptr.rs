//! `amdgpu_userptr`: user memory as a buffer. Nothing is zapped: an invalidation waits until no command uses the pages, and
//! no later command may until they were looked up again.
//!
//! ```text
//! command submission                     invalidate
//! again:                                 lock &adev->notifier_lock
//! seq = read_begin                         set_seq
//! hmm_range_fault                          wait for every fence of the buffer
//! reserve the buffer                     unlock
//! lock &adev->notifier_lock
//!   read_retry: again if true
//!   publish, add the fence, push the job
//! unlock, unreserve
//! ```
//!
//! The lock excludes "found good, not yet waited for". Nothing is allocated under it, nor between the start of a job and its
//! fence, since the callback waits for both, possibly inside reclaim. The update of the GPU's page table is a job ahead of the
//! command's in the same queue; here it is done when the command is pushed.
//!
//! With the option `completion=interrupt` the GPU tells by an interrupt that a command is done. The fence's callback runs in its handler
//! and queues a work; the work takes the job from the scheduler's list, whose lock no interrupt takes:
//!
//! ```text
//! submission                     interrupt                             work
//! lock &sched->job_list_lock     lock_irqsave &ring->fence_drv.lock
//!   add the job                    signal; callback: queue the work
//! unlock                         unlock                                lock &sched->job_list_lock
//! push; add the callback                                                 take the jobs that are done
//! ```
//!
//! With the option `shrinker on` reclaim may have the buffer's pages taken from the device while nobody uses them: the buffer is
//! reserved by trylock, since allocations are made under reservations. As msm does (msm_gem_shrinker_scan(),
//! drivers/gpu/drm/msm/msm_gem_shrinker.c); TTM, which amdgpu uses, leaves user memory alone.
//!
//! Source: drm_sched_job_done_cb(), drm_sched_get_finished_job(), drivers/gpu/drm/scheduler/sched_main.c;
//! amdgpu_hmm_invalidate_gfx(), amdgpu_hmm_range_get_pages(), drivers/gpu/drm/amd/amdgpu/amdgpu_hmm.c;
//! amdgpu_cs_submit(), amdgpu_cs.c; 6.12.

use super::parts::{Base, OwnShrinker, Watched, mutants};
use super::{RETRIES_OPTION, SHRINKER_OPTION};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::fence::Fence;
use crate::kind::{Config, DriverKind, OptionInfo, Roles};
use crate::resv::Resv;
use crate::ring::{Completion, JobHook, Ring, Touch};
use crate::via::Via;
use crate::work::{Work, WorkQueue};
use ksync::{FsReclaim, Kernel, Mutex, SpinLock, current};
use mm::device::HmmPage;
use mm::{Mm, Scan, ShrinkControl, Shrinker, device};
use mm_types::{Errno, Gfp, MmId, Name, PageRange};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    GupUnderReservation = "gup-under-reservation": "looks pages up, under mmap_lock, while it holds the buffer's reservation",
    SkipRetry = "skip-retry": "submits without asking read_retry",
    UnlockBeforeUpdate = "unlock-before-update": "lets the notifier lock go before page table and fence are updated",
    NoFenceWait = "no-fence-wait": "does not wait in the callback for commands in flight",
    RereadSeq = "reread-seq": "reads the sequence again for each chunk of a look-up, and asks about the last only",
    AllocInSignalling = "alloc-in-signalling": "allocates with GFP_KERNEL before it signals a fence",
    MmapLockInSignalling = "mmap-lock-in-signalling": "takes mmap_lock between a command's last access and its fence",
    IteratesUnreserved = "iterates-unreserved": "walks the fences in the callback as one may who holds the reservation",
    ShrinkerOpensAcquire = "shrinker-opens-acquire": "its shrinker, in reclaim, opens an acquire context and waits for a reservation",
    AllocUnderNotifierLock = "alloc-under-notifier-lock": "allocates with GFP_KERNEL under the notifier lock",
    DoneLocksJobList = "done-locks-job-list": "takes in the fence's callback, in interrupt context, the lock of the job list, which others hold with interrupts enabled",
    AllocInFenceCallback = "alloc-in-fence-callback": "allocates with GFP_KERNEL in the fence's callback, in interrupt context",
    PrimeReclaimUnderNotifierLock = "prime-reclaim-under-notifier-lock": "teaches the validator at boot an order that no execution has",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "amdgpu_userptr",
    doc: "a userptr buffer: commands with fences, which an invalidation waits for",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION, COMPLETION_OPTION, SHRINKER_OPTION],
    ops: OPS,
    roles: Roles {
        map: Some("submit_read"),
        map_write: Some("submit"),
        read: Some("submit_read"),
        write: Some("submit"),
        ..Roles::NONE
    },
    whole_mm: false,
    make,
};

const COMPLETION_OPTION: OptionInfo = OptionInfo {
    name: "completion",
    doc: "how the GPU tells that a command is done: its task signals the fence, or an interrupt does",
    default: "task",
    words: &["task", "interrupt"],
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "submit", args: "[RANGE] [VALUE]", doc: "submits a command that writes to each page" },
    OpInfo { name: "submit_read", args: "[RANGE]", doc: "submits a command that reads each page" },
    OpInfo { name: "cpu_fault", args: "", doc: "a CPU faults on the buffer: the reservation is taken under mmap_lock" },
    OpInfo {
        name: "validate",
        args: "",
        doc: "makes the buffer ready: what that takes is allocated under its reservation",
    },
    OpInfo { name: "wait", args: "", doc: "waits until every command submitted so far is done" },
];

const NOTIFIER_LOCK: &str = "&adev->notifier_lock";
const FENCE_LOCK: &str = "&ring->fence_drv.lock";
const JOB_LIST_LOCK: &str = "&sched->job_list_lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let mutant = Mutant::of(config);
    let (name, resv) = (config.name, Resv::new(k));
    let device = Arc::clone(&base.device);
    let bo = Arc::new(Bo { name, mutant, notifier_lock: k.mutex(NOTIFIER_LOCK, ()), resv, device, mm: mm.id(), pages });
    bo.prime(mm);
    let in_signalling: JobHook = match mutant {
        Some(Mutant::AllocInSignalling) => Box::new(|| {
            let _ignored = current(|k| k.kmalloc(Gfp::KERNEL, 1));
        }),
        Some(Mutant::MmapLockInSignalling) => {
            let mm = Arc::downgrade(mm);
            Box::new(move || mm.upgrade().iter().for_each(|mm| device::with_mmap_read(mm, || ())))
        }
        _ => Box::new(|| ()),
    };
    let of_an_irq = [Mutant::DoneLocksJobList, Mutant::AllocInFenceCallback];
    let irq = config.says("completion", "interrupt") || mutant.is_some_and(|m| of_an_irq.contains(&m));
    let completion = if irq { Completion::Irq { fence_lock: FENCE_LOCK } } else { Completion::Task };
    let ring = Ring::start(k, Arc::clone(&base.device), completion, in_signalling);
    let jobs = irq.then(|| Jobs::new(k, config.name, mutant));
    let shrinks = config.says(SHRINKER_OPTION.name, "on") || config.is_mutant("shrinker-opens-acquire");
    Arc::new(Userptr { base, bo, ring, jobs, sub: Watched::default(), shrinks, shrinker: OwnShrinker::default() })
}

/// `struct drm_gpu_scheduler`, as far as interrupts meet it: the jobs that were pushed and not freed.
struct Jobs {
    mutant: Option<Mutant>,
    pending: Arc<SpinLock<Vec<Arc<Fence>>>>,
    wq: Arc<WorkQueue>,
    free_job: Arc<Work>,
}

impl Jobs {
    fn new(k: &Kernel, name: Name, mutant: Option<Mutant>) -> Jobs {
        let pending = Arc::new(k.spinlock(JOB_LIST_LOCK, Vec::<Arc<Fence>>::new()));
        let of = Arc::clone(&pending);
        let free_job = Work::new(k, "&sched->work_free_job", move || {
            let freed: Vec<_> = of.lock().extract_if(.., |fence| fence.is_signalled()).collect();
            drop(freed);
        });
        Jobs { mutant, pending, wq: WorkQueue::start(k, &format!("{name}-sched")), free_job }
    }

    /// A job is about to be pushed.
    fn begin(&self, fence: &Arc<Fence>) {
        self.pending.lock().push(Arc::clone(fence));
    }

    /// It was pushed: its end is waited for, or has come.
    fn watch(&self, fence: &Fence) {
        let (mutant, pending) = (self.mutant, Arc::clone(&self.pending));
        let (wq, free_job) = (Arc::clone(&self.wq), Arc::clone(&self.free_job));
        let done = move || {
            if mutant == Some(Mutant::DoneLocksJobList) {
                drop(pending.lock());
            }
            if mutant == Some(Mutant::AllocInFenceCallback) {
                let _ignored = current(|k| k.kmalloc(Gfp::KERNEL, 1));
            }
            wq.queue_work(&free_job);
        };
        if !fence.add_callback(Box::new(done)) {
            self.wq.queue_work(&self.free_job);
        }
    }

    /// `drm_sched_fini()`.
    fn fini(&self) {
        self.wq.flush();
    }
}

/// The buffer, and of `struct amdgpu_device` what callbacks need.
struct Bo {
    name: Name,
    mutant: Option<Mutant>,
    notifier_lock: Mutex<()>,
    resv: Resv,
    device: Arc<Device>,
    mm: MmId,
    pages: PageRange,
}

impl IntervalNotifier for Bo {
    fn name(&self) -> Name {
        self.name
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        if !range.blockable {
            return false;
        }
        let _guard = self.notifier_lock.lock();
        sub.set_seq(cur_seq);
        if self.has(Mutant::IteratesUnreserved) {
            self.resv.assert_held();
        }
        if !self.has(Mutant::NoFenceWait) {
            self.resv.wait_all();
        }
        true
    }
}

impl Bo {
    /// What the kernel and the driver teach the validator at boot.
    fn prime(&self, mm: &Mm) {
        self.resv.prime(mm);
        if self.has(Mutant::PrimeReclaimUnderNotifierLock) {
            let _guard = self.notifier_lock.lock();
            drop(FsReclaim::acquire(Gfp::KERNEL));
        }
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Shrinker for Bo {
    fn name(&self) -> Name {
        self.name
    }

    fn count_objects(&self, _: &ShrinkControl) -> u64 {
        self.pages.nr_pages()
    }

    /// A buffer that somebody has reserved, or that commands use, is passed over.
    fn scan_objects(&self, _: &mut ShrinkControl) -> Scan {
        let reserved =
            if self.has(Mutant::ShrinkerOpensAcquire) { Some(self.resv.lock()) } else { self.resv.try_lock() };
        match reserved {
            Some(_reserved) if self.resv.is_idle() => Scan::Freed(self.device.zap(self.mm, self.pages)),
            _ => Scan::Stop,
        }
    }
}

/// The driver of one buffer.
struct Userptr {
    base: Base,
    bo: Arc<Bo>,
    ring: Arc<Ring>,
    /// With `completion=interrupt`.
    jobs: Option<Jobs>,
    sub: Watched,
    shrinks: bool,
    shrinker: OwnShrinker,
}

impl Userptr {
    /// `amdgpu_cs_ioctl()`, and libdrm's restart of it when pages went.
    fn submit(&self, pages: PageRange, store: Option<u64>) -> Result<(), Errno> {
        let sub = self.sub.sub()?;
        self.base.own(pages)?;
        let _users = self.base.users()?;
        self.base.retry(|| self.try_submit(&sub, pages, store))
    }

    fn try_submit(&self, sub: &IntervalSub, pages: PageRange, store: Option<u64>) -> Result<Option<()>, Errno> {
        let early = self.bo.has(Mutant::GupUnderReservation).then(|| self.bo.resv.lock());
        current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        let Some((seq, found)) = self.get_pages(sub, pages, store.is_some())? else { return Ok(None) };
        let reserved = early.unwrap_or_else(|| self.bo.resv.lock());
        let mut guard = Some(self.bo.notifier_lock.lock());
        self.sub.still(sub)?;
        if self.bo.has(Mutant::AllocUnderNotifierLock) {
            current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        }
        if !self.bo.has(Mutant::SkipRetry) && sub.read_retry(seq) {
            return Ok(None);
        }
        if self.bo.has(Mutant::UnlockBeforeUpdate) {
            guard = None;
        }
        self.base.set_all(Via::interval(self.base.mm.subscriptions(), sub), &found);
        let fence = self.ring.next_fence();
        reserved.add_fence(&fence);
        let touches = pages.iter().map(|vpn| Touch { mm: self.base.mm.id(), vpn, store });
        self.jobs.iter().for_each(|jobs| jobs.begin(&fence));
        self.ring.push(touches.collect(), Arc::clone(&fence));
        self.jobs.iter().for_each(|jobs| jobs.watch(&fence));
        drop(guard);
        Ok(Some(()))
    }

    /// `ttm_bo_vm_fault()`: all that matters of it here.
    fn cpu_fault(&self) {
        device::with_mmap_read(&self.base.mm, || drop(self.bo.resv.lock()));
    }

    /// `amdgpu_cs_bo_validate()`: all that matters of it here.
    fn validate(&self) -> Result<(), Errno> {
        let _reserved = self.bo.resv.lock();
        current(|k| k.kmalloc(Gfp::KERNEL, 1))
    }

    /// The pages with the sequence they were looked up under: one for all chunks.
    fn get_pages(
        &self,
        sub: &IntervalSub,
        pages: PageRange,
        write: bool,
    ) -> Result<Option<(u64, Vec<HmmPage>)>, Errno> {
        let mut seq = self.base.mm.subscriptions().read_begin(sub);
        let mut found = Vec::new();
        for (n, vpn) in pages.iter().enumerate() {
            if n > 0 && self.bo.has(Mutant::RereadSeq) {
                seq = self.base.mm.subscriptions().read_begin(sub);
            }
            let Some(chunk) = self.base.hmm(sub, seq, PageRange::page(vpn), write)? else { return Ok(None) };
            found.extend(chunk);
        }
        Ok(Some((seq, found)))
    }
}

impl Driver for Userptr {
    fn name(&self) -> Name {
        self.bo.name
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.insert(&self.base.mm, self.base.pages, self.bo.clone())?;
        let registered = match self.shrinks {
            true => self.shrinker.register(self.base.mm.machine(), self.bo.clone()),
            false => Ok(()),
        };
        registered.inspect_err(|_| self.detach())
    }

    fn detach(&self) {
        let Some(sub) = self.sub.take() else { return };
        self.shrinker.free(self.base.mm.machine());
        // Who has found it there still has pushed its command then.
        drop(self.bo.notifier_lock.lock());
        self.bo.resv.wait_all();
        self.jobs.iter().for_each(Jobs::fini);
        self.base.device.zap(self.base.mm.id(), self.base.pages);
        Subscriptions::interval_remove(&*self.base.mm, &sub);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "submit" => self.submit(pages, Some(args.value)),
            "submit_read" => self.submit(pages, None),
            "cpu_fault" => {
                self.cpu_fault();
                Ok(())
            }
            "validate" => self.validate(),
            "wait" => {
                self.bo.resv.wait_all();
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn request_irqs(&self, k: &Kernel) {
        self.ring.request_irq(k);
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[
            DriverLock { name: "notifier_lock", class: NOTIFIER_LOCK },
            DriverLock { name: "job_list_lock", class: JOB_LIST_LOCK },
            DriverLock { name: "resv", class: "reservation_ww_class_mutex" },
        ]
    }
}
