//! [`RuntimePm`]: a device that sleeps while nobody uses it.
//!
//! ```text
//!              get_sync, by the caller
//!   Suspended -----------------------> Resuming ---> Active
//!       ^                                              |
//!       +------------- Suspending <--------------------+  the last put, by the worker
//! ```
//!
//! Whoever needs the device holds a reference: a call for its duration, a command from its submission to its fence. A resume may
//! sleep, take locks and allocate, so nothing that it waits for may be held by who asks for it. The validator is told as xe tells
//! it, by a map that both callbacks hold and that whoever might enter one takes and releases:
//!
//! ```text
//! resume                               wrong: a notifier callback
//! lockmap                              mmu_notifier_invalidate_range_start
//!   kmalloc -> fs_reclaim                get_sync -> lockmap
//!                -> mmu_notifier_invalidate_range_start
//! ```
//!
//! So a callback asks [`RuntimePm::get_if_active`]: what sleeps has no TLB to flush, for that goes with the power, and no command
//! until it is resumed. The page table, which is in memory, does not go.
//!
//! Source: rpm_resume(), rpm_suspend(), drivers/base/power/runtime.c; xe_pm_runtime_get(), xe_rpm_might_enter_cb(),
//! drivers/gpu/drm/xe/xe_pm.c; intel_gt_invalidate_tlb_full(), drivers/gpu/drm/i915/gt/intel_tlb.c; 6.12.

use crate::device::Device;
use crate::work::{Work, WorkQueue};
use ksync::{Kernel, LockMap, SpinLock, SpinLockIrq, WaitQueue};
use mm_types::{Errno, Name};
use std::fmt;
use std::sync::Arc;

/// Where a device is between sleeping and waking (`enum rpm_status`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Active,
    Suspending,
    Suspended,
    Resuming,
}

/// What a driver does when its device wakes up, before anybody uses it. An error leaves it asleep.
pub type ResumeHook = Box<dyn Fn() -> Result<(), Errno> + Send + Sync>;

/// The runtime power management of a device, suspended at first.
pub struct RuntimePm {
    core: Arc<Core>,
    wq: Arc<WorkQueue>,
    work: Arc<Work>,
}

struct Core {
    device: Arc<Device>,
    resume: ResumeHook,
    map: LockMap,
    /// `dev->power.usage_count`; the status changes under it.
    usage: SpinLock<u64>,
    /// A storage lock.
    status: parking_lot::Mutex<Status>,
    /// `dev->power.wait_queue`.
    wait: WaitQueue,
}

impl RuntimePm {
    /// That of `device`, which is switched off. `map` is the name of the map around its callbacks.
    ///
    /// Context: setup.
    #[must_use]
    pub fn new(k: &Kernel, device: Arc<Device>, map: &str, resume: ResumeHook) -> Arc<RuntimePm> {
        device.power_off();
        let name = device.name();
        let core = Arc::new(Core {
            device,
            resume,
            map: k.lock_map(map),
            usage: k.spinlock("&dev->power.lock", 0),
            status: parking_lot::Mutex::new(Status::Suspended),
            wait: WaitQueue::new(k, Name::new(&format!("power.wait_queue of {name}"))),
        });
        let of = Arc::clone(&core);
        let work = Work::new(k, "&dev->power.work", move || of.suspend_if_idle());
        Arc::new(RuntimePm { core, wq: WorkQueue::start(k, &format!("{name}-pm")), work })
    }

    /// Runs `f` with the device awake: `pm_runtime_resume_and_get()`, and `pm_runtime_put()` afterwards. May sleep.
    ///
    /// # Errors
    /// Those of `f`, and of a resume that failed; then `f` did not run.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
        self.get_sync()?;
        let done = f();
        self.put();
        done
    }

    /// `pm_runtime_resume_and_get()`: a reference to the device, awake. May sleep.
    ///
    /// # Errors
    /// Of a resume that failed: there is no reference.
    #[track_caller]
    pub fn get_sync(&self) -> Result<(), Errno> {
        self.core.map.touch();
        self.get_noresume();
        let resumed = self.core.resume();
        if resumed.is_err() {
            self.put();
        }
        resumed
    }

    /// `pm_runtime_get_if_active()`: a reference if the device is awake. Does not sleep.
    #[track_caller]
    #[must_use = "a reference is given back by `put`"]
    pub fn get_if_active(&self) -> bool {
        let mut usage = self.core.usage.lock_irqsave();
        let active = self.core.is(Status::Active);
        *usage += u64::from(active);
        active
    }

    /// `pm_runtime_get_noresume()`: one more reference, for a caller who has one. Does not sleep.
    #[track_caller]
    pub fn get_noresume(&self) {
        *self.core.usage.lock_irqsave() += 1;
    }

    /// `pm_runtime_put()`: after the last one a worker suspends the device. From any context; does not sleep.
    #[track_caller]
    pub fn put(&self) {
        let idle = {
            let mut usage = self.core.usage.lock_irqsave();
            *usage = usage.saturating_sub(1);
            *usage == 0
        };
        if idle {
            self.wq.queue_work(&self.work);
        }
    }

    /// Waits until the device sleeps. The caller has no reference. May sleep.
    #[track_caller]
    pub fn wait_suspended(&self) {
        self.core.wait.wait_event(|| self.core.is(Status::Suspended));
    }
}

impl Core {
    /// Without a scheduling point: under the lock, or in a wait for a change of it.
    fn is(&self, status: Status) -> bool {
        *self.status.lock() == status
    }

    fn settled(&self) -> bool {
        matches!(*self.status.lock(), Status::Active | Status::Suspended)
    }

    fn becomes(&self, status: Status) {
        self.wait.wake_all_after(|| *self.status.lock() = status);
    }

    /// `rpm_resume()`, by a caller whose reference keeps it awake afterwards.
    #[track_caller]
    fn resume(&self) -> Result<(), Errno> {
        loop {
            {
                let _usage = self.usage.lock_irqsave();
                if self.is(Status::Active) {
                    return Ok(());
                }
                if self.is(Status::Suspended) {
                    *self.status.lock() = Status::Resuming;
                    break;
                }
            }
            self.wait.wait_event(|| self.settled());
        }
        self.wait.owe();
        let resumed = {
            let _callback = self.map.acquire();
            self.device.power_on();
            (self.resume)()
        };
        if resumed.is_err() {
            self.device.power_off();
        }
        self.becomes(if resumed.is_ok() { Status::Active } else { Status::Suspended });
        self.wait.settle();
        resumed
    }

    /// `rpm_suspend()`, by the worker.
    fn suspend_if_idle(&self) {
        {
            let usage = self.usage.lock_irqsave();
            if *usage > 0 || !self.is(Status::Active) {
                return;
            }
            *self.status.lock() = Status::Suspending;
        }
        self.wait.owe();
        {
            let _callback = self.map.acquire();
            self.device.power_off();
        }
        self.becomes(Status::Suspended);
        self.wait.settle();
    }
}

impl fmt::Debug for RuntimePm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimePm").field("status", &*self.core.status.lock()).finish_non_exhaustive()
    }
}
