//! Bugs switched on: what the memory manager can be made to do wrong, so that an oracle is seen to fail.

use bitflags::bitflags;

bitflags! {
    /// Bugs of the memory manager. None is on unless asked for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Quirks: u32 {
        /// `munmap` clears the entries first and announces the range afterwards.
        const MUNMAP_CLEARS_BEFORE_START = 1;
        /// `munmap` never closes the bracket it opened.
        const MUNMAP_UNPAIRED_END = 1 << 1;
        /// `munmap` clears the entries and frees the pages, and announces the range afterwards.
        const MUNMAP_FREES_BEFORE_START = 1 << 2;
        /// Entries of a huge page of a file go without notice when it is collapsed. Fixed by f268f6cf875f, 2022.
        const NOTIFY_FILE_COLLAPSE = 1 << 3;
        /// Reclaim clears an entry and announces it afterwards. Fixed by 369ea8242c0f, 2017.
        const NOTIFY_BEFORE_UNMAP = 1 << 4;
        /// Of a huge page that is unmapped or moved only the first page is announced. Fixed by 369ea8242c0f, 2017.
        const ANNOUNCE_WHOLE_FOLIO = 1 << 5;
        /// Copy on write maps the copy before it announces the page. Fixed by 48af0d7cb3c8, 2012.
        const CLEAR_BEFORE_SET_IN_COW = 1 << 6;
        /// Registration does not wait for faults under VMA locks. Fixed by e611b0a9a274, 2023.
        const LOCK_VMAS_AT_REGISTRATION = 1 << 7;
        /// What goes with a shared PMD table is announced only as far as was asked for. Fixed by 017b1660df89, 2018.
        const WIDEN_FOR_SHARED_PMDS = 1 << 8;
        /// Mremap lets the page-table locks go before it flushes. Fixed by eb66ae030829, 2018.
        const FLUSH_BEFORE_UNLOCK_IN_MREMAP = 1 << 9;
        /// A write copies a page that a device has pinned, since somebody holds it. Fixed by 6c287605fd56, 2022.
        const REUSE_BY_EXCLUSIVITY = 1 << 10;
        /// Reclaim drops a lazily freed page that a device has written since it was chosen. Fixed by 6c8e2a256915, 2022.
        const RESTORE_LAZYFREE = 1 << 11;
        /// What is unmapped is freed before the TLBs are flushed.
        const FLUSH_BEFORE_FREE = 1 << 12;
        /// A flush reaches the CPU that asks for it only.
        const FLUSH_OTHER_CPUS = 1 << 13;
        /// Whoever finds entries cleared by another returns before that one has flushed. Fixed by 99baac21e458, 2017.
        const FLUSH_WHEN_NESTED = 1 << 14;
        /// Forgetting modifications write-protects entries without notice. Fixed by "soft-dirty: call mmu notifiers when
        /// write-protecting ptes", 2013.
        const NOTIFY_SOFT_DIRTY = 1 << 15;
        /// Unmapping a device's page takes the mapping for anonymous memory, since the page is. Fixed by be3f38d05cc5, 2026.
        const ZAP_DEVICE_PRIVATE_BY_FOLIO = 1 << 16;
        /// Collecting pages for a device flushes when the page-table lock is let go. Fixed by 60bae7370896, 2022.
        const FLUSH_BEFORE_UNLOCK_IN_MIGRATE = 1 << 17;
        /// Zapping dirty pages of a file lets the page-table lock go and flushes later. Fixed by 1cf35d47712d, 2014.
        const FLUSH_DIRTY_BEFORE_UNLOCK = 1 << 18;
        /// Unmapping hugetlb lets the mapping's lock go and flushes later what was mapped by a shared table. Fixed by a4a118f2eead, 2021.
        const FLUSH_AFTER_UNSHARE = 1 << 19;
        /// A look-up of a hugetlb page takes another lock than who changes its entry. Fixed by 5f75cfbd6bb0, 2024.
        const ONE_LOCK_FOR_HUGETLB = 1 << 20;
        /// KSM walks the VMAs of an address space that has exited since it looked. Fixed by 6db504ce55bd, 2023.
        const TEST_EXIT_UNDER_MMAP_LOCK = 1 << 21;
        /// Khugepaged asks subscribers about the first of 512 pages, whichever it looks at. Fixed by "mm/khugepaged: fix the address passed to notifier on testing young", 2025.
        const ASK_ABOUT_PAGE_IN_HAND = 1 << 22;
        /// Khugepaged looks for private pages before it has mmap_lock, and not again; kernel 6.1. Fixed by 023f47a8250c, 2023.
        const TEST_ANON_VMA_UNDER_MMAP_LOCK = 1 << 23;
        /// PAGEMAP_SCAN announces all of its range before it takes mmap_lock, once for every part. Fixed by 4cccb6221cae, 2024.
        const BRACKET_UNDER_MMAP_LOCK = 1 << 24;
        /// Fork write-protects pages without a sequence that look-ups without locks heed. Fixed by 57efa1fe5957, 2020.
        const WRITE_PROTECT_SEQ = 1 << 25;
        /// A shared PMD table is left to others while a look-up without locks walks it. Fixed by 1013af4f585f, 2025.
        const UNSHARE_WAITS_FOR_GUP_FAST = 1 << 26;
        /// A page is pinned for reading although another process shares it: the next write copies. Fixed by 17839856fd58, 2020.
        const UNSHARE_BEFORE_PIN = 1 << 27;
        /// Splitting the entry of a huge page moves its count without the page lock; with behaviour reuse-by-mapcount. Fixed by c444eb564fb1, 2020.
        const LOCK_PAGE_IN_PMD_SPLIT = 1 << 28;
        /// Whoever finds entries cleared by reclaim does not look whether they were flushed. Fixed by 3ea277194daa, 2017.
        const FLUSH_BATCHED_PENDING = 1 << 29;
        /// Reclaim frees a huge page while the flush of its translations is still to come. Fixed by "mm/vmscan: flush deferred
        /// TLB before freeing large folios", 2026.
        const FLUSH_BEFORE_FREEING_LARGE_FOLIOS = 1 << 30;
        /// Reclaim writes a page out while a CPU may still write to it.
        const FLUSH_BEFORE_WRITEPAGE = 1 << 31;
    }
}

impl Quirks {
    /// Each by the name a scenario writes, with one line of what it does wrong.
    pub const ALL: [(&'static str, Quirks, &'static str); 32] = [
        (
            "munmap-clears-before-start",
            Quirks::MUNMAP_CLEARS_BEFORE_START,
            "munmap clears page-table entries before it announces the range",
        ),
        ("munmap-unpaired-end", Quirks::MUNMAP_UNPAIRED_END, "munmap never closes the bracket it opened"),
        (
            "munmap-frees-before-start",
            Quirks::MUNMAP_FREES_BEFORE_START,
            "munmap frees the pages before it announces the range",
        ),
        (
            "notify-file-collapse",
            Quirks::NOTIFY_FILE_COLLAPSE,
            "entries of a huge page of a file go without notice when it is collapsed (fixed by f268f6cf875f, 2022)",
        ),
        (
            "notify-before-unmap",
            Quirks::NOTIFY_BEFORE_UNMAP,
            "reclaim clears an entry and announces it afterwards (fixed by 369ea8242c0f, 2017)",
        ),
        (
            "announce-whole-folio",
            Quirks::ANNOUNCE_WHOLE_FOLIO,
            "of a huge page that is unmapped or moved only the first page is announced (fixed by 369ea8242c0f, 2017)",
        ),
        (
            "clear-before-set-in-cow",
            Quirks::CLEAR_BEFORE_SET_IN_COW,
            "copy on write maps the copy before it announces the page (fixed by 48af0d7cb3c8, 2012)",
        ),
        (
            "lock-vmas-at-registration",
            Quirks::LOCK_VMAS_AT_REGISTRATION,
            "registration does not wait for faults under VMA locks (fixed by e611b0a9a274, 2023)",
        ),
        (
            "widen-for-shared-pmds",
            Quirks::WIDEN_FOR_SHARED_PMDS,
            "what goes with a shared PMD table is announced only as far as was asked for (fixed by 017b1660df89, 2018)",
        ),
        (
            "flush-before-unlock-in-mremap",
            Quirks::FLUSH_BEFORE_UNLOCK_IN_MREMAP,
            "mremap lets the page-table locks go before it flushes (fixed by eb66ae030829, 2018)",
        ),
        (
            "reuse-by-exclusivity",
            Quirks::REUSE_BY_EXCLUSIVITY,
            "a write copies a page that a device has pinned, since somebody holds it (fixed by 6c287605fd56, 2022)",
        ),
        (
            "restore-lazyfree",
            Quirks::RESTORE_LAZYFREE,
            "reclaim drops a lazily freed page that a device has written since it was chosen (fixed by 6c8e2a256915, 2022)",
        ),
        ("flush-before-free", Quirks::FLUSH_BEFORE_FREE, "what is unmapped is freed before the TLBs are flushed"),
        ("flush-other-cpus", Quirks::FLUSH_OTHER_CPUS, "a flush of the TLBs reaches only the CPU that asks for it"),
        (
            "flush-when-nested",
            Quirks::FLUSH_WHEN_NESTED,
            "whoever finds entries cleared by another returns before that one has flushed (fixed by 99baac21e458, 2017)",
        ),
        (
            "notify-soft-dirty",
            Quirks::NOTIFY_SOFT_DIRTY,
            "forgetting modifications (clear_refs 4) write-protects entries without notice (fixed 2013)",
        ),
        (
            "zap-device-private-by-folio",
            Quirks::ZAP_DEVICE_PRIVATE_BY_FOLIO,
            "unmapping a device's page asserts that its mapping is anonymous, as the page is (fixed by be3f38d05cc5, 2026)",
        ),
        (
            "flush-before-unlock-in-migrate",
            Quirks::FLUSH_BEFORE_UNLOCK_IN_MIGRATE,
            "collecting pages for a device flushes when the page-table lock is let go (fixed by 60bae7370896, 2022)",
        ),
        (
            "flush-dirty-before-unlock",
            Quirks::FLUSH_DIRTY_BEFORE_UNLOCK,
            "zapping dirty pages of a file lets the page-table lock go and flushes later (fixed by 1cf35d47712d, 2014)",
        ),
        (
            "flush-after-unshare",
            Quirks::FLUSH_AFTER_UNSHARE,
            "unmapping hugetlb lets the mapping's lock go and flushes later what was mapped by a shared table (fixed by a4a118f2eead, 2021)",
        ),
        (
            "one-lock-for-hugetlb",
            Quirks::ONE_LOCK_FOR_HUGETLB,
            "a look-up of a hugetlb page takes another lock than who changes its entry (fixed by 5f75cfbd6bb0, 2024)",
        ),
        (
            "test-exit-under-mmap-lock",
            Quirks::TEST_EXIT_UNDER_MMAP_LOCK,
            "KSM walks the VMAs of an address space that has exited since it looked (fixed by 6db504ce55bd, 2023)",
        ),
        (
            "ask-about-page-in-hand",
            Quirks::ASK_ABOUT_PAGE_IN_HAND,
            "khugepaged asks subscribers about the first of 512 pages, whichever it looks at (fixed by \"mm/khugepaged: fix the address passed to notifier on testing young\", 2025)",
        ),
        (
            "test-anon-vma-under-mmap-lock",
            Quirks::TEST_ANON_VMA_UNDER_MMAP_LOCK,
            "khugepaged looks for private pages before it has mmap_lock, and not again; kernel 6.1 (fixed by 023f47a8250c, 2023)",
        ),
        (
            "bracket-under-mmap-lock",
            Quirks::BRACKET_UNDER_MMAP_LOCK,
            "PAGEMAP_SCAN announces all of its range before it takes mmap_lock, once for every part (fixed by 4cccb6221cae, 2024)",
        ),
        (
            "write-protect-seq",
            Quirks::WRITE_PROTECT_SEQ,
            "fork write-protects pages without a sequence that look-ups without locks heed (fixed by 57efa1fe5957, 2020)",
        ),
        (
            "unshare-waits-for-gup-fast",
            Quirks::UNSHARE_WAITS_FOR_GUP_FAST,
            "a shared PMD table is left to others while a look-up without locks walks it (fixed by 1013af4f585f, 2025)",
        ),
        (
            "unshare-before-pin",
            Quirks::UNSHARE_BEFORE_PIN,
            "a page is pinned for reading although another process shares it: the next write copies (fixed by 17839856fd58, 2020)",
        ),
        (
            "lock-page-in-pmd-split",
            Quirks::LOCK_PAGE_IN_PMD_SPLIT,
            "splitting the entry of a huge page moves its count without the page lock; with behaviour reuse-by-mapcount (fixed by c444eb564fb1, 2020)",
        ),
        (
            "flush-batched-pending",
            Quirks::FLUSH_BATCHED_PENDING,
            "mprotect, munmap and others do not flush what reclaim has unmapped and not flushed (fixed by 3ea277194daa, 2017)",
        ),
        (
            "flush-before-freeing-large-folios",
            Quirks::FLUSH_BEFORE_FREEING_LARGE_FOLIOS,
            "reclaim frees a huge page before it flushes the translations of it (fixed 2026)",
        ),
        (
            "flush-before-writepage",
            Quirks::FLUSH_BEFORE_WRITEPAGE,
            "reclaim writes a page to swap before it flushes translations that allow writing",
        ),
    ];

    /// The quirk with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Quirks> {
        Quirks::ALL.iter().find(|(name, ..)| *name == word).map(|(_, quirk, _)| *quirk)
    }
}
