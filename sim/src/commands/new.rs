//! `new driver NAME`: a crate with a driver, its tests, a scenario, and a binary that is the tool with this driver in it.
//!
//! The files are those of `examples/toy-driver`, a member of the workspace that is compiled and tested with it, under another
//! name. Only the manifest is made here: the example's takes everything from the workspace.

use crate::cli::{FamilyArg, NewArgs, NewWhat};
use crate::{Exit, files, out, program};
use harness::Registry;
use std::path::{Path, PathBuf};

/// The template: where each file goes, and its text. The driver itself, `src/lib.rs`, is that of its family.
const FILES: &[(&str, &str)] = &[
    ("src/main.rs", include_str!("../../../examples/toy-driver/src/main.rs")),
    ("tests/conformance.rs", include_str!("../../../examples/toy-driver/tests/conformance.rs")),
    ("tests/properties.rs", include_str!("../../../examples/toy-driver/tests/properties.rs")),
    ("scenarios/toy.mms", include_str!("../../../examples/toy-driver/scenarios/toy.mms")),
    (".gitignore", "/target\n"),
];

const fn driver_of(family: FamilyArg) -> (&'static str, &'static str) {
    let text = match family {
        FamilyArg::Interval => include_str!("../../../examples/toy-driver/src/lib.rs"),
        FamilyArg::List => include_str!("../../../examples/toy-driver/list/lib.rs"),
    };
    ("src/lib.rs", text)
}

const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// Names that the crate's own dependencies have, or that Rust or the lab give a meaning.
const TAKEN: &[&str] = &[
    "harness",
    "shootdown",
    "proptest",
    "std",
    "core",
    "alloc",
    "test",
    "interval",
    "list",
    "toy-driver",
    // Words that begin a section of a scenario.
    "scenario",
    "kernel",
    "expect",
    "machine",
    "annotations",
    "mm",
    "device",
    "task",
    "order",
    "never",
    "quirks",
    "assert",
];

pub(crate) fn new(registry: &Registry, args: &NewArgs) -> Exit {
    let NewWhat::Driver { name, family, path, source } = &args.what;
    match create(registry, name, *family, path.as_deref(), source.as_deref()) {
        Ok(told) => {
            out::print(&told);
            Exit::AsExpected
        }
        Err(line) => {
            out::error(&line);
            Exit::BadInput
        }
    }
}

fn create(
    registry: &Registry,
    name: &str,
    family: FamilyArg,
    path: Option<&Path>,
    source: Option<&Path>,
) -> Result<String, String> {
    check(registry, name)?;
    let source = checkout(source)?;
    let folder = path.map_or_else(|| PathBuf::from(name), Path::to_path_buf);
    files::create_folder(&folder)?;
    files::write(&folder.join("Cargo.toml"), &manifest(name, &source)?)?;
    // The versions that the checkout was tested with.
    if let Ok(lock) = files::read_text(&source.join("Cargo.lock")) {
        files::write(&folder.join("Cargo.lock"), &lock)?;
    }
    for (file, text) in FILES.iter().chain([&driver_of(family)]) {
        files::write(&folder.join(renamed(file, name)), &renamed(text, name))?;
    }
    let (shown, driver) = (program::shell_word(&folder.to_string_lossy()), identifier(name));
    let steps = [
        (format!("cd {shown}"), ""),
        ("cargo test".to_owned(), "the conformance suite and a property test"),
        (format!("cargo run -- run scenarios/{driver}.mms"), "one run"),
        (format!("cargo run -- conformance {driver}"), "the suite as a list"),
    ];
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let line = |(command, what): &(String, &str)| {
        let line = format!("  {command:<width$}  {what}");
        format!("{}\n", line.trim_end())
    };
    let steps: String = steps.iter().map(line).collect();
    Ok(format!("{shown}: a driver, its tests, a scenario, and `shootdown` with this driver in it\n\n{steps}"))
}

fn check(registry: &Registry, name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let shape = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(good) && !name.ends_with('-');
    if !shape || name.len() > 64 {
        return Err(format!("`{name}`: a driver's name is of lower-case letters, digits, `-` and `_`, such as my_gpu"));
    }
    let identifier = identifier(name);
    if TAKEN.contains(&name) || is_keyword(&identifier) {
        return Err(format!("`{name}` means something else already: take another name"));
    }
    match registry.get(&identifier) {
        Some(_) => Err(format!("there is a driver `{identifier}` already: take another name")),
        None => Ok(()),
    }
}

/// The keywords that a name of this shape can be.
fn is_keyword(word: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
        "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
        "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
        "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    KEYWORDS.contains(&word)
}

/// The checkout whose crates the new one uses: the one named, or the one this program was built from.
fn checkout(source: Option<&Path>) -> Result<PathBuf, String> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let source = source.unwrap_or(built_from);
    let whole = files::whole_path(source)?;
    if !whole.join("crates/harness/Cargo.toml").is_file() || !whole.join("sim/Cargo.toml").is_file() {
        return Err(format!("{}: no checkout of shootdown; name one with --source DIR", source.display()));
    }
    Ok(whole)
}

fn manifest(name: &str, source: &Path) -> Result<String, String> {
    let path = |part: &str| {
        let path = source.join(part);
        let text = path.to_str().ok_or_else(|| format!("{}: cargo wants a path in UTF-8", path.display()))?;
        Ok::<_, String>(serde_json::Value::from(text).to_string())
    };
    let (harness, tool) = (path("crates/harness")?, path("sim")?);
    let proptest = WORKSPACE.lines().find(|line| line.starts_with("proptest = ")).unwrap_or("proptest = \"1\"");
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\nharness = {{ path = {harness} }}\nshootdown = {{ path = {tool} }}\n\n\
         [dev-dependencies]\nharness = {{ path = {harness}, features = [\"proptest\"] }}\n{proptest}\n\n\
         # The lab is what takes time in the tests; line tables are what its reports need.\n[profile.dev]\ndebug = \"line-tables-only\"\n\n\
         [profile.dev.package.\"*\"]\nopt-level = 2\n\n\
         # A workspace of its own, wherever it lies.\n[workspace]\n"
    ))
}

/// A text of the template with the new driver's names in it.
fn renamed(text: &str, name: &str) -> String {
    let (driver, kind) = (identifier(name), type_name(name));
    // In two steps, for the new name may have the old one in it.
    let steps = [("toy-driver", "\u{1}"), ("toy_driver", "\u{2}"), ("Toy", "\u{3}"), ("toy", "\u{2}")];
    let marked = steps.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    marked.replace('\u{1}', name).replace('\u{2}', &driver).replace('\u{3}', &kind)
}

/// `my-gpu` as Rust writes a crate: `my_gpu`.
fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

/// `my-gpu` as Rust writes a type: `MyGpu`.
fn type_name(name: &str) -> String {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_that_cannot_be_a_crate_and_a_driver() {
        let registry = Registry::builtin();
        for name in ["my_gpu", "gpu2", "a-b"] {
            assert_eq!(check(&registry, name), Ok(()), "{name}");
        }
        for name in
            ["", "2gpu", "My", "a b", "a/b", "../a", "fn", "harness", "interval_mirror", "interval-mirror", "a-", "é"]
        {
            assert!(check(&registry, name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_goes_wherever_the_templates_was() {
        assert_eq!(
            renamed("toy-driver toy_driver::Toy &toy->lock toy0", "my-toy"),
            "my-toy my_toy::MyToy &my_toy->lock my_toy0"
        );
        let drivers = [FamilyArg::Interval, FamilyArg::List].map(driver_of);
        for (_, text) in FILES.iter().chain(&drivers) {
            assert!(!renamed(text, "a-b").to_lowercase().contains("toy"), "{text}");
        }
    }
}
