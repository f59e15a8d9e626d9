//! `mmu_notifier_release()`: the address space goes away.

use crate::quirks::Quirks;
use crate::subscriptions::Subscriptions;
use ksync::current;
use mm_types::PageRange;
use std::ops::ControlFlow;
use trace::{EventKind, NotifyEvent, NotifyRange};

impl Subscriptions {
    /// Tells every subscriber that the address space goes away. Called when the last user left, before any page is freed;
    /// no lock held. Interval subscribers are told as an invalidation of everything, and stay subscribed; list
    /// subscribers get `release` and leave the list. Returns when every callback of the mm has returned. May sleep.
    pub fn release(&self) {
        if !self.has_subscribers() {
            return;
        }
        if self.has_itree() {
            self.itree_release();
        }
        if current(|k| !self.list.is_empty(k)) {
            self.list_release();
        }
    }

    /// Neither the maps nor a list subscriber's start and end take part in it.
    fn itree_release(&self) {
        let range = NotifyRange {
            mm: self.mm,
            pages: PageRange::ALL,
            event: NotifyEvent::Release,
            blockable: true,
            owner: None,
        };
        self.itree_only_bracket(range);
    }

    fn list_release(&self) {
        {
            let _read = self.framework.srcu.read_lock();
            self.for_each_listed(|k, entry| {
                self.call_release(k, entry);
                ControlFlow::Continue(())
            });
            let _locked = self.lock.lock();
            current(|k| {
                self.list.del_all(k);
                k.emit(EventKind::ListReleased { mm: self.mm });
            });
        }
        if self.framework.quirks.contains(Quirks::WAIT_FOR_RELEASE) {
            return;
        }
        // An unregistration that came first may still be inside `release`: pages must not go before it is done.
        self.framework.srcu.synchronize();
    }
}
