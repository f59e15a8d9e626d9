//! Unmapping. Linux: `do_vmi_munmap()`, `vms_gather_munmap_vmas()`.

use super::split::NewPart;
use super::{Vma, VmaChange, VmaChanges, VmaTree};
use mm_types::{Errno, PAGE_SIZE, PageRange, TASK_SIZE, VirtAddr, VmFlags};

/// The VMAs an unmapping takes, cut to its range and still in the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gathered {
    /// The range asked for.
    pub range: PageRange,
    /// The VMAs inside it, lowest first.
    pub vmas: Vec<Vma>,
    /// The splits at its ends.
    pub changes: VmaChanges,
}

/// The pages `munmap(addr, len)` means. A length is rounded up to pages.
///
/// # Errors
/// `EINVAL` when `addr` is not page aligned, the length is 0, or the range leaves user space.
///
/// Source: `do_vmi_munmap()`, mm/vma.c, 6.12.
pub fn munmap_range(addr: VirtAddr, len_bytes: u64) -> Result<PageRange, Errno> {
    if !addr.is_page_aligned() || addr.0 > TASK_SIZE || len_bytes > TASK_SIZE - addr.0 {
        return Err(Errno::EINVAL);
    }
    PageRange::with_len(addr.vpn(), len_bytes.div_ceil(PAGE_SIZE)).ok_or(Errno::EINVAL)
}

impl VmaTree {
    /// Splits at the ends of `range` and lists the VMAs inside, which stay in the tree: page tables are cleared while a
    /// reverse map can still find them. [`VmaTree::remove_gathered`] follows. Holes are fine.
    ///
    /// # Errors
    /// `ENOMEM` when `range` is inside one VMA and the tree is at [`VmaTree::max_map_count`]: one VMA more would be left
    /// than before. Nothing has happened. `EPERM` when a VMA is sealed, `EINVAL` when an end is inside of a page of hugetlb; the split at the start may have happened.
    ///
    /// Source: `vms_gather_munmap_vmas()`, mm/vma.c, 6.12.
    pub fn gather(&mut self, range: PageRange) -> Result<Gathered, Errno> {
        let mut changes = VmaChanges::new();
        self.gather_start(range, &mut changes)?;
        let mut vmas: Vec<Vma> = self.iter_range(range).copied().collect();
        if vmas.iter().any(|v| v.flags.contains(VmFlags::SEALED)) {
            return Err(Errno::EPERM);
        }
        if let Some(last) = vmas.last_mut().filter(|v| v.end() > range.end()) {
            last.check_split(range.end())?;
            *last = self.split_unchecked(*last, range.end(), NewPart::Above, &mut changes);
        }
        Ok(Gathered { range, vmas, changes })
    }

    fn gather_start(&mut self, range: PageRange, changes: &mut VmaChanges) -> Result<(), Errno> {
        let Some(first) = self.find(range.start()).copied().filter(|v| v.start() < range.start()) else {
            return Ok(());
        };
        if range.end() < first.end() && self.map_count() >= self.max_map_count() {
            return Err(Errno::ENOMEM);
        }
        if first.flags.contains(VmFlags::SEALED) {
            return Err(Errno::EPERM);
        }
        first.check_split(range.start())?;
        self.split_unchecked(first, range.start(), NewPart::Below, changes);
        Ok(())
    }

    /// Takes gathered VMAs out of the tree.
    ///
    /// # Panics
    /// When one of them is not there any more as it was.
    pub fn remove_gathered(&mut self, gathered: &Gathered) -> VmaChanges {
        let mut changes = VmaChanges::new();
        for vma in &gathered.vmas {
            let gone = self.take(vma.start());
            assert_eq!((gone.id, gone.range), (vma.id, vma.range), "a gathered VMA was altered");
            changes.push(VmaChange::Removed { vma: vma.id, range: vma.range });
        }
        changes
    }

    /// [`VmaTree::gather`] and [`VmaTree::remove_gathered`] in one: gives the VMAs that went, cut to `range`.
    ///
    /// # Errors
    /// As [`VmaTree::gather`].
    pub fn remove(&mut self, range: PageRange) -> Result<Vec<Vma>, Errno> {
        let gathered = self.gather(range)?;
        self.remove_gathered(&gathered);
        Ok(gathered.vmas)
    }
}
