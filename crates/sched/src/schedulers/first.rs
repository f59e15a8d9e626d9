//! The benign run.

use crate::{ChoiceKind, SchedView, Scheduler};

/// Runs the current task until it blocks or returns, then the runnable one with the lowest id; takes option 0 of
/// every other choice (nothing fails, nothing arrives). The one run in which nothing goes wrong.
#[derive(Clone, Copy, Default, Debug)]
pub struct FirstScheduler;

impl Scheduler for FirstScheduler {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        now.current_index().unwrap_or(0)
    }

    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        0
    }
}
