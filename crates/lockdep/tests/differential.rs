//! The validator beside the kernel's rules written down plainly (`reference/`), over the recorded lines and over random
//! ones of the same kind: the same first report at the same operation.

mod data;
mod random;
mod reference;

use lockdep::recorded::{Case, Noticed, Player};
use proptest::prelude::*;
use random::{case, line};
use reference::Reference;

/// The reference is to be believed: it says of every recorded line what was recorded.
#[test]
fn the_reference_agrees_with_the_kernel() {
    let mut lines = 0;
    for line in data::text("fuzz.jsonl.gz").lines() {
        let case = Case::parse(line).expect("a line");
        let first = Reference::play(&case);
        assert_eq!(case.expect.agrees(first.as_ref()), Some(true), "{}: {first:?}, not {:?}", case.id, case.expect);
        lines += 1;
    }
    assert_eq!(lines, 10_033);
}

fn validator(case: &Case) -> Option<Noticed> {
    Player::default().play(case, false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn random_lines_are_judged_as_the_reference_judges_them(line in line()) {
        let case = case(&line);
        prop_assert_eq!(validator(&case), Reference::play(&case), "{:#?}", case.ops);
    }
}

/// The random lines reach every kind of report, and long silence: else agreeing on them would say little.
#[test]
fn random_lines_reach_every_kind_of_report() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut titles = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..4000 {
        let line = line().new_tree(&mut runner).expect("a line").current();
        let title = Reference::play(&case(&line)).map_or("silent".to_owned(), |first| first.title);
        *titles.entry(title).or_default() += 1;
    }
    for kind in [
        "silent",
        "WARNING: possible circular locking dependency detected",
        "WARNING: possible recursive locking detected",
        "WARNING: inconsistent lock state",
        "WARNING: possible irq lock inversion dependency detected",
        "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
        "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
        "WARNING: HARDIRQ-READ-safe -> HARDIRQ-READ-unsafe lock order detected",
        "WARNING: Nested lock was not taken",
        "WARNING: bad unlock balance detected!",
        "[ BUG: Invalid wait context ]",
    ] {
        assert!(titles.get(kind).is_some_and(|n| *n > 0), "{kind}: {titles:#?}");
    }
}
