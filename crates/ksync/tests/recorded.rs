//! The kernel's recorded verdicts, with read sections, allocations and wait/wound mutexes performed by this crate.

#[path = "../../lockdep/tests/data/mod.rs"]
mod data;

use ksync::recorded::{Otherwise, performs, play};
use lockdep::recorded::{Case, Expect, Noticed, WwRet};
use mm_types::Errno;

fn cases(name: &str) -> Vec<Case> {
    data::text(name).lines().map(|line| Case::parse(line).expect("a line")).collect()
}

#[track_caller]
fn agree(cases: &[Case]) {
    for case in cases {
        let first = play(case).unwrap_or_else(|otherwise| panic!("{}: {otherwise}", case.id));
        assert_eq!(case.expect.agrees(first.as_ref()), Some(true), "{}: {first:?}, not {:?}", case.id, case.expect);
    }
}

#[test]
fn selftest_lines_agree_with_the_kernel() {
    let cases = cases("locking_selftest.jsonl");
    assert_eq!(cases.len(), 265);
    assert_eq!(cases.iter().filter(|case| performs(case)).count(), 41);
    agree(&cases);
}

/// Nothing in them is this crate's: the way to the validator is.
#[test]
fn fuzz_lines_agree_with_the_kernel() {
    let cases = cases("fuzz.jsonl.gz");
    assert_eq!(cases.len(), 10_033);
    assert!(!cases.iter().any(performs));
    agree(&cases);
}

fn line(locks: &str, ops: &str) -> Case {
    let lock = |word: &str| {
        let (name, kind) = word.split_once(':').expect("name:kind");
        let class = if kind == "ww_mutex" { "ww_lockdep_mutex" } else { "ww_lockdep_acquire" };
        format!(r#""{name}":{{"kind":"{kind}","class":"{class}"}}"#)
    };
    let locks: Vec<String> = locks.split(' ').map(lock).collect();
    let ops: Vec<String> = ops.split(' ').map(op).collect();
    Case::parse(&format!(r#"{{"locks":{{{}}},"ops":[{}]}}"#, locks.join(","), ops.join(","))).expect("a line")
}

/// `init:t`, `done:t`, `fini:t`, `lock:o,t` and `slow:o,t` (with `!E` behind for an error), `try:o`, `unlock:o`,
/// `base:o`, `unbase:o`, `mapped:o`, `unmapped:o`, `null:t.field`, `set:o.field=t`, `copy:t2=t`, `older:t2`.
fn op(word: &str) -> String {
    let (name, of) = word.split_once(':').expect("operation:object");
    let (of, error) = of.split_once('!').unwrap_or((of, ""));
    let (of, ctx) = of.split_once(',').unwrap_or((of, ""));
    let ctx = if ctx.is_empty() { "null".to_owned() } else { format!("\"{ctx}\"") };
    let ret = if error.is_empty() { "0".to_owned() } else { format!("\"{error}\"") };
    let field = |of: &str| {
        let (object, field) = of.split_once('.').expect("object.field");
        (object.to_owned(), field.to_owned())
    };
    match name {
        "init" => format!(r#"{{"op":"ww_acquire_init","ctx":"{of}","stamp":7}}"#),
        "done" | "fini" => format!(r#"{{"op":"ww_acquire_{name}","ctx":"{of}"}}"#),
        "lock" => format!(r#"{{"op":"ww_lock","lock":"{of}","ctx":{ctx},"ret":{ret}}}"#),
        "slow" => format!(r#"{{"op":"ww_lock_slow","lock":"{of}","ctx":{ctx},"ret":{ret}}}"#),
        "try" => format!(r#"{{"op":"ww_trylock","lock":"{of}","ctx":{ctx},"ret":true}}"#),
        "unlock" => format!(r#"{{"op":"ww_unlock","lock":"{of}"}}"#),
        "base" => format!(r#"{{"op":"lock","lock":"{of}","api":"mutex"}}"#),
        "unbase" => format!(r#"{{"op":"unlock","lock":"{of}","api":"mutex"}}"#),
        "mapped" => format!(r#"{{"op":"map_acquire","lock":"{of}","trylock":true}}"#),
        "unmapped" => format!(r#"{{"op":"map_release","lock":"{of}"}}"#),
        "older" => format!(r#"{{"op":"ww_poke","obj":"{of}","field":"stamp","add":-1}}"#),
        "zero" => format!(r#"{{"op":"ww_poke","obj":"{of}","field":"acquired","set":0}}"#),
        "copy" => {
            let (to, from) = of.split_once('=').expect("to=from");
            format!(r#"{{"op":"ww_poke","obj":"{to}","copy_from":"{from}"}}"#)
        }
        "null" => {
            let (object, field) = field(of);
            format!(r#"{{"op":"ww_poke","obj":"{object}","field":"{field}","set":null}}"#)
        }
        "set" => {
            let (place, value) = of.split_once('=').expect("place=value");
            let (object, field) = field(place);
            format!(r#"{{"op":"ww_poke","obj":"{object}","field":"{field}","set":"{value}"}}"#)
        }
        other => panic!("no operation {other}"),
    }
}

/// Each condition that a context or a mutex checks of itself, broken alone; and what is right, silent.
#[test]
fn every_check_of_wait_wound_mutexes_speaks() {
    let locked = "base:o2 unmapped:o2 set:o2.ctx=t2 init:t copy:t2=t older:t2 lock:o,t lock:o2,t!EDEADLK";
    let freed = "null:o2.ctx mapped:o2 unbase:o2";
    let check = |ops: &str, expect: Option<&str>| {
        let case = line("t:ww_acquire_ctx t2:ww_acquire_ctx o:ww_mutex o2:ww_mutex o3:ww_mutex", ops);
        let first = play(&case).unwrap_or_else(|otherwise| panic!("{ops}: {otherwise}"));
        let last = case.ops.len() - 1;
        assert_eq!(first, expect.map(|title| Noticed { title: title.to_owned(), op: last }), "{ops}");
    };
    let warn = |condition: &str| format!("DEBUG_LOCKS_WARN_ON({condition})");
    check("init:t lock:o,t lock:o2,t done:t unlock:o2 unlock:o fini:t", None);
    check(&format!("{locked} {freed} unlock:o slow:o2,t lock:o,t"), None);
    check("init:t slow:o,t", Some(&warn("!ctx->contending_lock")));
    check("init:t null:t.ww_class lock:o,t", Some(&warn("ww_ctx->ww_class != ww->ww_class")));
    check("init:t done:t done:t", Some(&warn("ctx->done_acquire")));
    check("init:t done:t lock:o,t", Some(&warn("ww_ctx->done_acquire")));
    check("init:t set:o.ctx=t2 lock:o,t", Some(&warn("ww->ctx")));
    check("init:t lock:o,t zero:t unlock:o", Some(&warn("!lock->ctx->acquired")));
    check(&format!("{locked} {freed} lock:o2,t"), Some(&warn("ww_ctx->acquired > 0")));
    check(&format!("{locked} {freed} slow:o2,t"), Some(&warn("ww_ctx->acquired > 0")));
    check(&format!("{locked} lock:o3,t"), Some(&warn("ww_ctx->contending_lock != ww")));
    check(&format!("{locked} unlock:o slow:o3,t"), Some(&warn("ww_ctx->contending_lock != ww")));
    let both = "base:o2 unmapped:o2 set:o2.ctx=t2 base:o3 unmapped:o3 set:o3.ctx=t2 init:t copy:t2=t older:t2 lock:o,t";
    check(&format!("{both} lock:o2,t!EDEADLK lock:o3,t!EDEADLK"), Some(&warn("ww_ctx->contending_lock")));
    check("init:t init:t2", Some("WARNING: possible recursive locking detected"));
    check("init:t lock:o,t lock:o2", Some("WARNING: possible recursive locking detected"));
    check("init:t lock:o,t done:t fini:t", Some("WARNING: Nested lock was not taken"));
    check("lock:o unlock:o unlock:o", Some("WARNING: bad unlock balance detected!"));
    check("init:t fini:t fini:t", Some("WARNING: bad unlock balance detected!"));
}

#[test]
fn an_answer_other_than_the_recorded_one_is_told() {
    let case = line("t:ww_acquire_ctx o:ww_mutex", "init:t lock:o,t lock:o,t");
    assert_eq!(case.expect, Expect::Unknown);
    let told = play(&case).expect_err("it is held already");
    assert_eq!(told, Otherwise { op: 2, recorded: WwRet::Locked, answered: Err(Errno::EALREADY) });
    assert_eq!(told.to_string(), "operation 2: recorded Locked, answered Err(EALREADY)");
}
