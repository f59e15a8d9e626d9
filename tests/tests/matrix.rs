//! A matrix does not depend on what drivers and mutants are called.

use harness::drivers::{self, Config, DriverKind, MutantInfo};
use harness::matrix::{Cell, Workload, default_rows, measure};
use harness::{Experiment, Registry};
use std::fs;
use system_tests::scenarios;

fn cells(registry: &Registry, rename: impl Fn(&str) -> String) -> Vec<Vec<Cell>> {
    let workloads: Vec<Workload> = ["thread-deadlock", "thread-corrected", "stranger-reclaimed"]
        .into_iter()
        .map(|name| {
            let file = format!("{name}.mms");
            let text = fs::read_to_string(scenarios().join("matrix").join(&file)).expect("shipped");
            (name.to_owned(), Experiment::load(registry, &file, &rename(&text)).expect("a scenario"))
        })
        .collect();
    let matrix = measure(&workloads, &default_rows(), 1, &|_| {});
    assert_eq!(matrix.unfit, []);
    matrix.rows.into_iter().map(|r| r.cells).collect()
}

#[test]
fn other_names_give_the_same_cells() {
    let i915 = drivers::builtin().into_iter().find(|d| d.name == "i915_userptr").expect("built in");
    let painter = DriverKind {
        name: "painter",
        mutants: &[MutantInfo { name: "blue", doc: "that of 2019" }],
        make: |k, mm, pages, config| {
            let i915 = drivers::builtin().into_iter().find(|d| d.name == "i915_userptr").expect("built in");
            let mutant = config.mutant.as_ref().map(|_| "2019".to_owned());
            (i915.make)(k, mm, pages, &Config { mutant, ..config.clone() })
        },
        ..i915
    };
    let renamed = |text: &str| {
        text.replace("i915_userptr", "painter")
            .replace("\"2019\"", "blue")
            .replace("gpu0", "easel")
            .replace("ioctl", "brush")
    };
    let builtin = cells(&Registry::builtin(), str::to_owned);
    let other = cells(&Registry::builtin().with(painter), renamed);
    assert_eq!(builtin, other);
    assert!(builtin.iter().flatten().any(|c| *c == Cell::Found), "{builtin:?}");
    assert!(builtin.iter().flatten().any(|c| *c == Cell::Missed), "{builtin:?}");
}
