//! Huge pages: what is announced of them, that contents survive whatever happens to them, and that nothing is left.

use crate::common::{ARENA, Context, World, addr, bytes, pages, register};
use crate::recorded::RW;
use mm::vma::{MapFlags, MmapArgs, MmapBacking};
use mm::{Advice, Compacted, MachineConfig, Mm, PageState, device};
use mm_types::{Errno, Name, PageRange, Prot, VirtAddr};
use std::sync::Arc;
use trace::{EventKind, NotifyEvent};

/// Pages of a huge page.
const HUGE: u64 = 512;
/// Pages that one PMD table covers.
pub(crate) const GIB: u64 = HUGE * HUGE;

pub(crate) fn world() -> World {
    World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() })
}

fn read(mm: &Mm, page: u64) -> u64 {
    mm.read_page(ARENA + page).expect("read")
}

fn write(mm: &Mm, page: u64, tag: u64) {
    mm.write_page(ARENA + page, tag).expect("written");
}

fn advise(mm: &Mm, page: u64, nr_pages: u64, advice: Advice) -> Result<(), Errno> {
    mm.madvise(addr(page), bytes(nr_pages), advice)
}

/// An address space with `n` huge pages of its own, three pages of each written; one subscriber.
fn with_huge_pages(world: &World, n: u64) -> Arc<Mm> {
    let mm = world.new_mm("a");
    let setup = Arc::clone(&mm);
    world.run(Context::Setup, move || {
        setup.mmap_anon(pages(0, n * HUGE), RW).expect("mapped");
        advise(&setup, 0, n * HUGE, Advice::HugePage).expect("advised");
        for page in (0..n).flat_map(|i| [0, 7, 511].map(|at| i * HUGE + at)) {
            write(&setup, page, page + 1);
        }
        register(&setup, 1);
    });
    mm
}

fn is_huge(mm: &Mm, page: u64) -> bool {
    let view = mm.pagemap(pages(page, 1));
    matches!(view.first().map(|v| v.state), Some(PageState::Anon { huge: true, .. }))
}

/// The brackets of a run, in order: what for and how many pages.
fn brackets(world: &World) -> Vec<(NotifyEvent, u64)> {
    let range = |kind: &EventKind| match kind {
        EventKind::RangeStart { range, .. } => Some((range.event, range.pages.nr_pages())),
        _ => None,
    };
    world.events().iter().filter_map(|e| range(&e.kind)).collect()
}

#[track_caller]
pub(crate) fn announced(world: &World, expected: &[(NotifyEvent, u64)]) {
    assert_eq!(brackets(world), expected);
}

fn leaves_nothing(world: &World, mms: Vec<Arc<Mm>>) {
    let machine = Arc::clone(&world.machine);
    world.run(Context::Task, move || {
        mms.iter().for_each(|mm| mm.exit());
        let counts = machine.frame_counts();
        assert_eq!((counts.allocated - counts.page_cache, counts.mapped, counts.pinned), (0, 0, 0));
    });
}

#[test]
fn a_huge_page_moves_as_one_inside_one_bracket() {
    let world = world();
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        assert_eq!(other.compact(pages(0, HUGE)), Compacted { moved: 1, ..Compacted::default() });
        assert!(is_huge(&other, 7));
        assert_eq!([0, 7, 511].map(|page| read(&other, page)), [1, 8, 512]);
        write(&other, 3, 9);
    });
    announced(&world, &[(NotifyEvent::Clear, HUGE)]);
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn a_huge_page_goes_to_swap_inside_one_bracket_and_comes_back_page_by_page() {
    let world = world();
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        assert_eq!(other.reclaim_pages(pages(0, HUGE)), HUGE);
        assert_eq!(other.machine().swap_used(), HUGE);
        assert_eq!([0, 7, 511].map(|page| read(&other, page)), [1, 8, 512]);
        assert!(!is_huge(&other, 7));
    });
    announced(&world, &[(NotifyEvent::Clear, HUGE)]);
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn without_room_in_swap_a_huge_page_is_split_and_its_pages_stay() {
    let world = World::new(MachineConfig { reclaim_by_choice: false, swap_bytes: 4 << 12, ..MachineConfig::default() });
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        assert_eq!(other.reclaim_pages(pages(0, HUGE)), 4, "as many as fit");
        assert_eq!([0, 7, 511].map(|page| read(&other, page)), [1, 8, 512]);
    });
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn a_pinned_huge_page_stays_and_nobody_is_told() {
    let world = world();
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        let pinned = device::pin_user_pages(&other, pages(7, 1), true).expect("pinned")[0];
        assert_eq!(other.compact(pages(0, HUGE)).busy, 1);
        assert_eq!(other.reclaim_pages(pages(0, HUGE)), 0);
        assert_eq!(other.split_huge_pages(pages(0, HUGE)), Ok(0));
        device::unpin_user_page(other.machine(), pinned);
        assert!(is_huge(&other, 7));
    });
    announced(&world, &[]);
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn a_split_keeps_what_the_pages_hold_and_frees_what_nothing_maps() {
    let world = world();
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        // A hole in it: the pages there are nobody's after the split.
        advise(&other, 100, 50, Advice::DontNeed).expect("advised");
        assert_eq!(other.machine().frame_counts().allocated, HUGE);
        assert_eq!(other.split_huge_pages(pages(0, HUGE)), Ok(1));
        assert_eq!(other.machine().frame_counts().allocated, HUGE - 50);
        assert_eq!([0, 7, 511].map(|page| read(&other, page)), [1, 8, 512]);
    });
    let split = [(NotifyEvent::Clear, HUGE), (NotifyEvent::Clear, HUGE)];
    announced(&world, &[[(NotifyEvent::Clear, 50), (NotifyEvent::Clear, HUGE)], split].concat());
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn a_collapse_that_finds_a_page_held_leaves_all_as_it_was() {
    let world = world();
    let mm = world.new_mm("a");
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        other.mmap_anon(pages(0, HUGE), RW).expect("mapped");
        (0..HUGE).for_each(|page| write(&other, page, page));
        let held = device::get_user_pages(&other, pages(5, 1), true).expect("held")[0];
        assert_eq!(advise(&other, 0, HUGE, Advice::Collapse), Err(Errno::EAGAIN));
        assert!(!is_huge(&other, 0));
        device::put_user_page(other.machine(), held);
        assert_eq!(advise(&other, 0, HUGE, Advice::Collapse), Ok(()));
        assert!(is_huge(&other, 0));
        assert!((0..HUGE).all(|page| read(&other, page) == page));
        assert_eq!(other.machine().frame_counts().allocated, HUGE);
    });
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn khugepaged_asks_devices_before_it_passes_over_old_pages() {
    let world = world();
    let mm = world.new_mm("a");
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        other.mmap_anon(pages(0, HUGE), RW).expect("mapped");
        write(&other, 3, 4);
        advise(&other, 0, HUGE, Advice::HugePage).expect("advised");
        other.clear_refs(1).expect("cleared");
        assert_eq!(other.khugepaged(pages(0, HUGE)), 0, "nobody used them");
        assert_eq!(read(&other, 3), 4);
        assert_eq!(other.khugepaged(pages(0, HUGE)), 1);
        assert!(is_huge(&other, 3));
        assert_eq!(read(&other, 3), 4);
    });
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn userfaultfd_moves_a_huge_page_as_one() {
    let world = world();
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        other.mmap_anon(pages(4 * HUGE, HUGE), RW).expect("mapped");
        assert_eq!(other.uffd_move(pages(4 * HUGE, HUGE), addr(0)), Ok(()));
        assert!(is_huge(&other, 4 * HUGE + 7));
        assert_eq!([0, 7, 511].map(|page| read(&other, 4 * HUGE + page)), [1, 8, 512]);
        assert_eq!(read(&other, 7), 0);
        assert_eq!(other.uffd_move(pages(4 * HUGE, HUGE), addr(0)), Err(Errno::EEXIST));
    });
    assert_eq!(brackets(&world)[0], (NotifyEvent::Clear, HUGE));
    leaves_nothing(&world, vec![mm]);
}

/// A shared mapping of `len` pages at arena page `at`.
fn map_shared(mm: &Mm, at: u64, len: u64, backing: MmapBacking) {
    let file = matches!(backing, MmapBacking::File { .. });
    let anonymous = if file { MapFlags::empty() } else { MapFlags::ANONYMOUS };
    mm.mmap(&MmapArgs {
        addr: addr(at),
        len_bytes: bytes(len),
        prot: RW,
        flags: MapFlags::SHARED | MapFlags::FIXED | anonymous,
        backing,
        offset_bytes: 0,
    })
    .expect("mapped");
}

#[test]
fn shared_memory_that_is_collapsed_is_the_same_for_both_processes() {
    let world = world();
    let mm = world.new_mm("a");
    let other = Arc::clone(&mm);
    let child = world.run(Context::Setup, move || {
        map_shared(&other, 0, HUGE, MmapBacking::None);
        (0..HUGE).step_by(3).for_each(|page| write(&other, page, page + 1));
        let child = ksync::current(|k| other.fork(k, Name::new("b"))).expect("forked");
        assert_eq!((read(&child, 3), read(&child, 4)), (4, 0));
        child
    });
    let (a, b) = (Arc::clone(&mm), Arc::clone(&child));
    world.run(Context::Task, move || {
        register(&b, 2);
        assert_eq!(advise(&a, 0, HUGE, Advice::Collapse), Ok(()));
        assert!((0..HUGE).all(|page| read(&a, page) == if page % 3 == 0 { page + 1 } else { 0 }));
        write(&a, 300, 77);
        assert_eq!(read(&b, 300), 77, "one entry maps all of it here as well");
        a.munmap(addr(100), bytes(4)).expect("unmapped");
        assert_eq!((read(&a, 300), read(&b, 102)), (77, 103));
    });
    leaves_nothing(&world, vec![mm, child]);
}

#[test]
fn hugetlb_is_copied_on_write_after_a_fork() {
    let world = world();
    let mm = world.new_mm("a");
    let (other, machine) = (Arc::clone(&mm), Arc::clone(&world.machine));
    let child = world.run(Context::Setup, move || {
        let file = machine.hugetlb_file(bytes(2 * HUGE));
        let mapping = MmapArgs {
            addr: addr(0),
            len_bytes: bytes(2 * HUGE),
            prot: RW,
            flags: MapFlags::PRIVATE | MapFlags::FIXED,
            backing: MmapBacking::File { file, readable: true, writable: true },
            offset_bytes: 0,
        };
        other.mmap(&mapping).expect("mapped");
        let unaligned = MmapArgs { addr: addr(9 * HUGE + 1), ..mapping };
        assert_eq!(other.mmap(&unaligned), Err(Errno::EINVAL));
        write(&other, 5, 1);
        write(&other, HUGE, 2);
        assert_eq!(other.munmap(addr(5), bytes(3)), Err(Errno::EINVAL), "inside of a page");
        ksync::current(|k| other.fork(k, Name::new("b"))).expect("forked")
    });
    let (a, b) = (Arc::clone(&mm), Arc::clone(&child));
    world.run(Context::Task, move || {
        register(&a, 1);
        write(&a, 5, 10);
        assert_eq!((read(&a, 5), read(&b, 5), read(&b, HUGE)), (10, 1, 2));
        write(&b, 5, 20);
        assert_eq!((read(&a, 5), read(&b, 5)), (10, 20), "the last one keeps the page");
    });
    announced(&world, &[(NotifyEvent::Clear, 2 * HUGE), (NotifyEvent::Clear, HUGE)]);
    leaves_nothing(&world, vec![mm, child]);
}

#[test]
fn processes_share_a_pmd_table_until_one_takes_it_apart() {
    let world = world();
    let (a, b) = (world.new_mm("a"), world.new_mm("b"));
    let base = GIB - ARENA.0 % GIB;
    let (one, two, machine) = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&world.machine));
    world.run(Context::Task, move || {
        let file = machine.open_hugetlb("/huge/s");
        let backing = MmapBacking::File { file, readable: true, writable: true };
        for mm in [&one, &two] {
            map_shared(mm, base, GIB, backing);
        }
        register(&one, 1);
        write(&one, base, 1);
        write(&one, base + HUGE, 2);
        // Not touched here, and there all the same: the table is one.
        assert_eq!(read(&two, base), 1);
        let there = PageRange::with_len(ARENA + (base + HUGE), 1).expect("a page");
        assert_eq!(two.pagemap(there).len(), 1);
        write(&two, base + HUGE, 3);
        assert_eq!(read(&one, base + HUGE), 3);
        advise(&one, base, HUGE, Advice::DontNeed).expect("advised");
        assert!(one.pagemap(there).is_empty(), "the whole table went");
        assert_eq!(two.pagemap(there).len(), 1, "for one of them only");
        assert_eq!((read(&one, base + HUGE), read(&two, base)), (3, 1));
    });
    announced(&world, &[(NotifyEvent::Clear, GIB)]);
    leaves_nothing(&world, vec![a, b]);
}

#[test]
fn merged_pages_are_one_until_they_are_written() {
    let world = world();
    let mm = world.new_mm("a");
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        other.mmap_anon(pages(0, 6), RW).expect("mapped");
        (0..4).for_each(|page| write(&other, page, 9));
        (4..6).for_each(|page| write(&other, page, 0));
        advise(&other, 0, 6, Advice::Mergeable).expect("advised");
        let machine = other.machine();
        assert_eq!(machine.ksm_scan(true), 5, "three map the fourth, two the zero page");
        assert_eq!(machine.frame_counts().allocated, 1);
        write(&other, 0, 1);
        write(&other, 4, 2);
        assert_eq!([0, 1, 4, 5].map(|page| read(&other, page)), [1, 9, 2, 0]);
        assert_eq!(machine.ksm_scan(true), 0, "nothing is equal that is not merged");
        advise(&other, 0, 6, Advice::Unmergeable).expect("advised");
        assert_eq!(machine.frame_counts().allocated, 6);
        assert_eq!([1, 2, 3, 5].map(|page| read(&other, page)), [9, 9, 9, 0]);
        assert_eq!(machine.ksm_scan(false), 0);
        let pinned = device::pin_user_pages(&other, pages(1, 1), true).expect("pinned")[0];
        advise(&other, 1, 2, Advice::Mergeable).expect("advised");
        assert_eq!(machine.ksm_scan(false), 0, "what a device has may change behind the entry");
        device::unpin_user_page(machine, pinned);
        assert_eq!(machine.ksm_scan(false), 1);
    });
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn an_address_that_no_huge_page_covers_is_no_place_to_collapse() {
    let world = world();
    let mm = world.new_mm("a");
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        other.mmap_anon(pages(1, HUGE), RW).expect("mapped");
        write(&other, 1, 1);
        assert_eq!(advise(&other, 1, HUGE - 1, Advice::Collapse), Err(Errno::EINVAL));
        assert_eq!(other.madvise(VirtAddr(addr(1).0 + 1), bytes(1), Advice::Collapse), Err(Errno::EINVAL));
    });
    leaves_nothing(&world, vec![mm]);
}

#[test]
fn another_process_writes_into_a_huge_page_and_with_force_where_nobody_may() {
    let world = world();
    let mm = with_huge_pages(&world, 1);
    let other = Arc::clone(&mm);
    world.run(Context::Task, move || {
        assert_eq!(other.access_remote_write(ARENA + 9, 90, false), Ok(()));
        other.mprotect(addr(0), bytes(HUGE), Prot::READ).expect("changed");
        assert_eq!(other.access_remote_write(ARENA + 10, 100, true), Ok(()));
        assert!(is_huge(&other, 10) && !other.pte(ARENA + 10).is_writable());
        assert_eq!([7, 9, 10].map(|page| read(&other, page)), [8, 90, 100]);
        // One that a child had too is not its own until it was asked for.
        let child = ksync::current(|k| other.fork(k, Name::new("child"))).expect("forked");
        child.exit();
        assert_eq!(other.access_remote_write(ARENA + 11, 110, true), Ok(()));
        assert!(!other.pte(ARENA + 11).is_writable());
        assert_eq!([10, 11].map(|page| read(&other, page)), [100, 110]);
    });
    leaves_nothing(&world, vec![mm]);
}
