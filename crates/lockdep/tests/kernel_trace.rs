//! Traces as `trace-cmd report` and `perf script` print them, judged: what must be reported, and what must not.

use lockdep::ReportKind::{self, Circular, InconsistentState, IrqUnsafe, Recursive, UnlockBalance};
use lockdep::kernel_trace::{EarlyReleases, TraceJudge};
use lockdep::{Lockdep, Run};

fn judged(trace: &str) -> TraceJudge {
    let mut judge = TraceJudge::new(Run::new(Lockdep::new()), "t");
    for (number, line) in (1..).zip(trace.lines()) {
        let _ = judge.line(number, line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
    judge
}

#[track_caller]
fn check(trace: &str, expected: &[ReportKind]) -> TraceJudge {
    let judge = judged(trace);
    let kinds: Vec<ReportKind> = judge.run().reports().iter().map(|report| report.kind).collect();
    assert_eq!(kinds, expected, "{trace}");
    judge
}

/// A line an event: `task flags +lock`, `-lock`; `r+lock` shared, `t+lock` by trylock; a lock's address is its name's
/// letters. Flags `perf` stand for a line of perf, which has none.
fn trace(events: &str) -> String {
    let line = |event: &str| {
        let [task, flags, what] = event.split(' ').collect::<Vec<_>>()[..] else { panic!("{event:?}") };
        let (how, lock) = what.split_once(['+', '-']).unwrap_or(("", what));
        let name = lock.split('#').next().unwrap_or(lock);
        let address: String = lock.bytes().take(8).map(|byte| format!("{byte:02x}")).collect();
        let flag =
            ["r", "t"].into_iter().find(|flag| *flag == how).map_or("", |f| if f == "r" { "read " } else { "try " });
        let event = match () {
            () if what.contains('+') => format!("lock_acquire: 0x{address} {flag}{name}"),
            () if what.contains('-') => format!("lock_release: 0x{address} {name}"),
            () => format!("{what}: irq=1"),
        };
        match flags {
            "perf" => format!("{task} 7 [000] 1.5: lock:{event}"),
            flags => format!("{task}-7 [000] {flags} 1.5: {event}"),
        }
    };
    let named: Vec<String> = events.split(", ").map(line).collect();
    // Every task name is a task of its own: its number is its length and first letter.
    named
        .iter()
        .map(|line| {
            let pid = u32::from(line.as_bytes()[0]);
            line.replacen("-7 ", &format!("-{pid} "), 1).replacen(" 7 ", &format!(" {pid} "), 1) + "\n"
        })
        .collect()
}

#[test]
fn two_orders_of_two_tasks() {
    let judge = check(&trace("a ..... +X, a ..... +Y, a ..... -Y, a ..... -X, b ..... +Y, b ..... +X"), &[Circular]);
    let report = judge.run().reports()[0].to_text("6.12");
    for place in ["Y){+...}-{0:0}, at: t:5", "-> #1 (Y){+...}-{0:0}:\n       t:2", "-> #0 (X){+...}-{0:0}:\n       t:6"]
    {
        assert!(report.contains(place), "{place}: {report}");
    }
    assert!(report.contains("b/98 is trying to acquire lock:"), "{report}");
    check(&trace("a ..... +X, a ..... +Y, a ..... -Y, a ..... -X, b ..... +X, b ..... +Y"), &[]);
    // A trylock waits for nobody.
    check(&trace("a ..... +X, a ..... +Y, a ..... -Y, a ..... -X, b ..... +Y, b ..... t+X"), &[]);
}

#[test]
fn perf_lines_say_the_same() {
    check(&trace("a perf +X, a perf +Y, a perf -Y, a perf -X, b perf +Y, b perf +X"), &[Circular]);
}

#[test]
fn readers_wait_behind_writers_except_where_they_do_not() {
    let both = |name: &str| {
        trace(&format!("a ..... r+{name}, a ..... +X, a ..... -X, a ..... -{name}, b ..... +X, b ..... r+{name}"))
    };
    check(&both("mmap_lock"), &[Circular]);
    check(&both("rcu_read_lock"), &[]);
    check(&both("my_srcu"), &[]);
    check(&trace("a ..... r+rcu_read_lock, a ..... r+rcu_read_lock"), &[]);
    check(&trace("a ..... r+mmap_lock, a ..... r+mmap_lock"), &[Recursive]);
}

#[test]
fn one_lock_twice_is_recursion_and_two_of_a_name_are_subclasses() {
    check(&trace("a ..... +X, a ..... +X"), &[Recursive]);
    let judge =
        check(&trace("a ..... +X#1, a ..... +X#2, a ..... -X#2, a ..... -X#1, b ..... +X#2, b ..... +X#1"), &[]);
    let edges: Vec<(String, String)> = judge.run().edges().into_iter().map(|edge| (edge.from, edge.to)).collect();
    assert_eq!(edges, [("X".to_owned(), "X/1".to_owned())]);
}

#[test]
fn a_handler_and_an_interruptible_holder_conflict() {
    check(&trace("a d.h1. +X, a d.h1. -X, b ..... +X"), &[InconsistentState]);
    check(&trace("a d.h1. +X, a d.h1. -X, b d.... +X"), &[]);
    // Interrupts go on while it is held: the next event shows it, and so does a handler that comes in.
    check(&trace("a d.h1. +X, a d.h1. -X, b d.... +X, b ..... -X"), &[InconsistentState]);
    check(&trace("a d.h1. +X, a d.h1. -X, b d.... +X, b d.h1. +Y"), &[InconsistentState]);
    check(&trace("a d.h1. +X, a d.h1. -X, b d.... +X, b d.... -X, b ..... +Y"), &[]);
    check(&trace("a d.h1. +X, a d.h1. -X, b ..... +Y, b ..... -Y, b d.... +X, b d.... +Y"), &[IrqUnsafe]);
}

#[test]
fn softirqs_count_once_the_column_is_known_to_tell_of_them() {
    let conflict = "a ..s1. +X, a ..s1. -X, b ..... +X";
    check(&trace(conflict), &[]);
    check(&format!("# irqs-off/BH-disabled\n{}", trace(conflict)), &[InconsistentState]);
    check(&trace(&format!("a b.... +Z, a b.... -Z, {conflict}")), &[InconsistentState]);
    check(&trace("a b.... +Z, a b.... -Z, a ..s1. +X, a ..s1. -X, b b.... +X"), &[]);
    check(&trace("a b.... +Z, a b.... -Z, a ..s1. +X, a ..s1. -X, b b.... +X, b ..... -X"), &[InconsistentState]);
}

#[test]
fn a_handler_takes_its_locks_under_nothing() {
    let orders = |task: &str, handler: &str, entry: &str, exit: &str| {
        trace(&format!(
            "a {task} +X, {entry}a {handler} +Y, a {handler} -Y, {exit}a {task} -X, b d.... +Y, b d.... +X, b d.... -X, b d.... -Y"
        ))
    };
    check(&orders(".....", "d.h1.", "", ""), &[IrqUnsafe]);
    check(&orders("d....", "d.h1.", "", "").replace("d.h1.", "d...."), &[Circular]);
    // perf prints no context: without the interrupts' own events, a handler's locks count as its victim's.
    check(&orders("perf", "perf", "", ""), &[Circular]);
    check(&orders("perf", "perf", "a perf irq_handler_entry, ", "a perf irq_handler_exit, "), &[IrqUnsafe]);
    check(&orders("perf", "perf", "a perf softirq_entry, ", "a perf softirq_exit, "), &[]);
}

#[test]
fn a_release_of_what_cannot_have_been_held_is_a_finding() {
    let early = check(&trace("a ..... -X, a ..... +Y, a ..... -Y"), &[]).summary().early_releases;
    assert_eq!(early, Some(EarlyReleases { count: 1, first_line: 1 }));
    check(&trace("a ..... +X, a ..... -X, a ..... -X"), &[UnlockBalance]);
    check(&trace("a ..... r+X, a ..... -X, a ..... -X"), &[UnlockBalance]);
    check(&trace("a ..... +X, a ..... -X, b ..... -X"), &[UnlockBalance]);
    // b waits for what a has held from before the beginning: its acquisition is printed before the release.
    let waited = check(&trace("b ..... +X, a ..... -X, b ..... -X"), &[]);
    assert_eq!(waited.summary().early_releases, Some(EarlyReleases { count: 1, first_line: 2 }));
    // A reader from before the beginning, beside one from after it.
    check(&trace("b ..... r+X, b ..... -X, a ..... -X"), &[]);
}

#[test]
fn nothing_is_known_after_lost_events() {
    let lost = |events: &str, after: &str| format!("{}CPU:0 [LOST 12 EVENTS]\n{}", trace(events), trace(after));
    let judge = check(&lost("a ..... +X, a ..... +Y", "a ..... +X, a ..... -X, a ..... -Y"), &[]);
    assert_eq!((judge.summary().lost, judge.summary().early_releases.map(|early| early.count)), (1, Some(1)));
    // What was learnt stays.
    check(&lost("a ..... +X, a ..... +Y", "a ..... +Y, a ..... +X"), &[Circular]);
}

#[test]
fn idle_tasks_are_one_a_cpu() {
    let lines = "<idle>-0 [000] d.... 1.5: lock_acquire: 0x1 X\n<idle>-0 [001] d.... 1.5: lock_acquire: 0x2 Y\n";
    let judge = check(lines, &[]);
    assert_eq!((judge.summary().tasks, judge.summary().events, judge.run().edges().len()), (2, 2, 0));
}
