//! The verdict on a set of chains, without the run that met them.

use serde::Serialize;

use crate::chain::ChainSet;
use crate::graph::{EdgeKind, Graph};
use crate::report::{CycleStep, ReportId, ReportKind};
use crate::rules::{Taken, collision, dependencies};

/// One thing wrong with a set of chains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What kind of wrong.
    pub kind: ReportKind,
    /// The id a [`Report`](crate::Report) of the same thing has.
    pub id: ReportId,
    /// The cycle, starting where [`ReportId`] starts it. One step, from a class to itself, for recursion.
    pub steps: Vec<CycleStep>,
}

/// All that is wrong with a set of chains: a function of the set, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Sorted by kind and id, each once.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Builds the graph of the set and finds, for every dependency in it, a shortest strong cycle through that dependency.
///
/// A graph has a strong cycle exactly if some dependency gets one here. Reporting one per dependency, rather than all
/// simple cycles, bounds the number by the number of dependencies; ties are broken by names.
pub(crate) fn judge(chains: &ChainSet) -> Judgement {
    let names: Vec<String> = chains.classes().iter().map(ToString::to_string).collect();
    let mut findings = Vec::new();
    let mut found: Vec<(u32, u32, EdgeKind)> = Vec::new();
    for chain in chains.chains() {
        let path: Vec<Taken> = chain.iter().map(|link| (link.class, link.how)).collect();
        // Only what the last lock adds: the run took the beginning for validated, or it is a chain of the set itself.
        let Some((next, held)) = path.split_last().filter(|(next, _)| next.1.check && !next.1.trylock) else {
            continue;
        };
        match collision(held, *next) {
            Some(prev) => findings.push(recursion(&names, held[prev], *next)),
            None => found.extend(dependencies(held, *next).map(|(at, kind)| (held[at].0, next.0, kind))),
        }
    }
    found.sort_unstable();
    found.dedup();
    findings.extend(cycles(&names, &found));
    findings.sort_unstable();
    findings.dedup();
    Judgement { findings }
}

fn recursion(names: &[String], prev: Taken, next: Taken) -> Finding {
    let step = CycleStep {
        from: names[prev.0 as usize].clone(),
        kind: EdgeKind::between(prev.1.read, next.1.read),
        to: names[next.0 as usize].clone(),
    };
    finding(ReportKind::Recursive, vec![step])
}

/// `edges` sorted by name, since the classes of a [`ChainSet`] are.
fn cycles(names: &[String], edges: &[(u32, u32, EdgeKind)]) -> Vec<Finding> {
    let mut graph = Graph::new();
    for (from, to, kind) in edges {
        let id = graph.edge_id(*from, *to);
        graph.add(id, *kind, ());
    }
    let step = |from: u32, kind: EdgeKind, to: u32| CycleStep {
        from: names[from as usize].clone(),
        kind,
        to: names[to as usize].clone(),
    };
    let mut findings = Vec::new();
    for (from, to, kind) in edges {
        if let Some(path) = graph.closing_path(*from, *kind, *to) {
            let mut steps = vec![step(*from, *kind, *to)];
            steps.extend(path.iter().map(|s| {
                let slot = graph.slot(s.edge);
                step(slot.from, s.kind, slot.to)
            }));
            findings.push(finding(ReportKind::Circular, steps));
        }
    }
    findings
}

fn finding(kind: ReportKind, steps: Vec<CycleStep>) -> Finding {
    let steps = CycleStep::canonical(steps);
    Finding { kind, id: ReportId::of_cycle(kind, &steps), steps }
}
