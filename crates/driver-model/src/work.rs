//! A work queue: functions that a task of its own runs later, and the wait for them.
//!
//! To wait for a work is to wait for every lock that it takes. The kernel tells lockdep by a map a queue and a map a work:
//! the worker holds both while it runs, `flush_work()` takes and releases the work's, `flush_workqueue()` the queue's.
//!
//! Source: process_one_work(), start_flush_work(), __flush_workqueue(), kernel/workqueue.c, 6.12.

use ksync::{Kernel, LockMap, WaitQueue, current};
use mm_types::Name;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// `struct work_struct`: what to do, at most once in the queue at a time.
pub struct Work {
    map: LockMap,
    todo: Box<dyn Fn() + Send + Sync>,
    pending: AtomicBool,
}

impl Work {
    /// A work of the class `(work_completion)name`.
    #[must_use]
    pub fn new(k: &Kernel, name: &str, todo: impl Fn() + Send + Sync + 'static) -> Arc<Work> {
        let map = k.lock_map(&format!("(work_completion){name}"));
        Arc::new(Work { map, todo: Box::new(todo), pending: AtomicBool::new(false) })
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// `struct workqueue_struct`, ordered: one work at a time, oldest first.
#[derive(Debug)]
pub struct WorkQueue {
    map: LockMap,
    /// The worker waits here for work.
    wait: WaitQueue,
    /// Who flushes waits here for the worker.
    idle: WaitQueue,
    queue: parking_lot::Mutex<VecDeque<Arc<Work>>>,
    queued: AtomicU64,
    done: AtomicU64,
}

impl WorkQueue {
    /// A queue with its worker, a daemon.
    ///
    /// Context: setup.
    #[must_use]
    pub fn start(k: &Kernel, name: &str) -> Arc<WorkQueue> {
        let task = Name::new(name);
        let wq = Arc::new(WorkQueue {
            map: k.lock_map(&format!("(wq_completion){name}")),
            wait: WaitQueue::new(k, task),
            idle: WaitQueue::new(k, Name::new(&format!("flush of {name}"))),
            queue: parking_lot::Mutex::default(),
            queued: AtomicU64::new(0),
            done: AtomicU64::new(0),
        });
        let of = Arc::clone(&wq);
        k.spawn_daemon(task, wq.wait, move || {
            loop {
                of.wait.wait_event(|| !of.queue.lock().is_empty());
                of.process_one();
            }
        });
        wq
    }

    /// `queue_work()`: does not sleep. False if it was in the queue already.
    pub fn queue_work(&self, work: &Arc<Work>) -> bool {
        let mut queued = false;
        self.wait.wake_all_after(|| {
            queued = !work.pending.swap(true, Ordering::AcqRel);
            if queued {
                self.queued.fetch_add(1, Ordering::AcqRel);
                self.queue.lock().push_back(Arc::clone(work));
            }
        });
        queued
    }

    fn process_one(&self) {
        current(|k| k.visible_write(self.wait.obj()));
        let Some(work) = self.queue.lock().pop_front() else { return };
        // From here on it may be queued again.
        work.pending.store(false, Ordering::Release);
        self.idle.owe();
        {
            let _queue = self.map.acquire();
            let _work = work.map.acquire();
            (work.todo)();
        }
        self.idle.wake_all_after(|| {
            self.done.fetch_add(1, Ordering::AcqRel);
        });
        self.idle.settle();
    }

    /// `flush_work()`: returns when `work` is neither queued nor running, as it was when called. May sleep. The order of the
    /// queue makes it a wait for all before it.
    #[track_caller]
    pub fn flush_work(&self, work: &Work) {
        work.map.touch();
        self.wait_for_queued();
    }

    /// `flush_workqueue()`: returns when everything queued so far is done. May sleep.
    #[track_caller]
    pub fn flush(&self) {
        self.map.touch();
        self.wait_for_queued();
    }

    #[track_caller]
    fn wait_for_queued(&self) {
        current(|k| k.visible_read(self.wait.obj()));
        let upto = self.queued.load(Ordering::Acquire);
        self.idle.wait_event(|| self.done.load(Ordering::Acquire) >= upto);
    }
}
