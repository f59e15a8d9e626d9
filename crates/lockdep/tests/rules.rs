//! Each rule in both directions: what must be reported, and what must not.

mod common;

use std::sync::Arc;

use common::{World, check, edges};
use lockdep::ReportKind::{Circular, ReadLockDowngraded, Recursive, UnlockBalance};
use lockdep::{Acquire, ClassSpec, Held, LockType, Lockdep, Run, Site, Verdict, WaitType};

#[track_caller]
fn silent(line: &str) -> World {
    check(line, &[])
}

#[track_caller]
fn learns(line: &str, expect: &[&str]) {
    assert_eq!(edges(&silent(line).run), expect, "{line}");
}

#[test]
fn same_class_is_reported_whatever_the_instance() {
    check("A A", &[("A", Recursive)]);
    check("A A.2", &[("A.2", Recursive)]);
    check("A B A.2", &[("A.2", Recursive)]);
    silent("A -A A");
    silent("A A/1");
}

#[test]
fn same_class_is_allowed_to_a_recursive_reader_under_a_reader() {
    silent("A:R A.2:R");
    silent("A:r A.2:R");
    check("A:R A.2:r", &[("A.2:r", Recursive)]);
    check("A:r A.2:r", &[("A.2:r", Recursive)]);
    check("A A.2:R", &[("A.2:R", Recursive)]);
    check("A:R A.2", &[("A.2", Recursive)]);
    // The kernel looks at all that is held, not at the innermost of the class.
    check("A A.2:t A.3:R", &[("A.3:R", Recursive)]);
}

#[test]
fn same_class_is_judged_when_taken_by_waiting_and_checked() {
    silent("A A.2:t");
    silent("A A.2:u");
    check("A:t A.2", &[("A.2", Recursive)]);
    check("A:u A.2", &[("A.2", Recursive)]);
}

#[test]
fn recursion_gives_no_dependency_and_is_reported_once() {
    let mut world = check("B A A.2", &[("A.2", Recursive)]);
    assert_eq!(edges(&world.run), ["B-EN->A"]);
    assert_eq!(world.play("; A.3 A.4"), []);
    assert_eq!(world.run.reports().len(), 1);
}

#[test]
fn opposite_orders_are_reported_by_the_second() {
    check("A B ; B A", &[("A", Circular)]);
    check("A B ; B C ; C A", &[("A", Circular)]);
    silent("A B ; A B ; B ; B C ; A C");
    silent("A B ; B -B A");
}

#[test]
fn opposite_orders_of_two_tasks_are_reported() {
    let mut world = World::new();
    let mut other = Held::new("other", 2);
    assert_eq!(world.play("A B"), []);
    std::mem::swap(&mut world.held, &mut other);
    assert_eq!(world.play("B A"), [("A".into(), Circular)]);
    assert_eq!(world.run.reports()[0].comm, "other");
}

#[test]
fn nothing_leads_into_a_trylock_but_dependencies_start_there() {
    silent("A B:t ; B A");
    silent("A B ; B A:t");
    check("A:t B ; B A", &[("A", Circular)]);
    learns("A B:t", &[]);
}

#[test]
fn an_unchecked_lock_is_in_no_dependency() {
    silent("A B:u ; B A");
    silent("A:u B ; B A");
    silent("A B ; B A:u");
    learns("A B:u C:u", &[]);
}

#[test]
fn dependencies_go_outwards_to_the_first_lock_that_was_waited_for() {
    learns("A B C", &["A-EN->B", "B-EN->C"]);
    learns("A B:t C", &["A-EN->C", "B-EN->C"]);
    learns("A B:t C:t D", &["A-EN->D", "B-EN->D", "C-EN->D"]);
    learns("Z A B:t C", &["A-EN->C", "B-EN->C", "Z-EN->A"]);
    learns("A B:u C", &["A-EN->C"]);
    learns("A B:tu C", &["A-EN->C"]);
    check("A B:t C ; C A", &[("A", Circular)]);
}

#[test]
fn kinds_of_dependencies_are_kept_apart() {
    learns("A B ; A:r B ; A B:R ; A:R B:R", &["A-EN->B", "A-SN->B", "A-ER->B", "A-SR->B"]);
    learns("A:R B:r", &["A-SN->B"]);
}

#[test]
fn a_cycle_counts_only_if_no_reader_lets_a_reader_pass() {
    // Shared and not recursive waits behind a waiting writer: as bad as exclusive.
    check("A:r B ; B A:r", &[("A:r", Circular)]);
    check("A:r B:r ; B:r A:r", &[("A:r", Circular)]);
    // Recursive readers on both sides of A never keep each other out.
    silent("A:R B ; B A:R");
    silent("A:r B ; B A:R");
    silent("B A:R ; A:R B");
    // One of the two is enough to block.
    check("A B ; B A:R", &[("A:R", Circular)]);
    check("A:R B ; B A", &[("A", Circular)]);
    check("B A ; A:R B", &[("B", Circular)]);
    // Round a longer way, weak at one lock.
    silent("A:R B ; B C ; C A:R");
    check("A:R B ; B C ; C A:r", &[("A:r", Circular)]);
    // The weak way does not hide a strong one.
    check("A:R B ; B A:R ; B A", &[("A", Circular)]);
}

#[test]
fn a_strong_path_behind_a_weak_one_is_found() {
    // c1 -EN-> c3 and c2 -SN-> c3 are learnt together; c2 is first reached over c3 -ER-> c2.
    check("c2 c1 -c2 c2:Rt c3 c2.2:R", &[("c2.2:R", Circular)]);
    // X is reached recursively in one step, otherwise in two; only the longer way leads on to T.
    check("A X:R ; A Y ; Y X ; X:r T ; T A", &[("A", Circular)]);
    silent("A X:R ; A Y ; Y X:R ; X:r T ; T A");
}

#[test]
fn release_out_of_order_validates_the_rest_again() {
    learns("A B C -B", &["A-EN->B", "A-EN->C", "B-EN->C"]);
    learns("A B C -A", &["A-EN->B", "B-EN->C"]);
    // A reader between hides the cycle of A and C until it is released.
    check("C A ; A B:R C -B", &[("-B", Circular)]);
    silent("C A ; A B:R C -C -B");
}

#[test]
fn release_of_what_is_not_held_is_a_report() {
    check("-A", &[("-A", UnlockBalance)]);
    check("A -A -A", &[("-A", UnlockBalance)]);
    check("A -A.2 -A", &[("-A.2", UnlockBalance)]);
    silent("A A/1 -A -A/1");
}

#[test]
fn an_imbalance_names_the_class_if_the_caller_knows_it() {
    let mut world = World::new();
    let class = world.class("&obj->lock");
    assert!(!world.run.release_of(&mut world.held, class, 7, Site::here()).is_ok());
    assert!(!world.run.release(&mut world.held, 7, Site::here()).is_ok());
    assert_eq!(world.run.release(&mut world.held, 7, Site::here()), Verdict::Ok);
    let names: Vec<String> = world.run.reports().iter().map(|report| report.to_text("6.12")).collect();
    assert!(names[0].contains("release lock (&obj->lock) at:"), "{}", names[0]);
    assert!(names[1].contains("release lock (0000000000000007) at:"), "{}", names[1]);
}

#[test]
fn downgrade_turns_exclusive_into_shared_and_validates_again() {
    learns("A B -B vA B", &["A-EN->B", "A-SN->B"]);
    learns("A B vA", &["A-EN->B", "A-SN->B"]);
    learns("A B vB C", &["A-EN->B", "B-SN->C"]);
    silent("A vA -A");
    check("A vA vA", &[("vA", ReadLockDowngraded)]);
    check("A:r vA", &[("vA", ReadLockDowngraded)]);
    check("vA", &[("vA", UnlockBalance)]);
    // Held shared from the start, taking the class again recursively is allowed: so it is after a downgrade.
    silent("A vA A.2:R");
    check("A A.2:R", &[("A.2:R", Recursive)]);
}

#[test]
fn of_chains_that_differ_in_trylock_alone_the_first_is_validated() {
    // Recorded from the kernel: its chain key holds no trylock. Alone, the second line learns A -> C.
    let mut world = silent("A B C ; A B:t C");
    assert_eq!(edges(&world.run), ["A-EN->B", "B-EN->C"]);
    world.run.reset();
    world.held.reset();
    world.play("A B:t C");
    assert_eq!(edges(&world.run), ["A-EN->C", "B-EN->C"]);
}

#[test]
fn a_run_goes_on_and_reports_each_cycle_once() {
    let mut world = check("A B ; B A ; B A ; B.2 A.2", &[("A", Circular)]);
    assert_eq!(world.play("; C D ; D C"), [("C".into(), Circular)]);
    // Another cycle through a reported one is another cycle.
    assert_eq!(world.play("; B C ; C A"), [("A".into(), Circular)]);
    assert_eq!(world.run.reports().len(), 3);
    let ids: std::collections::BTreeSet<_> = world.run.reports().iter().map(|report| report.id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn an_id_does_not_depend_on_where_the_cycle_closed() {
    let id = |line: &str| {
        let mut world = World::new();
        world.play(line);
        assert_eq!(world.run.reports().len(), 1, "{line}");
        world.run.reports()[0].id
    };
    assert_eq!(id("A B ; B A"), id("B A ; A B"));
    assert_eq!(id("A B ; B C ; C A"), id("Z ; C A ; A B ; B C"));
    assert_ne!(id("A B ; B A"), id("A B ; B C ; C A"));
    assert_ne!(id("A B ; B A"), id("A B ; B:r A"), "kinds differ");
    // Pinned: an id is meant to be compared across versions.
    assert_eq!(id("A B ; B A").to_string(), "25fd24c99f83077f");
}

#[test]
fn reset_forgets_the_run_and_keeps_what_is_interned() {
    let mut world = check("A B ; B A", &[("A", Circular)]);
    world.run.reset();
    world.held.reset();
    assert!(world.run.reports().is_empty());
    assert!(world.run.edges().is_empty());
    assert!(world.run.chains().chains().is_empty());
    assert_eq!(world.run.acquisitions(world.class("A")), 0);
    assert_eq!(world.play("B A"), [], "the order learnt before the reset is gone");
    assert_eq!(world.play("; A B"), [("B".into(), Circular)]);
}

#[test]
fn acquisitions_are_counted_per_class_in_this_run() {
    let world = silent("A B -A A.2:t ; B C:u C.2:u");
    let count = |name| world.run.acquisitions(world.class(name));
    assert_eq!((count("A"), count("B"), count("C"), count("D")), (2, 2, 2, 0));
}

#[test]
fn the_same_specification_is_the_same_class() {
    let lockdep = Lockdep::new();
    let spec = ClassSpec::new("&mm->mmap_lock").wait(WaitType::Sleep);
    let class = lockdep.class(&spec);
    assert_eq!(lockdep.class(&spec), class);
    for other in [
        spec.subclass(1),
        spec.wait(WaitType::Spin),
        spec.ours(),
        ClassSpec { lock_type: LockType::PerCpu, ..spec },
        ClassSpec { wait_outer: WaitType::Free, ..spec },
        ClassSpec { name: "&mm->mmap_locks", ..spec },
    ] {
        assert_ne!(lockdep.class(&other), class, "{other:?}");
    }
    assert_eq!(lockdep.class_name(class), "&mm->mmap_lock");
    assert_eq!(lockdep.class_name(lockdep.class(&spec.subclass(1))), "&mm->mmap_lock/1");
    assert_eq!(lockdep.class_info(class).spec(), spec);
}

#[test]
fn cycles_whose_dependencies_come_from_different_runs_are_found_in_the_union() {
    let lines = ["A B", "B C", "C A"];
    let union = |order: [usize; 3]| {
        let lockdep = Lockdep::new();
        for line in order {
            let mut world = World { run: Run::new(Arc::clone(&lockdep)), held: Held::new("task", 1) };
            assert_eq!(world.play(lines[line]), []);
            assert!(lockdep.judge(&world.run.chains()).is_ok());
            lockdep.merge(&world.run.chains());
        }
        (lockdep.merged(), lockdep.judge(&lockdep.merged()))
    };
    let (chains, judgement) = union([0, 1, 2]);
    assert_eq!(judgement.findings.len(), 1);
    assert_eq!(judgement.findings[0].steps.len(), 3);
    assert_eq!(judgement.findings[0].id, check("A B ; B C ; C A", &[("A", Circular)]).run.reports()[0].id);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(union(order), (chains.clone(), judgement.clone()), "{order:?}");
    }
}

#[test]
fn runs_on_threads_share_one_validator() {
    let lockdep = Lockdep::new();
    let lines = ["A B ; B C ; A:t C", "C A ; D:R A", "B D ; A D:R"];
    std::thread::scope(|scope| {
        for line in lines {
            let lockdep = Arc::clone(&lockdep);
            scope.spawn(move || {
                let mut world = World { run: Run::new(lockdep), held: Held::new("task", 1) };
                for _ in 0..100 {
                    world.run.reset();
                    world.held.reset();
                    world.play(line);
                    world.run.merge();
                }
            });
        }
    });
    let mut alone = World::new();
    for line in lines {
        alone.run.reset();
        alone.held.reset();
        alone.play(line);
        alone.run.lockdep().merge(&alone.run.chains());
    }
    assert_eq!(lockdep.merged(), alone.run.lockdep().merged());
    assert!(!lockdep.judge(&lockdep.merged()).is_ok());
}

#[test]
fn deep_stacks_are_not_limited() {
    let mut world = World::new();
    for n in 0..1000_u64 {
        let class = world.class(&format!("lock{n}"));
        assert!(world.run.acquire(&mut world.held, class, n, Acquire::exclusive(), Site::here()).is_ok());
    }
    assert_eq!(world.held.locks().len(), 1000);
    assert_eq!(world.run.edges().len(), 999);
    let class = world.class("lock0");
    let _ = world.run.release(&mut world.held, 0, Site::here());
    assert!(!world.run.acquire(&mut world.held, class, 0, Acquire::exclusive(), Site::here()).is_ok());
}

/// The smallest case in which the kernel's search misses a cycle: `docs/fidelity.md`.
#[test]
fn a_weak_way_to_a_class_does_not_hide_a_strong_one() {
    check("c2 c1 ; c1 c2:rt c3 ; c3 c2:R", &[("c2:R", Circular)]);
}
