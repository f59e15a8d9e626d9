//! `mmap`. Linux: `do_mmap()`, `mmap_region()`, mm/mmap.c, 6.12.

use crate::madvise::is_ksm_compatible;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{PMD_PAGES, PUD_PAGES};
use crate::vma::{MapFlags, MmapArgs, MmapBacking, MmapPlan, VmaKind};
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, Prot, VirtAddr, VmFlags};

impl Mm {
    /// `mmap()`: maps, and faults in if `MAP_POPULATE` asks for it. What `MAP_FIXED` replaces is unmapped first, under
    /// `mmap_lock` held for writing. Gives the address.
    ///
    /// # Errors
    /// As [`MmapArgs::plan`]; nothing has happened.
    pub fn mmap(&self, args: &MmapArgs) -> Result<VirtAddr, Errno> {
        current(|k| self.mmap_at(k, args, args))
    }

    /// `mmap()` that places the mapping where a recorded kernel did, without replacing what is there. `args` are the
    /// recorded arguments.
    ///
    /// # Errors
    /// As [`Mm::mmap`]; `EEXIST` when something is mapped at `at`.
    pub fn mmap_recorded(&self, args: &MmapArgs, at: VirtAddr) -> Result<VirtAddr, Errno> {
        let fixed = args.flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        let placed = MmapArgs { addr: at, flags: args.flags | MapFlags::FIXED_NOREPLACE, ..*args };
        current(|k| self.mmap_at(k, args, if fixed { args } else { &placed }))
    }

    /// Maps private anonymous memory at exactly `range`, replacing what is there.
    ///
    /// # Errors
    /// As [`Mm::mmap`].
    pub fn mmap_anon(&self, range: PageRange, prot: Prot) -> Result<VirtAddr, Errno> {
        self.mmap(&MmapArgs {
            addr: range.start().addr(),
            len_bytes: range.nr_pages() * PAGE_SIZE,
            prot,
            flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED,
            backing: MmapBacking::None,
            offset_bytes: 0,
        })
    }

    fn mmap_at(&self, k: &Kernel, told: &MmapArgs, args: &MmapArgs) -> Result<VirtAddr, Errno> {
        let asked = PageRange::with_len(told.addr.vpn(), told.len_bytes.div_ceil(PAGE_SIZE));
        self.call(k, NAMES.mmap, asked.filter(|r| r.start().0 != 0), || {
            let plan = {
                let _write = self.mmap_lock.write();
                self.mmap_region(k, args)?
            };
            if plan.populate {
                self.populate(k, plan.mapping.range);
            }
            Ok(plan.mapping.range.start().addr())
        })
    }

    fn mmap_region(&self, k: &Kernel, args: &MmapArgs) -> Result<MmapPlan, Errno> {
        let (plan, replaces) = {
            let inner = self.inner.lock();
            let size_bytes = args.len_bytes.next_multiple_of(PAGE_SIZE);
            let shmem = || self.machine.shmem_file(size_bytes);
            let mut plan = args.plan(&inner.tree, &inner.placement, inner.def_flags, shmem)?;
            if let VmaKind::File(file) = plan.mapping.kind
                && self.machine.is_hugetlb(file)
            {
                // `hugetlbfs_file_mmap()`
                let whole = |pages: u64| pages.is_multiple_of(PMD_PAGES);
                let range = plan.mapping.range;
                if !whole(range.start().0) || !whole(range.nr_pages()) || !whole(plan.mapping.pgoff.0) {
                    return Err(Errno::EINVAL);
                }
                plan.mapping.flags |= VmFlags::HUGETLB | VmFlags::DONTEXPAND;
            }
            if let VmaKind::File(file) = plan.mapping.kind
                && self.machine.is_dax(file)
            {
                // `dax_mmap()`, `check_vma()`
                let whole = |pages: u64| pages.is_multiple_of(PUD_PAGES);
                let range = plan.mapping.range;
                let shared = plan.mapping.flags.contains(VmFlags::MAYSHARE);
                if !shared || !whole(range.start().0) || !whole(range.nr_pages()) || !whole(plan.mapping.pgoff.0) {
                    return Err(Errno::EINVAL);
                }
                plan.mapping.flags |= VmFlags::DAX | VmFlags::HUGEPAGE;
            }
            // New or grown, it counts as written whole, until somebody asks for that to be forgotten.
            plan.mapping.flags |= VmFlags::SOFTDIRTY;
            if inner.merge_any && is_ksm_compatible(plan.mapping.flags) {
                plan.mapping.flags |= VmFlags::MERGEABLE;
            }
            if let VmaKind::File(file) = plan.mapping.kind
                && plan.mapping.flags.contains(VmFlags::SHARED)
                && self.machine.is_write_sealed(file)
            {
                // `seal_check_write()`
                if plan.mapping.flags.contains(VmFlags::WRITE) {
                    return Err(Errno::EPERM);
                }
                plan.mapping.flags -= VmFlags::MAYWRITE;
            }
            (plan, inner.tree.find_first_intersection(plan.mapping.range).is_some())
        };
        if replaces {
            self.do_munmap(k, plan.mapping.range)?;
        }
        let mapped = self.inner.lock().tree.map_new(plan.mapping);
        self.vma_adjusted(k, &mapped.changes);
        Ok(plan)
    }
}
