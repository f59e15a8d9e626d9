//! Rules about the repository itself that no compiler checks: lints, licences, ignored tests, documents that must keep up.

use cargo_metadata::{Metadata, MetadataCommand};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().expect("cargo metadata")
}

/// Every file below `folder` whose name ends with `end`, sorted.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All Rust sources of the workspace and of the benchmarks.
fn sources() -> Vec<PathBuf> {
    let found: Vec<PathBuf> =
        ["crates", "sim", "tests", "bench"].iter().flat_map(|folder| files(&root().join(folder), ".rs")).collect();
    assert!(found.iter().any(|path| path.ends_with("tests/house_rules.rs")), "{found:?}");
    found
}

/// Whether a manifest takes the workspace's lints.
fn takes_the_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.find(|line| !line.is_empty()).is_some_and(|line| line == "workspace = true")
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    assert!(takes_the_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
    assert!(!takes_the_lints("[package]\nname = \"a\"\n\n[dependencies]\nworkspace = true\n"));
    assert!(!takes_the_lints("[lints]\nrust.missing_docs = \"allow\"\nworkspace = true\n"));
    for package in metadata().packages {
        assert!(takes_the_lints(&read(&package.manifest_path)), "{}: `[lints] workspace = true`", package.name);
    }
}

#[test]
fn every_crate_is_under_both_licences_and_they_are_here() {
    for package in metadata().packages {
        assert_eq!(package.license.as_deref(), Some("MIT OR Apache-2.0"), "{}", package.name);
    }
    assert!(read("LICENSE-MIT").starts_with("MIT License"), "LICENSE-MIT");
    assert!(read("LICENSE-APACHE").contains("Apache License"), "LICENSE-APACHE");
}

/// The lines of `source` that keep a test from running.
fn ignored_tests(source: &str) -> Vec<usize> {
    // In two parts, or this file would find itself.
    let attribute = concat!("#[", "ignore");
    source
        .lines()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with(attribute))
        .map(|(n, _)| n + 1)
        .collect()
}

#[test]
fn no_test_is_ignored() {
    assert_eq!(ignored_tests(concat!("#[test]\n    #[", "ignore = \"later\"]\nfn f() {}\n")), [2]);
    assert_eq!(ignored_tests("// an attribute that says ignore\n#[test]\nfn f() {}\n"), [0; 0]);
    for path in sources() {
        let lines = ignored_tests(&read(&path));
        assert!(lines.is_empty(), "{}: ignored tests at lines {lines:?}", path.display());
    }
}

#[test]
fn no_source_file_is_too_long_to_know_where_to_look() {
    const MOST_LINES: usize = 1000;
    for path in sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= MOST_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn the_changelog_tells_of_the_present_version() {
    let version = metadata().packages[0].version.to_string();
    let changelog = read("CHANGELOG.md");
    let told = changelog.lines().any(|line| line.starts_with("## ") && line.contains(&version));
    assert!(told, "CHANGELOG.md has no `## {version}`");
}

#[test]
fn architecture_tells_of_every_crate() {
    let architecture = read("ARCHITECTURE.md");
    for package in metadata().packages {
        let manifest = package.manifest_path.canonicalize().expect("the manifest's folder");
        let top = root().canonicalize().expect("the workspace");
        let folder = manifest.parent().and_then(|p| p.strip_prefix(&top).ok()).expect("a crate of the workspace");
        assert!(architecture.contains(&format!("`{}`", folder.display())), "ARCHITECTURE.md: `{}`", folder.display());
    }
}

#[test]
fn a_decision_has_a_number_of_its_own_and_its_parts() {
    let decisions = files(&root().join("docs/adr"), ".md");
    let mut numbers: Vec<String> = Vec::new();
    for path in &decisions {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        numbers.push(name[..4].to_owned());
        let text = read(path);
        for part in ["Context", "Decision", "Alternatives"] {
            assert!(text.contains(&format!("## {part}")), "{name} has no `## {part}`");
        }
    }
    numbers.dedup();
    assert_eq!(numbers.len(), decisions.len(), "two decisions of one number: {decisions:?}");
}

#[test]
fn the_peers_stay_out_of_the_workspace() {
    let lock = read("Cargo.lock");
    for peer in ["shuttle", "loom", "tracing-mutex", "criterion"] {
        assert!(!lock.contains(&format!("name = \"{peer}\"")), "{peer} belongs into bench/, outside the workspace");
    }
    assert!(read("bench/Cargo.lock").contains("name = \"shuttle\""), "bench/Cargo.lock");
}
