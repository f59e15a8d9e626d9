//! Drivers that no oracle can stop: one that spins, one that waits for something outside of the lab, one that aborts. Each
//! fails its case, with what it did last, and the other cases go on.
//!
//! Not part of the template. This program is the tool with the sabotaged driver in it when it is called as the tool is, so
//! that the tool can call itself.

#[path = "../../../tests/tests/sabotage/mod.rs"]
mod sabotage;

use harness::{Registry, drivers::HasKind};
use sabotage::Sabotaged;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("conformance") {
        return shootdown::main(Registry::builtin().with(Sabotaged::KIND));
    }
    let place =
        ["CONFORM-HANG", "user does not come back", "/munmap-middle:", "call ", "replay: ", " run conformance:"];
    fails("spin-in-callback", &place);
    fails("abort", &["CONFORM-CRASH", "signal", "replay: "]);
    fails("panic-in-callback", &["PANIC", "tests/tests/sabotage/mod.rs:"]);
    ExitCode::SUCCESS
}

/// The mutant fails both cases for the same reason, and what was found of each is told.
#[track_caller]
fn fails(mutant: &str, parts: &[&str]) {
    let program = std::env::current_exe().expect("this program");
    let cases = ["munmap-middle", "munmap-everything"].iter().flat_map(|case| ["--case", case]);
    let output = Command::new(program)
        .args(["conformance", "sabotaged", "--mutant", mutant])
        .args(cases)
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{mutant}: {text}");
    let code = parts[0];
    for case in ["munmap-middle", "munmap-everything"] {
        assert!(text.contains(&format!("test {case} ... FAILED: {code}\n")), "{mutant}: {text}");
    }
    assert!(text.contains("0 passed; 2 failed"), "{mutant}: {text}");
    for part in parts {
        assert!(text.contains(part), "{mutant}: {part:?} is not in\n{text}");
    }
}
