//! `sgx_encl`: an enclave, which needs to hear only that an address space goes away. It keeps no translation of its pages.
//!
//! ```text
//! close of the last VMA, mmap_lock held     exit
//! unregister                                release
//!   release                                   lock &encl->mm_lock; forget the mm; unlock
//!     lock &encl->mm_lock; ...
//!   synchronize_srcu
//! ```
//!
//! `release` is called by unregistration too, and that with whatever its caller holds; so it must take no lock of the mm.
//! The kernel's driver drops its notifier by `mmu_notifier_put()`, which calls no release and frees later.
//!
//! Source: sgx_mmu_notifier_release(), sgx_encl_mm_add(), arch/x86/kernel/cpu/sgx/encl.c, 6.12.

use super::parts::{Base, Listed, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::kref::Kref;
use ksync::{Kernel, SpinLock, current};
use mm::{Mm, device};
use mm_types::{Errno, MmId, Name, PageRange};
use mmu_notifier::{Hooks, MmHost, Notifier};
use std::sync::{Arc, Weak};
use trace::AccessModel;

mutants! {
    ReleaseTakesMmapLock = "release-takes-mmap-lock": "takes mmap_lock in its release, which the close of a VMA calls under it",
    FreeBeforeUnregister = "free-before-unregister": "frees what its callback uses before it unregistered and callbacks have left",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "sgx_encl",
    doc: "an enclave: only the release of an address space",
    mutants: Mutant::ALL,
    options: &[],
    ops: OPS,
    roles: Roles { read: Some("enter"), ..Roles::NONE },
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "enter", args: "", doc: "enters the enclave; EFAULT once the address space was released" },
    OpInfo { name: "close", args: "", doc: "closes the enclave's last VMA, under mmap_lock" },
];

const MM_LOCK: &str = "&encl->mm_lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let encl = Arc::new(Encl {
        name: config.name,
        mutant: Mutant::of(config),
        mm: Arc::downgrade(mm),
        mm_lock: k.spinlock(MM_LOCK, Listening::No),
        encl_mm: parking_lot::Mutex::default(),
    });
    Arc::new(Enclave { base, encl, sub: Listed::default() })
}

/// Whether the enclave's list has the mm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listening {
    Yes,
    No,
}

/// `struct sgx_encl`.
struct Encl {
    name: Name,
    mutant: Option<Mutant>,
    /// For `release-takes-mmap-lock` only.
    mm: Weak<Mm>,
    mm_lock: SpinLock<Listening>,
    /// `struct sgx_encl_mm`, which the callback uses, while it is registered. A storage lock.
    encl_mm: parking_lot::Mutex<Option<Arc<Kref>>>,
}

impl Encl {
    fn encl_mm(&self) -> Option<Arc<Kref>> {
        self.encl_mm.lock().clone()
    }
}

impl Notifier for Encl {
    fn name(&self) -> Name {
        self.name
    }

    fn model(&self) -> AccessModel {
        AccessModel::LongTermPin
    }

    fn hooks(&self) -> Hooks {
        Hooks::RELEASE
    }

    fn release(&self, _mm: MmId) {
        if self.mutant == Some(Mutant::ReleaseTakesMmapLock)
            && let Some(mm) = self.mm.upgrade()
        {
            device::with_mmap_read(&mm, || ());
        }
        self.encl_mm().iter().for_each(|encl_mm| encl_mm.touch());
        *self.mm_lock.lock() = Listening::No;
    }
}

/// The driver.
struct Enclave {
    base: Base,
    encl: Arc<Encl>,
    sub: Listed,
}

impl Enclave {
    /// `mmu_notifier_unregister()`, and then, with no callback inside any more, the end of what it used.
    fn unregister(&self) {
        let Some(encl_mm) = self.encl.encl_mm() else { return };
        if self.encl.mutant == Some(Mutant::FreeBeforeUnregister) {
            encl_mm.put();
            self.sub.unregister(&self.base.mm);
        } else {
            self.sub.unregister(&self.base.mm);
            encl_mm.put();
        }
        *self.encl.encl_mm.lock() = None;
    }
}

impl Driver for Enclave {
    fn name(&self) -> Name {
        self.encl.name
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        *self.encl.encl_mm.lock() = Some(Arc::new(current(|k| Kref::new(k, &self.base.device, "encl_mm"))));
        self.sub.register(&self.base.mm, self.encl.clone())?;
        *self.encl.mm_lock.lock() = Listening::Yes;
        Ok(())
    }

    fn detach(&self) {
        self.unregister();
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, _args: &Args) -> Result<(), Errno> {
        self.sub.via()?;
        match op.as_str() {
            "enter" if *self.encl.mm_lock.lock() == Listening::No => Err(Errno::EFAULT),
            "enter" => Ok(()),
            "close" => {
                MmHost::with_mmap_write(&*self.base.mm, &mut || self.unregister());
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "mm_lock", class: MM_LOCK }]
    }
}
