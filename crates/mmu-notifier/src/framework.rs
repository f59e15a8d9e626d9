//! What all address spaces of one world share.

use crate::annotations::{Annotations, EndMap, MapScope, OtherMaps, Prime};
use crate::behaviour::Behaviour;
use crate::quirks::Quirks;
use ksync::{Kernel, LockMap, Srcu};
use mm_types::MmId;
use std::sync::Arc;

const START_CLASS: &str = "mmu_notifier_invalidate_range_start";
const END_CLASS: &str = "mmu_notifier_invalidate_range_end";
const RELEASE_CLASS: &str = "mmu_notifier_release";
const YOUNG_CLASS: &str = "mmu_notifier_clear_young";
const SECONDARY_TLB_CLASS: &str = "mmu_notifier_arch_invalidate_secondary_tlbs";

/// The annotations of a world, its maps, and the SRCU domain (`srcu`) in which list callbacks run.
#[derive(Debug)]
pub struct Framework {
    annotations: Annotations,
    pub(crate) quirks: Quirks,
    pub(crate) behaviour: Behaviour,
    /// Maps of [`MapScope::Global`]; with other scopes each address space has its own.
    global: Maps,
    pub(crate) srcu: Srcu,
}

/// The maps of one scope.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Maps {
    pub(crate) start: Option<LockMap>,
    pub(crate) end: Option<LockMap>,
    pub(crate) release: Option<LockMap>,
    pub(crate) young: Option<LockMap>,
    pub(crate) secondary_tlb: Option<LockMap>,
}

impl Framework {
    /// The framework of a world, and its hook in reclaim (`Kernel::set_prime`): to be called once in a world's life, that
    /// is after each `Kernel::reset`.
    ///
    /// `Prime::FS_RECLAIM` takes the one global map. With [`MapScope::PerMm`] no address space is at hand when memory is
    /// allocated, so a further instance of the class is primed; with [`MapScope::PerMmClass`] there is no class to prime,
    /// and the setting has no effect: that is the price of such classes.
    #[must_use]
    pub fn new(k: &Kernel, annotations: Annotations) -> Arc<Framework> {
        Framework::with_quirks(k, annotations, Quirks::empty())
    }

    /// The same with bugs switched on.
    #[must_use]
    pub fn with_quirks(k: &Kernel, annotations: Annotations, quirks: Quirks) -> Arc<Framework> {
        Framework::of_version(k, annotations, quirks, Behaviour::empty())
    }

    /// The same of another version.
    #[must_use]
    pub fn of_version(k: &Kernel, annotations: Annotations, quirks: Quirks, behaviour: Behaviour) -> Arc<Framework> {
        let global = match annotations.range_start {
            MapScope::Global => Maps::new(k, &annotations, ""),
            MapScope::None | MapScope::PerMm | MapScope::PerMmClass => Maps::default(),
        };
        let primed = match annotations.range_start {
            MapScope::Global => global.start,
            MapScope::PerMm => Some(k.lock_map(START_CLASS)),
            MapScope::None | MapScope::PerMmClass => None,
        };
        k.set_prime(primed.filter(|_| annotations.prime.contains(Prime::FS_RECLAIM)));
        Arc::new(Framework {
            annotations,
            quirks,
            behaviour,
            global,
            srcu: Srcu::new(k, "srcu", annotations.srcu_checked),
        })
    }

    /// The settings.
    #[must_use]
    pub fn annotations(&self) -> &Annotations {
        &self.annotations
    }

    /// The maps that brackets of `mm` enter.
    pub(crate) fn maps_of(&self, k: &Kernel, mm: MmId) -> Maps {
        match self.annotations.range_start {
            MapScope::None | MapScope::PerMm => Maps::new(k, &self.annotations, ""),
            MapScope::Global => self.global,
            MapScope::PerMmClass => Maps::new(k, &self.annotations, &format!("/{mm}")),
        }
    }
}

impl Maps {
    fn new(k: &Kernel, annotations: &Annotations, suffix: &str) -> Maps {
        let map = |class: &str| Some(k.lock_map(&format!("{class}{suffix}")));
        let start = if annotations.range_start == MapScope::None { None } else { map(START_CLASS) };
        let end = match annotations.range_end {
            EndMap::None => None,
            EndMap::Shared => start,
            EndMap::Own => map(END_CLASS),
        };
        let other = |class: &str| match annotations.other_callbacks {
            OtherMaps::None => None,
            OtherMaps::Shared => start,
            OtherMaps::Own => map(class),
        };
        let (release, young, secondary_tlb) = (other(RELEASE_CLASS), other(YOUNG_CLASS), other(SECONDARY_TLB_CLASS));
        Maps { start, end, release, young, secondary_tlb }
    }
}
