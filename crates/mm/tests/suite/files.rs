//! Mappings of files and shared memory: what is read, who shares it, what is announced, what reclaim may take.

use crate::common::{Context, World, addr, bytes, pages, register};
use crate::recorded::RW;
use mm::vma::{FileId, MapFlags, MmapArgs, MmapBacking};
use mm::{MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, Prot, PteKind};
use sched::RandomScheduler;
use std::sync::Arc;
use trace::{EventKind, NotifyEvent, RunEnd};

fn config() -> MachineConfig {
    MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() }
}

/// Maps `len` pages of `file` from page `from` of it on.
fn map(mm: &Mm, at: u64, len: u64, flags: MapFlags, file: Option<FileId>, from: u64) {
    let backing = match file {
        Some(file) => MmapBacking::File { file, readable: true, writable: true },
        None => MmapBacking::None,
    };
    let flags = flags | MapFlags::FIXED | if file.is_none() { MapFlags::ANONYMOUS } else { MapFlags::empty() };
    let (addr, len_bytes, offset_bytes) = (addr(at), bytes(len), from * PAGE_SIZE);
    mm.mmap(&MmapArgs { addr, len_bytes, prot: RW, flags, backing, offset_bytes }).expect("mapped");
}

fn read(mm: &Mm, page: u64) -> u64 {
    mm.read_page(pages(page, 1).start()).expect("read")
}

fn write(mm: &Mm, page: u64, tag: u64) {
    mm.write_page(pages(page, 1).start(), tag).expect("written");
}

#[track_caller]
fn both(body: impl Fn(&World, Context)) {
    body(&World::new(config()), Context::Setup);
    body(&World::new(config()), Context::Task);
}

#[test]
fn a_file_holds_the_same_wherever_it_is_mapped_and_private_writes_stay_private() {
    both(|world, context| {
        let (a, b) = (world.new_mm("a"), world.new_mm("b"));
        world.run(context, move || {
            let machine = a.machine();
            let file = machine.open_file("/lib/a", "fe:00 1");
            let again = machine.open_file("/lib/a", "fe:00 1");
            let other = machine.open_file("/lib/b", "fe:00 2");
            map(&a, 0, 4, MapFlags::PRIVATE, Some(file), 0);
            map(&b, 8, 2, MapFlags::SHARED, Some(again), 1);
            map(&b, 16, 4, MapFlags::PRIVATE, Some(other), 0);
            assert_eq!(read(&a, 1), read(&b, 8), "one page cache");
            assert_ne!(read(&a, 1), read(&a, 2));
            assert_ne!(read(&a, 1), read(&b, 17));
            let before = read(&a, 1);
            write(&a, 1, 77);
            assert_eq!((read(&a, 1), read(&b, 8)), (77, before));
            write(&b, 9, 88);
            assert_eq!(read(&a, 2), 88, "a store to a shared mapping goes to the file");
            assert_eq!(machine.frame_counts().page_cache, 3);
            b.exit();
            assert_eq!(read(&a, 2), 88, "the cache outlives the mapping");
            a.exit();
            let counts = machine.frame_counts();
            assert_eq!((counts.allocated, counts.page_cache, counts.mapped), (3, 3, 0));
        });
    });
}

#[test]
fn a_private_write_is_announced_only_over_a_mapped_page() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            let file = mm.machine().open_file("/f", "");
            map(&mm, 0, 4, MapFlags::PRIVATE, Some(file), 0);
            register(&mm, 1);
            write(&mm, 0, 1);
            read(&mm, 1);
            write(&mm, 1, 1);
        });
        let starts = world.events().into_iter().filter_map(|e| match e.kind {
            EventKind::RangeStart { range, .. } => Some((range.event, range.pages)),
            _ => None,
        });
        assert_eq!(starts.collect::<Vec<_>>(), [(NotifyEvent::Clear, pages(1, 1))]);
    });
}

#[test]
fn shared_memory_is_shared_over_a_fork_and_starts_as_zeros() {
    both(|world, context| {
        let parent = world.new_mm("parent");
        world.run(context, move || {
            map(&parent, 0, 2, MapFlags::SHARED, None, 0);
            map(&parent, 4, 2, MapFlags::SHARED, None, 0);
            assert_eq!((read(&parent, 0), read(&parent, 4)), (0, 0));
            let child = ksync::current(|k| parent.fork(k, Name::new("child"))).expect("forked");
            assert!(child.pte(pages(0, 1).start()).is_none(), "a fault can make it again");
            write(&child, 0, 5);
            assert_eq!((read(&parent, 0), read(&parent, 4)), (5, 0), "each mapping is an object of its own");
            assert!(parent.pte(pages(0, 1).start()).is_writable(), "no notice is needed before a write");
            child.exit();
            parent.exit();
        });
    });
}

#[test]
fn reclaim_takes_file_pages_from_everybody_and_leaves_what_was_written_with_the_file() {
    both(|world, context| {
        let (a, b) = (world.new_mm("a"), world.new_mm("b"));
        world.run(context, move || {
            let machine = a.machine();
            let file = machine.open_file("/f", "");
            map(&a, 0, 4, MapFlags::SHARED, Some(file), 0);
            map(&b, 8, 4, MapFlags::PRIVATE, Some(file), 0);
            let untouched = read(&a, 3);
            write(&a, 0, 9);
            assert_eq!(read(&b, 8), 9);
            register(&b, 1);
            assert_eq!(a.reclaim_pages(pages(0, 4)), 2);
            assert_eq!(machine.frame_counts().allocated, 0);
            assert!(b.pte(pages(8, 1).start()).is_none());
            assert_eq!((read(&b, 8), read(&b, 11)), (9, untouched));
            assert_eq!(machine.swap_used(), 0);
        });
        let of_b = |kind: &EventKind| matches!(kind, EventKind::RangeStart { range, .. } if range.mm.0 == 1);
        // Page 3 is mapped there too: the read of page 8 mapped what was in the page cache around it.
        assert_eq!(world.count(of_b), 2, "for each page that it maps");
    });
}

#[test]
fn reclaim_follows_a_mapping_that_was_split_cut_and_moved() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            let file = mm.machine().open_file("/f", "");
            map(&mm, 0, 8, MapFlags::SHARED, Some(file), 4);
            mm.touch(pages(0, 8), false).expect("read");
            mm.mprotect(addr(2), bytes(2), Prot::READ).expect("changed");
            mm.munmap(addr(5), bytes(1)).expect("unmapped");
            let flags = mm::vma::MremapFlags::MAYMOVE | mm::vma::MremapFlags::FIXED;
            mm.mremap(addr(6), bytes(2), bytes(2), flags, Some(addr(32)), None).expect("moved");
            assert_eq!(mm.reclaim_pages(pages(0, 40)), 7);
            for page in [0, 1, 2, 3, 4, 32, 33] {
                assert_eq!(mm.pte(pages(page, 1).start()).kind(), PteKind::None);
            }
            // The page that is mapped nowhere goes when memory is short, or when it is asked for by nobody.
            assert_eq!(mm.machine().frame_counts().page_cache, 1);
            assert_eq!(mm.machine().shrink(1), 1);
            assert_eq!(mm.machine().frame_counts().allocated, 0);
            mm.exit();
        });
    });
}

#[test]
fn a_page_that_somebody_holds_stays_in_the_cache() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            let file = mm.machine().open_file("/f", "");
            map(&mm, 0, 2, MapFlags::SHARED, Some(file), 0);
            write(&mm, 0, 3);
            let held = mm::device::get_user_pages(&mm, pages(0, 1), false).expect("held");
            let pinned = mm::device::pin_user_pages(&mm, pages(1, 1), true).expect("pinned");
            assert_eq!(mm.reclaim_pages(pages(0, 2)), 0);
            mm::device::frame_write(mm.machine(), held[0], 4);
            assert_eq!(read(&mm, 0), 4, "the page is the one that is held");
            mm::device::put_user_page(mm.machine(), held[0]);
            mm::device::unpin_user_page(mm.machine(), pinned[0]);
            assert_eq!(mm.reclaim_pages(pages(0, 2)), 2);
            assert_eq!(read(&mm, 0), 4);
        });
    });
}

#[test]
fn kswapd_reclaims_when_memory_is_low_and_lets_the_run_end() {
    let world = World::new(MachineConfig { memory_bytes: 4 << 20, ..config() });
    let mm: Arc<Mm> = world.new_mm("a");
    let task = world.kernel.enter(|k| world.machine.start_kswapd(k));
    let body = move || {
        mm.mmap_anon(pages(0, 2048), RW).expect("mapped");
        for page in 0..2048 {
            write(&mm, page, page + 1);
        }
        for page in (0..2048).step_by(97) {
            assert_eq!(read(&mm, page), page + 1);
        }
        mm.exit();
    };
    world.kernel.enter(|k| k.spawn(Name::new("task"), body));
    assert_eq!(world.kernel.run(&mut RandomScheduler::new(1, 0)), RunEnd::Finished);
    assert!(world.kernel.lock_reports().is_empty(), "{:?}", world.kernel.lock_reports());
    let events = world.events();
    let background = events.iter().filter(|e| e.task == task);
    let freed: u64 =
        background.filter_map(|e| if let EventKind::ReclaimEnd { freed } = e.kind { Some(freed) } else { None }).sum();
    assert!(freed > 0, "it had work");
    assert_eq!(world.machine.frame_counts().allocated, 0);
}

#[test]
fn a_kswapd_without_work_is_no_deadlock() {
    let world = World::new(config());
    world.kernel.enter(|k| world.machine.start_kswapd(k));
    world.run(Context::Task, || ());
    assert_eq!(world.count(|kind| matches!(kind, EventKind::ReclaimStart { .. })), 0);
}
