//! What kernel code blocks on: spinlock, mutex, rw_semaphore, wait/wound mutex, RCU and SRCU, wait queue, completion, bare
//! lockdep maps, blocking allocations; and [`Kernel`], what all of them share.
//!
//! | type | here | Linux |
//! |---|---|---|
//! | [`Mutex`], [`SpinLock`], [`RwSem`] | `raw.rs`, `raw_rw.rs`, guards are `lock_api`'s | `struct mutex`, `spinlock_t`, `struct rw_semaphore` |
//! | [`LockNested`] | `nested.rs`, a lock taken under a subclass | `spin_lock_nested()`, `down_write_nested()` |
//! | [`SpinLockIrq`], [`Interrupt`] | `irq.rs`, handlers and keeping them away | `spin_lock_irqsave()`, `request_irq()` |
//! | [`LockMap`] | `map.rs` | `struct lockdep_map` without a lock |
//! | [`WwMutex`], [`WwAcquireCtx`] | `ww.rs` | `struct ww_mutex`, `struct ww_acquire_ctx` |
//! | [`rcu_read_lock`], [`synchronize_rcu`] | `rcu.rs`, `grace.rs` | the same, of three flavours |
//! | [`Srcu`] | `srcu.rs`, `grace.rs` | `struct srcu_struct` |
//! | [`WaitQueue`], [`Completion`] | `wait.rs` | `wait_queue_head_t`, `struct completion` |
//! | [`TrackedU64`] | `tracked.rs` | `READ_ONCE` / `WRITE_ONCE`, `smp_load_acquire()` / `smp_store_release()` of a shared word |
//! | [`smp_mb`], [`smp_wmb`], [`smp_rmb`], [`MemoryModel`] | `memory/` | the barriers, and how weak memory is |
//! | [`Kernel::might_alloc`], [`FsReclaim`] | `alloc.rs` | `might_alloc()`, `fs_reclaim_acquire()` |
//! | [`Kernel::might_sleep_at`], [`NonBlock`] | `context.rs` | `might_sleep()`, `non_block_start()` |
//!
//! [`recorded`] plays recorded operations on these, and compares what comes of them.
//!
//! # Two executors
//!
//! A lock is 16 bytes: class, state word, identity. The state machine is one for both executors; only *how a task waits*
//! differs, and that is decided where it waits: a coroutine of a [`Kernel`] is suspended; an OS thread, outside of any kernel
//! or inside one of its own ([`Threads`]), is parked (`parking_lot`). So no type parameter spreads, and the types are `Send +
//! Sync`.
//!
//! # Protocol of an acquisition
//!
//! 1. the sync point of the lock's class name; 2. lockdep's acquire, *before* waiting, so that an inversion is reported even
//!    by the task that then waits for ever (a trylock tells lockdep after it succeeded);
//! 3. scheduling point: "take the lock" can be chosen only while the lock can be taken (a writer of an `RwSem` that finds it
//!    taken queues first); 4. take it; 5. event `LockAcquired`.
//!
//! Release: scheduling point, lockdep's release, event, state word, who may now take it. While a run is torn down a release does step
//! "state word" only: nothing yields, emits or judges.
//!
//! The only ambient state is one thread-local *current* kernel (`current.rs`), since `lock(&self)` has no other way to it.

mod alloc;
mod class;
mod context;
mod current;
mod deadlock;
mod grace;
mod held;
mod irq;
mod kernel;
mod map;
mod memory;
mod names;
mod nested;
mod pins;
mod raw;
mod raw_rw;
mod rcu;
mod rcu_section;
pub mod recorded;
mod srcu;
mod stance;
mod steer;
mod stray;
mod task;
mod threads;
mod tracked;
mod wait;
mod ww;

pub use alloc::{AllocHook, FsReclaim, NoFsScope};
pub use class::{ClassIdx, LockClass};
pub use context::NonBlock;
pub use current::{current, with_current};
pub use held::HeldLock;
pub use irq::{Interrupt, IrqFlags, IrqGuard, IrqLine, SpinLockIrq};
pub use kernel::{Kernel, KernelConfig, LockReport};
pub use lockdep::Assertion;
pub use map::{LockMap, MapGuard};
pub use memory::{Barrier, MemoryModel, barrier, smp_mb, smp_rmb, smp_wmb};
pub use nested::{LockNested, NestedGuard};
pub use pins::{AtPoint, Pin};
pub use raw::{Mutex, MutexGuard, RawMutex, RawSpinLock, SpinLock, SpinLockGuard};
pub use raw_rw::{RawRwSem, RwSem, RwSemReadGuard, RwSemWriteGuard, try_read_seeing};
pub use rcu::{RcuFlavour, RcuReadGuard, rcu_read_lock, synchronize_rcu};
pub use rcu_section::RcuSection;
pub use sched::{ChoiceKind, Context, Op, Scheduler};
pub use srcu::{Srcu, SrcuReadGuard};
pub use stance::Stance;
pub use steer::{PageOptions, PagePick, Place, Steer, Takes};
pub use stray::StrayUnlock;
pub use threads::Threads;
pub use tracked::TrackedU64;
pub use wait::{Completion, WaitQueue};
pub use ww::{WwAcquireCtx, WwClass, WwGuard, WwMutex, WwPolicy};
