//! What an entry says of its page for others: soft-dirty, and userfaultfd's write protection. Both go where the page goes.
//!
//! Rules of `clear_soft_dirty()`, fs/proc/task_mmu.c; `move_soft_dirty_pte()`, mm/mremap.c; `pte_mkdirty()`;
//! `__split_huge_pmd_locked()`, mm/huge_memory.c; `copy_present_ptes()`, `copy_nonpresent_pte()`, mm/memory.c, 6.12.
//!
//! The memory manager was made wrong in one place at a time; each was found here: the marks left out of a swap entry, of a
//! migration entry; a page that comes back from swap writable at once; a new VMA without `VM_SOFTDIRTY`; a moved entry not marked,
//! or those of a table that moves as a whole marked; `mprotect` giving write access back unnoticed; a split that leaves dirty
//! pages unmarked; a child that is protected; a pinned page cleared; protection in swap that is not let go.

use crate::common::{Context, World, addr, bytes, pages};
use mm::device;
use mm::vma::MremapFlags;
use mm::{Advice, Direction, MachineConfig, Mm, PageCategories, UffdMode};
use mm_types::{Name, Prot, Vpn};
use std::sync::Arc;

const NONE: [u64; 0] = [];
const RW: Prot = Prot::READ.union(Prot::WRITE);
const TO: MremapFlags = MremapFlags::MAYMOVE.union(MremapFlags::FIXED);

fn page(n: u64) -> Vpn {
    pages(n, 1).start()
}

/// The numbers of the pages among the first 2048 that are `what`.
fn which(mm: &Mm, what: PageCategories) -> Vec<u64> {
    (0..).zip(mm.page_categories(pages(0, 2048))).filter(|(_, is)| is.contains(what)).map(|(n, _)| n).collect()
}

fn soft_dirty(mm: &Mm) -> Vec<u64> {
    which(mm, PageCategories::SOFT_DIRTY)
}

/// Pages with an entry that have userfaultfd's mark.
fn protected(mm: &Mm) -> Vec<u64> {
    let here = PageCategories::PRESENT | PageCategories::SWAPPED;
    let is = |is: &PageCategories| is.intersects(here) && !is.contains(PageCategories::WRITTEN);
    (0..).zip(mm.page_categories(pages(0, 2048))).filter(|(_, c)| is(c)).map(|(n, _)| n).collect()
}

fn in_a_world(body: impl FnOnce(&Arc<Mm>) + 'static) {
    let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
    let mm = world.new_mm("a");
    world.run(Context::Task, move || {
        body(&mm);
        mm.exit();
    });
}

/// Eight written pages, forgotten; then `body`.
fn after_clearing(body: impl FnOnce(&Arc<Mm>) + 'static) {
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 8), RW).expect("mapped");
        pages(0, 8).iter().for_each(|vpn| mm.write_page(vpn, 1).expect("written"));
        assert_eq!(soft_dirty(mm), (0..8).collect::<Vec<u64>>());
        mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(mm), NONE);
        body(mm);
    });
}

/// Eight written pages, of which 1, 2 and 3 are protected; then `body`.
fn after_protecting(body: impl FnOnce(&Arc<Mm>) + 'static) {
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 8), RW).expect("mapped");
        pages(0, 8).iter().for_each(|vpn| mm.write_page(vpn, 1).expect("written"));
        mm.uffd_register(pages(0, 8), UffdMode::WriteProtect).expect("registered");
        mm.uffd_writeprotect(pages(1, 3), true).expect("protected");
        assert_eq!(protected(mm), [1, 2, 3]);
        body(mm);
    });
}

fn fork(mm: &Mm) -> Arc<Mm> {
    ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked")
}

#[test]
fn a_write_is_noticed_and_a_read_is_not() {
    after_clearing(|mm| {
        mm.read_page(page(1)).expect("read");
        mm.write_page(page(3), 2).expect("written");
        mm.write_page(page(3), 3).expect("written again");
        assert_eq!(soft_dirty(mm), [3]);
        mm.clear_refs(4).expect("cleared");
        mm.write_page(page(3), 4).expect("written, with the dirty bit set already");
        assert_eq!(soft_dirty(mm), [3]);
        mm.clear_refs(1).expect("cleared");
        assert_eq!(soft_dirty(mm), [3], "accesses are another matter");
    });
}

#[test]
fn what_is_new_counts_as_written_and_a_mapping_that_grows_over_others_makes_them_so() {
    after_clearing(|mm| {
        mm.mmap_anon(pages(20, 2), RW).expect("mapped");
        assert_eq!(soft_dirty(mm), [20, 21], "without an entry");
        mm.mmap_anon(pages(8, 1), RW).expect("mapped");
        assert_eq!(mm.vmas().len(), 2, "merged, whatever was cleared of one of them");
        assert_eq!(soft_dirty(mm), (0..9).chain(20..22).collect::<Vec<u64>>());
        mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(mm), NONE);
    });
}

#[test]
fn protection_that_comes_back_does_not_hide_a_write() {
    after_clearing(|mm| {
        mm.mprotect(addr(0), bytes(8), Prot::READ).expect("protected");
        mm.mprotect(addr(0), bytes(8), RW).expect("as before");
        assert_eq!(soft_dirty(mm), NONE);
        mm.write_page(page(2), 2).expect("written");
        assert_eq!(soft_dirty(mm), [2]);
    });
}

#[test]
fn what_was_noticed_survives_swap_migration_and_fork() {
    after_clearing(|mm| {
        mm.write_page(page(2), 2).expect("written");
        assert_eq!(mm.reclaim_pages(pages(1, 2)), 2);
        assert_eq!(soft_dirty(mm), [2], "swap entries");
        mm.read_page(page(1)).expect("read");
        mm.read_page(page(2)).expect("read");
        assert_eq!(soft_dirty(mm), [2], "back");
        mm.write_page(page(1), 2).expect("written");
        assert_eq!(soft_dirty(mm), [1, 2]);
        assert_eq!(mm.compact(pages(0, 4)).moved, 4);
        assert_eq!(soft_dirty(mm), [1, 2], "moved");
        let child = fork(mm);
        assert_eq!(soft_dirty(&child), [1, 2]);
        child.write_page(page(5), 9).expect("written");
        assert_eq!((soft_dirty(&child), soft_dirty(mm)), (vec![1, 2, 5], vec![1, 2]));
        mm.reclaim_pages(pages(0, 8));
        mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(mm), NONE, "swap entries are cleared too");
        child.exit();
    });
}

#[test]
fn a_page_that_comes_back_from_swap_is_written_by_a_fault_and_one_fault_does_both() {
    after_clearing(|mm| {
        assert_eq!(mm.reclaim_pages(pages(1, 2)), 2);
        mm.read_page(page(1)).expect("read");
        assert!(!mm.pte(page(1)).is_writable());
        let before = mm.faults();
        mm.write_page(page(2), 5).expect("written");
        assert_eq!((mm.faults() - before, soft_dirty(mm)), (1, vec![2]));
        mm.write_page(page(1), 5).expect("written");
        assert_eq!(soft_dirty(mm), [1, 2]);
    });
}

#[test]
fn what_moves_entry_by_entry_is_noticed_where_it_is_and_a_table_moves_as_it_is() {
    after_clearing(|mm| {
        assert_eq!(mm.reclaim_pages(pages(5, 1)), 1);
        mm.mremap(addr(4), bytes(2), bytes(2), TO, Some(addr(20)), None).expect("moved");
        assert_eq!(soft_dirty(mm), [20, 21]);
        mm.read_page(page(21)).expect("read");
        assert_eq!(soft_dirty(mm), [20, 21]);
    });
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 512), RW).expect("mapped");
        mm.write_page(page(7), 1).expect("written");
        mm.clear_refs(4).expect("cleared");
        mm.mremap(addr(0), bytes(512), bytes(512), TO, Some(addr(1024)), None).expect("moved");
        assert_eq!(soft_dirty(mm), NONE);
        mm.write_page(page(1024 + 7), 1).expect("written");
        assert_eq!(soft_dirty(mm), [1031]);
    });
}

#[test]
fn a_shared_page_that_may_be_written_at_once_is_not_while_that_has_to_be_noticed() {
    in_a_world(|mm| {
        let args = mm::vma::MmapArgs {
            addr: addr(0),
            len_bytes: bytes(8),
            prot: RW,
            flags: mm::vma::MapFlags::SHARED | mm::vma::MapFlags::ANONYMOUS | mm::vma::MapFlags::FIXED,
            backing: mm::vma::MmapBacking::None,
            offset_bytes: 0,
        };
        mm.mmap(&args).expect("mapped");
        mm.clear_refs(4).expect("cleared");
        mm.read_page(page(0)).expect("read");
        assert_eq!((soft_dirty(mm), mm.pte(page(0)).is_writable()), (NONE.to_vec(), false));
        mm.write_page(page(0), 3).expect("written");
        assert_eq!(soft_dirty(mm), [0]);
    });
}

#[test]
fn what_a_device_has_pinned_stays_soft_dirty_since_it_may_write_at_any_time() {
    after_clearing(|mm| {
        let held = device::pin_user_pages(mm, pages(3, 1), true).expect("pinned");
        assert_eq!(soft_dirty(mm), [3]);
        mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(mm), [3]);
        held.into_iter().for_each(|pfn| device::unpin_user_page(mm.machine(), pfn));
        mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(mm), NONE);
    });
}

#[test]
fn a_huge_page_is_noticed_as_one_and_its_split_makes_dirty_pages_soft_dirty() {
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 512), RW).expect("mapped");
        mm.madvise(addr(0), bytes(512), Advice::HugePage).expect("advised");
        mm.write_page(page(7), 1).expect("written");
        assert_eq!(soft_dirty(mm).len(), 512);
        mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(mm), NONE);
        mm.read_page(page(7)).expect("read");
        assert_eq!(soft_dirty(mm), NONE);
        mm.write_page(page(8), 1).expect("written");
        assert_eq!(soft_dirty(mm).len(), 512);
        mm.clear_refs(4).expect("cleared");
        assert_eq!(mm.compact(pages(0, 512)).moved, 1);
        assert_eq!(soft_dirty(mm).len(), 512, "pmd_mkdirty()");
        mm.clear_refs(4).expect("cleared");
        mm.madvise(addr(500), bytes(1), Advice::DontNeed).expect("advised");
        assert_eq!(soft_dirty(mm).len(), 511, "split by pte_mkdirty()");
        mm.clear_refs(4).expect("cleared");
        assert_eq!(mm.compact(pages(3, 1)).moved, 1);
        assert_eq!(soft_dirty(mm), NONE, "single entries are as they were");
    });
}

#[test]
fn what_a_device_has_in_its_memory_keeps_the_mark() {
    after_clearing(|mm| {
        mm.write_page(page(1), 2).expect("written");
        assert_eq!(mm.migrate_vma(pages(0, 4), Direction::ToDevice), Ok(4));
        assert_eq!(soft_dirty(mm), [1]);
        assert_eq!(mm.migrate_vma(pages(0, 4), Direction::ToSystem), Ok(4));
        assert_eq!(soft_dirty(mm), [1]);
        assert_eq!(mm.make_device_exclusive(pages(5, 1), None).map(|got| got.len()), Ok(1));
        assert_eq!(soft_dirty(mm), [1, 5], "faulted in for writing");
        mm.read_page(page(5)).expect("taken back");
        assert_eq!(soft_dirty(mm), [1, 5]);
    });
}

#[test]
fn write_protection_survives_swap_migration_and_a_device() {
    after_protecting(|mm| {
        assert_eq!(mm.reclaim_pages(pages(0, 4)), 4);
        assert_eq!(protected(mm), [1, 2, 3], "swap entries");
        mm.uffd_writeprotect(pages(0, 1), true).expect("protected, in swap");
        mm.uffd_writeprotect(pages(3, 1), false).expect("let go, in swap");
        (0..4).for_each(|n| assert_eq!(mm.read_page(page(n)), Ok(1)));
        assert_eq!(protected(mm), [0, 1, 2], "back");
        assert!(!mm.pte(page(1)).is_writable());
        assert_eq!(mm.compact(pages(0, 4)).moved, 4);
        assert_eq!(protected(mm), [0, 1, 2], "moved");
        assert_eq!(mm.migrate_vma(pages(0, 2), Direction::ToDevice), Ok(2));
        assert_eq!(protected(mm), [0, 1, 2], "in the device's memory");
        assert_eq!(mm.migrate_vma(pages(0, 2), Direction::ToSystem), Ok(2));
        assert_eq!(protected(mm), [0, 1, 2]);
        mm.mprotect(addr(0), bytes(8), Prot::READ).expect("protected");
        mm.mprotect(addr(0), bytes(8), RW).expect("as before");
        assert_eq!(protected(mm), [0, 1, 2]);
        mm.write_page(page(1), 4).expect("written");
        assert_eq!(protected(mm), [0, 2], "whoever writes is heard, once");
    });
}

#[test]
fn a_child_and_another_place_are_not_protected_and_the_parent_stays_so() {
    after_protecting(|mm| {
        assert_eq!(mm.reclaim_pages(pages(1, 1)), 1);
        let child = fork(mm);
        assert_eq!((protected(&child), protected(mm)), (NONE.to_vec(), vec![1, 2, 3]));
        assert!(child.vmas().iter().all(|vma| !vma.flags().contains(mm_types::VmFlags::UFFD_WP)));
        assert_eq!(child.read_page(page(2)), Ok(1));
        child.exit();
        mm.mremap(addr(0), bytes(8), bytes(8), TO, Some(addr(512)), None).expect("moved");
        assert_eq!(protected(mm), NONE);
        assert_eq!(which(mm, PageCategories::WPALLOWED), NONE);
    });
}

#[test]
fn a_huge_page_is_protected_as_one_and_split_by_who_writes_a_part() {
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 512), RW).expect("mapped");
        mm.madvise(addr(0), bytes(512), Advice::HugePage).expect("advised");
        mm.write_page(page(7), 1).expect("written");
        mm.uffd_register(pages(0, 512), UffdMode::WriteProtect).expect("registered");
        assert_eq!(mm.pagemap_scan(pages(0, 512)), 512);
        assert_eq!((protected(mm).len(), which(mm, PageCategories::HUGE).len()), (512, 512));
        assert_eq!(mm.pagemap_scan(pages(0, 512)), 0);
        mm.write_page(page(8), 1).expect("written");
        assert_eq!((protected(mm).len(), which(mm, PageCategories::HUGE).len()), (511, 0));
        assert_eq!(mm.madvise(addr(0), bytes(512), Advice::Collapse), Err(mm_types::Errno::EINVAL));
        assert_eq!(mm.read_page(page(7)), Ok(1));
        assert_eq!(mm.pagemap_scan(pages(0, 512)), 1);
        mm.uffd_unregister(pages(0, 512)).expect("unregistered");
        assert_eq!(protected(mm), NONE);
    });
}

#[test]
fn a_scan_that_covers_a_part_of_a_huge_page_splits_its_entry_unless_it_is_protected_already() {
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 1024), RW).expect("mapped");
        mm.madvise(addr(0), bytes(1024), Advice::HugePage).expect("advised");
        [page(7), page(600)].into_iter().for_each(|vpn| mm.write_page(vpn, 1).expect("written"));
        mm.uffd_register(pages(0, 1024), UffdMode::WriteProtect).expect("registered");
        assert_eq!(mm.pagemap_scan(pages(0, 900)), 900);
        assert_eq!((protected(mm).len(), which(mm, PageCategories::HUGE).len()), (900, 512), "the first is whole");
        assert_eq!(mm.pagemap_scan(pages(100, 20)), 0);
        assert_eq!(which(mm, PageCategories::HUGE).len(), 512);
    });
}

#[test]
fn a_scan_that_protects_passes_over_what_nobody_registered() {
    in_a_world(|mm| {
        mm.mmap_anon(pages(0, 8), RW).expect("mapped");
        mm.touch(pages(0, 8), true).expect("touched");
        assert_eq!(mm.pagemap_scan(pages(0, 8)), 0);
        mm.uffd_register(pages(2, 2), UffdMode::WriteProtect).expect("registered");
        assert_eq!(mm.reclaim_pages(pages(2, 1)), 1);
        assert_eq!(mm.pagemap_scan(pages(0, 8)), 2, "one of them in swap");
        assert_eq!(protected(mm), [2, 3]);
    });
}
