//! `mincore`. Linux: mm/mincore.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::Pmd;
use crate::vma::{Vma, VmaKind};
use ksync::current;
use mm_types::{Errno, PAGE_SIZE, PageRange, PteKind, TASK_SIZE, VirtAddr, Vpn};

impl Mm {
    /// `mincore(addr, len)`: for each page, whether an access would find it in memory. A page of a file that no entry maps
    /// is looked for in the page cache.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned address; `ENOMEM` for a range beyond user space, or when a part is not mapped.
    pub fn mincore(&self, addr: VirtAddr, len_bytes: u64) -> Result<Vec<bool>, Errno> {
        let pages = PageRange::with_len(addr.vpn(), len_bytes.div_ceil(PAGE_SIZE));
        current(|k| {
            self.call(k, NAMES.mincore, pages, || {
                if !addr.is_page_aligned() {
                    return Err(Errno::EINVAL);
                }
                if addr.0.checked_add(len_bytes).is_none_or(|end| end > TASK_SIZE) {
                    return Err(Errno::ENOMEM);
                }
                let Some(pages) = pages else { return Ok(Vec::new()) };
                let _read = self.mmap_lock.read();
                let mut resident = Vec::new();
                let mut next = pages.start();
                while next < pages.end() {
                    let vma = self.find_vma(next).ok_or(Errno::ENOMEM)?;
                    let part = PageRange::new(next, vma.end().min(pages.end())).map_err(|_| Errno::ENOMEM)?;
                    self.split_huge_puds_in(k, part);
                    resident.extend(part.iter().map(|vpn| self.is_in_core(&vma, vpn)));
                    next = part.end();
                }
                Ok(resident)
            })
        })
    }

    fn is_in_core(&self, vma: &Vma, vpn: Vpn) -> bool {
        let pte = match self.tables.pmd(vpn) {
            Pmd::Huge(_) => return true,
            Pmd::None => None,
            Pmd::Table(leaf) => Some(leaf.lock().get(vpn)),
        };
        match pte.map_or(PteKind::None, mm_types::Pte::kind) {
            // A marker is no page.
            PteKind::None | PteKind::Guard => match vma.kind() {
                VmaKind::File(file) => self.machine.is_resident(file, vma.pgoff_at(vpn)),
                VmaKind::Anon | VmaKind::Special(_) => false,
            },
            PteKind::Swap { slot } => self.machine.swap_cache(slot).is_some(),
            // Every entry that is not of swap counts.
            _ => true,
        }
    }
}
