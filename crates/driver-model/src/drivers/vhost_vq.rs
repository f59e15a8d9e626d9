//! `vhost_vq`: the kernel's own mapping of a virtqueue's pages, to get at them faster than by copying through the process.
//!
//! As vhost had it in Linux 5.2, until it was taken out again.
//!
//! ```text
//! access                                 range_start
//! lock &vq->mmu_lock                     lock &vq->mmu_lock
//!   mapped: use it                         invalidate_count += 1
//!   no bracket open: map what is there     unmap
//! unlock                                 unlock
//! else copy through the process          mark what was written dirty
//!                                        range_end: count -= 1, under the lock
//! ```
//!
//! The lock is a spinlock, since accesses are short; so what sleeps is done outside of it, and a page that is not there is
//! not faulted in under it. No page is held: the count keeps a mapping from being made while entries are cleared.
//!
//! Source: vhost_invalidate_vq_start(), vhost_map_prefetch(), drivers/vhost/vhost.c, 5.2.

use super::parts::{Base, Listed, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use ksync::{Kernel, SpinLock};
use mm::{Machine, Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Pfn, Vpn};
use mmu_notifier::{Hooks, Notifier, WouldBlock};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    NoInvalidateCount = "no-invalidate-count": "makes a mapping although a bracket is open",
    DirtyUnderSpinlock = "dirty-under-spinlock": "marks pages dirty, under their folio lock, under its spinlock",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "vhost_vq",
    doc: "a kernel mapping of a virtqueue, made under a spinlock while no bracket is open",
    mutants: Mutant::ALL,
    options: &[],
    ops: OPS,
    roles: Roles::ACCESSES,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "the kernel reads, through its mapping or through the process" },
    OpInfo {
        name: "write",
        args: "ADDR [VALUE]",
        doc: "the kernel writes, through its mapping or through the process",
    },
];

const MMU_LOCK: &str = "&vq->mmu_lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let vq = Arc::new(Vq {
        mapping: Arc::clone(&base.device),
        machine: Arc::clone(mm.machine()),
        mm: mm.id(),
        mutant: Mutant::of(config),
        invalidate_count: k.spinlock(MMU_LOCK, 0),
    });
    Arc::new(Vhost { base, vq, sub: Listed::default() })
}

/// `struct vhost_virtqueue`.
struct Vq {
    mapping: Arc<Device>,
    machine: Arc<Machine>,
    mm: MmId,
    mutant: Option<Mutant>,
    /// `&vq->mmu_lock`, and the brackets open.
    invalidate_count: SpinLock<u64>,
}

impl Vq {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Unmaps under the lock, and marks dirty what could be written.
    fn unmap(&self, pages: PageRange, brackets: u64) {
        let mut count = self.invalidate_count.lock();
        *count += brackets;
        let sptes = self.mapping.sptes();
        let mapped: Vec<Pfn> = sptes.iter().filter(|(_, vpn, _)| pages.contains(*vpn)).map(|(.., s)| s.pfn).collect();
        if self.has(Mutant::DirtyUnderSpinlock) {
            mapped.iter().for_each(|pfn| device::set_page_dirty_lock(&self.machine, *pfn));
        }
        // Otherwise as `set_page_dirty()`, which takes no lock for pages of memory; frames here are dirty when written.
        self.mapping.zap(self.mm, pages);
    }
}

impl Notifier for Vq {
    fn name(&self) -> Name {
        self.mapping.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn hooks(&self) -> Hooks {
        Hooks::RELEASE | Hooks::RANGE_START | Hooks::RANGE_END
    }

    fn release(&self, _mm: MmId) {
        // For good: no mapping is made any more.
        self.unmap(PageRange::ALL, 1);
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        self.unmap(range.pages, 1);
        Ok(())
    }

    fn invalidate_range_end(&self, _range: &NotifyRange) {
        *self.invalidate_count.lock() -= 1;
    }
}

/// The driver: one virtqueue.
struct Vhost {
    base: Base,
    vq: Arc<Vq>,
    sub: Listed,
}

impl Vhost {
    fn access(&self, vpn: Vpn, store: Option<u64>) -> Result<(), Errno> {
        self.base.own(PageRange::page(vpn))?;
        if self.access_mapped(vpn, store)? {
            return Ok(());
        }
        let _users = self.base.users()?;
        // `copy_to_user()`, `copy_from_user()`: they fault the page in.
        let copied = match store {
            Some(value) => self.base.mm.write_page(vpn, value),
            None => self.base.mm.read_page(vpn).map(drop),
        };
        copied.map_err(|_| Errno::EFAULT)
    }

    /// Whether it could be done through the mapping, made if need be.
    fn access_mapped(&self, vpn: Vpn, store: Option<u64>) -> Result<bool, Errno> {
        let (vq, mm) = (&self.vq, &self.base.mm);
        let via = self.sub.via()?;
        let count = vq.invalidate_count.lock();
        let usable = |spte: &crate::Spte| spte.writable || store.is_none();
        if vq.mapping.lookup(vq.mm, vpn).filter(usable).is_none() {
            if *count > 0 && !vq.has(Mutant::NoInvalidateCount) {
                return Ok(false);
            }
            let entry = device::walk_objects(mm, vpn);
            let allowed = |(_, writable): &(_, bool)| *writable || store.is_none();
            if !vq.mapping.fill(via, vpn, entry, || device::walk_now(mm, vpn).filter(allowed)) {
                return Ok(false);
            }
        }
        let done = match store {
            Some(value) => vq.mapping.write(vq.mm, vpn, value),
            None => vq.mapping.read(vq.mm, vpn).map(drop),
        };
        Ok(done.is_ok())
    }
}

impl Driver for Vhost {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.register(&self.base.mm, self.vq.clone())
    }

    fn detach(&self) {
        self.sub.unregister(&self.base.mm);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        match op.as_str() {
            "read" => args.need_pages()?.iter().try_for_each(|vpn| self.access(vpn, None)),
            "write" => args.need_pages()?.iter().try_for_each(|vpn| self.access(vpn, Some(args.value))),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "mmu_lock", class: MMU_LOCK }]
    }
}
