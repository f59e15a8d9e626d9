//! The mirror driver and its mutants, over the real memory manager and judged by the oracles.

use crate::common::*;
use driver_model::{Args, Config};
use mm_types::{Errno, Name, Prot};
use mmu_notifier::Annotations;
use properties::Code;
use sched::{FirstScheduler, RandomScheduler};
use trace::{DevId, EventKind, NotifyEvent, NotifyRange, RunEnd};

fn mirror(mutant: Option<&str>) -> World {
    World::new("interval_mirror", mutant, Setting::default())
}

#[test]
fn an_invalidation_takes_exactly_its_pages_away_and_a_fault_brings_back_what_is_mapped() {
    let w = mirror(None);
    w.setup(|w| {
        w.op("map", Args::range(all())).unwrap();
        assert_eq!(w.sptes(), [0, 1, 2, 3, 4, 5, 6, 7]);
        w.munmap(pages(2, 2));
        assert_eq!(w.sptes(), [0, 1, 4, 5, 6, 7]);
        w.op("read", Args::range(pages(4, 1))).unwrap();
        assert_eq!(w.op("read", Args::range(pages(2, 1))), Err(Errno::EFAULT), "nothing is mapped there");
        w.mm.reclaim_pages(pages(5, 1));
        assert_eq!(w.sptes(), [0, 1, 4, 6, 7]);
        w.op("write", Args { pages: Some(pages(5, 1)), value: 77 }).unwrap();
        assert_eq!(w.mm.read_page(pages(5, 1).start()), Ok(77), "the CPU reads what the device wrote");
    });
    w.assert_silent();
}

#[test]
fn detaching_leaves_no_translation_and_a_detached_driver_does_nothing() {
    let w = mirror(None);
    w.setup(|w| {
        w.op("map", Args::NONE).unwrap();
        w.driver.detach();
        assert!(w.sptes().is_empty(), "{:?}", w.sptes());
        assert_eq!(w.op("map", Args::NONE), Err(Errno::ENODEV));
        assert_eq!(w.op("frobnicate", Args::NONE), Err(Errno::EINVAL));
        w.driver.detach();
        w.mm.exit();
    });
    w.assert_silent();
    assert_eq!(w.mm.count(), 0);
}

/// Tasks that map and use pages which others unmap, map anew and reclaim.
fn contend(w: &World) {
    w.task("map", |_, d| {
        for start in [0, 2, 4, 6, 2, 4] {
            let _ = d.op(Name::new("map_write"), &Args::range(pages(start, 2)));
        }
    });
    w.task("use", |_, d| {
        for page in 0..PAGES {
            let _ = d.op(Name::new("write"), &Args { pages: Some(pages(page, 1)), value: page });
        }
    });
    w.task("unmap", |mm, _| {
        for _ in 0..3 {
            munmap(mm, pages(2, 2));
            mm.mmap_anon(pages(2, 2), Prot::READ | Prot::WRITE).unwrap();
        }
    });
    w.task("mem", |mm, _| {
        for _ in 0..3 {
            mm.reclaim_pages(pages(0, 6));
        }
    });
}

#[test]
fn the_correct_driver_is_silent_under_every_schedule_and_with_reclaim_anywhere() {
    let mut happened = Happened::default();
    for seed in 0..200 {
        let w = World::new("interval_mirror", None, Setting { reclaim_by_choice: seed % 2 == 1, ..Setting::default() });
        contend(&w);
        assert_eq!(w.run(&mut RandomScheduler::new(seed, 0)), RunEnd::Finished, "seed {seed}");
        w.assert_silent();
        happened.add(&w);
        w.setup(|w| {
            w.driver.detach();
            w.mm.exit();
        });
        assert_eq!(w.machine.frame_counts().mapped, 0, "seed {seed}");
    }
    let Happened { published, taken_away, accesses, collided, waited, in_reclaim } = happened;
    assert!(published > 1000 && taken_away > 500 && accesses > 500, "{published} {taken_away} {accesses}");
    assert!(collided > 10 && waited > 10 && in_reclaim > 100, "{collided} {waited} {in_reclaim}");
}

#[test]
fn the_correct_driver_is_silent_with_the_annotations_of_6_12_to_the_letter() {
    let annotations = Annotations { srcu_checked: true, ..Annotations::default() };
    let w = World::new("interval_mirror", None, Setting { annotations, ..Setting::default() });
    contend(&w);
    assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
    w.assert_silent();
}

/// The first seed under which `mutant` is found, with what was found.
fn explore(mutant: &str, build: fn(&World)) -> Option<(u64, Vec<Code>)> {
    (0..400).find_map(|seed| {
        let w = mirror(Some(mutant));
        build(&w);
        w.run(&mut RandomScheduler::new(seed, 0));
        let codes = w.codes();
        (!codes.is_empty()).then_some((seed, codes))
    })
}

#[test]
fn skip_retry_is_found_in_one_run() {
    let w = mirror(Some("skip-retry"));
    w.setup(|w| w.op("map", Args::NONE).unwrap());
    assert_eq!(w.codes(), [Code::Seq]);
}

#[test]
fn ignoring_one_invalidation_is_found_when_the_device_uses_the_page() {
    for (nth, expect) in [("1", true), ("2", false)] {
        let config = Config::new(DevId(0), Name::new("gpu0")).mutant("ignore-one-invalidation").option("nth", nth);
        let w = World::with("interval_mirror", &config, Setting::default());
        w.setup(|w| {
            w.op("map", Args::NONE).unwrap();
            w.munmap(pages(2, 2));
            let _ = w.op("read", Args::range(pages(2, 1)));
        });
        let codes = w.codes();
        assert_eq!(codes.contains(&Code::Stale) || codes.contains(&Code::StaleHarm), expect, "nth {nth}: {codes:?}");
        assert_eq!(w.sptes().contains(&2), expect, "nth {nth}");
    }
}

#[test]
fn late_zap_is_found_by_a_use_before_the_worker_and_silent_after_it() {
    for worker_first in [false, true] {
        let w = mirror(Some("late-zap"));
        w.setup(|w| {
            w.op("map", Args::NONE).unwrap();
            w.munmap(pages(2, 2));
            if worker_first {
                w.op("worker", Args::NONE).unwrap();
            }
            let _ = w.op("read", Args::range(pages(2, 1)));
        });
        assert_eq!(w.codes().is_empty(), worker_first, "{:?}", w.codes());
    }
}

fn nonblocking_bracket(w: &World) -> bool {
    let range = NotifyRange { mm: w.mm.id(), pages: all(), event: NotifyEvent::Unmap, blockable: false, owner: None };
    match w.mm.subscriptions().invalidate_range_start_nonblock(range) {
        Ok(bracket) => {
            bracket.end();
            true
        }
        Err(_) => false,
    }
}

#[test]
fn sleep_in_nonblock_is_found_and_the_correct_driver_tries_the_lock() {
    for (mutant, expect) in [(Some("sleep-in-nonblock"), vec![Code::Ctx]), (None, vec![])] {
        let w = mirror(mutant);
        assert!(w.setup(nonblocking_bracket));
        assert_eq!(w.codes(), expect);
    }
}

#[test]
fn no_set_seq_publishes_what_was_taken_away_under_some_schedule() {
    let race = |w: &World| {
        w.task("map", |_, d| {
            let _ = d.op(Name::new("map"), &Args::range(pages(2, 2)));
            for page in 2..4 {
                let _ = d.op(Name::new("read"), &Args::range(pages(page, 1)));
            }
        });
        w.task("unmap", |mm, _| munmap(mm, pages(2, 2)));
    };
    let (_, codes) = explore("no-set-seq", race).expect("found within 400 runs");
    assert!(codes.contains(&Code::Stale) || codes.contains(&Code::StaleHarm), "{codes:?}");
}

#[test]
fn a_device_access_is_told_by_the_device_and_a_fault_is_not() {
    let w = mirror(None);
    w.setup(|w| {
        assert!(w.driver.device().read(w.mm.id(), all().start()).is_err());
        w.op("map", Args::range(pages(0, 1))).unwrap();
        assert_eq!(w.driver.device().read(w.mm.id(), all().start()), Ok(FIRST));
    });
    assert_eq!(w.count(|e| matches!(e, EventKind::DeviceAccess { .. })), 1);
}
