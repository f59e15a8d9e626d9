//! Entries that map a GiB: told as one event, judged as the pages they stand for.

use crate::Code;
use crate::test_utils::*;
use mm_types::{MmId, Pte, TaskId, Vpn};
use trace::{EventKind, NotifyEvent};

const GIB: u64 = 1 << 18;
/// The frame of the first page.
const HEAD: u64 = 1 << 30;

fn entry() -> Pte {
    rw(HEAD).with_huge(true)
}

fn pud(w: &mut World, task: TaskId, mm: MmId, old: Pte, new: Pte) {
    w.ev(task, EventKind::PudSet { mm, base: Vpn(0), old, new });
}

/// The GiB at 0 mapped, in which `toy` watches pages 0x10..0x20.
fn mapped() -> World {
    let mut w = World::new();
    w.toy();
    pud(&mut w, UNMAP, A, Pte::NONE, entry());
    w
}

#[test]
fn a_gib_is_cleared_inside_a_bracket_over_all_of_it_and_nowhere_else() {
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0, GIB), NotifyEvent::Clear);
    pud(&mut w, UNMAP, A, entry(), Pte::NONE);
    w.end(UNMAP, b).finish().expect(&[]);

    // One page is not enough, although it is all that the call was about.
    let mut w = mapped();
    w.start(UNMAP, pages(0x10, 0x20), NotifyEvent::Clear);
    pud(&mut w, UNMAP, A, entry(), Pte::NONE);
    w.expect_one(Code::OrdClear, "was cleared outside any bracket of the task");

    // Nobody told the one who watches a part.
    let mut w = mapped();
    let b = w.open(UNMAP, pages(0, GIB), NotifyEvent::Clear);
    w.started(UNMAP, b, true);
    pud(&mut w, UNMAP, A, entry(), Pte::NONE);
    w.expect_one(Code::OrdClear, "page 0x10000 of A was cleared but subscription toy got no callback");
}

#[test]
fn a_translation_of_a_page_of_it_is_stale_after_the_split_whenever_it_was_published() {
    for published_late in [false, true] {
        let mut w = mapped();
        if !published_late {
            w.map(0x11, HEAD + 0x11);
        }
        let b = w.start(UNMAP, pages(0, GIB), NotifyEvent::Clear);
        pud(&mut w, UNMAP, A, entry(), Pte::NONE);
        w.end(UNMAP, b);
        if published_late {
            w.map(0x11, HEAD + 0x11);
        }
        w.expect(&[]);
        w.access(TOY, 0x11, HEAD + 0x11, false).expect_one(Code::Stale, "page 0x11000 of A");
    }
    // Mapped again, and read from what is there now.
    let mut w = mapped();
    let b = w.start(UNMAP, pages(0, GIB), NotifyEvent::Clear);
    pud(&mut w, UNMAP, A, entry(), Pte::NONE);
    w.end(UNMAP, b);
    pud(&mut w, UNMAP, A, Pte::NONE, entry());
    w.map(0x11, HEAD + 0x11).access(TOY, 0x11, HEAD + 0x11, true).finish().expect(&[]);
}

#[test]
fn contents_of_a_gib_survive_its_split_and_are_those_of_every_process_that_maps_it() {
    const B: MmId = MmId(1);
    for (value, codes) in [(5, &[][..]), (6, &[Code::Coh])] {
        let mut w = mapped();
        w.cpu(A, 0x11, HEAD + 0x11, true, 5);
        let b = w.start(UNMAP, pages(0, GIB), NotifyEvent::Clear);
        pud(&mut w, UNMAP, A, entry(), Pte::NONE);
        w.end(UNMAP, b);
        pud(&mut w, UNMAP, A, Pte::NONE, entry());
        w.cpu(A, 0x11, HEAD + 0x11, false, value).expect(codes);

        let mut w = mapped();
        pud(&mut w, OTHER, B, Pte::NONE, entry());
        w.cpu(A, 0x11, HEAD + 0x11, true, 5).cpu(B, 0x11, HEAD + 0x11, false, value).expect(codes);
    }
}
