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
use crate::kind::{Config, DriverKind, OptionInfo, Roles};
use crate::work::{Work, WorkQueue};
use ksync::{Kernel, SpinLock};
use mm::{Machine, Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Pfn, Vpn};
use mmu_notifier::{Hooks, Notifier, WouldBlock};
use std::collections::BTreeMap;
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
    options: &[RETRIES_OPTION, LOOK_UP_OPTION],
    ops: OPS,
    roles: Roles {
        map: Some("send"),
        map_write: Some("receive"),
        read: Some("send"),
        write: Some("receive"),
        ..Roles::NONE
    },
    whole_mm: false,
    make,
};

const LOOK_UP_OPTION: OptionInfo = OptionInfo {
    name: "look_up",
    doc: "how pages are pinned: under mmap_lock, or first without locks",
    default: "locked",
    words: &["locked", "fast"],
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
    let list = Arc::clone(&leaving);
    let table = Arc::new(Table {
        device: Arc::clone(&base.device),
        mm: mm.id(),
        machine: Arc::clone(mm.machine()),
        cache: k.spinlock(HANDLER_LOCK, Cached::default()),
    });
    let of = Arc::clone(&table);
    let del_work = Work::new(k, "(&handler->del_work)", move || {
        let leaving: Vec<Arc<Node>> = std::mem::take(&mut *list.lock());
        leaving.iter().for_each(|node| of.remove(node));
    });
    let handler = Arc::new(Handler {
        table,
        mutant: Mutant::of(config),
        leaving,
        wq: WorkQueue::start(k, &format!("{}-mmu_rb", config.name)),
        del_work,
    });
    let fast = config.says("look_up", "fast");
    if fast {
        device::expect_gup_fast(mm.machine());
    }
    Arc::new(Cache { base, handler, fast, sub: Listed::default() })
}

/// `struct mmu_rb_node`: a pinned buffer.
struct Node {
    pages: PageRange,
    pvec: Vec<Pfn>,
    /// One send at a time uses it; the worker waits for it.
    in_use: ksync::Mutex<()>,
}

/// What `&handler->lock` protects.
#[derive(Default)]
struct Cached {
    /// The buffers of the cache; none while nobody is told of invalidations.
    nodes: Option<Vec<Arc<Node>>>,
    /// The buffer that each translation is of, in the cache or on its way out: a newer one replaces an older one's.
    of: BTreeMap<Vpn, Arc<Node>>,
}

/// The cache, and the table that its buffers are published in.
struct Table {
    device: Arc<Device>,
    mm: MmId,
    machine: Arc<Machine>,
    /// `&handler->lock`.
    cache: SpinLock<Cached>,
}

impl Table {
    /// Unpins a buffer that left the cache, when no send uses it any more. May sleep.
    fn remove(&self, node: &Arc<Node>) {
        self.remove_by(node, |vpn| self.clear(&mut self.cache.lock(), vpn, node));
    }

    /// The same, where `clear` takes the translation of a page away.
    fn remove_by(&self, node: &Node, mut clear: impl FnMut(Vpn)) {
        let _unused = node.in_use.lock();
        for (vpn, pfn) in node.pages.iter().zip(&node.pvec) {
            clear(vpn);
            device::unpin_user_page(&self.machine, *pfn);
        }
    }

    /// Takes the translation of a page away, if it is that of this buffer.
    fn clear(&self, cached: &mut Cached, vpn: Vpn, node: &Arc<Node>) {
        if cached.of.get(&vpn).is_some_and(|of| Arc::ptr_eq(of, node)) {
            cached.of.remove(&vpn);
            self.device.clear(self.mm, vpn);
        }
    }
}

/// `struct mmu_rb_handler`.
struct Handler {
    table: Arc<Table>,
    mutant: Option<Mutant>,
    /// A storage lock: what left the cache and is not unpinned yet.
    leaving: Arc<parking_lot::Mutex<Vec<Arc<Node>>>>,
    wq: Arc<WorkQueue>,
    del_work: Arc<Work>,
}

impl Handler {
    /// Takes what overlaps out of the cache.
    fn evict(&self, pages: PageRange) {
        let out: Vec<Arc<Node>> = match &mut self.table.cache.lock().nodes {
            Some(cache) => cache.extract_if(.., |node| node.pages.overlaps(pages)).collect(),
            None => Vec::new(),
        };
        if !out.is_empty() {
            self.leaving.lock().extend(out);
            self.wq.queue_work(&self.del_work);
        }
    }
}

impl Notifier for Handler {
    fn name(&self) -> Name {
        self.table.device.name()
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
    /// Pins by `pin_user_pages_fast()`, as the kernel's driver does.
    fast: bool,
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
        if let Some(node) = self.handler.table.cache.lock().nodes.iter().flatten().find(|node| node.pages == pages) {
            return Ok(Some(Arc::clone(node)));
        }
        let mm = &self.base.mm;
        let via = self.sub.via()?;
        let pin = if self.fast { device::pin_user_pages_fast } else { device::pin_user_pages };
        let pvec = whole(mm, pages, pin, device::unpin_user_page)?;
        let in_use = ksync::current(|k| k.mutex("&node->in_use", ()));
        let node = Arc::new(Node { pages, pvec, in_use });
        let mut guard = self.handler.table.cache.lock();
        let Cached { nodes, of } = &mut *guard;
        let Some(nodes) = nodes else {
            drop(guard);
            put_all(mm, &node.pvec, device::unpin_user_page);
            return Err(Errno::ENODEV);
        };
        if nodes.iter().any(|other| other.pages.overlaps(pages)) {
            drop(guard);
            put_all(mm, &node.pvec, device::unpin_user_page);
            self.handler.evict(pages);
            return Ok(None);
        }
        let too_far = usize::from(self.handler.mutant == Some(Mutant::OverrunsPage));
        for (vpn, pfn) in pages.iter().zip(node.pvec.iter().cycle().skip(too_far)) {
            of.insert(vpn, Arc::clone(&node));
            self.base.device.set(via, vpn, *pfn, true);
        }
        nodes.push(Arc::clone(&node));
        Ok(None)
    }

    /// `hfi1_mmu_rb_unregister()`: collects under the spinlock, removes outside of it.
    fn empty(&self) {
        let table = &self.handler.table;
        let mut cached = table.cache.lock();
        let nodes = cached.nodes.take().unwrap_or_default();
        if self.handler.mutant == Some(Mutant::RemoveUnderSpinlock) {
            nodes.iter().for_each(|node| table.remove_by(node, |vpn| table.clear(&mut cached, vpn, node)));
            return;
        }
        drop(cached);
        nodes.iter().for_each(|node| table.remove(node));
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
        self.sub.register(&self.base.mm, self.handler.clone())?;
        self.handler.table.cache.lock().nodes = Some(Vec::new());
        Ok(())
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
