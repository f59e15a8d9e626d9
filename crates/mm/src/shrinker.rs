//! Shrinkers: what other parts of the kernel give back when memory is short. Reclaim asks each how much it has, and has some
//! of that freed in batches.
//!
//! ```text
//! reclaim (fs_reclaim held, or drop_slab)       shrinker_free
//! rcu_read_lock
//!   the next of the list; try_get               put; wait until the count is 0
//! rcu_read_unlock                               shrinker_mutex: off the list
//! count_objects                <- may sleep, as
//! scan_objects, in batches     <- gfp allows
//! rcu_read_lock; put
//! ```
//!
//! So a shrinker runs with what the allocating task holds, and whoever frees a shrinker waits for those that run: what they
//! wait for must not be held then. Up to 6.6 (`SHRINKER_RWSEM`) the list was walked under `shrinker_rwsem`, taken for reading by
//! trylock, and shrinkers came and went under it for writing.
//!
//! Without a shrinker, reclaim does nothing here that another task could observe.
//!
//! Source: `shrink_slab()`, `do_shrink_slab()`, `shrinker_alloc()`, `shrinker_register()`, `shrinker_free()`, mm/shrinker.c;
//! `drop_slab()`, mm/vmscan.c; include/linux/shrinker.h; 6.12. There are no memory control groups and one node.

use crate::behaviour::Behaviour;
use crate::machine::Machine;
use crate::obj::{MachineObj, machine_obj};
use ksync::{Kernel, LockClass, Mutex, RawMutex, RawRwSem, RwSem, WaitQueue, current};
use mm_types::{Errno, Gfp, Name};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use trace::{EventKind, LockKind};

/// Where reclaim begins: it looks at a 4,096th of what there is. Source: include/linux/mmzone.h, 6.12.
pub(crate) const DEF_PRIORITY: u32 = 12;
/// What an object costs to make again, in seeks of a disk, unless a shrinker says otherwise.
const DEFAULT_SEEKS: u64 = 2;
/// Objects that one call is asked to scan, unless a shrinker says otherwise.
const SHRINK_BATCH: u64 = 128;

/// `struct shrink_control`: what a call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShrinkControl {
    /// What the allocation that needs memory allows: without [`Gfp::FS`] a shrinker must not wait for what is held around such
    /// allocations, and refuses.
    pub gfp: Gfp,
    /// Objects to look at; 0 in a count.
    pub nr_to_scan: u64,
    /// Objects looked at: as many as asked for, unless the shrinker says otherwise. One that says 0 and goes on is called again
    /// and again.
    pub nr_scanned: u64,
}

/// What a scan came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    /// So many objects were freed.
    Freed(u64),
    /// Nothing can be done here and now (`SHRINK_STOP`): what was to be scanned is put off to a later call.
    Stop,
}

/// What a driver hands to [`Machine::shrinker_alloc`].
///
/// Both callbacks run inside reclaim, in the stack of any task that allocates, with whatever that holds, or in `kswapd`.
pub trait Shrinker: Send + Sync {
    /// Its name.
    fn name(&self) -> Name;

    /// How many objects could be freed; 0 for none. Should not wait.
    fn count_objects(&self, control: &ShrinkControl) -> u64;

    /// Frees some of `control.nr_to_scan` objects. May sleep as `control.gfp` allows.
    fn scan_objects(&self, control: &mut ShrinkControl) -> Scan;

    /// `seeks`: the more, the fewer of its objects are scanned; 0 is half of them each time.
    fn seeks(&self) -> u64 {
        DEFAULT_SEEKS
    }

    /// `batch`: how many objects one call is asked to scan.
    fn batch(&self) -> u64 {
        SHRINK_BATCH
    }
}

/// A shrinker from [`Machine::shrinker_alloc`], registered or not. It is its maker's to free ([`Machine::shrinker_free`]).
pub struct ShrinkerHandle(Arc<Entry>);

impl fmt::Debug for ShrinkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShrinkerHandle").field(&self.0.ops.name().as_str()).finish()
    }
}

/// `struct shrinker`.
struct Entry {
    ops: Arc<dyn Shrinker>,
    /// References: of the registration, and of each call. Changed in steps that name the queue, which waits for 0.
    references: AtomicU32,
    done: WaitQueue,
    /// Objects that earlier calls should have scanned.
    nr_deferred: AtomicU64,
}

/// The list, and what protects it. A machine has none until the first shrinker is made: the lock is no class of a world without.
#[derive(Default)]
pub(crate) struct Shrinkers {
    lock: Option<Arc<ListLock>>,
    /// In the order of registration, numbered. A shrinker belongs to who made it, who may own the machine.
    list: Vec<(u64, Weak<Entry>)>,
    last: u64,
}

enum ListLock {
    /// `shrinker_mutex`.
    Mutex(Mutex<()>),
    /// `shrinker_rwsem`.
    RwSem(RwSem<()>),
}

impl ListLock {
    fn new(k: &Kernel, behaviour: Behaviour) -> ListLock {
        let obj = machine_obj(MachineObj::ShrinkerLock);
        if behaviour.contains(Behaviour::SHRINKER_RWSEM) {
            let class = k.class(LockClass::new("shrinker_rwsem", LockKind::RwSem));
            ListLock::RwSem(RwSem::from_raw(RawRwSem::new(class, obj), ()))
        } else {
            let class = k.class(LockClass::new("shrinker_mutex", LockKind::Mutex));
            ListLock::Mutex(Mutex::from_raw(RawMutex::new(class, obj), ()))
        }
    }

    /// Runs `change` of the list.
    #[track_caller]
    fn with(&self, change: impl FnOnce()) {
        match self {
            ListLock::Mutex(mutex) => {
                let _guard = mutex.lock();
                change();
            }
            ListLock::RwSem(rwsem) => {
                let _guard = rwsem.write();
                change();
            }
        }
    }
}

impl fmt::Debug for Shrinkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shrinkers").field("registered", &self.list.len()).finish()
    }
}

/// The number of an entry before the first.
const HEAD: u64 = 0;

impl Machine {
    /// `shrinker_alloc()`: a shrinker that is not called yet. Allocates with `GFP_KERNEL`; may sleep.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[track_caller]
    pub fn shrinker_alloc(&self, ops: Arc<dyn Shrinker>) -> Result<ShrinkerHandle, Errno> {
        current(|k| {
            k.kmalloc(Gfp::KERNEL, 1)?;
            self.shrinkers.lock().lock.get_or_insert_with(|| Arc::new(ListLock::new(k, self.config().behaviour)));
            let done = WaitQueue::new(k, Name::new("shrinker->done"));
            let (references, nr_deferred) = (AtomicU32::new(0), AtomicU64::new(0));
            Ok(ShrinkerHandle(Arc::new(Entry { ops, references, done, nr_deferred })))
        })
    }

    /// `shrinker_register()`: reclaim calls it from here on. May sleep.
    #[track_caller]
    pub fn shrinker_register(&self, shrinker: &ShrinkerHandle) {
        self.change_shrinkers(|list| {
            list.last += 1;
            list.list.push((list.last, Arc::downgrade(&shrinker.0)));
        });
        current(|k| {
            k.visible_write(shrinker.0.done.obj());
            shrinker.0.references.store(1, Ordering::Relaxed);
        });
    }

    /// `shrinker_free()`: waits until nobody calls it, and takes it off the list. May sleep; what its callbacks wait for must not
    /// be held.
    #[track_caller]
    pub fn shrinker_free(&self, shrinker: ShrinkerHandle) {
        let entry = shrinker.0;
        let waits = !self.config().behaviour.contains(Behaviour::SHRINKER_RWSEM);
        let registered = self.shrinkers.lock().list.iter().any(|(_, of)| of.as_ptr() == Arc::as_ptr(&entry));
        if registered && waits {
            entry.put();
            entry.done.wait_event(|| entry.references.load(Ordering::Relaxed) == 0);
        }
        self.change_shrinkers(|list| list.list.retain(|(_, of)| of.as_ptr() != Arc::as_ptr(&entry)));
    }

    #[track_caller]
    fn change_shrinkers(&self, change: impl FnOnce(&mut Shrinkers)) {
        let Some(lock) = self.shrinkers.lock().lock.clone() else { return };
        lock.with(|| {
            current(|k| k.visible_write(machine_obj(MachineObj::Shrinkers)));
            change(&mut self.shrinkers.lock());
        });
    }

    /// Whether there may be shrinkers: not in a world in which none was made.
    pub(crate) fn has_shrinkers(&self) -> bool {
        self.shrinkers.lock().lock.is_some()
    }

    /// `drop_slab()`: a write of 2 to `/proc/sys/vm/drop_caches`. All shrinkers, as hard as can be, again for as long as that is
    /// worth it. Not reclaim: nothing is held. Gives how many objects were freed.
    pub fn drop_slab(&self) -> u64 {
        current(|k| {
            let mut all = 0;
            for round in 0.. {
                let freed = self.shrink_slab(k, Gfp::KERNEL, 0);
                all += freed;
                if k.quiet() || freed.checked_shr(round).unwrap_or(0) <= 1 {
                    break;
                }
            }
            all
        })
    }

    /// `shrink_slab()`: calls every shrinker; `priority` says how much of what there is they are to look at, 0 all. Gives how many
    /// objects were freed, which are no pages.
    #[track_caller]
    pub(crate) fn shrink_slab(&self, k: &Kernel, gfp: Gfp, priority: u32) -> u64 {
        let Some(lock) = self.shrinkers.lock().lock.clone() else { return 0 };
        match &*lock {
            ListLock::Mutex(_) => self.shrink_each(k, gfp, priority),
            ListLock::RwSem(rwsem) => match rwsem.try_read() {
                Some(_read) => self.shrink_each(k, gfp, priority),
                None => 0,
            },
        }
    }

    #[track_caller]
    fn shrink_each(&self, k: &Kernel, gfp: Gfp, priority: u32) -> u64 {
        let (mut freed, mut at) = (0, HEAD);
        while let Some((number, shrinker)) = self.next_shrinker(k, at) {
            freed += shrinker.do_shrink_slab(k, gfp, priority);
            let _rcu = k.rcu_section();
            shrinker.put();
            at = number;
        }
        freed
    }

    /// The next of the list after number `at` that may be called, with a reference.
    fn next_shrinker(&self, k: &Kernel, mut at: u64) -> Option<(u64, Arc<Entry>)> {
        let _rcu = k.rcu_section();
        k.visible_read(machine_obj(MachineObj::Shrinkers));
        loop {
            let (number, entry) = self.shrinkers.lock().list.iter().find(|(number, _)| *number > at).cloned()?;
            if let Some(entry) = entry.upgrade().filter(|entry| entry.try_get(k)) {
                return Some((number, entry));
            }
            at = number;
        }
    }
}

impl Entry {
    /// `shrinker_try_get()`. Who is in here owes the wake-up to who frees the shrinker.
    fn try_get(&self, k: &Kernel) -> bool {
        k.visible_write(self.done.obj());
        let live = self.references.load(Ordering::Relaxed) > 0;
        if live {
            self.references.fetch_add(1, Ordering::Relaxed);
            self.done.owe();
        }
        live
    }

    /// `shrinker_put()`.
    fn put(&self) {
        self.done.wake_all_after(|| {
            self.references.fetch_sub(1, Ordering::Relaxed);
        });
        self.done.settle();
    }

    /// `do_shrink_slab()`: counts, and scans in batches what the priority asks for together with what was put off.
    #[track_caller]
    fn do_shrink_slab(&self, k: &Kernel, gfp: Gfp, priority: u32) -> u64 {
        let shrinker = self.ops.name();
        let mut control = ShrinkControl { gfp, nr_to_scan: 0, nr_scanned: 0 };
        let freeable = self.ops.count_objects(&control);
        if freeable == 0 {
            return 0;
        }
        k.visible_write(self.done.obj());
        let deferred = self.nr_deferred.swap(0, Ordering::Relaxed);
        let delta = match self.ops.seeks() {
            0 => freeable / 2,
            seeks => (freeable >> priority) * 4 / seeks,
        };
        let mut total_scan = ((deferred >> priority) + delta).min(2 * freeable);
        k.emit(EventKind::ShrinkSlabStart { shrinker, objects: freeable, to_scan: total_scan });
        let batch = self.ops.batch().max(1);
        let (mut freed, mut scanned, mut calls) = (0, 0, 0);
        while total_scan >= batch.min(freeable) && !k.quiet() {
            let nr_to_scan = batch.min(total_scan);
            control = ShrinkControl { gfp, nr_to_scan, nr_scanned: nr_to_scan };
            calls += 1;
            match self.ops.scan_objects(&mut control) {
                Scan::Stop => break,
                Scan::Freed(objects) => freed += objects,
            }
            total_scan = total_scan.saturating_sub(control.nr_scanned);
            scanned += control.nr_scanned;
            // `cond_resched()`; and a shrinker that scans nothing for ever is cut off by the bound on steps.
            k.visible_write(self.done.obj());
        }
        let put_off = (deferred + delta).saturating_sub(scanned).min(2 * freeable);
        self.nr_deferred.fetch_add(put_off, Ordering::Relaxed);
        k.emit(EventKind::ShrinkSlabEnd { shrinker, calls, freed });
        freed
    }
}
