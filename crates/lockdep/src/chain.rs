//! Chains: the sequences in which locks are held together.
//!
//! A chain is a node of a trie: the chain before it and one more [`LockKey`]. Everything the validator concludes about a
//! held stack is a function of its chain (which locks collide, which dependencies it contains), so a chain met before has
//! nothing new to say. The kernel hashes the same thing into a 64-bit key (`iterate_chain_key()`); a trie has no
//! collisions, and its nodes carry trylock and check too, which decide what dependencies the chain contains.

use serde::Serialize;

use crate::acquire::{Acquire, LockKey};
use crate::class::Class;

/// The number of an interned chain in one [`Lockdep`](crate::Lockdep).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChainId(pub(crate) u32);

impl ChainId {
    /// Nothing held. (Where contexts nest, each begins its chain here again.)
    pub(crate) const ROOT: Self = Self(0);

    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One lock of a chain in a [`ChainSet`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Link {
    /// Index into [`ChainSet::classes`].
    pub class: u32,
    /// How it was taken.
    pub how: Acquire,
}

/// The chains that were met, in a form that depends on names alone.
///
/// Two sets are equal exactly if the same chains were met, in whatever order, by whatever number of runs or explorers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ChainSet {
    classes: Vec<Class>,
    chains: Vec<Vec<Link>>,
}

impl ChainSet {
    /// The classes the chains use, sorted: a [`Link`] counts in them.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The chains, sorted. One that is the beginning of another is implied by it and not listed.
    #[must_use]
    pub fn chains(&self) -> &[Vec<Link>] {
        &self.chains
    }

    /// Builds the canonical form: `paths` outermost lock first, `class_of` resolves a class number.
    pub(crate) fn from_paths<'c>(paths: &[Vec<LockKey>], class_of: impl Fn(u32) -> &'c Class) -> Self {
        Self::from_chains(
            paths.iter().map(|path| path.iter().map(|key| (class_of(key.class().0), key.how())).collect()).collect(),
        )
    }

    /// The union of two sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_chains(self.resolved().chain(other.resolved()).collect())
    }

    /// Builds a set from chains given in full, outermost lock first.
    #[must_use]
    pub fn from_chains(chains: Vec<Vec<(&Class, Acquire)>>) -> Self {
        let mut classes: Vec<&Class> = chains.iter().flatten().map(|(class, _)| *class).collect();
        classes.sort_unstable();
        classes.dedup();
        let number = |class: &Class| classes.partition_point(|c| *c < class) as u32;
        let mut chains: Vec<Vec<Link>> = chains
            .into_iter()
            .filter(|chain| !chain.is_empty())
            .map(|chain| chain.into_iter().map(|(class, how)| Link { class: number(class), how }).collect())
            .collect();
        chains.sort_unstable();
        chains.dedup();
        Self { classes: classes.into_iter().cloned().collect(), chains }
    }

    /// The chains with their classes spelt out.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = Vec<(&Class, Acquire)>> {
        self.chains
            .iter()
            .map(|chain| chain.iter().map(|link| (&self.classes[link.class as usize], link.how)).collect())
    }
}
