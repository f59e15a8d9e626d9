//! The shared/exclusive raw lock behind [`RwSem`].
//!
//! State word: bits 0..16 readers, bits 16..30 writers waiting, bit 30 a writer has it, bit 31 an OS thread is parked.
//! A reader waits while a writer has it *or waits*: that queueing is what makes a nested read a deadlock, and why lockdep
//! takes rwsem readers as non-recursive (read 1).
//!
//! Where tasks are coroutines a reader is one operation, that can be chosen only while it can go in. A writer is one if it finds the
//! lock free, else two: it queues, and it takes.

use crate::class::{ClassIdx, LockClass};
use crate::current::with_current;
use crate::kernel::Kernel;
use crate::memory::Hold;
use crate::names::NAMES;
use lock_api::GuardNoSend;
use lockdep::{Acquire, Read};
use mm_types::ObjId;
use parking_lot_core::{DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN};
use sched::{Access, Availability, Op};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::{EventKind, LockKind, LockMode};

const READER: u32 = 1;
const READERS: u32 = 0xffff;
const WAITING_WRITER: u32 = 1 << 16;
const WAITING_WRITERS: u32 = 0x3fff << 16;
const WRITER: u32 = 1 << 30;
const PARKED: u32 = 1 << 31;

/// A raw `struct rw_semaphore`.
pub struct RawRwSem {
    class: ClassIdx,
    state: AtomicU32,
    obj: ObjId,
}

/// `struct rw_semaphore` around what it protects.
pub type RwSem<T> = lock_api::RwLock<RawRwSem, T>;
/// Guard of a read hold.
pub type RwSemReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwSem, T>;
/// Guard of a write hold.
pub type RwSemWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwSem, T>;

const _: () = assert!(size_of::<RawRwSem>() <= 16);

impl RawRwSem {
    /// A semaphore of `class` with the identity `obj`.
    #[must_use]
    pub const fn new(class: ClassIdx, obj: ObjId) -> Self {
        Self { class, state: AtomicU32::new(0), obj }
    }

    /// The lock's identity.
    pub(crate) const fn class(&self) -> ClassIdx {
        self.class
    }

    /// Its identity in events.
    #[must_use]
    pub const fn obj(&self) -> ObjId {
        self.obj
    }

    fn availability(&self) -> Availability {
        let state = self.state.load(Ordering::Relaxed);
        Availability {
            exclusive: u16::from(state & WRITER != 0),
            shared: (state & READERS) as u16,
            queued: ((state & WAITING_WRITERS) >> 16) as u16,
        }
    }

    fn try_take(&self, mode: LockMode) -> bool {
        let blocked_by = mode_blocked_by(mode);
        let add = mode_holds(mode);
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & blocked_by == 0 {
            match self.state.compare_exchange_weak(seen, seen + add, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Takes the lock or waits with `wait` until it can; a waiting writer is counted while it waits.
    fn take_or_wait(&self, mode: LockMode, mut wait: impl FnMut()) {
        if self.try_take(mode) {
            return;
        }
        if mode == LockMode::Exclusive {
            self.state.fetch_add(WAITING_WRITER, Ordering::Relaxed);
        }
        let _waiting = Waiting { state: &self.state, writer: mode == LockMode::Exclusive };
        loop {
            wait();
            if self.try_take(mode) {
                return;
            }
        }
    }

    fn lock_in(&self, k: &Kernel, class: ClassIdx, mode: LockMode, at: &'static Location<'static>) {
        if k.quiet() {
            self.lock_quietly(k, mode);
            return;
        }
        let (how, name) = match mode {
            LockMode::Exclusive => (Acquire::exclusive(), NAMES.down_write),
            LockMode::Shared => (Acquire::shared(), NAMES.down_read),
        };
        k.might_sleep_from(name, at);
        k.pins_reached(class);
        k.lockdep_acquire(class, self.obj, how, at);
        match mode {
            _ if k.is_of_a_thread() => self.lock_thread(mode),
            LockMode::Shared => {
                k.acquire(Op::take_shared(self.obj), self.availability(), class, mode, at);
                self.take_now(k, mode, 0);
            }
            // A writer comes first and looks: the moment in which it queues is one that readers can tell.
            LockMode::Exclusive => {
                k.visible_write(self.obj);
                if self.availability().allows(Access::TakeExclusive) {
                    self.take_now(k, mode, 0);
                } else {
                    let before = self.availability();
                    self.state.fetch_add(WAITING_WRITER, Ordering::Relaxed);
                    let _waiting = Waiting { state: &self.state, writer: true };
                    k.shut(self.obj, before, self.availability());
                    k.acquire(Op::take_exclusive(self.obj), self.availability(), class, mode, at);
                    self.take_now(k, mode, 1);
                }
            }
        }
        k.memory_acquire(self.obj, hold(mode));
        k.emit_lock(class, self.obj, |lock| EventKind::LockAcquired { lock, mode, trylock: false });
        k.pins_passed(class);
    }

    /// As `RawLock::lock_quietly`.
    #[cold]
    fn lock_quietly(&self, k: &Kernel, mode: LockMode) {
        if k.is_of_a_thread() {
            return self.lock_thread(mode);
        }
        // A waiting writer cannot be served any more: destructors that read must not wait for it.
        self.state.fetch_and(!WAITING_WRITERS, Ordering::Relaxed);
        assert!(self.try_take(mode), "a destructor waits for a lock while the run is torn down");
    }

    /// Takes what the scheduler says can be taken; `queued`: waiting writers that leave the queue with it.
    fn take_now(&self, k: &Kernel, mode: LockMode, queued: u16) {
        let before = self.availability();
        assert!(self.try_take(mode), "a task was chosen to take a lock that is taken");
        let mut after = self.availability();
        after.queued -= queued;
        k.shut(self.obj, before, after);
    }

    /// `seen` is what the task looks at in the same step.
    fn try_lock_in(&self, k: &Kernel, mode: LockMode, seen: Option<ObjId>, at: &'static Location<'static>) -> bool {
        match seen {
            None => k.visible_write(self.obj),
            Some(seen) => k.visible_all(&[Op::write(self.obj), Op::read(seen)]),
        }
        let before = self.availability();
        let taken = self.try_take(mode);
        if taken {
            k.shut(self.obj, before, self.availability());
            k.memory_acquire(self.obj, hold(mode));
            let how = if mode == LockMode::Exclusive { Acquire::exclusive() } else { Acquire::shared() };
            k.lockdep_acquire(self.class, self.obj, how.trylock(), at);
            k.emit_lock(self.class, self.obj, |lock| EventKind::LockAcquired { lock, mode, trylock: true });
        }
        taken
    }

    fn unlock_in(&self, k: &Kernel, class: ClassIdx, mode: LockMode, at: &'static Location<'static>) {
        let before = {
            let _leaves = Leaves { lock: self, held: mode_holds(mode) };
            if k.quiet() {
                return;
            }
            let gives = if mode == LockMode::Exclusive { Access::DropExclusive } else { Access::DropShared };
            k.visible(self.obj, gives);
            k.memory_release(self.obj, hold(mode));
            k.lockdep_release(class, self.obj, at);
            k.emit_lock(class, self.obj, |lock| EventKind::LockReleased { lock, mode });
            self.availability()
        };
        k.sched.set_availability(self.obj, before, self.availability());
    }

    fn lock_thread(&self, mode: LockMode) {
        // Not "somebody waits": a writer that counts itself among the waiting would sleep beside a free lock.
        let blocked_by = mode_blocked_by(mode);
        self.take_or_wait(mode, || {
            let seen = self.state.fetch_or(PARKED, Ordering::Relaxed) | PARKED;
            #[expect(unsafe_code, reason = "parking an OS thread: the second executor")]
            // SAFETY: the key is the address of this lock, which outlives the call; the closures neither panic nor call
            // into parking_lot_core.
            unsafe {
                parking_lot_core::park(
                    std::ptr::from_ref(self).addr(),
                    || self.state.load(Ordering::Relaxed) == seen && seen & blocked_by != 0,
                    || {},
                    |_, _| {},
                    DEFAULT_PARK_TOKEN,
                    None,
                )
            };
        });
        // A writer that leaves the queue may have been what readers waited for.
        self.unpark_if_parked(self.state.load(Ordering::Relaxed));
    }

    fn unlock_thread(&self, mode: LockMode) {
        drop(Leaves { lock: self, held: mode_holds(mode) });
    }

    fn unpark_if_parked(&self, seen: u32) {
        if seen & PARKED != 0 {
            self.state.fetch_and(!PARKED, Ordering::Relaxed);
            #[expect(unsafe_code, reason = "unparking OS threads: the second executor")]
            // SAFETY: as in `lock_thread`.
            unsafe {
                parking_lot_core::unpark_all(std::ptr::from_ref(self).addr(), DEFAULT_UNPARK_TOKEN)
            };
        }
    }

    /// Takes the lock as one of `class` rather than its own (`down_write_nested()`).
    #[track_caller]
    pub(crate) fn lock_as(&self, class: ClassIdx, mode: LockMode) {
        let at = Location::caller();
        with_current(|k| match k {
            Some(k) => self.lock_in(k, class, mode, at),
            None => self.lock_thread(mode),
        });
    }

    /// Lets go of what [`RawRwSem::lock_as`] took.
    #[track_caller]
    pub(crate) fn unlock_as(&self, class: ClassIdx, mode: LockMode) {
        let at = Location::caller();
        with_current(|k| match k {
            Some(k) => self.unlock_in(k, class, mode, at),
            None => self.unlock_thread(mode),
        });
    }

    #[track_caller]
    fn lock(&self, mode: LockMode) -> GuardNoSend {
        self.lock_as(self.class, mode);
        GuardNoSend::new()
    }

    #[track_caller]
    fn try_lock(&self, mode: LockMode) -> Option<GuardNoSend> {
        let at = Location::caller();
        with_current(|k| match k {
            Some(k) => self.try_lock_in(k, mode, None, at),
            None => self.try_take(mode),
        })
        .then(GuardNoSend::new)
    }

    #[track_caller]
    fn unlock(&self, mode: LockMode) {
        self.unlock_as(self.class, mode);
    }
}

/// `down_read_trylock()` by a task that in the same step looks at `seen`, the state of another lock for example.
#[track_caller]
#[expect(unsafe_code, reason = "lock_api has no acquisition that is told more")]
pub fn try_read_seeing<T>(lock: &RwSem<T>, seen: ObjId) -> Option<RwSemReadGuard<'_, T>> {
    let at = Location::caller();
    // SAFETY: it is only tried here, which takes nothing from a guard there is.
    let raw = unsafe { lock.raw() };
    let taken = with_current(|k| match k {
        Some(k) => raw.try_lock_in(k, LockMode::Shared, Some(seen), at),
        None => raw.try_take(LockMode::Shared),
    });
    // SAFETY: the hold was taken just now, and this is its guard.
    taken.then(|| unsafe { lock.make_read_guard_unchecked(GuardNoSend::new()) })
}

/// The part of the state word that keeps an acquisition out.
const fn hold(mode: LockMode) -> Hold {
    match mode {
        LockMode::Exclusive => Hold::Exclusive,
        LockMode::Shared => Hold::Shared,
    }
}

const fn mode_blocked_by(mode: LockMode) -> u32 {
    match mode {
        LockMode::Exclusive => READERS | WRITER,
        LockMode::Shared => WAITING_WRITERS | WRITER,
    }
}

/// What a hold adds to the state word.
const fn mode_holds(mode: LockMode) -> u32 {
    match mode {
        LockMode::Exclusive => WRITER,
        LockMode::Shared => READER,
    }
}

/// Takes a hold off when it is dropped: also when the run ends at the scheduling point of the release and the task is
/// unwound from there, for nobody else will.
struct Leaves<'a> {
    lock: &'a RawRwSem,
    held: u32,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let before = self.lock.state.fetch_sub(self.held, Ordering::Release);
        self.lock.unpark_if_parked(before);
    }
}

/// Takes a waiting writer off the count, also when its task is unwound while it waits.
struct Waiting<'a> {
    state: &'a AtomicU32,
    writer: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.writer {
            // Teardown may have cleared the count already.
            let _ = self.state.try_update(Ordering::Relaxed, Ordering::Relaxed, |s| {
                (s & WAITING_WRITERS != 0).then(|| s - WAITING_WRITER)
            });
        }
    }
}

#[expect(unsafe_code, reason = "lock_api's raw traits are unsafe to implement")]
// SAFETY: `try_take` is the only place that adds a hold, by compare-and-swap from a state that excludes the holds it must
// exclude (a writer excludes all, a reader excludes writers), and lock operations return only after it succeeded; unlock
// subtracts the hold of its caller. While a run is torn down a lock operation that cannot succeed panics.
unsafe impl lock_api::RawRwLock for RawRwSem {
    const INIT: Self = Self::new(ClassIdx::ANONYMOUS, ObjId::NONE);
    type SharedGuard = GuardNoSend;
    type ExclusiveGuard = GuardNoSend;

    #[track_caller]
    fn lock_shared(&self) -> GuardNoSend {
        self.lock(LockMode::Shared)
    }

    #[track_caller]
    fn try_lock_shared(&self) -> Option<GuardNoSend> {
        self.try_lock(LockMode::Shared)
    }

    #[track_caller]
    unsafe fn unlock_shared(&self, _guard: GuardNoSend) {
        self.unlock(LockMode::Shared);
    }

    #[track_caller]
    fn lock_exclusive(&self) -> GuardNoSend {
        self.lock(LockMode::Exclusive)
    }

    #[track_caller]
    fn try_lock_exclusive(&self) -> Option<GuardNoSend> {
        self.try_lock(LockMode::Exclusive)
    }

    #[track_caller]
    unsafe fn unlock_exclusive(&self, _guard: GuardNoSend) {
        self.unlock(LockMode::Exclusive);
    }

    fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (READERS | WRITER) != 0
    }

    fn is_locked_exclusive(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WRITER != 0
    }
}

#[expect(unsafe_code, reason = "lock_api's raw traits are unsafe to implement")]
// SAFETY: the writer's hold is exchanged for one reader's hold in a single atomic step.
unsafe impl lock_api::RawRwLockDowngrade for RawRwSem {
    #[track_caller]
    unsafe fn downgrade(&self, guard: GuardNoSend) -> GuardNoSend {
        let at = Location::caller();
        with_current(|k| {
            if let Some(k) = k.filter(|k| !k.quiet()) {
                // If the task is unwound from the scheduling point, nobody has the hold any more.
                let lost = Leaves { lock: self, held: WRITER };
                k.visible_write(self.obj);
                std::mem::forget(lost);
                k.memory_release(self.obj, Hold::Exclusive);
                k.lockdep_downgrade(self.obj, Read::Shared, at);
                k.emit_lock(self.class, self.obj, |lock| EventKind::LockReleased { lock, mode: LockMode::Exclusive });
                k.emit_lock(self.class, self.obj, |lock| EventKind::LockAcquired {
                    lock,
                    mode: LockMode::Shared,
                    trylock: true,
                });
            }
            let held = self.availability();
            let before = self.state.fetch_sub(WRITER - READER, Ordering::Release);
            self.unpark_if_parked(before);
            if let Some(k) = k.filter(|k| !k.quiet()) {
                k.sched.set_availability(self.obj, held, self.availability());
            }
        });
        guard
    }
}

impl Kernel {
    /// A rw_semaphore of class `name` around `value`.
    pub fn rwsem<T>(&self, name: &str, value: T) -> RwSem<T> {
        self.rwsem_of(LockClass::new(name, LockKind::RwSem), value)
    }

    /// A rw_semaphore of `class` around `value`.
    pub fn rwsem_of<T>(&self, class: LockClass, value: T) -> RwSem<T> {
        RwSem::from_raw(RawRwSem::new(self.class(class), self.new_obj()), value)
    }
}
