//! What a device and the processes read of each other's stores, over fork, copy on write, migration and swap.

use crate::common::*;
use driver_model::Args;
use mm::Mm;
use mm_types::{Name, PageRange};
use properties::Code;
use sched::RandomScheduler;
use std::sync::Arc;
use trace::RunEnd;

fn world(driver: &str, mutant: Option<&str>) -> World {
    World::new(driver, mutant, Setting::default())
}

fn fork(mm: &Mm) -> Arc<Mm> {
    ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked")
}

fn read(mm: &Mm, page: PageRange) -> u64 {
    mm.read_page(page.start()).expect("read")
}

/// A device write of the parent's after a fork; what child and parent read then.
fn write_after_fork(w: &World) -> (u64, u64) {
    let page = pages(1, 1);
    w.setup(|w| {
        w.op("write", Args { pages: Some(page), value: 2 }).expect("written");
        let child = fork(&w.mm);
        w.op("write", Args { pages: Some(page), value: 3 }).expect("written");
        let read = (read(&child, page), read(&w.mm, page));
        child.exit();
        read
    })
}

#[test]
fn a_device_write_after_fork_reaches_only_the_right_process() {
    let w = world("interval_mirror", None);
    assert_eq!(write_after_fork(&w), (2, 3));
    w.assert_silent();

    // Deaf to the announcement that pages become read-only.
    let w = world("interval_mirror", Some("ignore-one-invalidation"));
    assert_eq!(write_after_fork(&w), (3, 3));
    assert_eq!(w.codes(), [Code::Coh, Code::Stale]);
    let watch = w.watch.borrow();
    let lost = watch.oracles.findings().iter().find(|f| f.code == Code::Coh).expect("found");
    assert!(lost.title.contains("page 0x11000 of child"), "{lost}");
}

#[test]
fn a_pinning_driver_writes_to_the_parent_alone() {
    let w = world("i915_userptr", None);
    let page = pages(1, 1);
    w.setup(|w| {
        w.op("get_pages", Args::range(page)).expect("got");
        w.op("write", Args { pages: Some(page), value: 2 }).expect("written");
        let child = fork(&w.mm);
        w.op("get_pages", Args::range(page)).expect("got");
        w.op("write", Args { pages: Some(page), value: 3 }).expect("written");
        assert_eq!((read(&child, page), read(&w.mm, page)), (2, 3));
        child.exit();
    });
    w.assert_silent();
}

#[test]
fn a_driver_that_keeps_the_old_frame_after_copy_on_write_reads_old_contents() {
    for (mutant, codes) in [(None, &[][..]), (Some("keep-old-frame-after-cow"), &[Code::Coh, Code::Stale][..])] {
        let w = world("interval_mirror", mutant);
        let page = pages(2, 1);
        w.setup(|w| {
            let child = fork(&w.mm);
            w.op("read", Args::range(page)).expect("read");
            w.mm.write_page(page.start(), 9).expect("written");
            w.op("read", Args::range(page)).expect("read");
            child.exit();
        });
        assert_eq!(w.codes(), codes, "{mutant:?}");
    }
}

#[test]
fn under_every_schedule_of_moves_copies_and_swap_everybody_reads_what_was_written() {
    for seed in 0..150 {
        let w = World::new("interval_mirror", None, Setting { reclaim_by_choice: true, ..Setting::default() });
        w.task("device", |_, d| {
            for value in 100..104 {
                for n in 0..3 {
                    let args = Args { pages: Some(pages(n, 1)), value };
                    d.op(Name::new("write"), &args).expect("written");
                    d.op(Name::new("read"), &args).expect("read");
                }
            }
        });
        w.task("user", |mm, _| {
            for n in 0..4 {
                mm.write_page(pages(n, 1).start(), n).expect("written");
                read(mm, pages(n, 1));
            }
        });
        w.task("mem", |mm, _| {
            mm.compact(pages(0, 4));
            mm.reclaim_pages(pages(0, 2));
            mm.compact(pages(0, 4));
        });
        w.task("fork", |mm, _| {
            let child = fork(mm);
            let first = read(&child, pages(0, 1));
            assert_eq!(read(&child, pages(0, 1)), first, "nobody else writes to it");
            child.write_page(pages(1, 1).start(), 7).expect("written");
            assert_eq!(read(&child, pages(1, 1)), 7);
            child.exit();
        });
        assert_eq!(w.run(&mut RandomScheduler::new(seed, 0)), RunEnd::Finished, "seed {seed}");
        w.assert_silent();
    }
}
