//! Virtual memory areas as values: which pages of an address space are mapped, how, and onto what.
//!
//! This module is arithmetic only. It takes no lock, emits no event and knows no page table; whoever owns an address
//! space calls it with `mmap_lock` held for writing and does the rest (zapping, notifiers, accounting) between its steps.
//!
//! Key types: [`Vma`], one mapping; [`VmaTree`], the mappings of one address space; [`MmapArgs`] and [`Placement`], from
//! system call arguments to a range; [`Mprotect`], the walk of one `mprotect`; [`BrkPlan`], what a `brk` asks for;
//! [`MapsLine`], the text of /proc/PID/maps.
//!
//! One operation is one file, and each is a sequence the caller can put its own work into:
//!
//! | call | steps |
//! |---|---|
//! | `mmap` | [`MmapArgs::plan`], [`VmaTree::gather`], (zap), [`VmaTree::remove_gathered`], [`VmaTree::map_new`] |
//! | `munmap` | [`munmap_range`], [`VmaTree::gather`], (zap), [`VmaTree::remove_gathered`] |
//! | `mprotect` | [`Mprotect::new`], then [`Mprotect::step`] until `None`, (change the entries of each step) |
//! | `mremap` | [`Mremap::new`], [`Mremap::plan`], (unmap what is in the way), [`Mremap::target`], [`VmaTree::copy_vma`], (move the entries), (unmap the old range) |
//! | `brk` | [`VmaTree::plan_brk`], then as `munmap`, or [`VmaTree::brk_expand`] |
//! | a fault | [`VmaTree::find`], [`VmaTree::expand_downwards`] below a stack, [`VmaTree::anon_vma_prepare`] |
//!
//! # Identity
//! A VMA is reached by an address. Its [`VmaId`] follows the kernel's object: a split makes a new VMA out of the same
//! side as the kernel does, a merge removes the same one. Every step that alters VMAs returns [`VmaChanges`], in order,
//! so that a reverse map or a lock table can follow.
//!
//! # Not modelled
//! Memory policies, userfaultfd contexts, names of anonymous VMAs, `vm_ops->close`, shadow stacks, huge TLB mappings: none of
//! them occurs in the recordings this is checked against.
//!
//! Source of the rules: mm/vma.c, mm/mmap.c and mm/mprotect.c of Linux 6.12, and of later kernels where an item says so;
//! checked against recordings of 6.18 (`shootdown mm check`).

mod anon;
mod area;
mod brk;
mod change;
mod gap;
mod map;
mod maps;
mod merge;
mod mmap;
mod modify;
mod mprotect;
mod mremap;
mod munmap;
mod placement;
mod split;
mod stack;
mod tree;

#[cfg(test)]
mod tests;

pub use area::{AnonLink, AnonVmaId, FileId, Vma, VmaId, VmaKind};
pub use brk::{Brk, BrkPlan};
pub use change::{VmaChange, VmaChanges};
pub use maps::{FileText, LoadError, Loaded, MapsLine, MapsNames};
pub use merge::AnonMergeRule;
pub use mmap::{MapFlags, Mapped, MmapArgs, MmapBacking, MmapPlan, NewMapping};
pub use modify::Modified;
pub use mprotect::{Mprotect, MprotectStep, ProtFlags};
pub use mremap::{Copied, Mremap, MremapFlags, MremapPlan};
pub use munmap::{Gathered, munmap_range};
pub use placement::Placement;
pub use stack::STACK_GUARD_GAP;
pub use tree::{DEFAULT_MAX_MAP_COUNT, VmaTree};
