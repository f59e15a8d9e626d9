//! The lock order learnt by all recorded scenarios together against the one that the recorded kernel had learnt
//! (tests/data/notifier/lockdep_edges.jsonl.gz). Each difference is listed here, with its reason.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

type Edges = BTreeSet<(String, String)>;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Edges learnt here that the kernel had not learnt. Those of the folio lock, which its validator does not see, and of
/// drivers are not counted.
const OURS_ONLY: [(&str, &str, &str); 5] = [
    ("&hugetlbfs_i_mmap_rwsem_key", "&subscriptions->lock", "registration, as below"),
    (
        "&mapping->i_mmap_rwsem",
        "&subscriptions->lock",
        "registration: the kernel takes the reverse maps' locks with a nest_lock",
    ),
    ("kn->active#12", "ksm_thread_mutex", "KSM was not recorded"),
    ("mm_all_locks_mutex", "&subscriptions->lock", "the same"),
    (
        "ptlock_ptr(ptdesc)",
        "ptlock_ptr(ptdesc)#2",
        "mremap of a whole table moves its entries, under their lock, not the pointer",
    ),
];

/// Edges of the memory manager that the kernel had learnt, between classes that are here too, and that are not learnt here.
const THEIRS_ONLY: [(&str, &str, &str); 25] = [
    ("&hugetlbfs_i_mmap_rwsem_key", "&anon_vma->rwsem", "registration takes them by trylock here"),
    ("&hugetlbfs_i_mmap_rwsem_key", "&mapping->i_mmap_rwsem", "registration takes them by trylock here"),
    ("&hugetlbfs_i_mmap_rwsem_key", "&mm->page_table_lock", "tables above the PMDs are not there"),
    ("&hugetlbfs_i_mmap_rwsem_key", "fs_reclaim", "tables above the PMDs are not there"),
    ("&resv_map->rw_sema", "&mm->page_table_lock", "tables above the PMDs are not there"),
    ("&vma_lock->rw_sema", "&mm->page_table_lock", "tables above the PMDs are not there"),
    ("ksm_thread_mutex", "fs_reclaim", "what KSM remembers of a page takes no memory here"),
    ("mm_all_locks_mutex", "&hugetlbfs_i_mmap_rwsem_key", "registration by trylock"),
    ("&ctx->map_changing_lock", "&anon_vma->rwsem", "here by trylock only: huge pages do not move yet"),
    ("&ctx->map_changing_lock", "fs_reclaim", "UFFDIO_COPY holds it; here the page is made by a fault"),
    ("&ctx->map_changing_lock", "ptlock_ptr(ptdesc)", "huge pages"),
    ("&mapping->i_mmap_rwsem", "&anon_vma->rwsem", "registration takes them by trylock here"),
    ("&mm->mmap_lock", "&zone->lock", "the zone's lock is taken near the watermarks only"),
    ("&mm->mmap_lock/1", "&zone->lock", "the zone's lock"),
    ("&vma->vm_lock->lock", "&anon_vma->rwsem", "registration by trylock; huge pages"),
    ("mapping.invalidate_lock#2", "mmu_notifier_invalidate_range_start", "held around i_mmap, which is the edge here"),
    ("mapping.invalidate_lock#2", "ptlock_ptr(ptdesc)#2", "a fault of a file holds it while it maps around"),
    ("mf_mutex", "&anon_vma->rwsem", "huge pages"),
    ("mf_mutex", "&mapping->i_mmap_rwsem", "a walk that does not try first"),
    ("mf_mutex", "&zone->lock", "the zone's lock"),
    ("mf_mutex", "fs_reclaim", "the new frame is taken without reclaim here"),
    ("mm_all_locks_mutex", "&anon_vma->rwsem", "registration by trylock"),
    ("mm_all_locks_mutex", "&mapping->i_mmap_rwsem", "registration by trylock"),
    ("ptlock_ptr(ptdesc)", "&zone->lock", "the zone's lock"),
    ("ptlock_ptr(ptdesc)#2", "&zone->lock", "the zone's lock"),
];

/// The kernel's name of a class: it numbers those of one name in the order of their first use.
fn kernels(class: &str) -> String {
    match class.split_once('/').map_or((class, ""), |(class, sub)| (class, sub)) {
        ("ptlock_ptr(ptdesc)", "") => "ptlock_ptr(ptdesc)#2".to_owned(),
        ("ptlock_ptr(ptdesc)", sub) => format!("ptlock_ptr(ptdesc)#2/{sub}"),
        ("ptlock_ptr(ptdesc)#2", "") => "ptlock_ptr(ptdesc)".to_owned(),
        ("ptlock_ptr(ptdesc)#2", sub) => format!("ptlock_ptr(ptdesc)/{sub}"),
        _ => class.to_owned(),
    }
}

/// What all recorded scenarios learn, in one run each.
fn ours() -> Edges {
    let folder = project().join("sim/scenarios/recorded");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    let output = command.arg("run").args(files).args(["--format", "json"]).output().expect("the tool starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut edges = Edges::new();
    for line in text.lines() {
        let run: Value = serde_json::from_str(line).expect("JSON");
        for edge in run["lock_order"].as_array().expect("edges") {
            let end = |key: &str| kernels(edge[key].as_str().expect("a class"));
            edges.insert((end("from"), end("to")));
        }
    }
    edges
}

/// What the kernel had learnt: all edges, and those of the memory manager.
fn theirs() -> (Edges, Edges) {
    let bytes = fs::read(project().join("tests/data/notifier/lockdep_edges.jsonl.gz")).expect("the edges");
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
    let (mut all, mut mm) = (Edges::new(), Edges::new());
    for line in text.lines() {
        let edge: Value = serde_json::from_str(line).expect("JSON");
        if let (Some(from), Some(to)) = (edge["from"].as_str(), edge["to"].as_str()) {
            let ends = (from.to_owned(), to.to_owned());
            all.insert(ends.clone());
            if edge["mm"] == 1 {
                mm.insert(ends);
            }
        }
    }
    (all, mm)
}

fn listed(list: &[(&str, &str, &str)]) -> Edges {
    let mut reasons: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (from, to, why) in list {
        assert!(reasons.insert((from, to), why).is_none(), "{from} -> {to} is listed twice");
    }
    reasons.into_keys().map(|(from, to)| (from.to_owned(), to.to_owned())).collect()
}

/// Classes that only exist here: the folio lock, and locks of drivers.
fn is_ours(class: &str) -> bool {
    ["folio_lock", "&mirror->lock", "&recorder->lock"].contains(&class)
}

#[test]
fn the_learnt_order_is_the_kernels_but_for_what_is_listed() {
    let (ours, (all, mm)) = (ours(), theirs());
    let extra: Edges = ours.difference(&all).filter(|(from, to)| !is_ours(from) && !is_ours(to)).cloned().collect();
    assert_eq!(extra, listed(&OURS_ONLY), "learnt here, not by the kernel");
    let known: BTreeSet<&String> = ours.iter().flat_map(|(from, to)| [from, to]).collect();
    let missing: Edges =
        mm.difference(&ours).filter(|(from, to)| known.contains(from) && known.contains(to)).cloned().collect();
    assert_eq!(missing, listed(&THEIRS_ONLY), "learnt by the kernel, not here");
    assert!(ours.intersection(&mm).count() >= 40, "{} edges in common", ours.intersection(&mm).count());
}
