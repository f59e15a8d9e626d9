//! Every schedule, one after the other, and which of them are the same trace.

use crate::program::{Do, Findings, Seen, World};
use sched::{ChoiceKind, EndView, Op, Outcome, SchedView, Scheduler};
use std::collections::BTreeSet;

/// Of a step: its task, its place among the task's steps, its choices, and which steps come before it. A trace is the set
/// of its steps, and what the run ended with.
type Row = (u32, u32, Vec<u32>, Vec<u32>);
pub(crate) type TraceKey = (Vec<Row>, Vec<(u32, u64)>, bool);

/// Depth first: the path of options taken, and how many there were.
#[derive(Default)]
struct Path {
    path: Vec<(u32, u32)>,
    at: usize,
    key: TraceKey,
}

impl Path {
    fn take(&mut self, options: u32) -> u32 {
        if self.at == self.path.len() {
            self.path.push((0, options));
        }
        let (taken, of) = self.path[self.at];
        assert_eq!(of, options, "the program is not deterministic");
        self.at += 1;
        taken
    }

    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((taken, of)) = self.path.pop() {
            if taken + 1 < of {
                self.path.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

impl Scheduler for Path {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.take(now.runnable.len() as u32) as usize
    }
    fn choose(&mut self, _kind: ChoiceKind, options: u32) -> u32 {
        self.take(options)
    }
    fn wants_log(&self) -> bool {
        true
    }
    fn ended(&mut self, end: &EndView<'_>) {
        self.key = key_of(end);
    }
}

/// The trace of a run, computed the slow and obvious way.
pub(crate) fn key_of(end: &EndView<'_>) -> TraceKey {
    let log = end.log();
    let steps = log.steps();
    let width = end.tasks() as usize + 1;
    let ops = |at: usize| -> Vec<Op> { [steps[at].op].into_iter().chain(log.more(at).iter().copied()).collect() };
    let mut clocks: Vec<Vec<u32>> = Vec::new();
    let mut seen = vec![false; width];
    let ends = matches!(end.outcome, Outcome::Panicked { .. } | Outcome::Stopped(_));
    for at in 0..steps.len() {
        let task = steps[at].task;
        let mut clock = vec![0; width];
        let is_end = ends && at + 1 == steps.len();
        for before in 0..at {
            let direct = steps[before].task == task
                || steps[at].woken_by == Some(before as u32)
                || (!seen[task.0 as usize] && end.spawned_by(task) == Some(before))
                || is_end
                || ops(before).iter().any(|a| ops(at).iter().any(|b| a.conflicts_with(*b)));
            if direct {
                clock.iter_mut().zip(&clocks[before]).for_each(|(a, b)| *a = (*a).max(*b));
            }
        }
        seen[task.0 as usize] = true;
        clock[task.0 as usize] += 1;
        clocks.push(clock);
    }
    let row = |at: usize| {
        let task = steps[at].task.0;
        let taken = log.choices(at).iter().map(|c| c.taken).collect();
        (task, clocks[at][task as usize], taken, clocks[at].clone())
    };
    let mut rows: Vec<Row> = (0..steps.len()).map(row).collect();
    rows.sort();
    (rows, end.blocked().map(|(task, op)| (task.0, op.object.0)).collect(), ends)
}

/// All traces of a program and all that its runs show; `None` if there are more than `most` runs.
pub(crate) fn brute(tasks: &[Vec<Do>], most: u64) -> Option<(BTreeSet<TraceKey>, Findings, u64)> {
    let world = World::new(tasks);
    let mut path = Path::default();
    let (mut traces, mut findings, mut runs) = (BTreeSet::new(), Findings::new(), 0);
    loop {
        let seen: Seen = world.run(&mut path);
        findings.insert(seen);
        traces.insert(std::mem::take(&mut path.key));
        runs += 1;
        if !path.next() {
            return Some((traces, findings, runs));
        }
        if runs == most {
            return None;
        }
    }
}
