//! A handler that panics, in a process of its own: what would deadlock unwinds instead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use lockdep_sync::{Condvar, Mutex, ReportKind, on_report, reports};

#[test]
fn a_handler_that_panics_keeps_the_lock_from_being_taken() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let in_handler = Mutex::named("handler", 0);
    on_report(move |report| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // Locks of the handler's own are right, and validated: a report of one comes to nobody.
        *in_handler.lock() += 1;
        drop((in_handler.lock(), Mutex::named("handler", 0).lock()));
        panic!("{}", report.title());
    });
    let calls = || CALLS.load(Ordering::Relaxed);
    let title = |result: std::thread::Result<()>| *result.expect_err("a panic").downcast::<String>().expect("words");

    // This very thread would wait for itself.
    let once = Mutex::named("once", ());
    let held = once.lock();
    let twice = catch_unwind(AssertUnwindSafe(|| drop(once.lock())));
    assert_eq!(title(twice), "WARNING: possible recursive locking detected");
    assert_eq!(calls(), 1);
    drop(held);
    // Nothing is left behind: the lock is free, and its order is as if the second had not been.
    drop(once.lock());
    assert_eq!(calls(), 1);

    let (a, b) = (Mutex::named("A", ()), Mutex::named("B", ()));
    drop((a.lock(), b.lock()));
    let inverted = catch_unwind(AssertUnwindSafe(|| drop((b.lock(), a.lock()))));
    assert_eq!(title(inverted), "WARNING: possible circular locking dependency detected");
    assert!(!a.is_locked() && !b.is_locked());
    drop((a.lock(), b.lock()));

    // While a thread unwinds, reports are kept and nobody is called: a second panic would end the process.
    let before = (calls(), reports().len());
    let unwinding = catch_unwind(|| {
        let condvar = Condvar::new();
        let (m, n) = (Mutex::named("M", ()), Mutex::named("N", ()));
        struct LockOnDrop<'a>(&'a Mutex<()>, &'a Mutex<()>);
        impl Drop for LockOnDrop<'_> {
            fn drop(&mut self) {
                drop((self.1.lock(), self.0.lock()));
            }
        }
        drop((m.lock(), n.lock()));
        let _on_drop = LockOnDrop(&m, &n);
        condvar.notify_all();
        panic!("the program's own");
    });
    assert!(unwinding.is_err());
    assert_eq!((calls(), reports().len()), (before.0, before.1 + 1));
    assert_eq!(reports().last().map(|report| report.kind), Some(ReportKind::Circular));
}
