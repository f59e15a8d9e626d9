//! The shipped scenario of every driver: correct, so silent under every schedule, with the driver really at work.

use harness::{ExplorePlan, Registry};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use system_tests::{run, scenarios, shipped};

/// Every driver has a scenario of its name, but the two that the scenarios beside are about, and those that only record.
fn files() -> Vec<String> {
    let of_their_own = ["i915_userptr", "interval_mirror", "recorder", "interval_recorder"];
    let registry = Registry::builtin();
    let kinds = registry.kinds().iter().filter(|kind| !of_their_own.contains(&kind.name));
    kinds.map(|kind| format!("drivers/{}.mms", kind.name)).collect()
}

/// The scenarios that there are, those that a driver has beside its first among them.
fn there() -> BTreeSet<String> {
    let folder = std::fs::read_dir(scenarios().join("drivers")).expect("the folder");
    folder.map(|entry| format!("drivers/{}", entry.expect("an entry").file_name().to_string_lossy())).collect()
}

#[test]
fn the_scenario_of_every_driver_runs_as_it_says_and_is_silent_when_explored() {
    assert!(files().len() >= 12, "{:?}", files());
    for file in there() {
        let benign = run(&shipped(&file, &[]));
        assert!(benign.verdict.as_expected(), "{file}: {:?}", benign.verdict.problems);
        let plan = ExplorePlan { seed: 5, runs: 300, jobs: 2, stop_at_first: false };
        let report = shipped(&file, &[]).explore(&plan, &|_| ControlFlow::Continue(()));
        assert!(report.verdict.as_expected() && report.findings.is_empty(), "{file}: {}", report.to_text());
        assert!(report.across_runs.is_empty(), "{file}: {}", report.to_text());
    }
}

#[test]
fn a_mutant_is_switched_on_by_a_setting() {
    for (file, mutant, code) in [
        ("drivers/amdgpu_userptr.mms", "alloc-in-signalling", "LD-CIRCULAR"),
        ("drivers/nouveau_svm.mms", "remove-under-mutex", "LD-CIRCULAR"),
        ("drivers/mlx5_odp.mms", "skip-retry", "SEQ"),
        ("drivers/kvm.mms", "alloc-under-mmu-lock", "CTX"),
        ("drivers/sgx_encl.mms", "release-takes-mmap-lock", "LD-RECURSIVE"),
    ] {
        let report = run(&shipped(file, &[&format!("gpu0.mutant={mutant}")]));
        assert!(report.findings.iter().any(|f| f.code == code), "{file} {mutant}: {:?}", report.findings);
    }
}

#[test]
fn every_scenario_of_a_driver_belongs_to_one() {
    let there = there();
    assert!(files().iter().all(|file| there.contains(file)), "{there:?}");
    for name in there {
        // A second scenario of a driver says in its name whose it is.
        let of_a_driver = |file: &String| name == *file || name.starts_with(&file.replace(".mms", "_"));
        assert!(files().iter().any(of_a_driver), "{name}");
    }
}
