//! Copy on write beside references and pins: who holds a page sees what it should, and nobody else does.
//!
//! The kernel's suite has each pin twice, by the slow and by the fast way; here there is one way.

use super::world::{RW, World, addr, bytes, in_world, range, vpn};
use mm::vma::MapFlags;
use mm::{Advice, Mm, device};
use mm_types::{Pfn, Prot};

fn one(mm: &Mm, page: u64, hold: impl FnOnce(&Mm, mm_types::PageRange) -> Result<Vec<Pfn>, mm_types::Errno>) -> Pfn {
    hold(mm, range(page, 1)).expect("held")[0]
}

fn spliced(mm: &Mm, page: u64) -> Pfn {
    one(mm, page, |mm, pages| device::get_user_pages(mm, pages, false))
}

fn read_pin(mm: &Mm, page: u64) -> Pfn {
    one(mm, page, |mm, pages| device::pin_user_pages_longterm(mm, pages, false))
}

fn start(w: &World<'_>) {
    w.map(0, 1, RW);
    w.write(0, 5);
}

fn child_keeps_what_it_had(w: &World<'_>, between: impl FnOnce()) {
    start(w);
    let child = w.fork();
    let held = spliced(&child, 0);
    child.munmap(addr(0), bytes(1)).expect("unmapped");
    between();
    w.write(0, 9);
    assert_eq!(device::frame_read(&w.machine, held), 5);
    device::put_user_page(&w.machine, held);
    child.exit();
    w.assert_reads(0, 9);
}

fn read_only_for_a_while(w: &World<'_>) {
    w.mm.mprotect(addr(0), bytes(1), Prot::READ).expect("read-only");
    w.mm.mprotect(addr(0), bytes(1), RW).expect("writable");
}

pub(super) fn spliced_in_child() {
    in_world(|w| child_keeps_what_it_had(w, || {}));
}

pub(super) fn spliced_in_child_protected() {
    in_world(|w| child_keeps_what_it_had(w, || read_only_for_a_while(w)));
}

fn parent_keeps_what_it_had(before: bool) {
    in_world(|w| {
        start(w);
        let early = before.then(|| spliced(&w.mm, 0));
        let child = w.fork();
        let held = early.unwrap_or_else(|| spliced(&w.mm, 0));
        w.mm.munmap(addr(0), bytes(1)).expect("unmapped");
        child.write_page(vpn(0), 9).expect("written");
        assert_eq!(device::frame_read(&w.machine, held), 5);
        device::put_user_page(&w.machine, held);
        child.exit();
    });
}

pub(super) fn spliced_before_fork() {
    parent_keeps_what_it_had(true);
}

pub(super) fn spliced_after_fork() {
    parent_keeps_what_it_had(false);
}

fn pin_sees_writes(w: &World<'_>, pinned: Pfn, page: u64) {
    w.write(page, 9);
    assert_eq!(device::frame_read(&w.machine, pinned), 9, "the pin sees what is written later");
    device::unpin_user_page(&w.machine, pinned);
}

fn write_pin(w: &World<'_>) -> Pfn {
    one(&w.mm, 0, |mm, pages| device::pin_user_pages_longterm(mm, pages, true))
}

pub(super) fn pinned_protected() {
    in_world(|w| {
        start(w);
        let pinned = write_pin(w);
        read_only_for_a_while(w);
        pin_sees_writes(w, pinned, 0);
    });
}

pub(super) fn pinned_fork() {
    in_world(|w| {
        start(w);
        let pinned = write_pin(w);
        let child = w.fork();
        pin_sees_writes(w, pinned, 0);
        assert_eq!(child.read_page(vpn(0)), Ok(5), "the child has a copy from the fork on");
        child.exit();
    });
}

/// On a page of its own, and on one of a huge page.
fn both(body: impl Fn(&World<'_>, u64)) {
    in_world(|w| {
        start(w);
        body(w, 0);
    });
    in_world(|w| {
        w.map(512, 512, RW);
        w.mm.madvise(addr(512), bytes(512), Advice::HugePage).expect("advised");
        w.write(520, 5);
        body(w, 520);
    });
}

pub(super) fn read_pin_shared() {
    both(|w, page| {
        let child = w.fork();
        let pinned = read_pin(&w.mm, page);
        assert_ne!(w.mm.pte(vpn(page)).pfn(), child.pte(vpn(page)).pfn(), "unshared before it is pinned");
        pin_sees_writes(w, pinned, page);
        assert_eq!(child.read_page(vpn(page)), Ok(5));
        child.exit();
    });
}

pub(super) fn read_pin_previously_shared() {
    both(|w, page| {
        w.fork().exit();
        let before = w.mm.pte(vpn(page)).pfn();
        let pinned = read_pin(&w.mm, page);
        assert_eq!(Some(pinned), before, "nobody else has it: no copy");
        pin_sees_writes(w, pinned, page);
    });
}

pub(super) fn read_pin_exclusive() {
    both(|w, page| {
        let pinned = read_pin(&w.mm, page);
        pin_sees_writes(w, pinned, page);
    });
}

pub(super) fn read_pin_of_others() {
    in_world(|w| {
        w.map(0, 1, RW);
        w.assert_reads(0, 0);
        let pinned = read_pin(&w.mm, 0);
        pin_sees_writes(w, pinned, 0);

        w.map(512, 512, RW);
        w.mm.madvise(addr(512), bytes(512), Advice::HugePage).expect("advised");
        w.assert_reads(513, 0);
        let pinned = read_pin(&w.mm, 513);
        pin_sees_writes(w, pinned, 513);

        let file = w.file(1);
        w.map_file(10, 1, file, MapFlags::PRIVATE);
        w.map_file(20, 1, file, MapFlags::SHARED);
        w.assert_reads(10, 100);
        let pinned = read_pin(&w.mm, 10);
        pin_sees_writes(w, pinned, 10);
        w.assert_reads(20, 100);
    });
}
