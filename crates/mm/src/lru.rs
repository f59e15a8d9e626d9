//! Active and inactive lists, of anonymous pages and of those of files: which page goes when memory is short.
//!
//! ```text
//!   new ---> inactive ---------- not used ---------> reclaimed
//!             ^    ^ |
//!             |    | | used, the first time: marked, once more around
//!             |    +-+
//!  demoted    |      | used a second time, or by two at once; or locked (mlock)
//!             |      v
//!             +--- active
//! ```
//!
//! A page's list is in its flags: `ACTIVE`, and what it is. There are no links, since a frame has no room for them: a list is
//! walked in the order of frame numbers, which is that in which tasks first took them, from a hand that stays where the last
//! walk ended, so that a page that was looked at and kept is the last to be looked at again. A new page is where its frame is;
//! the kernel inserts it at the head of the list.
//! Adding a page so commutes with adding another: only a walk orders them ([`crate::obj::MachineObj::Lru`]).
//!
//! A walk is one call of reclaim. It sees the pages that were there when it began, moved between its lists as it goes.
//!
//! Not modelled: what refaults tell (`mm/workingset.c`) and so the costs that balance the two kinds, which are equal; a list of
//! unevictable pages: those of locked mappings are on the active lists, and found to be locked each time.
//!
//! Source: `shrink_lruvec()`, `get_scan_count()`, `shrink_active_list()`, `shrink_inactive_list()`, `folio_check_references()`,
//! `inactive_is_low()`, mm/vmscan.c; `folio_mark_accessed()`, mm/swap.c; 6.12.

use crate::alloc::SWAP_CLUSTER_MAX;
use crate::frames::{BLOCK_FRAMES, Frame, FrameFlags};
use crate::machine::Machine;
use crate::reclaim::is_reclaimable;
use crate::young::References;
use ksync::Kernel;
use mm_types::{Gfp, PAGE_SHIFT, Pfn};
use std::collections::VecDeque;

/// How much rather pages of files go than anonymous ones: 60 to 140. Source: `vm_swappiness`, mm/vmscan.c, 6.12.
const SWAPPINESS: u64 = 60;
const MAX_SWAPPINESS: u64 = 200;

/// `enum lru_list`, but for the unevictable one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lru {
    InactiveAnon,
    ActiveAnon,
    InactiveFile,
    ActiveFile,
}

impl Lru {
    /// In the order in which they are shrunk.
    const ALL: [Lru; 4] = [Lru::InactiveAnon, Lru::ActiveAnon, Lru::InactiveFile, Lru::ActiveFile];

    const fn of(file: bool, active: bool) -> Lru {
        match (file, active) {
            (false, false) => Lru::InactiveAnon,
            (false, true) => Lru::ActiveAnon,
            (true, false) => Lru::InactiveFile,
            (true, true) => Lru::ActiveFile,
        }
    }

    const fn is_file(self) -> bool {
        matches!(self, Lru::InactiveFile | Lru::ActiveFile)
    }

    const fn is_active(self) -> bool {
        matches!(self, Lru::ActiveAnon | Lru::ActiveFile)
    }
}

/// Where the next walk of each list begins.
pub(crate) type Hands = [Pfn; 4];

/// A page on a list, and of how many frames it is.
#[derive(Clone, Copy, Debug)]
struct Folio {
    pfn: Pfn,
    nr_pages: u64,
}

/// The lists during one call of reclaim, the next to be looked at first.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    folios: [VecDeque<Folio>; 4],
    /// In pages.
    sizes: [u64; 4],
    /// A pass passed active pages over, since there are inactive ones enough (`sc->skipped_deactivate`).
    pub(crate) skipped_deactivate: bool,
}

impl Lists {
    fn push(&mut self, lru: Lru, folio: Folio) {
        self.folios[lru as usize].push_back(folio);
        self.sizes[lru as usize] += folio.nr_pages;
    }

    fn pop(&mut self, lru: Lru) -> Option<Folio> {
        let folio = self.folios[lru as usize].pop_front()?;
        self.sizes[lru as usize] -= folio.nr_pages;
        Some(folio)
    }

    /// `inactive_is_low()`: below half of the two lists, or less of it where that is gigabytes.
    fn inactive_is_low(&self, file: bool) -> bool {
        let inactive = self.sizes[Lru::of(file, false) as usize];
        let active = self.sizes[Lru::of(file, true) as usize];
        let gb = (inactive + active) >> (30 - PAGE_SHIFT);
        let ratio = if gb > 0 { (10 * gb).isqrt() } else { 1 };
        inactive * ratio < active
    }
}

/// What is to become of an inactive page (`enum folio_references`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Reclaim,
    /// Unless it would have to be written.
    ReclaimClean,
    Keep,
    Activate,
}

impl Machine {
    /// The lists as they are, each from its hand on.
    pub(crate) fn lru_lists(&self) -> Lists {
        let hands = *self.lru_hands.lock();
        let (frames, is_in_memory) = (self.frames.lock(), self.is_in_memory());
        // `folio_is_file_lru()`: what needs no swap to go. Pages of memory files do, those that `MADV_FREE` was said of do not.
        let is_file_lru = |frame: &Frame| match frame.mapping {
            Some(inode) => !is_in_memory(inode),
            None => frame.flags.contains(FrameFlags::LAZYFREE),
        };
        let mut lists = Lists::default();
        let mut found: [Vec<Folio>; 4] = Default::default();
        for (pfn, frame) in frames.iter().filter(|(_, frame)| is_reclaimable(frame)) {
            let nr_pages = if frames.folio(pfn).is_some() { BLOCK_FRAMES } else { 1 };
            let lru = Lru::of(is_file_lru(frame), frame.flags.contains(FrameFlags::ACTIVE)) as usize;
            found[lru].push(Folio { pfn, nr_pages });
            lists.sizes[lru] += nr_pages;
        }
        for (lru, mut folios) in found.into_iter().enumerate() {
            // They come task by task; in the order of their numbers the first frames of each come before the second.
            folios.sort_by_key(|folio| folio.pfn);
            let at = folios.partition_point(|folio| folio.pfn <= hands[lru]);
            folios.rotate_left(at);
            lists.folios[lru] = VecDeque::from(folios);
        }
        lists
    }

    /// `shrink_lruvec()` at one priority, which says how much of each list is looked at: all at 0. Until `nr_pages` are freed;
    /// gives how many were. With `force`, active pages are demoted whether inactive ones are few or not.
    pub(crate) fn shrink_lruvec(
        &self,
        k: &Kernel,
        lists: &mut Lists,
        gfp: Gfp,
        priority: u32,
        nr_pages: u64,
        force: bool,
    ) -> u64 {
        let may_deactivate = [false, true].map(|file| force || lists.inactive_is_low(file));
        let mut nr = self.scan_count(lists, priority, may_deactivate);
        let mut freed = 0;
        while nr[0] + nr[2] + nr[3] > 0 && freed < nr_pages {
            for lru in Lru::ALL {
                let scan = nr[lru as usize].min(SWAP_CLUSTER_MAX);
                nr[lru as usize] -= scan;
                if !lru.is_active() {
                    freed += self.shrink_inactive_list(k, lists, lru, gfp, scan, nr_pages.saturating_sub(freed));
                } else if may_deactivate[usize::from(lru.is_file())] {
                    self.shrink_active_list(k, lists, lru, scan);
                } else {
                    lists.skipped_deactivate |= scan > 0;
                }
            }
        }
        // Even if there was no need to scan anonymous pages, some are aged.
        if self.config.swap_bytes > 0 && lists.inactive_is_low(false) {
            self.shrink_active_list(k, lists, Lru::ActiveAnon, SWAP_CLUSTER_MAX.min(lists.sizes[1]));
        }
        freed
    }

    /// `get_scan_count()`: pages of each list to look at.
    fn scan_count(&self, lists: &Lists, priority: u32, may_deactivate: [bool; 2]) -> [u64; 4] {
        let size = |lru: Lru| lists.sizes[lru as usize];
        let free = self.nr_free.load(std::sync::atomic::Ordering::Relaxed).max(0).unsigned_abs();
        let file = size(Lru::InactiveFile) + size(Lru::ActiveFile);
        let anon_waits = !may_deactivate[0] && size(Lru::InactiveAnon) >> priority > 0;
        let file_is_tiny = file + free <= self.watermarks.high.max(0).unsigned_abs() && anon_waits;
        let enough_file = size(Lru::InactiveFile) >> priority > 0 && !may_deactivate[1];
        // Of the anonymous pages, of those of files: so many parts of so many.
        let (anon_part, file_part, parts) = match () {
            () if !self.has_free_swap() => (0, 1, 1),
            () if priority == 0 => (1, 1, 1),
            () if file_is_tiny => (1, 0, 1),
            () if enough_file => (0, 1, 1),
            () => (SWAPPINESS, MAX_SWAPPINESS - SWAPPINESS, MAX_SWAPPINESS),
        };
        Lru::ALL.map(|lru| {
            let part = if lru.is_file() { file_part } else { anon_part };
            (size(lru) >> priority) * part / parts
        })
    }

    /// `shrink_active_list()`: looks at `nr_to_scan` pages; all but executable ones of files that were used become inactive.
    fn shrink_active_list(&self, k: &Kernel, lists: &mut Lists, lru: Lru, nr_to_scan: u64) {
        let mut scanned = 0;
        while scanned < nr_to_scan {
            let Some(folio) = self.next_folio(lists, lru) else { return };
            scanned += folio.nr_pages;
            let References { entries, executable, .. } = self.folio_referenced(k, folio.pfn);
            if entries > 0 && executable && lru.is_file() {
                lists.push(lru, folio);
                continue;
            }
            self.set_lru_flags(folio.pfn, |flags| flags - FrameFlags::ACTIVE);
            lists.push(Lru::of(lru.is_file(), false), folio);
        }
    }

    /// `shrink_inactive_list()` and what of `shrink_folio_list()` decides: looks at `nr_to_scan` pages, until `nr_pages` are freed.
    fn shrink_inactive_list(
        &self,
        k: &Kernel,
        lists: &mut Lists,
        lru: Lru,
        gfp: Gfp,
        nr_to_scan: u64,
        nr_pages: u64,
    ) -> u64 {
        self.with_unmap_batch(k, |batch| {
            let (mut scanned, mut freed) = (0, 0);
            while scanned < nr_to_scan && freed < nr_pages {
                let Some(folio) = self.next_folio(lists, lru) else { break };
                scanned += folio.nr_pages;
                let now = match self.check_references(k, folio.pfn, lru.is_file()) {
                    Verdict::Activate => {
                        self.set_lru_flags(folio.pfn, |flags| flags | FrameFlags::ACTIVE);
                        lists.push(Lru::of(lru.is_file(), true), folio);
                        continue;
                    }
                    Verdict::Keep => 0,
                    Verdict::ReclaimClean if self.frame(folio.pfn).flags.contains(FrameFlags::DIRTY) => 0,
                    Verdict::Reclaim | Verdict::ReclaimClean => self.reclaim_folio(k, folio.pfn, gfp, batch),
                };
                freed += now;
                if now == 0 {
                    lists.push(lru, folio);
                }
            }
            freed
        })
    }

    /// The page at the list's hand, which goes on; those that have gone since are passed over.
    fn next_folio(&self, lists: &mut Lists, lru: Lru) -> Option<Folio> {
        loop {
            let folio = lists.pop(lru)?;
            if is_reclaimable(&self.frame(folio.pfn)) {
                self.lru_hands.lock()[lru as usize] = folio.pfn;
                return Some(folio);
            }
        }
    }

    /// `folio_check_references()`.
    fn check_references(&self, k: &Kernel, pfn: Pfn, file: bool) -> Verdict {
        let References { entries, locked, executable } = self.folio_referenced(k, pfn);
        let marked = self.frame(pfn).flags.contains(FrameFlags::REFERENCED);
        self.set_lru_flags(pfn, |flags| flags - FrameFlags::REFERENCED);
        if locked {
            return Verdict::Activate;
        }
        if entries == 0 {
            return if marked && file { Verdict::ReclaimClean } else { Verdict::Reclaim };
        }
        // The fault that made it counts as a use: the first is spared, the second shows.
        self.set_lru_flags(pfn, |flags| flags | FrameFlags::REFERENCED);
        if marked || entries > 1 || (executable && file) { Verdict::Activate } else { Verdict::Keep }
    }

    /// `folio_mark_accessed()`: a page was used in a way that no entry tells of. The caller holds a reference, or what keeps one.
    pub(crate) fn mark_page_accessed(&self, pfn: Pfn) {
        self.set_lru_flags(pfn, |flags| match () {
            () if !flags.contains(FrameFlags::REFERENCED) => flags | FrameFlags::REFERENCED,
            () if flags.contains(FrameFlags::ACTIVE) => flags,
            () => (flags | FrameFlags::ACTIVE) - FrameFlags::REFERENCED,
        });
    }

    /// `folio_deactivate()`: a page is to go soon.
    pub(crate) fn folio_deactivate(&self, pfn: Pfn) {
        self.set_lru_flags(pfn, |flags| flags - FrameFlags::ACTIVE - FrameFlags::REFERENCED);
    }

    /// Of the folio of a page that is on a list.
    fn set_lru_flags(&self, pfn: Pfn, change: impl FnOnce(FrameFlags) -> FrameFlags) {
        let head = self.head(pfn);
        // The zero page is none, and of no frame.
        if self.frame(head).flags.contains(FrameFlags::LRU) {
            self.with_frame(head, |f| f.flags = change(f.flags));
        }
    }
}
