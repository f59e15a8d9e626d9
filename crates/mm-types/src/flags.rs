//! Flag sets: protections, VMA flags, allocation flags.

use bitflags::bitflags;
use std::fmt;

bitflags! {
    /// What a mapping allows: the `PROT_*` bits.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
    pub struct Prot: u8 {
        /// `PROT_READ`.
        const READ = 1;
        /// `PROT_WRITE`.
        const WRITE = 2;
        /// `PROT_EXEC`.
        const EXEC = 4;
    }
}

impl fmt::Display for Prot {
    /// `rwx` with `-` for what is missing, as in /proc/PID/maps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, c) in [(Prot::READ, 'r'), (Prot::WRITE, 'w'), (Prot::EXEC, 'x')] {
            write!(f, "{}", if self.contains(bit) { c } else { '-' })?;
        }
        Ok(())
    }
}

bitflags! {
    /// The `VM_*` flags of a VMA. Bit values are our own; names are the kernel's (include/linux/mm.h, 6.12).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
    pub struct VmFlags: u64 {
        /// May be read now.
        const READ = 1;
        /// May be written now.
        const WRITE = 1 << 1;
        /// May be executed now.
        const EXEC = 1 << 2;
        /// Stores go to the object, not to a private copy.
        const SHARED = 1 << 3;
        /// `mprotect` may add read.
        const MAYREAD = 1 << 4;
        /// `mprotect` may add write.
        const MAYWRITE = 1 << 5;
        /// `mprotect` may add execute.
        const MAYEXEC = 1 << 6;
        /// The object may be shared (a file opened for writing, or anonymous shared memory).
        const MAYSHARE = 1 << 7;
        /// A stack: grows down on a fault below it.
        const GROWSDOWN = 1 << 8;
        /// Counted in the commit limit.
        const ACCOUNT = 1 << 9;
        /// `MAP_NORESERVE`.
        const NORESERVE = 1 << 10;
        /// Pages are locked in memory.
        const LOCKED = 1 << 11;
        /// A pure PFN mapping, without page structs behind it (vdso data and the like).
        const PFNMAP = 1 << 12;
        /// Not copied by fork.
        const DONTCOPY = 1 << 13;
        /// Must not be expanded or merged (`VM_DONTEXPAND`).
        const DONTEXPAND = 1 << 14;
        /// Not in core dumps.
        const DONTDUMP = 1 << 15;
        /// Cleared in the child at fork.
        const WIPEONFORK = 1 << 16;
        /// `MADV_HUGEPAGE`.
        const HUGEPAGE = 1 << 17;
        /// `MADV_NOHUGEPAGE`.
        const NOHUGEPAGE = 1 << 18;
        /// `MADV_MERGEABLE`.
        const MERGEABLE = 1 << 19;
        /// `MADV_SEQUENTIAL`.
        const SEQ_READ = 1 << 20;
        /// `MADV_RANDOM`.
        const RAND_READ = 1 << 21;
        /// `mseal`ed.
        const SEALED = 1 << 22;
        /// Soft-dirty tracking bit of the VMA.
        const SOFTDIRTY = 1 << 23;
        /// With `LOCKED`: pages are locked when they are faulted in (`VM_LOCKONFAULT`).
        const LOCKONFAULT = 1 << 24;
        /// Guard pages were installed somewhere in it once (`VM_MAYBE_GUARD`, later releases of 6.18).
        const MAYBE_GUARD = 1 << 25;
        /// `MAP_DROPPABLE`: pages may be dropped under pressure.
        const DROPPABLE = 1 << 26;
        /// Registered with userfaultfd for missing pages.
        const UFFD_MISSING = 1 << 27;
        /// Registered with userfaultfd for write protection.
        const UFFD_WP = 1 << 28;
        /// `VM_HUGETLB`: huge pages only.
        const HUGETLB = 1 << 29;
        /// Memory of a device, mapped a GiB at a time (`vma_is_dax()`; no `VM_*` flag of the kernel's).
        const DAX = 1 << 30;
    }
}

impl VmFlags {
    /// The access bits as protections.
    #[must_use]
    pub fn prot(self) -> Prot {
        Prot::from_bits_truncate((self.bits() & 7) as u8)
    }

    /// Protections as access bits.
    #[must_use]
    pub fn from_prot(prot: Prot) -> VmFlags {
        VmFlags::from_bits_truncate(u64::from(prot.bits()))
    }

    /// Both bits of locking (`VM_LOCKED_MASK`).
    pub const LOCKED_MASK: VmFlags = VmFlags::LOCKED.union(VmFlags::LOCKONFAULT);

    /// A private mapping that may be written: the only kind that copies on write.
    #[must_use]
    pub fn is_cow(self) -> bool {
        self & (VmFlags::SHARED | VmFlags::MAYWRITE) == VmFlags::MAYWRITE
    }
}

bitflags! {
    /// Allocation flags: the bits of `gfp_t` that change what an allocation may do (include/linux/gfp_types.h, 6.12).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
    pub struct Gfp: u16 {
        /// `__GFP_DIRECT_RECLAIM`: the caller may reclaim by itself, so it may sleep.
        const DIRECT_RECLAIM = 1;
        /// `__GFP_KSWAPD_RECLAIM`: may wake kswapd.
        const KSWAPD_RECLAIM = 2;
        /// `__GFP_IO`: may start physical I/O.
        const IO = 4;
        /// `__GFP_FS`: may call down to the file system.
        const FS = 8;
        /// `__GFP_HIGH`: may use part of the reserves.
        const HIGH = 16;
        /// `__GFP_NOFAIL`: retries for ever.
        const NOFAIL = 32;
        /// `__GFP_NORETRY`: gives up early.
        const NORETRY = 64;
        /// `__GFP_ZERO`: zeroed page.
        const ZERO = 128;
        /// `__GFP_NOLOCKDEP`: leaves the reclaim maps alone.
        const NOLOCKDEP = 256;
        /// `__GFP_MOVABLE`: the page may be migrated.
        const MOVABLE = 512;
        /// `__GFP_RECLAIM`: both reclaim bits.
        const RECLAIM = 1 | 2;
        /// `GFP_KERNEL`.
        const KERNEL = 1 | 2 | 4 | 8;
        /// `GFP_NOFS`.
        const NOFS = 1 | 2 | 4;
        /// `GFP_NOIO`.
        const NOIO = 1 | 2;
        /// `GFP_ATOMIC`.
        const ATOMIC = 16 | 2;
        /// `GFP_NOWAIT`.
        const NOWAIT = 2;
        /// `GFP_HIGHUSER_MOVABLE` as far as modelled: what user pages are allocated with.
        const USER = 1 | 2 | 4 | 8 | 512;
    }
}

impl Gfp {
    /// Whether such an allocation may sleep (`gfpflags_allow_blocking()`).
    #[must_use]
    pub fn may_block(self) -> bool {
        self.contains(Gfp::DIRECT_RECLAIM)
    }

    /// The flag words a scenario may write, with their values.
    pub const WORDS: [(&'static str, Gfp); 5] = [
        ("GFP_KERNEL", Gfp::KERNEL),
        ("GFP_NOFS", Gfp::NOFS),
        ("GFP_NOIO", Gfp::NOIO),
        ("GFP_ATOMIC", Gfp::ATOMIC),
        ("GFP_NOWAIT", Gfp::NOWAIT),
    ];
}

impl fmt::Display for Gfp {
    /// The kernel's word where there is one, else the bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Gfp::WORDS.iter().find(|(_, g)| g == self) {
            Some((word, _)) => f.write_str(word),
            None if *self == Gfp::USER => f.write_str("GFP_HIGHUSER_MOVABLE"),
            None => bitflags::parser::to_writer(self, f),
        }
    }
}
