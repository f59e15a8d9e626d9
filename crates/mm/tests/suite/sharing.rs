//! Two tasks at once: what one does while the other is in the middle.

use crate::common::{ARENA, World, addr, bytes, pages, register};
use mm::MachineConfig;
use mm_types::{Name, Prot};
use sched::RandomScheduler;
use std::sync::Arc;
use trace::RunEnd;

const RW: Prot = Prot::READ.union(Prot::WRITE);

#[test]
fn faults_reclaim_and_munmap_under_random_schedules_end_and_leak_nothing() {
    for seed in 0..300 {
        let world = World::new(MachineConfig::default());
        let mm = world.new_mm("a");
        let setup = Arc::clone(&mm);
        world.kernel.enter(|k| {
            setup.mmap_anon(pages(0, 8), RW).expect("mapped");
            setup.touch(pages(0, 4), true).expect("touched");
            register(&setup, 1);
            let (a, b, c) = (Arc::clone(&mm), Arc::clone(&mm), Arc::clone(&mm));
            k.spawn(Name::new("writer"), move || {
                for vpn in pages(0, 8).iter() {
                    // It fails where the page is unmapped or read-only at that moment.
                    if a.write_page(vpn, vpn.0).is_ok()
                        && let Ok(tag) = a.read_page(vpn)
                    {
                        assert_eq!(tag, vpn.0);
                    }
                }
            });
            k.spawn(Name::new("reclaim"), move || {
                b.reclaim_pages(pages(0, 8));
                b.machine().shrink(2);
            });
            k.spawn(Name::new("unmap"), move || {
                c.munmap(addr(2), bytes(3)).expect("unmapped");
                c.mprotect(addr(5), bytes(3), Prot::READ).expect("changed");
                c.mprotect(addr(5), bytes(3), RW).expect("changed");
            });
        });
        let end = world.kernel.run(&mut RandomScheduler::new(seed, 0));
        assert_eq!(end, RunEnd::Finished, "seed {seed}");
        assert!(world.kernel.lock_reports().is_empty(), "seed {seed}: {:?}", world.kernel.lock_reports());
        world.kernel.enter(|_| mm.exit());
        let counts = world.machine.frame_counts();
        assert_eq!((counts.allocated, counts.mapped), (0, 0), "seed {seed}");
        assert_eq!(world.machine.swap_used(), 0, "seed {seed}");
        assert_eq!(world.machine.nr_anon_vmas(), 0, "seed {seed}");
        assert!(mm.pte(ARENA).is_none(), "seed {seed}");
    }
}

#[test]
fn two_holders_exit_once() {
    let world = World::new(MachineConfig::default());
    let mm = world.new_mm("a");
    world.kernel.enter(|_| {
        mm.mmap_anon(pages(0, 2), RW).expect("mapped");
        let users = mm.mmget_not_zero().expect("alive");
        mm.exit();
        assert_eq!((mm.users(), mm.vmas().len()), (1, 1), "a user is left");
        drop(users);
        assert_eq!((mm.users(), mm.vmas().len()), (0, 0));
        assert!(mm.mmget_not_zero().is_none());
    });
}
