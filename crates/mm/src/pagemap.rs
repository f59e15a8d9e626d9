//! What an address space has in its page tables, as /proc/PID/pagemap and /proc/kpageflags tell it.

use crate::frames::FrameFlags;
use crate::huge;
use crate::mm::Mm;
use crate::page_table::{PMD_PAGES, Pmd};
use mm_types::{PageRange, Pte, PteKind, Vpn};

/// What an entry holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageState {
    /// A page of private memory.
    Anon {
        /// Mapped once (the `exclusive` bit of pagemap).
        exclusive: bool,
        /// A part of a huge page, however that is mapped.
        huge: bool,
    },
    /// A page of a file, or of shared memory.
    File {
        /// Mapped once.
        exclusive: bool,
    },
    /// The zero page.
    Zero {
        /// By way of the huge zero page.
        huge: bool,
    },
    /// A guard page.
    Guard,
    /// A swap entry.
    Swap,
    /// A migration entry.
    Migration,
}

/// One page with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageView {
    /// Where.
    pub vpn: Vpn,
    /// What.
    pub state: PageState,
    /// What the page holds in its first word, if it is one and not the zero page.
    pub contents: Option<u64>,
}

impl Mm {
    /// The pages of `range` with an entry, lowest first, without a scheduling point: for tests and snapshots.
    #[must_use]
    pub fn pagemap(&self, range: PageRange) -> Vec<PageView> {
        let mut views = Vec::new();
        let mut rest = Some(range);
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            for vpn in part.iter() {
                let (pte, huge_pmd) = match &pmd {
                    Pmd::None => (Pte::NONE, false),
                    Pmd::Table(leaf) => (leaf.peek_now(vpn), false),
                    Pmd::Huge(pmd) => (huge::subpage(*pmd, vpn.0 % PMD_PAGES), true),
                };
                views.extend(self.view(vpn, pte, huge_pmd));
            }
            rest = PageRange::new(part.end(), range.end()).ok();
        }
        views
    }

    fn view(&self, vpn: Vpn, pte: Pte, huge_pmd: bool) -> Option<PageView> {
        let view = |state, contents| Some(PageView { vpn, state, contents });
        let pfn = match pte.kind() {
            PteKind::None => return None,
            PteKind::Guard => return view(PageState::Guard, None),
            PteKind::Swap { .. } => return view(PageState::Swap, None),
            PteKind::Migration { .. } => return view(PageState::Migration, None),
            // Shown as swap, with types of their own.
            PteKind::DevicePrivate { .. } | PteKind::DeviceExclusive { .. } | PteKind::HwPoison { .. } => {
                return view(PageState::Swap, None);
            }
            PteKind::Present | PteKind::ProtNone { .. } if pte.is_special() => {
                return view(PageState::Zero { huge: huge_pmd }, None);
            }
            PteKind::Present | PteKind::ProtNone { .. } => pte.mapped_pfn()?,
        };
        let frame = self.machine.frame(pfn);
        // Of a huge page that one entry maps, the kernel asks for the first page and says that of all (6.18).
        let asked = if huge_pmd { self.machine.frame(self.machine.head(pfn)) } else { frame };
        let exclusive = asked.mapcount == 1;
        let state = if frame.flags.contains(FrameFlags::ANON) {
            PageState::Anon { exclusive, huge: self.machine.is_huge(pfn) }
        } else {
            PageState::File { exclusive }
        };
        view(state, Some(self.machine.content(pfn).word(0)))
    }
}
