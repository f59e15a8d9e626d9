//! Dirty tracking of shared mappings on behalf of a device (vmwgfx): entries are write-protected, so that the next write of each
//! page faults.
//!
//! | held | bracket |
//! |---|---|
//! | `i_mmap_rwsem` R; no `mmap_lock` | PROTECTION_PAGE of each VMA's part; flushed inside, after the page-table locks |
//!
//! Source: `wp_shared_mapping_range()`, mm/mapping_dirty_helpers.c, 6.12.

use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use ksync::{Kernel, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, Pgoff, VmFlags};
use trace::{NotifyEvent, NotifyRange};

impl Machine {
    /// `wp_shared_mapping_range()` of the pages of a file that `[offset, offset + bytes)` touches. Gives how many entries lost
    /// write access.
    ///
    /// # Errors
    /// `ENOENT` for a file that nobody has opened, `EINVAL` for no bytes.
    pub fn wp_shared(&self, name: &str, offset: u64, bytes: u64) -> Result<u64, Errno> {
        current(|k| {
            let inode = self.inode_named(name)?;
            self.file_call(k, NAMES.wp_shared, || {
                let end = offset.checked_add(bytes).filter(|_| bytes > 0).ok_or(Errno::EINVAL)?;
                let (first, last) = (Pgoff(offset / PAGE_SIZE), Pgoff(end.div_ceil(PAGE_SIZE)));
                let i_mmap = self.files.lock().i_mmap(inode);
                let mappings = i_mmap.read();
                let parts = mappings.walk_range(first, last).into_iter();
                let there = parts.filter_map(|(mm, part)| Some((self.mm(mm)?, part)));
                Ok(there.map(|(mm, part)| mm.wp_clean_vma(k, part)).sum())
            })
        })
    }
}

impl Mm {
    /// `wp_clean_pre_vma()` to `wp_clean_post_vma()`: one mapping that is shared and may be written.
    fn wp_clean_vma(&self, k: &Kernel, part: PageRange) -> u64 {
        let wanted = VmFlags::SHARED | VmFlags::MAYWRITE;
        let fit = self.find_vma(part.start()).is_some_and(|vma| vma.flags() & (wanted | VmFlags::HUGETLB) == wanted);
        if !fit {
            return 0;
        }
        let bracket =
            self.subs.invalidate_range_start(NotifyRange { event: NotifyEvent::ProtectionPage, ..self.clear_of(part) });
        let mut flush: Option<PageRange> = None;
        let mut protected = 0;
        self.for_each_leaf(part, |leaf, part| {
            let ptes = leaf.lock();
            for vpn in part.iter().filter(|vpn| ptes.get(*vpn).is_writable()) {
                ptes.update(k, vpn, |pte| pte.with_write(false));
                protected += 1;
                flush = PageRange::new(flush.map_or(vpn, |f| f.start()), vpn + 1).ok();
            }
        });
        if let Some(pages) = flush {
            self.flush_tlb_range(k, pages);
        }
        bracket.end();
        protected
    }
}
