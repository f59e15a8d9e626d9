//! A table of things by id, in order of first sight: what oracles keep must never be iterated in hash order.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use std::hash::Hash;

pub(crate) type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// Rows by key; a row's index is stable until the reset.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    index: Map<K, u32>,
    rows: Vec<V>,
    last: Option<(K, u32)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { index: Map::default(), rows: Vec::new(), last: None }
    }
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(crate) fn find(&self, key: K) -> Option<u32> {
        match self.last {
            Some((k, i)) if k == key => Some(i),
            _ => self.index.get(&key).copied(),
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.find(key).map(|i| &self.rows[i as usize])
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.find(key).map(|i| &mut self.rows[i as usize])
    }

    /// The row of `key`, made by `new` when there is none.
    pub(crate) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> (u32, &mut V) {
        let i = self.find(key).unwrap_or_else(|| {
            let i = self.rows.len() as u32;
            self.rows.push(new());
            self.index.insert(key, i);
            i
        });
        // Events come in bursts of one key.
        self.last = Some((key, i));
        (i, &mut self.rows[i as usize])
    }

    /// The keys that are `wanted`, in order of their rows.
    pub(crate) fn keys(&self, wanted: impl Fn(&K) -> bool) -> Vec<K> {
        let mut found: Vec<(u32, K)> = self.index.iter().filter(|(k, _)| wanted(k)).map(|(k, i)| (*i, *k)).collect();
        found.sort_unstable_by_key(|(i, _)| *i);
        found.into_iter().map(|(_, key)| key).collect()
    }

    pub(crate) fn row(&self, i: u32) -> &V {
        &self.rows[i as usize]
    }

    pub(crate) fn row_mut(&mut self, i: u32) -> &mut V {
        &mut self.rows[i as usize]
    }

    pub(crate) fn rows(&self) -> &[V] {
        &self.rows
    }

    pub(crate) fn rows_mut(&mut self) -> &mut [V] {
        &mut self.rows
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.rows.clear();
        self.last = None;
    }
}
