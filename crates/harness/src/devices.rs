//! Devices of a scenario: drivers made by name, drivers written inline, and the locks tasks may take.

use crate::compile::{DeviceSpec, DriverSpec};
use crate::inline::InlineDriver;
use crate::registry::Registry;
use driver_model::{Args, Config, Driver};
use ksync::{Kernel, LockClass, Mutex, RwSem, SpinLock, SpinLockIrq};
use mm::Mm;
use mm_types::{Name, PageRange, VirtAddr};
use scenario::ast::{Argument, LockKind, LockMode};
use std::sync::Arc;
use trace::DevId;

/// A device with its driver.
pub(crate) struct Attached {
    pub(crate) driver: Arc<dyn Driver>,
    /// Locks of an inline driver, by their names in it.
    locks: Vec<(String, DeviceLock)>,
}

/// A lock of an inline driver: it protects what the scenario says it does.
#[derive(Clone)]
pub(crate) enum DeviceLock {
    Mutex(Arc<Mutex<()>>),
    Spin(Arc<SpinLock<()>>),
    RwSem(Arc<RwSem<()>>),
}

impl DeviceLock {
    /// A lock whose class is named `class`.
    pub(crate) fn new(k: &Kernel, class: Name, kind: LockKind) -> DeviceLock {
        let of = |kind| LockClass::named(class, kind);
        match kind {
            LockKind::Mutex => DeviceLock::Mutex(Arc::new(k.mutex_of(of(trace::LockKind::Mutex), ()))),
            LockKind::Spinlock => DeviceLock::Spin(Arc::new(k.spinlock_in(k.class(of(trace::LockKind::Spin)), ()))),
            LockKind::Rwsem => DeviceLock::RwSem(Arc::new(k.rwsem_of(of(trace::LockKind::RwSem), ()))),
        }
    }

    /// Runs `f` under the lock, taken as `mode` says: a rwsem to write unless it says to read.
    pub(crate) fn with<R>(&self, mode: Option<LockMode>, f: impl FnOnce() -> R) -> R {
        match self {
            DeviceLock::Mutex(lock) => {
                let _guard = lock.lock();
                f()
            }
            DeviceLock::Spin(lock) => match mode {
                Some(LockMode::Irqsave) => {
                    let _guard = lock.lock_irqsave();
                    f()
                }
                Some(LockMode::Bh) => {
                    let _guard = lock.lock_bh();
                    f()
                }
                _ => {
                    let _guard = lock.lock();
                    f()
                }
            },
            DeviceLock::RwSem(lock) if mode == Some(LockMode::Read) => {
                let _guard = lock.read();
                f()
            }
            DeviceLock::RwSem(lock) => {
                let _guard = lock.write();
                f()
            }
        }
    }
}

/// Makes the device; it is not registered yet. Context: setup.
pub(crate) fn build_device(k: &Kernel, registry: &Registry, index: usize, mm: &Arc<Mm>, spec: &DeviceSpec) -> Attached {
    let dev = DevId(index as u32);
    match &spec.driver {
        DriverSpec::Named { driver, mutant, options } => {
            let kind = registry.get(driver.as_str()).expect("the parser knows the same drivers");
            let mut config = Config::new(dev, spec.name);
            config.mutant.clone_from(mutant);
            config.options.extend(options.iter().cloned());
            Attached { driver: (kind.make)(k, mm, spec.pages, &config), locks: Vec::new() }
        }
        DriverSpec::Inline(inline) => {
            let locks: Vec<DeviceLock> =
                inline.locks.iter().map(|(_, class, kind)| DeviceLock::new(k, *class, *kind)).collect();
            let named = inline.locks.iter().map(|(name, ..)| name.clone()).zip(locks.iter().cloned()).collect();
            let driver = InlineDriver::new(k, dev, spec.name, mm, spec.pages, inline.clone(), locks);
            Attached { driver: Arc::new(driver), locks: named }
        }
    }
}

/// Runs `f` under a lock of the device.
///
/// # Errors
/// When the device has no such lock: only inline drivers have locks that a task can take.
pub(crate) fn with_lock(device: &Attached, lock: &str, mode: Option<LockMode>, f: impl FnOnce()) -> Result<(), String> {
    match device.locks.iter().find(|(name, _)| name == lock) {
        Some((_, found)) => {
            found.with(mode, f);
            Ok(())
        }
        None => Err(format!("{} has no lock `{lock}` that a task can take", device.driver.name())),
    }
}

/// The arguments of an operation: a range or an address says which pages, a number behind an address, or of an operation
/// that takes only a value, is a value.
pub(crate) fn call_args(driver: &dyn Driver, operation: Name, arguments: &[Argument]) -> Args {
    let only_value = driver.ops().iter().any(|op| op.name == operation.as_str() && op.args.starts_with("[VALUE"));
    arguments.iter().fold(Args::NONE, |args, argument| match *argument {
        Argument::Range(pages) => Args { pages: Some(pages), ..args },
        Argument::Number(addr) if args.pages.is_none() && !only_value => {
            Args { pages: Some(PageRange::page(VirtAddr(addr).vpn())), ..args }
        }
        Argument::Number(value) => Args { value, ..args },
    })
}
