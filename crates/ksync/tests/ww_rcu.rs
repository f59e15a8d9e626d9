//! Wait/wound mutexes and RCU in schedules, and what the validator is asked of tasks and memory.

use ksync::{
    Kernel, KernelConfig, Mutex, RcuFlavour, WwAcquireCtx, WwClass, WwMutex, WwPolicy, rcu_read_lock, synchronize_rcu,
};
use lockdep::{Assertion, Lockdep, ReportKind};
use mm_types::{Errno, Name};
use sched::{FirstScheduler, RandomScheduler};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use trace::RunEnd;

fn kernel() -> Kernel {
    Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() })
}

fn kinds(k: &Kernel) -> Vec<ReportKind> {
    k.lock_reports().iter().map(|report| report.report.kind).collect()
}

/// Takes all of `locks`, in the order given, however often it has to give way; how often that was.
fn take_all(class: &WwClass, locks: &[WwMutex], first: usize, inside: &Cell<u32>) -> u32 {
    let ctx = WwAcquireCtx::init(class);
    let (mut gave_way, mut contended) = (0, None);
    loop {
        let mut guards = Vec::new();
        let slow = contended.map(|lock: usize| locks[lock].lock_slow(&ctx).expect("nothing else is held"));
        let order = (first..locks.len()).chain(0..first).filter(|lock| Some(*lock) != contended);
        let failed = order.clone().find(|lock| match locks[*lock].lock(Some(&ctx)) {
            Ok(guard) => {
                guards.push(guard);
                false
            }
            Err(error) => {
                assert_eq!(error, Errno::EDEADLK);
                true
            }
        });
        if failed.is_none() {
            ctx.done();
            assert_eq!(inside.replace(1), 0, "two tasks have all of them");
            locks.iter().for_each(|lock| assert!(lock.try_lock(None).is_none()));
            inside.set(0);
            return gave_way;
        }
        drop((guards, slow));
        gave_way += 1;
        contended = failed;
    }
}

/// Opposite orders never deadlock, nothing is reported, and giving way happens.
#[test]
fn tasks_that_take_the_same_locks_in_any_order_all_get_through() {
    for policy in [WwPolicy::WoundWait, WwPolicy::WaitDie] {
        let k = kernel();
        let gave_way = Rc::new(Cell::new(0));
        for run in 0..400 {
            k.reset();
            k.enter(|k| {
                let class = Arc::new(WwClass::new(k, "reservation_ww_class", policy));
                let locks: Arc<Vec<WwMutex>> = Arc::new((0..3).map(|_| WwMutex::new(k, &class)).collect());
                let inside = Rc::new(Cell::new(0));
                for task in 0..3 {
                    let (class, locks, inside, gave_way) =
                        (class.clone(), locks.clone(), inside.clone(), gave_way.clone());
                    k.spawn(Name::new(&format!("t{task}")), move || {
                        let times = take_all(&class, &locks, task, &inside);
                        gave_way.set(gave_way.get() + times);
                    });
                }
            });
            assert_eq!(k.run(&mut RandomScheduler::new(11, run)), RunEnd::Finished, "{policy:?} run {run}");
            assert_eq!(kinds(&k), [], "{policy:?} run {run}");
        }
        assert!(gave_way.get() > 0, "{policy:?}");
    }
}

/// Without a context they are ordinary mutexes of one class: the second is recursion, and opposite orders deadlock.
#[test]
fn without_a_context_opposite_orders_deadlock() {
    let k = kernel();
    let deadlocked = (0..200).any(|run| {
        k.reset();
        k.enter(|k| {
            let class = WwClass::new(k, "reservation_ww_class", WwPolicy::WoundWait);
            let (a, b) = (WwMutex::new(k, &class), WwMutex::new(k, &class));
            for (name, first, second) in [("one", a, b), ("two", b, a)] {
                k.spawn(Name::new(name), move || {
                    let outer = first.lock(None).expect("no context gives way");
                    let inner = second.lock(None).expect("no context gives way");
                    drop((inner, outer));
                });
            }
        });
        let end = k.run(&mut RandomScheduler::new(3, run));
        assert_eq!(kinds(&k)[0], ReportKind::Recursive);
        match end {
            RunEnd::Deadlock { blocked, cycle } => {
                assert_eq!(cycle.len(), 2);
                assert_eq!(blocked[0].waits_for.what.as_str(), "reservation_ww_class_mutex");
                true
            }
            _ => false,
        }
    });
    assert!(deadlocked);
}

#[test]
fn a_grace_period_waits_for_the_sections_that_had_begun() {
    let k = kernel();
    let mut waited = false;
    for run in 0..200 {
        k.reset();
        let freed = Rc::new(Cell::new(false));
        let (reader, writer) = (freed.clone(), freed.clone());
        let read = Rc::new(Cell::new(false));
        let reading = read.clone();
        k.enter(|k| {
            let pointer = Arc::new(ksync::TrackedU64::new(k.new_obj(), 1));
            let published = pointer.clone();
            k.spawn(Name::new("reader"), move || {
                let section = rcu_read_lock(RcuFlavour::Plain);
                ksync::current(|k| k.rcu_dereference_check(false));
                if pointer.load() == 1 {
                    reading.set(true);
                    // Whoever saw the old value may use it to the end of the section.
                    pointer.load();
                    assert!(!reader.get());
                }
                drop(section);
            });
            k.spawn(Name::new("writer"), move || {
                published.store(2);
                synchronize_rcu();
                writer.set(true);
            });
        });
        assert_eq!(k.run(&mut RandomScheduler::new(5, run)), RunEnd::Finished);
        assert_eq!(kinds(&k), []);
        waited |= read.get();
    }
    assert!(waited);
}

#[test]
fn suspicious_uses_of_rcu_are_reported() {
    let text = |body: fn()| {
        let k = kernel();
        k.enter(|k| k.spawn(Name::new("task"), body));
        let end = k.run(&mut FirstScheduler);
        let texts: Vec<String> = k.lock_reports().iter().map(|report| report.report.to_text("6.12")).collect();
        (end, texts)
    };
    let (_, texts) = text(|| ksync::current(|k| k.rcu_dereference_check(false)));
    assert!(
        texts[0].contains("WARNING: suspicious RCU usage\n")
            && texts[0].contains("ww_rcu.rs")
            && texts[0].contains(" suspicious rcu_dereference_check() usage!\n"),
        "{texts:?}"
    );
    let (_, texts) = text(|| {
        ksync::current(|k| k.rcu_dereference_check(true));
        let _section = rcu_read_lock(RcuFlavour::Plain);
        ksync::current(|k| k.rcu_dereference_check(false));
    });
    assert_eq!(texts, [] as [String; 0]);
    for (flavour, words) in [
        (RcuFlavour::Plain, "Illegal context switch in RCU read-side critical section!"),
        (RcuFlavour::Bh, "Illegal context switch in RCU-bh read-side critical section!"),
        (RcuFlavour::Sched, "Illegal context switch in RCU-sched read-side critical section!"),
    ] {
        let k = kernel();
        k.enter(|k| {
            k.spawn(Name::new("task"), move || {
                let _section = rcu_read_lock(flavour);
                ksync::current(|k| k.might_sleep_at(Name::new("task")));
            })
        });
        assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
        assert!(k.lock_reports()[0].report.to_text("6.12").contains(words), "{words}");
    }
    // A mutex inside is too deep a wait as well.
    let k = kernel();
    k.enter(|k| {
        let mutex: Arc<Mutex<()>> = Arc::new(k.mutex("m", ()));
        k.spawn(Name::new("task"), move || {
            let _section = rcu_read_lock(RcuFlavour::Plain);
            drop(mutex.lock());
        })
    });
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    assert_eq!(kinds(&k), [ReportKind::SuspiciousRcu, ReportKind::InvalidWaitContext]);
    let (end, texts) = text(|| {
        let _section = rcu_read_lock(RcuFlavour::Plain);
        synchronize_rcu();
    });
    assert!(matches!(end, RunEnd::Deadlock { ref cycle, .. } if cycle.len() == 1), "{end:?}");
    assert!(texts[0].contains("Illegal synchronize_rcu() in RCU read-side critical section!"), "{texts:?}");
}

#[test]
fn a_task_that_ends_or_leaves_the_kernel_with_a_lock_is_reported() {
    let k = kernel();
    k.enter(|k| {
        let (kept, freed): (Arc<Mutex<()>>, _) = (Arc::new(k.mutex("m", ())), k.lock_map("memory"));
        k.spawn(Name::new("task"), move || {
            std::mem::forget(kept.lock());
            let held = freed.acquire();
            ksync::current(|k| {
                k.lockdep_assert(Assertion::Held(freed.obj().0));
                k.lock_freed(freed.obj());
                drop(held);
                k.lock_freed(freed.obj());
                k.lockdep_assert(Assertion::Held(freed.obj().0));
                k.return_to_user();
            });
        })
    });
    assert_eq!(k.run(&mut FirstScheduler), RunEnd::Finished);
    use ReportKind::{AssertionFailed, HeldLockFreed, LocksHeldAtExit, LocksHeldInUserspace};
    assert_eq!(kinds(&k), [HeldLockFreed, AssertionFailed, LocksHeldInUserspace, LocksHeldAtExit]);
    assert_eq!(k.lock_reports()[3].report.first_line(), "WARNING: task/1 still has locks held!");
}
