//! What a scenario asked of a run, and whether it got it.

use crate::judge::Counts;
use lockdep::Edge;
use mm_types::Name;
use properties::Code;
use scenario::ast::{Assertion, Callback, Comparison, Counted};
use scenario::{Scenario, Spanned, Word};
use std::collections::BTreeSet;
use trace::Hook;

/// Whether a run did what its scenario says, and if not, what it did instead: one line each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// What was not as the file says; empty for a passing run.
    pub problems: Vec<String>,
    /// Codes that the file expects and that were found.
    pub expected: Vec<Code>,
}

impl Verdict {
    /// Whether everything was as expected.
    #[must_use]
    pub fn as_expected(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The codes a scenario expects; its vocabulary was checked when it was parsed.
pub(crate) fn expected_codes(scenario: &Scenario) -> BTreeSet<Code> {
    scenario.expect.iter().filter_map(|name| Code::parse(&name.node)).collect()
}

/// Judges which codes were found against `expect` and `never`.
pub(crate) fn judge_codes(scenario: &Scenario, found: &BTreeSet<Code>) -> Verdict {
    let expected = expected_codes(scenario);
    let mut problems = Vec::new();
    for code in &expected {
        if !found.contains(code) {
            problems.push(format!("expected {code} ({}), but it was not found", code.meaning()));
        }
    }
    for code in found {
        if !expected.contains(code) {
            problems.push(format!("found {code} ({}), which the file does not expect", code.meaning()));
        }
    }
    for word in &scenario.never {
        for code in Code::never(&word.node).into_iter().flatten().filter(|c| found.contains(c)) {
            problems.push(format!("never {{ {} }}: found {code}", word.node));
        }
    }
    Verdict { problems, expected: expected.intersection(found).copied().collect() }
}

/// The facts that assertions are about.
pub(crate) struct Facts<'a> {
    pub(crate) counts: &'a Counts,
    pub(crate) edges: &'a [Edge],
    pub(crate) acquisitions: &'a dyn Fn(Name) -> u64,
}

/// Judges the `assert` clauses: one line for each that does not hold, with its place and what was true instead.
pub(crate) fn judge_assertions(scenario: &Scenario, facts: &Facts<'_>) -> Vec<String> {
    scenario.asserts.iter().filter_map(|a| failed(scenario, a, facts)).collect()
}

fn failed(scenario: &Scenario, assertion: &Spanned<Assertion>, facts: &Facts<'_>) -> Option<String> {
    let at = scenario.source.position(assertion.span).map_or_else(String::new, |p| format!("line {}: ", p.line));
    match &assertion.node {
        Assertion::Count { counted, comparison, value } => {
            let got = count(counted, facts);
            let holds = match comparison.node {
                Comparison::Equal => got == value.node,
                Comparison::AtLeast => got >= value.node,
                Comparison::AtMost => got <= value.node,
            };
            (!holds).then(|| format!("{at}assert {} {} {}: it was {got}", text(counted), comparison.node, value.node))
        }
        Assertion::Edge { present, from, to } => {
            let learnt = facts.edges.iter().any(|e| e.from == from.node && e.to == to.node);
            let no = if *present { "" } else { "no " };
            let but = if learnt { "it was learnt" } else { "it was not learnt" };
            (learnt != *present).then(|| format!("{at}assert {no}edge \"{}\" -> \"{}\": {but}", from.node, to.node))
        }
    }
}

fn count(counted: &Counted, facts: &Facts<'_>) -> u64 {
    match counted {
        Counted::Callbacks { device, callback } if callback.node == Callback::Shrink.word() => {
            facts.counts.shrunk(Name::new(&device.node))
        }
        Counted::Callbacks { device, callback } => {
            hook(&callback.node).map_or(0, |h| facts.counts.callbacks(Name::new(&device.node), h))
        }
        Counted::Acquired { class } => (facts.acquisitions)(Name::new(&class.node)),
        Counted::AllocationsUnder { class } => facts.counts.allocations_under(Name::new(&class.node)),
        Counted::ReclaimInvalidations => facts.counts.reclaim_invalidations,
        Counted::BlockedTasks => facts.counts.blocked_tasks,
    }
}

/// The word a scenario uses for a callback.
pub(crate) fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::RangeStart => "start",
        Hook::RangeEnd => "end",
        Hook::Invalidate => "invalidate",
        Hook::Release => "release",
        Hook::SecondaryTlb => "secondary_tlb",
        Hook::ClearFlushYoung => "clear_flush_young",
        Hook::ClearYoung => "clear_young",
        Hook::TestYoung => "test_young",
        Hook::ChangePte => "change_pte",
    }
}

fn hook(word: &str) -> Option<Hook> {
    const ALL: [Hook; 9] = [
        Hook::RangeStart,
        Hook::RangeEnd,
        Hook::Invalidate,
        Hook::Release,
        Hook::SecondaryTlb,
        Hook::ClearFlushYoung,
        Hook::ClearYoung,
        Hook::TestYoung,
        Hook::ChangePte,
    ];
    ALL.into_iter().find(|h| hook_word(*h) == word)
}

fn text(counted: &Counted) -> String {
    match counted {
        Counted::Callbacks { device, callback } => format!("callbacks {}.{}", device.node, callback.node),
        Counted::Acquired { class } => format!("acquired \"{}\"", class.node),
        Counted::AllocationsUnder { class } => format!("allocations under \"{}\"", class.node),
        Counted::ReclaimInvalidations => "reclaim_invalidations".to_owned(),
        Counted::BlockedTasks => "blocked_tasks".to_owned(),
    }
}
