//! The heap. Linux: `brk()`, `do_brk_flags()`.

use super::merge::Candidate;
use super::{Mapped, Vma, VmaChange, VmaChanges, VmaKind, VmaTree};
use mm_types::{Errno, PAGE_SIZE, PageRange, Pgoff, TASK_SIZE, VirtAddr, VmFlags};

/// Where the heap starts and ends, in bytes (`mm->start_brk`, `mm->brk`). The VMA's end is the end, page aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Brk {
    /// First byte.
    pub start: VirtAddr,
    /// One past the last byte.
    pub end: VirtAddr,
}

/// What a `brk` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrkPlan {
    /// Nothing: the call returns the old end.
    Refused,
    /// The end moves inside its page.
    SamePage,
    /// These pages are unmapped.
    Shrink(PageRange),
    /// These pages are mapped ([`VmaTree::brk_expand`]).
    Grow(PageRange),
}

impl Brk {
    /// What the heap's VMA has: private, readable, writable.
    pub const FLAGS: VmFlags = VmFlags::READ
        .union(VmFlags::WRITE)
        .union(VmFlags::MAYREAD)
        .union(VmFlags::MAYWRITE)
        .union(VmFlags::MAYEXEC)
        .union(VmFlags::ACCOUNT);

    /// Whether /proc/PID/maps calls an anonymous VMA `[heap]`. Source: `vma_is_initial_heap()`, include/linux/mm.h, 6.12.
    #[must_use]
    pub fn names(self, vma: &Vma) -> bool {
        vma.start().addr() < self.end && vma.end().addr() > self.start
    }
}

impl VmaTree {
    /// What moving the end of the heap to `to` means. Nothing is altered; when the plan is carried out the caller sets
    /// [`Brk::end`] to `to`.
    ///
    /// Source: `brk()`, mm/mmap.c, 6.12. The data limit (`RLIMIT_DATA`) is not modelled.
    #[must_use]
    pub fn plan_brk(&self, brk: Brk, to: VirtAddr) -> BrkPlan {
        let (Some(new), Some(old)) = (to.page_align_up(), brk.end.page_align_up()) else {
            return BrkPlan::Refused;
        };
        if to < brk.start {
            return BrkPlan::Refused;
        }
        let (new, old) = (new.vpn(), old.vpn());
        if let Ok(range) = PageRange::new(new, old) {
            return if self.find_first_intersection(range).is_some() {
                BrkPlan::Shrink(range)
            } else {
                BrkPlan::Refused
            };
        }
        match PageRange::new(old, new) {
            Ok(range) if self.heap_may_grow(range) => BrkPlan::Grow(range),
            Ok(_) => BrkPlan::Refused,
            Err(_) => BrkPlan::SamePage,
        }
    }

    /// One page beyond the new end must be free too, and the guard gap of a stack above it.
    fn heap_may_grow(&self, range: PageRange) -> bool {
        let end = range.end() + 1;
        range.end().0 <= TASK_SIZE / PAGE_SIZE
            && self.find_at_or_above(range.start()).is_none_or(|next| end <= next.start_gap())
    }

    /// Maps the pages a [`BrkPlan::Grow`] named: the heap's VMA grows when nothing tells them apart, else a VMA is added.
    /// `extra` is `mm->def_flags` (`VM_LOCKED` after `mlockall`).
    ///
    /// # Errors
    /// `ENOMEM` above [`VmaTree::max_map_count`]; nothing has happened.
    ///
    /// Source: `do_brk_flags()`, mm/mmap.c, 6.12.
    pub fn brk_expand(&mut self, brk: Brk, range: PageRange, extra: VmFlags) -> Result<Mapped, Errno> {
        if self.map_count() > self.max_map_count() {
            return Err(Errno::ENOMEM);
        }
        let flags = Brk::FLAGS | extra;
        let candidate = Candidate { range, pgoff: Pgoff(range.start().0), flags, kind: VmaKind::Anon, anon: None };
        let mut changes = VmaChanges::new();
        // A VMA that starts below the heap (the program's data) does not grow into it.
        let below = self.find_prev(range.start()).is_some_and(|v| v.start() >= brk.start.vpn());
        if below && let Some(vma) = self.merge_new(&candidate, true, &mut changes) {
            return Ok(Mapped { vma, changes });
        }
        let id = self.insert(range, flags, VmaKind::Anon, candidate.pgoff, None);
        changes.push(VmaChange::Created { vma: id, range, split_from: None });
        let vma = Vma { range, pgoff: candidate.pgoff, flags, kind: VmaKind::Anon, anon: None, id };
        Ok(Mapped { vma, changes })
    }
}
