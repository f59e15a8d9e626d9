//! What must be reported of real locks on real threads, and what must not.
//!
//! Reports are kept for the whole process, and tests run side by side: each test names its locks after itself.

use std::time::Duration;

use lockdep_sync::ReportKind::{self, Circular, HeldLockFreed, LocksHeldAtExit, NestedLockNotTaken, Recursive};
use lockdep_sync::{Condvar, Mutex, ReentrantMutex, RwLock, RwLockWriteGuard, reports};

/// The kinds of all reports that name a class of this test.
#[track_caller]
fn check(test: &str, expected: &[ReportKind]) {
    let of_test: Vec<_> =
        reports().into_iter().filter(|report| report.to_text("").contains(&format!("({test}"))).collect();
    let kinds: Vec<ReportKind> = of_test.iter().map(|report| report.kind).collect();
    let texts: Vec<String> = of_test.iter().map(|report| report.to_text("test")).collect();
    assert_eq!(kinds, expected, "{}", texts.join("\n"));
}

/// One thread after the other, so that nothing can deadlock.
fn in_turn(work: &[&(dyn Fn() + Sync)]) {
    for work in work {
        // Joined by hand: a scope waits for what its threads do, not for their ends.
        std::thread::scope(|scope| scope.spawn(work).join()).expect("no panic");
    }
}

#[path = "../examples/abba.rs"]
#[expect(unreachable_pub, dead_code, reason = "an example is a program")]
mod abba;

#[test]
fn the_example_is_reported_and_goes_on() {
    abba::both_ways();
    let found = reports().into_iter().filter(|report| report.to_text("").contains("examples/abba.rs")).count();
    assert_eq!(found, 1);
}

#[test]
fn two_orders_are_a_cycle_and_one_order_is_none() {
    let (a, b) = (Mutex::named("two_orders A", ()), Mutex::named("two_orders B", ()));
    let (ab, ba) = (|| drop((a.lock(), b.lock())), || drop((b.lock(), a.lock())));
    in_turn(&[&ab, &ab]);
    check("two_orders", &[]);
    in_turn(&[&ba, &ba]);
    check("two_orders", &[Circular]);
}

#[test]
fn a_cycle_over_three_locks_and_three_threads() {
    let (a, b, c) = (Mutex::named("three A", ()), RwLock::named("three B", ()), ReentrantMutex::named("three C", ()));
    in_turn(&[&|| drop((a.lock(), b.write())), &|| drop((b.read(), c.lock()))]);
    check("three", &[]);
    in_turn(&[&|| drop((c.lock(), a.lock()))]);
    check("three", &[Circular]);
}

#[test]
fn locks_of_one_place_are_one_class() {
    let pair: [Mutex<()>; 2] = std::array::from_fn(|_| Mutex::new(()));
    let line = line!() - 1;
    let _both = (pair[0].lock(), pair[1].lock());
    let site = format!("tests/rules.rs:{line}:");
    let found: Vec<_> = reports().into_iter().filter(|report| report.to_text("").contains(&site)).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, Recursive);
}

#[test]
fn locks_of_two_places_are_two_classes() {
    let (a, b) = (Mutex::new(()), Mutex::new(()));
    let line = format!("tests/rules.rs:{}:", line!() - 1);
    drop((a.lock(), b.lock()));
    let found = reports().into_iter().filter(|report| report.to_text("").contains(&line)).count();
    assert_eq!(found, 0);
}

#[test]
fn levels_and_an_outer_lock_make_one_class_right() {
    let all = [(); 3].map(|()| Mutex::named("levels node", ()));
    drop((all[0].lock(), all[1].lock_nested(1), all[2].lock_nested(2)));
    check("levels", &[]);
    let outer = Mutex::named("levels outer", ());
    {
        let outer = outer.lock();
        let first = all[0].lock_under(&outer);
        let _rest = (all[1].lock_under(&outer), all[2].lock_under(&outer));
        drop(first);
    }
    check("levels", &[]);
    let level = RwLock::named("levels rw", ());
    let other = RwLock::named("levels rw", ());
    drop((level.write(), other.write_nested(1)));
    drop((level.read(), other.read_nested(1)));
    check("levels", &[]);
    drop((all[1].lock_nested(1), all[0].lock()));
    check("levels", &[Circular]);
}

#[test]
fn an_outer_lock_must_be_held() {
    let (outer, inner) = (Mutex::named("outer_held O", ()), Mutex::named("outer_held I", ()));
    let guard = outer.lock();
    std::thread::scope(|scope| {
        let guard = &guard;
        scope.spawn(|| drop(inner.lock_under(guard)));
    });
    check("outer_held", &[NestedLockNotTaken]);
}

#[test]
fn a_trylock_waits_for_nobody() {
    let (a, b) = (Mutex::named("trylock A", ()), Mutex::named("trylock B", ()));
    drop((a.lock(), b.lock()));
    drop((b.lock(), a.try_lock().expect("free")));
    drop((b.lock(), a.try_lock_for(Duration::from_millis(1)).expect("free")));
    check("trylock", &[]);
    // But what is taken under it waits for its owner.
    let c = Mutex::named("trylock C", ());
    drop((a.try_lock().expect("free"), c.lock()));
    drop((c.lock(), a.lock()));
    check("trylock", &[Circular]);
}

#[test]
fn a_failed_trylock_is_nothing() {
    let (a, b) = (Mutex::named("failed A", ()), Mutex::named("failed B", ()));
    let held = a.lock();
    in_turn(&[&|| {
        assert!(a.try_lock().is_none());
        assert!(a.try_lock_for(Duration::from_millis(1)).is_none());
        drop(b.lock());
    }]);
    drop(held);
    drop((b.lock(), a.lock()));
    check("failed", &[]);
}

#[test]
fn readers_wait_behind_writers_who_wait() {
    let (a, x) = (RwLock::named("readers A", ()), Mutex::named("readers X", ()));
    drop((a.read(), x.lock()));
    check("readers", &[]);
    drop((x.lock(), a.read()));
    check("readers", &[Circular]);
    let (a, x) = (RwLock::recursive_named("past writers A", ()), Mutex::named("past writers X", ()));
    drop((a.read(), x.lock()));
    drop((x.lock(), a.read()));
    check("past writers", &[]);
    drop((x.lock(), a.write()));
    check("past writers", &[Circular]);
}

#[test]
fn reading_twice_is_right_only_if_recursive() {
    let (a, b) = (RwLock::recursive_named("reading_rec A", ()), RwLock::named("reading_plain A", ()));
    drop((a.read(), a.read()));
    check("reading_rec", &[]);
    // No writer waits, so it does not block here: but it could.
    drop((b.read(), b.read()));
    check("reading_plain", &[Recursive]);
}

#[test]
fn downgrading_keeps_the_lock() {
    let (a, b) = (RwLock::named("downgrade A", 1), Mutex::named("downgrade B", ()));
    let read = RwLockWriteGuard::downgrade(a.write());
    assert_eq!((*read, a.try_write().is_none()), (1, true));
    drop(b.lock());
    drop(read);
    assert!(a.try_write().is_some());
    check("downgrade", &[]);
    drop((b.lock(), a.write()));
    check("downgrade", &[Circular]);
}

#[test]
fn a_reentrant_mutex_waits_once() {
    let (a, b) = (ReentrantMutex::named("reentrant A", ()), Mutex::named("reentrant B", ()));
    {
        let outer = a.lock();
        let _b = b.lock();
        let inner = a.lock();
        let tried = a.try_lock().expect("its own");
        // The outermost guard goes first: it is held all the same.
        drop(outer);
        drop((inner, tried));
    }
    check("reentrant", &[]);
    drop((b.lock(), a.lock()));
    check("reentrant", &[Circular]);
}

#[test]
fn guards_may_go_in_any_order() {
    let locks = ["order A", "order B", "order C"].map(|name| Mutex::named(name, ()));
    let [a, b, c] = &locks;
    let (first, second, third) = (a.lock(), b.lock(), c.lock());
    drop(first);
    drop(third);
    drop(second);
    drop((a.lock(), c.lock()));
    check("order", &[]);
    drop((b.lock(), c.lock()));
    drop((c.lock(), b.lock()));
    check("order", &[Circular]);
}

#[test]
fn waiting_takes_the_mutex_again_under_what_is_held() {
    let (m, other) = (Mutex::named("waiting M", 0), Mutex::named("waiting O", ()));
    let condvar = Condvar::new();
    let mut guard = m.lock();
    assert!(condvar.wait_for(&mut guard, Duration::from_millis(1)).timed_out());
    check("waiting", &[]);
    let held = other.lock();
    assert!(condvar.wait_for(&mut guard, Duration::from_millis(1)).timed_out());
    drop((held, guard));
    check("waiting", &[Circular]);
}

#[test]
fn a_condition_is_waited_for() {
    let (m, condvar) = (Mutex::named("condition M", 0), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                *m.lock() += 1;
                condvar.notify_one();
            }
        });
        let mut guard = m.lock();
        condvar.wait_while(&mut guard, |n| *n < 10);
        assert_eq!(*guard, 10);
    });
    check("condition", &[]);
    assert_eq!(condvar.notify_all(), 0);
}

#[test]
fn threads_hold_their_own_locks() {
    let (a, b) = (Mutex::named("threads A", ()), Mutex::named("threads B", ()));
    let barrier = std::sync::Barrier::new(2);
    let hold = |lock: &Mutex<()>| {
        let _held = lock.lock();
        barrier.wait();
        barrier.wait();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| hold(&a));
        scope.spawn(|| hold(&b));
    });
    // Were the stacks one, both orders would have been seen.
    drop((a.lock(), b.lock()));
    check("threads", &[]);
}

#[test]
fn many_threads_find_one_cycle_once() {
    let locks = ["many A", "many B", "many C", "many D"].map(|name| Mutex::named(name, 0));
    let turn = Mutex::named("turn of many", ());
    let turns = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (locks, turn, turns) = (&locks, &turn, &turns);
            scope.spawn(move || {
                for round in 0..200 {
                    // A gate keeps two orders from meeting; lockdep, as the kernel's, counts them all the same.
                    let _gate = turn.lock();
                    let (first, second) = if (thread + round) % 2 == 0 { (0, 3) } else { (3, 0) };
                    let mut held = locks[first].lock();
                    *locks[second].lock() += 1;
                    *held += 1;
                    turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((turns.into_inner(), *locks[0].lock(), *locks[1].lock()), (1600, 1600, 0));
    check("many", &[Circular]);
}

#[test]
fn a_forgotten_guard_is_noticed() {
    let lock = Mutex::named("forgotten dropped", ());
    std::mem::forget(lock.lock());
    check("forgotten dropped", &[]);
    drop(lock);
    check("forgotten dropped", &[HeldLockFreed]);
    let lock = Mutex::named("forgotten thread", ());
    in_turn(&[&|| std::mem::forget(lock.lock())]);
    check("forgotten thread", &[LocksHeldAtExit]);
}

#[test]
fn locks_behave_as_locks() {
    static COUNT: Mutex<u32> = Mutex::new(0);
    *COUNT.lock() += 1;
    assert!(!COUNT.is_locked() && format!("{COUNT:?}").contains('1'));
    let mut mutex: Mutex<String> = Mutex::default();
    mutex.get_mut().push('x');
    assert_eq!(mutex.lock().as_str(), "x");
    assert_eq!(mutex.into_inner(), "x");
    let mut rwlock = RwLock::from(vec![1]);
    rwlock.write().push(2);
    rwlock.get_mut().push(3);
    assert_eq!(
        (rwlock.try_read().map(|r| r.len()), rwlock.is_locked(), rwlock.into_inner()),
        (Some(3), false, vec![1, 2, 3])
    );
    let mut reentrant = ReentrantMutex::from(7);
    *reentrant.get_mut() += 1;
    assert_eq!(*reentrant.lock(), 8);
    assert_eq!((reentrant.is_locked(), reentrant.into_inner()), (false, 8));
    let shared: &Mutex<[u8]> = &Mutex::new([1, 2]);
    shared.lock()[0] = 3;
    assert_eq!(*shared.lock(), [3, 2]);
}

#[test]
fn the_graph_can_be_drawn() {
    let (a, b) = (Mutex::named("drawn A", ()), Mutex::named("drawn B", ()));
    drop((a.lock(), b.lock()));
    let dot = lockdep_sync::graph().to_dot();
    assert!(dot.contains("drawn A") && dot.contains("drawn B") && dot.contains("EN"), "{dot}");
}
