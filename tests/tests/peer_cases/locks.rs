//! Locks on all memory.

use super::world::{RW, World, addr, bytes, in_world, vpn};
use mm::MlockallFlags;
use mm_types::VmFlags;

fn flags(w: &World<'_>, page: u64) -> VmFlags {
    w.mm.find_vma(vpn(page)).expect("mapped").flags() & (VmFlags::LOCKED | VmFlags::LOCKONFAULT)
}

fn is_resident(w: &World<'_>, page: u64) -> bool {
    w.mm.pte(vpn(page)).is_present()
}

pub(super) fn future() {
    in_world(|w| {
        w.mm.mlockall(MlockallFlags::FUTURE).expect("locked");
        w.map(0, 2, RW);
        assert_eq!(flags(w, 0), VmFlags::LOCKED);
        assert!(is_resident(w, 0) && is_resident(w, 1));
        w.mm.munlockall();
        assert_eq!(flags(w, 0), VmFlags::empty());
        w.map(10, 1, RW);
        assert_eq!(flags(w, 10), VmFlags::empty(), "and what comes later is not locked");
    });
}

pub(super) fn future_on_fault() {
    in_world(|w| {
        w.mm.mlockall(MlockallFlags::FUTURE | MlockallFlags::ONFAULT).expect("locked");
        w.map(0, 2, RW);
        assert_eq!(flags(w, 0), VmFlags::LOCKED | VmFlags::LOCKONFAULT);
        assert!(!is_resident(w, 0));
        w.write(0, 1);
        assert!(is_resident(w, 0) && !is_resident(w, 1));
        w.mm.munlockall();
        assert_eq!(flags(w, 0), VmFlags::empty());
        w.mm.mlockall(MlockallFlags::CURRENT).expect("locked");
        assert_eq!(flags(w, 0), VmFlags::LOCKED);
        assert!(is_resident(w, 1));
    });
}

pub(super) fn vma_management() {
    in_world(|w| {
        w.mm.mlockall(MlockallFlags::FUTURE).expect("locked");
        w.map(0, 3, RW);
        assert_eq!(w.vmas(), [(0, 3)]);
        w.mm.munlock(addr(1), bytes(1)).expect("unlocked");
        assert_eq!(w.vmas(), [(0, 1), (1, 2), (2, 3)]);
        w.mm.munlock(addr(0), bytes(3)).expect("unlocked");
        assert_eq!(w.vmas(), [(0, 3)]);
    });
}
