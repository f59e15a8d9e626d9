//! Random programs.

use crate::program::{Do, Tasks};
use crate::{check, check_courses};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }
}

/// Which operations a program is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Locks,
    Tries,
    Words,
    Waits,
    Sems,
    Choices,
    Events,
    Ends,
    All,
    /// Tasks and handlers that interrupt them.
    Hardirqs,
    Softirqs,
    Interrupts,
}

fn program(dice: &mut Dice, kind: Kind, tasks: u32, most: u32) -> Tasks {
    let mut task = |_| {
        let len = 1 + dice.below(most);
        (0..len).map(|_| operation(dice, kind)).collect()
    };
    (0..tasks).map(&mut task).collect()
}

fn operation(dice: &mut Dice, kind: Kind) -> Do {
    let i = dice.below(2) as u8;
    let of = match kind {
        Kind::All => {
            let kinds = [Kind::Locks, Kind::Tries, Kind::Words, Kind::Waits, Kind::Sems, Kind::Choices, Kind::Events];
            kinds[dice.below(7) as usize]
        }
        Kind::Interrupts => {
            let kinds = [Kind::Hardirqs, Kind::Softirqs, Kind::Waits, Kind::Tries, Kind::Sems, Kind::Words];
            kinds[dice.below(6) as usize]
        }
        one => one,
    };
    let options: &[Do] = match of {
        Kind::Locks => &[Do::Lock(i), Do::Lock(i), Do::Unlock(i), Do::Local],
        Kind::Tries => &[Do::Lock(i), Do::Try(i), Do::Unlock(i), Do::Store(0)],
        Kind::Words => &[Do::Load(i), Do::Store(i), Do::Both(i, 1 - i), Do::Lock(0)],
        Kind::Waits => &[Do::WaitFor(i), Do::Happen(i), Do::Sleep(i), Do::WakeOne(i), Do::Lock(0), Do::Unlock(0)],
        Kind::Sems => &[Do::ReadLock(i), Do::WriteLock(i), Do::RwUnlock(i), Do::Store(i), Do::ReadLock(0)],
        Kind::Choices => &[Do::Choose(2), Do::Load(i), Do::Store(i), Do::Lock(i), Do::Choose(3)],
        Kind::Events => &[Do::Local, Do::Mark(i), Do::Local, Do::Spawn(i), Do::Load(i)],
        Kind::Ends => &[Do::PanicIf(i), Do::Load(i), Do::Store(i), Do::Lock(0), Do::Local],
        Kind::Hardirqs => &[Do::Lock(i), Do::Unlock(i), Do::Store(0), Do::MaskHard, Do::UnmaskHard],
        Kind::Softirqs => &[Do::Lock(i), Do::Unlock(i), Do::Load(0), Do::MaskSoft, Do::UnmaskSoft, Do::MaskHard],
        Kind::All | Kind::Interrupts => &[Do::Local],
    };
    options[dice.below(options.len() as u32) as usize]
}

fn try_check(tasks: &Tasks) -> std::thread::Result<bool> {
    std::panic::catch_unwind(|| check(tasks))
}

/// Fewer operations, as long as the check fails.
fn smallest(mut tasks: Tasks) -> Tasks {
    let without = |tasks: &Tasks| -> Vec<Tasks> {
        let places = (0..tasks.len()).flat_map(|t| (0..tasks[t].len()).map(move |at| (t, at)));
        let one_less = |(t, at): (usize, usize)| {
            let mut fewer = tasks.clone();
            fewer[t].remove(at);
            fewer.retain(|task| !task.is_empty());
            fewer
        };
        places.map(one_less).collect()
    };
    while let Some(fewer) = without(&tasks).into_iter().find(|fewer| try_check(fewer).is_err()) {
        tasks = fewer;
    }
    tasks
}

/// Tasks, and handlers that interrupt them.
fn interrupted(dice: &mut Dice, kind: Kind) -> Tasks {
    let (tasks, most, handlers) = [(1, 4, 1), (2, 2, 1), (1, 3, 2), (1, 2, 2), (2, 3, 1)][dice.below(5) as usize];
    let mut program = program(dice, kind, tasks, most);
    for nth in 0..handlers {
        let soft = kind == Kind::Softirqs || (kind == Kind::Interrupts && nth == 0);
        let first = if soft { Do::Softirq(1 + dice.below(2) as u8) } else { Do::Hardirq };
        let body = 1 + dice.below(2);
        let handler = std::iter::once(first).chain((0..body).map(|_| operation(dice, kind)));
        program.push(handler.collect());
    }
    program
}

/// Program number `seed` of its kind.
pub(crate) fn draw(kind: Kind, seed: u32) -> Tasks {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(u64::from(seed) << 8 | kind as u64));
    if matches!(kind, Kind::Hardirqs | Kind::Softirqs | Kind::Interrupts) {
        return interrupted(&mut dice, kind);
    }
    let (tasks, most) = [(2, 6), (3, 3), (2, 4), (3, 4), (4, 2)][dice.below(5) as usize];
    program(&mut dice, kind, tasks, most)
}

fn many(kind: Kind, programs: u32) {
    let mut checked = 0;
    for seed in 0..programs {
        let tasks = draw(kind, seed);
        match try_check(&tasks) {
            Ok(done) => checked += u32::from(done),
            Err(_) => drop(check(&smallest(tasks))),
        }
    }
    assert!(checked * 2 > programs, "{checked} of {programs} were small enough to check");
}

#[test]
fn courses() {
    sched::install_panic_hook();
    for seed in 0..40 {
        check_courses(&draw(Kind::All, seed));
        check_courses(&draw(Kind::Ends, seed));
    }
}

#[test]
fn nested_locks() {
    many(Kind::Locks, 30);
}

#[test]
fn trylocks() {
    many(Kind::Tries, 40);
}

#[test]
fn words() {
    many(Kind::Words, 40);
}

#[test]
fn waits_and_wake_ups() {
    many(Kind::Waits, 40);
}

#[test]
fn readers_and_queueing_writers() {
    many(Kind::Sems, 40);
}

#[test]
fn hardirqs() {
    many(Kind::Hardirqs, 40);
}

#[test]
fn softirqs() {
    many(Kind::Softirqs, 40);
}

#[test]
fn hardirqs_that_interrupt_softirqs() {
    many(Kind::Interrupts, 50);
}

#[test]
fn choices_of_data() {
    many(Kind::Choices, 40);
}

#[test]
fn events_that_an_oracle_relates_between_plain_steps() {
    many(Kind::Events, 40);
}

#[test]
fn runs_that_a_panic_ends() {
    sched::install_panic_hook();
    many(Kind::Ends, 40);
}

#[test]
fn everything_together() {
    sched::install_panic_hook();
    many(Kind::All, 60);
}
