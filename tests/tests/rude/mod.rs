//! A driver written against the public API that does in its callback what no callback may.

use harness::drivers::{Args, Config, Device, Driver, DriverKind, DriverLock, MutantInfo, OpInfo, Roles};
use ksync::Kernel;
use mm::Mm;
use mm_types::{Errno, Name, PageRange};
use mmu_notifier::{Hooks, ListSub, Notifier, Subscriptions, WouldBlock};
use std::sync::{Arc, Mutex};
use trace::{AccessModel, NotifyRange};

/// A list subscriber that does in its start what its mutant says.
struct Rude {
    device: Arc<Device>,
    mm: Arc<Mm>,
    mutant: Option<String>,
    sub: Mutex<Option<ListSub>>,
}

struct RudeCallbacks {
    device: Arc<Device>,
    mutant: Option<String>,
}

impl Notifier for RudeCallbacks {
    fn name(&self) -> Name {
        self.device.name()
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn hooks(&self) -> Hooks {
        Hooks::RANGE_START
    }
    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        match self.mutant.as_deref() {
            Some("refuse-blocking") if range.blockable => Err(WouldBlock),
            Some("panic") => panic!("the driver did not expect {}", range.event),
            _ => Ok(()),
        }
    }
}

impl Driver for Rude {
    fn name(&self) -> Name {
        self.device.name()
    }
    fn device(&self) -> &Arc<Device> {
        &self.device
    }
    fn attach(&self) -> Result<(), Errno> {
        let callbacks = RudeCallbacks { device: self.device.clone(), mutant: self.mutant.clone() };
        *self.sub.lock().expect("one thread") = Some(Subscriptions::register(&*self.mm, Arc::new(callbacks))?);
        Ok(())
    }
    fn detach(&self) {
        if let Some(sub) = self.sub.lock().expect("one thread").take() {
            Subscriptions::unregister(&*self.mm, sub);
        }
    }
    fn ops(&self) -> &'static [OpInfo] {
        &[]
    }
    fn op(&self, _: Name, _: &Args) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn locks(&self) -> &'static [DriverLock] {
        &[]
    }
}

pub(crate) const RUDE: DriverKind = DriverKind {
    name: "rude",
    doc: "does what no callback may",
    mutants: &[
        MutantInfo { name: "refuse-blocking", doc: "refuses where blocking is allowed" },
        MutantInfo { name: "panic", doc: "panics in its callback" },
    ],
    options: &[],
    ops: &[],
    roles: Roles::NONE,
    whole_mm: false,
    make: |k: &Kernel, mm: &Arc<Mm>, _: PageRange, config: &Config| {
        Arc::new(Rude {
            device: Device::new(k, config.dev, config.name, mm.machine().clone()),
            mm: mm.clone(),
            mutant: config.mutant.clone(),
            sub: Mutex::new(None),
        })
    },
};
