//! The OOM killer: whom it chooses, what that frees, who is told, and what becomes of the one that was chosen.

use crate::common::*;
use ksync::Kernel;
use mm::{FaultError, MachineConfig, Mm, OOM_SCORE_ADJ_MIN};
use mm_types::{MmId, Name, Prot, PteKind};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use sched::{FirstScheduler, RandomScheduler};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::{AccessModel, EventKind, NotifyRange, RunEnd};

const RW: Prot = Prot::READ.union(Prot::WRITE);

/// 64 frames, 8 of them the reserve, and so much swap.
fn world(swap_pages: u64) -> World {
    let world = World::new(MachineConfig {
        memory_bytes: bytes(64),
        swap_bytes: bytes(swap_pages),
        reclaim_by_choice: false,
        ..MachineConfig::default()
    });
    world.kernel.enter(|k| world.machine.start_oom_reaper(k, true));
    world
}

/// Processes that have touched so many pages each, of 64 that are mapped.
fn processes<const N: usize>(world: &World, touched: [u64; N]) -> [Arc<Mm>; N] {
    touched.map(|n| {
        let mm = world.new_mm("p");
        let at = Arc::clone(&mm);
        world.kernel.enter(|_| {
            at.mmap_anon(pages(0, 64), RW).expect("mapped");
            for page in 0..n {
                at.write_page(pages(page, 1).start(), 1).expect("there is memory");
            }
        });
        mm
    })
}

/// Each call of the killer: whom it killed, and with how many points.
fn kills(world: &World) -> Vec<(Option<MmId>, i64)> {
    let kill = |kind| if let EventKind::OutOfMemory { victim, points } = kind { Some((victim, points)) } else { None };
    world.events().into_iter().filter_map(|e| kill(e.kind)).collect()
}

fn spawn(world: &World, name: &str, body: impl FnOnce() + 'static) {
    world.kernel.enter(|k: &Kernel| k.spawn(Name::new(name), body));
}

#[track_caller]
fn finish(world: &World) {
    assert_eq!(world.kernel.run(&mut FirstScheduler), RunEnd::Finished);
    let reports = world.kernel.lock_reports();
    assert!(reports.is_empty(), "{reports:#?}");
}

fn present(mm: &Mm) -> usize {
    pages(0, 64).iter().filter(|vpn| mm.pte(*vpn).kind() != PteKind::None).count()
}

/// `first` touches pages until memory is gone and further; what it says.
fn exhaust(world: &World, mm: &Arc<Mm>, from: u64) {
    let at = Arc::clone(mm);
    spawn(world, "hog", move || {
        for page in from..from + 24 {
            if at.write_page(pages(page, 1).start(), 2).is_err() {
                return;
            }
        }
    });
}

#[test]
fn the_process_with_the_most_pages_is_killed_and_its_memory_is_had() {
    let world = world(0);
    let [small, large, asking] = processes(&world, [10, 30, 8]);
    exhaust(&world, &asking, 8);
    finish(&world);
    // 30 pages, a leaf table, and one table above of each of two levels.
    assert_eq!(kills(&world), [(Some(large.id()), 30 + 3)]);
    assert_eq!((present(&small), present(&large), present(&asking)), (10, 0, 32));
    world.kernel.enter(|_| {
        assert_eq!(large.write_page(pages(0, 1).start(), 3), Err(FaultError::Killed));
        [small, large, asking].iter().for_each(|mm| mm.exit());
    });
    assert_eq!(world.machine.frame_counts().allocated, 0);
}

#[test]
fn pages_in_swap_count_and_the_adjustment_is_added() {
    // What is in swap is no help to who is asked for memory, but it is what the process has.
    let world = world(31);
    let [swapped] = processes(&world, [31]);
    let at = Arc::clone(&swapped);
    world.run(Context::Setup, move || assert_eq!(at.reclaim_pages(pages(0, 31)), 31));
    let [large, asking] = processes(&world, [30, 8]);
    exhaust(&world, &asking, 8);
    finish(&world);
    assert_eq!(kills(&world), [(Some(swapped.id()), 31 + 3)]);
    assert!(present(&large) == 30 && world.machine.swap_used() > 0, "others have its room in swap");

    for (adj, chosen) in [(OOM_SCORE_ADJ_MIN, 0), (1000, 1), (0, 1)] {
        let world = self::world(0);
        let [first, second, asking] = processes(&world, [20, 20, 4]);
        second.set_oom_score_adj(adj);
        exhaust(&world, &asking, 4);
        finish(&world);
        // Of two that have as much the later one goes. 64 pages are no thousandth of anything.
        assert_eq!(kills(&world), [(Some([first.id(), second.id()][chosen]), 20 + 3)], "{adj}");
    }
}

#[test]
fn who_asks_for_more_may_be_the_one_that_has_the_most() {
    let world = world(0);
    let [asking, other] = processes(&world, [30, 10]);
    exhaust(&world, &asking, 30);
    finish(&world);
    assert_eq!(kills(&world).iter().map(|(victim, _)| *victim).collect::<Vec<_>>(), [Some(asking.id())]);
    assert_eq!((present(&asking), present(&other)), (0, 10), "the page that was asked for is mapped no more");
}

#[test]
fn with_nobody_to_kill_the_allocation_fails_and_the_event_says_so() {
    let world = world(0);
    let [asking] = processes(&world, [30]);
    asking.set_oom_score_adj(OOM_SCORE_ADJ_MIN);
    let at = Arc::clone(&asking);
    world.run(Context::Task, move || {
        let failed = (30..64).find_map(|page| at.write_page(pages(page, 1).start(), 2).err());
        assert_eq!(failed, Some(FaultError::OutOfMemory));
    });
    assert_eq!(kills(&world), [(None, 0)]);
    world.kernel.enter(|_| assert_eq!(world.machine.oom_kill(), None, "nor when somebody asks"));
}

/// Refuses what must not block so many times.
struct Refuses(AtomicU32);

impl IntervalNotifier for Refuses {
    fn name(&self) -> Name {
        Name::new("refuses")
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if !range.blockable && left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
            return false;
        }
        sub.set_seq(cur_seq);
        true
    }
}

#[test]
fn a_victim_that_cannot_be_reaped_in_ten_tries_is_followed_by_the_next() {
    for (refusals, killed) in [(9, 1), (10, 2)] {
        let world = world(0);
        let [second, first, asking] = processes(&world, [16, 26, 6]);
        let refuses = Arc::new(Refuses(AtomicU32::new(refusals)));
        let _sub = world.kernel.enter(|_| Subscriptions::interval_insert(&*first, pages(0, 64), refuses));
        exhaust(&world, &asking, 6);
        finish(&world);
        let victims: Vec<_> = kills(&world).iter().filter_map(|(victim, _)| *victim).collect();
        assert_eq!(victims, [first.id(), second.id()][..killed], "{refusals}");
        assert_eq!(present(&first) == 0, killed == 1);
    }
}

#[test]
fn somebody_may_ask_for_a_kill_and_memory_may_be_plenty() {
    let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
    world.kernel.enter(|k| world.machine.start_oom_reaper(k, false));
    let [small, large] = processes(&world, [3, 5]);
    let machine = Arc::clone(&world.machine);
    spawn(&world, "sysrq", move || assert_eq!(machine.oom_kill(), Some(Name::new("p"))));
    finish(&world);
    assert_eq!(kills(&world), [(Some(large.id()), 5 + 3)]);
    assert_eq!((present(&small), present(&large)), (3, 0));
}

#[test]
fn under_every_schedule_the_victim_keeps_nothing_and_nobody_waits_for_ever() {
    let (mut killed, mut exited_first) = (0, 0);
    for run in 0..60 {
        let world = world(0);
        let [victim, asking] = processes(&world, [22, 14]);
        exhaust(&world, &asking, 14);
        let at = Arc::clone(&victim);
        spawn(&world, "victim", move || {
            for page in (0..run * 10).flat_map(|_| (20..30).chain(0..2)) {
                let _until_killed = at.write_page(pages(page, 1).start(), 4);
            }
            at.exit();
        });
        assert_eq!(world.kernel.run(&mut RandomScheduler::new(7, run)), RunEnd::Finished, "run {run}");
        assert!(world.kernel.lock_reports().is_empty(), "{:?}", world.kernel.lock_reports());
        killed += kills(&world).len();
        exited_first += usize::from(kills(&world).is_empty());
        assert_eq!(present(&victim), 0, "run {run}");
        world.kernel.enter(|_| asking.exit());
        assert_eq!(world.machine.frame_counts().allocated, 0, "run {run}");
        check_frame_events(&world);
    }
    assert!(killed > 10, "{killed}, not in {exited_first} runs");
}
