//! `iommu_sva`: a device that walks the process's own page table through an IOMMU. It has no table, only a TLB, so all it
//! must hear is that the CPUs flush theirs.
//!
//! ```text
//! access                                 flush on a CPU, after the entries were cleared
//! in the TLB: use it                     arch_invalidate_secondary_tlbs: forget the pages
//! else walk and fill
//! else page request:                     release: walk no more, forget everything
//!   mmap_lock, handle_mm_fault
//!   again
//! ```
//!
//! It subscribes to no bracket: between start and the flush it may use what it has. The hook must not sleep; the release
//! comes before the pages are freed, and after it no hook does.
//!
//! Source: arm_smmu_mm_arch_invalidate_secondary_tlbs(), arm_smmu_mm_release(),
//! drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c; iommu_sva_handle_mm(), drivers/iommu/iommu-sva.c; 6.12.

use super::RETRIES_OPTION;
use super::parts::{Base, Listed, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use ksync::{Kernel, SpinLock};
use mm::{Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Vpn};
use mmu_notifier::{Hooks, Notifier, WouldBlock};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    FlushInStart = "flush-in-start": "forgets translations in range_start, and walks the old entries again before they are cleared",
    LastPageStays = "last-page-stays": "takes the end of a range for its last page, so that the last page stays",
    NoRelease = "no-release": "goes on after the address space was released",
    CommandPerPage = "command-per-page": "sends a command for each page of a range, however many there are",
    ContextAfterDrop = "context-after-drop": "gives the id of the address space back when it has no hold on the struct any more",
    SleepInHook = "sleep-in-hook": "waits for its command queue where it must not sleep",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "iommu_sva",
    doc: "walks the process's page table; only the secondary TLB hook",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles::ACCESSES,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "the device reads; a miss walks, a page request faults" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the device writes; a miss walks, a page request faults" },
];

const DEVICES_LOCK: &str = "&smmu_domain->devices_lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let tlb = Arc::clone(&base.device);
    let lock = k.spinlock(DEVICES_LOCK, Walks::No);
    let domain = Arc::new(Domain { tlb, mm: mm.id(), mutant: Mutant::of(config), lock });
    Arc::new(Sva { base, domain, sub: Listed::default() })
}

/// What the context descriptor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Walks {
    Yes,
    No,
}

/// `struct arm_smmu_domain`.
struct Domain {
    /// The device's table stands for its TLB.
    tlb: Arc<Device>,
    mm: MmId,
    mutant: Option<Mutant>,
    lock: SpinLock<Walks>,
}

impl Domain {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Notifier for Domain {
    fn name(&self) -> Name {
        self.tlb.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::SecondaryTlb
    }

    fn hooks(&self) -> Hooks {
        let flush = if self.has(Mutant::FlushInStart) { Hooks::RANGE_START } else { Hooks::SECONDARY_TLB };
        Hooks::RELEASE | flush
    }

    fn release(&self, _mm: MmId) {
        if self.has(Mutant::NoRelease) {
            return;
        }
        *self.lock.lock() = Walks::No;
        self.tlb.zap(self.mm, PageRange::ALL);
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        self.tlb.zap(self.mm, range.pages);
        Ok(())
    }

    fn arch_invalidate_secondary_tlbs(&self, mm: MmId, pages: PageRange) {
        if self.has(Mutant::SleepInHook) {
            ksync::current(|k| k.might_sleep_at(Name::new("arm_smmu_cmdq_issue_sync")));
        }
        if self.has(Mutant::CommandPerPage) {
            pages.iter().for_each(|vpn| {
                self.tlb.clear(mm, vpn);
            });
            return;
        }
        let shorter = PageRange::new(pages.start(), pages.last()).ok();
        let pages = shorter.filter(|_| self.has(Mutant::LastPageStays)).unwrap_or(pages);
        self.tlb.zap(mm, pages);
    }
}

/// The driver: a process bound to a device.
struct Sva {
    base: Base,
    domain: Arc<Domain>,
    sub: Listed,
}

impl Sva {
    /// A miss: a walk, and if that finds nothing, a page request. The bond keeps the struct, not the address space.
    fn miss(&self, vpn: Vpn, write: bool) -> Result<(), Errno> {
        let mm = &self.base.mm;
        let via = self.sub.via()?;
        let filled = {
            let walks = self.domain.lock.lock();
            if *walks == Walks::No {
                return Err(Errno::EFAULT);
            }
            let entry = device::walk_objects(mm, vpn);
            let allowed = |(_, writable): &(_, bool)| *writable || !write;
            self.domain.tlb.fill(via, vpn, entry, || device::walk_now(mm, vpn).filter(allowed))
        };
        if filled {
            return Ok(());
        }
        let _users = self.base.users()?;
        device::handle_fault(mm, vpn, write)
    }
}

impl Driver for Sva {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        *self.domain.lock.lock() = Walks::Yes;
        self.sub.register(&self.base.mm, self.domain.clone())
    }

    fn detach(&self) {
        *self.domain.lock.lock() = Walks::No;
        self.base.device.zap(self.base.mm.id(), PageRange::ALL);
        let bound = self.sub.via().is_ok();
        // The subscription has a hold on the struct, which the id is in.
        if bound && !self.domain.has(Mutant::ContextAfterDrop) {
            device::context_put(&self.base.mm);
        }
        self.sub.unregister(&self.base.mm);
        if bound && self.domain.has(Mutant::ContextAfterDrop) {
            device::context_put(&self.base.mm);
        }
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        match op.as_str() {
            "read" => self.base.access(args, false, |vpn, write| self.miss(vpn, write)),
            "write" => self.base.access(args, true, |vpn, write| self.miss(vpn, write)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "devices_lock", class: DEVICES_LOCK }]
    }
}
