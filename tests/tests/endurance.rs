//! Many failing runs in one process: none spurious, memory flat. A test binary of its own, so that nothing else grows.

use harness::{Experiment, Mode, Recipe, Soak};
use system_tests::parse;

/// Two tasks that take an object's lock and the range map's callbacks in opposite orders, with brackets open when they
/// get stuck: the callback runs inside a start.
const DEADLOCK: &str = r#"
scenario "deadlocks with open brackets"
expect { PROG-DEADLOCK, LD-CIRCULAR }
mm A { vma 0x10000..0x20000 rw anon  touch 0x10000..0x14000 }
device toy : interval(A, 0x10000..0x20000) {
    mutex inner
    mutex outer
    on invalidate(range) { with inner { with outer { set_seq zap range } } }
    op hold { with outer { sync held  with inner { } } }
}
task unmap { munmap A 0x10000..0x12000 }
task other { toy.hold }
order { unmap@toy.inner < other@toy.inner  other@toy.outer < unmap@toy.outer }
"#;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn a_hundred_thousand_deadlocking_runs_leave_memory_flat_and_find_nothing_else() {
    let experiment: Experiment = parse("deadlock.mms", DEADLOCK);
    let mut soak = Soak::new(&experiment);
    let mut run = |from: u64, to: u64| {
        for k in from..to {
            let brief = soak.run(Recipe { mode: Mode::Benign, seed: 1, run: k });
            assert_eq!(brief.end, "deadlock", "run {k}");
            let codes: Vec<&str> = brief.found.iter().map(|(code, _)| code.text()).collect();
            assert!(codes.contains(&"PROG-DEADLOCK"), "run {k}: {codes:?}");
            assert!(codes.iter().all(|c| ["PROG-DEADLOCK", "LD-CIRCULAR"].contains(c)), "run {k}: {codes:?}");
        }
    };
    run(0, 10_000);
    let before = resident_kib();
    run(10_000, 100_000);
    let after = resident_kib();
    assert!(after <= before + 1024, "resident memory grew from {before} KiB to {after} KiB over 90,000 runs");
}
