//! The TLBs of the CPUs: each operation that takes a page away from its place flushes before somebody else may have the page.
//! With flushes that do not reach the other CPU each is found out; as it is, nothing is.

use harness::{ExhaustPlan, ExplorePlan};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use system_tests::parse;

/// What one task does while another one writes and reads the page at 0x10000.
const OPERATIONS: &[(&str, &str)] = &[
    ("munmap", "munmap A 0x10000..0x12000  write A 0x18000 9"),
    ("discard", "madvise A 0x10000..0x12000 MADV_DONTNEED  write A 0x18000 9"),
    ("move", "mremap A 0x10000..0x12000 0x40000..0x42000  madvise A 0x40000..0x42000 MADV_DONTNEED  write A 0x18000 9"),
    ("copy on write", "fork A B  write A 0x10000 7  read B 0x10000  exit B  write A 0x18000 9"),
    ("reclaim", "reclaim A 0x10000..0x12000  write A 0x18000 9  read A 0x10000"),
    ("compaction", "compact A 0x10000..0x12000  write A 0x18000 9  read A 0x10000"),
    ("hole", "madvise A 0x20000..0x22000 MADV_REMOVE  write A 0x18000 9"),
];

fn text(operation: &str) -> String {
    format!(
        "scenario \"tlb\"
         machine {{ cpus 2  memory 16M  swap 4M }}
         mm A {{ vma 0x10000..0x18000 rw anon  vma 0x18000..0x1c000 rw anon  vma 0x20000..0x24000 rw shmem \"f\"
                touch 0x10000..0x12000  touch 0x20000..0x22000 }}
         mm B {{ forked }}
         task op {{ {operation} }}
         task user {{
             write A 0x10000 1  write A 0x20000 1
             repeat 4 {{ read A 0x10000  read A 0x20000  write A 0x10000 2  write A 0x20000 2 }}
         }}
         never {{ deadlock }}"
    )
}

fn found(operation: &str, settings: &[&str], runs: u64) -> BTreeSet<String> {
    let mut experiment = parse("tlb.mms", &text(operation));
    for setting in settings {
        experiment = experiment.with_setting(setting).expect("a setting");
    }
    let plan = ExplorePlan { seed: 3, runs, jobs: 1, stop_at_first: false };
    let report = experiment.explore(&plan, &|_| ControlFlow::Continue(()));
    report.findings.iter().map(|f| f.found.code.as_str().to_owned()).collect()
}

#[test]
fn correct_flushes_leave_nothing_to_find_and_lost_ones_are_found_after_every_operation() {
    let mut wrong = Vec::new();
    for (name, operation) in OPERATIONS {
        let silent = found(operation, &[], 200);
        let lost = found(operation, &["quirks=flush-other-cpus"], 200);
        if !silent.is_empty() || !lost.iter().any(|code| code == "STALE-HARM" || code == "COH") {
            wrong.push(format!("{name}: {silent:?}; flushes lost: {lost:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_page_that_is_written_out_before_its_flush_loses_what_is_written_until_then() {
    let operation = "reclaim A 0x10000..0x14000  read A 0x10000";
    assert_eq!(found(operation, &[], 400), BTreeSet::new());
    let early = found(operation, &["quirks=flush-before-writepage"], 400);
    assert!(early.contains("COH"), "{early:?}");
}

/// A page of a file is reclaimed while one task forbids access to it and another reads it, before and after it knows of that.
const FORBIDDEN_WHILE_RECLAIMED: &str = "scenario \"tlb\"
     machine { cpus 4  memory 16M }
     globals { word done }
     mm A { vma 0x11000..0x12000 r file \"f\" shared  touch 0x11000..0x12000 }
     task reclaim { reclaim A 0x11000..0x12000 }
     task forbid { mprotect A 0x11000..0x12000 none  store done 1 }
     task user {
         read A 0x11000
         load seen done
         if seen is 1 { check_word A 0x11000 not 0x2c7a83318eb8fff9 }
     }";

#[test]
fn in_no_schedule_is_a_page_read_that_was_forbidden_while_its_flush_was_put_off() {
    let found = |quirks: &str| {
        let experiment = parse("tlb.mms", FORBIDDEN_WHILE_RECLAIMED).with_setting(quirks).expect("a setting");
        let report = experiment.exhaust(&ExhaustPlan::default(), &|_| ControlFlow::Continue(()));
        assert!(report.complete, "{:?}", report.left_out());
        report.findings.iter().map(|f| f.found.code.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(found("quirks=none"), BTreeSet::new());
    assert_eq!(found("quirks=flush-batched-pending"), BTreeSet::from(["CHECK".to_owned()]));
}

/// A file of huge pages is cut and punched while others fault its pages in again.
const CUT_WHILE_MAPPED: &str = "scenario \"hugetlb\"
     machine { cpus 4  memory 64M }
     mm A { vma 0x200000..0x600000 rw hugetlb \"h\" shared }
     mm B { vma 0x800000..0xc00000 rw hugetlb \"h\" shared }
     task cut { write A 0x200000 1  truncate \"h\" 0x0 }
     task user { write A 0x200000 2  write A 0x400000 3 }
     task other { write B 0x800000 4  munmap B 0x800000..0xa00000 }
     task again { punch_hole \"h\" 0x0 0x200000  write B 0xa00000 5 }";

#[test]
fn a_huge_page_that_is_faulted_in_again_while_its_file_is_cut_is_unmapped_once_more() {
    let experiment = parse("hugetlb.mms", CUT_WHILE_MAPPED);
    let plan = ExplorePlan { seed: 1, runs: 100, jobs: 1, stop_at_first: false };
    let report = experiment.explore(&plan, &|_| ControlFlow::Continue(()));
    assert!(report.findings.is_empty(), "{}", report.to_text());
}
