//! Huge pages at PMD level: one entry of a PMD table maps 512 pages. The accessor of such entries, and their splits.
//!
//! A split ([`Mm::split_huge_pmd`]) changes how the pages are mapped, one entry or a leaf table of 512, and nothing else:
//! the same frames with the same access. Splitting the page itself is [`Machine::split_block`].
//!
//! # Protocol
//! An entry is changed under the lock of its PMD table ([`Mm::pmd_lock`]); a split is announced by a CLEAR bracket of its
//! 512 pages, and flushes them under that lock. An event is told for each page, as if each had an entry of its own, so
//! that an observer need not know of huge pages; a split tells of none, since it changes none.
//!
//! Sources: `__split_huge_pmd()`, `__split_huge_pmd_locked()`, mm/huge_memory.c, 6.12.

use crate::behaviour::Behaviour;
use crate::frames::{FrameFlags, ZERO_PAGE};
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{frame_obj, pmd_obj};
use crate::page_table::{Leaf, PMD_PAGES, Pmd, tell_entry};
use crate::quirks::Quirks;
use ksync::{Kernel, LockNested, SpinLock};
use mm_types::{MmId, PageRange, Pfn, Pte, Vpn};
use std::sync::Arc;

/// What maps page `index` of a huge page's entry; all pages of the huge zero page are the zero page, soft-dirty of which is
/// forgotten (`__split_huge_zero_page_pmd()`).
pub(crate) fn subpage(pmd: Pte, index: u64) -> Pte {
    if pmd.is_none() {
        return Pte::NONE;
    }
    if pmd.is_special() {
        let zero = Pte::present(ZERO_PAGE).with_special(true).with_uffd_wp(pmd.is_uffd_wp());
        return zero.with_protnone(!pmd.is_present());
    }
    pmd.subpage(index)
}

/// First page of the 512 that one PMD entry maps, `vpn` among them.
pub(crate) const fn pmd_base(vpn: Vpn) -> Vpn {
    Vpn(vpn.0 / PMD_PAGES * PMD_PAGES)
}

/// The pages that the PMD entry of `vpn` maps.
///
/// # Panics
/// Never for a user page.
pub(crate) fn pmd_range(vpn: Vpn) -> PageRange {
    let base = pmd_base(vpn);
    PageRange::with_len(base, PMD_PAGES).unwrap_or_else(|| panic!("{vpn} is beyond user space"))
}

/// Whether a range is all that one PMD entry maps.
pub(crate) const fn is_pmd_range(pages: PageRange) -> bool {
    pages.nr_pages() == PMD_PAGES && pages.start().0.is_multiple_of(PMD_PAGES)
}

/// One entry of a PMD table, the table's lock held.
pub(crate) struct PmdGuard<'a> {
    mm: &'a Mm,
    base: Vpn,
}

impl Mm {
    /// `pmd_lock()`: runs `body` with the entry of `vpn`, under the lock of its table.
    #[track_caller]
    pub(crate) fn with_pmd<R>(&self, vpn: Vpn, body: impl FnOnce(&PmdGuard<'_>) -> R) -> R {
        let lock = self.pmd_lock(vpn);
        let _lock = lock.lock();
        body(&PmdGuard { mm: self, base: pmd_base(vpn) })
    }

    /// The same under the subclass for the second page-table lock of its holder.
    #[track_caller]
    pub(crate) fn with_pmd_nested<R>(&self, vpn: Vpn, body: impl FnOnce(&PmdGuard<'_>) -> R) -> R {
        let lock = self.pmd_lock(vpn);
        let _lock = lock.lock_nested(self.machine.classes.pmd_ptl_nested);
        body(&PmdGuard { mm: self, base: pmd_base(vpn) })
    }

    /// The entry of `vpn` for a caller who has the lock of its table already.
    pub(crate) fn pmd_unlocked(&self, vpn: Vpn) -> PmdGuard<'_> {
        PmdGuard { mm: self, base: pmd_base(vpn) }
    }

    pub(crate) fn pmd_lock(&self, vpn: Vpn) -> Arc<SpinLock<()>> {
        self.tables.pmd_lock(&self.machine, self.id, vpn)
    }

    /// `split_huge_pmd()`: the pages of `vpn`'s PMD entry are mapped by a leaf table from now on, if a huge page is there.
    /// Announced in any case.
    pub(crate) fn split_huge_pmd(&self, k: &Kernel, vpn: Vpn) {
        let bracket = self.subs.invalidate_range_start(self.clear_of(pmd_range(vpn)));
        // While a page's count moves, whoever decides by it waits for the page lock.
        let locks = self.is(Behaviour::REUSES_BY_MAPCOUNT) && !self.is_wrong(Quirks::LOCK_PAGE_IN_PMD_SPLIT);
        let head = self.peek_huge_now(vpn).and_then(Pte::mapped_pfn).filter(|_| locks);
        let lock = head.map(|head| self.machine.folio_lock(head));
        let _folio = lock.as_ref().map(|lock| lock.lock());
        self.with_pmd(vpn, |pmd| pmd.split(k));
        bracket.only_end();
    }

    /// The same for a page that is about to be split itself: its entries are migration entries afterwards
    /// (`split_huge_pmd_address(.., freeze = true, folio)`).
    pub(crate) fn split_huge_pmd_frozen(&self, k: &Kernel, vpn: Vpn, head: Pfn) {
        let bracket = self.subs.invalidate_range_start(self.clear_of(pmd_range(vpn)));
        self.with_pmd(vpn, |pmd| pmd.split_frozen(k, head));
        bracket.only_end();
    }

    /// Reads the entry of a huge page without its lock: a visible operation. `None` when there is no huge page.
    pub(crate) fn peek_huge(&self, k: &Kernel, vpn: Vpn) -> Option<Pte> {
        // Where a CPU may still have the translation of one, the order against its flush matters.
        if !matches!(self.tables.pmd(vpn), Pmd::Huge(_)) && !self.tlb.knows_huge(vpn) {
            return None;
        }
        k.visible_read(pmd_obj(self.id, pmd_base(vpn)));
        self.peek_huge_now(vpn)
    }

    /// The same at a scheduling point that the caller made for it.
    pub(crate) fn peek_huge_now(&self, vpn: Vpn) -> Option<Pte> {
        match self.tables.pmd(vpn) {
            Pmd::Huge(pmd) => Some(pmd),
            _ => None,
        }
    }

    /// The CPU sets accessed and dirty bits of a huge page's entry by itself if it is still `seen`.
    /// Gives the entry as it is then.
    pub(crate) fn hardware_mark_huge(&self, k: &Kernel, vpn: Vpn, seen: Pte, write: bool) -> Pte {
        let marked = seen.accessed(write);
        if marked != seen && self.peek_huge_now(vpn) == Some(seen) {
            self.store_huge_now(k, pmd_base(vpn), marked);
        }
        marked
    }

    /// Replaces the entry of a huge page, or nothing, at a scheduling point that was made for it.
    fn store_huge_now(&self, k: &Kernel, base: Vpn, new: Pte) -> Pte {
        let old = self.tables.set_huge(base, (!new.is_none()).then_some(new)).unwrap_or(Pte::NONE);
        if old != new {
            // A table of hugetlb may be others' as well: what changes, changes for all.
            for (mm, base) in self.tables.sharers(self.id, base) {
                self.huge_changed(k, mm, base, old, new);
            }
        }
        old
    }

    /// What follows from a change of a huge page's entry for an address space that has it.
    fn huge_changed(&self, k: &Kernel, mm: MmId, base: Vpn, old: Pte, new: Pte) {
        if mm == self.id {
            self.tlb.huge_changed(base, old, new);
        } else if let Some(mm) = self.machine.mm(mm) {
            mm.tlb.huge_changed(base, old, new);
        }
        if k.observing() {
            for i in 0..PMD_PAGES {
                tell_entry(k, mm, base + i, subpage(old, i), subpage(new, i));
            }
        }
    }
}

impl PmdGuard<'_> {
    /// What the entry holds. No scheduling point: the lock keeps it still.
    pub(crate) fn get(&self) -> Pmd {
        self.mm.tables.pmd(self.base)
    }

    /// The entry, if it maps a huge page.
    pub(crate) fn huge(&self) -> Option<Pte> {
        self.mm.peek_huge_now(self.base)
    }

    /// `set_pmd_at()` of a huge page, where nothing or a huge page is.
    pub(crate) fn set(&self, k: &Kernel, new: Pte) -> Pte {
        k.visible_write(pmd_obj(self.mm.id, self.base));
        self.mm.store_huge_now(k, self.base, new)
    }

    /// Replaces the entry of a huge page by what `change` makes of it, bits that a CPU has set included. Gives the one before.
    pub(crate) fn update(&self, k: &Kernel, change: impl FnOnce(Pte) -> Pte) -> Pte {
        k.visible_write(pmd_obj(self.mm.id, self.base));
        let now = self.huge().unwrap_or(Pte::NONE);
        self.mm.store_huge_now(k, self.base, change(now))
    }

    /// The same of an entry that was flushed just now. The kernel makes it invalid before the flush (`pmdp_invalidate()`), so
    /// that no CPU has its translation.
    pub(crate) fn update_flushed(&self, k: &Kernel, change: impl FnOnce(Pte) -> Pte) -> Pte {
        let before = self.update(k, change);
        self.mm.tlb.forget_huge(self.base);
        before
    }

    /// `pmdp_huge_get_and_clear()`.
    pub(crate) fn clear(&self, k: &Kernel) -> Pte {
        self.set(k, Pte::NONE)
    }

    /// `__split_huge_pmd_locked()`: flushes, then 512 entries map what one did. Of a page of a file none does: a fault finds it
    /// again.
    pub(crate) fn split(&self, k: &Kernel) {
        if self.huge().is_none() {
            return;
        }
        k.visible_write(pmd_obj(self.mm.id, self.base));
        let Some(old) = self.huge() else { return };
        let mm = self.mm;
        let head = old.mapped_pfn().filter(|_| !old.is_special());
        if let Some(head) = head.filter(|head| mm.machine.frame(*head).flags.contains(FrameFlags::FILE)) {
            mm.store_huge_now(k, self.base, Pte::NONE);
            mm.flush_tlb_notify(k, pmd_range(self.base));
            mm.machine.transfer_dirty(head, old);
            mm.machine.remove_rmap_pmd(head, mm.id);
            mm.machine.put_page(k, head);
            return;
        }
        if old.is_special() {
            // Cleared first (`pmdp_huge_clear_flush()`); what the pages are does not change.
            mm.tables.set_huge(self.base, None);
        }
        if old.mapped_pfn().is_some() {
            mm.flush_tlb_notify(k, pmd_range(self.base));
        }
        if let Some(head) = head {
            if old.is_dirty() {
                mm.machine.folio_mark_dirty(head);
            }
            mm.machine.split_rmap(head, mm.id);
            if mm.is(Behaviour::REUSES_BY_MAPCOUNT) {
                let late = mm.is_wrong(Quirks::LOCK_PAGE_IN_PMD_SPLIT);
                if late { k.sync_point(NAMES.mm_window) } else { k.visible_write(frame_obj(head)) }
            }
            mm.machine.split_rmap_tails(head);
        }
        mm.tables.set_huge(self.base, None);
        // The kernel makes the entry invalid before it flushes.
        mm.tlb.forget_huge(self.base);
        mm.tables.install(self.leaf_of(old));
    }

    /// A table of entries for the pages of one. Those of a dirty page are soft-dirty, whether that was or not: a split makes
    /// each by `pte_mkdirty()`. That is so of no migration entry.
    fn leaf_of(&self, old: Pte) -> Leaf {
        let old = if old.mapped_pfn().is_some() && old.is_dirty() { old.with_soft_dirty(true) } else { old };
        let leaf = Leaf::new(self.mm, self.base);
        for i in 0..PMD_PAGES {
            leaf.fill(self.base + i, subpage(old, i));
        }
        leaf
    }

    /// The same of the entry of `head`, whose 512 entries are migration entries: nothing maps it from here on.
    pub(crate) fn split_frozen(&self, k: &Kernel, head: Pfn) {
        if self.huge().and_then(Pte::mapped_pfn) != Some(head) {
            return;
        }
        k.visible_write(pmd_obj(self.mm.id, self.base));
        let Some(old) = self.huge().filter(|old| old.mapped_pfn() == Some(head)) else { return };
        let mm = self.mm;
        mm.flush_tlb_notify(k, pmd_range(self.base));
        if old.is_dirty() {
            mm.machine.folio_mark_dirty(head);
        }
        mm.store_huge_now(k, self.base, old.to_migration());
        mm.tlb.forget_huge(self.base);
        mm.tables.set_huge(self.base, None);
        mm.tables.install(self.leaf_of(old.to_migration()));
        mm.machine.remove_rmap_pmd(head, mm.id);
        mm.machine.put_page(k, head);
    }

    /// `set_pmd_migration_entry()`: flushed, then it says that the page moves. Not of one that a device has pinned meanwhile.
    pub(crate) fn set_migration(&self, k: &Kernel, head: Pfn) {
        let mm = self.mm;
        let mapped = |pmd: &Pte| pmd.mapped_pfn() == Some(head);
        if self.huge().is_none_or(|pmd| !mapped(&pmd)) {
            return;
        }
        mm.flush_tlb_range(k, pmd_range(self.base));
        if mm.machine.frame(head).pins > 0 {
            return;
        }
        if self.update_flushed(k, Pte::to_migration).is_dirty() {
            mm.machine.folio_mark_dirty(head);
        }
        mm.machine.remove_rmap_pmd(head, mm.id);
        mm.machine.put_page(k, head);
    }

    /// `pmdp_collapse_flush()`: the leaf table of the region is taken away with what it holds, and flushed. Gives it: its
    /// entries are as they were, and nobody else's any more.
    pub(crate) fn detach_table(&self, k: &Kernel) -> Option<Arc<Leaf>> {
        k.visible_write(pmd_obj(self.mm.id, self.base));
        let leaf = self.mm.tables.detach(self.base)?;
        leaf.retire();
        self.tell_of(k, &leaf, |pte| (pte, Pte::NONE));
        self.mm.flush_tlb_range(k, pmd_range(self.base));
        Some(leaf)
    }

    /// `pmd_populate()` of a table that was taken away.
    pub(crate) fn attach_table(&self, k: &Kernel, leaf: Arc<Leaf>) {
        k.visible_write(pmd_obj(self.mm.id, self.base));
        self.tell_of(k, &leaf, |pte| (Pte::NONE, pte));
        self.mm.tables.attach(leaf);
    }

    fn tell_of(&self, k: &Kernel, leaf: &Leaf, change: impl Fn(Pte) -> (Pte, Pte)) {
        for vpn in (0..PMD_PAGES).map(|i| self.base + i) {
            let (old, new) = change(leaf.peek_now(vpn));
            tell_entry(k, self.mm.id, vpn, old, new);
        }
    }
}
