//! Identities of what visible operations of the memory manager touch.
//!
//! All are keyed by what they are (a PTE by its address space and page), none is counted: so two tasks that create
//! different things never share a counter, and a world that is reset gives the same identities as a new one.

use mm_types::{MmId, ObjId, Pfn, Pgoff, Vpn};

const PTE: u8 = 1;
const FRAME: u8 = 2;
const TLB: u8 = 3;
const FOLIO_LOCK: u8 = 4;
const PTL: u8 = 5;
const MACHINE: u8 = 6;
const ANON_VMA: u8 = 7;
const SLOT: u8 = 8;
const MM: u8 = 9;
const MAPPING: u8 = 10;
const CACHED_PAGE: u8 = 11;
const PMD: u8 = 12;
const VMA_LOCK: u8 = 13;
const INODE: u8 = 14;
const HUGETLB_LOCK: u8 = 15;
const HUGETLB_FAULT: u8 = 16;
const PUD: u8 = 17;

/// The page-table entry of one page: what reading or changing it accesses.
#[must_use]
pub const fn pte_obj(mm: MmId, vpn: Vpn) -> ObjId {
    ObjId::keyed(PTE, ((mm.0 as u64) << 36) | vpn.0)
}

/// The entry of a PMD table for the 512 pages from `base` on: what reading or changing a huge page's entry accesses.
pub(crate) const fn pmd_obj(mm: MmId, base: Vpn) -> ObjId {
    ObjId::keyed(PMD, ((mm.0 as u64) << 36) | base.0)
}

/// The entry of a PUD table for the GiB from `base` on.
pub(crate) const fn pud_obj(mm: MmId, base: Vpn) -> ObjId {
    ObjId::keyed(PUD, ((mm.0 as u64) << 36) | base.0)
}

/// A frame: what allocating, freeing, referencing, reading or writing it accesses.
#[must_use]
pub const fn frame_obj(pfn: Pfn) -> ObjId {
    ObjId::keyed(FRAME, pfn.0)
}

/// The translations of one address space in the TLBs of the CPUs.
#[must_use]
pub const fn tlb_obj(mm: MmId) -> ObjId {
    ObjId::keyed(TLB, mm.0 as u64)
}

pub(crate) const fn folio_lock_obj(pfn: Pfn) -> ObjId {
    ObjId::keyed(FOLIO_LOCK, pfn.0)
}

pub(crate) const fn ptl_obj(mm: MmId, base: Vpn) -> ObjId {
    ObjId::keyed(PTL, ((mm.0 as u64) << 36) | base.0)
}

/// The lock of a PMD table; `base` is the first page it covers, so that the lowest bit is free to tell it from a leaf's.
pub(crate) const fn pmd_lock_obj(mm: MmId, base: Vpn) -> ObjId {
    ObjId::keyed(PTL, ((mm.0 as u64) << 36) | base.0 | 1)
}

pub(crate) const fn anon_vma_obj(id: u32) -> ObjId {
    ObjId::keyed(ANON_VMA, id as u64)
}

pub(crate) const fn slot_obj(slot: u64) -> ObjId {
    ObjId::keyed(SLOT, slot)
}

pub(crate) const fn mapping_obj(inode: u32) -> ObjId {
    ObjId::keyed(MAPPING, inode as u64)
}

/// The lock of one VMA.
pub(crate) const fn vma_lock_obj(mm: MmId, vma: u32) -> ObjId {
    ObjId::keyed(VMA_LOCK, ((mm.0 as u64) << 32) | vma as u64)
}

/// The hugetlb lock of one VMA.
pub(crate) const fn hugetlb_lock_obj(mm: MmId, vma: u32) -> ObjId {
    ObjId::keyed(HUGETLB_LOCK, ((mm.0 as u64) << 32) | vma as u64)
}

/// The lock under which the huge page number `index` of a file is made.
pub(crate) const fn hugetlb_fault_obj(inode: u32, index: u64) -> ObjId {
    ObjId::keyed(HUGETLB_FAULT, ((inode as u64) << 32) | index)
}

/// The locks of one inode.
#[derive(Clone, Copy)]
pub(crate) enum InodeObj {
    IRwsem = 1,
    InvalidateLock = 2,
}

pub(crate) const fn inode_obj(inode: u32, what: InodeObj) -> ObjId {
    ObjId::keyed(INODE, ((inode as u64) << 8) | what as u64)
}

/// The `mmap_lock` of an address space: for whoever looks at what is held.
#[must_use]
pub const fn mmap_lock_obj(mm: MmId) -> ObjId {
    mm_obj(mm, MmObj::MmapLock)
}

/// The CPUs that an address space was used on.
pub(crate) const fn cpumask_obj(mm: MmId) -> ObjId {
    mm_obj(mm, MmObj::Cpumask)
}

/// Whether, and where, a page of a file is in the page cache.
pub(crate) const fn cached_page_obj(inode: u32, pgoff: Pgoff) -> ObjId {
    ObjId::keyed(CACHED_PAGE, ((inode as u64) << 36) | pgoff.0)
}

/// The parts of a machine that all its tasks share.
#[derive(Clone, Copy)]
pub(crate) enum MachineObj {
    ZoneLock = 1,
    /// Which frames reclaim may take: adding one commutes with adding another, not with reclaim's look.
    Lru = 2,
    AllLocksMutex = 3,
    DupMmapSem = 4,
    /// `sb_writers` of proc and sysfs, of the disk's file system, of tmpfs: from here on.
    SbWriters = 5,
    FPosLock = 8,
    MfMutex = 9,
    EventMutex = 10,
    RegisterRwsem = 11,
    OfMutex = 12,
    KernfsActive = 13,
    SplitDebugMutex = 14,
    KsmThreadMutex = 15,
    ShrinkerLock = 16,
    /// Which shrinkers there are.
    Shrinkers = 17,
    /// Which page blocks are free, or have room: taking or freeing a frame commutes with another, not with who looks at blocks.
    Blocks = 18,
}

pub(crate) const fn machine_obj(what: MachineObj) -> ObjId {
    ObjId::keyed(MACHINE, what as u64)
}

/// The parts of one address space.
#[derive(Clone, Copy)]
pub(crate) enum MmObj {
    MmapLock = 1,
    PageTableLock = 2,
    Users = 3,
    Count = 4,
    UffdLock = 5,
    /// What the OOM killer did to it.
    Oom = 6,
    /// `write_protect_seq`.
    WriteProtectSeq = 7,
    /// The CPUs that it ran on.
    Cpumask = 8,
}

pub(crate) const fn mm_obj(mm: MmId, what: MmObj) -> ObjId {
    ObjId::keyed(MM, ((mm.0 as u64) << 8) | what as u64)
}
