//! The shipped litmus tests, each explored completely under each model.

use harness::{ExhaustPlan, ExhaustReport, Experiment};
use std::ops::ControlFlow;
use system_tests::{parse, scenarios};

pub(crate) fn exhaust(experiment: &Experiment) -> ExhaustReport {
    experiment.exhaust(&ExhaustPlan::default(), &|_| ControlFlow::Continue(()))
}

/// What is left on x86 of what Linux allows.
const ON_X86: [&str; 3] = ["SB+poonceonces", "SB+rfionceonce-poonceonces", "R+poonceonces"];

fn litmus_tests() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(scenarios().join("litmus")).expect("the folder");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a scenario"))
    };
    let mut all: Vec<_> = folder.map(file).collect();
    all.sort();
    all
}

#[test]
fn each_litmus_test_has_the_verdict_of_its_file_and_that_of_x86() {
    let tests = litmus_tests();
    assert!(tests.len() >= 35, "{}", tests.len());
    for (name, text) in tests {
        let says = text.lines().find(|line| line.starts_with("# exists")).expect("a verdict");
        let relaxed = parse(&name, &text);
        let found = |model: &str| {
            let report = exhaust(&relaxed.with_setting(&format!("memory_model={model}")).expect("a setting"));
            assert!(report.complete, "{name}, {model}: {:?}", report.left_out());
            assert_eq!(report.tally.redundant, 0, "{name}, {model}");
            !report.findings.is_empty()
        };
        assert_eq!(relaxed.scenario().title.node, name);
        assert_eq!(found("relaxed"), says.ends_with(": Sometimes"), "{name}: {says}");
        assert_eq!(found("tso"), ON_X86.contains(&name.as_str()), "{name} on x86");
        assert!(!found("sc"), "{name}: in sequentially consistent memory");
        assert!(exhaust(&relaxed).verdict.as_expected(), "{name}");
    }
}
