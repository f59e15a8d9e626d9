//! The shipped scenarios with handlers: predicted from a benign run, proven by an exploration, or proven to be fine.

use harness::{ExhaustPlan, ExhaustReport, Experiment, Mode, Outcome, Recipe, Registry, ShrinkPlan};
use std::ops::ControlFlow;

fn exhaust(experiment: &Experiment) -> ExhaustReport {
    experiment.exhaust(&ExhaustPlan::default(), &|_| ControlFlow::Continue(()))
}

fn benign(experiment: &Experiment, seed: u64) -> harness::RunReport {
    experiment.run(Recipe { mode: Mode::Benign, seed, run: 0 }, false)
}

fn codes(report: &harness::RunReport) -> Vec<&str> {
    report.findings.iter().map(|found| found.code.as_str()).collect()
}

/// Seen in every benign run, and driven into its deadlock: the schedule replays.
#[test]
fn an_inversion_with_a_handler_is_predicted_and_proven() {
    for name in ["irq-lock-inversion", "timer-lock-inversion", "irq-unsafe-order", "irq-interrupts-softirq"] {
        let experiment = system_tests::shipped(&format!("{name}.mms"), &[]);
        for seed in 0..5 {
            assert_eq!(codes(&benign(&experiment, seed)), ["LD-IRQ"], "{name}");
        }
        let mut report = benign(&experiment, 0);
        experiment.prove(&mut report, 200, &|| false);
        let proof = report.findings[0].proof.as_ref().expect("it is about a cycle");
        let Outcome::Proven { token, preemptions, .. } = &proof.outcome else { panic!("{name}: {proof}") };
        assert!(*preemptions <= 3 && proof.tries <= 10, "{name}: {proof}");
        let again = experiment.replay(token, false).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(codes(&again).contains(&"PROG-DEADLOCK"), "{name}: {:?}", codes(&again));
        let all = exhaust(&experiment);
        assert!(all.complete, "{name}: {:?}", all.left_out());
        let codes: Vec<&str> = all.findings.iter().map(|f| f.found.code.as_str()).collect();
        assert!(codes.contains(&"LD-IRQ") && codes.contains(&"PROG-DEADLOCK"), "{name}: {codes:?}");
    }
}

#[test]
fn a_task_that_keeps_the_handler_away_is_proven_fine() {
    for name in ["irq-lock-irqsave", "timer-lock-bh"] {
        let experiment = system_tests::shipped(&format!("{name}.mms"), &[]);
        let all = exhaust(&experiment);
        assert!(all.complete && all.findings.is_empty(), "{name}: {}", all.to_text());
        assert!(all.tally.executions > 1, "{name}: the handler arrives in several places");
    }
}

#[test]
fn a_deadlock_with_a_handler_shrinks_to_the_two_and_their_lock() {
    let experiment = system_tests::shipped("irq-lock-inversion.mms", &[]);
    let all = exhaust(&experiment);
    let deadlock = all.findings.iter().find(|f| f.found.code == "PROG-DEADLOCK").expect("it deadlocks");
    let plan = ShrinkPlan { finding: Some("PROG-DEADLOCK".to_owned()), runs: 2_000 };
    let shrunk = experiment.shrink(&deadlock.token, &plan, &|_| ControlFlow::Continue(())).expect("it replays");
    let text = shrunk.scenario.to_string();
    assert_eq!((shrunk.after.tasks, shrunk.after.operations, shrunk.after.preemptions), (2, 2, 1), "{text}");
    let small = Experiment::of(&Registry::builtin(), shrunk.scenario).expect("it names what there is");
    let again = small.replay(&shrunk.token, false).unwrap_or_else(|why| panic!("{why}\n{text}"));
    assert!(codes(&again).contains(&"PROG-DEADLOCK"), "{text}");
}

/// A regression says where the interrupt arrives, and when, by names.
#[test]
fn a_scenario_can_say_where_and_when_an_interrupt_arrives() {
    let text = |order: &str| {
        format!(
            "scenario \"pinned\" globals {{ spinlock queue_lock }} task other {{ }} task send {{ with queue_lock {{ sync held }} }}\n\
             irq eth0 {{ with queue_lock {{ }} }} steer {{ eth0 interrupt 1 takes send }}\n order {{ {order} }}"
        )
    };
    let ends = |order: &str, deadlocks: bool| {
        let experiment = Experiment::load(&Registry::builtin(), "pinned.mms", &text(order)).expect("no mistake");
        for seed in 0..10 {
            let report = benign(&experiment, seed);
            assert_eq!(codes(&report).contains(&"PROG-DEADLOCK"), deadlocks, "{order}, seed {seed}");
        }
    };
    ends("send@queue_lock < eth0@interrupt.arrive < send@user.held", true);
    ends("eth0@interrupt.arrive < send@queue_lock", false);
}
