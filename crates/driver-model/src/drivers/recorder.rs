//! `recorder` and `interval_recorder`: subscribers that translate nothing and only listen, as the instrument did that
//! recorded callbacks on a running kernel.
//!
//! A recorder registers two list subscribers, one for brackets, release and accessed bits, one for the secondary TLB, since
//! the kernel refuses one that has both. It can be told to sleep in a start or in `release`, to refuse starts that must not
//! block, and to say that every page is young. What it is called with is written down by whoever observes the run.

use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, OptionInfo, Roles};
use ksync::{Kernel, current};
use mm::Mm;
use mm_types::{Errno, MmId, Name, PageRange, Vpn};
use mmu_notifier::{Hooks, IntervalNotifier, IntervalSub, ListSub, Notifier, Subscriptions, WouldBlock};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trace::{AccessModel, NotifyRange};

const NS_PER_MS: u64 = 1_000_000;
/// About what `synchronize_srcu()` takes.
const GRACE_NS: u64 = 10 * NS_PER_MS;

/// How a list recorder is made by name.
pub(crate) const LIST: DriverKind = DriverKind {
    name: "recorder",
    doc: "listens to everything a list subscriber can hear, and does nothing",
    mutants: &[],
    options: &[
        OptionInfo {
            name: "base",
            doc: "address that page numbers of a recording count from",
            default: "1099511627776",
            words: &[],
        },
        OptionInfo {
            name: "arena",
            doc: "page numbers of a recording count from address 0",
            default: "base",
            words: &["base", "zero"],
        },
    ],
    ops: LIST_OPS,
    roles: Roles::NONE,
    whole_mm: true,
    make: |k, mm, _pages, config| Arc::new(Recorder::new(k, mm, config)),
};

const LIST_OPS: &[OpInfo] = &[
    OpInfo { name: "sleep", args: "[VALUE]", doc: "from now on every start sleeps so many milliseconds" },
    OpInfo { name: "release_sleep", args: "[VALUE]", doc: "release will sleep so many milliseconds" },
    OpInfo { name: "refuse", args: "[VALUE]", doc: "1: refuse starts that must not block; 0: accept them" },
    OpInfo { name: "young", args: "[VALUE]", doc: "1: every page is young; 0: none is" },
];

/// A list recorder.
pub(crate) struct Recorder {
    listener: Arc<Listener>,
    mm: Arc<Mm>,
    subs: Mutex<Option<[ListSub; 2]>>,
}

/// What is subscribed.
struct Listener {
    device: Arc<Device>,
    sleep_ms: AtomicU64,
    release_sleep_ms: AtomicU64,
    refuse: AtomicBool,
    young: AtomicBool,
}

impl Recorder {
    fn new(k: &Kernel, mm: &Arc<Mm>, config: &Config) -> Recorder {
        let listener = Arc::new(Listener {
            device: Device::new(k, config.dev, config.name, Arc::clone(mm.machine())),
            sleep_ms: AtomicU64::new(0),
            release_sleep_ms: AtomicU64::new(0),
            refuse: AtomicBool::new(false),
            young: AtomicBool::new(false),
        });
        Recorder { listener, mm: Arc::clone(mm), subs: Mutex::new(None) }
    }
}

impl Listener {
    fn nap(&self, ms: &AtomicU64) {
        let ms = ms.load(Ordering::Relaxed);
        if ms > 0 {
            current(|k| k.sleep_ns(ms * NS_PER_MS));
        }
    }
}

impl Notifier for Listener {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn hooks(&self) -> Hooks {
        Hooks::all().difference(Hooks::SECONDARY_TLB)
    }

    fn release(&self, _mm: MmId) {
        self.nap(&self.release_sleep_ms);
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        if !range.blockable {
            return if self.refuse.load(Ordering::Relaxed) { Err(WouldBlock) } else { Ok(()) };
        }
        self.nap(&self.sleep_ms);
        Ok(())
    }

    fn clear_flush_young(&self, _mm: MmId, _pages: PageRange) -> bool {
        self.young.load(Ordering::Relaxed)
    }

    fn clear_young(&self, _mm: MmId, _pages: PageRange) -> bool {
        self.young.load(Ordering::Relaxed)
    }

    fn test_young(&self, _mm: MmId, _vpn: Vpn) -> bool {
        self.young.load(Ordering::Relaxed)
    }
}

/// The second subscription of a list recorder.
struct SecondaryTlb(Name);

impl Notifier for SecondaryTlb {
    fn name(&self) -> Name {
        self.0
    }

    fn model(&self) -> AccessModel {
        AccessModel::SecondaryTlb
    }

    fn hooks(&self) -> Hooks {
        Hooks::SECONDARY_TLB
    }
}

impl Driver for Recorder {
    fn name(&self) -> Name {
        self.listener.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.listener.device
    }

    fn attach(&self) -> Result<(), Errno> {
        let brackets = Subscriptions::register(&*self.mm, self.listener.clone())?;
        let tlb = Subscriptions::register(&*self.mm, Arc::new(SecondaryTlb(self.name())));
        match tlb {
            Ok(tlb) => {
                *self.subs.lock() = Some([brackets, tlb]);
                Ok(())
            }
            Err(errno) => {
                Subscriptions::unregister(&*self.mm, brackets);
                Err(errno)
            }
        }
    }

    fn detach(&self) {
        let subs = self.subs.lock().take();
        if let Some([brackets, tlb]) = subs {
            Subscriptions::unregister(&*self.mm, brackets);
            // The grace period of the first takes its time: what was held up by it goes on meanwhile.
            current(|k| k.sleep_ns(GRACE_NS));
            Subscriptions::unregister(&*self.mm, tlb);
        }
    }

    fn ops(&self) -> &'static [OpInfo] {
        LIST_OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let listener = &self.listener;
        match op.as_str() {
            "sleep" => listener.sleep_ms.store(args.value, Ordering::Relaxed),
            "release_sleep" => listener.release_sleep_ms.store(args.value, Ordering::Relaxed),
            "refuse" => listener.refuse.store(args.value != 0, Ordering::Relaxed),
            "young" => listener.young.store(args.value != 0, Ordering::Relaxed),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[]
    }
}

/// How an interval recorder is made by name.
pub(crate) const INTERVAL: DriverKind = DriverKind {
    name: "interval_recorder",
    doc: "listens to the invalidations of its range, notes their sequence, and does nothing",
    mutants: &[],
    options: &[],
    ops: INTERVAL_OPS,
    roles: Roles::NONE,
    whole_mm: false,
    make: |k, mm, pages, config| Arc::new(IntervalRecorder::new(k, mm, pages, config)),
};

const INTERVAL_OPS: &[OpInfo] = &[
    OpInfo { name: "read_begin", args: "", doc: "mmu_interval_read_begin; the sequence is kept for read_retry" },
    OpInfo { name: "read_retry", args: "", doc: "mmu_interval_read_retry with the sequence kept" },
    OpInfo { name: "refuse", args: "[VALUE]", doc: "1: refuse invalidations that must not block; 0: accept them" },
];

/// An interval recorder.
pub(crate) struct IntervalRecorder {
    ear: Arc<Ear>,
    mm: Arc<Mm>,
    pages: PageRange,
    sub: Mutex<Option<Arc<IntervalSub>>>,
    seq: AtomicU64,
}

struct Ear {
    device: Arc<Device>,
    /// Orders `set_seq` against `read_retry`, as every interval subscriber must.
    lock: ksync::Mutex<()>,
    refuse: AtomicBool,
}

impl IntervalRecorder {
    fn new(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> IntervalRecorder {
        let device = Device::new(k, config.dev, config.name, Arc::clone(mm.machine()));
        let ear = Arc::new(Ear { device, lock: k.mutex("&recorder->lock", ()), refuse: AtomicBool::new(false) });
        IntervalRecorder { ear, mm: Arc::clone(mm), pages, sub: Mutex::new(None), seq: AtomicU64::new(0) }
    }

    fn sub(&self) -> Result<Arc<IntervalSub>, Errno> {
        self.sub.lock().clone().ok_or(Errno::ENODEV)
    }
}

impl IntervalNotifier for Ear {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        let refuses = !range.blockable && self.refuse.load(Ordering::Relaxed);
        let guard = if range.blockable { Some(self.lock.lock()) } else { self.lock.try_lock() };
        if refuses || guard.is_none() {
            return false;
        }
        sub.set_seq(cur_seq);
        true
    }
}

impl Driver for IntervalRecorder {
    fn name(&self) -> Name {
        self.ear.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.ear.device
    }

    fn attach(&self) -> Result<(), Errno> {
        *self.sub.lock() = Some(Subscriptions::interval_insert(&*self.mm, self.pages, self.ear.clone())?);
        Ok(())
    }

    fn detach(&self) {
        let sub = self.sub.lock().take();
        if let Some(sub) = sub {
            Subscriptions::interval_remove(&*self.mm, &sub);
        }
    }

    fn ops(&self) -> &'static [OpInfo] {
        INTERVAL_OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        match op.as_str() {
            "read_begin" => {
                let seq = self.mm.subscriptions().read_begin(&*self.sub()?);
                self.seq.store(seq, Ordering::Relaxed);
            }
            "read_retry" => {
                let sub = self.sub()?;
                let _guard = self.ear.lock.lock();
                let _retry = sub.read_retry(self.seq.load(Ordering::Relaxed));
            }
            "refuse" => self.ear.refuse.store(args.value != 0, Ordering::Relaxed),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[]
    }
}
