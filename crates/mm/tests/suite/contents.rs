//! Words of pages: what is written to a part of a page goes where the page goes, and takes memory only while it differs.

use crate::common::{Context, World, addr, bytes, pages};
use mm::vma::{MapFlags, MmapArgs, MmapBacking};
use mm::{Advice, Direction, Machine, MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, Prot, VirtAddr};
use std::sync::Arc;

const RW: Prot = Prot::READ.union(Prot::WRITE);

/// Byte `offset` of a page.
fn at(page: u64, offset: u64) -> VirtAddr {
    VirtAddr(addr(page).0 + offset)
}

fn words(mm: &Mm, page: u64) -> [u64; 3] {
    [0, 8, 4088].map(|offset| mm.read(at(page, offset)).expect("read"))
}

fn in_a_world(body: impl FnOnce(&Machine, &Arc<Mm>) + 'static) {
    let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
    let (machine, mm) = (Arc::clone(&world.machine), world.new_mm("a"));
    world.run(Context::Task, move || {
        body(&machine, &mm);
        mm.exit();
        assert_eq!(machine.pages_of_words(), 0, "a page is gone, and its words with it");
    });
}

fn fork(mm: &Mm) -> Arc<Mm> {
    ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked")
}

#[test]
fn a_page_takes_memory_for_its_words_only_while_they_differ() {
    in_a_world(|machine, mm| {
        mm.mmap_anon(pages(0, 8), RW).expect("mapped");
        mm.write(at(0, 8), 0).expect("written");
        assert_eq!((words(mm, 0), machine.pages_of_words()), ([0; 3], 0));
        mm.write_page(pages(0, 1).start(), 5).expect("written");
        assert_eq!((words(mm, 0), machine.pages_of_words()), ([5; 3], 0));
        mm.write(at(0, 12), 9).expect("written");
        assert_eq!((words(mm, 0), machine.pages_of_words()), ([5, 9, 5], 1));
        mm.write(at(0, 8), 5).expect("written");
        assert_eq!(machine.pages_of_words(), 0);
        mm.write(at(0, 4088), 7).expect("written");
        mm.write_page(pages(0, 1).start(), 6).expect("written");
        assert_eq!((words(mm, 0), machine.pages_of_words()), ([6; 3], 0));
    });
}

#[test]
fn words_go_to_swap_to_other_frames_to_a_device_and_into_a_huge_page() {
    in_a_world(|machine, mm| {
        mm.mmap_anon(pages(0, 512), RW).expect("mapped");
        mm.touch(pages(0, 512), true).expect("touched");
        mm.write(at(3, 8), 9).expect("written");
        assert_eq!(mm.reclaim_pages(pages(3, 1)), 1);
        assert_eq!(machine.pages_of_words(), 1, "in its slot");
        assert_eq!(words(mm, 3), [0, 9, 0]);
        assert_eq!(mm.compact(pages(3, 1)).moved, 1);
        assert_eq!(words(mm, 3), [0, 9, 0]);
        assert_eq!(mm.migrate_vma(pages(3, 1), Direction::ToDevice), Ok(1));
        assert_eq!(words(mm, 3), [0, 9, 0]);
        mm.madvise(addr(0), bytes(512), Advice::Collapse).expect("collapsed");
        assert_eq!(words(mm, 3), [0, 9, 0]);
        assert_eq!(mm.compact(pages(0, 512)).moved, 1);
        assert_eq!((words(mm, 3), words(mm, 2)), ([0, 9, 0], [0; 3]));
        mm.madvise(addr(4), bytes(1), Advice::DontNeed).expect("split");
        assert_eq!(mm.reclaim_pages(pages(0, 8)), 512);
        assert_eq!((words(mm, 3), machine.pages_of_words()), ([0, 9, 0], 1));
    });
}

#[test]
fn a_copy_on_write_has_the_other_words_and_the_zero_page_has_none() {
    in_a_world(|machine, mm| {
        mm.mmap_anon(pages(0, 8), RW).expect("mapped");
        mm.write(at(0, 8), 9).expect("written");
        assert_eq!(mm.read(at(1, 8)), Ok(0));
        let child = fork(mm);
        child.write(at(0, 0), 1).expect("written");
        child.write(at(1, 8), 2).expect("written, over the zero page");
        assert_eq!((words(&child, 0), words(mm, 0)), ([1, 9, 0], [0, 9, 0]));
        assert_eq!((words(&child, 1), words(mm, 1)), ([0, 2, 0], [0; 3]));
        child.exit();
        assert_eq!(machine.pages_of_words(), 1);
        mm.madvise(addr(0), bytes(1), Advice::DontNeed).expect("discarded");
        assert_eq!((words(mm, 0), machine.pages_of_words()), ([0; 3], 0));
        mm.write(at(2, 8), 3).expect("written");
        mm.madvise(addr(0), bytes(8), Advice::WipeOnFork).expect("advised");
        let child = fork(mm);
        assert_eq!((words(&child, 2), words(mm, 2)), ([0; 3], [0, 3, 0]));
        child.exit();
    });
}

#[test]
fn pages_are_merged_if_all_of_their_words_are_equal() {
    in_a_world(|machine, mm| {
        mm.mmap_anon(pages(0, 4), RW).expect("mapped");
        (0..4).for_each(|page| mm.write_page(pages(page, 1).start(), 5).expect("written"));
        (0..3).for_each(|page| mm.write(at(page, 8), 9 + page / 2).expect("written"));
        mm.madvise(addr(0), bytes(4), Advice::Mergeable).expect("advised");
        assert_eq!(machine.ksm_scan(false), 1, "the first two");
        assert_eq!(mm.pte(pages(0, 1).start()).pfn(), mm.pte(pages(1, 1).start()).pfn());
        mm.write(at(1, 4088), 1).expect("written");
        assert_eq!((words(mm, 0), words(mm, 1), words(mm, 2)), ([5, 9, 5], [5, 9, 1], [5, 10, 5]));
    });
}

#[test]
fn a_file_keeps_words_and_holes_are_of_bytes() {
    in_a_world(|machine, mm| {
        let file = machine.memfd("file");
        machine.ftruncate(file, 4 * PAGE_SIZE);
        let map = MmapArgs {
            addr: addr(0),
            len_bytes: bytes(4),
            prot: RW,
            flags: MapFlags::SHARED | MapFlags::FIXED,
            backing: MmapBacking::File { file, readable: true, writable: true },
            offset_bytes: 0,
        };
        mm.mmap(&map).expect("mapped");
        mm.write_page(pages(1, 1).start(), 0x1111_1111_1111_1111).expect("written");
        assert_eq!(machine.pwrite(file, PAGE_SIZE + 16, 3), Ok(8));
        assert_eq!(machine.pwrite(file, PAGE_SIZE + 17, 3), Err(mm_types::Errno::EINVAL));
        assert_eq!(mm.read(at(1, 16)), Ok(3));
        assert_eq!(mm.reclaim_pages(pages(1, 1)), 1);
        assert_eq!(mm.read(at(1, 16)), Ok(3), "kept by the file");
        machine.punch_hole(file, PAGE_SIZE + 4, 8).expect("punched");
        assert_eq!(mm.read(at(1, 0)), Ok(0x1111_1111));
        assert_eq!(mm.read(at(1, 8)), Ok(0x1111_1111_0000_0000));
        assert_eq!(mm.reclaim_pages(pages(1, 1)), 1);
        machine.punch_hole(file, PAGE_SIZE + 16, 8).expect("punched, of a page that is not in memory");
        assert_eq!((mm.read(at(1, 16)), mm.read(at(1, 24))), (Ok(0), Ok(0x1111_1111_1111_1111)));
        machine.ftruncate(file, PAGE_SIZE + 32);
        machine.ftruncate(file, 4 * PAGE_SIZE);
        assert_eq!((mm.read(at(1, 24)), mm.read(at(1, 32))), (Ok(0x1111_1111_1111_1111), Ok(0)));
        machine.punch_hole(file, 0, 4 * PAGE_SIZE).expect("punched");
    });
}
