//! The documents must stay true where a program can tell: links lead somewhere, commands name files that exist, the pipeline
//! runs what the README promises, every finding code has its rule written down.

use properties::Code;
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

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            found.extend(markdown(&path));
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Targets of `[text](target)` that are files of the repository.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split_once('#').map_or(target, |(file, _)| file))
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn links_lead_to_files() {
    assert_eq!(links("see [a](docs/a.md#part), [b](https://b.example) and [c](#here)"), ["docs/a.md"]);
    let mut documents: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].iter().map(|name| root().join(name)).collect();
    documents.extend(markdown(&root().join("docs")));
    let mut followed = 0;
    for document in documents {
        let text = read(&document);
        for target in links(&text) {
            let file = document.parent().expect("a folder").join(target);
            assert!(file.exists(), "{}: {target} does not exist", document.display());
            followed += 1;
        }
    }
    assert!(followed > 10, "{followed} links");
}

/// The commands of the README's console blocks, without the prompt.
fn commands(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("$ ")).collect()
}

#[test]
fn the_readme_names_files_that_exist() {
    let readme = read("README.md");
    let commands = commands(&readme);
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        for word in command.split(' ').filter(|word| word.contains('/')) {
            assert!(root().join(word).exists(), "`{command}`: {word} does not exist");
        }
    }
}

#[test]
fn the_pipeline_runs_every_command_of_the_readme() {
    let pipeline = read(".ci/run");
    let readme = read("README.md");
    for command in commands(&readme) {
        // Its token comes out of another command: the pipeline pastes what that printed.
        if !command.contains("TOKEN") {
            assert!(pipeline.contains(command), "`{command}` is not in .ci/run");
        }
    }
}

#[test]
fn the_readme_tells_of_every_verb() {
    let readme = read("README.md");
    let justfile = read("justfile");
    let verbs = justfile.lines().filter(|line| line.ends_with(':') && !line.starts_with([' ', '#']));
    for verb in verbs.filter_map(|line| line.split([' ', ':']).next()) {
        assert!(readme.contains(&format!("`{verb}`")), "the README does not tell of `just {verb}`");
    }
}

#[test]
fn every_finding_code_has_its_rule_written_down() {
    let rules = read("docs/properties.md");
    for code in Code::ALL {
        assert!(
            rules.contains(&format!("`{code}`")) || rules.contains(&format!("| {code} ")),
            "docs/properties.md: {code}"
        );
    }
}
