//! Bare lockdep maps: a class and an identity without a lock behind them.

use crate::class::ClassIdx;
use crate::current::with_current;
use crate::kernel::Kernel;
use lockdep::Acquire;
use mm_types::ObjId;
use std::panic::Location;
use trace::{EventKind, LockMode};

/// `struct lockdep_map` without a lock. Taking it never waits and is no scheduling point: only the validator learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockMap {
    class: ClassIdx,
    obj: ObjId,
}

/// A map that is held; dropping it releases it.
#[derive(Debug)]
#[must_use = "the map is held only as long as its guard lives"]
pub struct MapGuard {
    map: LockMap,
}

impl LockMap {
    pub(crate) const fn new(class: ClassIdx, obj: ObjId) -> LockMap {
        LockMap { class, obj }
    }

    /// The map's identity.
    #[must_use]
    pub const fn obj(self) -> ObjId {
        self.obj
    }

    pub(crate) const fn class(self) -> ClassIdx {
        self.class
    }

    /// `lock_map_acquire()`: exclusive, checked.
    #[track_caller]
    pub fn acquire(self) -> MapGuard {
        self.acquire_as(Acquire::exclusive())
    }

    /// `lock_map_acquire_read()` that does not nest: shared, checked.
    #[track_caller]
    pub fn acquire_shared(self) -> MapGuard {
        self.acquire_as(Acquire::shared())
    }

    /// Whether the current task holds it (`lock_is_held()`); false without a validator.
    #[must_use]
    pub fn is_held(self) -> bool {
        with_current(|k| k.is_some_and(|k| k.with_task(|t| t.held.holds(self.obj.0))))
    }

    /// `lock_map_acquire()` and `lock_map_release()`: tells the validator the order, holds nothing.
    #[track_caller]
    pub fn touch(self) {
        drop(self.acquire());
    }

    #[track_caller]
    pub(crate) fn acquire_as(self, how: Acquire) -> MapGuard {
        let at = Location::caller();
        with_current(|k| {
            if let Some(k) = k {
                k.lockdep_acquire(self.class, self.obj, how, at);
                k.emit_lock(self.class, self.obj, |lock| EventKind::LockAcquired {
                    lock,
                    mode: Kernel::held_mode(how.read),
                    trylock: false,
                });
            }
        });
        MapGuard { map: self }
    }
}

impl LockMap {
    /// `lock_map_release()`, for a caller that let the guard go.
    pub(crate) fn release(self, k: &Kernel, at: &'static Location<'static>) {
        if !k.quiet() {
            k.lockdep_release(self.class, self.obj, at);
            k.emit_lock(self.class, self.obj, |lock| EventKind::LockReleased { lock, mode: LockMode::Exclusive });
        }
    }
}

impl Drop for MapGuard {
    #[track_caller]
    fn drop(&mut self) {
        let at = Location::caller();
        with_current(|k| {
            if let Some(k) = k {
                self.map.release(k, at);
            }
        });
    }
}
