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
    mutex_lock = "mutex_lock",
    down_read = "down_read",
    down_write = "down_write",
    lock = "lock",
    alloc = "alloc",
    might_alloc = "might_alloc",
    wait_event = "wait_event",
    synchronize_srcu = "synchronize_srcu",
    synchronize_rcu = "synchronize_rcu",
    ww_mutex_lock = "ww_mutex_lock",
    order = "order",
    msleep = "msleep",
    interrupt_arrive = "interrupt.arrive",
}
