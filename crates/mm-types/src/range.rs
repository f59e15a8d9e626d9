//! Half-open, never empty ranges of pages.

use crate::{PAGE_SIZE, VirtAddr, Vpn};
use std::fmt;

/// Pages `[start, end)` of one address space. Never empty: construction refuses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageRange {
    start: Vpn,
    // invariant: start < end <= Vpn::MAX
    end: Vpn,
}

/// The two ends of a range that would have held no page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmptyRange {
    /// First page asked for.
    pub start: Vpn,
    /// End asked for (exclusive).
    pub end: Vpn,
}

impl fmt::Display for EmptyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "empty page range {}..{}", self.start.addr(), self.end.addr())
    }
}

impl std::error::Error for EmptyRange {}

/// Why a byte range is not a page range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeParseError {
    /// The start or the end is not a multiple of the page size; carries the address.
    Unaligned(VirtAddr),
    /// The end is not above the start.
    Empty(EmptyRange),
}

impl fmt::Display for RangeParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned(a) => write!(f, "{a} is not a multiple of the page size {PAGE_SIZE:#x}"),
            Self::Empty(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for RangeParseError {}

impl PageRange {
    /// The whole address space, `[0, ULONG_MAX)` as the kernel announces it.
    pub const ALL: PageRange = PageRange { start: Vpn(0), end: Vpn::MAX };

    /// Pages `[start, end)`.
    ///
    /// # Errors
    /// [`EmptyRange`] when `end <= start`, or `end` is above [`Vpn::MAX`].
    pub const fn new(start: Vpn, end: Vpn) -> Result<PageRange, EmptyRange> {
        if start.0 < end.0 && end.0 <= Vpn::MAX.0 {
            Ok(PageRange { start, end })
        } else {
            Err(EmptyRange { start, end })
        }
    }

    /// `nr_pages` pages from `start`; `None` when that is no page or runs past the address space.
    #[must_use]
    pub const fn with_len(start: Vpn, nr_pages: u64) -> Option<PageRange> {
        match start.checked_add(nr_pages) {
            Some(end) => match PageRange::new(start, end) {
                Ok(r) => Some(r),
                Err(_) => None,
            },
            None => None,
        }
    }

    /// The one page `vpn`.
    #[must_use]
    pub const fn page(vpn: Vpn) -> PageRange {
        PageRange { start: vpn, end: Vpn(vpn.0 + 1) }
    }

    /// Bytes `[start, end)`, both page aligned.
    ///
    /// # Errors
    /// [`RangeParseError`] names the end that is not aligned, or the empty range.
    pub const fn from_bytes(start: VirtAddr, end: VirtAddr) -> Result<PageRange, RangeParseError> {
        if !start.is_page_aligned() {
            return Err(RangeParseError::Unaligned(start));
        }
        if !end.is_page_aligned() {
            return Err(RangeParseError::Unaligned(end));
        }
        match PageRange::new(start.vpn(), end.vpn()) {
            Ok(r) => Ok(r),
            Err(e) => Err(RangeParseError::Empty(e)),
        }
    }

    /// First page.
    #[must_use]
    pub const fn start(self) -> Vpn {
        self.start
    }

    /// One past the last page.
    #[must_use]
    pub const fn end(self) -> Vpn {
        self.end
    }

    /// The last page.
    #[must_use]
    pub const fn last(self) -> Vpn {
        Vpn(self.end.0 - 1)
    }

    /// How many pages; at least 1.
    #[must_use]
    pub const fn nr_pages(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether `vpn` is inside.
    #[must_use]
    pub const fn contains(self, vpn: Vpn) -> bool {
        self.start.0 <= vpn.0 && vpn.0 < self.end.0
    }

    /// Whether every page of `other` is inside.
    #[must_use]
    pub const fn covers(self, other: PageRange) -> bool {
        self.start.0 <= other.start.0 && other.end.0 <= self.end.0
    }

    /// Whether any page is in both.
    #[must_use]
    pub const fn overlaps(self, other: PageRange) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// The pages in both, if any.
    #[must_use]
    pub fn intersect(self, other: PageRange) -> Option<PageRange> {
        PageRange::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }

    /// The pages in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Vpn> + Clone {
        (self.start.0..self.end.0).map(Vpn)
    }
}

impl fmt::Display for PageRange {
    /// As bytes: `[0x10000, 0x12000)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start.addr(), self.end.addr())
    }
}

impl fmt::Debug for PageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_unaligned_ranges_are_refused() {
        assert!(PageRange::new(Vpn(3), Vpn(3)).is_err());
        assert!(PageRange::new(Vpn(4), Vpn(3)).is_err());
        assert_eq!(
            PageRange::from_bytes(VirtAddr(0x1001), VirtAddr(0x2000)),
            Err(RangeParseError::Unaligned(VirtAddr(0x1001)))
        );
        assert!(PageRange::from_bytes(VirtAddr(0x2000), VirtAddr(0x2000)).is_err());
    }

    #[test]
    fn half_open_ranges_that_touch_do_not_overlap() {
        let a = PageRange::new(Vpn(1), Vpn(4)).unwrap();
        let b = PageRange::new(Vpn(4), Vpn(5)).unwrap();
        assert!(!a.overlaps(b));
        assert_eq!(a.intersect(b), None);
        assert!(a.overlaps(PageRange::page(Vpn(3))));
        assert!(PageRange::ALL.covers(a));
        assert_eq!(PageRange::ALL.to_string(), "[0x0, 0xffffffffffffffff)");
    }
}
