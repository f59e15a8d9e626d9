//! Mapping. Linux: `do_mmap()`, `mmap_region()`.

use super::merge::Candidate;
use super::{FileId, Placement, Vma, VmaChange, VmaChanges, VmaKind, VmaTree};
use bitflags::bitflags;
use mm_types::{Errno, PAGE_SHIFT, PAGE_SIZE, PageRange, Pgoff, Prot, VirtAddr, VmFlags};

bitflags! {
    /// The flags argument of `mmap`. Bit values are Linux's on x86-64 (include/uapi/asm-generic/mman*.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MapFlags: u32 {
        /// `MAP_SHARED`.
        const SHARED = 0x1;
        /// `MAP_PRIVATE`.
        const PRIVATE = 0x2;
        /// `MAP_SHARED_VALIDATE`: both bits.
        const SHARED_VALIDATE = 0x3;
        /// `MAP_DROPPABLE`.
        const DROPPABLE = 0x8;
        /// `MAP_FIXED`.
        const FIXED = 0x10;
        /// `MAP_ANONYMOUS`.
        const ANONYMOUS = 0x20;
        /// `MAP_32BIT`; without effect here.
        const LOW_32BIT = 0x40;
        /// `MAP_GROWSDOWN`.
        const GROWSDOWN = 0x100;
        /// `MAP_DENYWRITE`; without effect since Linux 5.14.
        const DENYWRITE = 0x800;
        /// `MAP_EXECUTABLE`; without effect.
        const EXECUTABLE = 0x1000;
        /// `MAP_LOCKED`.
        const LOCKED = 0x2000;
        /// `MAP_NORESERVE`.
        const NORESERVE = 0x4000;
        /// `MAP_POPULATE`.
        const POPULATE = 0x8000;
        /// `MAP_NONBLOCK`.
        const NONBLOCK = 0x1_0000;
        /// `MAP_STACK`: no huge pages.
        const STACK = 0x2_0000;
        /// `MAP_HUGETLB`.
        const HUGETLB = 0x4_0000;
        /// `MAP_SYNC`.
        const SYNC = 0x8_0000;
        /// `MAP_FIXED_NOREPLACE`.
        const FIXED_NOREPLACE = 0x10_0000;
    }
}

impl MapFlags {
    const TYPE: MapFlags = MapFlags::from_bits_retain(0xf);
    /// What every kernel ignores when it does not know it; with `MAP_SHARED_VALIDATE` anything else is refused.
    /// Source: `LEGACY_MAP_MASK`, include/linux/mman.h, 6.12.
    const LEGACY: MapFlags = MapFlags::SHARED_VALIDATE
        .union(MapFlags::FIXED)
        .union(MapFlags::ANONYMOUS)
        .union(MapFlags::LOW_32BIT)
        .union(MapFlags::GROWSDOWN)
        .union(MapFlags::DENYWRITE)
        .union(MapFlags::EXECUTABLE)
        .union(MapFlags::LOCKED)
        .union(MapFlags::NORESERVE)
        .union(MapFlags::POPULATE)
        .union(MapFlags::NONBLOCK)
        .union(MapFlags::STACK)
        .union(MapFlags::HUGETLB);
}

/// The file behind the descriptor argument of `mmap`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmapBacking {
    /// No valid descriptor.
    None,
    /// An open file.
    File {
        /// Which.
        file: FileId,
        /// Opened for reading.
        readable: bool,
        /// Opened for writing.
        writable: bool,
    },
}

/// The arguments of one `mmap`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmapArgs {
    /// Address or hint; 0 is none.
    pub addr: VirtAddr,
    /// Length; rounded up to pages.
    pub len_bytes: u64,
    /// Protections.
    pub prot: Prot,
    /// Flags.
    pub flags: MapFlags,
    /// The file; ignored with `MAP_ANONYMOUS`.
    pub backing: MmapBacking,
    /// Offset in the file, bytes.
    pub offset_bytes: u64,
}

/// A mapping to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewMapping {
    /// Where.
    pub range: PageRange,
    /// `VM_*` flags.
    pub flags: VmFlags,
    /// Of what.
    pub kind: VmaKind,
    /// The object's page behind the first page.
    pub pgoff: Pgoff,
}

/// What an `mmap` is going to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmapPlan {
    /// The mapping; what is mapped in its range now is unmapped first.
    pub mapping: NewMapping,
    /// The pages are faulted in before the call returns.
    pub populate: bool,
}

/// What mapping did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// The VMA that has the pages; larger than asked for after a merge.
    pub vma: Vma,
    /// The alterations, in order.
    pub changes: VmaChanges,
}

impl MmapArgs {
    /// Checks the arguments and chooses the pages; alters nothing. `shmem` names the object that a shared anonymous
    /// mapping creates, and is called for nothing else. `def_flags` is `mm->def_flags`.
    ///
    /// # Errors
    /// In the kernel's order: `EINVAL` offset not page aligned; `EBADF` no file; `EINVAL` length 0; `ENOMEM` length
    /// overflows; `ENOMEM` above [`VmaTree::max_map_count`]; `ENOMEM`, `EINVAL`, `EPERM` for the place
    /// ([`Placement`]); `EEXIST` something is mapped (`MAP_FIXED_NOREPLACE`); `EOVERFLOW` offset too large; `EACCES`
    /// file opened otherwise; `EINVAL` no type, or a stack that is not private anonymous; `EOPNOTSUPP` what is not
    /// modelled (`MAP_HUGETLB`) and flags unknown to `MAP_SHARED_VALIDATE`; `EAGAIN` when more would be locked than may
    /// be, `EPERM` when nothing may be.
    ///
    /// Source: `ksys_mmap_pgoff()`, `do_mmap()`, mm/mmap.c, 6.12.
    pub fn plan(
        &self,
        tree: &VmaTree,
        placement: &Placement,
        def_flags: VmFlags,
        shmem: impl FnOnce() -> FileId,
    ) -> Result<MmapPlan, Errno> {
        if !self.offset_bytes.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let anonymous = self.flags.contains(MapFlags::ANONYMOUS);
        if self.flags.contains(MapFlags::HUGETLB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if !anonymous && self.backing == MmapBacking::None {
            return Err(Errno::EBADF);
        }
        let nr_pages = page_count(self.len_bytes)?;
        if tree.map_count() > tree.max_map_count() {
            return Err(Errno::ENOMEM);
        }
        let range = self.place(tree, placement, nr_pages)?;
        let common = self.common_flags() | def_flags;
        if self.flags.contains(MapFlags::LOCKED) && tree.memlock_pages() == 0 {
            return Err(Errno::EPERM);
        }
        if !tree.mlock_future_ok(common, nr_pages) {
            return Err(Errno::EAGAIN);
        }
        let mut mapping = match self.backing {
            MmapBacking::File { file, readable, writable } if !anonymous => {
                self.file_mapping(range, common, file, readable, writable)?
            }
            _ => self.anon_mapping(range, common, shmem)?,
        };
        if self.flags.contains(MapFlags::NORESERVE) {
            mapping.flags |= VmFlags::NORESERVE;
        }
        if is_accountable(mapping.flags) {
            mapping.flags |= VmFlags::ACCOUNT;
        }
        let populate = mapping.flags.contains(VmFlags::LOCKED)
            || self.flags & (MapFlags::POPULATE | MapFlags::NONBLOCK) == MapFlags::POPULATE;
        Ok(MmapPlan { mapping, populate })
    }

    fn place(&self, tree: &VmaTree, placement: &Placement, nr_pages: u64) -> Result<PageRange, Errno> {
        if self.flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE) {
            let range = placement.fixed(self.addr, nr_pages)?;
            let taken = tree.find_first_intersection(range).is_some();
            return if taken && self.flags.contains(MapFlags::FIXED_NOREPLACE) {
                Err(Errno::EEXIST)
            } else {
                Ok(range)
            };
        }
        // Shared anonymous memory and files are placed by their file system, which does not align.
        let private_anon = self.flags & (MapFlags::ANONYMOUS | MapFlags::SHARED) == MapFlags::ANONYMOUS;
        placement.unmapped_area(tree, placement.round_hint(self.addr), nr_pages, private_anon)
    }

    fn common_flags(&self) -> VmFlags {
        let mut flags = VmFlags::from_prot(self.prot) | VmFlags::MAYREAD | VmFlags::MAYWRITE | VmFlags::MAYEXEC;
        for (map, vm) in [
            (MapFlags::GROWSDOWN, VmFlags::GROWSDOWN),
            (MapFlags::LOCKED, VmFlags::LOCKED),
            (MapFlags::STACK, VmFlags::NOHUGEPAGE),
        ] {
            flags.set(vm, self.flags.contains(map));
        }
        flags
    }

    fn file_mapping(
        &self,
        range: PageRange,
        mut flags: VmFlags,
        file: FileId,
        readable: bool,
        writable: bool,
    ) -> Result<NewMapping, Errno> {
        let pgoff = Pgoff(self.offset_bytes >> PAGE_SHIFT);
        let max_bytes = i64::MAX as u64;
        if range.nr_pages() * PAGE_SIZE > max_bytes
            || pgoff.0 > (max_bytes - range.nr_pages() * PAGE_SIZE) >> PAGE_SHIFT
        {
            return Err(Errno::EOVERFLOW);
        }
        let kind = self.flags & MapFlags::TYPE;
        if kind == MapFlags::SHARED_VALIDATE && !MapFlags::LEGACY.contains(self.flags) {
            return Err(Errno::EOPNOTSUPP);
        }
        if kind == MapFlags::SHARED || kind == MapFlags::SHARED_VALIDATE {
            if self.prot.contains(Prot::WRITE) && !writable {
                return Err(Errno::EACCES);
            }
            flags |= VmFlags::SHARED | VmFlags::MAYSHARE;
            if !writable {
                flags.remove(VmFlags::MAYWRITE | VmFlags::SHARED);
            }
        } else if kind != MapFlags::PRIVATE {
            return Err(Errno::EINVAL);
        }
        if !readable {
            return Err(Errno::EACCES);
        }
        if flags.contains(VmFlags::GROWSDOWN) {
            return Err(Errno::EINVAL);
        }
        Ok(NewMapping { range, flags, kind: VmaKind::File(file), pgoff })
    }

    fn anon_mapping(
        &self,
        range: PageRange,
        flags: VmFlags,
        shmem: impl FnOnce() -> FileId,
    ) -> Result<NewMapping, Errno> {
        let kind = self.flags & MapFlags::TYPE;
        if kind == MapFlags::PRIVATE {
            // The offset tells where the pages were first, so that neighbours continue each other.
            return Ok(NewMapping { range, flags, kind: VmaKind::Anon, pgoff: Pgoff(range.start().0) });
        }
        if kind == MapFlags::DROPPABLE {
            if flags.intersects(VmFlags::LOCKED | VmFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            let droppable = VmFlags::DROPPABLE | VmFlags::NORESERVE | VmFlags::WIPEONFORK | VmFlags::DONTDUMP;
            let flags = flags | droppable;
            return Ok(NewMapping { range, flags, kind: VmaKind::Anon, pgoff: Pgoff(range.start().0) });
        }
        if kind != MapFlags::SHARED || flags.contains(VmFlags::GROWSDOWN) {
            return Err(Errno::EINVAL);
        }
        let flags = flags | VmFlags::SHARED | VmFlags::MAYSHARE;
        Ok(NewMapping { range, flags, kind: VmaKind::File(shmem()), pgoff: Pgoff(0) })
    }
}

impl VmaTree {
    /// Maps free pages: a neighbour grows over them, or a VMA is added.
    ///
    /// # Panics
    /// When a page of the range is mapped.
    ///
    /// Source: `__mmap_region()` from `vma_merge_new_range()` on, mm/mmap.c, 6.12.
    pub fn map_new(&mut self, new: NewMapping) -> Mapped {
        let NewMapping { range, flags, kind, pgoff } = new;
        assert!(self.find_first_intersection(range).is_none(), "{range} is mapped already");
        let mut changes = VmaChanges::new();
        let candidate = Candidate { range, pgoff, flags, kind, anon: None };
        if let Some(vma) = self.merge_new(&candidate, false, &mut changes) {
            return Mapped { vma, changes };
        }
        let id = self.insert(range, flags, kind, pgoff, None);
        changes.push(VmaChange::Created { vma: id, range, split_from: None });
        Mapped { vma: Vma { range, pgoff, flags, kind, anon: None, id }, changes }
    }
}

/// Private writable memory counts in the commit limit. Source: `accountable_mapping()`, mm/mmap.c, 6.12.
fn is_accountable(flags: VmFlags) -> bool {
    flags & (VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE) == VmFlags::WRITE
}

fn page_count(len_bytes: u64) -> Result<u64, Errno> {
    if len_bytes == 0 {
        return Err(Errno::EINVAL);
    }
    let rounded = VirtAddr(len_bytes).page_align_up().ok_or(Errno::ENOMEM)?;
    Ok(rounded.0 >> PAGE_SHIFT)
}
