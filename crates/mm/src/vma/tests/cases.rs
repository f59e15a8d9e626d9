//! Split and merge, case by case.

use super::test_utils::{World, check, check_6_12, check_with};
use crate::vma::{AnonLink, AnonMergeRule, AnonVmaId, VmaChange, VmaKind, VmaTree};
use mm_types::{Name, PageRange, Pgoff, VmFlags, Vpn};

#[test]
fn mmap_merges_with_the_neighbour_below_above_and_both() {
    check("mmap 10+5 rw\n mmap 15+5 rw", "10-20 rw");
    check("mmap 15+5 rw\n mmap 10+5 rw", "10-20 rw");
    check("mmap 10+5 rw\n mmap 20+5 rw\n mmap 15+5 rw", "10-25 rw");
    check("mmap 10+5 rw\n mmap 16+5 rw", "10-15 rw, 16-21 rw");
    check("mmap 10+5 rw\n mmap 15+5 r", "10-15 rw, 15-20 r");
    check("mmap 10+5 r\n mmap 20+5 rw\n mmap 15+5 rw", "10-15 r, 15-25 rw");
}

#[test]
fn mmap_over_a_mapping_replaces_the_pages_it_covers() {
    check("mmap 10+9 rw\n mmap 12+2 r", "10-12 rw, 12-14 r, 14-19 rw");
    check("mmap 10+9 rw\n mmap 12+2 rw", "10-19 rw");
    check("mmap 10+3 r\n mmap 13+3 rw\n mmap 16+3 rx\n mmap 12+5 r", "10-17 r, 17-19 rx");
}

#[test]
fn flags_that_maps_do_not_show_keep_neighbours_apart() {
    check("mmap 10+5 rw\n mmap 15+5 rw noreserve", "10-15 rw, 15-20 rw");
    check("mmap 10+5 rw\n mmap 15+5 rw stack", "10-15 rw, 15-20 rw");
    // Writable memory counts in the commit limit, and a part with pages goes on counting.
    check("mmap 10+5 r\n mmap 15+5 rw\n touch 15\n mprotect 15+5 r", "10-15 r, 15-20 r");
    check("mmap 10+5 r\n mmap 15+5 rw\n mprotect 15+5 r", "10-20 r");
}

#[test]
fn file_mappings_merge_when_the_file_continues() {
    check("mmap 10+5 r f0@0\n mmap 15+5 r f0@5", "10-20 r f0@0");
    check("mmap 15+5 r f0@5\n mmap 10+5 r f0@0", "10-20 r f0@0");
    check("mmap 10+5 r f0@0\n mmap 15+5 r f0@6", "10-15 r f0@0, 15-20 r f0@6");
    check("mmap 10+5 r f0@0\n mmap 15+5 r f1@5", "10-15 r f0@0, 15-20 r f1@5");
    check("mmap 10+5 r f0@0\n mmap 15+5 r f0@5 shared", "10-15 r f0@0, 15-20 r f0@5 S");
    check("mmap 10+2 rw shared\n mmap 12+2 rw shared", "10-12 rw S, 12-14 rw S");
    check("mmap 10+9 r f0@3\n munmap 12+2", "10-12 r f0@3, 14-19 r f0@7");
    check("mmap 10+9 r f0@3\n mprotect 12+2 none\n mprotect 12+2 r", "10-19 r f0@3");
}

#[test]
fn a_file_opened_for_reading_is_never_written_through_a_shared_mapping() {
    check("mmap 10+5 rw f0@0 shared ro => EACCES", "");
    check("mmap 10+5 r f0@0 shared ro\n mprotect 11+1 rw => EACCES", "10-15 r f0@0 S");
    check("mmap 10+5 r f0@0 ro\n mprotect 11+1 rw", "10-11 r f0@0, 11-12 rw f0@1, 12-15 r f0@2");
}

#[test]
fn munmap_cuts_splits_and_passes_over_holes() {
    check("mmap 10+9 rw\n munmap 10+2", "12-19 rw");
    check("mmap 10+9 rw\n munmap 17+2", "10-17 rw");
    check("mmap 10+9 rw\n munmap 13+2", "10-13 rw, 15-19 rw");
    check("mmap 10+2 rw\n mmap 14+2 r\n mmap 18+2 rw\n munmap 11+8", "10-11 rw, 19-20 rw");
    check("munmap 10+5", "");
    check("mmap 10+9 rw\n munmap 10+0 => EINVAL", "10-19 rw");
}

#[test]
fn mprotect_splits_and_merges_back() {
    check("mmap 10+9 rw\n mprotect 12+2 r", "10-12 rw, 12-14 r, 14-19 rw");
    check("mmap 10+9 rw\n touch 10\n mprotect 12+2 r\n mprotect 12+2 rw", "10-19 rw");
    check("mmap 10+9 rw\n mprotect 10+2 r\n mprotect 12+2 r", "10-14 r, 14-19 rw");
    check("mmap 10+9 rw\n mprotect 17+2 r\n mprotect 15+2 r", "10-15 rw, 15-19 r");
    check("mmap 10+3 rw\n mmap 13+3 r\n mmap 16+3 rw\n mprotect 13+3 rw", "10-19 rw");
    check("mmap 10+3 rw\n mmap 13+3 r\n mmap 16+3 rx\n mprotect 10+9 none", "10-19 none");
}

#[test]
fn mprotect_stops_at_a_hole_with_the_part_before_changed() {
    check("mmap 10+2 rw\n mmap 13+2 rw\n mprotect 10+5 r => ENOMEM", "10-12 r, 13-15 rw");
    check("mmap 13+2 rw\n mprotect 10+5 r => ENOMEM", "13-15 rw");
    check("mmap 10+2 rw\n mprotect 10+5 r => ENOMEM", "10-12 r");
    check("mmap 10+2 rw\n mprotect 10+0 r", "10-12 rw");
}

#[test]
fn two_anon_vmas_do_not_merge() {
    let two = "mmap 10+5 rw\n touch 10\n mmap 16+4 rw\n touch 16\n mmap 15+1 rw";
    check(two, "10-16 rw, 16-20 rw");
    check("mmap 10+5 rw\n mmap 16+4 rw\n touch 16\n mmap 15+1 rw", "10-20 rw");
}

#[test]
fn neighbours_share_an_anon_vma_so_that_they_can_merge_later() {
    check("mmap 10+5 rw\n touch 10\n mmap 15+5 rwx\n touch 15\n mprotect 15+5 rw", "10-20 rw");
    check("mmap 15+5 rwx\n touch 15\n mmap 10+5 rw\n touch 10\n mprotect 15+5 rw", "10-20 rw");
    // Other flags than access keep them from sharing.
    check("mmap 10+5 rw\n touch 10\n mmap 15+5 rw noreserve\n touch 15\n mprotect 10+10 r", "10-15 r, 15-20 r");
}

#[test]
fn an_inherited_chain_blocks_a_merge_with_new_memory() {
    check("mmap 10+5 rw\n touch 10\n fork\n mmap 15+5 rw", "10-15 rw, 15-20 rw");
    check("mmap 10+5 rw\n fork\n mmap 15+5 rw", "10-20 rw");
}

#[test]
fn who_has_the_pages_matters_up_to_6_15() {
    // 10-15 has pages and is altered; 15-20 has none.
    let altered_has = "mmap 15+5 r noreserve\n mmap 10+5 rw noreserve\n touch 10\n mprotect 10+5 r";
    check(altered_has, "10-20 r");
    check_6_12(altered_has, "10-15 r, 15-20 r");
    let neighbour_has = "mmap 15+5 r noreserve\n mmap 10+5 rw noreserve\n touch 15\n mprotect 10+5 r";
    check(neighbour_has, "10-20 r");
    check_6_12(neighbour_has, "10-20 r");
}

#[test]
fn the_heap_grows_and_shrinks_by_brk() {
    check("brk 40", "32-40 rw");
    check("brk 40\n brk 44\n brk 36", "32-36 rw");
    check("brk 40\n brk 32", "");
    check("brk 31 => ENOMEM", "");
    // The VMA below the heap does not grow into it; anonymous memory right above is joined by mmap only.
    check("mmap 30+2 rw\n brk 40", "30-32 rw, 32-40 rw");
    // One page must stay free above.
    check("mmap 40+5 rw\n brk 40 => ENOMEM\n brk 39", "32-39 rw, 40-45 rw");
    check("mmap 400+5 rw grows\n brk 200 => ENOMEM\n brk 143", "32-143 rw, 400-405 rw");
    check("brk 40\n mprotect 38+2 r\n brk 44", "32-38 rw, 38-40 r, 40-44 rw");
    check("brk 40\n munmap 36+4\n brk 38 => ENOMEM", "32-36 rw");
}

#[test]
fn special_mappings_never_merge() {
    let mut world = World::new(VmaTree::default());
    let vdso = VmaKind::Special(Name::new("[vdso]"));
    let flags = VmFlags::READ | VmFlags::MAYREAD | VmFlags::MAYWRITE | VmFlags::MAYEXEC | VmFlags::DONTEXPAND;
    let range = |a, b| PageRange::new(Vpn(a), Vpn(b)).unwrap();
    world.tree.insert(range(10, 12), flags, vdso, Pgoff(10), None);
    world.tree.insert(range(12, 14), flags | VmFlags::EXEC, vdso, Pgoff(12), None);
    world.tree.modify_flags(range(12, 14), flags).unwrap();
    assert_eq!(world.tree.map_count(), 2);
}

#[test]
fn the_map_count_limit_holds_at_its_edges() {
    let small = || VmaTree::new(3, AnonMergeRule::default());
    // Above the limit nothing is mapped; at it one more mapping is.
    check_with(
        small(),
        "mmap 10+1 rw\n mmap 12+1 rw\n mmap 14+1 rw\n mmap 16+1 rw\n mmap 18+1 rw => ENOMEM\n mmap 17+1 rw => ENOMEM",
        "10-11 rw, 12-13 rw, 14-15 rw, 16-17 rw",
    );
    // A hole needs one VMA more; cutting an end does not.
    let three = "mmap 10+3 rw\n mmap 20+3 rw\n mmap 30+3 rw\n";
    check_with(small(), &format!("{three} munmap 11+1 => ENOMEM"), "10-13 rw, 20-23 rw, 30-33 rw");
    check_with(small(), &format!("{three} munmap 10+1"), "11-13 rw, 20-23 rw, 30-33 rw");
    check_with(small(), &format!("{three} munmap 12+9"), "10-12 rw, 21-23 rw, 30-33 rw");
    check_with(small(), &format!("{three} mprotect 10+1 r => ENOMEM"), "10-13 rw, 20-23 rw, 30-33 rw");
    check_with(small(), &format!("{three} mprotect 10+3 r"), "10-13 r, 20-23 rw, 30-33 rw");
    check_with(
        VmaTree::new(2, AnonMergeRule::default()),
        "mmap 10+5 rw\n mprotect 12+1 r => ENOMEM",
        "10-12 rw, 12-15 rw",
    );
}

#[test]
fn identities_follow_the_kernels_objects() {
    let mut world = World::new(VmaTree::default());
    world.run("mmap 10+9 rw");
    let base = super::test_utils::BASE;
    let id = |world: &World, page: u64| world.tree.find(Vpn(base + page)).unwrap().id();
    let first = id(&world, 10);
    // mprotect in the middle: the altered part keeps the identity.
    world.run("mprotect 12+2 r");
    assert_eq!(id(&world, 12), first);
    assert_ne!(id(&world, 10), first);
    // Merged back, the lowest lives on.
    let lowest = id(&world, 10);
    world.run("mprotect 12+2 rw");
    assert_eq!(id(&world, 12), lowest);
    // A hole: the part that goes had the identity.
    let gathered = world.tree.gather(PageRange::new(Vpn(base + 13), Vpn(base + 14)).unwrap()).unwrap();
    assert_eq!(gathered.vmas.iter().map(|v| v.id()).collect::<Vec<_>>(), [lowest]);
    let created = gathered.changes.iter().filter(|c| matches!(c, VmaChange::Created { split_from: Some(_), .. }));
    assert_eq!(created.count(), 2);
    world.tree.remove_gathered(&gathered);
    assert_ne!(id(&world, 12), lowest);
    assert_ne!(id(&world, 14), lowest);
}

#[test]
fn a_vma_that_grows_over_pages_takes_over_their_link() {
    let mut world = World::new(VmaTree::default());
    world.run("mmap 10+2 rw\n mmap 14+2 rw\n touch 14");
    let link = AnonLink::own(AnonVmaId::new(1));
    world.run("mmap 12+2 rw");
    let vma = world.tree.iter().next().unwrap();
    assert_eq!((vma.range().nr_pages(), vma.anon()), (6, Some(link)));
}

#[test]
fn lookups_at_edges() {
    let mut world = World::new(VmaTree::default());
    world.run("mmap 10+2 rw\n mmap 12+2 r\n mmap 20+2 rw");
    let at = |page| Vpn(super::test_utils::BASE + page);
    let tree = &world.tree;
    assert_eq!(tree.find(at(9)), None);
    assert_eq!(tree.find(at(11)).map(|v| v.start()), Some(at(10)));
    assert_eq!(tree.find(at(14)), None);
    assert_eq!(tree.find_at_or_above(at(14)).map(|v| v.start()), Some(at(20)));
    assert_eq!(tree.find_at_or_above(at(22)), None);
    assert_eq!(tree.find_prev(at(12)).map(|v| v.start()), Some(at(10)));
    let range = |a, b| PageRange::new(at(a), at(b)).unwrap();
    assert_eq!(tree.find_first_intersection(range(14, 20)), None);
    assert_eq!(tree.iter_range(range(11, 13)).count(), 2);
    assert_eq!(tree.iter_range(range(14, 21)).count(), 1);
    assert_eq!(tree.clone().split(at(13)).unwrap().len(), 2);
    assert!(tree.clone().split(at(12)).unwrap().is_empty());
}
