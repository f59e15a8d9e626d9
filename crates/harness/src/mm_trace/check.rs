//! Traces compared with what the simulated mm does: how far each layer agrees, and the first difference of each trace.

use super::call::{Fork, Made};
use super::{Act, Layer, Outcome, Player, Snapshot, Step, Trace};
use std::collections::BTreeMap;
use std::fmt;

/// How traces are played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    /// Where the arena begins; a multiple of 1 GiB.
    pub arena: u64,
}

impl Default for Check {
    fn default() -> Check {
        Check { arena: super::ARENA }
    }
}

/// Where a trace and the simulation part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The trace.
    pub trace: String,
    /// The operation's line in the file.
    pub line: usize,
    /// Its number in the trace.
    pub index: u64,
    /// Its text.
    pub text: String,
    /// Which part of it, where it has several.
    pub part: Option<String>,
    /// In what they differ.
    pub layer: Layer,
    /// What the recorded kernel did.
    pub expected: String,
    /// What was done here.
    pub got: String,
    /// The VMAs before the operation, as recorded.
    pub vmas_before: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { trace, line, index, text, part, layer, expected, got, vmas_before } = self;
        writeln!(f, "{trace}, operation {index} (line {line}): {} differ", layer.word())?;
        let cut: String = text.chars().take(300).collect();
        writeln!(f, "  {cut}{}", if cut.len() < text.len() { " ..." } else { "" })?;
        if let Some(part) = part {
            writeln!(f, "  in its part: {part}")?;
        }
        for (what, lines) in [("expected", expected), ("got", got), ("VMAs before it", vmas_before)] {
            let mut lines = lines.lines();
            writeln!(f, "  {what}: {}", lines.next().unwrap_or_default())?;
            lines.try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        Ok(())
    }
}

/// What comparing traces came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Traces.
    pub traces: u64,
    /// Traces that agree to their end.
    pub traces_agree: u64,
    /// Operations that agree in every layer.
    pub agree: u64,
    /// First differences.
    pub differences: Vec<Difference>,
    /// Operations after the first difference of their trace.
    pub not_followed: u64,
    /// What is wrong after a trace's end: frames that were not given back.
    pub leaks: Vec<String>,
}

impl Checked {
    /// Whether all agree.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.leaks.is_empty()
    }

    /// How many traces part first in each layer.
    #[must_use]
    pub fn by_layer(&self) -> BTreeMap<Layer, u64> {
        let mut counts: BTreeMap<Layer, u64> = Layer::ALL.iter().map(|layer| (*layer, 0)).collect();
        for difference in &self.differences {
            *counts.entry(difference.layer).or_default() += 1;
        }
        counts
    }

    /// Adds another's counts and differences.
    pub fn merge(&mut self, other: Checked) {
        self.traces += other.traces;
        self.traces_agree += other.traces_agree;
        self.agree += other.agree;
        self.not_followed += other.not_followed;
        self.differences.extend(other.differences);
        self.leaks.extend(other.leaks);
    }
}

impl Check {
    /// Plays one trace up to its first difference.
    #[must_use]
    pub fn trace(&self, trace: &Trace) -> Checked {
        let mut player = Player::new(trace, self.arena);
        let mut checked = Checked { traces: 1, ..Checked::default() };
        let mut state = Snapshot::default();
        for (step, left) in trace.steps.iter().zip((0..trace.steps.len() as u64).rev()) {
            let before = state.clone();
            state.apply(&step.after);
            let found = operation(&mut player, step, &state);
            let Some(found) = found else {
                checked.agree += 1;
                continue;
            };
            checked.not_followed = left;
            checked.differences.push(found.at(trace, step, &before));
            return checked;
        }
        checked.traces_agree = 1;
        checked.leaks.extend(player.finish().err().map(|left| format!("{}: {left}", trace.name)));
        checked
    }
}

/// A difference that does not know yet where it is.
struct Found {
    part: Option<String>,
    layer: Layer,
    expected: String,
    got: String,
}

impl Found {
    fn new(layer: Layer, expected: impl fmt::Display, got: impl fmt::Display) -> Found {
        Found { part: None, layer, expected: expected.to_string(), got: got.to_string() }
    }

    fn within(self, part: impl fmt::Display) -> Found {
        Found { part: Some(part.to_string()), ..self }
    }

    fn at(self, trace: &Trace, step: &Step, before: &Snapshot) -> Difference {
        let Found { part, layer, expected, got } = self;
        let vmas: Vec<String> = before.vmas.iter().map(ToString::to_string).collect();
        Difference {
            trace: trace.name.clone(),
            line: step.line,
            index: step.index,
            text: step.text.clone(),
            part,
            layer,
            expected,
            got,
            vmas_before: if vmas.is_empty() { "none".to_owned() } else { vmas.join("\n") },
        }
    }
}

/// Does an operation; `expected` is the state after it.
fn operation(player: &mut Player, step: &Step, expected: &Snapshot) -> Option<Found> {
    let counted = match &step.act {
        Act::Call(made) => {
            let got = player.call(&made.call);
            made_differs(made, &got)
        }
        Act::BulkMmap { first, limit, step, made, stop } => {
            let got = player.bulk_mmap(*first, *limit, *step);
            let text = |(made, stop): (u64, Option<mm_types::Errno>)| {
                format!("{made} pages, then {}", stop.map_or("the limit", mm_types::Errno::name))
            };
            (got != (*made, *stop)).then(|| Found::new(Layer::Result, text((*made, *stop)), text(got)))
        }
        Act::Fork(fork) => fork_differs(player, fork),
    };
    // A result first, then the state, then the number of faults, which rarely matters.
    let (faults, result): (Option<Found>, Option<Found>) = match counted {
        Some(found) if found.layer == Layer::Faults => (Some(found), None),
        other => (None, other),
    };
    let state = || match step.map_count {
        Some(count) => {
            let got = player.map_count();
            (got != count).then(|| Found::new(Layer::Vmas, format!("{count} VMAs"), format!("{got} VMAs")))
        }
        None => state_differs(&player.snapshot(), expected),
    };
    result.or_else(state).or(faults)
}

fn state_differs(got: &Snapshot, expected: &Snapshot) -> Option<Found> {
    got.differs(expected).map(|(layer, expected, got)| Found::new(layer, expected, got))
}

fn made_differs(made: &Made, got: &(Outcome, u64)) -> Option<Found> {
    let (outcome, faults) = got;
    if made.outcome != *outcome {
        return Some(Found::new(Layer::Result, &made.outcome, outcome));
    }
    (made.faults != *faults).then(|| Found::new(Layer::Faults, made.faults, faults))
}

fn fork_differs(player: &mut Player, fork: &Fork) -> Option<Found> {
    let (forked, faults) = match player.fork(fork) {
        Ok(forked) => forked,
        Err(error) => return Some(Found::new(Layer::Result, "a child", error)),
    };
    let acts = |who: &str, made: &[Made], got: &[(Outcome, u64)]| {
        made.iter()
            .zip(got)
            .find_map(|(made, got)| made_differs(made, got).map(|f| f.within(format!("{who}: {:?}", made.call))))
    };
    let whole = |recorded: &super::Recorded| {
        let mut snapshot = Snapshot::default();
        snapshot.apply(recorded);
        snapshot
    };
    let state = |what: &str, got: &Snapshot, recorded: &super::Recorded| {
        state_differs(got, &whole(recorded)).map(|f| f.within(what))
    };
    let mut found = [
        state("the child at its start", &forked.child_first, &fork.child_first),
        acts("the child's call", &fork.child_acts, &forked.child_acts),
        state("the child after its calls", &forked.child_acted, &fork.child_acted),
        acts("the parent's call", &fork.parent_acts, &forked.parent_acts),
        state("the parent with the child alive", &forked.parent, &fork.parent),
        state("the child after the parent's calls", &forked.child_last, &fork.child_last),
        (fork.faults != faults).then(|| Found::new(Layer::Faults, fork.faults, faults).within("the fork itself")),
    ];
    let first = found.iter().position(|f| f.as_ref().is_some_and(|f| f.layer != Layer::Faults));
    let first = first.or_else(|| found.iter().position(Option::is_some))?;
    found[first].take()
}
