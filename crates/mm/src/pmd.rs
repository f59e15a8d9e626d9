//! The split locks of PMD tables.
//!
//! A lock is made when it is first needed: most address spaces never take one.

use crate::mm::Mm;
use crate::obj::pmd_ptl_obj;
use ksync::{RawSpinLock, SpinLock};
use mm_types::Vpn;
use std::sync::Arc;

/// The lock of one PMD table, a GiB of addresses.
pub(crate) type PmdLock = Arc<SpinLock<()>>;

/// log2 of the pages below one PMD table.
const PUD: u32 = 18;

impl Mm {
    /// `pmd_lockptr()`: the lock of the PMD table that `vpn` is below.
    pub(crate) fn pmd_lock(&self, vpn: Vpn) -> PmdLock {
        let base = Vpn(vpn.0 >> PUD << PUD);
        let mut inner = self.inner.lock();
        let lock = inner.pmd_locks.entry(base).or_insert_with(|| {
            let raw = RawSpinLock::new(self.machine.classes.pmd_ptl, pmd_ptl_obj(self.id, base));
            Arc::new(SpinLock::from_raw(raw, ()))
        });
        Arc::clone(lock)
    }
}
