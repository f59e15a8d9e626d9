//! The exclusive raw lock behind [`Mutex`] and [`SpinLock`].
//!
//! State word: bit 0 taken, bit 1 an OS thread is parked. Where tasks are coroutines only bit 0 is used: who waits is known
//! to the scheduler, which chooses a task that stands before taking the lock only while the lock is free.

use crate::class::{ClassIdx, LockClass};
use crate::current::with_current;
use crate::kernel::Kernel;
use crate::memory::Hold;
use crate::names::NAMES;
use lock_api::GuardNoSend;
use lockdep::Acquire;
use mm_types::ObjId;
use parking_lot_core::{DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN, ParkResult};
use sched::{Access, Availability, Op};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::{EventKind, LockKind, LockMode};

const TAKEN: u32 = 1;
const PARKED: u32 = 2;

/// A raw exclusive lock; `SLEEPS` tells a mutex from a spinlock.
pub struct RawLock<const SLEEPS: bool> {
    class: ClassIdx,
    state: AtomicU32,
    obj: ObjId,
}

/// `struct mutex`.
pub type RawMutex = RawLock<true>;
/// `spinlock_t`.
pub type RawSpinLock = RawLock<false>;
/// `struct mutex` around what it protects.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// Guard of a [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
/// `spinlock_t` around what it protects. Its holder must not sleep.
pub type SpinLock<T> = lock_api::Mutex<RawSpinLock, T>;
/// Guard of a [`SpinLock`].
pub type SpinLockGuard<'a, T> = lock_api::MutexGuard<'a, RawSpinLock, T>;

const _: () = assert!(size_of::<RawMutex>() <= 16);

impl<const SLEEPS: bool> RawLock<SLEEPS> {
    /// A lock of `class` with the identity `obj`.
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

    fn try_take(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & TAKEN == 0 {
            match self.state.compare_exchange_weak(seen, seen | TAKEN, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// As [`RawLock::try_take`], where tasks are coroutines: nobody else is at it, and an atomic exchange would be dear.
    #[inline]
    fn try_take_alone(&self) -> bool {
        let seen = self.state.load(Ordering::Relaxed);
        self.state.store(seen | TAKEN, Ordering::Relaxed);
        seen & TAKEN == 0
    }

    #[inline]
    fn availability(&self) -> Availability {
        if self.state.load(Ordering::Relaxed) & TAKEN == 0 { Availability::FREE } else { Availability::TAKEN }
    }

    fn lock_in(&self, k: &Kernel, class: ClassIdx, at: &'static Location<'static>) {
        if k.quiet() {
            self.lock_quietly(k);
            return;
        }
        if SLEEPS {
            k.might_sleep_from(NAMES.mutex_lock, at);
        }
        k.pins_reached(class);
        k.lockdep_acquire(class, self.obj, Acquire::exclusive(), at);
        if k.is_of_a_thread() {
            self.lock_thread();
        } else {
            k.acquire(Op::take_exclusive(self.obj), self.availability(), class, LockMode::Exclusive, at);
            assert!(self.try_take_alone(), "a task was chosen to take a lock that is taken");
            k.shut(self.obj, Availability::FREE, Availability::TAKEN);
        }
        k.memory_acquire(self.obj, Hold::Exclusive);
        k.emit_lock(class, self.obj, |lock| EventKind::LockAcquired {
            lock,
            mode: LockMode::Exclusive,
            trylock: false,
        });
        k.pins_passed(class);
    }

    /// Only destructors run now, and what they need must be free, unless other threads are at work: its holder was unwound
    /// before or never comes back.
    #[cold]
    fn lock_quietly(&self, k: &Kernel) {
        if k.is_of_a_thread() {
            return self.lock_thread();
        }
        assert!(self.try_take(), "a destructor waits for a lock while the run is torn down");
    }

    fn try_lock_in(&self, k: &Kernel, at: &'static Location<'static>) -> bool {
        k.visible_write(self.obj);
        let taken = self.try_take();
        if taken {
            k.shut(self.obj, Availability::FREE, Availability::TAKEN);
            k.memory_acquire(self.obj, Hold::Exclusive);
            k.lockdep_acquire(self.class, self.obj, Acquire::exclusive().trylock(), at);
            k.emit_lock(self.class, self.obj, |lock| EventKind::LockAcquired {
                lock,
                mode: LockMode::Exclusive,
                trylock: true,
            });
        }
        taken
    }

    fn unlock_in(&self, k: &Kernel, class: ClassIdx, at: &'static Location<'static>) {
        {
            let _opens = Opens { lock: self, parked: k.is_of_a_thread() };
            if k.quiet() {
                return;
            }
            k.visible(self.obj, Access::DropExclusive);
            k.memory_release(self.obj, Hold::Exclusive);
            k.lockdep_release(class, self.obj, at);
            k.emit_lock(class, self.obj, |lock| EventKind::LockReleased { lock, mode: LockMode::Exclusive });
        }
        k.sched.set_availability(self.obj, Availability::TAKEN, Availability::FREE);
    }

    /// Takes the lock as one of `class` rather than its own (`spin_lock_nested()`).
    #[track_caller]
    pub(crate) fn lock_as(&self, class: ClassIdx) {
        let at = Location::caller();
        with_current(|k| match k {
            Some(k) => self.lock_in(k, class, at),
            None => self.lock_thread(),
        });
    }

    /// Lets go of what [`RawLock::lock_as`] took.
    #[track_caller]
    pub(crate) fn unlock_as(&self, class: ClassIdx) {
        let at = Location::caller();
        with_current(|k| match k {
            Some(k) => self.unlock_in(k, class, at),
            None => self.unlock_thread(),
        });
    }

    fn lock_thread(&self) {
        while !self.try_take() {
            let key = std::ptr::from_ref(self).addr();
            let seen = self.state.fetch_or(PARKED, Ordering::Relaxed);
            if seen & TAKEN == 0 {
                continue;
            }
            #[expect(unsafe_code, reason = "parking an OS thread: the second executor")]
            // SAFETY: the key is the address of this lock, which outlives the call; the closures neither panic nor call
            // into parking_lot_core.
            let parked = unsafe {
                parking_lot_core::park(
                    key,
                    || self.state.load(Ordering::Relaxed) == TAKEN | PARKED,
                    || {},
                    |_, _| {},
                    DEFAULT_PARK_TOKEN,
                    None,
                )
            };
            debug_assert!(!matches!(parked, ParkResult::TimedOut));
        }
    }

    fn unlock_thread(&self) {
        if self.state.swap(0, Ordering::Release) & PARKED != 0 {
            #[expect(unsafe_code, reason = "unparking OS threads: the second executor")]
            // SAFETY: as in `lock_thread`.
            unsafe {
                parking_lot_core::unpark_all(std::ptr::from_ref(self).addr(), DEFAULT_UNPARK_TOKEN)
            };
        }
    }
}

/// Opens the lock when it is dropped: also when the run ends at the scheduling point of the release and the task is
/// unwound from there, for nobody else will.
struct Opens<'a, const SLEEPS: bool> {
    lock: &'a RawLock<SLEEPS>,
    /// Whether OS threads may be parked on it.
    parked: bool,
}

impl<const SLEEPS: bool> Drop for Opens<'_, SLEEPS> {
    fn drop(&mut self) {
        if self.parked {
            self.lock.unlock_thread();
        } else {
            self.lock.state.store(0, Ordering::Release);
        }
    }
}

#[expect(unsafe_code, reason = "lock_api's raw traits are unsafe to implement")]
// SAFETY: `try_take` sets TAKEN by compare-and-swap from a state without it, and `try_take_alone` where no other thread can
// come between, saying whether it was set; nothing else sets it, and a lock operation returns only after one succeeded; `unlock` is called by the holder (contract of the trait) and is the only
// place that clears it. While a run is torn down a lock operation on a taken lock panics instead of returning.
unsafe impl<const SLEEPS: bool> lock_api::RawMutex for RawLock<SLEEPS> {
    const INIT: Self = Self::new(ClassIdx::ANONYMOUS, ObjId::NONE);
    type Guard = GuardNoSend;

    #[track_caller]
    fn lock(&self) -> GuardNoSend {
        self.lock_as(self.class);
        GuardNoSend::new()
    }

    #[track_caller]
    fn try_lock(&self) -> Option<GuardNoSend> {
        let at = Location::caller();
        with_current(|k| match k {
            Some(k) => self.try_lock_in(k, at),
            None => self.try_take(),
        })
        .then(GuardNoSend::new)
    }

    #[track_caller]
    unsafe fn unlock(&self, _guard: GuardNoSend) {
        self.unlock_as(self.class);
    }

    fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & TAKEN != 0
    }
}

impl Kernel {
    /// A mutex of class `name` around `value`.
    pub fn mutex<T>(&self, name: &str, value: T) -> Mutex<T> {
        self.mutex_of(LockClass::new(name, LockKind::Mutex), value)
    }

    /// A mutex of `class` around `value`.
    pub fn mutex_of<T>(&self, class: LockClass, value: T) -> Mutex<T> {
        Mutex::from_raw(RawMutex::new(self.class(class), self.new_obj()), value)
    }

    /// A spinlock of class `name` around `value`.
    pub fn spinlock<T>(&self, name: &str, value: T) -> SpinLock<T> {
        self.spinlock_in(self.class(LockClass::new(name, LockKind::Spin)), value)
    }

    /// A spinlock of a class made before: no look-up by name.
    pub fn spinlock_in<T>(&self, class: ClassIdx, value: T) -> SpinLock<T> {
        SpinLock::from_raw(RawSpinLock::new(class, self.new_obj()), value)
    }
}
