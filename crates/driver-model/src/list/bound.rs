//! A typed driver with its device and its subscription: what a scenario calls.

use super::bracket::{End, Release, Start};
use super::lookup::MmRef;
use super::{ListDriver, Probe};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::Config;
use crate::typed;
use crate::via::Via;
use ksync::Kernel;
use mm::Mm;
use mm::device::mmget_not_zero;
use mm_types::{Errno, MmId, Name, PageRange, Vpn};
use mmu_notifier::{Hooks, ListSub, Notifier, Subscriptions, WouldBlock};
use parking_lot::Mutex;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

pub(super) fn make<D: ListDriver>(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let device = typed::device(k, mm, pages, config, D::HUGE);
    let driver = D::probe(&Probe::new(k, &device, mm.id(), config));
    let callbacks = Arc::new(Callbacks { device, driver });
    Arc::new(Bound { callbacks, mm: Arc::clone(mm), pages, sub: Mutex::new(None) })
}

/// The part the mm owns: it owns neither the mm nor its subscription.
struct Callbacks<D> {
    device: Arc<Device>,
    driver: D,
}

impl<D: ListDriver> Notifier for Callbacks<D> {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        D::MODEL
    }

    fn hooks(&self) -> Hooks {
        Hooks::RELEASE | Hooks::RANGE_START | Hooks::RANGE_END
    }

    fn release(&self, _mm: MmId) {
        let _released = self.driver.release(Release::new());
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        let _started = self.driver.invalidate_range_start(Start::new(range));
        Ok(())
    }

    fn invalidate_range_end(&self, range: &NotifyRange) {
        let _ended = self.driver.invalidate_range_end(End::new(range));
    }
}

struct Bound<D> {
    callbacks: Arc<Callbacks<D>>,
    mm: Arc<Mm>,
    pages: PageRange,
    sub: Mutex<Option<(ListSub, Via)>>,
}

/// A subscription that ends. Owed to the framework: it keeps the mm and calls the driver until it is unregistered.
#[must_use = "only `unregister` ends a subscription"]
pub struct Subscription<'a> {
    mm: &'a Mm,
    sub: ListSub,
}

/// Proof that a subscription was unregistered.
#[derive(Debug)]
#[must_use = "`unregister` returns it"]
pub struct Unregistered<'a> {
    of: PhantomData<Subscription<'a>>,
}

impl<'a> Subscription<'a> {
    /// `mmu_notifier_unregister()`: calls `release` unless the address space has ended before; once it returns, no callback runs or
    /// will run. May sleep; no lock is held that a callback takes.
    #[track_caller]
    pub fn unregister(self) -> Unregistered<'a> {
        Subscriptions::unregister(self.mm, self.sub);
        Unregistered::proven()
    }
}

impl fmt::Debug for Subscription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("sub", &self.sub).finish_non_exhaustive()
    }
}

impl Unregistered<'_> {
    pub(super) const fn proven() -> Self {
        Unregistered { of: PhantomData }
    }
}

impl<D: ListDriver> Bound<D> {
    fn driver(&self) -> &D {
        &self.callbacks.driver
    }

    /// Runs `f` with the mm as the driver sees it: with the subscription of this moment.
    fn with_mm<R>(&self, f: impl FnOnce(&MmRef<'_>) -> R) -> R {
        let sub = self.sub.lock().as_ref().map(|(_, via)| *via);
        f(&MmRef { mm: &self.mm, pages: self.pages, sub })
    }
}

impl<D: ListDriver> typed::Bound for Bound<D> {
    fn pages(&self) -> PageRange {
        self.pages
    }

    fn map(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        self.with_mm(|mm| self.driver().map(mm, pages, write))
    }

    fn unmap(&self, pages: PageRange) {
        self.driver().unmap(pages);
    }

    fn access(&self, vpn: Vpn, store: Option<u64>) -> Result<(), Errno> {
        self.with_mm(|mm| self.driver().access(mm, vpn, store))
    }

    fn own_op(&self, op: &str, args: &Args) -> Result<(), Errno> {
        self.with_mm(|mm| self.driver().op(mm, op, args))
    }
}

impl<D: ListDriver> Driver for Bound<D> {
    fn name(&self) -> Name {
        self.callbacks.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.callbacks.device
    }

    fn attach(&self) -> Result<(), Errno> {
        if self.sub.lock().is_some() {
            return Err(Errno::EBUSY);
        }
        let _users = mmget_not_zero(&self.mm).ok_or(Errno::ENODEV)?;
        self.driver().table().open();
        let sub = Subscriptions::register(&*self.mm, self.callbacks.clone())?;
        let via = Via::list(self.mm.subscriptions(), &sub);
        *self.sub.lock() = Some((sub, via));
        Ok(())
    }

    fn detach(&self) {
        let Some((sub, _)) = self.sub.lock().take() else { return };
        let _unregistered: Unregistered<'_> = self.driver().unregister(Subscription { mm: &self.mm, sub });
        self.driver().table().forget_brackets();
    }

    fn ops(&self) -> &'static [OpInfo] {
        D::OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        typed::carry_out(self, op, args)
    }

    fn locks(&self) -> &'static [DriverLock] {
        D::LOCKS
    }
}
