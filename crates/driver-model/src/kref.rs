//! [`Kref`]: an object that lives as long as somebody has a reference. What is done to it afterwards is kept by its device.

use crate::device::Device;
use ksync::{Kernel, current};
use mm_types::{Name, ObjId, TaskId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something done to an object that was freed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misuse {
    /// The object and what was done, in a line.
    pub what: String,
    /// Visible operations begun by then.
    pub step: u64,
    /// Who did it.
    pub task: TaskId,
}

/// `struct kref`, of an object that belongs to a device: made with one reference, freed with the last. Every call is an access
/// that other tasks can observe; none sleeps.
#[derive(Debug)]
pub struct Kref {
    device: Arc<Device>,
    what: Name,
    obj: ObjId,
    count: AtomicU64,
}

impl Kref {
    /// `kref_init()` of an object called `what`.
    #[must_use]
    pub fn new(k: &Kernel, device: &Arc<Device>, what: &str) -> Kref {
        let what = Name::new(what);
        device.objects().made(what);
        Kref { device: Arc::clone(device), what, obj: k.new_obj(), count: AtomicU64::new(1) }
    }

    /// `kref_get()`.
    pub fn get(&self) {
        if self.is_alive("gets a reference") {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `kref_put()`: the last frees the object.
    pub fn put(&self) {
        if self.is_alive("loses a reference") && self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.device.objects().freed(self.what);
        }
    }

    /// The object is used.
    pub fn touch(&self) {
        self.is_alive("is used");
    }

    /// How many references there are, without a scheduling point.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn is_alive(&self, how: &str) -> bool {
        current(|k| {
            k.visible_write(self.obj);
            let alive = self.count() > 0;
            if !alive && !k.quiet() {
                let what = format!("{} of {} {how} after it was freed", self.what, self.device.name());
                self.device.objects().misused(Misuse { what, step: k.steps(), task: k.current_task() });
            }
            alive
        })
    }
}

/// The objects of a device: how many of each name live, and what was done to those that do not.
#[derive(Debug, Default)]
pub struct Objects {
    /// A storage lock.
    inner: parking_lot::Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    alive: std::collections::BTreeMap<Name, u64>,
    misuses: Vec<Misuse>,
}

impl Objects {
    fn made(&self, what: Name) {
        *self.inner.lock().alive.entry(what).or_default() += 1;
    }

    fn freed(&self, what: Name) {
        if let Some(alive) = self.inner.lock().alive.get_mut(&what) {
            *alive -= 1;
        }
    }

    fn misused(&self, misuse: Misuse) {
        let misuses = &mut self.inner.lock().misuses;
        if misuses.iter().all(|other| other.what != misuse.what) {
            misuses.push(misuse);
        }
    }

    /// What was done to objects that were freed, the first of each kind.
    #[must_use]
    pub fn misuses(&self) -> Vec<Misuse> {
        self.inner.lock().misuses.clone()
    }

    /// Names of objects that live, with how many there are.
    #[must_use]
    pub fn alive(&self) -> Vec<(Name, u64)> {
        self.inner.lock().alive.iter().filter(|(_, n)| **n > 0).map(|(name, n)| (*name, *n)).collect()
    }
}
