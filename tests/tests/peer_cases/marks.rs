//! What the page-map scan tells; guards where others look too; merging of all of a process.

use super::world::{RW, World, addr, bytes, in_world, range, vpn};
use mm::vma::MapFlags;
use mm::{Advice, FaultError, PageCategories, UffdMode};
use mm_types::{Errno, Prot, VmFlags};

/// Of the first `nr_pages`, those of a category.
fn which(w: &World<'_>, nr_pages: u64, what: PageCategories) -> Vec<u64> {
    let known = w.mm.page_categories(range(0, nr_pages));
    (0..).zip(known).filter(|(_, is)| is.contains(what)).map(|(page, _)| page).collect()
}

pub(super) fn populate_soft_dirty() {
    in_world(|w| {
        let soft_dirty = || which(w, 512, PageCategories::SOFT_DIRTY).len();
        w.map(0, 512, RW);
        w.mm.clear_refs(4).expect("cleared");
        assert_eq!(soft_dirty(), 0);
        assert_eq!(w.mm.madvise(addr(0), bytes(512), Advice::PopulateRead), Ok(()));
        assert_eq!(soft_dirty(), 0);
        assert_eq!(w.mm.madvise(addr(0), bytes(512), Advice::PopulateWrite), Ok(()));
        assert_eq!(soft_dirty(), 512);
    });
}

pub(super) fn guards() {
    in_world(|w| {
        w.map(0, 10, RW);
        assert_eq!(which(w, 10, PageCategories::GUARD), [0_u64; 0]);
        for page in (0..10).step_by(2) {
            w.mm.madvise(addr(page), bytes(1), Advice::GuardInstall).expect("installed");
        }
        assert_eq!(which(w, 10, PageCategories::GUARD), [0, 2, 4, 6, 8]);
        w.mm.madvise(addr(0), bytes(10), Advice::GuardRemove).expect("removed");
        assert_eq!(which(w, 10, PageCategories::GUARD), [0_u64; 0]);
    });
}

pub(super) fn guards_under_userfaultfd() {
    in_world(|w| {
        w.map(0, 10, RW);
        w.mm.madvise(addr(0), bytes(10), Advice::GuardInstall).expect("installed");
        w.mm.uffd_register(range(0, 10), UffdMode::Missing).expect("registered");
        let served = w.mm.faults();
        for page in 0..10 {
            assert_eq!(w.mm.read_page(vpn(page)), Err(FaultError::Guard(vpn(page))));
            assert_eq!(w.mm.write_page(vpn(page), 1), Err(FaultError::Guard(vpn(page))));
        }
        assert_eq!(w.mm.faults(), served, "nobody was asked for a page");
        assert_eq!(which(w, 10, PageCategories::GUARD).len(), 10);
    });
}

pub(super) fn guards_in_a_sealed_file() {
    in_world(|w| {
        let file = w.file(10);
        w.map_file(20, 10, file, MapFlags::SHARED);
        assert_eq!(w.machine.seal_write(file), Err(Errno::EBUSY));
        w.mm.munmap(addr(20), bytes(10)).expect("unmapped");
        assert_eq!(w.machine.seal_write(file), Ok(()));
        assert_eq!(
            (w.machine.pwrite(file, 0, 1), w.machine.punch_hole(file, 0, 4096)),
            (Err(Errno::EPERM), Err(Errno::EPERM))
        );
        assert_eq!(w.try_map_file(0, 10, file, MapFlags::SHARED, RW), Err(Errno::EPERM));
        w.try_map_file(0, 10, file, MapFlags::SHARED, Prot::READ).expect("mapped");
        assert_eq!(w.mm.mprotect(addr(0), bytes(10), RW), Err(Errno::EACCES));
        for page in 0..10 {
            w.mm.madvise(addr(page), bytes(1), Advice::GuardInstall).expect("installed");
            assert_eq!(w.mm.read_page(vpn(page)), Err(FaultError::Guard(vpn(page))));
        }
        for page in 0..10 {
            w.mm.madvise(addr(page), bytes(1), Advice::GuardRemove).expect("removed");
            assert_eq!(w.mm.read_page(vpn(page)), Ok(100 + page));
        }
    });
}

pub(super) fn memory_merge() {
    in_world(|w| {
        let two_are_one = || {
            w.map(0, 10, RW);
            w.map(10, 10, RW);
            let vmas = w.mm.vmas();
            assert_eq!(vmas.iter().map(|vma| vma.range()).collect::<Vec<_>>(), [range(0, 20)]);
            let flags = vmas[0].flags();
            w.mm.munmap(addr(0), bytes(20)).expect("unmapped");
            flags.contains(VmFlags::MERGEABLE)
        };
        assert!(!two_are_one());
        w.mm.set_memory_merge(true).expect("enabled");
        assert!(w.mm.memory_merge() && two_are_one());
        w.map(0, 2, RW);
        (0..2).for_each(|page| w.write(page, 7));
        w.machine.ksm_scan(false);
        assert_eq!(w.mm.pte(vpn(0)).pfn(), w.mm.pte(vpn(1)).pfn(), "merged, though nobody advised it");
        w.mm.set_memory_merge(false).expect("disabled");
        assert_ne!(w.mm.pte(vpn(0)).pfn(), w.mm.pte(vpn(1)).pfn(), "copied again");
        w.mm.munmap(addr(0), bytes(2)).expect("unmapped");
        assert!(!two_are_one());
    });
}
