//! What all address spaces of one world share.

use crate::annotations::{Annotations, EndMap, MapScope, Prime};
use crate::quirks::Quirks;
use ksync::{Kernel, LockMap, Srcu};
use mm_types::MmId;
use std::sync::Arc;

const START_CLASS: &str = "mmu_notifier_invalidate_range_start";
const END_CLASS: &str = "mmu_notifier_invalidate_range_end";

/// The annotations of a world, its maps, and the SRCU domain (`srcu`) in which list callbacks run.
#[derive(Debug)]
pub struct Framework {
    annotations: Annotations,
    pub(crate) quirks: Quirks,
    /// Maps of [`MapScope::Global`]; with other scopes each address space has its own.
    global: Maps,
    pub(crate) srcu: Srcu,
}

/// The maps of one scope.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Maps {
    pub(crate) start: Option<LockMap>,
    pub(crate) end: Option<LockMap>,
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
        let global = match annotations.range_start {
            MapScope::Global => Maps::new(k, annotations.range_end, ""),
            MapScope::None | MapScope::PerMm | MapScope::PerMmClass => Maps::default(),
        };
        let primed = match annotations.range_start {
            MapScope::Global => global.start,
            MapScope::PerMm => Some(k.lock_map(START_CLASS)),
            MapScope::None | MapScope::PerMmClass => None,
        };
        k.set_prime(primed.filter(|_| annotations.prime.contains(Prime::FS_RECLAIM)));
        Arc::new(Framework { annotations, quirks, global, srcu: Srcu::new(k, "srcu", annotations.srcu_checked) })
    }

    /// The settings.
    #[must_use]
    pub fn annotations(&self) -> &Annotations {
        &self.annotations
    }

    /// The maps that brackets of `mm` enter.
    pub(crate) fn maps_of(&self, k: &Kernel, mm: MmId) -> Maps {
        match self.annotations.range_start {
            MapScope::None if self.annotations.range_end == EndMap::Own => {
                Maps { start: None, end: Some(k.lock_map(END_CLASS)) }
            }
            MapScope::None => Maps::default(),
            MapScope::Global => self.global,
            MapScope::PerMm => Maps::new(k, self.annotations.range_end, ""),
            MapScope::PerMmClass => Maps::new(k, self.annotations.range_end, &format!("/{mm}")),
        }
    }
}

impl Maps {
    fn new(k: &Kernel, end: EndMap, suffix: &str) -> Maps {
        let start = k.lock_map(&format!("{START_CLASS}{suffix}"));
        let end = match end {
            EndMap::None => None,
            EndMap::Shared => Some(start),
            EndMap::Own => Some(k.lock_map(&format!("{END_CLASS}{suffix}"))),
        };
        Maps { start: Some(start), end }
    }
}
