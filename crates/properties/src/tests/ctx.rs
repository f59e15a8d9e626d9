use crate::Code;
use crate::test_utils::*;
use mm_types::{Gfp, ObjId};
use trace::{Atomic, EventKind, Hook, LockKind, LockMode};

fn mutex_contended() -> EventKind {
    EventKind::LockContended { lock: lock(9, "vm_lock", LockKind::Mutex), mode: LockMode::Exclusive }
}

/// What may sleep, and what may not.
fn deeds() -> Vec<(EventKind, bool)> {
    let acquired =
        |kind, trylock| EventKind::LockAcquired { lock: lock(9, "vm_lock", kind), mode: LockMode::Shared, trylock };
    vec![
        (EventKind::MightSleep { what: "fence wait".into() }, true),
        (EventKind::Wait { on: ObjId(4), what: "srcu".into() }, true),
        (EventKind::Alloc { gfp: Gfp::KERNEL, nr_pages: 1, ok: true }, true),
        (EventKind::Alloc { gfp: Gfp::NOFS, nr_pages: 1, ok: false }, true),
        (mutex_contended(), true),
        (acquired(LockKind::Mutex, false), true),
        (acquired(LockKind::RwSem, false), true),
        (EventKind::Alloc { gfp: Gfp::ATOMIC, nr_pages: 1, ok: true }, false),
        (EventKind::Alloc { gfp: Gfp::NOWAIT, nr_pages: 1, ok: true }, false),
        (acquired(LockKind::Mutex, true), false),
        (acquired(LockKind::Spin, false), false),
        (acquired(LockKind::Srcu, false), false),
        (acquired(LockKind::Rcu, false), false),
        (acquired(LockKind::Map, false), false),
        (EventKind::SyncPoint { name: "x".into() }, false),
    ]
}

#[test]
fn sleeping_is_found_in_every_forbidding_context_and_in_no_other() {
    let spin = lock(1, "ptl", LockKind::Spin);
    let raw = lock(2, "rq", LockKind::RawSpin);
    let mutex = lock(3, "outer", LockKind::Mutex);
    let rcu = lock(4, "rcu_read_lock", LockKind::Rcu);
    type Enter<'a> = &'a dyn for<'w> Fn(&'w mut World) -> &'w mut World;
    let atomic = |atomic| EventKind::AtomicEnter { atomic, on: OTHER };
    let ends = |atomic| EventKind::AtomicExit { atomic };
    let contexts: [(Enter<'_>, bool); 17] = [
        (&|w| w.acquire(UNMAP, spin), true),
        (&|w| w.acquire(UNMAP, raw), true),
        (&|w| w.acquire(UNMAP, rcu), true),
        (&|w| w.acquire(UNMAP, spin).acquire(UNMAP, raw).release(UNMAP, spin), true),
        (&|w| w.ev(UNMAP, EventKind::NonBlockStart), true),
        (&|w| w.enter_callback(UNMAP, None, TOY, Hook::Invalidate, pages(1, 2), false), true),
        (&|w| w.ev(UNMAP, atomic(Atomic::IrqsOff)), true),
        (&|w| w.ev(UNMAP, atomic(Atomic::BhOff)), true),
        (&|w| w.ev(UNMAP, atomic(Atomic::Softirq)), true),
        (&|w| w.ev(UNMAP, atomic(Atomic::Hardirq)), true),
        (&|w| w.ev(UNMAP, atomic(Atomic::Hardirq)).ev(UNMAP, ends(Atomic::Hardirq)), false),
        // What a handler interrupts may go on sleeping.
        (&|w| w.ev(OTHER, atomic(Atomic::Hardirq)), false),
        (&|w| w, false),
        (&|w| w.acquire(UNMAP, mutex), false),
        (&|w| w.acquire(UNMAP, rcu).release(UNMAP, rcu), false),
        (&|w| w.acquire(UNMAP, spin).release(UNMAP, spin).acquire(OTHER, spin), false),
        (&|w| w.ev(UNMAP, EventKind::NonBlockStart).ev(UNMAP, EventKind::NonBlockEnd), false),
    ];
    for (enter, forbids) in contexts {
        for (deed, sleeps) in deeds() {
            let mut w = World::new();
            enter(w.subscribe(TOY, trace::SubKind::Interval, pages(1, 2), trace::AccessModel::Mirror));
            w.ev(UNMAP, deed).expect(if forbids && sleeps { &[Code::Ctx] } else { &[] });
        }
    }
}

#[test]
fn the_finding_names_the_lock_the_callback_and_the_call() {
    let mut w = World::new();
    w.acquire(UNMAP, lock(1, "ptl", LockKind::Spin)).enter(UNMAP, "munmap", pages(1, 2)).alloc(UNMAP, Gfp::KERNEL);
    w.expect_one(
        Code::Ctx,
        "an allocation with GFP_KERNEL may sleep while holding spinlock ptl, during munmap [0x1000, 0x2000) by task unmap",
    );
    let mut w = World::new();
    w.toy().ev(UNMAP, EventKind::NonBlockStart);
    w.enter_callback(UNMAP, None, TOY, Hook::Invalidate, pages(0x11, 0x12), false).ev(UNMAP, mutex_contended());
    w.expect_one(Code::Ctx, "acquiring mutex vm_lock may sleep in non-blockable invalidate of subscription toy");
}

#[test]
fn the_finding_names_the_interrupt() {
    let mut w = World::new();
    w.ev(UNMAP, EventKind::AtomicEnter { atomic: Atomic::Hardirq, on: OTHER }).ev(UNMAP, mutex_contended());
    w.expect_one(Code::Ctx, "acquiring mutex vm_lock may sleep in a hardirq");
}

#[test]
fn one_finding_a_context_and_nested_sections_count() {
    let mut w = World::new();
    w.ev(UNMAP, EventKind::NonBlockStart).ev(UNMAP, EventKind::NonBlockStart).ev(UNMAP, EventKind::NonBlockEnd);
    w.alloc(UNMAP, Gfp::KERNEL).ev(UNMAP, mutex_contended()).expect(&[Code::Ctx]);
    w.ev(UNMAP, EventKind::NonBlockEnd).alloc(UNMAP, Gfp::KERNEL).expect(&[Code::Ctx]);
    w.ev(UNMAP, EventKind::NonBlockStart).ev(UNMAP, mutex_contended()).expect(&[Code::Ctx, Code::Ctx]);
}

#[test]
fn a_callback_that_returned_forbids_nothing() {
    let mut w = World::new();
    w.toy().enter_callback(UNMAP, None, TOY, Hook::Invalidate, pages(0x11, 0x12), false);
    w.exit_callback(UNMAP, TOY, Hook::Invalidate, true).alloc(UNMAP, Gfp::KERNEL).expect(&[]);
}

#[test]
fn locks_are_released_in_any_order() {
    let mut w = World::new();
    let (a, b) = (lock(1, "ptl", LockKind::Spin), lock(2, "lru_lock", LockKind::Spin));
    w.acquire(UNMAP, a).acquire(UNMAP, b).release(UNMAP, a).alloc(UNMAP, Gfp::KERNEL);
    let finding = w.expect_one(Code::Ctx, "while holding spinlock lru_lock");
    assert!(!finding.title.contains("ptl"), "{finding}");
}
