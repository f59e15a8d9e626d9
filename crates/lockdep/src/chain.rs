//! Chains: the sequences in which locks are held together.
//!
//! A chain is a node of a trie: the chain before it and one more [`LockKey`]. Everything the validator concludes about a
//! held stack is a function of its chain (which locks collide, which dependencies it contains), so a chain met before has
//! nothing new to say. The kernel hashes the same thing into a 64-bit key (`iterate_chain_key()`); a trie has no
//! collisions, and its nodes carry trylock and check too, which decide what dependencies the chain contains.

use serde::Serialize;

use crate::acquire::{Acquire, LockKey, Read};
use crate::class::Class;
use crate::context::Context;
use crate::usage::{Usage, UsageBit};

/// The number of an interned chain in one [`Run`](crate::Run).
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
    /// In what context.
    pub context: Context,
    /// Under a `nest_lock` that serialises locks of its class.
    pub nested: bool,
}

/// One lock of a chain with its class spelt out.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'c> {
    /// The class.
    pub class: &'c Class,
    /// How it was taken.
    pub how: Acquire,
    /// In what context.
    pub context: Context,
    /// Under a `nest_lock`.
    pub nested: bool,
}

impl<'c> From<(&'c Class, Acquire)> for Taken<'c> {
    /// In task context with interrupts enabled.
    fn from((class, how): (&'c Class, Acquire)) -> Self {
        Self { class, how, context: Context::TASK, nested: false }
    }
}

/// The chains that were met and the usage states of their classes, in a form that depends on names alone.
///
/// Two sets are equal exactly if the same chains were met, and the same states seen, in whatever order, by whatever number
/// of runs or explorers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ChainSet {
    classes: Vec<Class>,
    chains: Vec<Vec<Link>>,
    /// As long as `classes`.
    usages: Vec<u16>,
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

    /// The usage states of a class, by its index.
    #[must_use]
    pub fn usage(&self, class: u32) -> Usage {
        Usage(self.usages[class as usize])
    }

    /// Builds the canonical form: `paths` outermost lock first, `class_of` resolves a class number.
    pub(crate) fn from_paths<'c>(
        paths: &[Vec<LockKey>],
        usages: &[(u32, u16)],
        class_of: impl Fn(u32) -> &'c Class,
    ) -> Self {
        let taken = |key: &LockKey| Taken {
            class: class_of(key.class().0),
            how: key.how(),
            context: key.context(),
            nested: key.nested(),
        };
        Self::build(
            paths.iter().map(|path| path.iter().map(taken).collect()).collect(),
            usages.iter().map(|(class, usage)| (class_of(*class), *usage)).collect(),
        )
    }

    /// The union of two sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::build(
            self.resolved().chain(other.resolved()).collect(),
            self.class_usages().chain(other.class_usages()).collect(),
        )
    }

    /// Builds a set from chains given in full, outermost lock first, all in task context with interrupts enabled.
    ///
    /// The usage states are those that follow from that.
    #[must_use]
    pub fn from_chains(chains: Vec<Vec<(&Class, Acquire)>>) -> Self {
        Self::from_taken(chains.into_iter().map(|chain| chain.into_iter().map(Taken::from).collect()).collect())
    }

    /// Builds a set from chains given in full, outermost lock first.
    #[must_use]
    pub fn from_taken(chains: Vec<Vec<Taken<'_>>>) -> Self {
        let usages = chains.iter().flatten().map(|taken| (taken.class, implied(taken.how, taken.context))).collect();
        Self::build(chains, usages)
    }

    fn build(chains: Vec<Vec<Taken<'_>>>, marks: Vec<(&Class, u16)>) -> Self {
        let mut classes: Vec<&Class> =
            chains.iter().flatten().map(|taken| taken.class).chain(marks.iter().map(|(class, _)| *class)).collect();
        classes.sort_unstable();
        classes.dedup();
        let number = |class: &Class| classes.partition_point(|c| *c < class) as u32;
        let mut chains: Vec<Vec<Link>> = chains
            .into_iter()
            .filter(|chain| !chain.is_empty())
            .map(|chain| {
                let link = |taken: Taken<'_>| Link {
                    class: number(taken.class),
                    how: taken.how,
                    context: taken.context,
                    nested: taken.nested,
                };
                chain.into_iter().map(link).collect()
            })
            .collect();
        chains.sort_unstable();
        chains.dedup();
        let mut usages = vec![0; classes.len()];
        for (class, usage) in marks {
            usages[number(class) as usize] |= usage;
        }
        Self { classes: classes.into_iter().cloned().collect(), chains, usages }
    }

    /// The chains with their classes spelt out.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = Vec<Taken<'_>>> {
        let taken = |link: &Link| Taken {
            class: &self.classes[link.class as usize],
            how: link.how,
            context: link.context,
            nested: link.nested,
        };
        self.chains.iter().map(move |chain| chain.iter().map(taken).collect())
    }

    fn class_usages(&self) -> impl Iterator<Item = (&Class, u16)> {
        self.classes.iter().zip(self.usages.iter().copied())
    }
}

/// The usage states that taking a lock in a context means. Linux: `mark_usage()`.
pub(crate) const fn implied(how: Acquire, context: Context) -> u16 {
    let read = !matches!(how.read, Read::Exclusive);
    let mut marks = UsageBit::USED.of_reader(read).mask();
    if how.check && !how.trylock && context.hardirq() {
        marks |= UsageBit::IN_HARDIRQ.of_reader(read).mask();
    }
    if how.check && !how.trylock && context.softirq() {
        marks |= UsageBit::IN_SOFTIRQ.of_reader(read).mask();
    }
    if how.check && context.hardirqs_on() {
        marks |= UsageBit::HARDIRQ_ON.of_reader(read).mask();
        if context.softirqs_on() {
            marks |= UsageBit::SOFTIRQ_ON.of_reader(read).mask();
        }
    }
    marks
}
