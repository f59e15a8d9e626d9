//! `change_pte()`: list subscribers are told what an entry will map. Up to 6.9; since then nobody is.
//!
//! Who replaces a page and knows the new one at once could spare a secondary MMU the fault: copy on write (`fault.rs`), KSM when
//! it write-protects and when it merges (`ksm.rs`), uprobes (`uprobes.rs`). Each has an open bracket over the page, and the
//! page-table lock; the entry is cleared and flushed by then, and set after the call.
//!
//! Source: `set_pte_at_notify()`, include/linux/mmu_notifier.h, 6.1. Not here: `migrate_vma_insert_page()`, which calls it where
//! it replaces the zero page; here only holes are filled.

use crate::behaviour::Behaviour;
use crate::mm::Mm;
use crate::page_table::PteGuard;
use crate::quirks::Quirks;
use ksync::Kernel;
use mm_types::{Pte, Vpn};

impl Mm {
    /// `set_pte_at_notify()`: the entry's lock held, its page inside of an open bracket.
    pub(crate) fn set_pte_at_notify(&self, k: &Kernel, ptes: &PteGuard<'_>, vpn: Vpn, new: Pte) {
        let told = self.is(Behaviour::CHANGE_PTE);
        // Until 2012 they were told what had happened already.
        let late = self.machine.config.quirks.contains(Quirks::CLEAR_BEFORE_SET_IN_COW);
        if told && !late {
            self.subs.change_pte(vpn, new);
        }
        ptes.set(k, vpn, new);
        if told && late {
            self.subs.change_pte(vpn, new);
        }
    }
}
