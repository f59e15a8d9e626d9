//! Reports as values: what was found, in typed parts. `text.rs` lays them out.

use core::fmt;

use serde::{Serialize, Serializer};

use crate::acquire::{Acquire, Read, Site};
use crate::class::Class;
use crate::graph::EdgeKind;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// A lock of the same class is already held (`print_deadlock_bug()`).
    Recursive,
    /// A new dependency closes a strong cycle (`print_circular_bug()`).
    Circular,
    /// A lock is released that is not held (`print_unlock_imbalance_bug()`).
    UnlockBalance,
    /// A lock held shared is downgraded (`__lock_downgrade()`).
    ReadLockDowngraded,
}

impl ReportKind {
    /// The first line, as the kernel prints it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Recursive => "WARNING: possible recursive locking detected",
            Self::Circular => "WARNING: possible circular locking dependency detected",
            Self::UnlockBalance => "WARNING: bad unlock balance detected!",
            Self::ReadLockDowngraded => "WARNING: downgrading a read lock",
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
        let parts = steps.iter().flat_map(|step| [step.from.as_str(), step.kind.letters(), step.to.as_str()]);
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
    /// `file:line:column`.
    pub location: String,
    /// See [`Site::frame`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

impl From<Site> for SiteText {
    fn from(site: Site) -> Self {
        Self { location: site.location.to_string(), frame: site.frame.map(Into::into) }
    }
}

/// A class as printed: `(name){usage}-{outer:inner}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassText {
    /// With `/1` for subclass 1.
    pub name: String,
    /// Four characters, hardirq and softirq, each as writer and as reader: `.` neither, `+` taken with them enabled.
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

/// Which irq-enabled usages of a class were seen in a run.
///
/// Only task context exists so far, with interrupts enabled, so a checked lock is used with both kinds enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    write: bool,
    read: bool,
}

impl Usage {
    /// Adds what taking a lock this way in task context means. Linux: `mark_usage()`.
    pub(crate) fn mark(&mut self, how: Acquire) {
        if how.check {
            self.write |= how.read == Read::Exclusive;
            self.read |= how.read != Read::Exclusive;
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |seen| if seen { '+' } else { '.' };
        let (w, r) = (sign(self.write), sign(self.read));
        write!(f, "{w}{r}{w}{r}")
    }
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
    /// The first line, as the kernel prints it: `WARNING: possible circular locking dependency detected`.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.kind.title()
    }

    /// The cycle by names, where [`ReportId`] starts it; one step for recursion; empty for the other kinds.
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
        }
    }

    pub(crate) fn id(&self) -> ReportId {
        let kind = self.kind();
        match self {
            Self::Recursive { .. } | Self::Circular { .. } => ReportId::of_cycle(kind, &self.cycle()),
            Self::UnlockBalance { name } => ReportId::of_parts(kind, [name.as_str()].into_iter()),
            Self::ReadLockDowngraded { lock } => ReportId::of_parts(kind, [lock.class.name.as_str()].into_iter()),
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
            Self::UnlockBalance { .. } | Self::ReadLockDowngraded { .. } => Vec::new(),
        }
    }
}

impl Dependency {
    fn step(&self) -> CycleStep {
        CycleStep { from: self.from.name.clone(), kind: self.kind, to: self.to.name.clone() }
    }
}
