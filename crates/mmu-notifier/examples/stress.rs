//! `just stress`: the registration and invalidation protocol on OS threads, round after round.
//!
//! ```text
//! cargo run --release -p mmu-notifier --example stress -- [ROUNDS [THREADS [SEED [FAULT]]]]
//! ```
//!
//! `FAULT` is `callback-after-unregister`, `skip-retry` or `alloc-under-lock`: to see it found. Exit code 1 with the first round that found something, 2 for bad arguments. A round is not reproducible: the machine
//! decides the order. What it finds is looked for with `shootdown explore`, where the order is a choice.

#![expect(unreachable_pub, reason = "the protocol is the test's as well")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells its progress")]

#[path = "../tests/threads/protocol.rs"]
mod protocol;

use protocol::{Fault, Tally, round};
use std::process::ExitCode;

/// Rounds between two lines of progress.
const LINE: u64 = 500;

const USAGE: &str = "usage: stress [ROUNDS [THREADS [SEED [FAULT]]]]: at least one round, 1 to 64 threads, a number, and none, callback-after-unregister, skip-retry or alloc-under-lock";

struct Settings {
    rounds: u64,
    threads: u64,
    seed: u64,
    fault: Fault,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(settings) = settings(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    stress(&settings)
}

fn stress(&Settings { rounds, threads, seed, fault }: &Settings) -> ExitCode {
    let mut all = Tally::default();
    for n in 0..rounds {
        all.add(round(seed.wrapping_add(n), threads, fault));
        if !all.findings.is_empty() {
            println!("round {}, of seed {}:", n + 1, seed.wrapping_add(n));
            all.findings.iter().for_each(|finding| println!("  {finding}"));
            return ExitCode::FAILURE;
        }
        if (n + 1) % LINE == 0 || n + 1 == rounds {
            let Tally { brackets, refused, callbacks, published, retries, subscribed, .. } = all;
            println!(
                "round {} of {rounds}: {brackets} brackets ({refused} refused), {callbacks} callbacks, {published} \
                 translations published ({retries} retries), {subscribed} subscriptions; nothing found",
                n + 1
            );
        }
    }
    ExitCode::SUCCESS
}

/// What the arguments say; what is not given is as it usually is.
fn settings(args: &[String]) -> Option<Settings> {
    let mut settings = Settings { rounds: 5_000, threads: 4, seed: 0, fault: Fault::None };
    let [numbers, fault] = [&args[..args.len().min(3)], args.get(3..).unwrap_or_default()];
    for (arg, into) in numbers.iter().zip([&mut settings.rounds, &mut settings.threads, &mut settings.seed]) {
        *into = arg.parse().ok()?;
    }
    match fault {
        [] => {}
        [word] => settings.fault = Fault::from_word(word)?,
        _ => return None,
    }
    (settings.rounds > 0 && (1..=64).contains(&settings.threads)).then_some(settings)
}
