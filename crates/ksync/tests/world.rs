//! The locks inside a simulated kernel: exclusion, deadlocks with their cycles, pins, teardown.

use ksync::{Completion, Kernel, KernelConfig, LockClass, LockNested, Pin, Srcu, WaitQueue, current};
use lockdep::Lockdep;
use mm_types::{Gfp, Name, TaskId};
use sched::{FirstScheduler, RandomScheduler};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trace::{BlockedTask, Event, EventKind, LockKind, Observer, RunEnd};

fn kernel() -> Kernel {
    Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() })
}

fn random(seed: u64, run: u64) -> RandomScheduler {
    RandomScheduler::new(seed, run)
}

/// Runs `setup` in fresh runs of one kernel until `found` says so; how many runs that took.
fn runs_until(k: &Kernel, limit: u64, setup: impl Fn(&Kernel), found: impl Fn(&RunEnd) -> bool) -> Option<u64> {
    (0..limit).find(|run| {
        k.reset();
        k.enter(&setup);
        found(&k.run(&mut random(1, *run)))
    })
}

#[track_caller]
fn deadlock(end: RunEnd) -> (Vec<BlockedTask>, Vec<TaskId>) {
    match end {
        RunEnd::Deadlock { blocked, cycle } => (blocked, cycle),
        other => panic!("expected a deadlock, the run {}", other.word()),
    }
}

fn abba(k: &Kernel) {
    let a = Arc::new(k.mutex("a", ()));
    let b = Arc::new(k.mutex("b", ()));
    let (a2, b2) = (a.clone(), b.clone());
    k.spawn(Name::new("one"), move || {
        let _a = a.lock();
        let _b = b.lock();
    });
    k.spawn(Name::new("two"), move || {
        let _b = b2.lock();
        let _a = a2.lock();
    });
}

#[test]
fn mutex_and_spinlock_exclude() {
    let k = kernel();
    for run in 0..200 {
        k.reset();
        let total = Arc::new(AtomicU64::new(0));
        k.enter(|k| {
            let m = Arc::new(k.mutex("m", 0u64));
            let s = Arc::new(k.spinlock("s", 0u64));
            for t in 0..3 {
                let (m, s, total) = (m.clone(), s.clone(), total.clone());
                k.spawn(Name::new(&format!("t{t}")), move || {
                    for _ in 0..5 {
                        let mut g = m.lock();
                        let seen = *g;
                        // Another task would get in here if the mutex did not hold.
                        *s.lock() += 1;
                        *g = seen + 1;
                        total.store(*g, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(k.run(&mut random(3, run)), RunEnd::Finished);
        assert_eq!(total.load(Ordering::Relaxed), 15);
        assert!(k.lock_reports().is_empty());
    }
}

#[test]
fn abba_is_reported_without_a_deadlock_and_found_as_one() {
    let k = kernel();
    k.enter(abba);
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    let reports = k.lock_reports();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].report.title(), "WARNING: possible circular locking dependency detected");
    assert_eq!(reports[0].task, TaskId(2));

    let run = runs_until(&k, 100, abba, |end| matches!(end, RunEnd::Deadlock { .. })).expect("a deadlocking run");
    k.reset();
    k.enter(abba);
    let (blocked, cycle) = deadlock(k.run(&mut random(1, run)));
    assert_eq!(cycle, [TaskId(1), TaskId(2)]);
    assert_eq!(blocked[0].waits_for.what.as_str(), "b");
    assert_eq!(blocked[0].waits_for.holders, [TaskId(2)]);
    assert_eq!(blocked[0].holds.iter().map(|h| h.class.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(blocked[1].waits_for.holders, [TaskId(1)]);
    assert!(blocked[1].waits_for.site.contains("world.rs"), "{}", blocked[1].waits_for.site);
}

#[test]
fn taking_a_mutex_twice_is_a_cycle_of_one() {
    let k = kernel();
    k.enter(|k| {
        let a = Arc::new(k.mutex("a", ()));
        k.spawn(Name::new("one"), move || {
            let _outer = a.lock();
            let _inner = a.lock();
        });
    });
    let (blocked, cycle) = deadlock(k.run(&mut FirstScheduler));
    assert_eq!(cycle, [TaskId(1)]);
    assert_eq!(blocked[0].waits_for.holders, [TaskId(1)]);
    assert_eq!(blocked[0].holds.len(), 1);
    assert_eq!(k.lock_reports()[0].report.title(), "WARNING: possible recursive locking detected");
}

#[test]
fn two_locks_of_one_class_nest_under_a_subclass_only() {
    let sem = LockClass::new("sem", LockKind::RwSem);
    let spin = LockClass::new("spin", LockKind::Spin);
    let reports_of = |nested: bool| {
        let k = kernel();
        k.enter(|k| {
            let (outer, inner) = (k.rwsem_of(sem, ()), k.rwsem_of(sem, ()));
            let (first, second) = (k.spinlock_in(k.class(spin), ()), k.spinlock_in(k.class(spin), ()));
            let _outer = outer.write();
            if nested {
                drop(inner.lock_nested(k.class(sem.subclass(1))));
                let _first = first.lock();
                drop(second.lock_nested(k.class(spin.subclass(1))));
            } else {
                drop(inner.write());
                let _first = first.lock();
                drop(second.lock());
            }
            assert!(!inner.is_locked() && !second.is_locked(), "the guard let go");
        });
        k.lock_reports().len()
    };
    assert_eq!((reports_of(true), reports_of(false)), (0, 2));
}

#[test]
fn a_reader_queues_behind_a_waiting_writer() {
    let k = kernel();
    let setup = |k: &Kernel| {
        let sem = Arc::new(k.rwsem("sem", ()));
        let writer = sem.clone();
        k.spawn(Name::new("reader"), move || {
            let _outer = sem.read();
            let _inner = sem.read();
        });
        k.spawn(Name::new("writer"), move || drop(writer.write()));
    };
    let found = runs_until(&k, 200, setup, |end| matches!(end, RunEnd::Deadlock { .. }));
    assert!(found.is_some(), "nested reads with a writer between them must deadlock in some order");
}

#[test]
fn readers_share_and_a_downgrade_lets_them_in() {
    let k = kernel();
    let inside = Arc::new(AtomicU64::new(0));
    let seen = inside.clone();
    k.enter(|k| {
        let sem = Arc::new(k.rwsem("sem", ()));
        let reader = sem.clone();
        let done = Arc::new(Completion::new(k, Name::new("reader_in")));
        let wait = done.clone();
        k.spawn(Name::new("downgrades"), move || {
            let guard = lock_api::RwLockWriteGuard::downgrade(sem.write());
            // Only a reader that shares the hold can complete this.
            wait.wait();
            drop(guard);
        });
        k.spawn(Name::new("reads"), move || {
            let _g = reader.read();
            inside.fetch_add(1, Ordering::Relaxed);
            done.complete();
        });
    });
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[test]
fn a_grace_period_waits_for_earlier_readers_and_not_for_later_ones() {
    let k = kernel();
    for run in 0..100 {
        k.reset();
        let order = Arc::new(log::Log::default());
        let log = order.clone();
        k.enter(|k| {
            let srcu = Arc::new(Srcu::new(k, "srcu", false));
            let gate = Arc::new(Completion::new(k, Name::new("began")));
            let (reader, began) = (srcu.clone(), gate.clone());
            let log2 = log.clone();
            k.spawn(Name::new("reader"), move || {
                let _section = reader.read_lock();
                began.complete();
                others_go_on();
                log2.push("reader left");
            });
            k.spawn(Name::new("waiter"), move || {
                gate.wait();
                srcu.synchronize();
                log.push("grace period over");
            });
        });
        assert_eq!(k.run(&mut random(9, run)), RunEnd::Finished);
        assert_eq!(order.take(), ["reader left", "grace period over"]);
    }
}

/// A scheduling point that conflicts with nothing.
fn others_go_on() {
    current(|k| k.visible_write(k.new_obj()));
}

/// Two tasks ask for a grace period while one reader is inside: neither gets an answer before it left. The period that the
/// second asks for is not the one that the first began.
#[test]
fn grace_periods_that_overlap_wait_for_the_same_reader() {
    let k = kernel();
    for run in 0..200 {
        k.reset();
        let order = Arc::new(log::Log::default());
        let log = order.clone();
        k.enter(|k| {
            let srcu = Arc::new(Srcu::new(k, "srcu", false));
            let began = Arc::new(Completion::new(k, Name::new("began")));
            for name in ["first", "second"] {
                let (srcu, began, log) = (srcu.clone(), began.clone(), log.clone());
                k.spawn(Name::new(name), move || {
                    began.wait();
                    srcu.synchronize();
                    log.push("grace period over");
                });
            }
            k.spawn(Name::new("reader"), move || {
                let _section = srcu.read_lock();
                began.complete_all();
                (0..3).for_each(|_| others_go_on());
                log.push("reader left");
            });
        });
        assert_eq!(k.run(&mut random(11, run)), RunEnd::Finished);
        assert_eq!(order.take(), ["reader left", "grace period over", "grace period over"], "run {run}");
    }
}

mod log {
    use std::sync::Mutex;
    #[derive(Default)]
    pub(super) struct Log(Mutex<Vec<&'static str>>);
    impl Log {
        pub(super) fn push(&self, what: &'static str) {
            self.0.lock().unwrap().push(what);
        }
        pub(super) fn take(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }
}

#[test]
fn waiting_for_a_grace_period_inside_a_section_names_oneself() {
    let k = kernel();
    k.enter(|k| {
        let srcu = Arc::new(Srcu::new(k, "srcu", false));
        k.spawn(Name::new("one"), move || {
            let _section = srcu.read_lock();
            srcu.synchronize();
        });
    });
    let (blocked, cycle) = deadlock(k.run(&mut FirstScheduler));
    assert_eq!((blocked[0].waits_for.what.as_str(), cycle), ("synchronize_srcu", vec![TaskId(1)]));
}

#[test]
fn a_wait_names_who_owes_the_wake_up() {
    let k = kernel();
    k.enter(|k| {
        let queue = Arc::new(WaitQueue::new(k, Name::new("the event")));
        let lock = Arc::new(k.mutex("m", ()));
        let (queue2, lock2) = (queue.clone(), lock.clone());
        k.spawn(Name::new("owes"), move || {
            queue.owe();
            current(|k| k.sync_point(Name::new("user.owing")));
            let _m = lock.lock();
            queue.settle();
        });
        k.spawn(Name::new("waits"), move || {
            let _m = lock2.lock();
            queue2.wait_event(|| false);
        });
        k.add_pin(Pin { before: (Name::new("waits"), Name::new("m")), after: (Name::new("owes"), Name::new("m")) });
    });
    let (_, cycle) = deadlock(k.run(&mut FirstScheduler));
    assert_eq!(cycle, [TaskId(1), TaskId(2)]);
}

#[test]
fn a_pin_orders_two_tasks_under_every_schedule() {
    let k = kernel();
    for run in 0..50 {
        k.reset();
        let log = Arc::new(log::Log::default());
        let (l1, l2) = (log.clone(), log.clone());
        k.enter(|k| {
            let m = Arc::new(k.mutex("m", ()));
            let m2 = m.clone();
            k.spawn(Name::new("second"), move || {
                let _m = m.lock();
                l1.push("second");
            });
            k.spawn(Name::new("first"), move || {
                let _m = m2.lock();
                l2.push("first");
            });
            k.add_pin(Pin {
                before: (Name::new("first"), Name::new("m")),
                after: (Name::new("second"), Name::new("m")),
            });
        });
        assert_eq!(k.run(&mut random(5, run)), RunEnd::Finished);
        assert_eq!(log.take(), ["first", "second"]);
    }
}

#[test]
fn a_pin_that_nobody_passes_is_named_in_the_deadlock() {
    let k = kernel();
    k.enter(|k| {
        k.spawn(Name::new("waits"), || current(|k| k.sync_point(Name::new("user.b"))));
        k.spawn(Name::new("other"), || ());
        k.add_pin(Pin {
            before: (Name::new("other"), Name::new("user.a")),
            after: (Name::new("waits"), Name::new("user.b")),
        });
    });
    let (blocked, cycle) = deadlock(k.run(&mut FirstScheduler));
    assert_eq!(blocked[0].waits_for.what.as_str(), "order other@user.a");
    assert!(cycle.is_empty());
}

#[derive(Default)]
struct Keep(Vec<Event>);
impl Observer for Keep {
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
}

#[test]
fn allocations_prime_the_map_and_nofs_does_not_escape_it() {
    let k = kernel();
    let (kernel_gfp, nofs, atomic) = k.enter(|k| {
        let map = k.lock_map("mmu_notifier_invalidate_range_start");
        k.set_prime(Some(map));
        let count = |gfp| {
            let before =
                (k.acquisitions("fs_reclaim".into()), k.acquisitions("mmu_notifier_invalidate_range_start".into()));
            k.kmalloc(gfp, 1).unwrap();
            let after =
                (k.acquisitions("fs_reclaim".into()), k.acquisitions("mmu_notifier_invalidate_range_start".into()));
            (after.0 - before.0, after.1 - before.1)
        };
        (count(Gfp::KERNEL), count(Gfp::NOFS), count(Gfp::ATOMIC))
    });
    assert_eq!((kernel_gfp, nofs, atomic), ((1, 1), (0, 1), (0, 0)));
    let edges: Vec<(String, String)> = k.lock_edges().into_iter().map(|e| (e.from, e.to)).collect();
    assert_eq!(edges, [("fs_reclaim".to_owned(), "mmu_notifier_invalidate_range_start".to_owned())]);
}

#[test]
fn a_torn_down_run_is_silent_and_leaves_the_kernel_usable() {
    let k = kernel();
    let events = Rc::new(RefCell::new(Keep::default()));
    for run in 0..300 {
        k.reset();
        k.set_observer(Some(events.clone()));
        k.enter(abba);
        let end = k.run(&mut random(11, run));
        let seen = std::mem::take(&mut events.borrow_mut().0);
        let released = seen.iter().filter(|e| matches!(e.kind, EventKind::LockReleased { .. })).count();
        let acquired = seen.iter().filter(|e| matches!(e.kind, EventKind::LockAcquired { .. })).count();
        match end {
            RunEnd::Finished => assert_eq!((acquired, released), (4, 4)),
            RunEnd::Deadlock { .. } => assert_eq!((acquired, released), (2, 0), "guards of a dead run drop silently"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wherever_a_run_is_cut_no_lock_stays_taken() {
    for max_steps in 1..40 {
        let sched = sched::Config { max_steps, ..sched::Config::default() };
        let k = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), sched });
        let (m, s, r) = k.enter(|k| {
            let locks = (Arc::new(k.mutex("m", ())), Arc::new(k.spinlock("s", ())), Arc::new(k.rwsem("r", ())));
            let (m, s, r) = locks.clone();
            k.spawn(Name::new("takes all"), move || {
                for _ in 0..3 {
                    let _m = m.lock();
                    drop(r.read());
                    let _r = lock_api::RwLockWriteGuard::downgrade(r.write());
                    let _s = s.lock();
                }
            });
            locks
        });
        let end = k.run(&mut FirstScheduler);
        assert!(matches!(end, RunEnd::MaxSteps { .. } | RunEnd::Finished), "{}", end.word());
        assert!(!m.is_locked() && !s.is_locked() && !r.is_locked(), "cut after {max_steps} steps");
    }
}

#[test]
fn a_panic_is_an_outcome() {
    sched::install_panic_hook();
    let k = kernel();
    k.enter(|k| {
        let m = Arc::new(k.mutex("m", ()));
        k.spawn(Name::new("bad"), move || {
            let _m = m.lock();
            panic!("driver bug {}", 7);
        });
    });
    match k.run(&mut FirstScheduler) {
        RunEnd::Panicked { task, message, location } => {
            assert_eq!((task, message.as_str()), (TaskId(1), "driver bug 7"));
            assert!(location.is_some_and(|l| l.contains("world.rs")));
        }
        other => panic!("{other:?}"),
    }
}
