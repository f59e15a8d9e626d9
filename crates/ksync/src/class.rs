//! Lock classes of a kernel: the name lockdep prints, the sort, the wait type.

use hashbrown::HashMap;
use lockdep::{ClassId, ClassSpec, WaitType};
use mm_types::Name;
use rustc_hash::FxBuildHasher;
use trace::LockKind;

/// A lock class of one [`Kernel`](crate::Kernel): an index into its table, so that a lock needs four bytes for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassIdx(pub(crate) u32);

impl ClassIdx {
    /// The class of locks that were built without one (`lock_api`'s `INIT`): lockdep does not hear of them.
    pub(crate) const ANONYMOUS: ClassIdx = ClassIdx(u32::MAX);
}

/// What a class is. Names are the kernel's: `&mm->mmap_lock`, `fs_reclaim`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockClass {
    /// The name lockdep prints.
    pub name: Name,
    /// Subclass, for nested annotations (`&mm->mmap_lock/1`).
    pub subclass: u8,
    /// The sort of lock.
    pub kind: LockKind,
    /// The kernel's own lockdep does not see this class.
    pub ours: bool,
    /// Inner and outer wait type, where they are not those of the sort.
    pub wait: Option<(WaitType, WaitType)>,
}

/// Classes by name and subclass: looked up, never iterated.
pub(crate) type ClassIndex = HashMap<(Name, u8), ClassIdx, FxBuildHasher>;

impl LockClass {
    /// Subclass 0, seen by the kernel's lockdep.
    #[must_use]
    pub fn new(name: &str, kind: LockKind) -> LockClass {
        LockClass::named(Name::new(name), kind)
    }

    /// As [`LockClass::new`], of a name that needs no looking up.
    #[must_use]
    pub const fn named(name: Name, kind: LockKind) -> LockClass {
        LockClass { name, subclass: 0, kind, ours: false, wait: None }
    }

    /// The same, marked as a class the kernel's lockdep does not see.
    #[must_use]
    pub fn ours(mut self) -> LockClass {
        self.ours = true;
        self
    }

    /// The same with another subclass.
    #[must_use]
    pub fn subclass(mut self, subclass: u8) -> LockClass {
        self.subclass = subclass;
        self
    }

    /// The same with wait types of its own: what the holder may wait for, and what taking it needs.
    #[must_use]
    pub fn wait(mut self, inner: WaitType, outer: WaitType) -> LockClass {
        self.wait = Some((inner, outer));
        self
    }

    pub(crate) fn spec(&self) -> ClassSpec<'static> {
        let of_kind = match self.kind {
            LockKind::RawSpin => (WaitType::Spin, WaitType::Unchecked),
            LockKind::Spin => (WaitType::Config, WaitType::Unchecked),
            LockKind::Mutex | LockKind::RwSem => (WaitType::Sleep, WaitType::Unchecked),
            LockKind::Rcu => (WaitType::Config, WaitType::Free),
            LockKind::Srcu | LockKind::Map => (WaitType::Unchecked, WaitType::Unchecked),
        };
        let (inner, outer) = self.wait.unwrap_or(of_kind);
        let spec = ClassSpec::new(self.name.as_str()).wait(inner).wait_outer(outer).subclass(self.subclass);
        if self.ours { spec.ours() } else { spec }
    }

    /// The name with its subclass, as events and reports print it.
    pub(crate) fn printed(&self) -> Name {
        if self.subclass == 0 { self.name } else { Name::new(&format!("{}/{}", self.name, self.subclass)) }
    }
}

/// A row of the kernel's class table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassRow {
    pub(crate) class: LockClass,
    pub(crate) printed: Name,
    pub(crate) id: ClassId,
}
