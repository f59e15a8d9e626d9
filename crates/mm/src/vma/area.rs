//! One VMA.

use super::stack::STACK_GUARD_GAP;
use mm_types::{Errno, Name, PageRange, Pgoff, VmFlags, Vpn};
use std::num::NonZeroU32;

/// A VMA of one tree, as the kernel's `struct vm_area_struct` has an address: never reused within the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VmaId(pub u32);

/// An open file (`struct file`), not an inode: opened twice is two ids, and their mappings do not merge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u32);

/// An `anon_vma`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AnonVmaId(NonZeroU32);

impl AnonVmaId {
    /// Number `n`, from 1 on.
    ///
    /// # Panics
    /// For 0.
    #[must_use]
    pub fn new(n: u32) -> AnonVmaId {
        AnonVmaId(NonZeroU32::new(n).unwrap_or_else(|| panic!("an anon_vma is number 0")))
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// What a VMA knows of its anonymous pages once it has had any.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AnonLink {
    /// `vma->anon_vma`.
    pub anon_vma: AnonVmaId,
    /// `vma->anon_vma_chain` has one entry: not inherited over a fork.
    pub singular: bool,
}

impl AnonLink {
    /// The link of a VMA that met its first anonymous page here.
    #[must_use]
    pub const fn own(anon_vma: AnonVmaId) -> AnonLink {
        AnonLink { anon_vma, singular: true }
    }

    /// The link of a VMA whose chain also leads to a parent's pages.
    #[must_use]
    pub const fn inherited(anon_vma: AnonVmaId) -> AnonLink {
        AnonLink { anon_vma, singular: false }
    }
}

/// What is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VmaKind {
    /// Private anonymous memory (`vma_is_anonymous()`), heap and stack included.
    Anon,
    /// A file, shared or private. Shared anonymous memory is one too: a shmem file of its own for each `mmap`.
    File(FileId),
    /// A mapping the kernel installs, under its own name (`[vdso]`, `[vvar]`).
    Special(Name),
}

/// Consecutive pages mapped in one way onto consecutive pages of one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vma {
    pub(super) range: PageRange,
    pub(super) pgoff: Pgoff,
    pub(super) flags: VmFlags,
    pub(super) kind: VmaKind,
    pub(super) anon: Option<AnonLink>,
    pub(super) id: VmaId,
}

// The budget for an untouched VMA, beyond its key in the tree.
const _: () = assert!(size_of::<Vma>() <= 64);

impl Vma {
    /// Which VMA it is.
    #[must_use]
    pub const fn id(&self) -> VmaId {
        self.id
    }

    /// The pages mapped.
    #[must_use]
    pub const fn range(&self) -> PageRange {
        self.range
    }

    /// First page.
    #[must_use]
    pub const fn start(&self) -> Vpn {
        self.range.start()
    }

    /// One past the last page.
    #[must_use]
    pub const fn end(&self) -> Vpn {
        self.range.end()
    }

    /// The `VM_*` flags.
    #[must_use]
    pub const fn flags(&self) -> VmFlags {
        self.flags
    }

    /// What is mapped.
    #[must_use]
    pub const fn kind(&self) -> VmaKind {
        self.kind
    }

    /// The object's page behind the first page (`vm_pgoff`). Of private anonymous memory: the address it was created
    /// at, in pages, which a move does not change once the VMA has an [`AnonLink`].
    #[must_use]
    pub const fn pgoff(&self) -> Pgoff {
        self.pgoff
    }

    /// The anonymous pages' link, if the VMA ever had any.
    #[must_use]
    pub const fn anon(&self) -> Option<AnonLink> {
        self.anon
    }

    /// The object's page behind `vpn` (`linear_page_index()`).
    ///
    /// # Panics
    /// When `vpn` is below the VMA.
    #[must_use]
    pub fn pgoff_at(&self, vpn: Vpn) -> Pgoff {
        assert!(vpn >= self.start(), "page {vpn} is below the VMA {}", self.range);
        self.pgoff + (vpn - self.start())
    }

    /// Private anonymous memory (`vma_is_anonymous()`).
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.kind == VmaKind::Anon
    }

    /// May be accessed in some way (`vma_is_accessible()`).
    #[must_use]
    pub fn is_accessible(&self) -> bool {
        self.flags.intersects(VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC)
    }

    /// A mapping that must be neither merged nor expanded (`VM_SPECIAL`).
    #[must_use]
    pub fn is_special(&self) -> bool {
        self.flags.intersects(VM_SPECIAL)
    }

    /// Whether it may be split at `at` (`vm_ops->may_split()`).
    ///
    /// # Errors
    /// `EINVAL` inside of a page of hugetlb, or of a GiB of a device (`dev_dax_may_split()`).
    pub(super) fn check_split(&self, at: Vpn) -> Result<(), Errno> {
        let inside = |flag, pages| self.flags.contains(flag) && !at.0.is_multiple_of(pages);
        if inside(VmFlags::HUGETLB, 512) || inside(VmFlags::DAX, 1 << 18) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Its pages, if they are locked.
    pub(super) const fn locked_pages(&self) -> u64 {
        if self.flags.contains(VmFlags::LOCKED) { self.range.nr_pages() } else { 0 }
    }

    /// The lowest page placement must leave free below it (`vm_start_gap()`): the guard gap of a stack.
    #[must_use]
    pub fn start_gap(&self) -> Vpn {
        let gap = if self.flags.contains(VmFlags::GROWSDOWN) { STACK_GUARD_GAP } else { 0 };
        Vpn(self.start().0.saturating_sub(gap))
    }
}

/// Flags that keep a VMA from being merged. Source: `VM_SPECIAL`, include/linux/mm.h, 6.12.
pub(super) const VM_SPECIAL: VmFlags = VmFlags::PFNMAP.union(VmFlags::DONTEXPAND);
