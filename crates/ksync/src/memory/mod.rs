//! Weak memory for [`TrackedU64`](crate::TrackedU64): which values a load may see, and where a store takes its place.
//!
//! A setting of a [`Kernel`], off unless asked for: then every access sees the newest value, and a barrier is nothing. No
//! store is ever delayed and no load made early; instead a load may see a value that is not the newest, and which one is a
//! [choice](ChoiceKind::Load). Option 0 is the newest, so that a benign run is sequentially consistent. What a task has
//! seen so far, its *view*, says which values it can no longer miss.
//!
//! | | here | what it is |
//! |---|---|---|
//! | [`MemoryModel::Tso`] | `tso.rs` | one order of all stores, and each task somewhere in it |
//! | [`MemoryModel::Relaxed`] | `relaxed.rs` | an order of the stores to each word, and a view of each word |
//!
//! # Protocol
//!
//! Views are handed on by what orders accesses in the kernel: barriers, an acquire load of a release store, a lock from who
//! lets it go to who takes it next, a wake-up, an RCU grace period, the start of a task. The rules are those of Linux's
//! memory model (tools/memory-model, Linux 6.12) as far as docs/fidelity.md says. Everything that is not a tracked word
//! stays sequentially consistent, and orders nothing else.
//!
//! What an access may see depends on nothing but what came before it on the objects that it names: a load reads its word,
//! a store writes it, and where a model has an order of more than one word (the order of all stores, or of all full
//! barriers) whoever changes it or looks at it names that too. So exploration may swap whatever does not conflict.

mod relaxed;
mod tso;

use crate::current::with_current;
use crate::kernel::Kernel;
use mm_types::{ObjId, TaskId};
use relaxed::Relaxed;
use sched::{ChoiceKind, Op};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use tso::Tso;

/// The key space of the orders that a model has of more than one word.
const MEMORY: u8 = 0x7c;

/// How weak the memory is that tracked words are in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum MemoryModel {
    /// Sequentially consistent: a load sees the newest value.
    #[default]
    Sc,
    /// Total store order, that of x86: a load may come before an earlier store to another word, and nothing else is
    /// reordered.
    Tso,
    /// What Linux promises on every architecture, but for load buffering: a load never sees a store that comes after it.
    Relaxed,
}

/// A barrier of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barrier {
    /// `smp_mb()`
    Full,
    /// `smp_wmb()`
    Write,
    /// `smp_rmb()`
    Read,
}

/// What an access promises besides itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marked {
    /// `READ_ONCE()`, `WRITE_ONCE()`.
    Once,
    /// `smp_load_acquire()`, `smp_store_release()`.
    Ordered,
}

/// How a lock, or what else hands views on, is taken or let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// By one alone.
    Exclusive,
    /// With others, among whom it orders nothing.
    Shared,
}

/// `smp_mb()`: accesses before it are before accesses after it, for everybody. A scheduling point where memory is weak,
/// nothing elsewhere.
pub fn smp_mb() {
    barrier(Barrier::Full);
}

/// `smp_wmb()`: stores before it are before stores after it. Never a scheduling point.
pub fn smp_wmb() {
    barrier(Barrier::Write);
}

/// `smp_rmb()`: loads before it are before loads after it. Never a scheduling point.
pub fn smp_rmb() {
    barrier(Barrier::Read);
}

/// The barrier `which`, as the function of its name.
pub fn barrier(which: Barrier) {
    with_current(|k| {
        if let Some(k) = k {
            k.barrier(which);
        }
    });
}

/// A model that is not sequentially consistent: what there is of the words, and what each task has seen.
trait Weak {
    /// A task begins, having seen what `parent` has.
    fn spawn(&mut self, parent: TaskId, child: TaskId);
    /// How many values a load may see. `newest` is what the word holds, for one that was never accessed.
    fn load_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32;
    /// The value number `nth` of these, the newest first.
    fn load(&mut self, task: TaskId, word: ObjId, nth: u32, marked: Marked) -> u64;
    /// How many places in the order of the word's stores a store may take.
    fn store_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32;
    /// Stores at place number `nth` of these, the last first.
    fn store(&mut self, task: TaskId, word: ObjId, value: u64, nth: u32, marked: Marked);
    /// `atomic_add_return()` and its kin, between two full barriers: how many values it may find. The first barrier comes
    /// before it is asked.
    fn modify_options(&mut self, task: TaskId, word: ObjId, newest: u64) -> u32;
    /// Changes the value number `nth` of these, the newest first; the new one, which comes right after it.
    fn modify(&mut self, task: TaskId, word: ObjId, nth: u32, change: &dyn Fn(u64) -> u64) -> u64;
    fn barrier(&mut self, task: TaskId, which: Barrier);
    /// The task takes what others let go by [`Weak::release`], and sees what they had seen.
    fn acquire(&mut self, task: TaskId, object: ObjId, hold: Hold);
    fn release(&mut self, task: TaskId, object: ObjId, hold: Hold);
    /// What a store accesses besides its word.
    fn of_store(&self) -> Op;
    /// What a modification accesses besides its word.
    fn of_modify(&self) -> Op;
    /// What a full barrier accesses.
    fn of_full_barrier(&self) -> Op;
}

/// What a kernel keeps of its memory model.
#[derive(Default)]
pub(crate) struct Memory {
    /// Whether there is a model: all that an access in sequentially consistent memory looks at.
    is_weak: Cell<bool>,
    model: RefCell<Option<Box<dyn Weak>>>,
}

impl Memory {
    fn set(&self, model: MemoryModel) {
        let weak: Option<Box<dyn Weak>> = match model {
            MemoryModel::Sc => None,
            MemoryModel::Tso => Some(Box::<Tso>::default()),
            MemoryModel::Relaxed => Some(Box::<Relaxed>::default()),
        };
        self.is_weak.set(weak.is_some());
        *self.model.borrow_mut() = weak;
    }

    pub(crate) fn reset(&self) {
        if self.is_weak.get() {
            self.set(MemoryModel::Sc);
        }
    }

    #[cold]
    fn with<R>(&self, f: impl FnOnce(&mut dyn Weak) -> R) -> Option<R> {
        self.model.borrow_mut().as_mut().map(|model| f(&mut **model))
    }
}

impl Kernel {
    /// The memory model of the next run. Holds until [`Kernel::reset`], and is to be set after that, before the first word
    /// is accessed and the first task is spawned.
    pub fn set_memory_model(&self, model: MemoryModel) {
        self.memory.set(model);
    }

    /// Whether a load may see anything but the newest value.
    #[inline]
    pub(crate) fn has_weak_memory(&self) -> bool {
        self.memory.is_weak.get()
    }

    /// Tells the memory model of a task that was spawned by the current one.
    #[inline]
    pub(crate) fn memory_of_task(&self, child: TaskId) {
        if self.has_weak_memory() {
            self.memory.with(|m| m.spawn(self.current_task(), child));
        }
    }

    /// The current task has taken `object`.
    #[inline]
    pub(crate) fn memory_acquire(&self, object: ObjId, hold: Hold) {
        if self.has_weak_memory() {
            self.memory.with(|m| m.acquire(self.current_task(), object, hold));
        }
    }

    /// The current task lets `object` go.
    #[inline]
    pub(crate) fn memory_release(&self, object: ObjId, hold: Hold) {
        if self.has_weak_memory() {
            self.memory.with(|m| m.release(self.current_task(), object, hold));
        }
    }

    pub(crate) fn barrier(&self, which: Barrier) {
        if !self.has_weak_memory() || self.quiet() {
            return;
        }
        if which == Barrier::Full
            && let Some(op) = self.memory.with(|m| m.of_full_barrier())
        {
            self.visible(op.object, op.access);
        }
        self.barrier_now(which);
    }

    fn barrier_now(&self, which: Barrier) {
        self.memory.with(|m| m.barrier(self.current_task(), which));
    }

    pub(crate) fn weak_load(&self, word: ObjId, value: &AtomicU64, marked: Marked) -> u64 {
        if self.quiet() {
            return value.load(Ordering::Relaxed);
        }
        self.visible_read(word);
        let (task, newest) = (self.current_task(), value.load(Ordering::Relaxed));
        let options = self.memory.with(|m| m.load_options(task, word, newest)).unwrap_or(1);
        let nth = self.choose(ChoiceKind::Load, options);
        self.memory.with(|m| m.load(task, word, nth, marked)).unwrap_or(newest)
    }

    /// A load of the newest value by who cannot see another, or waits for it: no scheduling point and no choice.
    pub(crate) fn weak_peek(&self, word: ObjId, newest: u64) {
        let task = self.current_task();
        self.memory.with(|m| {
            m.load_options(task, word, newest);
            m.load(task, word, 0, Marked::Once);
        });
    }

    pub(crate) fn weak_store(&self, word: ObjId, value: &AtomicU64, to: u64, marked: Marked) {
        if self.quiet() {
            return value.store(to, Ordering::Relaxed);
        }
        self.visible_with(Op::write(word), self.memory.with(|m| m.of_store()));
        let (task, newest) = (self.current_task(), value.load(Ordering::Relaxed));
        let options = self.memory.with(|m| m.store_options(task, word, newest)).unwrap_or(1);
        let nth = self.choose(ChoiceKind::Store, options);
        self.memory.with(|m| m.store(task, word, to, nth, marked));
        if nth == 0 {
            value.store(to, Ordering::Relaxed);
        }
    }

    /// A store by who holds what the word is loaded under: no scheduling point and no choice.
    pub(crate) fn weak_poke(&self, word: ObjId, value: &AtomicU64, to: u64) {
        let (task, newest) = (self.current_task(), value.swap(to, Ordering::Relaxed));
        self.memory.with(|m| {
            m.store_options(task, word, newest);
            m.store(task, word, to, 0, Marked::Once);
        });
    }

    /// The new value.
    pub(crate) fn weak_modify(&self, word: ObjId, value: &AtomicU64, change: impl Fn(u64) -> u64) -> u64 {
        if self.quiet() {
            return change(value.update(Ordering::Relaxed, Ordering::Relaxed, &change));
        }
        self.visible_with(Op::write(word), self.memory.with(|m| m.of_modify()));
        self.barrier_now(Barrier::Full);
        let (task, newest) = (self.current_task(), value.load(Ordering::Relaxed));
        let options = self.memory.with(|m| m.modify_options(task, word, newest)).unwrap_or(1);
        let nth = self.choose(ChoiceKind::Load, options);
        let to = self.memory.with(|m| m.modify(task, word, nth, &change)).unwrap_or(newest);
        self.barrier_now(Barrier::Full);
        if nth == 0 {
            value.store(to, Ordering::Relaxed);
        }
        to
    }

    /// Scheduling point before an operation that accesses `more` as well.
    fn visible_with(&self, op: Op, more: Option<Op>) {
        if !self.quiet() {
            self.sched.visible_all(&[op, more.unwrap_or(Op::LOCAL)]);
        }
    }
}
