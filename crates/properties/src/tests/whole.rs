//! The oracles together: declarations, resets, keys.

use crate::test_utils::*;
use crate::{Code, Oracles, Variant};
use mm_types::Pte;
use std::collections::BTreeSet;
use trace::NotifyEvent;

fn stale_run(w: &mut World) {
    w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).map(0x11, 7);
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).access(TOY, 0x11, 7, true);
}

#[test]
fn every_code_but_those_made_elsewhere_has_an_oracle_that_declares_what_it_reads() {
    let declared: BTreeSet<Code> = Oracles::all().declares().iter().flat_map(|d| d.codes).copied().collect();
    let elsewhere = |c: &Code| c.is_of_locks() || [Code::Life, Code::Check, Code::ProgRequest].contains(c);
    let ours: BTreeSet<Code> = Code::ALL.iter().copied().filter(|c| !elsewhere(c)).collect();
    assert_eq!(declared, ours);
    for d in Oracles::all().declares() {
        assert!(d.reads.iter().next().is_some(), "{} reads nothing", d.oracle);
    }
    let stale = Oracles::all().declares().iter().find(|d| d.oracle == "STALE").map(|d| d.reads);
    assert!(stale.is_some_and(|r| r.contains(Variant::DeviceAccess) && !r.contains(Variant::LockAcquired)));
}

#[test]
fn a_reset_forgets_the_run() {
    let mut w = World::new();
    stale_run(&mut w);
    w.expect(&[Code::Stale]);
    w.oracles().reset();
    w.expect(&[]);
    assert_eq!(*w.stats(), crate::Stats::default());
    // Unknown again: nobody is subscribed.
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).access(TOY, 0x11, 7, true).expect(&[]);
}

#[test]
fn the_key_does_not_depend_on_when_it_happened() {
    let mut first = World::new();
    stale_run(&mut first);
    let mut later = World::new();
    for n in 0..10 {
        later.pte(OTHER, 0x40 + n, Pte::NONE, rw(100 + n));
    }
    stale_run(&mut later);
    let (a, b) = (first.expect_one(Code::Stale, ""), later.expect_one(Code::Stale, ""));
    assert_eq!((a.key, &a.title), (b.key, &b.title));
    assert_ne!(a.step, b.step);
}
