//! The kernel's selftest of heterogeneous memory (tools/testing/selftests/mm/hmm-tests.c over lib/test_hmm.c), case by case.
//!
//! A case is a scenario: what its program and its device do. Contents are judged by COH, as are all other rules: a case must be
//! silent in its one run and in random ones, and exactly the operations fail in the one run that the kernel's test expects to.
//! `docs/fidelity.md` has the list with what each says of the real one; it must name these cases and no others.

use harness::{ExplorePlan, RunReport};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use system_tests::{parse, run};

/// A case of the suite.
struct Case {
    name: &'static str,
    /// The scenario below the machine.
    body: &'static str,
    /// Operations that must fail in the benign run, in their order: `gpu0.read EFAULT`.
    fails: &'static [&'static str],
}

const fn case(name: &'static str, body: &'static str) -> Case {
    Case { name, body, fails: &[] }
}

const fn failing(name: &'static str, fails: &'static [&'static str], body: &'static str) -> Case {
    Case { name, body, fails }
}

/// As many reads as come too late.
const ANY_EFAULT: &[&str] = &["any EFAULT"];

/// In the order of the kernel's file.
const CASES: &[Case] = &[
    case("open_close", "mm A { vma 0x10000..0x50000 rw anon } device gpu0 : dmirror(A, 0x10000..0x50000) task t { unregister gpu0 }"),
    case(
        "anon_read",
        // Nothing there, the page of zeros, written pages, and a read-only page.
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x15000 } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { read A 0x11000  mprotect A 0x14000..0x15000 r
                  gpu0.read 0x10000  gpu0.read 0x11000  gpu0.read 0x12000  gpu0.read 0x14000 }",
    ),
    failing(
        "anon_read_prot",
        &["gpu0.read EFAULT", "gpu0.read EFAULT"],
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { gpu0.read 0x12000  gpu0.read 0x13000  mprotect A 0x12000..0x14000 none  gpu0.read 0x12000  gpu0.read 0x13000 }",
    ),
    case(
        "anon_write",
        "mm A { vma 0x10000..0x50000 rw anon } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { gpu0.write 0x12000 7  gpu0.write 0x13000 8  read A 0x12000  read A 0x13000 }",
    ),
    failing(
        "anon_write_prot",
        // The kernel's says EPERM; what is behind the page is the page of zeros, replaced when writing is allowed.
        &["gpu0.write EPERM"],
        "mm A { vma 0x10000..0x50000 r anon } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { gpu0.read 0x12000  gpu0.write 0x12000 7  mprotect A 0x12000..0x13000 rw  gpu0.write 0x12000 8  read A 0x12000 }",
    ),
    case(
        "anon_write_child",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } mm B { forked }
         device gpu1 : dmirror(B, 0x10000..0x50000)
         task t { fork A B  register gpu1  gpu1.write 0x12000 7  read A 0x12000  read B 0x12000  gpu1.read 0x13000 }",
    ),
    case(
        "anon_write_child_shared",
        "mm A { vma 0x10000..0x50000 rw anon shared  touch 0x12000..0x14000 } mm B { forked }
         device gpu1 : dmirror(B, 0x10000..0x50000)
         task t { fork A B  register gpu1  gpu1.write 0x12000 7  read A 0x12000  read B 0x12000 }",
    ),
    case(
        "anon_write_huge",
        "mm A { vma 0x400000..0x800000 rw anon } device gpu0 : dmirror(A, 0x400000..0x800000)
         task t { madvise A 0x400000..0x800000 MADV_HUGEPAGE  write A 0x400000 1  gpu0.write 0x400000 7  gpu0.write 0x410000 8
                  read A 0x400000  read A 0x410000 }",
    ),
    case(
        "file_read",
        "mm A { vma 0x10000..0x50000 rw file \"f\" shared  touch 0x12000..0x13000 } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { gpu0.read 0x12000  gpu0.read 0x13000 }",
    ),
    case(
        "file_write",
        "mm A { vma 0x10000..0x50000 rw file \"f\" shared } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { gpu0.write 0x12000 7  read A 0x12000  fsync \"f\"  read A 0x12000 }",
    ),
    case(
        "migrate",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x16000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x16000  gpu0.read 0x12000..0x16000  read A 0x12000  read A 0x15000 }",
    ),
    case(
        "migrate_file_private",
        "mm A { vma 0x10000..0x50000 rw file \"f\" private  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x14000  read A 0x12000  read A 0x13000 }",
    ),
    case(
        "migrate_fault",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x16000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x16000  read A 0x12000  write A 0x13000 5
                  gpu0.migrate_to_dev 0x12000..0x16000  read A 0x13000  read A 0x15000 }",
    ),
    case(
        "migrate_release",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x16000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x16000  gpu0.migrate_to_sys 0x12000..0x16000  unregister gpu0
                  read A 0x12000  read A 0x15000 }",
    ),
    case(
        "migrate_shared",
        // Nothing is migrated. The kernel's then reads the device's pages back, and that fails with ENOENT.
        "mm A { vma 0x10000..0x50000 rw anon shared  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x14000  read A 0x12000 }",
    ),
    failing(
        "migrate_mixed",
        // A hole; then a page of zeros, a read-only one, written ones.
        &["gpu0.migrate_to_dev EINVAL"],
        "mm A { vma 0x10000..0x14000 rw anon  vma 0x16000..0x20000 rw anon  touch 0x12000..0x14000  touch 0x18000..0x1a000 }
         device gpu0 : device_memory(A, 0x10000..0x20000) device gpu1 : device_memory(A, 0x10000..0x20000)
         task t { gpu0.migrate_to_dev 0x12000..0x18000
                  read A 0x17000  mprotect A 0x18000..0x19000 r  gpu0.migrate_to_dev 0x16000..0x18000
                  gpu1.migrate_to_dev 0x19000..0x1a000  read A 0x18000  read A 0x19000 }",
    ),
    case(
        "migrate_multiple",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { repeat 10 { gpu0.migrate_to_dev 0x12000..0x14000  gpu0.migrate_to_sys 0x12000..0x14000  read A 0x12000 } }",
    ),
    case(
        "anon_read_multiple",
        "mm A { vma 0x10000..0x50000 rw anon } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { repeat 10 { write A 0x12000 1  gpu0.read 0x12000  munmap A 0x12000..0x13000  mmap A 0x12000..0x13000 rw anon } }",
    ),
    failing(
        "anon_teardown",
        ANY_EFAULT,
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : dmirror(A, 0x10000..0x50000)
         task t { munmap A 0x10000..0x50000 } task reader { repeat 4 { gpu0.read 0x12000  gpu0.read 0x13000 } }",
    ),
    case(
        "snapshot",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x13000..0x16000 } device gpu0 : dmirror(A, 0x10000..0x50000)
         device gpu1 : device_memory(A, 0x10000..0x50000)
         task t { mprotect A 0x11000..0x12000 none  read A 0x12000  mprotect A 0x13000..0x14000 r
                  gpu1.migrate_to_dev 0x15000..0x16000  gpu0.snapshot 0x10000..0x18000  read A 0x15000 }",
    ),
    case(
        "compound",
        "mm A { vma 0x400000..0x800000 rw anon } device gpu0 : dmirror(A, 0x400000..0x800000)
         task t { madvise A 0x400000..0x800000 MADV_HUGEPAGE  write A 0x400000 1  gpu0.snapshot 0x400000..0x404000
                  mprotect A 0x400000..0x600000 r  gpu0.snapshot 0x400000..0x404000  gpu0.read 0x400000 }",
    ),
    case(
        "double_map",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         device gpu1 : dmirror(A, 0x10000..0x50000)
         task t { gpu1.read 0x12000  gpu0.read 0x12000..0x14000  gpu0.migrate_to_dev 0x12000..0x14000  gpu1.read 0x12000  read A 0x12000 }",
    ),
    case(
        "exclusive",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.exclusive 0x12000..0x14000  write A 0x12000 5  read A 0x13000  gpu0.exclusive 0x12000..0x14000  read A 0x12000 }",
    ),
    failing(
        "exclusive_mprotect",
        &["gpu0.write EPERM"],
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.exclusive 0x12000..0x14000  mprotect A 0x12000..0x14000 r  gpu0.write 0x12000..0x13000  read A 0x12000 }",
    ),
    case(
        "exclusive_cow",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } mm B { forked }
         device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.exclusive 0x12000..0x14000  fork A B  write A 0x12000 5  read B 0x12000  write B 0x13000 6  read A 0x13000 }",
    ),
    case(
        "hmm_gup_test",
        // A long-term pin brings pages of the device back.
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         device grants : gntdev(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x14000  grants.map 0x12000..0x14000  grants.write 0x12000 7  read A 0x12000 }",
    ),
    case(
        "hmm_cow_in_device",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x14000 } mm B { forked }
         device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x14000  fork A B  write A 0x12000 5  read B 0x12000  read A 0x12000  read B 0x13000 }",
    ),
    case(
        "migrate_partial_unmap_fault",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x16000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x16000  munmap A 0x12000..0x14000  read A 0x14000  read A 0x15000 }",
    ),
    case(
        "migrate_remap_fault",
        "mm A { vma 0x10000..0x50000 rw anon  touch 0x12000..0x16000 } device gpu0 : device_memory(A, 0x10000..0x50000)
         task t { gpu0.migrate_to_dev 0x12000..0x16000  mremap A 0x12000..0x16000 0x60000..0x64000  read A 0x60000  read A 0x63000 }",
    ),
];

/// The cases of the kernel's file that need what is not simulated.
const LEFT_OUT: &[&str] = &[
    "anon_write_hugetlbfs",
    "mixedmap",
    "migrate_anon_huge_empty",
    "migrate_anon_huge_zero",
    "migrate_anon_huge_free",
    "migrate_anon_huge_fault",
    "migrate_anon_huge_err",
    "migrate_anon_huge_zero_err",
    "benchmark_thp_migration",
];

/// `gpu0.read EFAULT` for a note `hmm.mms:3 (t): gpu0.read failed: EFAULT`.
fn failures(report: &RunReport) -> Vec<String> {
    let short =
        |note: &String| note.split_once("): ").map_or_else(|| note.clone(), |(_, what)| what.replace(" failed:", ""));
    report.notes.iter().map(short).collect()
}

fn wrong(case: &Case) -> Option<String> {
    let text = format!("scenario \"{}\" machine {{ memory 64M  swap 4M  seed 1 }}\n{}\n", case.name, case.body);
    let experiment = parse("hmm.mms", &text);
    let report = run(&experiment);
    if !report.verdict.as_expected() {
        return Some(format!("{}: {:?}\n{}", case.name, report.verdict.problems, report.summary()));
    }
    let as_told = match case.fails {
        ANY_EFAULT => failures(&report).iter().all(|what| what.ends_with(" EFAULT")),
        fails => failures(&report) == fails,
    };
    if !as_told {
        return Some(format!("{}: {:?} failed, not {:?}", case.name, failures(&report), case.fails));
    }
    let plan = ExplorePlan { seed: 3, runs: 60, jobs: 1, stop_at_first: false };
    let explored = experiment.explore(&plan, &|_| ControlFlow::Continue(()));
    (!explored.findings.is_empty()).then(|| format!("{}: {}", case.name, explored.to_text()))
}

#[test]
fn every_case_of_the_selftest_that_can_be_told_holds() {
    let wrong: Vec<String> = CASES.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(CASES.len() + LEFT_OUT.len(), 38, "the kernel's file has 38 cases");
}

/// A device that does not follow its process is noticed by these cases.
#[test]
fn a_mirror_that_is_wrong_fails_cases() {
    let failing = |mutant: &str| {
        let broken = |case: &&Case| {
            let body = case.body.replace("0x50000)", &format!("0x50000) {{ mutant \"{mutant}\" }}"));
            let text = format!("scenario \"x\" machine {{ memory 64M  seed 1 }}\n{body}\n");
            !case.body.contains("device_memory") && !run(&parse("hmm.mms", &text)).findings.is_empty()
        };
        CASES.iter().filter(broken).map(|case| case.name).collect::<BTreeSet<_>>()
    };
    assert!(!failing("erase-first-page-only").is_empty());
}

#[test]
fn the_document_names_these_cases_and_those_left_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fidelity.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let table = text.lines().skip_while(|line| !line.starts_with("| case of hmm-tests.c |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let named: Vec<(&str, bool)> =
        rows.filter_map(|row| Some((row.split('`').nth(1)?, !row.contains("| left out:")))).collect();
    let expected: Vec<(&str, bool)> =
        CASES.iter().map(|c| (c.name, true)).chain(LEFT_OUT.iter().map(|name| (*name, false))).collect();
    assert_eq!(named, expected);
}
