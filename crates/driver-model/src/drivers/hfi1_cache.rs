//! `hfi1_cache`: a cache of pinned buffers, so that the next send from the same memory need not pin again.
//!
//! ```text
//! send                                   range_start
//! lock &handler->lock                    lock &handler->lock
//!   cached: take a reference               take what overlaps out of the cache
//! unlock                                 unlock
//! else pin and put into the cache        queue the work that unpins it
//! the device accesses                    worker: unpin, once nobody uses it
//! drop the reference
//! ```
//!
//! The callback takes no page away: a send in flight goes on, and its pages stay pinned. It sees to it that no *later* send
//! uses pages that are not the process's any more. To unpin may sleep, so it is done outside of the spinlock.
//!
//! Source: mmu_notifier_range_start(), hfi1_mmu_rb_unregister(), handle_remove(), drivers/infiniband/hw/hfi1/mmu_rb.c, 6.12.

use super::parts::{Base, Listed, mutants};
use super::{RETRIES_OPTION, put_all, whole};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind};
use crate::work::{Work, WorkQueue};
use ksync::{Kernel, SpinLock};
use mm::{Machine, Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Pfn};
use mmu_notifier::{Hooks, Notifier, WouldBlock};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    OverrunsPage = "overruns-page": "goes on by a whole page where the first part of a buffer ends inside of one, and takes the page behind",
    RemoveUnderSpinlock = "remove-under-spinlock": "unpins, which may sleep, while it walks the cache under its spinlock",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "hfi1_cache",
    doc: "a cache of pinned buffers, emptied by invalidations and unpinned by a worker",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "send", args: "[RANGE]", doc: "the device reads each page of the buffer, pinned if not cached" },
    OpInfo {
        name: "receive",
        args: "[RANGE] [VALUE]",
        doc: "the device writes each page of the buffer, pinned if not cached",
    },
    OpInfo { name: "drain", args: "", doc: "waits until the worker has unpinned what left the cache" },
];

const HANDLER_LOCK: &str = "&handler->lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let leaving = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (list, device, machine) = (Arc::clone(&leaving), Arc::clone(&base.device), Arc::clone(mm.machine()));
    let id = mm.id();
    let del_work = Work::new(k, "(&handler->del_work)", move || {
        let leaving: Vec<Arc<Node>> = std::mem::take(&mut *list.lock());
        leaving.iter().for_each(|node| node.remove(&device, id, &machine));
    });
    let handler = Arc::new(Handler {
        device: Arc::clone(&base.device),
        mutant: Mutant::of(config),
        cache: k.spinlock(HANDLER_LOCK, Vec::new()),
        leaving,
        wq: WorkQueue::start(k, &format!("{}-mmu_rb", config.name)),
        del_work,
    });
    Arc::new(Cache { base, handler, sub: Listed::default() })
}

/// `struct mmu_rb_node`: a pinned buffer.
struct Node {
    pages: PageRange,
    pvec: Vec<Pfn>,
    /// One send at a time uses it; the worker waits for it.
    in_use: ksync::Mutex<()>,
}

impl Node {
    /// Unpins it, when no send uses it any more. May sleep.
    fn remove(&self, device: &Device, mm: MmId, machine: &Machine) {
        let _unused = self.in_use.lock();
        for (vpn, pfn) in self.pages.iter().zip(&self.pvec) {
            // A newer buffer of the same page has replaced it in the table.
            if device.lookup(mm, vpn).is_some_and(|spte| spte.pfn == *pfn) {
                device.clear(mm, vpn);
            }
            device::unpin_user_page(machine, *pfn);
        }
    }
}

/// `struct mmu_rb_handler`.
struct Handler {
    device: Arc<Device>,
    mutant: Option<Mutant>,
    cache: SpinLock<Vec<Arc<Node>>>,
    /// A storage lock: what left the cache and is not unpinned yet.
    leaving: Arc<parking_lot::Mutex<Vec<Arc<Node>>>>,
    wq: Arc<WorkQueue>,
    del_work: Arc<Work>,
}

impl Handler {
    /// Takes what overlaps out of the cache.
    fn evict(&self, pages: PageRange) {
        let out: Vec<Arc<Node>> = self.cache.lock().extract_if(.., |node| node.pages.overlaps(pages)).collect();
        if !out.is_empty() {
            self.leaving.lock().extend(out);
            self.wq.queue_work(&self.del_work);
        }
    }
}

impl Notifier for Handler {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::LongTermPin
    }

    fn hooks(&self) -> Hooks {
        Hooks::RANGE_START
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        self.evict(range.pages);
        Ok(())
    }
}

/// The driver: one user context.
struct Cache {
    base: Base,
    handler: Arc<Handler>,
    sub: Listed,
}

impl Cache {
    /// `user_sdma`'s packet: the buffer is the cached one, or pinned and cached now.
    fn transfer(&self, pages: PageRange, store: Option<u64>) -> Result<(), Errno> {
        self.base.own(pages)?;
        let _users = self.base.users()?;
        let node = self.base.retry(|| self.node(pages))?;
        let _in_use = node.in_use.lock();
        let (device, mm) = (&self.base.device, self.base.mm.id());
        for vpn in pages.iter() {
            let done = match store {
                Some(value) => device.write(mm, vpn, value),
                None => device.read(mm, vpn).map(drop),
            };
            done.map_err(|_| Errno::EFAULT)?;
        }
        Ok(())
    }

    /// The cached buffer of exactly these pages; `None` after one was put there.
    fn node(&self, pages: PageRange) -> Result<Option<Arc<Node>>, Errno> {
        if let Some(node) = self.handler.cache.lock().iter().find(|node| node.pages == pages) {
            return Ok(Some(Arc::clone(node)));
        }
        let mm = &self.base.mm;
        let via = self.sub.via()?;
        let pvec = whole(mm, pages, device::pin_user_pages, device::unpin_user_page)?;
        let in_use = ksync::current(|k| k.mutex("&node->in_use", ()));
        let node = Arc::new(Node { pages, pvec, in_use });
        let mut cache = self.handler.cache.lock();
        if cache.iter().any(|other| other.pages.overlaps(pages)) {
            drop(cache);
            put_all(mm, &node.pvec, device::unpin_user_page);
            self.handler.evict(pages);
            return Ok(None);
        }
        let too_far = usize::from(self.handler.mutant == Some(Mutant::OverrunsPage));
        for (vpn, pfn) in pages.iter().zip(node.pvec.iter().cycle().skip(too_far)) {
            self.base.device.set(via, vpn, *pfn, true);
        }
        cache.push(Arc::clone(&node));
        Ok(None)
    }

    /// `hfi1_mmu_rb_unregister()`: collects under the spinlock, removes outside of it.
    fn empty(&self) {
        let (device, mm, machine) = (&self.base.device, self.base.mm.id(), self.base.mm.machine());
        let mut cache = self.handler.cache.lock();
        let nodes = std::mem::take(&mut *cache);
        let held = (self.handler.mutant == Some(Mutant::RemoveUnderSpinlock)).then_some(cache);
        nodes.iter().for_each(|node| node.remove(device, mm, machine));
        drop(held);
    }
}

impl Driver for Cache {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.register(&self.base.mm, self.handler.clone())
    }

    fn detach(&self) {
        self.sub.unregister(&self.base.mm);
        self.handler.wq.flush_work(&self.handler.del_work);
        self.empty();
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "send" => self.transfer(pages, None),
            "receive" => self.transfer(pages, Some(args.value)),
            "drain" => {
                self.handler.wq.flush_work(&self.handler.del_work);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "lock", class: HANDLER_LOCK }]
    }
}
