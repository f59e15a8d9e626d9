//! Runs that found something, shrunk to scenarios that find the same.

use harness::{Experiment, ExplorePlan, Mode, Recipe, Registry, ShrinkError, ShrinkPlan, Shrunk, Token};
use std::ops::ControlFlow;

#[track_caller]
fn load(text: &str) -> Experiment {
    harness::install_panic_hook();
    Experiment::load(&Registry::builtin(), "test.mms", text).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"))
}

/// The token of the first run of an exploration that finds `code`.
#[track_caller]
fn token_of(experiment: &Experiment, code: &str, runs: u64) -> Token {
    token_of_one(experiment, code, "", runs)
}

/// Of a finding whose title says `part`.
#[track_caller]
fn token_of_one(experiment: &Experiment, code: &str, part: &str, runs: u64) -> Token {
    let plan = ExplorePlan { seed: 5, runs, jobs: 2, stop_at_first: false };
    let report = experiment.explore(&plan, &|_| ControlFlow::Continue(()));
    let found = report.findings.iter().find(|f| f.found.code == code && f.found.title.contains(part));
    found.unwrap_or_else(|| panic!("no {code} in {runs} runs:\n{}", report.to_text())).token.clone()
}

#[track_caller]
fn shrunk(experiment: &Experiment, token: &Token, code: &str) -> Shrunk {
    let plan = ShrinkPlan { finding: Some(code.to_owned()), runs: 50_000 };
    experiment.shrink(token, &plan, &|_| ControlFlow::Continue(())).unwrap_or_else(|why| panic!("{why}"))
}

/// The written scenario shows the finding in every benign run of many seeds other than those that pinned it, and expects
/// what it finds.
#[track_caller]
fn check_pinned(shrunk: &Shrunk, text: &str) {
    let small = load(text);
    for seed in 1000..1100 {
        let report = small.run(Recipe { mode: Mode::Benign, seed, run: 0 }, false);
        let codes: Vec<&str> = report.findings.iter().map(|f| f.code.as_str()).collect();
        assert!(codes.contains(&shrunk.found.code.as_str()), "seed {seed}: {codes:?}\n{text}");
    }
    let own = small.run(Recipe { mode: Mode::Benign, seed: small.seed(), run: 0 }, false);
    assert!(own.verdict.as_expected(), "{:?}\n{text}", own.verdict.problems);
    let again = small.replay(&shrunk.token, false).unwrap_or_else(|why| panic!("{why}\n{text}"));
    assert!(again.findings.iter().any(|f| f.code == shrunk.found.code), "{text}");
}

const I915: &str = "scenario \"userptr with bystanders\"
machine { cpus 4  memory 64M  swap 16M  kswapd on }
annotations { range_start global  range_end shared  prime { fs_reclaim } }
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }
mm B { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }
device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant \"2019\" }
device other : interval_mirror(B, 0x10000..0x14000)
task noise { read B 0x10000  write B 0x11000 3  other.map 0x10000..0x12000  other.read 0x10000 }
task ioctl { read A 0x20000  gpu0.get_pages 0x10000..0x20000  write A 0x30000 1 }
task unmap { touch A 0x40000..0x44000  sync go  munmap A 0x10000..0x12000  munmap A 0x40000..0x44000 }
task late { mprotect B 0x10000..0x12000 r  repeat 3 { read B 0x10000 } }
order { ioctl@gpu0.get_pages < unmap@user.go }
never { stale }\n";

#[test]
fn the_2019_inversion_shrinks_to_two_tasks() {
    let experiment = load(I915);
    let token = experiment.run(Recipe { mode: Mode::Benign, seed: 7, run: 0 }, false).token;
    let small = shrunk(&experiment, &token, "LD-CIRCULAR");
    let text = small.scenario.to_string();
    assert!(small.after.tasks <= 2 && small.after.operations <= 3, "{}\n{text}", small.after);
    assert!(small.before.tasks == 4 && small.before.operations > 12, "{}", small.before);
    assert!(small.pinned && !small.cut, "{text}");
    check_pinned(&small, &text);
}

#[test]
fn the_2019_deadlock_shrinks_to_one_task_whose_choices_are_steered() {
    let experiment = load(I915);
    let small =
        shrunk(&experiment, &token_of_one(&experiment, "PROG-DEADLOCK", "held by itself", 500), "PROG-DEADLOCK");
    let text = small.scenario.to_string();
    assert!(small.after.tasks == 1 && small.after.operations <= 2, "{}\n{text}", small.after);
    assert_eq!(small.after.preemptions, 0, "{text}");
    assert!(text.contains("steer {") && text.contains(" reclaim "), "{text}");
    check_pinned(&small, &text);
}

/// Forgets one page of two: it is stale only if reclaim takes the other.
const FORGETFUL: &str = "scenario \"forgetful\"
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }
device toy : interval(A, 0x10000..0x50000) {
    mutex lock
    on invalidate(range) { with lock { set_seq  zap 0x10000..0x11000 } }
    op bind { retry { read_begin  fault 0x10000..0x12000  with lock { check_retry  map 0x10000..0x12000 } } }
}
task t { toy.bind  alloc 1 GFP_KERNEL  toy.read 0x11000 }\n";

#[test]
fn the_page_that_reclaim_has_to_take_is_pinned_by_its_address() {
    let experiment = load(FORGETFUL);
    let small = shrunk(&experiment, &token_of(&experiment, "STALE", 2_000), "STALE");
    let text = small.scenario.to_string();
    assert!(small.pinned && text.contains("victim 1 takes A 0x11000"), "{text}");
    check_pinned(&small, &text);
}

const ABBA: &str = "scenario \"two orders\"
mm A { vma 0x10000..0x50000 rw anon }
device toy : interval(A, 0x10000..0x50000) {
    mutex a  mutex b  mutex c
    on invalidate(range) { with c { set_seq zap range } }
    op bind(range) { retry { read_begin  fault range  with c { check_retry  map range } } }
}
task one { yield  write A 0x10000 1  with toy.a { yield  toy.bind 0x10000..0x12000  with toy.b { yield } } yield }
task two { repeat 4 { yield }  with toy.b { with toy.a { read A 0x20000 } } }
task three { repeat 2 { with toy.a { } with toy.b { } }  munmap A 0x10000..0x11000 }\n";

#[test]
fn a_deadlock_one_preemption_deep_is_pinned_with_one() {
    let experiment = load(ABBA);
    let small = shrunk(&experiment, &token_of(&experiment, "PROG-DEADLOCK", 2_000), "PROG-DEADLOCK");
    let text = small.scenario.to_string();
    assert!(small.after.tasks == 2 && small.after.operations == 4, "{}\n{text}", small.after);
    assert!(small.after.preemptions <= 1, "{text}");
    assert!(small.before.preemptions > 1, "nothing was left out of the schedule: {}", small.before);
    assert!(small.pinned && text.contains("order {"), "{text}");
    check_pinned(&small, &text);
}

#[test]
fn a_regression_survives_an_added_yield_point() {
    let experiment = load(ABBA);
    let small = shrunk(&experiment, &token_of(&experiment, "PROG-DEADLOCK", 2_000), "PROG-DEADLOCK");
    let text = small.scenario.to_string();
    // A yield at the beginning of every block of every task.
    let (head, tasks) = text.split_once("task ").expect("tasks");
    let (tasks, order) = tasks.split_once("order {").expect("pins");
    let changed =
        format!("{head}task {}order {{{order}", tasks.replace(" {\n", " {\n yield\n").replace("{}", "{ yield }"));
    assert!(changed.matches("yield").count() >= 4, "{changed}");
    check_changed(&small, &changed);
    // Step numbers do not: the same schedule is of another scenario now.
    assert!(load(&changed).replay(&small.token, false).is_err());
}

#[track_caller]
fn check_changed(small: &Shrunk, text: &str) {
    let experiment = load(text);
    for seed in 0..100 {
        let report = experiment.run(Recipe { mode: Mode::Benign, seed, run: 0 }, false);
        assert!(report.findings.iter().any(|f| f.code == small.found.code), "seed {seed}\n{text}");
    }
    // The pins do it: without them some runs are quiet.
    let (head, tail) = text.split_once("order {").expect("pins");
    let free = load(&format!("{head}{}", tail.split_once('}').expect("the end of the pins").1));
    let quiet = (0..100).any(|seed| {
        let report = free.run(Recipe { mode: Mode::Benign, seed, run: 0 }, false);
        report.findings.iter().all(|f| f.code != small.found.code)
    });
    assert!(quiet, "{text}");
}

#[test]
fn a_stale_access_two_preemptions_deep_is_pinned_by_sync_points() {
    let experiment = load(
        "scenario \"zaps at the end\"
         mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }
         device toy : list(A) { mutex m  on end(range) { with m { zap range } } }
         task map { toy.map 0x10000..0x12000  sync mapped  repeat 8 { toy.read 0x10000 } }
         task unmap { sync go  munmap A 0x10000..0x12000 }
         task noise { repeat 3 { read A 0x20000 } }
         order { map@user.mapped < unmap@user.go }",
    );
    let small = shrunk(&experiment, &token_of(&experiment, "STALE", 2_000), "STALE");
    let text = small.scenario.to_string();
    assert!(small.after.tasks == 2 && small.after.operations <= 3, "{}\n{text}", small.after);
    assert!(small.after.preemptions <= 2, "{}\n{text}", small.after);
    assert!(small.pinned, "{text}");
    check_pinned(&small, &text);
}

#[test]
fn shrinking_is_deterministic_and_says_when_it_was_cut() {
    let experiment = load(ABBA);
    let token = token_of(&experiment, "PROG-DEADLOCK", 2_000);
    let (a, b) = (shrunk(&experiment, &token, "PROG-DEADLOCK"), shrunk(&experiment, &token, "PROG-DEADLOCK"));
    assert_eq!(a.scenario.to_string(), b.scenario.to_string());
    assert_eq!((a.token, a.runs), (b.token, b.runs));
    let plan = ShrinkPlan { finding: None, runs: 40 };
    let cut = experiment.shrink(&token, &plan, &|_| ControlFlow::Continue(())).expect("something");
    assert!(cut.cut && cut.after.operations > a.after.operations, "{}", cut.after);
    let stopped = experiment.shrink(&token, &ShrinkPlan { runs: 50_000, ..plan }, &|_| ControlFlow::Break(()));
    assert!(stopped.expect("something").cut);
}

#[test]
fn what_was_not_found_cannot_be_shrunk() {
    let experiment = load(ABBA);
    let shrink = |token: &Token, finding: Option<&str>| {
        let plan = ShrinkPlan { finding: finding.map(str::to_owned), runs: 100 };
        experiment.shrink(token, &plan, &|_| ControlFlow::Continue(())).map(|_| ()).unwrap_err()
    };
    let deadlock = token_of(&experiment, "PROG-DEADLOCK", 2_000);
    let error = shrink(&deadlock, Some("STALE"));
    assert!(matches!(&error, ShrinkError::NotFound(found) if found.contains(&"PROG-DEADLOCK".to_owned())), "{error}");
    let clean = load("scenario \"clean\" mm A { vma 0x10000..0x20000 rw anon } task t { yield }");
    let token = clean.run(Recipe { mode: Mode::Benign, seed: 1, run: 0 }, false).token;
    let plan = ShrinkPlan { finding: None, runs: 100 };
    let error = clean.shrink(&token, &plan, &|_| ControlFlow::Continue(())).map(|_| ()).unwrap_err();
    assert_eq!(error, ShrinkError::NothingFound);
    assert!(matches!(shrink(&token, None), ShrinkError::Replay(_)));
}

/// A check two locks and a condition deep, among statements that have nothing to do with it.
const LOST: &str = "scenario \"a lost invalidation among others\"
globals { mutex dev_lock  mutex noise  word seq  word pte  word dev  word freed  word idle }
task bystander { repeat 3 { with noise { add idle 1 } } }
task unmap {
    with noise { add idle 1 }
    store pte 2
    add seq 1
    with dev_lock { store dev 0  add idle 1 }
    store pte 0
    add seq 1
    store freed 2
}
task fault {
    with noise { load x idle  if x is 7 { store idle 0 } }
    load seq seq
    if seq has 1 { return }
    load page pte
    if page not 0 {
        with dev_lock {
            load now seq
            if now has 1 { return }
            store dev page
            add idle 1
        }
        with dev_lock {
            load page dev
            if page not 0 {
                load gone freed
                add idle 1
                check gone not page
            }
        }
    }
}\n";

#[test]
fn a_check_that_fails_shrinks_with_what_is_nested_in_locks_and_conditions() {
    let experiment = load(LOST);
    let small = shrunk(&experiment, &token_of(&experiment, "CHECK", 5_000), "CHECK");
    let text = small.scenario.to_string();
    assert!(!text.contains("bystander") && !text.contains("idle"), "{text}");
    assert!(!text.contains("with"), "locks and conditions go, what is in them stays:\n{text}");
    assert!(small.after.preemptions <= 2, "{}\n{text}", small.after);
    let again = load(&text).replay(&small.token, false).unwrap_or_else(|why| panic!("{why}\n{text}"));
    assert!(again.findings.iter().any(|f| f.code == "CHECK"), "{text}");
}
