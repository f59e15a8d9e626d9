//! Doing the same again.

use crate::{Choice, ChoiceKind, DIVERGED, Divergence, SchedView, Schedule, Scheduler};

/// Answers from a recorded [`Schedule`], and refuses to answer a question that the recording did not ask.
#[derive(Clone, Debug)]
pub struct ReplayScheduler {
    schedule: Schedule,
    next: usize,
    then_first: bool,
    divergence: Option<Divergence>,
}

impl ReplayScheduler {
    /// Replays `schedule` and diverges when it is exhausted.
    #[must_use]
    pub fn new(schedule: Schedule) -> ReplayScheduler {
        ReplayScheduler { schedule, next: 0, then_first: false, divergence: None }
    }

    /// Goes on after the end of the schedule as [`FirstScheduler`](crate::FirstScheduler) does.
    #[must_use]
    pub fn then_first(mut self) -> ReplayScheduler {
        self.then_first = true;
        self
    }

    /// Choices of the schedule that the run did not ask for. Not 0 after a run: it ended earlier than the recorded one.
    #[must_use]
    pub fn unused(&self) -> usize {
        self.schedule.0.len() - self.next
    }

    fn answer(&mut self, kind: ChoiceKind, options: u32, first: u32) -> Option<u32> {
        let Some(&choice) = self.schedule.0.get(self.next) else {
            if self.then_first {
                return Some(first);
            }
            return self.diverge(format!("the schedule ends here, but {} is asked", asked(kind, options)));
        };
        if choice.kind != kind || choice.options != options || choice.taken >= options {
            let Choice { kind: k, options: o, .. } = choice;
            return self.diverge(format!("recorded {}, asked {}", asked(k, o), asked(kind, options)));
        }
        self.next += 1;
        Some(choice.taken)
    }

    fn diverge(&mut self, why: String) -> Option<u32> {
        self.divergence.get_or_insert(Divergence { at: self.next, why });
        None
    }
}

fn asked(kind: ChoiceKind, options: u32) -> String {
    format!("{kind:?} of {options}")
}

impl Scheduler for ReplayScheduler {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let first = now.current_index().unwrap_or(0) as u32;
        match self.answer(ChoiceKind::Task, now.runnable.len() as u32, first) {
            Some(index) => index as usize,
            None => DIVERGED,
        }
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.answer(kind, options, 0).unwrap_or(u32::MAX)
    }

    fn divergence(&self) -> Option<Divergence> {
        self.divergence.clone()
    }
}
