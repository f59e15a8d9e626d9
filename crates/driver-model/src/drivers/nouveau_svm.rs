//! `nouveau_svm`: a GPU that shares the process's address space. Two subscriptions: one list subscriber takes translations
//! away, and an interval subscriber that lives only as long as one fault tells that fault that it must start over.
//!
//! ```text
//! fault                                  of the interval subscriber: invalidate
//! interval_insert of the page            lock &svmm->mutex; set_seq; unlock
//! again:
//! seq = read_begin                       of the list subscriber, called after it: range_start
//! hmm_range_fault                        lock &svmm->mutex
//! lock &svmm->mutex                        zap, flush the GPU's TLB
//!   read_retry: again if true            unlock
//!   publish
//! unlock
//! interval_remove                        (waits for open brackets, so with nothing held that a callback takes)
//! ```
//!
//! With the option `faults=interrupt` the GPU writes a fault into its buffer and raises an interrupt; the handler queues a work, and that
//! handles the fault and replays ([`FaultBuffer`]).
//!
//! `bind` moves pages to the GPU's memory, mapping by mapping; who touches one brings it back.
//!
//! Source: nouveau_svmm_invalidate_range_start(), nouveau_svm_range_invalidate(), nouveau_range_fault(), nouveau_svmm_bind(),
//! drivers/gpu/drm/nouveau/nouveau_svm.c, 6.12.

use super::RETRIES_OPTION;
use super::parts::{Base, Listed, mutants};
use crate::device::{Device, block_base};
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::faults::FaultBuffer;
use crate::kind::{Config, DriverKind, OptionInfo, Roles};
use crate::via::Via;
use ksync::{Kernel, Mutex};
use mm::device::HmmPage;
use mm::{Direction, Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Pfn, Vpn};
use mmu_notifier::{Hooks, IntervalNotifier, IntervalSub, Notifier, Subscriptions, WouldBlock};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    SkipRetry = "skip-retry": "publishes without asking read_retry",
    NoSetSeq = "no-set-seq": "does not tell the fault's subscription the sequence",
    FlushesSmallOnly = "flushes-small-only": "flushes the GPU's TLB by entries for 4 KiB, which leaves those for 2 MiB",
    NoTlbFlush = "no-tlb-flush": "clears the GPU's page table and leaves its TLB as it is",
    RemoveUnderMutex = "remove-under-mutex": "removes the fault's subscription while it holds the mutex that callbacks take",
    FaultUnderMutex = "fault-under-mutex": "looks pages up, under mmap_lock, while it holds the mutex that callbacks take",
    UnlocksAfterRetry = "unlocks-after-retry": "lets mmap_lock go when a walk must start over, although the walk did so",
    FaultInInterrupt = "fault-in-interrupt": "handles faults in the interrupt's handler instead of a worker",
    BindsFromHole = "binds-from-hole": "moves pages from where it was asked to, although the mapping begins later",
    SleepInNonblock = "sleep-in-nonblock": "waits for its mutex in a callback that must not sleep",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "nouveau_svm",
    doc: "shared virtual memory: a list subscriber, and an interval subscriber for each fault",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION, FAULTS_OPTION],
    ops: OPS,
    roles: Roles::ACCESSES,
    whole_mm: false,
    make,
};

const FAULTS_OPTION: OptionInfo = OptionInfo {
    name: "faults",
    doc: "who handles a fault of the GPU: the task that met it, or a worker after an interrupt",
    default: "direct",
    words: &["direct", "interrupt"],
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "the GPU reads; a fault is replayed when it was handled" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the GPU writes; a fault is replayed when it was handled" },
    OpInfo {
        name: "bind",
        args: "[RANGE]",
        doc: "moves what is mapped there to the GPU's memory, as far as that can be done",
    },
];

const MUTEX: &str = "&svmm->mutex";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::with_huge(k, mm, pages, config);
    let device = Arc::clone(&base.device);
    let svmm = Arc::new(Svmm { device, mm: mm.id(), mutant: Mutant::of(config), mutex: k.mutex(MUTEX, ()) });
    let irq = config.says("faults", "interrupt") || svmm.has(Mutant::FaultInInterrupt);
    let svm = Arc::new(Svm { base, svmm, sub: Listed::default() });
    let of = Arc::clone(&svm);
    let faults = irq.then(|| FaultBuffer::start(k, config.name, Box::new(move |vpn, write| of.fault(vpn, write))));
    Arc::new(Client { svm, faults })
}

/// `struct nouveau_svmm`: the list subscriber.
struct Svmm {
    device: Arc<Device>,
    mm: MmId,
    mutant: Option<Mutant>,
    mutex: Mutex<()>,
}

impl Svmm {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn invalidate(&self, pages: PageRange) {
        let _guard = self.mutex.lock();
        self.device.zap(self.mm, pages);
        match self.mutant {
            Some(Mutant::NoTlbFlush) => {}
            Some(Mutant::FlushesSmallOnly) => self.device.flush_tlb_pages(self.mm, pages),
            _ => self.device.flush_tlb(self.mm, pages),
        }
    }
}

impl Notifier for Svmm {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn hooks(&self) -> Hooks {
        Hooks::RELEASE | Hooks::RANGE_START
    }

    // The kernel's has none: its translations go when the client does, which is before.
    fn release(&self, _mm: MmId) {
        self.invalidate(PageRange::ALL);
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        if !range.blockable && !self.has(Mutant::SleepInNonblock) {
            return Err(WouldBlock);
        }
        self.invalidate(range.pages);
        Ok(())
    }
}

/// `struct svm_notifier`: the interval subscriber of one fault.
struct SvmNotifier(Arc<Svmm>);

impl IntervalNotifier for SvmNotifier {
    fn name(&self) -> Name {
        self.0.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        let guard = if range.blockable { Some(self.0.mutex.lock()) } else { self.0.mutex.try_lock() };
        if guard.is_none() {
            return false;
        }
        if !self.0.has(Mutant::NoSetSeq) {
            sub.set_seq(cur_seq);
        }
        true
    }
}

/// What handles faults.
struct Svm {
    base: Base,
    svmm: Arc<Svmm>,
    sub: Listed,
}

impl Svm {
    /// `nouveau_range_fault()`.
    fn fault(&self, vpn: Vpn, write: bool) -> Result<(), Errno> {
        let page = PageRange::page(vpn);
        self.base.own(page)?;
        self.sub.via()?;
        let _users = self.base.users()?;
        let sub = Subscriptions::interval_insert(&*self.base.mm, page, Arc::new(SvmNotifier(Arc::clone(&self.svmm))))?;
        let mapped = self.base.retry(|| self.try_fault(&sub, page, write));
        let guard = self.svmm.has(Mutant::RemoveUnderMutex).then(|| self.svmm.mutex.lock());
        Subscriptions::interval_remove(&*self.base.mm, &sub);
        drop(guard);
        mapped
    }

    fn try_fault(&self, sub: &IntervalSub, page: PageRange, write: bool) -> Result<Option<()>, Errno> {
        let seq = self.base.mm.subscriptions().read_begin(sub);
        let early = self.svmm.has(Mutant::FaultUnderMutex).then(|| self.svmm.mutex.lock());
        let Some(found) = self.base.hmm(sub, seq, page, write)? else {
            if self.svmm.has(Mutant::UnlocksAfterRetry) {
                device::mmap_read_unlock_again(&self.base.mm);
            }
            return Ok(None);
        };
        let _guard = early.unwrap_or_else(|| self.svmm.mutex.lock());
        if sub.read_retry(seq) && !self.svmm.has(Mutant::SkipRetry) {
            return Ok(None);
        }
        self.publish(self.sub.via()?, &found);
        Ok(Some(()))
    }
}

impl Svm {
    /// `nouveau_svmm_bind()`: best effort, what cannot be moved stays. Takes `mmap_lock` for reading; may sleep.
    fn bind(&self, pages: PageRange) -> Result<(), Errno> {
        let mm = &self.base.mm;
        self.base.own(pages)?;
        self.sub.via()?;
        let _users = self.base.users()?;
        device::with_mmap_read(mm, || {
            let mut rest = Some(pages);
            while let Some(asked) = rest
                && let Some(mapped) = mm.vmas().iter().find_map(|vma| vma.range().intersect(asked))
            {
                let from = if self.svmm.has(Mutant::BindsFromHole) { asked.start() } else { mapped.start() };
                if let Ok(part) = PageRange::new(from, mapped.end()) {
                    let _best_effort = mm.migrate_vma_held(part, Direction::ToDevice);
                }
                rest = PageRange::new(mapped.end(), pages.end()).ok();
            }
        });
        Ok(())
    }

    /// `nouveau_hmm_convert_pfn()`: as much at once as the process has. The fault's subscription is over its page alone, which is
    /// enough: an entry for 2 MiB is changed or split within a bracket over all of it.
    fn publish(&self, via: Via, found: &[HmmPage]) {
        for page in found {
            if page.huge && self.base.may_map_block(page.vpn) {
                let base = block_base(page.vpn);
                let first = Pfn(page.pfn.0 - (page.vpn - base));
                self.base.device.set_huge(via, base, first, page.writable);
            } else {
                self.base.set_all(via, &[*page]);
            }
        }
    }
}

/// The driver.
struct Client {
    svm: Arc<Svm>,
    /// With `faults=interrupt`.
    faults: Option<FaultBuffer>,
}

impl Client {
    fn fault(&self, vpn: Vpn, write: bool) -> Result<(), Errno> {
        match &self.faults {
            Some(faults) => faults.stall(vpn, write),
            None => self.svm.fault(vpn, write),
        }
    }
}

impl Driver for Client {
    fn name(&self) -> Name {
        self.svm.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.svm.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.svm.sub.register(&self.svm.base.mm, self.svm.svmm.clone())
    }

    fn detach(&self) {
        self.faults.iter().for_each(FaultBuffer::flush);
        self.svm.svmm.invalidate(PageRange::ALL);
        self.svm.sub.unregister(&self.svm.base.mm);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        match op.as_str() {
            "read" => self.svm.base.access(args, false, |vpn, write| self.fault(vpn, write)),
            "write" => self.svm.base.access(args, true, |vpn, write| self.fault(vpn, write)),
            "bind" => self.svm.bind(args.pages.unwrap_or(self.svm.base.pages)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn request_irqs(&self, k: &Kernel) {
        let in_handler = self.svm.svmm.has(Mutant::FaultInInterrupt);
        self.faults.iter().for_each(|faults| faults.request_irq(k, in_handler));
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "mutex", class: MUTEX }]
    }
}
