//! A scheduler that steers into a cycle: a task that holds one of its locks and stands before the next waits there until no
//! other can go on. So does a handler that is to interrupt a task, until that task holds one, and then the task.
//!
//! The idea is that of active testing (Joshi, Park, Sen, Naik, "A randomized dynamic program analysis technique for detecting
//! real deadlocks", PLDI 2009), with the other choices steered too: whoever holds a lock of a cycle that goes through
//! reclaim enters reclaim when it allocates, and any page may be its victim. The first try takes the plain course but for
//! that; the others differ in who goes first.

use super::ring::Ring;
use ksync::Stance;
use mm_types::{Name, TaskId};
use sched::{ChoiceKind, RandomScheduler, SchedView, Scheduler};
use trace::LockKind;

/// How a try orders the tasks that are not held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// The current one, else the one that comes first in an order of the try's own.
    Steady,
    /// The first in that order, whoever is running.
    Ranked,
    /// Any.
    Any,
}

pub(crate) struct Guide<'r> {
    ring: &'r Ring,
    style: Style,
    /// Whether nothing happens that the cycle does not call for.
    sober: bool,
    random: RandomScheduler,
    ranks: Vec<u32>,
    reclaim: Name,
}

impl<'r> Guide<'r> {
    /// Try number `nth` along `ring`.
    pub(crate) fn new(ring: &'r Ring, seed: u64, nth: u64) -> Guide<'r> {
        let style = match nth % 4 {
            0 | 1 => Style::Steady,
            2 => Style::Ranked,
            _ => Style::Any,
        };
        let ranks = if nth == 0 { (0..64).collect() } else { Vec::new() };
        let random = RandomScheduler::new(seed, nth);
        Guide { ring, style, sober: nth.is_multiple_of(2), random, ranks, reclaim: Name::new("fs_reclaim") }
    }

    fn rank(&mut self, task: TaskId) -> u32 {
        while self.ranks.len() <= task.0 as usize {
            let rank = self.below(1 << 30);
            self.ranks.push(rank);
        }
        self.ranks[task.0 as usize]
    }

    fn below(&mut self, options: u32) -> u32 {
        self.random.choose(ChoiceKind::Victim, options)
    }

    /// Whether it has a lock of the cycle that others may wait for.
    fn holds_one(&self, stance: &Stance) -> bool {
        let real = |kind| !matches!(kind, LockKind::Map | LockKind::Srcu);
        stance.holds.iter().any(|(lock, _)| real(lock.kind) && self.ring.has(lock.class))
    }

    /// Whether it would only lead away from the cycle if it went on now.
    fn at_the_brink(&self, task: TaskId, now: &SchedView<'_>) -> bool {
        if now.arrives_at(task).is_some() {
            return true;
        }
        let stance = stance(task);
        let wants_one = stance.wants.is_some_and(|(lock, _)| self.ring.has(lock.class));
        self.holds_one(&stance) && (wants_one || is_awaited(task, now))
    }

    /// Whether a handler stands before its arrival where somebody holds a lock of the cycle.
    fn would_interrupt(&self, handler: TaskId, now: &SchedView<'_>) -> bool {
        let cpu = now.arrives_at(handler);
        cpu.is_some_and(|cpu| now.on_cpu(cpu).any(|task| self.holds_one(&stance(task))))
    }
}

fn stance(task: TaskId) -> Stance {
    ksync::current(|k| k.stance(task))
}

/// Whether a handler is about to arrive where `task` is.
fn is_awaited(task: TaskId, now: &SchedView<'_>) -> bool {
    let cpus = now.runnable.iter().filter_map(|handler| now.arrives_at(*handler));
    cpus.into_iter().any(|cpu| now.on_cpu(cpu).any(|there| there == task))
}

impl Scheduler for Guide<'_> {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let all = || 0..now.runnable.len();
        let free: Vec<usize> = all().filter(|&at| !self.at_the_brink(now.runnable[at], now)).collect();
        let handlers = || all().filter(|&at| self.would_interrupt(now.runnable[at], now)).collect::<Vec<_>>();
        let among = [free, handlers()].into_iter().find(|some| !some.is_empty()).unwrap_or_else(|| all().collect());
        match self.style {
            Style::Steady if now.current_index().is_some_and(|at| among.contains(&at)) => {
                now.current_index().unwrap_or(0)
            }
            Style::Steady | Style::Ranked => {
                among.into_iter().min_by_key(|&at| (self.rank(now.runnable[at]), at)).unwrap_or(0)
            }
            Style::Any => among[self.below(among.len() as u32) as usize],
        }
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        match kind {
            ChoiceKind::EntersReclaim => {
                let stance = ksync::current(|k| k.stance(k.current_task()));
                let called_for = self.ring.has(self.reclaim) && self.holds_one(&stance);
                u32::from(called_for || (!self.sober && self.below(4) == 0))
            }
            ChoiceKind::Victim => self.below(options),
            // It may as well come in where it does harm.
            ChoiceKind::Interrupt | ChoiceKind::Timer => 1 + self.below(options - 1),
            _ if self.sober => 0,
            _ => {
                if self.below(4) == 0 {
                    self.below(options)
                } else {
                    0
                }
            }
        }
    }
}
