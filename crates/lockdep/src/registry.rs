//! [`Lockdep`]: what all runs of one explorer share.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;

use crate::acquire::LockKey;
use crate::chain::ChainSet;
use crate::class::{Class, ClassId, ClassSpec};
use crate::judge::{Judgement, judge};

/// The interner of classes and the memory of verdicts, shared by all worlds of one explorer.
///
/// Locked only on cold paths: a class made or met for the first time by a [`Run`](crate::Run), a report, a merge.
#[derive(Debug)]
pub struct Lockdep {
    pub(crate) tables: RwLock<Tables>,
    verdicts: Mutex<HashMap<ChainSet, Arc<Judgement>, FxBuildHasher>>,
    merged: Mutex<ChainSet>,
}

/// The interned classes. They only grow.
#[derive(Debug)]
pub(crate) struct Tables {
    classes: Vec<Class>,
    class_index: HashMap<Class, ClassId, FxBuildHasher>,
}

impl Tables {
    pub(crate) fn class(&self, id: u32) -> &Class {
        &self.classes[id as usize]
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

    pub(crate) fn class_count(&self) -> usize {
        self.classes.len()
    }

    fn bytes(&self) -> usize {
        let names: usize = self.classes.iter().map(|class| 2 * class.name.len()).sum();
        self.classes.capacity() * size_of::<Class>() * 2 + names
    }
}

impl Lockdep {
    /// An empty validator.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            tables: RwLock::new(Tables { classes: Vec::new(), class_index: HashMap::default() }),
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

    pub(crate) fn chain_set(&self, paths: &[Vec<LockKey>], usages: &[(u32, u16)]) -> ChainSet {
        let tables = self.tables.read();
        ChainSet::from_paths(paths, usages, |class| tables.class(class))
    }

    /// Bytes in use by classes.
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
