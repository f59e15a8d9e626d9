//! The part of the mirror that is subscribed.

use crate::device::Device;
use crate::drivers::clamp;
use ksync::{Kernel, Mutex, MutexGuard};
use mm_types::{Name, PageRange};
use mmu_notifier::{IntervalNotifier, IntervalSub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trace::{AccessModel, NotifyEvent, NotifyRange};

pub(super) const LOCK_CLASS: &str = "&mirror->lock";

/// How it is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mutant {
    SkipRetry,
    /// The one ignored, counted from 1.
    IgnoreOneInvalidation(u64),
    LateZap,
    SleepInNonblock,
    NoSetSeq,
    KeepOldFrameAfterCow,
    KeepSubscription,
}

impl Mutant {
    pub(super) fn from_name(name: &str, nth: u64) -> Option<Mutant> {
        match name {
            "skip-retry" => Some(Mutant::SkipRetry),
            "ignore-one-invalidation" => Some(Mutant::IgnoreOneInvalidation(nth)),
            "late-zap" => Some(Mutant::LateZap),
            "sleep-in-nonblock" => Some(Mutant::SleepInNonblock),
            "no-set-seq" => Some(Mutant::NoSetSeq),
            "keep-old-frame-after-cow" => Some(Mutant::KeepOldFrameAfterCow),
            "keep-subscription" => Some(Mutant::KeepSubscription),
            _ => None,
        }
    }
}

/// What `&mirror->lock` protects besides publication.
#[derive(Default)]
pub(super) struct State {
    /// Ranges whose translations `late-zap` has not taken away yet.
    late: Vec<PageRange>,
    /// The driver lets go: whoever is looking pages up right now must not publish them.
    pub(super) gone: bool,
}

/// Device and lock: what callbacks need. Owned by the mm's subscription and by the driver.
pub(super) struct Mirror {
    pub(super) device: Arc<Device>,
    pub(super) lock: Mutex<State>,
    pub(super) mutant: Option<Mutant>,
    /// Invalidations that came.
    came: AtomicU64,
}

impl Mirror {
    pub(super) fn new(k: &Kernel, device: Arc<Device>, mutant: Option<Mutant>) -> Mirror {
        Mirror { device, lock: k.mutex(LOCK_CLASS, State::default()), mutant, came: AtomicU64::new(0) }
    }

    /// Takes away what `late-zap` put off.
    pub(super) fn zap_late(&self, sub: &IntervalSub) {
        if self.mutant != Some(Mutant::LateZap) {
            return;
        }
        let mut state = self.lock.lock();
        for pages in std::mem::take(&mut state.late) {
            self.device.zap(sub.mm_id(), pages);
        }
    }

    /// The lock, unless it would have to be waited for where that is forbidden.
    fn lock_for(&self, range: &NotifyRange) -> Option<MutexGuard<'_, State>> {
        if range.blockable || self.mutant == Some(Mutant::SleepInNonblock) {
            Some(self.lock.lock())
        } else {
            self.lock.try_lock()
        }
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
        let nth = self.came.fetch_add(1, Ordering::Relaxed) + 1;
        if self.mutant == Some(Mutant::IgnoreOneInvalidation(nth)) {
            return true;
        }
        let one_page_cleared = range.event == NotifyEvent::Clear && range.pages.nr_pages() == 1;
        let Some(mut state) = self.lock_for(range) else { return false };
        if self.mutant != Some(Mutant::NoSetSeq) {
            sub.set_seq(cur_seq);
        }
        let pages = clamp(range.pages, sub.pages());
        if self.mutant == Some(Mutant::LateZap) {
            state.late.push(pages);
        } else if self.mutant != Some(Mutant::KeepOldFrameAfterCow) || !one_page_cleared {
            self.device.zap(sub.mm_id(), pages);
        }
        true
    }
}
