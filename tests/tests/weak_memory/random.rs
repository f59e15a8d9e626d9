//! Random programs: what exploration finds is what the definition of the model allows, no more and no less.

use super::axioms::{self, Without};
use super::buffers;
use super::program::{Do, Machine, Outcome, Tasks, WORDS, outcomes};
use ksync::{Barrier, MemoryModel};
use proptest::collection::vec;
use proptest::prelude::*;
use sched::RandomScheduler;
use std::collections::BTreeSet;

fn step() -> impl Strategy<Value = Do> {
    let word = || 0..WORDS;
    prop_oneof![
        4 => word().prop_map(Do::Load),
        1 => word().prop_map(Do::LoadAcquire),
        4 => word().prop_map(|word| Do::Store(word, 0)),
        1 => word().prop_map(|word| Do::StoreRelease(word, 0)),
        1 => word().prop_map(|word| Do::Add(word, 0)),
        1 => Just(Do::Barrier(Barrier::Full)),
        1 => Just(Do::Barrier(Barrier::Write)),
        1 => Just(Do::Barrier(Barrier::Read)),
    ]
}

/// Programs whose stores all store something else.
fn tasks() -> impl Strategy<Value = Tasks> {
    let two = vec(vec(step(), 1..=4), 2);
    let three = vec(vec(step(), 1..=3), 3);
    prop_oneof![two, three].prop_map(|mut tasks| {
        let mut bit = 1;
        for step in tasks.iter_mut().flatten() {
            if let Do::Store(_, value) | Do::StoreRelease(_, value) | Do::Add(_, value) = step {
                *value = bit;
                bit <<= 1;
            }
        }
        tasks
    })
}

fn difference(a: &BTreeSet<Outcome>, b: &BTreeSet<Outcome>) -> Vec<Outcome> {
    a.difference(b).take(3).cloned().collect()
}

/// All of `least` is found, and nothing but `most`.
#[track_caller]
fn check(tasks: &Tasks, model: MemoryModel, least: &BTreeSet<Outcome>, most: &BTreeSet<Outcome>) {
    let found = outcomes(model, tasks);
    let (more, less) = (difference(&found, most), difference(least, &found));
    assert!(
        more.is_empty() && less.is_empty(),
        "{tasks:?}\nfound, not allowed: {more:?}\nallowed, not found: {less:?}"
    );
}

fn check_relaxed(tasks: &Tasks) {
    let [least, most] = [Without::LoadsAfterStores, Without::Cycles].map(|how| axioms::outcomes(tasks, how));
    check(tasks, MemoryModel::Relaxed, &least, &most);
}

/// An atomic modification may see a store that is not the last; and a load is before a later one of its task that sees a
/// store which overwrites what it saw.
#[test]
fn what_random_programs_once_showed_is_right() {
    use Do::{Add, Load, LoadAcquire, Store, StoreRelease};
    check_relaxed(&vec![vec![StoreRelease(1, 1), Store(0, 2)], vec![Load(0), Add(1, 4)]]);
    let reader = vec![Load(0), LoadAcquire(0), Load(1)];
    check_relaxed(&vec![vec![Store(1, 1), Add(0, 2), Store(1, 4)], vec![Load(0), Store(0, 8)], reader]);
}

/// Message passing: what the two definitions say of it differs as it should, so each can be wrong.
#[test]
fn the_definitions_tell_barriers_from_none_and_machines_from_each_other() {
    let writer = |between: Option<Do>| [Some(Do::Store(0, 1)), between, Some(Do::Store(1, 2))];
    let reader = |between: Option<Do>| [Some(Do::Load(1)), between, Some(Do::Load(0))];
    let program = |wmb: bool, rmb: bool| -> Tasks {
        let wmb = wmb.then_some(Do::Barrier(Barrier::Write));
        let rmb = rmb.then_some(Do::Barrier(Barrier::Read));
        [writer(wmb), reader(rmb)].map(|body| body.into_iter().flatten().collect()).to_vec()
    };
    let late = Outcome { loaded: vec![vec![], vec![2, 0]], end: [1, 2] };
    for (wmb, rmb) in [(false, false), (false, true), (true, false), (true, true)] {
        let tasks = program(wmb, rmb);
        for without in [Without::Cycles, Without::LoadsAfterStores] {
            assert_eq!(axioms::outcomes(&tasks, without).contains(&late), !(wmb && rmb), "{wmb} {rmb} {without:?}");
        }
        assert!(!buffers::outcomes(&tasks).contains(&late));
    }
    let buffered = vec![vec![Do::Store(0, 1), Do::Load(1)], vec![Do::Store(1, 2), Do::Load(0)]];
    let none = Outcome { loaded: vec![vec![0], vec![0]], end: [1, 2] };
    assert!(buffers::outcomes(&buffered).contains(&none));
    assert!(!outcomes(MemoryModel::Sc, &buffered).contains(&none));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn tso_is_the_machine_with_store_buffers(tasks in tasks()) {
        let allowed = buffers::outcomes(&tasks);
        check(&tasks, MemoryModel::Tso, &allowed, &allowed);
    }

    #[test]
    fn relaxed_is_linux_without_load_buffering(tasks in tasks()) {
        check_relaxed(&tasks);
    }

    #[test]
    fn a_model_allows_what_a_stronger_one_does(tasks in tasks()) {
        let [sc, tso, relaxed] =
            [MemoryModel::Sc, MemoryModel::Tso, MemoryModel::Relaxed].map(|model| outcomes(model, &tasks));
        prop_assert!(sc.is_subset(&tso) && tso.is_subset(&relaxed), "{:?}", tasks);
    }

    #[test]
    fn a_random_run_sees_nothing_that_exploration_does_not(tasks in tasks()) {
        for model in [MemoryModel::Tso, MemoryModel::Relaxed] {
            let (all, machine) = (outcomes(model, &tasks), Machine::new(model));
            for run in 0..20 {
                let seen = machine.run(&tasks, &mut RandomScheduler::new(7, run));
                prop_assert!(all.contains(&seen), "{:?}, {:?}: {:?}", model, tasks, seen);
            }
        }
    }
}
