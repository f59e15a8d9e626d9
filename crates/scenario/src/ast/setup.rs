//! The machine, the annotations and the address spaces.

use super::Name;
use crate::span::Spanned;
use crate::words::words;
use mm_types::{PageRange, Pgoff, Prot, VirtAddr};
use std::collections::BTreeSet;

/// `machine { .. }`. An absent setting is the default of whoever runs the scenario.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    /// CPUs, 1 to 64.
    pub cpus: Option<Spanned<u32>>,
    /// Memory in bytes, a positive multiple of the page size.
    pub memory_bytes: Option<Spanned<u64>>,
    /// Swap in bytes, a multiple of the page size; 0 is none.
    pub swap_bytes: Option<Spanned<u64>>,
    /// Seed of every random stream.
    pub seed: Option<Spanned<u64>>,
    /// Whether a task reclaims in the background.
    pub kswapd: Option<Spanned<Switch>>,
    /// Whether an allocation that reclaim cannot serve kills a process.
    pub oom_killer: Option<Spanned<Switch>>,
    /// Whether the schedule decides of each allocation whether it fails.
    pub failures: Option<Spanned<Switch>>,
    /// Visible operations after which a run is cut, at least 1.
    pub max_steps: Option<Spanned<u64>>,
    /// Which values a load of a word may see.
    pub memory_model: Option<Spanned<MemoryModel>>,
}

/// `annotations { .. }`. An absent setting is that of the kernel preset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Annotations {
    /// The lockdep map around `invalidate_range_start`.
    pub range_start: Option<Spanned<RangeStartMap>>,
    /// The lockdep map around `invalidate_range_end`.
    pub range_end: Option<Spanned<RangeEndMap>>,
    /// Whose start hooks are wrapped.
    pub wrap_start: Option<Spanned<Wrap>>,
    /// Whose end hooks are wrapped.
    pub wrap_end: Option<Spanned<Wrap>>,
    /// Where the map is taken once in advance, so that a dependency is known before it is needed.
    pub prime: Option<Spanned<BTreeSet<Prime>>>,
    /// Which waits acquire and release the map first.
    pub touch: Option<Spanned<BTreeSet<TouchPoint>>>,
    /// The lockdep maps around the callbacks that are neither start nor end.
    pub other_callbacks: Option<Spanned<OtherMaps>>,
    /// Whether SRCU read sections are known to the validator.
    pub srcu: Option<Spanned<SrcuChecking>>,
}

words! {
    /// A kernel to behave like.
    pub enum KernelPreset {
        /// Linux 6.12.
        V6_12 = "6.12",
        /// Linux 6.1.
        V6_1 = "6.1",
    }

    /// Which lockdep maps wrap `release`, the aging and the secondary-TLB callbacks.
    pub enum OtherMaps {
        /// None.
        None = "none",
        /// That of the start hooks.
        Shared = "shared",
        /// One each.
        Own = "own",
    }

    /// Which lockdep map wraps the start hooks.
    pub enum RangeStartMap {
        /// None.
        None = "none",
        /// One for all address spaces.
        Global = "global",
        /// One per address space, all of one class.
        PerMm = "per_mm",
        /// One per address space, each of a class of its own.
        PerMmClass = "per_mm_class",
    }

    /// Which lockdep map wraps the end hooks.
    pub enum RangeEndMap {
        /// None.
        None = "none",
        /// That of the start hooks.
        Shared = "shared",
        /// One of its own.
        Own = "own",
    }

    /// Whose hooks are wrapped.
    pub enum Wrap {
        /// Those of every address space.
        Always = "always",
        /// Those of address spaces that have a subscriber.
        Subscribed = "subscribed",
    }

    /// Where the start map is primed.
    pub enum Prime {
        /// At registration of a subscriber.
        Registration = "registration",
        /// Under `mm_take_all_locks`.
        TakeAllLocks = "take_all_locks",
        /// On entering `fs_reclaim`.
        FsReclaim = "fs_reclaim",
    }

    /// Which waits touch the start map.
    pub enum TouchPoint {
        /// `mmu_interval_read_begin`.
        ReadBegin = "read_begin",
        /// `mmu_interval_notifier_remove`.
        Remove = "remove",
    }

    /// Whether the validator sees SRCU.
    pub enum SrcuChecking {
        /// It does.
        Checked = "checked",
        /// It does not.
        Unchecked = "unchecked",
    }

    /// How weak the memory is that words are in.
    pub enum MemoryModel {
        /// Sequentially consistent.
        Sc = "sc",
        /// Total store order, that of x86.
        Tso = "tso",
        /// What Linux promises on every architecture.
        Relaxed = "relaxed",
    }

    /// Whether something is there.
    pub enum Switch {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }

    /// Whether stores go to the object or to a private copy.
    pub enum Sharing {
        /// To a private copy (`MAP_PRIVATE`), the default.
        Private = "private",
        /// To the object (`MAP_SHARED`).
        Shared = "shared",
    }
}

/// `mm NAME { .. }`: an address space as it is before the tasks start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mm {
    /// Its name.
    pub name: Name,
    /// Its mappings; no two overlap.
    pub vmas: Vec<Spanned<Vma>>,
    /// Where the heap starts; absent: the default of whoever runs it.
    pub brk: Option<Spanned<VirtAddr>>,
    /// Pages faulted in beforehand, each inside the mappings.
    pub touches: Vec<Spanned<PageRange>>,
    /// It is not there before a task forks it.
    pub forked: bool,
}

/// `vma RANGE PROT BACKING`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vma {
    /// The pages.
    pub range: Spanned<PageRange>,
    /// What user space may do with them.
    pub prot: Spanned<Prot>,
    /// What they show.
    pub mapping: Spanned<Mapping>,
}

/// What a mapping shows, and to whom its stores go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The object.
    pub backing: Backing,
    /// Private unless said.
    pub sharing: Sharing,
}

/// The object a mapping shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing {
    /// `anon`
    Anon,
    /// `file "NAME" [offset BYTES]`, `shmem "NAME" [offset BYTES]`
    File {
        /// The file's name; equal names are one file.
        name: Spanned<String>,
        /// Where in the file the mapping starts, in pages (written in bytes); 0 unless said.
        offset: Pgoff,
        /// `shmem "NAME"`: a file of a memory file system.
        shmem: bool,
    },
    /// `hugetlb ["NAME" [offset BYTES]]`: huge pages only, each of 2 MiB, to which all ranges must be aligned.
    Hugetlb {
        /// The file's name on hugetlbfs; absent: memory of its own.
        name: Option<Spanned<String>>,
        /// Where in the file the mapping starts, in pages.
        offset: Pgoff,
    },
    /// `dax "NAME" [offset BYTES]`: memory of a device, mapped a GiB at a time, to which all ranges must be aligned. Always
    /// shared.
    Dax {
        /// The device's name; equal names are one device.
        name: Spanned<String>,
        /// Where in the device the mapping starts, in pages.
        offset: Pgoff,
    },
}
