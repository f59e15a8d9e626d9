//! Proofs of what was not done, for drivers that are wrong on purpose.
//!
//! The rules of [`interval`](super) hold an honest author up; a mutant has to break them. Everything that can is in this
//! module, each function named after the mistake. Nothing here is unsafe for the lab: finding what follows is the product.

use super::bound::{Removed, Subscription};
use super::invalidation::{Invalidated, Invalidation, Refused};
use super::lookup::Found;
use super::table::{NotifierLock, Table};
use mm_types::PageRange;

/// `invalidate` agrees, and has not told the sequence.
pub fn without_set_seq(_inv: Invalidation<'_>) -> Invalidated<'_> {
    Invalidated::proven()
}

/// `invalidate` refuses, whether or not it may sleep.
pub fn refuse(_inv: Invalidation<'_>) -> Refused<'_> {
    Refused::proven()
}

/// Takes translations away without the notifier lock.
pub fn zap_without_lock<T>(lock: &NotifierLock<T>, pages: PageRange) -> u64 {
    lock.device.zap(lock.mm, pages)
}

/// Takes translations away by entries for 4 KiB alone, under the lock: one for 2 MiB that some of `pages` are a part of stays.
pub fn zap_small_only<T>(table: &mut Table<'_, T>, pages: PageRange) -> u64 {
    table.lock.device.zap_pages(table.lock.mm, pages)
}

/// Publishes without asking `read_retry` and without the notifier lock.
pub fn publish_without_retry<T>(lock: &NotifierLock<T>, found: Found<'_>) {
    found.publish_to(&lock.device);
}

/// The driver forgets that it is subscribed.
pub fn keep_subscription(sub: Subscription<'_>) -> Removed<'_> {
    drop(sub);
    Removed::proven()
}
