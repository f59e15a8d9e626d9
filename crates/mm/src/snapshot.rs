//! What page tables look like, in the letters of the recordings.

use crate::mm::Mm;
use crate::page_table::Pmd;
use mm_types::{Pte, PteKind, Vpn};

impl Mm {
    /// The entry of a page as one letter: `w` present and writable, `r` present read-only, `z` the zero page, `n` protnone, `u`
    /// write-protected for userfaultfd, `m` migration, `s` swap, `d` device-private, `e` device-exclusive, `p` hwpoison, `g` guard, `.`
    /// empty, `x` no table. No lock, no scheduling point.
    #[must_use]
    pub fn page_state(&self, vpn: Vpn) -> char {
        match self.tables.pmd(vpn) {
            Pmd::None => 'x',
            Pmd::Table(_) | Pmd::Huge(_) => letter(self.pte(vpn)),
        }
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
