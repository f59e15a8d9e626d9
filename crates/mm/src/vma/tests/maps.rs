//! Maps text out of a tree and into one.

use super::test_utils::{World, addr};
use crate::vma::{AnonVmaId, FileId, FileText, LoadError, MapsLine, MapsNames, VmaTree};
use mm_types::{PageRange, Prot, VirtAddr, VmFlags, Vpn};

fn line(start: u64, end: u64, prot: Prot, offset: u64, name: &str) -> MapsLine {
    MapsLine {
        range: PageRange::new(Vpn(start), Vpn(end)).unwrap(),
        prot,
        shared: false,
        offset_bytes: offset * 4096,
        device_inode: if name.starts_with('/') { "fe:00 7" } else { MapsLine::NO_INODE }.to_owned(),
        name: name.to_owned(),
    }
}

fn load(lines: &[MapsLine]) -> (VmaTree, MapsNames) {
    let mut tree = VmaTree::default();
    let mut next = 0;
    let loaded = tree.load_maps(
        lines,
        |_| FileId(1),
        || {
            next += 1;
            AnonVmaId::new(next)
        },
    );
    (tree, loaded.expect("lines in order").names)
}

fn text(_: FileId) -> FileText {
    FileText { name: "/bin/x".to_owned(), device_inode: "fe:00 7".to_owned() }
}

const RW: Prot = Prot::READ.union(Prot::WRITE);

#[test]
fn lines_have_the_kernels_layout() {
    let l = line(0x559ec3c73, 0x559ec3c75, Prot::READ, 2, "/usr/bin/cat");
    assert_eq!(l.to_string(), "559ec3c73000-559ec3c75000 r--p 00002000 fe:00 7                          /usr/bin/cat");
    assert_eq!(line(16, 17, RW, 0, "").to_string(), "00010000-00011000 rw-p 00000000 00:00 0 ");
}

#[test]
fn loading_and_printing_is_the_identity() {
    let lines = vec![
        line(0x10, 0x12, Prot::READ, 0, "/bin/x"),
        line(0x12, 0x14, Prot::READ, 2, "/bin/x"),
        line(0x14, 0x16, RW, 4, "/bin/x"),
        line(0x20, 0x30, RW, 0, "[heap]"),
        line(0x40, 0x42, RW, 0, ""),
        line(0x42, 0x44, RW, 0, ""),
        line(0x50, 0x52, Prot::READ, 0, "[vvar]"),
        line(0x52, 0x53, Prot::READ | Prot::EXEC, 0, "[vdso]"),
        line(0x60, 0x70, RW, 0, "[stack]"),
        line(0xf_ffff_ffff_f600, 0xf_ffff_ffff_f601, Prot::EXEC, 0, "[vsyscall]"),
    ];
    let (tree, names) = load(&lines);
    assert_eq!(tree.maps_lines(&names, text), lines);
    assert_eq!(tree.map_count(), 9, "the vsyscall page is in no tree");
    let vdso = tree.find(Vpn(0x52)).unwrap();
    assert!(vdso.is_special());
}

#[test]
fn what_did_not_merge_in_the_record_does_not_merge_after_loading() {
    let lines = [
        line(0x10, 0x12, Prot::READ, 0, "/bin/x"),
        line(0x12, 0x14, Prot::READ, 2, "/bin/x"),
        line(0x40, 0x42, RW, 0, ""),
        line(0x42, 0x44, RW, 0, ""),
    ];
    let (mut tree, _) = load(&lines);
    for line in &lines {
        let flags = tree.find(line.range.start()).unwrap().flags();
        tree.modify_flags(line.range, flags | VmFlags::RAND_READ).unwrap();
    }
    assert_eq!(tree.map_count(), 4);
}

#[test]
fn the_heap_is_named_by_its_bounds_and_grows() {
    let mut world = World::new(VmaTree::default());
    world.run("mmap 30+2 rw\n brk 40\n mmap 50+1 rw");
    let names = MapsNames { brk: world.brk, ..MapsNames::default() };
    let got: Vec<&str> = world.tree.iter().map(|v| names.of(v)).collect();
    assert_eq!(got, ["", "[heap]", ""]);
    // An end inside a page.
    world.brk.end = VirtAddr(addr(39).0 + 1);
    assert_eq!(MapsNames { brk: world.brk, ..names }.of(world.tree.iter().nth(1).unwrap()), "[heap]");
}

#[test]
fn lines_out_of_order_are_refused() {
    let mut tree = VmaTree::default();
    let lines = [line(0x10, 0x12, RW, 0, ""), line(0x11, 0x13, RW, 0, "")];
    assert_eq!(tree.load_maps(&lines, |_| FileId(1), || AnonVmaId::new(1)), Err(LoadError::Disorder(2)));
    assert!(tree.is_empty());
    let high = [line(0x8_0000_0000, 0x8_0000_0001, RW, 0, "")];
    assert_eq!(tree.load_maps(&high, |_| FileId(1), || AnonVmaId::new(1)), Err(LoadError::BeyondUserSpace(1)));
}
