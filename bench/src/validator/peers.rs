//! The other validators, and ours around parking_lot's mutex, behind one face: a lock that can be made and taken.
//!
//! tracing-mutex keeps an order of instances and panics at the first cycle; deloxide (here with its lock-order graph, off
//! by default) tells a callback; no_deadlocks looks for cycles of waiting threads only, at every operation. parking_lot
//! checks nothing: it is what the others add to.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// A mutex of one validator around a number.
pub trait Lock: Send + Sync + 'static {
    /// What holds it.
    type Guard<'a>
    where
        Self: 'a;

    /// A name for the table, with the version.
    const NAME: &'static str;

    /// A new one.
    fn new() -> Self;

    /// Takes it.
    fn lock(&self) -> Self::Guard<'_>;
}

macro_rules! lock {
    ($(#[$doc:meta])* $name:ident, $text:literal, $mutex:ty, $guard:ty, $new:expr, |$inner:ident| $take:expr) => {
        $(#[$doc])*
        pub struct $name($mutex);

        impl Lock for $name {
            type Guard<'a> = $guard;
            const NAME: &'static str = $text;

            fn new() -> Self {
                $new;
                $name(<$mutex>::new(0))
            }

            #[inline]
            fn lock(&self) -> Self::Guard<'_> {
                let $inner = &self.0;
                $take
            }
        }
    };
}

/// A mutex of `lockdep-sync`, in a class of its own.
pub struct Ours(lockdep_sync::Mutex<u64>);

impl Lock for Ours {
    type Guard<'a> = lockdep_sync::MutexGuard<'a, u64>;
    const NAME: &'static str = "lockdep-sync";

    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("&lock{}", MADE.fetch_add(1, Ordering::Relaxed));
        Ours(lockdep_sync::Mutex::named(name.leak(), 0))
    }

    #[inline]
    fn lock(&self) -> Self::Guard<'_> {
        self.0.lock()
    }
}

lock!(
    /// No validator.
    ParkingLot, "parking_lot 0.13", parking_lot::Mutex<u64>, parking_lot::MutexGuard<'a, u64>, (), |lock| lock.lock()
);
lock!(
    /// tracing-mutex over parking_lot.
    TracingMutex,
    "tracing-mutex 0.3.3",
    tracing_mutex::parkinglot::tracing::Mutex<u64>,
    tracing_mutex::parkinglot::tracing::MutexGuard<'a, u64>,
    (),
    |lock| lock.lock()
);
lock!(
    /// deloxide, with lock orders checked.
    Deloxide,
    "deloxide 1.1.0, lock order on",
    deloxide::Mutex<u64>,
    deloxide::MutexGuard<'a, u64>,
    start_deloxide(),
    |lock| lock.lock()
);
lock!(
    /// no_deadlocks.
    NoDeadlocks,
    "no_deadlocks 1.3.2",
    no_deadlocks::Mutex<u64>,
    no_deadlocks::MutexGuard<'a, u64>,
    (),
    |lock| lock.lock().expect("nobody panicked with it")
);

fn start_deloxide() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        deloxide::Deloxide::new().callback(|_| ()).with_lock_order_checking().start().expect("deloxide starts");
    });
}

/// Locks of a peer: some that are held, and one more.
#[derive(Debug)]
pub struct Locks<L>(Vec<L>);

impl<L: Lock> Locks<L> {
    /// `n` of them.
    #[must_use]
    pub fn new(n: usize) -> Locks<L> {
        Locks((0..n).map(|_| L::new()).collect())
    }

    /// Runs `f` with all but the last held, and hands it that one.
    pub fn with_held<R>(&self, f: impl FnOnce(&L) -> R) -> R {
        let (last, held) = self.0.split_last().expect("at least one lock");
        let guards: Vec<_> = held.iter().map(Lock::lock).collect();
        let result = f(last);
        drop(guards);
        result
    }

    /// Takes and releases the two ends of each dependency.
    pub fn learn(&self, edges: &[(usize, usize)]) {
        for (outer, inner) in edges {
            let outer = self.0[*outer].lock();
            let inner = self.0[*inner].lock();
            drop(inner);
            drop(outer);
        }
    }
}
