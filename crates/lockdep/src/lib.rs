//! A lock-dependency validator after the kernel's: classes, maps, chains, reports as values.
//!
//! From which locks were held when which lock was taken, it learns an order between lock *classes*, and reports a cycle
//! in that order the moment its last dependency is seen, whether or not anything ever blocked. It knows no task, no lock
//! and no memory manager: callers tell it what is taken and released, and hand it the held stack of whoever does it.
//! A *map* is what is taken: a class and an instance number. A *fake map* is one without a lock behind it
//! (`fs_reclaim`, `mmu_notifier_invalidate_range_start`): to the validator there is no difference.
//!
//! # Key types
//!
//! | type | what | belongs to |
//! |---|---|---|
//! | [`Lockdep`] | interned classes and chains, verdicts per set of chains, the union over runs | an explorer; shared by its threads |
//! | [`Run`] | the graph, chains, counts and reports of one run | a world |
//! | [`Held`] | the stack of held locks | a task |
//! | [`Verdict`], [`Report`] | what was found: a value, never a panic | |
//! | [`ChainSet`], [`Judgement`] | the chains of a run by names, and what is wrong with them | anyone; comparable across processes |
//!
//! # Protocol
//!
//! 1. [`Lockdep::class`] once per lock class; [`Run::new`] per world; [`Held::new`] per task.
//! 2. [`Run::acquire`] before waiting for a lock (after success, for a trylock), [`Run::release`] when letting go. Every
//!    call takes effect on the held stack, even one that reports. In any order: out-of-order release is legal.
//! 3. After the run: [`Run::reports`], [`Run::edges`], [`Run::chains`], and [`Run::merge`]; then [`Run::reset`] and
//!    [`Held::reset`] for the next. A held stack belongs to one run: stacks that are not reset bring chains along whose
//!    dependencies the new run has not learnt.
//! 4. When all runs are over, [`Lockdep::judge`] of [`Lockdep::merged`]: cycles whose dependencies come from different runs
//!    too. It depends on the set of chains only, so neither on the order of runs nor on which thread had which.
//!
//! # Rules
//!
//! As Linux 6.1 (`kernel/locking/lockdep.c`), in task context with interrupts enabled:
//!
//! | rule | here | Linux |
//! |---|---|---|
//! | same class held: reported, unless the new one is recursive and the held one shared | `rules.rs` | `check_deadlock()` |
//! | dependencies from held locks outwards, through unchecked and tried locks, until one that was waited for | `rules.rs` | `check_prevs_add()` |
//! | nothing leads into a trylock or an unchecked lock, but both are in the chain | `rules.rs` | `validate_chain()` |
//! | a cycle counts if it is strong: no `-(*R)->` followed by `-(S*)->` | `graph.rs` | `check_noncircular()` |
//! | release of an inner lock validates the rest again | `run.rs` | `reacquire_held_locks()` |
//!
//! Deviations, all on the louder side. The search is complete where the kernel's can lose a strong path behind a weak one.
//! It goes on after a report: a dependency that closed a cycle is kept like any other, and each distinct cycle (by names
//! and kinds) is reported once per run. There are no fixed tables. Kept although it loses dependencies: of chains that
//! differ in trylock or check alone, a run validates the first, since the kernel's chain key holds neither.
//!
//! Other irq contexts will cut chains (a context begins at the root again) and add to the key; `nest_lock` will add to the
//! key too. [`Acquire`] and the 32-bit key have room for both.
//!
//! # What a warm acquire costs
//!
//! One cache line of a 256-entry direct-mapped cache (chain before, class and manner -> chain after), one mark that this
//! run has met the chain, 40 bytes pushed. No lock, no allocation, no hashing of names, nothing shared is written. A
//! release of the innermost lock pops.

mod acquire;
mod chain;
mod checks;
mod class;
mod context;
mod core;
mod describe;
mod front;
mod graph;
mod held;
mod irq;
mod judge;
mod mutant;
mod order;
pub mod recorded;
mod registry;
mod report;
mod run;
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
pub use graph::EdgeKind;
pub use held::{Held, HeldLock, Nest};
pub use judge::{Finding, Judgement};
#[cfg(any(test, feature = "mutants"))]
pub use mutant::Mutant;
pub use registry::Lockdep;
pub use report::{
    ClassHistory, ClassText, CycleStep, Dependency, Detail, IrqText, LockText, Report, ReportId, ReportKind, SiteText,
    UsageText,
};
pub use run::{Edge, Run, SharedRun, Verdict};
pub use storage::{Attached, Own, Storage};
pub use usage::{IrqClass, Usage, UsageBit};
