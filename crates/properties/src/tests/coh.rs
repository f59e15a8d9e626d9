//! COH: what is read is what was last written to that page of that process.

use crate::Code;
use crate::test_utils::*;
use mm_types::{MmId, Pfn, Pte, Vpn};
use trace::{AccessModel, EventKind, NotifyEvent};

const B: MmId = MmId(1);

/// Page 0x11 of `A` holds 1 in frame 7, mirrored by the device for writing.
fn written() -> World {
    let mut w = World::new();
    w.toy().pte(UNMAP, 0x11, Pte::NONE, rw(7)).map(0x11, 7).cpu(A, 0x11, 7, true, 1);
    w
}

fn pte_of_b(w: &mut World, page: u64, old: Pte, new: Pte) {
    w.ev(OTHER, EventKind::PteSet { mm: B, vpn: Vpn(page), old, new });
}

/// Fork: `B` shares the frame, both read-only. The device is told, and ignores it if it is `deaf`.
fn fork(w: &mut World, deaf: bool) {
    let range = pages(0x11, 0x12);
    let b = w.open(UNMAP, range, NotifyEvent::ProtectionPage);
    w.enter_callback(UNMAP, Some(b), TOY, trace::Hook::Invalidate, range, true);
    if !deaf {
        w.spte_clear(UNMAP, TOY, 0x11);
    }
    w.exit_callback(UNMAP, TOY, trace::Hook::Invalidate, true).started(UNMAP, b, true);
    w.pte(UNMAP, 0x11, rw(7), ro(7));
    pte_of_b(w, 0x11, Pte::NONE, ro(7));
    w.end(UNMAP, b);
}

/// `A` writes `value`: its page is copied from frame 7 to frame 8.
fn copy_on_write(w: &mut World, value: u64) {
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.pte(UNMAP, 0x11, ro(7), Pte::NONE).pte(UNMAP, 0x11, Pte::NONE, rw(8)).end(UNMAP, b);
    w.cpu(A, 0x11, 8, true, value);
}

#[test]
fn cpu_and_device_that_read_each_others_stores_are_coherent() {
    let mut w = written();
    w.device_value(TOY, 0x11, 7, false, 1).device_value(TOY, 0x11, 7, true, 2).cpu(A, 0x11, 7, false, 2);
    w.cpu(A, 0x11, 7, true, 3).device_value(TOY, 0x11, 7, false, 3).finish().expect(&[]);
}

#[test]
fn a_load_that_does_not_see_the_last_store_is_found_once() {
    let mut w = written();
    w.cpu(A, 0x11, 7, false, 9).cpu(A, 0x11, 7, false, 9);
    let finding = w.expect_one(Code::Coh, "task unmap reads page 0x11000 of A and does not get what was last written");
    assert!(finding.details.iter().any(|l| l.contains("cpu writes 0x1")), "{finding}");
    assert!(finding.columns.last().is_some_and(|row| row.ends_with("<-- here")), "{:#?}", finding.columns);
}

#[test]
fn a_device_that_keeps_the_old_frame_after_copy_on_write_reads_old_contents() {
    let mut w = written();
    fork(&mut w, true);
    copy_on_write(&mut w, 5);
    w.device_value(TOY, 0x11, 7, false, 1);
    w.expect(&[Code::Stale, Code::Coh]);

    // The correct driver publishes the copy.
    let mut w = written();
    fork(&mut w, false);
    copy_on_write(&mut w, 5);
    w.map(0x11, 8).device_value(TOY, 0x11, 8, false, 5).finish().expect(&[]);
}

#[test]
fn a_device_write_after_fork_must_not_reach_the_other_process() {
    let mut w = written();
    fork(&mut w, true);
    // Before either has copied, both still map the frame that the device writes to.
    w.device_value(TOY, 0x11, 7, true, 6);
    w.expect(&[Code::Stale]);
    w.cpu(B, 0x11, 7, false, 6).expect(&[Code::Stale, Code::Coh]);
    let child = |w: &mut World, value| w.cpu(B, 0x11, 7, false, value).expect(&[]).stats().events;

    // A correct one writes to the parent's own copy.
    let mut w = written();
    fork(&mut w, false);
    copy_on_write(&mut w, 5);
    w.map(0x11, 8).device_value(TOY, 0x11, 8, true, 6).cpu(A, 0x11, 8, false, 6);
    child(&mut w, 1);
}

#[test]
fn a_lost_device_write_is_found_by_the_process_that_misses_it() {
    let mut w = written();
    fork(&mut w, true);
    copy_on_write(&mut w, 5);
    w.device_value(TOY, 0x11, 7, true, 6).expect(&[Code::Stale]);
    w.cpu(A, 0x11, 8, false, 5).expect(&[Code::Stale, Code::Coh]);
}

#[test]
fn contents_follow_a_page_through_swap_and_migration() {
    for between in [Pte::swap(3), rw(7).to_migration()] {
        for (value, codes) in [(1, &[][..]), (0, &[Code::Coh][..])] {
            let mut w = written();
            let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
            w.pte(UNMAP, 0x11, rw(7), Pte::NONE).pte(UNMAP, 0x11, Pte::NONE, between).end(UNMAP, b);
            w.ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) });
            w.pte(OTHER, 0x11, between, rw(9)).cpu(A, 0x11, 9, false, value).expect(codes);
        }
    }
}

#[test]
fn a_child_inherits_what_is_in_swap() {
    let mut w = written();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).pte(UNMAP, 0x11, Pte::NONE, Pte::swap(3)).end(UNMAP, b);
    pte_of_b(&mut w, 0x11, Pte::NONE, Pte::swap(3));
    pte_of_b(&mut w, 0x11, Pte::swap(3), ro(9));
    w.cpu(B, 0x11, 9, false, 4).expect(&[Code::Coh]);
}

#[test]
fn a_slot_used_again_owes_nothing_to_its_earlier_page() {
    let mut w = written();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).pte(UNMAP, 0x11, Pte::NONE, Pte::swap(3)).end(UNMAP, b);
    w.pte(UNMAP, 0x11, Pte::swap(3), rw(9));
    // Page 0x12 was never written: its contents are not known when they go to the same slot.
    w.pte(OTHER, 0x12, Pte::NONE, rw(8));
    let b = w.start(UNMAP, pages(0x12, 0x13), NotifyEvent::Clear);
    w.pte(UNMAP, 0x12, rw(8), Pte::NONE).pte(UNMAP, 0x12, Pte::NONE, Pte::swap(3)).end(UNMAP, b);
    w.pte(OTHER, 0x12, Pte::swap(3), rw(6)).cpu(A, 0x12, 6, false, 0).expect(&[]);
}

#[test]
fn memory_mapped_anew_owes_nothing_to_what_was_there() {
    let mut w = written();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) });
    w.ev(UNMAP, EventKind::FrameAlloc { pfn: Pfn(7) });
    w.pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, false, 0).finish().expect(&[]);
    // Without anybody subscribed there is no bracket, and the same holds.
    let mut w = World::new();
    w.pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, true, 1).pte(UNMAP, 0x11, rw(7), Pte::NONE);
    w.ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) }).ev(UNMAP, EventKind::FrameAlloc { pfn: Pfn(7) });
    w.pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, false, 0).expect(&[]);
}

#[test]
fn a_store_to_shared_memory_reaches_everybody() {
    let mut w = written();
    pte_of_b(&mut w, 0x50, Pte::NONE, rw(7));
    w.cpu(B, 0x50, 7, false, 1).cpu(B, 0x50, 7, true, 2).cpu(A, 0x11, 7, false, 2);
    w.device_value(TOY, 0x11, 7, true, 3).cpu(B, 0x50, 7, false, 3).finish().expect(&[]);
}

#[test]
fn a_moved_page_takes_its_contents_along() {
    let mut w = written();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).pte(UNMAP, 0x18, Pte::NONE, rw(7)).end(UNMAP, b);
    w.cpu(A, 0x18, 7, false, 2).expect(&[Code::Coh]);
}

/// A page that is pinned, which reclaim finds out when it has cleared the entry, and sets it again: what the device stored
/// meanwhile is what the page has.
#[test]
fn a_store_through_a_pin_counts_while_the_entry_is_cleared() {
    for (read, codes) in [(2, &[][..]), (1, &[Code::Coh][..])] {
        let mut w = World::new();
        w.list(AccessModel::LongTermPin).pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, true, 1);
        w.spte(LIST, 0x11, 7, true);
        let b = w.start_list(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
        w.pte(UNMAP, 0x11, rw(7), Pte::NONE).device_value(LIST, 0x11, 7, true, 2);
        w.pte(UNMAP, 0x11, Pte::NONE, rw(7)).end(UNMAP, b).cpu(A, 0x11, 7, false, read).expect(codes);
    }
}

/// Reclaim of a page that a device writes to after the entry was cleared: it counts until the flush for who keeps a
/// secondary TLB, and is read when the page is back.
#[test]
fn a_store_before_the_flush_goes_out_with_the_page() {
    let wrong = &[Code::Stale, Code::Coh][..];
    for (model, codes) in [(AccessModel::SecondaryTlb, &[][..]), (AccessModel::Mirror, wrong)] {
        let mut w = World::new();
        w.list(model).pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, true, 1).spte(LIST, 0x11, 7, true);
        let b = w.start_list(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
        w.pte(UNMAP, 0x11, rw(7), Pte::NONE).device_value(LIST, 0x11, 7, true, 2);
        w.pte(UNMAP, 0x11, Pte::NONE, Pte::swap(3)).end(UNMAP, b);
        w.pte(UNMAP, 0x11, Pte::swap(3), rw(8)).cpu(A, 0x11, 8, false, 2).expect(codes);
    }
}

/// Fork: between the entry's becoming read-only and the flush the device may still write, and the child has it too.
#[test]
fn a_store_before_the_flush_of_a_fork_is_the_childs_as_well() {
    let mut w = World::new();
    w.list(AccessModel::SecondaryTlb).pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, true, 1);
    w.spte(LIST, 0x11, 7, true).pte(UNMAP, 0x11, rw(7), ro(7));
    pte_of_b(&mut w, 0x11, Pte::NONE, ro(7));
    w.device_value(LIST, 0x11, 7, true, 2).cpu(B, 0x11, 7, false, 2).cpu(A, 0x11, 7, false, 2);
    assert!(!w.oracles().findings().iter().any(|f| f.code == Code::Coh));
}

#[test]
fn what_was_stored_after_a_page_was_freed_lazily_is_not_lost_to_reclaim() {
    let entry = rw(7);
    let reclaimed = |w: &mut World, how: EventKind| {
        w.ev(OTHER, how);
        let b = w.open(OTHER, pages(0x11, 0x12), NotifyEvent::Clear);
        w.started(OTHER, b, true).pte(OTHER, 0x11, entry, Pte::NONE).end(OTHER, b);
    };
    let start = EventKind::ReclaimStart { direct: false };
    for (stored_after, how, zero_page, codes) in [
        (true, start, false, &[Code::Coh][..]),
        (true, start, true, &[Code::Coh]),
        (false, start, false, &[]),
        // An unmapping takes what is there.
        (true, EventKind::ReclaimEnd { freed: 0 }, false, &[]),
    ] {
        let mut w = World::new();
        w.ev(UNMAP, EventKind::FrameAlloc { pfn: Pfn(7) }).pte(UNMAP, 0x11, Pte::NONE, entry);
        let lazy = EventKind::LazyFreed { pfn: Pfn(7) };
        if stored_after {
            w.ev(UNMAP, lazy).cpu(A, 0x11, 7, true, 1);
        } else {
            w.cpu(A, 0x11, 7, true, 1).ev(UNMAP, lazy);
        }
        reclaimed(&mut w, how);
        let new = if zero_page { Pte::present(Pfn(0)).with_special(true) } else { ro(8) };
        w.pte(UNMAP, 0x11, Pte::NONE, new).cpu(A, 0x11, new.pfn().map_or(0, |pfn| pfn.0), false, 0).expect(codes);
    }
}

/// Reclaim of page 0x11, in frame 7 with 1 in it, to slot 3. Its flush is put off.
fn reclaimed_unflushed() -> World {
    let mut w = World::new();
    w.pte(UNMAP, 0x11, Pte::NONE, rw(7)).cpu(A, 0x11, 7, true, 1);
    let b = w.open(OTHER, pages(0x11, 0x12), NotifyEvent::Clear);
    w.started(OTHER, b, true).pte(OTHER, 0x11, rw(7), Pte::NONE);
    w.ev(OTHER, EventKind::TlbFlushDeferred { mm: A, vpn: Vpn(0x11) });
    w.pte(OTHER, 0x11, Pte::NONE, Pte::swap(3)).end(OTHER, b);
    w
}

#[test]
fn what_a_cpu_stores_before_a_flush_that_was_put_off_goes_to_swap() {
    let flush = EventKind::TlbFlush { mm: A, pages: pages(0x11, 0x12) };
    for (late, value, codes) in [(false, 2, &[][..]), (false, 1, &[Code::Coh]), (true, 1, &[]), (true, 2, &[Code::Coh])]
    {
        let mut w = reclaimed_unflushed();
        if late {
            w.ev(OTHER, flush).cpu(A, 0x11, 7, true, 2);
        } else {
            w.cpu(A, 0x11, 7, true, 2).ev(OTHER, flush);
        }
        w.pte(UNMAP, 0x11, Pte::swap(3), ro(8)).cpu(A, 0x11, 8, false, value).expect(codes);
    }
}

#[test]
fn a_cpu_may_read_where_a_page_was_until_the_flush_that_was_put_off() {
    for (flushed, codes) in [(None, &[][..]), (Some(pages(0x12, 0x13)), &[]), (Some(pages(0x10, 0x12)), &[Code::Coh])] {
        let mut w = reclaimed_unflushed();
        w.pte(UNMAP, 0x11, Pte::swap(3), rw(8)).cpu(A, 0x11, 8, true, 5);
        if let Some(pages) = flushed {
            w.ev(OTHER, EventKind::TlbFlush { mm: A, pages });
        }
        w.cpu(A, 0x11, 7, false, 1).expect(codes);
    }
}
