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
//! | `huge.rs`, `huge_fault.rs`, `split_folio.rs`, `collapse.rs` | huge pages | CLEAR of the 512 pages |
//! | `mremap.rs` | `mremap` | UNMAP of the old range, twice; of what is replaced or cut off, once; `mmap_lock` W |
//! | `madvise.rs`, `guard.rs` | `madvise` | `DONTNEED`, `FREE`: CLEAR per VMA; `mmap_lock` R |
//! | `fork.rs` | fork | PROTECTION_PAGE per VMA that had private pages; `dup_mmap_sem` R, both `mmap_lock`s W |
//! | `exec.rs` | execve | those of the exit of the old address space |
//! | `fault.rs` | page faults | copy on write: CLEAR of one page; `mmap_lock` R |
//! | `reclaim.rs`, `swap.rs`, `kswapd.rs` | reclaim, swap | CLEAR of one page per entry; folio lock, `anon_vma` or `i_mmap` R, no `mmap_lock` |
//! | `compaction.rs`, `migrate.rs` | compaction | CLEAR of one page per entry; folio lock, `anon_vma` or `i_mmap` R, no `mmap_lock` |
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
mod brk;
mod collapse;
mod compaction;
pub mod device;
mod exec;
mod exit;
mod fault;
mod file;
mod fork;
mod frames;
mod guard;
mod gup;
mod huge;
mod huge_fault;
mod kswapd;
mod machine;
mod madvise;
mod maps;
mod migrate;
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
mod obj;
mod page_cache;
mod page_table;
mod pagemap;
mod per_task;
mod populate;
mod quirks;
mod reclaim;
mod rmap;
mod split_folio;
mod swap;
mod tlb;
mod truncate;
pub mod vma;
mod zap;

pub use compaction::Compacted;
pub use fault::FaultError;
pub use frames::{FrameCounts, HUGE_ZERO_PAGE, ZERO_PAGE};
pub use machine::{Machine, MachineConfig};
pub use madvise::Advice;
pub use mlock::{MlockFlags, MlockallFlags};
pub use mm::{Mm, MmUsers};
use mm_types::PageRange;
pub use msync::MsyncFlags;
pub use obj::{frame_obj, pte_obj, tlb_obj};
pub use pagemap::{PageState, PageView};
pub use quirks::Quirks;
