use crate::Code;
use crate::test_utils::*;
use mm_types::{Pfn, Pte, Vpn};
use trace::{AccessModel, EventKind, Hook, NotifyEvent, NotifyRange};

/// Page 0x11 mapped by the CPU and by `toy`, frame 7.
fn mapped() -> World {
    let mut w = World::new();
    w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).map(0x11, 7);
    w
}

#[test]
fn a_translation_used_after_its_revocation_is_stale_and_one_zapped_is_not() {
    let mut w = mapped();
    w.enter(UNMAP, "munmap", pages(0x10, 0x12));
    let b = w.start(UNMAP, pages(0x10, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).leave(UNMAP);
    assert_eq!((w.stats().latent_stale, w.stats().translations_revoked, w.stats().pages_revoked), (1, 1, 1));
    w.expect(&[]).stats();
    w.access(TOY, 0x11, 7, false);
    let title = "device gpu reads page 0x11000 of A through a translation revoked by munmap [0x10000, 0x12000) by \
                 task unmap (subscription toy, mirror)";
    let finding = w.expect_one(Code::Stale, title);
    let order = ["spte of", "range_start UNMAP", "invalidate of toy returned", "cleared", "device gpu reads"];
    assert_eq!(finding.details.len(), order.len(), "{finding}");
    for (line, what) in finding.details.iter().zip(order) {
        assert!(line.contains(what), "{what:?} is not in {line:?}");
    }
    let steps = finding.details.iter().map(|l| l.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()));
    assert!(steps.clone().all(|s| s.is_some()) && steps.is_sorted(), "{finding}");

    // The correct driver: zapped inside the callback, published again afterwards.
    let mut w = mapped();
    let range = pages(0x10, 0x12);
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    w.enter_callback(UNMAP, Some(b), TOY, Hook::Invalidate, range, true).spte_clear(UNMAP, TOY, 0x11);
    w.exit_callback(UNMAP, TOY, Hook::Invalidate, true).started(UNMAP, b, true);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).pte(OTHER, 0x11, Pte::NONE, rw(8));
    w.map(0x11, 8).access(TOY, 0x11, 8, true).finish().expect(&[]);
    assert_eq!(w.stats().latent_stale, 0);
}

#[test]
fn an_access_between_the_start_and_the_change_is_stale_once_the_change_comes() {
    for (changes, codes) in [(true, &[Code::Stale][..]), (false, &[])] {
        let mut w = mapped();
        let b = w.start(UNMAP, pages(0x10, 0x20), NotifyEvent::Unmap);
        w.access(TOY, 0x11, 7, true).spte_clear(UNMAP, TOY, 0x11).expect(&[]);
        if changes {
            w.pte(UNMAP, 0x11, rw(7), Pte::NONE);
        }
        w.end(UNMAP, b).expect(codes);
    }
    // Before the callback returned there is no duty yet.
    let mut w = mapped();
    let range = pages(0x11, 0x12);
    let b = w.open(UNMAP, range, NotifyEvent::Unmap);
    w.enter_callback(UNMAP, Some(b), TOY, Hook::Invalidate, range, true).access(TOY, 0x11, 7, true);
    w.spte_clear(UNMAP, TOY, 0x11).exit_callback(UNMAP, TOY, Hook::Invalidate, true).started(UNMAP, b, true);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).finish().expect(&[]);
}

#[test]
fn a_suspect_access_is_forgotten_with_its_bracket() {
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0x10, 0x20), NotifyEvent::Clear);
    w.access(TOY, 0x11, 7, true).end(UNMAP, b);
    let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    let range = pages(0x11, 0x12);
    w.enter_callback(UNMAP, Some(b), TOY, Hook::Invalidate, range, true).spte_clear(UNMAP, TOY, 0x11);
    w.exit_callback(UNMAP, TOY, Hook::Invalidate, true).started(UNMAP, b, true);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).expect(&[]);
}

#[test]
fn unchanged_pages_of_a_widened_range_owe_nothing() {
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0, 0x100), NotifyEvent::Clear);
    w.pte(UNMAP, 0x12, rw(9), Pte::NONE).end(UNMAP, b).access(TOY, 0x11, 7, true).finish().expect(&[]);
}

#[test]
fn write_protection_revokes_writes_only() {
    for (write, codes) in [(false, &[][..]), (true, &[Code::Stale])] {
        let mut w = mapped();
        let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::ProtectionPage);
        w.pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b).access(TOY, 0x11, 7, write).expect(codes);
        assert_eq!(w.stats().latent_stale, 1);
    }
    // A read in the window before the change is no evidence, a later write in it is.
    for (write, codes) in [(false, &[][..]), (true, &[Code::Stale])] {
        let mut w = mapped();
        let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::ProtectionPage);
        w.access(TOY, 0x11, 7, false).access(TOY, 0x11, 7, write);
        w.pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b).expect(codes);
    }
    // A read-only translation of a page that is write-protected is as true as before.
    let mut w = World::new();
    w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, false);
    w.spte(TOY, 0x11, 7, false);
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::ProtectionPage);
    w.pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b).access(TOY, 0x11, 7, false).expect(&[]);
    assert_eq!(w.stats().latent_stale, 0);
}

#[test]
fn a_later_clearing_revokes_what_write_protection_had_left() {
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::ProtectionPage);
    w.pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b);
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.pte(UNMAP, 0x11, ro(7), Pte::NONE).end(UNMAP, b).access(TOY, 0x11, 7, false).expect(&[Code::Stale]);
}

#[test]
fn the_same_frame_back_in_place_does_not_revive_an_old_translation() {
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
    w.pte(UNMAP, 0x11, rw(7), Pte::swap(1)).end(UNMAP, b).pte(UNMAP, 0x11, Pte::swap(1), rw(7));
    w.access(TOY, 0x11, 7, false).expect(&[Code::Stale]);
}

#[test]
fn what_was_read_before_the_change_and_published_after_it_is_stale_from_birth() {
    // Frame 9 was never there: wrong, but nothing was revoked.
    for (pfn, codes) in [(7, &[Code::Stale][..]), (8, &[]), (9, &[])] {
        let mut w = World::new();
        w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).read_begin(GPU_TASK, 1);
        let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Clear);
        w.pte(UNMAP, 0x11, rw(7), rw(8)).end(UNMAP, b);
        // A read_retry that lies, so that only STALE is at issue.
        w.read_retry(GPU_TASK, 1, false).spte(TOY, 0x11, pfn, true).access(TOY, 0x11, pfn, false).expect(codes);
    }
    // Write-protected meanwhile: a read-only publication is right, a writable one revokes writes only.
    for (writable, write, codes) in [(false, false, &[][..]), (true, false, &[]), (true, true, &[Code::Stale])] {
        let mut w = World::new();
        w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).read_begin(GPU_TASK, 1);
        let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::ProtectionPage);
        w.pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b);
        w.read_retry(GPU_TASK, 1, false).spte(TOY, 0x11, 7, writable).access(TOY, 0x11, 7, write).expect(codes);
        assert_eq!(w.stats().translations_revoked, u64::from(writable));
    }
    // Writable again: the fault that made it so needs no notice.
    let mut w = World::new();
    w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).read_begin(GPU_TASK, 1);
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::ProtectionPage);
    w.pte(UNMAP, 0x11, rw(7), ro(7)).end(UNMAP, b).pte(GPU_TASK, 0x11, ro(7), rw(7));
    w.read_retry(GPU_TASK, 1, false).spte(TOY, 0x11, 7, true).access(TOY, 0x11, 7, true).expect(&[]);
}

#[test]
fn own_doing_filtered_by_owner_owes_nothing() {
    for (owner, codes) in [(Some(OWNER), &[][..]), (None, &[Code::Stale])] {
        let mut w = mapped();
        let range = pages(0x11, 0x12);
        let b =
            w.open_as(UNMAP, NotifyRange { mm: A, pages: range, event: NotifyEvent::Migrate, blockable: true, owner });
        w.tell(UNMAP, b, TOY, Hook::Invalidate, range).started(UNMAP, b, true).access(TOY, 0x11, 7, true);
        w.pte(UNMAP, 0x11, rw(7), Pte::migration(Pfn(7))).end(UNMAP, b).access(TOY, 0x11, 7, true).expect(codes);
    }
}

#[test]
fn own_doing_does_not_hide_another_bracket_over_the_same_page() {
    let mut w = mapped();
    let range = pages(0x11, 0x12);
    let own = NotifyRange { mm: A, pages: range, event: NotifyEvent::Migrate, blockable: true, owner: Some(OWNER) };
    let b = w.open_as(OTHER, own);
    w.tell(OTHER, b, TOY, Hook::Invalidate, range).started(OTHER, b, true);
    w.start(UNMAP, range, NotifyEvent::Unmap);
    w.access(TOY, 0x11, 7, true).pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[Code::Stale]);
}

#[test]
fn who_was_not_told_is_not_stale_but_the_bracket_is_wrong() {
    let mut w = mapped();
    let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.started(UNMAP, b, true).pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b);
    w.access(TOY, 0x11, 7, true).map(0x11, 7).access(TOY, 0x11, 7, true).expect(&[Code::OrdClear]);
}

#[test]
fn a_translation_made_after_the_callback_returned_was_not_announced_to() {
    // An unmatched sequence lets a reading begin inside a bracket; what it publishes is revoked by the change only.
    let mut w = World::new();
    w.toy().pte(GPU_TASK, 0x11, Pte::NONE, rw(7));
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.map(0x11, 7).access(TOY, 0x11, 7, true).pte(UNMAP, 0x11, rw(7), Pte::NONE).expect(&[]);
    w.access(TOY, 0x11, 7, true).end(UNMAP, b).expect(&[Code::Stale]);
}

#[test]
fn a_translation_zapped_late_is_latent_until_then() {
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b);
    assert_eq!(w.stats().latent_stale, 1);
    w.spte_clear(UNMAP, TOY, 0x11).expect(&[]);
    assert_eq!(w.stats().latent_stale, 0);
    // Taken away, and used all the same.
    w.access(TOY, 0x11, 7, false).expect(&[Code::Stale]);
}

#[test]
fn long_term_pins_and_list_pins_differ() {
    for (model, codes) in [
        (AccessModel::LongTermPin, &[][..]),
        (AccessModel::PinUntilInvalidate, &[Code::Stale]),
        (AccessModel::Mirror, &[Code::Stale]),
    ] {
        let mut w = World::new();
        w.list(model).pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).spte(LIST, 0x11, 7, true);
        let b = w.start_list(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
        w.pte(UNMAP, 0x11, rw(7), Pte::NONE).end(UNMAP, b).access(LIST, 0x11, 7, true).expect(codes);
    }
}

/// Calls the secondary-TLB hook of `list` over `range`.
fn flush(w: &mut World, range: mm_types::PageRange) {
    w.enter_callback(UNMAP, None, LIST, Hook::SecondaryTlb, range, false);
    w.exit_callback(UNMAP, LIST, Hook::SecondaryTlb, true);
}

#[test]
fn a_secondary_tlb_is_revoked_by_its_hook_and_not_by_the_start() {
    let tlb = || {
        let mut w = World::new();
        w.list(AccessModel::SecondaryTlb).pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).spte(LIST, 0x11, 7, true);
        let b = w.open(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
        w.started(UNMAP, b, true).pte(UNMAP, 0x11, rw(7), Pte::NONE);
        w
    };
    let mut w = tlb();
    w.access(LIST, 0x11, 7, true).expect(&[]);
    flush(&mut w, pages(0x11, 0x12));
    w.access(LIST, 0x11, 7, true);
    w.expect_one(Code::Stale, "revoked by arch_invalidate_secondary_tlbs [0x11000, 0x12000) in task unmap");

    // Another range, or filled again since.
    let mut w = tlb();
    flush(&mut w, pages(0x12, 0x13));
    w.access(LIST, 0x11, 7, true).expect(&[]);
    let mut w = tlb();
    w.spte(LIST, 0x11, 7, true);
    flush(&mut w, pages(0x11, 0x12));
    w.access(LIST, 0x11, 7, true).expect(&[]);

    // A hook entered before the change does not follow it.
    let mut w = World::new();
    w.list(AccessModel::SecondaryTlb).pte(GPU_TASK, 0x11, Pte::NONE, rw(7)).spte(LIST, 0x11, 7, true);
    let b = w.open(OTHER, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.started(OTHER, b, true).enter_callback(UNMAP, None, LIST, Hook::SecondaryTlb, pages(0x11, 0x12), false);
    w.pte(OTHER, 0x11, rw(7), Pte::NONE).exit_callback(UNMAP, LIST, Hook::SecondaryTlb, true);
    w.access(LIST, 0x11, 7, true).expect(&[]);
}

#[test]
fn a_device_in_a_free_or_reused_frame_is_harm_whatever_its_model() {
    for model in [AccessModel::LongTermPin, AccessModel::SecondaryTlb] {
        let mut w = World::new();
        w.list(model).ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).spte(LIST, 0x11, 7, true);
        w.access(LIST, 0x11, 7, true).ev(OTHER, EventKind::FrameFree { pfn: Pfn(7) }).expect(&[]);
        w.access(LIST, 0x11, 7, true)
            .expect_one(Code::StaleHarm, "device gpu writes page 0x11000 of A in a free frame");

        let mut w = World::new();
        w.list(model).ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).spte(LIST, 0x11, 7, true);
        w.ev(OTHER, EventKind::FrameFree { pfn: Pfn(7) }).ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) });
        w.access(LIST, 0x11, 7, false).expect_one(Code::StaleHarm, "freed and reused");

        // Set again since, it is the new owner's.
        let mut w = World::new();
        w.list(model).ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).spte(LIST, 0x11, 7, true);
        w.ev(OTHER, EventKind::FrameFree { pfn: Pfn(7) }).ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) });
        w.spte(LIST, 0x11, 7, true).access(LIST, 0x11, 7, false).expect(&[]);
    }
}

#[test]
fn a_cpu_in_a_free_or_reused_frame_is_harm() {
    let cpu = || EventKind::CpuAccess { mm: A, vpn: Vpn(0x11), pfn: Pfn(7), write: true, value: 0 };
    let mut w = World::new();
    w.ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(OTHER, cpu());
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).ev(OTHER, cpu()).expect(&[]);
    w.ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) }).ev(OTHER, cpu());
    w.expect_one(Code::StaleHarm, "task other writes page 0x11000 of A in a free frame, through a stale TLB entry");

    // The page has another frame now; the old one has another owner.
    let mut w = World::new();
    w.ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).pte(OTHER, 0x11, Pte::NONE, rw(7));
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) });
    w.ev(UNMAP, EventKind::FrameAlloc { pfn: Pfn(7) }).pte(OTHER, 0x11, Pte::NONE, rw(9)).ev(OTHER, cpu());
    w.expect_one(Code::StaleHarm, "freed and reused");

    // The same page got the same frame again.
    let mut w = World::new();
    w.ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).pte(OTHER, 0x11, Pte::NONE, rw(7));
    w.pte(UNMAP, 0x11, rw(7), Pte::NONE).ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) });
    w.ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(OTHER, cpu());
    w.expect(&[]);
}

fn cpu(write: bool) -> EventKind {
    EventKind::CpuAccess { mm: A, vpn: Vpn(0x11), pfn: Pfn(7), write, value: 0 }
}

#[test]
fn a_cpu_that_sees_a_page_after_the_call_that_took_it_has_returned_is_stale() {
    // Another task has cleared the entry and will flush; the call finds what that left, and returns.
    let taken = || {
        let mut w = World::new();
        w.pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(OTHER, cpu(true));
        w.enter(UNMAP, "madvise", pages(0x10, 0x12)).pte(GPU_TASK, 0x11, rw(7), rw(7).to_migration());
        w.pte(UNMAP, 0x11, rw(7).to_migration(), Pte::NONE);
        w
    };
    let mut w = taken();
    w.ev(OTHER, cpu(true)).expect(&[]);
    w.leave(UNMAP).ev(OTHER, cpu(false));
    w.expect_one(Code::Stale, "reads page 0x11000 of A as it was before madvise by task unmap, which has returned");

    // It failed, or the page was mapped again, to the same frame, since the call began.
    let mut w = taken();
    w.ev(UNMAP, EventKind::CallExit { error: Some(mm_types::Errno::EINVAL) }).ev(OTHER, cpu(true)).expect(&[]);
    let mut w = taken();
    w.leave(UNMAP).pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(OTHER, cpu(true)).expect(&[]);
    let mut w = taken();
    w.pte(OTHER, 0x11, Pte::NONE, rw(7)).leave(UNMAP).pte(GPU_TASK, 0x11, rw(7), Pte::NONE).ev(OTHER, cpu(true));
    w.expect(&[]);

    // A call that left something else there promises nothing.
    let mut w = World::new();
    w.pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(OTHER, cpu(true)).enter(UNMAP, "madvise", pages(0x10, 0x12));
    w.pte(UNMAP, 0x11, rw(7), rw(7).to_migration()).leave(UNMAP).ev(OTHER, cpu(true)).expect(&[]);
}

#[test]
fn a_cpu_that_writes_what_counts_as_clean_is_stale() {
    let clean = |done| EventKind::FolioClean { pfn: Pfn(7), done };
    let mut w = World::new();
    w.pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(OTHER, cpu(true)).pte(UNMAP, 0x11, rw(7), Pte::NONE);
    w.ev(GPU_TASK, clean(false)).ev(OTHER, cpu(true)).expect(&[]);
    w.ev(GPU_TASK, clean(true)).ev(OTHER, cpu(false)).expect(&[]);
    w.ev(OTHER, cpu(true)).expect_one(Code::Stale, "writes page 0x11000 of A which counts as clean");

    // Made writable again while the page was cleaned: it is the next round's.
    let mut w = World::new();
    w.pte(OTHER, 0x11, Pte::NONE, rw(7)).ev(GPU_TASK, clean(false)).pte(GPU_TASK, 0x11, rw(7), ro(7));
    w.pte(OTHER, 0x11, ro(7), rw(7)).ev(GPU_TASK, clean(true)).pte(UNMAP, 0x11, rw(7), Pte::NONE).ev(OTHER, cpu(true));
    w.expect(&[]);
}

#[test]
fn a_reference_to_a_free_frame_is_harm() {
    let mut w = World::new();
    w.ev(OTHER, EventKind::FrameAlloc { pfn: Pfn(7) }).ev(OTHER, EventKind::PagePin { pfn: Pfn(7) }).expect(&[]);
    w.ev(UNMAP, EventKind::FrameFree { pfn: Pfn(7) }).ev(OTHER, EventKind::PagePin { pfn: Pfn(7) });
    w.expect_one(Code::StaleHarm, "task other takes a reference to a free frame");
}

#[test]
fn one_bracket_and_many_stale_pages_are_one_finding() {
    let mut w = World::new();
    w.toy();
    (0x10..0x20).for_each(|n| {
        w.pte(GPU_TASK, n, Pte::NONE, rw(n)).map(n, n);
    });
    let b = w.start(UNMAP, pages(0x10, 0x20), NotifyEvent::Unmap);
    (0x10..0x20).for_each(|n| {
        w.pte(UNMAP, n, rw(n), Pte::NONE);
    });
    w.end(UNMAP, b);
    assert_eq!((w.stats().latent_stale, w.stats().pages_revoked), (16, 16));
    (0x10..0x20).for_each(|n| {
        w.access(TOY, n, n, false);
    });
    w.expect(&[Code::Stale]);
}
