//! Migration and compaction: contents, who is told, who waits, what stays where it is.

use crate::common::{Context, World, addr, bytes, pages, register};
use crate::recorded::RW;
use mm::vma::{MapFlags, MmapArgs, MmapBacking};
use mm::{Compacted, MachineConfig, Mm, device};
use mm_types::{Name, Pfn, Prot};
use std::sync::Arc;
use trace::{EventKind, NotifyEvent};

fn config() -> MachineConfig {
    MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() }
}

fn frame(mm: &Mm, page: u64) -> Option<Pfn> {
    mm.pte(pages(page, 1).start()).mapped_pfn()
}

fn read(mm: &Mm, page: u64) -> u64 {
    mm.read_page(pages(page, 1).start()).expect("read")
}

fn write(mm: &Mm, page: u64, tag: u64) {
    mm.write_page(pages(page, 1).start(), tag).expect("written");
}

fn moved(moved: u64) -> Compacted {
    Compacted { moved, ..Compacted::default() }
}

#[track_caller]
fn both(body: impl Fn(&World, Context)) {
    body(&World::new(config()), Context::Setup);
    body(&World::new(config()), Context::Task);
}

#[test]
fn a_page_moves_with_its_contents_and_its_access() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            mm.mmap_anon(pages(0, 4), RW).expect("mapped");
            (0..3).for_each(|page| write(&mm, page, page + 10));
            mm.mprotect(addr(1), bytes(1), Prot::READ).expect("changed");
            mm.mprotect(addr(2), bytes(1), Prot::empty()).expect("changed");
            mm.read_page(pages(3, 1).start()).expect("read");
            let before = [0, 1, 2].map(|page| (frame(&mm, page), mm.pte(pages(page, 1).start())));
            assert_eq!(mm.compact(pages(0, 4)), moved(3), "the zero page stays");
            for (page, (pfn, pte)) in (0..).zip(before) {
                let now = mm.pte(pages(page, 1).start());
                assert_ne!(frame(&mm, page), pfn);
                assert_eq!((now.kind() == pte.kind(), now.is_writable()), (page < 2, pte.is_writable()));
                assert_eq!(now.is_dirty(), pte.is_dirty());
            }
            mm.mprotect(addr(2), bytes(1), RW).expect("changed");
            assert_eq!([0, 1, 2].map(|page| read(&mm, page)), [10, 11, 12]);
            assert_eq!(mm.machine().frame_counts().allocated, 3, "the frames left are free");
            mm.exit();
            assert_eq!(mm.machine().frame_counts().allocated, 0);
        });
    });
}

#[test]
fn a_page_shared_over_a_fork_moves_for_both_and_stays_shared() {
    both(|world, context| {
        let parent = world.new_mm("parent");
        world.run(context, move || {
            parent.mmap_anon(pages(0, 2), RW).expect("mapped");
            write(&parent, 0, 7);
            let child = ksync::current(|k| parent.fork(k, Name::new("child"))).expect("forked");
            register(&parent, 1);
            register(&child, 2);
            let before = frame(&parent, 0);
            assert_eq!(child.compact(pages(0, 1)), moved(1));
            assert_ne!(frame(&parent, 0), before);
            assert_eq!(frame(&parent, 0), frame(&child, 0));
            write(&child, 0, 8);
            assert_eq!((read(&parent, 0), read(&child, 0)), (7, 8));
            child.exit();
            write(&parent, 0, 9);
            assert_eq!(read(&parent, 0), 9);
            parent.exit();
            assert_eq!(parent.machine().frame_counts().allocated, 0);
        });
        let clears = world
            .count(|kind| matches!(kind, EventKind::RangeStart { range, .. } if range.event == NotifyEvent::Clear));
        assert_eq!(clears, 3, "one for each of the two entries, and the child's copy");
    });
}

#[test]
fn file_pages_move_in_the_cache() {
    both(|world, context| {
        let (a, b) = (world.new_mm("a"), world.new_mm("b"));
        world.run(context, move || {
            let file = a.machine().open_file("/f", "");
            let backing = MmapBacking::File { file, readable: true, writable: true };
            for mm in [&a, &b] {
                let flags = MapFlags::SHARED | MapFlags::FIXED;
                let args = MmapArgs { addr: addr(0), len_bytes: bytes(2), prot: RW, flags, backing, offset_bytes: 0 };
                mm.mmap(&args).expect("mapped");
            }
            write(&a, 0, 5);
            assert_eq!(read(&b, 0), 5);
            let before = frame(&a, 0);
            assert_eq!(a.compact(pages(0, 2)), moved(1));
            assert_ne!(frame(&a, 0), before);
            assert_eq!(frame(&a, 0), frame(&b, 0));
            b.munmap(addr(0), bytes(2)).expect("unmapped");
            write(&a, 0, 6);
            assert_eq!(a.machine().frame_counts().page_cache, 1);
        });
    });
}

#[test]
fn a_pinned_or_held_page_is_busy_and_nobody_is_told() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            mm.mmap_anon(pages(0, 3), RW).expect("mapped");
            (0..3).for_each(|page| write(&mm, page, page + 1));
            register(&mm, 1);
            let pinned = device::pin_user_pages(&mm, pages(0, 1), true).expect("pinned");
            let held = device::get_user_pages(&mm, pages(1, 1), true).expect("held");
            assert_eq!(mm.compact(pages(0, 2)), Compacted { busy: 2, ..Compacted::default() });
            assert_eq!((frame(&mm, 0), frame(&mm, 1)), (Some(pinned[0]), Some(held[0])));
            device::unpin_user_page(mm.machine(), pinned[0]);
            device::put_user_page(mm.machine(), held[0]);
        });
        assert_eq!(world.count(|kind| matches!(kind, EventKind::RangeStart { .. })), 0);
    });
}

#[test]
fn without_a_free_frame_nothing_moves() {
    let world = World::new(MachineConfig { memory_bytes: 1 << 20, swap_bytes: 0, ..config() });
    let mm = world.new_mm("a");
    world.run(Context::Task, move || {
        mm.mmap_anon(pages(0, 400), RW).expect("mapped");
        let full = (0..400).position(|page| mm.write_page(pages(page, 1).start(), 1).is_err()).expect("memory ends");
        let done = mm.compact(pages(0, 400));
        assert_eq!((done.moved, done.busy), (0, 0));
        assert_eq!(done.no_memory, full as u64);
    });
}

/// One page: a writer, its compaction, its reclaim, a fork, and its unmapping, in every order that chance gives.
#[test]
fn whatever_meets_a_migration_what_was_written_is_read_and_nothing_is_left() {
    let mut migrated = 0;
    for seed in 0..400 {
        let world = World::new(MachineConfig::default());
        let mm = world.new_mm("a");
        world.kernel.enter(|_| {
            mm.mmap_anon(pages(0, 4), RW).expect("mapped");
            mm.touch(pages(0, 4), true).expect("touched");
            register(&mm, 1);
        });
        spawn_all(&world, &mm);
        world.run_random_and_exit(seed, &mm);
        assert_eq!(world.machine.frame_counts().page_cache, 0, "seed {seed}");
        migrated += world.count(
            |kind| matches!(kind, EventKind::PteSet { old, .. } if matches!(old.kind(), mm_types::PteKind::Migration { .. })),
        );
    }
    assert!(migrated > 400, "{migrated}");
}

fn spawn_all(world: &World, mm: &Arc<Mm>) {
    type Body = Box<dyn FnOnce(&Arc<Mm>)>;
    let task = |name: &str, body: Body| {
        let mm = Arc::clone(mm);
        world.kernel.enter(|k| k.spawn(Name::new(name), move || body(&mm)));
    };
    task(
        "writer",
        Box::new(|mm| {
            for page in [0, 1, 2] {
                write(mm, page, page + 50);
                assert_eq!(read(mm, page), page + 50);
            }
        }),
    );
    task(
        "compact",
        Box::new(|mm| {
            mm.compact(pages(0, 4));
        }),
    );
    task(
        "reclaim",
        Box::new(|mm| {
            mm.reclaim_pages(pages(0, 4));
        }),
    );
    task("unmap", Box::new(|mm| mm.munmap(addr(3), bytes(1)).expect("unmapped")));
    task(
        "fork",
        Box::new(|mm| {
            let child = ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked");
            let first = read(&child, 0);
            assert!(first == 0 || first == 50, "{first}");
            write(&child, 0, 99);
            assert_eq!(read(&child, 0), 99);
            child.exit();
        }),
    );
}
