//! What differs between kernel versions: a [`Behaviour`] is none of the bugs of `quirks.rs`, but how a release does it.

use bitflags::bitflags;

bitflags! {
    /// Differences from 6.12. A machine is built with a preset.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Behaviour: u32 {
        /// A write to the huge zero page gives a huge page, inside one bracket; before it is split and one page copied.
        /// Since 6.13, `do_huge_zero_wp_pmd()`.
        const HUGE_ZERO_WRITE_ALLOCATES = 1;
        /// Pages of zeros that a split finds are mapped as the zero page. Since 6.13, `try_to_map_unused_to_zeropage()`.
        const SPLIT_UNUSED_TO_ZEROPAGE = 1 << 1;
        /// A page of a huge page that only this address space maps is written without a copy. Since 6.15,
        /// `__wp_can_reuse_large_anon_folio()`.
        const REUSES_LARGE_ANON = 1 << 2;
        /// A protection change opens a bracket for each GiB of page tables, from the first entry of a PMD table that leads
        /// somewhere to the end of the GiB. Up to 6.11, `change_pmd_range()`.
        const BRACKET_FOR_EACH_PUD = 1 << 3;
        /// Faults take `mmap_lock`: there are no VMA locks. Up to 6.3.
        const NO_VMA_LOCKS = 1 << 4;
        /// An empty table of a file that was collapsed is taken away under `mmap_lock` and `i_mmap_rwsem`, both for writing;
        /// where the first is taken it stays. Up to 6.5, `retract_page_tables()`.
        const RETRACTS_UNDER_MMAP_LOCK = 1 << 5;
        /// Unmapping pages of hugetlb has an UNMAP bracket of its own, inside that of `munmap` or `MADV_DONTNEED`, and alone
        /// in truncation. Up to 6.2, `__unmap_hugepage_range()`.
        const HUGETLB_UNMAP_HAS_A_BRACKET = 1 << 6;
        /// There is no `UFFDIO_MOVE` (6.8) and no `PAGEMAP_SCAN` (6.7), and MGLRU asks no subscriber.
        const NO_NEWER_CALLS = 1 << 7;
        /// Secondary TLBs are told at the end of a bracket. Up to 6.5.
        const SECONDARY_AT_RANGE_END = 1 << 8;
        /// A protection change closes the bracket that it opened at address 0: not in any release. See
        /// docs/flaws/mprotect-at-zero.md.
        const CLOSES_BRACKET_AT_ZERO = 1 << 9;
        /// A protection change takes an entry that maps a GiB for a bad table, and clears it. Up to 6.11,
        /// `pud_none_or_clear_bad()` in `change_pud_range()`.
        const MPROTECT_CLEARS_PUD = 1 << 10;
        /// List subscribers are told what an entry will map that is replaced. Up to 6.9, `set_pte_at_notify()`.
        const CHANGE_PTE = 1 << 11;
        /// Shrinkers are called under `shrinker_rwsem`. Up to 6.6.
        const SHRINKER_RWSEM = 1 << 12;
        /// A write takes a private page over that nobody else maps, whoever else holds it. Up to 5.8, `reuse_swap_page()`.
        const REUSES_BY_MAPCOUNT = 1 << 13;
        /// Reclaim flushes what it has unmapped before a page leaves its file or the swap cache: not in any release. See
        /// docs/flaws/deferred-flush.md.
        const FLUSHES_BEFORE_REMOVE_MAPPING = 1 << 14;
    }
}

impl Behaviour {
    /// Those that a scenario can ask for by name, with one line of what they do.
    pub const ALL: [(&'static str, Behaviour, &'static str); 3] = [
        (
            "close-bracket-at-zero",
            Behaviour::CLOSES_BRACKET_AT_ZERO,
            "a protection change closes the bracket that it opened at address 0: a fix that no release has",
        ),
        (
            "reuse-by-mapcount",
            Behaviour::REUSES_BY_MAPCOUNT,
            "a write takes a private page over that nobody else maps, whoever else holds it: as up to 5.8",
        ),
        (
            "flush-before-remove-mapping",
            Behaviour::FLUSHES_BEFORE_REMOVE_MAPPING,
            "reclaim flushes before a page leaves its file or the swap cache: a fix that no release has",
        ),
    ];

    /// The behaviour with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Behaviour> {
        Behaviour::ALL.iter().find(|(name, ..)| *name == word).map(|(_, behaviour, _)| *behaviour)
    }

    /// Linux 6.1: its 31 callers.
    pub const V6_1: Behaviour = Behaviour::BRACKET_FOR_EACH_PUD
        .union(Behaviour::NO_VMA_LOCKS)
        .union(Behaviour::RETRACTS_UNDER_MMAP_LOCK)
        .union(Behaviour::HUGETLB_UNMAP_HAS_A_BRACKET)
        .union(Behaviour::NO_NEWER_CALLS)
        .union(Behaviour::SECONDARY_AT_RANGE_END)
        .union(Behaviour::MPROTECT_CLEARS_PUD)
        .union(Behaviour::CHANGE_PTE)
        .union(Behaviour::SHRINKER_RWSEM);
    /// Linux 6.12: what callbacks were recorded on.
    pub const V6_12: Behaviour = Behaviour::empty();
    /// Linux 6.18: what system calls were recorded on.
    pub const V6_18: Behaviour = Behaviour::HUGE_ZERO_WRITE_ALLOCATES
        .union(Behaviour::SPLIT_UNUSED_TO_ZEROPAGE)
        .union(Behaviour::REUSES_LARGE_ANON);
}
