//! What page tables look like, in the letters of the recordings.

use crate::mm::Mm;
use crate::page_table::Pmd;
use mm_types::{Pte, PteKind, Vpn};

impl Mm {
    /// The entry of a page as one letter: `w` present and writable, `r` present read-only, `z` the zero page, `n` protnone, `u`
    /// write-protected for userfaultfd, `m` migration, `s` swap, `d` device-private, `e` device-exclusive, `p` hwpoison, `g` guard, `.`
    /// empty, `x` no table; of an entry that maps a huge page or a GiB the capital letter, `S` for what has none. No lock, no scheduling point.
    #[must_use]
    pub fn page_state(&self, vpn: Vpn) -> char {
        match self.tables.pmd(vpn) {
            Pmd::None => self.tables.pud(vpn).map_or('x', huge_letter),
            Pmd::Table(leaf) => letter(leaf.peek_now(vpn)),
            Pmd::Huge(pmd) => huge_letter(pmd),
        }
    }
}

fn huge_letter(pmd: Pte) -> char {
    match letter(pmd) {
        known @ ('w' | 'r' | 'z' | 'n' | 'm') => known.to_ascii_uppercase(),
        _ => 'S',
    }
}

fn letter(pte: Pte) -> char {
    match pte.kind() {
        PteKind::None => '.',
        PteKind::Present if pte.is_special() => 'z',
        PteKind::Present if pte.is_writable() => 'w',
        PteKind::Present if pte.is_uffd_wp() => 'u',
        PteKind::Present => 'r',
        PteKind::ProtNone { .. } => 'n',
        PteKind::Swap { .. } => 's',
        PteKind::Migration { .. } => 'm',
        PteKind::DevicePrivate { .. } => 'd',
        PteKind::DeviceExclusive { .. } => 'e',
        PteKind::HwPoison { .. } => 'p',
        PteKind::Guard => 'g',
    }
}
