//! `mlx5_odp`: a memory region that an RDMA device may page in on demand.
//!
//! ```text
//! page fault of the device               invalidate
//! again:                                 refuse if it must not sleep
//! seq = read_begin                       lock &umem_odp->umem_mutex
//! hmm_range_fault                          set_seq
//! lock &umem_odp->umem_mutex               zap the translation table, by a command (UMR)
//!   read_retry: again if true              unmap
//!   map, update the table by a command   unlock
//! unlock
//! ```
//!
//! The table is changed by commands to the device, built in a buffer. Under the mutex it must not be allocated with anything
//! that reclaims: the emergency page serves. The device addresses the region from `iova`, not from the user's address; here
//! it begins one page later, so that taking one for the other is seen.
//!
//! Source: mlx5_ib_invalidate_range(), pagefault_real_mr(), drivers/infiniband/hw/mlx5/odp.c; mlx5r_umr_alloc_xlt(), umr.c;
//! ib_umem_odp_map_dma_and_lock(), drivers/infiniband/core/umem_odp.c; 6.12. Regions are explicit.

use super::RETRIES_OPTION;
use super::clamp;
use super::parts::{Base, Watched, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::kref::Kref;
use crate::via::Via;
use ksync::{Kernel, Mutex, MutexGuard, current};
use mm::Mm;
use mm_types::{Errno, Gfp, MmId, Name, PageRange, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    AllocUnderUmemMutex = "alloc-under-umem-mutex": "allocates a page fault's command with GFP_KERNEL under umem_mutex",
    ZapByIova = "zap-by-iova": "takes the user's address for the device's when it zaps, and hits another page",
    FaultUnderUmemMutex = "fault-under-umem-mutex": "looks pages up, under mmap_lock, while it holds umem_mutex",
    NonblockMissedUnlock = "nonblock-missed-unlock": "refuses a callback that must not sleep with umem_mutex still held",
    RevokeUnlocked = "revoke-unlocked": "revokes its key outside of umem_mutex, and callbacks go on sending commands about it",
    SkipRetry = "skip-retry": "maps without asking read_retry",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "mlx5_odp",
    doc: "RDMA on-demand paging: a region faulted in and zapped under umem_mutex",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles { map_write: Some("prefetch"), ..Roles::ACCESSES },
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "a peer reads; a page fault maps the page" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "a peer writes; a page fault maps the page" },
    OpInfo { name: "prefetch", args: "[RANGE]", doc: "maps the pages for writing ahead of time" },
];

const UMEM_MUTEX: &str = "&umem_odp->umem_mutex";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let device = Arc::clone(&base.device);
    let umem_mutex = k.mutex(UMEM_MUTEX, ());
    let umem = Arc::new(Umem {
        device,
        mm: mm.id(),
        pages,
        mutant: Mutant::of(config),
        umem_mutex,
        mkey: parking_lot::Mutex::default(),
    });
    Arc::new(Mr { base, umem, sub: Watched::default() })
}

/// `struct ib_umem_odp` and the region behind it.
struct Umem {
    device: Arc<Device>,
    mm: MmId,
    pages: PageRange,
    mutant: Option<Mutant>,
    umem_mutex: Mutex<()>,
    /// The key that the device knows the region by, until it is revoked under `umem_mutex`. A storage lock.
    mkey: parking_lot::Mutex<Option<Arc<Kref>>>,
}

impl Umem {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// `mlx5r_umr_update_xlt()`: a command that changes the table, by `change`. The caller holds `umem_mutex`.
    fn update_xlt(&self, gfp: Gfp, change: impl FnOnce()) {
        let mkey = self.mkey.lock().clone();
        let Some(mkey) = mkey else { return };
        // Without a buffer the emergency page serves.
        let _buffer = current(|k| k.kmalloc(gfp, 1));
        mkey.touch();
        change();
    }

    /// The device forgets the key; a command that names it is an error from then on.
    fn revoke(&self) {
        let mkey = self.mkey.lock().take();
        mkey.iter().for_each(|mkey| mkey.put());
    }

    fn zap(&self, pages: PageRange) {
        for vpn in pages.iter() {
            self.device.clear(self.mm, self.index(vpn));
        }
    }

    /// Where the table has a page of the user's.
    fn index(&self, vpn: Vpn) -> Vpn {
        if self.has(Mutant::ZapByIova) { vpn + 1 } else { vpn }
    }
}

impl IntervalNotifier for Umem {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        if !range.blockable {
            if self.has(Mutant::NonblockMissedUnlock) {
                self.umem_mutex.try_lock().map(MutexGuard::leak);
            }
            return false;
        }
        let _guard = self.umem_mutex.lock();
        sub.set_seq(cur_seq);
        let pages = clamp(range.pages, self.pages);
        self.update_xlt(Gfp::ATOMIC, || self.zap(pages));
        true
    }
}

/// The driver: one memory region.
struct Mr {
    base: Base,
    umem: Arc<Umem>,
    sub: Watched,
}

impl Mr {
    /// `pagefault_real_mr()`.
    fn fault(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        let sub = self.sub.sub()?;
        self.base.own(pages)?;
        let _users = self.base.users()?;
        self.base.retry(|| {
            let seq = self.base.mm.subscriptions().read_begin(&sub);
            let early = self.umem.has(Mutant::FaultUnderUmemMutex).then(|| self.umem.umem_mutex.lock());
            let Some(found) = self.base.hmm(&sub, seq, pages, write)? else { return Ok(None) };
            let _guard = early.unwrap_or_else(|| self.umem.umem_mutex.lock());
            if !self.umem.has(Mutant::SkipRetry) && sub.read_retry(seq) {
                return Ok(None);
            }
            let via = Via::interval(self.base.mm.subscriptions(), &sub);
            let gfp = if self.umem.has(Mutant::AllocUnderUmemMutex) { Gfp::KERNEL } else { Gfp::ATOMIC };
            self.umem.update_xlt(gfp, || self.base.set_all(via, &found));
            Ok(Some(()))
        })
    }
}

impl Driver for Mr {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        let mkey = current(|k| Kref::new(k, &self.base.device, "mkey"));
        *self.umem.mkey.lock() = Some(Arc::new(mkey));
        let inserted = self.sub.insert(&self.base.mm, self.base.pages, self.umem.clone());
        inserted.inspect_err(|_| self.umem.revoke())
    }

    /// `mlx5_ib_dereg_mr()`: the key is revoked under the mutex, then nobody is told any more.
    fn detach(&self) {
        let Some(sub) = self.sub.take() else { return };
        if self.umem.has(Mutant::RevokeUnlocked) {
            let mkey = self.umem.mkey.lock().clone();
            mkey.iter().for_each(|mkey| mkey.put());
        }
        {
            let _guard = self.umem.umem_mutex.lock();
            if !self.umem.has(Mutant::RevokeUnlocked) {
                self.umem.revoke();
            }
            self.base.device.zap(self.base.mm.id(), self.base.pages);
        }
        Subscriptions::interval_remove(&*self.base.mm, &sub);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "read" => self.base.access(args, false, |vpn, write| self.fault(PageRange::page(vpn), write)),
            "write" => self.base.access(args, true, |vpn, write| self.fault(PageRange::page(vpn), write)),
            "prefetch" => self.fault(pages, true),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "umem_mutex", class: UMEM_MUTEX }]
    }
}
