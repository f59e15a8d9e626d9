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
//! svm_range_list_fini(), drivers/gpu/drm/amd/amdkfd/kfd_svm.c; svm_migrate_to_ram(), kfd_migrate.c; 6.12. The GPU does not map pages of its own memory.

use super::RETRIES_OPTION;
use super::clamp;
use super::parts::{Base, Watched, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::kref::Kref;
use crate::via::Via;
use crate::work::{Work, WorkQueue};
use ksync::{Kernel, Mutex, current};
use mm::device::{HmmError, HmmPage};
use mm::{DevPagemapOps, Direction, Mm, device};
use mm_types::{Errno, Gfp, MmId, Name, PageRange, TaskId};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use trace::{AccessModel, NotifyEvent, NotifyRange};

mutants! {
    FlushUnderSvmsLock = "flush-under-svms-lock": "waits for the restore worker while it holds a lock that the worker takes",
    FlushInCallback = "flush-in-callback": "waits in the callback for the restore worker, which takes mmap_lock",
    MapWithoutPrangeLock = "map-without-prange-lock": "lets the range's lock go between read_retry and the mapping",
    MmputInCallback = "mmput-in-callback": "holds a user of the address space in the callback and lets it go there, which may be the last",
    InsertWithoutUsers = "insert-without-users": "subscribes from a worker without a hold on the users of the address space",
    UnrefUnlocked = "unref-unlocked": "looks whether there is a buffer object and gives it up in two steps, without the lock",
    MigrateRecursively = "migrate-recursively": "takes its migration mutex in the fault that its own walk causes under it",
    IgnoreUnmap = "ignore-unmap": "leaves the zapping of pages that go for good to later",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "amdkfd_svm",
    doc: "shared virtual memory: an invalidation evicts, a worker restores",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles { map_write: Some("map"), unmap: None, ..Roles::BY_NAME },
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "map", args: "[RANGE]", doc: "maps the pages for the GPU" },
    OpInfo { name: "read", args: "ADDR", doc: "the GPU reads, as soon as the page is mapped" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the GPU writes, as soon as the page is mapped" },
    OpInfo { name: "prefetch", args: "[RANGE]", doc: "moves the pages to the GPU's memory and maps what can be" },
    OpInfo {
        name: "split",
        args: "RANGE",
        doc: "a worker subscribes to part of the pages anew, as when a range is split",
    },
    OpInfo { name: "wait_restored", args: "", doc: "waits for the restore worker" },
];

const PRANGE_LOCK: &str = "&prange->lock";
const SVMS_LOCK: &str = "&svms->lock";
const PROCESS_INFO_LOCK: &str = "&process_info->lock";
const MIGRATE_MUTEX: &str = "&prange->migrate_mutex";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::with_tlb(k, mm, pages, config);
    let wq = WorkQueue::start(k, &format!("{}-restore", config.name));
    Arc::new_cyclic(|svms: &Weak<Svms>| {
        mm.machine().set_dev_pagemap_ops(Weak::<Svms>::clone(svms));
        // The mm owns the range, which owns the work: so the work must not own the mm.
        let me = Weak::clone(svms);
        let deferred = Work::new(k, "(&svms->deferred_list_work)", move || {
            if let Some(svms) = me.upgrade() {
                svms.insert_deferred();
            }
        });
        let me = Weak::clone(svms);
        let restore = Work::new(k, "(&svms->restore_work)", move || {
            if let Some(svms) = me.upgrade() {
                svms.restore();
            }
        });
        let prange = Prange {
            device: Arc::clone(&base.device),
            mm: mm.id(),
            mm_of: Arc::downgrade(mm),
            bo: parking_lot::Mutex::default(),
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
            migrate_mutex: k.mutex(MIGRATE_MUTEX, ()),
            faulting_task: AtomicU32::new(0),
            deferred,
            to_insert: parking_lot::Mutex::default(),
            split: parking_lot::Mutex::default(),
            sub: Watched::default(),
        }
    })
}

/// `struct svm_range`.
struct Prange {
    device: Arc<Device>,
    mm: MmId,
    /// For `mmput-in-callback` only: a subscriber must not own the mm.
    mm_of: Weak<Mm>,
    /// `svm_bo`: the buffer object with the pages that are in the GPU's memory. Changes under `lock`; a storage lock.
    bo: parking_lot::Mutex<Option<Arc<Kref>>>,
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

impl Prange {
    /// `svm_range_vram_node_free()`: the pages are in memory again, or gone. The caller holds `lock`.
    fn unref_bo(&self) {
        let bo = self.bo.lock().take();
        bo.iter().for_each(|bo| bo.put());
    }

    /// The same without the lock: between the look and the last line another may do the same.
    fn unref_bo_unlocked(&self) {
        let bo = self.bo.lock().clone();
        bo.iter().for_each(|bo| bo.put());
        *self.bo.lock() = None;
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
        let users = self.mm_of.upgrade().filter(|_| self.has(Mutant::MmputInCallback));
        let users = users.and_then(|mm| device::mmget_not_zero(&mm));
        // What the queued work is told: the pages. Without room the work looks at all of them.
        let _item = current(|k| k.kmalloc(Gfp::ATOMIC, 1));
        if self.has(Mutant::UnrefUnlocked) {
            self.unref_bo_unlocked();
        }
        {
            let mut evicted = self.lock.lock();
            sub.set_seq(cur_seq);
            self.unref_bo();
            if !(for_good && self.has(Mutant::IgnoreUnmap)) {
                self.device.zap(self.mm, pages);
                self.device.flush_tlb(self.mm, pages);
            }
            if !for_good {
                evicted.push(pages);
                self.wq.queue_work(&self.restore);
            }
        }
        drop(users);
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
    /// Held while pages go to the GPU's memory or come back, under `mmap_lock`.
    migrate_mutex: Mutex<()>,
    /// Who holds it while it walks: task id plus 1, or 0.
    faulting_task: AtomicU32,
    deferred: Arc<Work>,
    /// Storage locks: what the deferred work is to subscribe to, and what it has.
    to_insert: parking_lot::Mutex<Vec<PageRange>>,
    split: parking_lot::Mutex<Vec<Arc<IntervalSub>>>,
    sub: Watched,
}

/// A CPU touches a page of the GPU's memory: `svm_migrate_to_ram()`.
impl DevPagemapOps for Svms {
    fn migrate_to_ram(&self, migrate: &mut dyn FnMut()) {
        let TaskId(me) = current(Kernel::current_task);
        let walks_itself = self.faulting_task.load(Ordering::Relaxed) == me + 1;
        let recursively = self.prange.has(Mutant::MigrateRecursively);
        let guard = (!walks_itself || recursively).then(|| self.migrate_mutex.lock());
        migrate();
        drop(guard);
    }
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

    /// Moves pages to the GPU's memory, and then walks them for writing: what could not be moved is mapped where it is, and what
    /// was is brought back by the walk, here where the GPU's memory is not mapped.
    fn prefetch(&self, pages: PageRange) -> Result<(), Errno> {
        let sub = self.sub.sub()?;
        self.base.own(pages)?;
        let _users = self.base.users()?;
        device::with_mmap_read(&self.base.mm, || {
            let _migrating = self.migrate_mutex.lock();
            self.base.mm.migrate_vma_held(pages, Direction::ToDevice)?;
            // What comes after the subscription ended is not given back by `detach`.
            self.sub.still(&sub)?;
            *self.prange.bo.lock() = Some(Arc::new(current(|k| Kref::new(k, &self.base.device, "svm_bo"))));
            Ok::<(), Errno>(())
        })?;
        self.base.retry(|| {
            let Some((seq, found)) = self.walk(&sub, pages)? else { return Ok(None) };
            let _guard = self.prange.lock.lock();
            self.sub.still(&sub)?;
            if sub.read_retry(seq) {
                return Ok(None);
            }
            self.base.set_all(Via::interval(self.base.mm.subscriptions(), &sub), &found);
            Ok(Some(()))
        })
    }

    /// The pages with the sequence they were looked up under, under the mutex that keeps them from being moved.
    fn walk(&self, sub: &IntervalSub, pages: PageRange) -> Result<Option<(u64, Vec<HmmPage>)>, Errno> {
        device::with_mmap_read(&self.base.mm, || {
            let _still = self.migrate_mutex.lock();
            let seq = self.base.mm.subscriptions().read_begin(sub);
            self.faulting_task.store(current(Kernel::current_task).0 + 1, Ordering::Relaxed);
            let found = device::hmm_range_fault_locked(&self.base.mm, sub, seq, pages, true);
            self.faulting_task.store(0, Ordering::Relaxed);
            match found {
                Ok(found) => Ok(Some((seq, found))),
                Err(HmmError::Busy) => Ok(None),
                Err(HmmError::Errno(errno)) => Err(errno),
            }
        })
    }

    /// `svm_range_deferred_list_work()`: subscribes, if the address space still has users and the ranges have not ended.
    fn insert_deferred(&self) {
        let users = self.base.users();
        if self.sub.sub().is_err() || (users.is_err() && !self.prange.has(Mutant::InsertWithoutUsers)) {
            return;
        }
        let pages = std::mem::take(&mut *self.to_insert.lock());
        for pages in pages {
            if let Ok(sub) = Subscriptions::interval_insert(&*self.base.mm, pages, self.prange.clone()) {
                self.split.lock().push(sub);
            }
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
        self.sub.still(sub)?;
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

    /// `svm_range_list_fini()`: first the workers, then the ranges. What is queued after that finds none.
    fn detach(&self) {
        let Some(sub) = self.sub.take() else { return };
        let held = self.prange.has(Mutant::FlushUnderSvmsLock).then(|| self.lock.lock());
        self.prange.wq.flush_work(&self.prange.restore);
        drop(held);
        self.prange.wq.flush_work(&self.deferred);
        let split = std::mem::take(&mut *self.split.lock());
        split.iter().for_each(|sub| Subscriptions::interval_remove(&*self.base.mm, sub));
        Subscriptions::interval_remove(&*self.base.mm, &sub);
        let _guard = self.prange.lock.lock();
        self.prange.unref_bo();
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
            "prefetch" => self.prefetch(pages),
            "split" => {
                self.to_insert.lock().push(args.need_pages()?);
                self.prange.wq.queue_work(&self.deferred);
                Ok(())
            }
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
            DriverLock { name: "migrate", class: MIGRATE_MUTEX },
            DriverLock { name: "process_info", class: PROCESS_INFO_LOCK },
        ]
    }
}
