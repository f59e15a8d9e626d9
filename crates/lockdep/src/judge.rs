//! The verdict on a set of chains, without the run that met them.

use serde::Serialize;

use crate::acquire::Read;
use crate::chain::{ChainSet, Link};
use crate::graph::{Direction, EdgeId, EdgeKind, Graph};
use crate::report::{CycleStep, ReportId, ReportKind};
use crate::usage::Usage;

/// One thing wrong with a set of chains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What kind of wrong.
    pub kind: ReportKind,
    /// For recursion and cycles, the id a [`Report`](crate::Report) of the same thing has.
    pub id: ReportId,
    /// The cycle, starting where [`ReportId`] starts it; one step, from a class to itself, for recursion. For
    /// [`ReportKind::IrqUnsafe`] the path from the irq-safe class to the unsafe one. Empty for a class that is both.
    pub steps: Vec<CycleStep>,
    /// The usage states that conflict, of the first and the last class; empty for recursion and cycles.
    pub usage: Vec<(String, &'static str)>,
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

/// Builds the graph of the set and finds, for every dependency in it, a shortest strong cycle through that dependency, and
/// whether it joins an irq-safe class to an irq-unsafe one.
///
/// A graph has a strong cycle exactly if some dependency gets one here. Reporting one per dependency, rather than all
/// simple cycles, bounds the number by the number of dependencies; ties are broken by names.
pub(crate) fn judge(chains: &ChainSet) -> Judgement {
    let names: Vec<String> = chains.classes().iter().map(ToString::to_string).collect();
    let mut findings = Vec::new();
    let mut found: Vec<(u32, u32, EdgeKind)> = Vec::new();
    for chain in chains.chains() {
        // Only what the last lock adds: the run took the beginning for validated, or it is a chain of the set itself.
        let Some((next, held)) = chain.split_last().filter(|(next, _)| next.how.check && !next.how.trylock) else {
            continue;
        };
        match collision(held, next) {
            Some(_) if next.nested => {}
            Some(prev) => findings.push(recursion(&names, &held[prev], next)),
            None => found.extend(dependencies(held, next).map(|(at, kind)| (held[at].class, next.class, kind))),
        }
    }
    found.sort_unstable();
    found.dedup();
    let mut graph = Graph::new();
    for (number, class) in (0..).zip(chains.classes()) {
        if class.skipped_in_irq_searches() {
            graph.set_skip(number);
        }
        graph.mark(number, chains.usage(number).0);
        findings.extend(inconsistent(&names[number as usize], chains.usage(number)));
    }
    for (from, to, kind) in &found {
        let id = graph.edge_id(*from, *to);
        graph.add(id, *kind);
    }
    for edge in &found {
        findings.extend(cycle(&names, &mut graph, *edge));
        findings.extend(unsafe_order(&names, &mut graph, *edge));
    }
    findings.sort_unstable();
    findings.dedup();
    Judgement { findings }
}

/// The outermost held lock that `next` collides with: same class, unless `next` is recursive and that one is shared.
///
/// Held locks collide whether they are checked or not, tried or not; only `next` must be validated at all.
/// Linux: `check_deadlock()`.
fn collision(held: &[Link], next: &Link) -> Option<usize> {
    held.iter().position(|prev| {
        let both_read = next.how.read == Read::Recursive && prev.how.read != Read::Exclusive;
        prev.class == next.class && !both_read
    })
}

/// The dependencies that taking `next` creates: (index of the held lock, kind), innermost first.
///
/// Walks outwards. Unchecked locks are passed over; a checked one gives a dependency, and the first that was waited for
/// ends the walk, since everything further out is connected through it. Linux: `check_prevs_add()`.
fn dependencies(held: &[Link], next: &Link) -> impl Iterator<Item = (usize, EdgeKind)> {
    let mut connected = false;
    held.iter()
        .enumerate()
        .rev()
        .filter(|(_, prev)| prev.how.check)
        .take_while(move |(_, prev)| !core::mem::replace(&mut connected, !prev.how.trylock))
        .map(move |(at, prev)| (at, EdgeKind::between(prev.how.read, next.how.read)))
}

fn recursion(names: &[String], prev: &Link, next: &Link) -> Finding {
    let step = CycleStep {
        from: names[prev.class as usize].clone(),
        kind: EdgeKind::between(prev.how.read, next.how.read),
        to: names[next.class as usize].clone(),
    };
    cyclic(ReportKind::Recursive, vec![step])
}

fn cyclic(kind: ReportKind, steps: Vec<CycleStep>) -> Finding {
    let steps = CycleStep::canonical(steps);
    Finding { kind, id: ReportId::of_cycle(kind, &steps), steps, usage: Vec::new() }
}

fn cycle(names: &[String], graph: &mut Graph, (from, to, kind): (u32, u32, EdgeKind)) -> Option<Finding> {
    if !graph.on_a_cycle(from, kind, to) {
        return None;
    }
    let path = graph.closing_path(from, kind, to)?;
    let mut steps = vec![step(names, (from, to), kind)];
    steps.extend(path.iter().map(|s| step(names, graph.ends(s.edge), s.kind)));
    Some(cyclic(ReportKind::Circular, steps))
}

/// A class that a handler waits for and that is held where the handler can come in. Two readers do not count: they need a
/// writer between them to block.
fn inconsistent(name: &str, usage: Usage) -> Option<Finding> {
    let writers = |of: Usage, other: Usage| of.first_conflict(other).filter(|(a, b)| !(a.is_read() && b.is_read()));
    let (safe, conflict) = usage.bits().find_map(|bit| writers(Usage(bit.mask() & Usage::USED_IN), usage))?;
    let parts = [name, safe.name(), conflict.name()];
    Some(Finding {
        kind: ReportKind::InconsistentState,
        id: ReportId::of_parts(ReportKind::InconsistentState, parts.into_iter()),
        steps: Vec::new(),
        usage: vec![(name.to_owned(), safe.name()), (name.to_owned(), conflict.name())],
    })
}

/// A dependency on a path from an irq-safe class to an irq-unsafe one: that path.
fn unsafe_order(names: &[String], graph: &mut Graph, (from, to, kind): (u32, u32, EdgeKind)) -> Option<Finding> {
    let (shared, only_xr) = (kind.starts_shared(), kind.ends_recursive());
    let wanted = Usage::opposed(graph.usage_back(from, shared));
    if graph.usage_ahead(to, only_xr) & wanted == 0 {
        return None;
    }
    let (behind, last) = graph.usage_path(Direction::Forward, to, only_xr, wanted)?;
    let wanted = Usage::opposed(graph.usage(last).0 & Usage::ENABLED);
    let (before, first) = graph.usage_path(Direction::Backward, from, shared, wanted)?;
    let (safe, conflict) = Usage(graph.usage(first).0 & Usage::USED_IN).first_conflict(graph.usage(last))?;
    let named = |edge: EdgeId, kind| step(names, graph.ends(edge), kind);
    let mut steps: Vec<CycleStep> = before.iter().rev().map(|s| named(s.edge, s.kind)).collect();
    steps.push(step(names, (from, to), kind));
    steps.extend(behind.iter().map(|s| named(s.edge, s.kind)));
    let mut parts = vec![safe.name(), conflict.name()];
    parts.extend(steps.iter().flat_map(CycleStep::parts));
    let id = ReportId::of_parts(ReportKind::IrqUnsafe, parts.into_iter());
    let usage = vec![(names[first as usize].clone(), safe.name()), (names[last as usize].clone(), conflict.name())];
    Some(Finding { kind: ReportKind::IrqUnsafe, id, steps, usage })
}

fn step(names: &[String], (from, to): (u32, u32), kind: EdgeKind) -> CycleStep {
    CycleStep { from: names[from as usize].clone(), kind, to: names[to as usize].clone() }
}
