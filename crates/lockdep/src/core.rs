//! The graph side of a run: everything behind the caches of `front.rs`.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use crate::acquire::{Acquire, LockKey, Read, Site};
use crate::chain::{ChainId, implied};
use crate::class::{ClassId, LockType};
use crate::context::Context;
use crate::front::Front;
use crate::graph::{Direction, EdgeId, EdgeKind, Graph, Step};
use crate::held::{Held, HeldLock};
use crate::mutant::Mutant;
use crate::registry::Lockdep;
use crate::report::{Detail, Report, ReportId};
use crate::run::Verdict;
use crate::sites::{SiteId, Sites};
use crate::usage::{Usage, UsageBit};

/// Where both ends of a dependency were taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DependencySites {
    pub(crate) held: Site,
    pub(crate) taken: Site,
}

/// What a run knows of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainInfo {
    pub(crate) key: LockKey,
    pub(crate) parent: ChainId,
    /// The chain that stands for all which the kernel's key does not tell from this one: the one in which every lock is
    /// waited for and checked, in task context with interrupts enabled. Most chains are that themselves.
    kernel: ChainId,
    /// Met in this run if this is the run's epoch.
    pub(crate) met: u32,
    /// As a kernel chain: validated in this epoch, and by which chain.
    validated: (u32, ChainId),
    /// Added to the union over all runs.
    pub(crate) merged: bool,
    /// The chain that first followed this one, and its last lock.
    first: (LockKey, ChainId),
}

/// What a run needs of a class at every new chain.
#[derive(Clone, Copy, Debug)]
struct ClassRow {
    inner: u8,
    outer: u8,
    wait_override: bool,
    skip: bool,
}

/// Numbers of a run that `/proc/lockdep_stats` has and nothing else needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) max_depth: usize,
    pub(crate) cyclic_checks: u64,
    pub(crate) zapped_classes: u64,
    pub(crate) zapped_chains: u64,
}

/// Usage states of a class, each with where it was first seen.
type UsageSites = SmallVec<[(u16, SiteId); 2]>;

/// The kinds of an edge, each with where both ends were taken when it was first seen.
type EdgeSites = SmallVec<[(EdgeKind, SiteId, SiteId); 1]>;

/// See the module.
#[derive(Debug)]
pub struct Core {
    pub(crate) lockdep: Arc<Lockdep>,
    /// invariant: never 0, so that what was never met is not met.
    pub(crate) epoch: u32,
    /// By class: the chain that first followed the chain of nothing with it.
    alone: Vec<(LockKey, ChainId)>,
    /// By [`link`]: which other chain follows.
    index: HashMap<u64, ChainId, FxBuildHasher>,
    /// By chain; `info[0]` is the chain of nothing.
    pub(crate) info: Vec<ChainInfo>,
    /// The chains met in this epoch, in order.
    pub(crate) chains: Vec<ChainId>,
    rows: Vec<ClassRow>,
    pub(crate) graph: Graph,
    /// By edge: where each kind was seen first.
    edge_sites: Vec<EdgeSites>,
    /// By class: the epoch, and where usage states were first seen.
    marks: Vec<(u32, UsageSites)>,
    sites: Sites,
    pub(crate) reports: Vec<Report>,
    reported: HashSet<ReportId, FxBuildHasher>,
    /// By class: usage states added to the union over all runs.
    merged_usage: Vec<u16>,
    pub(crate) counters: Counters,
}

/// No chain follows another as the chain of nothing.
const NO_CHAIN: (LockKey, ChainId) = (LockKey::NONE, ChainId::ROOT);

/// Of the chain of nothing.
const ROOT: ChainInfo = ChainInfo {
    key: LockKey::NONE,
    parent: ChainId::ROOT,
    kernel: ChainId::ROOT,
    met: 0,
    validated: (0, ChainId::ROOT),
    merged: false,
    first: NO_CHAIN,
};

impl Core {
    pub(crate) fn new(lockdep: Arc<Lockdep>) -> Self {
        Self {
            lockdep,
            epoch: 1,
            alone: Vec::new(),
            index: HashMap::default(),
            info: vec![ROOT],
            chains: Vec::new(),
            rows: Vec::new(),
            graph: Graph::new(),
            edge_sites: Vec::new(),
            sites: Sites::default(),
            marks: Vec::new(),
            reports: Vec::new(),
            reported: HashSet::default(),
            merged_usage: Vec::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.chains.clear();
        self.graph.clear();
        self.reports.clear();
        self.reported.clear();
        self.counters = Counters::default();
        self.next_epoch();
    }

    /// Makes every cache forget what was met.
    fn next_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.epoch = 1;
            for info in &mut self.info {
                (info.met, info.validated.0) = (0, 0);
            }
            self.marks.iter_mut().for_each(|mark| mark.0 = 0);
        }
    }

    /// The slow half of an acquisition.
    pub(crate) fn acquire(&mut self, front: &mut Front, held: &mut Held, lock: HeldLock) -> Verdict {
        let first = self.reports.len();
        if lock.key.in_nmi() {
            self.check_nmi(held, &lock);
        } else if let Some(chain) = self.push(front, held, lock, lock.site) {
            front.count(chain);
        }
        self.verdict_since(first)
    }

    /// Puts a lock on the stack, after whatever checks its chain still needs. Linux: `__lock_acquire()`.
    ///
    /// Returns its chain, or none if it was merged into the entry below.
    fn push(&mut self, front: &mut Front, held: &mut Held, mut lock: HeldLock, site: Site) -> Option<ChainId> {
        if lock.key.nested()
            && !front.switch.on(Mutant::NoReferenceMerging)
            && let Some(top) = held.locks.last_mut().filter(|top| top.class() == lock.class())
        {
            top.references = top.references.max(1) + lock.references.max(1);
            return None;
        }
        let parent = match held.locks.last() {
            Some(top) if front.switch.on(Mutant::ChainNotCutAtIrqContext) => top.chain,
            _ => held.parent(lock.key),
        };
        lock.chain = self.chain(front, parent, lock.key);
        if self.info[lock.chain.index()].met != self.epoch {
            self.meet(front, held, &lock, site);
        } else if lock.key.nested() {
            self.check_nest(front, held, &lock, site);
        }
        front.put(self.epoch, parent, lock.key, lock.chain);
        held.locks.push(lock);
        self.counters.max_depth = self.counters.max_depth.max(held.locks.len());
        Some(lock.chain)
    }

    /// Where the chain that first followed another is kept, so that most need no look into the index.
    fn first_after(&mut self, parent: ChainId, class: ClassId) -> &mut (LockKey, ChainId) {
        if parent != ChainId::ROOT {
            return &mut self.info[parent.index()].first;
        }
        let at = class.0 as usize;
        if self.alone.len() <= at {
            self.alone.resize(at + 1, NO_CHAIN);
        }
        &mut self.alone[at]
    }

    /// The chain that follows `parent` when `key` is taken, made if need be.
    fn chain(&mut self, front: &Front, parent: ChainId, key: LockKey) -> ChainId {
        let next = ChainId(u32::try_from(self.info.len()).expect("fewer than 2^32 chains"));
        let first = self.first_after(parent, key.class());
        if *first == NO_CHAIN {
            *first = (key, next);
        }
        let chain = match *first {
            (known, chain) if known == key => chain,
            _ => *self.index.entry(link(parent, key)).or_insert(next),
        };
        if chain == next {
            self.info.push(ChainInfo { key, parent, kernel: next, ..ROOT });
            let mut told = key.as_the_kernel_tells();
            if front.switch.on(Mutant::ChainKeyIgnoresRead) {
                told = LockKey::of(key.class().0, Acquire::exclusive(), Context::TASK, false);
            }
            let before = self.info[parent.index()].kernel;
            if (told, before) != (key, parent) {
                self.info[chain.index()].kernel = self.chain(front, before, told);
            }
        }
        chain
    }

    /// The chain that follows, if it was met in this run.
    pub(crate) fn known(&mut self, parent: ChainId, key: LockKey) -> Option<ChainId> {
        let chain = match *self.first_after(parent, key.class()) {
            (known, chain) if known == key && chain != ChainId::ROOT => chain,
            _ => *self.index.get(&link(parent, key))?,
        };
        (self.info[chain.index()].met == self.epoch).then_some(chain)
    }

    /// The first time in this run that `lock.chain` comes to be. The task holds `held`, and is about to take `lock`.
    fn meet(&mut self, front: &mut Front, held: &Held, lock: &HeldLock, site: Site) {
        self.info[lock.chain.index()].met = self.epoch;
        self.chains.push(lock.chain);
        self.learn_class(lock.class());
        self.check_wait_context(front, held, lock, site);
        let mut how = lock.how();
        how.trylock &= !front.switch.on(Mutant::TrylockAddsDependencies);
        self.mark_all(front, held, lock, implied(how, lock.context()), site);
        if lock.key.nested() {
            self.check_nest(front, held, lock, site);
        }
        if self.must_validate(front, lock) {
            self.validate(front, held, lock, site);
        }
    }

    fn learn_class(&mut self, class: ClassId) {
        if self.rows.len() <= class.0 as usize {
            self.learn_classes();
        }
        if self.rows[class.0 as usize].skip && self.graph.usage(class.0).0 == 0 {
            self.graph.set_skip(class.0);
        }
    }

    /// Copies what is new of the classes, and makes room for what comes with them: chains, and at least a dependency each.
    #[cold]
    fn learn_classes(&mut self) {
        let tables = self.lockdep.tables.read();
        for number in self.rows.len()..tables.class_count() {
            let class = tables.class(number as u32);
            let inner = class.wait_inner as u8;
            self.rows.push(ClassRow {
                inner,
                outer: if class.wait_outer as u8 == 0 { inner } else { class.wait_outer as u8 },
                wait_override: class.lock_type == LockType::WaitOverride,
                skip: class.skipped_in_irq_searches(),
            });
        }
        drop(tables);
        let classes = self.rows.len();
        self.graph.reserve(classes);
        self.marks.reserve(classes.saturating_sub(self.marks.len()));
        self.edge_sites.reserve(classes.saturating_sub(self.edge_sites.len()));
        let chains = CHAINS_PER_CLASS * classes;
        self.info.reserve(chains.saturating_sub(self.info.len()));
        // Half of them come first after their parent, which needs no index.
        self.index.reserve((chains / 2).saturating_sub(self.index.len()));
        self.alone.reserve(classes.saturating_sub(self.alone.len()));
    }

    /// Linux: `check_wait_context()`.
    fn check_wait_context(&mut self, front: &Front, held: &Held, lock: &HeldLock, site: Site) {
        let row = self.rows[lock.class().0 as usize];
        if row.inner == 0 || lock.trylock() {
            return;
        }
        let outer = if front.switch.on(Mutant::WaitOuterIgnored) { row.inner } else { row.outer };
        let context = lock.context();
        let context = match context.wait_type() {
            3 if context.hardirq() && front.switch.on(Mutant::ThreadedHardirqNotTold) => 2,
            n => n,
        };
        let across = front.switch.on(Mutant::WaitTypesLookAcrossIrqContexts);
        let above = held.locks.iter().rev().take_while(|prev| across || prev.key.same_irq(lock.key)).count();
        let allowed = held.locks[held.locks.len() - above..].iter().fold(context, |allowed, prev| {
            match self.rows[prev.class().0 as usize] {
                ClassRow { inner: 0, .. } => allowed,
                ClassRow { inner, wait_override: true, .. } => inner,
                ClassRow { inner, .. } => allowed.min(inner),
            }
        });
        if outer > allowed {
            let lock = self.with_tables(|core, tables| core.lock_text(tables, lock));
            self.report(held, site, Detail::InvalidWaitContext { lock, context });
        }
    }

    /// Brings a lock's class into usage states. Linux: `mark_usage()`.
    fn mark_all(&mut self, front: &mut Front, held: &Held, lock: &HeldLock, bits: u16, site: Site) {
        let class = lock.class().0;
        let before = self.graph.usage(class).0;
        let new = bits & !before;
        if new == 0 {
            return;
        }
        // What conflicts with none of all that lies on either side needs no look at each: nearly always.
        let around = before | bits | self.graph.usage_ahead(class, false) | self.graph.usage_back(class, false);
        if Usage::opposed(new) & around == 0 && !front.switch.searches_plainly() {
            self.graph.mark(class, new);
            self.remember_mark(class, new, site);
            return;
        }
        // The kernel's order: first what it is used in, then what it is used with.
        for bit in Usage(new & Usage::USED_IN).bits().chain(Usage(new & !Usage::USED_IN).bits()) {
            self.mark(front, held, lock, bit, site);
        }
    }

    /// Brings a lock's class into a usage state. Linux: `mark_lock()`.
    pub(crate) fn mark(&mut self, front: &mut Front, held: &Held, lock: &HeldLock, bit: UsageBit, site: Site) {
        let class = lock.class().0;
        front.know(self.epoch, lock.class(), bit);
        let before = self.graph.usage(class);
        if before.contains(bit) {
            return;
        }
        self.graph.mark(class, bit.mask());
        self.remember_mark(class, bit.mask(), site);
        if bit.0 >= UsageBit::USED.0 {
            return;
        }
        let write = bit.exclusive();
        let conflict = if before.contains(write) {
            Some(write)
        } else {
            Some(write.of_reader(true)).filter(|read| !bit.is_read() && before.contains(*read))
        };
        if let Some(old) = conflict {
            let detail = self.inconsistent(held, lock, old, bit);
            self.report(held, site, detail);
        } else if !front.switch.on(Mutant::NoSearchOnNewUsageBit) {
            self.check_inversion(front, held, lock, bit, site);
        }
    }

    fn remember_mark(&mut self, class: u32, bits: u16, site: Site) {
        let at = class as usize;
        if self.marks.len() <= at {
            self.marks.resize_with(at + 1, || (0, SmallVec::new()));
        }
        let site = self.sites.id(site);
        let (epoch, marks) = &mut self.marks[at];
        if *epoch != self.epoch {
            *epoch = self.epoch;
            marks.clear();
        }
        // One acquisition usually brings several states at once: they share an entry.
        match marks.last_mut() {
            Some((mask, last)) if *last == site => *mask |= bits,
            _ => marks.push((bits, site)),
        }
    }

    /// Where a class came into a state.
    pub(crate) fn mark_site(&self, class: u32, bit: UsageBit) -> Option<Site> {
        let (epoch, marks) = self.marks.get(class as usize)?;
        marks
            .iter()
            .find(|(mask, _)| *epoch == self.epoch && mask & bit.mask() != 0)
            .map(|(_, site)| self.sites.get(*site))
    }

    /// Looks for the conflicting state at the other end of a path: behind a class newly used in irq, before one newly used
    /// with irqs enabled. Linux: `check_usage_forwards()`, `check_usage_backwards()`.
    fn check_inversion(&mut self, front: &Front, held: &Held, lock: &HeldLock, bit: UsageBit, site: Site) {
        let write = bit.exclusive();
        let mask = write.mask() | write.of_reader(true).mask();
        let class = lock.class().0;
        let (direction, only_xr) = match bit.is_enabled() {
            true => (Direction::Backward, lock.read() != Read::Exclusive),
            false => (Direction::Forward, lock.read() == Read::Recursive),
        };
        let there = match direction {
            Direction::Forward => self.graph.usage_ahead(class, only_xr),
            Direction::Backward => self.graph.usage_back(class, only_xr),
        };
        if there & mask == 0 && !front.switch.searches_plainly() {
            return;
        }
        let Some((path, other)) = self.graph.usage_path(direction, class, only_xr, mask) else { return };
        let other_bit = if self.graph.usage(other).contains(write) { write } else { write.of_reader(true) };
        let detail = self.inversion(front, lock, bit, other_bit, direction == Direction::Forward, &path);
        self.report(held, site, detail);
    }

    /// What serialises it must be held. Linux: `__lock_acquire()`, `__lock_is_held()`, `match_held_lock()`.
    fn check_nest(&mut self, front: &Front, held: &Held, lock: &HeldLock, site: Site) {
        let nest = lock.nest();
        if front.switch.on(Mutant::NestLockNotHeldUnchecked) {
            return;
        }
        let sought = self.is_sought(nest.class);
        for entry in &held.locks {
            if entry.instance == nest.instance {
                return;
            }
            if sought && entry.references > 0 {
                if !entry.key.nested() {
                    return self.merged_without_nest(held, site);
                }
                if nest.class == Some(entry.class()) {
                    return;
                }
            }
        }
        let detail = self.nest_not_held(lock);
        self.report(held, site, detail);
    }

    /// Whether a class is looked for among merged locks: not one that nothing was ever taken of.
    fn is_sought(&self, class: Option<ClassId>) -> bool {
        class.is_some_and(|class| self.graph.usage(class.0).0 != 0)
    }

    /// A lock was merged into an entry that has no `nest_lock` itself, and is now looked for there.
    fn merged_without_nest(&mut self, held: &Held, site: Site) {
        self.report(held, site, Detail::DebugLocks { condition: "DEBUG_LOCKS_WARN_ON(!hlock->nest_lock)" });
    }

    /// Whether a chain that is new in this run is validated. Linux: `lookup_chain_cache_add()`.
    fn must_validate(&mut self, front: &Front, lock: &HeldLock) -> bool {
        let validates = lock.key.check() && (!lock.trylock() || front.switch.on(Mutant::TrylockAddsDependencies))
            || front.switch.on(Mutant::UncheckedLocksCreateDependencies) && !lock.trylock();
        let kernel = self.info[lock.chain.index()].kernel.index();
        if !validates || self.info[kernel].validated.0 == self.epoch {
            return false;
        }
        self.info[kernel].validated = (self.epoch, lock.chain);
        true
    }

    /// Whether a chain of this run belongs to its set: validated, or with nothing to validate.
    pub(crate) fn counts(&self, chain: ChainId) -> bool {
        let info = &self.info[chain.index()];
        !info.key.validates() || self.info[info.kernel.index()].validated == (self.epoch, chain)
    }

    /// The same-class rule and the dependencies. Linux: `validate_chain()`.
    fn validate(&mut self, front: &mut Front, held: &Held, lock: &HeldLock, site: Site) {
        match self.collision(front, held, lock) {
            Collision::None => {}
            // No dependency within one class, or serialised by the lock that nests it: nothing new further out either.
            Collision::Excused => return,
            Collision::With(at) => {
                let prev = held.locks[at];
                let detail = self.with_tables(|core, tables| Detail::Recursive {
                    next: core.lock_text(tables, lock),
                    prev: core.lock_text(tables, &prev),
                });
                // A collision is a cycle of its own: dependencies would only repeat it.
                return self.report(held, site, detail);
            }
        }
        let uncut = front.switch.on(Mutant::ChainNotCutAtIrqContext);
        for at in (0..held.locks.len()).rev() {
            let prev = held.locks[at];
            if !uncut && !prev.key.same_irq(lock.key) {
                break;
            }
            if prev.key.check() || front.switch.on(Mutant::UncheckedLocksCreateDependencies) {
                self.depend(front, held, &prev, lock, site);
                if !prev.trylock() || front.switch.on(Mutant::OnlyThePreviousLockGetsAnEdge) {
                    break;
                }
            }
        }
    }

    /// Linux: `check_deadlock()`.
    fn collision(&self, front: &Front, held: &Held, lock: &HeldLock) -> Collision {
        let mut excused = false;
        for (at, prev) in held.locks.iter().enumerate() {
            excused |= lock.key.nested() && prev.instance == lock.nest;
            let both_read = lock.read() == Read::Recursive && prev.read() != Read::Exclusive;
            if prev.class() == lock.class() && !both_read {
                let excused = excused && !front.switch.on(Mutant::NestLockDoesNotExcuse);
                return if excused { Collision::Excused } else { Collision::With(at) };
            }
        }
        Collision::None
    }

    /// One dependency of a chain that is new in this run. Linux: `check_prev_add()`.
    fn depend(&mut self, front: &Front, held: &Held, prev: &HeldLock, next: &HeldLock, site: Site) {
        let kind = EdgeKind::between(prev.read(), next.read());
        let (from, to) = (prev.class().0, next.class().0);
        let edge = self.graph.edge_id(from, to);
        if self.graph.kinds(edge).contains(kind) {
            return;
        }
        self.counters.cyclic_checks += 1;
        let unsafe_order = self.unsafe_order(front, prev, next);
        let (held_at, taken_at) = (self.sites.id(prev.site), self.sites.id(next.site));
        if self.edge_sites.len() <= edge.index() {
            self.edge_sites.resize_with(edge.index() + 1, SmallVec::new);
        }
        if self.graph.add(edge, kind) {
            self.edge_sites[edge.index()].clear();
        }
        self.edge_sites[edge.index()].push((kind, held_at, taken_at));
        let plainly = front.switch.searches_plainly();
        if (plainly || self.graph.on_a_cycle(from, kind, to))
            && let Some(path) = self.graph.closing_path(from, kind, to)
        {
            let steps: Vec<Step> = core::iter::once(Step { edge, kind }).chain(path).collect();
            let detail = self.with_tables(|core, tables| Detail::Circular {
                next: core.lock_text(tables, next),
                prev: core.lock_text(tables, prev),
                cycle: steps.iter().map(|step| core.dependency(tables, *step)).collect(),
            });
            self.report(held, site, detail);
        }
        if let Some(found) = unsafe_order {
            let detail = self.irq_unsafe(front, held, prev, next, Step { edge, kind }, &found);
            self.report(held, site, detail);
        }
    }

    /// Whether `prev -> next` leads from a class used in irq to one used with irqs enabled. Linux: `check_irq_usage()`.
    fn unsafe_order(&mut self, front: &Front, prev: &HeldLock, next: &HeldLock) -> Option<UnsafeOrder> {
        if front.switch.on(Mutant::NoSafeToUnsafeCheckOnNewEdge) {
            return None;
        }
        let (shared, only_xr) = (prev.read() != Read::Exclusive, next.read() == Read::Recursive);
        let (from, to) = (prev.class().0, next.class().0);
        let plainly = front.switch.searches_plainly();
        let used = if plainly { self.graph.gather_back(from, shared) } else { self.graph.usage_back(from, shared) };
        if used == 0 {
            return None;
        }
        let wanted = Usage::opposed(used);
        if !plainly && self.graph.usage_ahead(to, only_xr) & wanted == 0 {
            return None;
        }
        let (behind, unsafe_class) = self.graph.usage_path(Direction::Forward, to, only_xr, wanted)?;
        let wanted = Usage::opposed(self.graph.usage(unsafe_class).0 & Usage::ENABLED);
        let (before, safe_class) = self.graph.usage_path(Direction::Backward, from, shared, wanted)?;
        let (safe_bit, unsafe_bit) = self.graph.usage(safe_class).first_conflict(self.graph.usage(unsafe_class))?;
        Some(UnsafeOrder { before, safe_bit, behind, unsafe_bit })
    }

    /// Where a kind of an edge was first seen.
    pub(crate) fn edge_sites(&self, step: Step) -> DependencySites {
        self.seen(step.edge)
            .find(|(kind, _)| *kind == step.kind)
            .map(|(_, sites)| sites)
            .expect("a path uses kinds that were seen")
    }

    /// All that was seen of an edge.
    pub(crate) fn seen(&self, edge: EdgeId) -> impl Iterator<Item = (EdgeKind, DependencySites)> {
        let sites = |(kind, held, taken): &(EdgeKind, SiteId, SiteId)| {
            (*kind, DependencySites { held: self.sites.get(*held), taken: self.sites.get(*taken) })
        };
        self.edge_sites[edge.index()].iter().map(sites)
    }

    /// A lock that is waited for in an NMI deadlocks with any use outside: nothing else is looked at, and nothing is held.
    /// Linux: `verify_lock_unused()`.
    fn check_nmi(&mut self, held: &Held, lock: &HeldLock) {
        if lock.trylock() {
            return;
        }
        let mut mask = UsageBit::USED.mask();
        if lock.read() == Read::Exclusive {
            mask |= UsageBit::USED_READ.mask();
        }
        if self.graph.usage(lock.class().0).0 & mask != 0 {
            let detail = self.inconsistent(held, lock, UsageBit::USED, UsageBit(10));
            self.report(held, lock.site, detail);
        }
    }

    /// Takes out the entry at depth `at`, and validates what is above it as if it were taken again, in the task's present
    /// context but with hardirqs as they were. Linux: `reacquire_held_locks()`.
    pub(crate) fn remove(&mut self, front: &mut Front, held: &mut Held, at: usize, site: Site) {
        held.locks.remove(at);
        if !front.switch.on(Mutant::OutOfOrderReleaseDoesNotRevalidate) {
            self.retake(front, held, at, site);
        }
    }

    /// Takes the entries from depth `from` on again.
    pub(crate) fn retake(&mut self, front: &mut Front, held: &mut Held, from: usize, site: Site) {
        let again: SmallVec<[HeldLock; 16]> = held.locks.drain(from..).collect();
        for mut lock in again {
            lock.key = lock.key.moved_to(held.bits);
            self.push(front, held, lock, site);
        }
    }

    /// The entry that stands for a lock, as `find_held_lock()` searches: innermost first, never past the irq context.
    pub(crate) fn position(
        &mut self,
        front: &Front,
        held: &Held,
        class: Option<ClassId>,
        instance: u64,
        site: Site,
    ) -> Option<usize> {
        let past = front.switch.on(Mutant::ReleaseSearchesPastIrqContext);
        let top = held.locks.last()?.key;
        let searched = held.locks.iter().rev().take_while(|lock| past || lock.key.same_irq(top)).count();
        for at in (held.locks.len() - searched..held.locks.len()).rev() {
            let lock = &held.locks[at];
            if lock.instance != instance && lock.references > 0 && !lock.key.nested() && self.is_sought(class) {
                self.merged_without_nest(held, site);
            }
            if lock.matches(instance, class) {
                return Some(at);
            }
        }
        None
    }

    /// Keeps a report unless the run has it already.
    pub(crate) fn report(&mut self, held: &Held, site: Site, detail: Detail) {
        let locks = self.with_tables(|core, tables| core.held_texts(tables, &held.locks));
        let site = site.into();
        let id = detail.id(&locks, &site);
        if !self.reported.insert(id) {
            return;
        }
        self.reports.push(Report {
            kind: detail.kind(),
            id,
            comm: held.comm.clone(),
            pid: held.pid,
            site,
            held: locks,
            detail,
        });
    }

    pub(crate) fn verdict_since(&self, first: usize) -> Verdict {
        match self.reports.len() {
            end if end == first => Verdict::Ok,
            end => Verdict::Reported { first: first as u32, end: end as u32 },
        }
    }

    /// Forgets a class: its dependencies, usage states and chains. Linux: `lockdep_unregister_key()`.
    pub(crate) fn unregister(&mut self, class: ClassId) -> Unregistered {
        let chains = self.chains.len();
        let kept: Vec<(ChainId, (u32, ChainId))> = self
            .chains
            .iter()
            .filter(|chain| !self.path(**chain).iter().any(|key| key.class() == class))
            .map(|chain| (*chain, self.info[self.info[chain.index()].kernel.index()].validated))
            .collect();
        let marks = self.marks.clone();
        let old = self.epoch;
        let edges = self.graph.remove_class(class.0);
        self.next_epoch();
        for (at, (epoch, mark)) in marks.into_iter().enumerate() {
            if epoch == old && at != class.0 as usize {
                self.marks[at] = (self.epoch, mark);
            }
        }
        self.chains = kept.iter().map(|(chain, _)| *chain).collect();
        for (chain, validated) in kept {
            self.info[chain.index()].met = self.epoch;
            if validated == (old, chain) {
                let kernel = self.info[chain.index()].kernel.index();
                self.info[kernel].validated = (self.epoch, chain);
            }
        }
        let gone = Unregistered { dependencies: edges, chains: chains - self.chains.len() };
        self.counters.zapped_classes += 1;
        self.counters.zapped_chains += gone.chains as u64;
        gone
    }

    pub(crate) fn merged_usage(&self, class: u32) -> u16 {
        self.merged_usage.get(class as usize).copied().unwrap_or_default()
    }

    pub(crate) fn note_merged_usage(&mut self, class: u32, usage: u16) {
        if self.merged_usage.len() <= class as usize {
            self.merged_usage.resize(class as usize + 1, 0);
        }
        self.merged_usage[class as usize] |= usage;
    }

    /// The keys of a chain met in this run, innermost first.
    pub(crate) fn path(&self, mut chain: ChainId) -> SmallVec<[LockKey; 16]> {
        let mut path = SmallVec::new();
        while chain != ChainId::ROOT {
            let info = &self.info[chain.index()];
            path.push(info.key);
            chain = info.parent;
        }
        path
    }

    pub(crate) fn bytes(&self) -> usize {
        let marks = |(_, marks): &(u32, UsageSites)| {
            if marks.spilled() { marks.capacity() * size_of::<(u16, SiteId)>() } else { 0 }
        };
        self.graph.bytes()
            + self.index.capacity() * 16
            + self.alone.capacity() * 8
            + self.info.capacity() * size_of::<ChainInfo>()
            + self.chains.capacity() * 4
            + self.rows.capacity() * size_of::<ClassRow>()
            + self.edge_sites.capacity() * size_of::<EdgeSites>()
            + self.sites.bytes()
            + self.marks.capacity() * size_of::<(u32, UsageSites)>()
            + self.marks.iter().map(marks).sum::<usize>()
    }
}

/// How many chains there is room for at once: as many as the kernel's tables have for each of its classes
/// (`MAX_LOCKDEP_CHAINS` and `MAX_LOCKDEP_KEYS`). Room that is not used costs addresses, not memory.
const CHAINS_PER_CLASS: usize = 8;

/// A chain and what comes next, as one number.
const fn link(parent: ChainId, key: LockKey) -> u64 {
    (parent.0 as u64) << 32 | key.bits() as u64
}

/// What [`Core::collision`] found.
enum Collision {
    None,
    Excused,
    With(usize),
}

/// A dependency that would join an irq-safe class to an irq-unsafe one.
#[derive(Debug)]
pub(crate) struct UnsafeOrder {
    /// From the held lock back to the safe class.
    pub(crate) before: Vec<Step>,
    pub(crate) safe_bit: UsageBit,
    /// From the wanted lock on to the unsafe class.
    pub(crate) behind: Vec<Step>,
    pub(crate) unsafe_bit: UsageBit,
}

/// What went with a class that was unregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unregistered {
    /// Dependencies to and from it.
    pub dependencies: usize,
    /// Chains it was in.
    pub chains: usize,
}
