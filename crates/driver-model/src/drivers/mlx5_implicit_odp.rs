//! `mlx5_implicit_odp`: the whole address space as one memory region. Children for blocks of it come with page faults and go
//! when nothing of them is mapped any more.
//!
//! ```text
//! page fault of the device               invalidate of a child
//! lock &imr->children                    lock &umem_odp->umem_mutex
//!   find the child, or make it             set_seq, zap
//! unlock                                   nothing left: reference to the parent
//! as in mlx5_odp, with the child's           out of the children? queue its destruction
//! umem_mutex                                 was out already: give the reference back
//!                                        unlock
//!                                        worker: interval_remove, free the child, give the reference back
//! ```
//!
//! Several invalidations may find the same child idle; whoever takes it out of the index destroys it. The parent must not go
//! before its children have.
//!
//! Source: free_implicit_child_mr_notifier(), free_implicit_child_mr_work(), implicit_get_child_mr(),
//! mlx5_ib_free_odp_mr(), drivers/infiniband/hw/mlx5/odp.c, 6.12.

use super::parts::{Base, mutants};
use super::{RETRIES_OPTION, clamp};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::kref::Kref;
use crate::via::Via;
use crate::work::{Work, WorkQueue};
use ksync::{ClassIdx, Kernel, LockClass, Mutex, RawMutex, current};
use mm::Mm;
use mm_types::{Errno, Name, PageRange, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use trace::{AccessModel, LockKind, NotifyRange};

mutants! {
    DestroysTwice = "destroys-twice": "queues the destruction of an idle child whoever has taken it out of the index",
    KeepsParent = "keeps-parent": "does not give the parent's reference back where another has the child already",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "mlx5_implicit_odp",
    doc: "RDMA on-demand paging of a whole address space: children by block, destroyed when idle",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles::ACCESSES,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "a peer reads; a page fault maps the page" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "a peer writes; a page fault maps the page" },
];

const UMEM_MUTEX: &str = "&umem_odp->umem_mutex";
const CHILDREN: &str = "&imr->children";

/// Pages of a child. The kernel's have 1 GiB.
const BLOCK: u64 = 4;

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let wq = WorkQueue::start(k, &format!("{}-free", config.name));
    let imr = Arc::new_cyclic(|imr: &Weak<Imr>| {
        let of = Weak::clone(imr);
        let destroy = Work::new(k, "(&mr->odp_destroy.work)", move || {
            if let Some(imr) = of.upgrade() {
                imr.destroy_idle();
            }
        });
        Imr {
            device: Arc::clone(&base.device),
            mm: Arc::downgrade(mm),
            mutant: Mutant::of(config),
            umem_class: k.class(LockClass::new(UMEM_MUTEX, LockKind::Mutex)),
            children: k.mutex(CHILDREN, false),
            index: parking_lot::Mutex::default(),
            parent: parking_lot::Mutex::default(),
            idle: parking_lot::Mutex::default(),
            wq,
            destroy,
        }
    });
    Arc::new(Region { base, imr })
}

/// A child with its subscription.
type Indexed = (Arc<Child>, Arc<IntervalSub>);
/// A child to be destroyed, and its subscription if it has one yet.
type Idle = (Arc<Child>, Option<Arc<IntervalSub>>);

/// The parent: `imr`.
struct Imr {
    device: Arc<Device>,
    /// The mm owns the children's subscriptions, which own this.
    mm: Weak<Mm>,
    mutant: Option<Mutant>,
    umem_class: ClassIdx,
    /// Children are made one at a time, and while the region is registered.
    children: Mutex<bool>,
    /// `implicit_children`: by block, with the subscription. Changed in one step (`xa_cmpxchg()`); a storage lock.
    index: parking_lot::Mutex<BTreeMap<u64, Indexed>>,
    /// The region itself, while it is registered. A storage lock.
    parent: parking_lot::Mutex<Option<Arc<Kref>>>,
    /// A storage lock.
    idle: parking_lot::Mutex<Vec<Idle>>,
    wq: Arc<WorkQueue>,
    destroy: Arc<Work>,
}

/// A child region.
struct Child {
    imr: Weak<Imr>,
    me: Weak<Child>,
    device: Arc<Device>,
    pages: PageRange,
    object: Kref,
    umem_mutex: Mutex<()>,
}

impl IntervalNotifier for Child {
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
        let _guard = self.umem_mutex.lock();
        sub.set_seq(cur_seq);
        self.device.zap(sub.mm_id(), clamp(range.pages, self.pages));
        let left = self.device.sptes().iter().any(|(mm, vpn, _)| *mm == sub.mm_id() && self.pages.contains(*vpn));
        if let Some(imr) = self.imr.upgrade().filter(|_| !left) {
            imr.free_child(self);
        }
        true
    }
}

impl Imr {
    /// `free_implicit_child_mr()`: an idle child is destroyed by whoever takes it out of the index.
    fn free_child(&self, child: &Child) {
        let (Some(parent), Some(child)) = (self.parent.lock().clone(), child.me.upgrade()) else { return };
        parent.get();
        let block = child.pages.start().0 / BLOCK;
        let mut index = self.index.lock();
        let there = index.get(&block).is_some_and(|(other, _)| Arc::ptr_eq(other, &child));
        let sub = there.then(|| index.remove(&block)).flatten().map(|(_, sub)| sub);
        drop(index);
        if there || self.mutant == Some(Mutant::DestroysTwice) {
            self.idle.lock().push((child, sub));
            self.wq.queue_work(&self.destroy);
        } else if self.mutant != Some(Mutant::KeepsParent) {
            parent.put();
        }
    }

    /// `free_implicit_child_mr_work()`, for each idle child.
    fn destroy_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        let parent = self.parent.lock().clone();
        for (child, sub) in idle {
            self.destroy_child(&child, sub);
            parent.iter().for_each(|parent| parent.put());
        }
    }

    fn destroy_child(&self, child: &Child, sub: Option<Arc<IntervalSub>>) {
        if let (Some(sub), Some(mm)) = (sub, self.mm.upgrade()) {
            Subscriptions::interval_remove(&*mm, &sub);
            let _guard = child.umem_mutex.lock();
            self.device.zap(mm.id(), child.pages);
        }
        child.object.put();
    }

    /// `implicit_get_child_mr()`.
    fn child(self: &Arc<Imr>, mm: &Mm, vpn: Vpn) -> Result<Indexed, Errno> {
        let block = vpn.0 / BLOCK;
        let registered = self.children.lock();
        if !*registered {
            return Err(Errno::ENODEV);
        }
        if let Some(there) = self.index.lock().get(&block) {
            return Ok(there.clone());
        }
        let pages = PageRange::with_len(Vpn(block * BLOCK), BLOCK).ok_or(Errno::EFAULT)?;
        let child = current(|k| {
            Arc::new_cyclic(|me| Child {
                imr: Arc::downgrade(self),
                me: Weak::clone(me),
                device: Arc::clone(&self.device),
                pages,
                object: Kref::new(k, &self.device, "implicit child"),
                umem_mutex: Mutex::from_raw(RawMutex::new(self.umem_class, k.new_obj()), ()),
            })
        });
        let inserted = Subscriptions::interval_insert(mm, pages, child.clone());
        let sub = inserted.inspect_err(|_| child.object.put())?;
        self.index.lock().insert(block, (Arc::clone(&child), Arc::clone(&sub)));
        Ok((child, sub))
    }

    /// Whether this child is the one of its block still.
    fn has(&self, child: &Arc<Child>) -> bool {
        let block = child.pages.start().0 / BLOCK;
        self.index.lock().get(&block).is_some_and(|(there, _)| Arc::ptr_eq(there, child))
    }
}

/// The driver: one implicit region.
struct Region {
    base: Base,
    imr: Arc<Imr>,
}

impl Region {
    /// `pagefault_implicit_mr()`: a child that is destroyed meanwhile is found anew.
    fn fault(&self, vpn: Vpn, write: bool) -> Result<(), Errno> {
        let page = PageRange::page(vpn);
        self.base.own(page)?;
        let _users = self.base.users()?;
        self.base.retry(|| {
            let (child, sub) = self.imr.child(&self.base.mm, vpn)?;
            let seq = self.base.mm.subscriptions().read_begin(&sub);
            let Some(found) = self.base.hmm(&sub, seq, page, write)? else { return Ok(None) };
            let _guard = child.umem_mutex.lock();
            if sub.read_retry(seq) || !self.imr.has(&child) {
                return Ok(None);
            }
            self.base.set_all(Via::interval(self.base.mm.subscriptions(), &sub), &found);
            Ok(Some(()))
        })
    }
}

impl Driver for Region {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        *self.imr.parent.lock() = Some(Arc::new(current(|k| Kref::new(k, &self.base.device, "implicit parent"))));
        *self.imr.children.lock() = true;
        Ok(())
    }

    /// `mlx5_ib_free_odp_mr()`: the children first, then whatever is being destroyed, then the parent.
    fn detach(&self) {
        let Some(parent) = self.imr.parent.lock().clone() else { return };
        *self.imr.children.lock() = false;
        let children = std::mem::take(&mut *self.imr.index.lock());
        children.into_values().for_each(|(child, sub)| self.imr.destroy_child(&child, Some(sub)));
        self.imr.wq.flush_work(&self.imr.destroy);
        parent.put();
        *self.imr.parent.lock() = None;
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        match op.as_str() {
            "read" => self.base.access(args, false, |vpn, write| self.fault(vpn, write)),
            "write" => self.base.access(args, true, |vpn, write| self.fault(vpn, write)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "umem_mutex", class: UMEM_MUTEX }, DriverLock { name: "children", class: CHILDREN }]
    }
}
