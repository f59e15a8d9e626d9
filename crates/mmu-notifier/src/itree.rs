//! An interval tree: which of many page ranges overlap a given one.
//!
//! A treap in a slab, ordered by first page (equal ones by age, so that a query meets them as the kernel's
//! `interval_tree_insert()` would), each node with the greatest end below it. Priorities are a hash of the node's age, so
//! that the shape depends on nothing but the operations.
//!
//! A query visits O(log n + k) nodes when the k ranges it meets neighbour each other in order of first page; ranges that
//! nest deeply cost up to O(log n) each, as in the kernel's tree.

use mm_types::{PageRange, Vpn};
use slab::Slab;

/// Page ranges with a value each.
pub(crate) struct IntervalTree<T> {
    nodes: Slab<Node<T>>,
    root: Link,
    /// Ages given out.
    born: u64,
}

type Link = Option<usize>;

struct Node<T> {
    pages: PageRange,
    // invariant: all values are distinct
    age: u64,
    priority: u64,
    /// Greatest end of this node and all below it.
    max_end: Vpn,
    left: Link,
    right: Link,
    value: T,
}

impl<T> Default for IntervalTree<T> {
    fn default() -> Self {
        IntervalTree { nodes: Slab::new(), root: None, born: 0 }
    }
}

impl<T> IntervalTree<T> {
    /// Adds `pages` and returns the key to remove it by.
    pub(crate) fn insert(&mut self, pages: PageRange, value: T) -> usize {
        self.born += 1;
        let age = self.born;
        let node = Node { pages, age, priority: splitmix64(age), max_end: pages.end(), left: None, right: None, value };
        let key = self.nodes.insert(node);
        let (left, right) = self.split(self.root, (pages.start(), age));
        let left = self.merge(left, Some(key));
        self.root = self.merge(left, right);
        key
    }

    /// Removes what [`IntervalTree::insert`] returned `key` for.
    ///
    /// # Panics
    /// If it is not in the tree.
    pub(crate) fn remove(&mut self, key: usize) -> T {
        let at = (self.nodes[key].pages.start(), self.nodes[key].age);
        let (left, rest) = self.split(self.root, at);
        // `split` puts what is not below `at` to the right, so the node is the least of `rest`.
        let (own, right) = self.split(rest, (at.0, at.1 + 1));
        debug_assert_eq!(own, Some(key));
        self.root = self.merge(left, right);
        self.nodes.remove(key).value
    }

    /// Calls `f` with each value whose pages overlap `pages`, in order of first page.
    pub(crate) fn for_each_overlap<'a>(&'a self, pages: PageRange, mut f: impl FnMut(&'a T)) {
        self.visit(self.root, pages, &mut f);
    }

    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
        self.root = None;
    }

    fn visit<'a>(&'a self, at: Link, pages: PageRange, f: &mut impl FnMut(&'a T)) {
        let Some(at) = at else { return };
        let node = &self.nodes[at];
        if node.max_end <= pages.start() {
            return;
        }
        self.visit(node.left, pages, f);
        if node.pages.start() >= pages.end() {
            return;
        }
        if node.pages.end() > pages.start() {
            f(&node.value);
        }
        self.visit(node.right, pages, f);
    }

    /// The subtree `at` in two: nodes below `key`, and the others.
    fn split(&mut self, at: Link, key: (Vpn, u64)) -> (Link, Link) {
        let Some(n) = at else { return (None, None) };
        if (self.nodes[n].pages.start(), self.nodes[n].age) < key {
            let (middle, right) = self.split(self.nodes[n].right, key);
            self.nodes[n].right = middle;
            self.update(n);
            (Some(n), right)
        } else {
            let (left, middle) = self.split(self.nodes[n].left, key);
            self.nodes[n].left = middle;
            self.update(n);
            (left, Some(n))
        }
    }

    /// Two subtrees in one; every node of `left` is below every node of `right`.
    fn merge(&mut self, left: Link, right: Link) -> Link {
        let (Some(l), Some(r)) = (left, right) else { return left.or(right) };
        if self.nodes[l].priority > self.nodes[r].priority {
            let merged = self.merge(self.nodes[l].right, right);
            self.nodes[l].right = merged;
            self.update(l);
            left
        } else {
            let merged = self.merge(left, self.nodes[r].left);
            self.nodes[r].left = merged;
            self.update(r);
            right
        }
    }

    fn update(&mut self, n: usize) {
        let below = |link: Link| link.map_or(Vpn(0), |c| self.nodes[c].max_end);
        let node = &self.nodes[n];
        let max_end = node.pages.end().max(below(node.left)).max(below(node.right));
        self.nodes[n].max_end = max_end;
    }
}

/// A bijection that scatters neighbouring numbers (Steele, Lea, Flood: SplitMix64).
fn splitmix64(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pages(start: u64, len: u64) -> PageRange {
        PageRange::with_len(Vpn(start), len).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64, u64),
        Remove(prop::sample::Index),
        Query(u64, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0u64..64, 1u64..16).prop_map(|(s, l)| Op::Insert(s, l)),
            2 => any::<prop::sample::Index>().prop_map(Op::Remove),
            3 => (0u64..80, 1u64..32).prop_map(|(s, l)| Op::Query(s, l)),
        ]
    }

    proptest! {
        #[test]
        fn a_query_meets_what_a_plain_list_meets_in_order_of_start_and_age(ops in prop::collection::vec(op(), 1..200)) {
            let mut tree = IntervalTree::default();
            let mut list: Vec<(PageRange, u64, usize)> = Vec::new();
            let mut next = 0;
            for op in ops {
                match op {
                    Op::Insert(start, len) => {
                        next += 1;
                        let key = tree.insert(pages(start, len), next);
                        list.push((pages(start, len), next, key));
                    }
                    Op::Remove(i) if !list.is_empty() => {
                        let (_, value, key) = list.remove(i.index(list.len()));
                        prop_assert_eq!(tree.remove(key), value);
                    }
                    Op::Remove(_) => {}
                    Op::Query(start, len) => {
                        let q = pages(start, len);
                        let mut expect: Vec<_> = list.iter().filter(|(p, ..)| p.overlaps(q)).collect();
                        expect.sort_by_key(|(p, v, _)| (p.start(), *v));
                        let mut met = Vec::new();
                        tree.for_each_overlap(q, |v| met.push(*v));
                        prop_assert_eq!(met, expect.iter().map(|(_, v, _)| *v).collect::<Vec<_>>());
                    }
                }
            }
        }
    }

    #[test]
    fn an_unbounded_range_meets_all_and_a_touching_one_none() {
        let mut tree = IntervalTree::default();
        tree.insert(pages(4, 4), 'a');
        let mut met = Vec::new();
        tree.for_each_overlap(PageRange::ALL, |v| met.push(*v));
        tree.for_each_overlap(pages(0, 4), |v| met.push(*v));
        tree.for_each_overlap(pages(8, 4), |v| met.push(*v));
        assert_eq!(met, ['a']);
    }

    #[test]
    fn the_tree_stays_shallow_when_ranges_come_in_order() {
        let mut tree = IntervalTree::default();
        for i in 0..100_000 {
            tree.insert(pages(i, 1), i);
        }
        fn depth<T>(t: &IntervalTree<T>, at: Link) -> usize {
            at.map_or(0, |n| 1 + depth(t, t.nodes[n].left).max(depth(t, t.nodes[n].right)))
        }
        // log2(100,000) is 17; a random treap is about 2.5 to 3 times that deep.
        assert!(depth(&tree, tree.root) < 60);
    }
}
