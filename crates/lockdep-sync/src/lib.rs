//! Locks that tell you of a deadlock before it happens: parking_lot's, under a validator after the Linux kernel's lockdep.
//!
//! Replace `parking_lot::Mutex` by [`Mutex`], [`RwLock`], [`ReentrantMutex`] and [`Condvar`] of this crate, and run your
//! tests. The validator learns in which order locks are taken, and reports the moment that two orders contradict each
//! other, on whatever threads, however long ago, and *whether or not anything ever blocked*:
//!
//! ```
//! use lockdep_sync::Mutex;
//!
//! let accounts = Mutex::new(0);
//! let journal = Mutex::new(0);
//! {
//!     let _a = accounts.lock();
//!     let _j = journal.lock(); // accounts, then journal
//! }
//! let _j = journal.lock();
//! let _a = accounts.lock(); // journal, then accounts: another thread, at another moment, and both wait for ever
//!
//! let reports = lockdep_sync::reports();
//! assert_eq!(reports[0].title(), "WARNING: possible circular locking dependency detected");
//! ```
//!
//! # Classes
//!
//! Orders are learnt between *classes* of locks, as one run with two accounts must speak for all accounts. A class is a
//! place in the source: all locks that one call of `new` makes are of one class, named after it (`src/bank.rs:12:20`), or
//! as you name it ([`Mutex::named`]). Two locks of one class held at once are reported too ("possible recursive locking"),
//! since nothing says which of two accounts comes first. (`map(Mutex::new)` has no place of its own: write
//! `map(|value| Mutex::new(value))`.) Where your program says it, tell the validator:
//!
//! | it is right because | say |
//! |---|---|
//! | they are always taken in one order, such as parent before child | [`Mutex::lock_nested`] with a number for each level |
//! | whoever takes several holds another lock | [`Mutex::lock_under`] that lock's guard |
//! | the second is not waited for | [`Mutex::try_lock`] |
//! | it is the same lock, and it is reentrant | [`ReentrantMutex`] |
//! | the two are made for different purposes by one function | [`Mutex::named`] |
//!
//! # What is reported
//!
//! | report | means |
//! |---|---|
//! | possible circular locking dependency | orders that contradict each other, over any number of locks |
//! | possible recursive locking | a class taken again while it is held |
//! | nested lock was not taken | [`Mutex::lock_under`] a guard that this thread does not hold |
//! | held lock freed, still has locks held | a guard was forgotten, and its lock dropped, or its thread ended |
//!
//! Readers count as what they are: [`RwLock::read`] waits behind a waiting writer, so that two readers and a writer can
//! deadlock; of a lock made by [`RwLock::recursive`] it does not. A [`Condvar`] gives its mutex back and takes it again, so waiting
//! while another lock is held is an order like any other.
//!
//! # Where reports go
//!
//! Each distinct report is made once a process and kept: [`reports`] has all of them, as values. The application decides
//! what else happens: [`on_report`] calls a function on the thread that made the report, *before* that thread waits for
//! the lock. To print and go on:
//!
//! ```
//! lockdep_sync::on_report(|report| eprintln!("{}", report.to_text("my program 1.0")));
//! ```
//!
//! To stop a test, panic in it: the lock is not taken, and the thread unwinds instead of hanging.
//!
//! # What it costs
//!
//! A lock and unlock whose order is known looks at one line of a cache of the thread's own and at one shared word that is
//! only ever read; nothing shared is written, nothing is locked or allocated. `just bench sync` measures it beside other
//! validators. A lock has 40 bytes beside parking_lot's.
//!
//! # Protocol
//!
//! One [`SharedRun`](lockdep::SharedRun) a process; each thread attaches at its first lock and has its own held stack.
//! A lock is announced before it is waited for (after success, for a trylock), and released before it is unlocked. What a
//! thread does while its thread-local storage is being destroyed, and what an allocator or a panic hook locks from inside
//! the validator, is not validated.

mod condvar;
mod mutex;
mod reentrant;
mod reports;
mod rwlock;
mod tag;
mod thread;

pub use condvar::Condvar;
pub use lockdep::{Report, ReportKind};
pub use mutex::{Mutex, MutexGuard};
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use reports::{on_report, reports};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use thread::graph;
