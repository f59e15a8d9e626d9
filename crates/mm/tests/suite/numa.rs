//! NUMA hinting: who is told, where pages go, and that contents and access stay. Of huge pages as of single ones.

use crate::common::{ARENA, Context, World, addr, bytes, pages};
use crate::recorded::RW;
use mm::{Advice, MachineConfig, Mm, PageCategories, device};
use mm_types::{Pfn, Prot, PteKind};
use trace::{EventKind, NotifyEvent};

const HUGE: u64 = 512;

#[track_caller]
fn both(body: impl Fn(&World, Context)) {
    let config = MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() };
    body(&World::new(config), Context::Setup);
    body(&World::new(config), Context::Task);
}

/// Two huge pages, each page written.
fn with_huge_pages(mm: &Mm) {
    mm.mmap_anon(pages(0, 2 * HUGE), RW).expect("mapped");
    mm.madvise(addr(0), bytes(2 * HUGE), Advice::HugePage).expect("advised");
    (0..2 * HUGE).for_each(|page| mm.write_page(ARENA + page, page + 1).expect("written"));
}

/// Pages that entries of PMD tables map.
fn nr_huge(mm: &Mm) -> usize {
    let known = mm.page_categories(pages(0, 2 * HUGE));
    known.iter().filter(|is| is.contains(PageCategories::HUGE)).count()
}

fn frame(mm: &Mm, page: u64) -> Option<Pfn> {
    mm.pte(ARENA + page).mapped_pfn()
}

fn not_accessible(mm: &Mm, nr_pages: u64) -> usize {
    (0..nr_pages).filter(|page| matches!(mm.pte(ARENA + *page).kind(), PteKind::ProtNone { .. })).count()
}

/// The brackets since the first PROTECTION_VMA.
fn brackets(world: &World) -> Vec<(NotifyEvent, u64)> {
    let all = world.events().into_iter().filter_map(|event| match event.kind {
        EventKind::RangeStart { range, .. } => Some((range.event, range.pages.nr_pages())),
        _ => None,
    });
    all.skip_while(|(event, _)| *event != NotifyEvent::ProtectionVma).collect()
}

#[test]
fn a_huge_page_that_is_where_it_is_used_is_scanned_as_a_whole_and_accessible_again() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            with_huge_pages(&mm);
            let before = frame(&mm, 0);
            mm.numa_scan(pages(0, 2 * HUGE));
            assert_eq!((nr_huge(&mm), not_accessible(&mm, 2 * HUGE)), (2 * HUGE as usize, 2 * HUGE as usize));
            assert_eq!(mm.read_page(ARENA + 7), Ok(8));
            assert_eq!((frame(&mm, 0), not_accessible(&mm, HUGE)), (before, 0), "where it was");
            let now = mm.pte(ARENA);
            assert!(now.is_writable() && now.is_dirty() && now.is_young(), "a write needs no fault of its own");
            mm.write_page(ARENA + 600, 9).expect("written");
            assert_eq!((nr_huge(&mm), not_accessible(&mm, 2 * HUGE)), (2 * HUGE as usize, 0));
        });
        assert_eq!(brackets(world), [(NotifyEvent::ProtectionVma, 2 * HUGE)]);
    });
}

#[test]
fn one_on_the_other_node_comes_as_a_whole_to_who_uses_it() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            with_huge_pages(&mm);
            assert_eq!(mm.move_pages(pages(0, HUGE), 1), Ok(1));
            let away = frame(&mm, 0);
            mm.numa_scan(pages(0, HUGE));
            assert_eq!(mm.read_page(ARENA + 300), Ok(301));
            assert_ne!(frame(&mm, 0), away);
            assert_eq!((nr_huge(&mm), not_accessible(&mm, HUGE)), (2 * HUGE as usize, 0));
            assert_eq!(mm.move_pages(pages(0, HUGE), 0), Ok(0), "it is there");
            (0..2 * HUGE).for_each(|page| assert_eq!(mm.read_page(ARENA + page), Ok(page + 1)));
            mm.exit();
            assert_eq!(mm.machine().frame_counts().allocated, 0);
        });
        assert_eq!(brackets(world)[..2], [(NotifyEvent::ProtectionVma, HUGE), (NotifyEvent::Clear, HUGE)]);
        assert_eq!(brackets(world).len(), 3, "and the exit");
    });
}

#[test]
fn one_that_is_covered_in_part_is_split_and_pinned_ones_stay() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            with_huge_pages(&mm);
            mm.move_pages(pages(0, 2 * HUGE), 1).expect("moved");
            let pinned = device::pin_user_pages(&mm, pages(HUGE, 1), true).expect("pinned");
            mm.numa_scan(pages(100, HUGE + 412));
            assert_eq!(nr_huge(&mm), HUGE as usize, "one of the two");
            assert_eq!(not_accessible(&mm, 2 * HUGE), 412 + HUGE as usize);
            assert_eq!(mm.read_page(ARENA + 600), Ok(601));
            assert_eq!((frame(&mm, HUGE), nr_huge(&mm)), (Some(pinned[0]), HUGE as usize), "it could not move");
            assert_eq!(not_accessible(&mm, 2 * HUGE), 412);
            device::unpin_user_page(mm.machine(), pinned[0]);
        });
    });
}

#[test]
fn what_nobody_may_access_stays_so_and_the_huge_zero_page_is_passed_over() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            mm.mmap_anon(pages(0, 2 * HUGE), RW).expect("mapped");
            mm.madvise(addr(0), bytes(2 * HUGE), Advice::HugePage).expect("advised");
            assert_eq!(mm.read_page(ARENA), Ok(0));
            mm.write_page(ARENA + HUGE, 5).expect("written");
            mm.numa_scan(pages(0, 2 * HUGE));
            assert_eq!(not_accessible(&mm, HUGE), 0);
            mm.mprotect(addr(HUGE), bytes(HUGE), Prot::empty()).expect("changed");
            assert!(mm.read_page(ARENA + HUGE).is_err());
            mm.mprotect(addr(HUGE), bytes(HUGE), RW).expect("changed");
            assert_eq!(mm.read_page(ARENA + HUGE), Ok(5));
        });
    });
}
