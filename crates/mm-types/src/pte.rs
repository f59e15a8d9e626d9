//! Page-table entries with real bits.

use crate::Pfn;
use std::fmt;

/// A leaf page-table entry, x86-64 bits: present 0, writable 1, user 2, accessed 5, dirty 6, global/protnone 8,
/// huge 7 (in a PMD entry), frame number 12..52. A non-present, non-zero entry is a swap or migration entry or a marker (type in bits 59..64, offset in
/// bits 12..52, so that all three forms print alike; Linux inverts the offset for L1TF, which has no effect here).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Pte(pub u64);

/// What an entry means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PteKind {
    /// No entry.
    None,
    /// Maps a frame.
    Present,
    /// Holds a frame that nobody may access (`PROT_NONE`): not present for the hardware.
    ProtNone {
        /// The frame it keeps.
        pfn: Pfn,
    },
    /// The page is in swap, in this slot.
    Swap {
        /// Slot number.
        slot: u64,
    },
    /// The page is being migrated; a fault waits.
    Migration {
        /// The frame it is leaving.
        pfn: Pfn,
    },
    /// A guard page: any access is a `SIGSEGV` (`PTE_MARKER_GUARD`).
    Guard,
    /// The page is in a device's private memory; a fault brings it back.
    DevicePrivate {
        /// The device's frame.
        pfn: Pfn,
    },
    /// A device has the page to itself; a fault takes it back.
    DeviceExclusive {
        /// The frame, which stays where it is.
        pfn: Pfn,
    },
    /// The page's memory failed; an access kills.
    HwPoison {
        /// The frame.
        pfn: Pfn,
    },
}

impl Pte {
    /// No entry.
    pub const NONE: Pte = Pte(0);
    /// The marker of a guard page.
    pub const GUARD: Pte = Pte(Self::TYPE_GUARD);
    const PRESENT: u64 = 1;
    const WRITE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const ACCESSED: u64 = 1 << 5;
    const DIRTY: u64 = 1 << 6;
    /// `_PAGE_PROTNONE`: the global bit of an entry that is not present.
    const PROTNONE: u64 = 1 << 8;
    /// Software bit 9, as Linux's `_PAGE_SPECIAL`: no page struct behind it (the zero page, PFN mappings).
    const SPECIAL: u64 = 1 << 9;
    /// `_PAGE_PSE`: an entry of a PMD table that maps 512 pages itself.
    const HUGE: u64 = 1 << 7;
    /// Software bit 10, as Linux's `_PAGE_UFFD_WP`: write-protected for userfaultfd.
    const UFFD_WP: u64 = 1 << 10;
    /// Software bit 11, as Linux's `_PAGE_SOFT_DIRTY`: written since somebody asked for that to be noticed. In every form.
    const SOFT_DIRTY: u64 = 1 << 11;
    /// What is known of the page and not of the frame: it goes along to swap, and to another frame or place.
    const MARKS: u64 = Self::UFFD_WP | Self::SOFT_DIRTY;
    const PFN_SHIFT: u32 = 12;
    const PFN_MASK: u64 = ((1 << 52) - 1) & !((1 << Self::PFN_SHIFT) - 1);
    const TYPE_SHIFT: u32 = 59;
    const TYPE_SWAP: u64 = 1 << Self::TYPE_SHIFT;
    const TYPE_MIGRATION: u64 = 2 << Self::TYPE_SHIFT;
    const TYPE_GUARD: u64 = 3 << Self::TYPE_SHIFT;
    const TYPE_DEVICE_PRIVATE: u64 = 4 << Self::TYPE_SHIFT;
    const TYPE_DEVICE_EXCLUSIVE: u64 = 5 << Self::TYPE_SHIFT;
    const TYPE_HWPOISON: u64 = 6 << Self::TYPE_SHIFT;
    const TYPE_MASK: u64 = !0 << Self::TYPE_SHIFT;

    /// A present user entry that maps `pfn`, accessed, not dirty, read-only.
    #[must_use]
    pub const fn present(pfn: Pfn) -> Pte {
        Pte(Self::PRESENT | Self::USER | Self::ACCESSED | (pfn.0 << Self::PFN_SHIFT))
    }

    /// A swap entry for `slot`.
    #[must_use]
    pub const fn swap(slot: u64) -> Pte {
        Pte(Self::TYPE_SWAP | (slot << Self::PFN_SHIFT))
    }

    /// A migration entry for the frame being left.
    #[must_use]
    pub const fn migration(pfn: Pfn) -> Pte {
        Pte(Self::TYPE_MIGRATION | (pfn.0 << Self::PFN_SHIFT))
    }

    /// The migration entry for the frame that this one holds; it keeps access, dirty and accessed bits, and both marks.
    #[must_use]
    pub const fn to_migration(self) -> Pte {
        let kept = Self::PFN_MASK | Self::WRITE | Self::ACCESSED | Self::DIRTY | Self::MARKS;
        Pte(Self::TYPE_MIGRATION | (self.0 & kept))
    }

    /// The present entry that a migration entry becomes, with the bits that it kept.
    #[must_use]
    pub const fn from_migration(self, pfn: Pfn) -> Pte {
        let kept = Self::WRITE | Self::ACCESSED | Self::DIRTY | Self::MARKS;
        Pte(Self::PRESENT | Self::USER | (self.0 & kept) | (pfn.0 << Self::PFN_SHIFT))
    }

    /// The entry of a page that is in a device's private memory; it keeps whether the page may be written.
    #[must_use]
    pub const fn device_private(pfn: Pfn, writable: bool) -> Pte {
        Pte(Self::TYPE_DEVICE_PRIVATE | (pfn.0 << Self::PFN_SHIFT)).with(Self::WRITE, writable)
    }

    /// The entry of a page that a device has to itself; it keeps whether the page may be written.
    #[must_use]
    pub const fn device_exclusive(pfn: Pfn, writable: bool) -> Pte {
        Pte(Self::TYPE_DEVICE_EXCLUSIVE | (pfn.0 << Self::PFN_SHIFT)).with(Self::WRITE, writable)
    }

    /// The entry of a page whose memory failed.
    #[must_use]
    pub const fn hwpoison(pfn: Pfn) -> Pte {
        Pte(Self::TYPE_HWPOISON | (pfn.0 << Self::PFN_SHIFT))
    }

    /// Whether a device, migration or exclusive entry is one for a page that may be written.
    #[must_use]
    pub const fn keeps_write(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// What it means.
    #[must_use]
    pub const fn kind(self) -> PteKind {
        let body = (self.0 & Self::PFN_MASK) >> Self::PFN_SHIFT;
        if self.0 & Self::PRESENT != 0 {
            PteKind::Present
        } else if self.0 & Self::PROTNONE != 0 {
            PteKind::ProtNone { pfn: Pfn(body) }
        } else if self.0 & Self::TYPE_MASK == Self::TYPE_SWAP {
            PteKind::Swap { slot: body }
        } else {
            match self.0 & Self::TYPE_MASK {
                Self::TYPE_MIGRATION => PteKind::Migration { pfn: Pfn(body) },
                Self::TYPE_GUARD => PteKind::Guard,
                Self::TYPE_DEVICE_PRIVATE => PteKind::DevicePrivate { pfn: Pfn(body) },
                Self::TYPE_DEVICE_EXCLUSIVE => PteKind::DeviceExclusive { pfn: Pfn(body) },
                Self::TYPE_HWPOISON => PteKind::HwPoison { pfn: Pfn(body) },
                _ => PteKind::None,
            }
        }
    }

    /// The frame of a present entry.
    #[must_use]
    pub const fn pfn(self) -> Option<Pfn> {
        if self.is_present() { Some(Pfn((self.0 & Self::PFN_MASK) >> Self::PFN_SHIFT)) } else { None }
    }

    /// The frame of a present entry, or of one kept under `PROT_NONE`.
    #[must_use]
    pub const fn mapped_pfn(self) -> Option<Pfn> {
        match self.kind() {
            PteKind::ProtNone { pfn } => Some(pfn),
            _ => self.pfn(),
        }
    }

    /// The same entry for another frame.
    #[must_use]
    pub const fn with_pfn(self, pfn: Pfn) -> Pte {
        Pte((self.0 & !Self::PFN_MASK) | (pfn.0 << Self::PFN_SHIFT))
    }

    /// The same frame, accessible to nobody (`PROT_NONE`) or present again. Only for entries that hold a frame.
    #[must_use]
    pub const fn with_protnone(self, on: bool) -> Pte {
        self.with(Self::PRESENT, !on).with(Self::PROTNONE, on)
    }

    /// Whether it maps a frame.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether there is no entry at all.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Present and writable.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::PRESENT | Self::WRITE) == (Self::PRESENT | Self::WRITE)
    }

    /// The dirty bit.
    #[must_use]
    pub const fn is_dirty(self) -> bool {
        self.0 & Self::DIRTY != 0
    }

    /// The accessed bit.
    #[must_use]
    pub const fn is_young(self) -> bool {
        self.0 & Self::ACCESSED != 0
    }

    /// No page struct behind it.
    #[must_use]
    pub const fn is_special(self) -> bool {
        self.0 & Self::SPECIAL != 0
    }

    /// A PMD entry that maps 512 pages.
    #[must_use]
    pub const fn is_huge(self) -> bool {
        self.0 & Self::HUGE != 0
    }

    /// The PMD entry that maps the 512 frames from this entry's on; or, with `false`, the entry of its first page.
    #[must_use]
    pub const fn with_huge(self, on: bool) -> Pte {
        self.with(Self::HUGE, on)
    }

    /// What maps page `index` of the 512 that this PMD entry maps, or of the 262,144 of a PUD entry: the entry a split gives
    /// it. All 512 pages of the huge zero page are the zero page.
    #[must_use]
    pub const fn subpage(self, index: u64) -> Pte {
        let pte = self.with_huge(false);
        if pte.is_special() { pte } else { Pte(pte.0 + (index << Self::PFN_SHIFT)) }
    }

    /// Write-protected for userfaultfd.
    #[must_use]
    pub const fn is_uffd_wp(self) -> bool {
        self.0 & Self::UFFD_WP != 0
    }

    /// With userfaultfd's write protection, which takes write access, or without it, which does not give it back.
    #[must_use]
    pub const fn with_uffd_wp(self, on: bool) -> Pte {
        if on { self.with(Self::WRITE, false).with(Self::UFFD_WP, true) } else { self.with(Self::UFFD_WP, false) }
    }

    /// Written, as far as software has noticed (`pte_soft_dirty()`, `pte_swp_soft_dirty()`).
    #[must_use]
    pub const fn is_soft_dirty(self) -> bool {
        self.0 & Self::SOFT_DIRTY != 0
    }

    /// With the mark of a page that was written, or without it.
    #[must_use]
    pub const fn with_soft_dirty(self, on: bool) -> Pte {
        self.with(Self::SOFT_DIRTY, on)
    }

    /// With the marks that another entry of the same page has, soft-dirty and userfaultfd's write protection. The latter
    /// takes write access.
    #[must_use]
    pub const fn with_marks_of(self, other: Pte) -> Pte {
        let pte = self.with_soft_dirty(other.is_soft_dirty() || self.is_soft_dirty());
        if other.is_uffd_wp() { pte.with_uffd_wp(true) } else { pte }
    }

    /// With the write bit set or cleared.
    #[must_use]
    pub const fn with_write(self, on: bool) -> Pte {
        self.with(Self::WRITE, on)
    }

    /// With the dirty bit set, and soft-dirty with it (`pte_mkdirty()`); or cleared, which leaves soft-dirty
    /// (`pte_mkclean()`).
    #[must_use]
    pub const fn with_dirty(self, on: bool) -> Pte {
        if on { self.with(Self::DIRTY | Self::SOFT_DIRTY, true) } else { self.with(Self::DIRTY, false) }
    }

    /// As a CPU leaves it after an access: it knows nothing of soft-dirty.
    #[must_use]
    pub const fn accessed(self, write: bool) -> Pte {
        Pte(self.0 | Self::ACCESSED | if write { Self::DIRTY } else { 0 })
    }

    /// With the accessed bit set or cleared.
    #[must_use]
    pub const fn with_young(self, on: bool) -> Pte {
        self.with(Self::ACCESSED, on)
    }

    /// With the special bit set or cleared.
    #[must_use]
    pub const fn with_special(self, on: bool) -> Pte {
        self.with(Self::SPECIAL, on)
    }

    const fn with(self, bit: u64, on: bool) -> Pte {
        if on { Pte(self.0 | bit) } else { Pte(self.0 & !bit) }
    }
}

impl fmt::Display for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            PteKind::None => f.write_str("none"),
            PteKind::Guard => f.write_str("guard"),
            PteKind::Swap { slot } => write!(f, "swap:{slot}"),
            PteKind::ProtNone { pfn } => write!(f, "{pfn}:n"),
            PteKind::Migration { pfn } => write!(f, "migration:{pfn}"),
            PteKind::DevicePrivate { pfn } => write!(f, "device:{pfn}"),
            PteKind::DeviceExclusive { pfn } => write!(f, "exclusive:{pfn}"),
            PteKind::HwPoison { pfn } => write!(f, "hwpoison:{pfn}"),
            PteKind::Present => {
                let pfn = (self.0 & Self::PFN_MASK) >> Self::PFN_SHIFT;
                let w = if self.is_writable() { 'w' } else { 'r' };
                write!(f, "{pfn}:{w}{}", if self.is_dirty() { "d" } else { "" })
            }
        }
    }
}

impl fmt::Debug for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pte({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_do_not_overlap() {
        let p = Pte::present(Pfn(7)).with_write(true).with_dirty(true);
        assert_eq!((p.kind(), p.pfn()), (PteKind::Present, Some(Pfn(7))));
        assert_eq!(Pte::swap(7).kind(), PteKind::Swap { slot: 7 });
        assert_eq!(Pte::migration(Pfn(7)).kind(), PteKind::Migration { pfn: Pfn(7) });
        assert_eq!(Pte::NONE.kind(), PteKind::None);
        assert_eq!(Pte::swap(0).kind(), PteKind::Swap { slot: 0 });
        assert!(!Pte::swap(3).is_writable() && Pte::swap(3).pfn().is_none());
        assert_eq!(p.to_string(), "7:wd");
        let moving = p.to_migration();
        assert_eq!((moving.kind(), moving.is_writable()), (PteKind::Migration { pfn: Pfn(7) }, false));
        assert_eq!(moving.from_migration(Pfn(8)), Pte::present(Pfn(8)).with_write(true).with_dirty(true));
        assert!(!moving.with_write(false).from_migration(Pfn(8)).is_writable());
        assert_eq!(p.with_protnone(true).to_migration().from_migration(Pfn(7)), p);
        let none = p.with_protnone(true);
        assert_eq!((none.kind(), none.pfn()), (PteKind::ProtNone { pfn: Pfn(7) }, None));
        assert_eq!((Pte::GUARD.kind(), Pte::GUARD.mapped_pfn(), Pte::GUARD.is_none()), (PteKind::Guard, None, false));
        let huge = Pte::present(Pfn(512)).with_write(true).with_huge(true);
        assert_eq!((huge.kind(), huge.is_huge(), huge.pfn()), (PteKind::Present, true, Some(Pfn(512))));
        assert_eq!(huge.subpage(5), Pte::present(Pfn(517)).with_write(true));
        assert_eq!(huge.with_protnone(true).subpage(1).mapped_pfn(), Some(Pfn(513)));
        assert_eq!((none.mapped_pfn(), none.with_protnone(false)), (Some(Pfn(7)), p));
    }

    #[test]
    fn what_software_has_noticed_goes_with_the_page() {
        let written = Pte::present(Pfn(7)).with_write(true).with_dirty(true);
        assert!(written.is_soft_dirty() && written.with_dirty(false).is_soft_dirty());
        let forgotten = written.with_soft_dirty(false);
        assert!(forgotten.is_dirty() && !forgotten.accessed(true).is_soft_dirty());
        assert!(written.to_migration().from_migration(Pfn(8)).is_soft_dirty());
        assert!(!forgotten.to_migration().from_migration(Pfn(8)).is_soft_dirty());
        let swapped = Pte::swap(3).with_marks_of(written.with_uffd_wp(true));
        assert_eq!((swapped.kind(), swapped.is_soft_dirty()), (PteKind::Swap { slot: 3 }, true));
        let back = Pte::present(Pfn(9)).with_write(true).with_marks_of(swapped);
        assert!(back.is_soft_dirty() && back.is_uffd_wp() && !back.is_writable());
        assert!(!Pte::present(Pfn(9)).with_marks_of(Pte::swap(3)).is_soft_dirty());
    }
}
