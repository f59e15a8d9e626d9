//! Parents and children: who sees what, what is copied when, and what is left at the end; also while others reclaim,
//! move and advise.

use crate::common::{Context, World, addr, bytes, pages, register};
use mm::vma::{MapFlags, MmapArgs, MmapBacking, MremapFlags};
use mm::{Advice, MachineConfig, Mm, device};
use mm_types::{Errno, Name, Prot, VirtAddr, Vpn};
use std::sync::Arc;
use trace::EventKind;

const RW: Prot = Prot::READ.union(Prot::WRITE);
const FIXED: MremapFlags = MremapFlags::MAYMOVE.union(MremapFlags::FIXED);

fn page(n: u64) -> Vpn {
    pages(n, 1).start()
}

fn fork(mm: &Arc<Mm>) -> Arc<Mm> {
    ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked")
}

fn quiet() -> MachineConfig {
    MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() }
}

/// Runs `body` on an address space with eight written pages; afterwards nothing may be left.
#[track_caller]
fn check(body: impl FnOnce(&Arc<Mm>) + 'static) {
    let world = World::new(quiet());
    let mm = world.new_mm("parent");
    world.run(Context::Task, move || {
        mm.mmap_anon(pages(0, 8), RW).expect("mapped");
        for vpn in pages(0, 8).iter() {
            mm.write_page(vpn, vpn.0).expect("written");
        }
        body(&mm);
    });
    world.assert_empty();
}

#[track_caller]
#[test]
fn parent_and_child_see_their_own_writes_whoever_exits_first() {
    for child_first in [true, false] {
        check(move |mm| {
            let child = fork(mm);
            mm.write_page(page(0), 100).expect("written");
            child.write_page(page(1), 101).expect("written");
            let seen = |mm: &Mm| [0, 1, 2].map(|n| mm.read_page(page(n)).expect("read"));
            assert_eq!(seen(mm), [100, page(1).0, page(2).0]);
            assert_eq!(seen(&child), [page(0).0, 101, page(2).0]);
            let (first, second) = if child_first { (&child, mm) } else { (mm, &child) };
            first.exit();
            assert_eq!(second.read_page(page(2)), Ok(page(2).0));
            second.write_page(page(2), 102).expect("written");
            second.exit();
        });
    }
}

#[test]
fn a_page_that_is_exclusive_again_is_reused_without_a_copy() {
    let world = World::new(quiet());
    let mm = world.new_mm("parent");
    world.run(Context::Task, move || {
        mm.mmap_anon(pages(0, 1), RW).expect("mapped");
        mm.write_page(page(0), 1).expect("written");
        let frame = mm.pte(page(0)).pfn();
        fork(&mm).exit();
        assert!(!mm.pte(page(0)).is_writable());
        mm.write_page(page(0), 2).expect("written");
        assert_eq!(mm.pte(page(0)).pfn(), frame);
        mm.exit();
    });
    assert_eq!(world.count(|e| matches!(e, EventKind::FrameAlloc { .. })), 1);
}

#[test]
fn a_child_inherits_the_page_alone_and_reclaim_still_finds_it() {
    check(|mm| {
        let child = fork(mm);
        mm.exit();
        child.write_page(page(0), 7).expect("reused");
        assert_eq!(child.reclaim_pages(pages(0, 8)), 8);
        assert_eq!((child.read_page(page(0)), child.read_page(page(3))), (Ok(7), Ok(page(3).0)));
        child.exit();
    });
}

#[test]
fn reclaim_takes_a_shared_page_from_parent_and_child() {
    check(|mm| {
        let child = fork(mm);
        assert_eq!(mm.reclaim_pages(pages(0, 4)), 4);
        assert!(child.pte(page(0)).pfn().is_none() && mm.pte(page(0)).pfn().is_none());
        child.write_page(page(0), 9).expect("written");
        assert_eq!((mm.read_page(page(0)), child.read_page(page(0))), (Ok(page(0).0), Ok(9)));
        child.exit();
        mm.exit();
    });
}

#[test]
fn a_pinned_page_stays_the_parents() {
    check(|mm| {
        let pinned = device::pin_user_pages(mm, pages(0, 2), true).expect("pinned");
        let child = fork(mm);
        assert_eq!(mm.pte(page(0)).pfn(), Some(pinned[0]), "the parent keeps it");
        assert!(mm.pte(page(0)).is_writable() && child.pte(page(0)).pfn() != Some(pinned[0]));
        device::frame_write(mm.machine(), pinned[0], 55);
        assert_eq!((mm.read_page(page(0)), child.read_page(page(0))), (Ok(55), Ok(page(0).0)));
        for pfn in pinned {
            device::unpin_user_page(mm.machine(), pfn);
        }
        child.exit();
        mm.exit();
    });
}

#[test]
fn forking_again_and_again_does_not_lengthen_the_chains() {
    check(|mm| {
        let mut last = fork(mm);
        for _ in 0..20 {
            let next = fork(&last);
            last.exit();
            last = next;
        }
        assert!(mm.machine().nr_anon_vmas() <= 4, "{} anon_vmas", mm.machine().nr_anon_vmas());
        assert_eq!(last.read_page(page(5)), Ok(page(5).0));
        last.exit();
        mm.exit();
    });
}

#[test]
fn shared_memory_is_shared_wiped_memory_is_empty_and_the_rest_is_not_there() {
    check(|mm| {
        let shared = MapFlags::SHARED | MapFlags::ANONYMOUS | MapFlags::FIXED;
        let args = MmapArgs {
            addr: addr(16),
            len_bytes: bytes(2),
            prot: RW,
            flags: shared,
            backing: MmapBacking::None,
            offset_bytes: 0,
        };
        mm.mmap(&args).expect("mapped");
        mm.write_page(page(16), 1).expect("written");
        mm.madvise(addr(0), bytes(1), Advice::WipeOnFork).expect("advised");
        mm.madvise(addr(1), bytes(1), Advice::DontFork).expect("advised");
        let child = fork(mm);
        child.write_page(page(17), 2).expect("written");
        assert_eq!((mm.read_page(page(17)), child.read_page(page(16))), (Ok(2), Ok(1)));
        assert_eq!((child.read_page(page(0)), mm.read_page(page(0))), (Ok(0), Ok(page(0).0)));
        assert!(child.read_page(page(1)).is_err());
        child.exit();
        mm.exit();
    });
}

#[test]
fn exec_replaces_the_address_space_and_releases_its_subscribers() {
    check(|mm| {
        register(mm, 1);
        let child = fork(mm);
        let lines = [mm::vma::MapsLine {
            range: pages(32, 4),
            prot: RW,
            shared: false,
            offset_bytes: 0,
            device_inode: mm::vma::MapsLine::NO_INODE.to_owned(),
            name: String::new(),
        }];
        let new = ksync::current(|k| mm.exec(k, Name::new("program"), &lines)).expect("executed");
        assert_eq!((mm.users(), mm.vmas().len(), new.vmas().len()), (0, 0, 1));
        new.write_page(page(32), 1).expect("written");
        assert_eq!(child.read_page(page(0)), Ok(page(0).0), "the child goes on");
        let twice = [lines[0].clone(), lines[0].clone()];
        assert!(ksync::current(|k| child.exec(k, Name::new("broken"), &twice)).is_err());
        assert_eq!(child.users(), 1, "it goes on after an exec that failed");
        child.exit();
        new.exit();
    });
}

#[test]
fn a_length_of_zero_maps_shared_memory_twice_and_private_memory_not_at_all() {
    check(|mm| {
        assert_eq!(mm.mremap(addr(0), 0, bytes(2), FIXED, Some(addr(64)), None), Err(Errno::EINVAL));
        let shared = MapFlags::SHARED | MapFlags::ANONYMOUS | MapFlags::FIXED;
        let args = MmapArgs {
            addr: addr(16),
            len_bytes: bytes(2),
            prot: RW,
            flags: shared,
            backing: MmapBacking::None,
            offset_bytes: 0,
        };
        mm.mmap(&args).expect("mapped");
        assert_eq!(mm.mremap(addr(16), 0, bytes(2), FIXED, Some(addr(64)), None), Ok(addr(64)));
        mm.write_page(page(65), 3).expect("written");
        assert_eq!(mm.read_page(page(17)), Ok(3));
        mm.exit();
    });
}

#[test]
fn a_move_goes_where_the_recorded_kernel_put_it() {
    check(|mm| {
        let grow = |at: u64, from: u64, to: u64, recorded: Option<VirtAddr>| {
            mm.mremap(addr(at), bytes(from), bytes(to), MremapFlags::MAYMOVE, None, recorded)
        };
        assert_eq!(grow(0, 8, 12, Some(addr(0))), Ok(addr(0)), "in place, as recorded");
        assert_eq!(grow(0, 12, 16, Some(addr(100))), Ok(addr(100)), "moved although there was room");
        assert_eq!(mm.read_page(page(103)), Ok(page(3).0));
        mm.mmap_anon(pages(200, 2), RW).expect("mapped");
        assert_eq!(grow(100, 16, 20, Some(addr(199))), Err(Errno::EEXIST));
        assert_eq!(mm.read_page(page(103)), Ok(page(3).0), "it stayed");
        mm.exit();
    });
}

/// Pages 4 to 8 are written by nobody: wherever they are, they hold what they did.
fn spawn_all(world: &World, mm: &Arc<Mm>) {
    let spawn = |name: &str, body: fn(&Arc<Mm>)| {
        let mm = Arc::clone(mm);
        world.kernel.enter(|k| k.spawn(Name::new(name), move || body(&mm)));
    };
    spawn("forker", |mm| {
        for _ in 0..2 {
            let child = fork(mm);
            let (here, there) = (child.read_page(page(5)), child.read_page(page(65)));
            assert_eq!(here.or(there), Ok(page(5).0), "at one of the two places");
            assert!(here.is_err() || there.is_err());
            child.write_page(page(0), 1000).expect("written");
            assert_eq!(child.read_page(page(0)), Ok(1000));
            child.madvise(addr(2), bytes(2), Advice::DontNeed).expect("advised");
            assert_eq!(child.read_page(page(2)), Ok(0));
            child.exit();
        }
    });
    spawn("mover", |mm| {
        for (from, to) in [(4, 64), (64, 4)] {
            mm.mremap(addr(from), bytes(4), bytes(4), FIXED, Some(addr(to)), None).expect("moved");
            assert_eq!(mm.read_page(page(to + 1)), Ok(page(5).0));
        }
    });
    spawn("reclaim", |mm| {
        mm.reclaim_pages(pages(0, 8));
        mm.reclaim_pages(pages(64, 4));
        mm.machine().shrink(3);
    });
    spawn("writer", |mm| {
        for n in 0..4 {
            mm.write_page(page(n), n + 500).expect("written");
            assert_eq!(mm.read_page(page(n)), Ok(n + 500));
        }
    });
    spawn("adviser", |mm| {
        mm.write_page(page(8), 1).expect("written");
        mm.madvise(addr(8), bytes(2), Advice::Free).expect("advised");
        mm.madvise(addr(8), bytes(2), Advice::PageOut).expect("advised");
        mm.write_page(page(8), 2).expect("written");
        assert_eq!(mm.read_page(page(8)), Ok(2));
    });
}

#[test]
fn random_schedules_of_forks_moves_and_reclaim_end_without_a_report_and_leak_nothing() {
    for seed in 0..300 {
        let world = World::new(MachineConfig::default());
        let mm = world.new_mm("parent");
        world.kernel.enter(|_| {
            mm.mmap_anon(pages(0, 10), RW).expect("mapped");
            for vpn in pages(0, 8).iter() {
                mm.write_page(vpn, vpn.0).expect("written");
            }
            register(&mm, 1);
        });
        spawn_all(&world, &mm);
        world.run_random_and_exit(seed, &mm);
    }
}
