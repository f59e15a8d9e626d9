//! The verdicts of a real kernel (6.1), recorded line by line: `tests/data/lockdep/FORMAT.md` tells the format.
//!
//! Every line must be judged as the kernel judged it: silent, or this first line at this operation. On the lines where the
//! kernel's search is known to have missed something, the complete verdict counts.

mod data;

use std::collections::{BTreeMap, BTreeSet};

use lockdep::recorded::{Case, Expect, Op, Player};
use lockdep::{Lockdep, ReportKind};
use serde_json::Value;

fn values(name: &str) -> Vec<Value> {
    data::text(name).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn all_values() -> Vec<Value> {
    let mut all = values("locking_selftest.jsonl");
    all.extend(values("fuzz.jsonl.gz"));
    all
}

fn cases(values: &[Value]) -> Vec<Case> {
    values
        .iter()
        .map(|value| Case::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", value["id"])))
        .collect()
}

/// How many lines agree; those that do not are named.
#[track_caller]
fn judge_all(cases: &[Case]) -> usize {
    let mut player = Player::default();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let first = player.play(case, false);
            let agrees = case.expect.agrees(first.as_ref()).expect("every recorded line expects something");
            (!agrees).then(|| format!("{}: expected {:?}, got {first:?}", case.id, case.expect))
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    cases.len()
}

#[test]
fn selftest_lines_agree_with_the_kernel() {
    assert_eq!(judge_all(&cases(&values("locking_selftest.jsonl"))), 265);
}

#[test]
fn fuzz_lines_agree_with_the_kernel_and_the_complete_search() {
    assert_eq!(judge_all(&cases(&values("fuzz.jsonl.gz"))), 10_033);
}

/// What a kernel that stops searching too early said is not what is said here.
#[test]
fn marked_lines_differ_from_the_kernel() {
    let marked: Vec<Case> = cases(&values("fuzz.jsonl.gz")).into_iter().filter(|case| case.kernel.is_some()).collect();
    assert_eq!(marked.len(), 33);
    assert!(marked.iter().all(|case| case.kernel.as_ref() != Some(&case.expect)));
}

/// Replaces names consistently: the old ones could not have told anything.
struct Renamer {
    names: BTreeMap<String, String>,
    turn: usize,
}

impl Renamer {
    fn name(&mut self, prefix: &str, old: &str) -> Value {
        // Numbered so that sorting by name turns the order round.
        let next = 9999 - self.names.len();
        let key = format!("{prefix}{old}");
        Value::String(self.names.entry(key).or_insert_with(|| format!("{prefix}{next}")).clone())
    }

    fn object(&mut self, value: &Value, rename: impl Fn(&mut Self, &str, &Value) -> (String, Value)) -> Value {
        let mut entries: Vec<(String, Value)> =
            value.as_object().expect("an object").iter().map(|(k, v)| rename(self, k, v)).collect();
        let turn = self.turn % entries.len().max(1);
        entries.rotate_left(turn);
        Value::Object(entries.into_iter().collect())
    }

    fn text(&mut self, prefix: &str, old: &str) -> String {
        self.name(prefix, old).as_str().expect("a string").to_owned()
    }

    fn line(&mut self, value: &Value) -> Value {
        let mut line = value.clone();
        let fields = line.as_object_mut().expect("an object");
        for stripped in ["name", "fn", "group", "variant", "irq", "perm", "lockclass_mask", "detector"] {
            fields.remove(stripped);
        }
        if let Some(classes) = value.get("classes") {
            let renamed = self.object(classes, |this, name, class| (this.text("class", name), class.clone()));
            fields.insert("classes".to_owned(), renamed);
        }
        if let Some(locks) = value.get("locks") {
            let renamed = self.object(locks, |this, name, lock| {
                let mut lock = lock.clone();
                lock["class"] = this.name("class", lock["class"].as_str().expect("a class"));
                (this.text("lock", name), lock)
            });
            fields.insert("locks".to_owned(), renamed);
        }
        for op in fields["ops"].as_array_mut().expect("ops") {
            self.op(op);
        }
        line
    }

    fn op(&mut self, op: &mut Value) {
        let keys: Vec<String> = op.as_object().expect("an operation").keys().cloned().collect();
        for key in keys {
            let Some(old) = op[&key].as_str().map(str::to_owned) else { continue };
            match key.as_str() {
                "class" => op[&key] = self.name("class", &old),
                "map" | "lock" | "nest_lock" | "ctx" | "obj" | "copy_from" | "set" => {
                    op[&key] = self.name("lock", &old)
                }
                _ => {}
            }
        }
    }
}

#[test]
fn names_tell_nothing() {
    let renamed: Vec<Value> = all_values()
        .iter()
        .enumerate()
        .map(|(turn, value)| Renamer { names: BTreeMap::new(), turn }.line(value))
        .collect();
    assert!(renamed.iter().all(|line| line.get("name").is_none() && line.get("group").is_none()));
    assert_eq!(judge_all(&cases(&renamed)), 265 + 10_033);
}

#[test]
fn order_of_declarations_tells_nothing() {
    let mut cases = cases(&all_values());
    for case in &mut cases {
        // Interning order and instance numbers: everything counts from the other end.
        let (classes, locks) = (case.classes.len(), case.locks.len());
        case.classes.reverse();
        case.locks.reverse();
        for lock in &mut case.locks {
            lock.class = lock.class.map(|class| classes - 1 - class);
        }
        for op in &mut case.ops {
            turn_round(op, classes, locks);
        }
    }
    assert_eq!(judge_all(&cases), 265 + 10_033);
}

fn turn_round(op: &mut lockdep::recorded::Op, classes: usize, locks: usize) {
    use lockdep::recorded::Poke;
    let other = |lock: &mut usize| *lock = locks - 1 - *lock;
    match op {
        Op::Acquire { lock, class, nest, .. } => {
            other(lock);
            *class = classes - 1 - *class;
            nest.iter_mut().for_each(other);
        }
        Op::MapAcquire { lock, class, .. } => {
            other(lock);
            *class = classes - 1 - *class;
        }
        Op::Release { lock } | Op::MapRelease { lock } | Op::Init { lock } | Op::WwUnlock { lock } => other(lock),
        Op::WwAcquireInit { ctx, .. } | Op::WwAcquireDone { ctx } | Op::WwAcquireFini { ctx } => other(ctx),
        Op::WwLock { lock, ctx, .. } | Op::WwTrylock { lock, ctx } => {
            other(lock);
            ctx.iter_mut().for_each(other);
        }
        Op::WwPoke { object, poke } => {
            other(object);
            match poke {
                Poke::CopyFrom(from) => other(from),
                Poke::Ctx(object) | Poke::ContendingLock(object) => object.iter_mut().for_each(other),
                _ => {}
            }
        }
        _ => {}
    }
}

/// Goes on after reports: neither what other lines left in the interner nor storage that is used again shows.
#[test]
fn one_explorer_for_all_lines_gives_the_same_verdicts() {
    let mut shared = Player::new(Lockdep::new());
    for case in cases(&all_values()).iter().step_by(3) {
        let mut own = Player::default();
        assert_eq!(shared.play(case, true), own.play(case, true), "{}", case.id);
        let ids = |player: &Player| player.run().reports().iter().map(|report| report.id).collect::<Vec<_>>();
        assert_eq!(ids(&shared), ids(&own), "{}", case.id);
        assert_eq!(shared.run().chains(), own.run().chains(), "{}", case.id);
        assert_eq!(shared.run().edges(), own.run().edges(), "{}", case.id);
    }
}

const IRQ: [ReportKind; 3] = [ReportKind::InconsistentState, ReportKind::IrqInversion, ReportKind::IrqUnsafe];

/// What can be told from the set of chains alone is what was told on the way.
///
/// Not the other way round for interrupts: whether the kernel reports a reader's new state depends on how that one reader
/// asked, which a set of chains does not keep.
#[test]
fn judging_the_chains_equals_the_verdict_met_on_the_way() {
    let mut player = Player::default();
    let (mut recursive, mut circular, mut irq, mut missed, mut across) = (0, 0, 0, 0, 0);
    for case in &cases(&all_values()) {
        for on in [true, false] {
            player.play(case, on);
            let run = player.run();
            let judgement = run.lockdep().judge(&run.chains());
            let online = |kind| run.reports().iter().filter(move |report| report.kind == kind).map(|report| report.id);
            let judged = |kind| judgement.findings.iter().filter(move |f| f.kind == kind).map(|f| f.id);
            // A lock taken in a handler also collides with what the interrupted task holds, which is in no chain; and whether a
            // `nest_lock` was taken outside of the lock it is to excuse, a chain does not tell.
            let collided = online(ReportKind::Recursive).next().is_some();
            let ids: [BTreeSet<_>; 2] =
                [online(ReportKind::Recursive).collect(), judged(ReportKind::Recursive).collect()];
            if ids[0] != ids[1] {
                let excuse = |op: &Op| match op {
                    Op::HardirqEnter | Op::SoftirqEnter | Op::WwLock { ctx: Some(_), .. } => true,
                    Op::Acquire { nest, .. } => nest.is_some(),
                    _ => false,
                };
                assert!(collided && case.ops.iter().any(excuse), "{}", case.id);
                across += 1;
                continue;
            }
            recursive += ids[1].len();
            let loud = online(ReportKind::Circular).next().is_some();
            assert_eq!(loud, judged(ReportKind::Circular).next().is_some(), "{}", case.id);
            circular += usize::from(loud);
            let told = IRQ.iter().any(|kind| online(*kind).next().is_some());
            let found = IRQ.iter().any(|kind| judged(*kind).next().is_some());
            assert!(told || !found, "{}: {:?}", case.id, judgement.findings);
            irq += usize::from(found);
            missed += usize::from(told && !found);
        }
    }
    assert_eq!((recursive, circular, irq, missed, across), (1556, 5340, 4958, 326, 446));
}

#[test]
fn a_bad_line_names_its_field() {
    let check = |line: &str, expect: &str| {
        assert_eq!(Case::parse(line).expect_err(line).to_string(), expect);
    };
    check("[]", "not a JSON object");
    check(r#"{"id":1}"#, "ops: missing; a list of operations is wanted");
    check(r#"{"classes":{},"ops":[{"op":"fly"}]}"#, r#"ops[0].op: no operation is called "fly""#);
    check(r#"{"locks":{},"ops":[{"op":"lock","lock":"A"}]}"#, r#"ops[0].lock: no lock "A" in locks"#);
    check(
        r#"{"locks":{"A":{"kind":"sponge","class":"c"}},"ops":[]}"#,
        r#"locks.A.kind: no kind of lock is called "sponge""#,
    );
    check(
        r#"{"classes":{"c":{"wait_inner":9,"wait_outer":0,"lock_type":"normal"}},"ops":[{"op":"acquire","map":"m","class":"c"}]}"#,
        "classes.c.wait_inner: 9 found where a number from 0 to 4 is wanted",
    );
    check(r#"{"classes":{},"report":"x","ops":[]}"#, "report_at_op: missing; an integer is wanted");
    assert!(Case::parse("{").expect_err("cut off").to_string().starts_with("not JSON: "));
}

#[test]
fn a_line_without_expectations_is_judged() {
    let line = r#"{"locks":{"A":{"kind":"mutex","class":"A"}},"ops":[{"op":"unlock","lock":"A"}]}"#;
    let case = Case::parse(line).expect("a line");
    assert_eq!(case.expect, Expect::Unknown);
    let first = Player::default().play(&case, false).expect("a report");
    assert_eq!(first.to_string(), "operation 0: WARNING: bad unlock balance detected!");
    assert_eq!(case.expect.agrees(Some(&first)), None);
}

/// A line may count further than any counter: it is judged all the same.
#[test]
fn counters_stop_at_their_ends() {
    let repeated = |op: &str| vec![op; 70_000].join(",");
    let ops = ["softirq_disable", "hardirq_enter", "softirq_enter"].map(|op| repeated(&format!("{{\"op\":\"{op}\"}}")));
    let many = Case::parse(&format!("{{\"classes\":{{}},\"ops\":[{}]}}", ops.join(","))).expect("a line");
    assert_eq!(Player::default().play(&many, true), None);
    let pokes = Case::parse(
        r#"{"locks":{"t":{"kind":"ww_acquire_ctx","class":"t"},"o":{"kind":"ww_mutex","class":"o"}},"ops":[
            {"op":"ww_acquire_init","ctx":"t","stamp":9223372036854775807},{"op":"ww_poke","obj":"t","field":"stamp","add":1},
            {"op":"ww_poke","obj":"t","field":"acquired","set":4294967295},
            {"op":"ww_lock","lock":"o","ctx":"t","ret":0},{"op":"ww_unlock","lock":"o"}]}"#,
    )
    .expect("a line");
    assert_eq!(Player::default().play(&pokes, false), None);
}
