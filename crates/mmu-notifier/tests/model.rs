//! Random sequences of brackets, inserts, removals and reads: against a model of the sequence written from its rules, and
//! under random schedules against what must hold of any.

mod common;

use common::*;
use mmu_notifier::{Annotations, Bracket, Hooks, IntervalSub, Subscriptions};
use proptest::prelude::*;
use std::sync::Arc;
use trace::{BracketId, EventKind, RunEnd, SubId};

#[derive(Clone, Debug)]
enum Op {
    Open(u64, u64),
    Close(prop::sample::Index),
    Insert(u64, u64),
    Remove(prop::sample::Index),
    Read(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    let range = (0u64..16, 1u64..6);
    prop_oneof![
        3 => range.clone().prop_map(|(s, l)| Op::Open(s, l)),
        3 => any::<prop::sample::Index>().prop_map(Op::Close),
        2 => range.prop_map(|(s, l)| Op::Insert(s, l)),
        1 => any::<prop::sample::Index>().prop_map(Op::Remove),
        2 => any::<prop::sample::Index>().prop_map(Op::Read),
    ]
}

/// A subscription as the rules describe it.
struct Row {
    sub: Arc<IntervalSub>,
    start: u64,
    len: u64,
    seq: u64,
    in_tree: bool,
}

struct Model {
    seq: u64,
    open: u64,
    rows: Vec<Row>,
}

impl Model {
    fn odd(&self) -> bool {
        self.seq % 2 == 1
    }

    fn open(&mut self, start: u64, len: u64) {
        self.open += 1;
        let hit = |r: &Row| r.in_tree && r.start < start + len && start < r.start + r.len;
        if self.rows.iter().any(hit) {
            self.seq |= 1;
        }
        let seq = self.seq;
        self.rows.iter_mut().filter(|r| hit(r)).for_each(|r| r.seq = seq);
    }

    fn close(&mut self) {
        self.open -= 1;
        if self.open == 0 && self.odd() {
            self.seq += 1;
            self.rows.iter_mut().for_each(|r| r.in_tree = true);
        }
    }

    /// Whether a new subscription gets into the tree at once, and its sequence.
    fn insert(&mut self) -> (bool, u64) {
        match (self.open, self.odd()) {
            (0, _) => (true, self.seq - 1),
            (_, true) => (false, self.seq),
            (_, false) => {
                self.seq |= 1;
                (true, self.seq)
            }
        }
    }
}

proptest! {
    #[test]
    fn the_sequence_follows_its_rules(ops in prop::collection::vec(op(), 1..60)) {
        let w = World::new(Annotations::default());
        setup(&w, |mm| {
            let mut model = Model { seq: 2, open: 0, rows: Vec::new() };
            let mut brackets: Vec<Bracket<'_>> = Vec::new();
            for op in ops {
                match op {
                    Op::Open(start, len) => {
                        // No subscriber yet: the kernel has no struct to count in.
                        if !mm.subs.has_subscribers() {
                            continue;
                        }
                        brackets.push(mm.open(pages(start, len)));
                        model.open(start, len);
                    }
                    Op::Close(i) if !brackets.is_empty() => {
                        brackets.remove(i.index(brackets.len())).end();
                        model.close();
                    }
                    Op::Insert(start, len) => {
                        let sub = insert(mm, pages(start, len), Toy::new(&w, "i", Hooks::empty()));
                        let (in_tree, seq) = model.insert();
                        model.rows.push(Row { sub, start, len, seq, in_tree });
                    }
                    Op::Remove(i) if !model.rows.is_empty() => {
                        let i = i.index(model.rows.len());
                        // Setup cannot wait; what would is the next test's.
                        if !(model.odd() && model.rows[i].in_tree) {
                            Subscriptions::interval_remove(mm, &model.rows.remove(i).sub);
                        }
                    }
                    Op::Read(i) if !model.rows.is_empty() => {
                        let row = &model.rows[i.index(model.rows.len())];
                        if row.seq != model.seq {
                            prop_assert_eq!(mm.subs.read_begin(&row.sub), row.seq);
                            prop_assert!(!row.sub.read_retry(row.seq));
                        } else {
                            prop_assert!(model.odd());
                        }
                    }
                    Op::Close(_) | Op::Remove(_) | Op::Read(_) => {}
                }
                prop_assert_eq!(mm.subs.peek_seq(), model.seq);
            }
            brackets.into_iter().for_each(Bracket::end);
            Ok(())
        })?;
    }

    #[test]
    fn under_any_schedule_all_end_and_no_reader_overlaps_a_bracket_that_its_subscription_met(seed in any::<u64>()) {
        let w = World::new(Annotations::default());
        for t in 0..3u64 {
            w.task(["a", "b", "c"][t as usize], move |mm| {
                for i in 0..3 {
                    mm.zap(pages((t + i) % 4, 2));
                }
            });
        }
        for t in 0..2u64 {
            let toy = Toy::new(&w, ["x", "y"][t as usize], Hooks::empty()).locked(&w, "lock");
            w.task(["d", "e"][t as usize], move |mm| {
                let sub = insert(mm, pages(t, 3), toy);
                for _ in 0..2 {
                    let seq = mm.subs.read_begin(&sub);
                    let _ = sub.read_retry(seq);
                }
                Subscriptions::interval_remove(mm, &sub);
            });
        }
        prop_assert_eq!(w.run_under(&mut sched::RandomScheduler::new(seed, 0)), RunEnd::Finished);
        prop_assert_eq!(w.mm.subs.peek_seq() % 2, 0);
        prop_assert_eq!(w.mm.count.load(std::sync::atomic::Ordering::Relaxed), 1);
        prop_assert!(w.k.lock_reports().is_empty());
        callbacks_come_only_while_subscribed(&w);
        passed_reads_are_outside_brackets(&w);
    }
}

fn callbacks_come_only_while_subscribed(w: &World) {
    let mut live: Vec<SubId> = Vec::new();
    for e in &w.log.borrow().0 {
        match e.kind {
            EventKind::Subscribed { sub, .. } => live.push(sub),
            EventKind::Unsubscribed { sub } => live.retain(|s| *s != sub),
            EventKind::CallbackEnter { sub, .. } => {
                assert!(live.contains(&sub), "{sub} is called while not subscribed")
            }
            _ => {}
        }
    }
}

/// From the return of a callback to the end of its bracket no `read_retry` of that subscription says that all is well.
fn passed_reads_are_outside_brackets(w: &World) {
    let mut running = Vec::new();
    let mut inside: Vec<(BracketId, SubId)> = Vec::new();
    for e in &w.log.borrow().0 {
        match e.kind {
            EventKind::CallbackEnter { sub, bracket: Some(b), .. } => running.push((e.task, b, sub)),
            EventKind::CallbackExit { sub, .. } => {
                let i = running.iter().position(|r| (r.0, r.2) == (e.task, sub)).unwrap();
                let (_, bracket, sub) = running.remove(i);
                inside.push((bracket, sub));
            }
            EventKind::RangeEnd { bracket } => inside.retain(|(b, _)| *b != bracket),
            EventKind::ReadRetry { sub, retry: false, .. } => {
                assert!(inside.iter().all(|(_, s)| *s != sub), "{sub} may publish inside a bracket that met it");
            }
            _ => {}
        }
    }
}
