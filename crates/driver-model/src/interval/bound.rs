//! A typed driver with its device and its subscription: what a scenario calls.

use super::invalidation::Invalidation;
use super::lookup::MmRef;
use super::{IntervalDriver, Probe};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::Config;
use crate::typed;
use ksync::Kernel;
use mm::Mm;
use mm::device::mmget_not_zero;
use mm_types::{Errno, Name, PageRange, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use parking_lot::Mutex;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

pub(super) fn make<D: IntervalDriver>(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
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

impl<D: IntervalDriver> IntervalNotifier for Callbacks<D> {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        D::MODEL
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        self.driver.invalidate(Invalidation { sub, range, cur_seq }).is_ok()
    }
}

struct Bound<D> {
    callbacks: Arc<Callbacks<D>>,
    mm: Arc<Mm>,
    pages: PageRange,
    sub: Mutex<Option<Arc<IntervalSub>>>,
}

/// A subscription that ends. Owed to the framework: it keeps the mm and calls the driver until it is removed.
#[must_use = "only `remove` ends a subscription"]
pub struct Subscription<'a> {
    mm: &'a Mm,
    sub: Arc<IntervalSub>,
}

/// Proof that a subscription was removed.
#[derive(Debug)]
#[must_use = "`remove` returns it"]
pub struct Removed<'a> {
    of: PhantomData<Subscription<'a>>,
}

impl<'a> Subscription<'a> {
    /// `mmu_interval_notifier_remove()`: once it returns, no callback runs or will run. May sleep; no lock is held that
    /// `invalidate` takes.
    #[track_caller]
    pub fn remove(self) -> Removed<'a> {
        Subscriptions::interval_remove(self.mm, &self.sub);
        Removed::proven()
    }
}

impl fmt::Debug for Subscription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("sub", &self.sub).finish_non_exhaustive()
    }
}

impl Removed<'_> {
    pub(super) const fn proven() -> Self {
        Removed { of: PhantomData }
    }
}

impl<D: IntervalDriver> Bound<D> {
    /// Runs `f` with the mm as the driver sees it: with the subscription of this moment.
    fn with_mm<R>(&self, f: impl FnOnce(&MmRef<'_>) -> R) -> R {
        let sub = self.sub.lock().clone();
        f(&MmRef { mm: &self.mm, pages: self.pages, sub: sub.as_ref() })
    }
}

impl<D: IntervalDriver> typed::Bound for Bound<D> {
    fn pages(&self) -> PageRange {
        self.pages
    }

    fn map(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        self.with_mm(|mm| self.callbacks.driver.map(mm, pages, write))
    }

    fn unmap(&self, pages: PageRange) {
        self.callbacks.driver.unmap(pages);
    }

    fn access(&self, vpn: Vpn, store: Option<u64>) -> Result<(), Errno> {
        self.with_mm(|mm| self.callbacks.driver.access(mm, vpn, store))
    }

    fn own_op(&self, op: &str, args: &Args) -> Result<(), Errno> {
        self.with_mm(|mm| self.callbacks.driver.op(mm, op, args))
    }
}

impl<D: IntervalDriver> Driver for Bound<D> {
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
        self.callbacks.driver.table().open();
        let sub = Subscriptions::interval_insert(&*self.mm, self.pages, self.callbacks.clone())?;
        *self.sub.lock() = Some(sub);
        Ok(())
    }

    fn detach(&self) {
        let Some(sub) = self.sub.lock().take() else { return };
        let driver = &self.callbacks.driver;
        // A look-up that is under way finds the table closed, begins again and finds no subscription.
        driver.table().close(self.pages);
        let _removed: Removed<'_> = driver.remove(Subscription { mm: &self.mm, sub });
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
