//! Simulated tasks as stackful coroutines under a deterministic scheduler.
//!
//! A [`Sched`] is the engine of one world. It owns the tasks, their stacks, the virtual clock and the list of
//! choices made so far (the [`Schedule`]). Who runs next is never decided here: every decision with more than one
//! option is handed to a [`Scheduler`] ([`RandomScheduler`], [`ReplayScheduler`], [`FirstScheduler`]) and recorded,
//! so that replaying the list replays the run.
//!
//! This crate knows no lock. Its neighbours above give it meaning: `ksync` builds locks, wait queues and SRCU from
//! [`Sched::visible`], [`Sched::acquire`], [`Sched::block`] and the `wake_*` methods; `explore` drives many runs.
//!
//! # Enabled
//!
//! A scheduler is offered a task only if the task's next operation can be performed. What can keep a task out: it waits to
//! be woken ([`Sched::block`]), or it stands before taking an object that others have ([`Sched::acquire`]). The engine
//! does not know why an object is taken; whoever takes or gives it back says so ([`Sched::set_availability`]). And while an
//! interrupt is on a task's CPU nothing else there can be chosen (`interrupt.rs`).
//!
//! # Protocol
//!
//! 1. *Setup context* ([`TaskId`](mm_types::TaskId) 0): build the world, [`Sched::spawn`] tasks. Nothing switches here:
//!    [`Sched::visible`] does nothing and [`Sched::block`] panics.
//! 2. [`Sched::run`] resumes one task at a time. A task calls [`Sched::visible`] *before* each operation that other
//!    tasks can observe. The decision is taken there, on the task's own stack; only if another task was chosen does
//!    it cost a switch.
//! 3. The run ends with an [`Outcome`]. Unless every task returned, [`Sched::tearing_down`] is set first and stays set
//!    until [`Sched::reset`]: parked tasks are unwound, their destructors run, and nothing in them switches, blocks or
//!    records any more.
//! 4. [`Sched::reset`] makes the engine as new, keeping stacks and arenas.
//!
//! ```text
//! task A                               engine (run)                 task B
//! visible(op): choose B, record
//! suspend  ------------------------->  resume B  ---------------->  ...
//!                                                                   block(obj): A is the only one runnable
//! performs op  <---------------------  resume A  <----------------  suspend
//! ```
//!
//! Two worlds may run one after the other on one thread, or side by side on two; not one inside a task of the other.

mod availability;
mod choice;
mod clock;
mod config;
mod engine;
mod interrupt;
mod kept;
mod log;
mod op;
mod outcome;
mod panic_hook;
mod run;
mod schedule;
mod scheduler;
mod schedulers;
mod stack;
mod task;
mod text;
mod wait;

pub use availability::Availability;
pub use choice::{Choice, ChoiceKind};
pub use config::Config;
pub use engine::Sched;
pub use interrupt::{Context, Gate};
pub use log::{Effect, Picked, RunId, RunLog, Step, TASKS};
pub use op::{Access, Op};
pub use outcome::{Outcome, StopReason};
pub use panic_hook::install_panic_hook;
pub use schedule::{Schedule, ScheduleDecodeError};
pub use scheduler::{DIVERGED, Divergence, EndView, SchedView, Scheduler};
pub use schedulers::{FirstScheduler, RandomScheduler, ReplayScheduler};
pub use task::TaskState;
pub use text::ScheduleParseError;
pub use wait::Woken;
