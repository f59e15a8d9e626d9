//! Exhaustive exploration against every schedule.

mod brute;
mod bugs;
mod program;
mod random;

use brute::{TraceKey, brute, key_of};
use explore::{Bounds, Exhaustive, Tally};
use program::{Do, Findings, Tasks, World};
use sched::{ChoiceKind, Divergence, EndView, SchedView, Scheduler};
use std::collections::BTreeSet;

/// An exhaustive scheduler whose runs' traces are kept.
struct Watched {
    inner: Exhaustive,
    keys: Option<Vec<TraceKey>>,
}

impl Scheduler for Watched {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.inner.next_task(now)
    }
    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.inner.choose(kind, options)
    }
    fn choose_in_step(&mut self, step: usize, kind: ChoiceKind, options: u32) -> u32 {
        self.inner.choose_in_step(step, kind, options)
    }
    fn divergence(&self) -> Option<Divergence> {
        self.inner.divergence()
    }
    fn wants_log(&self) -> bool {
        true
    }
    fn ended(&mut self, end: &EndView<'_>) {
        if let Some(keys) = &mut self.keys {
            keys.push(key_of(end));
        }
        self.inner.ended(end);
    }
}

struct Reduced {
    tally: Tally,
    complete: bool,
    findings: Findings,
    deadlocks: u64,
    keys: Vec<TraceKey>,
}

fn reduced(tasks: &[Vec<Do>], most: u64, keep: bool) -> Reduced {
    let world = World::new(tasks);
    let mut watched = Watched { inner: Exhaustive::new(Bounds::default()), keys: keep.then(Vec::new) };
    let (mut findings, mut deadlocks) = (Findings::new(), 0);
    while watched.inner.tally().executions < most && watched.inner.next_run() {
        let seen = world.run(&mut watched);
        deadlocks += u64::from(seen.end.starts_with("Deadlock"));
        if keep {
            findings.insert(seen);
        }
    }
    let (tally, complete) = (watched.inner.tally(), watched.inner.complete());
    Reduced { tally, complete, findings, deadlocks, keys: watched.keys.unwrap_or_default() }
}

/// Executions and deadlocks of a program that is explored completely.
#[track_caller]
fn counts(tasks: &[Vec<Do>]) -> (u64, u64) {
    let reduced = reduced(tasks, 10_000_000, false);
    assert!(reduced.complete, "{:?}", reduced.tally);
    assert_eq!(reduced.tally.redundant, 0);
    (reduced.tally.executions, reduced.deadlocks)
}

/// `times` turns of taking a lock and giving it back.
fn turns(i: u8, times: usize) -> Vec<Do> {
    [Do::Lock(i), Do::Unlock(i)].repeat(times)
}

#[test]
fn a_counter_has_as_many_executions_as_orders_of_its_critical_sections() {
    assert_eq!(counts(&[turns(0, 1), turns(0, 1)]), (2, 0));
    assert_eq!(counts(&[turns(0, 3), turns(0, 3)]), (20, 0));
    assert_eq!(counts(&[turns(0, 2), turns(0, 2), turns(0, 2)]), (90, 0));
    assert_eq!(counts(&vec![turns(0, 1); 5]), (120, 0));
    // No limit on tasks.
    assert_eq!(counts(&(0..70).map(|_| vec![Do::Local]).collect::<Tasks>()), (1, 0));
}

#[test]
fn counter_2x10_has_184756_executions() {
    assert_eq!(counts(&[turns(0, 10), turns(0, 10)]), (184_756, 0));
}

#[test]
fn counter_3x5_has_756756_executions() {
    assert_eq!(counts(&[turns(0, 5), turns(0, 5), turns(0, 5)]), (756_756, 0));
}

#[test]
fn private_locks_need_one_run() {
    assert_eq!(counts(&[turns(0, 10), turns(1, 10)]), (1, 0));
}

fn abba(pad: usize) -> Tasks {
    let task = |own, a, b| {
        let nested = [Do::Lock(a), Do::Lock(b), Do::Unlock(b), Do::Unlock(a)];
        [turns(own, pad), nested.to_vec(), turns(own, pad)].concat()
    };
    vec![task(2, 0, 1), task(3, 1, 0)]
}

#[test]
fn opposite_lock_orders_have_three_executions_padded_or_not() {
    for pad in [0, 1, 10] {
        assert_eq!(counts(&abba(pad)), (3, 1), "padded with {pad}");
    }
}

#[test]
fn two_rounds_of_alternating_orders_have_nine_executions() {
    let nested = |a, b| [Do::Lock(a), Do::Lock(b), Do::Unlock(b), Do::Unlock(a)];
    let (ab, ba) = (nested(0, 1), nested(1, 0));
    assert_eq!(counts(&[[ab, ba].concat(), [ba, ab].concat()]), (9, 3));
}

#[test]
fn three_philosophers_have_seven_executions() {
    let eats = |a, b| vec![Do::Lock(a), Do::Lock(b), Do::Unlock(b), Do::Unlock(a)];
    assert_eq!(counts(&[eats(0, 1), eats(1, 2), eats(2, 0)]), (7, 1));
}

/// Compares the reduced exploration with all schedules; false if there are too many.
#[track_caller]
fn check(tasks: &[Vec<Do>]) -> bool {
    let Some((traces, findings, runs)) = brute(tasks, 20_000) else { return false };
    let reduced = reduced(tasks, 100_000, true);
    let keys: BTreeSet<TraceKey> = reduced.keys.iter().cloned().collect();
    let missing = traces.difference(&keys).count();
    assert_eq!(missing, 0, "{missing} of {} traces (of {runs} runs) are missing: {tasks:?}", traces.len());
    assert_eq!(reduced.findings, findings, "{tasks:?}");
    assert_eq!(reduced.tally.unfaithful, 0, "{tasks:?}");
    assert!(reduced.complete);
    assert_eq!(keys.len(), traces.len(), "{tasks:?}");
    // A run that a step ends keeps others from happening: finding out what takes more runs than there are traces.
    if reduced.tally.ended == 0 {
        assert_eq!(reduced.tally.executions, traces.len() as u64, "{:?} {tasks:?}", reduced.tally);
    }
    assert_eq!(reduced.tally.executions, traces.len() as u64 + reduced.tally.redundant, "{tasks:?}");
    true
}

#[test]
fn a_bound_is_said_and_leaves_runs_out() {
    let tasks = [turns(0, 3), turns(0, 3)];
    let world = World::new(&tasks);
    let runs_with = |preemptions| {
        let mut exhaustive = Exhaustive::new(Bounds { preemptions });
        while exhaustive.next_run() {
            world.run(&mut exhaustive);
        }
        (exhaustive.tally(), exhaustive.complete())
    };
    let (all, complete) = runs_with(None);
    assert!(complete && all.left_out == 0);
    let mut before = 0;
    for most in 0..3 {
        let (some, complete) = runs_with(Some(most));
        assert!(!complete && some.left_out > 0, "at most {most}: {some:?}");
        assert!(before < some.executions && some.executions < all.executions, "at most {most}: {some:?}");
        before = some.executions;
    }
}

#[test]
fn the_estimate_is_near_before_the_end_and_exact_at_it() {
    let world = World::new(&[turns(0, 5), turns(0, 5)]);
    let mut exhaustive = Exhaustive::new(Bounds::default());
    let mut half = 0;
    while exhaustive.next_run() {
        world.run(&mut exhaustive);
        if exhaustive.tally().executions == 126 {
            half = exhaustive.estimate();
        }
    }
    assert_eq!(exhaustive.estimate(), 252);
    assert!((126..1000).contains(&half), "{half}");
}
