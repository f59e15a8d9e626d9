//! A lock-dependency validator after the kernel's: classes, maps, chains, reports as values.
//!
//! From which locks were held when which lock was taken, and in which interrupt context, it learns an order between lock
//! *classes*, and reports what can deadlock the moment the last piece of it is seen, whether or not anything ever blocked.
//! It knows no task, no lock and no memory manager: callers tell it what is taken and released, and hand it the held stack
//! of whoever does it. A *map* is what is taken: a class and an instance number. A *fake map* is one without a lock behind
//! it (`fs_reclaim`, `mmu_notifier_invalidate_range_start`): to the validator there is no difference.
//!
//! # Key types
//!
//! | type | what | belongs to |
//! |---|---|---|
//! | [`Lockdep`] | interned classes, verdicts per set of chains, the union over runs | an explorer; shared by its threads |
//! | [`Run`] | the graph, chains, counts and reports of one run | a world |
//! | [`SharedRun`], `Run<Attached>` | the same taught by several OS threads, and one thread's handle on it | a program |
//! | [`Held`] | the stack of held locks, and the interrupt state ([`IrqState`]) | a task |
//! | [`Verdict`], [`Report`] | what was found: a value, never a panic | |
//! | [`ChainSet`], [`Judgement`] | the chains of a run by names, and what is wrong with them | anyone; comparable across processes |
//! | [`recorded::Case`], [`recorded::Player`] | recorded operations with a kernel's verdicts, and what performs them | tests, `lockdep check` |
//! | [`kernel_trace::TraceJudge`] | the lock events of a running kernel, as trace-cmd and perf print them | `lockdep check` |
//!
//! # Protocol
//!
//! 1. [`Lockdep::class`] once per lock class; [`Run::new`] per world; [`Held::new`] per task.
//! 2. [`Run::acquire`] before waiting for a lock (after success, for a trylock), [`Run::release`] when letting go. Every
//!    call takes effect on the held stack, even one that reports. In any order: out-of-order release is legal.
//! 3. Where there are interrupts: [`Run::hardirqs_off`], [`Run::hardirq_enter`], [`Run::local_bh_disable`] and their
//!    counterparts, at every change. A caller that tells nothing is in task context with everything enabled.
//! 4. After the run: [`Run::reports`], [`Run::edges`], [`Run::chains`], and [`Run::merge`]; then [`Run::reset`] and
//!    [`Held::reset`] for the next. A held stack belongs to one run: stacks that are not reset bring chains along whose
//!    dependencies the new run has not learnt.
//! 5. When all runs are over, [`Lockdep::judge`] of [`Lockdep::merged`]: what is wrong with dependencies and usage states
//!    from different runs too. It depends on the set of chains only, so neither on the order of runs nor on which thread
//!    had which.
//!
//! # Rules
//!
//! As Linux 6.1 (`kernel/locking/lockdep.c`):
//!
//! | rule | here | Linux |
//! |---|---|---|
//! | same class held: reported, unless the new one is recursive and the held one shared, or a `nest_lock` serialises them | `core.rs` | `check_deadlock()` |
//! | dependencies from held locks outwards, through unchecked and tried locks, until one that was waited for, never past a change of irq context | `core.rs` | `check_prevs_add()` |
//! | nothing leads into a trylock or an unchecked lock, but both are in the chain | `core.rs` | `validate_chain()` |
//! | a cycle counts if it is strong: no `-(*R)->` followed by `-(S*)->` | `graph.rs`, `order.rs` | `check_noncircular()` |
//! | usage states: a class used in a handler and where the handler can come in | `usage.rs`, `core.rs` | `mark_lock()` |
//! | the same over a path, when a state is new and when a dependency is | `core.rs` | `check_usage_forwards()`, `check_irq_usage()` |
//! | a lock may not wait deeper than the strictest held one and the context allow | `core.rs` | `check_wait_context()` |
//! | a lock under a `nest_lock` is merged into an entry of its class right below | `run.rs` | `__lock_acquire()` |
//! | release stays in its irq context; of an inner lock it validates the rest again | `core.rs` | `reacquire_held_locks()` |
//! | freed memory, ends of tasks, pins, assertions, RCU | `checks.rs` | |
//! | wait/wound mutexes about themselves | [`ww`] | `ww_mutex_lock_acquired()` |
//!
//! Deviations, all on the louder side. The search is complete where the kernel's can lose a strong path behind a weak one.
//! It goes on after a report: a dependency that closed a cycle is kept like any other, and each distinct cycle (by names
//! and kinds) is reported once per run. There are no fixed tables. Kept although it loses dependencies: of chains that
//! differ in trylock, check, `nest_lock` or interrupt state alone, a run validates the first, since the kernel's chain key
//! holds none of them.
//!
//! # What it costs
//!
//! A warm acquire: one cache line of a 1024-entry direct-mapped cache (chain before, class, manner and context -> chain
//! after), a count, 64 bytes pushed. Everything the validator would check is a function of that key, so nothing else is
//! looked at. No lock, no allocation, no hashing of names, nothing shared is written; an attached thread reads one shared
//! word besides. A release of the innermost lock pops; of another, each lock above it costs one look into the cache.
//!
//! A new dependency: whether it closes a cycle is told by a topological order that is kept up (`order.rs`), whether it
//! joins an irq-safe class to an unsafe one by masks each class carries (`graph.rs`). Searches show a path that is known to
//! be there. `examples/cost.rs` measures all of it.

mod acquire;
mod chain;
mod checks;
mod class;
mod context;
mod core;
mod describe;
mod export;
mod front;
mod graph;
mod held;
mod irq;
mod judge;
pub mod kernel_trace;
mod mutant;
mod order;
mod proc;
pub mod recorded;
mod registry;
mod report;
mod run;
mod sites;
mod storage;
mod text;
mod usage;
pub mod ww;

pub use crate::core::Unregistered;
pub use acquire::{Acquire, Read, Site};
pub use chain::{ChainSet, Link, Taken};
pub use checks::{Assertion, Pin};
pub use class::{Class, ClassId, ClassSpec, LockType, WaitType};
pub use context::{Context, IrqState};
pub use export::{GraphClass, GraphEdge, GraphText};
pub use graph::EdgeKind;
pub use held::{Held, HeldLock, Nest};
pub use judge::{Finding, Judgement};
#[cfg(any(test, feature = "mutants"))]
pub use mutant::Mutant;
pub use proc::Stats;
pub use registry::Lockdep;
pub use report::{
    ClassHistory, ClassText, CycleStep, Dependency, Detail, IrqText, LockText, Report, ReportId, ReportKind, SiteText,
    UsageText,
};
pub use run::{Edge, Run, SharedRun, Verdict};
pub use storage::{Attached, Own, Storage};
pub use usage::{IrqClass, Usage, UsageBit};

// What the crate's tests outside of it share with those inside names the crate.
#[cfg(test)]
extern crate self as lockdep;
#[cfg(test)]
mod tests;
