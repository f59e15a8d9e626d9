//! Why a page stays where it is that reclaim or compaction was asked for: for whoever asked, afterwards.

use crate::frames::FrameFlags;
use crate::mm::Mm;
use crate::obj::folio_lock_obj;
use mm_types::{ObjId, Pfn, Pte, PteKind, VmFlags, Vpn};
use std::fmt;

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pressure {
    /// The page's frame.
    Reclaim,
    /// That the page is in another frame.
    Compact,
}

/// What is in the way, as far as it can be told from the page: the most lasting first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// No entry maps it.
    NotMapped,
    /// Memory that neither takes, by name: the zero page, a device's.
    Never(&'static str),
    /// A device has pinned it (`pin_user_pages()`), so many times.
    Pinned(u32),
    /// Its mapping is locked (`mlock()`).
    Mlocked,
    /// Somebody has its folio lock.
    Locked(ObjId),
    /// Somebody holds so many references besides its mappings and caches.
    Held(u32),
    /// It would have to be written to swap, and there is no room.
    NoSwap,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NotMapped => f.write_str("is not mapped"),
            Obstacle::Never(what) => write!(f, "is {what}, which is neither reclaimed nor moved"),
            Obstacle::Pinned(1) => f.write_str("is pinned"),
            Obstacle::Pinned(pins) => write!(f, "is pinned {pins} times"),
            Obstacle::Mlocked => f.write_str("is locked in memory (mlock)"),
            Obstacle::Locked(_) => f.write_str("has its folio lock taken"),
            Obstacle::Held(1) => f.write_str("is held by a reference"),
            Obstacle::Held(references) => write!(f, "is held by {references} references"),
            Obstacle::NoSwap => f.write_str("has no room in swap to go to"),
        }
    }
}

impl Mm {
    /// What keeps the page at `vpn` from what was asked, with its frame; `None` when nothing does now, or it is gone already.
    /// No scheduling point: for reports.
    #[must_use]
    pub fn obstacle(&self, vpn: Vpn, asked: Pressure) -> Option<(Obstacle, Option<Pfn>)> {
        let pte = self.pte(vpn);
        let never = |what| Some((Obstacle::Never(what), None));
        let pfn = match pte.kind() {
            PteKind::Present | PteKind::ProtNone { .. } if pte.is_special() => return never("the zero page"),
            PteKind::Present | PteKind::ProtNone { .. } => pte.mapped_pfn()?,
            PteKind::Swap { .. } | PteKind::Migration { .. } => return None,
            PteKind::DevicePrivate { .. } => return never("in a device's private memory"),
            PteKind::DeviceExclusive { .. } => return never("a device's alone"),
            PteKind::HwPoison { .. } => return never("memory that failed"),
            PteKind::None | PteKind::Guard => return Some((Obstacle::NotMapped, None)),
        };
        self.obstacle_of_page(vpn, pte, pfn, asked).map(|obstacle| (obstacle, Some(pfn)))
    }

    fn obstacle_of_page(&self, vpn: Vpn, pte: Pte, pfn: Pfn, asked: Pressure) -> Option<Obstacle> {
        let machine = &self.machine;
        let frame = machine.frame(pfn);
        let kinds = [
            (FrameFlags::DAX, "a device's memory"),
            (FrameFlags::HUGETLB, "a page of hugetlb"),
            (FrameFlags::KSM, "a page that KSM shares"),
        ];
        if let Some((_, what)) = kinds.into_iter().find(|(flag, _)| frame.flags.contains(*flag)) {
            return Some(Obstacle::Never(what));
        }
        if frame.pins > 0 {
            return Some(Obstacle::Pinned(frame.pins));
        }
        let reclaim = asked == Pressure::Reclaim;
        let mlocked = self.find_vma(vpn).is_some_and(|vma| vma.flags().contains(VmFlags::LOCKED));
        if reclaim && mlocked {
            return Some(Obstacle::Mlocked);
        }
        let head = machine.head(pfn);
        if machine.is_folio_locked(head) {
            return Some(Obstacle::Locked(folio_lock_obj(head)));
        }
        let expected = machine.folio_mapcount(pfn) + machine.cache_refs(pfn);
        if !pte.is_huge() && frame.refcount > expected {
            return Some(Obstacle::Held(frame.refcount - expected));
        }
        let to_swap = frame.flags.contains(FrameFlags::ANON) && !frame.flags.contains(FrameFlags::SWAPCACHE);
        (reclaim && to_swap && !machine.has_free_swap()).then_some(Obstacle::NoSwap)
    }
}
