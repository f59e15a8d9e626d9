//! `remap_file_pages`: other pages of a shared file at the same place, as a mapping of its own. Linux: mm/mmap.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::vma::{MapFlags, MmapArgs, MmapBacking, VmaKind};
use ksync::current;
use mm_types::{Errno, PAGE_SIZE, PageRange, Pgoff, VmFlags};

impl Mm {
    /// `remap_file_pages(range, pgoff)`: what was there is unmapped under `mmap_lock` held for writing (UNMAP), and the new
    /// pages are faulted in.
    ///
    /// # Errors
    /// `EINVAL` where no shared mapping of a file is.
    pub fn remap_file_pages(&self, pages: PageRange, pgoff: Pgoff) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.remap_file_pages, Some(pages), || {
                let (vma, file) = match self.find_vma(pages.start()).map(|vma| (vma, vma.kind())) {
                    Some((vma, VmaKind::File(file))) if vma.flags().contains(VmFlags::SHARED) => (vma, file),
                    _ => return Err(Errno::EINVAL),
                };
                self.mmap(&MmapArgs {
                    addr: pages.start().addr(),
                    len_bytes: pages.nr_pages() * PAGE_SIZE,
                    prot: vma.flags().prot(),
                    flags: MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE,
                    backing: MmapBacking::File { file, readable: true, writable: true },
                    offset_bytes: pgoff.0 * PAGE_SIZE,
                })
                .map(drop)
            })
        })
    }
}
