//! The floors: a crate uses lower floors only, and some things not at all (`ARCHITECTURE.md`, "Floors" and "Absences").
//!
//! The graph comes from `cargo metadata`; the checker is a function of plain edges, so that it is shown to fail first.

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// Every crate of the workspace and its floor. A new crate is a design change: it gets a row here and in `ARCHITECTURE.md`.
const FLOORS: &[(&str, u32)] = &[
    ("mm-types", 0),
    ("lockdep", 0),
    ("lockdep-sync", 1),
    ("trace", 1),
    ("sched", 2),
    ("scenario", 2),
    ("properties", 2),
    ("explore", 3),
    ("ksync", 3),
    ("mmu-notifier", 4),
    ("mm", 5),
    ("driver-model", 6),
    ("harness", 7),
    ("shootdown", 8),
    ("system-tests", 8),
    ("toy-driver", 9),
];

/// Dev-dependencies that go sideways or up, each with the reason why the test cannot live higher.
const JUSTIFIED_DEV: &[(&str, &str, &str)] = &[];

/// What a crate must not reach, by any path of dependencies, though the floors would allow some of it.
const ABSENCES: &[(&str, &[&str], &str)] = &[
    ("lockdep", EVERYTHING, "the validator is for any program: it knows no task, no lock and no address"),
    ("sched", &["lockdep", "trace"], "the scheduler knows no lock and no event: what an operation means is ksync's"),
    ("properties", &["mm", "mmu-notifier", "ksync", "sched"], "an oracle must not share the bug it looks for"),
    ("scenario", &["sched", "ksync", "lockdep"], "a scenario is text: reading one executes nothing"),
    ("mm", &["driver-model"], "the memory manager knows subscribers, no driver"),
];

/// In [`ABSENCES`]: no crate of the workspace at all.
const EVERYTHING: &[&str] = &["*"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Links: normal and build dependencies.
    Links,
    Dev,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    kind: Kind,
}

/// Everything wrong with a dependency graph, one line each.
fn violations(crates: &[&str], edges: &[Edge], justified: &[(&str, &str, &str)]) -> Vec<String> {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for name in crates.iter().filter(|name| !floors.contains_key(*name)) {
        wrong.push(format!("{name} has no floor"));
    }
    for (name, _) in FLOORS.iter().filter(|(name, _)| !crates.contains(name)) {
        wrong.push(format!("{name} has a floor and does not exist"));
    }
    for edge in edges {
        let Edge { from, to, kind } = edge;
        let (Some(above), Some(below)) = (floors.get(from.as_str()), floors.get(to.as_str())) else { continue };
        let excused = *kind == Kind::Dev && justified.iter().any(|(f, t, _)| f == from && t == to);
        if below >= above && !excused {
            wrong.push(format!("{from} (floor {above}) depends on {to} (floor {below}), {kind:?}"));
        }
    }
    for (from, to, _) in justified {
        if !edges.iter().any(|e| e.kind == Kind::Dev && e.from == *from && e.to == *to) {
            wrong.push(format!("the exception {from} -> {to} is not needed"));
        }
    }
    for (from, forbidden, why) in ABSENCES {
        for reached in reachable(from, edges) {
            if *forbidden == EVERYTHING || forbidden.contains(&reached.as_str()) {
                wrong.push(format!("{from} reaches {reached}: {why}"));
            }
        }
    }
    wrong
}

/// What `from` and its tests are linked with: its own dependencies of both kinds, then whatever those link.
fn reachable(from: &str, edges: &[Edge]) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = edges.iter().filter(|e| e.from == from).map(|e| e.to.as_str()).collect();
    while let Some(name) = next.pop() {
        if reached.insert(name.to_owned()) {
            next.extend(edges.iter().filter(|e| e.from == name && e.kind == Kind::Links).map(|e| e.to.as_str()));
        }
    }
    reached
}

/// The workspace's crates and the edges between them.
fn workspace() -> (Vec<String>, Vec<Edge>) {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    // `--no-deps`: nothing is resolved or downloaded; a package lists its dependencies all the same.
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata");
    let crates: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let mut edges = BTreeSet::new();
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            let kind = if dependency.kind == DependencyKind::Development { Kind::Dev } else { Kind::Links };
            edges.insert(Edge { from: package.name.to_string(), to: dependency.name.clone(), kind });
        }
    }
    (crates.into_iter().collect(), edges.into_iter().collect())
}

#[test]
fn dependencies_go_down() {
    let (crates, edges) = workspace();
    let names: Vec<&str> = crates.iter().map(String::as_str).collect();
    // A metadata call that lists nothing would pass everything below.
    assert!(edges.iter().any(|e| e.from == "ksync" && e.to == "lockdep"), "{edges:?}");
    let wrong = violations(&names, &edges, JUSTIFIED_DEV);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

mod the_checker {
    use super::*;

    fn edge(from: &str, to: &str, kind: Kind) -> Edge {
        Edge { from: from.into(), to: to.into(), kind }
    }

    #[track_caller]
    fn check(edges: &[Edge], justified: &[(&str, &str, &str)], expect: &[&str]) {
        let crates: Vec<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
        assert_eq!(violations(&crates, edges, justified), expect);
    }

    #[test]
    fn accepts_a_downward_edge_of_either_kind() {
        check(&[edge("mm", "ksync", Kind::Links), edge("mm", "sched", Kind::Dev)], &[], &[]);
    }

    #[test]
    fn rejects_an_upward_edge() {
        check(&[edge("ksync", "mm", Kind::Links)], &[], &["ksync (floor 3) depends on mm (floor 5), Links"]);
    }

    #[test]
    fn rejects_a_sideways_edge() {
        check(&[edge("explore", "ksync", Kind::Links)], &[], &["explore (floor 3) depends on ksync (floor 3), Links"]);
    }

    #[test]
    fn an_exception_excuses_a_dev_dependency_only() {
        let why = [("mm", "driver-model", "made up")];
        let absent = "mm reaches driver-model: the memory manager knows subscribers, no driver";
        check(&[edge("mm", "driver-model", Kind::Dev)], &why, &[absent]);
        let upward = "ksync (floor 3) depends on mmu-notifier (floor 4), Links";
        let unneeded = "the exception ksync -> mmu-notifier is not needed";
        let why = [("ksync", "mmu-notifier", "made up")];
        check(&[edge("ksync", "mmu-notifier", Kind::Dev)], &why, &[]);
        check(&[edge("ksync", "mmu-notifier", Kind::Links)], &why, &[upward, unneeded]);
    }

    #[test]
    fn finds_what_must_be_absent_behind_other_crates_and_in_tests() {
        let why = "an oracle must not share the bug it looks for";
        check(&[edge("properties", "trace", Kind::Links), edge("trace", "mm-types", Kind::Links)], &[], &[]);
        let wrong = violations(
            &FLOORS.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            &[edge("properties", "harness", Kind::Dev), edge("harness", "mm", Kind::Links)],
            &[("properties", "harness", "made up")],
        );
        assert_eq!(wrong, [format!("properties reaches mm: {why}")]);
    }

    #[test]
    fn does_not_follow_the_tests_of_a_dependency() {
        // What harness tests itself with is not linked into who uses harness.
        check(
            &[edge("lockdep", "nothing", Kind::Dev)],
            &[],
            &["lockdep reaches nothing: the validator is for any program: it knows no task, no lock and no address"],
        );
        check(
            &[edge("properties", "trace", Kind::Links), edge("trace", "mm", Kind::Dev)],
            &[],
            &["trace (floor 1) depends on mm (floor 5), Dev"],
        );
    }

    #[test]
    fn knows_every_crate_and_only_those() {
        let mut crates: Vec<&str> = FLOORS.iter().map(|(name, _)| *name).filter(|name| *name != "mm").collect();
        crates.push("newcomer");
        assert_eq!(violations(&crates, &[], &[]), ["newcomer has no floor", "mm has a floor and does not exist"]);
    }
}
