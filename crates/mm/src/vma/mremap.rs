//! Moving and resizing. Linux: `mremap()`, `vma_to_resize()`, `copy_vma()`.

use super::area::VM_SPECIAL;
use super::merge::Candidate;
use super::{Mapped, Placement, Vma, VmaChange, VmaChanges, VmaId, VmaTree, munmap_range};
use bitflags::bitflags;
use mm_types::{Errno, PAGE_SHIFT, PageRange, Pgoff, TASK_SIZE, VirtAddr, VmFlags, Vpn};

bitflags! {
    /// The flags argument of `mremap` (include/uapi/linux/mman.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MremapFlags: u32 {
        /// `MREMAP_MAYMOVE`.
        const MAYMOVE = 1;
        /// `MREMAP_FIXED`.
        const FIXED = 2;
        /// `MREMAP_DONTUNMAP`.
        const DONTUNMAP = 4;
    }
}

impl MremapFlags {
    const NEW_ADDR: MremapFlags = MremapFlags::FIXED.union(MremapFlags::DONTUNMAP);
}

/// The arguments of one `mremap`, checked as far as they can be without a look at the VMAs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mremap {
    start: Vpn,
    old_pages: u64,
    new_pages: u64,
    flags: MremapFlags,
    /// With `MREMAP_FIXED` the place, with `MREMAP_DONTUNMAP` alone a hint.
    new_addr: VirtAddr,
}

/// What an `mremap` is going to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MremapPlan {
    /// Nothing: the length stays and no other place was asked for.
    Stay,
    /// These pages, at the end, are unmapped.
    Shrink(PageRange),
    /// The VMA grows over these free pages behind it ([`VmaTree::expand_upwards`]).
    Grow(PageRange),
    /// The pages move: first `destination`, then [`Mremap::tail`], are unmapped; then [`Mremap::target`] tells where to.
    Move {
        /// What `MREMAP_FIXED` replaces.
        destination: Option<PageRange>,
    },
}

/// What [`VmaTree::copy_vma`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copied {
    /// The VMA that has the new pages; larger than asked for after a merge.
    pub vma: Vma,
    /// A walker of the reverse map could come to the new place before the old one, and see a moving page at neither: the
    /// reverse map has to be locked while entries move.
    pub need_rmap_locks: bool,
    /// The alterations, in order.
    pub changes: VmaChanges,
}

impl Mremap {
    /// Checks the arguments. Lengths are rounded up to pages; `new_addr` is 0 when there is none.
    ///
    /// # Errors
    /// `EINVAL`: unaligned address, new length 0 or more than user space, flags that exclude each other (`FIXED` and `DONTUNMAP` need `MAYMOVE`,
    /// `DONTUNMAP` keeps the length), a new place that is unaligned, beyond user space, or overlaps the old one.
    ///
    /// Source: `mremap()`, `mremap_to()`, mm/mremap.c, 6.12; the upper limit of the length is of later kernels (recorded
    /// on 6.18), before it was `ENOMEM`.
    pub fn new(
        old_addr: VirtAddr,
        old_len_bytes: u64,
        new_len_bytes: u64,
        flags: MremapFlags,
        new_addr: VirtAddr,
    ) -> Result<Mremap, Errno> {
        let pages = |len_bytes| VirtAddr(len_bytes).page_align_up().map_or(0, |len| len.0 >> PAGE_SHIFT);
        let (old_pages, new_pages) = (pages(old_len_bytes), pages(new_len_bytes));
        let may_move = flags.contains(MremapFlags::MAYMOVE);
        let bad_flags = MremapFlags::from_bits(flags.bits()).is_none()
            || (flags.intersects(MremapFlags::NEW_ADDR) && !may_move)
            || (flags.contains(MremapFlags::DONTUNMAP) && old_pages != new_pages);
        if bad_flags || !old_addr.is_page_aligned() || new_pages == 0 || new_pages > TASK_SIZE >> PAGE_SHIFT {
            return Err(Errno::EINVAL);
        }
        let call = Mremap { start: old_addr.vpn(), old_pages, new_pages, flags, new_addr };
        if flags.intersects(MremapFlags::NEW_ADDR) {
            let end = call.new_addr.0.checked_add(new_pages << PAGE_SHIFT).filter(|end| *end <= TASK_SIZE);
            if !new_addr.is_page_aligned() || end.is_none() || call.overlaps_itself() {
                return Err(Errno::EINVAL);
            }
        }
        Ok(call)
    }

    fn overlaps_itself(&self) -> bool {
        // The end of the old range wraps around (`vrm_overlaps()`, mm/mremap.c, 6.17).
        let old_end = (self.start.0 + self.old_pages) % (1 << (u64::BITS - PAGE_SHIFT));
        let new = self.new_addr.vpn().0;
        old_end > new && new + self.new_pages > self.start.0
    }

    /// The pages that move or are resized; `None` for an old length of 0, which maps shared pages a second time.
    #[must_use]
    pub fn old_range(&self) -> Option<PageRange> {
        PageRange::with_len(self.start, self.old_pages.min(self.new_pages))
    }

    /// First page of the old range.
    #[must_use]
    pub const fn start(&self) -> Vpn {
        self.start
    }

    /// The flags.
    #[must_use]
    pub const fn flags(&self) -> MremapFlags {
        self.flags
    }

    /// The pages there are more of than before.
    #[must_use]
    pub const fn growth(&self) -> u64 {
        self.new_pages.saturating_sub(self.old_pages)
    }

    /// Where to, with `MREMAP_FIXED`.
    #[must_use]
    pub const fn new_addr(&self) -> VirtAddr {
        self.new_addr
    }

    /// A move to a fixed place that keeps the length: it may be of several VMAs (`vrm_move_only()`, since 6.17).
    #[must_use]
    pub fn moves_only(&self) -> bool {
        self.flags.contains(MremapFlags::FIXED) && self.old_pages == self.new_pages
    }

    /// The same call for a part of the pages, to another place.
    #[must_use]
    pub const fn part(&self, pages: PageRange, to: Vpn) -> Mremap {
        let nr_pages = pages.nr_pages();
        Mremap { start: pages.start(), old_pages: nr_pages, new_pages: nr_pages, new_addr: to.addr(), ..*self }
    }

    /// A move to a place that was asked for could leave four VMAs more.
    ///
    /// # Errors
    /// `ENOMEM` near [`VmaTree::max_map_count`].
    ///
    /// Source: `check_mremap_params()`, mm/mremap.c, 6.17.
    pub fn check_map_count(&self, tree: &VmaTree) -> Result<(), Errno> {
        let near_limit = tree.map_count() + 2 >= tree.max_map_count().saturating_sub(3);
        if self.flags.intersects(MremapFlags::NEW_ADDR) && near_limit { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// What is to be done, without altering anything. `recorded` is where a recorded kernel left the mapping: growing in
    /// place is planned only if it did.
    ///
    /// # Errors
    /// `EFAULT` when nothing is mapped at the start, the old range is not in one VMA, or the VMA may not grow; `EINVAL`
    /// for an old length of 0 of private memory, one beyond user space, or offsets that would overflow; `EPERM` for a sealed VMA; `ENOMEM` when
    /// it may not move and cannot grow; `EAGAIN` when more would be locked than may be.
    ///
    /// Source: `check_prep_vma()`, mm/mremap.c, 6.17.
    pub fn plan(&self, tree: &VmaTree, recorded: Option<VirtAddr>) -> Result<MremapPlan, Errno> {
        let vma = self.source(tree)?;
        if vma.flags.contains(VmFlags::SEALED) {
            return Err(Errno::EPERM);
        }
        let range = |start: Vpn, nr_pages| PageRange::with_len(start, nr_pages);
        if self.flags.intersects(MremapFlags::NEW_ADDR) {
            self.check_resize(tree, &vma)?;
            let fixed = self.flags.contains(MremapFlags::FIXED);
            let destination = range(self.new_addr.vpn(), self.new_pages).filter(|_| fixed);
            return Ok(MremapPlan::Move { destination });
        }
        if let Some(tail) = self.tail()? {
            return Ok(MremapPlan::Shrink(tail));
        }
        if self.old_pages == self.new_pages {
            return Ok(MremapPlan::Stay);
        }
        self.check_resize(tree, &vma)?;
        let stays = recorded.is_none_or(|at| at == self.start.addr());
        let behind = range(self.start + self.old_pages, self.growth());
        if let Some(behind) = behind.filter(|b| stays && b.start() == vma.end() && tree.may_expand_into(*b)) {
            return Ok(MremapPlan::Grow(behind));
        }
        if !self.flags.contains(MremapFlags::MAYMOVE) {
            return Err(Errno::ENOMEM);
        }
        Ok(MremapPlan::Move { destination: None })
    }

    /// The pages at the end that there are to be no more: the end of the old range, if it becomes shorter on the way.
    ///
    /// # Errors
    /// As [`munmap_range`].
    pub fn tail(&self) -> Result<Option<PageRange>, Errno> {
        if self.old_pages <= self.new_pages {
            return Ok(None);
        }
        let start = self.start.0.saturating_add(self.new_pages);
        let len_bytes = (self.old_pages - self.new_pages) << PAGE_SHIFT;
        munmap_range(VirtAddr(start << PAGE_SHIFT), len_bytes).map(Some)
    }

    /// The VMA that is moved or resized.
    ///
    /// # Errors
    /// `EFAULT` when nothing is mapped at the start.
    pub fn source(&self, tree: &VmaTree) -> Result<Vma, Errno> {
        tree.find(self.start).copied().ok_or(Errno::EFAULT)
    }

    /// Whether the VMA may be moved or grown so. Source: `vma_to_resize()`, mm/mremap.c, 6.12.
    fn check_resize(&self, tree: &VmaTree, vma: &Vma) -> Result<(), Errno> {
        let special = vma.flags.intersects(VM_SPECIAL);
        let shared = vma.flags.intersects(VmFlags::SHARED | VmFlags::MAYSHARE);
        if (self.old_pages == 0 && !shared) || (self.flags.contains(MremapFlags::DONTUNMAP) && special) {
            return Err(Errno::EINVAL);
        }
        let old_pages = self.old_pages.min(self.new_pages);
        if old_pages > vma.end() - self.start {
            return Err(Errno::EFAULT);
        }
        if old_pages == self.new_pages {
            return Ok(());
        }
        if vma.pgoff_at(self.start).checked_add(self.new_pages).is_none() {
            return Err(Errno::EINVAL);
        }
        if special {
            return Err(Errno::EFAULT);
        }
        if !tree.mlock_future_ok(vma.flags, self.growth()) {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Where a [`MremapPlan::Move`] goes, once what was in the way is unmapped: to `recorded` if there is one, since
    /// placement is not ours then.
    ///
    /// # Errors
    /// `ENOMEM`, `EINVAL`, `EPERM` for the place ([`Placement`]); `ENOMEM` near [`VmaTree::max_map_count`]; `EEXIST` when
    /// something is mapped where the recorded kernel had room.
    ///
    /// Source: `move_vma()`, mm/mremap.c, 6.12.
    pub fn target(
        &self,
        tree: &VmaTree,
        placement: &Placement,
        recorded: Option<VirtAddr>,
    ) -> Result<PageRange, Errno> {
        let vma = self.source(tree)?;
        let range = match recorded {
            _ if self.flags.contains(MremapFlags::FIXED) => placement.fixed(self.new_addr, self.new_pages)?,
            Some(at) => {
                let range = placement.fixed(at, self.new_pages)?;
                if tree.find_first_intersection(range).is_some() {
                    return Err(Errno::EEXIST);
                }
                range
            }
            None => {
                let hint = self.flags.contains(MremapFlags::DONTUNMAP).then_some(self.new_addr.vpn());
                let hint = hint.filter(|hint| *hint >= placement.min_vpn());
                placement.unmapped_area(tree, hint, self.new_pages, vma.is_anonymous())?
            }
        };
        if tree.map_count() >= tree.max_map_count().saturating_sub(3) {
            return Err(Errno::ENOMEM);
        }
        Ok(range)
    }
}

impl VmaTree {
    /// Source: `vma_expandable()`, mm/mremap.c, 6.12.
    fn may_expand_into(&self, range: PageRange) -> bool {
        range.end().addr().0 <= TASK_SIZE && self.find_first_intersection(range).is_none()
    }

    /// The VMA that ends where `range` starts grows over it, and merges with the one above if nothing tells them apart.
    ///
    /// # Errors
    /// `ENOMEM` for a mapping that must not be expanded; nothing has happened.
    ///
    /// # Panics
    /// When no VMA ends there.
    ///
    /// Source: `vma_merge_extend()`, mm/vma.c, 6.12.
    pub fn expand_upwards(&mut self, range: PageRange) -> Result<Mapped, Errno> {
        let vma = self.ending_at(range.start()).unwrap_or_else(|| panic!("no VMA ends at {}", range.start()));
        let Vma { flags, kind, anon, .. } = vma;
        let pgoff = vma.pgoff + vma.range.nr_pages();
        let mut changes = VmaChanges::new();
        let vma = self.merge_new(&Candidate { range, pgoff, flags, kind, anon }, false, &mut changes);
        Ok(Mapped { vma: vma.ok_or(Errno::ENOMEM)?, changes })
    }

    /// Maps at `to`, which is free, what `source` maps from `from` on: a neighbour grows over it, or a VMA is added. Pages
    /// that an untouched anonymous VMA would have are counted from the new place; others keep their offsets, so that the
    /// reverse map finds them. An untouched source can be the neighbour that grows.
    ///
    /// Source: `copy_vma()`, mm/vma.c, 6.12. Late releases of 6.12 do not let the source grow if it stays mapped
    /// (`MREMAP_DONTUNMAP`); the recorded 6.18 does.
    pub fn copy_vma(&mut self, source: &Vma, from: Vpn, to: PageRange) -> Copied {
        let untouched = source.is_anonymous() && source.anon.is_none();
        let pgoff = if untouched { Pgoff(to.start().0) } else { source.pgoff_at(from) };
        let Vma { flags, kind, anon, .. } = *source;
        let candidate = Candidate { range: to, pgoff, flags, kind, anon };
        let mut changes = VmaChanges::new();
        if let Some(vma) = self.merge_new(&candidate, false, &mut changes) {
            return Copied { vma, need_rmap_locks: vma.pgoff <= source.pgoff, changes };
        }
        let id = self.insert(to, flags, kind, pgoff, anon);
        changes.push(VmaChange::Created { vma: id, range: to, split_from: Some(source.id) });
        let vma = Vma { range: to, pgoff, flags, kind, anon, id };
        Copied { vma, need_rmap_locks: false, changes }
    }

    /// A VMA whose pages have all moved away has no anonymous pages any more (`MREMAP_DONTUNMAP`): its link goes. The caller
    /// takes it out of the reverse map before.
    ///
    /// Source: `dontunmap_complete()`, mm/mremap.c, 6.17. Late releases of 6.12 also make its offset that of an untouched one;
    /// a running 6.18.44 leaves it.
    pub fn forget_pages(&mut self, vma: VmaId, start: Vpn) {
        if let Some(vma) = self.find_mut(start).filter(|v| v.id == vma) {
            vma.anon = None;
        }
    }
}
