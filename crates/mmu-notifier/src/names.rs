//! Names that hot paths put into events, interned once.

use mm_types::Name;
use std::sync::LazyLock;

macro_rules! names {
    ($($field:ident = $text:literal,)*) => {
        pub(crate) struct Names { $(pub(crate) $field: Name,)* }
        pub(crate) static NAMES: LazyLock<Names> = LazyLock::new(|| Names { $($field: Name::new($text),)* });
    };
}

names! {
    // Sync points.
    range_start = "notifier.range_start",
    range_end = "notifier.range_end",
    callback = "notifier.callback",
    read_begin = "notifier.read_begin",
    read_retry = "notifier.read_retry",
    register = "notifier.register",
    unregister = "notifier.unregister",
    // Reached only where a quirk leaves a gap.
    deferred = "notifier.deferred",
    unlinked = "notifier.unlinked",
    // What would sleep.
    invalidate_range_start = "mmu_notifier_invalidate_range_start",
    invalidate_range_end = "mmu_notifier_invalidate_range_end",
    interval_remove = "mmu_interval_notifier_remove",
    // What is waited for.
    seq_even = "invalidate_seq to become even",
}
