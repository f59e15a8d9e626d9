//! `dmirror`: the kernel's test driver, a page table in software over the whole address space.
//!
//! ```text
//! fault                                  invalidate
//! again:                                 lock &dmirror->mutex (trylock if it must not sleep)
//! seq = read_begin                         set_seq
//! hmm_range_fault                          erase
//! lock &dmirror->mutex                   unlock
//!   read_retry: again if true
//!   store
//! unlock
//! ```
//!
//! `snapshot` looks at the page table without faulting and stores nothing, under a subscription of its own that only keeps
//! the sequence. Device-private pages and exclusive access are the `device_memory` driver's.
//!
//! Source: dmirror_interval_invalidate(), dmirror_range_fault(), dmirror_snapshot(), lib/test_hmm.c, 6.12.

use super::RETRIES_OPTION;
use super::parts::{Base, Watched, mutants};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::via::Via;
use ksync::{Kernel, Mutex};
use mm::{Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    UnlockBeforeStore = "unlock-before-store": "lets its mutex go between read_retry and the store",
    EraseFirstPageOnly = "erase-first-page-only": "erases one page, however large the range is",
    DirtyInCallback = "dirty-in-callback": "marks the pages dirty in the callback, under the folio lock that reclaim may hold",
    TrylockAlways = "trylock-always": "refuses an invalidation that may sleep when its mutex is taken",
    SleepInNonblock = "sleep-in-nonblock": "waits for its mutex in a callback that must not sleep",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "dmirror",
    doc: "the kernel's HMM test driver: mirrors the whole address space in software",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles { map: Some("fault"), ..Roles::ACCESSES },
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "reads through the mirror; a miss is faulted in" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "writes through the mirror; a miss is faulted in" },
    OpInfo { name: "fault", args: "[RANGE]", doc: "mirrors the pages for reading" },
    OpInfo { name: "snapshot", args: "[RANGE]", doc: "looks at the page table without faulting or storing" },
];

const MUTEX: &str = "&dmirror->mutex";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let device = Arc::clone(&base.device);
    let mirror = Arc::new(Mirror { device, mm: mm.id(), mutant: Mutant::of(config), mutex: k.mutex(MUTEX, ()) });
    Arc::new(Dmirror { base, mirror, sub: Watched::default() })
}

/// What callbacks need of `struct dmirror`.
struct Mirror {
    device: Arc<Device>,
    mm: MmId,
    mutant: Option<Mutant>,
    mutex: Mutex<()>,
}

impl Mirror {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Takes the mutex as `range` allows and notes the sequence; erases, if there is what.
    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64, erase: Option<PageRange>) -> bool {
        let may_wait = (range.blockable && !self.has(Mutant::TrylockAlways)) || self.has(Mutant::SleepInNonblock);
        let guard = if may_wait { Some(self.mutex.lock()) } else { self.mutex.try_lock() };
        if guard.is_none() {
            return false;
        }
        sub.set_seq(cur_seq);
        if let Some(pages) = erase {
            if self.has(Mutant::DirtyInCallback) {
                let there = self.device.sptes().into_iter().filter(|(_, vpn, _)| pages.contains(*vpn));
                there.for_each(|(.., spte)| device::set_page_dirty_lock(self.device.machine(), spte.pfn));
            }
            self.device.zap(self.mm, pages);
        }
        true
    }
}

impl IntervalNotifier for Mirror {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        let first = PageRange::page(range.pages.start());
        let pages = if self.has(Mutant::EraseFirstPageOnly) { first } else { range.pages };
        Mirror::invalidate(self, sub, range, cur_seq, Some(pages))
    }
}

/// The subscription of one snapshot: it only keeps the sequence.
struct Snapshot(Arc<Mirror>);

impl IntervalNotifier for Snapshot {
    fn name(&self) -> Name {
        self.0.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        self.0.invalidate(sub, range, cur_seq, None)
    }
}

/// The driver: one open file of the test device.
struct Dmirror {
    base: Base,
    mirror: Arc<Mirror>,
    sub: Watched,
}

impl Dmirror {
    /// `dmirror_fault()`.
    fn fault(&self, pages: PageRange, write: bool) -> Result<(), Errno> {
        let sub = self.sub.sub()?;
        let _users = self.base.users()?;
        self.base.retry(|| {
            let seq = self.base.mm.subscriptions().read_begin(&sub);
            let Some(found) = self.base.hmm(&sub, seq, pages, write)? else { return Ok(None) };
            let mut guard = Some(self.mirror.mutex.lock());
            self.sub.still(&sub)?;
            if sub.read_retry(seq) {
                return Ok(None);
            }
            if self.mirror.has(Mutant::UnlockBeforeStore) {
                guard = None;
            }
            self.base.set_all(Via::interval(self.base.mm.subscriptions(), &sub), &found);
            drop(guard);
            Ok(Some(()))
        })
    }

    /// `dmirror_snapshot()`: how many pages are present, agreed upon by the sequence.
    fn snapshot(&self, pages: PageRange) -> Result<(), Errno> {
        self.sub.sub()?;
        let _users = self.base.users()?;
        let mm = &self.base.mm;
        let sub = Subscriptions::interval_insert(&**mm, pages, Arc::new(Snapshot(Arc::clone(&self.mirror))))?;
        let seen = self.base.retry(|| {
            let seq = mm.subscriptions().read_begin(&sub);
            let present = device::with_mmap_read(mm, || pages.iter().filter(|vpn| self.is_present(*vpn)).count());
            let _guard = self.mirror.mutex.lock();
            Ok((!sub.read_retry(seq)).then_some(present))
        });
        Subscriptions::interval_remove(&**mm, &sub);
        seen.map(drop)
    }

    fn is_present(&self, vpn: Vpn) -> bool {
        let objects = device::walk_objects(&self.base.mm, vpn);
        ksync::current(|k| objects.into_iter().for_each(|obj| k.visible_read(obj)));
        device::walk_now(&self.base.mm, vpn).is_some()
    }
}

impl Driver for Dmirror {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.insert(&self.base.mm, PageRange::ALL, self.mirror.clone())
    }

    fn detach(&self) {
        let Some(sub) = self.sub.take() else { return };
        Subscriptions::interval_remove(&*self.base.mm, &sub);
        let _guard = self.mirror.mutex.lock();
        self.base.device.zap(self.base.mm.id(), PageRange::ALL);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "read" => self.base.access(args, false, |vpn, write| self.fault(PageRange::page(vpn), write)),
            "write" => self.base.access(args, true, |vpn, write| self.fault(PageRange::page(vpn), write)),
            "fault" => self.fault(pages, false),
            "snapshot" => self.snapshot(pages),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "mutex", class: MUTEX }]
    }
}
