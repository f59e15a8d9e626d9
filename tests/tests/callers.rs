//! Every caller of the notifiers that Linux has is reached by a scenario in one run: what it announces, and what it holds then.

use harness::recorded::{Callback, Operation};
use std::collections::BTreeSet;
use std::path::Path;
use system_tests::shipped;

/// One caller, and how it is known among the starts of a run.
struct Caller {
    name: &'static str,
    /// In `sim/scenarios/recorded`.
    scenario: &'static str,
    event: &'static str,
    /// Among the locks held at the start.
    holds: &'static str,
    /// How many pages are announced; 0 is any number.
    pages: u64,
}

const fn caller(
    name: &'static str,
    scenario: &'static str,
    event: &'static str,
    holds: &'static str,
    pages: u64,
) -> Caller {
    Caller { name, scenario, event, holds, pages }
}

/// Linux 6.12.
const V6_12: &[Caller] = &[
    caller("copy_page_range", "fork_plain", "PROTECTION_PAGE", "dup_mmap_sem:R", 8),
    caller("unmap_vmas", "munmap_whole", "UNMAP", "mmap_lock:R", 8),
    caller("zap_page_range_single", "madv_dontneed", "CLEAR", "mmap_lock:R", 8),
    caller("wp_page_copy", "fork_cow_parent", "CLEAR", "vma_lock:Rt", 1),
    caller("remove_device_exclusive_entry", "hmm_exclusive", "EXCLUSIVE", "vma_lock:Rt", 1),
    caller("move_page_tables", "mremap_move", "UNMAP", "mmap_lock:W", 4),
    caller("change_pud_range", "mprotect_touched", "PROTECTION_VMA", "mmap_lock:W", 8),
    caller("madvise_free_single_vma", "madv_free", "CLEAR", "mmap_lock:R", 4),
    caller("write_protect_page", "ksm", "CLEAR", "ksm_thread_mutex:W", 1),
    caller("replace_page", "ksm", "CLEAR", "ksm_thread_mutex:W", 1),
    caller("__split_huge_pud", "dax_split", "CLEAR", "mmap_lock:R", 262_144),
    caller("__split_huge_pmd", "thp_munmap", "CLEAR", "anon_vma:W", 512),
    caller("collapse_huge_page", "collapse_anon", "CLEAR", "anon_vma:W", 512),
    caller("retract_page_tables", "collapse_shmem", "CLEAR", "i_mmap_rwsem:R", 512),
    caller("collapse_pte_mapped_thp", "collapse_ptemapped", "CLEAR", "mmap_lock:R", 512),
    caller("page_vma_mkclean_one", "msync_clean", "PROTECTION_PAGE", "i_mmap_rwsem:Rt", 1),
    caller("try_to_unmap_one", "madv_pageout", "CLEAR", "anon_vma:Rt", 1),
    caller("try_to_migrate_one", "move_pages_", "CLEAR", "anon_vma:Rt", 1),
    caller("page_make_device_exclusive_one", "hmm_exclusive", "EXCLUSIVE", "anon_vma:Rt", 1),
    caller("migrate_vma_collect", "hmm_migrate", "MIGRATE", "mmap_lock:R", 0),
    caller("__migrate_device_pages", "hmm_migrate", "MIGRATE", "mmap_lock:R", 8),
    caller("__oom_reap_task_mm", "oom_reap", "UNMAP", "mmap_lock:Rt", 0),
    caller("wp_clean_pre_vma", "wp_clean", "PROTECTION_PAGE", "i_mmap_rwsem:R", 4),
    caller("__replace_page", "uprobe", "CLEAR", "dup_mmap_sem:W", 1),
    caller("clear_refs_write", "clear_refs", "SOFT_DIRTY", "mmap_lock:W", 0),
    caller("pagemap_scan", "uffd_async_scan", "PROTECTION_VMA", "mmap_lock:R", 8),
    caller("move_pages_pte", "uffd_copy", "CLEAR", "&ctx->map_changing_lock:R", 1),
    caller("move_pages_huge_pmd", "uffd_move_thp", "CLEAR", "&ctx->map_changing_lock:R", 512),
    caller("copy_hugetlb_page_range", "hugetlb_cow", "CLEAR", "dup_mmap_sem:R", 1024),
    caller("move_hugetlb_page_tables", "hugetlb_basic", "CLEAR", "mmap_lock:W", 512),
    caller("unmap_hugepage_range", "hugetlb_file", "CLEAR", "&hugetlbfs_i_mmap_rwsem_key:W", 512),
    caller("hugetlb_wp", "hugetlb_cow", "CLEAR", "&hugetlb_fault_mutex_table[i]:W", 512),
    caller("hugetlb_change_protection", "hugetlb_basic", "PROTECTION_VMA", "mmap_lock:W", 1024),
    caller("hugetlb_unshare_pmds", "hugetlb_unshare_uffd", "CLEAR", "mmap_lock:W", 262_144),
];

/// Linux 6.1. `zap_page_range` is what `MADV_DONTNEED` calls there.
const V6_1: &[Caller] = &[
    caller("copy_page_range", "fork_plain", "PROTECTION_PAGE", "dup_mmap_sem:R", 8),
    caller("unmap_vmas", "munmap_whole", "UNMAP", "mmap_lock:R", 8),
    caller("zap_page_range", "madv_dontneed", "CLEAR", "mmap_lock:R", 8),
    caller("zap_page_range_single", "trunc_file", "CLEAR", "i_mmap_rwsem:R", 0),
    caller("wp_page_copy", "fork_cow_parent", "CLEAR", "mmap_lock:Rt", 1),
    caller("remove_device_exclusive_entry", "hmm_exclusive", "EXCLUSIVE", "mmap_lock:Rt", 1),
    caller("move_page_tables", "mremap_move", "UNMAP", "mmap_lock:W", 4),
    caller("change_pmd_range", "mprotect_touched", "PROTECTION_VMA", "mmap_lock:W", 8),
    caller("madvise_free_single_vma", "madv_free", "CLEAR", "mmap_lock:R", 4),
    caller("write_protect_page", "ksm", "CLEAR", "ksm_thread_mutex:W", 1),
    caller("replace_page", "ksm", "CLEAR", "ksm_thread_mutex:W", 1),
    caller("__split_huge_pud", "dax_split", "CLEAR", "mmap_lock:R", 262_144),
    caller("__split_huge_pmd", "thp_munmap", "CLEAR", "anon_vma:W", 512),
    caller("collapse_huge_page", "collapse_anon", "CLEAR", "anon_vma:W", 512),
    caller("collapse_and_free_pmd", "collapse_shmem", "CLEAR", "i_mmap_rwsem:W", 512),
    caller("page_vma_mkclean_one", "msync_clean", "PROTECTION_PAGE", "i_mmap_rwsem:Rt", 1),
    caller("try_to_unmap_one", "madv_pageout", "CLEAR", "anon_vma:Rt", 1),
    caller("try_to_migrate_one", "move_pages_", "CLEAR", "anon_vma:Rt", 1),
    caller("page_make_device_exclusive_one", "hmm_exclusive", "EXCLUSIVE", "anon_vma:Rt", 1),
    caller("migrate_vma_collect", "hmm_migrate", "MIGRATE", "mmap_lock:R", 0),
    caller("migrate_vma_pages", "hmm_migrate", "MIGRATE", "mmap_lock:R", 8),
    caller("__oom_reap_task_mm", "oom_reap", "UNMAP", "mmap_lock:Rt", 0),
    caller("wp_clean_pre_vma", "wp_clean", "PROTECTION_PAGE", "i_mmap_rwsem:R", 4),
    caller("__replace_page", "uprobe", "CLEAR", "dup_mmap_sem:W", 1),
    caller("clear_refs_write", "clear_refs", "SOFT_DIRTY", "mmap_lock:W", 0),
    caller("copy_hugetlb_page_range", "hugetlb_cow", "CLEAR", "dup_mmap_sem:R", 1024),
    caller("move_hugetlb_page_tables", "hugetlb_basic", "CLEAR", "mmap_lock:W", 512),
    caller("__unmap_hugepage_range", "hugetlb_file", "UNMAP", "&hugetlbfs_i_mmap_rwsem_key:W", 512),
    caller("hugetlb_wp", "hugetlb_cow", "CLEAR", "&hugetlb_fault_mutex_table[i]:W", 512),
    caller("hugetlb_change_protection", "hugetlb_basic", "PROTECTION_VMA", "mmap_lock:W", 1024),
    caller("hugetlb_unshare_pmds", "hugetlb_unshare_uffd", "CLEAR", "mmap_lock:W", 262_144),
];

fn starts(scenario: &str, settings: &[&str]) -> Vec<Callback> {
    let played = shipped(&format!("recorded/{scenario}.mms"), settings).play();
    let all = played.operations.into_iter().flat_map(|Operation { callbacks, .. }| callbacks);
    all.filter(|callback| callback.hook == "start").collect()
}

fn nr_pages(callback: &Callback) -> Option<u64> {
    let (start, end) = callback.range.as_ref()?;
    Some(end.parse::<u64>().ok()? - start.parse::<u64>().ok()?)
}

/// The callers that no start of their scenario fits.
fn unreached(callers: &[Caller], settings: &[&str]) -> Vec<String> {
    let fits = |caller: &Caller, callback: &Callback| {
        let held = callback.locks.iter().any(|lock| lock == caller.holds);
        let size = caller.pages == 0 || nr_pages(callback) == Some(caller.pages);
        callback.event == caller.event && held && size
    };
    let mut unreached = Vec::new();
    for caller in callers {
        let starts = starts(caller.scenario, settings);
        if !starts.iter().any(|callback| fits(caller, callback)) {
            let seen: BTreeSet<String> = starts.iter().map(Callback::to_string).collect();
            unreached.push(format!("{} in {}: {seen:#?}", caller.name, caller.scenario));
        }
    }
    unreached
}

#[test]
fn the_callers_of_6_12_are_reached() {
    assert_eq!(unreached(V6_12, &[]), Vec::<String>::new());
    assert_eq!(V6_12.len(), 34);
}

#[test]
fn the_callers_of_6_1_are_reached_under_its_preset() {
    assert_eq!(unreached(V6_1, &["kernel=6.1"]), Vec::<String>::new());
    assert_eq!(V6_1.len(), 31);
}

#[test]
fn the_preset_6_1_differs_where_6_1_does() {
    let hooks = |scenario: &str, settings: &[&str]| {
        let played = shipped(&format!("recorded/{scenario}.mms"), settings).play();
        let all = played.operations.into_iter().flat_map(|op| op.callbacks);
        all.filter(|c| c.hook != "release").map(|c| (c.hook, c.range)).collect::<Vec<_>>()
    };
    // Three GiB, a page in each: one bracket, or one for each GiB from the first entry that leads somewhere.
    let ranges = |settings| {
        let of = |c: &Callback| c.event == "PROTECTION_VMA";
        let all = starts("mprotect_puds", settings);
        all.iter().filter(|c| of(c)).filter_map(|c| c.range.clone()).collect::<Vec<_>>()
    };
    let text = |start: &str, end: &str| (start.to_owned(), end.to_owned());
    assert_eq!(ranges(&[])[0], text("0", "786432"));
    let each = [text("0", "262144"), text("268800", "524288"), text("524288", "786432")];
    assert_eq!(ranges(&["kernel=6.1"])[..3], each);
    // A fork flushes once, after its brackets; in 6.1 secondary TLBs hear at each end, before the subscriber's end.
    let fork = hooks("fork_plain", &["kernel=6.1"]);
    let words: Vec<&str> = fork.iter().take(3).map(|(hook, _)| hook.as_str()).collect();
    assert_eq!(words, ["start", "secondary_tlb", "end"]);
    assert_eq!(fork[1].1, fork[0].1, "the whole range");
    // A copy on write tells them in the step that clears the entry, and not again at the end.
    let copied: Vec<String> = hooks("cow_zero", &["kernel=6.1"]).into_iter().map(|(hook, _)| hook).collect();
    assert_eq!(copied, ["start", "secondary_tlb", "change_pte", "end"]);
    // There is no UFFDIO_MOVE: nothing is announced.
    assert_eq!(starts("uffd_move_thp", &["kernel=6.1"]).len(), 0);
}

/// Who replaces a page tells list subscribers of 6.1 by what: under the page-table lock, before the entry is set.
#[test]
fn change_pte_is_called_by_each_of_its_callers_under_6_1_and_by_none_under_6_12() {
    // KSM protects four pages and merges three with one of them; four copies follow.
    for (caller, scenario, calls) in
        [("wp_page_copy", "fork_cow_parent", 4), ("ksm", "ksm", 11), ("__replace_page", "uprobe", 1)]
    {
        let told = |settings: &[&str]| {
            let played = shipped(&format!("recorded/{scenario}.mms"), settings).play();
            let all = played.operations.into_iter().flat_map(|op| op.callbacks);
            all.filter(|callback| callback.hook == "change_pte").collect::<Vec<_>>()
        };
        assert_eq!(told(&[]), [], "{caller}");
        let told = told(&["kernel=6.1"]);
        assert_eq!(told.len(), calls, "{caller}: {told:#?}");
        for callback in told {
            assert!(callback.locks.iter().any(|lock| lock.starts_with("pte_ptl")), "{caller}: {callback}");
            assert!(callback.pages.starts_with('.'), "{caller}: {callback}");
        }
    }
}

/// The first cells of the table of callers in `docs/fidelity.md` name the functions.
#[test]
fn the_document_names_these_callers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fidelity.md");
    let text = std::fs::read_to_string(path).expect("docs/fidelity.md");
    for name in V6_12.iter().map(|c| c.name).chain(V6_1.iter().map(|c| c.name)) {
        assert!(text.contains(&format!("`{name}`")), "{name} is not in docs/fidelity.md");
    }
}
