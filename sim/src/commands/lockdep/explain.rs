//! Why a case came out otherwise than expected: the operation at which the two part, and what was known then.

use super::verdict::Verdict;
use lockdep::GraphText;
use lockdep::recorded::{Case, Player};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// See the module.
pub(super) struct Explanation {
    /// Index of the operation.
    at: usize,
    /// The operation as it was recorded.
    op: Value,
    expected: String,
    got: String,
    /// What is held behind it, as the kernel lists it.
    held: String,
    /// What was learnt up to it.
    graph: GraphText,
    /// The report it made.
    report: Option<String>,
}

impl Explanation {
    /// Plays the case again, up to the operation at which it parts from its expectation; `line` is its text.
    pub(super) fn of(player: &mut Player, verdict: &Verdict<'_>, line: &str) -> Option<Explanation> {
        let at = verdict.parts_at()?;
        let mut case: Case = verdict.case.clone();
        // An expected operation may lie beyond the last.
        case.ops.truncate(at + 1);
        let reported = player.play(&case, false).is_some();
        let whole: Value = serde_json::from_str(line).unwrap_or_default();
        Some(Explanation {
            at,
            op: whole["ops"][at].clone(),
            expected: verdict.expected(),
            got: verdict.result(),
            held: player.run().held_text(player.held()),
            report: reported.then(|| player.run().reports()[0].to_text(super::check::IDENT)),
            graph: player.run_mut().graph(),
        })
    }

    pub(super) fn to_text(&self, verdict: &Verdict<'_>) -> String {
        let mut text = String::new();
        let Verdict { file, line, case, .. } = verdict;
        let _ = writeln!(text, "\nthe first disagreement: {file}:{line}, id {}, at operation {}", case.id, self.at);
        let _ = writeln!(text, "  {}", self.op);
        let _ = writeln!(text, "  expected: {}\n  got:      {}\n\n{}", self.expected, self.got, self.held);
        let _ = writeln!(text, "dependencies known then: {}", self.graph.edges.len());
        let name = |class: usize| &self.graph.classes[class].class;
        for edge in &self.graph.edges {
            let (held, taken) = (&edge.held_at.location, &edge.taken_at.location);
            let (from, to) = (name(edge.from), name(edge.to));
            let cycle = if edge.on_a_cycle { ", on a cycle" } else { "" };
            let _ = writeln!(text, "  {} -> {} ({}), by {held} and {taken}{cycle}", from.name, to.name, edge.kind);
        }
        let _ = writeln!(text, "classes known then: {}", self.graph.classes.len());
        for class in &self.graph.classes {
            let _ = writeln!(text, "  {}", class.class);
        }
        text.push_str(self.report.as_deref().unwrap_or_default());
        text
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "operation": self.at,
            "op": self.op,
            "held": self.held,
            "graph": self.graph,
            "report": self.report,
        })
    }
}
