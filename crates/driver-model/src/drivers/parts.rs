//! What drivers are made of besides what makes them different: a device for pages of an address space, a subscription that
//! may be there or not, the bound on retries, the list of mutants.

use crate::device::{Device, Features, block_of, has_block};
use crate::driver::Args;
use crate::drivers::RETRIES;
use crate::kind::Config;
use crate::via::Via;
use ksync::Kernel;
use mm::device::{self, HmmError, HmmPage};
use mm::{Machine, Mm, MmUsers, Shrinker, ShrinkerHandle};
use mm_types::{Errno, PageRange, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, ListSub, Notifier, Subscriptions};
use parking_lot::Mutex;
use std::sync::Arc;

/// The mutants of a driver, once: an enum, and what `list` shows of it.
macro_rules! mutants {
    ($($variant:ident = $name:literal: $doc:literal,)*) => {
        /// How the driver is wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Mutant { $(#[doc = $doc] $variant,)* }

        impl Mutant {
            const ALL: &'static [$crate::kind::MutantInfo] =
                &[$($crate::kind::MutantInfo { name: $name, doc: $doc },)*];

            fn of(config: &$crate::kind::Config) -> Option<Mutant> {
                match config.mutant.as_deref() {
                    $(Some($name) => Some(Mutant::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
pub(super) use mutants;

/// A device, the address space it serves, and which pages of it.
pub(super) struct Base {
    pub(super) device: Arc<Device>,
    pub(super) mm: Arc<Mm>,
    pub(super) pages: PageRange,
    retries: u64,
}

impl Base {
    /// With a device that has no TLB.
    pub(super) fn new(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Base {
        Base::with(Device::new(k, config.dev, config.name, Arc::clone(mm.machine())), mm, pages, config)
    }

    /// With a device that has a TLB.
    pub(super) fn with_tlb(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Base {
        Base::with_features(k, mm, pages, config, Features { tlb: true, ..Features::default() })
    }

    /// With a device that has a TLB, and entries for 2 MiB if any could fit into its pages.
    pub(super) fn with_huge(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Base {
        Base::with_features(k, mm, pages, config, Features { tlb: true, huge: has_block(pages), power: false })
    }

    pub(super) fn with_features(
        k: &Kernel,
        mm: &Arc<Mm>,
        pages: PageRange,
        config: &Config,
        features: Features,
    ) -> Base {
        let device = Device::with(k, config.dev, config.name, Arc::clone(mm.machine()), features);
        Base::with(device, mm, pages, config)
    }

    /// Whether the pages of the block that `vpn` is in are all the driver's, and its device can translate them at once.
    pub(super) fn may_map_block(&self, vpn: Vpn) -> bool {
        self.device.has_huge_entries() && self.pages.covers(block_of(vpn))
    }

    fn with(device: Arc<Device>, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Base {
        Base { device, mm: Arc::clone(mm), pages, retries: config.number("retries", RETRIES) }
    }

    /// `mmget_not_zero()`, or `EFAULT`.
    pub(super) fn users(&self) -> Result<MmUsers, Errno> {
        device::mmget_not_zero(&self.mm).ok_or(Errno::EFAULT)
    }

    /// `EFAULT` for pages that the driver does not serve: nobody would tell it when they go.
    pub(super) fn own(&self, pages: PageRange) -> Result<(), Errno> {
        if self.pages.covers(pages) { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Attempts until one gives something, within the bound; then `EBUSY`.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> Result<Option<T>, Errno>) -> Result<T, Errno> {
        for _ in 0..self.retries {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
        }
        Err(Errno::EBUSY)
    }

    /// `hmm_range_fault()`; `None` if an invalidation came between.
    pub(super) fn hmm(
        &self,
        sub: &IntervalSub,
        seq: u64,
        pages: PageRange,
        write: bool,
    ) -> Result<Option<Vec<HmmPage>>, Errno> {
        match device::hmm_range_fault(&self.mm, sub, seq, pages, write) {
            Ok(found) => Ok(Some(found)),
            Err(HmmError::Busy) => Ok(None),
            Err(HmmError::Errno(errno)) => Err(errno),
        }
    }

    /// Publishes what was looked up.
    pub(super) fn set_all(&self, via: Via, found: &[HmmPage]) {
        for HmmPage { vpn, pfn, writable, .. } in found {
            self.device.set(via, *vpn, *pfn, *writable);
        }
    }

    /// The device reads or writes each page; `fault` publishes what is missing, and the device tries again.
    pub(super) fn access(
        &self,
        args: &Args,
        write: bool,
        fault: impl Fn(Vpn, bool) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mm = self.mm.id();
        args.need_pages()?.iter().try_for_each(|vpn| {
            self.retry(|| {
                let done =
                    if write { self.device.write(mm, vpn, args.value) } else { self.device.read(mm, vpn).map(drop) };
                match done {
                    Ok(()) => Ok(Some(())),
                    Err(_fault) => fault(vpn, write).map(|()| None),
                }
            })
        })
    }
}

/// A list subscription, while there is one.
#[derive(Default)]
pub(super) struct Listed(Mutex<Option<(ListSub, Via)>>);

impl Listed {
    pub(super) fn register(&self, mm: &Mm, ops: Arc<dyn Notifier>) -> Result<(), Errno> {
        let sub = Subscriptions::register(mm, ops)?;
        let via = Via::list(mm.subscriptions(), &sub);
        *self.0.lock() = Some((sub, via));
        Ok(())
    }

    pub(super) fn unregister(&self, mm: &Mm) {
        let taken = self.0.lock().take();
        if let Some((sub, _)) = taken {
            Subscriptions::unregister(mm, sub);
        }
    }

    /// Under what its translations are published, or `ENODEV`.
    pub(super) fn via(&self) -> Result<Via, Errno> {
        self.0.lock().as_ref().map(|(_, via)| *via).ok_or(Errno::ENODEV)
    }
}

/// An interval subscription, while there is one.
#[derive(Default)]
pub(super) struct Watched(Mutex<Option<Arc<IntervalSub>>>);

impl Watched {
    pub(super) fn insert(&self, mm: &Mm, pages: PageRange, ops: Arc<dyn IntervalNotifier>) -> Result<(), Errno> {
        let sub = Subscriptions::interval_insert(mm, pages, ops)?;
        *self.0.lock() = Some(sub);
        Ok(())
    }

    /// What was inserted, to be removed by the caller.
    pub(super) fn take(&self) -> Option<Arc<IntervalSub>> {
        self.0.lock().take()
    }

    /// Whether `sub` is still what was inserted, or `ENODEV`. Asked under the lock that `detach` waits for after it took it, so that
    /// nothing is published for a subscription that ends.
    pub(super) fn still(&self, sub: &IntervalSub) -> Result<(), Errno> {
        self.sub()?.id().eq(&sub.id()).then_some(()).ok_or(Errno::ENODEV)
    }

    /// It, or `ENODEV`.
    pub(super) fn sub(&self) -> Result<Arc<IntervalSub>, Errno> {
        self.0.lock().clone().ok_or(Errno::ENODEV)
    }
}

/// The shrinker of a driver that may have one, while it is attached.
#[derive(Default)]
pub(super) struct OwnShrinker(Mutex<Option<ShrinkerHandle>>);

impl OwnShrinker {
    /// Reclaim calls `ops` from here on.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn register(&self, machine: &Machine, ops: Arc<dyn Shrinker>) -> Result<(), Errno> {
        let handle = device::shrinker_alloc(machine, ops)?;
        device::shrinker_register(machine, &handle);
        *self.0.lock() = Some(handle);
        Ok(())
    }

    /// Reclaim calls it no more. The caller holds nothing that its callbacks wait for.
    pub(super) fn free(&self, machine: &Machine) {
        let handle = self.0.lock().take();
        if let Some(handle) = handle {
            device::shrinker_free(machine, handle);
        }
    }
}
