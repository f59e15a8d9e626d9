//! The collision-retry scheme itself under weak memory: proven for a driver that asks under its lock, and for one that asks
//! without a lock, where they have the barriers that this takes.
//!
//! The page-table entry is a word that is cleared under the page-table lock and read without it, as hmm_range_fault() reads it. `read_begin` that finds the
//! sequence changed at its first look has done a plain load (`wait_event()`, include/linux/wait.h, Linux 6.12): nothing
//! orders the look-up after that, unless the driver does.

mod common;

use common::{MockMm, pages};
use explore::{Bounds, Exhaustive};
use ksync::{Kernel, KernelConfig, MemoryModel, SpinLock, TrackedU64, smp_mb, smp_rmb};
use mm_types::Name;
use mmu_notifier::{Annotations, Framework, IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

/// What the page-table entry says while the page is mapped.
const PAGE: u64 = 7;

/// How the driver publishes what it looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Publishes {
    /// Under the lock of its `invalidate`, if `read_retry` says that nothing came; with a read barrier between `read_begin`
    /// and the look-up, or without.
    UnderLock { barrier: bool },
    /// Without a lock, withdrawing it if `check_retry` says that something came; with full barriers between the two, here
    /// and in `invalidate`, or without.
    ThenAsks { barriers: bool },
}

struct Driver {
    how: Publishes,
    lock: SpinLock<()>,
    /// The device's entry.
    spte: TrackedU64,
}

impl IntervalNotifier for Driver {
    fn name(&self) -> Name {
        Name::new("driver")
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, _range: &NotifyRange, cur_seq: u64) -> bool {
        let _guard = matches!(self.how, Publishes::UnderLock { .. }).then(|| self.lock.lock());
        sub.set_seq(cur_seq);
        self.barrier();
        self.spte.store(0);
        true
    }
}

impl Driver {
    fn barrier(&self) {
        if self.how == (Publishes::ThenAsks { barriers: true }) {
            smp_mb();
        }
    }

    fn fault(&self, subs: &Subscriptions, sub: &IntervalSub, pte: &TrackedU64) {
        let seq = subs.read_begin(sub);
        if self.how != (Publishes::UnderLock { barrier: false }) {
            smp_rmb();
        }
        let page = pte.load();
        match self.how {
            Publishes::UnderLock { .. } => {
                let _guard = self.lock.lock();
                if !sub.read_retry(seq) {
                    self.spte.store(page);
                }
            }
            Publishes::ThenAsks { .. } => {
                self.spte.store(page);
                self.barrier();
                if sub.check_retry(seq) {
                    self.spte.store(0);
                }
            }
        }
    }
}

/// One fault beside one unmapping of its page; the device's entry at the end.
fn begin(k: &Kernel, how: Publishes) -> Arc<Driver> {
    let mm = Arc::new(MockMm::new(k, Framework::new(k, Annotations::default())));
    let driver = Arc::new(Driver { how, lock: k.spinlock("driver", ()), spte: TrackedU64::new(k.new_obj(), 0) });
    let pte = Arc::new(TrackedU64::new(k.new_obj(), PAGE));
    let ptl = k.spinlock("ptl", ());
    let sub = Subscriptions::interval_insert(&*mm, pages(0, 1), driver.clone()).expect("a subscription");
    let (mm2, pte2, driver2) = (mm.clone(), pte.clone(), driver.clone());
    k.spawn(Name::new("unmap"), move || {
        let bracket = mm.open(pages(0, 1));
        {
            let _guard = ptl.lock();
            pte.store(0);
        }
        bracket.end();
    });
    k.spawn(Name::new("fault"), move || driver2.fault(&mm2.subs, &sub, &pte2));
    driver
}

/// Whether the device can be left with a page that is gone, in any run.
#[track_caller]
fn can_be_stale(model: MemoryModel, how: Publishes) -> bool {
    let k = Kernel::new(KernelConfig::default());
    let mut exhaustive = Exhaustive::new(Bounds::default());
    let mut stale = false;
    while exhaustive.next_run() {
        k.reset();
        k.set_memory_model(model);
        let driver = k.enter(|k| begin(k, how));
        let end = k.run(&mut exhaustive);
        assert_eq!(end.word(), "finished");
        stale |= driver.spte.peek() != 0;
    }
    assert!(exhaustive.complete(), "{model:?}, {how:?}: {:?}", exhaustive.tally());
    stale
}

const MODELS: [MemoryModel; 3] = [MemoryModel::Sc, MemoryModel::Tso, MemoryModel::Relaxed];

#[test]
fn a_look_up_is_not_ordered_after_read_begin_by_itself() {
    for model in MODELS {
        assert!(!can_be_stale(model, Publishes::UnderLock { barrier: true }), "{model:?}");
        let stale = can_be_stale(model, Publishes::UnderLock { barrier: false });
        assert_eq!(stale, model == MemoryModel::Relaxed, "{model:?}: two loads");
    }
}

#[test]
fn who_asks_without_a_lock_needs_full_barriers() {
    for model in MODELS {
        assert!(!can_be_stale(model, Publishes::ThenAsks { barriers: true }), "{model:?}");
        let stale = can_be_stale(model, Publishes::ThenAsks { barriers: false });
        assert_eq!(stale, model != MemoryModel::Sc, "{model:?}: a store, and a load of another word after it");
    }
}
