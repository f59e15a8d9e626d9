//! A scheduler whose run is asked for the trace it was.

use crate::brute::{TraceKey, key_of};
use sched::{ChoiceKind, Divergence, EndView, RunId, SchedView, Scheduler};

/// See the module.
pub(crate) struct Keyed<'a> {
    inner: &'a mut dyn Scheduler,
    keep: bool,
    /// Of the run that has ended, if it was to be kept.
    pub(crate) key: Option<TraceKey>,
}

impl<'a> Keyed<'a> {
    /// A key costs a sort of the run's steps: `keep` says whether anybody wants it.
    pub(crate) fn of(inner: &'a mut dyn Scheduler, keep: bool) -> Keyed<'a> {
        Keyed { inner, keep, key: None }
    }
}

impl Scheduler for Keyed<'_> {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.inner.next_task(now)
    }
    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        self.inner.choose(kind, options)
    }
    fn choose_in_step(&mut self, step: usize, kind: ChoiceKind, options: u32) -> u32 {
        self.inner.choose_in_step(step, kind, options)
    }
    fn divergence(&self) -> Option<Divergence> {
        self.inner.divergence()
    }
    fn keeps(&self, last: RunId) -> usize {
        self.inner.keeps(last)
    }
    fn wants_log(&self) -> bool {
        true
    }
    fn ended(&mut self, end: &EndView<'_>) {
        self.key = self.keep.then(|| key_of(end));
        self.inner.ended(end);
    }
}
