//! Cases of the kernel's suites as functions: each panics if the case fails.

mod hmm;
mod locks;
mod marks;
mod moves;
mod pins;
mod world;

/// One case, or some in a row.
pub(crate) struct Case {
    pub(crate) suite: &'static str,
    /// First and last.
    pub(crate) cases: (u32, u32),
    pub(crate) what: &'static str,
    pub(crate) run: fn(),
}

macro_rules! cases {
    ($($suite:literal $first:literal $(-$last:literal)?: $what:literal => $run:path,)*) => {
        pub(crate) const CASES: &[Case] = &[$(Case {
            suite: $suite,
            cases: cases!(@range $first $($last)?),
            what: $what,
            run: $run,
        },)*];
    };
    (@range $first:literal) => { ($first, $first) };
    (@range $first:literal $last:literal) => { ($first, $last) };
}

cases! {
    "tools/testing/vma" 6: "special flags never merge" => moves::special_flags,
    "mremap_test.c" 10-13: "2 GiB moved, by alignment" => moves::two_gib,
    "mremap_test.c" 26: "a VMA of userfaultfd among those that move" => moves::armed_vma,
    "guard-regions.c" 3: "guards by a vector of ranges" => moves::process_madvise,
    "merge.c" 9: "adjacent mappings of a process that merges its pages" => marks::memory_merge,
    "guard-regions.c" 18: "guards fire with a userfaultfd for missing pages" => marks::guards_under_userfaultfd,
    "guard-regions.c" 25: "guards in a mapping of a file that is sealed" => marks::guards_in_a_sealed_file,
    "guard-regions.c" 28: "the page-map scan tells of guards" => marks::guards,
    "cow.c" 3: "a reference in the child, unmapped there" => pins::spliced_in_child,
    "cow.c" 4: "the same, with mprotect in between" => pins::spliced_in_child_protected,
    "cow.c" 5: "a reference in the parent before the fork, unmapped there" => pins::spliced_before_fork,
    "cow.c" 6: "a reference in the parent after the fork, unmapped there" => pins::spliced_after_fork,
    "cow.c" 7: "a pinned page that was read-only for a while" => pins::pinned_protected,
    "cow.c" 8: "a fork with a pin" => pins::pinned_fork,
    "cow.c" 9-10: "a pin for reading of a shared page" => pins::read_pin_shared,
    "cow.c" 11-12: "a pin for reading of a page that was shared" => pins::read_pin_previously_shared,
    "cow.c" 13-14: "a pin for reading of an exclusive page" => pins::read_pin_exclusive,
    "cow.c" 20-21: "a pin for reading of what is not the process's own" => pins::read_pin_of_others,
    "madv_populate.c" 17-21: "soft-dirty by populating for writing, not for reading" => marks::populate_soft_dirty,
    "mlock2-tests.c" 5-6: "all that will be mapped is locked" => locks::future,
    "mlock2-tests.c" 7-10: "the same, when it is faulted in; then all there is" => locks::future_on_fault,
    "mlock2-tests.c" 13: "a part unlocked, and the rest, under mlockall" => locks::vma_management,
    "hmm-tests.c" 1: "open_close" => hmm::open_close,
    "hmm-tests.c" 2: "anon_read" => hmm::anon_read,
    "hmm-tests.c" 3: "anon_read_prot" => hmm::anon_read_prot,
    "hmm-tests.c" 4: "anon_write" => hmm::anon_write,
    "hmm-tests.c" 5: "anon_write_prot" => hmm::anon_write_prot,
    "hmm-tests.c" 6: "anon_write_child" => hmm::anon_write_child,
    "hmm-tests.c" 7: "anon_write_child_shared" => hmm::anon_write_child_shared,
    "hmm-tests.c" 8: "anon_write_huge" => hmm::anon_write_huge,
    "hmm-tests.c" 10: "file_read" => hmm::file_read,
    "hmm-tests.c" 11: "file_write" => hmm::file_write,
    "hmm-tests.c" 12: "migrate" => hmm::migrate,
    "hmm-tests.c" 13: "migrate_file_private" => hmm::migrate_file_private,
    "hmm-tests.c" 14: "migrate_fault" => hmm::migrate_fault,
    "hmm-tests.c" 15: "migrate_release" => hmm::migrate_release,
    "hmm-tests.c" 16: "migrate_shared" => hmm::migrate_shared,
    "hmm-tests.c" 18: "migrate_multiple" => hmm::migrate_multiple,
    "hmm-tests.c" 19: "anon_read_multiple" => hmm::anon_read_multiple,
    "hmm-tests.c" 20: "anon_teardown" => hmm::anon_teardown,
    "hmm-tests.c" 24: "double_map" => hmm::double_map,
    "hmm-tests.c" 25: "exclusive" => hmm::exclusive,
    "hmm-tests.c" 26: "exclusive_mprotect" => hmm::exclusive_mprotect,
    "hmm-tests.c" 27: "exclusive_cow" => hmm::exclusive_cow,
    "hmm-tests.c" 28: "hmm_gup_test" => hmm::gup_of_device_pages,
    "hmm-tests.c" 29: "hmm_cow_in_device" => hmm::cow_in_device,
    "hmm-tests.c" 34: "migrate_partial_unmap_fault" => hmm::partial_unmap_fault,
    "hmm-tests.c" 35: "migrate_remap_fault" => hmm::remap_fault,
}
