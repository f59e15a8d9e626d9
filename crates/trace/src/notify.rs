//! The notifier's part of the vocabulary.

use crate::SubId;
use mm_types::{MmId, ObjId, PageRange};
use std::fmt;

/// Why a range is invalidated: `enum mmu_notifier_event` (include/linux/mmu_notifier.h, 6.12), with the kernel's words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum NotifyEvent {
    /// The mapping goes away.
    Unmap,
    /// Entries are cleared, the mapping stays.
    Clear,
    /// `vma->vm_page_prot` changes.
    ProtectionVma,
    /// Single entries are write-protected.
    ProtectionPage,
    /// Soft-dirty bits are cleared.
    SoftDirty,
    /// The address space goes away (interval subscribers; list subscribers get `release`).
    Release,
    /// Pages move to or from a device.
    Migrate,
    /// Entries become device-exclusive.
    Exclusive,
}

impl NotifyEvent {
    /// The kernel's word without its prefix, as the recordings write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unmap => "UNMAP",
            Self::Clear => "CLEAR",
            Self::ProtectionVma => "PROTECTION_VMA",
            Self::ProtectionPage => "PROTECTION_PAGE",
            Self::SoftDirty => "SOFT_DIRTY",
            Self::Release => "RELEASE",
            Self::Migrate => "MIGRATE",
            Self::Exclusive => "EXCLUSIVE",
        }
    }
}

impl fmt::Display for NotifyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One start/end bracket: made by the task that opened it, numbered by that task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BracketId(pub ObjId);

/// What a start announces: `struct mmu_notifier_range`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NotifyRange {
    /// The notified address space.
    pub mm: MmId,
    /// The pages, half-open; an unbounded end is `ULONG_MAX`.
    pub pages: PageRange,
    /// The reason.
    pub event: NotifyEvent,
    /// Whether callbacks may sleep.
    pub blockable: bool,
    /// The device on whose behalf it happens, so that it can ignore its own doing (`range->owner`).
    pub owner: Option<ObjId>,
}

impl fmt::Display for NotifyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.mm, self.event, self.pages)?;
        if !self.blockable {
            f.write_str(" nonblock")?;
        }
        match self.owner {
            Some(owner) => write!(f, " owner {owner}"),
            None => Ok(()),
        }
    }
}

/// A callback of a subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Hook {
    /// `invalidate_range_start` of a list subscriber.
    RangeStart,
    /// `invalidate_range_end` of a list subscriber.
    RangeEnd,
    /// `invalidate` of an interval subscriber.
    Invalidate,
    /// `release`.
    Release,
    /// `arch_invalidate_secondary_tlbs`.
    SecondaryTlb,
    /// `clear_flush_young`.
    ClearFlushYoung,
    /// `clear_young`.
    ClearYoung,
    /// `test_young`.
    TestYoung,
    /// `change_pte` of a list subscriber, up to 6.9.
    ChangePte,
}

impl Hook {
    /// The kernel's name of the callback.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RangeStart => "invalidate_range_start",
            Self::RangeEnd => "invalidate_range_end",
            Self::Invalidate => "invalidate",
            Self::Release => "release",
            Self::SecondaryTlb => "arch_invalidate_secondary_tlbs",
            Self::ClearFlushYoung => "clear_flush_young",
            Self::ClearYoung => "clear_young",
            Self::TestYoung => "test_young",
            Self::ChangePte => "change_pte",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The two families of subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SubKind {
    /// `mmu_notifier_register`: told about the whole address space.
    List,
    /// `mmu_interval_notifier_insert`: told about its own range.
    Interval,
}

/// How a subscriber uses translations, declared when it registers. STALE is judged by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AccessModel {
    /// Mirrors the page table without holding pages: no use of a translation after the covering start returned.
    Mirror,
    /// Pins pages until told (i915, gntdev): the same duty, though a late access would still hit live memory.
    PinUntilInvalidate,
    /// Walks the CPU's page table with a TLB of its own: no use after the secondary hook for it returned.
    SecondaryTlb,
    /// Long-term pins: owes no revocation, only that pages live and data agree.
    LongTermPin,
}

impl AccessModel {
    /// The word a scenario or a report uses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::PinUntilInvalidate => "pin-until-invalidate",
            Self::SecondaryTlb => "secondary-tlb",
            Self::LongTermPin => "long-term-pin",
        }
    }
}

impl fmt::Display for SubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}
