//! Moves and merges that traces have no room or no words for.

use super::world::{RW, addr, bytes, in_world, range, vpn};
use mm::vma::{AnonMergeRule, MremapFlags, NewMapping, VmaKind, VmaTree};
use mm::{Advice, FaultError, UffdMode};
use mm_types::{Errno, Pgoff, VmFlags};

pub(super) fn special_flags() {
    let flags = VmFlags::READ | VmFlags::WRITE | VmFlags::MAYREAD | VmFlags::MAYWRITE;
    for special in [VmFlags::PFNMAP, VmFlags::DONTEXPAND] {
        let mut tree = VmaTree::new(100, AnonMergeRule::default());
        let mut map = |page, len| {
            let range = range(page, len);
            let pgoff = Pgoff(range.start().0);
            tree.map_new(NewMapping { range, flags: flags | special, kind: VmaKind::Anon, pgoff });
        };
        map(0, 3);
        map(3, 3);
        assert_eq!(tree.map_count(), 2, "new memory");
        tree.insert(range(6, 2), flags, VmaKind::Anon, Pgoff(vpn(6).0), None);
        tree.modify_flags(range(6, 2), flags | special).expect("modified");
        assert_eq!(tree.map_count(), 3, "memory that was altered");
    }
}

/// 2 GiB by a whole PUD entry, or not: contents are sparse.
pub(super) fn two_gib() {
    const PAGES: u64 = 1 << 19;
    const GIB: u64 = 1 << 18;
    for to in [4 * GIB + 1, 4 * GIB + 256, 4 * GIB + 512, 4 * GIB] {
        in_world(|w| {
            w.map(0, PAGES, RW);
            let touched: Vec<u64> = (0..PAGES).step_by(40_009).chain([PAGES - 1]).collect();
            touched.iter().for_each(|page| w.write(*page, page + 7));
            let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
            let moved = w.mm.mremap(addr(0), bytes(PAGES), bytes(PAGES), flags, Some(addr(to)), None);
            assert_eq!(moved, Ok(addr(to)));
            for page in touched {
                w.assert_reads(to + page, page + 7);
                assert_eq!(w.mm.read_page(vpn(page)), Err(FaultError::NotMapped(vpn(page))));
            }
        });
    }
}

pub(super) fn armed_vma() {
    in_world(|w| {
        for page in [0, 2, 4] {
            w.map(page, 1, RW);
            w.write(page, 10 + page);
        }
        w.mm.uffd_register(range(2, 1), UffdMode::Missing).expect("registered");
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        let moved = w.mm.mremap(addr(0), bytes(5), bytes(5), flags, Some(addr(20)), None);
        assert_eq!(moved, Err(Errno::EFAULT));
        w.assert_reads(20, 10);
        w.assert_reads(2, 12);
        w.assert_reads(4, 14);
        assert_eq!(w.vmas(), [(2, 3), (4, 5), (20, 21)]);
        let alone = w.mm.mremap(addr(2), bytes(1), bytes(1), flags, Some(addr(22)), None);
        assert_eq!(alone, Ok(addr(22)), "a single one may");
    });
}

pub(super) fn process_madvise() {
    in_world(|w| {
        w.map(0, 10, RW);
        w.map(20, 5, RW);
        w.map(30, 20, RW);
        let vector: Vec<_> =
            [(0, 1), (5, 2), (20, 1), (22, 3), (30, 2), (40, 1)].map(|(page, len)| (addr(page), bytes(len))).to_vec();
        assert_eq!(w.mm.process_madvise(&vector, Advice::GuardInstall), Ok(bytes(10)));
        let guarded = |page| w.mm.write_page(vpn(page), 1) == Err(FaultError::Guard(vpn(page)));
        for (page, guard) in [
            (0, true),
            (1, false),
            (5, true),
            (6, true),
            (20, true),
            (21, false),
            (24, true),
            (30, true),
            (40, true),
            (41, false),
        ] {
            assert_eq!(guarded(page), guard, "page {page}");
        }
        assert_eq!(w.mm.process_madvise(&vector, Advice::GuardRemove), Ok(bytes(10)));
        assert!(![0, 5, 20, 24, 30, 40].into_iter().any(guarded));
        let beyond = [(addr(0), bytes(1)), (addr(12), bytes(1)), (addr(20), bytes(1))];
        assert_eq!(w.mm.process_madvise(&beyond, Advice::GuardInstall), Ok(bytes(1)), "what was done before a hole");
        assert_eq!(w.mm.process_madvise(&beyond[1..], Advice::GuardInstall), Err(Errno::ENOMEM));
    });
}
