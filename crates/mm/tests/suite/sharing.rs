//! Two tasks at once: what one does while the other is in the middle.

use crate::common::{ARENA, Quiet, World, addr, bytes, pages, register};
use ksync::{Kernel, KernelConfig};
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, ObjId, Prot};
use mmu_notifier::{Annotations, Framework, Hooks, MmHost, Subscriptions};
use sched::RandomScheduler;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use trace::{RunEnd, RunHash};

const RW: Prot = Prot::READ.union(Prot::WRITE);

/// Three tasks on one address space, and one that subscribes and leaves again.
fn spawn_all(k: &Kernel, mm: &Arc<Mm>) {
    mm.mmap_anon(pages(0, 8), RW).expect("mapped");
    mm.touch(pages(0, 4), true).expect("touched");
    register(mm, 1);
    let (a, b, c, d) = (Arc::clone(mm), Arc::clone(mm), Arc::clone(mm), Arc::clone(mm));
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
    k.spawn(Name::new("subscriber"), move || {
        let host: &dyn MmHost = &*d;
        let hooks = Hooks::RANGE_START | Hooks::RANGE_END;
        let sub = Subscriptions::register(host, Arc::new(Quiet { name: Name::new("late"), hooks }));
        Subscriptions::unregister(host, sub.expect("registered"));
    });
}

#[test]
fn random_schedules_end_without_a_report_and_leak_nothing() {
    for seed in 0..300 {
        let world = World::new(MachineConfig::default());
        let mm = world.new_mm("a");
        world.kernel.enter(|k| spawn_all(k, &mm));
        let end = world.kernel.run(&mut RandomScheduler::new(seed, 0));
        assert_eq!(end, RunEnd::Finished, "seed {seed}");
        assert!(world.kernel.lock_reports().is_empty(), "seed {seed}: {:?}", world.kernel.lock_reports());
        world.kernel.enter(|_| mm.exit());
        let counts = world.machine.frame_counts();
        assert_eq!((counts.allocated, counts.mapped), (0, 0), "seed {seed}");
        assert_eq!(world.machine.swap_used(), 0, "seed {seed}");
        assert_eq!(world.machine.nr_anon_vmas(), 0, "seed {seed}");
        assert!(mm.pte(ARENA).is_none(), "seed {seed}");
        assert_eq!(mm.count(), 2, "seed {seed}: registrations that were not taken back keep the struct");
    }
}

fn hash_of_run(kernel: &Kernel, machine: &Arc<Machine>, seed: u64) -> u64 {
    let hash = Rc::new(RefCell::new(RunHash::default()));
    kernel.set_observer(Some(hash.clone()));
    let mm = kernel.enter(|k| {
        let mm = machine.new_mm(k, Name::new("a"));
        spawn_all(k, &mm);
        mm
    });
    kernel.run(&mut RandomScheduler::new(seed, 0));
    kernel.enter(|_| mm.exit());
    kernel.set_observer(None);
    hash.borrow().value()
}

#[test]
fn a_machine_that_was_reset_runs_as_a_new_one() {
    let kernel = Kernel::new(KernelConfig::default());
    let framework = |k: &Kernel| Framework::new(k, Annotations::default());
    let machine = kernel.enter(|k| Machine::new(k, MachineConfig::default(), framework(k)));
    let fresh: Vec<u64> = (0..20)
        .map(|seed| {
            let kernel = Kernel::new(KernelConfig::default());
            let machine = kernel.enter(|k| Machine::new(k, MachineConfig::default(), framework(k)));
            hash_of_run(&kernel, &machine, seed)
        })
        .collect();
    let reset: Vec<u64> = (0..20)
        .map(|seed| {
            kernel.reset();
            kernel.enter(|k| machine.reset(k, framework(k)));
            hash_of_run(&kernel, &machine, seed)
        })
        .collect();
    assert_eq!(reset, fresh);
    assert!(fresh.iter().any(|h| *h != fresh[0]), "the seeds differ");
}

/// Ends the run at its first turn from step `at` on.
fn stop_at(at: u64) {
    let turn = ObjId::keyed(127, 0);
    ksync::current(|k| {
        while k.steps() < at {
            k.visible_write(turn);
        }
        k.stop();
        k.visible_write(turn);
    });
}

#[test]
fn a_run_that_is_stopped_anywhere_is_torn_down_quietly_and_the_machine_goes_on() {
    let kernel = Kernel::new(KernelConfig::default());
    let framework = |k: &Kernel| Framework::new(k, Annotations::default());
    let machine = kernel.enter(|k| Machine::new(k, MachineConfig::default(), framework(k)));
    for at in 0..400 {
        kernel.reset();
        let mm = kernel.enter(|k| {
            machine.reset(k, framework(k));
            let mm = machine.new_mm(k, Name::new("a"));
            spawn_all(k, &mm);
            let held = mm.mmget();
            k.spawn(Name::new("holder"), move || drop(held));
            k.spawn(Name::new("stop"), move || stop_at(at));
            mm
        });
        let end = kernel.run(&mut RandomScheduler::new(at, 0));
        assert_eq!(end, RunEnd::Stopped, "step {at}");
        kernel.enter(|_| machine.sever());
        assert_eq!(Arc::strong_count(&mm), 1, "step {at}: nobody keeps the address space");
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

#[test]
fn what_holds_the_state_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Machine>();
    shared::<Mm>();
}
