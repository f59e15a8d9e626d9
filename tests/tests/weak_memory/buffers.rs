//! x86 as its manuals explain it: each processor has a queue of stores, which reach memory one by one at any time.

use super::program::{Do, Outcome, Tasks, WORDS};
use ksync::Barrier;
use std::collections::{BTreeSet, VecDeque};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    done: Vec<usize>,
    buffers: Vec<VecDeque<(usize, u64)>>,
    memory: [u64; WORDS],
    loaded: Vec<Vec<u64>>,
}

/// What may come of a program, by every interleaving of its operations and of its buffers.
pub(crate) fn outcomes(tasks: &Tasks) -> BTreeSet<Outcome> {
    let start = State {
        done: vec![0; tasks.len()],
        buffers: vec![VecDeque::new(); tasks.len()],
        memory: [0; WORDS],
        loaded: vec![Vec::new(); tasks.len()],
    };
    let (mut seen, mut open, mut all) = (BTreeSet::from([start.clone()]), vec![start], BTreeSet::new());
    while let Some(state) = open.pop() {
        let next: Vec<State> = (0..tasks.len())
            .flat_map(|task| [drained(&state, task), stepped(&state, task, &tasks[task])])
            .flatten()
            .collect();
        if next.is_empty() {
            all.insert(Outcome { loaded: state.loaded, end: state.memory });
            continue;
        }
        open.extend(next.into_iter().filter(|state| seen.insert(state.clone())));
    }
    all
}

/// The oldest store of a task reaches memory.
fn drained(state: &State, task: usize) -> Option<State> {
    let mut next = state.clone();
    let (word, value) = next.buffers[task].pop_front()?;
    next.memory[word] = value;
    Some(next)
}

/// A task does what it does next, if it can.
fn stepped(state: &State, task: usize, body: &[Do]) -> Option<State> {
    let mut next = state.clone();
    let step = *body.get(state.done[task])?;
    next.done[task] += 1;
    let buffer = &state.buffers[task];
    match step {
        Do::Load(word) | Do::LoadAcquire(word) => {
            let own = buffer.iter().rev().find(|(of, _)| *of == word);
            next.loaded[task].push(own.map_or(state.memory[word], |(_, value)| *value));
        }
        Do::Store(word, value) | Do::StoreRelease(word, value) => next.buffers[task].push_back((word, value)),
        Do::Add(word, n) if buffer.is_empty() => {
            next.loaded[task].push(state.memory[word]);
            next.memory[word] += n;
        }
        Do::Barrier(Barrier::Full) if buffer.is_empty() => {}
        Do::Add(..) | Do::Barrier(Barrier::Full) => return None,
        Do::Barrier(Barrier::Write | Barrier::Read) => {}
    }
    Some(next)
}
