//! [`Lockdep`]: what all runs of one explorer share.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;

use crate::acquire::LockKey;
use crate::chain::{ChainId, ChainSet};
use crate::class::{Class, ClassId, ClassSpec};
use crate::judge::{Judgement, judge};

/// The interner of classes and chains and the memory of verdicts, shared by all worlds of one explorer.
///
/// Locked only on cold paths: a class made, a chain no run of this [`Run`](crate::Run) met before, a report, a merge.
#[derive(Debug)]
pub struct Lockdep {
    pub(crate) tables: RwLock<Tables>,
    verdicts: Mutex<HashMap<ChainSet, Arc<Judgement>, FxBuildHasher>>,
    merged: Mutex<ChainSet>,
}

/// One interned chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) parent: ChainId,
    /// Its last lock.
    pub(crate) key: LockKey,
    /// The chain that stands for all which the kernel's key does not tell from this one: the one in which every lock is
    /// waited for and checked, in task context with interrupts enabled. Most chains are that themselves.
    pub(crate) kernel: ChainId,
}

/// The interned classes and chains. Both only grow.
#[derive(Debug)]
pub(crate) struct Tables {
    classes: Vec<Class>,
    class_index: HashMap<Class, ClassId, FxBuildHasher>,
    /// The root's own entry is never read, except that it is its own kernel chain.
    chains: Vec<Chain>,
    /// By the number of the chain before in the upper half, and the key.
    chain_index: HashMap<u64, ChainId, FxBuildHasher>,
}

impl Tables {
    pub(crate) fn class(&self, id: u32) -> &Class {
        &self.classes[id as usize]
    }

    /// The locks of a chain, outermost first.
    pub(crate) fn path(&self, mut chain: ChainId) -> Vec<LockKey> {
        let mut path = Vec::new();
        while chain != ChainId::ROOT {
            let node = self.chains[chain.index()];
            path.push(node.key);
            chain = node.parent;
        }
        path.reverse();
        path
    }

    fn add_class(&mut self, spec: &ClassSpec<'_>) -> ClassId {
        if let Some(id) = self.class_index.get(spec) {
            return *id;
        }
        assert!(self.classes.len() < LockKey::MAX_CLASSES, "more than {} lock classes", LockKey::MAX_CLASSES);
        let id = ClassId(self.classes.len() as u32);
        self.classes.push(spec.into());
        self.class_index.insert(spec.into(), id);
        id
    }

    fn add_chain(&mut self, parent: ChainId, key: LockKey) -> ChainId {
        let next = ChainId(u32::try_from(self.chains.len()).expect("fewer than 2^32 chains"));
        let id = *self.chain_index.entry(link(parent, key)).or_insert(next);
        if id == next {
            self.chains.push(Chain { parent, key, kernel: next });
            let (told, before) = (key.as_the_kernel_tells(), self.chains[parent.index()].kernel);
            if (told, before) != (key, parent) {
                self.chains[id.index()].kernel = self.add_chain(before, told);
            }
        }
        id
    }

    pub(crate) fn class_count(&self) -> usize {
        self.classes.len()
    }

    fn bytes(&self) -> usize {
        let names: usize = self.classes.iter().map(|class| 2 * class.name.len()).sum();
        self.classes.capacity() * size_of::<Class>() * 2
            + names
            + self.chains.capacity() * size_of::<Chain>()
            + self.chain_index.capacity() * 16
    }
}

/// A chain and what comes next, as one number.
pub(crate) const fn link(parent: ChainId, key: LockKey) -> u64 {
    (parent.0 as u64) << 32 | key.bits() as u64
}

impl Lockdep {
    /// An empty validator.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            tables: RwLock::new(Tables {
                classes: Vec::new(),
                class_index: HashMap::default(),
                chains: vec![Chain { parent: ChainId::ROOT, key: LockKey::default(), kernel: ChainId::ROOT }],
                chain_index: HashMap::default(),
            }),
            verdicts: Mutex::default(),
            merged: Mutex::default(),
        })
    }

    /// The class with this specification; the same specification always gives the same id.
    ///
    /// # Panics
    /// At the 1,048,577th class.
    pub fn class(&self, spec: &ClassSpec<'_>) -> ClassId {
        if let Some(id) = self.tables.read().class_index.get(spec) {
            return *id;
        }
        self.tables.write().add_class(spec)
    }

    /// The name as reports print it, with `/1` for subclass 1.
    #[must_use]
    pub fn class_name(&self, class: ClassId) -> String {
        self.tables.read().class(class.0).to_string()
    }

    /// All that [`Lockdep::class`] was told.
    #[must_use]
    pub fn class_info(&self, class: ClassId) -> Class {
        self.tables.read().class(class.0).clone()
    }

    /// The chain that follows `parent` when `key` is taken, made if need be.
    ///
    /// Asked once per chain and [`Run`](crate::Run) object, and usually for one that is new, hence the write lock at once.
    pub(crate) fn chain(&self, parent: ChainId, key: LockKey) -> (ChainId, ChainId) {
        let mut tables = self.tables.write();
        let id = tables.add_chain(parent, key);
        (id, tables.chains[id.index()].kernel)
    }

    pub(crate) fn chain_set(&self, chains: impl Iterator<Item = ChainId>, usages: &[(u32, u16)]) -> ChainSet {
        let tables = self.tables.read();
        let paths: Vec<Vec<LockKey>> = chains.map(|chain| tables.path(chain)).collect();
        ChainSet::from_paths(&paths, usages, |class| tables.class(class))
    }

    /// Bytes in use by classes and chains.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.tables.read().bytes()
    }

    /// What a set of chains contains: rebuilt from the set alone, remembered per set.
    pub fn judge(&self, chains: &ChainSet) -> Arc<Judgement> {
        if let Some(known) = self.verdicts.lock().get(chains) {
            return Arc::clone(known);
        }
        let verdict = Arc::new(judge(chains));
        self.verdicts.lock().entry(chains.clone()).or_insert(verdict).clone()
    }

    /// Adds a run's chains to the union over all runs.
    pub fn merge(&self, chains: &ChainSet) {
        let mut merged = self.merged.lock();
        *merged = merged.union(chains);
    }

    /// The union of all sets given to [`Lockdep::merge`]: it depends on what they are, not on when they came.
    #[must_use]
    pub fn merged(&self) -> ChainSet {
        self.merged.lock().clone()
    }
}
