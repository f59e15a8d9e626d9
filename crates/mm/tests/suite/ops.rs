//! One operation a case, in setup and in a task.

use crate::common::{ARENA, Context, Quiet, World, addr, bytes, pages, register};
use ksync::{ChoiceKind, Scheduler};
use mm::device::HmmError;
use mm::vma::{MapFlags, MapsLine, MmapArgs, MmapBacking, Placement};
use mm::{FaultError, MachineConfig, Mm, ZERO_PAGE, device};
use mm_types::{Errno, Gfp, Name, PageRange, Prot, PteKind, VirtAddr, Vpn};
use mmu_notifier::{Hooks, MmHost, Subscriptions};
use sched::{FirstScheduler, SchedView};
use std::sync::Arc;
use trace::{EventKind, NotifyEvent, RunEnd};

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn both(body: impl Fn(&World, Context)) {
    for context in [Context::Setup, Context::Task] {
        let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
        body(&world, context);
    }
}

/// An address space with `len` anonymous pages from the start of the arena.
fn mapped(world: &World, len: u64) -> Arc<Mm> {
    let mm = world.new_mm("a");
    let at = Arc::clone(&mm);
    world.run(Context::Setup, move || at.mmap_anon(pages(0, len), RW)).expect("mapped");
    mm
}

fn brackets(world: &World) -> Vec<(NotifyEvent, PageRange)> {
    let starts = world.events();
    starts
        .iter()
        .filter_map(|e| match e.kind {
            EventKind::RangeStart { range, .. } => Some((range.event, range.pages)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_read_maps_the_zero_page_and_a_write_then_copies_it_in_a_bracket() {
    both(|world, context| {
        let mm = mapped(world, 4);
        let at = Arc::clone(&mm);
        world.run(context, move || {
            assert_eq!(at.read_page(ARENA), Ok(0));
            assert!(at.pte(ARENA).is_special() && at.pte(ARENA).pfn() == Some(ZERO_PAGE));
            at.write_page(ARENA, 7).expect("written");
            assert_eq!(at.read_page(ARENA), Ok(7));
            at.write_page(ARENA + 1, 8).expect("written");
        });
        assert!(mm.pte(ARENA).is_writable());
        assert_eq!(brackets(world), [(NotifyEvent::Clear, pages(0, 1))], "a first write needs none");
    });
}

#[test]
fn an_access_that_the_mapping_does_not_allow_is_refused() {
    both(|world, context| {
        let mm = mapped(world, 4);
        let at = Arc::clone(&mm);
        world.run(context, move || {
            assert_eq!(at.read_page(ARENA + 9), Err(FaultError::NotMapped(ARENA + 9)));
            at.write_page(ARENA, 1).expect("written");
            at.mprotect(addr(0), bytes(4), Prot::READ).expect("changed");
            assert_eq!(at.write_page(ARENA, 2), Err(FaultError::NotAllowed(ARENA)));
            at.mprotect(addr(0), bytes(4), Prot::empty()).expect("changed");
            assert_eq!(at.read_page(ARENA), Err(FaultError::NotAllowed(ARENA)));
            assert!(matches!(at.pte(ARENA).kind(), PteKind::ProtNone { .. }));
            at.mprotect(addr(0), bytes(4), RW).expect("changed");
            assert_eq!(at.read_page(ARENA), Ok(1), "PROT_NONE keeps the page");
        });
    });
}

#[test]
fn errors_are_the_kernels() {
    both(|world, context| {
        let mm = mapped(world, 4);
        let at = Arc::clone(&mm);
        world.run(context, move || {
            assert_eq!(at.munmap(VirtAddr(addr(0).0 + 1), 4096), Err(Errno::EINVAL));
            assert_eq!(at.munmap(addr(0), 0), Err(Errno::EINVAL));
            assert_eq!(at.mprotect(addr(2), bytes(4), Prot::READ), Err(Errno::ENOMEM), "a hole");
            assert_eq!(at.vmas().len(), 2, "what came before the hole is changed");
            let taken = MmapArgs {
                addr: addr(0),
                len_bytes: bytes(1),
                prot: RW,
                flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED_NOREPLACE,
                backing: MmapBacking::None,
                offset_bytes: 0,
            };
            assert_eq!(at.mmap(&taken), Err(Errno::EEXIST));
        });
        let errors = world.count(|e| matches!(e, EventKind::CallExit { error: Some(_) }));
        assert_eq!(errors, 4);
    });
}

#[test]
fn a_recorded_address_is_taken_as_it_is() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            let args = MmapArgs {
                addr: VirtAddr(0),
                len_bytes: bytes(2),
                prot: RW,
                flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS,
                backing: MmapBacking::None,
                offset_bytes: 0,
            };
            assert_eq!(mm.mmap_recorded(&args, addr(64)), Ok(addr(64)));
            assert_eq!(mm.mmap_recorded(&args, addr(65)), Err(Errno::EEXIST));
            let chosen = mm.mmap(&args).expect("mapped");
            assert!(chosen > addr(64), "top down: {chosen}");
        });
    });
}

#[test]
fn brk_grows_and_shrinks_with_one_bracket_for_the_shrink() {
    both(|world, context| {
        let mm = world.new_mm("a");
        let at = Arc::clone(&mm);
        world.run(context, move || {
            at.set_start_brk(addr(0));
            assert_eq!(at.brk(VirtAddr(0)), addr(0));
            assert_eq!(at.brk(addr(16)), addr(16));
            at.touch(pages(0, 16), true).expect("touched");
            assert_eq!(at.brk(addr(10)), addr(10));
            assert_eq!(at.brk(VirtAddr(addr(9).0 + 5)), VirtAddr(addr(9).0 + 5), "inside its page");
            assert_eq!(at.read_page(ARENA + 12), Err(FaultError::NotMapped(ARENA + 12)));
            assert_eq!(at.maps()[0].name, "[heap]");
        });
        let unmaps: Vec<_> = brackets(world).into_iter().filter(|(e, _)| *e == NotifyEvent::Unmap).collect();
        assert_eq!(unmaps, [(NotifyEvent::Unmap, pages(10, 6))]);
    });
}

#[test]
fn reclaim_sends_a_page_out_and_a_fault_brings_it_back() {
    both(|world, context| {
        let mm = mapped(world, 8);
        let at = Arc::clone(&mm);
        world.run(context, move || {
            register(&at, 1);
            for vpn in pages(0, 8).iter() {
                at.write_page(vpn, vpn.0).expect("written");
            }
            assert_eq!(at.reclaim_pages(pages(2, 3)), 3);
            assert!(matches!(at.pte(ARENA + 2).kind(), PteKind::Swap { .. }));
            assert_eq!(at.machine().swap_used(), 3);
            assert_eq!(at.read_page(ARENA + 2), Ok(ARENA.0 + 2));
            at.write_page(ARENA + 3, 9).expect("written");
            assert_eq!(at.read_page(ARENA + 3), Ok(9));
            assert_eq!(at.machine().swap_used(), 1);
        });
        let expected: Vec<_> = (2..5).map(|n| (NotifyEvent::Clear, pages(n, 1))).collect();
        assert_eq!(brackets(world), expected, "none for the way back");
        assert_eq!(world.count(|e| matches!(e, EventKind::SwapOut { .. })), 3);
        assert_eq!(world.count(|e| matches!(e, EventKind::SwapIn { .. })), 2);
    });
}

#[test]
fn a_pin_without_locks_takes_what_entries_allow_and_the_rest_under_mmap_lock() {
    /// How often `mmap_lock` is taken where two pages are pinned of which the first `touched` are there.
    fn locked(touched: u64, expected: bool) -> usize {
        let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
        let mm = mapped(&world, 2);
        world.run(Context::Task, move || {
            if expected {
                device::expect_gup_fast(mm.machine());
            }
            mm.touch(pages(0, touched), true).expect("touched");
            let pinned = device::pin_user_pages_fast(&mm, pages(0, 2), true).expect("pinned");
            let mapped = [0, 1].map(|page| mm.pte(ARENA + page).pfn().expect("mapped"));
            assert_eq!(pinned, mapped);
            assert_eq!(mm.reclaim_pages(pages(0, 2)), 0, "pinned");
            pinned.into_iter().for_each(|pfn| device::unpin_user_page(mm.machine(), pfn));
            assert_eq!(mm.reclaim_pages(pages(0, 2)), 2, "and not any more");
        });
        world.count(|e| match e {
            EventKind::LockAcquired { lock, .. } => lock.class.as_str() == "&mm->mmap_lock",
            _ => false,
        })
    }
    // Without walkers each page is looked up under the lock, which the touches take alike.
    assert_eq!(locked(2, false), locked(2, true) + 2);
    assert!(locked(1, false) > locked(1, true));
}

#[test]
fn a_pinned_page_stays_and_a_referenced_one_stays_in_the_swap_cache() {
    both(|world, context| {
        let mm = mapped(world, 2);
        let at = Arc::clone(&mm);
        world.run(context, move || {
            at.touch(pages(0, 2), true).expect("touched");
            let pinned = device::pin_user_pages(&at, pages(0, 1), true).expect("pinned");
            let got = device::get_user_pages(&at, pages(1, 1), true).expect("got");
            assert_eq!(at.reclaim_pages(pages(0, 2)), 0);
            assert_eq!(at.pte(ARENA).pfn(), Some(pinned[0]), "pinned: not unmapped");
            assert!(matches!(at.pte(ARENA + 1).kind(), PteKind::Swap { .. }), "got: unmapped, not freed");
            at.write_page(ARENA + 1, 5).expect("written");
            assert_eq!(at.pte(ARENA + 1).pfn(), Some(got[0]), "the same frame comes back");
            assert_eq!(device::frame_read(at.machine(), got[0]), 5);
            device::unpin_user_page(at.machine(), pinned[0]);
            device::put_user_page(at.machine(), got[0]);
            assert_eq!(at.reclaim_pages(pages(0, 2)), 2);
        });
    });
}

#[test]
fn memory_pressure_reclaims_until_swap_is_full() {
    let config = MachineConfig {
        memory_bytes: bytes(64),
        swap_bytes: bytes(64),
        reclaim_by_choice: false,
        ..MachineConfig::default()
    };
    let world = World::new(config);
    let mm = mapped(&world, 256);
    let at = Arc::clone(&mm);
    world.run(Context::Task, move || {
        let mut written = 0;
        let full = pages(0, 256).iter().find_map(|vpn| match at.write_page(vpn, vpn.0) {
            Ok(()) => {
                written += 1;
                None
            }
            Err(error) => Some(error),
        });
        assert_eq!(full, Some(FaultError::OutOfMemory));
        assert!((100..=128).contains(&written), "{written} pages in 64 of memory and 64 of swap");
        at.munmap(addr(64), bytes(192)).expect("unmapped");
        for vpn in pages(0, 64).iter() {
            assert_eq!(at.read_page(vpn), Ok(vpn.0), "no data lost");
        }
        at.exit();
    });
    assert_eq!(world.machine.frame_counts().allocated, 0);
    assert_eq!(world.machine.swap_used(), 0);
    assert!(world.count(|e| matches!(e, EventKind::ReclaimStart { direct: true })) > 0);
}

/// Enters reclaim at the first chance, and takes the first page.
struct Reclaiming;

impl Scheduler for Reclaiming {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        FirstScheduler.next_task(now)
    }
    fn choose(&mut self, kind: ChoiceKind, _options: u32) -> u32 {
        u32::from(kind == ChoiceKind::EntersReclaim)
    }
}

#[test]
fn a_driver_allocation_reclaims_when_the_schedule_says_so() {
    let world = World::new(MachineConfig::default());
    let mm = mapped(&world, 4);
    let at = Arc::clone(&mm);
    world.kernel.enter(|k| {
        at.touch(pages(0, 4), true).expect("touched in setup");
        k.spawn(Name::new("ioctl"), || {
            ksync::current(|k| {
                assert_eq!(k.kmalloc(Gfp::ATOMIC, 1), Ok(()));
                assert_eq!(k.kmalloc(Gfp::KERNEL, 1), Ok(()));
            });
        });
    });
    assert_eq!(world.kernel.run(&mut Reclaiming), RunEnd::Finished);
    assert_eq!(brackets(&world), [(NotifyEvent::Clear, pages(0, 1))], "GFP_ATOMIC does not");
    let order: Vec<_> = world
        .events()
        .iter()
        .filter_map(|e| match e.kind {
            EventKind::ReclaimStart { direct } => Some(format!("start {direct}")),
            EventKind::RangeStart { .. } => Some("range".to_owned()),
            EventKind::SwapOut { .. } => Some("swap out".to_owned()),
            EventKind::FrameFree { .. } => Some("free".to_owned()),
            EventKind::ReclaimEnd { freed } => Some(format!("end {freed}")),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["start true", "range", "swap out", "free", "end 1"]);
    let edges = world.kernel.lock_edges();
    let learnt = |from: &str, to: &str| edges.iter().any(|e| e.from == from && e.to == to);
    assert!(learnt("fs_reclaim", "mmu_notifier_invalidate_range_start"), "{edges:?}");
}

#[test]
fn a_stack_grows_down_to_the_page_that_is_touched() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            let args = MmapArgs {
                addr: addr(1000),
                len_bytes: bytes(4),
                prot: RW,
                flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::GROWSDOWN | MapFlags::FIXED,
                backing: MmapBacking::None,
                offset_bytes: 0,
            };
            mm.mmap(&args).expect("mapped");
            mm.write_page(ARENA + 990, 3).expect("grown");
            assert_eq!(mm.vmas()[0].range(), pages(990, 14));
            assert_eq!(mm.reclaim_pages(pages(990, 1)), 1, "the reverse map followed");
        });
    });
}

#[test]
fn private_file_pages_are_copied_and_shared_ones_are_not() {
    both(|world, context| {
        let mm = world.new_mm("a");
        let at = Arc::clone(&mm);
        world.run(context, move || {
            let file = at.machine().open_file("/lib/x", "fe:00 1");
            let backing = MmapBacking::File { file, readable: true, writable: true };
            for (start, kind) in [(0, MapFlags::PRIVATE), (8, MapFlags::SHARED), (16, MapFlags::PRIVATE)] {
                let flags = kind | MapFlags::FIXED;
                let args =
                    MmapArgs { addr: addr(start), len_bytes: bytes(4), prot: RW, flags, backing, offset_bytes: 0 };
                at.mmap(&args).expect("mapped");
            }
            at.write_page(ARENA + 8, 5).expect("shared write");
            assert_eq!(at.read_page(ARENA), Ok(5), "one page cache");
            at.write_page(ARENA, 6).expect("private write");
            assert_eq!((at.read_page(ARENA), at.read_page(ARENA + 8)), (Ok(6), Ok(5)));
            at.write_page(ARENA + 16, 7).expect("first access is a write");
            assert_eq!(at.read_page(ARENA + 8), Ok(5));
            at.exit();
        });
        assert_eq!(brackets(world)[0], (NotifyEvent::Clear, pages(0, 1)));
        let counts = world.machine.frame_counts();
        assert_eq!((counts.allocated, counts.page_cache), (1, 1));
    });
}

#[test]
fn a_protection_change_at_address_0_leaves_a_bracket_open() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            mm.set_placement(Placement { min_addr: VirtAddr(0), may_map_low: true, ..Placement::default() });
            let gib = 1 << 18;
            let all = PageRange::with_len(Vpn(0), 2 * gib).expect("not empty");
            mm.mmap_anon(all, RW).expect("mapped at 0");
            mm.write_page(Vpn(5), 1).expect("written");
            mm.write_page(Vpn(gib + 7), 1).expect("written");
            mm.mprotect(VirtAddr(0), all.nr_pages() * 4096, Prot::READ).expect("changed");
        });
        let told: Vec<String> = world
            .events()
            .iter()
            .filter_map(|e| match e.kind {
                EventKind::RangeStart { range, .. } => Some(format!("start {}", range.pages)),
                EventKind::RangeEnd { .. } => Some("end".to_owned()),
                EventKind::BracketLeaked { .. } => Some("leaked".to_owned()),
                EventKind::TlbFlush { pages, .. } => Some(format!("flush {pages}")),
                _ => None,
            })
            .collect();
        let expected = [
            "start [0x0, 0x80000000)",
            "leaked",
            "start [0x40000000, 0x80000000)",
            "end",
            "flush [0x0, 0xffffffffffffffff)",
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn hmm_range_fault_gives_what_the_page_table_says_unless_invalidated_meanwhile() {
    both(|world, context| {
        let mm = mapped(world, 4);
        world.run(context, move || {
            let host: &dyn MmHost = &*mm;
            let quiet = Arc::new(Quiet { name: Name::new("mirror"), hooks: Hooks::empty() });
            let sub = Subscriptions::interval_insert(host, pages(0, 4), quiet).expect("inserted");
            let seq = mm.subscriptions().read_begin(&sub);
            let found = device::hmm_range_fault(&mm, &sub, seq, pages(0, 2), true).expect("faulted in");
            assert_eq!(
                found.iter().map(|p| (p.vpn, p.writable)).collect::<Vec<_>>(),
                [(ARENA, true), (ARENA + 1, true)]
            );
            assert_eq!(found[0].pfn, mm.pte(ARENA).pfn().expect("present"));
            assert!(!sub.read_retry(seq));
            mm.munmap(addr(1), bytes(1)).expect("unmapped");
            let again = device::hmm_range_fault(&mm, &sub, seq, pages(0, 1), true);
            assert_eq!(again, Err(HmmError::Busy));
            let seq = mm.subscriptions().read_begin(&sub);
            let hole = device::hmm_range_fault(&mm, &sub, seq, pages(0, 2), false);
            assert_eq!(hole, Err(HmmError::Errno(Errno::EFAULT)));
            Subscriptions::interval_remove(host, &sub);
        });
    });
}

#[test]
fn recorded_maps_are_loaded_and_shown_as_they_were() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            let line = |start: u64, len, prot, offset_bytes, name: &str, device_inode: &str| MapsLine {
                range: pages(start, len),
                prot,
                shared: false,
                offset_bytes,
                device_inode: device_inode.to_owned(),
                name: name.to_owned(),
            };
            let lines = [
                line(0, 2, Prot::READ, 0, "/bin/cat", "fe:00 7"),
                line(2, 4, Prot::READ | Prot::EXEC, 0x2000, "/bin/cat", "fe:00 7"),
                line(16, 4, RW, 0, "[heap]", MapsLine::NO_INODE),
                line(32, 2, RW, 0, "", MapsLine::NO_INODE),
                line(64, 1, Prot::READ | Prot::EXEC, 0, "[vdso]", MapsLine::NO_INODE),
            ];
            mm.load_maps(&lines).expect("loaded");
            assert_eq!(mm.maps(), lines);
            assert_eq!(mm.brk(addr(18)), addr(18), "the heap's bounds come from its line");
            mm.touch(pages(0, 6), false).expect("read the program");
            mm.touch(pages(16, 2), true).expect("wrote the heap");
            mm.touch(pages(64, 1), false).expect("read the vdso");
            assert_eq!(mm.reclaim_pages(pages(0, 65)), 8, "the kernel's own page stays");
            mm.exit();
        });
    });
}
