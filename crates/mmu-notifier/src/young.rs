//! The callbacks besides the bracket: secondary TLBs, accessed bits, and what an entry will be. None of them may sleep, and none is in a map unless
//! `Annotations::other_callbacks` says so.

use crate::hlist::ListEntry;
use crate::ops::Hooks;
use crate::subscriptions::{Call, Subscriptions};
use ksync::{Kernel, LockMap, current};
use mm_types::{PageRange, Pte, Vpn};
use std::ops::ControlFlow;
use trace::Hook;

impl Subscriptions {
    /// The CPUs' TLBs are being flushed for `pages`: tells the subscribers that keep a secondary TLB. Called by the flush,
    /// often under a page-table lock. Does not sleep.
    pub fn arch_invalidate_secondary_tlbs(&self, pages: PageRange) {
        self.ask(Hooks::SECONDARY_TLB, Hook::SecondaryTlb, pages, |k, entry| {
            entry.ops.arch_invalidate_secondary_tlbs(self.mm, pages);
            k.visible_write(self.brackets);
            true
        });
    }

    /// The same inside a read section that the caller has (`invalidate_range` of an end, up to 6.5).
    pub(crate) fn invalidate_secondary_tlbs_listed(&self, pages: PageRange) {
        self.for_each_listed(|k, entry| {
            if entry.hooks.contains(Hooks::SECONDARY_TLB) {
                let call = Call { sub: entry.id, hook: Hook::SecondaryTlb, pages, bracket: None, blockable: false };
                call.run(k, || {
                    entry.ops.arch_invalidate_secondary_tlbs(self.mm, pages);
                    k.visible_write(self.brackets);
                    true
                });
            }
            ControlFlow::Continue(())
        });
    }

    /// Whether any device accessed `pages`; forgets it and flushes. Asks every subscriber. Does not sleep.
    pub fn clear_flush_young(&self, pages: PageRange) -> bool {
        self.ask(Hooks::CLEAR_FLUSH_YOUNG, Hook::ClearFlushYoung, pages, |_, entry| {
            entry.ops.clear_flush_young(self.mm, pages)
        })
    }

    /// Whether any device accessed `pages`; forgets it. Asks every subscriber. Does not sleep.
    pub fn clear_young(&self, pages: PageRange) -> bool {
        self.ask(Hooks::CLEAR_YOUNG, Hook::ClearYoung, pages, |_, entry| entry.ops.clear_young(self.mm, pages))
    }

    /// Whether any device accessed the page. Stops at the first that did. Does not sleep.
    pub fn test_young(&self, vpn: Vpn) -> bool {
        self.ask(Hooks::TEST_YOUNG, Hook::TestYoung, PageRange::page(vpn), |_, entry| {
            entry.ops.test_young(self.mm, vpn)
        })
    }

    /// The entry of `vpn` will be `pte` next: tells the list subscribers that have the callback. Called under the page-table
    /// lock, inside of an open bracket over the page. Does not sleep.
    pub fn change_pte(&self, vpn: Vpn, pte: Pte) {
        self.ask(Hooks::CHANGE_PTE, Hook::ChangePte, PageRange::page(vpn), |_, entry| {
            entry.ops.change_pte(self.mm, vpn, pte);
            true
        });
    }

    fn ask(&self, needs: Hooks, hook: Hook, pages: PageRange, f: impl Fn(&Kernel, &ListEntry) -> bool) -> bool {
        let mut any = false;
        if !self.has_subscribers() || current(|k| k.quiet()) {
            return any;
        }
        let map = if hook == Hook::SecondaryTlb { self.maps.secondary_tlb } else { self.maps.young };
        let _map = map.map(LockMap::acquire);
        let _read = self.framework.srcu.read_lock();
        self.for_each_listed(|k, entry| {
            if entry.hooks.contains(needs) {
                let call = Call { sub: entry.id, hook, pages, bracket: None, blockable: false };
                // The answer stands where others say whether they accepted.
                any |= call.run(k, || f(k, entry));
            }
            if any && hook == Hook::TestYoung { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        any
    }
}
