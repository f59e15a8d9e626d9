//! Exhaustive exploration against every schedule.

mod brute;
mod bugs;
mod divided;
mod keyed;
mod program;
mod random;

use brute::{TraceKey, brute};
use explore::{Bounds, CourseScheduler, Exhaustive, Flaw, Tally};
use keyed::Keyed;
use program::{Do, Findings, Tasks, World};
use std::collections::BTreeSet;

struct Reduced {
    tally: Tally,
    complete: bool,
    findings: Findings,
    deadlocks: u64,
    keys: Vec<TraceKey>,
}

fn reduced(tasks: &[Vec<Do>], most: u64, keep: bool) -> Reduced {
    reduced_by(Exhaustive::new(Bounds::default()), tasks, most, keep)
}

fn reduced_by(mut inner: Exhaustive, tasks: &[Vec<Do>], most: u64, keep: bool) -> Reduced {
    let world = World::new(tasks);
    let (mut findings, mut deadlocks, mut keys) = (Findings::new(), 0, Vec::new());
    while inner.tally().executions < most && inner.next_run() {
        let mut keyed = Keyed::of(&mut inner, keep);
        let seen = world.run(&mut keyed);
        keys.extend(keyed.key);
        deadlocks += u64::from(seen.end.starts_with("Deadlock"));
        if keep {
            findings.insert(seen);
        }
    }
    let (tally, complete) = (inner.tally(), inner.complete());
    Reduced { tally, complete, findings, deadlocks, keys }
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
///
/// # Errors
/// How they differ.
fn compare(exhaustive: Exhaustive, tasks: &[Vec<Do>]) -> Result<bool, String> {
    let Some((traces, findings, runs)) = brute(tasks, 20_000) else { return Ok(false) };
    let reduced = reduced_by(exhaustive, tasks, 20_000, true);
    let keys: BTreeSet<TraceKey> = reduced.keys.iter().cloned().collect();
    let missing = traces.difference(&keys).count();
    let Tally { executions, redundant, ended, unfaithful, .. } = reduced.tally;
    let distinct = keys.len() as u64;
    let wrong = |what: &str| {
        let of = traces.len();
        Err(format!("{what}: {missing} of {of} traces (of {runs} runs) are missing, {:?}: {tasks:?}", reduced.tally))
    };
    if missing > 0 {
        return wrong("traces are missing");
    }
    if reduced.findings != findings {
        return wrong("the findings differ");
    }
    if unfaithful > 0 || !reduced.complete || keys.len() != traces.len() || executions != distinct + redundant {
        return wrong("it is not what it says");
    }
    // A run that a step ends keeps others from happening: finding out what takes more runs than there are traces.
    if ended == 0 && redundant > 0 {
        return wrong("a trace was run twice");
    }
    Ok(true)
}

#[track_caller]
fn check(tasks: &[Vec<Do>]) -> bool {
    compare(Exhaustive::new(Bounds::default()), tasks).unwrap_or_else(|why| panic!("{why}"))
}

/// The trace that is run by following its course is the trace.
#[track_caller]
fn check_courses(tasks: &[Vec<Do>]) {
    let (world, other) = (World::new(tasks), World::new(tasks));
    let mut inner = Exhaustive::new(Bounds::default());
    let mut courses = BTreeSet::new();
    while inner.tally().executions < 300 && inner.next_run() {
        let mut keyed = Keyed::of(&mut inner, true);
        let (seen, key) = (world.run(&mut keyed), keyed.key);
        let Some(course) = inner.course() else { continue };
        let mut following = CourseScheduler::new(course.clone());
        let mut again = Keyed::of(&mut following, true);
        assert_eq!(other.run(&mut again), seen, "{course:?} {tasks:?}");
        assert_eq!(again.key, key, "{course:?} {tasks:?}");
        assert!(courses.insert(course), "two traces have one course: {tasks:?}");
    }
}

/// A comparison that a broken reduction passes compares nothing.
#[test]
fn each_flaw_of_the_reduction_is_found() {
    use random::{Kind, draw};
    let kinds = [
        (Flaw::ForgetsWhoWaits, Kind::Locks),
        (Flaw::Oversleeps, Kind::Words),
        (Flaw::LooksBackOnce, Kind::Locks),
        (Flaw::OneOption, Kind::Choices),
        (Flaw::OneObject, Kind::Hardirqs),
    ];
    for (flaw, kind) in kinds {
        let fails = |seed| compare(Exhaustive::flawed(Bounds::default(), flaw), &draw(kind, seed)).is_err();
        assert!((0..60).any(fails), "{flaw:?} goes unnoticed");
    }
    // Few programs tell: a softirq that sleeps for ever, and so do those on its CPU.
    let tasks = [
        vec![Do::Both(0, 1)],
        vec![Do::Softirq(2), Do::Lock(0), Do::Sleep(0)],
        vec![Do::Hardirq, Do::Load(0), Do::UnmaskHard],
    ];
    assert_eq!(compare(Exhaustive::new(Bounds::default()), &tasks), Ok(true));
    let flawed = Exhaustive::flawed(Bounds::default(), Flaw::ForgetsTheInterrupted);
    assert!(compare(flawed, &tasks).is_err(), "those who are interrupted go unnoticed");
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

/// What the runs that deadlock end with.
fn deadlocks(tasks: &[Vec<Do>]) -> BTreeSet<String> {
    let reduced = reduced(tasks, 10_000, true);
    assert!(reduced.complete && reduced.tally.redundant == 0, "{:?}", reduced.tally);
    reduced.findings.into_iter().map(|seen| seen.end).filter(|end| end.starts_with("Deadlock")).collect()
}

#[test]
fn a_handler_that_wants_what_it_interrupts_deadlocks_and_only_then() {
    let held = [Do::Lock(0), Do::Unlock(0)];
    let handler = vec![Do::Hardirq, Do::Lock(0), Do::Unlock(0)];
    // t1 waits for the gate that the handler took, t2, the handler, for the lock.
    let ends = deadlocks(&[held.to_vec(), handler.clone()]);
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert!(ends.iter().all(|end| end.contains("(t1, k126:3), (t2, t0.100)")), "{ends:?}");
    let disabled = [&[Do::MaskHard][..], &held, &[Do::UnmaskHard]].concat();
    assert_eq!(deadlocks(&[disabled, handler.clone()]), BTreeSet::new());
    // Bottom halves are not enough against a hardirq, and are against a softirq.
    let bottom_halves = [&[Do::MaskSoft][..], &held, &[Do::UnmaskSoft]].concat();
    let softirq = vec![Do::Softirq(1), Do::Lock(0), Do::Unlock(0)];
    assert_eq!(deadlocks(&[bottom_halves.clone(), handler]).len(), 1);
    assert_eq!(deadlocks(&[bottom_halves, softirq.clone()]), BTreeSet::new());
    assert_eq!(deadlocks(&[held.to_vec(), softirq]).len(), 1);
}
