use crate::Code;
use crate::test_utils::*;
use mm_types::{MmId, Pfn, Pte, TaskId};
use trace::{AccessModel, EventKind, Hook, LockKind, NotifyEvent, NotifyRange, SubKind};

fn nonblock(start: u64, end: u64) -> NotifyRange {
    NotifyRange { mm: A, pages: pages(start, end), event: NotifyEvent::Unmap, blockable: false, owner: None }
}

#[test]
fn clear_inside_a_started_bracket_is_ordered_and_outside_is_not() {
    let mut w = World::new();
    w.toy().pte(UNMAP, 0x11, Pte::NONE, rw(7)).enter(UNMAP, "munmap", pages(0x11, 0x12));
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).leave(UNMAP).finish().expect(&[]);

    let mut w = World::new();
    w.toy().enter(UNMAP, "munmap", pages(0x11, 0x12)).pte(UNMAP, 0x11, rw(7), Pte::NONE);
    w.expect_one(
        Code::OrdClear,
        "page 0x11000 of A was cleared outside any bracket of the task, during munmap [0x11000, 0x12000) by task unmap",
    );
}

#[test]
fn clear_before_start_returned_is_named_so() {
    let mut w = World::new();
    w.toy();
    let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE);
    w.tell(UNMAP, b, TOY, Hook::Invalidate, pages(0x11, 0x12)).started(UNMAP, b, true).end(UNMAP, b);
    w.finish().expect_one(Code::OrdClear, "before range_start returned");
}

#[test]
fn clear_after_the_end_another_tasks_bracket_or_another_range_does_not_count() {
    let mut w = World::new();
    w.toy();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.end(UNMAP, b).pte(UNMAP, 0x11, rw(7), Pte::NONE).expect_one(Code::OrdClear, "outside any bracket");

    let mut w = World::new();
    w.toy();
    w.start(OTHER, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).expect_one(Code::OrdClear, "outside any bracket of the task");

    let mut w = World::new();
    w.toy();
    w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x12, rw(7), Pte::NONE).expect_one(Code::OrdClear, "page 0x12000");
}

#[test]
fn downgrades_need_a_bracket_and_upgrades_do_not() {
    for (old, new, codes) in [
        (rw(7), ro(7), &[Code::OrdClear][..]),
        (ro(7), ro(8), &[Code::OrdClear]),
        (ro(7), Pte::swap(1), &[Code::OrdClear]),
        (ro(7), rw(7), &[]),
        (rw(7).with_dirty(true), rw(7), &[]),
        (Pte::NONE, rw(7), &[]),
        (Pte::swap(1), rw(7), &[]),
        (Pte::swap(1), Pte::NONE, &[]),
        (Pte::migration(Pfn(7)), rw(7), &[]),
    ] {
        World::new().toy().pte(UNMAP, 0x11, old, new).expect(codes);
    }
}

#[test]
fn an_mm_whose_subscribers_are_absent_leaving_or_released_owes_nothing() {
    World::new().pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[]);

    let mut w = World::new();
    w.toy().ev(OTHER, EventKind::UnsubscribeStart { sub: TOY });
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[]);

    // exit: `release` first, then the unmap without list subscribers.
    let all = mm_types::PageRange::ALL;
    let mut w = World::new();
    w.list(AccessModel::Mirror);
    w.enter_callback(UNMAP, None, LIST, Hook::Release, all, true).exit_callback(UNMAP, LIST, Hook::Release, true);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[]);

    // The same without a `release` callback.
    let mut w = World::new();
    w.list(AccessModel::Mirror).ev(UNMAP, EventKind::MmExit { mm: A }).pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[]);

    // An interval subscriber stays after RELEASE and is still owed its UNMAP.
    let mut w = World::new();
    w.toy();
    let b = w.open(UNMAP, all, NotifyEvent::Release);
    w.tell(UNMAP, b, TOY, Hook::Invalidate, all).started(UNMAP, b, true).ev(UNMAP, EventKind::MmExit { mm: A });
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).expect_one(Code::OrdClear, "outside any bracket");
}

#[test]
fn brackets_nest_and_any_covering_one_suffices() {
    let mut w = World::new();
    w.toy();
    let outer = w.start(UNMAP, pages(0x10, 0x20), NotifyEvent::Unmap);
    let inner = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, inner).pte(UNMAP, 0x12, rw(8), Pte::NONE).end(UNMAP, outer);
    w.finish().expect(&[]);
}

#[test]
fn a_subscriber_without_a_callback_is_named() {
    let bracket_without_call = |w: &mut World| {
        let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
        w.started(UNMAP, b, true).pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b);
    };
    let mut w = World::new();
    bracket_without_call(w.toy());
    w.expect_one(Code::OrdClear, "subscription toy got no callback");

    // It watches other pages.
    let mut w = World::new();
    w.subscribe(TOY, SubKind::Interval, pages(0x30, 0x40), AccessModel::Mirror);
    bracket_without_call(&mut w);
    w.expect(&[]);

    // It has the secondary-TLB hook instead.
    let mut w = World::new();
    bracket_without_call(w.list(AccessModel::SecondaryTlb));
    w.expect(&[]);
}

#[test]
fn an_insertion_that_races_a_bracket_is_not_owed_its_callback() {
    // Announced before the bracket, inserted after the bracket looked: no callback, no fault.
    let spin = lock(5, "subscriptions->lock", LockKind::Spin);
    let subscribe = |w: &mut World| {
        w.subscribe_by(GPU_TASK, TOY, SubKind::Interval, pages(0x10, 0x20), AccessModel::Mirror);
    };
    let silent = |w: &mut World| {
        let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
        w.started(UNMAP, b, true);
        b
    };
    let mut w = World::new();
    subscribe(&mut w);
    let b = silent(&mut w);
    w.acquire(GPU_TASK, spin).release(GPU_TASK, spin).pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b);
    // Put off until then; a later bracket may miss it too, as long as its read_begin has not returned.
    let b = silent(&mut w);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).expect(&[]);
    w.read_begin(GPU_TASK, 1);
    let b = silent(&mut w);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).expect_one(Code::OrdClear, "toy got no callback");

    // With nothing open beside it, the release of the lock is enough.
    let mut w = World::new();
    subscribe(&mut w);
    w.acquire(GPU_TASK, spin).release(GPU_TASK, spin);
    silent(&mut w);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[Code::OrdClear]);
}

#[test]
fn one_call_that_clears_many_pages_is_one_finding() {
    let mut w = World::new();
    w.toy().enter(UNMAP, "munmap", pages(0, 0x1000));
    (0x10..0x20).for_each(|n| {
        w.pte(UNMAP, n, rw(n), Pte::NONE);
    });
    w.leave(UNMAP).expect(&[Code::OrdClear]);
    assert_eq!(w.stats().suppressed, 15);
    w.enter(UNMAP, "madvise", pages(0, 0x1000)).pte(UNMAP, 0x13, rw(7), Pte::NONE);
    w.expect(&[Code::OrdClear, Code::OrdClear]);
}

#[test]
fn a_leaked_bracket_is_one_finding_and_an_open_one_at_the_end_too() {
    let mut w = World::new();
    let b = w.toy().start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.ev(UNMAP, EventKind::BracketLeaked { bracket: b }).finish();
    w.expect_one(Code::OrdPair, "range_start UNMAP [0x11000, 0x12000) of A was dropped without its range_end");

    let mut w = World::new();
    w.toy().start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.finish().expect_one(Code::OrdPair, "has no range_end when the run finished");

    // A run that did not finish proves nothing about its open brackets.
    let mut w = World::new();
    w.toy().start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.ends(&trace::RunEnd::Stopped).expect(&[]);

    // RELEASE has no end.
    let mut w = World::new();
    w.toy().start(UNMAP, pages(0x11, 0x12), NotifyEvent::Release);
    w.finish().expect(&[]);
}

#[test]
fn a_second_or_early_or_unowed_end_is_found() {
    let range = pages(0x11, 0x12);
    let mut w = World::new();
    let b = w.toy().start(UNMAP, range, NotifyEvent::Unmap);
    w.end(UNMAP, b).end(UNMAP, b).expect_one(Code::OrdPair, "range_end of no open bracket");

    let mut w = World::new();
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    w.end(UNMAP, b).expect_one(Code::OrdPair, "before its range_start returned");

    let mut w = World::new();
    w.list(AccessModel::Mirror);
    let b = w.open_as(UNMAP, nonblock(0x11, 0x12));
    w.tell(UNMAP, b, LIST, Hook::RangeStart, range).started(UNMAP, b, false).end(UNMAP, b);
    w.expect_one(Code::OrdPair, "although its range_start was refused");
}

/// A bracket that tells `list`, whose end callback comes before or after `RangeEnd`, or not at all.
fn list_bracket(w: &mut World, end_before: bool, end_after: bool) {
    let range = pages(0x11, 0x12);
    let b = w.start_list(UNMAP, range, NotifyEvent::Unmap);
    if end_before {
        w.tell(UNMAP, b, LIST, Hook::RangeEnd, range);
    }
    w.end(UNMAP, b);
    if end_after {
        w.tell(UNMAP, b, LIST, Hook::RangeEnd, range);
    }
    w.leave(UNMAP);
}

#[test]
fn an_end_callback_may_come_on_either_side_of_the_closing_but_must_come() {
    for (first, second) in [((true, false), (true, false)), ((false, true), (false, true))] {
        let mut w = World::new();
        w.list(AccessModel::Mirror);
        list_bracket(&mut w, first.0, first.1);
        list_bracket(&mut w, second.0, second.1);
        w.finish().expect(&[]);
    }
    // Lost before or after one that shows that the subscriber has an end callback.
    for lost_first in [true, false] {
        let mut w = World::new();
        w.list(AccessModel::Mirror);
        list_bracket(&mut w, !lost_first, false);
        list_bracket(&mut w, lost_first, false);
        w.finish();
        w.expect_one(Code::OrdPair, "subscription list agreed to UNMAP [0x11000, 0x12000) of A and got no end");
    }
    // A start-only subscriber.
    let mut w = World::new();
    w.list(AccessModel::Mirror);
    list_bracket(&mut w, false, false);
    w.finish().expect(&[]);
}

#[test]
fn who_agreed_is_told_the_end_when_another_refused() {
    let range = pages(0x11, 0x12);
    for end_delivered in [true, false] {
        let mut w = World::new();
        w.list(AccessModel::Mirror);
        w.subscribe(TOY, SubKind::List, mm_types::PageRange::ALL, AccessModel::Mirror);
        list_bracket_both(&mut w);
        let b = w.open_as(UNMAP, nonblock(0x11, 0x12));
        w.enter_callback(UNMAP, Some(b), LIST, Hook::RangeStart, range, false);
        w.exit_callback(UNMAP, LIST, Hook::RangeStart, true);
        w.enter_callback(UNMAP, Some(b), TOY, Hook::RangeStart, range, false);
        w.exit_callback(UNMAP, TOY, Hook::RangeStart, false);
        if end_delivered {
            w.tell(UNMAP, b, LIST, Hook::RangeEnd, range).tell(UNMAP, b, TOY, Hook::RangeEnd, range);
        }
        w.started(UNMAP, b, false).leave(UNMAP).finish();
        if end_delivered {
            w.expect(&[]);
        } else {
            w.expect_one(Code::OrdPair, "subscription list agreed to");
            w.expect_one(Code::OrdPair, "after another subscriber refused");
        }
    }
}

fn list_bracket_both(w: &mut World) {
    let range = pages(0x11, 0x12);
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    for sub in [LIST, TOY] {
        w.tell(UNMAP, b, sub, Hook::RangeStart, range);
    }
    w.started(UNMAP, b, true);
    for sub in [LIST, TOY] {
        w.tell(UNMAP, b, sub, Hook::RangeEnd, range);
    }
    w.end(UNMAP, b).leave(UNMAP);
}

#[test]
fn a_subscriber_removed_inside_a_bracket_gets_no_end() {
    let mut w = World::new();
    w.list(AccessModel::Mirror);
    list_bracket(&mut w, true, false);
    let b = w.start_list(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.ev(OTHER, EventKind::UnsubscribeStart { sub: LIST }).ev(OTHER, EventKind::Unsubscribed { sub: LIST });
    w.end(UNMAP, b).leave(UNMAP).finish().expect(&[]);
}

#[test]
fn callbacks_come_within_the_life_of_their_subscription() {
    let range = pages(0x11, 0x12);
    let mut w = World::new();
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    w.tell(UNMAP, b, TOY, Hook::Invalidate, range).expect_one(Code::OrdCallback, "was called before it subscribed");

    let leaving = EventKind::UnsubscribeStart { sub: TOY };
    let mut w = World::new();
    w.toy().ev(OTHER, leaving);
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    w.tell(UNMAP, b, TOY, Hook::Invalidate, range).expect(&[]);
    w.ev(OTHER, EventKind::Unsubscribed { sub: TOY });
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    w.tell(UNMAP, b, TOY, Hook::Invalidate, range);
    w.expect_one(Code::OrdCallback, "invalidate of subscription toy was called after its removal returned");
}

#[test]
fn callbacks_come_within_their_pages_bracket_and_family() {
    type Ends = (u64, u64);
    let cases: [(Hook, Ends, Ends, bool, &str); 5] = [
        (Hook::Invalidate, (0x30, 0x40), (0x30, 0x40), false, "outside its [0x10000, 0x20000)"),
        (Hook::Invalidate, (0x11, 0x12), (0x11, 0x13), false, "outside the [0x11000, 0x12000) announced"),
        (Hook::RangeStart, (0x11, 0x12), (0x11, 0x12), false, "of the other family"),
        (Hook::Invalidate, (0x11, 0x12), (0x11, 0x12), true, "after its range_start had returned"),
        (Hook::Invalidate, (0x1f, 0x40), (0x1f, 0x40), false, ""),
    ];
    for (hook, announced, passed, late, problem) in cases {
        let mut w = World::new();
        w.toy();
        let b = w.open(UNMAP, pages(announced.0, announced.1), NotifyEvent::Unmap);
        if late {
            w.started(UNMAP, b, true);
        }
        w.tell(UNMAP, b, TOY, hook, pages(passed.0, passed.1));
        if problem.is_empty() {
            w.expect(&[])
        } else {
            w.expect_one(Code::OrdCallback, problem);
            &w
        };
    }
}

#[test]
fn callbacks_belong_to_an_open_bracket_of_their_mm() {
    let range = pages(0x11, 0x12);
    let mut w = World::new();
    let b = w.toy().start(UNMAP, range, NotifyEvent::Unmap);
    w.end(UNMAP, b).leave(UNMAP).tell(UNMAP, b, TOY, Hook::Invalidate, range);
    w.expect_one(Code::OrdCallback, "belongs to no open bracket");

    let mut w = World::new();
    w.toy();
    let foreign = NotifyRange { mm: MmId(1), pages: range, event: NotifyEvent::Unmap, blockable: true, owner: None };
    let b = w.open_as(UNMAP, foreign);
    w.tell(UNMAP, b, TOY, Hook::Invalidate, range).expect_one(Code::OrdCallback, "belongs to a bracket of mm1");
}

#[test]
fn only_a_callback_told_not_to_block_may_refuse() {
    for blockable in [true, false] {
        let mut w = World::new();
        w.toy();
        let b = w.open_as(UNMAP, NotifyRange { blockable, ..nonblock(0x11, 0x12) });
        w.enter_callback(UNMAP, Some(b), TOY, Hook::Invalidate, pages(0x11, 0x12), blockable);
        w.exit_callback(UNMAP, TOY, Hook::Invalidate, false);
        w.expect(if blockable { &[Code::OrdCallback] } else { &[] });
    }
}

#[test]
fn setup_subscriptions_are_visible_although_setup_emits_nothing_more() {
    let mut w = World::new();
    w.toy().ev(TaskId(0), EventKind::SyncPoint { name: "x".into() });
    let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.started(UNMAP, b, true).pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[Code::OrdClear]);
}

#[test]
fn an_interval_insertion_beside_any_bracket_is_certain_only_by_read_begin() {
    let spin = lock(5, "subscriptions->lock", LockKind::Spin);
    for open_before in [true, false] {
        let mut w = World::new();
        let mut b = None;
        if open_before {
            b = Some(w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear));
        }
        w.subscribe_by(GPU_TASK, TOY, SubKind::Interval, pages(0x10, 0x20), AccessModel::Mirror);
        let b = b.unwrap_or_else(|| w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear));
        if !open_before {
            w.started(UNMAP, b, true).end(UNMAP, b);
        }
        w.release(GPU_TASK, spin);
        let c = w.open(OTHER, pages(0x11, 0x12), NotifyEvent::Clear);
        w.started(OTHER, c, true).pte(OTHER, 0x11, rw(7), Pte::NONE).end(OTHER, c).expect(&[]);
    }
}

#[test]
fn a_bracket_owes_nothing_to_who_came_after_it() {
    let mut w = World::new();
    w.list(AccessModel::LongTermPin);
    let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.started(UNMAP, b, true);
    w.subscribe_by(GPU_TASK, TOY, SubKind::Interval, pages(0x10, 0x20), AccessModel::Mirror).read_begin(GPU_TASK, 1);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).expect(&[]);
}

#[test]
fn a_leak_is_reported_once_and_not_as_lost_end_callbacks_too() {
    let mut w = World::new();
    w.list(AccessModel::Mirror);
    list_bracket(&mut w, true, false);
    let b = w.start_list(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.ev(UNMAP, EventKind::BracketLeaked { bracket: b }).leave(UNMAP).finish().expect(&[Code::OrdPair]);
}

#[test]
fn what_an_entry_will_be_is_told_inside_of_a_bracket() {
    let range = pages(0x11, 0x12);
    for (inside, codes) in [(true, &[][..]), (false, &[Code::OrdCallback])] {
        let mut w = World::new();
        w.list(AccessModel::Mirror);
        let b = inside.then(|| w.start_list(UNMAP, range, NotifyEvent::Clear));
        w.enter_callback(UNMAP, None, LIST, Hook::ChangePte, range, false).exit_callback(
            UNMAP,
            LIST,
            Hook::ChangePte,
            true,
        );
        if let Some(b) = b {
            w.end(UNMAP, b);
        }
        w.expect(codes);
    }
}

#[test]
fn what_speaks_for_the_mapping_is_announced_under_mmap_lock() {
    let lock = || EventKind::LockAcquired {
        lock: lock(1, "&mm->mmap_lock", LockKind::RwSem),
        mode: trace::LockMode::Shared,
        trylock: false,
    };
    let range = pages(0x11, 0x12);
    for (event, first, codes) in [
        (NotifyEvent::ProtectionVma, true, &[][..]),
        (NotifyEvent::ProtectionVma, false, &[Code::OrdClear]),
        // Speaks for the entries.
        (NotifyEvent::Clear, false, &[]),
    ] {
        let mut w = World::new();
        w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7));
        if first {
            w.ev(UNMAP, lock());
        }
        let b = w.start(UNMAP, range, event);
        if !first {
            w.ev(UNMAP, lock());
        }
        // Somebody else's lock says nothing of this task.
        w.ev(OTHER, lock()).pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b).expect(codes);
    }
}

#[test]
fn subscribers_are_asked_about_the_page_that_is_looked_at() {
    for (asked, codes) in [(0x11, &[][..]), (0x10, &[Code::OrdCallback])] {
        let mut w = World::new();
        w.list(AccessModel::Mirror).ev(UNMAP, EventKind::YoungCheck { mm: A, pages: pages(0x11, 0x12) });
        let asked = pages(asked, asked + 1);
        w.enter_callback(UNMAP, None, LIST, Hook::TestYoung, asked, false);
        w.exit_callback(UNMAP, LIST, Hook::TestYoung, true).expect(codes);
    }
}
