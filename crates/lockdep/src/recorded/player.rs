//! Performs recorded operations, translated to what the kernel's lock code tells its validator.

use std::sync::Arc;

use super::case::{Case, Gfp, Noticed, Object, Op, Poke, RcuFlavour, WwRet};
use super::stage::Stage;
use crate::acquire::{Acquire, Site};
use crate::checks::Assertion;
use crate::class::{ClassId, ClassSpec, WaitType};
use crate::held::Held;
use crate::registry::Lockdep;
use crate::run::{Run, Verdict};
use crate::ww::{Warnings, WwAcquireCtx, WwMutex};

/// The instance number of a line's first object.
const FIRST: u64 = 1;
/// Instances of the maps that no line declares.
const RCU: [u64; 3] = [1 << 32, (1 << 32) + 1, (1 << 32) + 2];
const FS_RECLAIM: u64 = (1 << 32) + 3;
const INVALIDATE: u64 = (1 << 32) + 4;

/// Plays one line after the other, each from an empty state.
#[derive(Debug)]
pub struct Player {
    run: Run,
    held: Held,
    /// By index into [`Case::classes`].
    classes: Vec<ClassId>,
    rcu: [ClassId; 3],
    fs_reclaim: ClassId,
    invalidate: ClassId,
    nofs: u32,
    /// By object.
    contexts: Vec<WwAcquireCtx>,
    mutexes: Vec<WwMutex>,
    site: Site,
    /// By index of an operation: `operation 3`.
    places: Vec<Site>,
}

/// The one class all wait/wound objects of a line are made with.
const WW_CLASS: u32 = 0;

impl Default for Player {
    fn default() -> Self {
        Self::new(Lockdep::new())
    }
}

impl Player {
    /// A player on a validator, which may have seen other lines.
    #[must_use]
    pub fn new(lockdep: Arc<Lockdep>) -> Self {
        Self::on(Run::new(lockdep))
    }

    /// A player on a run, which may know something already: [`Player::teach`] adds to it.
    #[must_use]
    pub fn on(run: Run) -> Self {
        let lockdep = run.lockdep();
        let rcu = |name, wait| lockdep.class(&ClassSpec::new(name).wait(wait).wait_outer(WaitType::Free));
        Self {
            rcu: [
                rcu("rcu_read_lock", WaitType::Config),
                rcu("rcu_read_lock_bh", WaitType::Config),
                rcu("rcu_read_lock_sched", WaitType::Spin),
            ],
            fs_reclaim: lockdep.class(&ClassSpec::new("fs_reclaim")),
            invalidate: lockdep.class(&ClassSpec::new("mmu_notifier_invalidate_range_start")),
            run,
            held: Held::new("task", 1),
            classes: Vec::new(),
            nofs: 0,
            contexts: Vec::new(),
            mutexes: Vec::new(),
            site: Site::here(),
            places: Vec::new(),
        }
    }

    /// Plays a line up to its first report, or to its end if `on` is set: what was reported first, and by which operation.
    ///
    /// The state afterwards is that after the last operation played: see [`Player::run`].
    pub fn play(&mut self, case: &Case, on: bool) -> Option<Noticed> {
        self.run.reset();
        self.begin(case);
        let mut first = None;
        for (at, op) in case.ops.iter().enumerate() {
            self.site = self.place(at);
            let verdict = self.op(case, *op);
            if first.is_none() && !verdict.is_ok() {
                let report = &self.run.reports()[verdict.reports().start];
                first = Some(Noticed { title: report.title().to_owned(), op: at });
                if !on {
                    break;
                }
            }
        }
        first
    }

    /// Plays a whole line on top of what the run knows, with nothing held: for the graph of many lines. Places in it are
    /// named after the line's id.
    ///
    /// Keeps a name for each operation for as long as the process lives.
    pub fn teach(&mut self, case: &Case) {
        self.begin(case);
        for (at, op) in case.ops.iter().enumerate() {
            self.site = Site::of_text(format!("{}, operation {at}", case.id).leak());
            let _ = self.op(case, *op);
        }
    }

    /// The run, as the last line left it.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The run, to set it up.
    pub fn run_mut(&mut self) -> &mut Run {
        &mut self.run
    }

    /// Gives the run back.
    #[must_use]
    pub fn into_run(self) -> Run {
        self.run
    }

    /// What the task of the last line holds.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The place an operation is at, made once for each index.
    fn place(&mut self, at: usize) -> Site {
        while self.places.len() <= at {
            self.places.push(Site::of_text(format!("operation {}", self.places.len()).leak()));
        }
        self.places[at]
    }

    fn begin(&mut self, case: &Case) {
        self.held.reset();
        self.nofs = 0;
        let lockdep = self.run.lockdep();
        self.classes = case.classes.iter().map(|class| lockdep.class(&class.spec())).collect();
        self.contexts = vec![WwAcquireCtx::default(); case.locks.len()];
        self.mutexes = vec![WwMutex { ctx: None, ww_class: Some(WW_CLASS) }; case.locks.len()];
    }

    /// The stage for a line, with the run and the held stack to perform on.
    fn stage<'s>(&'s mut self, case: &'s Case) -> (Stage<'s>, &'s mut Run, &'s mut Held) {
        let stage = Stage { case, classes: &self.classes, first: FIRST, site: self.site };
        (stage, &mut self.run, &mut self.held)
    }

    fn class_of(&self, case: &Case, object: Object) -> Option<ClassId> {
        case.locks[object].class.map(|class| self.classes[class])
    }

    fn op(&mut self, case: &Case, op: Op) -> Verdict {
        let (stage, run, held) = self.stage(case);
        if let Some(verdict) = stage.perform(run, held, op) {
            return verdict;
        }
        match op {
            Op::RcuReadLock(flavour) => self.rcu_read_lock(flavour),
            Op::RcuReadUnlock(flavour) => self.rcu_read_unlock(flavour),
            Op::FsReclaimAcquire(gfp) => self.fs_reclaim_acquire(gfp),
            Op::FsReclaimRelease(gfp) => self.fs_reclaim_release(gfp),
            Op::MightAlloc(gfp) => self.fs_reclaim_acquire(gfp).and(self.fs_reclaim_release(gfp)),
            Op::NofsSave => {
                self.nofs = self.nofs.saturating_add(1);
                Verdict::Ok
            }
            Op::NofsRestore => {
                self.nofs = self.nofs.saturating_sub(1);
                Verdict::Ok
            }
            Op::WwPoke { object, poke } => {
                self.poke(object, poke);
                Verdict::Ok
            }
            _ => self.ww(case, op),
        }
    }

    fn acquire(&mut self, case: &Case, lock: Object, class: ClassId, how: Acquire, nest: Option<Object>) -> Verdict {
        let (stage, run, held) = self.stage(case);
        stage.acquire(run, held, lock, class, how, nest)
    }

    fn release(&mut self, case: &Case, lock: Object) -> Verdict {
        let (stage, run, held) = self.stage(case);
        stage.release(run, held, lock)
    }

    fn rcu_read_lock(&mut self, flavour: RcuFlavour) -> Verdict {
        if flavour == RcuFlavour::Bh {
            self.run.local_bh_disable(&mut self.held, self.site);
        }
        let (at, how) = (flavour as usize, Acquire::recursive().unchecked());
        self.run.acquire(&mut self.held, self.rcu[at], RCU[at], how, self.site)
    }

    fn rcu_read_unlock(&mut self, flavour: RcuFlavour) -> Verdict {
        let at = flavour as usize;
        let verdict = self.run.release_of(&mut self.held, self.rcu[at], RCU[at], self.site);
        match flavour {
            RcuFlavour::Bh => verdict.and(self.run.local_bh_enable(&mut self.held, self.site)),
            _ => verdict,
        }
    }

    /// `fs_reclaim_acquire()`: the map for allocations that may enter a file system, and for any that may reclaim, the
    /// notifier's once.
    fn fs_reclaim_acquire(&mut self, gfp: Gfp) -> Verdict {
        let (how, site) = (Acquire::exclusive(), self.site);
        if !gfp.reclaim {
            return Verdict::Ok;
        }
        let mut verdict = Verdict::Ok;
        if gfp.fs && self.nofs == 0 {
            verdict = self.run.acquire(&mut self.held, self.fs_reclaim, FS_RECLAIM, how, site);
        }
        verdict = verdict.and(self.run.acquire(&mut self.held, self.invalidate, INVALIDATE, how, site));
        verdict.and(self.run.release_of(&mut self.held, self.invalidate, INVALIDATE, site))
    }

    fn fs_reclaim_release(&mut self, gfp: Gfp) -> Verdict {
        match gfp.reclaim && gfp.fs && self.nofs == 0 {
            true => self.run.release_of(&mut self.held, self.fs_reclaim, FS_RECLAIM, self.site),
            false => Verdict::Ok,
        }
    }

    fn warn(&mut self, warnings: Warnings) -> Verdict {
        let site = self.site;
        warnings
            .into_iter()
            .fold(Verdict::Ok, |verdict, condition| verdict.and(self.run.debug_locks(&self.held, condition, site)))
    }

    fn ww(&mut self, case: &Case, op: Op) -> Verdict {
        let (how, site) = (Acquire::exclusive(), self.site);
        match op {
            Op::WwAcquireInit { ctx, stamp } => {
                let verdict = self.run.freed(&self.held, instance(ctx), instance(ctx), site);
                self.contexts[ctx] = WwAcquireCtx::init(stamp, WW_CLASS);
                let Some(class) = self.class_of(case, ctx) else { return verdict };
                verdict.and(self.run.acquire(&mut self.held, class, instance(ctx), how, site))
            }
            Op::WwAcquireDone { ctx } => {
                let verdict = self.run.assert(&self.held, Assertion::Held(instance(ctx)), site);
                let warnings = self.contexts[ctx].done();
                verdict.and(self.warn(warnings))
            }
            Op::WwAcquireFini { ctx } => {
                let verdict = self.release(case, ctx);
                let warnings = self.contexts[ctx].fini();
                verdict.and(self.warn(warnings))
            }
            Op::WwLock { lock, ctx, ret, slow } => self.ww_lock(case, lock, ctx, ret, slow),
            Op::WwTrylock { lock, ctx } => {
                let warnings = self.ww_acquired(lock, ctx);
                let verdict = self.warn(warnings);
                let Some(class) = self.class_of(case, lock) else { return verdict };
                verdict.and(self.acquire(case, lock, class, how.trylock(), ctx))
            }
            Op::WwUnlock { lock } => {
                let held_under = self.mutexes[lock].ctx.map(|ctx| ctx as usize);
                let ctx = held_under.and_then(|ctx| self.contexts.get_mut(ctx));
                let warnings = self.mutexes[lock].unlock(ctx);
                let verdict = self.warn(warnings);
                verdict.and(self.release(case, lock))
            }
            _ => Verdict::Ok,
        }
    }

    fn ww_acquired(&mut self, lock: Object, ctx: Option<Object>) -> Warnings {
        match ctx {
            Some(ctx) => self.contexts[ctx].lock_acquired(ctx as u64, &mut self.mutexes[lock], lock as u64),
            None => Warnings::new(),
        }
    }

    fn ww_lock(&mut self, case: &Case, lock: Object, ctx: Option<Object>, ret: WwRet, slow: bool) -> Verdict {
        let mut verdict = Verdict::Ok;
        if let Some(ctx) = ctx.filter(|_| slow) {
            let warnings = self.contexts[ctx].before_lock_slow();
            verdict = self.warn(warnings);
        }
        let Some(class) = self.class_of(case, lock).filter(|_| ret != WwRet::Already) else { return verdict };
        verdict = verdict.and(self.acquire(case, lock, class, Acquire::exclusive(), ctx));
        let warnings = match (ret, ctx) {
            (WwRet::Locked, _) => self.ww_acquired(lock, ctx),
            (_, Some(ctx)) => self.contexts[ctx].kill(lock as u64),
            _ => Warnings::new(),
        };
        verdict = verdict.and(self.warn(warnings));
        match ret {
            WwRet::Deadlock => verdict.and(self.release(case, lock)),
            _ => verdict,
        }
    }

    fn poke(&mut self, object: Object, poke: Poke) {
        let (context, mutex) = (&mut self.contexts[object], &mut self.mutexes[object]);
        let class = |set: bool| set.then_some(WW_CLASS);
        match poke {
            Poke::CopyFrom(from) => self.contexts[object] = self.contexts[from],
            Poke::Ctx(ctx) => mutex.ctx = ctx.map(|ctx| ctx as u64),
            Poke::Stamp(stamp) => context.stamp = stamp,
            Poke::AddStamp(add) => context.stamp = context.stamp.saturating_add(add),
            Poke::Acquired(n) => context.acquired = n,
            Poke::DoneAcquire(done) => context.done_acquire = done,
            Poke::ContendingLock(lock) => context.contending_lock = lock.map(|lock| lock as u64),
            Poke::WwClass(set) => (context.ww_class, mutex.ww_class) = (class(set), class(set)),
            Poke::Ignored => {}
        }
    }
}

fn instance(object: Object) -> u64 {
    FIRST + object as u64
}
