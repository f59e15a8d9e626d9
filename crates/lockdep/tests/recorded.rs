//! The verdicts of a real kernel (6.1), recorded line by line: `tests/data/lockdep/FORMAT.md` tells the format.
//!
//! A line is judged up to its first operation that needs a rule this validator does not have (another irq context,
//! `nest_lock`, RCU, allocation, ww contexts, freeing). Switching interrupts off and on is not one: it matters to usage
//! states only. Up to there each operation must say what the kernel said; where a complete search is recorded to differ
//! from the kernel's, it is the complete one that counts. How many lines were judged how is asserted to the line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::GzDecoder;
use lockdep::{Acquire, ClassSpec, Held, LockType, Lockdep, Read, ReportKind, Run, Site, WaitType};
use serde_json::Value;

/// An operation of a line, as far as this validator goes.
#[derive(Clone, Copy, Debug)]
enum Op {
    Take {
        class: usize,
        instance: u64,
        how: Acquire,
    },
    Release {
        instance: u64,
    },
    /// No matter to task context.
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OwnedSpec {
    name: String,
    subclass: u8,
    wait_inner: WaitType,
    wait_outer: WaitType,
    lock_type: LockType,
}

/// A recorded line, cut where the scope ends.
#[derive(Debug)]
struct Line {
    id: String,
    classes: Vec<OwnedSpec>,
    ops: Vec<Op>,
    whole: bool,
    /// No interrupt operation, not even one without an effect here.
    plain: bool,
    marked: bool,
    report: Option<(String, usize)>,
}

/// What is expected of `Line::ops`.
enum Expect {
    Silent(usize),
    Report(ReportKind, usize),
}

impl Line {
    fn expect(&self) -> Expect {
        let kinds = [ReportKind::Recursive, ReportKind::Circular, ReportKind::UnlockBalance];
        match &self.report {
            Some((title, at)) if *at < self.ops.len() => match kinds.into_iter().find(|kind| kind.title() == title) {
                Some(kind) => Expect::Report(kind, *at),
                None => Expect::Silent(*at),
            },
            _ => Expect::Silent(self.ops.len()),
        }
    }
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/lockdep").join(name)
}

fn values(name: &str) -> Vec<Value> {
    let file = File::open(data(name)).expect(name);
    let reader: Box<dyn std::io::Read> = match name.ends_with(".gz") {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut text = String::new();
    BufReader::new(reader).read_to_string(&mut text).expect("text");
    text.as_bytes().lines().map(|line| serde_json::from_str(&line.expect("line")).expect("JSON")).collect()
}

fn lines(name: &str) -> Vec<Line> {
    values(name).iter().map(line).collect()
}

fn line(value: &Value) -> Line {
    let mut line = Line {
        id: value["id"].as_str().map_or_else(|| value["id"].to_string(), str::to_owned),
        classes: Vec::new(),
        ops: Vec::new(),
        whole: true,
        plain: true,
        marked: !value["exhaustive_report_at_op"].is_null() || !value["exhaustive_report"].is_null(),
        report: None,
    };
    let key = if line.marked { "exhaustive_report" } else { "report" };
    if let Some(title) = value[key].as_str() {
        let at = value[format!("{key}_at_op")].as_u64().expect("an index");
        line.report = Some((title.to_owned(), at as usize));
    }
    let mut instances = Vec::new();
    for op in value["ops"].as_array().expect("ops") {
        line.plain &= !text(op, "op").contains("irq");
        match parse(value, op, &mut line.classes, &mut instances) {
            Some(op) => line.ops.push(op),
            None => {
                line.whole = false;
                break;
            }
        }
    }
    line
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().expect(key)
}

/// The operation, or `None` where the scope ends.
fn parse(line: &Value, op: &Value, classes: &mut Vec<OwnedSpec>, instances: &mut Vec<String>) -> Option<Op> {
    if !op["nest_lock"].is_null() {
        return None;
    }
    let mut number = |name: &str| match instances.iter().position(|known| known == name) {
        Some(at) => at as u64,
        None => {
            instances.push(name.to_owned());
            instances.len() as u64 - 1
        }
    };
    match text(op, "op") {
        "hardirq_disable" | "hardirq_enable" | "softirq_disable" | "softirq_enable" | "hardirq_threaded" => {
            Some(Op::Nothing)
        }
        "acquire" => {
            let how = Acquire {
                read: read(op["read"].as_u64().expect("read")),
                trylock: op["trylock"].as_bool().expect("trylock"),
                check: op["check"].as_bool().expect("check"),
            };
            let subclass = op["subclass"].as_u64().expect("subclass") as u8;
            let class = class_number(classes, fuzz_class(line, text(op, "class"), subclass));
            Some(Op::Take { class, instance: number(text(op, "map")), how })
        }
        "release" => Some(Op::Release { instance: number(text(op, "map")) }),
        "lock" | "read_lock" | "map_acquire" => {
            let name = text(op, "lock");
            let how = Acquire {
                read: match (text(op, "op"), op["recursive"].as_bool()) {
                    ("read_lock", Some(true)) => Read::Recursive,
                    ("read_lock", _) => Read::Shared,
                    _ => Read::Exclusive,
                },
                trylock: op["trylock"].as_bool().unwrap_or(false),
                check: true,
            };
            let class = class_number(classes, api_class(line, name)?);
            Some(Op::Take { class, instance: number(name), how })
        }
        "unlock" | "read_unlock" | "map_release" => {
            api_class(line, text(op, "lock"))?;
            Some(Op::Release { instance: number(text(op, "lock")) })
        }
        _ => None,
    }
}

fn read(n: u64) -> Read {
    [Read::Exclusive, Read::Shared, Read::Recursive][n as usize]
}

fn class_number(classes: &mut Vec<OwnedSpec>, spec: OwnedSpec) -> usize {
    classes.iter().position(|known| *known == spec).unwrap_or_else(|| {
        classes.push(spec);
        classes.len() - 1
    })
}

fn wait(n: u64) -> WaitType {
    [WaitType::Unchecked, WaitType::Free, WaitType::Spin, WaitType::Config, WaitType::Sleep][n as usize]
}

fn fuzz_class(line: &Value, name: &str, subclass: u8) -> OwnedSpec {
    let class = &line["classes"][name];
    OwnedSpec {
        name: name.to_owned(),
        subclass,
        wait_inner: wait(class["wait_inner"].as_u64().expect("wait_inner")),
        wait_outer: wait(class["wait_outer"].as_u64().expect("wait_outer")),
        lock_type: lock_type(text(class, "lock_type")),
    }
}

fn lock_type(name: &str) -> LockType {
    match name {
        "normal" => LockType::Normal,
        "percpu" => LockType::PerCpu,
        other => panic!("lock type {other}"),
    }
}

/// `None` for kinds with rules of their own (ww).
fn api_class(line: &Value, lock: &str) -> Option<OwnedSpec> {
    let lock = &line["locks"][lock];
    let (inner, lock_type) = match text(lock, "kind") {
        "raw_spinlock" => (WaitType::Spin, LockType::Normal),
        "spinlock" | "rwlock" => (WaitType::Config, LockType::Normal),
        "local_lock" => (WaitType::Config, LockType::PerCpu),
        "mutex" | "rwsem" | "rtmutex" => (WaitType::Sleep, LockType::Normal),
        "lockdep_map" | "map" => (WaitType::Unchecked, LockType::Normal),
        _ => return None,
    };
    Some(OwnedSpec {
        name: text(lock, "class").to_owned(),
        subclass: 0,
        wait_inner: inner,
        wait_outer: WaitType::Unchecked,
        lock_type,
    })
}

/// Plays `ops` on a run that is empty; stops behind the first operation that reports.
fn play(run: &mut Run, held: &mut Held, line: &Line, ops: &[Op], stop: bool) -> Option<usize> {
    let classes: Vec<_> = line
        .classes
        .iter()
        .map(|class| {
            run.lockdep().class(&ClassSpec {
                name: &class.name,
                subclass: class.subclass,
                wait_inner: class.wait_inner,
                wait_outer: class.wait_outer,
                lock_type: class.lock_type,
                ours: false,
            })
        })
        .collect();
    let mut first = None;
    for (at, op) in ops.iter().enumerate() {
        let verdict = match *op {
            Op::Take { class, instance, how } => run.acquire(held, classes[class], instance, how, Site::here()),
            Op::Release { instance } => run.release(held, instance, Site::here()),
            Op::Nothing => continue,
        };
        if !verdict.is_ok() {
            first.get_or_insert(at);
            if stop {
                break;
            }
        }
    }
    first
}

/// Counts of what was judged, so that no line can vanish.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    lines: usize,
    /// Judged to their end, or to a report that is in scope.
    complete: usize,
    /// Of these, without any irq operation.
    plain: usize,
    recursive: usize,
    circular: usize,
    balance: usize,
    /// Of the lines where a complete search is recorded to differ, those that reach that point.
    marked: usize,
    ops: usize,
}

fn judge_all(lines: &[Line], mut world: impl FnMut() -> (Run, Held)) -> (Tally, Vec<String>) {
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for line in lines {
        let (mut run, mut held) = world();
        let (ops, expected) = match line.expect() {
            Expect::Silent(until) => (&line.ops[..until], None),
            Expect::Report(kind, at) => (&line.ops[..=at], Some((kind, at))),
        };
        tally.lines += 1;
        tally.ops += ops.len();
        let complete = expected.is_some() || line.whole && line.report.is_none();
        tally.complete += usize::from(complete);
        tally.plain += usize::from(complete && line.whole && line.plain);
        tally.marked += usize::from(complete && line.marked);
        match expected {
            Some((ReportKind::Recursive, _)) => tally.recursive += 1,
            Some((ReportKind::Circular, _)) => tally.circular += 1,
            Some((ReportKind::UnlockBalance, _)) => tally.balance += 1,
            _ => {}
        }
        let at = play(&mut run, &mut held, line, ops, true);
        let got = at.map(|at| (run.reports()[0].kind, at));
        if got != expected {
            wrong.push(format!("{}: expected {expected:?}, got {got:?}", line.id));
        }
    }
    (tally, wrong)
}

fn fresh() -> (Run, Held) {
    (Run::new(Lockdep::new()), Held::new("task", 1))
}

#[test]
fn selftest_lines_agree_with_the_kernel() {
    let (tally, wrong) = judge_all(&lines("locking_selftest.jsonl"), fresh);
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    let expected =
        Tally { lines: 265, complete: 67, plain: 67, recursive: 7, circular: 36, balance: 5, marked: 0, ops: 1314 };
    assert_eq!(tally, expected);
}

#[test]
fn fuzz_lines_agree_with_the_kernel_and_the_complete_search() {
    let (tally, wrong) = judge_all(&lines("fuzz.jsonl.gz"), fresh);
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    let expected = Tally {
        lines: 10033,
        complete: 1147,
        plain: 67,
        recursive: 232,
        circular: 540,
        balance: 15,
        marked: 5,
        ops: 59545,
    };
    assert_eq!(tally, expected);
}

#[test]
fn one_explorer_for_all_lines_gives_the_same_verdicts() {
    let lockdep = Lockdep::new();
    let mut run = Run::new(Arc::clone(&lockdep));
    let mut held = Held::new("task", 1);
    for line in lines("locking_selftest.jsonl").iter().chain(&lines("fuzz.jsonl.gz")) {
        run.reset();
        held.reset();
        let again = play(&mut run, &mut held, line, &line.ops, false);
        let (mut own, mut own_held) = fresh();
        assert_eq!(again, play(&mut own, &mut own_held, line, &line.ops, false), "{}", line.id);
        let ids = |run: &Run| run.reports().iter().map(|report| report.id).collect::<Vec<_>>();
        assert_eq!(ids(&run), ids(&own), "{}", line.id);
        assert_eq!(run.chains(), own.chains(), "{}", line.id);
        assert_eq!(run.edges(), own.edges(), "{}", line.id);
    }
}

#[test]
fn judging_the_chains_equals_the_verdict_met_on_the_way() {
    let (mut loud, mut only) = (0, 0);
    for line in lines("locking_selftest.jsonl").iter().chain(&lines("fuzz.jsonl.gz")) {
        for stop in [true, false] {
            let (mut run, mut held) = fresh();
            play(&mut run, &mut held, line, &line.ops, stop);
            let judgement = run.lockdep().judge(&run.chains());
            let online: BTreeSet<_> = run
                .reports()
                .iter()
                .map(|report| report.kind)
                .filter(|kind| *kind != ReportKind::UnlockBalance)
                .collect();
            let judged: BTreeSet<_> = judgement.findings.iter().map(|finding| finding.kind).collect();
            assert_eq!(judged, online, "{}", line.id);
            let ids = |kind| run.reports().iter().filter(move |report| report.kind == kind).map(|report| report.id);
            let judged_ids = |kind| judgement.findings.iter().filter(move |finding| finding.kind == kind).map(|f| f.id);
            let recursive: BTreeSet<_> = ids(ReportKind::Recursive).collect();
            assert_eq!(recursive, judged_ids(ReportKind::Recursive).collect(), "{}", line.id);
            // One new dependency can close several cycles: the run reports a shortest, the set has them all.
            let circular: BTreeSet<_> = ids(ReportKind::Circular).collect();
            let judged_circular: BTreeSet<_> = judged_ids(ReportKind::Circular).collect();
            if judged_circular.len() == 1 {
                assert_eq!(circular, judged_circular, "{}", line.id);
                only += 1;
            }
            loud += usize::from(!judged.is_empty());
        }
    }
    // Each line twice: up to its first report, and to its end.
    assert_eq!((loud, only), (1636, 982));
}
