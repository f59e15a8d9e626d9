//! Compaction of all memory: the scanners meet, contents survive, what may not move stays, a huge page can be had afterwards.

use crate::common::{ARENA, Context, World, addr, bytes, pages, register};
use crate::recorded::RW;
use mm::{Advice, MachineConfig, Mm, PageState, device};
use mm_types::{Name, Pfn};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use trace::{EventKind, NotifyEvent};

const HUGE: u64 = 512;
/// Pages of a machine of 16 MiB that its tests touch: all of its 8 blocks are begun then.
const MOST: u64 = 7 * HUGE + 100;
/// Where a huge page is wanted.
const WANTED: u64 = 16 * HUGE;

fn config() -> MachineConfig {
    MachineConfig { memory_bytes: 16 << 20, reclaim_by_choice: false, ..MachineConfig::default() }
}

fn frame(mm: &Mm, page: u64) -> Option<Pfn> {
    mm.pte(ARENA + page).mapped_pfn()
}

fn frames(mm: &Mm, nr_pages: u64) -> Vec<Option<Pfn>> {
    (0..nr_pages).map(|page| frame(mm, page)).collect()
}

fn read(mm: &Mm, page: u64) -> u64 {
    mm.read_page(ARENA + page).expect("read")
}

/// `MOST` pages, each written, of which those are left that `stays` says.
fn fragment(mm: &Mm, stays: impl Fn(u64) -> bool) {
    mm.mmap_anon(pages(0, MOST), RW).expect("mapped");
    (0..MOST).for_each(|page| mm.write_page(ARENA + page, page + 1).expect("written"));
    for page in (0..MOST).filter(|page| !stays(*page)) {
        mm.madvise(addr(page), bytes(1), Advice::DontNeed).expect("advised");
    }
}

/// Two of three stay in the first three blocks, one of three in the others.
fn scattered(page: u64) -> bool {
    if page < 3 * HUGE { !page.is_multiple_of(3) } else { page.is_multiple_of(3) }
}

fn want_huge_page(mm: &Mm) {
    mm.mmap_anon(pages(WANTED, HUGE), RW).expect("mapped");
    mm.madvise(addr(WANTED), bytes(HUGE), Advice::HugePage).expect("advised");
    mm.write_page(ARENA + WANTED, 7).expect("written");
}

fn has_huge_page(mm: &Mm) -> bool {
    let view = mm.pagemap(pages(WANTED, 1));
    matches!(view.first().map(|v| v.state), Some(PageState::Anon { huge: true, .. }))
}

#[track_caller]
fn both(body: impl Fn(&World, Context)) {
    body(&World::new(config()), Context::Setup);
    body(&World::new(config()), Context::Task);
}

/// CLEAR brackets, beside those of [`fragment`].
fn clears(world: &World, stays: impl Fn(u64) -> bool) -> usize {
    let all =
        world.count(|kind| matches!(kind, EventKind::RangeStart { range, .. } if range.event == NotifyEvent::Clear));
    all - (0..MOST).filter(|page| !stays(*page)).count()
}

#[test]
fn pages_move_to_the_end_until_the_scanners_meet() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            fragment(&mm, scattered);
            let left = (0..MOST).filter(|page| scattered(*page)).count() as u64;
            let before = frames(&mm, MOST);
            let first = mm.machine().compact_memory();
            assert_eq!((first.busy, first.no_memory), (0, 0));
            // Into what room there was in the upper blocks, and nothing in them moved.
            let moved = (0..MOST).filter(|page| frame(&mm, *page) != before[*page as usize]).count() as u64;
            assert_eq!(moved, first.moved);
            assert!(first.moved >= left / 3 && first.moved < left, "{first:?} of {left}");
            for page in (0..MOST).filter(|page| scattered(*page)) {
                assert_eq!(read(&mm, page), page + 1, "page {page}");
                let now = mm.pte(ARENA + page);
                assert!(now.is_writable() && now.is_dirty());
            }
            let distinct: BTreeSet<Pfn> = frames(&mm, MOST).into_iter().flatten().collect();
            assert_eq!(distinct.len() as u64, left);
            assert_eq!(mm.machine().frame_counts().allocated, left, "what was isolated is free again");
            let second = mm.machine().compact_memory();
            assert!(second.moved < HUGE, "there is next to nothing left to do: {second:?}");
            mm.exit();
            let counts = mm.machine().frame_counts();
            assert_eq!((counts.allocated, counts.free), (0, (16 << 20) / 4096));
        });
    });
}

#[test]
fn a_huge_fault_finds_no_block_and_makes_one() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            fragment(&mm, scattered);
            register(&mm, 1);
            want_huge_page(&mm);
            assert!(has_huge_page(&mm));
            (0..MOST).filter(|page| scattered(*page)).for_each(|page| assert_eq!(read(&mm, page), page + 1));
            mm.exit();
            assert_eq!(mm.machine().frame_counts().allocated, 0);
        });
        // A block of pages had to go, no more.
        let moved = clears(world, scattered);
        assert!((1..=HUGE as usize).contains(&moved), "{moved}");
        assert_eq!(
            world.count(|kind| matches!(kind, EventKind::ReclaimStart { .. })),
            0,
            "before anything is reclaimed"
        );
    });
}

#[test]
fn a_block_that_was_freed_needs_no_compaction() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            fragment(&mm, |page| page >= HUGE);
            register(&mm, 1);
            want_huge_page(&mm);
            assert!(has_huge_page(&mm));
        });
        assert_eq!(clears(world, |page| page >= HUGE), 0);
    });
}

#[test]
fn blocks_with_a_page_that_is_pinned_are_not_freed_and_it_stays() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            fragment(&mm, scattered);
            let (pinned, held): (Vec<u64>, Vec<u64>) =
                (0..15).map(|i| i * 250 + 1).map(next).partition(|page| page % 2 == 0);
            for page in &pinned {
                device::pin_user_pages(&mm, pages(*page, 1), true).expect("pinned");
            }
            for page in &held {
                device::get_user_pages(&mm, pages(*page, 1), true).expect("held");
            }
            let before: Vec<Option<Pfn>> = pinned.iter().chain(&held).map(|page| frame(&mm, *page)).collect();
            register(&mm, 1);
            want_huge_page(&mm);
            assert!(!has_huge_page(&mm), "each block has one");
            assert_eq!(read(&mm, WANTED), 7);
            mm.machine().compact_memory();
            let after: Vec<Option<Pfn>> = pinned.iter().chain(&held).map(|page| frame(&mm, *page)).collect();
            assert_eq!(after, before);
            (0..MOST).filter(|page| scattered(*page)).for_each(|page| assert_eq!(read(&mm, page), page + 1));
        });
        let told_of = |page: u64| {
            world.count(|kind| matches!(kind, EventKind::RangeStart { range, .. } if range.pages == pages(page, 1)))
        };
        assert_eq!((0..15).map(|i| told_of(next(i * 250 + 1))).sum::<usize>(), 0, "nobody was told of them");
        assert!(clears(world, scattered) > 0, "others moved");
    });
}

/// The next page that stays.
fn next(page: u64) -> u64 {
    (page..).find(|page| scattered(*page)).unwrap_or(page)
}

#[test]
fn where_memory_is_short_a_huge_fault_reclaims_so_that_compaction_can_begin() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            // 1,162 frames are free, 22 less than compaction needs.
            fragment(&mm, |page| page % 4 != 1 || page > 3000);
            want_huge_page(&mm);
            assert!(has_huge_page(&mm));
        });
        let reclaimed = world.count(|kind| matches!(kind, EventKind::ReclaimStart { direct: true }));
        assert_eq!(reclaimed, 1);
    });
}

#[test]
fn until_a_page_has_moved() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            fragment(&mm, scattered);
            let before = frame(&mm, 700);
            let (moved, done) = mm.compact_until_moved(ARENA + 700).expect("mapped");
            assert!(moved && frame(&mm, 700) != before);
            assert!(done.moved < 700, "no further than there: {done:?}");
            assert!(mm.compact_until_moved(ARENA + 3).is_none(), "nothing is there");
            let last = next(MOST - 4);
            assert!(!mm.compact_until_moved(ARENA + last).expect("mapped").0, "in the highest block");
        });
    });
}

#[test]
fn pages_of_huge_pages_that_were_split_move_and_their_block_is_free_again() {
    both(|world, context| {
        let mm = world.new_mm("a");
        world.run(context, move || {
            mm.mmap_anon(pages(0, 5 * HUGE), RW).expect("mapped");
            mm.madvise(addr(0), bytes(5 * HUGE), Advice::HugePage).expect("advised");
            (0..5 * HUGE).for_each(|page| mm.write_page(ARENA + page, page + 1).expect("written"));
            assert_eq!(mm.split_huge_pages(pages(0, 5 * HUGE)), Ok(5));
            let stays = |page: u64| page.is_multiple_of(5);
            for page in (0..5 * HUGE).filter(|page| !stays(*page)) {
                mm.madvise(addr(page), bytes(1), Advice::DontNeed).expect("advised");
            }
            let done = mm.machine().compact_memory();
            // All of it has room in one block.
            assert!(done.moved >= 3 * HUGE / 5, "{done:?}");
            (0..5 * HUGE).filter(|page| stays(*page)).for_each(|page| assert_eq!(read(&mm, page), page + 1));
            // Six of the eight blocks can be had, and so they can not without compaction.
            let at = 16 * HUGE;
            mm.mmap_anon(pages(at, 6 * HUGE), RW).expect("mapped");
            mm.madvise(addr(at), bytes(6 * HUGE), Advice::HugePage).expect("advised");
            mm.touch(pages(at, 6 * HUGE), true).expect("touched");
            let huge = mm.pagemap(pages(at, 6 * HUGE));
            let huge = huge.iter().filter(|v| matches!(v.state, PageState::Anon { huge: true, .. })).count() as u64;
            assert_eq!(huge, 6 * HUGE);
            mm.exit();
            assert_eq!(mm.machine().frame_counts().allocated, 0);
        });
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever pages are left, and whichever of them are pinned: contents are, pins do not move, and no frame is lost.
    #[test]
    fn any_fragmentation_survives(
        keep in prop::collection::vec(1..8u64, 8),
        pins in prop::collection::vec(0..MOST, 0..4),
        until in 0..MOST,
        rounds in 1..3usize,
    ) {
        let world = World::new(config());
        let mm = world.new_mm("a");
        world.run(Context::Task, move || {
            let stays = move |page: u64| page.is_multiple_of(keep[(page / HUGE) as usize]);
            fragment(&mm, &stays);
            let pinned: Vec<(u64, Pfn)> = pins
                .iter()
                .filter(|page| stays(**page))
                .map(|page| (*page, device::pin_user_pages(&mm, pages(*page, 1), true).expect("pinned")[0]))
                .collect();
            for _ in 0..rounds {
                mm.machine().compact_memory();
                mm.compact_until_moved(ARENA + until);
            }
            want_huge_page(&mm);
            for page in (0..MOST).filter(|page| stays(*page)) {
                assert_eq!(read(&mm, page), page + 1);
            }
            for (page, pfn) in pinned {
                assert_eq!(frame(&mm, page), Some(pfn));
                device::unpin_user_page(mm.machine(), pfn);
            }
            mm.exit();
            let counts = mm.machine().frame_counts();
            assert_eq!((counts.allocated, counts.mapped, counts.pinned), (0, 0, 0));
            assert_eq!(counts.free, (16 << 20) / 4096);
        });
    }
}

/// Compaction beside what else happens to the pages, in every order that chance gives.
#[test]
fn whatever_meets_compaction_what_was_written_is_read_and_nothing_is_left() {
    let (mut moved, mut waited) = (0, 0);
    for seed in 0..150 {
        let world = World::new(MachineConfig { reclaim_by_choice: true, ..config() });
        let mm = world.new_mm("a");
        world.kernel.enter(|_| {
            fragment(&mm, |page| (HUGE - 6..HUGE + 6).contains(&page) || page.is_multiple_of(400) && page > 2 * HUGE);
            register(&mm, 1);
        });
        spawn_all(&world, &mm);
        world.run_random_and_exit(seed, &mm);
        let counts = world.machine.frame_counts();
        assert_eq!(counts.allocated, 0, "seed {seed}");
        assert_eq!(counts.free, (16 << 20) / 4096, "seed {seed}");
        moved += world.count(
            |kind| matches!(kind, EventKind::PteSet { old, .. } if matches!(old.kind(), mm_types::PteKind::Migration { .. })),
        );
        let folio = Name::new("folio_lock");
        waited += world.count(|kind| matches!(kind, EventKind::LockContended { lock, .. } if lock.class == folio));
    }
    assert!(moved > 150 && waited > 0, "{moved} {waited}");
}

fn spawn_all(world: &World, mm: &Arc<Mm>) {
    let base = HUGE - 4;
    type Body = Box<dyn FnOnce(&Arc<Mm>)>;
    let task = |name: &str, body: Body| {
        let mm = Arc::clone(mm);
        world.kernel.enter(|k| k.spawn(Name::new(name), move || body(&mm)));
    };
    let write = |mm: &Mm, page: u64, tag: u64| mm.write_page(ARENA + page, tag).expect("written");
    task(
        "writer",
        Box::new(move |mm| {
            for page in base..base + 4 {
                write(mm, page, page + 50);
                assert_eq!(read(mm, page), page + 50);
            }
        }),
    );
    for name in ["compact", "compact_too"] {
        task(
            name,
            Box::new(|mm| {
                mm.machine().compact_memory();
            }),
        );
    }
    task(
        "reclaim",
        Box::new(move |mm| {
            mm.reclaim_pages(pages(base, 4));
        }),
    );
    task("unmap", Box::new(move |mm| mm.munmap(addr(base + 6), bytes(2)).expect("unmapped")));
    task(
        "pin",
        Box::new(move |mm| {
            let pinned = device::pin_user_pages(mm, pages(base + 4, 1), true).expect("pinned");
            assert_eq!(frame(mm, base + 4), Some(pinned[0]));
            (0..20).for_each(|_| assert_ne!(read(mm, base + 4), 0));
            assert_eq!(frame(mm, base + 4), Some(pinned[0]), "it stays");
            device::unpin_user_page(mm.machine(), pinned[0]);
        }),
    );
    task(
        "fork",
        Box::new(move |mm| {
            let child = ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked");
            write(&child, base + 5, 99);
            assert_eq!(read(&child, base + 5), 99);
            child.exit();
        }),
    );
}
