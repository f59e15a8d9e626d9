//! Lock reports driven into their deadlocks, and the reasons where that fails.

use harness::{Experiment, Mode, Outcome, Proof, Reason, Recipe, Registry, RunReport, Token};

const TOY: &str = "scenario \"test\"
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }
device toy : interval(A, 0x10000..0x50000) {
    mutex outer  mutex a  mutex b  mutex c  rwsem r
    on invalidate(range) { with c { set_seq zap range } }
}\n";

#[track_caller]
fn load(tasks: &str) -> Experiment {
    harness::install_panic_hook();
    let text = format!("{TOY}{tasks}");
    Experiment::load(&Registry::builtin(), "test.mms", &text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// A benign run of these tasks in which nothing deadlocks, its lock reports tried.
#[track_caller]
fn tried(experiment: &Experiment, tries: u64) -> RunReport {
    let quiet = (0..).map(|seed| experiment.run(Recipe { mode: Mode::Benign, seed, run: 0 }, false));
    let mut report = quiet.take(100).find(|r| r.end.word() == "finished").expect("a run without the deadlock");
    experiment.prove(&mut report, tries, &|| false);
    report
}

#[track_caller]
fn only_proof(report: &RunReport) -> &Proof {
    let proofs: Vec<&Proof> = report.findings.iter().filter_map(|f| f.proof.as_ref()).collect();
    assert_eq!(proofs.len(), 1, "{:#?}", report.findings);
    proofs[0]
}

/// The schedule of a proof, run again: it ends in a deadlock of the words that the proof says.
#[track_caller]
fn check_proven(experiment: &Experiment, report: &RunReport, most_preemptions: u32) -> Token {
    let proof = only_proof(report);
    let Outcome::Proven { token, preemptions, deadlock } = &proof.outcome else { panic!("{proof}") };
    assert!(*preemptions <= most_preemptions, "{proof}");
    let token: Token = token.to_string().parse().expect("our own token");
    let again = experiment.replay(&token, false).expect("replays");
    assert_eq!(again.end.word(), "deadlock");
    assert!(again.findings.iter().any(|f| f.code == "PROG-DEADLOCK" && f.title == *deadlock), "{:#?}", again.findings);
    token
}

#[test]
fn two_orders_are_proven_with_one_preemption() {
    let experiment = load("task one { with toy.a { with toy.b { } } }  task two { with toy.b { with toy.a { } } }");
    check_proven(&experiment, &tried(&experiment, 50), 1);
}

#[test]
fn a_ring_of_three_is_proven_with_two_preemptions() {
    let experiment = load(
        "task one { yield with toy.a { yield with toy.b { } } }
         task two { yield with toy.b { yield with toy.c { } } }
         task three { yield with toy.c { yield with toy.a { } } }",
    );
    check_proven(&experiment, &tried(&experiment, 200), 2);
}

#[test]
fn readers_and_writers_are_proven_too() {
    let experiment =
        load("task one { with read toy.r { with toy.a { } } }  task two { with toy.a { with write toy.r { } } }");
    check_proven(&experiment, &tried(&experiment, 200), 1);
}

#[test]
fn reclaim_is_steered_into_the_callback_of_the_lock_that_is_held() {
    let experiment = load(
        "task user { toy.map 0x10000..0x12000  with toy.c { alloc 1 GFP_KERNEL } }
         task unmap { munmap A 0x13000..0x14000 }",
    );
    check_proven(&experiment, &tried(&experiment, 200), 0);
}

#[test]
fn a_lock_around_both_orders_is_named() {
    let experiment = load(
        "task one { with toy.outer { with toy.a { with toy.b { } } } }
         task two { with toy.outer { with toy.b { with toy.a { } } } }",
    );
    let report = tried(&experiment, 100);
    let proof = only_proof(&report);
    assert_eq!(proof.outcome, Outcome::Predicted(Reason::Gated("toy.outer".to_owned())));
    assert!(proof.to_string().contains("gated by toy.outer"), "{proof}");
    // Around one of them it is no gate.
    let open = load(
        "task one { with toy.outer { with toy.a { with toy.b { } } } }  task two { with toy.b { with toy.a { } } }",
    );
    check_proven(&open, &tried(&open, 100), 1);
}

#[test]
fn what_no_schedule_reaches_is_impossible_once_all_were_run() {
    // One task does both: it cannot meet itself.
    let experiment =
        load("task one { with toy.a { with toy.b { } }  with toy.b { with toy.a { } } }  task two { yield }");
    let report = tried(&experiment, 100);
    let Outcome::Predicted(Reason::Impossible(runs)) = only_proof(&report).outcome else {
        panic!("{}", only_proof(&report))
    };
    assert!((1..=100).contains(&runs), "{runs}");
    // Pins keep them apart as well.
    let pinned = load(
        "task one { with toy.a { with toy.b { } } sync done }  task two { sync go  with toy.b { with toy.a { } } }
         order { one@user.done < two@user.go }",
    );
    let report = tried(&pinned, 100);
    assert!(
        matches!(only_proof(&report).outcome, Outcome::Predicted(Reason::Impossible(_))),
        "{}",
        only_proof(&report)
    );
}

#[test]
fn too_few_tries_are_said_to_be_too_few() {
    // The order that pins let it have is the wrong one, and there are more schedules than tries.
    let experiment = load(
        "task one { with toy.a { yield with toy.b { } } repeat 5 { yield } sync done }
         task two { repeat 5 { with toy.c { } } sync go  with toy.b { with toy.a { } } }
         task three { repeat 5 { with toy.c { } } }
         order { one@user.done < two@user.go }",
    );
    let report = tried(&experiment, 1);
    let proof = only_proof(&report);
    assert_eq!(proof.outcome, Outcome::Predicted(Reason::NotReached));
    assert!(proof.to_string().contains("not reached within"), "{proof}");
    let mut stopped = tried(&experiment, 1);
    experiment.prove(&mut stopped, 100, &|| true);
    assert_eq!(only_proof(&stopped).outcome, Outcome::Predicted(Reason::Interrupted));
}

#[test]
fn without_tries_nothing_is_said() {
    let experiment = load("task one { with toy.a { with toy.b { } }  with toy.b { with toy.a { } } }");
    let report = tried(&experiment, 0);
    assert!(report.findings.iter().all(|f| f.proof.is_none()), "{:#?}", report.findings);
}

#[test]
fn a_proof_is_the_same_every_time() {
    let experiment = load("task one { with toy.a { with toy.b { } } }  task two { with toy.b { with toy.a { } } }");
    let proof = |_| only_proof(&tried(&experiment, 50)).clone();
    let proofs: Vec<Proof> = (0..3).map(proof).collect();
    assert!(proofs.iter().all(|p| *p == proofs[0]));
}
