//! The second executor: tasks that are OS threads.
//!
//! Each thread has a [`Kernel`] of its own, which always is in the state that is setup elsewhere: what it takes, tells the
//! validator and allocates is as for any task, nothing is a scheduling point, and where a coroutine would be suspended the
//! thread is parked. Locks, queues, words and SRCU domains are shared: they are made in one kernel, whose classes the
//! kernels of the threads begin with. What a thread teaches its validator is merged with what the others did.
//!
//! Not on threads: wait/wound mutexes, whose contexts are one kernel's; the virtual clock; events, since an observer is one
//! thread's; choices, which are all benign.

use crate::class::{ClassIdx, ClassIndex, ClassRow};
use crate::kernel::{Kernel, KernelConfig, LockReport};
use crate::map::LockMap;
use crate::rcu::Rcu;
use lockdep::Lockdep;
use mm_types::{ObjId, TaskId};
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the kernels of several OS threads have in common.
pub struct Threads {
    classes: Vec<ClassRow>,
    class_index: ClassIndex,
    lockdep: Option<Arc<Lockdep>>,
    rcu: Arc<crate::grace::Readers>,
    rcu_class: ClassIdx,
    fs_reclaim: Option<LockMap>,
    prime: Option<LockMap>,
    wakes: Arc<Wakes>,
    /// Threads so far. Objects of thread 0 are those of the kernel that all came from.
    threads: AtomicU32,
}

/// Every wait of every thread: woken whenever anything was woken, since a queue has no room for waiters of its own.
#[derive(Debug, Default)]
struct Wakes {
    times: Mutex<u64>,
    again: Condvar,
}

/// What makes a kernel one of an OS thread.
#[derive(Debug)]
pub(crate) struct Thread {
    wakes: Arc<Wakes>,
    number: TaskId,
    objects: Cell<u64>,
}

impl Thread {
    pub(crate) fn new_obj(&self) -> ObjId {
        self.objects.set(self.objects.get() + 1);
        ObjId::created(self.number, self.objects.get())
    }

    /// Parks this thread until `ready`, which it asks before and after each wake-up.
    pub(crate) fn wait_until(&self, mut ready: impl FnMut() -> bool) {
        loop {
            // What somebody wakes for before this, `ready` sees; a later wake-up changes the number.
            let before = *self.wakes.times.lock();
            if ready() {
                return;
            }
            let mut times = self.wakes.times.lock();
            while *times == before {
                self.wakes.again.wait(&mut times);
            }
        }
    }
}

impl Threads {
    /// Kernels that know the classes which `k` has by now, under the same validator and with the same priming. Objects made
    /// in `k` can be shared by them.
    #[must_use]
    pub fn of(k: &Kernel) -> Threads {
        Threads {
            classes: k.classes.borrow().clone(),
            class_index: k.class_index.borrow().clone(),
            lockdep: k.lockdep_registry.clone(),
            rcu: Arc::clone(&k.rcu.readers),
            rcu_class: k.rcu_class,
            fs_reclaim: k.fs_reclaim.get(),
            prime: k.prime.get(),
            wakes: Arc::default(),
            threads: AtomicU32::new(0),
        }
    }

    /// Runs `body` as a task that is the calling thread, in a kernel of its own; what it returned, and what the validator
    /// reported of this thread alone. Its chains are in the union of the validator by then ([`Lockdep::merge`]), which is to
    /// be judged once all threads are done. Classes that `body` makes are not known to other threads: locks of theirs must
    /// not be shared.
    #[track_caller]
    pub fn task<R>(&self, body: impl FnOnce(&Kernel) -> R) -> (R, Vec<LockReport>) {
        let k = self.kernel();
        let result = k.enter(body);
        k.task_exits();
        k.merge_lock_chains();
        (result, k.lock_reports())
    }

    fn kernel(&self) -> Kernel {
        let config = KernelConfig { lockdep: self.lockdep.clone(), ..KernelConfig::default() };
        let mut k = Kernel::bare(config);
        k.know_classes(&self.classes, &self.class_index);
        k.rcu = Rcu { readers: Arc::clone(&self.rcu) };
        k.rcu_class = self.rcu_class;
        k.fs_reclaim.set(self.fs_reclaim);
        k.prime.set(self.prime);
        let number = TaskId(self.threads.fetch_add(1, Ordering::Relaxed) + 1);
        k.thread = Some(Thread { wakes: Arc::clone(&self.wakes), number, objects: Cell::new(0) });
        k
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Whether this is the kernel of an OS thread that is a task by itself.
    #[inline]
    pub(crate) fn is_of_a_thread(&self) -> bool {
        self.thread.is_some()
    }

    pub(crate) fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref()
    }

    /// Lets parked threads look again at what they wait for.
    pub(crate) fn wake_threads(&self) {
        if let Some(thread) = &self.thread {
            *thread.wakes.times.lock() += 1;
            thread.wakes.again.notify_all();
        }
    }

    /// `debug_check_no_locks_held()` of the thread.
    #[track_caller]
    fn task_exits(&self) {
        self.tell(std::panic::Location::caller(), |run, held, site| run.task_exit(held, site));
    }
}
