//! Guard pages: entries that make any access a `SIGSEGV`, without a VMA of their own. Linux: `madvise_guard_install()`,
//! `madvise_guard_remove()`, mm/madvise.c, since 6.13; in mappings of files since 6.15.
//!
//! A guard is an entry ([`Pte::GUARD`]), so it is moved, copied by fork and dropped with the mapping, and stays when
//! contents are discarded.

use crate::mm::Mm;
use crate::page_table::Pmd;
use crate::vma::Vma;
use crate::zap::Zap;
use ksync::Kernel;
use mm_types::{Errno, PageRange, Pte, PteKind, VmFlags};

/// How often what was faulted in meanwhile is cleared before the call gives up. Source: `MAX_MADVISE_GUARD_RETRIES`.
const MAX_TRIES: u32 = 3;

impl Mm {
    /// Every page of `part`, inside `vma`, becomes a guard; what is there is cleared first. The VMA is marked as one that
    /// may have guards, for good. `mmap_lock` held for reading.
    ///
    /// # Errors
    /// `ENOMEM`; `EAGAIN` when pages were faulted in again and again.
    pub(crate) fn guard_install(&self, k: &Kernel, vma: &Vma, part: PageRange) -> Result<(), Errno> {
        self.inner.lock().tree.set_flags(part.start(), vma.flags() | VmFlags::MAYBE_GUARD);
        if vma.is_anonymous() {
            self.anon_vma_prepare(k, part.start())?;
        }
        for _ in 0..MAX_TRIES {
            if self.install_guards(k, part)? {
                return Ok(());
            }
            self.zap_page_range_single(k, vma, part, Zap::DISCARD);
        }
        Err(Errno::EAGAIN)
    }

    /// Puts guards where nothing is. False at the first page that is there: it must be cleared.
    fn install_guards(&self, k: &Kernel, part: PageRange) -> Result<bool, Errno> {
        let mut rest = Some(part);
        while let Some(range) = rest {
            let leaf = match self.pte_alloc(k, range.start()) {
                Ok(leaf) => leaf,
                // A huge page.
                Err(Errno::EAGAIN) => return Ok(false),
                Err(error) => return Err(error),
            };
            let in_table = crate::huge::pmd_range(range.start()).end().min(range.end());
            let ptes = leaf.lock();
            for vpn in (range.start().0..in_table.0).map(mm_types::Vpn) {
                match ptes.get(vpn).kind() {
                    PteKind::None => ptes.set(k, vpn, Pte::GUARD),
                    PteKind::Guard => {}
                    _ => return Ok(false),
                }
            }
            rest = PageRange::new(in_table, range.end()).ok();
        }
        Ok(true)
    }

    /// Guards in `part` are such no more; pages are left. `mmap_lock` held for reading.
    pub(crate) fn guard_remove(&self, k: &Kernel, part: PageRange) {
        let mut rest = Some(part);
        while let Some((pmd, range)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            if let Pmd::Table(leaf) = pmd {
                let ptes = leaf.lock();
                for vpn in range.iter() {
                    if ptes.get(vpn).kind() == PteKind::Guard {
                        ptes.clear(k, vpn);
                    }
                }
            }
            rest = PageRange::new(range.end(), part.end()).ok();
        }
    }
}
