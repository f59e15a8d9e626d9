//! Lock classes: what the graph's nodes are.
//!
//! A *class* is a rule ("every `mm->mmap_lock`"), an *instance* is one lock in memory. Orders are learnt per class, the
//! held stack stores instances. Two specifications that are equal in every field are the same class; a subclass is a
//! class of its own, printed with `/n` behind the name.

use core::fmt;
use core::hash::Hash;

use serde::Serialize;

/// The number of an interned class in one [`Lockdep`](crate::Lockdep).
///
/// Numbers follow the order of interning, which may differ between two executions: nothing that is printed or compared
/// across explorers depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub(crate) u32);

/// How deep a wait the lock is (`enum lockdep_wait_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
pub enum WaitType {
    /// Not checked: fake maps such as `fs_reclaim`. As `wait_outer`: the same as `wait_inner`.
    #[default]
    Unchecked = 0,
    /// Wait free: an RCU read section seen from outside.
    Free = 1,
    /// Spinning even under PREEMPT_RT: `raw_spinlock_t`.
    Spin = 2,
    /// Spinning, unless PREEMPT_RT makes it sleep: `spinlock_t`, `rwlock_t`, `local_lock_t`.
    Config = 3,
    /// Sleeping: mutex, rw_semaphore.
    Sleep = 4,
}

/// What kind of object the class belongs to (`enum lockdep_lock_type`); matters to irq searches, and
/// to what wait types allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
pub enum LockType {
    /// An ordinary lock.
    #[default]
    Normal = 0,
    /// A per-CPU `local_lock`.
    PerCpu = 1,
    /// Overrides the wait type without being a lock.
    WaitOverride = 2,
}

/// What makes a class: hand it to [`Lockdep::class`](crate::Lockdep::class).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassSpec<'a> {
    /// The kernel's name, such as `&mm->mmap_lock`.
    pub name: &'a str,
    /// 0 to 7 in the kernel; not limited here.
    pub subclass: u8,
    /// The context the holder is in afterwards.
    pub wait_inner: WaitType,
    /// What taking it needs; [`WaitType::Unchecked`] means "as `wait_inner`".
    pub wait_outer: WaitType,
    /// What kind of object it is.
    pub lock_type: LockType,
    /// The kernel's own lockdep does not see this class (the folio lock): left out when agreement is measured.
    pub ours: bool,
}

impl<'a> ClassSpec<'a> {
    /// Subclass 0, wait type unchecked, an ordinary lock that the kernel's lockdep sees too.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            subclass: 0,
            wait_inner: WaitType::Unchecked,
            wait_outer: WaitType::Unchecked,
            lock_type: LockType::Normal,
            ours: false,
        }
    }

    /// The same with another subclass.
    #[must_use]
    pub const fn subclass(mut self, subclass: u8) -> Self {
        self.subclass = subclass;
        self
    }

    /// The same with this inner wait type.
    #[must_use]
    pub const fn wait(mut self, inner: WaitType) -> Self {
        self.wait_inner = inner;
        self
    }

    /// The same with this outer wait type: what taking it needs, where that differs from `wait_inner` (RCU).
    #[must_use]
    pub const fn wait_outer(mut self, outer: WaitType) -> Self {
        self.wait_outer = outer;
        self
    }

    /// The same with another kind of object.
    #[must_use]
    pub const fn lock_type(mut self, lock_type: LockType) -> Self {
        self.lock_type = lock_type;
        self
    }

    /// The same, marked as a class the kernel's lockdep does not see.
    #[must_use]
    pub const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }
}

/// A class with its own name: the owned form of [`ClassSpec`].
///
/// The order is by name, then subclass, then the rest: the canonical numbering of [`ChainSet`](crate::ChainSet).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Class {
    /// See [`ClassSpec::name`].
    pub name: Box<str>,
    /// See [`ClassSpec::subclass`].
    pub subclass: u8,
    /// See [`ClassSpec::wait_inner`].
    pub wait_inner: WaitType,
    /// See [`ClassSpec::wait_outer`].
    pub wait_outer: WaitType,
    /// See [`ClassSpec::lock_type`].
    pub lock_type: LockType,
    /// See [`ClassSpec::ours`].
    pub ours: bool,
}

impl Class {
    /// The borrowed form.
    #[must_use]
    pub fn spec(&self) -> ClassSpec<'_> {
        ClassSpec {
            name: &self.name,
            subclass: self.subclass,
            wait_inner: self.wait_inner,
            wait_outer: self.wait_outer,
            lock_type: self.lock_type,
            ours: self.ours,
        }
    }
}

impl Class {
    /// Left out of irq searches, with all that is reached through it: a `local_lock` (one that spins for real, which the
    /// kernel warns of, is not), and what is no lock. Linux: `usage_skip()`.
    pub(crate) fn skipped_in_irq_searches(&self) -> bool {
        match self.lock_type {
            LockType::Normal => false,
            LockType::PerCpu => self.wait_inner >= WaitType::Config,
            LockType::WaitOverride => true,
        }
    }
}

impl From<&ClassSpec<'_>> for Class {
    fn from(spec: &ClassSpec<'_>) -> Self {
        Self {
            name: spec.name.into(),
            subclass: spec.subclass,
            wait_inner: spec.wait_inner,
            wait_outer: spec.wait_outer,
            lock_type: spec.lock_type,
            ours: spec.ours,
        }
    }
}

/// Both forms hash their fields in the same order, so that a lookup needs no owned name.
impl hashbrown::Equivalent<Class> for ClassSpec<'_> {
    fn equivalent(&self, class: &Class) -> bool {
        *self == class.spec()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.subclass {
            0 => Ok(()),
            n => write!(f, "/{n}"),
        }
    }
}
