//! `new driver` writes a crate that cargo can resolve, and its files are those of `examples/toy-driver`, which are compiled and
//! tested as they stand. That the whole compiles and passes its tests from an empty folder is a step of `.ci/run`: it builds the
//! lab a second time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn new_driver(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.args(["new", "driver"]).args(args).current_dir(folder).env("NO_COLOR", "1");
    command.output().expect("the tool starts")
}

#[track_caller]
fn refused(folder: &Path, args: &[&str], part: &str) {
    let output = new_driver(folder, args);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
    assert!(err.contains(part), "{args:?}: {part:?} is not in {err}");
}

/// What cargo makes of the manifest: the packages that the crate and its tests need on this machine, a line each.
#[track_caller]
fn resolved(folder: &Path) -> String {
    let args = ["tree", "--offline", "--prefix", "none", "--edges", "normal,dev"];
    let output = Command::new(env!("CARGO")).args(args).current_dir(folder).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_new_driver_is_the_example_under_its_name_and_cargo_finds_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = is_the_example(folder.path(), &["my-gpu"], "src/lib.rs");
    let packages = resolved(&made);
    for name in ["my-gpu", "harness", "shootdown", "proptest", "mm"] {
        assert!(packages.lines().any(|line| line.starts_with(&format!("{name} v"))), "{name} is not in\n{packages}");
    }
}

#[test]
fn a_new_driver_of_the_list_family_is_its_example_with_everything_else_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    is_the_example(folder.path(), &["my-gpu", "--family", "list"], "list/lib.rs");
    refused(folder.path(), &["other", "--family", "tree"], "interval, list");
}

/// Makes `my-gpu` and compares it with the example, whose driver is in the file `driver`: the folder.
#[track_caller]
fn is_the_example(folder: &Path, args: &[&str], driver: &str) -> PathBuf {
    let output = new_driver(folder, args);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("cd my-gpu"), "{told}");
    let made = folder.join("my-gpu");
    let read = |file: &str| fs::read_to_string(made.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let lines = read("src/lib.rs").lines().count();
    assert!(lines <= 70, "about 50 lines: {lines}");

    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/toy-driver");
    for (file, template) in [
        ("src/lib.rs", driver),
        ("src/main.rs", "src/main.rs"),
        ("tests/conformance.rs", "tests/conformance.rs"),
        ("tests/properties.rs", "tests/properties.rs"),
        ("scenarios/my_gpu.mms", "scenarios/toy.mms"),
    ] {
        let text = fs::read_to_string(example.join(template)).expect("the template");
        let names = [("toy-driver", "my-gpu"), ("toy_driver", "my_gpu"), ("Toy", "MyGpu"), ("toy", "my_gpu")];
        let renamed = names.iter().fold(text, |text, (from, to)| text.replace(from, to));
        assert_eq!(read(file), renamed, "{file}");
    }
    made
}

#[test]
fn nothing_is_written_where_something_is_or_under_a_name_that_cannot_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::create_dir(at("full")).expect("a folder");
    fs::write(at("full/x"), "x").expect("a file");
    refused(folder.path(), &["full"], "is not empty");
    refused(folder.path(), &["gpu", "--path", "full/x"], "full/x");
    refused(folder.path(), &["Gpu"], "lower-case");
    refused(folder.path(), &["../gpu"], "lower-case");
    refused(folder.path(), &["fn"], "means something else");
    refused(folder.path(), &["interval-mirror"], "there is a driver `interval_mirror` already");
    refused(folder.path(), &["gpu", "--source", "full"], "no checkout of shootdown");
    refused(folder.path(), &["gpu", "--source", "nowhere"], "nowhere");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read_dir(at("full")).expect("it").count(), 1);
}
