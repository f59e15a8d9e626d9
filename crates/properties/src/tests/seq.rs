use crate::Code;
use crate::test_utils::*;
use mm_types::ObjId;
use trace::{AccessModel, EventKind, Hook, NotifyEvent, NotifyRange, SubId};

#[test]
fn publication_needs_a_passed_read_retry_of_the_same_reading() {
    type Before<'a> = &'a dyn for<'w> Fn(&'w mut World) -> &'w mut World;
    let cases: [(Before<'_>, &str); 6] = [
        (&|w| w.read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, false), ""),
        (&|w| w, "without read_begin by the same task"),
        (&|w| w.read_begin(OTHER, 1).read_retry(OTHER, 1, false), "without read_begin by the same task"),
        (&|w| w.read_begin(GPU_TASK, 1), "without read_retry since read_begin"),
        (&|w| w.read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 3, false), "without read_retry since read_begin"),
        (&|w| w.read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, true), "although read_retry said to start over"),
    ];
    for (before, problem) in cases {
        let mut w = World::new();
        before(w.toy());
        w.spte(TOY, 0x11, 7, true);
        if problem.is_empty() {
            w.expect(&[])
        } else {
            w.expect_one(Code::Seq, problem);
            &w
        };
    }
}

#[test]
fn a_new_reading_starts_over() {
    let mut w = World::new();
    w.toy().read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, true).read_begin(GPU_TASK, 4);
    w.read_retry(GPU_TASK, 4, false).spte(TOY, 0x11, 7, true).spte(TOY, 0x12, 8, true).expect(&[]);
    w.read_begin(GPU_TASK, 6).spte(TOY, 0x11, 7, true).expect(&[Code::Seq]);
}

#[test]
fn an_invalidation_between_retry_and_publication_shows_the_lock_is_not_held() {
    // What the invalidating task does in between, and whether that proves it.
    let range = pages(0x10, 0x12);
    let cases: [(bool, bool, bool, &[Code]); 4] = [
        // Entered, and waiting for the lock: legal.
        (true, false, false, &[]),
        (true, true, false, &[Code::Seq]),
        (true, false, true, &[Code::Seq]),
        (false, false, false, &[]),
    ];
    for (entered, set_seq, returned, codes) in cases {
        let mut w = World::new();
        let b = w.toy().open(UNMAP, range, NotifyEvent::Clear);
        w.read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, false);
        if entered {
            w.enter_callback(UNMAP, Some(b), TOY, Hook::Invalidate, range, true);
        }
        if set_seq {
            w.ev(UNMAP, EventKind::SetSeq { sub: TOY, seq: 3 });
        }
        if returned {
            w.exit_callback(UNMAP, TOY, Hook::Invalidate, true);
        }
        w.spte(TOY, 0x11, 7, true).expect(codes);
    }
}

#[test]
fn callbacks_that_refuse_or_ignore_their_owner_prove_nothing() {
    let range = pages(0x10, 0x12);
    for (owner, ok) in [(Some(OWNER), true), (None, false)] {
        let mut w = World::new();
        w.toy();
        let event = NotifyEvent::Migrate;
        let b = w.open_as(UNMAP, NotifyRange { mm: A, pages: range, event, blockable: false, owner });
        w.read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, false);
        w.enter_callback(UNMAP, Some(b), TOY, Hook::Invalidate, range, false);
        w.exit_callback(UNMAP, TOY, Hook::Invalidate, ok).spte(TOY, 0x11, 7, true).expect(&[]);
    }
}

#[test]
fn list_and_unknown_subscribers_have_no_sequence() {
    let mut w = World::new();
    w.list(AccessModel::Mirror).spte(LIST, 0x11, 7, true).spte(SubId(ObjId(0x55)), 0x11, 7, true).expect(&[]);
}
