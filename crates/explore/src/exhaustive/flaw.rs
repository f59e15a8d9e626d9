//! Ways for the reduction to be wrong.

/// A reduction wrong on purpose. They are there so that the comparison with all schedules has something to fail on: one that
/// passes with any of these compares nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Tasks that wait for an object when the run deadlocks race with nothing.
    ForgetsWhoWaits,
    /// Tasks that an interrupt keeps from going on when the run deadlocks race with nothing.
    ForgetsTheInterrupted,
    /// A step that need not be tried at a prefix is never tried after it either, whatever comes between.
    Oversleeps,
    /// A step that takes an object does not look behind the step that gave it back, which it cannot be put before.
    LooksBackOnce,
    /// A step that takes several objects is put wherever the first can be taken, and has no race for the others.
    OneObject,
    /// Of a choice other than which task runs, only one option is tried.
    OneOption,
}
