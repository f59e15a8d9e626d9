//! Allocation as an operation: it enters the `fs_reclaim` map, may sleep, may reclaim in the caller's stack, may fail.
//!
//! Sources: `fs_reclaim_acquire()`, `current_gfp_context()` (mm/page_alloc.c, include/linux/sched/mm.h, 6.12).

use crate::current::{current, with_current};
use crate::kernel::Kernel;
use crate::map::{LockMap, MapGuard};
use crate::names::NAMES;
use mm_types::{Errno, Gfp};
use sched::ChoiceKind;
use std::panic::Location;
use std::rc::Rc;
use trace::EventKind;

/// What `mm` does when code below it allocates. Set by [`Kernel::set_alloc_hook`].
pub trait AllocHook {
    /// Serves a kernel allocation of `nr_pages` pages, reclaiming in the caller's stack if the flags allow it and the
    /// watermarks (or a choice) ask for it. The maps of [`Kernel::might_alloc`] have been entered and left already.
    ///
    /// # Errors
    /// `ENOMEM`; nothing is held then.
    fn alloc(&self, k: &Kernel, gfp: Gfp, nr_pages: u32) -> Result<(), Errno>;
}

impl Kernel {
    /// Sets what serves allocations; without one they succeed without memory behind them.
    pub fn set_alloc_hook(&self, hook: Option<Rc<dyn AllocHook>>) {
        *self.alloc_hook.borrow_mut() = hook;
    }

    /// The map every direct-reclaim allocation touches (`fs_reclaim_acquire()` primes the notifier map so that a lock held
    /// around any allocation is ordered against invalidation callbacks). `None` turns priming off.
    pub fn set_prime(&self, map: Option<LockMap>) {
        self.prime.set(map);
    }

    /// The flags as this task's context narrows them: inside a [`NoFsScope`] without `__GFP_FS`.
    pub fn gfp_context(&self, gfp: Gfp) -> Gfp {
        if self.with_task(|t| t.nofs) > 0 { gfp - Gfp::FS } else { gfp }
    }

    fn needs_reclaim_maps(&self, gfp: Gfp) -> bool {
        gfp.may_block() && !gfp.contains(Gfp::NOLOCKDEP) && self.with_task(|t| t.memalloc) == 0
    }

    /// `might_alloc()`: tells validator and observer that an allocation with these flags may happen here.
    #[track_caller]
    pub fn might_alloc(&self, gfp: Gfp) {
        drop(FsReclaim::acquire(gfp));
        if gfp.may_block() {
            self.might_sleep_at(NAMES.might_alloc);
        }
    }

    /// `kmalloc()` of at most `nr_pages` pages. Sync point `alloc`. May sleep and reclaim if `gfp` allows it.
    ///
    /// # Errors
    /// `ENOMEM` when the hook could not serve it.
    #[track_caller]
    pub fn kmalloc(&self, gfp: Gfp, nr_pages: u32) -> Result<(), Errno> {
        let gfp = self.gfp_context(gfp);
        self.sync_reached(NAMES.alloc);
        self.might_alloc(gfp);
        let hook = self.alloc_hook.borrow().clone();
        let served = match hook {
            _ if self.alloc_fails(gfp) => Err(Errno::ENOMEM),
            Some(hook) => hook.alloc(self, gfp, nr_pages),
            None => Ok(()),
        };
        self.emit(EventKind::Alloc { gfp, nr_pages, ok: served.is_ok() });
        self.sync_passed(NAMES.alloc);
        served
    }

    /// Whether the schedule decides of each allocation of the next run whether it fails. Holds until [`Kernel::reset`].
    pub fn set_alloc_failures(&self, on: bool) {
        self.alloc_failures.set(on);
    }

    /// Whether the allocation that is about to be made fails, although there may be memory: by the schedule, if that decides
    /// it, or because it is steered. `__GFP_NOFAIL` never does. Linux: `should_failslab()`, `should_fail_alloc_page()`.
    pub fn alloc_fails(&self, gfp: Gfp) -> bool {
        if gfp.contains(Gfp::NOFAIL) || self.quiet() {
            return false;
        }
        let fails = if self.alloc_failures.get() {
            self.choose(ChoiceKind::AllocFails, 2)
        } else {
            self.steered(ChoiceKind::AllocFails, 2).unwrap_or(0)
        };
        fails == 1
    }

    /// Runs `f` with `PF_MEMALLOC`: allocations inside do not enter reclaim again.
    pub fn with_memalloc<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with_task(|t| t.memalloc += 1);
        let r = f();
        self.with_task(|t| t.memalloc -= 1);
        r
    }

    /// Whether the current task runs with `PF_MEMALLOC`.
    pub fn in_memalloc(&self) -> bool {
        self.with_task(|t| t.memalloc) > 0
    }
}

/// `fs_reclaim_acquire()` .. `fs_reclaim_release()`.
#[derive(Debug)]
#[must_use = "the map is held only as long as this value"]
pub struct FsReclaim {
    _map: Option<MapGuard>,
}

/// `fs_reclaim_release()` for a caller that forgot the guard: what `gfp` calls for by now.
pub(crate) fn fs_reclaim_release(k: &Kernel, gfp: Gfp, at: &'static Location<'static>) {
    let gfp = k.gfp_context(gfp);
    if k.needs_reclaim_maps(gfp)
        && gfp.contains(Gfp::FS)
        && let Some(map) = k.fs_reclaim.get()
    {
        map.release(k, at);
    }
}

impl FsReclaim {
    /// Enters the maps that `gfp` calls for: `fs_reclaim` if it allows file-system calls, and a touch of the priming map
    /// for any direct reclaim, so that `GFP_NOFS` does not escape it.
    #[track_caller]
    pub fn acquire(gfp: Gfp) -> FsReclaim {
        let (fs, prime) = current(|k| {
            let gfp = k.gfp_context(gfp);
            if !k.needs_reclaim_maps(gfp) {
                return (None, None);
            }
            (k.fs_reclaim.get().filter(|_| gfp.contains(Gfp::FS)), k.prime.get())
        });
        #[expect(
            clippy::manual_map,
            reason = "inside `map` the closure would be the caller that `#[track_caller]` reports"
        )]
        let map = match fs {
            Some(map) => Some(map.acquire()),
            None => None,
        };
        if let Some(prime) = prime {
            prime.touch();
        }
        FsReclaim { _map: map }
    }
}

/// `memalloc_nofs_save()` .. `memalloc_nofs_restore()`.
#[derive(Debug)]
#[must_use = "the scope lasts as long as this value"]
pub struct NoFsScope(());

impl NoFsScope {
    /// Begins the scope for the current task.
    pub fn save() -> NoFsScope {
        current(|k| k.with_task(|t| t.nofs += 1));
        NoFsScope(())
    }
}

impl Drop for NoFsScope {
    fn drop(&mut self) {
        with_current(|k| {
            if let Some(k) = k {
                k.with_task(|t| t.nofs -= 1);
            }
        });
    }
}
