//! The list of one address space's list subscribers: changed under a lock, walked under SRCU only.
//!
//! A removed node keeps its `next` until it is freed, which its remover does after a grace period: so a walk that stands
//! on it goes on, and a walk that stands before it no longer meets it (`hlist_del_init_rcu()`).

use crate::ops::{Hooks, Notifier};
use ksync::Kernel;
use mm_types::ObjId;
use parking_lot::Mutex;
use slab::Slab;
use std::sync::Arc;
use trace::SubId;

/// One list subscriber.
pub(crate) struct ListEntry {
    pub(crate) id: SubId,
    pub(crate) ops: Arc<dyn Notifier>,
    /// As the subscriber said at registration.
    pub(crate) hooks: Hooks,
}

/// The list. `obj` stands for its links: a walk reads it at each step, a change writes it.
pub(crate) struct Hlist {
    obj: ObjId,
    /// A storage lock, never held across a scheduling point; the simulated lock is the caller's.
    nodes: Mutex<Nodes>,
}

#[derive(Default)]
struct Nodes {
    slab: Slab<Node>,
    head: Option<usize>,
}

struct Node {
    entry: Arc<ListEntry>,
    next: Option<usize>,
    hashed: bool,
}

impl Hlist {
    pub(crate) fn new(obj: ObjId) -> Hlist {
        Hlist { obj, nodes: Mutex::default() }
    }

    /// `hlist_empty()`, without the lock.
    pub(crate) fn is_empty(&self, k: &Kernel) -> bool {
        k.visible_read(self.obj);
        self.nodes.lock().head.is_none()
    }

    /// `hlist_unhashed()`, without the lock.
    pub(crate) fn is_hashed(&self, k: &Kernel, key: usize) -> bool {
        k.visible_read(self.obj);
        self.nodes.lock().slab[key].hashed
    }

    /// First step of a walk.
    pub(crate) fn first(&self, k: &Kernel) -> Option<(usize, Arc<ListEntry>)> {
        k.visible_read(self.obj);
        let nodes = self.nodes.lock();
        nodes.at(nodes.head)
    }

    /// The step after the node `key`, which may have been removed meanwhile but not freed.
    pub(crate) fn next(&self, k: &Kernel, key: usize) -> Option<(usize, Arc<ListEntry>)> {
        k.visible_read(self.obj);
        let nodes = self.nodes.lock();
        nodes.at(nodes.slab[key].next)
    }

    /// Adds at the head. Caller holds `subscriptions->lock`.
    pub(crate) fn add_head(&self, k: &Kernel, entry: Arc<ListEntry>) -> usize {
        k.visible_write(self.obj);
        let mut nodes = self.nodes.lock();
        let next = nodes.head;
        let key = nodes.slab.insert(Node { entry, next, hashed: true });
        nodes.head = Some(key);
        key
    }

    /// Takes the node out of the list, if it is in it. Caller holds `subscriptions->lock`.
    pub(crate) fn del(&self, k: &Kernel, key: usize) {
        k.visible_write(self.obj);
        self.nodes.lock().del(key);
    }

    /// Takes every node out of the list. Caller holds `subscriptions->lock`.
    pub(crate) fn del_all(&self, k: &Kernel) {
        k.visible_write(self.obj);
        let mut nodes = self.nodes.lock();
        while let Some(head) = nodes.head {
            nodes.del(head);
        }
    }

    /// Frees a node that was taken out at least one grace period ago.
    pub(crate) fn free(&self, key: usize) {
        let node = self.nodes.lock().slab.remove(key);
        debug_assert!(!node.hashed, "a node is freed while it is in the list");
    }

    /// What the node `key` holds; it may have been taken out of the list.
    pub(crate) fn entry(&self, key: usize) -> Option<Arc<ListEntry>> {
        self.nodes.lock().slab.get(key).map(|n| Arc::clone(&n.entry))
    }

    /// Forgets all nodes.
    pub(crate) fn clear(&self) {
        let dropped = std::mem::take(&mut *self.nodes.lock());
        // Subscribers are dropped without the storage lock: what they own may come back here.
        drop(dropped);
    }
}

impl Nodes {
    fn at(&self, key: Option<usize>) -> Option<(usize, Arc<ListEntry>)> {
        key.map(|key| (key, Arc::clone(&self.slab[key].entry)))
    }

    fn del(&mut self, key: usize) {
        if !std::mem::replace(&mut self.slab[key].hashed, false) {
            return;
        }
        let next = self.slab[key].next;
        if self.head == Some(key) {
            self.head = next;
            return;
        }
        let before = self.slab.iter().find(|(_, n)| n.hashed && n.next == Some(key)).map(|(k, _)| k);
        if let Some(before) = before {
            self.slab[before].next = next;
        }
    }
}
