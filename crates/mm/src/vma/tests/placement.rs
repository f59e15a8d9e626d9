//! Where mappings go.

use super::test_utils::{BASE, World, addr};
use crate::vma::{MapFlags, MmapArgs, MmapBacking, Placement, VmaTree, munmap_range};
use mm_types::{Errno, PAGE_SIZE, Prot, TASK_SIZE, VirtAddr, Vpn};

fn world() -> World {
    let mut world = World::new(VmaTree::default());
    world.placement = Placement { mmap_base: addr(1000), bottom_up_base: Some(addr(2000)), ..Placement::default() };
    world
}

fn anon(at: VirtAddr, len_bytes: u64) -> MmapArgs {
    MmapArgs {
        addr: at,
        len_bytes,
        prot: Prot::READ | Prot::WRITE,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS,
        backing: MmapBacking::None,
        offset_bytes: 0,
    }
}

/// Maps without an address and tells the first page, relative.
#[track_caller]
fn placed(world: &mut World, nr_pages: u64) -> u64 {
    world.mmap_args(&anon(VirtAddr(0), nr_pages * PAGE_SIZE)).expect("there is room").start().0 - BASE
}

#[test]
fn the_highest_gap_that_fits_is_taken() {
    let mut w = world();
    assert_eq!(placed(&mut w, 10), 990);
    assert_eq!(placed(&mut w, 5), 985);
    w.run("munmap 990+4");
    assert_eq!(placed(&mut w, 5), 980);
    assert_eq!(placed(&mut w, 4), 990);
    assert_eq!(w.text(), "980-1000 rw");
    // A mapping across the base.
    w.run("munmap 0+2000\n mmap 998+5 r");
    assert_eq!(placed(&mut w, 1), 997);
}

#[test]
fn a_gap_is_kept_below_a_stack() {
    let mut w = world();
    w.run("mmap 990+10 rw grows");
    assert_eq!(placed(&mut w, 1), 990 - 256 - 1);
    // Neither base nor hint reach into the gap, but a fixed address does.
    w.run("munmap 0+2000\n mmap 1100+10 rw grows");
    assert_eq!(placed(&mut w, 1), 843);
    let hinted = w.mmap_args(&anon(addr(900), PAGE_SIZE)).unwrap();
    assert_eq!(hinted.start(), Vpn(BASE + 842));
    w.run("mmap 1099+1 r");
}

#[test]
fn a_free_hint_is_honoured_and_a_taken_one_is_not() {
    let mut w = world();
    assert_eq!(w.mmap_args(&anon(addr(50), PAGE_SIZE)).unwrap().start(), Vpn(BASE + 50));
    assert_eq!(w.mmap_args(&anon(addr(49), 2 * PAGE_SIZE)).unwrap().start(), Vpn(BASE + 998));
    assert_eq!(w.mmap_args(&anon(VirtAddr(addr(60).0 + 123), PAGE_SIZE)).unwrap().start(), Vpn(BASE + 60));
    // A hint above user space is none; one below the minimum is raised to it.
    assert_eq!(w.mmap_args(&anon(VirtAddr(TASK_SIZE), PAGE_SIZE)).unwrap().start(), Vpn(BASE + 997));
    assert_eq!(w.mmap_args(&anon(VirtAddr(0x1000), PAGE_SIZE)).unwrap().start(), Vpn(16));
}

#[test]
fn huge_lengths_are_aligned_to_the_boundary() {
    let mut w = world();
    w.placement.mmap_base = Vpn(BASE + 4 * 512 + 100).addr();
    assert_eq!(placed(&mut w, 512), 3 * 512);
    assert_eq!(placed(&mut w, 512), 2 * 512);
    // Other lengths are not aligned; nor is a huge one when the kernel is told not to.
    assert_eq!(placed(&mut w, 52), 4 * 512 + 48);
    assert_eq!(placed(&mut w, 511), 2 * 512 - 511);
    w.placement.thp_aligned = false;
    assert_eq!(placed(&mut w, 512), 1);
}

#[test]
fn a_huge_length_that_fits_below_a_boundary_wastes_nothing() {
    let mut w = world();
    w.placement.mmap_base = Vpn(BASE + 4 * 512).addr();
    assert_eq!(placed(&mut w, 512), 3 * 512);
    assert_eq!(placed(&mut w, 1024), 512);
}

#[test]
fn without_room_below_the_base_the_search_goes_up() {
    let mut w = world();
    w.run("mmap 900+100 r");
    w.placement.min_addr = addr(900);
    w.run("mmap 2000+4 r\n mmap 2006+1 r\n mmap 2300+1 r grows");
    assert_eq!(placed(&mut w, 2), 2004);
    assert_eq!(placed(&mut w, 2), 2007);
    // The gap below the stack again.
    assert_eq!(placed(&mut w, 36), 2301);
    w.placement.bottom_up_base = None;
    assert_eq!(w.mmap_args(&anon(VirtAddr(0), PAGE_SIZE)), Err(Errno::ENOMEM));
}

#[test]
fn bad_arguments_have_the_kernels_errors() {
    let mut w = world();
    let mut check = |args: MmapArgs, error: Errno| {
        assert_eq!(w.mmap_args(&args), Err(error), "{args:?}");
        assert!(w.tree.is_empty());
    };
    let fixed = |at| MmapArgs { flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED, ..anon(at, 1) };
    check(anon(VirtAddr(0), 0), Errno::EINVAL);
    check(anon(VirtAddr(0), u64::MAX), Errno::ENOMEM);
    check(anon(VirtAddr(0), TASK_SIZE + 1), Errno::ENOMEM);
    check(MmapArgs { offset_bytes: 1, ..anon(VirtAddr(0), 1) }, Errno::EINVAL);
    check(MmapArgs { flags: MapFlags::ANONYMOUS, ..anon(VirtAddr(0), 1) }, Errno::EINVAL);
    check(MmapArgs { flags: MapFlags::PRIVATE, ..anon(VirtAddr(0), 1) }, Errno::EBADF);
    check(fixed(VirtAddr(addr(5).0 + 1)), Errno::EINVAL);
    check(fixed(VirtAddr(TASK_SIZE)), Errno::ENOMEM);
    check(fixed(VirtAddr(0)), Errno::EPERM);
    w.placement.may_map_low = true;
    assert!(w.mmap_args(&fixed(VirtAddr(0))).is_ok());
}

#[test]
fn fixed_noreplace_refuses_what_is_mapped() {
    let mut w = world();
    w.run("mmap 10+5 rw\n mmap 14+5 r keep => EEXIST\n mmap 15+5 r keep");
    assert_eq!(w.text(), "10-15 rw, 15-20 r");
}

#[test]
fn munmap_arguments() {
    assert_eq!(munmap_range(VirtAddr(0x1001), 1), Err(Errno::EINVAL));
    assert_eq!(munmap_range(VirtAddr(0x5eed_0000), 0), Err(Errno::EINVAL));
    assert_eq!(munmap_range(VirtAddr(TASK_SIZE), 1), Err(Errno::EINVAL));
    assert_eq!(munmap_range(VirtAddr(0x1000), u64::MAX), Err(Errno::EINVAL));
    assert_eq!(munmap_range(VirtAddr(0x1000), 1).map(|r| r.nr_pages()), Ok(1));
}

#[test]
fn a_stack_grows_down_to_its_limits() {
    let mut w = world();
    w.run("mmap 400+10 rw grows\n mmap 100+2 r");
    let at = |page| Vpn(BASE + page);
    let grow = |w: &mut World, page, max| w.tree.expand_downwards(at(page), Vpn(16), max).map(|m| m.vma.start());
    assert_eq!(grow(&mut w, 399, 1000), Ok(at(399)));
    assert_eq!(grow(&mut w, 405, 1000), Ok(at(399)));
    assert_eq!(grow(&mut w, 398, 11), Err(Errno::ENOMEM));
    assert_eq!(grow(&mut w, 357, 1000), Err(Errno::ENOMEM));
    assert_eq!(grow(&mut w, 358, 1000), Ok(at(358)));
    assert_eq!(w.tree.find(at(358)).unwrap().pgoff().0, BASE + 358);
    // What cannot be accessed needs no gap.
    w.run("mprotect 100+2 none");
    assert_eq!(grow(&mut w, 102, 1000), Ok(at(102)));
    assert_eq!(grow(&mut w, 90, 1000), Err(Errno::EFAULT));
}
