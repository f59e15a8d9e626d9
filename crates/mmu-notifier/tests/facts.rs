//! The framework's behaviour as recorded on a running 6.12 kernel: one test for each recorded fact that does not need a
//! memory manager.

mod common;

use common::*;
use mm_types::{Errno, PageRange};
use mmu_notifier::{Annotations, Hooks, Subscriptions, WouldBlock};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use trace::{EventKind, NotifyEvent, RunEnd};

fn world() -> World {
    World::new(Annotations::default())
}

#[test]
fn a_subscriber_with_range_and_secondary_tlb_callbacks_is_refused() {
    let w = world();
    for both in [Hooks::RANGE_START, Hooks::RANGE_END] {
        let toy = Arc::new(Toy::new(&w, "both", both | Hooks::SECONDARY_TLB));
        let refused = setup(&w, |mm| Subscriptions::register(mm, toy).err());
        assert_eq!(refused, Some(Errno::EINVAL));
    }
    assert!(!w.mm.subs.has_subscribers());
    assert_eq!(w.mm.count.load(Ordering::Relaxed), 1);
}

#[test]
fn starts_reach_intervals_then_the_list_newest_first_and_ends_the_list_in_the_same_order() {
    let w = world();
    let subs = setup(&w, |mm| {
        let old = register(mm, Toy::new(&w, "old", START_END));
        let new = register(mm, Toy::new(&w, "new", START_END));
        insert(mm, pages(16, 16), Toy::new(&w, "high", Hooks::empty()));
        insert(mm, pages(0, 16), Toy::new(&w, "low", Hooks::empty()));
        mm.zap(pages(8, 16));
        (old, new)
    });
    let range = "UNMAP [0x8000, 0x18000)";
    let expect =
        ["low invalidate R seq 3", "high invalidate R seq 3", "new start R", "old start R", "new end R", "old end R"];
    assert_eq!(w.told.take(), expect.map(|t| t.replace('R', range)));
    setup(&w, |mm| {
        Subscriptions::unregister(mm, subs.0);
        Subscriptions::unregister(mm, subs.1);
    });
    assert_eq!(w.told.take(), ["old release", "new release"]);
    assert_eq!(w.mm.count.load(Ordering::Relaxed), 3, "two interval subscriptions keep the struct");
}

#[test]
fn the_count_has_dropped_when_list_ends_are_called() {
    let w = world();
    let _subs = setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty()));
        let sub = register(mm, Toy::new(&w, "l", START_END));
        let open = mm.open(pages(0, 1));
        assert_eq!(mm.subs.peek_seq(), 3);
        open.end();
        assert_eq!(mm.subs.peek_seq(), 4);
        sub
    });
    let log = w.log.borrow();
    let at = |f: &dyn Fn(&EventKind) -> bool| log.0.iter().position(|e| f(&e.kind)).unwrap();
    let end = at(&|e| matches!(e, EventKind::RangeEnd { .. }));
    let lock = log.0[end..].iter().position(
        |e| matches!(e.kind, EventKind::LockReleased { lock, .. } if lock.class.as_str() == "&subscriptions->lock"),
    );
    let callback = at(&|e| matches!(e, EventKind::CallbackEnter { hook: trace::Hook::RangeEnd, .. }));
    assert!(end + lock.unwrap() < callback);
}

#[test]
fn at_exit_intervals_get_release_then_the_list_and_later_brackets_reach_intervals_only() {
    let w = world();
    let sub = setup(&w, |mm| {
        insert(mm, pages(4, 4), Toy::new(&w, "i", Hooks::empty()));
        let sub = register(mm, Toy::new(&w, "l", START_END));
        mm.subs.release();
        mm.zap(PageRange::ALL);
        sub
    });
    let all = "[0x0, 0xffffffffffffffff)";
    let expect =
        [format!("i invalidate RELEASE {all} seq 3"), "l release".into(), format!("i invalidate UNMAP {all} seq 5")];
    assert_eq!(w.told.take(), expect);
    // The list is empty by now: unregistering only waits.
    setup(&w, |mm| Subscriptions::unregister(mm, sub));
    assert_eq!(w.told.take(), [""; 0]);
}

/// Opens a non-blocking bracket that is refused.
fn refused(mm: &MockMm, at: PageRange) {
    let range = mm.range(NotifyEvent::Unmap, at);
    assert_eq!(mm.subs.invalidate_range_start_nonblock(range).err(), Some(WouldBlock));
}

#[test]
fn a_refusing_list_subscriber_leaves_the_count_raised_and_gets_its_own_end() {
    let w = world();
    let _subs = setup(&w, |mm| {
        insert(mm, pages(0, 4), Toy::new(&w, "i", Hooks::empty()));
        let bad = register(mm, Toy::new(&w, "bad", START_END).refusing());
        let good = register(mm, Toy::new(&w, "good", START_END));
        refused(mm, pages(0, 1));
        assert_eq!(mm.subs.peek_seq(), 3, "odd, with no bracket open");
        refused(mm, pages(0, 1));
        (bad, good)
    });
    let r = "UNMAP [0x0, 0x1000)";
    let round = ["i invalidate R seq 3", "good start R", "bad start R", "good end R", "bad end R"];
    // The second round reuses the sequence of the first.
    assert_eq!(w.told.take(), [round, round].concat().iter().map(|t| t.replace('R', r)).collect::<Vec<_>>());
    assert_eq!(w.events(|e| matches!(e, EventKind::BracketLeaked { .. })), 0);
    assert_eq!(w.events(|e| matches!(e, EventKind::RangeStarted { ok: false, .. })), 2);
}

#[test]
fn after_such_a_refusal_reading_and_removing_wait_for_ever_and_nobody_owes_the_wake_up() {
    for reads in [true, false] {
        let w = world();
        let sub = setup(&w, |mm| {
            let sub = insert(mm, pages(0, 4), Toy::new(&w, "i", Hooks::empty()));
            let bad = register(mm, Toy::new(&w, "bad", START_END).refusing());
            refused(mm, pages(0, 1));
            drop(bad);
            sub
        });
        w.task("t", move |mm| {
            if reads {
                mm.subs.read_begin(&sub);
            } else {
                Subscriptions::interval_remove(mm, &sub);
            }
        });
        let RunEnd::Deadlock { blocked, cycle } = w.run() else { panic!("it ends") };
        assert_eq!((blocked.len(), cycle.len()), (1, 0));
        assert_eq!(blocked[0].waits_for.what.as_str(), "invalidate_seq to become even");
        assert_eq!(blocked[0].waits_for.holders, []);
    }
}

#[test]
fn a_refusing_interval_subscriber_is_undone_and_the_list_is_not_called() {
    let w = world();
    let _sub = setup(&w, |mm| {
        insert(mm, pages(0, 4), Toy::new(&w, "i", Hooks::empty()).refusing());
        let sub = register(mm, Toy::new(&w, "l", START_END));
        refused(mm, pages(0, 1));
        assert_eq!(mm.subs.peek_seq(), 4);
        sub
    });
    assert_eq!(w.told.take(), ["i invalidate UNMAP [0x0, 0x1000) seq 3"]);
}

#[test]
fn unregistering_during_a_start_releases_at_once_waits_for_the_start_and_hears_no_end() {
    let w = world();
    let (here, go) = (w.gate("in start"), w.gate("go on"));
    let mut toy = Toy::new(&w, "l", START_END);
    toy.pause = Some((here.clone(), go.clone()));
    let sub = setup(&w, |mm| register(mm, toy));
    let told = w.told.clone();
    w.task("unmap", |mm| mm.zap(pages(0, 1)));
    w.task("unregister", move |mm| {
        here.wait();
        Subscriptions::unregister(mm, sub);
        told.say("unregistered".into());
    });
    let told = w.told.clone();
    w.task("later", move |_| {
        told.say("start may return".into());
        go.complete();
    });
    assert_eq!(w.run(), RunEnd::Finished);
    assert_eq!(w.told.take(), ["l start UNMAP [0x0, 0x1000)", "l release", "start may return", "unregistered"]);
}

#[test]
fn a_fresh_subscription_reads_an_odd_sequence_that_an_idle_mm_never_has() {
    let w = world();
    setup(&w, |mm| {
        let sub = insert(mm, pages(0, 4), Toy::new(&w, "i", Hooks::empty()));
        assert_eq!((mm.subs.read_begin(&sub), mm.subs.peek_seq()), (1, 2));
        mm.zap(pages(0, 1));
        assert!(sub.read_retry(1));
        assert_eq!((mm.subs.read_begin(&sub), mm.subs.peek_seq()), (3, 4));
        assert!(!sub.read_retry(3));
    });
}

#[test]
fn a_bracket_that_meets_nobody_keeps_the_sequence_and_lets_readers_pass() {
    let w = world();
    setup(&w, |mm| {
        let sub = insert(mm, pages(4, 4), Toy::new(&w, "i", Hooks::empty()));
        let open = mm.open(pages(0, 4));
        assert_eq!(mm.subs.peek_seq(), 2, "ranges that touch do not overlap");
        assert_eq!(mm.subs.read_begin(&sub), 1);
        assert!(!sub.read_retry(1));
        open.end();
        assert_eq!(mm.subs.peek_seq(), 2);
    });
}

#[test]
fn the_sequence_becomes_even_with_the_last_bracket_even_if_that_met_nobody() {
    let w = world();
    setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty()));
        let met = mm.open(pages(0, 1));
        let unmet = mm.open(pages(9, 1));
        met.end();
        assert_eq!(mm.subs.peek_seq(), 3);
        unmet.end();
        assert_eq!(mm.subs.peek_seq(), 4);
    });
}

#[test]
fn an_insert_under_a_bracket_that_met_somebody_is_deferred() {
    let w = world();
    setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "first", Hooks::empty()));
        let open = mm.open(pages(0, 1));
        let late = insert(mm, pages(0, 1), Toy::new(&w, "late", Hooks::empty()));
        mm.zap(pages(0, 1));
        open.end();
        // Both were told at once, when the last bracket closed; only now does it hear.
        assert_eq!(mm.subs.read_begin(&late), 3);
        mm.zap(pages(0, 1));
    });
    let r = "UNMAP [0x0, 0x1000)";
    let expect =
        ["first invalidate R seq 3", "first invalidate R seq 3", "first invalidate R seq 5", "late invalidate R seq 5"];
    assert_eq!(w.told.take(), expect.map(|t| t.replace('R', r)));
}

#[test]
fn an_insert_under_a_bracket_that_met_nobody_makes_the_sequence_odd() {
    let w = world();
    setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "first", Hooks::empty()));
        let open = mm.open(pages(9, 1));
        let late = insert(mm, pages(9, 1), Toy::new(&w, "late", Hooks::empty()));
        assert_eq!(mm.subs.peek_seq(), 3);
        open.end();
        assert_eq!(mm.subs.peek_seq(), 4);
        assert_eq!(mm.subs.read_begin(&late), 3);
    });
}

#[test]
fn reading_and_removing_under_a_bracket_wait_for_its_end() {
    for reads in [true, false] {
        let w = world();
        let sub = setup(&w, |mm| insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty())));
        let (opened, close) = (w.gate("opened"), w.gate("close"));
        let (opened2, close2, told) = (opened.clone(), close.clone(), w.told.clone());
        w.task("unmap", move |mm| {
            let open = mm.open(pages(0, 1));
            opened.complete();
            close.wait();
            told.say("closing".into());
            open.end();
        });
        let told = w.told.clone();
        w.task("driver", move |mm| {
            opened2.wait();
            if reads {
                assert_eq!(mm.subs.read_begin(&sub), 3);
            } else {
                Subscriptions::interval_remove(mm, &sub);
            }
            told.say("passed".into());
        });
        w.task("later", move |_| close2.complete());
        assert_eq!(w.run(), RunEnd::Finished);
        assert_eq!(w.told.take()[1..], ["closing", "passed"]);
    }
}

#[test]
fn removing_a_subscription_that_is_still_deferred_does_not_wait() {
    let w = world();
    setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "first", Hooks::empty()));
        let open = mm.open(pages(0, 1));
        let late = insert(mm, pages(0, 1), Toy::new(&w, "late", Hooks::empty()));
        Subscriptions::interval_remove(mm, &late);
        open.end();
        w.told.take();
        mm.zap(pages(0, 1));
    });
    assert_eq!(w.told.take().len(), 1, "only the first is told");
}

#[test]
fn a_reader_inside_its_own_bracket_is_a_deadlock_that_names_the_task() {
    let w = world();
    let sub = setup(&w, |mm| insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty())));
    w.task("self", move |mm| {
        let open = mm.open(pages(0, 1));
        mm.subs.read_begin(&sub);
        open.end();
    });
    let RunEnd::Deadlock { cycle, .. } = w.run() else { panic!("it ends") };
    assert_eq!(cycle, [mm_types::TaskId(1)]);
    assert_eq!(w.events(|e| matches!(e, EventKind::BracketLeaked { .. })), 0, "unwinding is silent");
}

#[test]
fn a_bracket_dropped_while_the_run_goes_on_is_leaked() {
    let w = world();
    setup(&w, |mm| drop(mm.open(pages(0, 1))));
    assert_eq!(w.events(|e| matches!(e, EventKind::BracketLeaked { .. })), 1);
    assert_eq!(w.events(|e| matches!(e, EventKind::RangeEnd { .. })), 0);
}

#[test]
fn sleeping_is_forbidden_in_callbacks_of_a_non_blocking_bracket_only() {
    let w = world();
    let _sub = setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty()));
        let sub = register(mm, Toy::new(&w, "l", START_END));
        mm.zap(pages(0, 1));
        assert_eq!(w.events(|e| matches!(e, EventKind::NonBlockStart)), 0);
        let range = mm.range(NotifyEvent::Unmap, pages(0, 1));
        mm.subs.invalidate_range_start_nonblock(range).unwrap().end();
        sub
    });
    assert_eq!(w.events(|e| matches!(e, EventKind::NonBlockStart)), 3, "invalidate, start, end");
    assert_eq!(w.events(|e| matches!(e, EventKind::NonBlockEnd)), 3);
}

#[test]
fn the_other_callbacks_ask_the_whole_list_but_test_young_stops_at_the_first_yes() {
    let w = world();
    let hooks = Hooks::SECONDARY_TLB | Hooks::CLEAR_FLUSH_YOUNG | Hooks::TEST_YOUNG | Hooks::CHANGE_PTE;
    let _subs = setup(&w, |mm| {
        assert!(!mm.subs.clear_flush_young(pages(1, 1)));
        let subs = (register(mm, Toy::new(&w, "a", hooks)), register(mm, Toy::new(&w, "b", hooks)));
        mm.subs.arch_invalidate_secondary_tlbs(pages(1, 1));
        assert!(mm.subs.clear_flush_young(pages(1, 1)));
        assert!(!mm.subs.clear_young(pages(1, 1)), "nobody has that callback");
        assert!(mm.subs.test_young(mm_types::Vpn(1)));
        mm.subs.change_pte(mm_types::Vpn(1), mm_types::Pte::present(mm_types::Pfn(7)));
        mm.zap(pages(1, 1));
        subs
    });
    let r = "[0x1000, 0x2000)";
    let expect = [
        "b tlb R",
        "a tlb R",
        "b clear_flush_young R",
        "a clear_flush_young R",
        "b test_young 0x1",
        "b change_pte 0x1 7:r",
        "a change_pte 0x1 7:r",
    ];
    assert_eq!(w.told.take(), expect.map(|t| t.replace('R', r)));
}

#[test]
fn severing_forgets_every_subscriber() {
    let w = world();
    setup(&w, |mm| {
        let toy = Arc::new(Toy::new(&w, "i", Hooks::empty()));
        let sub = Subscriptions::interval_insert(mm, pages(0, 1), toy.clone()).unwrap();
        let listed = Arc::new(Toy::new(&w, "l", START_END));
        let _listed_sub = Subscriptions::register(mm, listed.clone()).unwrap();
        drop(sub);
        mm.subs.sever();
        assert_eq!((Arc::strong_count(&toy), Arc::strong_count(&listed)), (1, 1));
    });
}
