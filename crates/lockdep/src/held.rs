//! What one task holds, in the order it was taken.

use crate::acquire::{Acquire, LockKey, Read, Site};
use crate::chain::ChainId;
use crate::class::ClassId;
use crate::context::{Context, IrqState, IrqTrace};

/// One entry of a held stack.
///
/// invariant: at most 64 bytes, and `Copy`: pushing and popping one is all that a warm acquire and release store.
#[derive(Clone, Copy, Debug)]
pub struct HeldLock {
    pub(crate) instance: u64,
    /// The instance that serialises it; meaningless unless `key.nested()`.
    pub(crate) nest: u64,
    pub(crate) site: Site,
    pub(crate) key: LockKey,
    /// The chain that ends with this lock; the chain before it is the entry below's, unless the irq context changes.
    pub(crate) chain: ChainId,
    /// The class of that instance, or `NO_CLASS`.
    pub(crate) nest_class: u32,
    /// How many locks of the class are merged into this entry; 0 if it stands for one lock alone.
    pub(crate) references: u32,
    /// How many pins forbid its release.
    pub(crate) pins: u32,
}

const _: () = assert!(size_of::<HeldLock>() <= 64);

/// No class has this number.
pub(crate) const NO_CLASS: u32 = u32::MAX;

impl HeldLock {
    #[inline]
    pub(crate) const fn plain(key: LockKey, instance: u64, site: Site, chain: ChainId) -> Self {
        Self { instance, nest: 0, site, key, chain, nest_class: NO_CLASS, references: 0, pins: 0 }
    }

    #[inline]
    pub(crate) fn under(nest: Nest, key: LockKey, instance: u64, site: Site, chain: ChainId) -> Self {
        let nest_class = nest.class.map_or(NO_CLASS, |class| class.0);
        Self { nest: nest.instance, nest_class, ..Self::plain(key.with_nest(), instance, site, chain) }
    }

    /// What serialises it; meaningful only if `key.nested()`.
    pub(crate) fn nest(&self) -> Nest {
        Nest { instance: self.nest, class: (self.nest_class != NO_CLASS).then_some(ClassId(self.nest_class)) }
    }

    /// Whether the entry stands for this lock: it is the one, or locks of its class are merged into it
    /// (`match_held_lock()`).
    #[inline]
    pub(crate) fn matches(&self, instance: u64, class: Option<ClassId>) -> bool {
        self.instance == instance || self.references > 0 && class == Some(self.class())
    }

    /// The lock's class.
    #[must_use]
    pub fn class(&self) -> ClassId {
        self.key.class()
    }

    /// Which lock of that class.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Exclusive or shared.
    #[must_use]
    pub fn read(&self) -> Read {
        self.key.read()
    }

    /// Whether it was taken without waiting.
    #[must_use]
    pub fn trylock(&self) -> bool {
        self.key.trylock()
    }

    /// All of how it was taken.
    #[must_use]
    pub fn how(&self) -> Acquire {
        self.key.how()
    }

    /// The context it was taken in.
    #[must_use]
    pub fn context(&self) -> Context {
        self.key.context()
    }

    /// The instance of its `nest_lock`.
    #[must_use]
    pub fn nest_lock(&self) -> Option<u64> {
        self.key.nested().then_some(self.nest)
    }

    /// How many locks of its class, taken one inside the other under a `nest_lock`, this entry stands for.
    #[must_use]
    pub fn references(&self) -> u32 {
        self.references.max(1)
    }

    /// Where it was taken (after a downgrade: where that was).
    #[must_use]
    pub fn site(&self) -> Site {
        self.site
    }
}

/// The lock that serialises others of one class: `nest_lock` of `lock_acquire()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nest {
    /// Which lock.
    pub instance: u64,
    /// Its class, for the name in a report, and to find it among merged ones.
    pub class: Option<ClassId>,
}

/// The locks one task holds, outermost first, its interrupt state, and the name the task has in reports.
///
/// Owned by whoever owns the task and handed to each call of [`Run`](crate::Run): the validator itself knows no task.
#[derive(Clone, Debug)]
pub struct Held {
    pub(crate) locks: Vec<HeldLock>,
    /// The part of a [`LockKey`] that the interrupt state decides. invariant: `irq.key_bits()`.
    pub(crate) bits: u32,
    pub(crate) irq: IrqState,
    pub(crate) trace: IrqTrace,
    pub(crate) comm: String,
    pub(crate) pid: u32,
}

impl Held {
    /// An empty stack of the task `comm/pid`, in task context with interrupts enabled. Depth is not limited.
    #[must_use]
    pub fn new(comm: impl Into<String>, pid: u32) -> Self {
        Self {
            locks: Vec::with_capacity(8),
            bits: IrqState::TASK.key_bits(),
            irq: IrqState::TASK,
            trace: IrqTrace::default(),
            comm: comm.into(),
            pid,
        }
    }

    /// Forgets what is held and the interrupt state, keeping name and storage. For a task torn down or started again;
    /// reports nothing.
    pub fn reset(&mut self) {
        self.locks.clear();
        self.trace = IrqTrace::default();
        self.set_irq_state(IrqState::TASK);
    }

    /// Outermost first.
    #[must_use]
    pub fn locks(&self) -> &[HeldLock] {
        &self.locks
    }

    /// Whether this very lock is held (`lockdep_is_held()`).
    #[must_use]
    pub fn holds(&self, instance: u64) -> bool {
        self.locks.iter().any(|lock| lock.instance == instance)
    }

    /// The same where the class is known: also if the lock is merged into an entry of its class.
    #[must_use]
    pub fn holds_of(&self, class: ClassId, instance: u64) -> bool {
        self.locks.iter().any(|lock| lock.matches(instance, Some(class)))
    }

    /// Whether what serialises others is held, as far as that can be told without the graph: nothing on the way to it may
    /// be an entry that others were merged into without a `nest_lock` of its own.
    #[inline]
    pub(crate) fn holds_nest(&self, nest: Nest) -> bool {
        for held in &self.locks {
            if held.instance == nest.instance {
                return true;
            }
            if held.references > 0 {
                if !held.key.nested() {
                    return false;
                }
                if nest.class == Some(held.class()) {
                    return true;
                }
            }
        }
        false
    }

    /// The chain that taking a lock with this key continues: the innermost lock's, unless the irq context has changed.
    #[inline]
    pub(crate) fn parent(&self, key: LockKey) -> ChainId {
        match self.locks.last() {
            Some(lock) if lock.key.same_irq(key) => lock.chain,
            _ => ChainId::ROOT,
        }
    }

    /// The interrupt state.
    #[must_use]
    pub fn irq_state(&self) -> IrqState {
        self.irq
    }

    /// Sets the interrupt state without marking anything that is held: for a caller that starts in the middle.
    pub fn set_irq_state(&mut self, irq: IrqState) {
        self.irq = irq;
        self.bits = irq.key_bits();
    }

    /// The task's name.
    #[must_use]
    pub fn comm(&self) -> &str {
        &self.comm
    }

    /// The task's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}
