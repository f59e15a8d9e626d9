//! [`Run`]: the state of one run, from the first lock taken to its reports.

use core::ops::Range;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;
use serde::Serialize;

use crate::acquire::{Acquire, LockKey, Read, Site};
use crate::chain::{ChainId, ChainSet};
use crate::class::ClassId;
use crate::graph::{EdgeId, EdgeKind, Graph, Step};
use crate::held::{Held, HeldLock};
use crate::registry::{Lockdep, Tables};
use crate::report::{ClassText, Dependency, Detail, LockText, Report, ReportId, Usage};
use crate::rules::{Taken, collision, dependencies};
use crate::text::held_locks;

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

/// Where both ends of a dependency were taken.
#[derive(Clone, Copy, Debug)]
struct DependencySites {
    held: Site,
    taken: Site,
}

/// A chain without regard to trylock and check, which the kernel's chain key leaves out (`hlock_id()`).
///
/// The kernel validates the first chain of a key and takes every later one for the same. So does a run, since verdicts
/// are to be the kernel's: which of them came first is a fact of the run, and its [`ChainSet`] says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct KernelChain(u32);

/// What a chain says, worked out once: see `rules.rs`.
#[derive(Debug, Default)]
struct Plan {
    /// The key of the chain's last lock.
    key: LockKey,
    /// The chain as the kernel tells chains apart: indexes [`Run::validated`].
    kernel_chain: KernelChain,
    /// Depth of the held lock that its last lock collides with.
    collision: Option<u32>,
    /// Depth of the held lock, the edge's number in the run's graph, its kind.
    dependencies: Box<[(u32, EdgeId, EdgeKind)]>,
    /// [`Run::merge`] has added the chain to the union.
    merged: bool,
}

/// What one run did with a chain.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The chain was met in this run if this is the run's epoch.
    epoch: u32,
    /// How often the chain was completed by an acquisition.
    acquisitions: u32,
}

/// One way of a direct-mapped cache: `parent`, `key` -> `chain`.
#[derive(Clone, Copy, Debug)]
struct CacheLine {
    parent: ChainId,
    key: LockKey,
    chain: ChainId,
}

const CACHE_LINES: usize = 256;

/// The state of one run: its graph starts empty, and what it learns is its own.
///
/// Belongs to one world, is not shared; [`Run::reset`] makes it ready for the next run and keeps all storage and all that
/// does not depend on the run (which chain follows which, what a chain says).
#[derive(Debug)]
pub struct Run {
    lockdep: Arc<Lockdep>,
    /// invariant: never 0, so that `Seen::default()` is "not seen".
    epoch: u32,
    cache: Box<[CacheLine; CACHE_LINES]>,
    index: HashMap<(ChainId, LockKey), ChainId, FxBuildHasher>,
    /// Indexed by chain, as are `plans`. invariant: as long as the highest chain in `index` or `cache` needs.
    seen: Vec<Seen>,
    plans: Vec<Option<Plan>>,
    /// The chains with `seen[..].epoch == epoch`, in order.
    chains: Vec<ChainId>,
    kernel_index: HashMap<(KernelChain, ClassId, Read), KernelChain, FxBuildHasher>,
    /// Indexed by kernel chain: the epoch in which one was validated, and which it was.
    validated: Vec<(u32, ChainId)>,
    graph: Graph<DependencySites>,
    /// Indexed by class: the epoch it is valid for.
    usage: Vec<(u32, Usage)>,
    reports: Vec<Report>,
    reported: HashSet<ReportId, FxBuildHasher>,
}

impl Run {
    /// A run that has met nothing.
    #[must_use]
    pub fn new(lockdep: Arc<Lockdep>) -> Self {
        let empty = CacheLine {
            // No chain has this number, so an empty line matches nothing.
            parent: ChainId(u32::MAX),
            key: LockKey::default(),
            chain: ChainId::ROOT,
        };
        Self {
            lockdep,
            epoch: 1,
            cache: Box::new([empty; CACHE_LINES]),
            index: HashMap::default(),
            seen: Vec::new(),
            plans: Vec::new(),
            chains: Vec::new(),
            kernel_index: HashMap::default(),
            validated: vec![(0, ChainId::ROOT)],
            graph: Graph::new(),
            usage: Vec::new(),
            reports: Vec::new(),
            reported: HashSet::default(),
        }
    }

    /// The validator this run belongs to.
    #[must_use]
    pub fn lockdep(&self) -> &Arc<Lockdep> {
        &self.lockdep
    }

    /// Forgets the run: graph, chains, counts and reports. Costs no more than the reports it drops; keeps allocations.
    ///
    /// Held stacks are the caller's to reset.
    pub fn reset(&mut self) {
        self.chains.clear();
        self.graph.clear();
        self.reports.clear();
        self.reported.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.epoch = 1;
            self.seen.fill(Seen::default());
            self.validated.fill((0, ChainId::ROOT));
            self.usage.fill((0, Usage::default()));
        }
    }

    /// Records that the task of `held` takes (or, for a lock that waits, is about to wait for) `instance`.
    ///
    /// Call it before blocking, so that a deadlock that is about to happen has been reported; the lock is on the held
    /// stack afterwards, reported or not. A trylock that failed is not to be recorded. Linux: `lock_acquire()`.
    #[inline]
    pub fn acquire(&mut self, held: &mut Held, class: ClassId, instance: u64, how: Acquire, site: Site) -> Verdict {
        let key = LockKey::new(class, how);
        let chain = self.chain(held.chain(), key);
        let seen = &mut self.seen[chain.index()];
        if seen.epoch != self.epoch {
            return self.acquire_new(held, HeldLock { instance, site, key, chain });
        }
        seen.acquisitions += 1;
        held.locks.push(HeldLock { instance, site, key, chain });
        Verdict::Ok
    }

    /// Records that the task of `held` releases `instance`.
    ///
    /// Not the innermost: what was taken after it is validated again without it, which can report. Not held: a report
    /// that names the instance only; use [`Run::release_of`] where the class is known. Linux: `lock_release()`.
    #[inline]
    pub fn release(&mut self, held: &mut Held, instance: u64, site: Site) -> Verdict {
        match held.locks.last() {
            Some(lock) if lock.instance == instance => {
                held.locks.pop();
                Verdict::Ok
            }
            _ => self.release_inner(held, None, instance, site),
        }
    }

    /// [`Run::release`] by a caller who knows the class, which a "bad unlock balance" report then names.
    #[inline]
    pub fn release_of(&mut self, held: &mut Held, class: ClassId, instance: u64, site: Site) -> Verdict {
        match held.locks.last() {
            Some(lock) if lock.instance == instance => {
                held.locks.pop();
                Verdict::Ok
            }
            _ => self.release_inner(held, Some(class), instance, site),
        }
    }

    /// Records that the task of `held` turns `instance` from exclusive into `read`, without letting go of it.
    ///
    /// It and what was taken after it is validated again. Not held, or held shared already: a report. The site becomes
    /// the place the lock was taken at. Linux: `lock_downgrade()`, where `read` is always [`Read::Shared`].
    #[cold]
    pub fn downgrade(&mut self, held: &mut Held, instance: u64, read: Read, site: Site) -> Verdict {
        let Some(at) = held.position(instance) else {
            return self.imbalance(held, None, instance, site);
        };
        let first = self.reports.len();
        let lock = held.locks[at];
        if lock.read() != Read::Exclusive {
            let detail =
                self.with_tables(|run, tables| Detail::ReadLockDowngraded { lock: run.lock_text(tables, &lock) });
            self.report(held, held.locks.len(), site, detail);
        }
        let how = Acquire { read, ..lock.how() };
        held.locks[at].key = LockKey::new(lock.class(), how);
        held.locks[at].site = site;
        self.revalidate(held, at, site);
        self.verdict_since(first)
    }

    /// The reports of this run, each distinct one once.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// The chains this run met and did not take for one it had validated before, in canonical form.
    ///
    /// Allocates; for the end of a run.
    #[must_use]
    pub fn chains(&self) -> ChainSet {
        self.lockdep.chain_set(self.chains.iter().copied().filter(|chain| self.counts(*chain)))
    }

    /// Adds this run's chains to the union over all runs: as [`Lockdep::merge`] of [`Run::chains`], but a look at each
    /// chain is all it costs when earlier runs of this object have added them.
    pub fn merge(&mut self) {
        let new: Vec<ChainId> =
            self.chains.iter().copied().filter(|chain| !self.plan(*chain).merged && self.counts(*chain)).collect();
        if new.is_empty() {
            return;
        }
        for chain in &new {
            if let Some(plan) = &mut self.plans[chain.index()] {
                plan.merged = true;
            }
        }
        self.lockdep.merge(&self.lockdep.chain_set(new.into_iter()));
    }

    /// The dependencies this run learnt, sorted by names.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        let tables = self.lockdep.tables.read();
        let mut edges: Vec<Edge> = self
            .graph
            .live()
            .map(|slot| {
                let (from, to) = (tables.class(slot.from), tables.class(slot.to));
                let mut kinds: Vec<_> = slot
                    .seen
                    .iter()
                    .map(|(kind, sites)| (*kind, format!("{:?}", sites.held), format!("{:?}", sites.taken)))
                    .collect();
                kinds.sort_unstable();
                Edge { from: from.to_string(), to: to.to_string(), kinds, ours: from.ours || to.ours }
            })
            .collect();
        edges.sort_unstable();
        edges
    }

    /// How often the class was acquired in this run, in whatever way.
    #[must_use]
    pub fn acquisitions(&self, class: ClassId) -> u64 {
        self.chains
            .iter()
            .filter(|chain| self.plan(**chain).key.class() == class)
            .map(|chain| u64::from(self.seen[chain.index()].acquisitions))
            .sum()
    }

    /// What `held` holds, as the kernel lists it: `2 locks held by comm/pid:` and a line each.
    #[must_use]
    pub fn held_text(&self, held: &Held) -> String {
        let locks = self.with_tables(|run, tables| run.held_texts(tables, &held.locks));
        let mut out = String::new();
        held_locks(&mut out, &held.comm, held.pid, &locks).expect("writing to a string does not fail");
        out
    }

    /// The chain that follows `parent` when `key` is taken.
    #[inline]
    fn chain(&mut self, parent: ChainId, key: LockKey) -> ChainId {
        let slot = parent.0.wrapping_mul(0x9e37_79b1) ^ key.bits().wrapping_mul(0x85eb_ca6b);
        let slot = (slot >> 16) as usize % CACHE_LINES;
        let line = &self.cache[slot];
        if line.parent == parent && line.key == key {
            return line.chain;
        }
        self.chain_uncached(slot, parent, key)
    }

    #[cold]
    fn chain_uncached(&mut self, slot: usize, parent: ChainId, key: LockKey) -> ChainId {
        let lockdep = &self.lockdep;
        let chain = *self.index.entry((parent, key)).or_insert_with(|| lockdep.chain(parent, key));
        if self.seen.len() <= chain.index() {
            self.seen.resize(chain.index() + 1, Seen::default());
            self.plans.resize_with(chain.index() + 1, || None);
        }
        self.cache[slot] = CacheLine { parent, key, chain };
        chain
    }

    /// The rest of [`Run::acquire`] for a chain that is new in this run.
    #[cold]
    fn acquire_new(&mut self, held: &mut Held, lock: HeldLock) -> Verdict {
        let verdict = self.meet(held, held.locks.len(), &lock, lock.site);
        self.seen[lock.chain.index()].acquisitions += 1;
        held.locks.push(lock);
        verdict
    }

    /// The first time in this run that `lock.chain` comes to be: `held.locks[..depth]`, then `lock`.
    fn meet(&mut self, held: &Held, depth: usize, lock: &HeldLock, site: Site) -> Verdict {
        let first = self.reports.len();
        self.seen[lock.chain.index()] = Seen { epoch: self.epoch, acquisitions: 0 };
        self.chains.push(lock.chain);
        self.mark_usage(lock);
        self.learn(lock.chain);
        if !self.must_validate(lock.chain) {
            return Verdict::Ok;
        }
        if let Some(prev) = self.plan(lock.chain).collision {
            let prev = held.locks[prev as usize];
            let detail = self.with_tables(|run, tables| Detail::Recursive {
                next: run.lock_text(tables, lock),
                prev: run.lock_text(tables, &prev),
            });
            self.report(held, depth, site, detail);
        }
        // A collision is a cycle of its own: there are no dependencies then, which would only repeat it.
        for i in 0..self.plan(lock.chain).dependencies.len() {
            let (at, edge, kind) = self.plan(lock.chain).dependencies[i];
            self.depend(held, depth, at as usize, edge, kind, lock, site);
        }
        self.verdict_since(first)
    }

    /// One dependency of a chain that is new in this run. Linux: `check_prev_add()`.
    #[expect(clippy::too_many_arguments, reason = "one step of a loop over a plan, called from there only")]
    fn depend(
        &mut self,
        held: &Held,
        depth: usize,
        at: usize,
        edge: EdgeId,
        kind: EdgeKind,
        next: &HeldLock,
        site: Site,
    ) {
        if self.graph.has(edge, kind) {
            return;
        }
        let prev = held.locks[at];
        let sites = DependencySites { held: prev.site, taken: next.site };
        let path = self.graph.closing_path(prev.class().0, kind, next.class().0);
        self.graph.add(edge, kind, sites);
        if let Some(path) = path {
            let steps: Vec<Step> = core::iter::once(Step { edge, kind }).chain(path).collect();
            let detail = self.with_tables(|run, tables| Detail::Circular {
                next: run.lock_text(tables, next),
                prev: run.lock_text(tables, &prev),
                cycle: steps.iter().map(|step| run.dependency(tables, *step)).collect(),
            });
            self.report(held, depth, site, detail);
        }
    }

    /// Whether a chain that is new in this run is validated. Linux: `lookup_chain_cache_add()`.
    fn must_validate(&mut self, chain: ChainId) -> bool {
        let plan = self.plan(chain);
        let (validates, at) = (plan.key.validates(), plan.kernel_chain.0 as usize);
        if !validates || self.validated[at].0 == self.epoch {
            return false;
        }
        self.validated[at] = (self.epoch, chain);
        true
    }

    /// Whether a chain of this run belongs to its set: validated, or with nothing to validate.
    fn counts(&self, chain: ChainId) -> bool {
        let plan = self.plan(chain);
        !plan.key.validates() || self.validated[plan.kernel_chain.0 as usize] == (self.epoch, chain)
    }

    /// Works out what a chain says, once per [`Run`] object.
    fn learn(&mut self, chain: ChainId) {
        if self.plans[chain.index()].is_some() {
            return;
        }
        let path = self.lockdep.tables.read().path(chain);
        let taken: Vec<Taken> = path.iter().map(|key| (key.class().0, key.how())).collect();
        let Some(((next, held), key)) = taken.split_last().zip(path.last()) else {
            unreachable!("the root is not a chain that anything completes")
        };
        let mut plan = Plan { key: *key, kernel_chain: self.kernel_chain(&path), ..Plan::default() };
        if key.validates() {
            plan.collision = collision(held, *next).map(|at| at as u32);
            if plan.collision.is_none() {
                plan.dependencies = dependencies(held, *next)
                    .map(|(at, kind)| (at as u32, self.graph.edge_id(held[at].0, next.0), kind))
                    .collect();
            }
        }
        self.plans[chain.index()] = Some(plan);
    }

    fn kernel_chain(&mut self, path: &[LockKey]) -> KernelChain {
        path.iter().fold(KernelChain::default(), |parent, key| {
            let new = KernelChain(self.validated.len() as u32);
            let id = *self.kernel_index.entry((parent, key.class(), key.read())).or_insert(new);
            if id == new {
                self.validated.push((0, ChainId::ROOT));
            }
            id
        })
    }

    fn plan(&self, chain: ChainId) -> &Plan {
        self.plans[chain.index()].as_ref().expect("a chain met in this run has a plan")
    }

    #[cold]
    fn release_inner(&mut self, held: &mut Held, class: Option<ClassId>, instance: u64, site: Site) -> Verdict {
        let Some(at) = held.position(instance) else {
            return self.imbalance(held, class, instance, site);
        };
        let first = self.reports.len();
        held.locks.remove(at);
        self.revalidate(held, at, site);
        self.verdict_since(first)
    }

    /// Gives the locks from depth `from` on their new chains, as if they were taken again. Linux: `reacquire_held_locks()`.
    fn revalidate(&mut self, held: &mut Held, from: usize, site: Site) {
        for at in from..held.locks.len() {
            let parent = match at {
                0 => ChainId::ROOT,
                _ => held.locks[at - 1].chain,
            };
            let chain = self.chain(parent, held.locks[at].key);
            held.locks[at].chain = chain;
            if self.seen[chain.index()].epoch != self.epoch {
                let lock = held.locks[at];
                let _ = self.meet(held, at, &lock, site);
            }
        }
    }

    #[cold]
    fn imbalance(&mut self, held: &Held, class: Option<ClassId>, instance: u64, site: Site) -> Verdict {
        let first = self.reports.len();
        let name = match class {
            Some(class) => self.lockdep.class_name(class),
            None => format!("{instance:016x}"),
        };
        self.report(held, held.locks.len(), site, Detail::UnlockBalance { name });
        self.verdict_since(first)
    }

    /// Keeps a report unless the run has it already; the task held `held.locks[..depth]`.
    fn report(&mut self, held: &Held, depth: usize, site: Site, detail: Detail) {
        let id = detail.id();
        if !self.reported.insert(id) {
            return;
        }
        let report = Report {
            kind: detail.kind(),
            id,
            comm: held.comm.clone(),
            pid: held.pid,
            site: site.into(),
            held: self.with_tables(|run, tables| run.held_texts(tables, &held.locks[..depth])),
            detail,
        };
        self.reports.push(report);
    }

    fn verdict_since(&self, first: usize) -> Verdict {
        match self.reports.len() {
            end if end == first => Verdict::Ok,
            end => Verdict::Reported { first: first as u32, end: end as u32 },
        }
    }

    fn mark_usage(&mut self, lock: &HeldLock) {
        let class = lock.class().0 as usize;
        if self.usage.len() <= class {
            self.usage.resize(class + 1, (0, Usage::default()));
        }
        let (epoch, usage) = &mut self.usage[class];
        if *epoch != self.epoch {
            (*epoch, *usage) = (self.epoch, Usage::default());
        }
        usage.mark(lock.how());
    }

    fn with_tables<T>(&self, f: impl FnOnce(&Self, &Tables) -> T) -> T {
        f(self, &self.lockdep.tables.read())
    }

    fn class_text(&self, tables: &Tables, class: u32) -> ClassText {
        let usage = match self.usage.get(class as usize) {
            Some((epoch, usage)) if *epoch == self.epoch => *usage,
            _ => Usage::default(),
        };
        ClassText::new(tables.class(class), usage)
    }

    fn lock_text(&self, tables: &Tables, lock: &HeldLock) -> LockText {
        LockText {
            instance: lock.instance,
            class: self.class_text(tables, lock.class().0),
            how: lock.how(),
            at: lock.site.into(),
        }
    }

    fn held_texts(&self, tables: &Tables, locks: &[HeldLock]) -> Vec<LockText> {
        locks.iter().map(|lock| self.lock_text(tables, lock)).collect()
    }

    fn dependency(&self, tables: &Tables, step: Step) -> Dependency {
        let slot = self.graph.slot(step.edge);
        let sites = slot.sites(step.kind).expect("a path uses kinds the graph has");
        Dependency {
            from: self.class_text(tables, slot.from),
            kind: step.kind,
            to: self.class_text(tables, slot.to),
            held_at: sites.held.into(),
            taken_at: sites.taken.into(),
        }
    }
}
