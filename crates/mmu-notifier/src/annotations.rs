//! Where the lockdep maps are, how they are used: the questions this project exists to answer.

use bitflags::bitflags;

/// Which map surrounds `invalidate_range_start`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MapScope {
    /// No map at all: what lockdep learnt before 2019.
    None,
    /// One for all address spaces (6.12).
    #[default]
    Global,
    /// One instance for each address space, all of one class.
    PerMm,
    /// One class for each address space.
    PerMmClass,
}

/// Which map surrounds `invalidate_range_end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum EndMap {
    /// None.
    None,
    /// That of the start (6.12).
    #[default]
    Shared,
    /// One of its own, `mmu_notifier_invalidate_range_end`, with the scope of the start's.
    Own,
}

/// Which map surrounds the other callbacks: `release`, those that ask for accessed bits, and the secondary-TLB one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OtherMaps {
    /// None (6.12).
    #[default]
    None,
    /// That of the start. With `range_start` `None` it is none.
    Shared,
    /// One each, with the scope of the start's: `mmu_notifier_release`, `mmu_notifier_clear_young`,
    /// `mmu_notifier_arch_invalidate_secondary_tlbs`.
    Own,
}

/// When a map is entered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wrap {
    /// Also for an address space that nobody subscribed to.
    Always,
    /// Only when somebody ever subscribed (`mm_has_notifiers()`).
    Subscribed,
}

bitflags! {
    /// Where the order "reclaim, then notifier map" is taught without reclaim happening.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Prime: u8 {
        /// At each registration: `fs_reclaim` around the map (5.4 to 5.9).
        const REGISTRATION = 1;
        /// Inside `mm_take_all_locks`: every rmap lock before the map.
        const TAKE_ALL_LOCKS = 2;
        /// In `fs_reclaim_acquire`: every allocation that may reclaim touches the map (5.10 and later).
        const FS_RECLAIM = 4;
    }

    /// Which waiting operations of interval subscribers touch the map before they wait.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Touch: u8 {
        /// `mmu_interval_read_begin`.
        const READ_BEGIN = 1;
        /// `mmu_interval_notifier_remove`.
        const REMOVE = 2;
    }
}

/// What lockdep is told by the notifier framework.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Annotations {
    /// The map around starts.
    pub range_start: MapScope,
    /// The map around ends. `Shared` with `range_start` `None` is none.
    pub range_end: EndMap,
    /// When the start's map is entered.
    pub wrap_start: Wrap,
    /// When the end's map is entered.
    pub wrap_end: Wrap,
    /// Where the map is primed.
    pub prime: Prime,
    /// Who touches the map before waiting.
    pub touch: Touch,
    /// The maps around the callbacks that are neither start nor end. With one around `release`, an unregistration touches
    /// it: it calls `release` unless the exit of the mm did.
    pub other_callbacks: OtherMaps,
    /// Whether lockdep learns orders through the SRCU read sections around list callbacks. 6.12 does, as recursive
    /// reads; the default here does not (docs/adr/0002-srcu-sections-unchecked-by-default.md).
    pub srcu_checked: bool,
}

impl Default for Annotations {
    /// Linux 6.12, but for `srcu_checked`.
    fn default() -> Annotations {
        Annotations {
            range_start: MapScope::Global,
            range_end: EndMap::Shared,
            wrap_start: Wrap::Always,
            wrap_end: Wrap::Subscribed,
            prime: Prime::FS_RECLAIM,
            touch: Touch::READ_BEGIN.union(Touch::REMOVE),
            other_callbacks: OtherMaps::None,
            srcu_checked: false,
        }
    }
}
