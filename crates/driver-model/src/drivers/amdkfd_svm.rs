//! `amdkfd_svm`: shared virtual memory for a GPU that cannot replay faults. An invalidation stops the queues and a worker maps
//! the pages again and starts them.
//!
//! ```text
//! restore worker                         invalidate
//! lock &process_info->lock               refuse if it must not sleep
//! lock &svms->lock                       lock &prange->lock
//!   for each evicted range                 set_seq
//!     seq = read_begin                     zap, flush the GPU's TLB
//!     hmm_range_fault                      unless the pages go for good: evicted, queue the worker
//!     lock &prange->lock                 unlock
//!       read_retry: again if true
//!       map
//! ```
//!
//! The worker takes `mmap_lock`, and locks that operations take. So it is waited for with nothing held that it takes, and
//! never in a callback.
//!
//! Source: svm_range_cpu_invalidate_pagetables(), svm_range_restore_work(), svm_range_validate_and_map(),
//! svm_range_list_fini(), drivers/gpu/drm/amd/amdkfd/kfd_svm.c, 6.12. Device memory, and so migration, is left out.

use super::RETRIES_OPTION;
use super::clamp;
use super::parts::{Base, Watched, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind};
use crate::via::Via;
use crate::work::{Work, WorkQueue};
use ksync::{Kernel, Mutex};
use mm::Mm;
use mm_types::{Errno, MmId, Name, PageRange};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::{Arc, Weak};
use trace::{AccessModel, NotifyEvent, NotifyRange};

mutants! {
    FlushUnderSvmsLock = "flush-under-svms-lock": "waits for the restore worker while it holds a lock that the worker takes",
    FlushInCallback = "flush-in-callback": "waits in the callback for the restore worker, which takes mmap_lock",
    MapWithoutPrangeLock = "map-without-prange-lock": "lets the range's lock go between read_retry and the mapping",
    IgnoreUnmap = "ignore-unmap": "leaves the zapping of pages that go for good to later",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "amdkfd_svm",
    doc: "shared virtual memory: an invalidation evicts, a worker restores",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "map", args: "[RANGE]", doc: "maps the pages for the GPU" },
    OpInfo { name: "read", args: "ADDR", doc: "the GPU reads, as soon as the page is mapped" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the GPU writes, as soon as the page is mapped" },
    OpInfo { name: "wait_restored", args: "", doc: "waits for the restore worker" },
];

const PRANGE_LOCK: &str = "&prange->lock";
const SVMS_LOCK: &str = "&svms->lock";
const PROCESS_INFO_LOCK: &str = "&process_info->lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::with_tlb(k, mm, pages, config);
    let wq = WorkQueue::start(k, &format!("{}-restore", config.name));
    Arc::new_cyclic(|me: &Weak<Svms>| {
        // The mm owns the range, which owns the work: so the work must not own the mm.
        let me = Weak::clone(me);
        let restore = Work::new(k, "(&svms->restore_work)", move || {
            if let Some(svms) = me.upgrade() {
                svms.restore();
            }
        });
        let prange = Prange {
            device: Arc::clone(&base.device),
            mm: mm.id(),
            mutant: Mutant::of(config),
            lock: k.mutex(PRANGE_LOCK, Vec::new()),
            wq,
            restore,
        };
        Svms {
            base,
            prange: Arc::new(prange),
            process_info_lock: k.mutex(PROCESS_INFO_LOCK, ()),
            lock: k.mutex(SVMS_LOCK, ()),
            sub: Watched::default(),
        }
    })
}

/// `struct svm_range`.
struct Prange {
    device: Arc<Device>,
    mm: MmId,
    mutant: Option<Mutant>,
    /// What was evicted and not restored yet.
    lock: Mutex<Vec<PageRange>>,
    wq: Arc<WorkQueue>,
    restore: Arc<Work>,
}

impl Prange {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl IntervalNotifier for Prange {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        if !range.blockable {
            return false;
        }
        let pages = clamp(range.pages, sub.pages());
        let for_good = matches!(range.event, NotifyEvent::Unmap | NotifyEvent::Release);
        {
            let mut evicted = self.lock.lock();
            sub.set_seq(cur_seq);
            if !(for_good && self.has(Mutant::IgnoreUnmap)) {
                self.device.zap(self.mm, pages);
                self.device.flush_tlb(self.mm, pages);
            }
            if !for_good {
                evicted.push(pages);
                self.wq.queue_work(&self.restore);
            }
        }
        if self.has(Mutant::FlushInCallback) {
            self.wq.flush_work(&self.restore);
        }
        true
    }
}

/// `struct svm_range_list` with its one range, and of the process what the worker takes.
struct Svms {
    base: Base,
    prange: Arc<Prange>,
    process_info_lock: Mutex<()>,
    lock: Mutex<()>,
    sub: Watched,
}

impl Svms {
    /// `svm_range_restore_work()`. A range whose pages are gone stays unmapped.
    fn restore(&self) {
        let (Ok(_users), Ok(sub)) = (self.base.users(), self.sub.sub()) else { return };
        let _process = self.process_info_lock.lock();
        let _svms = self.lock.lock();
        let evicted = std::mem::take(&mut *self.prange.lock.lock());
        for pages in evicted {
            let _gone_or_busy = self.base.retry(|| self.try_map(&sub, pages, false));
        }
    }

    fn map(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        let sub = self.sub.sub()?;
        self.base.own(pages)?;
        let _users = self.base.users()?;
        let _process = self.process_info_lock.lock();
        let _svms = self.lock.lock();
        self.base.retry(|| self.try_map(&sub, pages, write))
    }

    /// One attempt of `svm_range_validate_and_map()`.
    fn try_map(&self, sub: &IntervalSub, pages: PageRange, write: bool) -> Result<Option<()>, Errno> {
        let seq = self.base.mm.subscriptions().read_begin(sub);
        let Some(found) = self.base.hmm(sub, seq, pages, write)? else { return Ok(None) };
        let mut guard = Some(self.prange.lock.lock());
        if sub.read_retry(seq) {
            return Ok(None);
        }
        if self.prange.has(Mutant::MapWithoutPrangeLock) {
            guard = None;
        }
        self.base.set_all(Via::interval(self.base.mm.subscriptions(), sub), &found);
        drop(guard);
        Ok(Some(()))
    }
}

impl Driver for Svms {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.insert(&self.base.mm, self.base.pages, self.prange.clone())
    }

    /// `svm_range_list_fini()`: first the worker, then the ranges.
    fn detach(&self) {
        let Some(sub) = self.sub.take() else { return };
        let held = self.prange.has(Mutant::FlushUnderSvmsLock).then(|| self.lock.lock());
        self.prange.wq.flush_work(&self.prange.restore);
        drop(held);
        Subscriptions::interval_remove(&*self.base.mm, &sub);
        let _guard = self.prange.lock.lock();
        self.base.device.zap(self.base.mm.id(), self.base.pages);
        self.base.device.flush_tlb(self.base.mm.id(), self.base.pages);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "map" => self.map(pages, false),
            "read" => self.base.access(args, false, |vpn, write| self.map(PageRange::page(vpn), write)),
            "write" => self.base.access(args, true, |vpn, write| self.map(PageRange::page(vpn), write)),
            "wait_restored" => {
                self.prange.wq.flush_work(&self.prange.restore);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[
            DriverLock { name: "prange", class: PRANGE_LOCK },
            DriverLock { name: "svms", class: SVMS_LOCK },
            DriverLock { name: "process_info", class: PROCESS_INFO_LOCK },
        ]
    }
}
