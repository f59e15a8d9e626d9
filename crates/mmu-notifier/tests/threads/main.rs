//! The protocol on OS threads, a few rounds of it; `just stress` does more.

#![expect(unreachable_pub, reason = "the protocol is the example's as well")]

mod protocol;

use protocol::{Fault, Tally, round};

fn rounds(n: u64, fault: Fault) -> Tally {
    let mut all = Tally::default();
    (0..n).for_each(|seed| all.add(round(seed, 4, fault)));
    all
}

#[test]
fn the_protocol_holds_on_threads() {
    let all = rounds(60, Fault::None);
    assert_eq!(all.findings, [""; 0]);
    let did = [all.brackets, all.refused, all.callbacks, all.published, all.subscribed];
    assert!(did.iter().all(|n| *n > 0), "something was never done: {all:?}");
}

/// What a fault makes the checks say. Which round does depends on the machine.
#[track_caller]
fn is_found(fault: &str, what: &str) {
    let fault = Fault::from_word(fault).expect("a fault");
    let found = (0..2_000).any(|seed| round(seed, 4, fault).findings.iter().any(|finding| finding.contains(what)));
    assert!(found, "{fault:?} was not found");
}

#[test]
fn a_callback_after_unregister_is_found() {
    is_found("callback-after-unregister", "removal returned");
}

#[test]
fn a_mirror_that_skips_the_retry_is_found() {
    is_found("skip-retry", "a frame that is free");
}

#[test]
fn an_allocation_under_the_callbacks_lock_is_found() {
    is_found("alloc-under-lock", "cycle");
}
