//! `interval_mirror`: mirrors the CPU's page table without holding pages, as Documentation/mm/hmm.rst teaches.
//!
//! # Protocol
//!
//! ```text
//! fault handler                          invalidate
//! read_begin
//! hmm_range_fault
//! lock &mirror->lock                     lock &mirror->lock (trylock if it must not sleep)
//!   read_retry: start over if true         set_seq
//!   publish                                zap
//! unlock                                 unlock
//! ```
//!
//! The lock makes "passed `read_retry`, published" one step against `invalidate`. Nothing is allocated under it, since
//! `invalidate` takes it, possibly inside reclaim.

mod callback;

use super::{RETRIES, RETRIES_OPTION};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, MutantInfo, OptionInfo, Roles};
use crate::via::Via;
use callback::{Mirror, Mutant};
use ksync::Kernel;
use mm::Mm;
use mm::device::{self, HmmError, HmmPage};
use mm_types::{Errno, Name, PageRange, Vpn};
use mmu_notifier::{IntervalSub, Subscriptions};
use parking_lot::Mutex;
use std::sync::Arc;

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "interval_mirror",
    doc: "mirrors the page table by read_begin, hmm_range_fault, read_retry; pins nothing",
    mutants: &[
        MutantInfo { name: "skip-retry", doc: "publishes without asking read_retry" },
        MutantInfo { name: "ignore-one-invalidation", doc: "does nothing in the nth invalidation (option nth)" },
        MutantInfo { name: "late-zap", doc: "takes translations away only at its next map or worker operation" },
        MutantInfo { name: "sleep-in-nonblock", doc: "waits for its mutex in a callback that must not sleep" },
        MutantInfo {
            name: "keep-old-frame-after-cow",
            doc: "keeps its translation when one page is cleared, as copy on write does",
        },
        MutantInfo { name: "keep-subscription", doc: "stays subscribed when it is detached" },
        MutantInfo { name: "no-set-seq", doc: "never tells the sequence, so that read_retry never says true" },
    ],
    options: &[
        RETRIES_OPTION,
        OptionInfo {
            name: "nth",
            doc: "which invalidation ignore-one-invalidation ignores, counted from 1",
            default: "1",
            words: &[],
        },
    ],
    ops: OPS,
    roles: Roles::BY_NAME,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "map", args: "[RANGE]", doc: "faults the pages in for reading and publishes them" },
    OpInfo { name: "map_write", args: "[RANGE]", doc: "faults the pages in for writing and publishes them" },
    OpInfo { name: "unmap", args: "[RANGE]", doc: "takes the device's translations away" },
    OpInfo { name: "read", args: "ADDR", doc: "the device reads; a fault is handled by map" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the device writes; a fault is handled by map_write" },
    OpInfo { name: "worker", args: "", doc: "does what was put off; only late-zap puts anything off" },
];

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    Arc::new(IntervalMirror::new(k, mm, pages, config))
}

/// The driver. See the module's words in the source: one lock, taken by `invalidate` and around publication.
pub struct IntervalMirror {
    mirror: Arc<Mirror>,
    mm: Arc<Mm>,
    pages: PageRange,
    retries: u64,
    sub: Mutex<Option<Arc<IntervalSub>>>,
}

impl IntervalMirror {
    /// A driver of a new device for `pages` of `mm`.
    #[must_use]
    pub fn new(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> IntervalMirror {
        let device = Device::new(k, config.dev, config.name, Arc::clone(mm.machine()));
        let mutant = config.mutant.as_deref().and_then(|name| Mutant::from_name(name, config.number("nth", 1)));
        IntervalMirror {
            mirror: Arc::new(Mirror::new(k, device, mutant)),
            mm: Arc::clone(mm),
            pages,
            retries: config.number("retries", RETRIES),
            sub: Mutex::new(None),
        }
    }

    fn sub(&self) -> Result<Arc<IntervalSub>, Errno> {
        self.sub.lock().clone().ok_or(Errno::ENODEV)
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mirror.mutant == Some(mutant)
    }

    /// Faults `pages` in and publishes them, starting over when an invalidation came between. `EFAULT` for pages that it does
    /// not watch: nobody would tell it when they go.
    fn map(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        let sub = self.sub()?;
        if !self.pages.covers(pages) {
            return Err(Errno::EFAULT);
        }
        let _users = device::mmget_not_zero(&self.mm).ok_or(Errno::EFAULT)?;
        self.mirror.zap_late(&sub);
        for _ in 0..self.retries {
            let seq = self.mm.subscriptions().read_begin(&sub);
            let found = match device::hmm_range_fault(&self.mm, &sub, seq, pages, write) {
                Ok(found) => found,
                Err(HmmError::Busy) => continue,
                Err(HmmError::Errno(errno)) => return Err(errno),
            };
            let state = self.mirror.lock.lock();
            if state.gone {
                return Err(Errno::ENODEV);
            }
            if !self.has(Mutant::SkipRetry) && sub.read_retry(seq) {
                continue;
            }
            let via = Via::interval(self.mm.subscriptions(), &sub);
            for HmmPage { vpn, pfn, writable, .. } in found {
                self.mirror.device.set(via, vpn, pfn, writable);
            }
            return Ok(());
        }
        Err(Errno::EBUSY)
    }

    fn unmap(&self, pages: PageRange) {
        let _guard = self.mirror.lock.lock();
        self.mirror.device.zap(self.mm.id(), pages);
    }

    /// One device access; a fault is handled as often as it takes, within the bound on retries.
    fn access(&self, vpn: Vpn, write: Option<u64>) -> Result<(), Errno> {
        let (device, mm) = (&self.mirror.device, self.mm.id());
        for _ in 0..self.retries {
            let done = match write {
                Some(value) => device.write(mm, vpn, value),
                None => device.read(mm, vpn).map(|_| ()),
            };
            if done.is_ok() {
                return Ok(());
            }
            self.map(PageRange::page(vpn), write.is_some())?;
        }
        Err(Errno::EBUSY)
    }
}

impl Driver for IntervalMirror {
    fn name(&self) -> Name {
        self.mirror.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.mirror.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.mirror.lock.lock().gone = false;
        let sub = Subscriptions::interval_insert(&*self.mm, self.pages, self.mirror.clone())?;
        *self.sub.lock() = Some(sub);
        Ok(())
    }

    fn detach(&self) {
        let Some(sub) = self.sub.lock().take() else { return };
        {
            let mut state = self.mirror.lock.lock();
            state.gone = true;
            self.mirror.device.zap(self.mm.id(), self.pages);
        }
        if self.has(Mutant::KeepSubscription) {
            return;
        }
        Subscriptions::interval_remove(&*self.mm, &sub);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.pages);
        match op.as_str() {
            "map" => self.map(pages, false),
            "map_write" => self.map(pages, true),
            "unmap" => {
                self.unmap(pages);
                Ok(())
            }
            "read" => args.need_pages()?.iter().try_for_each(|vpn| self.access(vpn, None)),
            "write" => args.need_pages()?.iter().try_for_each(|vpn| self.access(vpn, Some(args.value))),
            "worker" => {
                self.mirror.zap_late(&*self.sub()?);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "lock", class: callback::LOCK_CLASS }]
    }
}
