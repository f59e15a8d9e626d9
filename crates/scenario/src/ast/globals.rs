//! `globals`: locks and words that belong to no device.

use super::{LockKind, LockMode, Name};
use crate::span::Spanned;
use crate::words::words;

/// One item of `globals { .. }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Global {
    /// `mutex NAME`, `spinlock NAME`, `rwsem NAME`
    Lock {
        /// Its name, and that of its class.
        name: Name,
        /// Its sort.
        kind: Spanned<LockKind>,
    },
    /// `word NAME [VALUE]`: a number that tasks load and store, each access visible to all.
    Word {
        /// Its name.
        name: Name,
        /// What it is at the start; 0 unless said.
        value: u64,
    },
}

impl Global {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Global::Lock { name, .. } | Global::Word { name, .. } => name,
        }
    }
}

/// A statement about globals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GlobalStatement<Body> {
    /// `with [read|write] LOCK { .. }`
    With {
        /// The lock.
        lock: Name,
        /// Present exactly for an rwsem.
        mode: Option<Spanned<LockMode>>,
        /// What is done under it.
        body: Body,
    },
    /// `load REGISTER WORD`, `smp_load_acquire REGISTER WORD`
    Load {
        /// The task's own number that becomes what the word is.
        register: Name,
        /// The word.
        word: Name,
        /// Whether it comes before everything that follows.
        acquire: bool,
    },
    /// `store WORD VALUE`, `smp_store_release WORD VALUE`
    Store {
        /// The word.
        word: Name,
        /// What it becomes.
        value: Spanned<Value>,
        /// Whether it comes after everything before it.
        release: bool,
    },
    /// `smp_mb`, `smp_wmb`, `smp_rmb`
    Barrier(Barrier),
    /// `add WORD VALUE`, atomically.
    Add {
        /// The word.
        word: Name,
        /// By how much it grows, modulo 2^64.
        value: Spanned<Value>,
    },
    /// `if REGISTER is VALUE { .. } [else { .. }]`
    If {
        /// What is asked.
        condition: Spanned<Condition>,
        /// Where it holds.
        then: Body,
        /// Where it does not.
        otherwise: Body,
    },
    /// `check REGISTER is VALUE`: a finding (CHECK) where it does not hold.
    Check {
        /// What should hold.
        condition: Spanned<Condition>,
    },
    /// `return`: ends the task.
    Return,
}

/// A number, or what a register holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Itself.
    Number(u64),
    /// 0 before the task's first load into it.
    Register(String),
}

/// A question about a register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Which.
    pub register: Name,
    /// How it is compared.
    pub relation: Relation,
    /// With what.
    pub value: Spanned<Value>,
}

words! {
    /// A memory barrier.
    pub enum Barrier {
        /// Of everything against everything.
        Full = "smp_mb",
        /// Of stores against stores.
        Write = "smp_wmb",
        /// Of loads against loads.
        Read = "smp_rmb",
    }

    /// How a register is compared.
    pub enum Relation {
        /// Equal.
        Is = "is",
        /// Unequal.
        Not = "not",
        /// Has a bit in common with: `has 1` is odd.
        Has = "has",
    }
}
