//! Recorded operations played on this crate's own read sections, allocations and wait/wound mutexes.
//!
//! [`lockdep::recorded`] has the operations and what a kernel said of them. Those that are the validator's own (locks,
//! maps, interrupts) go to it directly, of the kernel's one task. The others are performed by what simulated kernel code
//! calls, so that a recording judges that too: what the validator is told, and what a wait/wound mutex answers.

use crate::alloc::{FsReclaim, fs_reclaim_release};
use crate::class::{ClassIdx, LockClass};
use crate::kernel::{Kernel, KernelConfig};
use crate::map::LockMap;
use crate::rcu::{self, RcuFlavour};
use crate::ww::{self, Under, WwMutex, WwPolicy};
use lockdep::recorded::{Case, Gfp, Noticed, Object, Op, Poke, Stage, WwRet};
use lockdep::{ClassId, Lockdep, Site, Verdict};
use mm_types::{Errno, ObjId};
use std::fmt;
use std::panic::Location;
use trace::LockKind;

/// A call that answered otherwise than it did when it was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Otherwise {
    /// Index of the operation.
    pub op: usize,
    /// What was recorded.
    pub recorded: WwRet,
    /// What came.
    pub answered: Result<(), Errno>,
}

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Otherwise { op, recorded, answered } = self;
        write!(f, "operation {op}: recorded {recorded:?}, answered {answered:?}")
    }
}

/// Plays a line, in a kernel of its own, up to its first report: what that was, and which operation made it.
///
/// # Errors
/// A wait/wound mutex that answers otherwise than recorded.
pub fn play(case: &Case) -> Result<Option<Noticed>, Otherwise> {
    let kernel = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
    kernel.enter(|k| {
        let mut player = Player::new(k, case);
        for (at, op) in case.ops.iter().enumerate() {
            player.op(at, *op)?;
            if let Some(title) = k.report_title(0) {
                return Ok(Some(Noticed { title: title.to_owned(), op: at }));
            }
        }
        Ok(None)
    })
}

/// Whether this crate has operations of the line to perform: those of any other line are the validator's alone.
#[must_use]
pub fn performs(case: &Case) -> bool {
    case.ops.iter().any(is_performed)
}

fn is_performed(op: &Op) -> bool {
    matches!(
        op,
        Op::RcuReadLock(_)
            | Op::RcuReadUnlock(_)
            | Op::FsReclaimAcquire(_)
            | Op::FsReclaimRelease(_)
            | Op::MightAlloc(_)
            | Op::NofsSave
            | Op::NofsRestore
            | Op::WwAcquireInit { .. }
            | Op::WwAcquireDone { .. }
            | Op::WwAcquireFini { .. }
            | Op::WwLock { .. }
            | Op::WwTrylock { .. }
            | Op::WwUnlock { .. }
            | Op::WwPoke { .. }
    )
}

/// Objects of a line by number: out of the way of what the kernel makes itself.
fn obj(object: Object) -> ObjId {
    ObjId::keyed(0x7d, object as u64)
}

/// All wait/wound objects of the recordings are of one class.
const WW_CLASS: u32 = 0;

struct Player<'k> {
    k: &'k Kernel,
    case: &'k Case,
    classes: Vec<ClassId>,
    /// Which objects are wait/wound mutexes.
    mutexes: Vec<bool>,
    /// The parities of read sections, innermost last.
    sections: Vec<(RcuFlavour, usize)>,
    at: &'static Location<'static>,
}

impl<'k> Player<'k> {
    fn new(k: &'k Kernel, case: &'k Case) -> Player<'k> {
        k.set_prime(Some(k.lock_map("mmu_notifier_invalidate_range_start")));
        let mut mutexes = vec![false; case.locks.len()];
        for op in &case.ops {
            if let Op::WwLock { lock, .. }
            | Op::WwTrylock { lock, .. }
            | Op::WwUnlock { lock }
            | Op::WwPoke { object: lock, poke: Poke::Ctx(_) } = *op
            {
                mutexes[lock] = true;
            }
        }
        let classes = case.classes.iter().map(|class| k.lockdep_class(&class.spec())).collect();
        Player { k, case, classes, mutexes, sections: Vec::new(), at: Location::caller() }
    }

    fn op(&mut self, at: usize, op: Op) -> Result<(), Otherwise> {
        match op {
            Op::RcuReadLock(flavour) => {
                let flavour = section(flavour);
                self.sections.push((flavour, rcu::enter(self.k, flavour, self.at)));
            }
            Op::RcuReadUnlock(flavour) => self.leave_section(section(flavour)),
            Op::FsReclaimAcquire(gfp) => std::mem::forget(FsReclaim::acquire(flags(gfp))),
            Op::FsReclaimRelease(gfp) => fs_reclaim_release(self.k, flags(gfp), self.at),
            Op::MightAlloc(gfp) => self.k.might_alloc(flags(gfp)),
            Op::NofsSave => self.k.with_task(|task| task.nofs += 1),
            Op::NofsRestore => self.k.with_task(|task| task.nofs = task.nofs.saturating_sub(1)),
            Op::Acquire { lock, how, nest, .. } if self.mutexes[lock] => self.base_lock(lock, how.trylock, nest),
            Op::Release { lock } if self.mutexes[lock] => self.mutex(lock).unlock_in(self.k, false, self.at),
            Op::WwAcquireInit { .. } | Op::WwAcquireDone { .. } | Op::WwAcquireFini { .. } => self.context_op(op),
            Op::WwLock { lock, ctx, ret, slow } => return self.ww_lock(at, lock, ctx, ret, slow),
            Op::WwTrylock { lock, ctx } => {
                let answered = self.mutex(lock).try_lock_in(self.k, self.under(ctx), self.at);
                let failed = Otherwise { op: at, recorded: WwRet::Locked, answered: Err(Errno::EBUSY) };
                return if answered { Ok(()) } else { Err(failed) };
            }
            Op::WwUnlock { lock } => self.mutex(lock).unlock_in(self.k, true, self.at),
            Op::WwPoke { object, poke } => self.poke(object, poke),
            plain => self.plain(plain),
        }
        Ok(())
    }

    /// The validator's own operations.
    fn plain(&self, op: Op) {
        self.k.tell(self.at, |run, held, site: Site| {
            let stage = Stage { case: self.case, classes: &self.classes, first: obj(0).0, site };
            stage.perform(run, held, op).unwrap_or(Verdict::Ok)
        });
    }

    /// Ends the innermost section of a flavour; one that never began is told to the validator all the same.
    fn leave_section(&mut self, flavour: RcuFlavour) {
        match self.sections.iter().rposition(|(begun, _)| *begun == flavour) {
            Some(begun) => {
                let (_, parity) = self.sections.remove(begun);
                rcu::leave(self.k, flavour, parity, self.at);
            }
            None => rcu::tell_left(self.k, flavour, self.at),
        }
    }

    /// The lockdep class of an object, as one of the kernel's.
    fn class(&self, object: Object, kind: LockKind) -> ClassIdx {
        let name = self.case.locks[object].class.map_or("?", |class| &*self.case.classes[class].name);
        self.k.class(LockClass::new(name, kind))
    }

    fn mutex(&self, object: Object) -> WwMutex {
        WwMutex::with_obj(self.class(object, LockKind::Mutex), WW_CLASS, obj(object))
    }

    fn context(&self, object: Object) -> LockMap {
        LockMap::new(self.class(object, LockKind::Map), obj(object))
    }

    fn under(&self, ctx: Option<Object>) -> Under {
        Under::of(ctx.map(|ctx| self.context(ctx)))
    }

    /// `mutex_lock()` or `mutex_trylock()` of a wait/wound mutex's base.
    fn base_lock(&self, lock: Object, trylock: bool, nest: Option<Object>) {
        let (mutex, under) = (self.mutex(lock), Under { ctx: None, nest: nest.map(|nest| self.context(nest)) });
        if trylock {
            mutex.try_lock_in(self.k, under, self.at);
        } else {
            let taken = mutex.lock_in(self.k, under, self.at);
            debug_assert!(taken.is_ok(), "without a context there is nothing to give way for");
        }
    }

    fn context_op(&self, op: Op) {
        let (k, at) = (self.k, self.at);
        match op {
            Op::WwAcquireInit { ctx, stamp } => {
                let map = self.context(ctx);
                k.lock_freed(map.obj());
                let checked = lockdep::ww::WwAcquireCtx::init(stamp, WW_CLASS);
                let owner = k.current_task();
                // The kernel's test makes its class with DEFINE_WD_CLASS().
                let state = ww::Context { checked, policy: WwPolicy::WaitDie, wounded: false, owner };
                k.ww.borrow_mut().contexts.insert(map.obj(), state);
                std::mem::forget(map.acquire());
            }
            Op::WwAcquireDone { ctx } => ww::done(k, self.context(ctx), at),
            Op::WwAcquireFini { ctx } => {
                self.context(ctx).release(k, at);
                ww::fini(k, obj(ctx), at);
            }
            _ => {}
        }
    }

    fn ww_lock(
        &self,
        at: usize,
        lock: Object,
        ctx: Option<Object>,
        recorded: WwRet,
        slow: bool,
    ) -> Result<(), Otherwise> {
        if let Some(ctx) = ctx.filter(|_| slow) {
            ww::before_lock_slow(self.k, obj(ctx), self.at);
        }
        let answered = self.mutex(lock).lock_in(self.k, self.under(ctx), self.at);
        let expected = match recorded {
            WwRet::Locked => Ok(()),
            WwRet::Already => Err(Errno::EALREADY),
            WwRet::Deadlock => Err(Errno::EDEADLK),
        };
        if answered == expected { Ok(()) } else { Err(Otherwise { op: at, recorded, answered }) }
    }

    fn poke(&self, object: Object, poke: Poke) {
        let mut table = self.k.ww.borrow_mut();
        let class = |set: bool| set.then_some(WW_CLASS);
        match poke {
            Poke::CopyFrom(from) => *table.context(obj(object)) = *table.context(obj(from)),
            Poke::Ctx(ctx) => table.mutex(&self.mutex(object)).checked.ctx = ctx.map(|ctx| obj(ctx).0),
            Poke::Stamp(stamp) => table.context(obj(object)).checked.stamp = stamp,
            Poke::AddStamp(add) => {
                let stamp = &mut table.context(obj(object)).checked.stamp;
                *stamp = stamp.saturating_add(add);
            }
            Poke::Acquired(n) => table.context(obj(object)).checked.acquired = n,
            Poke::DoneAcquire(done) => table.context(obj(object)).checked.done_acquire = done,
            Poke::ContendingLock(lock) => {
                table.context(obj(object)).checked.contending_lock = lock.map(|lock| obj(lock).0);
            }
            Poke::WwClass(set) if self.mutexes[object] => {
                table.mutex(&self.mutex(object)).checked.ww_class = class(set)
            }
            Poke::WwClass(set) => table.context(obj(object)).checked.ww_class = class(set),
            Poke::Ignored => {}
        }
    }
}

fn section(flavour: lockdep::recorded::RcuFlavour) -> RcuFlavour {
    match flavour {
        lockdep::recorded::RcuFlavour::Plain => RcuFlavour::Plain,
        lockdep::recorded::RcuFlavour::Bh => RcuFlavour::Bh,
        lockdep::recorded::RcuFlavour::Sched => RcuFlavour::Sched,
    }
}

fn flags(gfp: Gfp) -> mm_types::Gfp {
    match (gfp.reclaim, gfp.fs) {
        (true, true) => mm_types::Gfp::KERNEL,
        (true, false) => mm_types::Gfp::NOFS,
        (false, _) => mm_types::Gfp::ATOMIC,
    }
}
