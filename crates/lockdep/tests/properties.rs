//! Over random programs of lock operations: the verdict met on the way, the one on the set of chains and a plain closure
//! of the graph agree, and nothing depends on the order in which things came to be known.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::World;
use lockdep::{ChainSet, ClassSpec, EdgeKind, Held, Lockdep, ReportKind, Run};
use proptest::prelude::*;

/// One word of a program: see `common`. Releases name any lock; those of a lock that is not held are left out.
fn word() -> impl Strategy<Value = String> {
    let class = prop::sample::select(vec!["A", "B", "C", "D", "E"]);
    let how = prop::sample::select(vec!["", "", "", ":r", ":R", ":R", ":t", ":Rt", ":u", ":rt"]);
    prop_oneof![
        5 => (class.clone(), how).prop_map(|(class, how)| format!("{class}{how}")),
        4 => class.prop_map(|class| format!("-{class}")),
        2 => Just(";".to_owned()),
    ]
}

/// A program that holds each lock at most once and releases only what it holds, so that it is about order alone.
fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..40).prop_map(|words| {
        let mut held: Vec<String> = Vec::new();
        let mut kept = Vec::new();
        for word in words {
            let keep = match word.strip_prefix('-') {
                Some(lock) => {
                    let known = held.iter().position(|known| known == lock);
                    known.map(|at| held.remove(at)).is_some()
                }
                None if word == ";" => {
                    held.clear();
                    true
                }
                None => {
                    let lock = word.split(':').next().unwrap_or(&word).to_owned();
                    let new = !held.contains(&lock);
                    if new {
                        held.push(lock);
                    }
                    new
                }
            };
            if keep {
                kept.push(word);
            }
        }
        kept.join(" ")
    })
}

fn played(line: &str) -> World {
    let mut world = World::new();
    world.play(line);
    world
}

/// Whether the run's graph has a strong cycle, from the transitive closure over (class, arrived recursively).
fn has_strong_cycle(run: &Run) -> bool {
    let edges = run.edges();
    let names: Vec<&String> =
        edges.iter().flat_map(|edge| [&edge.from, &edge.to]).collect::<BTreeSet<_>>().into_iter().collect();
    let number = |name: &String| names.iter().position(|known| *known == name).expect("a class of the graph");
    let states = 2 * names.len();
    let mut reach = vec![vec![false; states]; states];
    for edge in &edges {
        for (kind, ..) in &edge.kinds {
            for recursive in [false, true] {
                if !(recursive && kind.starts_shared()) {
                    let to = 2 * number(&edge.to) + usize::from(kind.ends_recursive());
                    reach[2 * number(&edge.from) + usize::from(recursive)][to] = true;
                }
            }
        }
    }
    for via in 0..states {
        for from in 0..states {
            for to in 0..states {
                reach[from][to] |= reach[from][via] && reach[via][to];
            }
        }
    }
    (0..states).any(|state| reach[state][state])
}

/// Whether each dependency of the cycle can follow the one before it, all the way round.
fn is_strong(steps: &[lockdep::CycleStep]) -> bool {
    let blocks = |a: EdgeKind, b: EdgeKind| !(a.ends_recursive() && b.starts_shared());
    (0..steps.len()).all(|i| {
        let next = &steps[(i + 1) % steps.len()];
        steps[i].to == next.from && blocks(steps[i].kind, next.kind)
    })
}

proptest! {
    #[test]
    fn a_cycle_is_reported_exactly_if_the_closure_of_the_graph_has_one(line in program()) {
        let world = played(&line);
        prop_assert_eq!(!world.run.reports().is_empty(), has_strong_cycle(&world.run));
        for report in world.run.reports() {
            prop_assert_eq!(report.kind, ReportKind::Circular);
            prop_assert!(is_strong(&report.cycle()), "{:?}", report.cycle());
        }
    }

    #[test]
    fn judging_the_chains_equals_the_verdict_met_on_the_way(line in program()) {
        let world = played(&line);
        let judgement = world.run.lockdep().judge(&world.run.chains());
        prop_assert_eq!(judgement.is_ok(), world.run.reports().is_empty());
        for finding in &judgement.findings {
            prop_assert!(is_strong(&finding.steps), "{:?}", finding.steps);
        }
    }

    #[test]
    fn neither_interning_order_nor_reuse_shows(line in program(), before in program()) {
        let first = played(&line);
        let mut second = World::new();
        for name in ["E", "Z", "C", "A"] {
            second.run.lockdep().class(&ClassSpec::new(name));
        }
        second.play(&before);
        second.run.reset();
        second.held.reset();
        second.play(&line);
        prop_assert_eq!(second.run.chains(), first.run.chains());
        let texts = |run: &Run| run.reports().iter().map(|report| report.to_text("")).collect::<Vec<_>>();
        prop_assert_eq!(texts(&second.run), texts(&first.run));
        prop_assert_eq!(second.run.edges(), first.run.edges());
    }

    #[test]
    fn the_union_of_runs_does_not_depend_on_their_order(lines in prop::collection::vec(program(), 1..6), turn in 0..6_usize) {
        let merged = |lines: &[String]| {
            let lockdep = Lockdep::new();
            for line in lines {
                let mut world = World { run: Run::new(Arc::clone(&lockdep)), held: Held::new("task", 1) };
                world.play(line);
                lockdep.merge(&world.run.chains());
            }
            (lockdep.merged(), lockdep.judge(&lockdep.merged()))
        };
        let expect = merged(&lines);
        let mut other = lines.clone();
        other.reverse();
        let turn = turn % other.len();
        other.rotate_left(turn);
        other.push(lines[0].clone());
        prop_assert_eq!(merged(&other), expect.clone());
        // And the set itself is the same from whatever order of chains it is built.
        let rebuilt = expect.0.chains().iter().rev().map(|chain| {
            chain.iter().map(|link| (&expect.0.classes()[link.class as usize], link.how)).collect()
        });
        prop_assert_eq!(ChainSet::from_chains(rebuilt.collect()), expect.0.clone());
    }

    /// Sets of chains are a semilattice: in any order, in any grouping, any number of times.
    #[test]
    fn union_is_commutative_associative_and_idempotent(lines in prop::collection::vec(program(), 3), irqs in 0..8_u32) {
        let sets: Vec<ChainSet> = lines
            .iter()
            .enumerate()
            .map(|(n, line)| {
                let mut world = World::new();
                if irqs & 1 << n != 0 {
                    world.run.hardirqs_off(&mut world.held, lockdep::Site::here());
                    world.run.softirq_enter(&mut world.held);
                }
                world.play(line);
                world.run.chains()
            })
            .collect();
        let [a, b, c] = &sets[..] else { unreachable!("three lines") };
        prop_assert_eq!(a.union(b), b.union(a));
        prop_assert_eq!(a.union(b).union(c), a.union(&b.union(c)));
        prop_assert_eq!(&a.union(a), a);
        prop_assert_eq!(&a.union(&ChainSet::default()), a);
        // And what is wrong with a part is wrong with the whole.
        let whole = a.union(b).union(c);
        let lockdep = Lockdep::new();
        for kind in [ReportKind::Circular, ReportKind::Recursive, ReportKind::IrqUnsafe, ReportKind::InconsistentState] {
            let has = |set: &ChainSet| lockdep.judge(set).findings.iter().any(|finding| finding.kind == kind);
            prop_assert!(has(&whole) || !has(a), "{:?}", kind);
        }
    }
}
