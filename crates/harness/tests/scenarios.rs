//! Scenarios as text, run: what tasks and inline drivers do, what is noted, what a setting changes.

use harness::{ExhaustPlan, Experiment, Mode, Recipe, Registry, RunReport};
use std::ops::ControlFlow;

#[track_caller]
fn load(text: &str) -> Experiment {
    harness::install_panic_hook();
    Experiment::load(&Registry::builtin(), "test.mms", text).unwrap_or_else(|mistakes| {
        let all: Vec<String> = mistakes.iter().map(|m| m.render("test.mms", text, false)).collect();
        panic!("{}", all.join("\n"))
    })
}

#[track_caller]
fn run(text: &str) -> RunReport {
    load(text).run(Recipe { mode: Mode::Benign, seed: 1, run: 0 }, true)
}

/// Runs `body` (sections behind the title) and expects no finding.
#[track_caller]
fn clean(body: &str) -> RunReport {
    let report = run(&format!("scenario \"test\"\n{body}"));
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.end.word(), "finished");
    report
}

#[track_caller]
fn found(body: &str, code: &str) -> RunReport {
    let report = run(&format!("scenario \"test\"\n{body}"));
    assert!(
        report.findings.iter().any(|f| f.code == code),
        "no {code} in {:?}\n{}",
        report.findings,
        report.log.join("\n")
    );
    report
}

const MM: &str = "mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }\n";

const TOY: &str = "device toy : interval(A, 0x10000..0x50000) {
    mutex lock
    on invalidate(range) { if blockable { with lock { set_seq zap range } } else { refuse } }
    op bind(range) { retry { read_begin  fault range  with lock { check_retry  map range } } }
    op careless(range) { read_begin  fault range  with lock { map range } }
}\n";

#[test]
fn a_bound_device_reads_and_writes_what_the_cpu_does() {
    let report = clean(&format!(
        "{MM}{TOY}task t {{ toy.bind 0x10000..0x12000  toy.read 0x10000  toy.write 0x11000 7  read A 0x11000 }}"
    ));
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert_eq!(report.log.iter().filter(|l| l.contains("device d0")).count(), 3, "{}", report.log.join("\n"));
}

#[test]
fn what_fails_is_noted_with_its_line() {
    let report =
        clean(&format!("{MM}{TOY}task t {{\n  toy.read 0x10000\n  read A 0x90000\n  munmap A 0x10000..0x11000\n}}"));
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    assert!(report.notes[0].starts_with("test.mms:10 (t): toy.read failed: EFAULT"), "{:?}", report.notes);
    assert!(report.notes[1].starts_with("test.mms:11 (t): read 0x90000"), "{:?}", report.notes);
}

#[test]
fn an_unmapped_page_is_revoked_and_a_later_access_faults() {
    let report = clean(&format!(
        "{MM}{TOY}task t {{ toy.bind 0x10000..0x12000  munmap A 0x10000..0x11000  toy.read 0x11000  toy.read 0x10000 }}"
    ));
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.callbacks.contains(&("toy".to_owned(), "invalidate", 1)), "{:?}", report.callbacks);
}

#[test]
fn publishing_without_asking_read_retry_is_found() {
    found(&format!("{MM}{TOY}task t {{ toy.careless 0x10000..0x11000 }}"), "SEQ");
}

#[test]
fn sleeping_under_a_spinlock_is_found() {
    let device =
        "device toy : interval(A, 0x10000..0x50000) { spinlock s  on invalidate(range) { set_seq zap range } }\n";
    found(&format!("{MM}{device}task t {{ with toy.s {{ alloc 1 GFP_KERNEL }} }}"), "CTX");
    clean(&format!("{MM}{device}task t {{ with toy.s {{ alloc 1 GFP_ATOMIC }} }}"));
}

#[test]
fn a_list_driver_that_zaps_at_the_end_is_stale() {
    let device =
        |callback| format!("device toy : list(A) {{ mutex m  on {callback}(range) {{ with m {{ zap range }} }} }}\n");
    // Two tasks: the device reads between start and end. Exploration finds a schedule in which it does.
    let body = |callback| {
        format!(
            "scenario \"test\"\n{MM}{}task map {{ toy.map 0x10000..0x12000  sync mapped  repeat 8 {{ toy.read 0x10000 }} }}\n\
             task unmap {{ sync go  munmap A 0x10000..0x12000 }}\norder {{ map@user.mapped < unmap@user.go }}",
            device(callback)
        )
    };
    let explore = |text: &str| {
        let plan = harness::ExplorePlan { seed: 1, runs: 300, jobs: 1, stop_at_first: false };
        let report = load(text).explore(&plan, &|_| std::ops::ControlFlow::Continue(()));
        report.findings.iter().map(|f| f.found.code.clone()).collect::<Vec<_>>()
    };
    assert!(explore(&body("end")).contains(&"STALE".to_owned()));
    assert_eq!(explore(&body("start")), Vec::<String>::new());
}

#[test]
fn a_device_can_be_registered_and_unregistered_by_a_task() {
    let report = clean(&format!(
        "{MM}{TOY}task t {{ munmap A 0x10000..0x11000  register toy  munmap A 0x11000..0x12000  unregister toy  munmap A 0x12000..0x13000 }}"
    ));
    assert!(report.callbacks.contains(&("toy".to_owned(), "invalidate", 1)), "{:?}", report.callbacks);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn reclaim_of_named_pages_reaches_the_device_and_swap_brings_them_back() {
    let report = clean(&format!(
        "machine {{ memory 16M  swap 4M }}\n{MM}{TOY}task t {{ toy.bind 0x10000..0x12000  reclaim A 0x10000..0x11000  swapin A 0x10000..0x11000  read A 0x10000 }}"
    ));
    assert_eq!(report.reclaim_invalidations, 1);
    assert!(report.log.iter().any(|l| l.contains("swap out")) && report.log.iter().any(|l| l.contains("swap in")));
}

#[test]
fn a_request_that_reclaim_cannot_meet_says_so() {
    let body = format!("machine {{ swap 0M }}\n{MM}task t {{ reclaim A 0x10000..0x11000 }}");
    let report = found(&body, "PROG-REQUEST");
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].contains("0 of 1 pages freed"), "{:?}", report.notes);
}

#[test]
fn expectations_assertions_and_never_are_judged() {
    let text = format!(
        "scenario \"test\"\nexpect {{ STALE }}\n{MM}task t {{ read A 0x10000 }}\nassert {{ blocked_tasks == 3  edge \"a\" -> \"b\" }}"
    );
    let report = run(&text);
    let problems = &report.verdict.problems;
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems[0].contains("expected STALE")
            && problems[1].contains("it was 0")
            && problems[2].contains("not learnt")
    );
}

#[test]
fn settings_are_checked_like_the_file() {
    let experiment =
        load(&format!("scenario \"test\"\n{MM}device g : i915_userptr(A, 0x10000..0x20000)\ntask t {{ yield }}"));
    let wrong = |setting: &str| experiment.with_setting(setting).err().unwrap_or_else(|| panic!("{setting} was taken"));
    assert!(wrong("range_start").contains("SETTING=VALUE"));
    assert!(wrong("range_start=globel").contains("global"), "{}", wrong("range_start=globel"));
    assert!(wrong("range_strat=none").contains("range_start"), "{}", wrong("range_strat=none"));
    assert!(wrong("g.mutant=1999").contains("2019"));
    assert!(wrong("h.mutant=2019").contains("no device"));
    let other = experiment.with_setting("g.mutant=2019").expect("a mutant it has");
    assert_ne!(other.hash(), experiment.hash());
    assert_eq!(other.with_setting("g.mutant=none").expect("none").hash(), experiment.hash());
    assert_eq!(
        experiment.with_setting("seed=9").expect("a seed").hash(),
        experiment.hash(),
        "a token carries its seed"
    );
    assert_ne!(experiment.with_setting("memory=1M").expect("memory").hash(), experiment.hash());
}

#[test]
fn every_listing_names_what_the_vocabulary_knows() {
    let registry = Registry::builtin();
    let listed: String = harness::listing::drivers(&registry).into_iter().map(|(name, _)| name + "\n").collect();
    for (name, words) in &registry.vocabulary().drivers {
        assert!(listed.contains(name.as_str()), "{name}");
        assert!(words.mutants.iter().all(|m| listed.contains(m.as_str())), "{name}: {:?}", words.mutants);
    }
    assert!(harness::listing::sync_points(&registry).iter().all(|(_, doc)| !doc.is_empty()));
}

#[test]
fn a_steered_choice_is_taken_whatever_the_seed() {
    let reclaims = |steer: &str, mode: Mode| -> Vec<u64> {
        let task = "task t { toy.bind 0x10000..0x14000  alloc 1 GFP_KERNEL }";
        let experiment = load(&format!("scenario \"test\"\n{MM}{TOY}{task}\n{steer}"));
        (0..20).map(|seed| experiment.run(Recipe { mode, seed, run: 0 }, false).reclaim_invalidations).collect()
    };
    let all = |reclaims: Vec<u64>, n: u64| assert!(reclaims.iter().all(|r| *r == n), "{reclaims:?}");
    all(reclaims("", Mode::Benign), 0);
    // Binding allocates as well: which number the last allocation has is found out.
    let of_number = |n: u32| reclaims(&format!("steer {{ t reclaim {n} takes 1 }}"), Mode::Benign);
    let last = (1..20).rev().find(|n| of_number(*n)[0] > 0).expect("an allocation that may reclaim");
    all(of_number(last), 1);
    all(of_number(last + 1), 0);
    // A random run has no say in it, either.
    let every =
        |taken: u32| (1..=last).map(move |n| format!("t reclaim {n} takes {}", if n == last { taken } else { 0 }));
    let steer = |taken| format!("steer {{ {} t victim 1 takes 0 }}", every(taken).collect::<Vec<_>>().join(" "));
    all(reclaims(&steer(1), Mode::Random), 1);
    all(reclaims(&steer(0), Mode::Random), 0);
    // An option that is not there is not taken.
    all(reclaims(&format!("steer {{ t reclaim {last} takes 2 }}"), Mode::Benign), 0);
}

#[test]
fn a_victim_is_named_by_where_it_is_mapped() {
    let reclaims = |touched: &str, victim: &str, mode: Mode| -> Vec<u64> {
        let bystander = format!("mm Z {{ vma 0x10000..0x20000 rw anon  touch {touched} }}\n");
        let toy = "device toy : interval(A, 0x12000..0x13000) { on invalidate(range) { set_seq } }";
        let steer = format!("steer {{ t reclaim 1 takes 1  t victim 1 takes {victim} }}");
        let text = format!("scenario \"test\"\n{bystander}{MM}{toy}\ntask t {{ alloc 1 GFP_KERNEL }}\n{steer}");
        let experiment = load(&text);
        (0..20).map(|seed| experiment.run(Recipe { mode, seed, run: 0 }, false).reclaim_invalidations).collect()
    };
    // How many pages come before it makes its number another one, and no other address.
    for touched in ["0x10000..0x11000", "0x10000..0x14000"] {
        for mode in [Mode::Benign, Mode::Random] {
            assert_eq!(reclaims(touched, "A 0x12fff", mode), [1; 20], "{touched} {mode:?}");
            assert_eq!(reclaims(touched, "A 0x11000", mode), [0; 20], "{touched} {mode:?}");
            assert_eq!(reclaims(touched, "Z 0x10000", mode), [0; 20], "{touched} {mode:?}");
        }
    }
    assert_ne!(reclaims("0x10000..0x11000", "3", Mode::Benign), reclaims("0x10000..0x14000", "3", Mode::Benign));
    // Nothing is mapped there: it is left to the schedule.
    assert_ne!(reclaims("0x10000..0x11000", "A 0x14000", Mode::Random), [0; 20]);
}

#[test]
fn a_process_that_may_map_low_addresses_does() {
    clean("mm A { vma 0x0..0x2000 rw anon  touch 0x0..0x2000 }\ntask t { read A 0x1000  munmap A 0x0..0x1000 }");
}

const TWO_ALLOCATIONS: &str = "mm A { vma 0x10000..0x50000 rw anon }
globals { word served }
task t { alloc 1 GFP_ATOMIC  add served 1  alloc 1 GFP_ATOMIC }\n";

/// What the second allocation of `t` came to.
fn failed(report: &RunReport) -> Vec<&str> {
    report.notes.iter().map(String::as_str).filter(|note| note.contains("failed")).collect()
}

#[test]
fn an_allocation_that_is_steered_to_fails_and_no_other() {
    assert_eq!(failed(&clean(TWO_ALLOCATIONS)), [""; 0]);
    let steered = clean(&format!("{TWO_ALLOCATIONS}steer {{ t fail 2 takes 1 }}"));
    assert_eq!(failed(&steered), ["test.mms:4 (t): alloc 1 GFP_ATOMIC failed: ENOMEM"]);
}

#[test]
fn the_schedule_lets_allocations_fail_where_it_is_asked_to() {
    let explored = |machine: &str| {
        let text = format!("scenario \"test\"\n{machine}{TWO_ALLOCATIONS}");
        let all = load(&text).exhaust(&ExhaustPlan::default(), &|_| ControlFlow::Continue(()));
        assert!(all.complete, "{:?}", all.left_out());
        all.tally.executions
    };
    assert_eq!(explored(""), 1);
    assert_eq!(explored("machine { failures on }\n"), 4, "each fails or does not");
    // A benign run takes the benign option.
    assert_eq!(failed(&clean(&format!("machine {{ failures on }}\n{TWO_ALLOCATIONS}"))), [""; 0]);
}

#[test]
fn what_is_known_of_pages_can_be_checked() {
    let program = "task t {
        clear_refs A 4
        read A 0x10000
        write A 0x12008
        check_pages A 0x10000..0x12000 not PAGE_IS_SOFT_DIRTY
        check_pages A 0x12000..0x13000 is PAGE_IS_SOFT_DIRTY
        uffd_register A 0x10000..0x50000 wp
        pagemap_scan A 0x10000..0x50000
        check_pages A 0x10000..0x14000 not PAGE_IS_WRITTEN
        reclaim A 0x12000..0x13000
        check_pages A 0x12000..0x13000 is PAGE_IS_SWAPPED
        check_pages A 0x12000..0x13000 not PAGE_IS_WRITTEN
        check_pages A 0x12000..0x13000 is PAGE_IS_SOFT_DIRTY
        write A 0x12008
        check_pages A 0x12000..0x13000 is PAGE_IS_WRITTEN
    }";
    clean(&format!("{MM}{program}"));
    let wrong = program.replace("12000..0x13000 is PAGE_IS_SWAPPED", "12000..0x13000 not PAGE_IS_SWAPPED");
    let report = found(&format!("{MM}{wrong}"), "CHECK");
    let titles: Vec<&str> = report.findings.iter().map(|f| f.title.as_str()).collect();
    assert_eq!(titles, ["`check_pages A 0x12000 not PAGE_IS_SWAPPED` does not hold"]);
}

#[test]
fn a_write_inside_a_page_is_of_one_word() {
    let program = "task t {
        write A 0x12000 5
        write A 0x12008 9
        reclaim A 0x12000..0x13000
        check_word A 0x12000 is 5
        check_word A 0x1200c is 9
        check_word A 0x12010 not 9
        check_word A 0x13008 is 0x13000
    }";
    clean(&format!("{MM}{program}"));
    let wrong = program.replace("0x12010 not 9", "0x12010 is 9");
    let report = found(&format!("{MM}{wrong}"), "CHECK");
    assert_eq!(report.findings[0].title, "`check_word A 0x12010 is 0x9` does not hold");
}

/// What an exploration takes for operations that commute must: a step reads and writes what it names, and nothing else.
#[test]
fn operations_of_pairs_name_all_that_they_touch() {
    const OPERATIONS: [&str; 13] = [
        "compact A 0x10000..0x11000",
        "write A 0x10000 3",
        "read A 0x10000",
        "munmap A 0x10000..0x12000",
        "mprotect A 0x10000..0x12000 r",
        "reclaim A 0x10000..0x11000",
        "madvise A 0x10000..0x11000 MADV_DONTNEED",
        "madvise A 0x10000..0x11000 MADV_FREE",
        "clear_refs A 4",
        "mremap A 0x10000..0x11000 0x20000..0x21000",
        "numa_scan A 0x10000..0x11000",
        "gup_write A 0x10000",
        "age A 0x10000..0x11000",
    ];
    for (n, first) in OPERATIONS.iter().enumerate() {
        for second in &OPERATIONS[n..] {
            let text = format!(
                "scenario \"pair\"\nmm A {{ vma 0x10000..0x14000 rw anon touch 0x10000..0x11000 }}
                task a {{ {first} }}\ntask b {{ {second} }}"
            );
            let plan = ExhaustPlan { executions: Some(600), ..ExhaustPlan::default() };
            let report = load(&text).exhaust(&plan, &|_| ControlFlow::Continue(()));
            assert_eq!(report.tally.unfaithful, 0, "{first} beside {second}");
        }
    }
}
