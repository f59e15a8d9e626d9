//! [`Run`]: the state of one run, from the first lock taken to its reports.

use core::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use crate::acquire::{Acquire, LockKey, Read, Site};
use crate::chain::{ChainId, ChainSet};
use crate::class::ClassId;
use crate::core::{Core, Unregistered};
use crate::front::Front;
use crate::graph::EdgeKind;
use crate::held::{Held, HeldLock, Nest};
use crate::mutant::Mutant;
use crate::registry::Lockdep;
use crate::report::{Detail, Report};
use crate::storage::{Attached, Own, Storage};
use crate::text::held_locks;
use crate::usage::Usage;

/// What a call had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing that was not reported in this run before.
    Ok,
    /// New reports: `Run::reports()[first..end]`.
    Reported {
        /// Index of the first.
        first: u32,
        /// Index behind the last.
        end: u32,
    },
}

impl Verdict {
    /// Whether nothing new was reported.
    #[must_use]
    #[inline]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Indices into [`Run::reports`]; empty for [`Verdict::Ok`].
    #[must_use]
    pub const fn reports(self) -> Range<usize> {
        match self {
            Self::Ok => 0..0,
            Self::Reported { first, end } => first as usize..end as usize,
        }
    }

    /// Both, the earlier one first.
    pub(crate) const fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Ok, other) | (other, Self::Ok) => other,
            (Self::Reported { first, .. }, Self::Reported { end, .. }) => Self::Reported { first, end },
        }
    }
}

/// A dependency learnt in a run, by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// What was held.
    pub from: String,
    /// What was taken then.
    pub to: String,
    /// Every kind seen, strongest first, and where it was seen first: `from` taken at, `to` taken at.
    pub kinds: Vec<(EdgeKind, String, String)>,
    /// One of the two classes is not seen by the kernel's lockdep.
    pub ours: bool,
}

/// The state of one run: its graph starts empty, and what it learns is its own.
///
/// `Run` alone belongs to one world and is not shared; [`Run::reset`] makes it ready for the next run and keeps all storage
/// and all that does not depend on the run (which chain follows which). `Run<Attached>`, from [`SharedRun::attach`], is
/// one thread's handle on a graph that several threads teach.
#[derive(Debug)]
pub struct Run<S: Storage = Own> {
    pub(crate) storage: S,
    pub(crate) front: Front,
}

impl<S: Storage> Run<S> {
    /// Records that the task of `held` takes (or, for a lock that waits, is about to wait for) `instance`.
    ///
    /// Call it before blocking, so that a deadlock that is about to happen has been reported; the lock is on the held
    /// stack afterwards, reported or not. A trylock that failed is not to be recorded. In an NMI nothing is held: the lock
    /// is only checked. Linux: `lock_acquire()`.
    #[inline]
    pub fn acquire(&mut self, held: &mut Held, class: ClassId, instance: u64, how: Acquire, site: Site) -> Verdict {
        let key = LockKey::new(class, self.mutated(how), held.bits);
        let parent = held.parent(key);
        // Written to the stack field by field, never built and then copied: the copy would wait for its parts.
        match self.front.take(self.storage.epoch(), parent, key) {
            Some(chain) => {
                held.locks.push(HeldLock::plain(key, instance, site, chain));
                Verdict::Ok
            }
            None => self.acquire_slow(held, key, instance, None, site),
        }
    }

    /// The same under a lock that serialises all locks of the class, so that several may be held.
    ///
    /// That lock not being held is reported. If the innermost lock held is of the same class, this one is merged into its
    /// entry: no check of any kind is made, and the entry goes when as many are released. Linux: `lock_acquire()` with
    /// `nest_lock`.
    #[inline]
    pub fn acquire_nest(
        &mut self,
        held: &mut Held,
        class: ClassId,
        instance: u64,
        how: Acquire,
        nest: Nest,
        site: Site,
    ) -> Verdict {
        let key = LockKey::new(class, self.mutated(how), held.bits);
        if let Some(top) = held.locks.last_mut().filter(|top| top.class() == class)
            && !key.in_nmi()
            && !self.front.switch.on(Mutant::NoReferenceMerging)
        {
            top.references = top.references.max(1) + 1;
            return Verdict::Ok;
        }
        let parent = held.parent(key);
        if held.holds_nest(nest)
            && let Some(chain) = self.front.take(self.storage.epoch(), parent, key.with_nest())
        {
            held.locks.push(HeldLock::under(nest, key, instance, site, chain));
            return Verdict::Ok;
        }
        self.acquire_slow(held, key, instance, Some(nest), site)
    }

    #[inline]
    fn mutated(&self, how: Acquire) -> Acquire {
        match how.read {
            Read::Shared if self.front.switch.on(Mutant::SharedReadIsRecursive) => {
                Acquire { read: Read::Recursive, ..how }
            }
            _ => how,
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slow(
        &mut self,
        held: &mut Held,
        key: LockKey,
        instance: u64,
        nest: Option<Nest>,
        site: Site,
    ) -> Verdict {
        let lock = match nest {
            None => HeldLock::plain(key, instance, site, ChainId::ROOT),
            Some(nest) => HeldLock::under(nest, key, instance, site, ChainId::ROOT),
        };
        self.storage.with(|core| core.acquire(&mut self.front, held, lock))
    }

    /// Records that the task of `held` releases `instance`.
    ///
    /// Not the innermost: what was taken after it is validated again without it, which can report. Not held, or taken in
    /// another irq context: a report that names the instance only; use [`Run::release_of`] where the class is known, and
    /// for locks taken under a `nest_lock`. Linux: `lock_release()`.
    #[inline]
    pub fn release(&mut self, held: &mut Held, instance: u64, site: Site) -> Verdict {
        match held.locks.last() {
            Some(lock) if lock.instance == instance && lock.references | lock.pins == 0 && held.irq.nmi_depth == 0 => {
                held.locks.pop();
                Verdict::Ok
            }
            _ => self.release_slow(held, None, instance, site),
        }
    }

    /// [`Run::release`] by a caller who knows the class: a "bad unlock balance" report then names it, and a lock merged
    /// into an entry of its class is found.
    #[inline]
    pub fn release_of(&mut self, held: &mut Held, class: ClassId, instance: u64, site: Site) -> Verdict {
        match held.locks.last() {
            Some(lock) if lock.instance == instance && lock.references | lock.pins == 0 && held.irq.nmi_depth == 0 => {
                held.locks.pop();
                Verdict::Ok
            }
            _ => self.release_slow(held, Some(class), instance, site),
        }
    }

    #[cold]
    #[inline(never)]
    fn release_slow(&mut self, held: &mut Held, class: Option<ClassId>, instance: u64, site: Site) -> Verdict {
        if held.irq.nmi_depth > 0 {
            return Verdict::Ok;
        }
        let plain = held.locks.iter().all(|lock| lock.references == 0);
        if plain
            && let Some(at) = held.locks.iter().rposition(|lock| lock.instance == instance)
            && self.release_warm(held, at)
        {
            return Verdict::Ok;
        }
        let front = &mut self.front;
        self.storage.with(|core| {
            let first = core.reports.len();
            let Some(at) = core.position(front, held, class, instance, site) else {
                let name = core.name_of(class, instance);
                core.report(held, site, Detail::UnlockBalance { name });
                return core.verdict_since(first);
            };
            let lock = &mut held.locks[at];
            if lock.pins > 0 {
                let (what, name) = ("WARNING: releasing a pinned lock", core.name_of(Some(lock.class()), instance));
                core.report(held, site, Detail::Pinned { what, name });
            }
            let lock = &mut held.locks[at];
            match lock.references {
                0 | 1 => core.remove(front, held, at, site),
                _ => lock.references -= 1,
            }
            core.verdict_since(first)
        })
    }

    /// Takes out the entry at depth `at` if all that is above it is known without it. Nothing changes if not.
    fn release_warm(&mut self, held: &mut Held, at: usize) -> bool {
        let top = held.locks[held.locks.len() - 1].key;
        let out = held.locks[at];
        let special = |lock: &HeldLock| lock.key.nested() || !lock.key.same_irq(top);
        if out.pins > 0
            || held.locks[at..].iter().any(special)
            || self.front.switch.on(Mutant::OutOfOrderReleaseDoesNotRevalidate)
            || top.context().irq_context() != held.irq.context().irq_context()
        {
            return false;
        }
        let epoch = self.storage.epoch();
        let mut parent = match at.checked_sub(1).map(|below| held.locks[below]) {
            Some(below) if below.key.same_irq(top) => below.chain,
            _ => ChainId::ROOT,
        };
        let mut chains = smallvec::SmallVec::<[(LockKey, ChainId); 16]>::new();
        for lock in &held.locks[at + 1..] {
            let key = lock.key.moved_to(held.bits);
            let Some(chain) = self.known(epoch, parent, key) else { return false };
            chains.push((key, chain));
            parent = chain;
        }
        held.locks.remove(at);
        for (lock, (key, chain)) in held.locks[at..].iter_mut().zip(chains) {
            (lock.key, lock.chain) = (key, chain);
        }
        true
    }

    /// The chain that follows, if it was met: from the cache, or put there.
    #[inline]
    fn known(&mut self, epoch: u32, parent: ChainId, key: LockKey) -> Option<ChainId> {
        self.front.peek(epoch, parent, key).or_else(|| {
            let chain = self.storage.with(|core| core.known(parent, key))?;
            self.front.put(epoch, parent, key, chain);
            Some(chain)
        })
    }

    /// Records that the task of `held` turns `instance` from exclusive into `read`, without letting go of it.
    ///
    /// It and what was taken after it is validated again. Not held, or held shared already: a report. The site becomes
    /// the place the lock was taken at. Linux: `lock_downgrade()`, where `read` is always [`Read::Shared`].
    #[cold]
    pub fn downgrade(&mut self, held: &mut Held, instance: u64, read: Read, site: Site) -> Verdict {
        let front = &mut self.front;
        self.storage.with(|core| {
            let first = core.reports.len();
            let Some(at) = core.position(front, held, None, instance, site) else {
                let name = core.name_of(None, instance);
                core.report(held, site, Detail::UnlockBalance { name });
                return core.verdict_since(first);
            };
            let lock = held.locks[at];
            if lock.read() != Read::Exclusive {
                let lock = core.with_tables(|core, tables| core.lock_text(tables, &lock));
                core.report(held, site, Detail::ReadLockDowngraded { lock });
            }
            let how = Acquire { read, ..lock.how() };
            held.locks[at].key = LockKey::of(lock.class().0, how, lock.context(), lock.key.nested());
            held.locks[at].site = site;
            core.retake(front, held, at, site);
            core.verdict_since(first)
        })
    }

    /// Records that the held lock `instance` belongs to another class from now on; it and what was taken after it is
    /// validated again. Linux: `lock_set_class()`, `lock_set_subclass()`.
    #[cold]
    pub fn set_class(&mut self, held: &mut Held, instance: u64, class: ClassId, site: Site) -> Verdict {
        let front = &mut self.front;
        self.storage.with(|core| {
            let first = core.reports.len();
            match core.position(front, held, None, instance, site) {
                None => {
                    let name = core.name_of(Some(class), instance);
                    core.report(held, site, Detail::UnlockBalance { name });
                }
                Some(at) => {
                    let key = held.locks[at].key;
                    held.locks[at].key = LockKey::of(class.0, key.how(), key.context(), key.nested());
                    core.retake(front, held, at, site);
                }
            }
            core.verdict_since(first)
        })
    }

    /// Forgets a class, when the object its key lives in goes: its dependencies, usage states and chains. What remains
    /// stays known. Says what went. Linux: `lockdep_unregister_key()`.
    pub fn unregister(&mut self, class: ClassId) -> Unregistered {
        self.storage.with(|core| core.unregister(class))
    }

    /// The dependencies this run learnt, sorted by names.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        self.storage.view(Core::edges)
    }

    /// The usage states of a class.
    #[must_use]
    pub fn usage(&self, class: ClassId) -> Usage {
        self.storage.view(|core| core.graph.usage(class.0))
    }

    /// The chains this run met and did not take for one it had validated before, in canonical form.
    ///
    /// Allocates; for the end of a run.
    #[must_use]
    pub fn chains(&self) -> ChainSet {
        self.storage.view(Core::chain_set)
    }

    /// How often the class was acquired through this handle in this run, in whatever way.
    #[must_use]
    pub fn acquisitions(&self, class: ClassId) -> u64 {
        self.storage.view(|core| core.acquisitions(&self.front, class.0))
    }

    /// What `held` holds, as the kernel lists it: `2 locks held by comm/pid:` and a line each.
    #[must_use]
    pub fn held_text(&self, held: &Held) -> String {
        let locks = self.storage.view(|core| core.with_tables(|core, tables| core.held_texts(tables, &held.locks)));
        let mut out = String::new();
        held_locks(&mut out, &held.comm, held.pid, &locks).expect("writing to a string does not fail");
        out
    }

    /// Bytes in use by this run, without what [`Lockdep::memory_bytes`] counts.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.storage.view(Core::bytes) + self.front.bytes()
    }

    /// Switches a deliberate error on, or all of them off.
    #[cfg(any(test, feature = "mutants"))]
    pub fn set_mutant(&mut self, mutant: Option<Mutant>) {
        self.front.switch.mutant = mutant;
        self.storage.with(|core| core.graph.switch.mutant = mutant);
    }
}

impl Run {
    /// A run that has met nothing.
    #[must_use]
    pub fn new(lockdep: Arc<Lockdep>) -> Self {
        Self { storage: Own(Core::new(lockdep)), front: Front::new() }
    }

    /// The validator this run belongs to.
    #[must_use]
    pub fn lockdep(&self) -> &Arc<Lockdep> {
        &self.storage.0.lockdep
    }

    /// Forgets the run: graph, chains, counts and reports. Costs no more than the reports it drops; keeps allocations.
    ///
    /// Held stacks are the caller's to reset.
    pub fn reset(&mut self) {
        self.storage.0.reset();
    }

    /// The reports of this run, each distinct one once.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.storage.0.reports
    }

    /// Adds this run's chains to the union over all runs: as [`Lockdep::merge`] of [`Run::chains`], but a look at each
    /// chain is all it costs when earlier runs of this object have added them.
    pub fn merge(&mut self) {
        self.storage.0.merge();
    }
}

/// A run that several OS threads teach at once.
///
/// Each thread [attaches](SharedRun::attach) and has its own caches and held stacks; what one thread learnt, every thread
/// is judged by. A warm acquisition reads one shared word that is only written when a class is unregistered.
#[derive(Debug, Clone)]
pub struct SharedRun {
    lockdep: Arc<Lockdep>,
    graph: Attached,
}

impl SharedRun {
    /// A run that has met nothing.
    #[must_use]
    pub fn new(lockdep: Arc<Lockdep>) -> Self {
        Self { graph: Attached::new(Core::new(Arc::clone(&lockdep))), lockdep }
    }

    /// A handle for one thread.
    #[must_use]
    pub fn attach(&self) -> Run<Attached> {
        Run { storage: self.graph.clone(), front: Front::new() }
    }

    /// The validator this run belongs to.
    #[must_use]
    pub fn lockdep(&self) -> &Arc<Lockdep> {
        &self.lockdep
    }
}

impl Run<Attached> {
    /// The reports so far, of all threads, each distinct one once; a [`Verdict`]'s indices count in them.
    #[must_use]
    pub fn shared_reports(&self) -> Vec<Report> {
        self.reports_from(0)
    }

    /// The same from an index on.
    #[must_use]
    pub fn reports_from(&self, first: usize) -> Vec<Report> {
        use crate::storage::Sealed as _;
        self.storage.view(|core| core.reports.get(first..).unwrap_or_default().to_vec())
    }
}

impl Core {
    /// See [`Run::edges`].
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let tables = self.lockdep.tables.read();
        let mut edges: Vec<Edge> = self
            .graph
            .live()
            .iter()
            .map(|id| {
                let (from, to) = self.graph.ends(*id);
                let (from, to) = (tables.class(from), tables.class(to));
                let mut kinds: Vec<_> = self
                    .seen(*id)
                    .map(|(kind, sites)| (kind, format!("{:?}", sites.held), format!("{:?}", sites.taken)))
                    .collect();
                kinds.sort_unstable();
                Edge { from: from.to_string(), to: to.to_string(), kinds, ours: from.ours || to.ours }
            })
            .collect();
        edges.sort_unstable();
        edges
    }

    /// See [`Run::chains`].
    pub(crate) fn chain_set(&self) -> ChainSet {
        let chains = self.chains.iter().copied().filter(|chain| self.counts(*chain));
        self.lockdep.chain_set(&self.paths(chains), &self.usages())
    }

    /// The usage states of every class that was taken.
    fn usages(&self) -> Vec<(u32, u16)> {
        let classes = 0..self.lockdep.tables.read().class_count() as u32;
        classes.map(|class| (class, self.graph.usage(class).0)).filter(|(_, usage)| *usage != 0).collect()
    }

    /// See [`Run::merge`].
    pub(crate) fn merge(&mut self) {
        let new: Vec<ChainId> = self
            .chains
            .iter()
            .copied()
            .filter(|chain| !self.info[chain.index()].merged && self.counts(*chain))
            .collect();
        let usages: Vec<(u32, u16)> =
            self.usages().into_iter().filter(|(class, usage)| usage & !self.merged_usage(*class) != 0).collect();
        if new.is_empty() && usages.is_empty() {
            return;
        }
        for chain in &new {
            self.info[chain.index()].merged = true;
        }
        for (class, usage) in &usages {
            self.note_merged_usage(*class, *usage);
        }
        self.lockdep.merge(&self.lockdep.chain_set(&self.paths(new.into_iter()), &usages));
    }

    /// The keys of chains, outermost lock first.
    fn paths(&self, chains: impl Iterator<Item = ChainId>) -> Vec<Vec<LockKey>> {
        chains.map(|chain| self.path(chain).into_iter().rev().collect()).collect()
    }
}
