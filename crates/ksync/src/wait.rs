//! Wait queues and completions.
//!
//! A wait is *for somebody*: whoever will wake it can say so ([`WaitQueue::owe`]), so that a deadlock through a wait names
//! its whole cycle and not only the locks in it.

use crate::current::current;
use crate::kernel::Kernel;
use crate::memory::Hold;
use crate::names::NAMES;
use mm_types::{Name, ObjId, TaskId};
use sched::Access;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::EventKind;

/// `wait_queue_head_t`. Only inside a [`Kernel`].
#[derive(Clone, Copy, Debug)]
pub struct WaitQueue {
    obj: ObjId,
    what: Name,
}

impl WaitQueue {
    /// A queue; `what` names the thing waited for, in reports.
    #[must_use]
    pub fn new(k: &Kernel, what: Name) -> WaitQueue {
        WaitQueue { obj: k.new_obj(), what }
    }

    /// A queue with a given identity.
    pub(crate) const fn with_obj(obj: ObjId, what: Name) -> WaitQueue {
        WaitQueue { obj, what }
    }

    /// The queue's identity.
    #[must_use]
    pub const fn obj(&self) -> ObjId {
        self.obj
    }

    /// `wait_event()`: returns when `ready` is true, which it checks before the first wait and after every wake-up. May
    /// sleep. `ready` must not be a scheduling point, and changes nothing. What it looks at is to be changed by
    /// [`WaitQueue::wake_all_after`], or before a scheduling point that both sides can tell: exploration takes the wait
    /// for a read of the queue, and nothing else.
    #[track_caller]
    pub fn wait_event(&self, ready: impl FnMut() -> bool) {
        self.wait(Access::Read, ready, Location::caller());
    }

    /// Waits for `ready`, which may change what it looks at if `access` is a write.
    pub(crate) fn wait(&self, access: Access, mut ready: impl FnMut() -> bool, at: &'static Location<'static>) {
        current(|k| {
            k.might_sleep_from(NAMES.wait_event, at);
            if let Some(thread) = k.thread() {
                return thread.wait_until(ready);
            }
            k.visible(self.obj, access);
            let mut waited = false;
            while !ready() && !k.quiet() {
                if !std::mem::replace(&mut waited, true) {
                    k.emit(EventKind::Wait { on: self.obj, what: self.what });
                }
                k.block_on(self.obj, self.what, at);
            }
            // A condition that holds at the first look is a load and no more; what takes something has the queue's lock.
            if waited || access == Access::Write {
                k.memory_acquire(self.obj, Hold::Shared);
            }
            if waited {
                k.emit(EventKind::WaitDone { on: self.obj });
            }
        });
    }

    /// `wake_up_all()`. A scheduling point before it.
    pub fn wake_all(&self) {
        self.wake_all_after(|| ());
    }

    /// Makes the event happen, by `change`, and wakes all who wait for it: one operation.
    pub fn wake_all_after(&self, change: impl FnOnce()) {
        current(|k| {
            k.visible_write(self.obj);
            k.memory_release(self.obj, Hold::Exclusive);
            change();
            k.wake_all(self.obj);
        });
    }

    /// The current task owes a wake-up on this queue, until it has called [`WaitQueue::settle`] as often.
    pub fn owe(&self) {
        current(|k| {
            k.debts.borrow_mut().entry(self.obj).or_default().push(k.current_task());
        });
    }

    /// The current task owes it no longer: `task` does, the handler of an interrupt that it has raised.
    pub fn hand_over(&self, task: TaskId) {
        self.settle();
        current(|k| k.debts.borrow_mut().entry(self.obj).or_default().push(task));
    }

    /// The current task has paid one debt.
    pub fn settle(&self) {
        current(|k| {
            let mut debts = k.debts.borrow_mut();
            let Some(owing) = debts.get_mut(&self.obj) else { return };
            let me = k.current_task();
            if let Some(i) = owing.iter().position(|t| *t == me) {
                owing.swap_remove(i);
            }
            if owing.is_empty() {
                debts.remove(&self.obj);
            }
        });
    }
}

/// `struct completion`: done once or many times. Only inside a [`Kernel`].
#[derive(Debug)]
pub struct Completion {
    queue: WaitQueue,
    /// How many waits may pass; `u32::MAX` after `complete_all`.
    done: AtomicU32,
}

impl Completion {
    /// Not done.
    #[must_use]
    pub fn new(k: &Kernel, what: Name) -> Completion {
        Completion { queue: WaitQueue::new(k, what), done: AtomicU32::new(0) }
    }

    /// `complete()`: lets one waiter pass.
    pub fn complete(&self) {
        self.queue.wake_all_after(|| {
            let _ = self.done.try_update(Ordering::AcqRel, Ordering::Acquire, |d| (d != u32::MAX).then(|| d + 1));
        });
    }

    /// `complete_all()`: lets every waiter pass, now and later.
    pub fn complete_all(&self) {
        self.queue.wake_all_after(|| self.done.store(u32::MAX, Ordering::Release));
    }

    /// `wait_for_completion()`. May sleep.
    #[track_caller]
    pub fn wait(&self) {
        self.queue.wait(Access::Write, || self.try_take(), Location::caller());
    }

    /// Who will complete it: `task` is named when a wait for it deadlocks.
    pub fn owed_by(&self, task: TaskId) {
        current(|k| k.debts.borrow_mut().entry(self.queue.obj).or_default().push(task));
    }

    fn try_take(&self) -> bool {
        self.done
            .try_update(Ordering::AcqRel, Ordering::Acquire, |d| match d {
                0 => None,
                u32::MAX => Some(d),
                d => Some(d - 1),
            })
            .is_ok()
    }
}
