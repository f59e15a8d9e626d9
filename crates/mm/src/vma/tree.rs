//! The VMAs of one address space.

use super::map::VmaMap;
use super::{AnonLink, AnonMergeRule, Vma, VmaChange, VmaChanges, VmaId, VmaKind};
use mm_types::{PageRange, Pgoff, VmFlags, Vpn};

/// `vm.max_map_count` as kernels ship it. Source: `DEFAULT_MAX_MAP_COUNT`, include/linux/mm.h, 6.12.
pub const DEFAULT_MAX_MAP_COUNT: usize = 65_530;

/// The VMAs of one address space: disjoint, ordered by address.
///
/// A lookup is O(log n), an alteration O(log n) for each VMA it touches, placement O(log n) (`gap.rs` is the one place that
/// looks for gaps).
///
/// Context: every method that alters wants `mmap_lock` held for writing by its caller, every other for reading.
#[derive(Clone, Debug)]
pub struct VmaTree {
    // invariant: no two VMAs overlap
    pub(super) vmas: VmaMap,
    next_id: u32,
    max_map_count: usize,
    anon_merge: AnonMergeRule,
    /// Pages of VMAs with `VM_LOCKED` (`mm->locked_vm`).
    locked_pages: u64,
    /// How many there may be (`RLIMIT_MEMLOCK`).
    memlock_pages: u64,
}

impl Default for VmaTree {
    fn default() -> VmaTree {
        VmaTree::new(DEFAULT_MAX_MAP_COUNT, AnonMergeRule::default())
    }
}

impl VmaTree {
    /// An empty tree. `max_map_count` is `vm.max_map_count`: above it nothing is mapped, at it nothing is split.
    #[must_use]
    pub const fn new(max_map_count: usize, anon_merge: AnonMergeRule) -> VmaTree {
        VmaTree { vmas: VmaMap::new(), next_id: 0, max_map_count, anon_merge, locked_pages: 0, memlock_pages: u64::MAX }
    }

    /// An empty tree with the same limits.
    #[must_use]
    pub fn emptied(&self) -> VmaTree {
        let mut tree = VmaTree::new(self.max_map_count, self.anon_merge);
        tree.memlock_pages = self.memlock_pages;
        tree
    }

    /// Replaces `vm.max_map_count`.
    pub const fn set_max_map_count(&mut self, max_map_count: usize) {
        self.max_map_count = max_map_count;
    }

    /// Replaces the number of pages that may be locked (`RLIMIT_MEMLOCK` of one without `CAP_IPC_LOCK`).
    pub const fn set_memlock_pages(&mut self, pages: u64) {
        self.memlock_pages = pages;
    }

    /// The number of pages that may be locked.
    #[must_use]
    pub const fn memlock_pages(&self) -> u64 {
        self.memlock_pages
    }

    /// Pages of VMAs with `VM_LOCKED`.
    #[must_use]
    pub const fn locked_pages(&self) -> u64 {
        self.locked_pages
    }

    /// Whether `nr_pages` more of a mapping with `flags` may be had, as far as the limit of locked pages goes.
    ///
    /// Source: `mlock_future_ok()`, mm/mmap.c, 6.12.
    #[must_use]
    pub const fn mlock_future_ok(&self, flags: VmFlags, nr_pages: u64) -> bool {
        !flags.contains(VmFlags::LOCKED) || self.locked_pages.saturating_add(nr_pages) <= self.memlock_pages
    }

    /// How many VMAs there are (`mm->map_count`).
    #[must_use]
    pub fn map_count(&self) -> usize {
        self.vmas.len()
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vmas.len() == 0
    }

    /// The limit the tree was made with.
    #[must_use]
    pub const fn max_map_count(&self) -> usize {
        self.max_map_count
    }

    /// Which anonymous neighbours merge.
    #[must_use]
    pub const fn anon_merge_rule(&self) -> AnonMergeRule {
        self.anon_merge
    }

    /// The VMA that maps `vpn`.
    #[must_use]
    pub fn find(&self, vpn: Vpn) -> Option<&Vma> {
        self.vmas.last_at(vpn).filter(|v| v.end() > vpn)
    }

    /// The lowest VMA that ends above `vpn` (`find_vma()`): the one that maps it, or the next above.
    #[must_use]
    pub fn find_at_or_above(&self, vpn: Vpn) -> Option<&Vma> {
        self.find(vpn).or_else(|| self.vmas.range(vpn, Vpn::MAX).next())
    }

    /// The highest VMA that starts below `vpn`.
    #[must_use]
    pub fn find_prev(&self, vpn: Vpn) -> Option<&Vma> {
        self.vmas.last_at(Vpn(vpn.0.checked_sub(1)?))
    }

    /// The lowest VMA with a page in `range` (`find_vma_intersection()`).
    #[must_use]
    pub fn find_first_intersection(&self, range: PageRange) -> Option<&Vma> {
        self.find_at_or_above(range.start()).filter(|v| v.start() < range.end())
    }

    /// The VMAs with a page in `range`, lowest first, each whole.
    pub fn iter_range(&self, range: PageRange) -> impl DoubleEndedIterator<Item = &Vma> {
        let first = self.find(range.start()).map_or(range.start(), Vma::start);
        self.vmas.range(first, range.end())
    }

    /// All VMAs, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.vmas.iter()
    }

    /// The VMAs that start at or below `vpn`, highest first.
    pub(super) fn iter_down(&self, vpn: Vpn) -> impl Iterator<Item = &Vma> {
        self.vmas.up_to(vpn).rev()
    }

    /// Adds a VMA without trying to merge it: how exec, fork and a loaded map build an address space
    /// (`insert_vm_struct()`). The count is not checked.
    ///
    /// # Panics
    /// When a page of `range` is mapped already.
    pub fn insert(
        &mut self,
        range: PageRange,
        flags: VmFlags,
        kind: VmaKind,
        pgoff: Pgoff,
        anon: Option<AnonLink>,
    ) -> VmaId {
        assert!(self.find_first_intersection(range).is_none(), "{range} is mapped already");
        let id = self.fresh_id();
        self.store(Vma { range, pgoff, flags, kind, anon, id });
        id
    }

    /// Replaces the flags of the VMA that maps `vpn`, in place: no split, no merge. Gives the flags before.
    pub fn set_flags(&mut self, vpn: Vpn, flags: VmFlags) -> Option<VmFlags> {
        let mut vma = *self.find(vpn)?;
        let old = std::mem::replace(&mut vma.flags, flags);
        self.store(vma);
        Some(old)
    }

    /// The VMA that maps `vpn` is locked no more, and the count of locked pages stays as it is, too high from then on.
    ///
    /// Source: `dontunmap_complete()`, mm/mremap.c, 6.17 (late releases of 6.12 count right).
    pub fn forget_lock(&mut self, vpn: Vpn) {
        if let Some(vma) = self.find_mut(vpn) {
            vma.flags.remove(VmFlags::LOCKED_MASK);
        }
    }

    /// Replaces the link of the VMA that maps `vpn`. Gives the link before.
    pub fn set_anon(&mut self, vpn: Vpn, link: Option<AnonLink>) -> Option<Option<AnonLink>> {
        self.find_mut(vpn).map(|vma| std::mem::replace(&mut vma.anon, link))
    }

    /// Empties the tree; ids start again.
    pub fn clear(&mut self) {
        self.vmas.clear();
        self.next_id = 0;
        self.locked_pages = 0;
    }

    /// Checks what must hold between VMAs (`validate_mm()`).
    ///
    /// # Panics
    /// When a VMA cannot be found by its start, or two overlap.
    pub fn validate(&self) {
        let mut end = Vpn(0);
        for vma in self.vmas.iter() {
            assert_eq!(self.vmas.get(vma.start()), Some(vma), "the VMA at {} cannot be found", vma.start());
            assert!(end <= vma.start(), "{} overlaps the VMA below it, which ends at {end}", vma.range);
            end = vma.end();
        }
    }

    pub(super) fn find_mut(&mut self, vpn: Vpn) -> Option<&mut Vma> {
        self.vmas.last_at_mut(vpn).filter(|v| v.end() > vpn)
    }

    pub(super) fn fresh_id(&mut self) -> VmaId {
        let id = VmaId(self.next_id);
        self.next_id += 1;
        id
    }

    pub(super) fn store(&mut self, vma: Vma) {
        let replaced = self.vmas.insert(vma);
        self.locked_pages = self.locked_pages + vma.locked_pages() - replaced.map_or(0, |old| old.locked_pages());
    }

    pub(super) fn take(&mut self, start: Vpn) -> Vma {
        let vma = self.vmas.remove(start).unwrap_or_else(|| panic!("no VMA starts at {start}"));
        self.locked_pages -= vma.locked_pages();
        vma
    }

    /// The VMA that ends exactly at `vpn`.
    pub(super) fn ending_at(&self, vpn: Vpn) -> Option<Vma> {
        self.find_prev(vpn).filter(|v| v.end() == vpn).copied()
    }

    /// The VMA that starts exactly at `vpn`.
    pub(super) fn starting_at(&self, vpn: Vpn) -> Option<Vma> {
        self.vmas.get(vpn).copied()
    }

    /// Gives the VMA `vma`, stored under its old start, another range; the object's page follows the start.
    pub(super) fn resize(&mut self, vma: Vma, to: PageRange, changes: &mut VmaChanges) -> Vma {
        let pgoff = if to.start() >= vma.start() {
            vma.pgoff + (to.start() - vma.start())
        } else {
            // A file's first page cannot be passed: the neighbour that gives its pages up has these offsets.
            vma.pgoff - (vma.start() - to.start())
        };
        let resized = Vma { range: to, pgoff, ..vma };
        if to.start() == vma.start() {
            self.store(resized);
        } else {
            self.take(vma.start());
            self.store(resized);
        }
        changes.push(VmaChange::Resized { vma: vma.id, from: vma.range, to });
        resized
    }

    pub(super) fn remove_one(&mut self, vma: Vma, changes: &mut VmaChanges) {
        self.take(vma.start());
        changes.push(VmaChange::Removed { vma: vma.id, range: vma.range });
    }
}
