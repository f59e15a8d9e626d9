//! Where a mapping goes. Linux: `__get_unmapped_area()`, `arch_get_unmapped_area_topdown()` (x86-64).

use super::VmaTree;
use mm_types::{Errno, PAGE_SIZE, PageRange, TASK_SIZE, VirtAddr, Vpn};

const PMD_PAGES: u64 = 512;

/// The limits an address space places mappings within.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Mappings without an address go below this, the highest first (`mm->mmap_base`).
    pub mmap_base: VirtAddr,
    /// Nothing is placed below it (`mmap_min_addr`).
    pub min_addr: VirtAddr,
    /// A fixed address below `min_addr` is allowed (`CAP_SYS_RAWIO`).
    pub may_map_low: bool,
    /// Private anonymous mappings of a multiple of 2 MiB without an address are aligned to it.
    pub thp_aligned: bool,
    /// Where the search goes on upwards when there is no room below `mmap_base`; `None` gives up.
    pub bottom_up_base: Option<VirtAddr>,
}

impl Default for Placement {
    /// x86-64 without address randomisation and a stack limit of 8 MiB: `mmap_base` is 128 MiB below the end of user
    /// space, the upward search starts at a third of it.
    fn default() -> Placement {
        Placement {
            mmap_base: VirtAddr(TASK_SIZE - (128 << 20)),
            min_addr: VirtAddr(0x1_0000),
            may_map_low: false,
            thp_aligned: true,
            bottom_up_base: VirtAddr(TASK_SIZE / 3).page_align_up(),
        }
    }
}

impl Placement {
    /// The lowest page anything is placed at.
    #[must_use]
    pub fn min_vpn(&self) -> Vpn {
        VirtAddr(self.min_addr.0.max(PAGE_SIZE)).vpn()
    }

    /// A hint as `mmap` takes it: rounded down to a page, raised to the lowest address allowed; 0 is none.
    ///
    /// Source: `round_hint_to_min()`, mm/mmap.c, 6.12.
    #[must_use]
    pub fn round_hint(&self, addr: VirtAddr) -> Option<Vpn> {
        match addr.vpn() {
            Vpn(0) => None,
            hint if hint < self.min_vpn() => Some(self.min_vpn()),
            hint => Some(hint),
        }
    }

    /// The pages a mapping at exactly `addr` gets, mapped or not.
    ///
    /// # Errors
    /// `ENOMEM` when it leaves user space, `EINVAL` when `addr` is not page aligned, `EPERM` below the lowest address.
    ///
    /// Source: `__get_unmapped_area()`, mm/mmap.c; `cap_mmap_addr()`, security/commoncap.c, 6.12.
    pub fn fixed(&self, addr: VirtAddr, nr_pages: u64) -> Result<PageRange, Errno> {
        if nr_pages > USER_PAGES || addr.0 > TASK_SIZE - nr_pages * PAGE_SIZE {
            return Err(Errno::ENOMEM);
        }
        if !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if addr < self.min_addr && !self.may_map_low {
            return Err(Errno::EPERM);
        }
        PageRange::with_len(addr.vpn(), nr_pages).ok_or(Errno::EINVAL)
    }

    /// Free pages for a mapping: at the hint if they are free there, else the highest below `mmap_base`.
    /// `align_huge` asks for 2 MiB alignment where [`Placement::thp_aligned`] allows it.
    ///
    /// # Errors
    /// `ENOMEM` when nothing is free.
    ///
    /// Source: `arch_get_unmapped_area_topdown()`, arch/x86/kernel/sys_x86_64.c; `__thp_get_unmapped_area()`,
    /// mm/huge_memory.c, 6.12.
    pub fn unmapped_area(
        &self,
        tree: &VmaTree,
        hint: Option<Vpn>,
        nr_pages: u64,
        align_huge: bool,
    ) -> Result<PageRange, Errno> {
        if nr_pages > USER_PAGES {
            return Err(Errno::ENOMEM);
        }
        if let Some(range) = hint.and_then(|hint| self.at_hint(tree, hint, nr_pages)) {
            return Ok(range);
        }
        let align = hint.is_none() && align_huge && self.thp_aligned && nr_pages.is_multiple_of(PMD_PAGES);
        if align && let Some(range) = self.huge_aligned(tree, nr_pages) {
            return Ok(range);
        }
        self.search(tree, nr_pages).ok_or(Errno::ENOMEM)
    }

    fn at_hint(&self, tree: &VmaTree, hint: Vpn, nr_pages: u64) -> Option<PageRange> {
        let range = PageRange::with_len(hint, nr_pages).filter(|r| r.end().0 <= USER_PAGES)?;
        let free = tree.find_at_or_above(hint).is_none_or(|vma| range.end() <= vma.start_gap());
        free.then_some(range)
    }

    /// Searches for 2 MiB more than needed, then moves up to the boundary.
    fn huge_aligned(&self, tree: &VmaTree, nr_pages: u64) -> Option<PageRange> {
        let padded = self.search(tree, nr_pages + PMD_PAGES)?;
        let above = padded.start().0.next_multiple_of(PMD_PAGES) - padded.start().0;
        // An aligned find is moved by the whole padding, so that the room below the base is not wasted.
        let shift = if above == 0 { PMD_PAGES } else { above };
        PageRange::with_len(padded.start() + shift, nr_pages)
    }

    fn search(&self, tree: &VmaTree, nr_pages: u64) -> Option<PageRange> {
        let low = self.min_vpn();
        tree.highest_gap(nr_pages, low, self.mmap_base.vpn()).or_else(|| {
            let base = self.bottom_up_base?.vpn().max(low);
            tree.lowest_gap(nr_pages, base, Vpn(USER_PAGES))
        })
    }
}

/// Pages of user space.
const USER_PAGES: u64 = TASK_SIZE / PAGE_SIZE;
