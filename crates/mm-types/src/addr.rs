//! Addresses and page numbers.

use std::fmt;

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// First byte address that is not user space (x86-64, 4 levels: 47 bits less one guard page).
/// Source: `TASK_SIZE_MAX` in arch/x86/include/asm/page_64.h, 6.12.
pub const TASK_SIZE: u64 = (1 << 47) - PAGE_SIZE;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $hex:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// This number plus `n`, or `None` past `u64::MAX`.
            #[must_use]
            pub const fn checked_add(self, n: u64) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// This number plus `n`, stopping at `u64::MAX`.
            #[must_use]
            pub const fn saturating_add(self, n: u64) -> Self {
                Self(self.0.saturating_add(n))
            }
        }

        impl std::ops::Add<u64> for $name {
            type Output = Self;
            fn add(self, n: u64) -> Self {
                Self(self.0 + n)
            }
        }

        impl std::ops::Sub<u64> for $name {
            type Output = Self;
            fn sub(self, n: u64) -> Self {
                Self(self.0 - n)
            }
        }

        impl std::ops::Sub for $name {
            type Output = u64;
            fn sub(self, other: Self) -> u64 {
                self.0 - other.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if $hex { write!(f, "{:#x}", self.0) } else { write!(f, "{}", self.0) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

number! {
    /// A byte address in an address space.
    VirtAddr, true
}
number! {
    /// A virtual page number: an address divided by the page size.
    Vpn, true
}
number! {
    /// A physical page (frame) number.
    Pfn, false
}
number! {
    /// An offset into a file or object, in pages (the kernel's `pgoff_t`).
    Pgoff, false
}

impl VirtAddr {
    /// The page this address lies in.
    #[must_use]
    pub const fn vpn(self) -> Vpn {
        Vpn(self.0 >> PAGE_SHIFT)
    }

    /// Whether the address is the first byte of a page.
    #[must_use]
    pub const fn is_page_aligned(self) -> bool {
        self.0 & (PAGE_SIZE - 1) == 0
    }

    /// The byte offset inside its page.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// The next page boundary at or above, or `None` past the end of the address space.
    #[must_use]
    pub const fn page_align_up(self) -> Option<VirtAddr> {
        match self.0.checked_add(PAGE_SIZE - 1) {
            Some(v) => Some(VirtAddr(v & !(PAGE_SIZE - 1))),
            None => None,
        }
    }
}

impl Vpn {
    /// The first page number of the top of the address space: ranges that end at `ULONG_MAX` end here.
    pub const MAX: Vpn = Vpn(1 << (64 - PAGE_SHIFT));

    /// The first byte of the page. [`Vpn::MAX`] gives `ULONG_MAX`, as the kernel writes an unbounded end.
    #[must_use]
    pub const fn addr(self) -> VirtAddr {
        if self.0 >= Self::MAX.0 { VirtAddr(u64::MAX) } else { VirtAddr(self.0 << PAGE_SHIFT) }
    }
}
