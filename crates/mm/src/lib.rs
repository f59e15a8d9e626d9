//! A simulated Linux memory manager: frames, page tables, VMAs, faults, reclaim, and the notifier calls they owe.
//!
//! A [`Machine`] is the memory of one world; an [`Mm`] is one address space on it. Each operation is a file, under the
//! kernel's name:
//!
//! | file | operation | notifier bracket, lock held at it |
//! |---|---|---|
//! | `mmap.rs` | `mmap` | UNMAP of what `MAP_FIXED` replaces; `mmap_lock` W |
//! | `munmap.rs`, `zap.rs` | `munmap` | one UNMAP over the range, however many VMAs; `mmap_lock` R (downgraded) |
//! | `brk.rs` | `brk` | shrinking: as `munmap` |
//! | `mprotect.rs` | `mprotect` | PROTECTION_VMA per VMA, from the first populated PUD entry; `mmap_lock` W |
//! | `mlock.rs`, `populate.rs` | `mlock`, `mlock2`, `munlock`, `mlockall` | those of the faults |
//! | `msync.rs`, `mincore.rs`, `mseal.rs` | what they are named after | none |
//! | `truncate.rs` | `ftruncate`, holes, `pwrite` | CLEAR for each mapping of what goes; `i_mmap_rwsem` R |
//! | `huge.rs`, `huge_fault.rs`, `split_folio.rs`, `collapse.rs`, `collapse_file.rs` | huge pages | CLEAR of the 512 pages |
//! | `hugetlb.rs`, `hugetlb_share.rs` | hugetlb | those of the operation, or CLEAR; widened to whole GiB where PMD tables may be shared |
//! | `mremap.rs` | `mremap` | UNMAP of the old range, twice; of what is replaced or cut off, once; `mmap_lock` W |
//! | `madvise.rs`, `guard.rs` | `madvise` | `DONTNEED`, `FREE`: CLEAR per VMA; `mmap_lock` R |
//! | `fork.rs` | fork | PROTECTION_PAGE per VMA that had private pages; `dup_mmap_sem` R, both `mmap_lock`s W |
//! | `exec.rs` | execve | those of the exit of the old address space |
//! | `fault.rs` | page faults | copy on write: CLEAR of one page; `mmap_lock` R |
//! | `reclaim.rs`, `unmap_batch.rs`, `lru.rs`, `swap.rs`, `kswapd.rs` | reclaim, its flushes, its lists, swap | CLEAR of one page per entry; folio lock, `anon_vma` or `i_mmap` R, no `mmap_lock` |
//! | `shrinker.rs` | what others give back | none of its own; `fs_reclaim`, and what the allocating task holds |
//! | `compaction.rs`, `compact_zone.rs`, `alloc_huge.rs`, `migrate.rs` | compaction, direct compaction for a huge page | CLEAR of one page per entry; folio lock, `anon_vma` or `i_mmap` R, no `mmap_lock` |
//! | `clear_refs.rs` | soft-dirty tracking, page-map scan | SOFT_DIRTY of everything; PROTECTION_VMA; `mmap_lock` W, R |
//! | `uffd.rs` | userfaultfd | PROTECTION_VMA; CLEAR of a page that moves; `mmap_lock` R, or VMA locks |
//! | `file_hole.rs`, `writeback.rs` | truncation, holes, direct writes, writeback | CLEAR, PROTECTION_PAGE; inode locks, `i_mmap` R, no `mmap_lock` |
//! | `dirty_helpers.rs` | dirty tracking of shared mappings for a device | PROTECTION_PAGE of each VMA; `i_mmap` R, no `mmap_lock` |
//! | `numa.rs` | NUMA hinting, `move_pages` | PROTECTION_VMA; CLEAR; `mmap_lock` R, VMA lock, or none |
//! | `oom_kill.rs`, `oom.rs` | OOM killer; its reaper, `process_mrelease` | UNMAP of each private VMA, *nonblocking*; `mmap_lock` R |
//! | `exclusive.rs`, `migrate_device.rs` | device-exclusive and device-private pages | EXCLUSIVE; MIGRATE with owner, CLEAR; `mmap_lock` R |
//! | `memory_failure.rs`, `uprobes.rs` | memory failure; breakpoints | CLEAR of one page; `mf_mutex`, rmap R; `mmap_lock` W |
//! | `ksm.rs` | merging equal pages | CLEAR of one page, twice; `ksm_thread_mutex`, `mmap_lock` R |
//! | `young.rs` | aging | the young hooks, under page-table locks |
//! | `mlock.rs`, `remap.rs` | `mlock`; `remap_file_pages` | none; UNMAP |
//! | `exit.rs` | exit | release, then UNMAP of everything to interval subscribers; `mmap_lock` R |
//! | `gup.rs`, `device.rs` | what drivers call | those of the faults |
//!
//! [`vma`] is the arithmetic of VMAs, without locks or page tables.
//!
//! # Protocol
//! Everything here runs inside a [`ksync::Kernel`]: public calls find it as the current one. Lock order, outermost first:
//! `mmap_lock`, `mm_all_locks_mutex`, folio lock, `i_mmap_rwsem`, `anon_vma`, `page_table_lock`, `ptlock`, `zone->lock`.
//! What changes an entry, a frame or a TLB goes through one accessor each (`page_table.rs`, `frames.rs`, `tlb.rs`), which
//! makes the visible operation and emits the event.
//!
//! This crate knows no driver: drivers are above, subscribe in [`mmu_notifier`], and come back through [`device`] only.

mod access;
mod alloc;
mod alloc_huge;
mod behaviour;
mod blocks;
mod brk;
mod change_pte;
mod clear_refs;
mod collapse;
mod collapse_file;
mod compact_zone;
mod compaction;
mod content;
mod cpu_tlb;
pub mod device;
mod dirty_helpers;
mod exclusive;
mod exec;
mod exit;
mod fault;
mod file;
mod file_hole;
mod file_locks;
mod fork;
mod frames;
mod guard;
mod gup;
mod gup_fast;
mod huge;
mod huge_fault;
mod huge_pud;
mod hugetlb;
mod hugetlb_share;
mod ksm;
mod kswapd;
mod lru;
mod machine;
mod madvise;
mod maps;
mod memory_failure;
mod migrate;
mod migrate_device;
mod mincore;
mod mlock;
mod mm;
mod mmap;
mod mprotect;
mod mremap;
mod mseal;
mod msync;
mod munmap;
mod names;
mod numa;
mod obj;
mod obstacle;
mod oom;
mod oom_kill;
mod page_cache;
mod page_table;
mod pagemap;
mod pagemap_scan;
mod per_task;
mod populate;
mod prctl;
mod quirks;
mod reclaim;
mod reclaim_huge;
mod remap;
mod rmap;
mod shrinker;
mod snapshot;
mod split_folio;
mod swap;
mod tlb;
mod truncate;
mod uffd;
mod unmap_batch;
mod uprobes;
pub mod vma;
mod vma_lock;
mod writeback;
mod young;
mod zap;

pub use behaviour::Behaviour;
pub use compaction::Compacted;
pub use fault::FaultError;
pub use frames::{FrameCounts, HUGE_ZERO_PAGE, ZERO_PAGE};
pub use machine::{DevPagemapOps, Machine, MachineConfig};
pub use madvise::Advice;
pub use migrate_device::Direction;
pub use mlock::{MlockFlags, MlockallFlags};
pub use mm::{Mm, MmUsers};
use mm_types::PageRange;
pub use msync::MsyncFlags;
pub use obj::{frame_obj, mmap_lock_obj, pte_obj, tlb_obj};
pub use obstacle::{Obstacle, Pressure};
pub use oom_kill::{OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN};
pub use pagemap::{PageState, PageView};
pub use pagemap_scan::PageCategories;
pub use quirks::Quirks;
pub use shrinker::{Scan, ShrinkControl, Shrinker, ShrinkerHandle};
pub use uffd::UffdMode;
