//! Proofs of what was not done, for drivers that are wrong on purpose.
//!
//! The rules of [`list`](super) hold an honest author up; a mutant has to break them. Everything that can is in this module, each
//! function named after the mistake. Nothing here is unsafe for the lab: finding what follows is the product.

use super::bound::{Subscription, Unregistered};
use super::bracket::{End, Ended, Release, Released, Start, Started};
use super::lookup::{Found, MmRef};
use super::table::{MmuLock, Table};
use mm_types::{Errno, PageRange, Vpn};

/// `invalidate_range_start` agrees, and has not counted the bracket.
pub fn without_begin(_start: Start<'_>) -> Started<'_> {
    Started::proven()
}

/// `invalidate_range_end` agrees, and neither has closed the bracket nor let the sequence go on.
pub fn without_end(_end: End<'_>) -> Ended<'_> {
    Ended::proven()
}

/// `release` agrees, and has taken nothing away.
pub fn without_close(_release: Release<'_>) -> Released<'_> {
    Released::proven()
}

/// Takes translations away without the lock.
pub fn zap_without_lock<T>(lock: &MmuLock<T>, pages: PageRange) -> u64 {
    lock.device.zap(lock.mm, pages)
}

/// Takes translations away by entries for 4 KiB alone, under the lock: one for 2 MiB that some of `pages` are a part of stays.
pub fn zap_small_only<T>(table: &mut Table<'_, T>, pages: PageRange) -> u64 {
    table.lock.device.zap_pages(table.lock.mm, pages)
}

/// Publishes without asking `retry` and without the lock.
pub fn publish_without_retry<T>(found: &Found<'_, T>) {
    found.publish_to(&found.lock.device);
}

/// Publishes what the process's page table has at this moment, although a bracket is open that may take it away.
///
/// # Errors
/// `ENODEV` when the driver is not subscribed.
pub fn publish_present_in_bracket<T>(
    table: &mut Table<'_, T>,
    mm: &MmRef<'_>,
    vpn: Vpn,
    write: bool,
) -> Result<bool, Errno> {
    table.fill(mm, vpn, write)
}

/// The driver forgets that it is registered.
pub fn keep_subscription(sub: Subscription<'_>) -> Unregistered<'_> {
    drop(sub);
    Unregistered::proven()
}
