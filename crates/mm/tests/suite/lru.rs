//! Which pages go when memory is short: those that are not used, files before anonymous memory, none that is locked.

use crate::common::*;
use mm::vma::{MapFlags, MmapArgs, MmapBacking};
use mm::{Advice, MachineConfig, Mm};
use mm_types::{Prot, PteKind};
use std::sync::Arc;
use trace::EventKind;

const RW: Prot = Prot::READ.union(Prot::WRITE);

/// 128 frames, 16 of them the reserve, and so much swap.
fn world(swap_pages: u64) -> World {
    World::new(MachineConfig {
        memory_bytes: bytes(128),
        swap_bytes: bytes(swap_pages),
        reclaim_by_choice: false,
        ..MachineConfig::default()
    })
}

fn write(mm: &Mm, page: u64) {
    mm.write_page(pages(page, 1).start(), page).expect("there is memory");
}

fn read(mm: &Mm, page: u64) {
    mm.read_page(pages(page, 1).start()).expect("there is memory");
}

/// Which of arena pages `range` are mapped.
fn present(mm: &Mm, range: std::ops::Range<u64>) -> Vec<u64> {
    range.filter(|page| mm.pte(pages(*page, 1).start()).kind() == PteKind::Present).collect()
}

fn map_file(mm: &Mm, at: u64, len: u64, file: mm::vma::FileId, from: u64) {
    let args = MmapArgs {
        addr: addr(at),
        len_bytes: bytes(len),
        prot: Prot::READ,
        flags: MapFlags::SHARED | MapFlags::FIXED,
        backing: MmapBacking::File { file, readable: true, writable: true },
        offset_bytes: bytes(from),
    };
    mm.mmap(&args).expect("mapped");
}

/// Runs `body` in an address space of 512 pages of anonymous memory.
fn with_mm<R: 'static>(world: &World, body: impl FnOnce(&Arc<Mm>) -> R + 'static) -> R {
    let mm = world.new_mm("a");
    world.run(Context::Task, move || {
        mm.mmap_anon(pages(0, 512), RW).expect("mapped");
        body(&mm)
    })
}

#[test]
fn pages_that_are_used_again_and_again_stay() {
    let world = world(512);
    let (used, unused) = with_mm(&world, |mm| {
        (0..80).for_each(|page| write(mm, page));
        // Three times as much as there is, once each, and 20 of the first between any two.
        for page in 100..400 {
            write(mm, page);
            (30..50).for_each(|page| read(mm, page));
        }
        (present(mm, 30..50).len(), present(mm, 0..30).len() + present(mm, 50..80).len())
    });
    assert!(used >= 19 && unused <= 5, "{used} of 20 that were used, {unused} of 60 that were not");
    let back = world.count(|e| matches!(e, EventKind::SwapIn { .. }));
    assert!(back <= 40, "{back} times one of them came back: once around for each to show that it is used");
}

#[test]
fn pages_of_files_that_nobody_maps_any_more_go_before_anonymous_ones() {
    // Enough for the goal to be reached before all lists are looked at as a whole.
    let world = World::new(MachineConfig {
        memory_bytes: bytes(512),
        swap_bytes: bytes(512),
        reclaim_by_choice: false,
        ..MachineConfig::default()
    });
    let anon = with_mm(&world, |mm| {
        (0..60).for_each(|page| write(mm, page));
        let file = mm.machine().open_file("/f", "");
        for part in 0..60 {
            map_file(mm, 512, 20, file, part * 20);
            (512..532).for_each(|page| read(mm, page));
        }
        present(mm, 0..60).len()
    });
    assert_eq!(anon, 60, "1,200 pages of the file went through");
    assert!(world.count(|e| matches!(e, EventKind::ReclaimStart { .. })) > 5);
    assert_eq!(world.count(|e| matches!(e, EventKind::SwapOut { .. })), 0);
}

#[test]
fn locked_pages_are_asked_for_and_left_alone() {
    let world = world(512);
    with_mm(&world, |mm| {
        mm.mlock(addr(10), bytes(20)).expect("locked");
        (100..400).for_each(|page| write(mm, page));
        assert_eq!(present(mm, 10..30).len(), 20);
    });
    let announced =
        |e: &EventKind| matches!(e, EventKind::RangeStart { range, .. } if range.pages.overlaps(pages(10, 20)));
    assert_eq!(world.count(announced), 0, "no subscriber hears of a page that stays");
    assert!(world.count(|e| matches!(e, EventKind::SwapOut { .. })) > 150);
}

#[test]
fn pages_that_are_said_to_be_cold_go_first() {
    let world = world(512);
    let (cold, others) = with_mm(&world, |mm| {
        (0..90).for_each(|page| write(mm, page));
        mm.madvise(addr(40), bytes(20), Advice::Cold).expect("advised");
        (100..140).for_each(|page| write(mm, page));
        (present(mm, 40..60).len(), present(mm, 0..40).len() + present(mm, 60..90).len())
    });
    assert!(cold <= 2 && others >= 45, "{cold} of 20 cold ones, {others} of 70 others");
}

#[test]
fn without_swap_anonymous_pages_are_not_even_looked_at() {
    for (swap, looked_at) in [(0, false), (512, true)] {
        let world = world(swap);
        with_mm(&world, move |mm| {
            let all = (0..200).all(|page| mm.write_page(pages(page, 1).start(), 1).is_ok());
            assert_eq!(all, looked_at);
        });
        assert_eq!(world.count(|e| matches!(e, EventKind::RangeStart { .. })) > 0, looked_at);
        assert!(world.count(|e| matches!(e, EventKind::ReclaimStart { direct: true })) > 0);
    }
}
