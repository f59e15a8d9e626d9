//! Agreement of a run with a recording, or the first difference.

use super::callback::Callback;
use super::recorder::{Operation, Played};
use super::recording::{Determinism, Recording};
use super::shape::kinds;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The first thing in which a run differs from a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The operation.
    pub operation: String,
    /// What differs, in words: `operations`, `number of callbacks`, `order`, `locks held`, `range`, ...
    pub what: String,
    /// Both sequences, with the place marked.
    pub detail: String,
}

/// Compares a run with every round of a recording.
///
/// # Errors
/// The first difference; of several rounds, that of the one with which most operations agree.
pub fn compare(recording: &Recording, played: &Played) -> Result<(), Difference> {
    let with_round = |round: &[Operation]| {
        names(round, played)?;
        for (at, recorded) in without_setup(round).iter().enumerate() {
            let here = &played.operations[at + 1];
            operation(recording.determinism, recorded, here).map_err(|d| (at, d))?;
        }
        setup(recording.determinism, round, played)
    };
    if recording.determinism == Determinism::Shape {
        return shapes(recording, played);
    }
    let mut furthest: Option<(usize, Difference)> = None;
    for round in &recording.rounds {
        match with_round(round) {
            Ok(()) => return Ok(()),
            Err((at, difference)) => {
                if furthest.as_ref().is_none_or(|(best, _)| *best < at) {
                    furthest = Some((at, difference));
                }
            }
        }
    }
    furthest.map_or(Ok(()), |(_, difference)| Err(difference))
}

const SETUP: &str = "(setup)";

fn without_setup(round: &[Operation]) -> &[Operation] {
    match round {
        [first, rest @ ..] if first.name == SETUP => rest,
        all => all,
    }
}

/// What came before the first operation.
fn setup(how: Determinism, round: &[Operation], played: &Played) -> Result<(), (usize, Difference)> {
    let nothing = Operation { name: SETUP.to_owned(), callbacks: Vec::new(), truncated: false };
    let recorded = round.first().filter(|op| op.name == SETUP).unwrap_or(&nothing);
    operation(how, recorded, &played.operations[0]).map_err(|d| (0, d))
}

/// Both must have done the same operations in the same order.
fn names(round: &[Operation], played: &Played) -> Result<(), (usize, Difference)> {
    let recorded: Vec<&str> = without_setup(round).iter().map(|op| op.name.as_str()).collect();
    let here: Vec<&str> = played.operations.iter().skip(1).map(|op| op.name.as_str()).collect();
    if recorded == here {
        return Ok(());
    }
    let detail = format!("recorded: {recorded:#?}\nhere: {here:#?}\n");
    Err((0, Difference { operation: "(all)".to_owned(), what: "operations".to_owned(), detail }))
}

fn operation(how: Determinism, recorded: &Operation, here: &Operation) -> Result<(), Difference> {
    let mut theirs: Vec<Callback> = recorded.callbacks.iter().map(Callback::compared).collect();
    let mut ours: Vec<Callback> = here.callbacks.iter().map(Callback::compared).collect();
    if recorded.truncated {
        // An inherited flush that was left out makes the kept part shorter, never longer.
        ours.truncate(theirs.len());
    }
    if how == Determinism::Reordered {
        theirs.sort();
        ours.sort();
    }
    if theirs == ours {
        return Ok(());
    }
    let at = theirs.iter().zip(&ours).position(|(a, b)| a != b).unwrap_or(theirs.len().min(ours.len()));
    Err(Difference {
        operation: recorded.name.clone(),
        what: what(&theirs, &ours, at),
        detail: both(&theirs, &ours, at),
    })
}

/// What the difference at `at` is.
fn what(theirs: &[Callback], ours: &[Callback], at: usize) -> String {
    let (Some(a), Some(b)) = (theirs.get(at), ours.get(at)) else { return "number of callbacks".to_owned() };
    let mut sorted = (theirs.to_vec(), ours.to_vec());
    sorted.0.sort();
    sorted.1.sort();
    if sorted.0 == sorted.1 {
        return "order".to_owned();
    }
    a.first_difference(b).unwrap_or("callback").to_owned()
}

/// Both sequences around the difference.
fn both(theirs: &[Callback], ours: &[Callback], at: usize) -> String {
    let mut text = String::new();
    for (title, callbacks) in [("recorded", theirs), ("here", ours)] {
        let _ = writeln!(text, "  {title}:");
        let from = at.saturating_sub(4);
        if from > 0 {
            let _ = writeln!(text, "      ({from} before these agree)");
        }
        for (i, callback) in callbacks.iter().enumerate().skip(from).take(12) {
            let mark = if i == at { ">" } else { " " };
            let _ = writeln!(text, "    {mark} {callback}");
        }
        if at >= callbacks.len() {
            let _ = writeln!(text, "    > (nothing more)");
        }
    }
    text
}

/// Where chance decides: the kinds that some round has must occur, and no others.
fn shapes(recording: &Recording, played: &Played) -> Result<(), Difference> {
    for round in &recording.rounds {
        names(round, played).map_err(|(_, difference)| difference)?;
    }
    let nothing = Operation { name: SETUP.to_owned(), callbacks: Vec::new(), truncated: false };
    let aligned: Vec<Vec<&Operation>> = recording
        .rounds
        .iter()
        .map(|round| {
            let setup = round.first().filter(|op| op.name == SETUP).unwrap_or(&nothing);
            std::iter::once(setup).chain(without_setup(round)).collect()
        })
        .collect();
    let rounds: Vec<Vec<BTreeSet<String>>> = aligned.iter().map(|round| kinds(round)).collect();
    let every: Vec<BTreeSet<String>> = kinds(&played.operations.iter().collect::<Vec<_>>());
    for (at, (here, ours)) in played.operations.iter().zip(&every).enumerate() {
        let recorded: Vec<&Operation> = aligned.iter().map(|round| round[at]).collect();
        let rounds: Vec<&BTreeSet<String>> = rounds.iter().map(|round| &round[at]).collect();
        let ever: BTreeSet<&String> = rounds.iter().copied().flatten().collect();
        // What came after a cut is not known.
        let whole = recorded.iter().all(|op| !op.truncated);
        let extra = ours.iter().find(|kind| whole && !ever.contains(kind));
        let missing = ever.iter().copied().find(|kind| !ours.contains(*kind));
        let (what, episode) = match (extra, missing) {
            (Some(extra), _) => ("an episode that was never recorded", extra),
            (None, Some(missing)) => ("an episode that is missing here", missing),
            (None, None) => continue,
        };
        let indented = |kinds: &mut dyn Iterator<Item = &String>| {
            kinds.map(|kind| format!("    {}\n", kind.trim_end().replace('\n', "\n      "))).collect::<String>()
        };
        let detail = format!(
            "  it is:\n{}  recorded, every kind:\n{}  here, every kind:\n{}",
            indented(&mut std::iter::once(episode)),
            indented(&mut ever.iter().copied()),
            indented(&mut ours.iter()),
        );
        return Err(Difference { operation: here.name.clone(), what: what.to_owned(), detail });
    }
    Ok(())
}
