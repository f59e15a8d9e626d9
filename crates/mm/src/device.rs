//! The facade for drivers: everything a driver above this crate may ask of an address space.
//!
//! Notifier subscriptions are made on [`Mm::subscriptions`] with the address space as host. A callback is handed no way
//! back in here; one that keeps a way and misuses it is what the oracles are for.

use crate::content::Content;
use crate::fault::Handled;
use crate::frames::ZERO_PAGE;
use crate::gup::{Hold, MmapLock};
use crate::huge::{self, pmd_base};
use crate::huge_pud::pud_base;
use crate::machine::Machine;
use crate::mm::{Mm, MmUsers};
use crate::obj::{frame_obj, pmd_obj, pte_obj, pud_obj};
use crate::page_table::{PMD_PAGES, Pmd};
use crate::shrinker::{Shrinker, ShrinkerHandle};
use ksync::{Kernel, StrayUnlock, current};
use mm_types::{Errno, ObjId, PageRange, Pfn, VmFlags, Vpn};
use mmu_notifier::IntervalSub;
use std::fmt;
use std::sync::Arc;

/// `mmget_not_zero()`: a user's hold, unless the last user has left. Dropping it is `mmput()`.
#[must_use]
pub fn mmget_not_zero(mm: &Arc<Mm>) -> Option<MmUsers> {
    mm.mmget_not_zero()
}

/// Runs `f` with `mmap_lock` held for reading: what several calls below need to see one state.
pub fn with_mmap_read<R>(mm: &Mm, f: impl FnOnce() -> R) -> R {
    let _read = mm.mmap_lock.read();
    f()
}

/// `mmap_read_unlock()` by a caller who does not hold it any more: for drivers that are wrong on purpose.
#[track_caller]
pub fn mmap_read_unlock_again(mm: &Mm) {
    mm.mmap_lock.stray_unlock();
}

/// `mm_pasid_drop()` and its kin: gives back an id that the struct carries, so whoever calls it keeps the struct (`mmgrab()`).
/// An access to a struct that was freed is remembered ([`Mm::used_after_free`]).
///
/// Source: arm64_mm_context_put(), arch/arm64/mm/context.c, 6.12.
pub fn context_put(mm: &Mm) {
    mm.touch_struct();
}

/// `get_user_pages_unlocked()`: faults `pages` in and gives a reference to each. Takes `mmap_lock` for reading; may sleep
/// and reclaim. Fewer pages than asked for when one could not be had.
///
/// # Errors
/// `EFAULT` when the first page is not mapped or not with this access, `ENOMEM`; nothing is held.
pub fn get_user_pages(mm: &Mm, pages: PageRange, write: bool) -> Result<Vec<Pfn>, Errno> {
    mm.gup(pages, write, Hold::Get, MmapLock::Take)
}

/// `get_user_pages()`: as [`get_user_pages`], with `mmap_lock` held by the caller.
///
/// # Errors
/// As [`get_user_pages`].
pub fn get_user_pages_locked(mm: &Mm, pages: PageRange, write: bool) -> Result<Vec<Pfn>, Errno> {
    mm.gup(pages, write, Hold::Get, MmapLock::Held)
}

/// `pin_user_pages_unlocked()`: as [`get_user_pages`], and reclaim leaves the pages alone until they are unpinned.
///
/// # Errors
/// As [`get_user_pages`].
pub fn pin_user_pages(mm: &Mm, pages: PageRange, write: bool) -> Result<Vec<Pfn>, Errno> {
    mm.gup(pages, write, Hold::Pin, MmapLock::Take)
}

/// `pin_user_pages_fast()`: as [`pin_user_pages`]; what an entry allows is pinned without any lock. The driver has said so
/// ([`expect_gup_fast`]).
///
/// # Errors
/// As [`get_user_pages`].
pub fn pin_user_pages_fast(mm: &Mm, pages: PageRange, write: bool) -> Result<Vec<Pfn>, Errno> {
    mm.gup(pages, write, Hold::Pin, MmapLock::Fast)
}

/// A driver will look pages up without locks ([`pin_user_pages_fast`]): from here on fork and hugetlb heed that, which in a world
/// without such drivers nobody could tell. Said when the driver is made.
pub fn expect_gup_fast(machine: &Machine) {
    current(|k| machine.expect_walkers(k));
}

/// `pin_user_pages()`: as [`pin_user_pages`], with `mmap_lock` held by the caller.
///
/// # Errors
/// As [`get_user_pages`].
pub fn pin_user_pages_locked(mm: &Mm, pages: PageRange, write: bool) -> Result<Vec<Pfn>, Errno> {
    mm.gup(pages, write, Hold::Pin, MmapLock::Held)
}

/// `pin_user_pages_unlocked()` with `FOLL_LONGTERM`: as [`pin_user_pages`], and without `write` too the pages are the
/// process's own, so that what it writes later is seen. Unpinned by [`unpin_user_page`].
///
/// # Errors
/// As [`get_user_pages`].
pub fn pin_user_pages_longterm(mm: &Mm, pages: PageRange, write: bool) -> Result<Vec<Pfn>, Errno> {
    mm.gup(pages, write, Hold::LongTermPin, MmapLock::Take)
}

/// `put_page()` of a page from [`get_user_pages`].
pub fn put_user_page(machine: &Machine, pfn: Pfn) {
    current(|k| machine.unpin(k, pfn, Hold::Get));
}

/// `unpin_user_page()` of a page from [`pin_user_pages`].
pub fn unpin_user_page(machine: &Machine, pfn: Pfn) {
    current(|k| machine.unpin(k, pfn, Hold::Pin));
}

/// `shrinker_alloc()`: see [`Machine::shrinker_alloc`].
///
/// # Errors
/// `ENOMEM`.
#[track_caller]
pub fn shrinker_alloc(machine: &Machine, ops: Arc<dyn Shrinker>) -> Result<ShrinkerHandle, Errno> {
    machine.shrinker_alloc(ops)
}

/// `shrinker_register()`: see [`Machine::shrinker_register`].
#[track_caller]
pub fn shrinker_register(machine: &Machine, shrinker: &ShrinkerHandle) {
    machine.shrinker_register(shrinker);
}

/// `shrinker_free()`: see [`Machine::shrinker_free`].
#[track_caller]
pub fn shrinker_free(machine: &Machine, shrinker: ShrinkerHandle) {
    machine.shrinker_free(shrinker);
}

/// One page as [`hmm_range_fault`] saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HmmPage {
    /// The page.
    pub vpn: Vpn,
    /// The frame behind it. No reference is held: the notifier keeps it honest.
    pub pfn: Pfn,
    /// Whether the device may write.
    pub writable: bool,
    /// Whether an entry for 2 MiB maps it, and so every page of its block (`hmm_pfn_to_map_order()`).
    pub huge: bool,
}

/// Why [`hmm_range_fault`] gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HmmError {
    /// The range was invalidated since the sequence was read: begin again (`-EBUSY`).
    Busy,
    /// `EFAULT` or `ENOMEM`.
    Errno(Errno),
}

impl fmt::Display for HmmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HmmError::Busy => f.write_str("invalidated meanwhile"),
            HmmError::Errno(errno) => errno.fmt(f),
        }
    }
}

impl std::error::Error for HmmError {}

/// `hmm_range_fault()`: faults `pages` in and gives what the page table says of each. `seq` is from `read_begin` of `sub`.
/// Takes `mmap_lock` for reading. What it gives is worth nothing until `read_retry` has passed under the driver's lock.
///
/// # Errors
/// [`HmmError`]; nothing is held.
///
/// Source: mm/hmm.c, 6.12.
pub fn hmm_range_fault(
    mm: &Mm,
    sub: &IntervalSub,
    seq: u64,
    pages: PageRange,
    write: bool,
) -> Result<Vec<HmmPage>, HmmError> {
    with_mmap_read(mm, || hmm_range_fault_locked(mm, sub, seq, pages, write))
}

/// As [`hmm_range_fault`], with `mmap_lock` held by the caller.
///
/// # Errors
/// As [`hmm_range_fault`].
pub fn hmm_range_fault_locked(
    mm: &Mm,
    sub: &IntervalSub,
    seq: u64,
    pages: PageRange,
    write: bool,
) -> Result<Vec<HmmPage>, HmmError> {
    current(|k| {
        let mut found = Vec::with_capacity(usize::try_from(pages.nr_pages()).unwrap_or(0));
        if sub.check_retry(seq) {
            return Err(HmmError::Busy);
        }
        for vpn in pages.iter() {
            loop {
                if let Some(page) = hmm_walk(k, mm, vpn, write) {
                    found.push(page);
                    break;
                }
                hmm_fault(k, mm, vpn, write).map_err(HmmError::Errno)?;
                // The walk starts over after a fault, with a look at the sequence first.
                if sub.check_retry(seq) {
                    return Err(HmmError::Busy);
                }
            }
        }
        Ok(found)
    })
}

fn hmm_walk(k: &Kernel, mm: &Mm, vpn: Vpn, write: bool) -> Option<HmmPage> {
    let entry = mm.tables.pmd(vpn);
    let huge = matches!(entry, Pmd::Huge(_));
    let pte = match entry {
        // `hmm_vma_walk_pud()`
        Pmd::None => {
            mm.peek_pud(k, vpn)?;
            mm.pud_subpage_now(vpn)?
        }
        Pmd::Table(leaf) => leaf.peek(k, vpn),
        Pmd::Huge(_) => huge::subpage(mm.peek_huge(k, vpn)?, vpn.0 % PMD_PAGES),
    };
    let pfn = pte.pfn().filter(|_| !write || pte.is_writable())?;
    Some(HmmPage { vpn, pfn, writable: pte.is_writable(), huge })
}

fn hmm_fault(k: &Kernel, mm: &Mm, vpn: Vpn, write: bool) -> Result<(), Errno> {
    let vma = mm.find_vma(vpn).ok_or(Errno::EFAULT)?;
    if vma.flags().contains(VmFlags::PFNMAP) || !vma.flags().contains(VmFlags::READ) {
        return Err(Errno::EFAULT);
    }
    // `hmm_vma_fault()`
    if write && !vma.flags().contains(VmFlags::WRITE) {
        return Err(Errno::EPERM);
    }
    match mm.handle_mm_fault(k, &vma, vpn, write).map_err(|e| e.errno())? {
        Handled::Done | Handled::WithMmapLock => {}
        Handled::WaitFolio(pfn) => mm.machine.wait_folio(k, pfn),
    }
    Ok(())
}

/// `handle_mm_fault()` for a device that walks the CPU's page table, under `mmap_lock` taken for reading; may sleep and
/// reclaim. The device walks again afterwards: the entry may be gone already.
///
/// # Errors
/// `EFAULT` when the page is not mapped or not with this access, `ENOMEM`.
///
/// Source: iommu_sva_handle_mm(), drivers/iommu/iommu-sva.c, 6.12.
pub fn handle_fault(mm: &Mm, vpn: Vpn, write: bool) -> Result<(), Errno> {
    let refused = || mm.find_vma(vpn).is_none_or(|vma| write && !vma.flags().contains(VmFlags::WRITE));
    with_mmap_read(mm, || if refused() { Err(Errno::EFAULT) } else { current(|k| hmm_fault(k, mm, vpn, write)) })
}

/// The objects that a walk to the entry of a page reads: the entry, or that of the huge page.
#[must_use]
pub fn walk_objects(mm: &Mm, vpn: Vpn) -> [ObjId; 2] {
    let dax = mm.find_vma(vpn).is_some_and(|vma| vma.flags().contains(VmFlags::DAX));
    let upper = if dax { pud_obj(mm.id, pud_base(vpn)) } else { pmd_obj(mm.id, pmd_base(vpn)) };
    [upper, pte_obj(mm.id, vpn)]
}

/// The frame that the page table maps `vpn` to, and whether for writing: what a device sees that walks it. No scheduling
/// point; the caller made those for [`walk_objects`].
#[must_use]
pub fn walk_now(mm: &Mm, vpn: Vpn) -> Option<(Pfn, bool)> {
    let pte = match mm.tables.pmd(vpn) {
        Pmd::None => mm.pud_subpage_now(vpn)?,
        Pmd::Table(leaf) => leaf.peek_now(vpn),
        Pmd::Huge(pmd) => huge::subpage(pmd, vpn.0 % PMD_PAGES),
    };
    Some((pte.pfn()?, pte.is_writable()))
}

/// `host_pfn_mapping_level()`: the first frame of the huge page that an entry for 2 MiB maps `vpn` with, and whether for writing.
/// None where there is no such entry. A scheduling point if there is one.
///
/// Context: a lock under which no invalidation of the page is under way. Source: arch/x86/kvm/mmu/mmu.c, 6.12.
#[must_use]
pub fn huge_mapping(mm: &Mm, vpn: Vpn) -> Option<(Pfn, bool)> {
    let pmd = current(|k| mm.peek_huge(k, vpn))?;
    Some((pmd.pfn()?, pmd.is_writable()))
}

/// `set_page_dirty_lock()`: takes the folio lock, so the caller must hold nothing that is taken under it. May sleep.
pub fn set_page_dirty_lock(machine: &Machine, pfn: Pfn) {
    let folio = machine.folio_lock(pfn);
    let _locked = folio.lock();
    if pfn != ZERO_PAGE {
        machine.clear_lazyfree(pfn);
    }
}

/// What a device reads from a frame, all of it: its value, or one number made of its words where they differ. The device model emits the access, and names [`frame_obj`] as what it touches.
#[must_use]
pub fn frame_read(machine: &Machine, pfn: Pfn) -> u64 {
    machine.digest_and_word(pfn, 0).0
}

/// What a device writes to a frame, to all of it. The zero page swallows it.
pub fn frame_write(machine: &Machine, pfn: Pfn, tag: u64) {
    if pfn != ZERO_PAGE {
        machine.set_content(pfn, Content::Same(tag));
        // The driver tells that the page is dirty, as no page-table entry will.
        machine.clear_lazyfree(pfn);
    }
}

/// The object that an access to a frame touches.
#[must_use]
pub const fn frame_object(pfn: Pfn) -> ObjId {
    frame_obj(pfn)
}
