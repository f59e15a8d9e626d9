//! Two threads that take two locks in opposite orders, one after the other: nothing ever blocks, and the deadlock that this
//! program can end in is reported.
//!
//! `cargo run -p lockdep-sync --example abba`

#![expect(clippy::print_stdout, reason = "an example shows its output")]

use lockdep_sync::Mutex;

fn main() {
    lockdep_sync::on_report(|report| println!("{}", report.to_text("abba")));
    both_ways();
    println!("still running: {} report(s), no deadlock", lockdep_sync::reports().len());
}

/// Moves money one way on one thread, and when that is done the other way on another.
pub fn both_ways() {
    let checking = Mutex::new(100);
    let savings = Mutex::new(0);
    let save = || {
        let mut from = checking.lock();
        let mut to = savings.lock();
        (*from, *to) = (*from - 10, *to + 10);
    };
    let spend = || {
        let mut from = savings.lock();
        let mut to = checking.lock();
        (*from, *to) = (*from - 5, *to + 5);
    };
    for work in [&save as &(dyn Fn() + Sync), &spend] {
        std::thread::scope(|scope| {
            scope.spawn(work);
        });
    }
    assert_eq!((*checking.lock(), *savings.lock()), (95, 5));
}
