//! Reports as values: what was found, in typed parts. `text.rs` lays them out.

use core::fmt;
use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::acquire::{Acquire, Site};
use crate::class::Class;
use crate::context::IrqState;
use crate::graph::EdgeKind;
use crate::usage::{IrqClass, Usage, UsageBit};

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReportKind {
    /// A lock of the same class is already held (`print_deadlock_bug()`).
    Recursive,
    /// A new dependency closes a strong cycle (`print_circular_bug()`).
    Circular,
    /// A lock is released that is not held (`print_unlock_imbalance_bug()`).
    UnlockBalance,
    /// A lock held shared is downgraded (`__lock_downgrade()`).
    ReadLockDowngraded,
    /// A class is used in a handler and where the handler can come in (`print_usage_bug()`).
    InconsistentState,
    /// The same through dependencies known before (`print_irq_inversion_bug()`).
    IrqInversion,
    /// The same through a new dependency (`print_bad_irq_dependency()`).
    IrqUnsafe,
    /// A lock needs a deeper wait than the context allows (`print_lock_invalid_wait_context()`).
    InvalidWaitContext,
    /// A lock's `nest_lock` is not held (`print_lock_nested_lock_not_held()`).
    NestedLockNotTaken,
    /// Memory is freed or initialised with a held lock in it (`print_freed_lock_bug()`).
    HeldLockFreed,
    /// A task ends, or is frozen, with locks held (`print_held_locks_bug()`).
    LocksHeldAtExit,
    /// A task returns to user space with locks held (`lockdep_sys_exit()`).
    LocksHeldInUserspace,
    /// Data under RCU used outside of its protection (`lockdep_rcu_suspicious()`): raised by the caller.
    SuspiciousRcu,
    /// A lock that is not held is waited on (`print_lock_contention_bug()`).
    BadContention,
    /// Pins: a pinned lock released, or a pin that does not fit (`lock_pin_lock()` and its kin).
    Pinned,
    /// `lockdep_assert_held()` and its kin.
    AssertionFailed,
    /// A condition that kernel code checks with `DEBUG_LOCKS_WARN_ON()`.
    DebugLocks,
}

impl ReportKind {
    /// The first line, as the kernel prints it; without the parts that differ between two reports of the kind
    /// ([`Report::first_line`] has them).
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Recursive => "WARNING: possible recursive locking detected",
            Self::Circular => "WARNING: possible circular locking dependency detected",
            Self::UnlockBalance => "WARNING: bad unlock balance detected!",
            Self::ReadLockDowngraded => "WARNING: downgrading a read lock",
            Self::InconsistentState => "WARNING: inconsistent lock state",
            Self::IrqInversion => "WARNING: possible irq lock inversion dependency detected",
            Self::IrqUnsafe => "WARNING: irq-safe -> irq-unsafe lock order detected",
            Self::InvalidWaitContext => "[ BUG: Invalid wait context ]",
            Self::NestedLockNotTaken => "WARNING: Nested lock was not taken",
            Self::HeldLockFreed => "WARNING: held lock freed!",
            Self::LocksHeldAtExit => "WARNING: still has locks held!",
            Self::LocksHeldInUserspace => "WARNING: lock held when returning to user space!",
            Self::SuspiciousRcu => "WARNING: suspicious RCU usage",
            Self::BadContention => "WARNING: bad contention detected!",
            Self::Pinned => "WARNING: pinned lock",
            Self::AssertionFailed => "WARNING: lock assertion failed",
            Self::DebugLocks => "DEBUG_LOCKS_WARN_ON",
        }
    }
}

/// The identity of a finding: a function of its kind and of class names and edge kinds, the same in every run, on every
/// machine. For a cycle it does not matter where the cycle was entered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportId(u64);

impl ReportId {
    /// Of a cycle in canonical rotation.
    pub(crate) fn of_cycle(kind: ReportKind, steps: &[CycleStep]) -> Self {
        let parts = steps.iter().flat_map(CycleStep::parts);
        Self::of_parts(kind, parts)
    }

    /// The number behind it.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Of anything else: its kind and the names in it.
    pub(crate) fn of_parts<'p>(kind: ReportKind, parts: impl Iterator<Item = &'p str>) -> Self {
        let mut hash = Fnv::new();
        hash.part(kind.title());
        parts.for_each(|part| hash.part(part));
        Self(hash.0)
    }
}

impl fmt::Display for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ReportId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// FNV-1a, 64 bits: an id must not change with a library's version, and need not resist anyone.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Hashes one part and an end mark, so that parts cannot run into each other.
    fn part(&mut self, part: &str) {
        for byte in part.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// One dependency of a cycle, by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CycleStep {
    /// What is held.
    pub from: String,
    /// How both are taken.
    pub kind: EdgeKind,
    /// What is taken.
    pub to: String,
}

impl CycleStep {
    pub(crate) fn parts(&self) -> [&str; 3] {
        [&self.from, self.kind.letters(), &self.to]
    }

    /// Rotates a cycle to its smallest form, so that it does not matter which dependency closed it.
    pub(crate) fn canonical(mut steps: Vec<Self>) -> Vec<Self> {
        let n = steps.len();
        let rotation = |start: usize| steps.iter().cycle().skip(start).take(n);
        let best = (0..n).min_by(|a, b| rotation(*a).cmp(rotation(*b))).unwrap_or(0);
        steps.rotate_left(best);
        steps
    }
}

/// A place as printed: `file:line:column`, and what asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteText {
    /// `file:line:column`, or the text of [`Site::of_text`].
    pub location: String,
    /// See [`Site::frame`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

impl SiteText {
    /// Of a state that was merged in without its place.
    pub(crate) fn unknown() -> Self {
        Self { location: "?".to_owned(), frame: None }
    }
}

impl From<Site> for SiteText {
    fn from(site: Site) -> Self {
        match site.as_text() {
            Some(place) => Self { location: place.to_owned(), frame: None },
            None => Self { location: site.location.to_string(), frame: site.frame.map(Into::into) },
        }
    }
}

/// A class as printed: `(name){usage}-{outer:inner}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassText {
    /// With `/1` for subclass 1.
    pub name: String,
    /// Four characters, hardirq and softirq, each as writer and as reader: `.` neither, `-` in irq, `+` with irqs enabled,
    /// `?` both.
    pub usage: String,
    /// The outer wait type; the inner one where none was given.
    pub wait_outer: u8,
    /// The inner wait type.
    pub wait_inner: u8,
    /// The kernel's lockdep does not see this class.
    pub ours: bool,
}

impl ClassText {
    pub(crate) fn new(class: &Class, usage: Usage) -> Self {
        let inner = class.wait_inner as u8;
        Self {
            name: class.to_string(),
            usage: usage.to_string(),
            wait_outer: match class.wait_outer as u8 {
                0 => inner,
                outer => outer,
            },
            wait_inner: inner,
            ours: class.ours,
        }
    }
}

/// A usage state and where the class first came into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageText {
    /// Which.
    pub bit: UsageBit,
    /// Where.
    pub at: SiteText,
}

/// A class with its whole past, as the dependency lists of irq reports print it (`print_lock_class_header()`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassHistory {
    /// The class.
    pub class: ClassText,
    /// How often it was taken.
    pub ops: u64,
    /// Its states, lowest first.
    pub usages: Vec<UsageText>,
    /// Where it was taken under the class before it in the list; for the first one where that makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquired_at: Option<SiteText>,
}

impl ClassHistory {
    /// Where the class came into a state.
    #[must_use]
    pub fn at(&self, bit: UsageBit) -> Option<&SiteText> {
        self.usages.iter().find(|usage| usage.bit == bit).map(|usage| &usage.at)
    }
}

/// The interrupt state of a task when it was noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IrqText {
    /// What is enabled and handled.
    pub state: IrqState,
    /// How often interrupts were switched.
    pub events: u32,
    /// The last time hardirqs were enabled, hardirqs disabled, softirqs enabled, softirqs disabled.
    pub last: [(u32, Option<SiteText>); 4],
}

/// A held or wanted lock as printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockText {
    /// Printed where the kernel prints an address.
    pub instance: u64,
    /// Its class.
    pub class: ClassText,
    /// How it was taken.
    pub how: Acquire,
    /// Where.
    pub at: SiteText,
    /// How many locks of the class the entry stands for.
    pub references: u32,
}

/// One dependency of a reported cycle, with the places that taught it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// What was held.
    pub from: ClassText,
    /// How both were taken.
    pub kind: EdgeKind,
    /// What was taken then.
    pub to: ClassText,
    /// Where `from` had been taken, the first time this was seen in the run.
    pub held_at: SiteText,
    /// Where `to` was taken then.
    pub taken_at: SiteText,
}

/// The part of a report that differs by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "detail", rename_all = "snake_case")]
pub enum Detail {
    /// [`ReportKind::Recursive`].
    Recursive {
        /// The lock being taken.
        next: LockText,
        /// The lock of its class that is held.
        prev: LockText,
    },
    /// [`ReportKind::Circular`].
    Circular {
        /// The lock being taken.
        next: LockText,
        /// The held lock it must not be taken under.
        prev: LockText,
        /// The cycle: first the new dependency `prev -> next`, then the known ones from `next` back to `prev`.
        cycle: Vec<Dependency>,
    },
    /// [`ReportKind::UnlockBalance`].
    UnlockBalance {
        /// The class's name, or the instance's number if the caller did not say the class.
        name: String,
    },
    /// [`ReportKind::ReadLockDowngraded`].
    ReadLockDowngraded {
        /// The lock as it was held.
        lock: LockText,
    },
    /// [`ReportKind::InconsistentState`].
    InconsistentState {
        /// The lock that is taken, or held while interrupts turn on.
        lock: LockText,
        /// The state its class was in.
        old: UsageBit,
        /// The state it comes into.
        new: UsageBit,
        /// Where the old state was registered.
        registered_at: Option<SiteText>,
        /// The task's interrupt state.
        irq: IrqText,
    },
    /// [`ReportKind::IrqInversion`].
    IrqInversion {
        /// The lock whose state changed.
        lock: LockText,
        /// The state it came into.
        new: UsageBit,
        /// The conflicting state at the other end.
        other_bit: UsageBit,
        /// Whether the other one is taken under it (else it is taken under the other one).
        forwards: bool,
        /// From the other end back to the lock.
        path: Vec<ClassHistory>,
        /// The dependencies between them, by names, outermost first.
        steps: Vec<CycleStep>,
    },
    /// [`ReportKind::IrqUnsafe`].
    IrqUnsafe {
        /// The lock being taken.
        next: LockText,
        /// The held lock.
        prev: LockText,
        /// The task's interrupt state.
        irq: IrqText,
        /// The state of the safe end.
        safe_bit: UsageBit,
        /// The state of the unsafe end.
        unsafe_bit: UsageBit,
        /// From the safe lock to the held one.
        safe: Vec<ClassHistory>,
        /// From the unsafe lock back to the wanted one.
        unsafe_: Vec<ClassHistory>,
        /// The dependencies from the safe end to the unsafe one, by names.
        steps: Vec<CycleStep>,
    },
    /// [`ReportKind::InvalidWaitContext`].
    InvalidWaitContext {
        /// The lock being taken.
        lock: LockText,
        /// What the context allows without any lock.
        context: u8,
    },
    /// [`ReportKind::NestedLockNotTaken`].
    NestedLockNotTaken {
        /// The lock being taken.
        lock: LockText,
        /// The name of the lock that should serialise it, if the caller said; else its number.
        nest_lock: String,
    },
    /// [`ReportKind::HeldLockFreed`].
    HeldLockFreed {
        /// The lock.
        lock: LockText,
        /// The memory, in instance numbers: first, and last inclusive.
        range: (u64, u64),
    },
    /// [`ReportKind::LocksHeldAtExit`].
    LocksHeldAtExit,
    /// [`ReportKind::LocksHeldInUserspace`].
    LocksHeldInUserspace,
    /// [`ReportKind::SuspiciousRcu`].
    SuspiciousRcu {
        /// What is wrong, in the words of the caller.
        what: String,
    },
    /// [`ReportKind::BadContention`].
    BadContention {
        /// The class's name.
        name: String,
    },
    /// [`ReportKind::Pinned`].
    Pinned {
        /// The kernel's words.
        what: &'static str,
        /// The name of the class, or the instance's number.
        name: String,
    },
    /// [`ReportKind::AssertionFailed`].
    AssertionFailed {
        /// The assertion in words.
        what: &'static str,
    },
    /// [`ReportKind::DebugLocks`].
    DebugLocks {
        /// `DEBUG_LOCKS_WARN_ON(condition)`.
        condition: &'static str,
    },
}

/// One thing found in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What kind.
    pub kind: ReportKind,
    /// Which one: equal for the same thing in any run.
    pub id: ReportId,
    /// The task that was noticed.
    pub comm: String,
    /// Its number.
    pub pid: u32,
    /// The call that was noticed.
    pub site: SiteText,
    /// What the task held then, outermost first, without the lock being taken.
    pub held: Vec<LockText>,
    /// The rest.
    pub detail: Detail,
}

impl Report {
    /// The first line, as the kernel prints it: `WARNING: possible circular locking dependency detected`. Without what
    /// differs from task to task; see [`Report::first_line`].
    #[must_use]
    pub fn title(&self) -> &'static str {
        match &self.detail {
            Detail::IrqUnsafe { safe_bit, .. } => match safe_bit.irq_class() {
                IrqClass::Hardirq => "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
                IrqClass::HardirqRead => "WARNING: HARDIRQ-READ-safe -> HARDIRQ-READ-unsafe lock order detected",
                IrqClass::Softirq => "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
                IrqClass::SoftirqRead => "WARNING: SOFTIRQ-READ-safe -> SOFTIRQ-READ-unsafe lock order detected",
            },
            Detail::DebugLocks { condition } => condition,
            Detail::Pinned { what, .. } => what,
            _ => self.kind.title(),
        }
    }

    /// The first line in full: with the task, or the place, where the kernel's has it.
    #[must_use]
    pub fn first_line(&self) -> Cow<'static, str> {
        match &self.detail {
            Detail::LocksHeldAtExit => Cow::Owned(format!("WARNING: {}/{} still has locks held!", self.comm, self.pid)),
            Detail::AssertionFailed { .. } => {
                Cow::Owned(format!("WARNING: PID: {} at {}", self.pid, self.site.location))
            }
            _ => Cow::Borrowed(self.title()),
        }
    }

    /// The dependencies it is about, by names: the cycle, where [`ReportId`] starts it; one step for recursion; the path
    /// from the irq-safe end to the irq-unsafe one; empty for the other kinds.
    #[must_use]
    pub fn cycle(&self) -> Vec<CycleStep> {
        self.detail.cycle()
    }
}

impl Detail {
    pub(crate) const fn kind(&self) -> ReportKind {
        match self {
            Self::Recursive { .. } => ReportKind::Recursive,
            Self::Circular { .. } => ReportKind::Circular,
            Self::UnlockBalance { .. } => ReportKind::UnlockBalance,
            Self::ReadLockDowngraded { .. } => ReportKind::ReadLockDowngraded,
            Self::InconsistentState { .. } => ReportKind::InconsistentState,
            Self::IrqInversion { .. } => ReportKind::IrqInversion,
            Self::IrqUnsafe { .. } => ReportKind::IrqUnsafe,
            Self::InvalidWaitContext { .. } => ReportKind::InvalidWaitContext,
            Self::NestedLockNotTaken { .. } => ReportKind::NestedLockNotTaken,
            Self::HeldLockFreed { .. } => ReportKind::HeldLockFreed,
            Self::LocksHeldAtExit => ReportKind::LocksHeldAtExit,
            Self::LocksHeldInUserspace => ReportKind::LocksHeldInUserspace,
            Self::SuspiciousRcu { .. } => ReportKind::SuspiciousRcu,
            Self::BadContention { .. } => ReportKind::BadContention,
            Self::Pinned { .. } => ReportKind::Pinned,
            Self::AssertionFailed { .. } => ReportKind::AssertionFailed,
            Self::DebugLocks { .. } => ReportKind::DebugLocks,
        }
    }

    /// `held` and `site` identify those kinds that are about a place rather than about classes.
    pub(crate) fn id(&self, held: &[LockText], site: &SiteText) -> ReportId {
        let kind = self.kind();
        let of = |parts: &[&str]| ReportId::of_parts(kind, parts.iter().copied());
        match self {
            Self::Recursive { .. } | Self::Circular { .. } => ReportId::of_cycle(kind, &self.cycle()),
            Self::UnlockBalance { name } | Self::BadContention { name } => of(&[name]),
            Self::ReadLockDowngraded { lock } | Self::HeldLockFreed { lock, .. } => of(&[&lock.class.name]),
            Self::InconsistentState { lock, old, new, .. } => of(&[&lock.class.name, old.name(), new.name()]),
            Self::IrqInversion { new, other_bit, steps, lock, .. } => {
                let mut parts = vec![lock.class.name.as_str(), new.name(), other_bit.name()];
                parts.extend(steps.iter().flat_map(CycleStep::parts));
                of(&parts)
            }
            Self::IrqUnsafe { safe_bit, unsafe_bit, steps, .. } => {
                let mut parts = vec![safe_bit.name(), unsafe_bit.name()];
                parts.extend(steps.iter().flat_map(CycleStep::parts));
                of(&parts)
            }
            Self::InvalidWaitContext { lock, context } => {
                let context = context.to_string();
                let mut parts = vec![lock.class.name.as_str(), &context];
                parts.extend(held.iter().map(|lock| lock.class.name.as_str()));
                of(&parts)
            }
            Self::NestedLockNotTaken { lock, nest_lock } => of(&[&lock.class.name, nest_lock]),
            Self::LocksHeldAtExit | Self::LocksHeldInUserspace => {
                of(&held.iter().map(|lock| lock.class.name.as_str()).collect::<Vec<_>>())
            }
            Self::SuspiciousRcu { what } => of(&[what, &site.location]),
            Self::Pinned { what, name } => of(&[what, name]),
            Self::AssertionFailed { what } => of(&[what, &site.location]),
            Self::DebugLocks { condition } => of(&[condition, &site.location]),
        }
    }

    fn cycle(&self) -> Vec<CycleStep> {
        match self {
            Self::Recursive { next, prev } => vec![CycleStep {
                from: prev.class.name.clone(),
                kind: EdgeKind::between(prev.how.read, next.how.read),
                to: next.class.name.clone(),
            }],
            Self::Circular { cycle, .. } => CycleStep::canonical(cycle.iter().map(Dependency::step).collect()),
            Self::IrqInversion { steps, .. } | Self::IrqUnsafe { steps, .. } => steps.clone(),
            _ => Vec::new(),
        }
    }
}

impl Dependency {
    fn step(&self) -> CycleStep {
        CycleStep { from: self.from.name.clone(), kind: self.kind, to: self.to.name.clone() }
    }
}
