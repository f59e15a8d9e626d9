//! What differs between kernel versions: a [`Behaviour`] is none of the bugs of `quirks.rs`, but how a release does it.

use bitflags::bitflags;

bitflags! {
    /// Differences from 6.12. A machine is built with a preset.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Behaviour: u32 {
        /// A write to the huge zero page gives a huge page, inside one bracket; before it is split and one page copied.
        /// Since 6.13, `do_huge_zero_wp_pmd()`.
        const HUGE_ZERO_WRITE_ALLOCATES = 1;
        /// Pages of zeros that a split finds are mapped as the zero page. Since 6.13, `try_to_map_unused_to_zeropage()`.
        const SPLIT_UNUSED_TO_ZEROPAGE = 1 << 1;
        /// A page of a huge page that only this address space maps is written without a copy. Since 6.15,
        /// `__wp_can_reuse_large_anon_folio()`.
        const REUSES_LARGE_ANON = 1 << 2;
    }
}

impl Behaviour {
    /// Linux 6.12: what callbacks were recorded on.
    pub const V6_12: Behaviour = Behaviour::empty();
    /// Linux 6.18: what system calls were recorded on.
    pub const V6_18: Behaviour = Behaviour::HUGE_ZERO_WRITE_ALLOCATES
        .union(Behaviour::SPLIT_UNUSED_TO_ZEROPAGE)
        .union(Behaviour::REUSES_LARGE_ANON);
}
