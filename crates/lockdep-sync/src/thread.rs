//! What each thread has: its handle on the graph, and the locks it holds.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use lockdep::{Acquire, Attached, GraphText, Held, Lockdep, Nest, Read, Run, SharedRun, Site, Verdict};

use crate::reports;
use crate::tag::Known;

/// The graph of the process.
static SHARED: LazyLock<SharedRun> = LazyLock::new(|| SharedRun::new(Lockdep::new()));

/// Threads are numbered in the order of their first lock.
static THREADS: AtomicU32 = AtomicU32::new(1);

thread_local! {
    static THREAD: RefCell<Option<Thread>> = const { RefCell::new(None) };
}

/// A guard's drop has no place of its own.
const DROP: Site = Site::of_text("drop of a guard");

struct Thread {
    run: Run<Attached>,
    held: Held,
}

impl Thread {
    #[cold]
    fn attach() -> Self {
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        let current = std::thread::current();
        Self { run: SHARED.attach(), held: Held::new(current.name().unwrap_or("thread"), number) }
    }
}

impl Drop for Thread {
    /// The thread ends: it must hold nothing.
    fn drop(&mut self) {
        let verdict = self.run.task_exit(&self.held, Site::of_text("end of the thread"));
        reports::tell(&self.run.reports_of(verdict));
    }
}

/// The interner of classes.
pub(crate) fn lockdep() -> &'static Arc<Lockdep> {
    SHARED.lockdep()
}

/// What the process has learnt of the order of its locks, for drawing: see [`GraphText::to_dot`].
#[must_use]
pub fn graph() -> GraphText {
    SHARED.attach().graph()
}

/// Does something with this thread's handle; nothing if the validator is at work on it already, or the thread's storage is
/// gone.
#[inline]
fn with(f: impl FnOnce(&mut Thread) -> Verdict) -> Verdict {
    let here = THREAD.try_with(|thread| {
        let Ok(mut thread) = thread.try_borrow_mut() else { return Verdict::Ok };
        match &mut *thread {
            Some(thread) => f(thread),
            none => f(none.insert(Thread::attach())),
        }
    });
    here.unwrap_or(Verdict::Ok)
}

/// A lock is about to be waited for, or was tried with success. What is reported goes to the application, which may panic:
/// then the lock is not held.
#[inline]
pub(crate) fn acquire(lock: Known, how: Acquire, site: Site) {
    let verdict = with(|thread| thread.run.acquire(&mut thread.held, lock.class, lock.instance, how, site));
    if !verdict.is_ok() {
        tell_of_taking(verdict, lock);
    }
}

/// The same under a lock that serialises the class.
pub(crate) fn acquire_under(lock: Known, how: Acquire, outer: Known, site: Site) {
    let nest = Nest { instance: outer.instance, class: Some(outer.class) };
    let verdict = with(|thread| thread.run.acquire_nest(&mut thread.held, lock.class, lock.instance, how, nest, site));
    if !verdict.is_ok() {
        tell_of_taking(verdict, lock);
    }
}

#[inline]
pub(crate) fn release(lock: Known) {
    let verdict = with(|thread| thread.run.release_of(&mut thread.held, lock.class, lock.instance, DROP));
    if !verdict.is_ok() {
        tell(verdict);
    }
}

/// A lock that stays held is given back and waited for again.
pub(crate) fn retake(lock: Known, site: Site) {
    let verdict = with(|thread| {
        let given = thread.run.release_of(&mut thread.held, lock.class, lock.instance, site);
        let taken = thread.run.acquire(&mut thread.held, lock.class, lock.instance, Acquire::exclusive(), site);
        if given.is_ok() { taken } else { given }
    });
    if !verdict.is_ok() {
        tell(verdict);
    }
}

/// A lock held for writing is from now on held shared.
pub(crate) fn downgrade(lock: Known, read: Read, site: Site) {
    let verdict = with(|thread| thread.run.downgrade(&mut thread.held, lock.instance, read, site));
    if !verdict.is_ok() {
        tell(verdict);
    }
}

/// A lock is dropped: this thread must not hold it.
pub(crate) fn freed(instance: u64) {
    let verdict = with(|thread| {
        if !thread.held.holds(instance) {
            return Verdict::Ok;
        }
        let site = Site::of_text("drop of the lock");
        let verdict = thread.run.freed(&thread.held, instance, instance, site);
        let _ = thread.run.release(&mut thread.held, instance, site);
        verdict
    });
    if !verdict.is_ok() {
        tell(verdict);
    }
}

/// Takes an announced lock off the held stack if the application panics at the report.
struct Undo(Known);

impl Drop for Undo {
    fn drop(&mut self) {
        release(self.0);
    }
}

#[cold]
#[inline(never)]
fn tell_of_taking(verdict: Verdict, lock: Known) {
    let undo = Undo(lock);
    tell(verdict);
    core::mem::forget(undo);
}

#[cold]
#[inline(never)]
fn tell(verdict: Verdict) {
    let reported = THREAD.try_with(|thread| {
        let thread = thread.try_borrow().ok()?;
        Some(thread.as_ref()?.run.reports_of(verdict))
    });
    // The thread's storage is not borrowed here: a handler may take locks.
    reports::tell(&reported.ok().flatten().unwrap_or_default());
}

/// All reports of the process.
pub(crate) fn all_reports() -> Vec<lockdep::Report> {
    SHARED.attach().shared_reports()
}
