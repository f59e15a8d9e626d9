//! The bounds of a run.

/// Bounds and switches of a [`Sched`](crate::Sched).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Scheduling points after which a run ends with [`Outcome::MaxSteps`](crate::Outcome::MaxSteps). Default 1,000,000.
    pub max_steps: u64,
    /// Bytes of stack of each task; a guard page lies below. Default 128 KiB.
    pub stack_size: usize,
    /// Whether choices are recorded, so that [`Sched::schedule`](crate::Sched::schedule) can return them. Default true.
    pub record: bool,
    /// Whether stacks are painted before a task starts and inspected when it ends, for
    /// [`Sched::stack_high_water`](crate::Sched::stack_high_water). Writes the whole stack once a task. Default false.
    pub measure_stack: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { max_steps: 1_000_000, stack_size: 128 * 1024, record: true, measure_stack: false }
    }
}
