//! `vhost_vq`: the kernel's own mapping of a virtqueue's pages, to get at them faster than by copying through the process.
//!
//! As vhost had it in Linux 5.2, until it was taken out again.
//!
//! ```text
//! access                                 range_start
//! lock &vq->mmu_lock                     lock &vq->mmu_lock
//!   mapped: use it                         invalidate_count += 1
//!   no bracket open: map what is there     unmap
//! unlock                                 unlock
//! else copy through the process          mark what was written dirty
//!                                        range_end: count -= 1, under the lock
//! ```
//!
//! The lock is a spinlock, since accesses are short; so what sleeps is done outside of it, and a page that is not there is
//! not faulted in under it. No page is held: the count keeps a mapping from being made while entries are cleared.
//!
//! A driver of the typed [list](crate::list) family. Source: vhost_invalidate_vq_start(), vhost_map_prefetch(),
//! drivers/vhost/vhost.c, 5.2.

use super::parts::mutants;
use crate::driver::{DriverLock, OpInfo};
use crate::kind::{DriverKind, MutantInfo, Roles};
use crate::list::{
    self, End, Ended, Errno, ListDriver, MmRef, MmuLock, PageRange, Probe, Release, Released, Start, Started, Table,
    Vpn, wrong,
};

mutants! {
    NoInvalidateCount = "no-invalidate-count": "makes a mapping although a bracket is open",
    DirtyUnderSpinlock = "dirty-under-spinlock": "marks pages dirty, under their folio lock, under its spinlock",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = list::kind::<Vhost>();

const MMU_LOCK: &str = "&vq->mmu_lock";

/// The driver: one virtqueue. Its lock has the mapping inside, and `invalidate_count`.
struct Vhost {
    vq: MmuLock,
    mutant: Option<Mutant>,
}

impl ListDriver for Vhost {
    type State = ();
    const NAME: &'static str = "vhost_vq";
    const DOC: &'static str = "a kernel mapping of a virtqueue, made under a spinlock while no bracket is open";
    const MUTANTS: &'static [MutantInfo] = Mutant::ALL;
    const OPS: &'static [OpInfo] = &[
        OpInfo { name: "map", args: "[RANGE]", doc: "maps ahead of time what can be mapped at this moment" },
        OpInfo { name: "read", args: "ADDR", doc: "the kernel reads, through its mapping or through the process" },
        OpInfo {
            name: "write",
            args: "ADDR [VALUE]",
            doc: "the kernel writes, through its mapping or through the process",
        },
    ];
    const ROLES: Roles = Roles::ACCESSES;
    const LOCKS: &'static [DriverLock] = &[DriverLock { name: "mmu_lock", class: MMU_LOCK }];

    fn probe(dev: &Probe<'_>) -> Vhost {
        Vhost { vq: dev.mmu_lock(MMU_LOCK, ()), mutant: Mutant::of(dev.config()) }
    }

    fn table(&self) -> &MmuLock {
        &self.vq
    }

    fn invalidate_range_start<'a>(&self, start: Start<'a>) -> Started<'a> {
        let mut vq = self.vq.lock();
        self.unmap_locked(&mut vq, start.pages());
        vq.begin(start)
    }

    fn invalidate_range_end<'a>(&self, end: End<'a>) -> Ended<'a> {
        self.vq.lock().end(end)
    }

    /// For good: no mapping is made any more.
    fn release<'a>(&self, release: Release<'a>) -> Released<'a> {
        let mut vq = self.vq.lock();
        self.unmap_locked(&mut vq, PageRange::ALL);
        vq.close(release)
    }

    /// `vhost_map_prefetch()`: what cannot be mapped now is left for the accesses.
    fn map(&self, mm: &MmRef<'_>, pages: PageRange, write: bool) -> Result<(), Errno> {
        mm.own(pages)?;
        pages.iter().try_for_each(|vpn| self.map_present(&mut self.vq.lock(), mm, vpn, write).map(drop))
    }

    fn access(&self, mm: &MmRef<'_>, vpn: Vpn, store: Option<u64>) -> Result<(), Errno> {
        mm.own(PageRange::page(vpn))?;
        if self.access_mapped(mm, vpn, store)? {
            return Ok(());
        }
        // `copy_to_user()`, `copy_from_user()`: they fault the page in.
        let mm = mm.mmget_not_zero().ok_or(Errno::EFAULT)?;
        match store {
            Some(value) => mm.copy_to_user(vpn, value),
            None => mm.copy_from_user(vpn).map(drop),
        }
    }
}

impl Vhost {
    /// Whether it could be done through the mapping, made if need be.
    fn access_mapped(&self, mm: &MmRef<'_>, vpn: Vpn, store: Option<u64>) -> Result<bool, Errno> {
        let mut vq = self.vq.lock();
        let mapped = vq.lookup(vpn).is_some_and(|spte| spte.writable || store.is_none());
        if !mapped && !self.map_present(&mut vq, mm, vpn, store.is_some())? {
            return Ok(false);
        }
        Ok(match store {
            Some(value) => vq.write(vpn, value).is_ok(),
            None => vq.read(vpn).is_ok(),
        })
    }

    /// Whether a mapping could be made: what is there is mapped, if no bracket is open.
    fn map_present(&self, vq: &mut Table<'_>, mm: &MmRef<'_>, vpn: Vpn, write: bool) -> Result<bool, Errno> {
        if self.mutant == Some(Mutant::NoInvalidateCount) {
            return wrong::publish_present_in_bracket(vq, mm, vpn, write);
        }
        vq.publish_present(mm, vpn, write)
    }

    /// Unmaps, and marks dirty what could be written: as `set_page_dirty()`, which takes no lock for pages of memory; frames here
    /// are dirty when written.
    fn unmap_locked(&self, vq: &mut Table<'_>, pages: PageRange) {
        if self.mutant == Some(Mutant::DirtyUnderSpinlock) {
            vq.set_page_dirty_lock(pages);
        }
        vq.zap(pages);
    }
}
