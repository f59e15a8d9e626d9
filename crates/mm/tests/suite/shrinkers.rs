//! Shrinkers: who is called when, for how many objects, with what held, and what freeing one waits for.

use crate::common::*;
use ksync::{Kernel, Mutex};
use mm::{Behaviour, Machine, MachineConfig, Scan, ShrinkControl, Shrinker, device};
use mm_types::{Gfp, Name, Prot};
use sched::{ChoiceKind, RandomScheduler, SchedView, Scheduler};
use std::sync::Arc;
use trace::{EventKind, RunEnd};

/// A cache of objects that are of no use but to be freed.
struct Cache {
    name: &'static str,
    objects: parking_lot::Mutex<u64>,
    /// Refuses without `__GFP_FS`.
    needs_fs: bool,
    /// Taken by a scan.
    lock: Option<Arc<Mutex<()>>>,
    /// `(gfp, nr_to_scan)` of each scan.
    scans: parking_lot::Mutex<Vec<(Gfp, u64)>>,
}

impl Cache {
    fn new(name: &'static str, objects: u64) -> Cache {
        let (objects, scans) = (parking_lot::Mutex::new(objects), parking_lot::Mutex::default());
        Cache { name, objects, needs_fs: false, lock: None, scans }
    }

    fn scanned(&self) -> Vec<u64> {
        self.scans.lock().iter().map(|(_, nr)| *nr).collect()
    }
}

impl Shrinker for Cache {
    fn name(&self) -> Name {
        Name::new(self.name)
    }

    fn count_objects(&self, control: &ShrinkControl) -> u64 {
        assert_eq!(control.nr_to_scan, 0);
        *self.objects.lock()
    }

    fn scan_objects(&self, control: &mut ShrinkControl) -> Scan {
        self.scans.lock().push((control.gfp, control.nr_to_scan));
        if self.needs_fs && !control.gfp.contains(Gfp::FS) {
            return Scan::Stop;
        }
        let _guard = self.lock.as_ref().map(|lock| lock.lock());
        let mut objects = self.objects.lock();
        let freed = control.nr_to_scan.min(*objects);
        *objects -= freed;
        Scan::Freed(freed)
    }
}

fn world(behaviour: Behaviour) -> World {
    World::new(MachineConfig {
        memory_bytes: 1 << 20,
        swap_bytes: 0,
        reclaim_by_choice: false,
        behaviour,
        ..MachineConfig::default()
    })
}

fn register(machine: &Machine, ops: &Arc<Cache>) -> mm::ShrinkerHandle {
    let handle = device::shrinker_alloc(machine, ops.clone()).expect("memory");
    device::shrinker_register(machine, &handle);
    handle
}

/// Fills memory, registers a shrinker, and makes an allocation that reclaims.
fn alloc_without_memory(world: &World, cache: &Arc<Cache>, gfp: Gfp) {
    let mm = world.new_mm("a");
    let cache = Arc::clone(cache);
    world.run(Context::Task, move || {
        let handle = device::shrinker_alloc(mm.machine(), cache).expect("memory");
        mm.mmap_anon(pages(0, 256), Prot::READ | Prot::WRITE).expect("mapped");
        while ksync::current(|k| k.kmalloc(Gfp::NOWAIT, 1)).is_ok() {
            let page = mm.machine().frame_counts().allocated;
            mm.write_page(pages(page, 1).start(), 1).expect("memory");
        }
        device::shrinker_register(mm.machine(), &handle);
        let _fails = ksync::current(|k| k.kmalloc(gfp, 1));
        device::shrinker_free(mm.machine(), handle);
    });
}

#[test]
fn the_shorter_memory_is_the_more_is_asked_for_in_batches() {
    let world = world(Behaviour::V6_12);
    let cache = Arc::new(Cache::new("cache", 1000));
    alloc_without_memory(&world, &cache, Gfp::KERNEL | Gfp::NORETRY);
    // 1000 >> priority, times 4, by 2 seeks; what is less than a batch is put off to the next, and counted in at its
    // priority: 128 of 250 at 3, of 500 and what is left at 2, and so on.
    let mut expected = Vec::new();
    let (mut objects, mut deferred) = (1000_u64, 0_u64);
    for priority in (0..=12).rev() {
        if objects == 0 {
            break;
        }
        let delta = (objects >> priority) * 2;
        let mut total = ((deferred >> priority) + delta).min(2 * objects);
        let (freeable, mut scanned) = (objects, 0);
        while total >= 128.min(freeable) {
            let nr = total.min(128);
            expected.push(nr);
            (total, scanned, objects) = (total - nr, scanned + nr, objects - nr.min(objects));
        }
        deferred = (deferred + delta - scanned.min(deferred + delta)).min(2 * freeable);
    }
    assert!(expected.len() > 7 && expected[..7].iter().all(|nr| *nr == 128), "{expected:?}");
    assert_eq!(cache.scanned(), expected);
    assert_eq!(*cache.objects.lock(), 0);
}

#[test]
fn a_shrinker_is_told_what_the_allocation_allows_and_may_refuse() {
    for (gfp, objects) in [(Gfp::KERNEL, 0), (Gfp::NOFS, 10)] {
        let world = world(Behaviour::V6_12);
        let cache = Arc::new(Cache { needs_fs: true, ..Cache::new("inodes", 10) });
        alloc_without_memory(&world, &cache, gfp | Gfp::NORETRY);
        assert!(!cache.scanned().is_empty());
        assert!(cache.scans.lock().iter().all(|(told, _)| *told == (gfp | Gfp::NORETRY)), "{:?}", cache.scans.lock());
        assert_eq!(*cache.objects.lock(), objects, "{gfp}");
    }
}

#[test]
fn all_are_called_in_the_order_of_registration_until_they_are_freed() {
    let world = world(Behaviour::V6_12);
    let caches = [Arc::new(Cache::new("first", 3)), Arc::new(Cache::new("second", 5))];
    let mut handles: Vec<_> = world.kernel.enter(|_| caches.iter().map(|c| register(&world.machine, c)).collect());
    assert_eq!(world.kernel.enter(|_| world.machine.drop_slab()), 8);
    let names: Vec<_> = world
        .events()
        .iter()
        .filter_map(|e| match e.kind {
            EventKind::ShrinkSlabStart { shrinker, objects, to_scan } => Some((shrinker.as_str(), objects, to_scan)),
            _ => None,
        })
        .collect();
    assert_eq!(names, [("first", 3, 6), ("second", 5, 10)]);
    let first = handles.remove(0);
    *caches[0].objects.lock() = 1;
    *caches[1].objects.lock() = 1;
    world.kernel.enter(|_| device::shrinker_free(&world.machine, first));
    assert_eq!(world.kernel.enter(|_| world.machine.drop_slab()), 1);
    assert_eq!(*caches[0].objects.lock(), 1, "it is gone");
}

/// A cache whose scan takes a lock, and a task that frees its shrinker, with the lock held or not.
fn free_against_reclaim(world: &World, holding: bool) -> Arc<Cache> {
    let lock = world.kernel.enter(|k| Arc::new(k.mutex("cache->lock", ())));
    let cache = Arc::new(Cache { lock: Some(Arc::clone(&lock)), ..Cache::new("cache", 4) });
    let handle = world.kernel.enter(|_| register(&world.machine, &cache));
    let (freer, reclaimer) = (Arc::clone(&world.machine), Arc::clone(&world.machine));
    let after = Arc::clone(&cache);
    world.kernel.enter(|k: &Kernel| {
        k.spawn(Name::new("free"), move || {
            let guard = holding.then(|| lock.lock());
            device::shrinker_free(&freer, handle);
            drop(guard);
            // Nobody calls it any more: what it works on may go.
            *after.objects.lock() = 100;
        });
        k.spawn(Name::new("kswapd"), move || {
            reclaimer.shrink(1);
        });
    });
    cache
}

#[test]
fn freeing_waits_for_calls_so_what_they_take_must_not_be_held() {
    for (holding, behaviour) in [(false, Behaviour::V6_12), (true, Behaviour::V6_12), (false, Behaviour::V6_1)] {
        let (mut stuck, mut called) = (0, 0);
        for run in 0..200 {
            let world = world(behaviour);
            let cache = free_against_reclaim(&world, holding);
            match world.kernel.run(&mut RandomScheduler::new(1, run)) {
                RunEnd::Finished => assert_eq!(*cache.objects.lock(), 100, "not called after it was freed, run {run}"),
                RunEnd::Deadlock { cycle, .. } => {
                    assert_eq!(cycle.len(), 2, "each waits for the other, run {run}");
                    stuck += 1;
                }
                other => panic!("{other:?}"),
            }
            called += u32::from(!cache.scanned().is_empty());
        }
        assert!(called > 20, "{called}");
        assert_eq!(stuck > 0, holding, "{stuck}");
    }
}

/// The last task goes first.
struct Last;

impl Scheduler for Last {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        now.runnable.len() - 1
    }
    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        0
    }
}

#[test]
fn up_to_6_6_the_validator_sees_what_freeing_waits_for() {
    for (behaviour, circular) in [(Behaviour::V6_12, false), (Behaviour::V6_1, true)] {
        let world = world(behaviour);
        let _cache = free_against_reclaim(&world, true);
        // Nobody waits: reclaim is over when the task that frees begins.
        assert_eq!(world.kernel.run(&mut Last), RunEnd::Finished);
        assert_eq!(!world.kernel.lock_reports().is_empty(), circular, "{:?}", world.kernel.lock_reports());
    }
}
