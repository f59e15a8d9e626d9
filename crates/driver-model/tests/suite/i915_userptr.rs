//! The userptr driver of 2019 and as corrected, over the real memory manager.

use crate::common::*;
use driver_model::{Args, Config};
use mm_types::{Errno, Name, Prot};
use mmu_notifier::{Annotations, MapScope, Prime, Wrap};
use properties::Code;
use sched::{FirstScheduler, RandomScheduler};
use std::sync::Arc;
use trace::{DevId, EventKind, RunEnd};

fn gpu(mutant: Option<&str>, setting: Setting) -> World {
    World::new("i915_userptr", mutant, setting)
}

fn with(annotations: Annotations) -> Setting {
    Setting { annotations, ..Setting::default() }
}

/// An ioctl that gets pages, and a munmap of some of them.
fn benign(w: &World) -> RunEnd {
    w.task("ioctl", |_, d| d.op(Name::new("get_pages"), &Args::NONE).unwrap());
    w.task("unmap", |mm, _| munmap(mm, pages(2, 2)));
    w.run(&mut FirstScheduler)
}

#[test]
fn one_benign_run_of_the_driver_of_2019_is_a_circular_report_of_three_edges() {
    let w = gpu(Some("2019"), Setting::default());
    assert_eq!(benign(&w), RunEnd::Finished);
    let reports = w.k.lock_reports();
    let texts: Vec<String> = reports.iter().map(|r| r.report.to_text("test")).collect();
    assert_eq!(texts.len(), 1, "{}", texts.join("\n"));
    assert!(texts[0].contains("possible circular locking dependency detected"), "{}", texts[0]);
    for class in ["&obj->mm.lock", "fs_reclaim", "mmu_notifier_invalidate_range_start"] {
        assert!(texts[0].contains(class), "{class} in {}", texts[0]);
    }
    assert!(!texts[0].contains("struct_mutex:"), "{}", texts[0]);
    assert_eq!(w.watch.borrow().oracles.stats().reclaim_invalidations, 0);
    assert!(w.codes().is_empty(), "{:?}", w.codes());
    assert!(w.sptes().is_empty(), "the whole object goes");
}

#[test]
fn without_the_map_or_its_priming_the_same_run_is_silent() {
    let d = Annotations::default();
    for annotations in [
        Annotations { range_start: MapScope::None, ..d },
        Annotations { prime: Prime::empty(), ..d },
        Annotations { prime: Prime::empty(), wrap_start: Wrap::Subscribed, ..d },
    ] {
        let w = gpu(Some("2019"), with(annotations));
        assert_eq!(benign(&w), RunEnd::Finished);
        w.assert_silent();
        let acquired = w.k.acquisitions(Name::new("&obj->mm.lock"));
        assert!(acquired >= 3, "get_pages, worker and callback ran: {acquired}");
    }
}

#[test]
fn the_corrected_driver_is_silent_in_the_same_run_under_every_setting() {
    let d = Annotations::default();
    for annotations in [
        d,
        Annotations { prime: Prime::all(), wrap_end: Wrap::Always, ..d },
        Annotations { range_start: MapScope::PerMm, ..d },
        Annotations { range_start: MapScope::PerMmClass, prime: Prime::REGISTRATION, ..d },
        Annotations { srcu_checked: true, ..d },
        Annotations { range_start: MapScope::None, ..d },
    ] {
        let w = gpu(None, with(annotations));
        assert_eq!(benign(&w), RunEnd::Finished);
        w.assert_silent();
        assert_eq!(w.sptes(), [0, 1, 4, 5, 6, 7]);
        assert!(w.count(|e| matches!(e, EventKind::Alloc { .. })) >= 2, "page array and table");
    }
}

/// Two objects of pages that are reclaimed, and now and then unmapped and mapped anew.
fn contend(w: &World) {
    for (name, start) in [("ioctl", 0), ("ioctl2", 4)] {
        w.task(name, move |_, d| {
            for _ in 0..6 {
                let _ = d.op(Name::new("get_pages"), &Args::range(pages(start, 4)));
                let _ = d.op(Name::new("write"), &Args::range(pages(start, 2)));
            }
            let _ = d.op(Name::new("put_pages"), &Args::range(pages(start, 4)));
        });
    }
    w.task("unmap", |mm, _| {
        for _ in 0..3 {
            munmap(mm, pages(3, 2));
            mm.mmap_anon(pages(3, 2), Prot::READ | Prot::WRITE).unwrap();
        }
    });
    w.task("mem", |mm, _| {
        for _ in 0..3 {
            mm.reclaim_pages(pages(0, 6));
        }
    });
}

#[test]
fn the_corrected_driver_is_silent_under_every_schedule_and_gives_every_page_back() {
    let mut happened = Happened::default();
    for seed in 0..220 {
        let w = gpu(None, Setting { reclaim_by_choice: seed % 2 == 1, ..Setting::default() });
        contend(&w);
        assert_eq!(w.run(&mut RandomScheduler::new(seed, 0)), RunEnd::Finished, "seed {seed}");
        w.assert_silent();
        happened.add(&w);
        w.setup(|w| {
            w.driver.detach();
            w.mm.exit();
        });
        let counts = w.machine.frame_counts();
        assert_eq!((counts.pinned, counts.mapped), (0, 0), "seed {seed}");
    }
    let Happened { published, taken_away, accesses, collided, waited, in_reclaim } = happened;
    assert!(published > 1000 && taken_away > 500 && accesses > 500, "{published} {taken_away} {accesses}");
    assert!(collided > 10 && waited > 10 && in_reclaim > 100, "{collided} {waited} {in_reclaim}");
}

#[test]
fn the_driver_of_2019_revokes_in_time_under_most_schedules_though_its_locks_are_inverted() {
    let mut happened = Happened::default();
    // A rare one is STALE, which is the price of hearing of starts only: `get_pages` begins when the callback has returned and
    // the entry still stands, so that nothing cancels it, and the page it pins is mapped for the device after its revocation.
    let mut late = 0;
    for seed in 0..150 {
        let w = gpu(Some("2019"), Setting::default());
        contend(&w);
        assert_eq!(w.run(&mut RandomScheduler::new(seed, 0)), RunEnd::Finished, "seed {seed}");
        let codes = w.codes();
        assert!(codes.iter().all(|code| matches!(code, Code::Stale | Code::StaleHarm)), "seed {seed}: {codes:?}");
        late += usize::from(!codes.is_empty());
        happened.add(&w);
    }
    assert!(late <= 3, "{late} of 150 schedules");
    let Happened { published, taken_away, accesses, in_reclaim, .. } = happened;
    assert!(published > 400 && taken_away > 400 && accesses > 100 && in_reclaim > 500, "{happened:?}");
}

#[test]
fn exploration_drives_the_driver_of_2019_into_its_own_reclaim() {
    let setting = Setting { reclaim_by_choice: true, ..Setting::default() };
    let found = (0..2000).find_map(|seed| {
        let w = gpu(Some("2019"), setting);
        w.task("ioctl", |_, d| {
            let _ = d.op(Name::new("get_pages"), &Args::NONE);
        });
        match w.run(&mut RandomScheduler::new(seed, 0)) {
            RunEnd::Deadlock { blocked, cycle } => Some((blocked, cycle, w.codes())),
            _ => None,
        }
    });
    let (blocked, cycle, codes) = found.expect("a deadlock within 2000 runs");
    assert_eq!(cycle, [blocked[0].task], "the task waits for itself");
    assert_eq!(blocked[0].waits_for.what.as_str(), "&obj->mm.lock");
    let holds: Vec<&str> = blocked[0].holds.iter().map(|h| h.class.as_str()).collect();
    for class in ["&obj->mm.lock", "fs_reclaim", "mmu_notifier_invalidate_range_start"] {
        assert!(holds.contains(&class), "{holds:?}");
    }
    assert!(codes.contains(&Code::ProgDeadlock));
}

#[test]
fn the_driver_of_2019_refuses_a_non_blocking_start_only_for_active_objects() {
    let w = gpu(Some("2019"), Setting::default());
    let start = |w: &World| {
        let range = trace::NotifyRange {
            mm: w.mm.id(),
            pages: pages(0, 1),
            event: trace::NotifyEvent::Unmap,
            blockable: false,
            owner: None,
        };
        w.mm.subscriptions().invalidate_range_start_nonblock(range).map(mmu_notifier::Bracket::end).is_ok()
    };
    w.setup(|w| {
        assert!(start(w));
        w.op("get_pages", Args::NONE).unwrap();
        assert!(!start(w));
    });
    assert!(!w.codes().contains(&Code::Ctx), "{:?}", w.codes());
}

#[test]
fn a_callback_cancels_a_look_up_that_was_scheduled() {
    let config = Config::new(DevId(0), Name::new("gpu0")).mutant("2019").option("worker", "task");
    let w = World::with("i915_userptr", &config, Setting::default());
    w.setup(|w| {
        w.op("get_pages", Args::NONE).unwrap();
        w.munmap(pages(7, 1));
        // Its pages are no longer all there, and the object is no longer the look-up's.
        assert_eq!(w.op("worker", Args::NONE), Err(Errno::EFAULT));
        assert!(w.sptes().is_empty(), "{:?}", w.sptes());
        w.op("get_pages", Args::range(pages(0, 4))).unwrap();
        assert!(w.sptes().is_empty(), "the worker has not run");
        w.op("worker", Args::NONE).unwrap();
        assert_eq!(w.sptes(), [0, 1, 2, 3]);
        w.op("put_pages", Args::range(pages(0, 4))).unwrap();
        assert!(w.sptes().is_empty(), "{:?}", w.sptes());
        assert_eq!(w.op("read", Args::range(pages(0, 1))), Err(Errno::EFAULT), "userptr has no fault handler");
        w.driver.detach();
        w.mm.exit();
    });
    assert_eq!(w.machine.frame_counts().mapped, 0);
    assert!(w.codes().is_empty(), "{:?}", w.codes());
}

#[test]
fn a_world_that_ended_in_a_deadlock_leaves_nothing_behind() {
    let setting = Setting { reclaim_by_choice: true, ..Setting::default() };
    let mut deadlocks = 0;
    for (kind, mutant) in [("i915_userptr", Some("2019")), ("i915_userptr", None), ("interval_mirror", None)] {
        for seed in 0..50 {
            let w = World::new(kind, mutant, setting);
            w.task("ioctl", move |_, d| {
                let op = if kind == "i915_userptr" { "get_pages" } else { "map" };
                let _ = d.op(Name::new(op), &Args::NONE);
            });
            deadlocks += usize::from(w.run(&mut RandomScheduler::new(seed, 0)).word() == "deadlock");
            let (mm, device) = (Arc::downgrade(&w.mm), Arc::downgrade(w.driver.device()));
            drop(w);
            assert_eq!((mm.strong_count(), device.strong_count()), (0, 0), "{kind} {mutant:?} seed {seed}");
        }
    }
    assert!(deadlocks > 0);
}

fn with_shrinker(mutant: Option<&str>) -> World {
    let mut config = Config::new(DevId(0), Name::new("gpu0")).option("shrinker", "on");
    config.mutant = mutant.map(str::to_owned);
    World::with("i915_userptr", &config, Setting { reclaim_by_choice: true, ..Setting::default() })
}

/// An object gets its pages, and memory is wanted: first from another task, then by an allocation of no driver's.
fn get_and_shrink(w: &World) {
    w.task("ioctl", |_, d| {
        // Pages may be gone, and the driver with them.
        let _may_fail = d.op(Name::new("get_pages"), &Args::NONE);
    });
    w.task("kswapd", |mm, _| {
        mm.machine().shrink(2);
    });
}

#[test]
fn the_shrinker_gives_pages_back_that_reclaim_could_not_have() {
    for (option, freed) in [("off", 0), ("on", 2)] {
        let config = Config::new(DevId(0), Name::new("gpu0")).option("shrinker", option);
        let w = World::with("i915_userptr", &config, Setting::default());
        get_and_shrink(&w);
        assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
        w.assert_silent();
        let reclaimed = |e: &EventKind| matches!(e, EventKind::ReclaimEnd { freed: n } if *n == freed);
        assert_eq!(w.count(reclaimed), 1, "shrinker {option}: all pages are pinned until the shrinker lets go");
        assert_eq!(w.sptes().is_empty(), option == "on");
        assert_eq!(w.machine.frame_counts().pinned == 0, option == "on");
    }
}

#[test]
fn a_shrinker_that_waits_for_the_object_is_found_in_one_run_and_deadlocks_in_another() {
    let w = with_shrinker(Some("shrinker-waits-for-object"));
    get_and_shrink(&w);
    assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
    let texts: Vec<String> = w.k.lock_reports().iter().map(|r| r.report.to_text("test")).collect();
    assert_eq!(texts.len(), 1, "{}", texts.join("\n"));
    for line in ["circular locking dependency", "&obj->mm.lock", "fs_reclaim"] {
        assert!(texts[0].contains(line), "{line} in {}", texts[0]);
    }
    let stuck = (0..200).any(|run| {
        let w = with_shrinker(Some("shrinker-waits-for-object"));
        get_and_shrink(&w);
        matches!(w.run(&mut RandomScheduler::new(3, run)), RunEnd::Deadlock { .. })
    });
    assert!(stuck, "the allocation under the mutex enters reclaim in one of them");
}

#[test]
fn the_shrinker_is_silent_under_every_schedule_and_is_gone_after_detach() {
    let mut shrunk = 0;
    for run in 0..200 {
        let w = with_shrinker(None);
        w.setup(|w| w.op("get_pages", Args::NONE).expect("pages"));
        get_and_shrink(&w);
        w.task("unmap", |mm, _| munmap(mm, pages(2, 2)));
        w.task("leave", move |_, d| {
            for _ in 0..run % 40 {
                let _may_fault = d.op(Name::new("read"), &Args::range(pages(6, 1)));
            }
            d.detach();
        });
        assert_eq!(w.run(&mut RandomScheduler::new(5, run)), RunEnd::Finished, "run {run}");
        w.assert_silent_for(&format!("run {run}"));
        shrunk += w.count(|e| matches!(e, EventKind::ShrinkSlabEnd { freed, .. } if *freed > 0));
        let before = w.count(|e| matches!(e, EventKind::ShrinkSlabStart { .. }));
        w.setup(|w| w.machine.shrink(1));
        assert_eq!(w.count(|e| matches!(e, EventKind::ShrinkSlabStart { .. })), before, "run {run}");
        assert_eq!(w.machine.frame_counts().pinned, 0, "run {run}");
    }
    assert!(shrunk > 10, "{shrunk}");
}
