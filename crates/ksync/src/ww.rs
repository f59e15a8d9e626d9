//! Wait/wound mutexes: several locks of one class, in any order, without deadlock.
//!
//! A task takes them under an *acquire context*, which has an age. When two tasks collide, the younger one gets `EDEADLK`:
//! it lets go of all it has, and starts with the lock it failed on ([`WwMutex::lock_slow`]). Who is told when is the
//! class's policy:
//!
//! | policy | an older context that waits for a younger one's lock | a younger one that waits for an older one's |
//! |---|---|---|
//! | [`WwPolicy::WoundWait`] | wounds it: it gets `EDEADLK` when it next waits | waits |
//! | [`WwPolicy::WaitDie`] | waits | gets `EDEADLK` |
//!
//! What a context and a mutex check of themselves (`DEBUG_WW_MUTEXES`) is [`lockdep::ww`]; lock order is the validator's,
//! to which a context is a map that serialises the mutexes taken under it.
//!
//! # Protocol
//!
//! Both states are in the kernel's table ([`WwTable`]), which changes only between scheduling points: a task that has to
//! wait decides that, and blocks, in one step. Who is to look again (the lock was let go or taken, an older waiter came, the
//! task was wounded) is woken, and decides anew. So any waiter may get the lock, as with the other locks here.
//!
//! Source: kernel/locking/ww_mutex.h, mutex.c, include/linux/ww_mutex.h, Linux 6.12.

use crate::class::{ClassIdx, LockClass};
use crate::current::current;
use crate::kernel::Kernel;
use crate::map::{LockMap, MapGuard};
use crate::memory::Hold;
use crate::names::NAMES;
use crate::task::{WaitSite, Waits};
use lockdep::Acquire;
use lockdep::ww::Warnings;
use mm_types::{Errno, ObjId, TaskId};
use sched::Op;
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicI64, Ordering};
use trace::{EventKind, LockKind, LockMode};

/// Which of two contexts gives way, and when.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WwPolicy {
    /// `DEFINE_WW_CLASS()`.
    #[default]
    WoundWait,
    /// `DEFINE_WD_CLASS()`.
    WaitDie,
}

/// `struct ww_class`: mutexes that are taken together.
#[derive(Debug)]
pub struct WwClass {
    acquire: ClassIdx,
    mutex: ClassIdx,
    policy: WwPolicy,
    obj: ObjId,
    stamp: AtomicI64,
}

impl WwClass {
    /// A class called `name` (`reservation_ww_class`): its lockdep classes are `name_acquire` and `name_mutex`.
    #[must_use]
    pub fn new(k: &Kernel, name: &str, policy: WwPolicy) -> WwClass {
        WwClass {
            acquire: k.class(LockClass::new(&format!("{name}_acquire"), LockKind::Map)),
            mutex: k.class(LockClass::new(&format!("{name}_mutex"), LockKind::Mutex)),
            policy,
            obj: k.new_obj(),
            stamp: AtomicI64::new(0),
        }
    }
}

/// `struct ww_acquire_ctx`, from `ww_acquire_init()` to `ww_acquire_fini()`, which is its drop. Only inside a [`Kernel`],
/// and of the task that made it.
#[derive(Debug)]
pub struct WwAcquireCtx {
    map: LockMap,
    _held: MapGuard,
}

impl WwAcquireCtx {
    /// `ww_acquire_init()`: a context younger than all of its class so far. Another context of the class in the same task
    /// is recursion.
    #[must_use]
    #[track_caller]
    pub fn init(class: &WwClass) -> WwAcquireCtx {
        let at = Location::caller();
        current(|k| {
            k.visible_write(class.obj);
            let stamp = class.stamp.fetch_add(1, Ordering::Relaxed) + 1;
            let map = LockMap::new(class.acquire, k.new_obj());
            k.tell(at, |run, held, site| run.freed(held, map.obj().0, map.obj().0, site));
            let checked = lockdep::ww::WwAcquireCtx::init(stamp, class.mutex.0);
            let state = Context { checked, policy: class.policy, wounded: false, owner: k.current_task() };
            k.ww.borrow_mut().contexts.insert(map.obj(), state);
            WwAcquireCtx { map, _held: map.acquire() }
        })
    }

    /// `ww_acquire_done()`: no more locks are taken under it.
    #[track_caller]
    pub fn done(&self) {
        let at = Location::caller();
        current(|k| done(k, self.map, at));
    }
}

pub(crate) fn done(k: &Kernel, ctx: LockMap, at: &'static Location<'static>) {
    k.tell(at, |run, held, site| run.assert(held, lockdep::Assertion::Held(ctx.obj().0), site));
    let warnings = k.ww.borrow_mut().context(ctx.obj()).checked.done();
    k.lockdep_warn(warnings, at);
}

impl Drop for WwAcquireCtx {
    /// `ww_acquire_fini()`.
    #[track_caller]
    fn drop(&mut self) {
        let at = Location::caller();
        current(|k| fini(k, self.map.obj(), at));
    }
}

/// What `ww_acquire_fini()` checks; the map is released apart from it.
pub(crate) fn fini(k: &Kernel, ctx: ObjId, at: &'static Location<'static>) {
    let warnings = k.ww.borrow_mut().contexts.remove(&ctx).map(|mut context| context.checked.fini());
    k.lockdep_warn(warnings.unwrap_or_default(), at);
}

/// `struct ww_mutex`. Protects nothing by itself: what it stands for is kept elsewhere. Only inside a [`Kernel`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WwMutex {
    class: ClassIdx,
    /// Of the wait/wound class, which a context's must be.
    ww_class: u32,
    obj: ObjId,
}

/// A wait/wound mutex that is held; dropping it is `ww_mutex_unlock()`.
#[derive(Debug)]
#[must_use = "the mutex is held only as long as its guard lives"]
pub struct WwGuard<'a> {
    mutex: &'a WwMutex,
}

impl Drop for WwGuard<'_> {
    #[track_caller]
    fn drop(&mut self) {
        let at = Location::caller();
        current(|k| self.mutex.unlock_in(k, true, at));
    }
}

impl WwMutex {
    /// A mutex of `class`, free.
    #[must_use]
    pub fn new(k: &Kernel, class: &WwClass) -> WwMutex {
        WwMutex { class: class.mutex, ww_class: class.mutex.0, obj: k.new_obj() }
    }

    /// One with classes and an identity of the caller's.
    pub(crate) const fn with_obj(class: ClassIdx, ww_class: u32, obj: ObjId) -> WwMutex {
        WwMutex { class, ww_class, obj }
    }

    /// The mutex's identity.
    #[must_use]
    pub const fn obj(&self) -> ObjId {
        self.obj
    }

    /// `ww_mutex_lock()`. May sleep.
    ///
    /// # Errors
    /// `EALREADY` if `ctx` has it already; nothing is done then. `EDEADLK` if `ctx` must give way: its locks are to be let
    /// go, and this one is to be taken first, by [`WwMutex::lock_slow`].
    #[track_caller]
    pub fn lock(&self, ctx: Option<&WwAcquireCtx>) -> Result<WwGuard<'_>, Errno> {
        let at = Location::caller();
        current(|k| self.lock_in(k, Under::of(ctx.map(|ctx| ctx.map)), at)).map(|()| WwGuard { mutex: self })
    }

    /// `ww_mutex_lock_slow()`: the lock that `EDEADLK` was about, when everything else was let go. May sleep.
    ///
    /// # Errors
    /// As [`WwMutex::lock`], but only for a caller that did not do so.
    #[track_caller]
    pub fn lock_slow(&self, ctx: &WwAcquireCtx) -> Result<WwGuard<'_>, Errno> {
        let at = Location::caller();
        current(|k| {
            before_lock_slow(k, ctx.map.obj(), at);
            self.lock_in(k, Under::of(Some(ctx.map)), at)
        })
        .map(|()| WwGuard { mutex: self })
    }

    /// `ww_mutex_trylock()`.
    #[track_caller]
    pub fn try_lock(&self, ctx: Option<&WwAcquireCtx>) -> Option<WwGuard<'_>> {
        let at = Location::caller();
        current(|k| self.try_lock_in(k, Under::of(ctx.map(|ctx| ctx.map)), at)).then(|| WwGuard { mutex: self })
    }

    pub(crate) fn lock_in(&self, k: &Kernel, under: Under, at: &'static Location<'static>) -> Result<(), Errno> {
        if k.quiet() {
            let taken = k.ww.borrow_mut().mutex(self).take(k.current_task());
            assert!(taken, "a destructor waits for a lock while the run is torn down");
            return Ok(());
        }
        k.might_sleep_from(NAMES.ww_mutex_lock, at);
        k.pins_reached(self.class);
        k.visible_write(self.obj);
        if k.ww.borrow_mut().begins(self, under.ctx) == Begun::Already {
            return Err(Errno::EALREADY);
        }
        self.announce(k, Acquire::exclusive(), under, at);
        let result = self.take_or_wait(k, under.ctx, at);
        match result {
            Ok(()) => {
                self.acquired(k, under.ctx, at);
                self.emit_acquired(k, false);
                k.pins_passed(self.class);
            }
            Err(warnings) => {
                k.lockdep_warn(warnings, at);
                k.lockdep_release(self.class, self.obj, at);
                return Err(Errno::EDEADLK);
            }
        }
        Ok(())
    }

    pub(crate) fn try_lock_in(&self, k: &Kernel, under: Under, at: &'static Location<'static>) -> bool {
        k.visible_write(self.obj);
        if !k.ww.borrow_mut().mutex(self).take(k.current_task()) {
            return false;
        }
        self.acquired(k, under.ctx, at);
        if !k.quiet() {
            self.announce(k, Acquire::exclusive().trylock(), under, at);
            self.emit_acquired(k, true);
        }
        true
    }

    /// Tells the validator.
    fn announce(&self, k: &Kernel, how: Acquire, under: Under, at: &'static Location<'static>) {
        match under.nest {
            Some(nest) => k.lockdep_acquire_nest(self.class, self.obj, how, nest, at),
            None => k.lockdep_acquire(self.class, self.obj, how, at),
        }
    }

    /// The mutex was taken: what its context checks then, and who else is to look again.
    fn acquired(&self, k: &Kernel, ctx: Option<ObjId>, at: &'static Location<'static>) {
        if let Some(ctx) = ctx {
            let warnings = k.ww.borrow_mut().acquired(self, ctx);
            k.lockdep_warn(warnings, at);
        }
        k.memory_acquire(self.obj, Hold::Exclusive);
        if !k.quiet() && k.ww.borrow_mut().mutex(self).has_waiters() {
            k.sched.wake_all(self.obj);
        }
    }

    fn emit_acquired(&self, k: &Kernel, trylock: bool) {
        let mode = LockMode::Exclusive;
        k.emit_lock(self.class, self.obj, |lock| EventKind::LockAcquired { lock, mode, trylock });
    }

    /// Takes the mutex as soon as it is free. An error, with what is wrong with it, if the context must give way.
    fn take_or_wait(&self, k: &Kernel, ctx: Option<ObjId>, at: &'static Location<'static>) -> Result<(), Warnings> {
        let me = k.current_task();
        let mut contended = false;
        loop {
            if contended {
                // Whether the mutex is free, and whether the context was wounded.
                let ops = [Op::write(self.obj), Op::read(ctx.unwrap_or(ObjId::NONE))];
                k.sched.visible_all(&ops[..1 + usize::from(ctx.is_some())]);
            }
            let step = k.ww.borrow_mut().step(self, me, ctx);
            match step {
                Step::Taken => return Ok(()),
                Step::GivesWay(warnings) => return Err(warnings),
                // From now on each look is a step of its own, that names what it looks at.
                Step::Contended if !contended => {
                    contended = true;
                    k.emit_lock(self.class, self.obj, |lock| EventKind::LockContended {
                        lock,
                        mode: LockMode::Exclusive,
                    });
                    k.ww.borrow_mut().mutex(self).waiters.push((me, ctx));
                    // A younger one that waits already may have to give way.
                    k.sched.wake_all(self.obj);
                }
                Step::Wounds(victim) => {
                    k.visible_write(victim);
                    if let Some(owner) = k.ww.borrow_mut().wound(victim) {
                        k.sched.wake_task(owner);
                    }
                }
                Step::Contended => self.wait(k, at),
            }
        }
    }

    fn wait(&self, k: &Kernel, at: &'static Location<'static>) {
        let waits = Waits::Lock(self.class, LockMode::Exclusive);
        k.with_task(|task| task.wait = Some(WaitSite { obj: self.obj, waits, location: at }));
        k.sched.block(self.obj);
        k.waits_no_more();
    }

    /// `ww_mutex_unlock()`; without its part about contexts, `mutex_unlock()`.
    pub(crate) fn unlock_in(&self, k: &Kernel, with_ctx: bool, at: &'static Location<'static>) {
        if k.quiet() {
            k.ww.borrow_mut().mutex(self).owner = None;
            return;
        }
        {
            let _opens = Opens { k, mutex: self };
            k.visible_write(self.obj);
            k.memory_release(self.obj, Hold::Exclusive);
            if with_ctx {
                let warnings = k.ww.borrow_mut().leave(self);
                k.lockdep_warn(warnings, at);
            }
            k.lockdep_release(self.class, self.obj, at);
            k.emit_lock(self.class, self.obj, |lock| EventKind::LockReleased { lock, mode: LockMode::Exclusive });
        }
        k.sched.wake_all(self.obj);
    }
}

pub(crate) fn before_lock_slow(k: &Kernel, ctx: ObjId, at: &'static Location<'static>) {
    let warnings = k.ww.borrow_mut().context(ctx).checked.before_lock_slow();
    k.lockdep_warn(warnings, at);
}

/// Opens the mutex when it is dropped: also when its task is unwound from the scheduling point of the release.
struct Opens<'a> {
    k: &'a Kernel,
    mutex: &'a WwMutex,
}

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.k.ww.borrow_mut().mutex(self.mutex).owner = None;
    }
}

/// What a mutex is taken under.
#[derive(Clone, Copy)]
pub(crate) struct Under {
    /// The context, if it is taken as a wait/wound mutex with one.
    pub(crate) ctx: Option<ObjId>,
    /// The map that serialises it.
    pub(crate) nest: Option<LockMap>,
}

impl Under {
    /// A context is both.
    pub(crate) fn of(ctx: Option<LockMap>) -> Under {
        Under { ctx: ctx.map(LockMap::obj), nest: ctx }
    }
}

/// A context that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) checked: lockdep::ww::WwAcquireCtx,
    pub(crate) policy: WwPolicy,
    pub(crate) wounded: bool,
    pub(crate) owner: TaskId,
}

impl Context {
    /// Whether it is younger: then it gives way.
    fn is_younger_than(&self, other: &Context) -> bool {
        self.checked.stamp.wrapping_sub(other.checked.stamp) > 0
    }
}

/// A mutex that was ever touched in this run.
#[derive(Debug)]
pub(crate) struct MutexState {
    pub(crate) checked: lockdep::ww::WwMutex,
    owner: Option<TaskId>,
    /// Who waits, and under which context.
    waiters: Vec<(TaskId, Option<ObjId>)>,
}

impl MutexState {
    fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    fn take(&mut self, task: TaskId) -> bool {
        let free = self.owner.is_none();
        if free {
            self.owner = Some(task);
            self.waiters.retain(|(waiter, _)| *waiter != task);
        }
        free
    }
}

/// All contexts and mutexes of a run.
#[derive(Debug, Default)]
pub(crate) struct WwTable {
    pub(crate) contexts: BTreeMap<ObjId, Context>,
    pub(crate) mutexes: BTreeMap<ObjId, MutexState>,
}

/// How an acquisition begins.
#[derive(PartialEq, Eq)]
enum Begun {
    Goes,
    Already,
}

/// How it goes on.
enum Step {
    Taken,
    GivesWay(Warnings),
    Wounds(ObjId),
    Contended,
}

impl WwTable {
    pub(crate) fn clear(&mut self) {
        self.contexts.clear();
        self.mutexes.clear();
    }

    /// A context; one that nobody made is there as well, as memory is.
    pub(crate) fn context(&mut self, obj: ObjId) -> &mut Context {
        let nobody = || Context {
            checked: lockdep::ww::WwAcquireCtx::default(),
            policy: WwPolicy::default(),
            wounded: false,
            owner: TaskId(0),
        };
        self.contexts.entry(obj).or_insert_with(nobody)
    }

    pub(crate) fn mutex(&mut self, mutex: &WwMutex) -> &mut MutexState {
        let checked = lockdep::ww::WwMutex { ctx: None, ww_class: Some(mutex.ww_class) };
        self.mutexes.entry(mutex.obj).or_insert(MutexState { checked, owner: None, waiters: Vec::new() })
    }

    fn begins(&mut self, mutex: &WwMutex, ctx: Option<ObjId>) -> Begun {
        let Some(ctx) = ctx else { return Begun::Goes };
        if self.mutex(mutex).checked.ctx == Some(ctx.0) {
            return Begun::Already;
        }
        let context = self.context(ctx);
        context.wounded &= context.checked.acquired > 0;
        Begun::Goes
    }

    fn step(&mut self, mutex: &WwMutex, task: TaskId, ctx: Option<ObjId>) -> Step {
        let state = self.mutex(mutex);
        if state.take(task) {
            return Step::Taken;
        }
        let queued = state.waiters.iter().any(|(waiter, _)| *waiter == task);
        let Some(ctx) = ctx.filter(|_| queued) else { return Step::Contended };
        if self.must_give_way(mutex.obj, ctx) {
            let warnings = self.context(ctx).checked.kill(mutex.obj.0);
            self.mutex(mutex).waiters.retain(|(waiter, _)| *waiter != task);
            return Step::GivesWay(warnings);
        }
        self.victim(mutex.obj, ctx).map_or(Step::Contended, Step::Wounds)
    }

    /// The context that has the mutex.
    fn holder(&self, mutex: ObjId) -> Option<(ObjId, &Context)> {
        let holder = ObjId(self.mutexes.get(&mutex)?.checked.ctx?);
        Some((holder, self.contexts.get(&holder)?))
    }

    /// `__ww_mutex_check_kill()`, and the like part of `__ww_mutex_add_waiter()`.
    fn must_give_way(&self, mutex: ObjId, ctx: ObjId) -> bool {
        let Some(context) = self.contexts.get(&ctx).filter(|context| context.checked.acquired > 0) else {
            return false;
        };
        match context.policy {
            WwPolicy::WoundWait => context.wounded,
            WwPolicy::WaitDie => {
                let waiters = self.mutexes.get(&mutex).into_iter().flat_map(|state| &state.waiters);
                let waiting = waiters.filter_map(|(_, waiter)| self.contexts.get(waiter.as_ref()?));
                waiting.chain(self.holder(mutex).map(|(_, holder)| holder)).any(|other| context.is_younger_than(other))
            }
        }
    }

    /// The context that one which waits has to wound. Linux: `__ww_mutex_wound()`.
    fn victim(&self, mutex: ObjId, ctx: ObjId) -> Option<ObjId> {
        let context = self.contexts.get(&ctx)?;
        let (obj, holder) = self.holder(mutex)?;
        let wounds = holder.policy == WwPolicy::WoundWait
            && context.checked.acquired > 0
            && holder.is_younger_than(context)
            && !holder.wounded;
        wounds.then_some(obj)
    }

    /// Wounds a context; its task, if that waits for a mutex now and has to look again.
    fn wound(&mut self, ctx: ObjId) -> Option<TaskId> {
        let context = self.contexts.get_mut(&ctx)?;
        context.wounded = true;
        let owner = context.owner;
        let waits = |state: &MutexState| state.waiters.iter().any(|(waiter, _)| *waiter == owner);
        self.mutexes.values().any(waits).then_some(owner)
    }

    /// `ww_mutex_lock_acquired()`.
    fn acquired(&mut self, mutex: &WwMutex, ctx: ObjId) -> Warnings {
        let mut checked = self.mutex(mutex).checked;
        let warnings = self.context(ctx).checked.lock_acquired(ctx.0, &mut checked, mutex.obj.0);
        self.mutex(mutex).checked = checked;
        warnings
    }

    /// `__ww_mutex_unlock()`.
    fn leave(&mut self, mutex: &WwMutex) -> Warnings {
        let mut checked = self.mutex(mutex).checked;
        let ctx = checked.ctx.and_then(|ctx| self.contexts.get_mut(&ObjId(ctx)));
        let warnings = checked.unlock(ctx.map(|context| &mut context.checked));
        self.mutex(mutex).checked = checked;
        warnings
    }
}
