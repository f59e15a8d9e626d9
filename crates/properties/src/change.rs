//! What a change of a page-table entry takes away.

use mm_types::Pte;

/// A change that revokes translations of the page.
///
/// Not among them, with the kernel's reason: none, swap or migration entry to present (no translation existed);
/// read-only to writable (an older translation allows less, never more); accessed and dirty bits (aging has hooks of
/// its own, and write-back announces the write-protection that goes with cleaning).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Change {
    /// Present before, not any more.
    Cleared,
    /// Present before and after, another frame.
    Moved,
    /// The same frame, writable before, not any more.
    WriteProtected,
}

impl Change {
    pub(crate) fn of(old: Pte, new: Pte) -> Option<Change> {
        if !old.is_present() {
            None
        } else if !new.is_present() {
            Some(Change::Cleared)
        } else if old.pfn() != new.pfn() {
            Some(Change::Moved)
        } else if old.is_writable() && !new.is_writable() {
            Some(Change::WriteProtected)
        } else {
            None
        }
    }

    /// Whether reads stay legal.
    pub(crate) fn writes_only(self) -> bool {
        self == Change::WriteProtected
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Change::Cleared => "cleared",
            Change::Moved => "pointed at another frame",
            Change::WriteProtected => "write-protected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mm_types::Pfn;

    #[test]
    fn only_what_takes_something_away_counts() {
        let r = Pte::present(Pfn(7));
        let w = r.with_write(true);
        let cases = [
            (w, Pte::NONE, Some(Change::Cleared)),
            (r, Pte::swap(3), Some(Change::Cleared)),
            (r, Pte::migration(Pfn(7)), Some(Change::Cleared)),
            (w, Pte::present(Pfn(8)).with_write(true), Some(Change::Moved)),
            (w, Pte::present(Pfn(8)), Some(Change::Moved)),
            (w, r, Some(Change::WriteProtected)),
            (r, w, None),
            (w.with_dirty(true), w, None),
            (w, w.with_young(false), None),
            (Pte::NONE, w, None),
            (Pte::swap(3), w, None),
            (Pte::swap(3), Pte::NONE, None),
            (Pte::migration(Pfn(7)), r, None),
        ];
        for (old, new, expect) in cases {
            assert_eq!(Change::of(old, new), expect, "{old} -> {new}");
        }
    }
}
