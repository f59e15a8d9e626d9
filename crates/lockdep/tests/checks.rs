//! What a caller asks for, and what interrupts, wait types and nested locks mean: each rule in both directions.

use lockdep::ReportKind::{
    AssertionFailed, BadContention, Circular, HeldLockFreed, InconsistentState, InvalidWaitContext, IrqInversion,
    IrqUnsafe, LocksHeldAtExit, LocksHeldInUserspace, NestedLockNotTaken, Pinned, Recursive, SuspiciousRcu,
    UnlockBalance,
};
use lockdep::{
    Acquire, Assertion, ClassId, ClassSpec, Held, IrqState, LockType, Lockdep, Nest, ReportKind, Run, SharedRun, Site,
    Verdict, WaitType,
};

struct World {
    run: Run,
    held: Held,
}

const W: Acquire = Acquire::exclusive();

impl World {
    fn new() -> Self {
        Self { run: Run::new(Lockdep::new()), held: Held::new("task", 7) }
    }

    fn class(&self, name: &str) -> ClassId {
        self.run.lockdep().class(&ClassSpec::new(name))
    }

    /// Takes the lock `name`, whose number is its first letter.
    fn take(&mut self, name: &'static str, how: Acquire) -> Vec<ReportKind> {
        let class = self.class(name);
        let verdict = self.run.acquire(&mut self.held, class, number(name), how, Site::here());
        self.kinds(verdict)
    }

    fn release(&mut self, name: &str) -> Vec<ReportKind> {
        let class = self.class(name);
        let verdict = self.run.release_of(&mut self.held, class, number(name), Site::here());
        self.kinds(verdict)
    }

    fn kinds(&self, verdict: Verdict) -> Vec<ReportKind> {
        self.run.reports()[verdict.reports()].iter().map(|report| report.kind).collect()
    }
}

fn number(name: &str) -> u64 {
    u64::from(name.as_bytes()[0])
}

#[test]
fn held_lock_freed() {
    let mut w = World::new();
    let site = Site::here();
    assert!(w.run.freed(&w.held, 0, u64::MAX, site).is_ok());
    assert_eq!(w.take("m", W), []);
    assert!(w.run.freed(&w.held, 0, number("m") - 1, site).is_ok());
    let verdict = w.run.freed(&w.held, number("m"), number("m"), site);
    assert_eq!(w.kinds(verdict), [HeldLockFreed]);
    assert!(w.held.holds(number("m")));
}

#[test]
fn ends_of_tasks_hold_nothing() {
    let mut w = World::new();
    let site = Site::here();
    assert!(w.run.task_exit(&w.held, site).is_ok() && w.run.return_to_user(&w.held, site).is_ok());
    assert_eq!(w.take("m", W), []);
    let verdict = w.run.task_exit(&w.held, site);
    assert_eq!(w.kinds(verdict), [LocksHeldAtExit]);
    assert_eq!(w.run.reports()[0].first_line(), "WARNING: task/7 still has locks held!");
    let verdict = w.run.return_to_user(&w.held, site);
    assert_eq!(w.kinds(verdict), [LocksHeldInUserspace]);
    let text = w.run.reports()[1].to_text("6.1");
    assert!(text.contains("\ntask/7 is leaving the kernel with locks still held!\n1 lock held by task/7:\n"), "{text}");
    assert!(text.starts_with("\n================================================\nWARNING: lock held when returning"));
}

#[test]
fn suspicious_rcu_and_contention() {
    let mut w = World::new();
    let site = Site::here();
    let verdict = w.run.rcu_suspicious(&w.held, "suspicious rcu_dereference_check() usage", site);
    assert_eq!(w.kinds(verdict), [SuspiciousRcu]);
    let text = w.run.reports()[0].to_text("6.1");
    let location = site.location;
    let expect = format!(
        "{location} suspicious rcu_dereference_check() usage!\n\nother info that might help us debug this:\n\n\nrcu_scheduler_active = 2, debug_locks = 1\nno locks held by task/7.\n"
    );
    assert!(text.contains(&expect), "{text}");

    let class = w.class("m");
    let verdict = w.run.contended(&w.held, class, number("m"), site);
    assert_eq!(w.kinds(verdict), [BadContention]);
    assert_eq!(w.take("m", W), []);
    assert!(w.run.contended(&w.held, class, number("m"), site).is_ok());
}

#[test]
fn pins_forbid_release() {
    let mut w = World::new();
    let (site, m) = (Site::here(), number("m"));
    let (_, verdict) = w.run.pin(&mut w.held, m, site);
    assert_eq!(w.run.reports()[verdict.reports()][0].title(), "WARNING: pinning an unheld lock");
    assert_eq!(w.take("m", W), []);
    let (pin, verdict) = w.run.pin(&mut w.held, m, site);
    assert!(verdict.is_ok());
    assert!(w.run.unpin(&mut w.held, m, pin, site).is_ok());
    let verdict = w.run.unpin(&mut w.held, m, pin, site);
    assert_eq!(w.run.reports()[verdict.reports()][0].title(), "WARNING: unpinning an unpinned lock");
    assert!(w.run.repin(&mut w.held, m, pin, site).is_ok());
    assert_eq!(w.release("m"), [Pinned]);
    assert_eq!(w.run.reports()[2].title(), "WARNING: releasing a pinned lock");
    assert!(w.held.locks().is_empty());
    let verdict = w.run.unpin(&mut w.held, m, pin, site);
    assert_eq!(w.run.reports()[verdict.reports()][0].title(), "WARNING: unpinning an unheld lock");
}

#[test]
fn assertions_hold_exactly_when_they_should() {
    let mut w = World::new();
    let r = number("r");
    assert_eq!(w.take("r", Acquire::shared()), []);
    let check = |held: &lockdep::Held, holds: &[Assertion], not: &[Assertion]| {
        holds.iter().for_each(|a| assert!(a.holds(held), "{a:?}"));
        not.iter().for_each(|a| assert!(!a.holds(held), "{a:?}"));
    };
    use Assertion::*;
    check(
        &w.held,
        &[Held(r), HeldRead(r), NotHeld(1), IrqsEnabled, NoHardirq, InThreadedContext],
        &[HeldWrite(r), NotHeld(r), NoneHeld, IrqsDisabled, InIrq, InSoftirq, Held(1)],
    );
    // Of a lock that is held twice, the outer hold is what counts.
    assert_eq!(w.take("r", W.trylock()), []);
    check(&w.held, &[HeldRead(r)], &[HeldWrite(r)]);
    assert_eq!(w.release("r"), []);
    w.run.hardirqs_off(&mut w.held, Site::here());
    w.run.softirq_enter(&mut w.held);
    check(&w.held, &[InSoftirq, IrqsDisabled], &[IrqsEnabled, InIrq, NoHardirq]);
    w.run.hardirq_enter(&mut w.held);
    check(&w.held, &[InIrq], &[InSoftirq, InThreadedContext]);
    w.run.hardirq_threaded(&mut w.held);
    check(&w.held, &[InThreadedContext], &[]);
    assert!(w.run.assert(&w.held, Held(r), Site::here()).is_ok());
    let site = Site::here();
    let verdict = w.run.assert(&w.held, HeldWrite(r), site);
    assert_eq!(w.kinds(verdict), [AssertionFailed]);
    assert_eq!(w.run.reports()[0].first_line(), format!("WARNING: PID: 7 at {}", site.location));
}

#[test]
fn a_handler_and_an_interruptible_holder_conflict() {
    let mut w = World::new();
    assert_eq!(w.take("a", W), []);
    w.release("a");
    w.run.hardirqs_off(&mut w.held, Site::here());
    w.run.hardirq_enter(&mut w.held);
    // A trylock does not wait, so the handler may.
    assert_eq!(w.take("a", W.trylock()), []);
    w.release("a");
    assert_eq!(w.take("a", W), [InconsistentState]);
    assert_eq!(w.take("b", W.unchecked()), []);
}

#[test]
fn turning_interrupts_on_marks_what_is_held() {
    let mut w = World::new();
    let site = Site::here();
    w.run.hardirqs_off(&mut w.held, site);
    w.run.hardirq_enter(&mut w.held);
    assert_eq!(w.take("a", W), []);
    w.release("a");
    w.run.hardirq_exit(&mut w.held);
    assert_eq!(w.take("a", W), []);
    let verdict = w.run.hardirqs_on(&mut w.held, site);
    assert_eq!(w.kinds(verdict), [InconsistentState]);
    assert!(w.run.hardirqs_on(&mut w.held, site).is_ok(), "they are on");
    let class = w.class("a");
    assert_eq!(w.run.usage(class).to_string(), "?.+.");
}

#[test]
fn both_orders_of_learning_find_the_inversion() {
    let safe = |w: &mut World, name| {
        let site = Site::here();
        w.run.hardirqs_off(&mut w.held, site);
        w.run.hardirq_enter(&mut w.held);
        let kinds = w.take(name, W);
        w.release(name);
        w.run.hardirq_exit(&mut w.held);
        assert!(w.run.hardirqs_on(&mut w.held, site).is_ok());
        kinds
    };
    let nest = |w: &mut World| {
        w.run.hardirqs_off(&mut w.held, Site::here());
        let mut kinds = w.take("a", W);
        kinds.extend(w.take("m", W));
        kinds.extend(w.take("b", W));
        w.release("b");
        w.release("m");
        w.release("a");
        assert!(w.run.hardirqs_on(&mut w.held, Site::here()).is_ok());
        kinds
    };
    // b is unsafe, a -> m -> b; then a turns out to be safe.
    let mut w = World::new();
    assert_eq!(w.take("b", W), []);
    w.release("b");
    assert_eq!(nest(&mut w), []);
    assert_eq!(safe(&mut w, "a"), [IrqInversion]);
    let report = &w.run.reports()[0];
    let text = report.to_text("6.1");
    assert!(
        text.contains("but this lock took another, HARDIRQ-unsafe lock in the past:\n (b){+.+.}-{0:0}\n"),
        "{text}"
    );
    assert!(text.contains("Chain exists of:\n  a --> m --> b\n"), "{text}");
    assert_eq!(report.cycle().len(), 2);
    // a is safe, b unsafe, then m -> b closes the way.
    let mut w = World::new();
    assert_eq!(w.take("b", W), []);
    w.release("b");
    assert_eq!(safe(&mut w, "a"), []);
    assert_eq!(nest(&mut w), [IrqUnsafe]);
    assert_eq!(w.run.reports()[0].title(), "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected");
    let text = w.run.reports()[0].to_text("6.1");
    assert!(text.contains("the dependencies between HARDIRQ-irq-safe lock and the holding lock:\n -> (a)"), "{text}");
    // b's state comes last: the search goes backwards.
    let mut w = World::new();
    assert_eq!(safe(&mut w, "a"), []);
    assert_eq!(nest(&mut w), []);
    assert_eq!(w.take("b", W), [IrqInversion]);
    let text = w.run.reports()[0].to_text("6.1");
    assert!(text.contains("but this lock was taken by another, HARDIRQ-safe lock in the past:\n (a)"), "{text}");
}

#[test]
fn local_locks_and_overrides_carry_no_irq_dependency() {
    let cases = [
        (LockType::Normal, WaitType::Config, 1),
        (LockType::PerCpu, WaitType::Config, 0),
        (LockType::PerCpu, WaitType::Spin, 1),
        (LockType::WaitOverride, WaitType::Config, 0),
    ];
    for (lock_type, wait, expect) in cases {
        let mut w = World::new();
        let spec = ClassSpec::new("l").wait(wait).lock_type(lock_type);
        let l = w.run.lockdep().class(&spec);
        let site = Site::here();
        assert_eq!(w.take("b", W), []);
        w.release("b");
        w.run.hardirqs_off(&mut w.held, site);
        let _ = w.run.acquire(&mut w.held, l, 1, W, site);
        w.take("b", W);
        w.release("b");
        let _ = w.run.release(&mut w.held, 1, site);
        w.run.hardirq_enter(&mut w.held);
        w.run.hardirq_threaded(&mut w.held);
        let verdict = w.run.acquire(&mut w.held, l, 1, W, site);
        assert_eq!(w.kinds(verdict).len(), expect, "{lock_type:?}");
    }
}

#[test]
fn wait_types_count_from_the_strictest_held_and_the_context() {
    let specs = [
        ("raw", WaitType::Spin, WaitType::Unchecked),
        ("spin", WaitType::Config, WaitType::Unchecked),
        ("mutex", WaitType::Sleep, WaitType::Unchecked),
        ("rcu", WaitType::Config, WaitType::Free),
        ("map", WaitType::Unchecked, WaitType::Unchecked),
    ];
    let run = |order: &[&str], irq: Option<bool>| {
        let mut w = World::new();
        if let Some(threaded) = irq {
            w.run.hardirqs_off(&mut w.held, Site::here());
            w.run.hardirq_enter(&mut w.held);
            if threaded {
                w.run.hardirq_threaded(&mut w.held);
            }
        }
        let mut found = Vec::new();
        for (i, name) in order.iter().enumerate() {
            let (bare, how) = match name.strip_suffix(":t") {
                Some(bare) => (bare, W.trylock()),
                None => (*name, W),
            };
            let (_, inner, outer) = specs.iter().find(|spec| spec.0 == bare).expect("a name");
            let class = w.run.lockdep().class(&ClassSpec::new(bare).wait(*inner).wait_outer(*outer));
            let verdict = w.run.acquire(&mut w.held, class, i as u64, how, Site::here());
            found.extend(w.kinds(verdict));
        }
        found
    };
    for silent in
        [&["mutex", "spin", "raw"][..], &["spin", "rcu", "raw"], &["raw", "rcu"], &["spin", "mutex:t"], &["raw", "map"]]
    {
        assert_eq!(run(silent, None), [], "{silent:?}");
    }
    for loud in
        [&["spin", "mutex"][..], &["raw", "spin"], &["rcu", "mutex"], &["raw", "rcu", "spin"], &["raw", "map", "spin"]]
    {
        assert_eq!(run(loud, None), [InvalidWaitContext], "{loud:?}");
    }
    assert_eq!(run(&["spin"], Some(false)), [InvalidWaitContext]);
    assert_eq!(run(&["spin"], Some(true)), []);
    assert_eq!(run(&["mutex"], Some(true)), [InvalidWaitContext]);
}

#[test]
fn a_nest_lock_serialises_its_class() {
    let mut w = World::new();
    let site = Site::here();
    let (class, nest) = (w.class("n"), Nest { instance: number("x"), class: Some(w.class("x")) });
    let verdict = w.run.acquire_nest(&mut w.held, class, 1, W, nest, site);
    assert_eq!(w.kinds(verdict), [NestedLockNotTaken]);
    assert!(w.run.reports()[0].to_text("6.1").contains("\nbut this task is not holding:\nx\n\nstack backtrace:\n"));
    let _ = w.run.release(&mut w.held, 1, site);
    assert_eq!(w.take("x", W), []);
    for instance in 1..=3 {
        assert!(w.run.acquire_nest(&mut w.held, class, instance, W, nest, site).is_ok());
    }
    assert_eq!((w.held.locks().len(), w.held.locks()[1].references()), (2, 3));
    assert_eq!(w.take("y", W), []);
    // With something between them there is no merging, and no recursion either.
    assert!(w.run.acquire_nest(&mut w.held, class, 4, W, nest, site).is_ok());
    assert_eq!(w.held.locks().len(), 4);
    // In any order, merged or not, by class.
    for instance in [2, 4, 1] {
        assert!(w.run.release_of(&mut w.held, class, instance, site).is_ok(), "{instance}");
    }
    assert_eq!((w.held.locks().len(), w.held.locks()[1].references()), (3, 1));
    assert!(w.run.release_of(&mut w.held, class, 3, site).is_ok());
    let verdict = w.run.release_of(&mut w.held, class, 3, site);
    assert_eq!(w.kinds(verdict), [UnlockBalance]);
    // Without it, it is recursion.
    assert_eq!(w.release("y"), []);
    assert!(w.run.acquire(&mut w.held, class, 1, W, site).is_ok());
    let verdict = w.run.acquire(&mut w.held, class, 2, W, site);
    assert_eq!(w.kinds(verdict), [Recursive]);
}

#[test]
fn merging_without_a_nest_lock_below_is_noticed() {
    let mut w = World::new();
    let site = Site::here();
    let class = w.class("n");
    let nest = Nest { instance: number("x"), class: None };
    assert!(w.run.acquire(&mut w.held, class, 1, W, site).is_ok());
    assert!(w.run.acquire_nest(&mut w.held, class, 2, W, nest, site).is_ok());
    let verdict = w.run.release_of(&mut w.held, class, 2, site);
    assert_eq!(w.run.reports()[verdict.reports()][0].title(), "DEBUG_LOCKS_WARN_ON(!hlock->nest_lock)");
    assert_eq!(w.held.locks()[0].references(), 1);
}

/// As what serialises another, too: it is noticed when it is looked for among the merged, and not when it is the entry.
#[test]
fn what_was_merged_without_a_nest_lock_serialises_nothing_quietly() {
    for (nest, expect) in [(2, Some("DEBUG_LOCKS_WARN_ON(!hlock->nest_lock)")), (1, None)] {
        let mut w = World::new();
        let site = Site::here();
        let (class, other) = (w.class("n"), w.class("o"));
        assert!(w.run.acquire(&mut w.held, class, 1, W, site).is_ok());
        assert!(w.run.acquire_nest(&mut w.held, class, 2, W, Nest { instance: 1, class: Some(class) }, site).is_ok());
        let nest = Nest { instance: nest, class: Some(class) };
        for again in [false, true] {
            let verdict = w.run.acquire_nest(&mut w.held, other, 3, W, nest, site);
            let titles: Vec<_> = w.run.reports()[verdict.reports()].iter().map(|report| report.title()).collect();
            // Once for each place.
            assert_eq!(titles, expect.filter(|_| !again).into_iter().collect::<Vec<_>>());
            assert!(w.run.release(&mut w.held, 3, site).is_ok());
        }
    }
}

#[test]
fn an_nmi_may_only_try() {
    let mut w = World::new();
    assert_eq!(w.take("a", W), []);
    w.release("a");
    w.run.nmi_enter(&mut w.held);
    assert_eq!(w.take("a", W.trylock()), []);
    assert_eq!(w.take("b", W), []);
    assert_eq!(w.take("a", W), [InconsistentState]);
    assert!(w.run.reports()[0].to_text("").contains("\ninconsistent {INITIAL USE} -> {IN-NMI} usage.\n"));
    assert!(w.held.locks().is_empty());
    assert_eq!(w.release("a"), []);
    w.run.nmi_exit(&mut w.held);
    assert_eq!(w.held.irq_state(), IrqState::TASK);
    assert_eq!(w.release("a"), [UnlockBalance]);
}

#[test]
fn hardirqs_turned_on_in_a_handler_are_reported() {
    let mut w = World::new();
    w.run.hardirqs_off(&mut w.held, Site::here());
    w.run.hardirq_enter(&mut w.held);
    let verdict = w.run.hardirqs_on(&mut w.held, Site::here());
    assert_eq!(w.run.reports()[verdict.reports()][0].title(), "DEBUG_LOCKS_WARN_ON(lockdep_hardirq_context())");
}

#[test]
fn unregistering_takes_the_edges_and_leaves_the_rest() {
    let mut w = World::new();
    let nest = |w: &mut World, names: &[&'static str]| {
        let found: Vec<ReportKind> = names.iter().flat_map(|name| w.take(name, W)).collect();
        names.iter().rev().for_each(|name| assert_eq!(w.release(name), []));
        found
    };
    assert_eq!(nest(&mut w, &["a", "b"]), []);
    assert_eq!(nest(&mut w, &["b", "c"]), []);
    assert_eq!(nest(&mut w, &["a", "d"]), []);
    let b = w.class("b");
    let gone = w.run.unregister(b);
    assert_eq!((gone.dependencies, gone.chains), (2, 3));
    assert_eq!(w.run.edges().len(), 1);
    assert_eq!(w.run.usage(b).to_string(), "....");
    // What is left is known, warm or not; what went may come the other way round.
    assert_eq!(nest(&mut w, &["c", "b"]), []);
    assert_eq!(nest(&mut w, &["b", "a"]), []);
    assert_eq!(nest(&mut w, &["d", "a"]), [Circular]);
    let stats = w.run.stats();
    assert_eq!((stats.zapped_classes, stats.zapped_chains), (1, 3));
}

#[test]
fn graph_and_proc_texts() {
    let mut w = World::new();
    for names in [["a", "b"], ["b", "a"], ["a", "c"]] {
        names.iter().for_each(|name| drop(w.take(name, W)));
        names.iter().rev().for_each(|name| drop(w.release(name)));
    }
    let text = w.run.proc_lockdep();
    assert!(text.starts_with("all lock classes:\nOPS:       3 FD:    3 BD:    2 +.+.: a\n -> b\n -> c\n\n"), "{text}");
    let chains = w.run.proc_lockdep_chains();
    assert!(chains.starts_with("all lock chains:\nirq_context: 0\na\n\nirq_context: 0\na\nb\n\n"), "{chains}");
    let stats = w.run.stats();
    assert_eq!((stats.lock_classes, stats.direct_dependencies, stats.chains), (3, 3, [0, 0, 5]));
    assert_eq!((stats.max_depth, stats.reports, stats.usage[2], stats.usage[6]), (2, 1, 3, 3));
    assert!(stats.to_string().contains(" direct dependencies:                     3\n"), "{stats}");
    assert!(stats.memory_bytes > 0 && w.run.memory_bytes() >= stats.memory_bytes);
    let graph = w.run.graph();
    let cyclic: Vec<_> = graph.edges.iter().map(|edge| (edge.from, edge.to, edge.on_a_cycle)).collect();
    assert_eq!(cyclic, [(0, 1, true), (0, 2, false), (1, 0, true)]);
    let dot = graph.to_dot();
    assert!(dot.contains("  n0 [label=\"a\\n{+.+.} {0:0}\"];\n"), "{dot}");
    assert!(dot.contains("  n0 -> n1 [label=\"EN\", style=solid, arrowhead=normal, color=red, tooltip="), "{dot}");
    let json = serde_json::to_value(&graph).expect("JSON");
    assert_eq!(json["classes"][1]["class"]["name"], "b");
    assert_eq!(json["reports"][0][0], "circular");
}

/// Orders learnt on different threads close a cycle, whoever comes last; unregistering reaches the caches of all.
#[test]
fn threads_teach_one_graph() {
    let lockdep = Lockdep::new();
    let classes: Vec<ClassId> = (0..8).map(|n| lockdep.class(&ClassSpec::new(&format!("c{n}")))).collect();
    let shared = SharedRun::new(lockdep);
    let site = Site::here();
    let turn = |order: &[usize]| {
        let (mut run, mut held) = (shared.attach(), Held::new("t", 1));
        let mut found = 0;
        for _ in 0..2000 {
            for n in order {
                found += run.acquire(&mut held, classes[*n], *n as u64, W, site).reports().len();
            }
            for n in order.iter().rev() {
                assert!(run.release(&mut held, *n as u64, site).is_ok());
            }
        }
        found
    };
    let found: usize = std::thread::scope(|scope| {
        let orders = [&[0, 1][..], &[1, 2], &[2, 0], &[3, 4, 5], &[4, 6, 7]];
        let threads: Vec<_> = orders.into_iter().map(|order| scope.spawn(move || turn(order))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    assert_eq!(found, 1);
    let (mut one, mut other) = (shared.attach(), shared.attach());
    assert_eq!(one.shared_reports()[0].kind, Circular);
    assert_eq!(one.edges().len(), 7);
    let mut held = Held::new("t", 1);
    assert!(one.acquire(&mut held, classes[5], 5, W, site).is_ok());
    assert_eq!(other.unregister(classes[5]).dependencies, 1);
    let before = one.edges().len();
    assert!(one.acquire(&mut held, classes[7], 7, W, site).is_ok());
    assert_eq!(one.edges().len(), before + 1);
}
